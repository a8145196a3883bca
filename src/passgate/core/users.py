"""The people of a tenant, managed by somebody else: its admins, or an operator on the command line. The same actions
for both; `access.require` says who may, and an admin never reaches anybody who may do more than they.

Not here: actions of people on their own account, which are `account`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from passgate.core import access, account, links, people, sessions, tenants
from passgate.core.access import Standing
from passgate.core.action import administration, end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Operator
from passgate.core.events import Event
from passgate.core.factors import password
from passgate.errors import Conflict, Invalid, NotFound
from passgate.store import Db

PAGE = 100


@dataclass(frozen=True, slots=True)
class User:
    """Which person an action is about."""

    tenant_id: str
    person_id: str


async def by_email(ctx: Ctx, email: str, tenant_name: str) -> User:
    """Who has this address in the tenant, for an operator, who reaches over all tenants. Raises NotFound."""
    access.require_operator(ctx)
    at = people.address(email)
    async with ctx.read() as db:
        tenant = await tenants.named(ctx, db, tenant_name)
        found = await people.by_key(db, tenant.id, at.key)
    if found is None:
        raise NotFound("No one in this tenant has that email address.")
    return User(tenant.id, found["id"])


async def add(ctx: Ctx, tenant_name: str, email: str, role: str, secret: str | None) -> dict[str, Any]:
    """Create a person whose address an operator vouches for. Without a password they set one by recovery."""
    at = people.address(email)
    if role not in access.ROLES:
        raise Invalid({"role": "value"})
    access.require_operator(ctx)
    async with ctx.read() as db:
        tenant = await tenants.named(ctx, db, tenant_name)
    stored = None
    if secret is not None:
        stored = await password.vetted(ctx, secret, tenant.rules, (at.key, tenant.name, tenant.display_name))
    async with ctx.write() as db:
        made = await people.create(ctx, db, tenant.id, at, profile=people.profile_text(None), verified=True)
        if made is None:
            raise Conflict("Someone in this tenant already has that email address.")
        about = {"email": at.text}
        await record(ctx, db, Event.ACCOUNT_CREATED, tenant_id=tenant.id, subject_id=made, personal=about)
        await access.grant(ctx, db, tenant.id, made, role)
        if stored is not None:
            await password.replace(ctx, db, tenant.id, made, stored)
        return await _as_json(db, User(tenant.id, made))


async def listed(ctx: Ctx, tenant_name: str) -> list[dict[str, Any]]:
    """Every person of a tenant as in `people.as_json`, with `disabled`, oldest first. Recorded before it returns."""
    access.require_operator(ctx)
    async with ctx.read() as db:
        tenant = await tenants.named(ctx, db, tenant_name)
    found: list[dict[str, Any]] = []
    while True:
        async with ctx.read() as db:
            page = await people.listed(db, tenant.id, after=found[-1]["id"] if found else None, limit=PAGE)
        found += page
        if len(page) < PAGE:
            break
    async with ctx.write() as db:
        await record(ctx, db, Event.USERS_LISTED, tenant_id=tenant.id, tenant=tenant.name, count=len(found))
    return found


async def sessions_of(ctx: Ctx, user: User) -> list[dict[str, Any]]:
    """A user's live sessions, newest first."""
    access.require_operator(ctx)
    async with ctx.read() as db:
        return await sessions.listed(
            ctx, db, (user.tenant_id, user.person_id), before=None, limit=1000, with_carrier=True
        )


async def disable(ctx: Ctx, user: User) -> dict[str, Any]:
    """Disable a person (idempotent): ends all sessions and pending sign-ins, none can start. Conflict: last owner."""
    async with _managing(ctx, user, "users:disable") as managed:
        db, key = managed.db, (user.tenant_id, user.person_id)
        if managed.is_locked:
            await access.keep_an_owner(db, *key)
            await people.disable(ctx, db, *key)
            ended = await end_all(ctx, db, *key, "disabled")
            about: dict[str, Any] = {"tenant_id": user.tenant_id, "subject_id": user.person_id}
            await record(ctx, db, Event.ACCOUNT_DISABLED, **about, sessions=ended)
        return await _as_json(db, user)


