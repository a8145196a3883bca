"""Cancelled work leaves nothing behind at the database: no queued writer, no transaction, no connection.

Every await of each kind of work is cancelled in turn, in one process. `test_cancel_storm` cancels hundreds of requests
in two processes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, QueuePool, bindparam, delete, select, text

from passgate.app import Passgate
from passgate.errors import ProofRefused, Unavailable
from passgate.settings import Settings
from passgate.settings.database import PostgresServer
from passgate.store import SCHEMA, Db, Store
from passgate.store.point import Lookup
from passgate.store.tables import observer
from tests.kit import empty_database, settings_for
from tests.servers import Postgres

SOON = 1.0
"""Seconds within which the next write must succeed after a cancellation."""


@dataclass
class Impatient:
    """Runs `work` and cancels its await number `at`: before the awaited result exists or, with `late`, when it exists
    and was not received yet. `stubborn` cancels each later await too, as some frameworks do."""

    work: Coroutine[Any, Any, None]
    at: int
    late: bool
    stubborn: bool
    awaits: int = 0

    def __await__(self) -> Generator[Any, None, None]:
        inside, thrown = self.work.__await__(), None
        while True:
            try:
                waits_for = inside.send(None) if thrown is None else inside.throw(thrown)
            except StopIteration:
                return
            self._cancel(waits_for)
            try:
                yield waits_for
                thrown = None
            except BaseException as fault:  # noqa: BLE001  thrown into the work
                thrown = fault

    def _cancel(self, waits_for: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.awaits += 1
        if self.awaits - 1 != self.at and not (self.stubborn and self.awaits > self.at):
            return
        if not self.late:
            task.cancel()
        elif waits_for is None:
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            waits_for.add_done_callback(lambda _: task.cancel())


# -- what is cancelled -----------------------------------------------------------------------------

Work = Callable[[Store, int], Coroutine[Any, Any, None]]


async def _add(name: str, number: int, db: Db) -> None:
    await db.add(observer, name=f"{name}{number}", tenant_id="here", seq=0)


async def write(store: Store, number: int, *, heavy: bool = False) -> None:
    async with store.write(heavy=heavy) as db:
        await _add("one", number, db)
        await _add("two", number, db)


async def write_much(store: Store, number: int) -> None:
    await write(store, number, heavy=True)


async def be_refused(store: Store, number: int) -> None:
    """A refusal whose deferred writes need a second transaction."""
    with suppress(ProofRefused):
        async with store.write() as db:
            await _add("undone", number, db)
            raise ProofRefused(deferred=(partial(_add, "kept", number),))


async def read(store: Store, _number: int) -> None:
    async with store.read() as db:
        await db.rows(select(observer))
        await db.rows(select(observer))


BY_NAME = Lookup(select(observer.c.seq).where(observer.c.name == bindparam("name")))


async def open_page(store: Store, _number: int) -> None:
    await store.point.one(BY_NAME, "one0")


LATE = pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
STUBBORN = pytest.mark.parametrize("stubborn", [False, True], ids=["once", "always"])
KINDS = pytest.mark.parametrize("work", [write, write_much, be_refused, read, open_page])

# -- what is left ----------------------------------------------------------------------------------


async def serves_at_once(store: Store) -> None:
    async with asyncio.timeout(SOON):
        async with store.write() as db:
            await db.change(delete(observer).where(observer.c.name == "nobody"))
        async with store.read() as db:
            await db.rows(select(observer))
        await store.point.one(BY_NAME, "nobody")
        while any(_out(side.sync_engine) for side in (store.writer, store.reader)):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def _out(engine: Engine) -> int:
    """How many connections are checked out."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()


async def all_or_nothing(store: Store, number: int) -> None:
    async with store.read() as db:
        found = {row["name"].removesuffix(str(number)) for row in await db.rows(select(observer))}
    assert "undone" not in found
    assert found <= {"kept"} or found == {"one", "two"}
    async with store.write() as db:
        await db.change(delete(observer))


