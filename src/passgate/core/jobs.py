"""What is done beside requests: seal the audit trail, deliver mail, purge what is over, seal anew under a new key.

Each job may run in any number of processes at once; what it does lives in the room it serves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import RowMapping, func, select, update

from passgate.core import credentials, ledger, once, outbox, pending, sessions, throttle
from passgate.core.ctx import Ctx, Services
from passgate.core.factors import password
from passgate.core.message import Mailer
from passgate.errors import Unavailable
from passgate.seal import Unreadable
from passgate.store.tables import credential
from passgate.world import SECOND

log = logging.getLogger(__name__)

_ROUND = 0.5
"""Seconds between two rounds; a mail laid in this process wakes the worker at once."""
_SLOW = 60
"""Seconds between two purges."""
_HOUR, _MONTH = 3600 * SECOND, 30 * 24 * 3600 * SECOND
_YEAR = 366 * 24 * 3600 * SECOND
_BATCH = 200


async def run(services: Services, mailer: Mailer, stop: asyncio.Event) -> None:
    """Until `stop` is set and what is in hand is done: a mail that was claimed and dropped would wait out its lease.
    Mails have a line of their own: a slow mail server holds up nothing else."""
    async with asyncio.TaskGroup() as lines:
        lines.create_task(_deliver(services, mailer, stop))
        lines.create_task(_housekeeping(services, stop))


async def _deliver(services: Services, mailer: Mailer, stop: asyncio.Event) -> None:
    while not stop.is_set():
        async with _going_on():
            await outbox.deliver(services, mailer)
        await _pause(services.wake)
        services.wake.clear()


async def _pause(until: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_ROUND):
            await until.wait()


async def _housekeeping(services: Services, stop: asyncio.Event) -> None:
    slow_at, sealed_under = 0, b""
    while not stop.is_set():
        async with _going_on():
            await ledger.seal(services)
            if services.world.now() >= slow_at:
                slow_at = services.world.now() + _SLOW * SECOND
                await tidy(services)
            if services.ring.head != sealed_under:
                sealed_under = services.ring.head
                await rewrap(services)
        await _pause(stop)


@asynccontextmanager
async def _going_on() -> AsyncIterator[None]:
    """A database that is away is waited for. A worker that dies in silence would leave mails unsent: of anything else
    it says what happened and goes on."""
    try:
        yield
    except Unavailable as fault:
        log.warning("jobs wait", extra={"down": fault.down})
    except Exception:
        log.exception("job failed")


async def run_due(services: Services, mailer: Mailer) -> None:
    await outbox.deliver(services, mailer)
    await ledger.seal(services)


async def tidy(services: Services) -> None:
    await purge(services)
    async with services.store.read() as db:
        services.hasher.know(await password.schemes(db))


async def purge(services: Services) -> None:
    """Drop sign-ins and tickets an hour after their end, mails and sessions a month after theirs (a session that is
    over still tells a known device from a new one), remembered browsers after the longest time that rules can name."""
    now = services.world.now()
    async with services.store.write(heavy=True) as db:
        await once.purge(db, now - _HOUR)
        await pending.purge(db, now - _HOUR)
        await outbox.purge(db, now - _MONTH)
        await sessions.purge(db, now - _MONTH)
        await credentials.purge_browsers(db, now - _YEAR)
        await throttle.purge(Ctx(services), db)


async def rewrap(services: Services) -> int:
    """Seal credentials anew that were sealed under an older key; returns how many. Moves a row only if it is still
    the one that was read, and never its `version`: the secret stays what it was."""
    done, last = 0, ""
    current = services.ring.head
    while True:
        async with services.store.read() as db:
            query = select(credential.c.id, credential.c.secret_sealed).where(
                credential.c.id > last, func.substr(credential.c.secret_sealed, 1, len(current)) != current
            )
            page = await db.rows(query.order_by(credential.c.id).limit(_BATCH))
        for row in page:
            done += await _rewrapped(services, row)
        if len(page) < _BATCH:
            return done
        last = page[-1]["id"]


async def _rewrapped(services: Services, row: RowMapping) -> int:
    where = f"credential:{row['id']}"
    try:
        plain = services.ring.unseal("credential", where, row["secret_sealed"])
    except Unreadable:
        log.warning("a credential is sealed under a key that is not here", extra={"credential": row["id"]})
        return 0
    same = update(credential).where(credential.c.id == row["id"], credential.c.secret_sealed == row["secret_sealed"])
    async with services.store.write() as db:
        return await db.change(same.values(secret_sealed=services.ring.seal("credential", where, plain)))
