"""Sign-in links that an operator or an admin makes for a person: one proof, valid once, never a second factor.

Not here: opening one (`signin`) and the mail that stops one (`recovery`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import RowMapping

from passgate.core import once, recovery
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


async def make(ctx: Ctx, db: Db, tenant_id: str, person_id: str, *, wait: int, life: int, by: str) -> Link:
    """A fresh link; the person's older ones become invalid. All of their addresses are notified at once and can stop
    it. `wait` and `life` in seconds."""
    minted, now = ctx.ring.mint(PREFIX), ctx.now()
    usable_at = now + wait * SECOND
    data = {"usable_at": usable_at}
    await once.issue(ctx, db, tenant_id, recovery.LINK, person_id, minted.hash, life=wait + life, data=data)
    await record(ctx, db, Event.LINK_MADE, tenant_id=tenant_id, subject_id=person_id, by=by, wait=wait)
    await recovery.warn_owner(ctx, db, tenant_id, person_id, "signin_link", life=wait + life)
    return Link(f"{ctx.services.base}/signin/link/{minted.token}", usable_at, usable_at + life * SECOND)


async def find(ctx: Ctx, token: str) -> RowMapping:
    """The ticket of a link. Raises HandleInvalid if it is used, stopped, expired or unknown, and NotYet during the
    waiting period."""
    secret_hash = ctx.ring.presented(PREFIX, token)
    if secret_hash is None:
        raise HandleInvalid
    async with ctx.read() as db:
        row = await once.by_secret(ctx, db, recovery.LINK, secret_hash)
    if row is None:
        raise HandleInvalid
    usable_at = once.carried(ctx, row).get("usable_at")
    if not isinstance(usable_at, int):
        raise HandleInvalid
    if usable_at > ctx.now():
        raise NotYet(usable_at, -(-(usable_at - ctx.now()) // SECOND))
    return row


def compared(ctx: Ctx, ticket: RowMapping) -> Compared:
    """Possession of the link's secret is one proof; exactly one caller can take the ticket."""

    async def mark(db: Db) -> str | None:
        return str(ticket["id"]) if await once.take(ctx, db, ticket["id"]) else None

    return Compared(True, ticket["bound_to"], mark, LINK)
