"""Tenants and their policy, managed by their owners or by an operator on the command line. Every action asks for its
permission first.

Not here: the people of a tenant, which are `users`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from passgate.core import access, account, address_proof, credentials, mail, people, policy, session_lives, tenants
from passgate.core.action import administration
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Operator
from passgate.core.events import Event
from passgate.core.journey import JOURNEYS, SIGN_IN, Journey
from passgate.core.rules import LEVELS, SIGNUP, Rules, weak_passwords
from passgate.errors import Invalid, NotFound, TenantNameTaken
from passgate.store import Db


async def readable(ctx: Ctx, tenant_id: str) -> tenants.Tenant:
    """The tenant, for whoever may see its policy; NotFound for any other than one's own, unless an operator asks."""
    is_own = isinstance(ctx.principal, Operator) or ctx.person.tenant_id == tenant_id
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, tenant_id)
    if tenant is None or not is_own:
        raise NotFound
    await access.require_to_read(ctx, "policy:read")
    return tenant


async def policy_of(ctx: Ctx, tenant_id: str) -> Rules:
    """Raises what `readable` raises."""
    return (await readable(ctx, tenant_id)).rules


async def change_policy(ctx: Ctx, tenant_id: str, data: dict[str, Any]) -> Rules:
    """Replace the given fields and leave the others. Applies from the next step of every pending sign-in and the next
    request of every session. The other owners are notified by mail. Invalid for rules that whoever changes them can't
    meet."""
    await account.fresh(ctx)
    async with administration(ctx, "policy:write", tenant_id) as (db, _):
        tenant = await tenants.lock(ctx, db, tenant_id)
        if tenant is None:
            raise NotFound
        rules = tenant.rules.changed(data, ctx.factors)
        session_lives.check(ctx.settings, rules, data)
        await _check_reach(ctx, db, rules, data)
        await tenants.set_rules(db, tenant_id, rules)
        was, now = tenant.rules.to_json(), rules.to_json()
        changed = [name for name in now if was[name] != now[name]]
        if changed:
            change = {"from": {name: was[name] for name in changed}, "to": {name: now[name] for name in changed}}
            more: dict[str, Any] = {}
            if session_lives.NAMES & set(changed):
                more["sessions"] = await session_lives.end_expired(ctx, db, tenant_id, tenant.rules, rules)
            await record(ctx, db, Event.POLICY_CHANGED, tenant_id=tenant_id, fields=changed, change=change, **more)
            await _notify_owners(ctx, db, tenant, changed)
    return rules


async def _check_reach(ctx: Ctx, db: Db, rules: Rules, data: dict[str, Any]) -> None:
    """Invalid for rules that nobody can meet, or that whoever changes them can't; in production also for rules that let
    weak passwords in."""
    if not ctx.settings.is_development and (weak := weak_passwords(rules.to_json())):
        raise Invalid(dict.fromkeys((one.field for one in weak), "value"))
    is_met = policy.is_reachable(ctx.factors, rules)
    if is_met and not isinstance(ctx.principal, Operator):
        best = await credentials.best_proofs(ctx, db, *ctx.person.key)
        is_met = policy.can_meet(ctx.factors, rules, SIGN_IN, best)
    if not is_met:
        named = [name for name in ("least_acr", "first", "second", "second_among") if name in data]
        raise Invalid(dict.fromkeys(named[:1] or ["least_acr"], "value"))


async def _notify_owners(ctx: Ctx, db: Db, tenant: tenants.Tenant, changed: list[str]) -> None:
    mine = "" if isinstance(ctx.principal, Operator) else ctx.person.person_id
    for email in await access.owners(db, tenant.id, but=mine):
        fields = ", ".join(changed)
        await mail.enqueue(ctx, db, tenant.id, "policy_changed", email, service=tenant.display_name, label=fields)


