"""Single-use tickets: issue one, take it. The row count of one UPDATE decides who took it.

Not here: what a ticket opens, which is the caller's, and comparing an answer with a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, RowMapping, bindparam, delete, or_, select, update

from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import ticket
from passgate.world import SECOND


async def issue(
    ctx: Ctx,
    db: Db,
    tenant_id: str,
    kind: str,
    bound_to: str,
    secret_hash: bytes,
    *,
    life: int,
    data: Mapping[str, Any] | None = None,
    person_id: str | None = None,
    keep_older: bool = False,
) -> None:
    """Issue a ticket; unless `keep_older`, older ones of the same kind and binding become invalid. `life` in seconds;
    `data` is sealed, and read with `carried`. `person_id`: whose mailed secret it is."""
    now, made = ctx.now(), ctx.world.uuid()
    if not keep_older:
        await end(ctx, db, kind, bound_to)
    sealed = ctx.ring.seal("ticket", f"ticket:{made}", json.dumps(data).encode()) if data is not None else None
    await db.add(
        ticket,
        id=made,
        tenant_id=tenant_id,
        kind=kind,
        bound_to=bound_to,
        person_id=person_id,
        secret_hash=secret_hash,
        data_sealed=sealed,
        created_at=now,
        expires_at=now + life * SECOND,
    )


async def end(ctx: Ctx, db: Db, kind: str, bound_to: str, *, since: int = 0) -> None:
    """Invalidate all of them; `since`: only those issued at that instant or later."""
    await db.change(_END, of_kind=kind, of=bound_to, since=since, now=ctx.now())


async def end_offers(ctx: Ctx, db: Db, person_id: str) -> None:
    """Invalidate what the person was offered to set up, such as the secret of an app: somebody else may have seen
    it."""
    offers = update(ticket).where(ticket.c.bound_to == person_id, ticket.c.kind.like(r"%\_new", escape="\\"))
    await db.change(offers.where(ticket.c.taken_at.is_(None)).values(taken_at=ctx.now()))


async def end_mailed(ctx: Ctx, db: Db, person_id: str) -> None:
    """Invalidate every mailed secret of the person."""
    await db.change(_END_MAILED, of=person_id, now=ctx.now())


async def forget(db: Db, person_id: str) -> None:
    """Delete the tickets of a person who is being erased, with their data."""
    await db.change(delete(ticket).where(or_(ticket.c.bound_to == person_id, ticket.c.person_id == person_id)))


async def purge(db: Db, before: int) -> None:
    """Delete tickets that expired before then."""
    await db.change(delete(ticket).where(ticket.c.expires_at < before))


def carried(ctx: Ctx, row: RowMapping) -> dict[str, Any]:
    """The data the ticket was issued with; empty if it can no longer be unsealed."""
    if row["data_sealed"] is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(ctx.ring.unseal("ticket", f"ticket:{row['id']}", row["data_sealed"]))
    except Unreadable:
        return {}
    return found


async def by_id(db: Db, ticket_id: str) -> RowMapping | None:
    """A ticket, whether or not it can still be taken."""
    return await db.one(select(ticket).where(ticket.c.id == ticket_id))


async def by_secret(ctx: Ctx, db: Db, kind: str, secret_hash: bytes) -> RowMapping | None:
    """The ticket of a mailed link, if it can still be taken, and on this site."""
    query = select(ticket).where(
        ticket.c.kind == kind,
        ticket.c.secret_hash == secret_hash,
        ticket.c.taken_at.is_(None),
        ticket.c.expires_at > ctx.now(),
    )
    found = await db.one(query)
    return found if found is not None and await tenants.is_here(ctx, db, found["tenant_id"]) else None


_NEWEST = (
    select(ticket)
    .where(ticket.c.kind == bindparam("of_kind"), ticket.c.bound_to == bindparam("of"))
    .order_by(ticket.c.created_at.desc(), ticket.c.id.desc())
    .limit(1)
)
_TAKE = (
    update(ticket)
    .where(
        ticket.c.id == bindparam("of"),
        ticket.c.taken_at.is_(None),
        ticket.c.expires_at > bindparam("now", type_=BigInteger),
    )
    .values(taken_at=bindparam("now", type_=BigInteger))
)
_END_MAILED = (
    update(ticket)
    .where(ticket.c.person_id == bindparam("of"), ticket.c.taken_at.is_(None))
    .values(taken_at=bindparam("now", type_=BigInteger))
)
_END = (
    update(ticket)
    .where(
        ticket.c.kind == bindparam("of_kind"),
        ticket.c.bound_to == bindparam("of"),
        ticket.c.taken_at.is_(None),
        ticket.c.created_at >= bindparam("since", type_=BigInteger),
    )
    .values(taken_at=bindparam("now", type_=BigInteger))
)


async def live(ctx: Ctx, db: Db, kind: str, bound_to: str) -> RowMapping | None:
    """The newest ticket, if it can still be taken. Two issued concurrently may not have invalidated each other; the
    older is invalid nevertheless, even after the newest is taken."""
    newest = await db.one(_NEWEST, of_kind=kind, of=bound_to)
    return newest if newest and newest["taken_at"] is None and newest["expires_at"] > ctx.now() else None


async def all_live(ctx: Ctx, db: Db, kind: str, bound_to: str) -> list[RowMapping]:
    """All tickets that can still be taken, oldest first."""
    query = select(ticket).where(
        ticket.c.kind == kind,
        ticket.c.bound_to == bound_to,
        ticket.c.taken_at.is_(None),
        ticket.c.expires_at > ctx.now(),
    )
    return list(await db.rows(query.order_by(ticket.c.created_at, ticket.c.id)))


async def take(ctx: Ctx, db: Db, ticket_id: str) -> bool:
    """True for exactly one caller, before it expires."""
    return await db.change(_TAKE, of=ticket_id, now=ctx.now()) == 1
