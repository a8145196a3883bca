"""Upgrades a database to the newest schema, or reports that it is behind. Alembic is imported only when there is work
to do: a server that starts on a current database never loads it.

Not here: what a schema means, which is `schema` and `tables`.
"""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

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


async def upgrade(store: Store, *, lock: Path) -> bool:
    """True if an upgrade ran. Processes that start concurrently take turns by locking the file `lock`."""
    with lock.open("a") as lock_file:
        await asyncio.to_thread(fcntl.flock, lock_file, fcntl.LOCK_EX)
        if not await is_behind(store):
            return False
        async with store.write() as db:
            if db.is_postgres:  # other machines may start at the same time
                await db.value(text("SELECT pg_advisory_xact_lock(7241958263)"))
            await db.run(lambda connection: _run(store.schema, connection))
        return True


def config(schema: Schema, **attributes: Any) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    made = Config()
    made.set_main_option("script_location", str(schema.migrations))
    made.attributes.update(attributes, metadata=schema.metadata)
    return made


def _run(schema: Schema, connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415

    command.upgrade(config(schema, connection=connection), "head")
