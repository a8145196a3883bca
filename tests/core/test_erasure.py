"""Closing an account and erasing it: nothing that its owner typed stays in a column, nor on SQLite in a file, and the
chain still verifies. Undoing a closed account is in `test_undo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from passgate.core import erasure, jobs, ledger
from passgate.core.ctx import Ctx
from passgate.errors import Conflict, Unavailable
from passgate.store.tables import audit_event, person, session, ticket
from passgate.world import SECOND
from tests import operating
from tests.authenticator import Authenticator
from tests.core.having import code_of_app, unspelled
from tests.kit import PASSWORD, The, code_of, handle_of, running, settings_for, token_of

WAIT = 7 * 24 * 3600
TYPED = ("quixotic", "zephyrine", "marzipan", "ocarina", "Vermilion", "palimpsest", "kumquat")
"""Words that nothing else contains, in whatever somebody types."""
EMAIL = "quixotic@example.com"


@pytest.fixture
async def waits(tmp_path: Path) -> Any:
    async with running(settings_for(tmp_path, erase={"wait": WAIT})) as the:
        yield the


async def lived(the: The) -> str:
    """A long story: everything that a person can type. Returns the token of their session."""
    await the.start("zephyrine@example.com")
    handle = handle_of(await the.start("zephyrine@example.com"))
    await the.prove(handle, "password", "zephyrine was here")
    await the.recover("zephyrine@example.com")
    await the.signup("zephyrine@example.com", PASSWORD, profile={"name": "zephyrine"})
    handle = handle_of(await the.signup(EMAIL, PASSWORD, profile={"name": "Vermilion Quixotic"}))
    await the.prove(handle, "email_code", "00000000")
    await the.prove(handle, "email_code", await the.code(EMAIL))
    token = token_of(await the.finish(handle))
    mine = {"Authorization": f"Bearer {token}"}

    async def ask(method: str, path: str, body: Any = None) -> Any:
        answer = await the.http.request(method, f"/api/v1{path}", json=body, headers=mine)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    await ask("PATCH", "/me", {"profile": {"name": "Vermilion", "about": "marzipan"}})
    made = Authenticator().create((await ask("POST", "/me/passkeys"))["challenge"], the.gate.settings.url)
    passkey = await ask("POST", "/me/passkeys/prove", {"answer": made, "label": "ocarina"})
    await ask("PATCH", f"/me/passkeys/{passkey['id']}", {"label": "palimpsest"})
    secret = unspelled((await ask("POST", "/me/totp"))["secret"])
    await ask("POST", "/me/totp/prove", {"answer": code_of_app(the, secret)})
    await ask("POST", "/me/address", {"email": "kumquat@example.com"})
    await ask("POST", "/me/address/prove", {"answer": await the.code("kumquat@example.com")})
    await ask("POST", "/me/password", {"password": "ocarina palimpsest kumquat"})
    for address in (EMAIL, "kumquat@example.com"):
        handle = handle_of(await the.start(address))
        await the.prove(handle, "password", "marzipan or another wrong one")
    return token


async def found(the: The) -> list[str]:
    """Where a typed word is: in a column, or on SQLite in a file of the data folder."""
    typed = [word.lower() for word in TYPED]
    places = []
    for table, rows in (await the.everything()).items():
        for row in rows:
            for column, value in row.items():
                plain = value if isinstance(value, bytes) else str(value).encode()
                places += [f"{table}.{column}" for word in typed if word.encode() in plain.lower()]
    if the.gate.services.store.is_sqlite:
        for file in the.gate.settings.data.iterdir():
            inside = file.read_bytes().lower() if file.is_file() else b""
            places += [file.name for word in typed if word.encode() in inside]
    else:
        async with the.gate.services.store.writer._engine.connect() as connection:  # type: ignore[union-attr]
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM"))
    return sorted(set(places))


async def test_nothing_that_was_typed_is_left(the: The) -> None:
    token = await lived(the)
    assert {"person.email", "person.profile", "credential.label"} <= set(await found(the)), "the search finds things"
    assert "audit_event.personal" in await found(the)
    gone = await the.http.delete("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert gone.status_code == 204, gone.text
    await jobs.tidy(the.gate.services)
    await erasure.scrub(the.gate.services)
    assert await found(the) == []
    await ledger.seal(the.gate.services)
    report = await ledger.verify(the.gate.services)
    assert report.ok, report.findings
    assert (await the.events())[-1] == "account:deleted"


async def test_an_address_that_nobody_has_is_in_the_trail_as_a_hash(lite: The) -> None:
    for spelling in ("nobody@example.com", "NOBODY@example.com"):
        handle = handle_of(await lite.start(spelling))
        assert code_of(await lite.prove(handle, "password", "x" * 20)) == "proof_refused"
    rows = [row for row in await lite.rows(audit_event) if row["event"] == "signin:password:refused"]
    about = [json.loads(row["personal"]) for row in rows]
    assert [sorted(one) for one in about] == [["address_hash", "browser", "ip", "os"]] * 2
    assert about[0]["address_hash"] == about[1]["address_hash"]
    anna = await lite.person()
    handle = handle_of(await lite.start(anna.email))
    await lite.prove(handle, "password", "x" * 20)
    known = [row for row in await lite.rows(audit_event) if row["event"] == "signin:password:refused"][-1]
    assert json.loads(known["personal"])["email"] == anna.email


async def test_the_account_is_closed_first_and_erased_later(waits: The) -> None:
    anna = await waits.person()
    other = await waits.signed_in(anna)
    pending_one = handle_of(await waits.start(anna.email))
    assert (await waits.prove(pending_one, "password", PASSWORD)).json()["enough"]
    assert (await waits.http.delete("/api/v1/me", headers=anna.auth)).status_code == 204
    for token in (anna.token, other.token):
        assert code_of(await waits.session(token)) == "session_ended"
    assert code_of(await waits.finish(pending_one)) == "handle_invalid"
    handle = handle_of(await waits.start(anna.email))
    assert code_of(await waits.prove(handle, "password", PASSWORD)) == "proof_refused"
    kinds = [mail["kind"] for mail in await waits.mails(anna.email)]
    assert kinds[0] == "account_closed"
    await waits.recover(anna.email)
    await waits.signup(anna.email)
    assert [mail["kind"] for mail in await waits.mails(anna.email)][:2] == ["account_closing"] * 2
    [row] = await waits.rows(person)
    assert (row["disabled_by"], row["erase_at"] - row["disabled_at"] >= WAIT * SECOND - 10**6) == ("owner", True)
    waits.clock.forward(WAIT - 60)
    await jobs.tidy(waits.gate.services)
    assert len(await waits.rows(person)) == 1
    waits.clock.forward(120)
    await jobs.tidy(waits.gate.services)
    assert await waits.rows(person) == []
    assert await waits.rows(session) == []
    assert not [row for row in await waits.rows(ticket) if row["kind"] == "undo"]
    events = await waits.events()
    assert (events.count("account:closed"), events.count("account:deleted")) == (1, 1)


async def test_the_same_address_signs_up_again_and_inherits_nothing(lite: The) -> None:
    anna = await lite.person()
    await operating.give_role(Ctx(lite.gate.services), anna.email, "admin", "main")
    old = (await lite.session(anna.token)).json()["user"]
    assert (await lite.http.delete("/api/v1/me", headers=anna.auth)).status_code == 204
    again = await lite.person()
    new = (await lite.session(again.token)).json()["user"]
    assert new["id"] != old["id"]
    assert new["roles"] == ["user"]
    activity = (await lite.http.get("/api/v1/me/activity", headers=again.auth)).json()["items"]
    assert {row["event"] for row in activity} <= {
        "account:created",
        "role:given",
        "account:password:set",
        "signin:email_code:proved",
        "signup:completed",
    }


async def test_the_last_owner_cannot_close_the_account(waits: The) -> None:
    anna = await waits.person()
    await operating.give_role(Ctx(waits.gate.services), anna.email, "owner", "main")
    assert code_of(await waits.http.delete("/api/v1/me", headers=anna.auth)) == "conflict"
    assert [row["erase_at"] for row in await waits.rows(person)] == [None]
    with pytest.raises(Conflict):
        await operating.disable_person(Ctx(waits.gate.services), anna.email, "main")


async def test_a_closed_account_that_is_disabled_and_enabled_is_closed_again(waits: The) -> None:
    anna, ctx = await waits.person(), Ctx(waits.gate.services)
    await waits.http.delete("/api/v1/me", headers=anna.auth)
    await operating.disable_person(ctx, anna.email, "main")
    assert [row["disabled_by"] for row in await waits.rows(person)] == ["operator"]
    waits.clock.forward(WAIT + 60)
    await jobs.tidy(waits.gate.services)
    assert len(await waits.rows(person)) == 1, "what an operator has stopped is not erased meanwhile"
    await operating.enable_person(ctx, anna.email, "main")
    [row] = await waits.rows(person)
    assert (row["disabled_by"], row["disabled_at"] is None) == ("owner", False)
    handle = handle_of(await waits.start(anna.email))
    assert code_of(await waits.prove(handle, "password", PASSWORD)) == "proof_refused"


async def test_a_deletion_holds_although_the_log_could_not_be_emptied(
    lite: The, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job tries again."""
    anna, store = await lite.person(), lite.gate.services.store

    async def fail() -> bool:
        raise Unavailable("database")

    monkeypatch.setattr(store, "scrub", fail)
    assert (await lite.http.delete("/api/v1/me", headers=anna.auth)).status_code == 204
    assert await lite.rows(person) == []
    assert lite.gate.services.erased.is_set()
    monkeypatch.undo()
    await erasure.scrub(lite.gate.services)
    assert not lite.gate.services.erased.is_set()