@dataclass
class Scene:
    """A migrated database, and a function that counts the connections to it."""

    settings: Settings
    connected: Callable[[], int]

    async def closed(self, store: Store) -> None:
        await store.close()
        async with asyncio.timeout(SOON):
            while self.connected():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def cancel(self, store: Store, impatient: Impatient) -> bool:
        """Run the work, and assert that the database serves at once and holds all of its rows or none. False if the
        work ended before the await to be cancelled."""
        with suppress(asyncio.CancelledError):
            await asyncio.create_task(_awaited(impatient))
        await serves_at_once(store)
        await all_or_nothing(store, impatient.at)
        return impatient.awaits > impatient.at

    async def cancel_each_await(self, work: Work, *, late: bool, stubborn: bool) -> None:
        store = Store(self.settings.database, SCHEMA)
        await serves_at_once(store)
        at = 0
        while await self.cancel(store, Impatient(work(store, at), at, late, stubborn)):
            at += 1
        assert at or work is open_page, "nothing was cancelled"
        await self.closed(store)

    async def cancel_each_first_await(self, work: Work, *, late: bool, stubborn: bool) -> None:
        """The same with a new store for each await, so that the cancelled work also opens the connections."""
        for at in itertools.count():
            store = Store(self.settings.database, SCHEMA)
            there_was_one = await self.cancel(store, Impatient(work(store, at), at, late, stubborn))
            await self.closed(store)
            if not there_was_one:
                return


async def _awaited(work: Awaitable[None]) -> None:
    await work


@pytest.fixture
def scene(request: pytest.FixtureRequest, settings: Settings) -> Scene:
    if settings.is_sqlite:
        files = psutil.Process().open_files
        return Scene(settings, lambda: sum(Path(file.path).is_relative_to(settings.data) for file in files()))
    server: Postgres = request.getfixturevalue("postgres")
    assert isinstance(settings.database, PostgresServer)
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{settings.database.name}'"
    return Scene(settings, lambda: int(server.sql(count)))


@pytest.fixture
async def settings(tmp_path: Path, database_url: str | None) -> Settings:
    if database_url is None:
        (tmp_path / "passgate.db").write_bytes(await empty_database())
    return settings_for(tmp_path, database_url)


@LATE
@STUBBORN
@KINDS
async def test_every_await_may_be_cancelled(scene: Scene, work: Work, late: bool, stubborn: bool) -> None:
    await scene.cancel_each_await(work, late=late, stubborn=stubborn)


ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@ON_SQLITE
@LATE
@STUBBORN
@KINDS
async def test_so_may_the_first_ones(scene: Scene, work: Work, late: bool, stubborn: bool) -> None:
    await scene.cancel_each_first_await(work, late=late, stubborn=stubborn)


@pytest.mark.soak
@pytest.mark.pg
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@LATE
@STUBBORN
@KINDS
async def test_so_may_the_first_ones_of_postgres(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, work: Work, late: bool, stubborn: bool
) -> None:
    # If it is cancelled while it negotiates TLS, the driver leaves an unread future, whose only effect is a log line.
    monkeypatch.setenv("PGSSLMODE", "disable")
    await scene.cancel_each_first_await(work, late=late, stubborn=stubborn)


# -- closing the store -----------------------------------------------------------------------------


async def read_slowly(store: Store) -> None:
    counting = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500000) SELECT count(*) FROM n"
    async with store.read() as db:
        await db.value(text(counting))


@ON_SQLITE
async def test_the_end_waits_for_work_whose_caller_is_gone(scene: Scene) -> None:
    store = Store(scene.settings.database, SCHEMA)
    callers = [asyncio.create_task(read_slowly(store)) for _ in range(3)]
    callers.append(asyncio.create_task(write(store, 0)))
    await asyncio.sleep(0.02)
    for caller in callers:
        caller.cancel()
    await store.close()
    assert scene.connected() == 0
    await asyncio.wait(callers)


async def test_nobody_connects_after_the_end(scene: Scene) -> None:
    store = Store(scene.settings.database, SCHEMA)
    await serves_at_once(store)
    await scene.closed(store)
    for work in (write, write_much, read, open_page):
        with pytest.raises(Unavailable):
            await work(store, 0)
    assert scene.connected() == 0
    await store.close()


@ON_SQLITE
@LATE
@STUBBORN
async def test_a_whole_life_may_be_cancelled(scene: Scene, late: bool, stubborn: bool) -> None:
    """Cancel each await between the start and the end of a Passgate with its background jobs."""

    async def live() -> None:
        async with Passgate(scene.settings).running():
            await asyncio.sleep(0)

    for at in itertools.count():
        impatient = Impatient(live(), at, late, stubborn)
        with suppress(asyncio.CancelledError):
            await asyncio.create_task(_awaited(impatient))
        assert scene.connected() == 0
        if impatient.awaits <= at:
            break
