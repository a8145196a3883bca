"""What a form was answered with, for half a minute: its second post, such as a double press, is answered as the first.

Not here: which answers are stored and what identifies a form (`web.repeat`).
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from passgate.core.ctx import Ctx
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.point import Lookup
from passgate.store.tables import form_answer as table
from passgate.world import SECOND

LIFE = 30
"""Seconds."""
_PURPOSE = "form_answer"
_FIND = Lookup(select(table.c.answer_sealed, table.c.expires_at).where(table.c.key == b""))


async def store(ctx: Ctx, key: bytes, answer: bytes) -> None:
    """Store an answer, sealed; the first one of a key stays."""
    row = {"key": key, "answer_sealed": ctx.ring.seal(_PURPOSE, key.hex(), answer)}
    async with ctx.write() as db:
        expires_at = ctx.now() + LIFE * SECOND
        await db.change(db.upsert(table).values(**row, expires_at=expires_at).on_conflict_do_nothing())


async def find(ctx: Ctx, key: bytes) -> bytes | None:
    """The answer of a form that was posted within the last half minute."""
    row = await ctx.services.store.point.one(_FIND, key)
    if row is None or row[1] <= ctx.now():
        return None
    try:
        return ctx.ring.unseal(_PURPOSE, key.hex(), row[0])
    except Unreadable:
        return None


async def purge(db: Db, before: int) -> None:
    """Delete answers that expired before then."""
    await db.change(_PURGE, before=before)


_PURGE = delete(table).where(table.c.expires_at < bindparam("before"))
