"""What reaches over all tenants, and so is for an operator on the command line alone: rotating keys, reading and
exporting the whole trail, recording a backup.

Not here: people (`users`) and tenants (`admin`), which an operator manages with the same actions as everybody else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import RowMapping

from passgate import files
from passgate.core import access, checkpoint, keys, ledger, sealed, tenants
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.keyset import SigningKey
from passgate.store import Db

# -- keys ------------------------------------------------------------------------------------------


async def rotate_keys(ctx: Ctx) -> dict[str, Any]:
    """Put a fresh key first in the key file, reseal every credential under it and cover the trail with a checkpoint:
    {key_id, made, rewrapped}. Keys from the settings are rotated there, by adding a new first secret; then only the
    rest happens here."""
    access.require_operator(ctx)
    made = not ctx.settings.root_secrets()
    if made:
        # Two processes that write the key file concurrently would lose one key, and everything sealed under it.
        async with files.locked(ctx.settings.data / "passgate.lock"):
            ctx.ring.rotate()
    rewrapped = await sealed.rewrap(ctx.services)
    facts: dict[str, Any] = {"key_id": ctx.ring.current.id.hex(), "made": made, "rewrapped": rewrapped}
    async with ctx.write() as db:
        await record(ctx, db, Event.KEY_ROTATED, **facts)
    while await ledger.seal(ctx.services) >= ledger.BATCH:
        pass
    await checkpoint.make(ctx.services)
    return facts


async def rotate_signing(ctx: Ctx) -> dict[str, Any]:
    """Publish the next key that signs tokens: {key_id, algorithm, made, signs_at}. If one waits already, it stays the
    next."""
    access.require_operator(ctx)
    made = []

    async def recorded(db: Db, key: SigningKey) -> None:
        await record(ctx, db, Event.SIGNING_KEY_ADDED, **_facts(key))
        made.append(key)

    key = await keys.add(ctx.services, ctx.settings.token.algorithm, and_then=recorded)
    return {**_facts(key), "made": key in made, "signs_at": key.signs_from}


def _facts(key: SigningKey) -> dict[str, Any]:
    return {"key_id": key.id, "algorithm": key.public.algorithm}


# -- the audit trail -------------------------------------------------------------------------------


async def recent(ctx: Ctx, limit: int, tenant_name: str | None = None) -> list[dict[str, Any]]:
    """The newest rows of the audit trail, oldest of them first: {id, at, event, tenant_id, actor_id, subject_id, seq,
    facts, personal}; `seq` is None until the row is sealed, `personal` once its person is erased."""
    access.require_operator(ctx)
    async with ctx.read() as db:
        tenant = None if tenant_name is None else await tenants.named(ctx, db, tenant_name)
        rows = await ledger.newest(db, limit, tenant.id if tenant else None)
    return [_event(row) for row in reversed(rows)]


async def export(ctx: Ctx) -> AsyncIterator[dict[str, Any]]:
    """Every row of the trail, oldest first (`ledger.export`). That it leaves is recorded before the first row does, so
    the export ends with that row."""
    access.require_operator(ctx)
    async with ctx.write(heavy=True) as db:
        await record(ctx, db, Event.AUDIT_EXPORTED, rows=await ledger.count(db))
    async for row in ledger.export(ctx.services):
        yield row


async def record_backup(ctx: Ctx, *, with_keys: bool) -> None:
    access.require_operator(ctx)
    async with ctx.write() as db:
        await record(ctx, db, Event.BACKUP_MADE, keys=with_keys)


def _event(row: RowMapping) -> dict[str, Any]:
    plain = ("id", "at", "event", "tenant_id", "actor_id", "subject_id", "seq")
    return {name: row[name] for name in plain} | {
        "facts": json.loads(row["facts"]),
        "personal": json.loads(row["personal"]) if row["personal"] else None,
    }
