"""The development mailbox: mails are stored, sealed, in `dev_mail` and displayed on a page, and printed if asked to.

Not here: sending anything. Production refuses to start with this mailer.
"""

from __future__ import annotations

from sqlalchemy import delete, select

from passgate.core.message import Mailer, Message
from passgate.seal import Ring, Unreadable
from passgate.store import Store
from passgate.store.tables import dev_mail
from passgate.world import World, iso

_LIMIT = 1000

Mail = dict[str, str | None]
Mails = list[Mail]


class Mailbox:
    """Retains the newest 1,000 mails, and hands each on to `printer` when it is new."""

    def __init__(self, store: Store, ring: Ring, world: World, printer: Mailer | None = None) -> None:
        self._store, self._ring, self._world, self._printer = store, ring, world, printer

    async def send(self, message: Message) -> None:
        """Idempotent by message id. Opens its own write transaction; raises Unavailable("database")."""
        sealed = self._ring.seal("dev_mail", _where(message.id), message.to_json())
        newest = select(dev_mail.c.id).order_by(dev_mail.c.sent_at.desc(), dev_mail.c.id.desc()).limit(_LIMIT)
        row = {"id": message.id, "message_sealed": sealed, "sent_at": self._world.now()}
        async with self._store.write() as db:
            is_new = await db.change(db.upsert(dev_mail).values(row).on_conflict_do_nothing())
            await db.change(delete(dev_mail).where(dev_mail.c.id.not_in(newest)))
        if is_new and self._printer:
            await self._printer.send(message)

    async def list(self, limit: int = 200) -> Mails:
        """Newest first: to, subject, text, html, kind, code, link, and sent_at as RFC 3339. Skips mails sealed under a
        key that no longer exists."""
        newest = select(dev_mail).order_by(dev_mail.c.sent_at.desc(), dev_mail.c.id.desc())
        async with self._store.read() as db:
            rows = await db.rows(newest.limit(max(0, min(limit, _LIMIT))))
        found = (self._open(row["id"], row["message_sealed"], row["sent_at"]) for row in rows)
        return [mail for mail in found if mail is not None]

    def _open(self, id: str, sealed: bytes, sent_at: int) -> Mail | None:
        try:
            message = Message.from_json(self._ring.unseal("dev_mail", _where(id), sealed))
        except Unreadable:
            return None
        names = ("to", "subject", "text", "html", "kind", "code", "link")
        return {**{name: getattr(message, name) for name in names}, "sent_at": iso(sent_at)}


def _where(id: str) -> str:
    return f"dev_mail:{id}"
