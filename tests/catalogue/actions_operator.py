"""Actions that no endpoint calls: an operator's on the command line, and those of background jobs.

Actions behind endpoints are in the other modules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from passgate.core import (
    access,
    checkpoint,
    host_events,
    host_jobs,
    jobs,
    keys,
    ledger,
    outbox,
    people,
    sealed,
    starts,
    tenants,
)
from passgate.core.ctx import Ctx
from passgate.core.host_jobs import HostJob
from passgate.core.message import Message
from passgate.store import Db
from tests import operating
from tests.catalogue.entry import Action, Writes
from tests.core.behind import Folk
from tests.kit import PASSWORD


def in_a_write(folk: Folk, work: Callable[[Any], Awaitable[object]]) -> Action:
    async def act() -> None:
        async with folk.ctx.write() as db:
            await work(db)

    return act


async def give(folk: Folk) -> Action:
    owner, other = await folk.create(None, "owner"), await folk.create()

    async def given(db: Db) -> None:
        await people.lock_all(db, {owner.key, other.key})
        await access.give(folk.acting(owner), db, *other.key, "admin")

    return in_a_write(folk, given)


async def take(folk: Folk) -> Action:
    owner, other = await folk.create(None, "owner"), await folk.create(None, "admin")
    return in_a_write(folk, lambda db: access.take(folk.acting(owner), db, other.tenant_id, other.person_id, "admin"))


async def create_tenant(folk: Folk) -> Action:
    return in_a_write(folk, lambda db: tenants.create(folk.ctx, db, f"t{next(folk.numbers)}", "A tenant"))


async def add_person(folk: Folk) -> Action:
    email = f"new{next(folk.numbers)}@example.com"
    return lambda: operating.add_person(folk.ctx, email, "main", "admin", PASSWORD)


async def enable_person(folk: Folk) -> Action:
    email = await folk.email(await folk.create())
    await operating.disable_person(folk.ctx, email, "main")
    return lambda: operating.enable_person(folk.ctx, email, "main")


async def disable_person(folk: Folk) -> Action:
    email = await folk.email(await folk.create())
    return lambda: operating.disable_person(folk.ctx, email, "main")


async def give_role(folk: Folk) -> Action:
    email = await folk.email(await folk.create())
    return lambda: operating.give_role(folk.ctx, email, "admin", "main")


async def take_role(folk: Folk) -> Action:
    email = await folk.email(await folk.create(None, "admin"))
    return lambda: operating.take_role(folk.ctx, email, "admin", "main")


async def add_tenant(folk: Folk) -> Action:
    return lambda: operating.add_tenant(folk.ctx, f"tenant{next(folk.numbers)}", None, "open")


async def rotate_keys(folk: Folk) -> Action:
    await folk.create()
    return lambda: operating.rotate_keys(folk.ctx)


async def rotate_signing(folk: Folk) -> Action:
    await keys.signer(folk.ctx.services)
    folk.the.clock.forward(keys.PUBLISHED + keys.MARGIN + 1)  # none is waiting
    return lambda: operating.rotate_signing(folk.ctx)


async def list_people(folk: Folk) -> Action:
    return lambda: operating.everybody(folk.ctx, "main")


async def export_trail(folk: Folk) -> Action:
    async def act() -> None:
        async for _ in operating.export(folk.ctx):
            pass

    return act


async def record_backup(folk: Folk) -> Action:
    return lambda: operating.record_backup(folk.ctx, with_keys=True)


async def make_link(folk: Folk) -> Action:
    email = await folk.email(await folk.create())
    return lambda: operating.signin_link(folk.ctx, email, "main")


class Letterbox:
    """A mail transport that accepts every message and drops it."""

    async def send(self, message: Message) -> None:
        assert message.to


async def deliver(folk: Folk) -> Action:
    await outbox.deliver(folk.the.gate.services, Letterbox())
    await starts.recover(folk.ctx, f"somebody{next(folk.numbers)}@example.com", None)
    return lambda: outbox.deliver(folk.the.gate.services, Letterbox())


async def deliver_too_late(folk: Folk) -> Action:
    await outbox.deliver(folk.the.gate.services, Letterbox())
    await starts.recover(folk.ctx, f"somebody{next(folk.numbers)}@example.com", None)
    folk.the.clock.forward(25 * 3600)
    return lambda: outbox.deliver(folk.the.gate.services, Letterbox())


async def seal(folk: Folk) -> Action:
    await folk.create()
    return lambda: ledger.seal(folk.the.gate.services)


async def purge(folk: Folk) -> Action:
    await starts.recover(folk.ctx, await folk.email(await folk.create()), None)
    await outbox.deliver(folk.the.gate.services, Letterbox())
    folk.the.clock.forward(61 * 24 * 3600)
    return lambda: jobs.purge(folk.the.gate.services)


async def rewrap(folk: Folk) -> Action:
    await folk.create()
    folk.ctx.ring.rotate()
    return lambda: sealed.rewrap(folk.the.gate.services)


async def make_checkpoint(folk: Folk) -> Action:
    await folk.create()
    await ledger.seal(folk.the.gate.services)
    folk.ctx.ring.rotate()
    return lambda: checkpoint.make(folk.the.gate.services)


def _with_event(ctx: Ctx) -> Ctx:
    return replace(ctx, services=replace(ctx.services, events={"invoice:viewed": "An invoice"}))


async def record_host_event(folk: Folk) -> Action:
    """About somebody else, so that two people are locked."""
    actor, other = await folk.create(), await folk.create()
    ctx = _with_event(folk.acting(actor))
    return lambda: host_events.record(ctx, "invoice:viewed", subject_id=other.person_id)


async def record_host_event_by_address(folk: Folk) -> Action:
    """The same, about whoever has an address."""
    actor, other = await folk.create(), await folk.create()
    ctx = _with_event(folk.acting(actor))
    email = await people.email_of(ctx, *other.key)
    return lambda: host_events.record(ctx, "invoice:viewed", email=email)


async def start_host_job(folk: Folk) -> Action:
    one = HostJob("tests.report", print, 5, for_strangers=False)
    ctx = folk.acting(await folk.create())
    return lambda: host_jobs.start(ctx, one, {})


BEHIND = (
    Writes(give, 2),
    Writes(take, 2, on_postgres=True),
    Writes(create_tenant, 1),
    Writes(add_person, 6),
    Writes(disable_person, 4),
    Writes(enable_person, 2),
    Writes(give_role, 2),
    Writes(take_role, 2),
    Writes(add_tenant, 2),
    Writes(rotate_keys, 2),
    Writes(rotate_signing, 3),
    Writes(list_people, 1),
    Writes(export_trail, 1),
    Writes(record_backup, 1),
    Writes(make_link, 5),
    Writes(deliver, 2),
    Writes(deliver_too_late, 3, on_postgres=True),
    Writes(seal, 3, on_postgres=True),
    Writes(purge, 5),
    Writes(rewrap, 1),
    Writes(make_checkpoint, 2, on_postgres=True),
    Writes(record_host_event, 2, on_postgres=True),
    Writes(record_host_event_by_address, 2, on_postgres=True),
    Writes(start_host_job, 2, on_postgres=True),
)
"""Listed here because the entries of endpoints do not name them."""
