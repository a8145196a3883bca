"""A ticket is taken once, before it expires, and only if it is the newest of its kind.

What a ticket opens is tested where it is used.
"""

from __future__ import annotations

import asyncio

from passgate.core import once
from passgate.store.tables import ticket
from tests.core.behind import Folk
from tests.kit import The


async def issued(folk: Folk, bound_to: str = "x", kind: str = "test", life: int = 60) -> str:
    """Issue a ticket; its id."""
    tenant = await folk.tenant()
    known = {row["id"] for row in await folk.the.rows(ticket)}
    async with folk.ctx.write() as db:
        await once.issue(folk.ctx, db, tenant.id, kind, bound_to, b"hash", life=life)
    (made,) = {str(row["id"]) for row in await folk.the.rows(ticket)} - known
    return made


async def taken(folk: Folk, ticket_id: str) -> bool:
    async with folk.ctx.write() as db:
        return await once.take(folk.ctx, db, ticket_id)


async def live(folk: Folk, bound_to: str = "x", kind: str = "test") -> str | None:
    async with folk.ctx.read() as db:
        found = await once.live(folk.ctx, db, kind, bound_to)
    return found["id"] if found else None


async def test_of_fifty_at_once_one_takes_it(the: The) -> None:
    folk = Folk(the)
    made = await issued(folk)
    got = await asyncio.gather(*(taken(folk, made) for _ in range(50)))
    assert sorted(got) == [False] * 49 + [True]
    assert await live(folk) is None


async def test_a_fresh_one_kills_the_older(the: The) -> None:
    folk = Folk(the)
    first, second = await issued(folk), await issued(folk)
    assert await live(folk) == second
    assert (await taken(folk, first), await taken(folk, second)) == (False, True)


async def test_only_its_own_kind_and_binding(lite: The) -> None:
    folk = Folk(lite)
    made = [await issued(folk, "x"), await issued(folk, "y"), await issued(folk, "x", kind="other")]
    assert [await live(folk, "x"), await live(folk, "y"), await live(folk, "x", "other")] == made
    assert await live(folk, "z") is None


async def test_when_the_newest_is_over_no_older_one_comes_back(lite: The) -> None:
    """Two tickets issued at the same moment may both be untaken. The older one stays dead when the newer is taken."""
    folk = Folk(lite)
    older, newer = await issued(folk), await issued(folk)
    async with folk.ctx.write() as db:
        await db.change(ticket.update().where(ticket.c.id == older).values(taken_at=None))
    assert await live(folk) == newer
    assert await taken(folk, newer)
    assert await live(folk) is None


async def test_too_late_is_not_taken(the: The) -> None:
    folk = Folk(the)
    made = await issued(folk, life=60)
    the.clock.forward(59)
    assert await live(folk) == made
    the.clock.forward(1)
    assert await live(folk) is None
    assert not await taken(folk, made)
    assert not await taken(folk, "no such ticket")
