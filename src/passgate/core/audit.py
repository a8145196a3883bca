"""Writing audit events: `record` inserts one row inside the transaction of the change itself.

Not here: the list of events (`events`), and sealing and verifying the chain (`ledger`). No row is updated or deleted
here, except that `forget` erases the personal part of a deleted person's rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, or_, select, update

from passgate.core.ctx import Client, Ctx, Operator, Person, Principal, System
from passgate.seal import Ring, digest
from passgate.store import Db
from passgate.store.tables import audit_event, audit_head
from passgate.store.unit import Deferred

SYSTEM = "system"
"""The chain for events that belong to no tenant."""


def canonical(value: object) -> bytes:
    """Canonical JSON: sorted names, no whitespace, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


async def record(
    ctx: Ctx,
    db: Db,
    event: str,
    *,
    tenant_id: str | None = None,
    subject_id: str | None = None,
    is_about_nobody: bool = False,
    personal: Mapping[str, Any] | None = None,
    **facts: Any,
) -> None:
    """Write one row, into the chain of `tenant_id`, or of whoever acts if they belong to one. It is about `subject_id`,
    else about whoever acts, unless it `is_about_nobody`. `facts` must contain nothing secret and nothing personal; an
    address or username goes into `personal`. A row that is about nobody outlives whoever has what was typed, so it
    holds a keyed hash instead."""
    me = ctx.principal if isinstance(ctx.principal, Person) else None
    tenant = _chain(ctx.principal, tenant_id)
    subject = None if is_about_nobody else subject_id or (me.person_id if me else None)
    about = {"ip": ctx.origin.ip, "browser": ctx.origin.browser, "os": ctx.origin.os, **(personal or {})}
    if subject is None and "email" in about:
        about["address_hash"] = address_hash(ctx, tenant, about.pop("email"))
    if subject is None and "username" in about:
        about["username_hash"] = address_hash(ctx, tenant, about.pop("username"))
    facts["principal"] = ctx.principal.kind
    if ctx.request_id:
        facts["request_id"] = ctx.request_id
    salt = ctx.world.bytes(16)
    row: dict[str, Any] = {
        "id": ctx.world.uuid(),
        "tenant_id": tenant,
        "at": ctx.now(),
        "event": str(event),
        "actor_id": me.person_id if me else None,
        "subject_id": subject,
        "facts": canonical(facts).decode(),
        "personal": canonical(about).decode(),
        "personal_salt": salt,
        "personal_hash": digest(salt, canonical(about)),
    }
    row["mac"] = ctx.ring.mac("audit row", covered(row))
    await db.add(audit_event, **row)


def _chain(principal: Principal, tenant_id: str | None) -> str:
    """The chain of an event. Whoever belongs to a tenant acts in no other one's; a stranger's event says whose it is.
    Anything else is a mistake of ours, which must not be written into somebody's trail."""
    own = principal.tenant_id if isinstance(principal, Person | Client) else None
    if own is None and isinstance(principal, Operator | System):
        own = tenant_id or SYSTEM
    found = tenant_id or own
    if found is None or (own is not None and found != own):
        raise RuntimeError(f"an event of a {principal.kind} in the chain {tenant_id}")
    return found


def address_hash(ctx: Ctx, tenant_id: str, email: str) -> str:
    """How a row about nobody names an address, or a username, in hex: the same for all its spellings and after every
    key rotation."""
    return ctx.ring.stable_mac(digest(b"audit address", tenant_id.encode(), email.lower().encode())).hex()


def deferred(ctx: Ctx, event: str, **given: Any) -> Deferred:
    """`record` as a Deferred, which a Refusal commits after the rollback."""

    async def write(db: Db) -> None:
        await record(ctx, db, event, **given)

    return write


COVERED = ("id", "tenant_id", "at", "event", "actor_id", "subject_id", "facts")


def covered(row: Mapping[str, Any] | RowMapping) -> bytes:
    """The bytes a row's MAC covers: everything except the erasable part, which is represented by its hash."""
    return digest(canonical([row[name] for name in COVERED]), row["personal_hash"])


def has_own_mac(ring: Ring, row: RowMapping) -> bool:
    return ring.check("audit row", covered(row), row["mac"])


def is_personal_whole(row: RowMapping) -> bool:
    """Whether the personal part, unless erased, matches its hash, which the MAC covers."""
    if row["personal"] is None:
        return row["personal_salt"] is None
    return bool(digest(row["personal_salt"] or b"", row["personal"].encode()) == row["personal_hash"])


async def forget(db: Db, tenant_id: str, person_id: str) -> None:
    """Erase the personal part of one person's rows. Without salt and text the hash reveals nothing, and the chain stays
    valid."""
    # Lock the head first, as the sealer does: it updates the same rows in a different order.
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


async def history(db: Db, tenant_id: str, person_id: str, *, before: str | None, limit: int) -> list[dict[str, Any]]:
    """The same for somebody else, with what the person did to others. Where another person acted, the client is that
    one's, and is left out."""
    is_part = or_(audit_event.c.subject_id == person_id, audit_event.c.actor_id == person_id)
    query = select(audit_event).where(audit_event.c.tenant_id == tenant_id, is_part)
    if before:
        query = query.where(audit_event.c.id < before)
    rows = await db.rows(query.order_by(audit_event.c.id.desc()).limit(limit))
    return [as_json(row, of=(None, person_id)) for row in rows]


def as_json(row: RowMapping, *, of: tuple[str | None, ...] = ()) -> dict[str, Any]:
    """`of`: the actors whose client is shown, everybody's by default."""
    is_theirs = not of or row["actor_id"] in of
    personal = json.loads(row["personal"]) if row["personal"] and is_theirs else {}
    client = {name: personal.get(name, "") for name in ("browser", "os", "ip")}
    return {"id": row["id"], "at": row["at"], "event": row["event"], "client": client}
