"""A database made by an earlier version goes on with this one, on SQLite and PostgreSQL: people, sessions, credentials,
what was under way, mails to be sent, the trail. An upgrade that is interrupted anywhere leaves the database as it was.

`make.py` made the files. Not here: what a migration does to single rows (`test_signup_rule`), and what a host has
in the same database (`test_host_views`).
"""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import Connection, MetaData, Table, create_engine, event, select

from passgate.core import ledger
from passgate.core.ctx import Services
from passgate.parts import build_services
from passgate.settings.database import read_database
from passgate.store import Store
from passgate.store.migrate import config, revision, upgrade
from passgate.store.schema import SCHEMA
from passgate.store.tables import carrier, session
from passgate.world import World
from tests.authenticator import Authenticator, StoredCredential
from tests.kit import OTHER_PASSWORD, PASSWORD, Dice, The, bearer, code_of, handle_of, running, settings_for, token_of
from tests.servers import Postgres
from tests.web.browsing import app

HERE = Path(__file__).parent
VERSIONS = sorted(folder.name for folder in HERE.iterdir() if (folder / "seen.json").exists())
"""By revision. Of one that several stages of the project share: one for each whose rows differ."""
BEHIND = sorted({version for version in VERSIONS if version.isdigit()} - {SCHEMA.head})
OTHER_CODES = {"0003-passwords", "0003-factors"}
"""These keep mailed codes under another key: whoever waits with one asks for a new one. In the first, people have
passwords alone."""
NO_INSTANTS = "0006"
"""Before this revision a session did not know when its proofs were given, so none of them counts as fresh."""


@dataclass
class Older:
    """A database of an earlier version in a data folder of its own, and what its people have in their hands."""

    version: str
    data: Path
    url: str | None
    seen: dict[str, Any]

    @property
    def revision(self) -> str:
        return self.version[:4]

    @property
    def settings(self) -> Any:
        return settings_for(self.data, self.url, mail={"per_hour": 1000})

    @asynccontextmanager
    async def started(self) -> AsyncIterator[The]:
        if self.url:  # which `passgate migrate` does
            services = build_services(self.settings, World.real())
            await upgrade(services.store, lock=self.data / "lock")
            await services.store.close()
            services.hasher.close()
        async with running(self.settings) as the:
            the.clock.now = self.seen["now"]
            dice = the.gate.services.world.dice
            assert isinstance(dice, Dice)
            dice.counter = itertools.count(10**6)  # other randomness than that of the database
            yield the


def unpacked(version: str, data: Path) -> dict[str, Any]:
    data.mkdir(exist_ok=True)
    shutil.copy(HERE / version / "passgate.keys", data)
    (data / "passgate.keys").chmod(0o600)
    (data / "passgate.db").write_bytes(gzip.decompress((HERE / version / "passgate.db.gz").read_bytes()))
    seen: dict[str, Any] = json.loads((HERE / version / "seen.json").read_text())
    return seen


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
def server(request: pytest.FixtureRequest) -> Postgres | None:
    """None for SQLite."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
async def older(version: str, server: Postgres | None, tmp_path: Path) -> AsyncIterator[Older]:
    seen = unpacked(version, tmp_path / "data")
    if server is None:
        yield Older(version, tmp_path / "data", None, seen)
        return
    url = server.create_database()
    await moved_to_postgres(tmp_path / "data" / "passgate.db", url, version[:4])
    yield Older(version, tmp_path / "data", url, seen)
    server.drop_database(url)


def rows_of(file: Path) -> dict[Table, list[dict[str, Any]]]:
    """All of them, in the order of foreign keys; the file is deleted."""
    engine, found = create_engine(f"sqlite:///{file}"), MetaData()
    with engine.connect() as old:
        found.reflect(old)
        rows = {table: [dict(row) for row in old.execute(select(table)).mappings()] for table in found.sorted_tables}
    engine.dispose()
    file.unlink()
    return rows


async def moved_to_postgres(file: Path, url: str, version: str) -> None:
    """The migrations up to this version, and the rows of the file."""
    rows = rows_of(file)
    store = Store(read_database(url), SCHEMA)

    def fill(connection: Connection) -> None:
        command.upgrade(config(SCHEMA, connection=connection), version)
        for table, these in rows.items():
            if these and table.name != "alembic_version":
                connection.execute(table.insert(), these)

    async with store.write() as db:
        await db.run(fill)
    await store.close()


async def findings(services: Services) -> tuple[int, list[Any]]:
    report = await ledger.verify(services)
    return report.sealed, list(report.findings)


async def test_people_go_on(older: Older) -> None:
    seen = older.seen
    async with older.started() as the:
        await _each_session_has_one_carrier(the)
        sealed, wrong = await findings(the.gate.services)
        assert (sealed > 10, wrong) == (True, [])
        for which, answer in {"superseded": "session_ended", "ended": "session_ended"}.items():
            assert code_of(await the.session(seen[which])) == answer
        before = {which: await the.session(seen[which]) for which in ("cookie", "bearer", "ben")}
        assert {answer.status_code for answer in before.values()} == {200}
        # A step-up that was under way.
        after = token_of(await the.finish(seen["step_up"]))
        assert code_of(await the.session(seen["bearer"])) == "session_ended"
        assert (await the.session(after)).json()["session"]["id"] == before["bearer"].json()["session"]["id"]
        if "app" in seen:
            await _the_app_goes_on(the, older)
        started = handle_of(await the.start("anna.b@example.com"))
        assert (await the.prove(started, "password", PASSWORD)).status_code == 200
        token_of(await the.finish(started))
        await ledger.seal(the.gate.services)
        grown, wrong = await findings(the.gate.services)
        assert (grown > sealed, wrong) == (True, [])


async def _the_app_goes_on(the: The, older: Older) -> None:
    """In the browser's session, which is at its level, and in a new one."""
    secret, cookie = bytes.fromhex(older.seen["app"]), older.seen["cookie"]
    codes = await the.http.post("/api/v1/me/recovery-codes", headers=bearer(cookie))
    if older.revision < NO_INSTANTS:
        assert code_of(codes) == "insufficient_user_authentication"
        started = handle_of(await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=bearer(cookie)))
        token = await _with_the_app(the, started, secret)
        codes = await the.http.post("/api/v1/me/recovery-codes", headers=bearer(token))
    assert codes.status_code == 201, codes.text
    await _with_the_app(the, handle_of(await the.start("anna@example.com")), secret)


