"""Counters with a limit: windows (at most so many within a time) and ladders (some free, then growing waits). Each is
one statement that checks and counts, so parallel requests cannot exceed a limit. The rows are in SQL beside the
credentials, so that flushing a cache grants no new attempts.

Not here: what is counted for whom and what a limit protects (`budgets`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Integer, and_, bindparam, case, delete, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from passgate.core.ctx import Ctx
from passgate.store import Db
from passgate.store.tables import budget
from passgate.world import SECOND

FREE = 10
"""Consecutive refusals at which waits begin."""
WAITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900)
"""Seconds to wait after the 10th, 11th … refusal; the last applies from then on."""
NEVER = 2**62
"""The expiry of a counter that only a success resets."""
NO_LIMIT = 2**31 - 1
"""The most that a counter holds."""


@dataclass(frozen=True, slots=True)
class Counted:
    """`used`: the count with this one; None if the limit is reached, and then `wait` is the number of seconds until it
    can succeed. `until`: the wait that this step of a ladder has set."""

    used: int | None
    wait: int = 0
    until: int = 0


async def window(ctx: Ctx, db: Db, key: str, *, limit: int, seconds: int, amount: int = 1) -> Counted:
    """Count `amount`, if no more than `limit` is then counted within `seconds` of the first."""
    now, until = ctx.now(), ctx.now() + seconds * SECOND
    if amount > limit:
        return Counted(None, seconds)
    row = await db.one(_COUNT[db.is_postgres], key=key, used=amount, until_at=until, now=now, most=limit - amount)
    return Counted(row["used"]) if row else await _late(ctx, db, key)


async def climb(ctx: Ctx, db: Db, key: str, *, expires_at: int = NEVER) -> Counted:
    """Count one more, unless the wait after the one before is not over. A row older than its `expires_at` starts
    anew."""
    now = ctx.now()
    row = await db.one(_CLIMB[db.is_postgres], key=key, used=1, expires_at=expires_at, now=now)
    return Counted(row["used"], until=row["until_at"]) if row else await _late(ctx, db, key)


async def count(ctx: Ctx, db: Db, key: str, *, expires_at: int = NEVER) -> int:
    """Count one more, without any limit."""
    return int(await db.value(_PLAIN[db.is_postgres], key=key, used=1, expires_at=expires_at, now=ctx.now()))


async def used(ctx: Ctx, db: Db, key: str) -> int:
    return int(await db.value(_USED, of=key, now=ctx.now()) or 0)


async def several(ctx: Ctx, db: Db, keys: Iterable[str]) -> dict[str, int]:
    """The counts of those keys that have one."""
    return {row["key"]: row["used"] for row in await db.rows(_SEVERAL, keys=list(keys), now=ctx.now())}


async def step_back(db: Db, key: str, counted: Counted) -> None:
    """Undo one step of a ladder, and the wait it has set: it was no refusal."""
    await db.change(_STEP_BACK, of=key, mine=counted.until)


async def take_back(db: Db, key: str, amount: int = 1) -> None:
    """Undo what a window counted."""
    await db.change(_TAKE_BACK, of=key, amount=amount)


async def reset(db: Db, keys: Iterable[str]) -> None:
    await db.change(delete(budget).where(budget.c.key.in_(list(keys))))


async def purge(ctx: Ctx, db: Db) -> None:
    """Delete expired counters, except those that a request is counting in now: it would wait for rows in another
    order."""
    over = select(budget.c.key).where(budget.c.expires_at <= ctx.now()).with_for_update(skip_locked=True)
    await db.change(delete(budget).where(budget.c.key.in_(over)))


async def _late(ctx: Ctx, db: Db, key: str) -> Counted:
    until = await db.value(_UNTIL, of=key) or 0
    return Counted(None, max(1, -(-(until - ctx.now()) // SECOND)))


_NOW = bindparam("now", type_=BigInteger)
_OVER = budget.c.expires_at <= _NOW
_FIRST = {
    "key": bindparam("key"),
    "used": bindparam("used", type_=Integer),
    "until_at": literal(0, BigInteger),
    "expires_at": bindparam("expires_at", type_=BigInteger),
}


def _counting(insert: Any) -> Any:
    """First use, or an expired window: start a new one. Otherwise add, up to `most` before it."""
    until = bindparam("until_at", type_=BigInteger)
    statement = insert(budget).values(_FIRST | {"until_at": until, "expires_at": until})
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "used": case((_OVER, statement.excluded.used), else_=budget.c.used + statement.excluded.used),
            "until_at": case((_OVER, statement.excluded.until_at), else_=budget.c.until_at),
            "expires_at": case((_OVER, statement.excluded.expires_at), else_=budget.c.expires_at),
        },
        where=or_(_OVER, budget.c.used <= bindparam("most", type_=Integer)),
    ).returning(budget.c.used)


def _climbing(insert: Any) -> Any:
    """First use, or an expired row: no wait. Used again after its wait: one more, and the wait for that count. A row
    whose steps were all taken back is as good as none: its life does not begin with somebody's right answer."""
    over = or_(_OVER, budget.c.used == 0)
    after = budget.c.used + 1
    steps = [(after == FREE + step, _NOW + wait * SECOND) for step, wait in enumerate(WAITS[:-1])]
    until = case((or_(over, after < FREE), literal(0, BigInteger)), *steps, else_=_NOW + WAITS[-1] * SECOND)
    statement = insert(budget).values(_FIRST)
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "used": case((over, 1), else_=after),
            "until_at": until,
            "expires_at": case((over, statement.excluded.expires_at), else_=budget.c.expires_at),
        },
        where=or_(over, budget.c.until_at <= _NOW),
    ).returning(budget.c.used, budget.c.until_at)


def _plain(insert: Any) -> Any:
    statement = insert(budget).values(_FIRST)
    return statement.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "used": case((_OVER, 1), (budget.c.used < NO_LIMIT, budget.c.used + 1), else_=budget.c.used),
            "expires_at": case((_OVER, statement.excluded.expires_at), else_=budget.c.expires_at),
        },
    ).returning(budget.c.used)


_COUNT = {True: _counting(postgresql.insert), False: _counting(sqlite.insert)}
_CLIMB = {True: _climbing(postgresql.insert), False: _climbing(sqlite.insert)}
_PLAIN = {True: _plain(postgresql.insert), False: _plain(sqlite.insert)}
_USED = select(budget.c.used).where(budget.c.key == bindparam("of"), budget.c.expires_at > _NOW)
_SEVERAL = select(budget.c.key, budget.c.used).where(
    budget.c.key.in_(bindparam("keys", expanding=True)), budget.c.expires_at > _NOW
)
_UNTIL = select(budget.c.until_at).where(budget.c.key == bindparam("of"))
_AMOUNT = bindparam("amount", type_=Integer)
_TAKE_BACK = (
    update(budget)
    .where(budget.c.key == bindparam("of"))
    .values(used=case((budget.c.used > _AMOUNT, budget.c.used - _AMOUNT), else_=0))
)
_MINE = bindparam("mine", type_=BigInteger)
_STEP_BACK = (
    update(budget)
    .where(and_(budget.c.key == bindparam("of"), budget.c.used > 0))
    .values(used=budget.c.used - 1, until_at=case((budget.c.until_at == _MINE, 0), else_=budget.c.until_at))
)
