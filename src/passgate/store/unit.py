"""The unit of work: at most one write transaction open per request or job, with reads beside it. An exception that
leaves a `write()` block rolls everything back; a Refusal's `deferred` is then committed in a second short transaction.

Not here: queries of any module of `core`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Insert, RowMapping, Table, exc, text
from sqlalchemy.dialects import postgresql, sqlite

from passgate.errors import Refusal, Unavailable
from passgate.settings.database import Database, SqliteFile
from passgate.store import faults
from passgate.store.engines import Postgres, Run, Sqlite
from passgate.store.point import PointReader, point_reader
from passgate.store.pooler import Pooler
from passgate.store.schema import Schema

T = TypeVar("T")

_writing: ContextVar[bool] = ContextVar("passgate_writing", default=False)


class Db:
    """One open connection, with the few operations `core` needs. `run` executes work where that connection lives."""

    def __init__(self, run: Run, *, is_postgres: bool) -> None:
        self.run = run
        self.is_postgres = is_postgres
        self.callbacks: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once this transaction is committed; never if it is not."""
        self.callbacks.append(callback)

    # `given` fills the bindparams of a statement built once, at import: building costs more than running.

    async def rows(self, statement: Executable, **given: Any) -> Sequence[RowMapping]:
        return await self.run(lambda connection: connection.execute(statement, given).mappings().all())

    async def one(self, statement: Executable, **given: Any) -> RowMapping | None:
        """The only row, or None. More than one is a bug."""
        return await self.run(lambda connection: connection.execute(statement, given).mappings().one_or_none())

    async def value(self, statement: Executable, **given: Any) -> Any:
        return await self.run(lambda connection: connection.execute(statement, given).scalar_one_or_none())

    async def change(self, statement: Executable, **given: Any) -> int:
        """The number of rows an INSERT, UPDATE or DELETE affected, so that one statement both checks and changes."""
        return await self.run(lambda connection: connection.execute(statement, given).rowcount)

    async def change_many(self, statement: Executable, moves: Sequence[Mapping[str, Any]]) -> None:
        """One statement for many sets of parameters."""
        await self.run(lambda connection: connection.execute(statement, moves))

    async def add(self, table: Table, **values: Any) -> None:
        await self.change(_insert(table), **values)

    def upsert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An INSERT with ON CONFLICT, in the current dialect."""
        return postgresql.insert(table) if self.is_postgres else sqlite.insert(table)


@cache
def _insert(table: Table) -> Insert:
    return table.insert()


Deferred = Callable[[Db], Awaitable[None]]


class Store:
    """`write()` is one transaction, `read()` reads without one, `point` reads one row with the least overhead."""

    def __init__(self, database: Database, schema: Schema) -> None:
        self.database, self.schema = database, schema
        self.is_sqlite = isinstance(database, SqliteFile)
        self.writer: Sqlite | Postgres
        self.reader: Sqlite | Postgres
        self.point: PointReader
        if isinstance(database, SqliteFile):
            self.writer, self.reader = Sqlite.writer(database), Sqlite.reader(database)
            self.point = point_reader(database)
        else:
            pooler = Pooler(database)
            self.writer, self.reader = Postgres(pooler, writes=True), Postgres(pooler, writes=False)
            self.point = point_reader(pooler)
        self._is_closed = False

    async def close(self) -> None:
        """Close every part, even if another fails; the writer last, because a connection that only reads leaves
        SQLite's log behind. Later calls are refused: PostgreSQL's engine would reconnect, and nothing would close
        that."""
        self._is_closed = True
        async with AsyncExitStack() as parts:
            for part in (self.writer, self.reader, self.point):  # the last one is closed first
                parts.push_async_callback(part.close)

    @asynccontextmanager
    async def write(self, *, heavy: bool = False) -> AsyncIterator[Db]:
        """A write transaction: committed at the end, rolled back on any exception; a Refusal's `deferred` is committed.
        `heavy`: it touches more than a handful of indexed rows, so SQLite must not run it in the event loop."""
        if _writing.get():
            raise RuntimeError("a write transaction is open already: hand its db on")
        token = _writing.set(True)
        try:
            async with self._begun(heavy=heavy) as db:
                yield db
        except Refusal as refusal:
            await self._write_deferred(refusal)
            raise
        finally:
            _writing.reset(token)

    async def scrub(self) -> bool:
        """After an erasure: on SQLite, overwritten and deleted rows leave the write-ahead log too. False if readers
        kept it busy, so that it has to be tried again. PostgreSQL needs a VACUUM, which it runs by itself."""
        self._refuse_if_closed()
        if _writing.get():
            raise RuntimeError("a write transaction is open")
        if not isinstance(self.writer, Sqlite):
            return True
        async with _mapped():
            return await self.writer.empty_log()

    async def _write_deferred(self, refusal: Refusal) -> None:
        facts, refusal.deferred = refusal.deferred, ()
        if facts:
            async with self._begun() as db:
                for fact in facts:
                    await fact(db)

    @asynccontextmanager
    async def _begun(self, *, heavy: bool = False) -> AsyncIterator[Db]:
        self._refuse_if_closed()
        theirs = _Theirs()
        async with _mapped(theirs), self.writer.begin(heavy=heavy) as run:
            db = Db(_only_its_own(run), is_postgres=not self.is_sqlite)
            with theirs:
                yield db
        for callback in db.callbacks:
            callback()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Db]:
        """Reads on the read-only engine; each statement sees what is committed when it runs."""
        self._refuse_if_closed()
        theirs = _Theirs()
        async with _mapped(theirs), self.reader.connect() as run:
            with theirs:
                yield Db(_only_its_own(run), is_postgres=not self.is_sqlite)

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise Unavailable("database")


class _Theirs:
    """Remembers what left a block unhandled: an OSError there is of another file or connection than the database's."""

    fault: BaseException | None = None

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, fault: BaseException | None, _frames: object) -> None:
        self.fault = fault


