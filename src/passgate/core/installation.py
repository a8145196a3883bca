"""Secrets of the installation, made once and stored sealed. They outlive every key of the ring: what is keyed with them
keeps its name when keys are rotated. Whether the keys are those of the database can be told by it.

Not here: the keys themselves (`seal`).
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, inspect, select, update

from passgate.core import ledger
from passgate.core.ctx import Services
from passgate.seal import Unreadable
from passgate.settings import KEY_FILE
from passgate.store import Db
from passgate.store.tables import installation_secret as table

log = logging.getLogger(__name__)

MISSING, WRONG = "KEYS_MISSING", "KEYS_WRONG"
"""Codes of `key_reasons`."""
_WRONG = "The database was written with other keys than PASSGATE_SECRETS or the key file has: restore the newest ones."
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


async def key_reasons(services: Services) -> list[tuple[str, str]]:
    """Why nothing should be written with the keys at hand, as (CODE, text): the database holds what others have sealed.
    MISSING: there are none, so a fresh one would be made. WRONG: they don't open it. Makes and writes nothing, and may
    be asked of a database that is empty or behind."""
    async with services.store.read() as db:
        has_secret, has_trail = await db.run(_tables_there)
        sealed = await db.value(_STORED) if has_secret else None
        mac = await ledger.newest_mac(db) if has_trail else None
    if sealed is None and mac is None:
        return []
    # Asked after the rows: another process makes its key file before it writes one.
    if services.ring.is_missing:
        where = services.settings.data / KEY_FILE
        text = f"PASSGATE_SECRETS isn't set and there is no {where}, but the database was written with keys: "
        return [(MISSING, text + "set what your program sets, or restore the key file.")]
    is_open = services.ring.knows(mac) if sealed is None and mac is not None else _opened(services, sealed) is not None
    return [] if is_open else [(WRONG, _WRONG)]


def _tables_there(connection: Connection) -> tuple[bool, bool]:
    found = inspect(connection)
    return found.has_table(table.name), found.has_table("audit_event")


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
