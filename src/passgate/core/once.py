"""Single-use tickets: issue one, take it. The row count of one UPDATE decides who took it, and whoever comes later
learns whether it was used before.

Not here: what a ticket opens, which is the caller's, and comparing an answer with a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy import BigInteger, RowMapping, Update, and_, bindparam, delete, exists, or_, select, update

from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import ticket
from passgate.world import SECOND

INVITATION = "invitation"
"""The kind whose `person_id` is who made it: it is no secret of theirs, and outlives what ends those."""


@dataclass(frozen=True, slots=True)
class Taken:
    """This caller took it."""

    is_first: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Reused:
    """Somebody took it before: `row` tells what for."""

    is_first: ClassVar[bool] = False
    row: RowMapping = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is none, it ended, or it expired without being taken."""

    is_first: ClassVar[bool] = False


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
) -> str:
    """Issue a ticket and return its id; unless `keep_older`, older ones of the same kind and binding become invalid.
    `life` in seconds; `data` is sealed, and read with `carried`. `person_id`: whose mailed secret it is, or who made
    the invitation."""
    now, made = ctx.now(), ctx.world.uuid()
    if not keep_older:
        await end(ctx, db, tenant_id, kind, bound_to)
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
    return made


async def end(ctx: Ctx, db: Db, tenant_id: str, kind: str, bound_to: str, *, since: int = 0) -> None:
    """Invalidate all of them; `since`: only those issued at that instant or later."""
    await db.change(_END, of_tenant=tenant_id, of_kind=kind, of=bound_to, since=since, now=ctx.now())


async def end_one(ctx: Ctx, db: Db, row: RowMapping) -> bool:
    """Invalidate it; False if it was taken or invalid before."""
    return await db.change(_END_ONE, of_tenant=row["tenant_id"], of=row["id"], now=ctx.now()) == 1


async def empty(db: Db, tenant_id: str, kind: str, bound_to: str) -> None:
    """Erase the data of those that were taken or became invalid."""
    await db.change(_EMPTY, of_tenant=tenant_id, of_kind=kind, of=bound_to)


async def forget_bound(db: Db, tenant_id: str, kind: str, bound_to: str) -> None:
    """Delete all tickets of a kind and binding, with their data."""
    await db.change(delete(ticket).where(_BOUND), of_tenant=tenant_id, of_kind=kind, of=bound_to)


