"""Views that a host has made over our tables, in the same database, survive an upgrade, and nothing else minds them.

Not here: what becomes of our own rows (`test_upgrade`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from passgate.errors import Conflict
from passgate.settings.database import SqliteFile, read_database
from passgate.store import Store
from passgate.store.migrate import config, revision, upgrade
from passgate.store.schema import SCHEMA
from tests.cli.shell import Shell
from tests.servers import Postgres

REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(config(SCHEMA)).walk_revisions())
CHANGED = {"0001", "0004", "0006", "0010"}
"""Each of those after which tables were made again, or columns renamed or dropped, and which have others than the one
before."""
TYPICAL = {
    "users": "SELECT id, email AS \"e-mail\", ':x', '100%' FROM person WHERE disabled_at IS NULL",
    "passwords": "SELECT person_id, created_at FROM credential WHERE kind = 'password' AND revoked_at IS NULL",
    "user roles": "SELECT email, role FROM person JOIN role_grant ON role_grant.person_id = person.id",
    "history": "SELECT at, event, actor_id FROM audit_event",
    "active users": "SELECT * FROM users JOIN history ON history.actor_id = users.id",
}
"""As a program would make them: over the tables that every version has."""


def named(name: str) -> str:
    return f'"{name}"'


def make(connection: Connection, views: dict[str, str]) -> None:
    for name, query in views.items():
        connection.exec_driver_sql(f"CREATE VIEW {named(name)} AS {query}")


def of_everything(connection: Connection) -> dict[str, str]:
    """A view over each table of this revision, with all its columns by name."""
    found = inspect(connection)
    tables = [table for table in found.get_table_names() if table != "alembic_version"]
    columns = {table: ", ".join(column["name"] for column in found.get_columns(table)) for table in tables}
    return {f"all of {table}": f'SELECT {columns[table]} FROM "{table}"' for table in tables}


def objects(connection: Connection) -> list[tuple[str, str]]:
    """A host's, with the text that made them."""
    query = text("SELECT name, sql FROM sqlite_master WHERE type IN ('view', 'trigger') ORDER BY name")
    return [(row.name, row.sql) for row in connection.execute(query)]


def dead(connection: Connection, views: dict[str, str]) -> set[str]:
    """Those that can't be read."""
    found = set[str]()
    for name in views:
        try:
            connection.exec_driver_sql(f"SELECT * FROM {named(name)}").all()
        except DBAPIError:
            found.add(name)
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(SqliteFile(tmp_path / "passgate.db"), SCHEMA)
    yield made
    await made.close()


@pytest.mark.parametrize("version", sorted({*CHANGED, REVISIONS[-2]}))
async def test_they_survive_each_migration_of_sqlite(store: Store, tmp_path: Path, version: str) -> None:
    views = dict(TYPICAL)

    def fill(connection: Connection) -> None:
        command.upgrade(config(SCHEMA, connection=connection), version)
        assert objects(connection) == [], "none are ours"
        views.update(of_everything(connection))
        make(connection, views)
        connection.exec_driver_sql(
            "CREATE TRIGGER moved INSTEAD OF UPDATE ON users BEGIN UPDATE person SET email = 'x' WHERE id = NEW.id; END"
        )

    async with store.write() as db:
        await db.run(fill)
        before = await db.run(objects)
    assert await upgrade(store, lock=tmp_path / "lock")
    async with store.write() as db:
        assert await db.run(objects) == before
        unread = await db.run(lambda connection: dead(connection, views))
        assert unread == await db.run(lambda connection: {name for name in views if lost(connection, name, before)})
        assert await db.run(ours) == []
    assert not unread & TYPICAL.keys()


def lost(connection: Connection, name: str, made_by: list[tuple[str, str]]) -> bool:
    """Whether a view of everything names a table or a column that there is no longer."""
    if not name.startswith("all of "):
        return False
    table, found = name.removeprefix("all of "), inspect(connection)
    if not found.has_table(table):
        return True
    columns = dict(made_by)[name].partition("SELECT ")[2].rpartition(" FROM ")[0].split(", ")
    return not {column["name"] for column in found.get_columns(table)}.issuperset(columns)


