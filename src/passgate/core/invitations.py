"""Invitations to a tenant: made, listed and cancelled by whoever may invite, or by an operator. Nobody gives more than
they have, and nothing here depends on whether an address has an account.

Not here: what an invitation opens, and what it gives in the end (`invitation_link`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import access, account, budgets, invitation_link, mail, once, people, tenants
from passgate.core.action import administration
from passgate.core.audit import address_hash, record
from passgate.core.ctx import Ctx, Origin, Person
from passgate.core.directory import Page
from passgate.core.events import Event
from passgate.core.invitation_link import KIND, Invitation
from passgate.errors import Invalid, NotFound
from passgate.store import Db

PAGE = 100


@dataclass(frozen=True, slots=True)
class _Wanted:
    tenant_id: str
    at: people.Address
    roles: list[str]


async def create(ctx: Ctx, email: str, roles: list[str] | None) -> dict[str, Any]:
    """Mail an invitation; returns it as listed. `roles`: `user` unless given. Raises Invalid, PermissionMissing,
    Throttled."""
    wanted = _wanted(await access.tenant_of(ctx), email, roles)
    await account.fresh(ctx)
    async with administration(ctx, "invitations:write", wanted.tenant_id) as (db, _):
        inviter = await _inviter(ctx, db)
        await _check(ctx, db, wanted, inviter)
        await budgets.invitation(ctx, db, wanted.tenant_id, wanted.at.key)
        made, url = await _issue(ctx, db, wanted, inviter)
        tenant = await tenants.by_id(ctx, db, wanted.tenant_id)
        unseen = replace(ctx, origin=Origin())  # where the inviter sits is nothing to an outsider
        service, address = tenant.display_name if tenant else "", inviter["email"] if inviter else ""
        given: dict[str, Any] = {"service": service, "link": url, "inviter": address}
        await mail.enqueue(unseen, db, wanted.tenant_id, "invitation", wanted.at.text, **given)
        return made


async def link(ctx: Ctx, email: str, roles: list[str] | None) -> dict[str, Any]:
    """An operator's, with `url`, for them to pass on: nothing is mailed, and they vouch for who has the address."""
    access.require_operator(ctx)
    wanted = _wanted(await access.tenant_of(ctx), email, roles)
    async with administration(ctx, "invitations:write", wanted.tenant_id) as (db, _):
        await _check(ctx, db, wanted, None)
        made, url = await _issue(ctx, db, wanted, None)
        return made | {"url": url}


def _wanted(tenant_id: str, email: str, roles: list[str] | None) -> _Wanted:
    if roles == []:
        raise Invalid({"roles": "value"})
    return _Wanted(tenant_id, people.address(email), sorted({*(roles or ["user"])}))


async def _inviter(ctx: Ctx, db: Db) -> RowMapping | None:
    return await people.by_id(db, *ctx.person.key) if isinstance(ctx.principal, Person) else None


async def _check(ctx: Ctx, db: Db, wanted: _Wanted, inviter: RowMapping | None) -> None:
    """Every role exists and is at most what the inviter has; nobody invites themselves, and so changes their roles."""
    if len(await access.roles_within(ctx, db, wanted.tenant_id, wanted.roles, None)) < len(wanted.roles):
        raise Invalid({"roles": "value"})
    if inviter is None:
        return
    if len(await access.roles_within(ctx, db, wanted.tenant_id, wanted.roles, inviter["id"])) < len(wanted.roles):
        raise access.missing(ctx, "invitations:write")
    if inviter["email_key"] == wanted.at.key:
        raise Invalid({"email": "value"})


async def _issue(ctx: Ctx, db: Db, wanted: _Wanted, inviter: RowMapping | None) -> tuple[dict[str, Any], str]:
    """The invitation as listed, and its URL."""
    tenant_id, at = wanted.tenant_id, wanted.at
    maker = inviter["id"] if inviter else None
    made, url = await invitation_link.issue(ctx, db, tenant_id, at, wanted.roles, maker)
    personal = {"address_hash": address_hash(ctx, tenant_id, at.text)}
    about: dict[str, Any] = {"tenant_id": tenant_id, "personal": personal}
    await record(ctx, db, Event.INVITATION_CREATED, **about, invitation=made, roles=wanted.roles)
    ticket = await once.by_id(db, tenant_id, made)
    if ticket is None:
        raise NotFound
    invitation = Invitation(made, tenant_id, at, tuple(wanted.roles), maker)
    return _as_json(ticket, invitation, inviter["email"] if inviter else ""), url


async def listed(ctx: Ctx, *, cursor: str | None, limit: int) -> Page:
    """Those that can still be accepted, as far as it is up to them, newest first. Raises PermissionMissing."""
    await access.require_to_read(ctx, "invitations:write")
    tenant_id = await access.tenant_of(ctx)
    async with ctx.read() as db:
        rows = await once.newest_of_kind(ctx, db, tenant_id, KIND, before=cursor, limit=limit + 1)
        page = rows[:limit]
        emails = await people.emails_of(db, tenant_id, {row["person_id"] for row in page if row["person_id"]})
    found = [(row, invitation_link.read(ctx, row)) for row in page]
    items = [_as_json(row, one, emails.get(row["person_id"], "")) for row, one in found if one is not None]
    return Page(items, page[-1]["id"] if len(rows) > limit else None)


async def everything(ctx: Ctx) -> list[dict[str, Any]]:
    """All of them, for an operator."""
    access.require_operator(ctx)
    page, found = Page([], ""), list[dict[str, Any]]()
    while page.next is not None:
        page = await listed(ctx, cursor=page.next or None, limit=PAGE)
        found += page.items
    return found


async def cancel(ctx: Ctx, invitation_id: str) -> None:
    """Raises PermissionMissing, NotFound."""
    tenant_id = await access.tenant_of(ctx)
    await account.fresh(ctx)
    async with administration(ctx, "invitations:write", tenant_id) as (db, _):
        ticket = await once.by_id(db, tenant_id, invitation_id)
        is_ours = ticket is not None and ticket["kind"] == KIND and ticket["expires_at"] > ctx.now()
        if ticket is None or not is_ours or not await once.end_one(ctx, db, ticket):
            raise NotFound
        await once.empty(db, tenant_id, KIND, ticket["bound_to"])
        await record(ctx, db, Event.INVITATION_CANCELLED, tenant_id=tenant_id, invitation=invitation_id)


def _as_json(ticket: RowMapping, invitation: Invitation, inviter: str) -> dict[str, Any]:
    return {
        "id": ticket["id"],
        "email": invitation.at.text,
        "roles": list(invitation.roles),
        "inviter": {"id": invitation.maker, "email": inviter} if invitation.maker else None,
        "created_at": ticket["created_at"],
        "expires_at": ticket["expires_at"],
    }
