"""The operator's actions on both databases: immediate effects, races, and the audit trail."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import delete, update

from passgate.core import ledger, users
from passgate.core.audit import record
from passgate.core.ctx import Ctx, System
from passgate.core.events import Event
from passgate.errors import Conflict, NotFound
from passgate.store.tables import audit_event, audit_head, credential
from tests import operating
from tests.kit import OTHER_PASSWORD, PASSWORD, The, code_of, handle_of


async def test_an_added_person_signs_in(the: The) -> None:
    ctx = Ctx(the.gate.services)
    await operating.add_person(ctx, "Anna@example.com", "main", "admin", PASSWORD)
    handle = handle_of(await the.start("anna@example.com"))
    assert (await the.prove(handle, "password", PASSWORD)).json()["enough"] is True
    assert (await the.finish(handle)).status_code == 201


async def test_a_person_without_a_password_recovers_one(the: The) -> None:
    await operating.add_person(Ctx(the.gate.services), "anna@example.com", "main", "user", None)
    assert await the.rows(credential) == []
    handle = handle_of(await the.recover("anna@example.com"))
    await the.prove(handle, "email_code", await the.code("anna@example.com"))
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).json()["enough"] is True
    assert (await the.finish(handle)).status_code == 201


async def test_disabling_ends_everything_at_once(the: The) -> None:
    ctx = Ctx(the.gate.services)
    anna = await the.person()
    proved = handle_of(await the.start(anna.email))
    await the.prove(proved, "password", anna.password)
    begun = handle_of(await the.start(anna.email))
    recovering = handle_of(await the.recover(anna.email))
    await the.prove(recovering, "email_code", await the.code(anna.email))
    await operating.disable_person(ctx, anna.email, "main")
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert code_of(await the.finish(proved)) == "handle_invalid"
    assert code_of(await the.prove(recovering, "password", OTHER_PASSWORD)) == "handle_invalid"
    # This sign-in has proved nothing yet, so it gets the same answer as for a wrong password.
    assert code_of(await the.prove(begun, "password", anna.password)) == "proof_refused"
    (row,) = [row for row in await the.rows(audit_event) if row["event"] == Event.ACCOUNT_DISABLED]
    assert '"sessions":1' in row["facts"]


async def test_of_two_last_owners_one_stays(the: The) -> None:
    ctx = Ctx(the.gate.services)
    names = ["anna@example.com", "bert@example.com"]
    for name in names:
        await operating.add_person(ctx, name, "main", "owner", None)
    done = await asyncio.gather(
        *(operating.disable_person(ctx, name, "main") for name in names), return_exceptions=True
    )
    assert [type(one) for one in done if isinstance(one, BaseException)] == [Conflict]
    left = [one for one in await operating.everybody(ctx, "main") if not one["disabled"]]
    assert [one["roles"] for one in left] == [["owner"]]


async def test_actions_on_one_person_neither_cross_nor_deadlock(the: The) -> None:
    ctx = Ctx(the.gate.services)
    await operating.add_person(ctx, "owner@example.com", "main", "owner", None)
    await operating.add_person(ctx, "anna@example.com", "main", "owner", None)
    actions = [
        verb(ctx, "anna@example.com", role, "main")
        for _ in range(2)
        for role in ("admin", "owner")
        for verb in (operating.give_role, operating.take_role)
    ]
    await asyncio.gather(
        *actions, *(operating.add_person(ctx, f"p{n}@example.com", "main", "user", None) for n in range(5))
    )
    assert len(await operating.everybody(ctx, "main")) == 7


async def test_people_are_listed_page_by_page(lite: The) -> None:
    ctx = Ctx(lite.gate.services)
    for number in range(users.PAGE + 1):
        await operating.add_person(ctx, f"p{number}@example.com", "main", "user", None)
    listed = [one["email"] for one in await operating.everybody(ctx, "main")]
    assert listed == [f"p{number}@example.com" for number in range(users.PAGE + 1)]


async def test_what_leaves_is_recorded(lite: The) -> None:
    """A list of people and an export of the trail, each before it leaves and with its size."""
    ctx = Ctx(lite.gate.services)
    await operating.add_person(ctx, "anna@example.com", "main", "user", None)
    with pytest.raises(NotFound):
        await operating.everybody(ctx, "nowhere")
    await operating.everybody(ctx, "main")
    rows = [row async for row in operating.export(ctx)]
    assert [row["event"] for row in rows[-2:]] == [Event.USERS_LISTED, Event.AUDIT_EXPORTED]
    listed, exported = rows[-2:]
    assert (listed["tenant_id"], json.loads(listed["facts"])) == (
        rows[0]["tenant_id"],
        {"tenant": "main", "count": 1, "principal": "operator"},
    )
    assert (exported["tenant_id"], json.loads(exported["facts"])) == ("system", {"rows": 3, "principal": "operator"})
    assert {row["subject_id"] for row in (listed, exported)} == {None}
    await anext(operating.export(ctx))
    (newest,) = await operating.recent(ctx, 1)
    assert newest["event"] == Event.AUDIT_EXPORTED


async def test_a_trail_that_grows_meanwhile_is_still_whole(the: The) -> None:
    """`verify` during writes: events that are sealed between two of its reads are no finding."""
    services = the.gate.services

    async def grow() -> None:
        for _ in range(12):
            async with services.store.write() as db:
                await record(Ctx(services, principal=System()), db, Event.SIGNIN_COMPLETED)
            await ledger.seal(services)

    growing, found = asyncio.create_task(grow()), []
    while not growing.done():
        found += (await ledger.verify(services)).findings
    await growing
    assert found == []
    whole = await ledger.verify(services)
    assert (whole.sealed, whole.waiting) == (12, 0)


async def test_what_is_cut_off_or_turned_back_is_found(the: The) -> None:
    services = the.gate.services
    await operating.add_person(Ctx(services), "anna@example.com", "main", "user", PASSWORD)
    await ledger.seal(services)
    (head,) = await the.rows(audit_head)
    await operating.give_role(Ctx(services), "anna@example.com", "admin", "main")
    await ledger.seal(services)
    async with services.store.write() as db:
        await db.change(update(audit_head).values(**head))
    assert [one.what for one in (await ledger.verify(services)).findings] == ["head"]
    async with services.store.write() as db:
        await db.change(delete(audit_event).where(audit_event.c.seq >= head["seq"]))
    assert [(one.what, one.seq) for one in (await ledger.verify(services)).findings] == [("truncated", head["seq"])]
