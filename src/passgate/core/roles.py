"""A tenant's own roles, made of the known permissions: list, create, change, delete. Nobody makes a role that allows
more than they may do, touches one that does, or one of somebody who may do more; and only an owner touches a role of
their own.

Each change locks the tenant's row, which whoever gives a role shares, and asks for the power after that.

Not here: giving and taking roles, and what a role allows (`access`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, func, select, update

from passgate.core import access, account, tenants
from passgate.core.action import administration
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Operator
from passgate.core.events import Event
from passgate.core.permissions import DESCRIPTIONS, OWNER, ROLES, known, of_role
from passgate.errors import Conflict, Invalid, NotFound
from passgate.store import Db
from passgate.store.tables import role

MOST = 50
"""Of its own that a tenant may have."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{1,39}")
_LONGEST = 200
_THEIRS = role.c.tenant_id == bindparam("of_tenant")
_ONE = select(role).where(_THEIRS, role.c.name == bindparam("of_name"))
_LOCK = _ONE.with_for_update()
_ALL = select(role).where(_THEIRS).order_by(role.c.name)
_COUNT = select(func.count()).select_from(role).where(_THEIRS)


async def listed(ctx: Ctx) -> list[dict[str, Any]]:
    """The built-in roles, then the tenant's own by name, as {name, description, permissions, built_in, created_at,
    updated_at}. Raises PermissionMissing."""
    await access.require_to_read(ctx, "users:read")
    tenant_id = await access.tenant_of(ctx)
    async with ctx.read() as db:
        rows = await db.rows(_ALL, of_tenant=tenant_id)
    return [*(_built_in(ctx, name) for name in ROLES), *map(_as_json, rows)]


def _built_in(ctx: Ctx, name: str) -> dict[str, Any]:
    allows = sorted(of_role(name, "", ctx.services.permissions))
    about = {"name": name, "description": DESCRIPTIONS[name], "permissions": allows}
    return {**about, "built_in": True, "created_at": None, "updated_at": None}


def _as_json(row: RowMapping) -> dict[str, Any]:
    """Permissions that nobody knows any more are listed too: they are still stored."""
    names = ("name", "description", "created_at", "updated_at")
    return {**{name: row[name] for name in names}, "permissions": row["permissions"].split(), "built_in": False}


async def create(ctx: Ctx, name: str, *, description: str, permissions: list[str]) -> dict[str, Any]:
    """Raises Invalid, PermissionMissing, Conflict: the name is taken, or there are too many."""
    tenant_id = await access.tenant_of(ctx)
    await account.fresh(ctx)
    _check_name(name)
    _check_description(description)
    wanted = _checked(ctx, permissions, ())
    async with _changing(ctx, tenant_id, name) as db:
        await _require_all(ctx, db, name, wanted)
        if await db.value(_COUNT, of_tenant=tenant_id) >= MOST:
            raise Conflict("There are as many roles as there can be. Delete one first.")
        now = ctx.now()
        row = {"tenant_id": tenant_id, "name": name, "description": description, "permissions": " ".join(wanted)}
        made = db.upsert(role).values(**row, created_at=now, updated_at=now).on_conflict_do_nothing()
        if not await db.change(made):
            raise Conflict("There's a role with that name already.")
        await record(ctx, db, Event.ROLE_CREATED, tenant_id=tenant_id, role=name, permissions=wanted)
        return await _read(db, tenant_id, name)


@dataclass(frozen=True, slots=True)
class Change:
    """What of a role is changed; None leaves it as it is."""

    description: str | None = None
    permissions: list[str] | None = None


async def change(ctx: Ctx, name: str, wanted: Change) -> dict[str, Any]:
    """Applies to everybody who has the role from their next request on. Raises Invalid, PermissionMissing, NotFound,
    Conflict: a built-in role."""
    tenant_id = await access.tenant_of(ctx)
    await account.fresh(ctx)
    if wanted == Change():
        raise Invalid({"body": "missing"})
    if wanted.description is not None:
        _check_description(wanted.description)
    async with _changing(ctx, tenant_id, name) as db:
        found = await _reached(ctx, db, tenant_id, name)
        was, now = found["permissions"].split(), found["permissions"].split()
        if wanted.permissions is not None:
            now = _checked(ctx, wanted.permissions, was)
            await _require_all(ctx, db, name, now)
        text = found["description"] if wanted.description is None else wanted.description
        if (text, now) == (found["description"], was):
            return _as_json(found)
        move = update(role).where(role.c.tenant_id == tenant_id, role.c.name == name)
        await db.change(move.values(description=text, permissions=" ".join(now), updated_at=ctx.now()))
        facts: dict[str, Any] = {"change": {"from": was, "to": now}} if now != was else {}
        await record(ctx, db, Event.ROLE_CHANGED, tenant_id=tenant_id, role=name, **facts)
        return await _read(db, tenant_id, name)


