"""Starting a sign-in, a sign-up, a recovery or a step-up, by address, username, session or link. Each start debits a
budget before it costs any work. Starts of strangers are counted and not written into the trail; what they lead to is.

Not here: everything after the start, which is `signin`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import (
    address_proof,
    budgets,
    credentials,
    invitation_link,
    links,
    mailed_link,
    once,
    pending,
    people,
    proof,
    recovery,
    signin,
    signup,
    tenants,
    undo,
    undo_link,
    usernames,
)
from passgate.core.action import ANYBODY, action
from passgate.core.audit import canonical, record
from passgate.core.budgets import Kind, Who
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import BY_LINK, NEW, Compared, names_of
from passgate.core.factors import device, email_code, password
from passgate.core.journey import JOURNEYS, RECOVERY, SIGN_IN, SIGN_UP, STEP_UP, UNDO, Journey
from passgate.core.policy import Decision, Enough, Need, Refuse, own_level, stronger
from passgate.core.proof import Attempt, Outcome, Right
from passgate.core.rules import LEVELS
from passgate.errors import FactorNotOffered, HandleInvalid, Invalid, InvitationInvalid, SignupClosed
from passgate.hashing import Queue
from passgate.store import Db


@dataclass(frozen=True, slots=True)
class Started:
    """`handle` is returned only once. `decision` is what is required first; after a link possibly nothing more."""

    handle: str
    decision: Decision
    expires_at: int

    @property
    def need(self) -> Need:
        """Of nothing, if the sign-in can finish. Raises FactorNotOffered."""
        if isinstance(self.decision, Refuse):
            raise FactorNotOffered
        return Need(()) if isinstance(self.decision, Enough) else self.decision


async def sign_in(
    ctx: Ctx,
    email: str | None,
    tenant_name: str | None,
    return_to: str | None = None,
    browser: str | None = None,
    *,
    username: str | None = None,
    or_username: bool = False,
) -> Started:
    """Start a sign-in. Names no person: only a proof does. `or_username`: an `email` without an @ is a username, where
    the tenant has them. `return_to`: where the page goes afterwards, which that page checks; `browser`: the cookie of a
    remembered browser. Throttled."""
    if email is not None and username is not None:
        raise Invalid({"username": "value"})
    async with ctx.read() as db:
        tenant = await _open_tenant(ctx, db, tenant_name)
    if or_username and email is not None and "@" not in email and tenant.rules.usernames != "off":
        data, key = _by_username(tenant, email, "email")
    elif username is not None:
        data, key = _by_username(tenant, username, "username")
    else:
        data, key = _by_address(email)
    if remembered := device.presented(ctx, browser):
        data["browser"] = remembered
    async with ctx.write() as db:
        tries = await _debited(ctx, db, tenant.id, key)
        begun, handle = await _begin(ctx, db, tries, tenant, SIGN_IN, data | _going(return_to))
        return await _started(ctx, db, begun, handle)


def _by_username(tenant: tenants.Tenant, text: str, field: str) -> tuple[dict[str, Any], str]:
    """What the pending sign-in stores, and the key. That a tenant has no usernames is no secret; who has one is."""
    if tenant.rules.usernames == "off":
        raise Invalid({field: "value"})
    name = usernames.typed(text, field)
    return {"username": name.text, "username_key": name.key}, name.key


def _by_address(email: str | None) -> tuple[dict[str, Any], str]:
    """The same; without an address only a passkey can name anybody."""
    if email is None:
        return {}, ""
    at = people.address(email)
    return {"email": at.text, "email_key": at.key}, at.key


async def sign_up(
    ctx: Ctx,
    email: str,
    secret: str | None,
    profile: dict[str, Any] | None,
    tenant_name: str | None,
    new_tenant: str | None,
    return_to: str | None = None,
) -> Started:
    """Start a sign-up. Creates no person: all data is in the pending sign-in until the mailed code is proved."""
    data = signup.prepared(ctx, email, profile, new_tenant) | _going(return_to)
    async with ctx.read() as db:
        tenant = await signup.target(ctx, db, tenant_name, new_tenant)
    async with ctx.write() as db:
        tries = await _debited(ctx, db, tenant.id, people.address(email).key)
        await budgets.may_insert(ctx, db, tries)
    if secret is not None:
        data["password"] = await signup.hashed(ctx.queued(Queue.SIGN_UPS), tenant, secret, data)
    async with ctx.write() as db:
        data |= signup.later(ctx, tenant.rules, data)
        proofs = (password.name + NEW,) if "later" in data and secret is not None else ()
        begun, handle = await _begin(ctx, db, tries, tenant, SIGN_UP, data, proofs=proofs)
        started = await _started(ctx, db, begun, handle)
        if isinstance(started.decision, Need) and started.decision.offers(email_code.name):
            await signup.announce(ctx, db, begun)
        return started


async def recover(ctx: Ctx, email: str, tenant_name: str | None) -> Started:
    """Start choosing a new password. Known address or not, a mail is sent and the response is the same."""
    at = people.address(email)
    async with ctx.write() as db:
        tenant = await _open_tenant(ctx, db, tenant_name)
        tries = await _debited(ctx, db, tenant.id, at.key)
        begun, handle = await _begin(ctx, db, tries, tenant, RECOVERY, {"email": at.text, "email_key": at.key})
        await recovery.announce(ctx, db, begun)
        return await _started(ctx, db, begun, handle)


async def step_up(ctx: Ctx, acr: str | None, return_to: str | None = None, *, address: bool = False) -> Started:
    """Start a sign-in of the person to the requested level, or to their own. Finishing it gives their session a
    new secret. A step-up always requires a new proof, whatever age was requested. `address`: it confirms the address
    too, so that the mailbox alone can't undo what is changed next; never at less than their own level, because what is
    not proved beside the first proof of an address ends."""
    if acr is not None and acr not in LEVELS:
        raise Invalid({"step_up.acr": "value"})
    async with action(ctx, permission=ANYBODY) as acting:
        db, found = acting.db, acting.person
        tenant = await tenants.by_id(ctx, db, ctx.person.tenant_id)
        if tenant is None:
            raise HandleInvalid
        own = own_level(ctx.factors, await credentials.kinds(db, *ctx.person.key))
        floor = stronger(acr or own, own) if address else acr or own
        data = {"floor": floor, "email": found["email"], "email_key": found["email_key"], "address": address}
        mine: dict[str, Any] = {"person_id": ctx.person.person_id, "carrier_id": ctx.person.carrier_id}
        begun, handle = await _begin(ctx, db, budgets.STEP_UP, tenant, STEP_UP, data | _going(return_to), **mine)
        started = await _started(ctx, db, begun, handle)
        if isinstance(started.decision, Refuse):
            raise FactorNotOffered("None of your sign-in options is secure enough for this.")
        await record(ctx, db, Event.STEP_UP_STARTED, tenant_id=tenant.id, acr=floor)
        return started


# -- by a link -------------------------------------------------------------------------------------


async def by_link(ctx: Ctx, token: str, *, is_recovery: bool = False) -> Started:
    """Open a link: it names its person and is one proof; all other requirements remain. `is_recovery`: to set up a new
    first factor, with a link made by an operator or an admin. Raises HandleInvalid, or NotYet during the waiting
    period."""
    if token.startswith(mailed_link.PREFIX):
        return await _by_mailed_link(ctx, token)
    ticket = await links.find(ctx, token)
    journey = RECOVERY if is_recovery else SIGN_IN

    async def compare(_ctx: Ctx, _is_closed: bool) -> Compared:
        return links.compared(ctx, ticket)

    async def mark(db: Db, compared: Compared) -> Right[Started] | Outcome:
        makers = links.makers_of(ctx, ticket)
        found = await links.lock(ctx, db, ticket["tenant_id"], ticket["bound_to"], makers)
        begun = await _of_person(ctx, db, ticket, found, compared, journey, {"makers": makers})
        if begun is None or found is None:
            return Outcome.OVER
        about = {"tenant_id": ticket["tenant_id"], "subject_id": found["id"], "purpose": journey.name}
        await record(ctx, db, Event.LINK_PROVED, **about)
        return Right(begun)

    return await proof.prove(ctx, Attempt(tenant_id=ticket["tenant_id"], compare=compare, mark=mark))


async def _by_mailed_link(ctx: Ctx, token: str) -> Started:
    """The reader's own sign-in or recovery. The code beside the link and the sign-in that asked for the mail end."""
    ticket = await mailed_link.find(ctx, token)
    journey = JOURNEYS[mailed_link.purpose(ctx, ticket)]

    async def compare(_ctx: Ctx, _is_closed: bool) -> Compared:
        async def take(db: Db) -> str | None:
            return str(ticket["id"]) if (await once.take(ctx, db, ticket)).is_first else None

        return Compared(True, ticket["person_id"], take, email_code.name + BY_LINK)

    async def mark(db: Db, compared: Compared) -> Right[Started] | Outcome:
        found = await people.lock(db, ticket["tenant_id"], ticket["person_id"])
        await pending.end(ctx, db, ticket["tenant_id"], ticket["bound_to"])
        await once.end(ctx, db, ticket["tenant_id"], email_code.name, ticket["bound_to"])
        begun = await _of_person(ctx, db, ticket, found, compared, journey, {})
        if begun is None or found is None:
            return Outcome.OVER
        about = {"tenant_id": ticket["tenant_id"], "subject_id": found["id"], "personal": {"email": found["email"]}}
        await record(ctx, db, email_code.FACTOR.proved_event, **about, by="link")
        return Right(begun)

    return await proof.prove(ctx, Attempt(tenant_id=ticket["tenant_id"], compare=compare, mark=mark))


