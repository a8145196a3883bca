"""What a PostgreSQL database must be for us, asked before anything is written: its encoding, what our role may do
there, and a pooler that keeps a transaction together.

Not here: whether its schema is the newest, which is `migrate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from passgate.errors import Unavailable
from passgate.settings.database import PostgresServer, SqliteFile
from passgate.store.faults import READ_ONLY
from passgate.store.pooler import plain_connection
from passgate.store.unit import Store

_PLACE = """
SELECT current_setting('server_encoding') AS encoding, current_schema() AS schema, current_user AS role,
       has_schema_privilege(current_schema(), 'CREATE') AS may_create, pg_backend_pid() AS process,
       current_setting('transaction_read_only') AS read_only
"""
_TABLES = """
SELECT c.relname AS name, pg_has_role(c.relowner, 'USAGE') AS is_ours,
       has_table_privilege(c.oid, 'SELECT') AND (c.relname = 'alembic_version' OR (has_table_privilege(c.oid, 'INSERT')
       AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))) AS may_use
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname = ANY($1::text[]) ORDER BY c.relname
"""


async def reasons(store: Store, *, migrating: bool = False) -> list[tuple[str, str]]:
    """Empty for a database that can be served, or migrated. Raises Unavailable."""
    server = store.database
    if isinstance(server, SqliteFile):
        return []
    if found := list(_file_reasons(server)):
        return found
    import asyncpg  # noqa: PLC0415  an extra: only deployments on PostgreSQL have it

    try:
        connection = await plain_connection(server)
        try:
            return await _asked(connection, server, [*store.schema.metadata.tables, "alembic_version"], migrating)
        finally:
            await connection.close(timeout=server.timeout)
    except asyncpg.ClientConfigurationError:
        return [("DATABASE_URL", "PASSGATE_DATABASE_URL asks for a verified server. Set sslrootcert too.")]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as fault:
        if "transaction blocks not allowed" in str(fault):  # as PgBouncer says it of statement pooling
            return [_POOLING]
        raise Unavailable("database") from fault


_POOLING = ("DATABASE_POOLING", "The pooler gives every statement another session. Set pool_mode = transaction there.")


def _file_reasons(server: PostgresServer) -> Iterator[tuple[str, str]]:
    for name, path in server.files:
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as fault:
            yield "DATABASE_TLS", f"The file of {name} in PASSGATE_DATABASE_URL can't be read ({fault.strerror})."


async def _asked(connection: Any, server: PostgresServer, names: list[str], migrating: bool) -> list[tuple[str, str]]:
    async with connection.transaction():
        for setting in server.settings:  # they decide which schema is ours, and who we are there
            await connection.execute("SELECT set_config($1, $2, true)", *setting)
        place = await connection.fetchrow(_PLACE)
        tables = await connection.fetch(_TABLES, names)
    found = []
    if place["encoding"] != "UTF8":
        text = f"The database has the encoding {place['encoding']}, so names could not be stored. Create it anew, with "
        found.append(("DATABASE_ENCODING", f"{text}ENCODING 'UTF8' TEMPLATE template0."))
    if place["read_only"] == "on":
        found.append(READ_ONLY)
    if server.target != "any" and place["process"] != connection.get_server_pid():
        text = "Behind a pooler, target_session_attrs finds out nothing. Remove it from PASSGATE_DATABASE_URL."
        found.append(("DATABASE_POOLING", text))
    if place["schema"] is None:
        text = f"The role {place['role']} may use no schema of this database that is in its search_path."
        found.append(("DATABASE_RIGHTS", f"{text} Run: GRANT USAGE, CREATE ON SCHEMA public TO {place['role']};"))
    elif migrating:
        found += _migration_rights(place, tables)
    elif missing := [table["name"] for table in tables if not table["may_use"]]:
        text = f"The role {place['role']} may not read and write {_listed(missing)} in schema {place['schema']}."
        grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {place['schema']} TO {place['role']};"
        found.append(("DATABASE_RIGHTS", f"{text} Run: {grant}"))
    return found


def _migration_rights(place: Any, tables: list[Any]) -> list[tuple[str, str]]:
    if foreign := [table["name"] for table in tables if not table["is_ours"]]:
        text = f"Only their owner can migrate {_listed(foreign)}. Run `passgate migrate` with the role that owns them."
        return [("DATABASE_RIGHTS", text)]
    if not place["may_create"]:
        text = f"The role {place['role']} may create no tables in schema {place['schema']}."
        return [("DATABASE_RIGHTS", f"{text} Run: GRANT CREATE ON SCHEMA {place['schema']} TO {place['role']};")]
    return []


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more tables" if len(names) > 3 else "")
