"""Links that invite an address to a tenant, with roles. The ticket knows who made it; what it may give is decided by
that person's present roles: when it is opened, and again in the transaction that takes it and gives the roles.

Not here: making, listing and cancelling invitations (`invitations`), and opening one (`starts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import access, once, pending, people, tenants, undo_link
from passgate.core.access import Standing
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.pending import SignIn
from passgate.errors import InvitationInvalid
from passgate.seal import digest
from passgate.store import Db

PREFIX = "pg_inv_"
KIND = once.INVITATION
LIFE = 7 * 24 * 3600
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """`maker`: the id of the person who made it; None for an operator."""

    id: str
    tenant_id: str
    at: people.Address
    roles: tuple[str, ...]
    maker: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What an invitation opens now: for `person`, who has proved the address, or for somebody new. `inviter`: an
    address, empty for an operator's."""

    invitation: Invitation
    tenant: tenants.Tenant
    inviter: str
    person: RowMapping | None


def bound_to(ctx: Ctx, tenant_id: str, email_key: str) -> str:
    """Names the address in a ticket: keyed with a secret that never rotates, so the newest replaces older ones."""
    return ctx.ring.stable_mac(digest(b"invitation", tenant_id.encode(), email_key.encode())).hex()[:36]


async def issue(
    ctx: Ctx, db: Db, tenant_id: str, at: people.Address, roles: list[str], maker: str | None
) -> tuple[str, str]:
    """The id and the URL, which is returned only this once; an older invitation of the address becomes invalid."""
    minted, bound = ctx.ring.mint(PREFIX), bound_to(ctx, tenant_id, at.key)
    data = {"email": at.text, "email_key": at.key, "roles": roles, "maker": maker}
    made = await once.issue(ctx, db, tenant_id, KIND, bound, minted.hash, life=LIFE, data=data, person_id=maker)
    await once.empty(db, tenant_id, KIND, bound)
    return made, await tenants.link(ctx, db, tenant_id, f"/invitation/{minted.token}")


def read(ctx: Ctx, ticket: RowMapping) -> Invitation | None:
    """None for a ticket whose data is erased, or can no longer be read."""
    data: dict[str, Any] = once.carried(ctx, ticket)
    if "maker" not in data or data["maker"] != ticket["person_id"]:
        return None
    at = people.Address(data["email"], data["email_key"])
    return Invitation(ticket["id"], ticket["tenant_id"], at, tuple(data["roles"]), data["maker"])


async def find(ctx: Ctx, db: Db, token: str) -> Offer:
    """What a link opens now. Raises InvitationInvalid, the same whatever is wrong."""
    secret_hash = ctx.ring.presented(PREFIX, token)
    ticket = await once.by_secret(ctx, db, KIND, secret_hash) if secret_hash is not None else None
    if ticket is None:
        raise InvitationInvalid
    invitation, tenant = await _valid(ctx, db, ticket)
    found = await people.by_key(db, invitation.tenant_id, invitation.at.key)
    found = None if found is not None and people.is_unproved(found) else found
    if found is not None and not (people.is_live(found) and await _is_theirs(ctx, db, found)):
        raise InvitationInvalid
    if not await _roles(ctx, db, invitation, found["id"] if found else None):
        raise InvitationInvalid
    inviter = await people.by_id(db, invitation.tenant_id, invitation.maker) if invitation.maker else None
    return Offer(invitation, tenant, inviter["email"] if inviter else "", found)


async def _is_theirs(ctx: Ctx, db: Db, found: RowMapping) -> bool:
    """Whether the account is that of whoever reads the address's mail, and stays theirs: its address is proved, which
    has ended what was set up before, and nobody can take it back by another address. Else somebody who manages people
    could prepare an account at an invited address, and get it back with the roles."""
    if found["email_verified_at"] is None:
        return False
    undoable = await once.all_live(ctx, db, found["tenant_id"], undo_link.KIND, found["id"])
    return all(undo_link.read(ctx, one).email_key == found["email_key"] for one in undoable)


async def opened(ctx: Ctx, token: str) -> Offer:
    """The same, for a page that shows it."""
    async with ctx.read() as db:
        return await find(ctx, db, token)


