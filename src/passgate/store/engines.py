"""The database engines: SQLite in threads of its own, PostgreSQL with asyncpg on the event loop.

Not here: what a transaction means, which is `unit`; no table is known here.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from passgate.settings.database import SqliteFile
from passgate.store.pooler import Pooler

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
_Opened = tuple[Connection, RootTransaction]

_BUSY_MS = 10_000
_CHECKPOINT_MS = 500
"""How long a checkpoint waits for readers; the writer waits for the checkpoint."""
_WRITER = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
"""What is deleted is overwritten: nobody reads it in free pages of a stolen file."""
_WAIT = 10
"""Seconds a request waits for a connection before it is answered 503."""


class Run(Protocol):
    """Runs a function that takes a plain SQLAlchemy connection, in that connection's thread or event loop."""

    async def __call__(self, work: Callable[[Connection], T]) -> T: ...


def _named(file: SqliteFile) -> URL:
    """Not as text, in which a path with `?` in it would end there."""
    return URL.create("sqlite", database=str(file.path))


def read_only(file: SqliteFile) -> str:
    """For `sqlite3.connect(…, uri=True)`."""
    return f"{file.path.as_uri()}?mode=ro"


class Sqlite:
    """One writer connection, for which requests queue in the event loop instead of polling a lock. What may block
    (another process's lock at BEGIN, the disk at COMMIT) and what touches many rows runs in the writer's thread; the
    few indexed statements between run on the event loop, because a hop to a thread costs more, and so does BEGIN if no
    other process has the lock. Readers have four threads. (A driver that hops to its thread for every cursor call takes
    four times as long.)"""

    def __init__(self, engine: Engine, threads: int, *, wal: Path | None = None) -> None:
        """`wal`: the write-ahead log, if this is the engine that may write."""
        self.sync_engine, self._wal = engine, wal
        self._turn = asyncio.Lock()
        self._latest: Connection | None = None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sqlite")

    @classmethod
    def writer(cls, file: SqliteFile) -> Self:
        engine = create_engine(
            _named(file), pool_size=1, max_overflow=0, hide_parameters=True, connect_args={"check_same_thread": False}
        )

        @event.listens_for(engine, "connect")
        def _tune(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver must not start transactions: its BEGIN loses updates
            for pragma in (f"busy_timeout={_BUSY_MS}", *_WRITER):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return cls(engine, 1, wal=file.path.with_name(f"{file.path.name}-wal"))

    @classmethod
    def reader(cls, file: SqliteFile) -> Self:
        engine = create_engine(
            _named(file),
            pool_size=4,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            hide_parameters=True,
        )

        @event.listens_for(engine, "do_connect")
        def _read_only(_dialect: Any, _record: Any, _args: Any, _given: Any) -> sqlite3.Connection:
            return sqlite3.connect(read_only(file), uri=True, check_same_thread=False)

        @event.listens_for(engine, "connect")
        def _tune(connection: Any, _record: Any) -> None:
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")

        return cls(engine, 4)

    async def close(self) -> None:
        """Wait for the current transaction. One that does not end in time is rolled back: disposing a pool does not
        close a connection in use. The writer, closed last, leaves no write-ahead log behind unless another process has
        the database open."""
        try:
            with suppress(PoolTimeout):
                await self._take_turn()
                self._turn.release()
        finally:
            self._pool.shutdown()
            if self._latest is not None:
                self._latest.close()
            if self._wal is not None and self._wal.exists():
                # SQLite removes the log when the last connection closes, if that one may write.
                with suppress(SQLAlchemyError, sqlite3.Error, OSError):
                    self.sync_engine.raw_connection().close()
            self.sync_engine.dispose()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(_WAIT):
                await self._turn.acquire()
        except TimeoutError as late:
            raise PoolTimeout("no turn at the writer") from late

    async def _hop(self, work: Callable[[], T]) -> T:
        """Run in the thread. A cancelled caller returns at once: work that has started continues, other work is
        dropped. So `work` must not return anything that has to be released."""
        return await asyncio.wrap_future(self._send(work))

    def _send(self, work: Callable[[], T]) -> Future[T]:
        try:
            return self._pool.submit(work)
        except RuntimeError as closed:
            raise PoolTimeout("closed meanwhile") from closed

    @asynccontextmanager
    async def begin(self, *, heavy: bool = False) -> AsyncIterator[Run]:
        """One transaction; rolled back unless the block succeeds. `heavy`: every statement runs in the thread.

        However often the caller is cancelled, the thread finishes what it started and frees the writer, without an
        await of the caller. A commit that has started completes.
        """
        await self._take_turn()
        try:
            opening = self._opened_at_once() or self._send(self._open)
        except PoolTimeout:
            self._turn.release()
            raise
        end = partial(_roll_back, opening)
        try:
            is_open = opening.done()
            connection, transaction = opening.result() if is_open else await asyncio.wrap_future(opening)

            async def run(work: Callable[[Connection], T]) -> T:
                return await self._hop(lambda: work(connection)) if heavy else work(connection)

            yield run
            end = partial(_commit, connection, transaction)
        finally:
            ended = asyncio.wrap_future(self._send(end))
            ended.add_done_callback(lambda _: self._turn.release())
            await asyncio.shield(ended)

    def _opened_at_once(self) -> Future[_Opened] | None:
        """Begun in the event loop; None if that would wait, or fails: the thread tries again and raises."""
        opening = Future[_Opened]()
        try:
            if self._latest is not None:  # to connect takes longer, and may wait
                opening.set_result(self._open(wait_ms=0))
        except (SQLAlchemyError, sqlite3.Error):
            return None
        return opening if opening.done() else None

    def _open(self, wait_ms: int = _BUSY_MS) -> _Opened:
        """Raises OperationalError if another process has the lock for longer than that."""
        connection = self._latest = self.sync_engine.connect()
        try:
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA busy_timeout={wait_ms}")
            return connection, connection.begin()
        except BaseException:
            connection.close()
            raise

    async def empty_log(self) -> bool:
        """Move the whole write-ahead log into the database file and cut it to nothing; False if readers kept it busy.
        Cancelled, the thread finishes it and frees the writer, as in `begin`."""
        await self._take_turn()
        try:
            work = self._send(self._checkpoint)
        except PoolTimeout:
            self._turn.release()
            raise
        ended = asyncio.wrap_future(work)
        ended.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(ended)

    def _checkpoint(self) -> bool:
        connection = self.sync_engine.raw_connection()  # SQLAlchemy's own would begin a transaction
        try:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={_CHECKPOINT_MS}")
            try:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                row = cursor.fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
                cursor.close()
            return row is not None and row[0] == 0
        finally:
            connection.close()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Run]:
        """No transaction: each piece of work uses its own connection, in one hop."""

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
    """Close what `opening` produced: the caller may have been cancelled before it ran or returned."""
    if not opening.cancelled() and opening.exception() is None:
        connection, _ = opening.result()
        connection.close()


