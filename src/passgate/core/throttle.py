"""Throttling: how many refusals are allowed before a wait. Every budget is debited before anything is compared. The
rows are in SQL beside the credentials, so that flushing a cache grants no new attempts.

Not here: how a throttled request is answered, which is the caller's.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import BigInteger, Integer, bindparam, case, delete, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from passgate.core.ctx import Ctx
from passgate.errors import Throttled
from passgate.store import Db
from passgate.store.tables import budget
from passgate.world import SECOND

FREE = 10
"""Consecutive refusals at which waits begin."""
LOCKED = 100
"""Consecutive refusals after which an authenticator is disabled until recovery (NIST 800-63B-4 §3.2.2)."""
WAITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900)
"""Seconds to wait after the 10th, 11th … refusal; the last applies from then on."""

ORIGIN_REFUSALS = 100
ORIGIN_REFUSALS_HERE = 10_000
ORIGIN_WINDOW = 600


@dataclass(frozen=True, slots=True)
class Spent:
    """What was debited, to be refunded on success. `is_locked`: the authenticator is disabled; answer as if wrong."""

    authenticator: str
    origin: str
    is_locked: bool


def person_key(person_id: str, factor: str) -> str:
    return f"p:{factor}:{person_id}"


def address_key(ctx: Ctx, tenant_id: str, email_key: str, factor: str) -> str:
    """An unknown address gets the same budget; MACed so that the table does not list addresses."""
    return f"a:{factor}:{ctx.ring.mac('budget', f'{tenant_id} {email_key}'.encode()).hex()}"


def origin_key(ctx: Ctx) -> str:
    """IPv4 address or IPv6 /64: a household or a rented host, not one of its 2^64 addresses."""
    try:
        ip = ipaddress.ip_address(ctx.origin.ip)
    except ValueError:
        return "o:unknown"
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return f"o:{ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False)}"


async def spend(ctx: Ctx, db: Db, tenant_id: str, authenticator: str) -> Spent:
    """Debit the authenticator and the origin, or raise Throttled. Call it in a separate transaction."""
    origin = origin_key(ctx)
    limit = ORIGIN_REFUSALS_HERE if ctx.settings.is_development and ctx.origin.is_loopback else ORIGIN_REFUSALS
    await window(ctx, db, origin, limit=limit, seconds=ORIGIN_WINDOW)
    used = await _climb(ctx, db, tenant_id, authenticator)
    return Spent(authenticator, origin, used > LOCKED)


async def _climb(ctx: Ctx, db: Db, tenant_id: str, key: str) -> int:
    """Count one more refusal, in one statement: parallel attempts cannot exceed the limit."""
    now = ctx.now()
    statement = _CLIMB[db.is_postgres]
    used = await db.value(statement, key=key, tenant_id=tenant_id, used=1, until_at=0, updated_at=now, now=now)
    if used is None:
        await _wait(ctx, db, key)
    return int(used)


def _climbing(insert: Any) -> Any:
    """First use: no wait. Used again after its wait: count one more, and set the wait for that count."""
    now = bindparam("now", type_=BigInteger)
    after = budget.c.used + 1
    steps = [(after == FREE + step, now + wait * SECOND) for step, wait in enumerate(WAITS[:-1])]
    until = case((after < FREE, literal(0, BigInteger)), *steps, else_=now + WAITS[-1] * SECOND)
    return (
        insert(budget)
        .values({column: bindparam(column) for column in _COLUMNS})
        .on_conflict_do_update(
            index_elements=["key"],
            set_={"used": after, "until_at": until, "updated_at": now},
            where=budget.c.until_at <= now,
        )
        .returning(budget.c.used)
    )


def _counting(insert: Any) -> Any:
    """First use, or an expired window: start a new window. Otherwise count one more, up to `most`."""
    now, until = bindparam("now", type_=BigInteger), bindparam("until", type_=BigInteger)
    over = budget.c.until_at <= now
    return (
        insert(budget)
        .values({column: bindparam(column) for column in _COLUMNS})
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                "used": case((over, 1), else_=budget.c.used + 1),
                "until_at": case((over, until), else_=budget.c.until_at),
                "updated_at": now,
            },
            where=or_(over, budget.c.used < bindparam("most", type_=Integer)),
        )
        .returning(budget.c.used)
    )


_COLUMNS = ("key", "tenant_id", "used", "until_at", "updated_at")
_CLIMB = {True: _climbing(postgresql.insert), False: _climbing(sqlite.insert)}
_COUNT = {True: _counting(postgresql.insert), False: _counting(sqlite.insert)}
_TAKE_BACK = update(budget).where(budget.c.key == bindparam("of"), budget.c.used > 0).values(used=budget.c.used - 1)
# Also drop the wait if there would be none without this attempt, which was no refusal.
_STEP_BACK = _TAKE_BACK.values(until_at=case((budget.c.used - 1 < FREE, 0), else_=budget.c.until_at))
_CLEAR = update(budget).where(budget.c.key == bindparam("of")).values(used=0, until_at=0, updated_at=bindparam("now"))


async def window(ctx: Ctx, db: Db, key: str, *, limit: int, seconds: int) -> None:
    """At most `limit` in `seconds`, counted from the first; otherwise raises Throttled."""
    now = ctx.now()
    until = now + seconds * SECOND
    first = {"key": key, "tenant_id": None, "used": 1, "until_at": until, "updated_at": now}
    if await db.value(_COUNT[db.is_postgres], **first, now=now, until=until, most=limit) is None:
        await _wait(ctx, db, key)


async def _wait(ctx: Ctx, db: Db, key: str) -> NoReturn:
    until = await db.value(select(budget.c.until_at).where(budget.c.key == key)) or 0
    raise Throttled(-(-(until - ctx.now()) // SECOND))


async def refund(ctx: Ctx, db: Db, spent: Spent, *, clear: bool) -> None:
    """Refund the origin's attempt. `clear`: the authenticator was right, so its refusals are cleared; otherwise only
    this attempt is refunded."""
    await db.change(_TAKE_BACK, of=spent.origin)
    if clear:
        await db.change(_CLEAR, of=spent.authenticator, now=ctx.now())
    else:
        await db.change(_STEP_BACK, of=spent.authenticator)


async def clear(ctx: Ctx, db: Db, key: str) -> None:
    """Clear the refusals of an authenticator that was replaced."""
    await db.change(_CLEAR, of=key, now=ctx.now())


async def forget(db: Db, person_id: str, factors: tuple[str, ...]) -> None:
    """Delete the counters of an erased person's authenticators."""
    keys = [person_key(person_id, factor) for factor in factors]
    await db.change(delete(budget).where(budget.c.key.in_(keys)))


async def purge(ctx: Ctx, db: Db) -> None:
    """Delete counters unused for a day, except a person's own: their refusals add up, however slowly they come."""
    day_ago = ctx.now() - 24 * 3600 * SECOND
    await db.change(delete(budget).where(budget.c.updated_at < day_ago, budget.c.key.not_like("p:%")))
