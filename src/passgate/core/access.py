"""Role-based access control: roles as sets of permissions, `may`, granting and revoking. An unknown role has none. No
one grants permissions they lack or changes their own roles, and a tenant's last owner stays.

Not here: who acts, which is `sessions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Any

from sqlalchemy import delete, select

from passgate.core import people, tenants
from passgate.core.audit import SYSTEM, deferred, record
from passgate.core.ctx import Client, Ctx, Operator, Person, Stranger, System
from passgate.core.events import Event
from passgate.core.permissions import PERMISSIONS, ROLES
from passgate.errors import Conflict, CredentialMissing, Invalid, PermissionMissing
from passgate.store import Db
from passgate.store.tables import person, role_grant


def permissions(roles: list[str] | tuple[str, ...]) -> frozenset[str]:
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def may(roles: list[str] | tuple[str, ...], permission: str) -> bool:
    return permission in permissions(roles)


async def roles_of(db: Db, tenant_id: str, person_id: str) -> list[str]:
    query = select(role_grant.c.role).where(role_grant.c.tenant_id == tenant_id, role_grant.c.person_id == person_id)
    return sorted(row["role"] for row in await db.rows(query))


async def listed_permissions(ctx: Ctx) -> list[dict[str, Any]]:
    """Every permission as {name, description, yours}, for somebody who is signed in, or an operator."""
    async with ctx.read() as db:
        mine = {name for name in PERMISSIONS if await has(ctx, db, name)}
    return [{"name": name, "description": text, "yours": name in mine} for name, text in PERMISSIONS.items()]


async def require(ctx: Ctx, db: Db, permission: str, subject_id: str | None = None) -> None:
    """Raises PermissionMissing, which is recorded, unless whoever acts has the permission now; CredentialMissing for a
    stranger. `subject_id`: whom the action is about, if not whoever acts."""
    if not await has(ctx, db, permission):
        raise missing(ctx, permission, subject_id)


async def require_to_read(ctx: Ctx, permission: str, subject_id: str | None = None) -> None:
    """The same for an action that writes nothing, unless it is refused."""
    async with ctx.read() as db:
        is_allowed = await has(ctx, db, permission)
    if not is_allowed:
        async with ctx.write():
            raise missing(ctx, permission, subject_id)


async def has(ctx: Ctx, db: Db, permission: str) -> bool:
    """The one place that asks: an operator has every permission, a person those of their roles, a client its own, a
    stranger and Passgate itself none."""
    match ctx.principal:
        case Operator():
            return True
        case Person():
            return may(await roles_of(db, *ctx.principal.key), permission)
        case Client():
            return permission in ctx.principal.permissions
        case Stranger():
            raise CredentialMissing
        case System():
            return False


async def tenant_of(ctx: Ctx) -> str:
    """The id of the tenant whose people are managed: whoever acts belongs to it, or names it as an operator.
    CredentialMissing for everybody else; NotFound."""
    match ctx.principal:
        case Person() | Client():
            return ctx.principal.tenant_id
        case Operator():
            async with ctx.read() as db:
                return (await tenants.named(ctx, db, ctx.principal.tenant or tenants.MAIN)).id
        case _:
            raise CredentialMissing


def require_operator(ctx: Ctx) -> None:
    """For what reaches over all tenants or vouches for an address: only the command line may."""
    if isinstance(ctx.principal, Stranger):
        raise CredentialMissing
    if not isinstance(ctx.principal, Operator):
        raise missing(ctx, "operator")


def missing(ctx: Ctx, permission: str, subject_id: str | None = None, **facts: str) -> PermissionMissing:
    about = {"subject_id": subject_id, "permission": permission, **facts}
    return PermissionMissing(deferred=(deferred(ctx, Event.ACCESS_REFUSED, **about),))


class Standing(Enum):
    """How far somebody's permission reaches over another person: not at all, over an equal, or over somebody with fewer
    permissions."""

    NONE = auto()
    EQUAL = auto()
    ABOVE = auto()


async def standing(db: Db, tenant_id: str, actor_id: str, person_id: str, permission: str) -> Standing:
    """Decided by the current roles of both. NONE over oneself and over anyone with a permission that one
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
    if await grant(ctx, db, tenant_id, person_id, role):
        await people.changed(ctx, db, tenant_id, person_id)


async def take(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    await _allowed(ctx, db, tenant_id, person_id, role)
    if role == "owner":
        await keep_an_owner(db, tenant_id, person_id)
    gone = delete(role_grant).where(
        role_grant.c.tenant_id == tenant_id, role_grant.c.person_id == person_id, role_grant.c.role == role
    )
    if await db.change(gone):
        await record(ctx, db, Event.ROLE_TAKEN, tenant_id=tenant_id, subject_id=person_id, role=role)
        await people.changed(ctx, db, tenant_id, person_id)


async def keep_an_owner(db: Db, tenant_id: str, leaving: str) -> None:
    """Raise Conflict if `leaving` is the tenant's last live owner. Locks the tenant's row first, so that two owners who
    leave concurrently cannot both pass the check."""
    await tenants.lock_row(db, tenant_id)
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
    """Nobody gives or takes more than they have, or changes their own roles."""
    if role not in ROLES:
        raise Invalid({"role": "value"})
    await require(ctx, db, "roles:give", person_id)
    if isinstance(ctx.principal, Operator):
        return
    me = ctx.person
    mine = permissions(await roles_of(db, *me.key))
    if me.tenant_id != tenant_id or me.person_id == person_id or not ROLES[role] <= mine:
        raise missing(ctx, "roles:give", person_id, role=role)


async def givable(db: Db, tenant_id: str, roles: Iterable[str], actor_id: str | None) -> list[str]:
    """Those of some roles that exist and give nothing that somebody lacks now; None for an operator."""
    known = [role for role in roles if role in ROLES]
    if actor_id is None:
        return known
    mine = permissions(await roles_of(db, tenant_id, actor_id))
    return [role for role in known if ROLES[role] <= mine]


async def refused(ctx: Ctx, **facts: Any) -> None:
    """Record that a request was refused before any action began, in a transaction of its own."""
    tenant_id = None if isinstance(ctx.principal, Person) else SYSTEM
    async with ctx.write() as db:
        await record(ctx, db, Event.ACCESS_REFUSED, tenant_id=tenant_id, **facts)
