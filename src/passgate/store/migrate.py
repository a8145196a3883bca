"""Upgrades a database to the newest schema, or reports that it is behind. Alembic is imported only when there is work
to do: a server that starts on a current database never loads it.

Not here: what a schema means, which is `schema` and `tables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError

from passgate import files
from passgate.errors import Conflict, UnsafeSettings
from passgate.store.schema import Schema
from passgate.store.unit import Store


async def revision(store: Store, *, serving: bool = False) -> str | None:
    """The schema's revision, or None for an empty database. `serving`: the file exists, so reading suffices, and a
    readiness check waits for no writer."""
    async with store.read() if serving else store.write() as db:
        if not await db.run(lambda connection: inspect(connection).has_table("alembic_version")):
            return None
        found = await db.value(text("SELECT version_num FROM alembic_version"))
        return str(found) if found else None


async def is_behind(store: Store, *, serving: bool = False) -> bool:
    return await revision(store, serving=serving) != store.schema.head


async def schema_reasons(store: Store, *, serving: bool = False) -> list[tuple[str, str]]:
    """Why this schema can't be served: it is older than this program, or newer."""
    found = await revision(store, serving=serving)
    if found == store.schema.head:
        return []
    return [_AHEAD] if found and found not in store.schema.revisions() else [_BEHIND]


_BEHIND = ("DATABASE_BEHIND", "The database schema is out of date. Run `passgate migrate`.")
_AHEAD = (
    "DATABASE_AHEAD",
    "The database schema is newer than this program. Start the newer version, or restore the backup made before it.",
)


async def upgrade(store: Store, *, lock: Path) -> bool:
    """True if an upgrade ran. Processes that start concurrently take turns by locking the file `lock`. Raises Conflict
    if something of a host's own is in the way, and UnsafeSettings if the schema is newer than this program."""
    async with files.locked(lock):
        reasons = await schema_reasons(store)
        if not reasons:
            return False
        if _AHEAD in reasons:
            raise UnsafeSettings(reasons)
        try:
            async with store.write() as db:
                if db.is_postgres:  # other machines may start at the same time
                    await db.value(text("SELECT pg_advisory_xact_lock(7241958263)"))
                await db.run(lambda connection: _run(store.schema, connection))
        except DBAPIError as refused:
            if getattr(refused.orig, "sqlstate", None) in _NEEDED:
                raise _in_the_way() from refused
            raise
        return True


def _in_the_way() -> Conflict:
    return Conflict("A view or trigger of yours needs what the upgrade changes: drop it, and make it again after.")


_NEEDED = {"2BP01", "0A000"}
"""PostgreSQL's states if a view has a column that is to be dropped, or to get another type."""


def config(schema: Schema, **attributes: Any) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    made = Config()
    made.set_main_option("script_location", str(schema.migrations))
    made.attributes.update(attributes, metadata=schema.metadata)
    return made


def _run(schema: Schema, connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415

    with _views_put_aside(connection):
        command.upgrade(config(schema, connection=connection), "head")


@contextmanager
def _views_put_aside(connection: Connection) -> Iterator[None]:
    """Views and triggers in the same file are a host's own: we have none. SQLite refuses to rename a table or a column
    while one of them names something that is gone, if only until a table is rebuilt; so they are dropped before and
    made again word for word after, in the same transaction. A view may be created over what no longer exists: it then
    fails where it is read. (PostgreSQL changes what views don't use, and refuses the rest.)"""
    if connection.dialect.name != "sqlite":
        yield
        return
    found = connection.execute(_VIEWS).all()
    for kind, name, _ in reversed(found):
        quoted = connection.dialect.identifier_preparer.quote_identifier(name)
        connection.exec_driver_sql(f"DROP {kind} IF EXISTS {quoted}")
    yield
    try:
        for _, _, made_by in found:
            connection.exec_driver_sql(made_by)
    except OperationalError as refused:  # a trigger on a table that is gone
        raise _in_the_way() from refused


_VIEWS = text("SELECT type, name, sql FROM sqlite_master WHERE type IN ('view', 'trigger') ORDER BY type DESC, rowid")
"""Views first: a trigger may belong to one."""