async def by_invitation(ctx: Ctx, token: str, browser: str | None = None) -> Started:
    """Accept an invitation: a sign-up whose address it proves, or for somebody who is in the tenant a sign-in of
    theirs, of which it proves nothing. Neither uses a session of this browser. The invitation is taken when its roles
    are given, so one that was begun and never finished can be opened again. InvitationInvalid, Throttled."""
    if ctx.ring.presented(invitation_link.PREFIX, token) is None:
        raise InvitationInvalid
    tries = Who(Kind.STRANGER)
    async with ctx.write() as db:
        await budgets.start(ctx, db, tries)
    async with ctx.write() as db:
        offer = await invitation_link.find(ctx, db, token)
        invitation = offer.invitation
        mine = {"invitation": invitation.id, "maker": invitation.maker or ""}
        if offer.person is None:
            new = {"person": ctx.world.uuid()}
            data = signup.prepared(ctx, invitation.at.text, None, None) | mine | new
            proofs = (email_code.name + BY_LINK,)
            begun, handle = await _begin(ctx, db, tries, offer.tenant, SIGN_UP, data, proofs=proofs)
            return await _started(ctx, db, begun, handle)
        found = await people.lock(db, invitation.tenant_id, offer.person["id"])
        if found is None:
            raise InvitationInvalid
        data = {"email": found["email"], "email_key": found["email_key"], **mine}
        if remembered := device.presented(ctx, browser):
            data["browser"] = remembered
        begun, handle = await _begin(ctx, db, tries, offer.tenant, SIGN_IN, data, person_id=found["id"])
        return await _started(ctx, db, begun, handle)


