"""Everything that may be used once: issue a ticket, take it. The row count of one UPDATE is the answer.

What a ticket opens is its caller's business; nothing here compares a guess with a secret.
"""

from __future__ import annotations

from sqlalchemy import RowMapping, select, update

from passgate.core.ctx import Ctx
from passgate.store import Db
from passgate.store.tables import ticket
from passgate.world import SECOND


async def issue(ctx: Ctx, db: Db, tenant_id: str, kind: str, bound_to: str, secret_hash: bytes, *, life: int) -> None:
    """A fresh ticket; older ones of the same kind and binding die with it. `life` in seconds."""
    now = ctx.now()
    older = update(ticket).where(ticket.c.kind == kind, ticket.c.bound_to == bound_to, ticket.c.taken_at.is_(None))
    await db.change(older.values(taken_at=now))
    await db.add(
        ticket, id=ctx.world.uuid(), tenant_id=tenant_id, kind=kind, bound_to=bound_to, secret_hash=secret_hash,
        created_at=now, expires_at=now + life * SECOND,
    )  # fmt: skip


async def live(ctx: Ctx, db: Db, kind: str, bound_to: str) -> RowMapping | None:
    """The newest, if it can still be taken. Two that were issued at once may both have missed the other; the older is
    dead all the same, and stays so when the newest is taken."""
    query = (
        select(ticket)
        .where(ticket.c.kind == kind, ticket.c.bound_to == bound_to)
        .order_by(ticket.c.created_at.desc(), ticket.c.id.desc())
        .limit(1)
    )
    newest = await db.one(query)
    return newest if newest and newest["taken_at"] is None and newest["expires_at"] > ctx.now() else None


async def take(ctx: Ctx, db: Db, ticket_id: str) -> bool:
    """True for exactly one caller, and only in time."""
    now = ctx.now()
    move = update(ticket).where(ticket.c.id == ticket_id, ticket.c.taken_at.is_(None), ticket.c.expires_at > now)
    return await db.change(move.values(taken_at=now)) == 1
