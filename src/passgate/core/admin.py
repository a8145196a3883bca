"""Actions of an admin on their own tenant: its policy, and sign-in links for people who cannot sign in.

Not here: what an operator does on the command line, which is `operate`. Every action checks the permission first.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import update

from passgate.core import access, account, credentials, links, mail, policy, tenants
from passgate.core.access import Standing
from passgate.core.action import action
from passgate.core.audit import record
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.core.journey import SIGN_IN
from passgate.core.rules import SHORTEST_ALONE, Rules
from passgate.errors import Invalid, NotFound
from passgate.store import Db
from passgate.store.tables import tenant as tenant_table


async def policy_of(ctx: Ctx, actor: Actor, tenant_id: str) -> Rules:
    """The rules of the actor's own tenant; NotFound for any other."""
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, tenant_id)
        roles = await access.roles_of(db, actor.tenant_id, actor.person_id)
    if tenant is None or tenant_id != actor.tenant_id:
        raise NotFound
    if not access.may(roles, "policy:read"):
        async with ctx.write():
            raise access.missing(ctx, actor, "policy:read")
    return tenant.rules


async def change_policy(ctx: Ctx, actor: Actor, tenant_id: str, data: dict[str, Any]) -> Rules:
    """Replace the given fields and leave the others. Applies from the next step of every pending sign-in and the next
    request of every session. The other owners are notified by mail. Invalid for rules that the actor can't meet."""
    if tenant_id != actor.tenant_id:
        raise NotFound
    await account.fresh(ctx, actor)
    async with action(ctx, actor, permission="policy:write") as acting:
        db = acting.db
        tenant = await tenants.lock(ctx, db, tenant_id)
        if tenant is None:
            raise NotFound
        rules = tenant.rules.changed(data, ctx.factors)
        await _check_reach(ctx, db, actor, rules, data)
        text = json.dumps(rules.differences())
        await db.change(update(tenant_table).where(tenant_table.c.id == tenant_id).values(policy=text))
        was, now = tenant.rules.to_json(), rules.to_json()
        changed = [name for name in now if was[name] != now[name]]
        if changed:
            change = {"from": {name: was[name] for name in changed}, "to": {name: now[name] for name in changed}}
            await record(ctx, db, Event.POLICY_CHANGED, fields=changed, change=change)
            await _notify_owners(ctx, db, actor, tenant, changed)
    return rules


async def _check_reach(ctx: Ctx, db: Db, actor: Actor, rules: Rules, data: dict[str, Any]) -> None:
    """Invalid for rules that nobody can meet, or that the actor can't; in production also for passwords of less than 15
    characters used alone (NIST SP 800-63B-4 §3.1.1.2)."""
    if not ctx.settings.is_development and rules.password_alone < SHORTEST_ALONE:
        raise Invalid({"password_alone": "value"})
    best = await credentials.best_proofs(ctx, db, actor.tenant_id, actor.person_id)
    if not policy.is_reachable(ctx.factors, rules) or not policy.can_meet(ctx.factors, rules, SIGN_IN, best):
        named = [name for name in ("least_acr", "first", "second", "second_among") if name in data]
        raise Invalid(dict.fromkeys(named[:1] or ["least_acr"], "value"))


async def _notify_owners(ctx: Ctx, db: Db, actor: Actor, tenant: tenants.Tenant, changed: list[str]) -> None:
    for email in await access.owners(db, tenant.id, but=actor.person_id):
        fields = ", ".join(changed)
        await mail.enqueue(ctx, db, tenant.id, "policy_changed", email, service=tenant.display_name, label=fields)


async def signin_link(ctx: Ctx, actor: Actor, person_id: str) -> links.Link | None:
    """A link for a person of the tenant who has no permission that the actor lacks. It becomes usable after a wait, and
    the person is notified at once. If both have the same permissions, two admins have to ask: the first gets None, and
    the request stays valid for a day."""
    await account.fresh(ctx, actor)
    async with action(ctx, actor, permission="users:recover", about=person_id) as acting:
        db = acting.db
        if acting.other is None:
            raise NotFound
        makers: tuple[str, ...] = (actor.person_id,)
        match await access.standing(db, actor.tenant_id, actor.person_id, person_id, "users:recover"):
            case Standing.NONE:
                raise access.missing(ctx, actor, "users:recover", person_id)
            case Standing.EQUAL:
                first = await links.asked_by(ctx, db, person_id)
                if first is None or first == actor.person_id:
                    await links.ask(ctx, db, actor.tenant_id, person_id, actor.person_id)
                    return None
                makers = (first, *makers)
        wait, life = ctx.settings.recovery.waiting(ctx.settings), links.LIFE_OF_ADMINS
        return await links.make(ctx, db, actor.tenant_id, person_id, wait=wait, life=life, makers=makers)
