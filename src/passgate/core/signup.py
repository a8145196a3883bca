"""Sign-up: validating the input, and creating the person: in the transaction that proves the mailed code, that sets up
the first way in of somebody who was invited, or, where the address is proved later, that opens the session. An account
whose address nobody has proved stops nobody who proves it: they take it.

Not here: running the sign-in, which is `signin`, and what ends when an account is taken (`address_proof`). Nothing here
reveals whether an address is taken before the end of a sign-up that proves it later.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from passgate.core import access, address_proof, budgets, invitation_link, mail, pending, people, tenants
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Stranger
from passgate.core.events import Event
from passgate.core.factor import NEW, names_of
from passgate.core.factors import email_code, password
from passgate.core.pending import SignIn
from passgate.core.profile import checked
from passgate.core.rules import Rules
from passgate.errors import Invalid, ProofMissing, SignupClosed, TenantNameTaken
from passgate.hashing import Stored
from passgate.store import Db


async def target(ctx: Ctx, db: Db, tenant_name: str | None, new_tenant: str | None) -> tenants.Tenant:
    """The tenant whose rules apply to this sign-up. A new tenant starts with those of `main`."""
    if new_tenant is None:
        return await tenants.open_one(ctx, db, tenant_name)
    if ctx.settings.tenancy != "multi" or ctx.site.tenant is not None:
        raise SignupClosed
    if tenant_name is not None:
        raise Invalid({"new_tenant": "value"})
    if await tenants.find(ctx, db, tenants.checked_name(new_tenant, "new_tenant.name")):
        raise TenantNameTaken
    return await tenants.open_one(ctx, db, tenants.MAIN)


def prepared(ctx: Ctx, email: str, profile: dict[str, Any] | None, new_tenant: str | None) -> dict[str, Any]:
    """The data to be sealed in the sign-in until the code is proved, but the password."""
    at = people.address(email)
    stored = people.profile_text(checked(ctx.services.profile, profile))
    data: dict[str, Any] = {"email": at.text, "email_key": at.key, "profile": stored}
    if new_tenant is not None:
        data["new_tenant"] = {
            "name": tenants.checked_name(new_tenant, "new_tenant.name"),
            "display_name": new_tenant.strip(),
        }
    return data


def later(ctx: Ctx, rules: Rules, data: dict[str, Any]) -> dict[str, Any]:
    """More data for a sign-up that may end in a session before its address is proved. Whoever founds a tenant proves it
    first: its only owner can't be somebody else than the reader of that mailbox."""
    if rules.address_proof != "later" or "new_tenant" in data:
        return {}
    return {"later": True, "person": ctx.world.uuid()}


def is_later(sign_in: SignIn) -> bool:
    """Whether this sign-up may end before its address is proved, and has not proved it."""
    may_be = bool(sign_in.data.get("later")) and sign_in.rules.address_proof == "later"
    return may_be and email_code.name not in names_of(sign_in.proofs)


def begins_unnamed(sign_in: SignIn) -> bool:
    """Whether it is a sign-up whose address an invitation proved, or that proves it later. Its person is created with
    the first way in, or at the end."""
    return sign_in.journey.makes_person and ("invitation" in sign_in.data or is_later(sign_in))


async def hashed(ctx: Ctx, tenant: tenants.Tenant, secret: str, data: dict[str, Any]) -> list[str]:
    """The password as `data["password"]`, in every case. Costs an estimate and a hash, so budgets come before it."""
    if password.name not in tenant.rules.first:
        raise Invalid({"password": "value"})
    new_tenant = data.get("new_tenant", {}).get("display_name", "")
    context = (data["email_key"], tenant.name, tenant.display_name, new_tenant)
    return list(await password.vetted(ctx, secret, tenant.rules, context))


async def announce(ctx: Ctx, db: Db, sign_in: SignIn) -> None:
    """Send the mail: a code for a new address, an explanation for a known one. In a new tenant every address is new."""
    found = await email_code.owner_of(db, sign_in)
    await email_code.send(ctx, db, sign_in, found, is_meant=found is None)


async def keys_of_taken(db: Db, sign_in: SignIn) -> tuple[people.Key, ...]:
    """Whose account this sign-up takes over, to be locked before anything of the sign-up is written."""
    if sign_in.person_id is not None or not _takes(sign_in):
        return ()
    found = await people.by_key(db, sign_in.tenant_id, sign_in.email_key)
    return ((sign_in.tenant_id, found["id"]),) if found is not None and people.is_unproved(found) else ()


async def new_id(ctx: Ctx, sign_in: SignIn) -> str:
    """Whose first way in is set up while nobody is named: the account that would be taken over now, else the person to
    be created. The id of the latter was drawn when this began: one that an account has had never returns."""
    async with ctx.read() as db:
        taken = await keys_of_taken(db, sign_in)
    return taken[0][1] if taken else str(sign_in.data.get("person", ""))


