"""Sign-up: validating the input, and creating the person in the transaction that proves the mailed code,
or sets up the first way in of somebody who was invited.

Not here: running the sign-in, which is `signin`. Nothing here reveals whether an address is taken.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from passgate.core import access, invitation_link, people, tenants
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import NEW
from passgate.core.factors import email_code, password
from passgate.core.pending import SignIn
from passgate.core.profile import checked
from passgate.errors import Invalid, SignupClosed, TenantNameTaken
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


async def hashed(ctx: Ctx, tenant: tenants.Tenant, secret: str, data: dict[str, Any]) -> list[str]:
    """The password as `data["password"]`, in every case. Costs an estimate and a hash, so budgets come before it."""
    if password.name not in tenant.rules.first:
        raise Invalid({"password": "value"})
    new_tenant = data.get("new_tenant", {}).get("display_name", "")
    context = (data["email_key"], tenant.name, tenant.display_name, new_tenant)
    return list(await password.vetted(ctx, secret, tenant.rules, context))


async def announce(ctx: Ctx, db: Db, sign_in: SignIn) -> None:
    """Send the mail: a code for a new address, an explanation for a known one. In a new tenant every address is new."""
    is_founding = "new_tenant" in sign_in.data
    found = None if is_founding else await people.by_key(db, sign_in.tenant_id, sign_in.email_key)
    await email_code.send(ctx, db, sign_in, found, is_meant=found is None)


async def create(ctx: Ctx, db: Db, sign_in: SignIn) -> SignIn | None:
    """Create the person, in the transaction that took the code. Of several sign-ups of one address the first proof
    wins, and only its own password is stored; None for the others. One that an invitation began gives its roles, or
    raises InvitationInvalid. Raises SignupClosed for another one, if the tenant was closed since it began."""
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
    at = people.Address(sign_in.email, sign_in.email_key)
    named: dict[str, Any] = {"profile": sign_in.data["profile"], "person_id": sign_in.data.get("person", "")}
    person_id = await people.create(ctx, db, tenant_id, at, verified=True, **named)
    if person_id is None:
        return None
    await record(ctx, db, Event.ACCOUNT_CREATED, tenant_id=tenant_id, subject_id=person_id, personal={"email": at.text})
    if invitation:
        await invitation_link.accept(ctx, db, tenant_id, invitation, person_id, is_new=True)
    else:
        await access.grant(ctx, db, tenant_id, person_id, role)
    proofs = sign_in.proofs
    if given := sign_in.data.get("password"):
        await password.replace(ctx, db, tenant_id, person_id, Stored(*given))
        proofs = (*proofs, password.name + NEW)
    return replace(sign_in, tenant_id=tenant_id, person_id=person_id, proofs=proofs)
