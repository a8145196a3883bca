"""Makes a database as people leave it: sessions, a step-up, sign-ins under way, mails not yet sent, a sealed trail. Run
it at the commit whose databases are to be upgraded, with all of its requests over HTTP, so that it runs at any commit:

    python -m tests.upgrade.make tests/upgrade/0006

(Before 0004 two of our own names that it uses were others, and where there were no factors it left them out.)

Not here: assertions, which are in `test_upgrade`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from passgate.core import ledger
from tests.authenticator import Authenticator
from tests.kit import PASSWORD, The, bearer, handle_of, running, settings_for, token_of
from tests.web.browsing import browser

MORE: dict[str, Any] = {"mail": {"per_hour": 1000}}


async def make(data: Path) -> dict[str, Any]:
    """What the people of this database have in their hands."""
    async with running(settings_for(data, **MORE)) as the:
        seen = {**await _anna(the), **await _ben(the), **await _others(the)}
        await ledger.seal(the.gate.services)
        seen["unsealed"] = handle_of(await the.start("ben@example.com"))  # later than the seal
        return {**seen, "now": the.clock.now}


async def _anna(the: The) -> dict[str, Any]:
    """A password, an app and recovery codes; a browser, a program, and a session whose secret a step-up replaced."""
    async with browser(the) as laptop:
        await laptop.sign_up()
        app = await laptop.add_app()
        codes = await laptop.add_codes()
        the.clock.forward(30)
        seen: dict[str, Any] = {"cookie": laptop.session, "app": app.hex(), "codes": codes}
    anna = await the.person("anna.b@example.com")
    begun = await the.http.post("/api/v1/signin", json={"step_up": {"max_age": 300}}, headers=anna.auth)
    handle = handle_of(begun)
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    seen |= {"superseded": anna.token, "bearer": token_of(await the.finish(handle))}
    begun = await the.http.post("/api/v1/signin", json={"step_up": {"max_age": 300}}, headers=bearer(seen["bearer"]))
    assert (await the.prove(handle_of(begun), "password", PASSWORD)).status_code == 200
    ended = await the.signed_in(anna)
    assert (await the.http.delete("/api/v1/session", headers=ended.auth)).status_code == 204
    return {**seen, "step_up": handle_of(begun), "ended": ended.token}


async def _ben(the: The) -> dict[str, Any]:
    """A passkey, which waits for an answer, and options to add another one."""
    ben, key = await the.person("ben@example.com"), Authenticator()
    offered = (await the.http.post("/api/v1/me/passkeys", headers=ben.auth)).json()["challenge"]
    answer = {"answer": key.create(offered, the.gate.settings.url)}
    added = await the.http.post("/api/v1/me/passkeys/prove", json=answer, headers=ben.auth)
    assert added.status_code in (200, 201, 204), added.text
    handle = handle_of(await the.start())
    options = (await the.challenge(handle, "passkey")).json()["challenge"]
    [one] = key.credentials
    pem = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    passkey = {"id": one.id.hex(), "pem": pem, "user_handle": one.user_handle.hex(), "rp_id": one.rp_id}
    return {"ben": ben.token, "passkey": passkey, "passkey_handle": handle, "passkey_options": options}


async def _others(the: The) -> dict[str, Any]:
    """A sign-up and a recovery with their codes, a change of address, and mails that are still to be sent."""
    up = handle_of(await the.signup("cleo@example.com"))
    dora = await the.person("dora@example.com")
    back = handle_of(await the.recover(dora.email))
    recovery = await the.code(dora.email)
    moving = await the.http.post("/api/v1/me/address", json={"email": "dora.new@example.com"}, headers=dora.auth)
    assert moving.status_code in (200, 202, 204), moving.text
    code = await the.code("cleo@example.com")
    later = handle_of(await the.signup("emil@example.com"))
    return {"signup": up, "signup_code": code, "recovery": back, "recovery_code": recovery, "later": later}


def main(folder: Path) -> None:
    with TemporaryDirectory() as given:
        data = Path(given)
        seen = asyncio.run(make(data))
        folder.mkdir(parents=True)
        (folder / "seen.json").write_text(json.dumps(seen, indent=1) + "\n")
        with closing(sqlite3.connect(data / "passgate.db")) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # not every version leaves one file behind
        (folder / "passgate.db.gz").write_bytes(gzip.compress((data / "passgate.db").read_bytes(), mtime=0))
        shutil.copy(data / "passgate.keys", folder)
        print(sorted(file.name for file in folder.iterdir()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
