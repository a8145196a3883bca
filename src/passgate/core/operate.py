"""Operator actions (command line): add and disable people, grant roles, add tenants, rotate keys, read the audit trail.
No permission is checked: a caller who can run these has access to the database anyway.

Not here: actions of people on their own account, which are `account`.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, func, select

from passgate.core import access, checkpoint, credentials, jobs, ledger, links, people, policy, tenants
from passgate.core.action import end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factors import password
from passgate.core.journey import JOURNEYS
from passgate.core.rules import LEVELS
from passgate.errors import Conflict, Invalid, NotFound, TenantNameTaken
from passgate.store import Db
from passgate.store.tables import audit_event

SIGNUP = ("open", "invite", "closed")
PAGE = 100


# -- people ----------------------------------------------------------------------------------------


async def add_person(ctx: Ctx, email: str, tenant_name: str, role: str, secret: str | None) -> dict[str, Any]:
    """Create a person whose address the operator vouches for. Without a password they set one by recovery."""
    at = people.address(email)
    if role not in access.ROLES:
        raise Invalid({"role": "value"})
    async with ctx.read() as db:
        tenant = await _tenant(ctx, db, tenant_name)
    stored = None
    if secret is not None:
        stored = await password.vetted(ctx, secret, tenant.rules, (at.key, tenant.name, tenant.display_name))
    async with ctx.write() as db:
        made = await people.create(ctx, db, tenant.id, at, profile=people.profile_text(None), verified=True)
        if made is None:
            raise Conflict("Someone in this tenant already has that email address.")
        about = {"email": at.text}
        await record(
            ctx, db, Event.ACCOUNT_CREATED, tenant_id=tenant.id, subject_id=made, personal=about, by="operator"
        )
        await access.grant(ctx, db, tenant.id, made, role)
        if stored is not None:
            await password.replace(ctx, db, tenant.id, made, stored)
        return await _as_json(db, tenant.id, made)


async def signin_link(ctx: Ctx, email: str, tenant_name: str, *, life: int = links.LIFE) -> links.Link:
    """Usable at once, for an operator who may be locked out. The person is notified as for any link."""
    async with ctx.write() as db:
        tenant, found = await _locked(ctx, db, email, tenant_name)
        return await links.make(ctx, db, tenant.id, found["id"], wait=0, life=life)


async def explained(
    ctx: Ctx,
    email: str | None,
    tenant_name: str,
    *,
    purpose: str,
    proofs: tuple[str, ...],
    has: tuple[str, ...],
    acr: str,
    is_remembered: bool,
) -> dict[str, Any]:
    """What policy decides, and why: {decision: need|enrol|enough|refuse, need, amr, acr, reasons, why, has}. `email`:
    with that person's enrolled factors, otherwise with `has`."""
    known = {
        "purpose": purpose in JOURNEYS,
        "acr": acr in LEVELS,
        "proved": set(proofs) <= ctx.factors.proofs.keys(),
        "has": set(has) <= set(ctx.factors.enrolled),
    }
    if not all(known.values()):
        raise Invalid({name: "value" for name, is_right in known.items() if not is_right})
    async with ctx.read() as db:
        tenant = await _tenant(ctx, db, tenant_name)
        mine = frozenset(has)
        if email is not None:
            tenant, found = await _named(ctx, db, email, tenant_name)
            mine = await credentials.kinds(db, tenant.id, found["id"])
    decision = policy.decide(
        ctx.factors, tenant.rules, JOURNEYS[purpose], proofs, mine, acr, is_remembered=is_remembered
    )
    kind: dict[str, Any] = {"need": [], "amr": [], "acr": None, "has": sorted(mine)}
    kind |= {"reasons": [decision.reason], "why": policy.CHECKS[decision.reason].why}
    match decision:
        case policy.Need():
            return {**kind, "decision": "enrol" if decision.enrol else "need", "need": decision.listed()}
        case policy.Enough():
            return {**kind, "decision": "enough", "amr": list(decision.amr), "acr": decision.acr}
        case policy.Refuse():
            return {**kind, "decision": "refuse"}


