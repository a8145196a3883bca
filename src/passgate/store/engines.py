"""How each database is driven: SQLite in threads of its own, PostgreSQL by asyncpg on the event loop.

What a transaction means lives in `unit`; nothing here knows a table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.exc import TimeoutError as PoolTimeout

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
_Opened = tuple[Connection, RootTransaction]

_BUSY_MS = 10_000
_WAIT = 10
"""Seconds a request waits for its turn at the database before it is answered 503."""


class Run(Protocol):
    """Runs a function of a plain SQLAlchemy connection where that connection lives."""

    async def __call__(self, work: Callable[[Connection], T]) -> T: ...


class Sqlite:
    """The writer is one connection, and requests take turns at it in the event loop instead of polling a lock. What
    may wait (the lock of another process, the disk at the end) and whatever touches many rows runs in the writer's
    thread; the few indexed statements between run where they are, because a hop costs more than they do. Readers are
    four threads. (A driver that hops to its thread for every cursor call costs four times this.)"""

    def __init__(self, engine: Engine, threads: int) -> None:
        self.sync_engine = engine
        self._turn = asyncio.Lock()
        self._latest: Connection | None = None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sqlite")

    @classmethod
    def writer(cls, url: str) -> Self:
        engine = create_engine(
            url, pool_size=1, max_overflow=0, hide_parameters=True, connect_args={"check_same_thread": False}
        )

        @event.listens_for(engine, "connect")
        def _tune(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver must not begin by itself: its BEGIN loses updates
            for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return cls(engine, 1)

    @classmethod
    def reader(cls, url: str) -> Self:
        path = url.removeprefix("sqlite:///")
        engine = create_engine(
            f"sqlite:///file:{path}?mode=ro&uri=true",
            pool_size=4,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def _tune(connection: Any, _record: Any) -> None:
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")

        return cls(engine, 4)

    async def close(self) -> None:
        """What is in hand ends first. What does not is rolled back: a pool that is thrown away closes no connection
        that is out."""
        try:
            with suppress(PoolTimeout):
                await self._take_turn()
                self._turn.release()
        finally:
            self._pool.shutdown()
            if self._latest is not None:
                self._latest.close()
            self.sync_engine.dispose()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(_WAIT):
                await self._turn.acquire()
        except TimeoutError as late:
            raise PoolTimeout("no turn at the writer") from late

    async def _hop(self, work: Callable[[], T]) -> T:
        """To the thread and back. Who is cancelled leaves at once: work that has begun goes on, other work is dropped.
        So it must not hand anything out that has to be given back."""
        return await asyncio.wrap_future(self._send(work))

    def _send(self, work: Callable[[], T]) -> Future[T]:
        try:
            return self._pool.submit(work)
        except RuntimeError as closed:
            raise PoolTimeout("closed meanwhile") from closed

    @asynccontextmanager
    async def begin(self, *, heavy: bool = False) -> AsyncIterator[Run]:
        """One transaction; rolled back unless the block ends well. `heavy`: every statement goes to the thread.

        However often the caller is cancelled, the thread ends what it began, and the turn is free when it has: nothing
        of that waits for an await of the caller's. A commit that has begun is a commit."""
        await self._take_turn()
        try:
            opening = self._send(self._open)
        except PoolTimeout:
            self._turn.release()
            raise
        end = partial(_roll_back, opening)
        try:
            connection, transaction = await asyncio.wrap_future(opening)

            async def run(work: Callable[[Connection], T]) -> T:
                return await self._hop(lambda: work(connection)) if heavy else work(connection)

            yield run
            end = partial(_commit, connection, transaction)
        finally:
            ended = asyncio.wrap_future(self._send(end))
            ended.add_done_callback(lambda _: self._turn.release())
            await asyncio.shield(ended)

    def _open(self) -> _Opened:
        connection = self._latest = self.sync_engine.connect()
        try:
            return connection, connection.begin()
        except BaseException:
            connection.close()
            raise

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Run]:
        """No transaction: each piece of work takes a connection for itself, in one hop."""

        async def run(work: Callable[[Connection], T]) -> T:
            def alone() -> T:
                with self.sync_engine.connect() as connection:
                    return work(connection)

            return await self._hop(alone)

        yield run


def _commit(connection: Connection, transaction: RootTransaction) -> None:
    """Both in one hop."""
    try:
        transaction.commit()
    finally:
        connection.close()


def _roll_back(opening: Future[_Opened]) -> None:
    """Whatever became of it: its caller may have been cancelled before it was begun, or before the answer came."""
    if not opening.cancelled() and opening.exception() is None:
        connection, _ = opening.result()
        connection.close()


_LIMITS = {"lock_timeout": "10s", "statement_timeout": "30s", "idle_in_transaction_session_timeout": "60s"}


class Postgres:
    """READ COMMITTED: every conditional UPDATE looks again at the newest row. No statement may wait for ever."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.sync_engine = engine.sync_engine

    @classmethod
    def writer(cls, url: str) -> Self:
        return cls(_postgres(url, _LIMITS))

    @classmethod
    def reader(cls, url: str) -> Self:
        limits = {**_LIMITS, "default_transaction_read_only": "on"}
        return cls(_postgres(url, limits, isolation_level="AUTOCOMMIT", pool_reset_on_return=None))

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def begin(self, *, heavy: bool = False) -> AsyncIterator[Run]:  # noqa: ARG002  nothing blocks here
        async with self._engine.begin() as connection:
            yield cast("Run", connection.run_sync)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Run]:
        async with self._engine.connect() as connection:
            yield cast("Run", connection.run_sync)


def _postgres(url: str, limits: dict[str, str], **more: Any) -> AsyncEngine:
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  60 ms that SQLite need not spend

    return create_async_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=_WAIT,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"server_settings": limits, "timeout": 5},
        **more,
    )