async def end_offers(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> None:
    """Invalidate what the person was offered to set up, such as the secret of an app: somebody else may have seen
    it."""
    await db.change(_END_OFFERS, of_tenant=tenant_id, of=person_id, now=ctx.now())


async def end_mailed(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> None:
    """Invalidate every mailed secret of the person."""
    await db.change(_END_MAILED, of_tenant=tenant_id, of=person_id, now=ctx.now())


async def end_invitations_of(ctx: Ctx, db: Db, tenant_id: str, maker: str) -> list[str]:
    """Invalidate the invitations that a person has made, with their data; returns the ids."""
    return sorted(row["id"] for row in await db.rows(_END_MADE, of_tenant=tenant_id, of=maker, now=ctx.now()))


async def forget(db: Db, tenant_id: str, person_id: str) -> None:
    """Delete the tickets of a person who is being erased, with their data."""
    whose = or_(ticket.c.bound_to == person_id, ticket.c.person_id == person_id)
    await db.change(delete(ticket).where(ticket.c.tenant_id == tenant_id, whose))


async def purge(db: Db, before: int) -> None:
    """Delete tickets that expired before then, except those that must be known for longer."""
    is_over = or_(ticket.c.known_until.is_(None), ticket.c.known_until < before)
    await db.change(delete(ticket).where(ticket.c.expires_at < before, is_over))


def carried(ctx: Ctx, row: RowMapping) -> dict[str, Any]:
    """The data the ticket was issued with; empty if it can no longer be unsealed."""
    if row["data_sealed"] is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(ctx.ring.unseal("ticket", f"ticket:{row['id']}", row["data_sealed"]))
    except Unreadable:
        return {}
    return found


async def by_id(db: Db, tenant_id: str, ticket_id: str) -> RowMapping | None:
    """A ticket, whether or not it can still be taken."""
    return await db.one(select(ticket).where(ticket.c.tenant_id == tenant_id, ticket.c.id == ticket_id))


_NOW = bindparam("now", type_=BigInteger)
_UNUSED = (ticket.c.taken_at.is_(None), ticket.c.ended_at.is_(None))
_LIVE = (*_UNUSED, ticket.c.expires_at > _NOW)
_OF_TENANT = ticket.c.tenant_id == bindparam("of_tenant")
_BOUND = and_(_OF_TENANT, ticket.c.kind == bindparam("of_kind"), ticket.c.bound_to == bindparam("of"))


def _ended(*which: Any) -> Update:
    return update(ticket).where(_OF_TENANT, *which, *_UNUSED).values(ended_at=_NOW)


_OF_KIND = select(ticket).where(ticket.c.kind == bindparam("of_kind"), *_LIVE).order_by(ticket.c.id)
_BY_SECRET = select(ticket).where(
    ticket.c.kind == bindparam("of_kind"), ticket.c.secret_hash == bindparam("of_secret"), *_LIVE
)
_NEWEST = select(ticket).where(_BOUND).order_by(ticket.c.created_at.desc(), ticket.c.id.desc()).limit(1)
_ALL_LIVE = select(ticket).where(_BOUND, *_LIVE).order_by(ticket.c.created_at, ticket.c.id)
_NEWER = ticket.alias()
_PAGE = (
    select(ticket)
    .where(_OF_TENANT, ticket.c.kind == bindparam("of_kind"), *_LIVE, ticket.c.id < bindparam("before"))
    .where(
        ~exists().where(
            _NEWER.c.kind == ticket.c.kind, _NEWER.c.bound_to == ticket.c.bound_to, _NEWER.c.id > ticket.c.id
        )
    )
    .order_by(ticket.c.id.desc())
    .limit(bindparam("most"))
)
"""Ids begin with the instant."""
_TAKE = (
    update(ticket)
    .where(_OF_TENANT, ticket.c.id == bindparam("of"), *_LIVE)
    .values(taken_at=_NOW, known_until=bindparam("until", type_=BigInteger))
)
_END = _ended(_BOUND, ticket.c.created_at >= bindparam("since", type_=BigInteger))
_END_ONE = _ended(ticket.c.id == bindparam("of"))
_END_MAILED = _ended(ticket.c.person_id == bindparam("of"), ticket.c.kind != INVITATION)
_END_MADE = (
    _ended(ticket.c.kind == INVITATION, ticket.c.person_id == bindparam("of"))
    .values(data_sealed=None)
    .returning(ticket.c.id)
)
_EMPTY = (
    update(ticket)
    .where(_BOUND, or_(ticket.c.taken_at.is_not(None), ticket.c.ended_at.is_not(None)))
    .values(data_sealed=None)
)
_END_OFFERS = _ended(ticket.c.bound_to == bindparam("of"), ticket.c.kind.like(r"%\_new", escape="\\"))


async def by_secret(ctx: Ctx, db: Db, kind: str, secret_hash: bytes) -> RowMapping | None:
    """The ticket of a mailed link, if it can still be taken, and on this site."""
    found = await db.one(_BY_SECRET, of_kind=kind, of_secret=secret_hash, now=ctx.now())
    return found if found is not None and await tenants.is_here(ctx, db, found["tenant_id"]) else None


async def live(ctx: Ctx, db: Db, tenant_id: str, kind: str, bound_to: str) -> RowMapping | None:
    """The newest ticket, if it can still be taken. Two issued concurrently may not have invalidated each other; the
    older is invalid nevertheless, even after the newest is taken."""
    newest = await db.one(_NEWEST, of_tenant=tenant_id, of_kind=kind, of=bound_to)
    if newest is None or newest["taken_at"] is not None or newest["ended_at"] is not None:
        return None
    return newest if newest["expires_at"] > ctx.now() else None


async def was_issued(db: Db, tenant_id: str, kind: str, bound_to: str) -> bool:
    """Whether there ever was one, as far as they are not deleted yet."""
    return await db.one(_NEWEST, of_tenant=tenant_id, of_kind=kind, of=bound_to) is not None


async def all_live(ctx: Ctx, db: Db, tenant_id: str, kind: str, bound_to: str) -> list[RowMapping]:
    """All tickets that can still be taken, oldest first."""
    return list(await db.rows(_ALL_LIVE, of_tenant=tenant_id, of_kind=kind, of=bound_to, now=ctx.now()))


async def of_kind(ctx: Ctx, db: Db, kind: str) -> list[RowMapping]:
    """All tickets of a kind that can still be taken, in every tenant."""
    return list(await db.rows(_OF_KIND, of_kind=kind, now=ctx.now()))


async def newest_of_kind(
    ctx: Ctx, db: Db, tenant_id: str, kind: str, *, before: str | None, limit: int
) -> list[RowMapping]:
    """Those of a tenant that can still be taken, newest first; of each binding only the newest. `before`: the id that
    an earlier page ended with."""
    given = {"of_tenant": tenant_id, "of_kind": kind, "now": ctx.now(), "before": before or "g", "most": limit}
    return list(await db.rows(_PAGE, **given))


async def take(ctx: Ctx, db: Db, row: RowMapping, *, known_for: int = 0) -> Taken | Reused | Unknown:
    """Taken for exactly one caller, before it expires. It is known for `known_for` seconds from now, as long as what it
    gave, so that a second use takes that back."""
    mine, now = {"of_tenant": row["tenant_id"], "of": row["id"]}, ctx.now()
    if await db.change(_TAKE, **mine, now=now, until=now + known_for * SECOND if known_for else None):
        return Taken()
    found = await by_id(db, row["tenant_id"], row["id"])
    return Reused(found) if found is not None and found["taken_at"] is not None else Unknown()