async def disable_person(ctx: Ctx, email: str, tenant_name: str) -> dict[str, Any]:
    """Disable a person (idempotent): ends all sessions and pending sign-ins, none can start. Conflict: last owner."""
    async with ctx.write() as db:
        tenant, found = await _named(ctx, db, email, tenant_name)
        if await people.lock_all(db, [found["id"]], or_closed=True):
            await access.keep_an_owner(db, tenant.id, found["id"])
            await people.disable(ctx, db, tenant.id, found["id"])
            ended = await end_all(ctx, db, tenant.id, found["id"], "disabled")
            await record(
                ctx,
                db,
                Event.ACCOUNT_DISABLED,
                tenant_id=tenant.id,
                subject_id=found["id"],
                by="operator",
                sessions=ended,
            )
        return await _as_json(db, tenant.id, found["id"])


async def enable_person(ctx: Ctx, email: str, tenant_name: str) -> dict[str, Any]:
    """Take back `disable_person` (idempotent). What was ended stays ended; an account that its owner closed is closed
    again."""
    async with ctx.write() as db:
        tenant, found = await _named(ctx, db, email, tenant_name)
        if await people.enable(db, tenant.id, found["id"]):
            about = {"tenant_id": tenant.id, "subject_id": found["id"]}
            await record(ctx, db, Event.ACCOUNT_ENABLED, **about, by="operator")
        return await _as_json(db, tenant.id, found["id"])


async def give_role(ctx: Ctx, email: str, role: str, tenant_name: str) -> dict[str, Any]:
    async with ctx.write() as db:
        tenant, found = await _locked(ctx, db, email, tenant_name)
        await access.give(ctx, db, tenant.id, found["id"], role)
        return await _as_json(db, tenant.id, found["id"])


async def take_role(ctx: Ctx, email: str, role: str, tenant_name: str) -> dict[str, Any]:
    async with ctx.write() as db:
        tenant, found = await _locked(ctx, db, email, tenant_name)
        await access.take(ctx, db, tenant.id, found["id"], role)
        return await _as_json(db, tenant.id, found["id"])


async def everybody(ctx: Ctx, tenant_name: str) -> list[dict[str, Any]]:
    """Every person of a tenant as in `people.as_json`, with `disabled`, oldest first. Recorded before it returns."""
    async with ctx.read() as db:
        tenant = await _tenant(ctx, db, tenant_name)
    found: list[dict[str, Any]] = []
    while True:
        async with ctx.read() as db:
            page = await people.listed(db, tenant.id, after=found[-1]["id"] if found else None, limit=PAGE)
        found += page
        if len(page) < PAGE:
            break
    async with ctx.write() as db:
        facts: dict[str, Any] = {"tenant": tenant.name, "count": len(found), "by": "operator"}
        await record(ctx, db, Event.USERS_LISTED, tenant_id=tenant.id, **facts)
    return found


async def _tenant(ctx: Ctx, db: Db, name: str) -> tenants.Tenant:
    found = await tenants.find(ctx, db, name)
    if found is None:
        raise NotFound("There's no tenant with that name.")
    return found


async def _named(ctx: Ctx, db: Db, email: str, tenant_name: str) -> tuple[tenants.Tenant, RowMapping]:
    tenant = await _tenant(ctx, db, tenant_name)
    found = await people.by_key(db, tenant.id, people.address(email).key)
    if found is None:
        raise NotFound("No one in this tenant has that email address.")
    return tenant, found


async def _locked(ctx: Ctx, db: Db, email: str, tenant_name: str) -> tuple[tenants.Tenant, RowMapping]:
    """The same, with the person's row locked."""
    tenant, found = await _named(ctx, db, email, tenant_name)
    locked = await people.lock(db, tenant.id, found["id"])
    if locked is None:
        raise Conflict("That account is disabled.")
    return tenant, locked


