"""One action of a signed-in person: a transaction that takes row locks in a fixed order, checks that the session is
live, and ends what the action must end. The order, for all transactions: people (by id), tenants, roles, pending
sign-ins, budgets (the origin's before the authenticator's). Other rows of a person change only with the person locked,
a tenant's roles only with the tenant locked, a lock that whoever gives one shares; a test reads the order from the SQL.
The budgets of a host's events, which nothing else takes, come before all of them. (On SQLite the single write
transaction suffices.)

Not here: the change itself, which the caller makes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import access, known, once, pending, people, sessions
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Operator
from passgate.core.events import Event
from passgate.core.journey import UNDO
from passgate.errors import NotFound, SessionEnded
from passgate.store import Db

CHANGES, ANYBODY = "me:write", ""
"""The permission to change one's own account, which an action asks for unless it says otherwise; and none at all, for
what only ends access."""


class Ends(Flag):
    """What an action ends besides making its change."""

    NOTHING = 0
    PENDING = auto()
    """Pending sign-ins, whose proofs may no longer be valid."""
    OTHER_SESSIONS = auto()
    """And what could open new ones: mailed secrets, and the standing of known browsers."""


@dataclass(frozen=True, slots=True)
class Action:
    """`person` is the row of whoever acts, `other` that of the person the action is about."""

    db: Db
    person: RowMapping
    other: RowMapping | None = None


async def end_all(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, reason: str, *, but: str = "", but_carrier: str = ""
) -> int:
    """End all sessions, pending sign-ins and mailed secrets of a person, whom the caller has locked, and make known
    browsers strangers; returns the number of sessions. Pending sign-ins come before sessions: one that
    finishes meanwhile has written its session, which is then found and ended.
    `but`: id of a pending sign-in to leave open; `but_carrier`: of a session's carrier to leave alone."""
    await known.forget(db, tenant_id, person_id)
    await pending.end_all(ctx, db, tenant_id, person_id, but=but)
    await once.end_mailed(ctx, db, tenant_id, person_id)
    await once.end_offers(ctx, db, tenant_id, person_id)
    return await sessions.end_all(ctx, db, tenant_id, person_id, reason, but_carrier=but_carrier)


@asynccontextmanager
async def action(
    ctx: Ctx,
    *,
    permission: str = CHANGES,
    ends: Ends = Ends.NOTHING,
    reason: str = "ended",
    about: str | None = None,
    heavy: bool = False,
) -> AsyncIterator[Action]:
    """Run the action in its own write transaction. `permission`: what their roles must allow; `ANYBODY` for what
    every signed-in person may do. `about`: the id of another person of the tenant to lock."""
    how: Any = {"permission": permission, "ends": ends, "reason": reason, "about": about}
    async with ctx.write(heavy=heavy) as db, within(ctx, db, **how) as acting:
        yield acting


@asynccontextmanager
async def within(
    ctx: Ctx,
    db: Db,
    *,
    permission: str = CHANGES,
    ends: Ends = Ends.NOTHING,
    reason: str = "ended",
    about: str | None = None,
) -> AsyncIterator[Action]:
    """The same in an already open transaction. Raises SessionEnded or PermissionMissing; `other` is None if `about` is
    not a live person."""
    me = ctx.person
    ids = {me.person_id, about or me.person_id}
    locked = {one: await people.lock(db, me.tenant_id, one) for one in sorted(ids)}
    person, other = locked[me.person_id], locked.get(about or "")
    if person is None or not await sessions.is_live(ctx, db):
        raise SessionEnded
    if permission:
        await access.require(ctx, db, permission, about)
    if Ends.OTHER_SESSIONS in ends:
        await known.forget(db, *me.key)
        if person["email_verified_at"] is not None:  # else the mails may be for somebody else, who takes the account
            await once.end_mailed(ctx, db, *me.key)
    if Ends.PENDING in ends:
        # An undo is begun by the address that stood before; whoever has a session must not be able to end it.
        await pending.end_all(ctx, db, *me.key, spared=(UNDO.name,))
    yield Action(db, person, other)
    if Ends.OTHER_SESSIONS in ends:
        ended = await sessions.end_others(ctx, db, reason)
        await record(ctx, db, Event.SESSIONS_ENDED, reason=reason, count=ended)


@asynccontextmanager
async def administration(
    ctx: Ctx,
    permission: str,
    tenant_id: str,
    about: str | None = None,
    *,
    others: frozenset[str] = frozenset(),
    heavy: bool = False,
) -> AsyncIterator[tuple[Db, RowMapping | None]]:
    """A transaction of somebody who manages a tenant, or the person `about` of it, with whoever acts and that person
    locked: yields also the person's row, None while they are disabled. `others`: ids of more people to lock. Raises
    SessionEnded, PermissionMissing, and NotFound for another tenant than one's own, unless an operator acts."""
    mine = () if isinstance(ctx.principal, Operator) else (ctx.person.key,)
    theirs = (tenant_id, about or "")
    async with ctx.write(heavy=heavy) as db:
        if others:
            await people.lock_many(db, tenant_id, {*others, *(person_id for _, person_id in mine)})
        locked = await people.lock_all(db, {*mine, *([theirs] if about else [])}, or_closed=True)
        for one in mine:
            if one not in locked or not people.is_live(locked[one]) or not await sessions.is_live(ctx, db):
                raise SessionEnded
        await access.require(ctx, db, permission, about)
        if mine and ctx.person.tenant_id != tenant_id:
            raise NotFound
        yield db, locked.get(theirs)