async def _valid(ctx: Ctx, db: Db, ticket: RowMapping) -> tuple[Invitation, tenants.Tenant]:
    """Of two that were issued at the same moment only the newer one counts."""
    newest = await once.live(ctx, db, ticket["tenant_id"], KIND, ticket["bound_to"])
    invitation, tenant = read(ctx, ticket), await tenants.by_id(ctx, db, ticket["tenant_id"])
    if newest is None or newest["id"] != ticket["id"] or invitation is None or tenant is None or tenant.is_disabled:
        raise InvitationInvalid
    return invitation, tenant


async def _roles(ctx: Ctx, db: Db, invitation: Invitation, person_id: str | None) -> list[str]:
    """The roles that whoever made it may give now; none if they may not do this any more. `person_id`: to whom, if they
    are in the tenant already: nobody changes their own roles, or those of somebody with more permissions."""
    tenant_id, maker = invitation.tenant_id, invitation.maker
    if maker is not None and not await _may_still(ctx, db, tenant_id, maker, person_id):
        return []
    return await access.roles_within(ctx, db, tenant_id, invitation.roles, maker)


async def _may_still(ctx: Ctx, db: Db, tenant_id: str, maker: str, person_id: str | None) -> bool:
    row, mine = await people.by_id(db, tenant_id, maker), await access.permissions_of(ctx, db, tenant_id, maker)
    if row is None or not people.is_live(row) or "invitations:write" not in mine:
        return False
    if person_id is None:
        return True
    return await access.standing(ctx, db, tenant_id, maker, person_id, "roles:give") is not Standing.NONE


def keys_of(data: dict[str, Any], tenant_id: str) -> tuple[people.Key, ...]:
    """Whom to lock before a pending sign-in spends an invitation: who made it."""
    maker = data.get("maker")
    return ((tenant_id, str(maker)),) if maker else ()


async def accept(ctx: Ctx, db: Db, tenant_id: str, ticket_id: str, person_id: str, *, is_new: bool) -> None:
    """Take the invitation and give its roles, for exactly one caller, to a locked person who has its address. Raises
    InvitationInvalid, and then the transaction must be rolled back. The caller has locked who made it, and shares
    the lock on the tenant's row, so that no role grows meanwhile."""
    ticket, person = await once.by_id(db, tenant_id, ticket_id), await people.by_id(db, tenant_id, person_id)
    if ticket is None or ticket["kind"] != KIND or person is None:
        raise InvitationInvalid
    invitation, _ = await _valid(ctx, db, ticket)
    roles = await _roles(ctx, db, invitation, None if is_new else person_id)
    if not roles or person["email_key"] != invitation.at.key:
        raise InvitationInvalid
    if not is_new and not await _is_theirs(ctx, db, person):
        raise InvitationInvalid
    if not (await once.take(ctx, db, ticket)).is_first:
        raise InvitationInvalid
    await once.empty(db, tenant_id, KIND, ticket["bound_to"])
    about: dict[str, Any] = {"tenant_id": tenant_id, "subject_id": person_id}
    await record(ctx, db, Event.INVITATION_ACCEPTED, **about, roles=roles, inviter=invitation.maker)
    for role in roles:
        await access.grant(ctx, db, tenant_id, person_id, role)
    if not is_new:
        await people.changed(ctx, db, tenant_id, person_id)


async def accept_by(ctx: Ctx, db: Db, sign_in: SignIn) -> None:
    """Give the locked person, who was in the tenant before, the roles of the invitation that began this. One that is
    void by now ends the sign-in, so that its browser can begin an ordinary one."""
    invitation = sign_in.data.get("invitation")
    if not invitation or sign_in.journey.makes_person or sign_in.person_id is None:
        return
    try:
        await accept(ctx, db, sign_in.tenant_id, invitation, sign_in.person_id, is_new=False)
    except InvitationInvalid:
        end = partial(pending.end, ctx, tenant_id=sign_in.tenant_id, sign_in_id=sign_in.id)
        raise InvitationInvalid(deferred=(end,)) from None


async def end_made(ctx: Ctx, db: Db, tenant_id: str, maker: str, reason: str) -> None:
    """Cancel what somebody has made who no longer has the account."""
    for one in await once.end_invitations_of(ctx, db, tenant_id, maker):
        await record(ctx, db, Event.INVITATION_CANCELLED, tenant_id=tenant_id, invitation=one, reason=reason)


async def forget(ctx: Ctx, db: Db, tenant_id: str, email_key: str) -> None:
    """Delete the invitations of an address that is being erased. Those that a person made go with their tickets."""
    await once.forget_bound(db, tenant_id, KIND, bound_to(ctx, tenant_id, email_key))
