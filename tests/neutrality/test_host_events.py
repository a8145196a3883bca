"""A stranger types an address, and a host records an event about whoever has it: the work is the same for every
address, and nothing that was typed is kept if nobody has it.

Not here: what the row says (`tests/library/test_record_address`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from passgate.core import host_budgets, host_events, people
from passgate.core.ctx import Person as Actor
from passgate.store.tables import audit_event, person
from tests import operating
from tests.core.behind import Folk
from tests.kit import The, running, settings_for
from tests.neutrality.watch import Work, watched

KINDS = ("unknown", "known", "owner", "disabled", "unproved", "foreign")


def address(kind: str) -> str:
    return f"{kind}@example.com"


@pytest.fixture
async def folk(tmp_path: Path, database_url: str | None) -> AsyncIterator[Folk]:
    async with running(settings_for(tmp_path, database_url, tenancy="multi")) as the:
        made = Folk(the)
        who = {kind: await made.create(address(kind)) for kind in ("known", "disabled", "unproved")}
        await made.create(address("owner"), "owner")
        await operating.add_tenant(made.ctx, "other", None, "open")
        await made.create(address("foreign"), at="other")
        async with made.ctx.write() as db:
            await people.disable(made.ctx, db, *who["disabled"].key)
            unproved = update(person).where(person.c.id == who["unproved"].person_id)
            await db.change(unproved.values(email_verified_at=None, first_proved_at=None))
        yield made


async def work_of(folk: Folk, email: str, actor: Actor | None = None) -> Work:
    ctx = folk.acting(actor) if actor else folk.ctx
    ctx = replace(ctx, services=replace(ctx.services, events={"invoice:viewed": "An invoice"}))
    with watched(folk.the) as work:
        await host_events.record(ctx, "invoice:viewed", email=email)
    return work


@pytest.mark.parametrize("acts", ["stranger", "person"])
async def test_whoever_it_is(folk: Folk, acts: str) -> None:
    actor = await folk.create("acts@example.com") if acts == "person" else None
    await work_of(folk, "first@example.com", actor)  # so that the budget has a row
    seen = {kind: await work_of(folk, address(kind), actor) for kind in KINDS}
    for kind, work in seen.items():
        assert work == seen["unknown"], kind
    assert seen["unknown"].rows["audit_event"] == 1
    assert await named(folk.the) == ["known", "owner", "disabled", "unproved"]


@pytest.mark.parametrize("acts", ["stranger", "person"])
async def test_whose_activity_is_full(folk: Folk, monkeypatch: pytest.MonkeyPatch, acts: str) -> None:
    """Nor does it differ once an address was named so often that the rows are about nobody."""
    actor = await folk.create("acts@example.com") if acts == "person" else None
    before = [await work_of(folk, address(kind), actor) for kind in KINDS][-1]
    monkeypatch.setattr(host_budgets, "EVENTS_ABOUT_ADDRESS", 1)
    for kind in KINDS:
        assert await work_of(folk, address(kind), actor) == before, kind
    assert await named(folk.the) == ["known", "owner", "disabled", "unproved"], "those of the first round"


async def named(the: The) -> list[str]:
    """Whom the rows are about, oldest first."""
    mine = select(person.c.email).join(audit_event, audit_event.c.subject_id == person.c.id)
    mine = mine.where(audit_event.c.event == "invoice:viewed").order_by(audit_event.c.id)
    async with the.gate.services.store.read() as db:
        return [row["email"].partition("@")[0] for row in await db.rows(mine)]
