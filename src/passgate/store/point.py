"""Single-row reads with the least overhead, for endpoints that answer thousands of requests a second. A statement is
compiled once and run by bare driver calls. On SQLite it runs in the event loop's thread: an indexed look-up takes a few
microseconds, a hop to a thread ten times that, and a reader in WAL mode never blocks. On PostgreSQL it runs on a small
asyncpg pool with prepared statements.

Not here: writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from operator import itemgetter
from typing import Any, Protocol

from sqlalchemy import Select
from sqlalchemy.dialects import postgresql, sqlite

from passgate.errors import Unavailable
from passgate.settings.database import SqliteFile
from passgate.store.engines import read_only
from passgate.store.pooler import Pooler


class Lookup:
    """A SELECT with one parameter. Create it once, at import; it is compiled when first used."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        names = [column.name for column in statement.selected_columns]
        self.index = {name: place for place, name in enumerate(names)}

    @cached_property
    def sqlite(self) -> str:
        return str(self._statement.compile(dialect=sqlite.dialect()))

    @cached_property
    def postgres(self) -> str:
        return str(self._statement.compile(dialect=postgresql.asyncpg.dialect()))  # type: ignore[no-untyped-call]

    def several(self, *names: str) -> Callable[[Any], tuple[Any, ...]]:
        """Reads these columns of a row at once, which costs a tenth of reading each by name."""
        return itemgetter(*(self.index[name] for name in names))

    def named(self, row: Any) -> NamedRow:
        return NamedRow(row, self.index)


class NamedRow(Mapping[str, Any]):
    """A row of a Lookup, read by column name."""

    __slots__ = ("_index", "_row")

    def __init__(self, row: Any, index: dict[str, int]) -> None:
        self._row, self._index = row, index

    def __getitem__(self, name: str) -> Any:
        return self._row[self._index[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


class PointReader(Protocol):
    async def one(self, lookup: Lookup, key: Any) -> Any | None:
        """The first row as a tuple, in the order of the SELECT, or None."""

    async def close(self) -> None: ...


class _SqlitePoint:
    def __init__(self, file: SqliteFile) -> None:
        self._uri = read_only(file)
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False

    async def one(self, lookup: Lookup, key: Any) -> Any | None:
        if self._is_closed:  # nothing would close a connection opened now
            raise Unavailable("database")
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._uri, uri=True, isolation_level=None, timeout=0.05, cached_statements=16
                )
            return self._connection.execute(lookup.sqlite, (key,)).fetchone()
        except sqlite3.Error as fault:
            self._drop()
            raise Unavailable("database") from fault

    async def close(self) -> None:
        self._is_closed = True
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _PostgresPoint:
    def __init__(self, pooler: Pooler) -> None:
        self._pooler = pooler
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def one(self, lookup: Lookup, key: Any) -> Any | None:
        import asyncpg  # noqa: PLC0415  an extra: only deployments on PostgreSQL have it

        try:
            if self._pool is None:
                await self._open()
            async with self._pool.acquire() as connection:
                try:
                    if not self._pooler.is_there:
                        return await connection.fetchrow(lookup.postgres, key)
                    async with connection.transaction(readonly=True):  # so that one session of the server answers it
                        return await connection.fetchrow(lookup.postgres, key)
                except asyncpg.InternalClientError:
                    # The server died in the middle of a message, so the driver's protocol state is undefined.
                    connection.terminate()
                    raise
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            OSError,
            TimeoutError,
        ) as fault:
            raise Unavailable("database") from fault

    async def _open(self) -> None:
        import asyncpg  # noqa: PLC0415

        async with self._opening:
            if self._is_closed:  # nothing would close a pool opened now
                raise Unavailable("database")
            if self._pool is None:
                await self._pooler.ask()
                read_only = dict(self._pooler.server.settings) | {"default_transaction_read_only": "on"}
                more: dict[str, Any] = {"server_settings": read_only}
                if self._pooler.is_there:
                    more = {"statement_cache_size": 0}
                self._pool = await asyncpg.create_pool(
                    **self._pooler.server.arguments(reading=True),
                    **more,
                    min_size=1,
                    max_size=8,
                    command_timeout=5,
                    reset=_nothing,
                )

    async def close(self) -> None:
        self._is_closed = True
        async with self._opening:
            if self._pool is not None:
                await self._pool.close()


async def _nothing(_connection: Any) -> None:
    """Nothing to reset: these connections run single SELECTs and have no session state, so a round trip is saved."""


def point_reader(database: SqliteFile | Pooler) -> PointReader:
    return _SqlitePoint(database) if isinstance(database, SqliteFile) else _PostgresPoint(database)
