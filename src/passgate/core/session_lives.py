"""How long a session lives: as its row says, by the settings when it began, and shorter if its tenant's rules say so.
The rules are asked again whenever a session is looked at, so that a shorter life counts at the next request of every
session there is. What is over by them stays over, because a change of them ends it.

Not here: opening, finding and ending one, which are `sessions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, RowMapping, or_, update

from passgate.core import people
from passgate.core.ctx import Ctx, Person
from passgate.core.rules import AAL3, Rules
from passgate.errors import Invalid
from passgate.settings import Settings
from passgate.store import Db
from passgate.store.tables import session
from passgate.world import SECOND

NAMES = frozenset({"session_idle", "session_absolute"})
EXPIRED = "expired"
"""Why a session ended that was over by the rules when they were changed."""
_EVER = -1
"""Before every instant."""

Instant = int | BindParameter[Any]


def written(settings: Settings, acr: str) -> tuple[int, int]:
    """The idle and the absolute lifetime that a row gets, in seconds. AAL3 has shorter ones (800-63B-4 §2.3.3)."""
    idle, absolute = settings.session.idle, settings.session.absolute
    return (min(idle, 15 * 60), min(absolute, 12 * 3600)) if acr == AAL3 else (idle, absolute)


def are_shorter(rules: Rules) -> bool:
    """Whether the rules say anything of lifetimes."""
    return bool(rules.session_idle or rules.session_absolute)


def ends(row: Mapping[str, Any] | RowMapping, rules: Rules) -> tuple[int, int]:
    """Until when a session lives without use, and with use."""
    idle, absolute = row["idle_expires_at"], row["expires_at"]
    if rules.session_idle:
        idle = min(idle, row["last_used_at"] + rules.session_idle * SECOND)
    if rules.session_absolute:
        absolute = min(absolute, row["began_at"] + rules.session_absolute * SECOND)
    return min(idle, absolute), absolute


def since(rules: Rules, now: int) -> tuple[int, int]:
    """A session that lives by the rules began after the first instant, and was used after the second."""
    began = now - rules.session_absolute * SECOND if rules.session_absolute else _EVER
    return began, now - rules.session_idle * SECOND if rules.session_idle else _EVER


def live(now: Instant, began_after: Instant, used_after: Instant) -> tuple[ColumnElement[bool], ...]:
    """The conditions of a live session. The last two instants come from `since`."""
    return (
        session.c.ended_at.is_(None),
        session.c.idle_expires_at > now,
        session.c.expires_at > now,
        session.c.began_at > began_after,
        session.c.last_used_at > used_after,
    )


def touch_every(settings: Settings, rules: Rules) -> int:
    """How often use is recorded, in seconds."""
    usual = settings.session.touch_every
    return min(usual, rules.session_idle // 10) if rules.session_idle else usual


def check(settings: Settings, rules: Rules, changed: Mapping[str, Any]) -> None:
    """Invalid for a lifetime that is set longer than the settings'."""
    longest = {"session_idle": settings.session.idle, "session_absolute": settings.session.absolute}
    if wrong := [name for name in sorted(NAMES & changed.keys()) if getattr(rules, name) > longest[name]]:
        raise Invalid(dict.fromkeys(wrong, "value"))


async def touch(ctx: Ctx) -> None:
    """Extend the idle expiry of whoever acts, written at most as often as `touch_every` says."""
    if _is_touched(ctx, ctx.person):
        return
    async with ctx.write() as db:
        await use(ctx, db, ctx.person)


async def use(ctx: Ctx, db: Db, me: Person) -> None:
    """The same in a transaction of the caller's."""
    if _is_touched(ctx, me):
        return
    now, rules = ctx.now(), rules_of(ctx, me)
    idle = min(now + written(ctx.settings, me.acr)[0] * SECOND, me.row["expires_at"])
    await people.used(db, *me.key, now)
    mine = (session.c.tenant_id == me.tenant_id, session.c.id == me.session_id)
    move = update(session).where(*mine, *live(now, *since(rules, now)), session.c.last_used_at < now)
    await db.change(move.values(last_used_at=now, idle_expires_at=idle))


def until(ctx: Ctx, me: Person) -> int:
    """Until when the session lives if it is used now and never again, in microseconds."""
    if _is_touched(ctx, me):
        return int(min(me.row["idle_expires_at"], me.row["expires_at"]))
    idle, rules = written(ctx.settings, me.acr)[0], rules_of(ctx, me)
    return int(min(ctx.now() + min(idle, rules.session_idle or idle) * SECOND, me.row["expires_at"]))


def _is_touched(ctx: Ctx, me: Person) -> bool:
    return bool(ctx.now() - me.row["last_used_at"] < touch_every(ctx.settings, rules_of(ctx, me)) * SECOND)


def rules_of(ctx: Ctx, me: Person) -> Rules:
    """Those that were read with the session."""
    return Rules.parsed(me.row["policy"], ctx.factors)


async def end_expired(ctx: Ctx, db: Db, tenant_id: str, *versions: Rules) -> int:
    """End the tenant's sessions that are over by one of these versions of its rules, in one statement; returns how many
    they are. Nothing that was over lives again under longer rules."""
    now = ctx.now()
    began, used = (max(instants) for instants in zip(*(since(rules, now) for rules in versions), strict=True))
    over = or_(session.c.began_at <= began, session.c.last_used_at <= used)
    theirs = update(session).where(session.c.tenant_id == tenant_id, *live(now, _EVER, _EVER), over)
    return await db.change(theirs.values(ended_at=now, end_reason=EXPIRED))
