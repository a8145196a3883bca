"""Creating, changing and deleting a person by somebody else who may. What an admin sets can be undone by the person as
if they had set it themselves, until somebody proves an address that the admin has set (`address_proof`). Nothing that
is mailed carries a secret of the admin's.

Not here: who may reach whom, and other actions on people, which are `users`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import (
    access,
    account,
    credentials,
    directory,
    erasure,
    mail,
    once,
    pending,
    people,
    tenants,
    undo_link,
)
from passgate.core.action import administration, end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import Enrolling
from passgate.core.factors import password
from passgate.core.journey import UNDO
from passgate.core.profile import checked
from passgate.core.users import User, is_oneself, managing
from passgate.errors import Conflict, Invalid, NotFound, PermissionMissing
from passgate.hashing import Stored
from passgate.store import Db


async def create(
    ctx: Ctx,
    email: str,
    *,
    username: str | None = None,
    secret: str | None,
    profile: dict[str, Any] | None,
    roles: list[str] | None,
) -> dict[str, Any]:
    """A person whose address nobody has proved yet; nothing is mailed to it. They sign in with this password, or prove
    the address in a recovery. `roles`: `user` unless given. Raises Invalid, PermissionMissing, Conflict."""
    at, stored_profile = people.address(email), people.profile_text(checked(ctx.services.profile, profile))
    tenant_id = await _may_begin(ctx, "users:write")
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, tenant_id)
    if tenant is None:
        raise NotFound
    name = account.named(tenant, username, by_oneself=False) if username is not None else None
    stored = await _vetted(ctx, tenant, (at.key, name.key if name else ""), secret) if secret is not None else None
    async with administration(ctx, "users:write", tenant_id) as (db, _):
        made = await people.create(ctx, db, tenant_id, at, profile=stored_profile, verified=False, username=name)
        if made is None:
            raise _taken() if name is None else Conflict("Someone already has that email address or username.")
        about = {"email": at.text, **({"username": name.text} if name else {})}
        await record(ctx, db, Event.ACCOUNT_CREATED, tenant_id=tenant_id, subject_id=made, personal=about)
        if roles is None:
            await access.grant(ctx, db, tenant_id, made, "user")
        else:
            await access.require_roles(ctx, db, tenant_id, roles)
        for role in roles or ():
            await access.give_first(ctx, db, tenant_id, made, role)
        if stored is not None:
            await password.replace(ctx, db, tenant_id, made, stored)
        return await directory.read(db, tenant_id, made)


async def _may_begin(ctx: Ctx, permission: str, person_id: str | None = None) -> str:
    """The tenant's id. What follows may cost a hash, so permission and fresh proof are asked for before it; the action
    asks again."""
    tenant_id = await access.tenant_of(ctx)
    await account.fresh(ctx)
    await access.require_to_read(ctx, permission, person_id)
    return tenant_id


async def _vetted(ctx: Ctx, tenant: tenants.Tenant, theirs: tuple[str, str], secret: str) -> Stored:
    """`theirs`: the keys of their address and username."""
    return await password.vetted(ctx, secret, tenant.rules, (*theirs, tenant.name, tenant.display_name))


def _taken() -> Conflict:
    return Conflict("Someone already has that email address.")


@dataclass(frozen=True, slots=True)
class Change:
    """What an admin changes about a person; None leaves it as it is, and an empty username takes it away. `roles`: all
    that the person has afterwards."""

    profile: dict[str, Any] | None = None
    email: str | None = None
    password: str | None = field(default=None, repr=False)
    username: str | None = None
    roles: tuple[str, ...] | None = None

    @property
    def actions(self) -> list[str]:
        """What it takes, of `users.ACTIONS`."""
        parts = {"move": self.email, "password": self.password, "give_role": self.roles}
        return ["change", *(name for name, given in parts.items() if given is not None)]


async def change(ctx: Ctx, person_id: str, wanted: Change) -> dict[str, Any]:
    """Profile, username, address, password, roles of somebody else, all or nothing; of oneself profile,
    username and password. A new address is unproved; a new password ends all sessions, of oneself all others. The
    person is notified of both and can undo them. Raises Invalid, PasswordRefused, PermissionMissing, NotFound,
    Conflict."""
    if wanted == Change():
        raise Invalid({"body": "missing"})
    if is_oneself(ctx, person_id):
        return await _change_oneself(ctx, wanted)
    user = User(await _may_begin(ctx, "users:write", person_id), person_id)
    at = people.address(wanted.email) if wanted.email is not None else None
    profile = None if wanted.profile is None else people.profile_text(checked(ctx.services.profile, wanted.profile))
    async with ctx.read() as db:
        tenant, found = await tenants.by_id(ctx, db, user.tenant_id), await people.by_id(db, *user.key)
    if tenant is None:
        raise NotFound
    name = account.named(tenant, wanted.username, by_oneself=False) if wanted.username is not None else None
    stored = None
    if wanted.roles is not None:
        await access.require_to_read(ctx, "roles:give", person_id)
    if wanted.password is not None and found is not None:
        await access.require_to_read(ctx, "users:recover", person_id)
        theirs = (at.key if at else found["email_key"], name.key if name else found["username_key"])
        stored = await _vetted(ctx, tenant, theirs, wanted.password)
    async with managing(ctx, user, *wanted.actions) as managed:
        if wanted.roles is not None:  # first, for the lock of the tenant comes before whatever only names it
            await access.replace_roles(ctx, managed.db, *user.key, wanted.roles)
        if profile is not None:
            await people.set_profile(ctx, managed.db, *user.key, profile)
            about: dict[str, Any] = {"tenant_id": user.tenant_id, "subject_id": person_id}
            await record(ctx, managed.db, Event.PROFILE_CHANGED, **about)
        if wanted.username is not None:
            await account.rename(ctx, managed.db, managed.person, name)
        link = await _move(ctx, managed.db, managed.person, at) if at is not None else None
        if stored is not None:
            await _replace_password(ctx, managed.db, tenant, managed.person, stored)
        if at is not None and at.key != managed.person["email_key"]:  # last, because it debits budgets
            await _mail_move(ctx, managed.db, tenant, managed.person, at, link)
        return await directory.read(managed.db, *user.key)


async def _change_oneself(ctx: Ctx, wanted: Change) -> dict[str, Any]:
    if wanted.email is not None or wanted.roles is not None:
        await access.refused(ctx, permission="users:write" if wanted.roles is None else "roles:give")
        raise PermissionMissing
    await account.change(ctx, profile=wanted.profile, username=wanted.username, new_password=wanted.password)
    return await directory.one(ctx, *ctx.person.key)


async def _move(ctx: Ctx, db: Db, found: RowMapping, at: people.Address) -> str | None:
    """The link to undo it. Whoever is waiting for a mail to the address before waits in vain. Another spelling is no
    other address: it ends nothing, and there is nothing to undo."""
    key = (found["tenant_id"], found["id"])
    if at.text == found["email"]:
        return None
    about: dict[str, Any] = {"tenant_id": key[0], "subject_id": key[1]}
    personal = {"email": at.text, "email_before": found["email"]}
    if at.key == found["email_key"]:
        await people.respell(ctx, db, *key, at)
        await record(ctx, db, Event.ADDRESS_CHANGED, **about, personal=personal)
        return None
    if not await people.set_address(ctx, db, *key, at, is_proved=False):
        raise _taken()
    await pending.end_all(ctx, db, *key, spared=(UNDO.name,))
    await once.end_mailed(ctx, db, *key)
    rows = await credentials.rows_of(db, *key)
    link = await undo_link.issue(ctx, db, found, undo_link.Change.ADDRESS, rows, frozenset())
    await record(ctx, db, Event.ADDRESS_CHANGED, **about, personal=personal)
    return link


async def _mail_move(
    ctx: Ctx, db: Db, tenant: tenants.Tenant, found: RowMapping, at: people.Address, link: str | None
) -> None:
    kind, service = undo_link.Change.ADDRESS.value, tenant.display_name
    await mail.enqueue(ctx, db, tenant.id, kind, found["email"], service=service, link=link, person=found)
    await mail.enqueue(ctx, db, tenant.id, kind, at.text, service=service)


async def _replace_password(ctx: Ctx, db: Db, tenant: tenants.Tenant, found: RowMapping, stored: Stored) -> None:
    key = (found["tenant_id"], found["id"])
    ended = await end_all(ctx, db, *key, "password_changed")
    names = (tenant.id, tenant.name, found["id"], found["email"], tenant.display_name)
    who = Enrolling(*names, tenant.rules, found["id"], in_session=True)
    await account.replace_password(ctx, db, found, who, stored)
    about: dict[str, Any] = {"tenant_id": key[0], "subject_id": key[1]}
    await record(ctx, db, Event.SESSIONS_ENDED, **about, reason="password_changed", count=ended)


async def delete(ctx: Ctx, user: User) -> None:
    """Erase a person now, with everything of theirs; the trail stays valid without the personal parts. Raises
    PermissionMissing, NotFound, Conflict: last owner."""
    async with managing(ctx, user, "delete", heavy=True) as managed:
        await access.keep_an_owner(managed.db, *user.key)
        await erasure.erase(ctx, managed.db, managed.person)
    await erasure.scrub(ctx.services)
