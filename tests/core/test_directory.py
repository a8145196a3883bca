"""How people are found on a large tenant: every page follows an index, in one query, on each database.

Not here: what a page has (`tests/web/test_contract_users`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from passgate.core import directory
from passgate.core.directory import SORTS, Asked
from passgate.store.tables import person
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.kit import The

MANY = 20_000


@pytest.fixture
async def crowd(the: The) -> AsyncIterator[Folk]:
    """A tenant with so many people that no database would rather read all of them."""
    folk = Folk(the)
    tenant, now = await folk.tenant(), the.clock.now
    rows = [
        {
            "id": f"00000000-0000-7000-8000-{number:012x}",
            "tenant_id": tenant.id,
            "email": f"p{number:06}@example.com",
            "email_key": f"p{number:06}@example.com",
            "profile": "{}",
            "created_at": now + number * SECOND,
            "updated_at": now + (number * 7919 % MANY) * SECOND,
            "last_used_at": now + (number * 104729 % MANY) * SECOND,
        }
        for number in range(MANY)
    ]
    async with folk.ctx.write(heavy=True) as db:
        for start in range(0, MANY, 2_000):
            await db.change_many(insert(person), rows[start : start + 2_000])
    async with folk.ctx.write() as db:
        await db.change(text("ANALYZE person" if db.is_postgres else "ANALYZE"))
    yield folk


class Statements:
    """What the reader is asked, as text and parameters."""

    def __init__(self, the: The) -> None:
        self.the, self.asked = the, list[tuple[str, Any]]()
        event.listen(the.gate.services.store.reader.sync_engine, "before_cursor_execute", self._see)

    def _see(self, _c: Any, _cur: Any, statement: str, parameters: Any, _ctx: Any, _many: bool) -> None:
        self.asked.append((statement, parameters))

    async def plan(self) -> str:
        """How the database runs the only statement since the last plan."""
        [(statement, parameters)], is_sqlite = self.asked, self.the.gate.services.store.is_sqlite
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN (FORMAT JSON) "

        def run(connection: Connection) -> list[Any]:
            return list(connection.exec_driver_sql(explain + statement, parameters).all())

        async with self.the.gate.services.store.read() as db:
            found = await db.run(run)
        self.asked.clear()
        if is_sqlite:
            return "\n".join(row[3] for row in found)
        plan = found[0][0]
        return "\n".join(_nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    yield f"{plan['Node Type']} {plan.get('Relation Name', '')} {plan.get('Index Name', '')}"
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def reads_all(plan: str) -> bool:
    """Whether people are read that are not on the page: all of them, or to be sorted."""
    return any(
        line.startswith(("SCAN person", "USE TEMP B-TREE", "Seq Scan person", "Sort")) for line in plan.splitlines()
    )


async def test_no_page_reads_the_whole_tenant(crowd: Folk) -> None:
    seen, tenant = Statements(crowd.the), await crowd.tenant()
    seen.asked.clear()
    for sort in SORTS:
        cursor = None
        for _ in range(2):
            page = await directory.after(crowd.ctx, tenant.id, Asked(sort=sort), cursor=cursor, limit=100)
            assert len(page.items) == 100
            cursor = page.next
            plan = await seen.plan()
            assert not reads_all(plan), f"{sort}\n{plan}"
    page = await directory.after(crowd.ctx, tenant.id, Asked(search="p0190", sort="email"), cursor=None, limit=100)
    assert len(page.items) == 100
    plan = await seen.plan()
    assert not reads_all(plan), plan
    await directory.after(crowd.ctx, tenant.id, Asked(disabled=True, sort="-created_at"), cursor=None, limit=100)
    plan = await seen.plan()
    assert "ix_person_disabled" in plan, "few of all are disabled"
    assert not reads_all(plan), plan


async def test_the_pages_are_everybody_once(crowd: Folk) -> None:
    tenant = await crowd.tenant()
    for sort in ("-last_used_at", "updated_at"):
        seen, cursor = list[str](), None
        for _ in range(6):
            page = await directory.after(crowd.ctx, tenant.id, Asked(sort=sort), cursor=cursor, limit=100)
            seen += [one["id"] for one in page.items]
            cursor = page.next
        everybody = await crowd.the.rows(person)
        name = sort.removeprefix("-")
        everybody.sort(key=lambda row: (row[name], row["id"]), reverse=sort.startswith("-"))
        assert seen == [row["id"] for row in everybody[:600]]
