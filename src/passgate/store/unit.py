"""The engines and the unit of work: at most one write transaction open per request or job, reads beside it.

A refusal is kept, a fault is undone: whatever leaves a `write()` block as an exception rolls everything back, and a
Refusal's own `keep` is then committed in a second short transaction. No query of a concept ever lives here.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Executable, RowMapping, Table, event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from passgate.errors import Refusal, Unavailable
from passgate.settings import Settings
from passgate.store.point import PointReader, point_reader

_BUSY_MS = 10_000
_writing: ContextVar[bool] = ContextVar("passgate_writing", default=False)


class Db:
    """One open connection, with the four verbs the rooms need."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def rows(self, statement: Executable) -> Sequence[RowMapping]:
        return (await self.connection.execute(statement)).mappings().all()

    async def one(self, statement: Executable) -> RowMapping | None:
        """The only row, or None. More than one is a fault of ours."""
        return (await self.connection.execute(statement)).mappings().one_or_none()

    async def value(self, statement: Executable) -> Any:
        return (await self.connection.execute(statement)).scalar_one_or_none()

    async def change(self, statement: Executable) -> int:
        """How many rows an INSERT, UPDATE or DELETE moved: check and mark in one statement ends here."""
        return (await self.connection.execute(statement)).rowcount

    async def add(self, table: Table, **values: Any) -> None:
        await self.connection.execute(table.insert().values(**values))

    def upsert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An INSERT that knows ON CONFLICT, in the dialect at hand."""
        return postgresql.insert(table) if self.is_postgres else sqlite.insert(table)

    @property
    def is_postgres(self) -> bool:
        return self.connection.dialect.name == "postgresql"


Keep = Callable[[Db], Any]


class Store:
    """`write()` is one transaction, `read()` a look without one, `point` the shortest way to one row."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.database
        self.is_sqlite = settings.is_sqlite
        self.writer, self.reader = _sqlite_engines(self.url) if self.is_sqlite else _postgres_engines(self.url)
        self.point: PointReader = point_reader(self.url)

    async def close(self) -> None:
        await self.point.close()
        await self.writer.dispose()
        await self.reader.dispose()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Db]:
        """A write transaction: committed at the end, rolled back on any exception, a Refusal's `keep` kept."""
        if _writing.get():
            raise RuntimeError("a write transaction is open already: hand its db on")
        token = _writing.set(True)
        try:
            async with _mapped(), self.writer.begin() as connection:
                yield Db(connection)
        except Refusal as refusal:
            await self._keep(refusal)
            raise
        finally:
            _writing.reset(token)

    async def _keep(self, refusal: Refusal) -> None:
        facts, refusal.keep = refusal.keep, ()
        if facts:
            async with _mapped(), self.writer.begin() as connection:
                for fact in facts:
                    await fact(Db(connection))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Db]:
        """Reads on the read-only engine; each statement sees what is committed when it runs."""
        async with _mapped(), self.reader.connect() as connection:
            yield Db(connection)


@asynccontextmanager
async def _mapped() -> AsyncIterator[None]:
    """What the database's absence looks like from outside: 503, with nothing of its text."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, OSError, sqlite3.Error) as fault:
        raise Unavailable("database") from fault
    except exc.DBAPIError as fault:
        # asyncpg files a lost connection, a full disk and a stopping server under plain DBAPIError.
        if fault.connection_invalidated or _is_outage(fault):
            raise Unavailable("database") from fault
        raise


def _is_outage(fault: exc.DBAPIError) -> bool:
    state = str(getattr(fault.orig, "sqlstate", None) or getattr(fault.orig, "pgcode", None) or "")
    # 08 connection, 53 resources (disk full), 57 intervention (shutdown), 58 system, 40 serialisation or deadlock,
    # 25006 read-only (a failed-over standby).
    return state[:2] in {"08", "53", "57", "58", "40"} or state == "25006"


def _sqlite_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    """One writer connection per process: writers queue in the event loop instead of polling a lock in threads."""
    writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=10)
    path = url.removeprefix("sqlite+aiosqlite:///")
    readonly = f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true"
    reader = create_async_engine(
        readonly, pool_size=4, max_overflow=4, pool_timeout=10,
        isolation_level="AUTOCOMMIT", pool_reset_on_return=None,
    )  # fmt: skip

    @event.listens_for(writer.sync_engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin by itself: its BEGIN loses updates
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(writer.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(reader.sync_engine, "connect")
    def _tune_reader(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.close()

    return writer, reader


def _postgres_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    """READ COMMITTED: every conditional UPDATE looks again at the newest row. No statement may wait for ever."""
    limits = {"lock_timeout": "10s", "statement_timeout": "30s", "idle_in_transaction_session_timeout": "60s"}
    shared: dict[str, Any] = {"pool_pre_ping": True, "pool_timeout": 10}
    writer = create_async_engine(
        url, pool_size=10, max_overflow=10, connect_args={"server_settings": limits, "timeout": 5}, **shared
    )
    reader = create_async_engine(
        url, pool_size=5, max_overflow=10, isolation_level="AUTOCOMMIT", pool_reset_on_return=None,
        connect_args={"server_settings": {**limits, "default_transaction_read_only": "on"}, "timeout": 5}, **shared,
    )  # fmt: skip
    return writer, reader


async def is_reachable(store: Store) -> bool:
    """For /readyz: a statement gets through within a second."""
    try:
        async with asyncio.timeout(1), store.read() as db:
            await db.connection.exec_driver_sql("SELECT 1")
    except (Unavailable, TimeoutError):
        return False
    return True
