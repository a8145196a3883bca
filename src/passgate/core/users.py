"""The people of a tenant, managed by somebody else: its admins, or an operator on the command line. The same actions
for both; `access.require` says who may, and an admin never reaches anybody who may do more than they.

Not here: creating, changing and deleting them (`user_changes`), finding them (`directory`), and actions of people on
their own account, which are `account`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import (
    access,
    account,
    directory,
    factor_reset,
    links,
    people,
    recovery,
    tenants,
)
from passgate.core.access import Standing
from passgate.core.action import administration, end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Operator, Person
from passgate.core.directory import Asked, Page
from passgate.core.events import Event
from passgate.core.factors import password
from passgate.errors import Conflict, NotFound
from passgate.store import Db

PAGE = 100


@dataclass(frozen=True, slots=True)
class User:
    """Which person an action is about."""

    tenant_id: str
    person_id: str

    @property
    def key(self) -> people.Key:
        return self.tenant_id, self.person_id


@dataclass(frozen=True, slots=True)
class Requires:
    """What an action on a person requires. `or_equal`: it reaches somebody who has the same permissions; without it
    only somebody who has fewer. `is_live`: the account can be used; `is_enabled`: or was closed by its owner."""

    permissions: tuple[str, ...]
    or_equal: bool = False
    is_live: bool = False
    is_enabled: bool = False

    def fits(self, found: RowMapping) -> bool:
        """Whether the account is in a state for it."""
        any_state = not (self.is_live or self.is_enabled)
        return any_state or people.is_live(found, or_closed=not self.is_live)


_RECOVERS = Requires(("users:recover",), or_equal=True, is_live=True)
ACTIONS = {
    "change": Requires(("users:write",), or_equal=True),
    "move": Requires(("users:write",), is_enabled=True),
    "password": Requires(("users:write", "users:recover"), or_equal=True, is_enabled=True),
    "username": Requires(("users:write",), or_equal=True),
    "disable": Requires(("users:disable",)),
    "enable": Requires(("users:disable",)),
    "sign_out": Requires(("sessions:end",), or_equal=True),
    "reset_factors": _RECOVERS,
    "signin_link": _RECOVERS,
    "delete": Requires(("users:delete",)),
    "give_role": Requires(("roles:give",), or_equal=True, is_live=True),
}
"""What can be done to a person: `managing` asks when it is done, and `user_views.actions_on` before."""


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


async def add(
    ctx: Ctx, tenant_name: str, email: str, role: str, secret: str | None, username: str | None = None
) -> dict[str, Any]:
    """Create a person whose address an operator vouches for. Without a password they set one by recovery."""
    at = people.address(email)
    access.require_operator(ctx)
    async with ctx.read() as db:
        tenant = await tenants.named(ctx, db, tenant_name)
        await access.require_role(ctx, db, tenant.id, role)
    name = account.named(tenant, username, by_oneself=False) if username is not None else None
    stored = None
    if secret is not None:
        context = (at.key, name.key if name else "", tenant.name, tenant.display_name)
        stored = await password.vetted(ctx, secret, tenant.rules, context)
    async with ctx.write() as db:
        profile = people.profile_text(None)
        made = await people.create(ctx, db, tenant.id, at, profile=profile, verified=True, username=name)
        if made is None:
            if name is None:
                raise Conflict("Someone in this tenant already has that email address.")
            raise Conflict("Someone in this tenant already has that email address or username.")
        about = {"email": at.text, **({"username": name.text} if name else {})}
        await record(ctx, db, Event.ACCOUNT_CREATED, tenant_id=tenant.id, subject_id=made, personal=about)
        await access.give_first(ctx, db, tenant.id, made, role)
        if stored is not None:
            await password.replace(ctx, db, tenant.id, made, stored)
        return await directory.read(db, tenant.id, made)


async def listed(ctx: Ctx, tenant_name: str, search: str = "") -> list[dict[str, Any]]:
    """Every person of a tenant, for an operator, oldest first. `search`: the beginning of the address or username.
    Recorded before it returns."""
    access.require_operator(ctx)
    async with ctx.read() as db:
        tenant = await tenants.named(ctx, db, tenant_name)
    asked, page = Asked(search=search), Page([], "")
    found: list[dict[str, Any]] = []
    while page.next is not None:
        page = await directory.after(ctx, tenant.id, asked, cursor=page.next or None, limit=PAGE)
        found += page.items
    async with ctx.write() as db:
        await record(ctx, db, Event.USERS_LISTED, tenant_id=tenant.id, tenant=tenant.name, count=len(found))
    return found


async def find(ctx: Ctx, asked: Asked, *, cursor: str | None, limit: int) -> Page:
    """A page of the tenant's people. Raises PermissionMissing, Invalid."""
    await access.require_to_read(ctx, "users:read")
    return await directory.after(ctx, await access.tenant_of(ctx), asked, cursor=cursor, limit=limit)