async def by_undo(ctx: Ctx, token: str) -> Started:
    """Begin to undo a change, by the link in the mail about it; a code goes to the same address. HandleInvalid,
    Throttled."""
    async with ctx.read() as db:
        seen = await undo_link.find(ctx, db, token)
    change = undo_link.read(ctx, seen)
    at = people.Address(change.email, change.email_key)
    async with ctx.write() as db:
        found = await undo.lock(db, seen["tenant_id"], seen["bound_to"])
        tenant = await tenants.by_id(ctx, db, seen["tenant_id"])
        ticket = await undo_link.find(ctx, db, token)
        await budgets.start_of_undo(ctx, db, ticket["id"])
        if found is None or tenant is None or tenant.is_disabled:
            raise HandleInvalid
        data = {"email": at.text, "email_key": at.key, "undo": ticket["id"]}
        begun, handle = await _begin(ctx, db, budgets.STEP_UP, tenant, UNDO, data, person_id=found["id"])
        started = await _started(ctx, db, begun, handle)
        await email_code.send(ctx, db, begun, found, is_meant=True)
        return started


async def _of_person(
    ctx: Ctx,
    db: Db,
    ticket: RowMapping,
    found: RowMapping | None,
    compared: Compared,
    journey: Journey,
    more: dict[str, Any],
) -> Started | None:
    """Begin with the person and the proof of a link that is taken now; None if it is over."""
    tenant = await tenants.by_id(ctx, db, ticket["tenant_id"])
    if found is None or tenant is None or tenant.is_disabled or not _is_asked(journey, tenant, compared.proof):
        return None
    if not await compared.mark(db):
        return None
    is_first = journey.is_recovery or email_code.name in tenant.rules.first  # else what is proved next decides
    if email_code.name in names_of([compared.proof]) and is_first:
        await address_proof.take(ctx, db, found)
    data = {"email": found["email"], "email_key": found["email_key"], **more}
    begun, handle = await pending.begin(ctx, db, tenant, journey, data, person_id=found["id"], proofs=(compared.proof,))
    return await _started(ctx, db, begun, handle)


