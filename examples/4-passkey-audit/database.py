"""app.db while a server uses it: the service's three tables as views over Passgate's, and the lock.

Not here: what the views show (views.sql).
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lock import held

from passgate import Passgate

VIEWS = Path(__file__).with_name("views.sql")


@asynccontextmanager
async def in_use(gate: Passgate) -> AsyncIterator[None]:
    """Once Passgate has migrated it. PostgreSQL has neither views nor a file to reset."""
    if not gate.settings.is_sqlite:
        yield
        return
    path = gate.settings.database_file
    with held(path.parent):
        await asyncio.to_thread(_make_views, path)
        yield


def _make_views(path: Path) -> None:
    """Anew at each start, in one transaction: they may be those of an older version."""
    database = sqlite3.connect(path, timeout=30)
    try:
        database.executescript(VIEWS.read_text())
    finally:
        database.close()