async def find_numbered(ctx: Ctx, asked: Asked, *, page: int, size: int) -> Page:
    """The same with a number, and the total."""
    await access.require_to_read(ctx, "users:read")
    return await directory.numbered(ctx, await access.tenant_of(ctx), asked, page=page, size=size)


async def one(ctx: Ctx, person_id: str) -> dict[str, Any]:
    """Somebody of the tenant, or oneself, which needs no permission over others. Raises PermissionMissing, NotFound."""
    if is_oneself(ctx, person_id):
        await access.require_to_read(ctx, "me:read")
    else:
        await access.require_to_read(ctx, "users:read", person_id)
    return await directory.one(ctx, await access.tenant_of(ctx), person_id)


def is_oneself(ctx: Ctx, person_id: str) -> bool:
    return isinstance(ctx.principal, Person) and ctx.person.person_id == person_id


async def sign_out(ctx: Ctx, user: User) -> int:
    """End all sessions of a person, and whatever could open new ones; returns how many there were."""
    async with managing(ctx, user, "sign_out") as managed:
        if not managed.is_locked:  # what has been disabled has none
            return 0
        ended = await end_all(ctx, managed.db, *user.key, "signed_out")
        about: dict[str, Any] = {"tenant_id": user.tenant_id, "subject_id": user.person_id}
        await record(ctx, managed.db, Event.SESSIONS_ENDED, **about, reason="signed_out", count=ended)
        return ended


async def disable(ctx: Ctx, user: User) -> dict[str, Any]:
    """Disable a person (idempotent): ends all sessions and pending sign-ins, none can start. Conflict: last owner."""
    async with managing(ctx, user, "disable") as managed:
        db, key = managed.db, (user.tenant_id, user.person_id)
        if managed.is_locked:
            await access.keep_an_owner(db, *key)
            await people.disable(ctx, db, *key)
            ended = await end_all(ctx, db, *key, "disabled")
            about: dict[str, Any] = {"tenant_id": user.tenant_id, "subject_id": user.person_id}
            await record(ctx, db, Event.ACCOUNT_DISABLED, **about, sessions=ended)
        return await directory.read(db, *user.key)


async def enable(ctx: Ctx, user: User) -> dict[str, Any]:
    """Take back `disable` (idempotent). What was ended stays ended; an account that its owner closed is closed
    again."""
    async with managing(ctx, user, "enable") as managed:
        if await people.enable(ctx, managed.db, user.tenant_id, user.person_id):
            about: dict[str, Any] = {"tenant_id": user.tenant_id, "subject_id": user.person_id}
            await record(ctx, managed.db, Event.ACCOUNT_ENABLED, **about)
        return await directory.read(managed.db, *user.key)


async def give_role(ctx: Ctx, user: User, role: str) -> dict[str, Any]:
    async with managing(ctx, user, "give_role") as managed:
        await access.give(ctx, managed.db, user.tenant_id, user.person_id, role)
        return await directory.read(managed.db, *user.key)


async def take_role(ctx: Ctx, user: User, role: str) -> dict[str, Any]:
    async with managing(ctx, user, "give_role") as managed:
        await access.take(ctx, managed.db, user.tenant_id, user.person_id, role)
        return await directory.read(managed.db, *user.key)


