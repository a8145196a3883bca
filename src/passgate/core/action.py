"""One action of a signed-in person: a transaction that takes its locks in the one order, checks that the session
lives, and ends what the action must end.

What the action changes is its caller's. The order, for every transaction of ours: people (by id), then tenants, then
pending sign-ins, then budgets (the origin's before the authenticator's). Whatever else hangs on a person is only moved
with that person locked; a test reads the order off the statements. (On SQLite the one write transaction is enough.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Flag, auto

from sqlalchemy import RowMapping

from passgate.core import pending, people, sessions
from passgate.core.audit import record
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.errors import SessionEnded
from passgate.store import Db


class Ends(Flag):
    """What an action ends beside what it changes."""

    NOTHING = 0
    PENDING = auto()
    """Sign-ins that may have proved what is no longer right."""
    OTHER_SESSIONS = auto()


@dataclass(frozen=True, slots=True)
class Action:
    """`person` is the actor's own row, `other` the one that the action is about."""

    db: Db
    person: RowMapping
    other: RowMapping | None = None


async def end_all(ctx: Ctx, db: Db, tenant_id: str, person_id: str, reason: str, *, but: str = "") -> int:
    """Everything that lets somebody act as a person, whom the caller has locked; how many sessions there were. Pending
    sign-ins first: one that was finished meanwhile has laid its session where that will be found. `but`: a pending
    sign-in that goes on."""
    await pending.end_all(ctx, db, tenant_id, person_id, but=but)
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
    """A write transaction of its own. `about`: the id of somebody else in the tenant, who is locked too."""
    async with ctx.write(heavy=heavy) as db, within(ctx, db, actor, ends=ends, reason=reason, about=about) as acting:
        yield acting


@asynccontextmanager
async def within(
    ctx: Ctx, db: Db, actor: Actor, *, ends: Ends = Ends.NOTHING, reason: str = "ended", about: str | None = None
) -> AsyncIterator[Action]:
    """The same in a transaction that is open already. SessionEnded; `other` is None where nobody live is meant."""
    ids = {actor.person_id, about or actor.person_id}
    locked = {one: await people.lock(db, actor.tenant_id, one) for one in sorted(ids)}
    person, other = locked[actor.person_id], locked.get(about or "")
    if person is None or not await sessions.is_live(ctx, db, actor):
        raise SessionEnded
    if Ends.PENDING in ends:
        await pending.end_all(ctx, db, actor.tenant_id, actor.person_id)
    yield Action(db, person, other)
    if Ends.OTHER_SESSIONS in ends:
        ended = await sessions.end_others(ctx, db, actor, reason)
        await record(ctx, db, Event.SESSIONS_ENDED, reason=reason, count=ended)