async def _with_the_app(the: The, handle: str, secret: bytes) -> str:
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    the.clock.forward(30)
    assert (await the.prove(handle, "totp", app(the, secret))).status_code == 200
    return token_of(await the.finish(handle))


async def test_what_was_under_way_goes_on(older: Older) -> None:
    seen = older.seen
    async with older.started() as the:
        await _by_code(the, older, "signup", "cleo@example.com")
        token_of(await the.finish(seen["signup"]))
        await _by_code(the, older, "recovery", "dora@example.com")
        assert (await the.prove(seen["recovery"], "password", OTHER_PASSWORD)).status_code == 200
        token_of(await the.finish(seen["recovery"]))
        await _by_code(the, older, "later", "emil@example.com")
        assert (await the.prove(seen["unsealed"], "password", PASSWORD)).status_code == 200
        if (stored := seen.get("passkey")) is None:
            return
        # A passkey, and the challenge that waits for it.
        key: Any = load_pem_private_key(stored["pem"].encode(), None)
        one = StoredCredential(
            bytes.fromhex(stored["id"]), key, stored["rp_id"], bytes.fromhex(stored["user_handle"]), 0
        )
        answer: Any = Authenticator(credentials=[one]).get(seen["passkey_options"], the.gate.settings.url)
        assert (await the.prove(seen["passkey_handle"], "passkey", answer)).status_code == 200
        token_of(await the.finish(seen["passkey_handle"]))


async def _by_code(the: The, older: Older, which: str, email: str) -> None:
    """With the code that was mailed before, or in a mail that was not sent yet."""
    handle, code = older.seen[which], older.seen.get(f"{which}_code") or await the.code(email)
    answer = await the.prove(handle, "email_code", code)
    if older.version in OTHER_CODES:
        assert code_of(answer) == "proof_refused"
        assert (await the.challenge(handle, "email_code")).status_code == 200
        answer = await the.prove(handle, "email_code", await the.code(email))
    assert answer.status_code == 200, answer.text


async def _each_session_has_one_carrier(the: The) -> None:
    sessions, carriers = await the.rows(session), await the.rows(carrier)
    assert len(carriers) == len(sessions) > 0
    ended = {row["id"]: row["ended_at"] for row in sessions}
    assert {row["session_id"]: row["ended_at"] for row in carriers} == ended


# -- interrupted -----------------------------------------------------------------------------------


class PowerCut(Exception):
    """The program ends at a statement of the upgrade."""


@contextmanager
def cut(store: Store, is_here: Callable[[list[str]], bool]) -> Iterator[list[str]]:
    """The upgrade's statements up to the one that `is_here`, which is not run. Never counted: the question whether
    there is work to do."""
    ran: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if ran or not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "BEGIN")):
            ran.append(statement)
            if is_here(ran):
                raise PowerCut

    engine = store.writer.sync_engine
    event.listen(engine, "before_cursor_execute", count)
    yield ran
    event.remove(engine, "before_cursor_execute", count)


def is_stamp(statement: str) -> bool:
    """The last statement of a migration."""
    return statement.startswith("UPDATE alembic_version")


def is_next(done: int, ran: list[str]) -> bool:
    return len(ran) == done + 1


@pytest.mark.parametrize("version", [*(pytest.param(one, marks=pytest.mark.soak) for one in BEHIND[:-2]), *BEHIND[-2:]])
async def test_interrupted_at_each_statement(older: Older) -> None:
    """Of the next migration, and at the very last one of all; the migrations after it have databases of their own. The
    database stays what it was, and the next start finishes. Old migrations never change, so theirs are in the soak."""
    services = build_services(older.settings, World.real())
    store, lock = services.store, older.data / "lock"

    async def interrupted(is_here: Callable[[list[str]], bool]) -> list[str]:
        with cut(store, is_here) as ran, pytest.raises(PowerCut):
            await upgrade(store, lock=lock)
        assert await revision(store) == older.revision
        return ran

    ran = list[str]()
    while not ran or not is_stamp(ran[-1]):
        ran = await interrupted(partial(is_next, len(ran)))
    assert len(ran) > 1
    await interrupted(lambda ran: is_stamp(ran[-1]) and SCHEMA.head in ran[-1])
    assert await upgrade(store, lock=lock)
    assert await revision(store) == SCHEMA.head
    await store.close()
    services.hasher.close()
    async with older.started() as the:
        assert (await the.session(older.seen["cookie"])).status_code == 200
        _, wrong = await findings(the.gate.services)
        assert wrong == []
