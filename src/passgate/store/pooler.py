"""Whether a connection pooler such as PgBouncer stands before a PostgreSQL server. It is found out once, at the first
connection: nobody has to know, and a pooler that pools whole sessions is treated alike.

Not here: what follows from it, which is in `engines` and `point`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from passgate.errors import Unavailable
from passgate.settings.database import PostgresServer


class Pooler:
    """`is_there` is None until `ask` was answered."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.is_there: bool | None = None
        self._asking = asyncio.Lock()

    async def ask(self) -> None:
        """Raises Unavailable."""
        import asyncpg  # noqa: PLC0415  an extra: only deployments on PostgreSQL have it

        async with self._asking:
            if self.is_there is not None:
                return
            try:
                self.is_there = await self._asked()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as fault:
                raise Unavailable("database") from fault

    async def _asked(self) -> bool:
        """A pooler makes up the process number that it tells a client as it connects."""
        connection = await plain_connection(self.server)
        try:
            async with connection.transaction():
                return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())
        finally:
            await connection.close(timeout=self.server.timeout)


async def plain_connection(server: PostgresServer) -> Any:
    """One that works whatever stands before the server, in transactions."""
    import asyncpg  # noqa: PLC0415

    return await asyncpg.connect(**server.arguments(), statement_cache_size=0, command_timeout=server.timeout)
