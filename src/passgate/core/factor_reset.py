"""Second factors of a person that an admin resets, because they are lost: removed after the waiting period of a
recovery, in which the person can stop it. A link carries the same powers, so the same people may do it (`links`).

Not here: a recovery without an admin (`recovery`), and how a person is named and managed (`users`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from passgate.core import credentials, links, mail, once, people, recovery, tenants, undo_link
from passgate.core.action import end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Services, System
from passgate.core.events import Event
from passgate.core.undo_link import Change
from passgate.i18n import N_
from passgate.store import Db
from passgate.world import SECOND

_AFTERWARDS = 24 * 3600
"""Seconds after the waiting period, for a worker that was away."""


async def ask(ctx: Ctx, db: Db, tenant_id: str, person_id: str, makers: tuple[str, ...]) -> int:
    """Reset the factors of a locked person after the waiting period; returns when (microseconds). All of their
    addresses are notified at once. `makers`: the ids of the admins who ask; none for an operator."""
    wait = ctx.settings.recovery.waiting(ctx.settings)
    usable_at = ctx.now() + wait * SECOND
    data = {"usable_at": usable_at, "makers": list(makers)}
    life = wait + _AFTERWARDS
    await once.issue(ctx, db, tenant_id, recovery.RESET, person_id, b"", life=life, data=data)
    await once.end(ctx, db, tenant_id, recovery.RESET_ASKED, person_id)
    await record(ctx, db, Event.RESET_STARTED, tenant_id=tenant_id, subject_id=person_id, wait=wait)
    if wait:
        await recovery.warn_owner(ctx, db, tenant_id, person_id, "factor_reset", life=life)
        return usable_at
    ticket = await once.live(ctx, db, tenant_id, recovery.RESET, person_id)
    found = await people.by_id(db, tenant_id, person_id)
    if ticket is not None and found is not None:
        await _reset(ctx, db, ticket, found)
    return usable_at


async def run_due(services: Services) -> int:
    """Reset what has waited; returns how many people's factors. Whoever asked must still have the power now."""
    ctx = Ctx(services, principal=System())
    async with ctx.read() as db:
        waiting = await once.of_kind(ctx, db, recovery.RESET)
    done = 0
    for ticket in waiting:
        usable_at = once.carried(ctx, ticket).get("usable_at")
        if isinstance(usable_at, int) and usable_at <= ctx.now():
            async with ctx.write() as db:
                makers = links.makers_of(ctx, ticket)
                found = await links.lock(ctx, db, ticket["tenant_id"], ticket["bound_to"], makers)
                if found is None:
                    await once.end_one(ctx, db, ticket)
                else:
                    done += await _reset(ctx, db, ticket, found)
    return done


async def _reset(ctx: Ctx, db: Db, ticket: RowMapping, found: RowMapping) -> bool:
    """False if the person has stopped it, or another process was faster."""
    if not (await once.take(ctx, db, ticket)).is_first:
        return False
    tenant_id, person_id = found["tenant_id"], found["id"]
    tenant, rows = await tenants.by_id(ctx, db, tenant_id), await credentials.rows_of(db, tenant_id, person_id)
    lost = sorted(set(rows) & {*ctx.factors.possession})
    await credentials.end_kinds(ctx, db, tenant_id, person_id, [*ctx.factors.possession, credentials.BROWSER])
    ended = await end_all(ctx, db, tenant_id, person_id, "factors_reset")
    about: dict[str, Any] = {"tenant_id": tenant_id, "subject_id": person_id}
    await record(ctx, db, Event.FACTORS_RELEASED, **about, factors=lost, ways=["admin"])
    await record(ctx, db, Event.SESSIONS_ENDED, **about, reason="factors_reset", count=ended)
    factor = lost[0] if lost else ""
    link = await undo_link.issue(ctx, db, found, Change.REMOVED, rows, frozenset(), factor=factor) if lost else None
    what, service = N_("Your two-step verification was reset"), tenant.display_name if tenant else ""
    await mail.enqueue(ctx, db, tenant_id, "recovered", found["email"], service=service, what=what, link=link)
    return True
