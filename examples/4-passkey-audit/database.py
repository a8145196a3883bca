"""The service's three tables, as views over Passgate's in app.db.

Not here: what the views show (views.sql), and the lock of whoever uses app.db (lock.py).
"""

import asyncio
import sqlite3
from pathlib import Path

from passgate import Passgate

VIEWS = Path(__file__).with_name("views.sql")


async def make_views(gate: Passgate) -> None:
    """Anew at each start, in one transaction: they may be those of an older version. PostgreSQL has none."""
    if gate.settings.is_sqlite:
        await asyncio.to_thread(_make, gate.settings.database_file)


def _make(path: Path) -> None:
    database = sqlite3.connect(path, timeout=30)
    try:
        database.executescript(VIEWS.read_text())
    finally:
        database.close()
