"""One person of a tenant, for somebody else who may look: sessions, factors, activity, and what can be done to them.

Not here: the user object and finding people (`directory`), and any change, which is in `users` and `user_changes`.
"""

from __future__ import annotations

from typing import Any

from passgate.core import access, audit, credentials, people, sessions, tenants
from passgate.core.access import Standing
from passgate.core.ctx import Ctx
from passgate.core.users import ACTIONS, User, is_oneself, reach
from passgate.errors import NotFound

MOST_SESSIONS = 1000


async def sessions_of(ctx: Ctx, user: User) -> list[dict[str, Any]]:
    """The live sessions of a person, newest first, each with the kind of its carrier. Raises PermissionMissing,
    NotFound."""
    await _may_read(ctx, "sessions:read", user)
    async with ctx.read() as db:
        return await sessions.listed(ctx, db, user.key, before=None, limit=MOST_SESSIONS, with_carrier=True)


async def factors_of(ctx: Ctx, user: User) -> list[dict[str, Any]]:
    """What a person has set up, oldest first: {factor, label, created_at, last_used_at}, one for each credential.
    Raises PermissionMissing, NotFound."""
    await _may_read(ctx, "factors:read", user)
    async with ctx.read() as db:
        return await credentials.listed(db, *user.key)


async def activity_of(ctx: Ctx, user: User, *, before: str | None, limit: int) -> list[dict[str, Any]]:
    """What happened to a person, and what they did, newest first. Raises PermissionMissing, NotFound."""
    await _may_read(ctx, "audit:read", user)
    async with ctx.read() as db:
        return await audit.history(db, *user.key, before=before, limit=limit)


async def actions_on(ctx: Ctx, user: User) -> dict[str, list[str]]:
    """{actions, roles}: what whoever acts may do to a person now, and the roles that they may give or take, decided as
    when it is done, a fresh proof apart. Of oneself it is profile, password and username. Raises PermissionMissing,
    NotFound."""
    await _may_read(ctx, "users:read", user)
    async with ctx.read() as db:
        found = await people.by_id(db, *user.key)
        if found is None:
            raise NotFound
        tenant = await tenants.by_id(ctx, db, user.tenant_id)
        absent = {"username"} if tenant is None or tenant.rules.usernames == "off" else set[str]()
        if is_oneself(ctx, user.person_id):
            mine = ["change", "password", "username"] if await access.has(ctx, db, "me:write") else []
            return {"actions": [name for name in mine if name not in absent], "roles": []}
        possible = {name: rule for name, rule in ACTIONS.items() if name not in absent and rule.fits(found)}
        reached = [await reach(ctx, db, user.person_id, rule) for rule in possible.values()]
        names = [name for name, how in zip(possible, reached, strict=True) if how is not Standing.NONE]
        roles = await access.givable(ctx, db, *user.key) if "give_role" in names else []
    return {"actions": names, "roles": roles}


async def _may_read(ctx: Ctx, permission: str, user: User) -> None:
    await access.require_to_read(ctx, permission, user.person_id)
    async with ctx.read() as db:
        if await people.by_id(db, *user.key) is None:
            raise NotFound
