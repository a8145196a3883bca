"""Role-based access control: what somebody may do now, granting and revoking roles. An unknown role has no permission.
No one grants permissions they lack or changes their own roles, and a tenant's last owner stays.

A role that somebody gives must not grow or go meanwhile, nor may the giver's own roles shrink: whoever gives one shares
a lock on the tenant's row, which `roles` takes alone to change them.

Not here: who acts, which is `sessions`, and a tenant's own roles, which are `roles`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Any

from sqlalchemy import RowMapping, and_, bindparam, delete, func, or_, select

from passgate.core import people, tenants
from passgate.core.audit import SYSTEM, deferred, record
from passgate.core.ctx import Client, Ctx, Operator, Person, Services, Stranger, System
from passgate.core.events import Event
from passgate.core.permissions import OWNER, ROLES, USER, known, of_role
from passgate.errors import Conflict, CredentialMissing, Invalid, PermissionMissing
from passgate.store import Db
from passgate.store.tables import person, role, role_grant

_STORED = (
    select(role_grant.c.role, func.coalesce(role.c.permissions, "").label("permissions"))
    .select_from(role_grant)
    .outerjoin(role, and_(role.c.tenant_id == role_grant.c.tenant_id, role.c.name == role_grant.c.role))
    .where(role_grant.c.tenant_id == bindparam("of_tenant"), role_grant.c.person_id == bindparam("of_person"))
)
_OWN = select(role.c.name.label("role"), role.c.permissions).where(role.c.tenant_id == bindparam("of_tenant"))


async def roles_of(db: Db, tenant_id: str, person_id: str) -> list[str]:
    return sorted(row["role"] for row in await db.rows(_STORED, of_tenant=tenant_id, of_person=person_id))


async def permissions_of(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> frozenset[str]:
    """Of all the roles that a person has now."""
    return _united(ctx, await db.rows(_STORED, of_tenant=tenant_id, of_person=person_id))


def _united(ctx: Ctx, rows: Iterable[RowMapping]) -> frozenset[str]:
    own = ctx.services.permissions
    return frozenset[str]().union(*(of_role(row["role"], row["permissions"], own) for row in rows))


def found_with(services: Services, who: Person) -> frozenset[str]:
    """What a person could do when their session was found, without another query."""
    own = services.permissions
    return frozenset[str]().union(*(of_role(*one, own) for one in who.permissions_by_role.items()))


async def roles_in(ctx: Ctx, db: Db, tenant_id: str) -> dict[str, frozenset[str]]:
    """Every role that can be given in a tenant, built-in ones first, with what it allows."""
    stored = {**dict.fromkeys(ROLES, "")}
    stored |= {
        row["role"]: row["permissions"] for row in await db.rows(_OWN, of_tenant=tenant_id) if row["role"] not in ROLES
    }
    return {name: of_role(name, names, ctx.services.permissions) for name, names in stored.items()}


async def listed_permissions(ctx: Ctx) -> list[dict[str, Any]]:
    """Every permission as {name, description, yours}, for somebody who is signed in, or an operator."""
    every = known(ctx.services.permissions)
    async with ctx.read() as db:
        mine = await _mine(ctx, db)
    return [{"name": name, "description": text, "yours": name in mine} for name, text in every.items()]


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
    return isinstance(ctx.principal, Operator) or permission in await _mine(ctx, db)


async def _mine(ctx: Ctx, db: Db) -> frozenset[str]:
    match ctx.principal:
        case Operator():
            return frozenset(known(ctx.services.permissions))
        case Person():
            return await permissions_of(ctx, db, *ctx.principal.key)
        case Client():
            return ctx.principal.permissions
        case Stranger():
            raise CredentialMissing
        case System():
            return frozenset()


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


async def standing(ctx: Ctx, db: Db, tenant_id: str, actor_id: str, person_id: str, *needed: str) -> Standing:
    """Decided by the current roles of both. NONE over oneself, over anyone with a permission that one lacks, and
    without the permissions that are needed."""
    mine = await permissions_of(ctx, db, tenant_id, actor_id)
    theirs = await permissions_of(ctx, db, tenant_id, person_id)
    if actor_id == person_id or not mine.issuperset(needed) or not theirs <= mine:
        return Standing.NONE
    return Standing.EQUAL if theirs == mine else Standing.ABOVE


async def grant(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> bool:
    """Write the grant of a role that is there, without a permission check (sign-up, command line). False if it existed
    already."""
    row = {"tenant_id": tenant_id, "person_id": person_id, "role": role, "created_at": ctx.now()}
    if not await db.change(db.upsert(role_grant).values(**row).on_conflict_do_nothing()):
        return False
    await record(ctx, db, Event.ROLE_GIVEN, tenant_id=tenant_id, subject_id=person_id, role=role)
    return True


async def give(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    """Give a role to somebody whom the caller has locked. Raises PermissionMissing, Invalid for no such role."""
    await tenants.share_row(db, tenant_id)
    await _allowed(ctx, db, tenant_id, person_id, role)
    if await grant(ctx, db, tenant_id, person_id, role):
        await people.changed(ctx, db, tenant_id, person_id)


async def give_first(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    """The same for somebody whom this transaction has created."""
    await tenants.share_row(db, tenant_id)
    await _allowed(ctx, db, tenant_id, person_id, role)
    await grant(ctx, db, tenant_id, person_id, role)


async def require_role(ctx: Ctx, db: Db, tenant_id: str, role: str) -> frozenset[str]:
    """What a role of the tenant allows. Raises Invalid for one that is not there."""
    found = (await roles_in(ctx, db, tenant_id)).get(role)
    if found is None:
        raise Invalid({"role": "value"})
    return found


async def take(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    await _allowed(ctx, db, tenant_id, person_id, role)
    if role == OWNER:
        await keep_an_owner(db, tenant_id, person_id)
    gone = delete(role_grant).where(
        role_grant.c.tenant_id == tenant_id, role_grant.c.person_id == person_id, role_grant.c.role == role
    )
    if await db.change(gone):
        await record(ctx, db, Event.ROLE_TAKEN, tenant_id=tenant_id, subject_id=person_id, role=role)
        await people.changed(ctx, db, tenant_id, person_id)


async def replace_roles(ctx: Ctx, db: Db, tenant_id: str, person_id: str, roles: Iterable[str]) -> None:
    """Give and take what somebody whom the caller has locked needs to have exactly these roles. Raises what `give` and
    `take` raise, and Invalid for a role that is not there."""
    wanted, before = {*roles}, {*await roles_of(db, tenant_id, person_id)}
    if OWNER in before - wanted:
        await tenants.lock_row(db, tenant_id)  # at once: whoever shared it first could wait for another who did
    await require_roles(ctx, db, tenant_id, wanted)
    for one in sorted(before - wanted):
        await take(ctx, db, tenant_id, person_id, one)
    for one in sorted(wanted - before):
        await give(ctx, db, tenant_id, person_id, one)


async def require_roles(ctx: Ctx, db: Db, tenant_id: str, roles: Iterable[str]) -> None:
    """Raises Invalid unless all these roles are there, which stay until the transaction ends."""
    await tenants.share_row(db, tenant_id)
    if not {*roles} <= (await roles_in(ctx, db, tenant_id)).keys():
        raise Invalid({"roles": "value"})


async def take_extra(ctx: Ctx, db: Db, tenant_id: str, person_id: str, reason: str) -> list[str]:
    """Take every role but that of somebody who has just signed up, from a locked person; returns which. Whoever acts:
    nobody asks for it, it follows."""
    extra = (role_grant.c.tenant_id == tenant_id, role_grant.c.person_id == person_id, role_grant.c.role != USER)
    gone = sorted(row["role"] for row in await db.rows(delete(role_grant).where(*extra).returning(role_grant.c.role)))
    about: dict[str, Any] = {"tenant_id": tenant_id, "subject_id": person_id}
    for name in gone:
        await record(ctx, db, Event.ROLE_TAKEN, **about, role=name, reason=reason)
    return gone


_HOLDERS = select(role_grant.c.person_id).where(
    role_grant.c.tenant_id == bindparam("of_tenant"), role_grant.c.role == bindparam("of_role")
)
_first, _every = role_grant.alias("first"), role_grant.alias("every")
_OF_HOLDERS = (
    select(_every.c.role, func.coalesce(role.c.permissions, "").label("permissions"))
    .select_from(_first)
    .join(_every, and_(_every.c.tenant_id == _first.c.tenant_id, _every.c.person_id == _first.c.person_id))
    .outerjoin(role, and_(role.c.tenant_id == _every.c.tenant_id, role.c.name == _every.c.role))
    .where(_first.c.tenant_id == bindparam("of_tenant"), _first.c.role == bindparam("of_role"))
    .distinct()
)
_TAKE_ALL = delete(role_grant).where(
    role_grant.c.tenant_id == bindparam("of_tenant"), role_grant.c.role == bindparam("of_role")
)


async def holders(db: Db, tenant_id: str, role: str) -> set[str]:
    """The ids of everybody who has a role."""
    return {row["person_id"] for row in await db.rows(_HOLDERS, of_tenant=tenant_id, of_role=role)}


async def permissions_of_holders(ctx: Ctx, db: Db, tenant_id: str, role: str) -> frozenset[str]:
    """What those who have this role may do, by all the roles that any of them has."""
    return _united(ctx, await db.rows(_OF_HOLDERS, of_tenant=tenant_id, of_role=role))


async def take_from_all(ctx: Ctx, db: Db, tenant_id: str, role: str) -> int:
    """Take a role from everybody, whom the caller has locked; returns how many they were."""
    await people.all_changed(ctx, db, _HOLDERS, of_tenant=tenant_id, of_role=role)
    return await db.change(_TAKE_ALL, of_tenant=tenant_id, of_role=role)


async def keep_an_owner(db: Db, tenant_id: str, leaving: str) -> None:
    """Raise Conflict if `leaving` is the tenant's last live owner. One whose address is only claimed does not count,
    because the role ends with the proof of it. Locks the tenant's row first, so that two owners who leave concurrently
    cannot both pass the check."""
    await tenants.lock_row(db, tenant_id)
    owners = (
        select(role_grant.c.person_id)
        .join(person, person.c.id == role_grant.c.person_id)
        .where(role_grant.c.tenant_id == tenant_id, role_grant.c.role == "owner", person.c.disabled_at.is_(None))
        .where(or_(person.c.claimed_at.is_(None), person.c.id == leaving))
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


async def givable(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> list[str]:
    """The roles that whoever acts may give to a person, or take from them: nobody gives or takes more than they have,
    or changes their own roles."""
    every = await roles_in(ctx, db, tenant_id)
    if isinstance(ctx.principal, Operator):
        return [*every]
    me = ctx.person
    mine = await permissions_of(ctx, db, *me.key)
    if me.tenant_id != tenant_id or me.person_id == person_id or "roles:give" not in mine:
        return []
    return [role for role, allows in every.items() if allows <= mine]


async def _allowed(ctx: Ctx, db: Db, tenant_id: str, person_id: str, role: str) -> None:
    await require_role(ctx, db, tenant_id, role)
    await require(ctx, db, "roles:give", person_id)
    if role not in await givable(ctx, db, tenant_id, person_id):
        raise missing(ctx, "roles:give", person_id, role=role)


async def roles_within(ctx: Ctx, db: Db, tenant_id: str, roles: Iterable[str], actor_id: str | None) -> list[str]:
    """Those of some roles that are there and allow nothing that somebody lacks now; None for an operator. Whoever gives
    them afterwards has shared the lock on the tenant's row before."""
    every = await roles_in(ctx, db, tenant_id)
    mine = None if actor_id is None else await permissions_of(ctx, db, tenant_id, actor_id)
    return [role for role in roles if role in every and (mine is None or every[role] <= mine)]


async def refused(ctx: Ctx, **facts: Any) -> None:
    """Record that a request was refused before any action began, in a transaction of its own."""
    tenant_id = None if isinstance(ctx.principal, Person) else SYSTEM
    async with ctx.write() as db:
        await record(ctx, db, Event.ACCESS_REFUSED, tenant_id=tenant_id, **facts)