def _is_asked(journey: Journey, tenant: tenants.Tenant, proof_name: str) -> bool:
    """A mailed link proves no more than the code beside it: nothing where policy asks for no mailed code."""
    asked = (*tenant.rules.first, *tenant.rules.second_among)
    return journey.is_recovery or not names_of([proof_name]) & {email_code.name} or email_code.name in asked


# -- helpers ---------------------------------------------------------------------------------------


async def _open_tenant(ctx: Ctx, db: Db, name: str | None) -> tenants.Tenant:
    tenant = await tenants.find(ctx, db, name)
    if tenant is None or tenant.is_disabled:
        raise SignupClosed("Sign-in isn't available here.")
    return tenant


async def _debited(ctx: Ctx, db: Db, tenant_id: str, identifier_key: str) -> Who:
    """Debit a start of whoever tries. Throttled."""
    tries = await budgets.who(ctx, db, tenant_id, is_step_up=False, identifier_key=identifier_key or None)
    await budgets.start(ctx, db, tries)
    return tries


async def _begin(
    ctx: Ctx,
    db: Db,
    tries: Who,
    tenant: tenants.Tenant,
    journey: Journey,
    data: dict[str, Any],
    *,
    person_id: str | None = None,
    carrier_id: str | None = None,
    proofs: tuple[str, ...] = (),
) -> tuple[pending.SignIn, str]:
    """Begin a pending sign-in, whose row is debited too; finishing gives that back. Throttled."""
    rows = await budgets.pending_row(ctx, db, tries, len(canonical(data)))
    ctx.services.tally[f"started_{journey.name}"] += 1
    more = {"rows": rows} if rows else {}
    named: dict[str, Any] = {"person_id": person_id, "carrier_id": carrier_id, "proofs": proofs}
    return await pending.begin(ctx, db, tenant, journey, data | more, **named)


def _going(return_to: str | None) -> dict[str, str]:
    return {"return_to": return_to} if return_to else {}


async def _started(ctx: Ctx, db: Db, begun: pending.SignIn, handle: str) -> Started:
    return Started(handle, signin.decide(ctx, await signin.known(ctx, db, begun)), begun.expires_at)