def ours(connection: Connection) -> list[object]:
    """How our tables differ from what the code knows."""
    return list(compare_metadata(MigrationContext.configure(connection), SCHEMA.metadata))


async def test_an_upgrade_that_fails_leaves_them(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(connection: Connection) -> None:
        command.upgrade(config(SCHEMA, connection=connection), REVISIONS[-2])
        make(connection, TYPICAL)

    async with store.write() as db:
        await db.run(fill)
        before = await db.run(objects)

    def broken(*_given: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(command, "upgrade", broken)
        await upgrade(store, lock=tmp_path / "lock")
    async with store.write() as db:
        assert await db.run(objects) == before
    assert len(before) == len(TYPICAL)


async def test_sqlite_refuses_a_trigger_on_a_table_that_goes(store: Store, tmp_path: Path) -> None:
    """Nothing was done, and without the trigger the upgrade runs."""

    def fill(connection: Connection) -> None:
        command.upgrade(config(SCHEMA, connection=connection), "0003")
        make(connection, TYPICAL)
        connection.exec_driver_sql("CREATE TRIGGER seen AFTER INSERT ON telling BEGIN SELECT 1; END")

    async with store.write() as db:
        await db.run(fill)
        before = await db.run(objects)
    with pytest.raises(Conflict):
        await upgrade(store, lock=tmp_path / "lock")
    assert await revision(store) == "0003"
    async with store.write() as db:
        assert await db.run(objects) == before
        await db.change(text("DROP TRIGGER seen"))
    assert await upgrade(store, lock=tmp_path / "lock")


@pytest.mark.pg
async def test_postgresql_refuses_what_a_view_needs(postgres: Postgres, tmp_path: Path) -> None:
    """A column that gets another type and one that is dropped. What a view doesn't need may change."""
    url = postgres.create_database()
    store = Store(read_database(url), SCHEMA)
    needing = {"keys": "SELECT id, email_key FROM person", "signups": "SELECT name, signup FROM tenant"}

    def fill(connection: Connection) -> None:
        command.upgrade(config(SCHEMA, connection=connection), "0008")
        make(connection, {"users": "SELECT id, email FROM person", **needing})

    async with store.write() as db:
        await db.run(fill)
    for view in needing:
        with pytest.raises(Conflict):
            await upgrade(store, lock=tmp_path / "lock")
        assert await revision(store) == "0008"
        async with store.write() as db:
            await db.change(text(f"DROP VIEW {view}"))
    assert await upgrade(store, lock=tmp_path / "lock")
    async with store.read() as db:
        assert await db.rows(text("SELECT id, email FROM users")) == []
    await store.close()
    postgres.drop_database(url)


def test_commands_ignore_what_is_a_hosts_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, views, and those that can't be read any more."""
    shell = Shell(tmp_path / "data", capsys)
    assert shell("migrate").code == 0
    with closing(sqlite3.connect(shell.data / "passgate.db")) as db, db:
        db.execute("CREATE TABLE forum (id INTEGER PRIMARY KEY, person_id TEXT REFERENCES person (id))")
        for name, query in {**TYPICAL, "stale": "SELECT gone FROM person", "staler": "SELECT 1 FROM gone"}.items():
            db.execute(f"CREATE VIEW {named(name)} AS {query}")
    assert shell("doctor").out == "ok\n"
    assert shell("migrate").code == 0
    assert shell("user", "add", "anna@example.com").code == 0
    assert shell("backup", str(tmp_path / "copy.db")).code == 0
    assert shell("audit", "verify").code == 0
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute('SELECT "e-mail" FROM users').fetchall() == [("anna@example.com",)]
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'view'").fetchone() == (len(TYPICAL) + 2,)