def _only_its_own(run: Run) -> Run:
    """Whatever a statement raises is of the database."""

    async def mapped(work: Callable[[Connection], T]) -> T:
        try:
            return await run(work)
        except OSError as fault:
            raise Unavailable("database") from fault

    return mapped


@asynccontextmanager
async def _mapped(theirs: _Theirs | None = None) -> AsyncIterator[None]:
    """Map database outages to Unavailable (503), without any of the error text. An OSError of `theirs` is none."""
    try:
        yield
    except OSError as fault:
        if theirs is not None and fault is theirs.fault:
            raise
        raise Unavailable("database") from fault
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, sqlite3.Error) as fault:
        raise Unavailable("database") from fault
    except exc.DBAPIError as fault:
        # asyncpg reports a lost connection, a full disk and a stopping server as plain DBAPIError.
        if fault.connection_invalidated or _is_outage(fault) or faults.is_damaged(fault):
            raise Unavailable("database") from fault
        raise


def _is_outage(fault: exc.DBAPIError) -> bool:
    state = str(getattr(fault.orig, "sqlstate", None) or getattr(fault.orig, "pgcode", None) or "")
    # 08 connection, 53 resources (disk full), 57 intervention (shutdown), 58 system, 40 serialisation or deadlock, 3D
    # no such database and 28 no access (moved, or its password changed), 25006 read-only (a failed-over standby), 55P03
    # a lock that was not granted in time.
    return state[:2] in {"08", "53", "57", "58", "40", "3D", "28"} or state in {"25006", "55P03"}


async def is_reachable(store: Store) -> bool:
    """For /readyz: whether a statement succeeds within a second."""
    try:
        async with asyncio.timeout(1), store.read() as db:
            await db.value(text("SELECT 1"))
    except (Unavailable, TimeoutError):
        return False
    return True