def _takes(sign_in: SignIn) -> bool:
    """Whether it has proved its address in a tenant where somebody may have claimed it."""
    return sign_in.journey.makes_person and not is_later(sign_in) and "new_tenant" not in sign_in.data


async def create(ctx: Ctx, db: Db, sign_in: SignIn, locked: Collection[people.Key]) -> SignIn | None:
    """Create the person, in the transaction that took the code, or take over an account of the address that nobody has
    proved, if it is among those that the caller has `locked` (`keys_of_taken`). Of several sign-ups of one address the
    first proof wins, and only its own password is stored; None for the others. One that an invitation began gives its
    roles, or raises InvitationInvalid; any other raises SignupClosed if the tenant was closed since it began. One that
    proves its address later raises ProofMissing if the address is not free."""
    tenant_id, role, invitation = sign_in.tenant_id, "user", sign_in.data.get("invitation")
    if not invitation:
        joined = await tenants.by_id(ctx, db, tenant_id)  # of a new tenant: `main`
        if joined is None or not joined.is_open:
            raise SignupClosed
    if wanted := sign_in.data.get("new_tenant"):
        made = await tenants.create(ctx, db, wanted["name"], wanted["display_name"])
        if made is None:
            raise TenantNameTaken
        tenant_id, role = made, "owner"
        await record(ctx, db, Event.TENANT_CREATED, tenant_id=tenant_id, name=wanted["name"])
    person_id = await _created(ctx, db, sign_in, tenant_id) or await _taken_over(ctx, db, sign_in, locked)
    if person_id is None:
        return None
    if invitation:
        await invitation_link.accept(ctx, db, tenant_id, invitation, person_id, is_new=True)
    else:
        await access.grant(ctx, db, tenant_id, person_id, role)
    proofs = sign_in.proofs
    if given := sign_in.data.get("password"):
        own = replace(ctx, principal=Stranger())  # also where an operator's script hands it on
        await password.replace(own, db, tenant_id, person_id, Stored(*given))
        proofs = tuple(dict.fromkeys((*proofs, password.name + NEW)))
    return replace(sign_in, tenant_id=tenant_id, person_id=person_id, proofs=proofs)


async def _created(ctx: Ctx, db: Db, sign_in: SignIn, tenant_id: str) -> str | None:
    """The new person's id; None if the address is taken."""
    at, claims = people.Address(sign_in.email, sign_in.email_key), is_later(sign_in)
    named: dict[str, Any] = {"profile": sign_in.data["profile"], "person_id": sign_in.data.get("person", "")}
    made = await people.create(ctx, db, tenant_id, at, verified=not claims, claimed=claims, **named)
    if made is None:
        if claims:
            raise _not_free(ctx, sign_in)
        return None
    about: dict[str, Any] = {"tenant_id": tenant_id, "subject_id": made, "personal": {"email": at.text}}
    await record(ctx, db, Event.ACCOUNT_CREATED, **about)
    return made


async def _taken_over(ctx: Ctx, db: Db, sign_in: SignIn, locked: Collection[people.Key]) -> str | None:
    """The id of the account that had the address without a proof; None if there is none, or one that came after the
    locks. Its profile is that of the sign-up now, but an invitation brings none, and leaves what an admin has set."""
    if not _takes(sign_in):
        return None
    found = await people.lock_unproved(db, sign_in.tenant_id, sign_in.email_key, locked)
    if found is None or not await address_proof.take(ctx, db, found, address_proof.Exempt(sign_in=sign_in.id)):
        return None
    if found["claimed_at"] is not None or "invitation" not in sign_in.data:
        await people.set_profile(ctx, db, found["tenant_id"], found["id"], sign_in.data["profile"])
    return str(found["id"])


def _not_free(ctx: Ctx, sign_in: SignIn) -> ProofMissing:
    """The address has to be proved after all, as it has to where that comes first: its mail is the same for an address
    that is claimed, for one that is proved, and for one that gets no more mails, as far as anybody but its reader
    sees."""

    async def ask(db: Db) -> None:
        await announce(ctx, db, await pending.with_data(ctx, db, sign_in, later=None, person=None))

    return ProofMissing([[email_code.name]], deferred=(ask,))


async def notify(ctx: Ctx, db: Db, sign_in: SignIn) -> None:
    """Say to the reader of the mailbox that somebody has an account with it now, and how to take it. Last of all,
    because it debits budgets (`action`). `sign_in`: as it was before anybody was named. If no mail may be sent now,
    there is no account either: raises ProofMissing."""
    if not is_later(sign_in):
        return
    tenant_id, key = sign_in.tenant_id, sign_in.email_key
    tries = await budgets.who(ctx, db, tenant_id, is_step_up=False, identifier_key=key)
    if not await budgets.mail(ctx, db, tenant_id, key, tries, is_seen=False):
        raise _not_free(ctx, sign_in)
    await mail.enqueue(ctx, db, tenant_id, "address_claimed", sign_in.email, service=sign_in.service)
