"""How people are found on a large tenant: every page follows an index, in one query, on each database.

Not here: what a page has (`tests/web/test_contract_users`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from passgate.core import directory, people
from passgate.core.directory import SORTS, Asked
from passgate.store.tables import person
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.core.plans import Statements
from tests.kit import running, settings_for
from tests.servers import Postgres

MANY = 20_000


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
def crowd_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create_database(template=request.getfixturevalue("pg_template"))
    yield url
    server.drop_database(url)


@pytest.fixture(scope="module")
async def crowd(crowd_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Folk]:
    """A tenant with so many people that no database would rather read all of them; each test leaves them as they
    are."""
    async with running(settings_for(tmp_path_factory.mktemp("crowd"), crowd_url)) as the:
        yield await _crowded(Folk(the))


async def _crowded(folk: Folk) -> Folk:
    the = folk.the
    tenant, now = await folk.tenant(), the.clock.now
    rows = [
        {
            "id": f"00000000-0000-7000-8000-{number:012x}",
            "tenant_id": tenant.id,
            "email": f"p{number:06}@example.com",
            "email_key": f"p{number:06}@example.com",
            "username": f"q{number * 7919 % MANY:06}" if number % 2 else "",
            "username_key": f"q{number * 7919 % MANY:06}" if number % 2 else "",
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
    if not the.gate.services.store.is_sqlite:  # which does so by itself; SQLite has no statistics
        async with folk.ctx.write() as db:
            await db.change(text("ANALYZE person"))
    return folk


def reads_all(plan: str) -> bool:
    """Whether people are read that are not on the page: all of them, or to be sorted."""
    return any(
        line.startswith(("SCAN person", "USE TEMP B-TREE", "Seq Scan person", "Sort")) for line in plan.splitlines()
    )


RANGES = {"uq_person_tenant_id_email_key", "ix_person_tenant_id_username_key_id", "uq_person_username", "pk_person"}


def reads_ranges(plan: str) -> bool:
    """Whether people are read by the beginning of a name, or by their ids, and in no other way."""
    lines = [line for line in plan.splitlines() if " person" in line]
    if any(line.startswith("SEARCH") for line in lines):
        return all("_key>?" in line or "(id=?)" in line for line in lines)
    return bool(lines) and all(line.startswith("Bitmap Heap Scan") or line.split()[-1] in RANGES for line in lines)


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


@pytest.mark.parametrize("search", ["p0190", "q0190", "nobody"])
async def test_a_search_reads_two_ranges(crowd: Folk, search: str) -> None:
    """By address and by username, however the page is sorted, from the first page to a later one."""
    seen, tenant = Statements(crowd.the), await crowd.tenant()
    for sort in SORTS:
        cursor = None
        for _ in range(2):
            seen.asked.clear()
            page = await directory.after(crowd.ctx, tenant.id, Asked(search=search, sort=sort), cursor=cursor, limit=20)
            assert len(page.items) == (0 if search == "nobody" else 20)
            plan = await seen.plan()
            assert reads_ranges(plan), f"{sort}\n{plan}"
            cursor = page.next
    asked = Asked(search=search, disabled=False)
    seen.asked.clear()
    numbered = await directory.numbered(crowd.ctx, tenant.id, asked, page=2, size=10)
    assert numbered.total == {"p0190": 100, "q0190": 50, "nobody": 0}[search]
    plan = await seen.plan()
    assert reads_ranges(plan), plan


async def test_who_is_disabled_is_found_by_an_index(crowd: Folk) -> None:
    tenant = await crowd.tenant()
    seen = Statements(crowd.the)
    await directory.after(crowd.ctx, tenant.id, Asked(disabled=True, sort="-created_at"), cursor=None, limit=100)
    plan = await seen.plan()
    assert "ix_person_disabled" in plan, "few of all are disabled"
    assert not reads_all(plan), plan


async def test_who_has_a_name_is_read_at_once(crowd: Folk) -> None:
    """Who signs in by either name, in the statements that ask for both."""
    seen, tenant = Statements(crowd.the), await crowd.tenant()
    for key in ("p000001@example.com", "q007919", "nobody"):
        async with crowd.ctx.read() as db:
            seen.asked.clear()
            found = await people.by_identifier(db, tenant.id, key)
        assert (found is not None) == (key != "nobody")
        plan = await seen.plan()
        assert "SCAN person" not in plan
        assert "Seq Scan" not in plan, plan
        assert "username" in plan, plan
    async with crowd.ctx.read() as db:
        assert await people.by_identifier(db, tenant.id, "") is None


async def test_pages_of_a_search_are_everybody_once(crowd: Folk) -> None:
    """Some are found by the address, some by the username, and nobody twice."""
    tenant, everybody = await crowd.tenant(), await crowd.the.rows(person)
    renamed = {number: f"p01900.{number}" for number in (3, 5, 19001, 19002)}
    await _rename(crowd, {everybody[number]["id"]: name for number, name in renamed.items()})
    wanted = {everybody[number]["email"] for number in (3, 5, *range(19000, 19010))}
    for sort in SORTS:
        seen, cursor = list[dict[str, Any]](), None
        while cursor is not None or not seen:
            asked = Asked(search="P01900", sort=sort)
            page = await directory.after(crowd.ctx, tenant.id, asked, cursor=cursor, limit=5)
            seen += page.items
            if page.next is None:
                break
            cursor = page.next
        assert {one["email"] for one in seen} == wanted
        assert len(seen) == 12
        keys = [(one[sort.removeprefix("-")] or "", one["id"]) for one in seen]
        assert keys == sorted(keys, reverse=sort.startswith("-")), sort
    numbered = await directory.numbered(crowd.ctx, tenant.id, Asked(search="p01900"), page=3, size=5)
    assert (numbered.total, len(numbered.items)) == (12, 2)
    await _rename(crowd, {everybody[number]["id"]: everybody[number]["username"] for number in renamed})


async def _rename(crowd: Folk, names: dict[str, str]) -> None:
    tenant = await crowd.tenant()
    async with crowd.ctx.write() as db:
        for whose, name in names.items():
            same = update(person).where(person.c.tenant_id == tenant.id, person.c.id == whose)
            await db.change(same.values(username=name, username_key=name))


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
