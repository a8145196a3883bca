"""Actions of an admin on their own tenant: its policy, and sign-in links for people who cannot sign in.

Not here: what an operator does on the command line, which is `operate`. Every action checks the permission first.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import update

from passgate.core import access, account, links, policy, tenants
from passgate.core.access import Standing
from passgate.core.action import action
from passgate.core.audit import deferred, record
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.core.rules import Rules
from passgate.errors import Invalid, NotFound, PermissionMissing
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
            raise _missing(ctx, "policy:read")
    return tenant.rules


async def change_policy(ctx: Ctx, actor: Actor, tenant_id: str, data: dict[str, Any]) -> Rules:
    """Replace the given fields and leave the others. Applies from the next step of every pending sign-in."""
    if tenant_id != actor.tenant_id:
        raise NotFound
    await account.fresh(ctx, actor)
    async with action(ctx, actor) as acting:
        db = acting.db
        await _allowed(ctx, db, actor, "policy:write")
        tenant = await tenants.lock(ctx, db, tenant_id)
        if tenant is None:
            raise NotFound
        rules = tenant.rules.changed(data, ctx.factors)
        if not policy.is_reachable(ctx.factors, rules):
            raise Invalid({"least_acr": "value"})
        text = json.dumps(rules.differences())
        await db.change(update(tenant_table).where(tenant_table.c.id == tenant_id).values(policy=text))
        await record(ctx, db, Event.POLICY_CHANGED, fields=sorted(data))
    return rules


async def signin_link(ctx: Ctx, actor: Actor, person_id: str) -> links.Link | None:
    """A link for a person of the tenant who has no permission that the actor lacks. It becomes usable after a wait, and
    the person is notified at once. If both have the same permissions, two admins have to ask: the first gets None, and
    the request stays valid for a day."""
    await account.fresh(ctx, actor)
    async with action(ctx, actor, about=person_id) as acting:
        db = acting.db
        await _allowed(ctx, db, actor, "users:recover")
        if acting.other is None:
            raise NotFound
        makers: tuple[str, ...] = (actor.person_id,)
        match await access.standing(db, actor.tenant_id, actor.person_id, person_id, "users:recover"):
            case Standing.NONE:
                raise _missing(ctx, "users:recover", person_id)
            case Standing.EQUAL:
                first = await links.asked_by(ctx, db, person_id)
                if first is None or first == actor.person_id:
                    await links.ask(ctx, db, actor.tenant_id, person_id, actor.person_id)
                    return None
                makers = (first, *makers)
        wait, life = ctx.settings.recovery.waiting(ctx.settings), links.LIFE_OF_ADMINS
        return await links.make(ctx, db, actor.tenant_id, person_id, wait=wait, life=life, makers=makers)


async def _allowed(ctx: Ctx, db: Db, actor: Actor, permission: str) -> None:
    if not access.may(await access.roles_of(db, actor.tenant_id, actor.person_id), permission):
        raise _missing(ctx, permission)


def _missing(ctx: Ctx, permission: str, subject_id: str | None = None) -> PermissionMissing:
    return PermissionMissing(
        deferred=(deferred(ctx, Event.ACCESS_REFUSED, subject_id=subject_id, permission=permission),)
    )