async def remove(ctx: Ctx, name: str, *, take: bool = False) -> int:
    """Delete a role; returns how many people had it. `take`: take it from them; otherwise Conflict if anybody has it.
    Raises PermissionMissing, NotFound, Conflict: a built-in role."""
    tenant_id = await access.tenant_of(ctx)
    await account.fresh(ctx)
    theirs = frozenset[str]()
    if take:
        async with ctx.read() as db:
            theirs = frozenset(await access.holders(db, tenant_id, name))
    async with _changing(ctx, tenant_id, name, theirs) as db:
        await _reached(ctx, db, tenant_id, name)
        having = await access.holders(db, tenant_id, name)
        if having and not take:
            raise Conflict("Someone has this role. Take it from everyone first.")
        if having - theirs:  # they would be locked in another order than the one that everybody keeps to
            raise Conflict("Someone has just been given this role. Try again.")
        count = await access.take_from_all(ctx, db, tenant_id, name) if having else 0
        await db.change(delete(role).where(role.c.tenant_id == tenant_id, role.c.name == name))
        await record(ctx, db, Event.ROLE_DELETED, tenant_id=tenant_id, role=name, count=count)
    return count


@asynccontextmanager
async def _changing(ctx: Ctx, tenant_id: str, name: str, others: frozenset[str] = frozenset()) -> AsyncIterator[Db]:
    """A transaction that changes a role, which any number of people may have. The power is asked for again behind the
    lock, because it may come from a role that somebody else has just changed."""
    async with administration(ctx, "roles:write", tenant_id, others=others, heavy=True) as (db, _):
        await tenants.lock_roles(db, tenant_id)
        await access.require(ctx, db, "roles:write")
        if name in ROLES:
            raise Conflict("The built-in roles stay as they are.")
        yield db


async def _reached(ctx: Ctx, db: Db, tenant_id: str, name: str) -> RowMapping:
    """The role, locked, if whoever acts may change it: neither it nor anybody who has it may do more than they, and
    they don't have it themselves, unless they are an owner. Raises NotFound, PermissionMissing."""
    found = await db.one(_LOCK, of_tenant=tenant_id, of_name=name)
    if found is None:
        raise NotFound("There's no role with that name.")
    if isinstance(ctx.principal, Operator):
        return found
    mine = await access.permissions_of(ctx, db, *ctx.person.key)
    roles = await access.roles_of(db, *ctx.person.key)
    reaching = of_role(name, found["permissions"], ctx.services.permissions)
    reaching |= await access.permissions_of_holders(ctx, db, tenant_id, name)
    if not reaching <= mine or (name in roles and OWNER not in roles):
        raise access.missing(ctx, "roles:write", role=name)
    return found


async def _require_all(ctx: Ctx, db: Db, name: str, wanted: list[str]) -> None:
    """Nobody makes a role that allows what they may not do."""
    if isinstance(ctx.principal, Operator):
        return
    allowed = of_role(name, " ".join(wanted), ctx.services.permissions)
    if not allowed <= await access.permissions_of(ctx, db, *ctx.person.key):
        raise access.missing(ctx, "roles:write", role=name)


async def _read(db: Db, tenant_id: str, name: str) -> dict[str, Any]:
    found = await db.one(_ONE, of_tenant=tenant_id, of_name=name)
    if found is None:
        raise NotFound
    return _as_json(found)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid({"name": "format"})
    if name in ROLES:
        raise Invalid({"name": "reserved"})


def _check_description(text: str) -> None:
    if len(text) > _LONGEST or not text.isprintable():
        raise Invalid({"description": "format" if len(text) <= _LONGEST else "length"})


def _checked(ctx: Ctx, names: list[str], stored: list[str] | tuple[()]) -> list[str]:
    """Each once, in order. `stored`: what the role has already, which may stay though nobody knows it any more."""
    if not set(names) <= known(ctx.services.permissions).keys() | set(stored):
        raise Invalid({"permissions": "value"})
    return sorted(set(names))