async def operators_link(ctx: Ctx, user: User, *, life: int = links.LIFE) -> links.Link:
    """A link that signs a person in, usable at once, for an operator who may be locked out. Valid for `life` seconds.
    The person is notified as for any link."""
    access.require_operator(ctx)
    async with managing(ctx, user, "signin_link") as managed:
        return await links.make(ctx, managed.db, user.tenant_id, user.person_id, wait=0, life=life)


async def signin_link(ctx: Ctx, user: User) -> links.Link | None:
    """A link for a person who has no permission that the admin lacks. It becomes usable after a wait, and the person is
    notified at once. If both have the same permissions, two admins have to ask: the first gets None, and the request
    stays valid for a day."""
    async with managing(ctx, user, "signin_link") as managed:
        db, key = managed.db, (user.tenant_id, user.person_id)
        makers: tuple[str, ...] = () if isinstance(ctx.principal, Operator) else (ctx.person.person_id,)
        if managed.standing is Standing.EQUAL:
            makers = await links.approved(ctx, db, *key, recovery.LINK_ASKED, Event.LINK_ASKED)
            if not makers:
                return None
        wait = ctx.settings.recovery.waiting(ctx.settings)
        return await links.make(ctx, db, *key, wait=wait, life=links.LIFE_OF_ADMINS, makers=makers)


async def reset_factors(ctx: Ctx, user: User) -> int | None:
    """Remove the second factors of a person who has lost them, after the waiting period of a recovery; returns when
    (microseconds). As for a link, an equal's needs a second admin: None until then."""
    async with managing(ctx, user, "reset_factors") as managed:
        makers: tuple[str, ...] = () if isinstance(ctx.principal, Operator) else (ctx.person.person_id,)
        if managed.standing is Standing.EQUAL:
            makers = await links.approved(ctx, managed.db, *user.key, recovery.RESET_ASKED, Event.RESET_ASKED)
            if not makers:
                return None
        return await factor_reset.ask(ctx, managed.db, *user.key, makers)


@dataclass(frozen=True, slots=True)
class Managed:
    """`person`: the row before the action. `is_locked`: the person is live, or closed their account, and is locked;
    False while they are disabled."""

    db: Db
    standing: Standing
    person: RowMapping
    is_locked: bool


@asynccontextmanager
async def managing(ctx: Ctx, user: User, *names: str, heavy: bool = False) -> AsyncIterator[Managed]:
    """One of `ACTIONS` on a person, or several at once. Raises PermissionMissing, also over somebody whom it does not
    reach; NotFound. If the person must be live and isn't: Conflict for an operator, NotFound for everybody else; if
    they must not be disabled and are: Conflict."""
    await account.fresh(ctx)
    rules = [ACTIONS[name] for name in names]
    about = (user.tenant_id, user.person_id)
    async with administration(ctx, rules[0].permissions[0], *about, heavy=heavy) as (db, locked):
        found = await people.by_id(db, *about)
        is_operator, standing = isinstance(ctx.principal, Operator), Standing.ABOVE
        if found is None or (not is_operator and any(one.is_live and not one.fits(found) for one in rules)):
            raise NotFound
        for one in rules:
            standing = await reach(ctx, db, user.person_id, one)
            if standing is Standing.NONE:
                raise access.missing(ctx, one.permissions[-1], user.person_id)
        if not all(one.fits(found) for one in rules):
            raise Conflict("That account is disabled.")
        yield Managed(db, standing, found, locked is not None)


async def reach(ctx: Ctx, db: Db, person_id: str, rule: Requires) -> Standing:
    """How far whoever acts reaches over a person of their tenant with such an action: NONE also over an equal, unless
    the rule says otherwise."""
    if isinstance(ctx.principal, Operator):
        return Standing.ABOVE
    found = await access.standing(ctx, db, *ctx.person.key, person_id, *rule.permissions)
    return Standing.NONE if found is Standing.EQUAL and not rule.or_equal else found
