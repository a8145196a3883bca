"""Deleting an account: closed at once, erased after a waiting period, with everything its owner typed. The audit chain
stays valid without the personal parts.

Not here: who may ask for it (`account`), and restoring a closed account (`undo`).
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import RowMapping

from passgate.core import audit, budgets, credentials, invitation_link, mail, once, people, undo_link
from passgate.core.action import end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Services, System
from passgate.core.events import Event
from passgate.core.undo_link import Change
from passgate.errors import Unavailable
from passgate.store import Db
from passgate.world import SECOND

_BATCH = 50


async def close(ctx: Ctx, db: Db, person: RowMapping, *, service: str, proved: frozenset[str], wait: int) -> None:
    """Close the account of a locked person: nobody signs in with it any more. It is erased after `wait` seconds, until
    then its owner can restore it. `proved`: what they have proved lately."""
    tenant_id, person_id = person["tenant_id"], person["id"]
    rows = await credentials.rows_of(db, tenant_id, person_id)
    link = await undo_link.issue(ctx, db, person, Change.CLOSED, rows, proved, life=wait)
    await record(ctx, db, Event.ACCOUNT_CLOSED, tenant_id=tenant_id, subject_id=person_id)
    erase_at = ctx.now() + wait * SECOND
    await people.close(ctx, db, tenant_id, person_id, erase_at)
    await end_all(ctx, db, tenant_id, person_id, "closed")
    to, kind = person["email"], Change.CLOSED.value
    await mail.enqueue(ctx, db, tenant_id, kind, to, service=service, link=link, erase_at=erase_at)


async def erase(ctx: Ctx, db: Db, person: RowMapping) -> None:
    """Erase a locked person with all dependent rows. `scrub` follows the commit."""
    tenant_id, person_id = person["tenant_id"], person["id"]
    await record(ctx, db, Event.ACCOUNT_DELETED, tenant_id=tenant_id, subject_id=person_id)
    await audit.forget(db, tenant_id, person_id)
    await people.erase(db, tenant_id, person_id)
    await once.forget(db, tenant_id, person_id)
    if person["email_verified_at"] is not None:  # else they may be for somebody else, who reads that mailbox
        await invitation_link.forget(ctx, db, tenant_id, person["email_key"])
    await budgets.forget(db, person_id, tuple(ctx.factors.proofs))
    db.after_commit(ctx.services.erased.set)


async def scrub(services: Services) -> None:
    """Empty the database's log if something was erased, so that no file holds it any longer. While readers keep the log
    busy, or the database is away, this has to be tried again: what was erased stays erased."""
    with suppress(Unavailable):
        if services.erased.is_set() and await services.store.scrub():
            services.erased.clear()


async def erase_due(services: Services) -> int:
    """Erase the closed accounts whose waiting period is over; returns how many."""
    ctx = Ctx(services, principal=System())
    async with ctx.read() as db:
        due = await people.due(ctx, db, _BATCH)
    erased = 0
    for key in due:
        async with ctx.write(heavy=True) as db:
            found = await people.lock_due(ctx, db, key)
            if found is not None:
                await erase(ctx, db, found)
                erased += 1
    return erased
