"""Secrets of the installation, made once and stored sealed. They outlive every key of the ring: what is keyed with them
keeps its name when keys are rotated.

Not here: the keys themselves (`seal`).
"""

from __future__ import annotations

import logging

from sqlalchemy import select, update

from passgate.core.ctx import Services
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import installation_secret as table

log = logging.getLogger(__name__)

_NAME = "budgets"
_WHERE = f"installation_secret:{_NAME}"
_STORED = select(table.c.value_sealed).where(table.c.name == _NAME)


async def load(services: Services) -> None:
    """Load the secret into the ring; make it at the first start. If its key is lost a new one is made: counters then
    start anew, which is logged."""
    async with services.store.write() as db:
        sealed = await db.value(_STORED)
        if _opened(services, sealed) is None:
            await _replace(services, db, sealed)
            sealed = await db.value(_STORED)
    secret = _opened(services, sealed)
    if secret is None:
        raise Unreadable(_NAME)
    services.ring.load_stable(secret)


async def is_foreign(services: Services) -> bool:
    """Whether the present keys do not open the secret that is stored."""
    async with services.store.read() as db:
        sealed = await db.value(_STORED)
    return sealed is not None and _opened(services, sealed) is None


async def _replace(services: Services, db: Db, seen: bytes | None) -> None:
    """Store a fresh secret, unless another process has just done so."""
    fresh = services.ring.seal("installation", _WHERE, services.world.bytes(32))
    if seen is None:
        await db.change(db.upsert(table).values(name=_NAME, value_sealed=fresh).on_conflict_do_nothing())
        return
    log.warning("the secret of the counters is encrypted with a missing key")
    same = update(table).where(table.c.name == _NAME, table.c.value_sealed == seen)
    await db.change(same.values(value_sealed=fresh))


def _opened(services: Services, sealed: bytes | None) -> bytes | None:
    try:
        return services.ring.unseal("installation", _WHERE, sealed) if sealed else None
    except Unreadable:
        return None
