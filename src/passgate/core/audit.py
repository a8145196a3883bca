"""What happened: `record`, which writes one row inside the change's own transaction. What can happen is in `events`.

Sealing rows into a chain and proving it is `ledger`'s; nothing here is ever updated or deleted, except that `forget`
empties the personal part of an erased person's rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, select, update

from passgate.core.ctx import Ctx
from passgate.seal import Ring, digest
from passgate.store import Db
from passgate.store.tables import audit_event, audit_head
from passgate.store.unit import Deferred

SYSTEM = "system"
"""The chain of what belongs to no tenant."""


def canonical(value: object) -> bytes:
    """One spelling for one value: sorted names, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


async def record(
    ctx: Ctx,
    db: Db,
    event: str,
    *,
    tenant_id: str | None = None,
    subject_id: str | None = None,
    personal: Mapping[str, Any] | None = None,
    **facts: Any,
) -> None:
    """Write one row. `facts` must hold nothing secret and nothing personal; an address goes into `personal`."""
    actor = ctx.actor
    tenant = tenant_id or (actor.tenant_id if actor else SYSTEM)
    about = {"ip": ctx.origin.ip, "browser": ctx.origin.browser, "os": ctx.origin.os, **(personal or {})}
    if ctx.request_id:
        facts["request_id"] = ctx.request_id
    salt = ctx.world.bytes(16)
    row: dict[str, Any] = {
        "id": ctx.world.uuid(),
        "tenant_id": tenant,
        "at": ctx.now(),
        "event": str(event),
        "actor_id": actor.person_id if actor else None,
        "subject_id": subject_id or (actor.person_id if actor else None),
        "facts": canonical(facts).decode(),
        "personal": canonical(about).decode(),
        "personal_salt": salt,
        "personal_hash": digest(salt, canonical(about)),
    }
    row["mac"] = ctx.ring.mac("audit row", covered(row))
    await db.add(audit_event, **row)


def deferred(ctx: Ctx, event: str, **given: Any) -> Deferred:
    """`record`, as a fact for a Refusal to keep."""

    async def write(db: Db) -> None:
        await record(ctx, db, event, **given)

    return write


COVERED = ("id", "tenant_id", "at", "event", "actor_id", "subject_id", "facts")


def covered(row: Mapping[str, Any] | RowMapping) -> bytes:
    """The bytes a row's MAC is over: everything but the erasable part, which its hash stands for."""
    return digest(canonical([row[name] for name in COVERED]), row["personal_hash"])


def is_genuine(ring: Ring, row: RowMapping) -> bool:
    """The MAC fits the row, and the personal part, unless erased, fits its hash."""
    if not ring.check("audit row", covered(row), row["mac"]):
        return False
    if row["personal"] is None:
        return row["personal_salt"] is None
    return bool(digest(row["personal_salt"] or b"", row["personal"].encode()) == row["personal_hash"])


async def forget(db: Db, tenant_id: str, person_id: str) -> None:
    """Erase the personal part of one person's rows. Without salt and text the hash tells nothing; the chain holds."""
    # The head first, as the sealer does: it moves the same rows in an order of its own.
    await db.value(select(audit_head.c.seq).where(audit_head.c.tenant_id == tenant_id).with_for_update())
    for about in (audit_event.c.subject_id, audit_event.c.actor_id):
        theirs = update(audit_event).where(audit_event.c.tenant_id == tenant_id, about == person_id)
        await db.change(theirs.values(personal=None, personal_salt=None))


async def activity(db: Db, tenant_id: str, person_id: str, *, before: str | None, limit: int) -> list[dict[str, Any]]:
    """One person's rows, newest first: {id, at, event, client {browser, os, ip}}."""
    query = (
        select(audit_event)
        .where(audit_event.c.tenant_id == tenant_id, audit_event.c.subject_id == person_id)
        .order_by(audit_event.c.id.desc())
        .limit(limit)
    )
    if before:
        query = query.where(audit_event.c.id < before)
    return [as_json(row) for row in await db.rows(query)]


def as_json(row: RowMapping) -> dict[str, Any]:
    personal = json.loads(row["personal"]) if row["personal"] else {}
    client = {name: personal.get(name, "") for name in ("browser", "os", "ip")}
    return {"id": row["id"], "at": row["at"], "event": row["event"], "client": client}