async def _as_json(db: Db, tenant_id: str, person_id: str) -> dict[str, Any]:
    row = await people.by_id(db, tenant_id, person_id)
    if row is None:
        raise NotFound
    roles = await access.roles_of(db, tenant_id, person_id)
    return people.as_json({**row, "roles": ",".join(roles)}) | {"disabled": row["disabled_at"] is not None}


# -- tenants ---------------------------------------------------------------------------------------


async def add_tenant(ctx: Ctx, name: str, display_name: str | None, signup: str) -> dict[str, Any]:
    """The API's tenant object: {id, name, display_name}."""
    checked = tenants.checked_name(name)
    label = (display_name or checked).strip()
    if not 0 < len(label) <= 200 or not label.isprintable():
        raise Invalid({"display_name": "length" if label.isprintable() else "format"})
    if signup not in SIGNUP:
        raise Invalid({"signup": "value"})
    async with ctx.write() as db:
        made = await tenants.create(ctx, db, checked, label, signup)
        if made is None:
            raise TenantNameTaken
        await record(ctx, db, Event.TENANT_CREATED, tenant_id=made, name=checked, by="operator")
    return {"id": made, "name": checked, "display_name": label}


# -- keys ------------------------------------------------------------------------------------------


async def rotate_keys(ctx: Ctx) -> dict[str, Any]:
    """Put a fresh key first in the key file, reseal every credential under it and cover the trail with a checkpoint:
    {key_id, made, rewrapped}. Keys from the settings are rotated there, by adding a new first secret; then only the
    rest happens here."""
    made = not ctx.settings.root_secrets()
    if made:
        async with _alone(ctx.settings.data / "passgate.lock"):
            ctx.ring.rotate()
    rewrapped = await jobs.rewrap(ctx.services)
    facts: dict[str, Any] = {"key_id": ctx.ring.current.id.hex(), "made": made, "rewrapped": rewrapped}
    async with ctx.write() as db:
        await record(ctx, db, Event.KEY_ROTATED, **facts)
    while await ledger.seal(ctx.services) >= ledger.BATCH:
        pass
    await checkpoint.make(ctx.services)
    return facts


@asynccontextmanager
async def _alone(lock: Path) -> AsyncIterator[None]:
    """Two processes that write the key file concurrently would lose one key, and everything sealed under it."""
    with lock.open("a") as locked:
        await asyncio.to_thread(fcntl.flock, locked, fcntl.LOCK_EX)
        yield


# -- the audit trail -------------------------------------------------------------------------------


async def recent(ctx: Ctx, limit: int, tenant_name: str | None = None) -> list[dict[str, Any]]:
    """The newest rows of the audit trail, oldest of them first: {id, at, event, tenant_id, actor_id, subject_id, seq,
    facts, personal}; `seq` is None until the row is sealed, `personal` once its person is erased."""
    query = select(audit_event).order_by(audit_event.c.id.desc()).limit(limit)
    async with ctx.read() as db:
        if tenant_name is not None:
            query = query.where(audit_event.c.tenant_id == (await _tenant(ctx, db, tenant_name)).id)
        rows = await db.rows(query)
    return [_event(row) for row in reversed(rows)]


async def export(ctx: Ctx) -> AsyncIterator[dict[str, Any]]:
    """Every row of the trail, oldest first (`ledger.export`). That it leaves is recorded before the first row does, so
    the export ends with that row."""
    async with ctx.write(heavy=True) as db:
        rows = await db.value(select(func.count()).select_from(audit_event))
        await record(ctx, db, Event.AUDIT_EXPORTED, rows=rows, by="operator")
    async for row in ledger.export(ctx.services):
        yield row


async def record_backup(ctx: Ctx, *, with_keys: bool) -> None:
    async with ctx.write() as db:
        await record(ctx, db, Event.BACKUP_MADE, keys=with_keys, by="operator")


def _event(row: RowMapping) -> dict[str, Any]:
    plain = ("id", "at", "event", "tenant_id", "actor_id", "subject_id", "seq")
    return {name: row[name] for name in plain} | {
        "facts": json.loads(row["facts"]),
        "personal": json.loads(row["personal"]) if row["personal"] else None,
    }
