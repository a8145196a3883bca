"""What was deleted is nowhere in the files of an SQLite database, and an orderly stop leaves nothing beside it.

Who is erased, and when, is tested with accounts.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import bindparam, delete, select, text

from passgate.errors import Unavailable
from passgate.settings import Settings
from passgate.store import SCHEMA, Store
from passgate.store.migrate import upgrade
from passgate.store.point import Lookup
from passgate.store.tables import budget
from tests.cli.shell import Running
from tests.kit import settings_for

MARK = "nobody-must-find-this"
COUNT = 300
BY_KEY = Lookup(select(budget.c.used).where(budget.c.key == bindparam("key")))


@pytest.fixture
async def settings(tmp_path: Path, database_url: str | None) -> Settings:
    made = settings_for(tmp_path, database_url)
    store = Store(made.database, SCHEMA)
    await upgrade(store, lock=tmp_path / "lock")
    await store.close()
    return made


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    made = Store(settings.database, SCHEMA)
    yield made
    await made.close()


async def fill(store: Store) -> None:
    async with store.write() as db:
        for number in range(COUNT):
            await db.add(budget, key=f"{MARK} {number}", used=1, until_at=0, expires_at=0)


def files_with_mark(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if MARK.encode() in path.read_bytes())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_what_is_deleted_leaves_the_files(tmp_path: Path) -> None:
    store = Store(settings_for(tmp_path).database, SCHEMA)
    await upgrade(store, lock=tmp_path / "lock")
    await fill(store)
    assert await store.scrub() is True
    assert files_with_mark(tmp_path) == ["passgate.db"]
    async with store.write() as db:
        await db.change(delete(budget))
    assert files_with_mark(tmp_path) == ["passgate.db"]  # what was overwritten is still in the log
    assert await store.scrub() is True
    assert files_with_mark(tmp_path) == []
    assert (tmp_path / "passgate.db-wal").stat().st_size == 0
    await store.close()


async def test_a_reader_keeps_the_log(tmp_path: Path) -> None:
    """It is not complete then, and says so; nobody waits for long, and it works once the reader is gone."""
    store = Store(settings_for(tmp_path).database, SCHEMA)
    await upgrade(store, lock=tmp_path / "lock")
    with closing(sqlite3.connect(tmp_path / "passgate.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tenant").fetchall()
        await fill(store)
        async with asyncio.timeout(5):
            assert await store.scrub() is False
        async with store.write() as db:  # the writer is free
            await db.change(delete(budget))
    assert await store.scrub() is True
    assert files_with_mark(tmp_path) == []
    await store.close()


async def test_who_scrubs_too_early_or_too_late_is_refused(store: Store) -> None:
    assert await store.scrub() is True
    async with store.write():
        with pytest.raises(RuntimeError):
            await store.scrub()
    assert await store.scrub() is True
    await store.close()
    with pytest.raises(Unavailable):
        await store.scrub()


async def test_a_cancelled_one_frees_the_writer(store: Store) -> None:
    for turns in range(6):
        scrubbing = asyncio.create_task(store.scrub())
        for _ in range(turns):
            await asyncio.sleep(0)
        scrubbing.cancel()
        with suppress(asyncio.CancelledError):
            await scrubbing
        async with asyncio.timeout(5), store.write() as db:
            await db.change(delete(budget))


@pytest.mark.parametrize("used", ["nothing", "reader", "point", "writer", "all"])
async def test_an_orderly_stop_leaves_one_file(tmp_path: Path, used: str) -> None:
    """Whatever was opened."""
    settings = settings_for(tmp_path)
    store = Store(settings.database, SCHEMA)
    await upgrade(store, lock=tmp_path / "lock")
    await store.close()
    store = Store(settings.database, SCHEMA)
    if used in ("reader", "all"):
        async with store.read() as db:
            await db.value(text("SELECT count(*) FROM tenant"))
    if used in ("point", "all"):
        await store.point.one(BY_KEY, "x")
    if used in ("writer", "all"):
        await fill(store)
    await store.close()
    assert names(tmp_path) == ["lock", "passgate.db"]


async def test_a_process_that_stops_leaves_no_log(tmp_path: Path) -> None:
    with Running("serve", tmp_path / "data") as server:
        with server.http() as http:
            assert http.post("/api/v1/signup", json={"email": "a@example.com"}).status_code == 202
            assert http.get("/api/v1/session").status_code == 401
        assert (server.data / "passgate.db-wal").exists()
        assert server.stop() == 0
    assert not list(server.data.glob("passgate.db-*"))


def test_a_database_that_cannot_be_opened_can_be_closed(tmp_path: Path) -> None:
    (tmp_path / "passgate.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "passgate.db-wal").write_bytes(b"x")
    asyncio.run(Store(settings_for(tmp_path).database, SCHEMA).close())
