"""Actions of a signed-in person on their own account: profile, password, sessions, activity, export, deletion. Each
runs in `action`; those that could take over an account require a fresh proof.

Not here: signing in, which is `signin`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from passgate.core import access, audit, budgets, credentials, mail, once, people, sessions, tenants
from passgate.core.action import Ends, action
from passgate.core.audit import record
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.core.factors import password
from passgate.core.policy import is_at_least, own_level
from passgate.core.profile import checked
from passgate.errors import SessionEnded, StepUpNeeded
from passgate.hashing import Queue
from passgate.store.tables import credential
from passgate.world import SECOND

PAGE = 100


async def fresh(ctx: Ctx, actor: Actor) -> None:
    """Require a proof no older than the rules' `max_age` (else the setting), at the person's own level: someone who
    enrolled a second factor must have used it. Otherwise raise StepUpNeeded (RFC 9470)."""
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, actor.tenant_id)
        level = own_level(ctx.factors, await credentials.kinds(db, actor.tenant_id, actor.person_id))
    age = (tenant.rules.max_age if tenant else 0) or ctx.settings.signin.fresh
    if ctx.now() - actor.auth_time > age * SECOND or not is_at_least(actor.acr, level):
        raise StepUpNeeded(level, age)


async def set_profile(ctx: Ctx, actor: Actor, profile: dict[str, Any]) -> dict[str, Any]:
    """Returns the profile as stored."""
    stored = checked(ctx.services.profile, profile)
    text = people.profile_text(stored)
    async with action(ctx, actor) as acting:
        db = acting.db
        await people.set_profile(db, actor.tenant_id, actor.person_id, text)
        await record(ctx, db, Event.PROFILE_CHANGED)
    return stored


async def set_password(ctx: Ctx, actor: Actor, new: str) -> None:
    """Replace the password, end all other sessions and pending sign-ins, and notify the person by mail."""
    await fresh(ctx, actor)
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, actor.tenant_id)
        found = await people.by_id(db, actor.tenant_id, actor.person_id)
    if tenant is None or found is None:
        raise SessionEnded
    context = (found["email_key"], tenant.name, tenant.display_name)
    stored = await password.vetted(ctx.queued(Queue.OWNERS), new, tenant.rules, context)
    ends = Ends.PENDING | Ends.OTHER_SESSIONS
    async with action(ctx, actor, ends=ends, reason="password_changed") as acting:
        db, mine = acting.db, (actor.tenant_id, actor.person_id)
        is_first = password.name not in await credentials.kinds(db, *mine)
        await password.replace(ctx, db, *mine, stored)
        await budgets.reopen(db, actor.person_id, password.name)
        if is_first:
            await credentials.changed(ctx, db, *mine, password.name, service=tenant.display_name, is_added=True)
        else:
            await mail.enqueue(ctx, db, tenant.id, "password_changed", found["email"], service=tenant.display_name)


async def my_sessions(ctx: Ctx, actor: Actor, *, before: str | None, limit: int) -> list[dict[str, Any]]:
    async with ctx.read() as db:
        return await sessions.listed(ctx, db, actor, before=before, limit=limit)


async def end_session(ctx: Ctx, actor: Actor, session_id: str) -> None:
    """End one of the actor's own sessions, possibly the current one."""
    async with action(ctx, actor) as acting:
        db = acting.db
        await sessions.end(ctx, db, actor, session_id)
        await record(ctx, db, Event.SESSION_ENDED, session_id=session_id)


async def end_other_sessions(ctx: Ctx, actor: Actor) -> None:
    """End all other sessions and whatever could open a new one: pending sign-ins, mailed secrets, remembered and known
    browsers."""
    async with action(ctx, actor, ends=Ends.PENDING | Ends.OTHER_SESSIONS) as acting:
        await credentials.end_kinds(ctx, acting.db, actor.tenant_id, actor.person_id, [credentials.BROWSER])


async def my_activity(ctx: Ctx, actor: Actor, *, before: str | None, limit: int) -> list[dict[str, Any]]:
    async with ctx.read() as db:
        return await audit.activity(db, actor.tenant_id, actor.person_id, before=before, limit=limit)


async def exported(ctx: Ctx, actor: Actor) -> dict[str, Any]:
    """All data stored about the person except secrets: {user, credentials, sessions, activity}. At most 10,000 activity
    rows, the newest."""
    async with action(ctx, actor) as acting:
        found = acting.person
        await record(ctx, acting.db, Event.ACCOUNT_EXPORTED)
    async with ctx.read() as db:
        roles = await access.roles_of(db, actor.tenant_id, actor.person_id)
        mine = (credential.c.tenant_id == actor.tenant_id, credential.c.person_id == actor.person_id)
        columns = (credential.c.kind, credential.c.label, credential.c.created_at, credential.c.last_used_at)
        return {
            "user": people.as_json({**found, "roles": ",".join(roles)}),
            "credentials": [dict(row) for row in await db.rows(select(*columns, credential.c.revoked_at).where(*mine))],
            "sessions": await sessions.listed(ctx, db, actor, before=None, limit=1000),
            "activity": await audit.activity(db, actor.tenant_id, actor.person_id, before=None, limit=10_000),
        }


async def delete(ctx: Ctx, actor: Actor) -> None:
    """Delete the person and all dependent rows; the audit chain stays valid without their personal data."""
    await fresh(ctx, actor)
    async with action(ctx, actor, heavy=True) as acting:
        db = acting.db
        await access.keep_an_owner(db, actor.tenant_id, actor.person_id)
        await record(ctx, db, Event.ACCOUNT_DELETED)
        await audit.forget(db, actor.tenant_id, actor.person_id)
        await people.erase(db, actor.tenant_id, actor.person_id)
        await once.forget(db, actor.person_id)
        await budgets.forget(db, actor.person_id, tuple(ctx.factors.proofs))
