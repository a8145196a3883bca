"""An undo takes its changes back while another operating-system process changes the same account: one comes first,
whole, and the other finds what it left. At most one undo counts, and the audit chain holds.

What an undo asks for and takes back, one thing after the other, is in tests/core/test_undo.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from passgate.app import Passgate
from passgate.core import account, enrolment, ledger, signin, starts
from passgate.core.ctx import Ctx
from passgate.core.ctx import Person as Actor
from passgate.core.factors import totp
from passgate.errors import HandleInvalid, Refusal
from passgate.store.tables import audit_event, credential, person, session, sign_in
from passgate.world import SECOND, World
from tests import operating
from tests.core.behind import Folk
from tests.core.visitor import Visitor, links
from tests.kit import OTHER_PASSWORD, Clock, The, client_for, settings_for
from tests.processes import together
from tests.races.other_process import MORE, OtherProcess, other_process

DELAYS = (0, 0.005, 0.01, 0.015, 0.02)
"""Seconds by which the undo is late."""
ERASE: dict[str, Any] = {"erase": {"wait": "7d"}}


@dataclass
class Here:
    folk: Folk
    there: OtherProcess


@pytest.fixture
async def here(tmp_path: Path, database_url: str | None) -> AsyncIterator[Here]:
    """A Passgate in this process and one in another, over one database, that close accounts for a week."""
    clock = Clock()
    gate = Passgate(settings_for(tmp_path, database_url, **MORE, **ERASE), World(clock, World.real().dice))
    async with (
        gate.running(work=False),
        client_for(gate) as http,
        other_process(tmp_path, database_url, **ERASE) as there,
    ):
        yield Here(Folk(The(gate, clock, http)), there)


# -- what the other process does: `at.answer` is what was prepared for it --------------------------


async def undo_again(at: Any, ctx: Ctx, _who: Actor) -> None:
    """By the same link, in a pending undo of its own."""
    handle, code = at.answer
    await signin.prove(ctx, handle, "email_code", code)


async def new_password(_at: Any, ctx: Ctx, who: Actor) -> None:
    await account.set_password(ctx.acting(who), OTHER_PASSWORD)


async def add_app(at: Any, ctx: Ctx, who: Actor) -> None:
    await enrolment.prove(ctx.acting(who), "totp", at.answer)


async def close(_at: Any, ctx: Ctx, who: Actor) -> None:
    await account.delete(ctx.acting(who))


async def sign_out_elsewhere(_at: Any, ctx: Ctx, who: Actor) -> None:
    await account.end_other_sessions(ctx.acting(who))


async def disable_person(at: Any, ctx: Ctx, who: Actor) -> None:
    await operating.disable_person(ctx, await at.email(who), "main")


CHANGES = (undo_again, new_password, add_app, close, sign_out_elsewhere, disable_person)


async def prepared(here: Here, change: Any, reader: Visitor, link: str, thief: Actor) -> Any:
    if change is undo_again:
        begun = await starts.by_undo(reader.ctx, link)
        return begun.handle, await reader.code()
    if change is add_app:
        offered = await enrolment.offer(here.folk.acting(thief), "totp")
        return totp.code_at(base64.b32decode(offered["secret"]), here.folk.step)
    return None


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.soak)])
async def test_at_the_same_moment(here: Here, step: int) -> None:
    """All kinds in one test, because the other process takes seconds to start. Every second delay, and all of them in
    the long run."""
    for change in CHANGES:
        seen = Counter([await one_round(here, change, delay=delay) for delay in DELAYS[::step]])
        assert (False, False) not in seen, "one of the two came first"
    services = here.folk.the.gate.services
    while await ledger.seal(services):
        pass
    assert (await ledger.verify(services)).findings == []


async def one_round(here: Here, change: Any, *, delay: float) -> tuple[bool, bool]:
    folk = here.folk
    thief = await folk.create()
    email, owner = await folk.email(thief), await folk.create(None, "owner")
    await enrolment.recovery_codes(folk.acting(thief))
    [link] = await links(folk, email)
    reader = Visitor(folk, email, email)
    begun = await starts.by_undo(reader.ctx, link)
    code = await reader.code() or ""
    answer = await prepared(here, change, reader, link, thief)

    async def undo() -> bool:
        await asyncio.sleep(delay)
        try:
            await signin.prove(reader.ctx, begun.handle, "email_code", code)
        except Refusal:
            return False
        return True

    order = (change.__name__, thief, owner, email, folk.the.clock.now + SECOND, answer)
    is_undone, is_changed = await together(undo(), here.there.change(*order))
    folk.the.clock.forward(2)
    await consistent(here, change, reader, link, thief.person_id, is_undone, is_changed)
    return is_undone, is_changed


async def consistent(
    here: Here, change: Any, reader: Visitor, link: str, who: str, is_undone: bool, is_changed: bool
) -> None:
    the, case = here.folk.the, (change.__name__, is_undone, is_changed)
    [account_row] = [row for row in await the.rows(person) if row["id"] == who]
    sessions = [row for row in await the.rows(session) if row["person_id"] == who and not row["ended_at"]]
    pending = [row for row in await the.rows(sign_in) if row["person_id"] == who and not row["finished_at"]]
    live = {row["kind"] for row in await the.rows(credential) if row["person_id"] == who and not row["revoked_at"]}
    events = [row["event"] for row in await the.rows(audit_event) if row["subject_id"] == who]
    undone = is_undone + (is_changed and change is undo_again)
    assert undone <= 1, case
    assert events.count("account:changes:undone") == undone, case
    if undone:
        assert (sessions, live) == ([], set()), case
        assert len(pending) == (0 if change is disable_person and is_changed else 1), case
        assert (account_row["erase_at"], account_row["email"]) == (None, reader.email), case
        assert bool(account_row["disabled_at"]) is (change is disable_person and is_changed), case
        with pytest.raises(HandleInvalid):
            await starts.by_undo(reader.ctx, link)
    elif change is disable_person:
        assert (sessions, pending) == ([], []), case
        await operating.enable_person(reader.ctx, reader.email, "main")
    if not undone:
        assert is_changed, case
        reader.folk.the.clock.forward(60)
        assert await reader.undo(link), (case, "it still works after whatever came first")
