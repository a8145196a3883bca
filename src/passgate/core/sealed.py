"""Key rotation: everything that is stored sealed, and outlives a few minutes, is sealed again under the newest key. The
columns are declared in `store.tables`; nothing is listed here.

Not here: the keys themselves (`seal`), and what a column means (the module that owns its table).
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Column, RowMapping, Table, func, select, update

from passgate.core.ctx import Services
from passgate.seal import Unreadable
from passgate.store.tables import credential, sealed_columns

log = logging.getLogger(__name__)

_BATCH = 200


async def rewrap(services: Services) -> int:
    """Reseal what is sealed under an older key; returns how many credentials. Updates a row only if it is unchanged
    since it was read, and never a credential's `version`: the secret stays the same."""
    done = {column.table.name: await _column(services, column) for column in sealed_columns()}
    return done[credential.name]


async def _column(services: Services, column: Column[Any]) -> int:
    table, current = column.table, services.ring.head
    [key] = table.primary_key.columns
    done, last = 0, ""
    while True:
        older = select(key, column).where(key > last, func.substr(column, 1, len(current)) != current)
        async with services.store.read() as db:
            page = await db.rows(older.order_by(key).limit(_BATCH))
        for row in page:
            done += await _row(services, column, key, row)
        if len(page) < _BATCH:
            return done
        last = page[-1][key.name]


async def _row(services: Services, column: Column[Any], key: Column[Any], row: RowMapping) -> int:
    table: Table = column.table
    purpose, where = column.info["purpose"], f"{table.name}:{row[key.name]}"
    try:
        plain = services.ring.unseal(purpose, where, row[column.name])
    except Unreadable:
        log.warning("a row is encrypted with a missing key", extra={"row": where})
        return 0
    same = update(table).where(key == row[key.name], column == row[column.name])
    async with services.store.write() as db:
        return await db.change(same.values({column.name: services.ring.seal(purpose, where, plain)}))
