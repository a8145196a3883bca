"""One action of a signed-in person: a transaction that takes row locks in a fixed order, checks that the session is
live, and ends what the action must end. The order, for all transactions: people (by id), tenants, pending sign-ins,
budgets (the origin's before the authenticator's). Other rows of a person change only with the person locked; a test
reads the order from the SQL. (On SQLite the single write transaction suffices.)

Not here: the change itself, which the caller makes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Flag, auto

from sqlalchemy import RowMapping

from passgate.core import known, once, pending, people, sessions
from passgate.core.audit import record
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.errors import SessionEnded
from passgate.store import Db


class Ends(Flag):
    """What an action ends besides making its change."""

    NOTHING = 0
    PENDING = auto()
    """Pending sign-ins, whose proofs may no longer be valid."""
    OTHER_SESSIONS = auto()
    """And what could open new ones: mailed secrets, and the standing of known browsers."""


@dataclass(frozen=True, slots=True)
class Action:
    """`person` is the actor's own row, `other` the row of the person the action is about."""

    db: Db
    person: RowMapping
    other: RowMapping | None = None


async def end_all(ctx: Ctx, db: Db, tenant_id: str, person_id: str, reason: str, *, but: str = "") -> int:
    """End all sessions, pending sign-ins and mailed secrets of a person, whom the caller has locked, and make known
    browsers strangers; returns the number of sessions. Pending sign-ins come before sessions: one that
    finishes meanwhile has written its session, which is then found and ended.
    `but`: id of a pending sign-in to leave open."""
    await known.forget(db, person_id)
    await pending.end_all(ctx, db, tenant_id, person_id, but=but)
    await once.end_mailed(ctx, db, person_id)
    return await sessions.end_all(ctx, db, tenant_id, person_id, reason)


@asynccontextmanager
async def action(
    ctx: Ctx,
    actor: Actor,
    *,
    ends: Ends = Ends.NOTHING,
    reason: str = "ended",
    about: str | None = None,
    heavy: bool = False,
) -> AsyncIterator[Action]:
    """Run the action in its own write transaction. `about`: the id of another person of the tenant to lock."""
    async with ctx.write(heavy=heavy) as db, within(ctx, db, actor, ends=ends, reason=reason, about=about) as acting:
        yield acting


@asynccontextmanager
async def within(
    ctx: Ctx, db: Db, actor: Actor, *, ends: Ends = Ends.NOTHING, reason: str = "ended", about: str | None = None
) -> AsyncIterator[Action]:
    """The same in an already open transaction. Raises SessionEnded; `other` is None if `about` is not a live person."""
    ids = {actor.person_id, about or actor.person_id}
    locked = {one: await people.lock(db, actor.tenant_id, one) for one in sorted(ids)}
    person, other = locked[actor.person_id], locked.get(about or "")
    if person is None or not await sessions.is_live(ctx, db, actor):
        raise SessionEnded
    if Ends.OTHER_SESSIONS in ends:
        await known.forget(db, actor.person_id)
        await once.end_mailed(ctx, db, actor.person_id)
    if Ends.PENDING in ends:
        await pending.end_all(ctx, db, actor.tenant_id, actor.person_id)
    yield Action(db, person, other)
    if Ends.OTHER_SESSIONS in ends:
        ended = await sessions.end_others(ctx, db, actor, reason)
        await record(ctx, db, Event.SESSIONS_ENDED, reason=reason, count=ended)