async def explained(
    ctx: Ctx,
    tenant_id: str,
    person_id: str | None,
    *,
    purpose: str,
    proofs: tuple[str, ...],
    has: tuple[str, ...],
    acr: str,
    is_remembered: bool,
) -> dict[str, Any]:
    """What policy decides, and why: {decision: need|enrol|enough|refuse, need, amr, acr, reasons, why, has}.
    `person_id`: with that person's enrolled factors, otherwise with `has`. Raises PermissionMissing, NotFound,
    Invalid."""
    rules = await policy_of(ctx, tenant_id)
    if person_id is not None:
        await access.require_to_read(ctx, "factors:read", person_id)
    known = {
        "purpose": purpose in JOURNEYS,
        "acr": acr in LEVELS,
        "proofs": set(proofs) <= ctx.factors.proofs.keys(),
        "has": set(has) <= set(ctx.factors.enrolled),
    }
    if not all(known.values()):
        raise Invalid({name: "value" for name, is_right in known.items() if not is_right})
    mine, journey = frozenset(has), JOURNEYS[purpose]
    if person_id is not None:
        rules, mine = await _as_for(ctx, rules, tenant_id, person_id, journey)
    decision = policy.decide(ctx.factors, rules, journey, proofs, mine, acr, is_remembered=is_remembered)
    kind: dict[str, Any] = {"need": [], "amr": [], "acr": None, "has": sorted(mine)}
    kind |= {"reasons": [decision.reason], "why": policy.CHECKS[decision.reason].why}
    match decision:
        case policy.Need():
            return {**kind, "decision": "enrol" if decision.enrol else "need", "need": decision.listed()}
        case policy.Enough():
            return {**kind, "decision": "enough", "amr": list(decision.amr), "acr": decision.acr}
        case policy.Refuse():
            return {**kind, "decision": "refuse"}


async def _as_for(
    ctx: Ctx, rules: Rules, tenant_id: str, person_id: str, journey: Journey
) -> tuple[Rules, frozenset[str]]:
    """The rules as they count for a person, and the factors they have."""
    async with ctx.read() as db:
        if await people.by_id(db, tenant_id, person_id) is None:
            raise NotFound
        has = await credentials.kinds(db, tenant_id, person_id)
        if not journey.is_undo:
            rules = await address_proof.rules_of(ctx, db, rules, tenant_id, person_id, has)
        return rules, has


async def add_tenant(ctx: Ctx, name: str, display_name: str | None, signup: str) -> dict[str, Any]:
    """The API's tenant object: {id, name, display_name}."""
    access.require_operator(ctx)
    checked = tenants.checked_name(name)
    label = tenants.checked_display_name(display_name or checked, by_operator=True)
    if signup not in SIGNUP:
        raise Invalid({"signup": "value"})
    async with ctx.write() as db:
        made = await tenants.create(ctx, db, checked, label, signup)
        if made is None:
            raise TenantNameTaken
        await record(ctx, db, Event.TENANT_CREATED, tenant_id=made, name=checked)
    return {"id": made, "name": checked, "display_name": label}


async def rename_tenant(ctx: Ctx, tenant_id: str, display_name: str) -> tenants.Tenant:
    """Give a tenant another display name, which every page and mail has from now on. Raises Invalid, PermissionMissing,
    and NotFound for another tenant than one's own, unless an operator acts."""
    await account.fresh(ctx)
    wanted = tenants.checked_display_name(display_name, by_operator=isinstance(ctx.principal, Operator))
    async with administration(ctx, "tenant:write", tenant_id) as (db, _):
        found = await tenants.lock(ctx, db, tenant_id)
        if found is None:
            raise NotFound
        if wanted != found.display_name:
            await tenants.set_display_name(db, tenant_id, wanted)
            change = {"from": {"display_name": found.display_name}, "to": {"display_name": wanted}}
            await record(ctx, db, Event.TENANT_CHANGED, tenant_id=tenant_id, change=change)
    return replace(found, display_name=wanted)
