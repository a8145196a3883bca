"""A refusal's audit record is committed and a fault rolls everything back: an error is raised after each write of each
action, and all tables are compared.

What an action decides is tested elsewhere; here only what remains when it is interrupted. The catalogue says which
actions write.

An action may commit more than one transaction (a proof spends the budget in one and records the result in the next; a
mail is claimed in one and closed in another). What an earlier one committed stays. The tables are therefore compared
with their state when the interrupted transaction began, read inside it before its first statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, event

from passgate.core.audit import SYSTEM, deferred
from passgate.core.events import Event
from passgate.errors import Refusal
from passgate.settings.database import PostgresServer
from passgate.store.tables import audit_event, metadata
from tests import catalogue
from tests.catalogue.entry import Action
from tests.core.behind import Folk
from tests.kit import Tables, The, all_tables, running, settings_for
from tests.servers import Postgres

WRITING = ("INSERT", "UPDATE", "DELETE")


class Planted(Refusal):
    code = "planted"


class Broken(RuntimeError):
    """An unexpected fault, after which nothing may remain."""


@dataclass
class Saboteur:
    """Counts the writing statements of the writer's engine and raises after the n-th. `before`: the tables when the
    interrupted transaction began."""

    at: int = 0
    error: Exception | None = None
    count: int = 0
    transactions: int = 0
    looking: bool = False
    before: Tables = field(default_factory=dict)

    def begin(self, connection: Connection) -> None:
        if not self.looking:
            return
        self.transactions += 1
        if self.error is not None:
            self.before = all_tables(connection)

    def wrote(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not self.looking or not statement.lstrip().upper().startswith(WRITING):
            return
        self.count += 1
        if self.error is not None and self.count == self.at:
            self.looking = False  # the writes that store the refusal itself are not interrupted
            raise self.error


@contextmanager
def sabotaged(the: The, *, at: int = 0, error: Exception | None = None) -> Iterator[Saboteur]:
    engine = the.gate.services.store.writer.sync_engine
    made = Saboteur(at, error, looking=True)
    event.listen(engine, "begin", made.begin)
    event.listen(engine, "after_cursor_execute", made.wrote)
    try:
        yield made
    finally:
        event.remove(engine, "begin", made.begin)
        event.remove(engine, "after_cursor_execute", made.wrote)


WRITES = catalogue.writing()
ON_POSTGRES = [name for name, one in WRITES.items() if one.on_postgres]


@pytest.fixture
async def folk(tmp_path: Path) -> AsyncIterator[Folk]:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        yield Folk(the)


@pytest.fixture
async def folk_on_postgres(tmp_path: Path, postgres: Postgres, pg_template: str) -> AsyncIterator[Folk]:
    url = postgres.create_database(template=pg_template)
    async with running(settings_for(tmp_path, url, tenancy="multi")) as the:
        yield Folk(the)
    postgres.drop_database(url)


def without(tables: Tables, *names: str) -> Tables:
    return {name: rows for name, rows in tables.items() if name not in names}


@pytest.mark.parametrize("action", WRITES)
async def test_after_each_write_a_refusal_persists_and_a_fault_is_undone(folk: Folk, action: str) -> None:
    await _each_write(folk, action)


@pytest.mark.pg
@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("action", ON_POSTGRES)
async def test_the_same_on_postgres(folk_on_postgres: Folk, action: str, step: int) -> None:
    """After the last write and every third one, from another one on for each action; after all of them in the long
    run."""
    await _each_write(folk_on_postgres, action, step, ON_POSTGRES.index(action))


async def _each_write(folk: Folk, action: str, step: int = 1, first: int = 0) -> None:
    arrange, least = WRITES[action].arrange, WRITES[action].least
    act = await arrange(folk)
    is_sqlite = folk.the.gate.services.store.is_sqlite
    async with _stored_in_memory(folk) if is_sqlite else _stored_in_a_schema(folk) as put_back:
        with sabotaged(folk.the) as counting:
            await act()
        assert counting.count >= least, f"{action} writes {counting.count} times"
        for at in sorted({*range(1 + first % step, counting.count + 1, step), counting.count}):
            for interrupted in (_refused, _broken):
                await put_back()
                await interrupted(folk, act, at)


PutBack = Callable[[], Awaitable[Any]]
"""Every table becomes what was arranged, in a tenth of the time of arranging it again."""


@asynccontextmanager
async def _stored_in_memory(folk: Folk) -> AsyncIterator[PutBack]:
    place = folk.the.gate.settings.data / "passgate.db"
    with closing(sqlite3.connect(":memory:")) as arranged:
        with closing(sqlite3.connect(place)) as file:
            file.backup(arranged)

        async def put_back() -> None:
            with closing(sqlite3.connect(place)) as file:
                arranged.backup(file)

        yield put_back


@asynccontextmanager
async def _stored_in_a_schema(folk: Folk) -> AsyncIterator[PutBack]:
    """On PostgreSQL: in a copy of each table. Keys need no second check of rows that were there before."""
    copies = "".join(f"CREATE TABLE stored.{name} AS TABLE public.{name};" for name in metadata.tables)
    again = "".join(
        f"DELETE FROM public.{name}; INSERT INTO public.{name} TABLE stored.{name};" for name in metadata.tables
    )
    server = folk.the.gate.services.store.database
    assert isinstance(server, PostgresServer)
    connection = await asyncpg.connect(**server.arguments())
    try:
        await connection.execute(f"CREATE SCHEMA stored; {copies}")
        yield partial(connection.execute, f"BEGIN; SET LOCAL session_replication_role = replica; {again} COMMIT")
    finally:
        await connection.close()


async def _refused(folk: Folk, act: Action, at: int) -> None:
    fact = deferred(folk.ctx, Event.ACCESS_REFUSED, tenant_id=SYSTEM, planted=at)
    with sabotaged(folk.the, at=at, error=Planted(deferred=(fact,))) as broken, pytest.raises(Planted):
        await act()
    after = await folk.the.everything()
    assert without(after, "audit_event") == without(broken.before, "audit_event")
    known = {row["id"]: row for row in broken.before["audit_event"]}
    assert {row["id"]: row for row in after["audit_event"] if row["id"] in known} == known
    (row,) = [row for row in after["audit_event"] if row["id"] not in known]
    assert (row["event"], f'"planted":{at}' in row["facts"]) == (Event.ACCESS_REFUSED, True)


async def _broken(folk: Folk, act: Action, at: int) -> None:
    with sabotaged(folk.the, at=at, error=Broken()) as broken, pytest.raises(Broken):
        await act()
    assert await folk.the.everything() == broken.before


@pytest.mark.parametrize("action", WRITES)
async def test_an_action_broken_at_its_last_write_succeeds_when_asked_again(folk: Folk, action: str) -> None:
    """Nothing remains that would block the action: the same action succeeds right after the fault."""
    act = await WRITES[action].arrange(folk)
    with sabotaged(folk.the) as counting:
        await act()
    act = await WRITES[action].arrange(folk)
    with sabotaged(folk.the, at=counting.count, error=Broken()), pytest.raises(Broken):
        await act()
    folk.the.clock.forward(61)  # past the lease of a mail
    await act()


async def test_no_transaction_outlives_a_refusal(folk: Folk) -> None:
    """The write lock is released at once: the next action does not wait."""
    act = await WRITES["set_profile"].arrange(folk)
    with sabotaged(folk.the, at=1, error=Planted()), pytest.raises(Planted):
        await act()
    before = len(await folk.the.rows(audit_event))
    await act()
    assert len(await folk.the.rows(audit_event)) == before + 1