_LIMITS = {"lock_timeout": "10s", "statement_timeout": "30s", "idle_in_transaction_session_timeout": "60s"}


class Postgres:
    """READ COMMITTED: every conditional UPDATE re-reads the newest row. Timeouts bound every statement.

    Behind a pooler, which may give every transaction another session of the server, nothing outlives a transaction: its
    settings are set in it, its statements have no names, and reads are transactions too."""

    def __init__(self, pooler: Pooler, *, writes: bool) -> None:
        self._pooler, self._writes = pooler, writes
        self._is_pooled = False
        self._engine = self._made()

    @property
    def sync_engine(self) -> Engine:
        return self._engine.sync_engine

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def begin(self, *, heavy: bool = False) -> AsyncIterator[Run]:  # noqa: ARG002  nothing blocks here
        await self._ready()
        async with self._engine.begin() as connection:
            yield cast("Run", connection.run_sync)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Run]:
        await self._ready()
        if self._is_pooled:
            yield self._alone
            return
        async with self._engine.connect() as connection:
            yield cast("Run", connection.run_sync)

    async def _alone(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def _ready(self) -> None:
        if self._pooler.is_there is None:
            await self._pooler.ask()
        if self._pooler.is_there and not self._is_pooled:
            self._is_pooled = True  # no connection was made before
            self._engine = self._made()

    def _made(self) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  saves SQLite deployments 60 ms

        arguments = self._pooler.server.arguments(reading=not self._writes)
        limits = _LIMITS | dict(self._pooler.server.settings)
        more: dict[str, Any] = {"isolation_level": "READ COMMITTED"}  # whatever the server's default is
        if self._is_pooled:
            arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
            arguments |= {"prepared_statement_name_func": str, "server_settings": {}}
        else:
            limits |= {} if self._writes else {"default_transaction_read_only": "on"}
            more = more if self._writes else {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
            arguments |= {"server_settings": limits}
        engine = create_async_engine(
            "postgresql+asyncpg://",
            pool_size=10,
            max_overflow=10,
            pool_timeout=_WAIT,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=arguments,
            **more,
        )
        if self._is_pooled:
            limits |= {} if self._writes else {"transaction_read_only": "on"}
            _set_in_each(engine.sync_engine, limits)
        return engine


def _set_in_each(engine: Engine, limits: dict[str, str]) -> None:
    """Settings of a transaction, set as it begins, in one statement."""
    statement = select(*(func.set_config(name, value, True) for name, value in limits.items()))

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.execute(statement)
