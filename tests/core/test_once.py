"""A ticket is taken once, before it expires, and only if it is the newest of its kind.

What a ticket opens is tested where it is used.
"""

from __future__ import annotations

import asyncio
from typing import cast

from sqlalchemy import RowMapping, insert, text

from passgate.core import once
from passgate.store.tables import ticket
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.core.plans import Statements
from tests.kit import The


async def issued(folk: Folk, bound_to: str = "x", kind: str = "test", life: int = 60) -> RowMapping:
    """Issue a ticket."""
    tenant = await folk.tenant()
    known = {row["id"] for row in await folk.the.rows(ticket)}
    async with folk.ctx.write() as db:
        await once.issue(folk.ctx, db, tenant.id, kind, bound_to, b"hash", life=life)
    (made,) = [row for row in await folk.the.rows(ticket) if row["id"] not in known]
    return cast("RowMapping", made)


async def took(folk: Folk, row: RowMapping, *, known_for: int = 0) -> once.Taken | once.Reused | once.Unknown:
    async with folk.ctx.write() as db:
        return await once.take(folk.ctx, db, row, known_for=known_for)


async def taken(folk: Folk, row: RowMapping) -> bool:
    return (await took(folk, row)).is_first


async def live(folk: Folk, bound_to: str = "x", kind: str = "test") -> RowMapping | None:
    tenant = await folk.tenant()
    async with folk.ctx.read() as db:
        found = await once.live(folk.ctx, db, tenant.id, kind, bound_to)
    return cast("RowMapping | None", dict(found) if found else None)


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
        await db.change(ticket.update().where(ticket.c.id == older["id"]).values(ended_at=None))
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
    assert await took(folk, made) == once.Unknown(), "it was never used"


async def test_a_second_use_is_known(the: The) -> None:
    """With the row, so that what it gave can be taken back; not so for one that ended, is another tenant's, or never
    was."""
    folk = Folk(the)
    made, ended, other = await issued(folk), await issued(folk, "y"), await issued(folk, "z")
    assert await took(folk, made) == once.Taken()
    again = await took(folk, made)
    assert isinstance(again, once.Reused)
    assert (again.row["id"], again.row["taken_at"] is not None) == (made["id"], True)
    async with folk.ctx.write() as db:
        await once.end(folk.ctx, db, ended["tenant_id"], "test", "y")
    for row in (ended, {**made, "tenant_id": "elsewhere"}, {**other, "id": "never"}):
        assert await took(folk, cast("RowMapping", row)) == once.Unknown()
    assert await taken(folk, other)


async def test_a_taken_one_stays_as_long_as_what_it_gave(the: The) -> None:
    """And one that is not taken goes when it has expired."""
    folk = Folk(the)
    used_long, used, left = await issued(folk), await issued(folk, "y"), await issued(folk, "z")
    await took(folk, used_long, known_for=3600)
    await took(folk, used)

    async def purged() -> list[str]:
        async with folk.ctx.write() as db:
            await once.purge(db, folk.ctx.now())
        return [row["id"] for row in await the.rows(ticket)]

    assert await purged() == [used_long["id"], used["id"], left["id"]]
    the.clock.forward(61)
    assert await purged() == [used_long["id"]]
    assert isinstance(await took(folk, used_long), once.Reused)
    the.clock.forward(3600)
    assert await purged() == []
    assert await took(folk, used_long) == once.Unknown()


async def test_one_is_found_by_its_secret_however_many_there_are(the: The) -> None:
    """Any stranger makes a database look for a secret, and as many challenges are alive as there are sign-ins."""
    folk = Folk(the)
    tenant, now = await folk.tenant(), the.clock.now
    rows = [
        {
            "id": f"00000000-0000-7000-8000-{number:012x}",
            "tenant_id": tenant.id,
            "kind": "test",
            "bound_to": str(number),
            "secret_hash": number.to_bytes(32),
            "created_at": now,
            "expires_at": now + 60 * SECOND,
        }
        for number in range(5_000)
    ]
    async with folk.ctx.write(heavy=True) as db:
        for start in range(0, len(rows), 2_500):
            await db.change_many(insert(ticket), rows[start : start + 2_500])
    if not the.gate.services.store.is_sqlite:
        async with folk.ctx.write() as db:
            await db.change(text("ANALYZE ticket"))
    seen = Statements(the)
    for secret, is_there in ((7, True), (5_000, False)):
        async with folk.ctx.read() as db:
            found = await once.by_secret(folk.ctx, db, "test", secret.to_bytes(32))
        assert (found is not None) is is_there
        assert "ix_ticket_kind_secret_hash" in await seen.plan()