async def enable(ctx: Ctx, user: User) -> dict[str, Any]:
    """Take back `disable` (idempotent). What was ended stays ended; an account that its owner closed is closed
    again."""
    async with _managing(ctx, user, "users:disable") as managed:
        if await people.enable(managed.db, user.tenant_id, user.person_id):
            about: dict[str, Any] = {"tenant_id": user.tenant_id, "subject_id": user.person_id}
            await record(ctx, managed.db, Event.ACCOUNT_ENABLED, **about)
        return await _as_json(managed.db, user)


async def give_role(ctx: Ctx, user: User, role: str) -> dict[str, Any]:
    async with _managing(ctx, user, "roles:give", is_live=True, or_equal=True) as managed:
        await access.give(ctx, managed.db, user.tenant_id, user.person_id, role)
        return await _as_json(managed.db, user)


async def take_role(ctx: Ctx, user: User, role: str) -> dict[str, Any]:
    async with _managing(ctx, user, "roles:give", is_live=True, or_equal=True) as managed:
        await access.take(ctx, managed.db, user.tenant_id, user.person_id, role)
        return await _as_json(managed.db, user)


async def operators_link(ctx: Ctx, user: User, *, life: int = links.LIFE) -> links.Link:
    """A link that signs a person in, usable at once, for an operator who may be locked out. Valid for `life` seconds.
    The person is notified as for any link."""
    access.require_operator(ctx)
    async with _managing(ctx, user, "users:recover", is_live=True) as managed:
        return await links.make(ctx, managed.db, user.tenant_id, user.person_id, wait=0, life=life)


async def signin_link(ctx: Ctx, user: User) -> links.Link | None:
    """A link for a person who has no permission that the admin lacks. It becomes usable after a wait, and the person is
    notified at once. If both have the same permissions, two admins have to ask: the first gets None, and the request
    stays valid for a day."""
    async with _managing(ctx, user, "users:recover", is_live=True, or_equal=True) as managed:
        db, key = managed.db, (user.tenant_id, user.person_id)
        makers: tuple[str, ...] = (ctx.person.person_id,)
        if managed.standing is Standing.EQUAL:
            first = await links.asked_by(ctx, db, user.tenant_id, user.person_id)
            if first is None or first == ctx.person.person_id:
                await links.ask(ctx, db, *key, ctx.person.person_id)
                return None
            makers = (first, *makers)
        wait = ctx.settings.recovery.waiting(ctx.settings)
        return await links.make(ctx, db, *key, wait=wait, life=links.LIFE_OF_ADMINS, makers=makers)


@dataclass(frozen=True, slots=True)
class _Managed:
    """`is_locked`: the person is live, or closed their account, and is locked; False while they are disabled."""

    db: Db
    standing: Standing
    is_locked: bool


@asynccontextmanager
async def _managing(
    ctx: Ctx, user: User, permission: str, *, is_live: bool = False, or_equal: bool = False
) -> AsyncIterator[_Managed]:
    """An action on a person. Raises PermissionMissing, also over somebody who may do as much (unless `or_equal`) or
    more; NotFound. If the person must be live and isn't: Conflict for an operator, NotFound for everybody else."""
    await account.fresh(ctx)
    async with administration(ctx, permission, user.tenant_id, user.person_id) as (db, locked):
        found = await people.by_id(db, user.tenant_id, user.person_id)
        is_operator, standing = isinstance(ctx.principal, Operator), Standing.ABOVE
        if found is None or (is_live and not is_operator and not people.is_live(found)):
            raise NotFound
        if is_live and not people.is_live(found):
            raise Conflict("That account is disabled.")
        if not is_operator:
            standing = await access.standing(db, *ctx.person.key, user.person_id, permission)
        if standing is Standing.NONE or (standing is Standing.EQUAL and not or_equal):
            raise access.missing(ctx, permission, user.person_id)
        yield _Managed(db, standing, locked is not None)


async def _as_json(db: Db, user: User) -> dict[str, Any]:
    row = await people.by_id(db, user.tenant_id, user.person_id)
    if row is None:
        raise NotFound
    roles = await access.roles_of(db, user.tenant_id, user.person_id)
    return people.as_json({**row, "roles": ",".join(roles)}) | {"disabled": row["disabled_at"] is not None}
