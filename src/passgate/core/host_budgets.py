"""What the events and background jobs of a host program may cost: how many there may be, by whom, and about whom.

Not here: our own limits, and how an origin is counted (`budgets`).
"""

from __future__ import annotations

from passgate.core import budgets, throttle
from passgate.core.budgets import TEN_MINUTES
from passgate.core.ctx import Client, Ctx, Operator, Person, Stranger, System
from passgate.errors import Throttled
from passgate.store import Db
from passgate.world import SECOND

EVENTS_OF_STRANGERS, EVENTS_OF_PERSON = 100, 2000
"""Audit events in ten minutes, by one origin without a session, and by one person."""
JOBS_OF_STRANGERS, JOBS_OF_PERSON = 30, 600
"""Background jobs in ten minutes, the same."""
EVENTS_ABOUT_ADDRESS = 20
"""Events in ten minutes that are about whoever has an address, by all strangers together, and by one person."""


async def event(ctx: Ctx, db: Db) -> None:
    """Debit one audit event. Throttled."""
    await _debit(ctx, db, "events", EVENTS_OF_STRANGERS, EVENTS_OF_PERSON)


async def job(ctx: Ctx, db: Db) -> None:
    """Debit one background job. Throttled."""
    await _debit(ctx, db, "jobs", JOBS_OF_STRANGERS, JOBS_OF_PERSON)


async def _debit(ctx: Ctx, db: Db, what: str, of_strangers: int, of_person: int) -> None:
    """Of an origin while nobody is signed in, else of the person or client. An operator's own script has no limit. What
    is refused is counted in the log, and written nowhere else."""
    wait = 0
    match ctx.principal:
        case Operator() | System():
            return
        case Stranger():
            _, wait = await budgets.of_origin(ctx, db, what, limit=of_strangers, seconds=TEN_MINUTES)
        case Person(person_id=whose) | Client(client_id=whose):
            counted = await throttle.window(ctx, db, f"c:{what}:{whose}", limit=of_person, seconds=TEN_MINUTES)
            wait = counted.wait
    if wait:
        ctx.services.tally[f"refused_host_{what}"] += 1
        raise Throttled(wait)


async def may_be_about(ctx: Ctx, db: Db, tenant_id: str, email_key: str) -> bool:
    """Count one event that names somebody by an address, and say whether it may be about whoever has it: others could
    else fill their activity. One statement, whoever has the address and however often it was named."""
    whose = ""
    match ctx.principal:
        case Operator() | System():
            return True
        case Person(person_id=acting) | Client(client_id=acting):
            whose = f"{acting}:"
    key = f"c:about:{whose}{budgets.address_mac(ctx, tenant_id, email_key)}"
    named = await throttle.count(ctx, db, key, expires_at=ctx.now() + TEN_MINUTES * SECOND)
    return named <= EVENTS_ABOUT_ADDRESS
