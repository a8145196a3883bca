"""Queues of rows that one process at a time works on: claim a row, put it off, give it back. The row count of one
UPDATE that moves `due_at` decides who has it; a process that dies leaves it to another when the lease is over.

Not here: what is done with a row, which is closed by its own module (`outbox`, `observers`,
`job_worker`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, update

from passgate.core.ctx import Services
from passgate.store import Db
from passgate.world import SECOND


@dataclass(frozen=True, slots=True)
class Lease:
    """A row that this process works on, until then. `is_mine`: the condition of every statement on it."""

    is_mine: tuple[ColumnElement[bool], ...]
    attempts: int
    until: int


@dataclass(frozen=True, slots=True)
class LeasedQueue:
    """A table with the columns `due_at` and `attempts`. `seconds` a process has for one row; `pauses` in seconds after
    the first failure, the second, and so on."""

    table: Table
    key: tuple[str, ...]
    seconds: int
    pauses: tuple[int, ...]

    async def claim(
        self, services: Services, db: Db, row: RowMapping, *still: ColumnElement[bool], **marks: Any
    ) -> Lease | None:
        """None if another process was faster. `still`: what must hold of the row besides; `marks`: what else is written
        into it."""
        until = services.world.now() + self.seconds * SECOND
        move = update(self.table).where(*self._is(row, row["due_at"]), *still)
        values: dict[str, Any] = {"due_at": until, "attempts": self.table.c.attempts + 1, **marks}
        if not await db.change(move.values(**values)):
            return None
        return Lease(self._is(row, until), row["attempts"] + 1, until)

    async def renew(self, services: Services, row: RowMapping, lease: Lease) -> Lease | None:
        """The lease from now on; None if another process has the row, or it is gone."""
        until = services.world.now() + self.seconds * SECOND
        is_renewed = await self._due(services, lease, until)
        return Lease(self._is(row, until), lease.attempts, until) if is_renewed else None

    async def later(self, services: Services, lease: Lease, **marks: Any) -> None:
        """Try again after a pause, unless the lease is over and another process has the row."""
        pause = self.pauses[min(lease.attempts, len(self.pauses)) - 1]
        await self._due(services, lease, services.world.now() + pause * SECOND, **marks)

    async def give_back(self, services: Services, lease: Lease, **marks: Any) -> None:
        """Another process need not wait for the end of the lease."""
        await self._due(services, lease, services.world.now(), **marks)

    async def _due(self, services: Services, lease: Lease, at: int, **marks: Any) -> bool:
        async with services.store.write() as db:
            return await db.change(update(self.table).where(*lease.is_mine).values(due_at=at, **marks)) == 1

    def _is(self, row: RowMapping, due_at: int) -> tuple[ColumnElement[bool], ...]:
        return (*self.row_is(row), self.table.c.due_at == due_at)

    def row_is(self, row: RowMapping) -> tuple[ColumnElement[bool], ...]:
        return tuple(self.table.c[name] == row[name] for name in self.key)
