"""Delivery of mails: one worker sends a mail at a time, a temporary failure is retried, and a mail that is too old or
permanently refused is given up.

The mail server is a stand-in that succeeds or fails as set; tests/adapters uses real SMTP servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import update

from passgate.core import mail, outbox
from passgate.core.events import Event
from passgate.core.message import MailFailed, Message
from passgate.store.tables import audit_event
from passgate.store.tables import outbox as table
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.kit import The


@dataclass
class Post:
    """A mail server: accepts messages, or raises `failing`; calls `before` first."""

    failing: MailFailed | None = None
    got: list[str] = field(default_factory=list)
    before: Callable[[], Any] | None = None

    async def send(self, message: Message) -> None:
        self.got.append(message.id)
        if self.before is not None:
            await self.before()
        if self.failing is not None:
            raise self.failing


async def enqueued(folk: Folk, *, code: str | None = None) -> str:
    tenant = await folk.tenant()
    kind = "signup_code" if code else "recovered"
    async with folk.ctx.write() as db:
        await mail.enqueue(folk.ctx, db, tenant.id, kind, "anna@example.com", service="Acme", code=code)
    return str((await folk.the.rows(table))[-1]["id"])


async def only(the: The) -> dict[str, Any]:
    (row,) = await the.rows(table)
    return row


async def test_once_delivered_it_is_empty(the: The) -> None:
    folk, post = Folk(the), Post()
    made = await enqueued(folk)
    assert the.gate.services.wake.is_set()
    assert [await outbox.deliver(the.gate.services, post) for _ in range(2)] == [1, 0]
    assert post.got == [made]
    row = await only(the)
    assert (row["message_sealed"], row["attempts"], row["sent_at"] is not None) == (None, 1, True)


async def test_ten_workers_send_once(the: The) -> None:
    folk, post = Folk(the), Post()
    ids = {await enqueued(folk) for _ in range(5)}
    sent = await asyncio.gather(*(outbox.deliver(the.gate.services, post) for _ in range(10)))
    assert sum(sent) == 5
    assert sorted(post.got) == sorted(ids)


async def test_while_one_worker_has_it_no_other_does(lite: The) -> None:
    """A worker leases a mail for a minute; then another worker may send it, so that it is sent at least once."""
    folk = Folk(lite)
    await enqueued(folk)
    other = Post()

    async def meanwhile() -> None:
        assert await outbox.deliver(lite.gate.services, other) == 0
        lite.clock.forward(59)
        assert await outbox.deliver(lite.gate.services, other) == 0
        lite.clock.forward(2)
        assert await outbox.deliver(lite.gate.services, other) == 1

    slow = Post(before=meanwhile)
    await outbox.deliver(lite.gate.services, slow)
    assert slow.got == other.got, "the same Message-ID, so that a mail server may know it again"


async def test_trouble_is_tried_again_later_and_later(the: The) -> None:
    folk, post = Folk(the), Post(MailFailed(permanent=False))
    made = await enqueued(folk)
    for attempt, pause in enumerate((2, 10, 30, 60, 300, 900, 900), start=1):
        assert await outbox.deliver(the.gate.services, post) == 0
        row = await only(the)
        assert (row["attempts"], row["message_sealed"] is not None) == (attempt, True)
        assert 0 <= row["due_at"] - the.clock.now + 1000 <= pause * SECOND + 1000
        assert await outbox.deliver(the.gate.services, Post()) == 0, "not before its time"
        the.clock.forward(pause)
    post.failing = None
    assert await outbox.deliver(the.gate.services, post) == 1
    assert set(post.got) == {made}
    assert Event.MAIL_FAILED not in await the.events()


@pytest.mark.parametrize(("code", "life"), [("12345678", 900), (None, 24 * 3600)])
async def test_what_is_too_old_is_emptied_unsent(the: The, code: str | None, life: int) -> None:
    """A mail with a code expires with the code, any other after a day."""
    folk, post = Folk(the), Post()
    await enqueued(folk, code=code)
    the.clock.forward(life)
    assert await outbox.deliver(the.gate.services, post) == 0
    assert post.got == []
    row = await only(the)
    assert (row["message_sealed"], row["sent_at"]) == (None, None)
    assert await why(the) == "expired"


async def why(the: The) -> str:
    (row,) = [row for row in await the.rows(audit_event) if row["event"] == Event.MAIL_FAILED]
    assert "anna" not in row["facts"] + row["personal"]
    return str(row["facts"]).partition('"why":"')[2].rstrip('"}')


async def test_what_is_refused_for_good_is_recorded_and_emptied(the: The) -> None:
    folk, post = Folk(the), Post(MailFailed(permanent=True))
    await enqueued(folk)
    assert [await outbox.deliver(the.gate.services, post) for _ in range(2)] == [0, 0]
    assert len(post.got) == 1
    row = await only(the)
    assert (row["message_sealed"], row["sent_at"]) == (None, None)
    assert await why(the) == "refused"


async def test_what_no_key_opens_is_recorded_and_stops_nothing(lite: The) -> None:
    folk, post = Folk(lite), Post()
    first, second = await enqueued(folk), await enqueued(folk)
    (sealed,) = [row["message_sealed"] for row in await lite.rows(table) if row["id"] == second]
    async with folk.ctx.write() as db:
        # The first row gets a message that is sealed for the second.
        await db.change(update(table).where(table.c.id == first).values(message_sealed=sealed))
    assert await outbox.deliver(lite.gate.services, post) == 1
    assert post.got == [second]
    assert await why(lite) == "unreadable"


async def test_no_write_waits_for_a_mail_server(lite: The) -> None:
    """No transaction is open while a mail is being sent, so that other requests can write."""
    folk = Folk(lite)
    await enqueued(folk)

    async def meanwhile() -> None:
        async with asyncio.timeout(2):
            await asyncio.create_task(write())

    async def write() -> None:
        await folk.create()

    assert await outbox.deliver(lite.gate.services, Post(before=meanwhile)) == 1
