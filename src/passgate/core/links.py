"""Sign-in links that an operator or an admin makes for a person: one proof, valid once, never a second factor.

Not here: opening one (`signin`) and the mail that stops one (`recovery`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import RowMapping

from passgate.core import access, once, people, recovery, tenants
from passgate.core.access import Standing
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import LINK, Compared
from passgate.errors import HandleInvalid, NotYet
from passgate.store import Db
from passgate.world import SECOND

PREFIX = "pg_lnk_"
LIFE = 15 * 60
"""Seconds a link is valid once usable; an admin's for a day, because its person may be asleep."""
LIFE_OF_ADMINS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Link:
    """`url` is returned only once. Instants in microseconds."""

    url: str
    usable_at: int
    expires_at: int


async def make(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, *, wait: int, life: int, makers: tuple[str, ...] = ()
) -> Link:
    """A fresh link; the person's older ones become invalid. All of their addresses are notified at once and can stop
    it. `wait` and `life` in seconds. `makers`: the ids of the admins whose permission the link carries; none for an
    operator's."""
    minted, now = ctx.ring.mint(PREFIX), ctx.now()
    usable_at = now + wait * SECOND
    data = {"usable_at": usable_at, "makers": list(makers)}
    await once.issue(ctx, db, tenant_id, recovery.LINK, person_id, minted.hash, life=wait + life, data=data)
    await once.end(ctx, db, tenant_id, recovery.LINK_ASKED, person_id)
    await record(ctx, db, Event.LINK_MADE, tenant_id=tenant_id, subject_id=person_id, wait=wait)
    await recovery.warn_owner(ctx, db, tenant_id, person_id, "signin_link", life=wait + life)
    url = await tenants.link(ctx, db, tenant_id, f"/signin/link/{minted.token}")
    return Link(url, usable_at, usable_at + life * SECOND)


async def approved(ctx: Ctx, db: Db, tenant_id: str, person_id: str, kind: str, event: Event) -> tuple[str, ...]:
    """The ids of two admins, if another one than whoever acts has asked for the same, for an equal, within the last
    day; else that is recorded, and nobody's."""
    asked, me = await once.live(ctx, db, tenant_id, kind, person_id), ctx.person.person_id
    first = once.carried(ctx, asked).get("maker") if asked else None
    if first not in (None, me):
        return str(first), me
    await once.issue(ctx, db, tenant_id, kind, person_id, b"", life=LIFE_OF_ADMINS, data={"maker": me})
    await record(ctx, db, event, tenant_id=tenant_id, subject_id=person_id)
    return ()


async def is_allowed(ctx: Ctx, db: Db, tenant_id: str, person_id: str, makers: Iterable[str]) -> bool:
    """Whether the makers are live and, by everybody's current roles, may make this link. For an equal there must be two
    of them. A caller that uses the link needs all of them locked."""
    found = []
    for maker in makers:
        row = await people.by_id(db, tenant_id, maker)
        is_live = row is not None and people.is_live(row)
        standing = await access.standing(ctx, db, tenant_id, maker, person_id, "users:recover")
        found.append(standing if is_live else Standing.NONE)
    return Standing.NONE not in found and (Standing.EQUAL not in found or len(found) > 1)


async def lock(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, makers: Iterable[str], others: Iterable[people.Key] = ()
) -> RowMapping | None:
    """The person's row, locked together with those of the makers and of `others`; None if the person or
    a maker is gone or disabled, or a maker no longer has the permission."""
    makers = tuple(makers)
    involved = {(tenant_id, one) for one in (person_id, *makers)}
    locked = await people.lock_all(db, {*involved, *others})
    if involved - locked.keys():
        return None
    return locked[tenant_id, person_id] if await is_allowed(ctx, db, tenant_id, person_id, makers) else None


def makers_of(ctx: Ctx, ticket: RowMapping) -> tuple[str, ...]:
    """The ids of the admins who made the link; none for an operator's. Raises HandleInvalid for a ticket that does not
    name any, such as one of an older version: an admin may have made it."""
    makers = once.carried(ctx, ticket).get("makers")
    if not isinstance(makers, list):
        raise HandleInvalid
    return tuple(makers)


async def find(ctx: Ctx, token: str) -> RowMapping:
    """The ticket of a link. Raises HandleInvalid if it is unknown, used, stopped or expired, or if its makers may no
    longer make it; NotYet while it waits."""
    secret_hash = ctx.ring.presented(PREFIX, token)
    if secret_hash is None:
        raise HandleInvalid
    async with ctx.read() as db:
        row = await once.by_secret(ctx, db, recovery.LINK, secret_hash)
        if row is None or not await is_allowed(ctx, db, row["tenant_id"], row["bound_to"], makers_of(ctx, row)):
            raise HandleInvalid
    usable_at = once.carried(ctx, row).get("usable_at")
    if not isinstance(usable_at, int):
        raise HandleInvalid
    if usable_at > ctx.now():
        raise NotYet(usable_at, -(-(usable_at - ctx.now()) // SECOND))
    return row


async def whose(ctx: Ctx, ticket: RowMapping, person_id: str) -> str:
    """The masked address of the person that a link signs in."""
    email = await people.email_of(ctx, ticket["tenant_id"], person_id)
    return people.masked(email) if email else ""


def compared(ctx: Ctx, ticket: RowMapping) -> Compared:
    """Possession of the link's secret is one proof; exactly one caller can take the ticket."""

    async def mark(db: Db) -> str | None:
        return str(ticket["id"]) if (await once.take(ctx, db, ticket)).is_first else None

    return Compared(True, ticket["bound_to"], mark, LINK)
