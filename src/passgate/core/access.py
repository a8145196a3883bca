"""Role-based access control: roles as sets of permissions, `may`, granting and revoking. An unknown role has none. No
one grants permissions they lack or changes their own roles, and a tenant's last owner stays.

Not here: who the actor is, which is `sessions`.
"""

from __future__ import annotations

from enum import Enum, auto

from sqlalchemy import delete, func, select

from passgate.core.audit import deferred, record
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.errors import Conflict, Invalid, PermissionMissing
from passgate.store import Db
from passgate.store.tables import person, role_grant, tenant

_USER = frozenset({"me:read", "me:write"})
_ADMIN = _USER | {
    "users:read",
    "users:write",
    "users:disable",
    "users:recover",
    "roles:give",
    "invitations:write",
    "audit:read",
    "sessions:end",
    "policy:read",
}
_OWNER = _ADMIN | {"tenant:write", "policy:write", "clients:write", "users:delete"}

ROLES: dict[str, frozenset[str]] = {
    "owner": _OWNER,
    "admin": _ADMIN,
    "user": _USER,
    "read_only": frozenset({"me:read", "users:read"}),
}


def permissions(roles: list[str] | tuple[str, ...]) -> frozenset[str]:
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def may(roles: list[str] | tuple[str, ...], permission: str) -> bool:
    return permission in permissions(roles)


async def roles_of(db: Db, tenant_id: str, person_id: str) -> list[str]:
    query = select(role_grant.c.role).where(role_grant.c.tenant_id == tenant_id, role_grant.c.person_id == person_id)
    return sorted(row["role"] for row in await db.rows(query))


async def require(ctx: Ctx, db: Db, actor: Actor, permission: str, subject_id: str | None = None) -> None:
    """PermissionMissing, which is recorded, unless a role of the actor has the permission now. `subject_id`: whom the
    action is about, if not the actor."""
    if not may(await roles_of(db, actor.tenant_id, actor.person_id), permission):
        raise missing(ctx, actor, permission, subject_id)


def missing(ctx: Ctx, actor: Actor, permission: str, subject_id: str | None = None) -> PermissionMissing:
    about = {"tenant_id": actor.tenant_id, "subject_id": subject_id or actor.person_id}
    return PermissionMissing(deferred=(deferred(ctx, Event.ACCESS_REFUSED, **about, permission=permission),))


class Standing(Enum):
    """How far an actor's permission reaches over another person: not at all, over an equal, or over somebody with fewer
    permissions."""

    NONE = auto()
    EQUAL = auto()
    ABOVE = auto()


async def standing(db: Db, tenant_id: str, actor_id: str, person_id: str, permission: str) -> Standing:
    """Decided by the current roles of both. NONE over oneself and over anyone with a permission that the actor
    lacks."""
    mine = permissions(await roles_of(db, tenant_id, actor_id))
    theirs = permissions(await roles_of(db, tenant_id, person_id))
    if actor_id == person_id or permission not in mine or not theirs <= mine:
        return Standing.NONE
    return Standing.EQUAL if theirs == mine else Standing.ABOVE


async def grant(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> bool:
    """Write the grant without a permission check (sign-up, command line). False if it existed already."""
    row = {"tenant_id": tenant_id, "person_id": person_id, "role": role, "created_at": ctx.now()}
    if not await db.change(db.upsert(role_grant).values(**row).on_conflict_do_nothing()):
        return False
    await record(ctx, db, Event.ROLE_GIVEN, tenant_id=tenant_id, subject_id=person_id, role=role)
    return True


async def give(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    await _allowed(ctx, db, tenant_id, person_id, role)
    await grant(ctx, db, tenant_id, person_id, role)


async def take(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    await _allowed(ctx, db, tenant_id, person_id, role)
    if role == "owner":
        await keep_an_owner(db, tenant_id, person_id)
    gone = delete(role_grant).where(
        role_grant.c.tenant_id == tenant_id, role_grant.c.person_id == person_id, role_grant.c.role == role
    )
    if await db.change(gone):
        await record(ctx, db, Event.ROLE_TAKEN, tenant_id=tenant_id, subject_id=person_id, role=role)


async def keep_an_owner(db: Db, tenant_id: str, leaving: str) -> None:
    """Raise Conflict if `leaving` is the tenant's last live owner. Locks the tenant's row first, so that two owners who
    leave concurrently cannot both pass the check."""
    await db.value(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update())
    owners = (
        select(role_grant.c.person_id)
        .join(person, person.c.id == role_grant.c.person_id)
        .where(role_grant.c.tenant_id == tenant_id, role_grant.c.role == "owner", person.c.disabled_at.is_(None))
    )
    found = {row["person_id"] for row in await db.rows(owners)}
    if found == {leaving}:
        raise Conflict("There must be at least one owner. Make someone else an owner first.")


async def owners(db: Db, tenant_id: str, *, but: str) -> list[str]:
    """The addresses of the tenant's other live owners."""
    query = (
        select(person.c.email)
        .join(role_grant, role_grant.c.person_id == person.c.id)
        .where(role_grant.c.tenant_id == tenant_id, role_grant.c.role == "owner", person.c.disabled_at.is_(None))
        .where(person.c.id != but)
        .order_by(person.c.id)
    )
    return [row["email"] for row in await db.rows(query)]


async def _allowed(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    """Without an actor the call comes from the command line, whose user has access to the database anyway."""
    if role not in ROLES:
        raise Invalid({"role": "value"})
    if ctx.actor is None:
        return
    mine = await roles_of(db, ctx.actor.tenant_id, ctx.actor.person_id)
    if (
        ctx.actor.tenant_id != tenant_id
        or ctx.actor.person_id == person_id
        or not may(mine, "roles:give")
        or not ROLES[role] <= permissions(mine)
    ):
        refused = deferred(ctx, Event.ACCESS_REFUSED, subject_id=person_id, permission="roles:give", role=role)
        raise PermissionMissing(deferred=(refused,))


async def count(db: Db, tenant_id: str, role: str) -> int:
    query = select(func.count()).where(role_grant.c.tenant_id == tenant_id, role_grant.c.role == role)
    return int(await db.value(query) or 0)
