"""Delivers mails from the outbox: claim a row, send, erase it. At least once, with a stable Message-ID.

Not here: the content of a mail (`mail`) and the SMTP client (`adapters`).
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import RowMapping, delete, select, update

from passgate.core.audit import record
from passgate.core.ctx import Ctx, Services, System
from passgate.core.events import Event
from passgate.core.message import Mailer, MailFailed, Message
from passgate.core.queue import Lease, LeasedQueue
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import outbox

log = logging.getLogger(__name__)

_QUEUE = LeasedQueue(outbox, ("tenant_id", "id"), 60, (2, 10, 30, 60, 300, 900))
_BATCH = 50


async def purge(db: Db, before: int) -> None:
    """Delete erased rows created before then."""
    await db.change(delete(outbox).where(outbox.c.message_sealed.is_(None), outbox.c.created_at < before))


async def deliver(services: Services, mailer: Mailer) -> int:
    """One round over the mails that are due; returns how many were sent."""
    async with services.store.read() as db:
        due = await db.rows(
            select(outbox.c.tenant_id, outbox.c.id, outbox.c.due_at, outbox.c.attempts)
            .where(outbox.c.message_sealed.is_not(None), outbox.c.due_at <= services.world.now())
            .order_by(outbox.c.id)
            .limit(_BATCH)
        )
    sent = 0
    for row in due:
        async with services.store.write() as db:
            lease = await _QUEUE.claim(services, db, row, outbox.c.message_sealed.is_not(None))
            claimed = await db.one(select(outbox).where(*lease.is_mine)) if lease else None
        if lease and claimed:
            sent += await _send(services, mailer, claimed, lease)
    return sent


async def settle(services: Services, mailer: Mailer, *, tries: int = 100) -> None:
    """Deliver, and wait (a second at most) for mails another worker has claimed: after the response to a sign-up, the
    mail must be in the development mailbox."""
    for _ in range(tries):
        await deliver(services, mailer)
        async with services.store.read() as db:
            if await db.value(select(outbox.c.id).where(outbox.c.message_sealed.is_not(None)).limit(1)) is None:
                return
        await asyncio.sleep(0.01)


async def _send(services: Services, mailer: Mailer, row: RowMapping, lease: Lease) -> int:
    if row["expires_at"] <= services.world.now():
        await _close(services, row, failed="expired")
        return 0
    try:
        message = Message.from_json(services.ring.unseal("outbox", f"outbox:{row['id']}", row["message_sealed"]))
    except Unreadable:
        await _close(services, row, failed="unreadable")
        return 0
    try:
        await mailer.send(message)
    except MailFailed as failure:
        failure.log(log, mail=row["id"], kind=row["kind"])
        if failure.permanent:
            await _close(services, row, failed="refused")
        else:
            await _QUEUE.later(services, lease)
        return 0
    await _close(services, row)
    return 1


async def _close(services: Services, row: RowMapping, *, failed: str | None = None) -> None:
    """Erase the message: a code must not remain stored after delivery or expiry."""
    async with services.store.write() as db:
        await db.change(
            update(outbox)
            .where(*_QUEUE.row_is(row))
            .values(message_sealed=None, sent_at=None if failed else services.world.now())
        )
        if failed:
            ctx = Ctx(services, principal=System())
            await record(ctx, db, Event.MAIL_FAILED, tenant_id=row["tenant_id"], kind=row["kind"], why=failed)
