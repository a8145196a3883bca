"""Actions of a signed-in person on their own account: profile, username, password, sessions, activity, export,
deletion. Each runs in `action`; those that could take over an account require a fresh proof.

Not here: signing in, which is `signin`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from passgate.core import (
    access,
    audit,
    budgets,
    credentials,
    erasure,
    mail,
    people,
    sessions,
    tenants,
    undo_link,
    usernames,
)
from passgate.core.action import ANYBODY, Ends, action
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Operator
from passgate.core.events import Event
from passgate.core.factor import Enrolling, proved_of
from passgate.core.factors import password
from passgate.core.policy import is_fresh, own_level, recent, stronger
from passgate.core.profile import checked
from passgate.core.rules import AAL1, Rules
from passgate.core.undo_link import Change
from passgate.core.usernames import Username
from passgate.errors import Conflict, Invalid, SessionEnded, StepUpNeeded
from passgate.hashing import Queue, Stored
from passgate.store import Db

PAGE = 100


async def fresh(ctx: Ctx, *, seconds: int = 0, acr: str = AAL1) -> None:
    """Require that the person's own level was proved lately, and not by a link: someone who enrolled a second factor
    must have used it. Otherwise raise StepUpNeeded (RFC 9470). `seconds`: how old a proof may be, by default the rules'
    `max_age`, else the setting; `acr`: a level to prove if it is the higher one."""
    if isinstance(ctx.principal, Operator):  # the command line has no session
        return
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, ctx.person.tenant_id)
        level = own_level(ctx.factors, await credentials.kinds(db, *ctx.person.key))
    level, age = stronger(level, acr), seconds or oldest(ctx, tenant.rules if tenant else None)
    if not is_fresh(ctx.factors, ctx.person.proofs, level, ctx.now(), age):
        raise StepUpNeeded(level, age)


def oldest(ctx: Ctx, rules: Rules | None) -> int:
    """How old a fresh proof may be, in seconds."""
    return (rules.max_age if rules else 0) or ctx.settings.signin.fresh


def proved_lately(ctx: Ctx, rules: Rules) -> frozenset[str]:
    """The factors that count for a fresh proof now, and were not just set up."""
    return proved_of(recent(ctx.person.proofs, ctx.now(), oldest(ctx, rules)))


async def can_mail_undo(ctx: Ctx) -> bool:
    """Whether whoever reads the person's mail could undo alone what they add now: no second factor stands before it,
    and the address was not confirmed beside another factor."""
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, ctx.person.tenant_id)
        has = await credentials.kinds(db, *ctx.person.key)
    proved = proved_lately(ctx, tenant.rules) if tenant else frozenset[str]()
    is_vouched = bool(proved & ctx.factors.given) and bool(proved - ctx.factors.given)
    return not is_vouched and not any(ctx.factors[name].is_lasting for name in has & {*ctx.factors.possession})


async def set_profile(ctx: Ctx, profile: dict[str, Any]) -> dict[str, Any]:
    """Returns the profile as stored."""
    stored = checked(ctx.services.profile, profile)
    text = people.profile_text(stored)
    async with action(ctx) as acting:
        db = acting.db
        await people.set_profile(ctx, db, *ctx.person.key, text)
        await record(ctx, db, Event.PROFILE_CHANGED)
    return stored


async def set_username(ctx: Ctx, username: str) -> None:
    """Choose a username, or none with an empty text. Raises Invalid, Conflict, Throttled."""
    await change(ctx, username=username)


async def set_password(ctx: Ctx, new: str) -> None:
    """Replace the password, end all other sessions and pending sign-ins, and notify the person by mail."""
    await change(ctx, new_password=new)


async def change(
    ctx: Ctx, *, profile: dict[str, Any] | None = None, username: str | None = None, new_password: str | None = None
) -> None:
    """Profile, username and password in one transaction; None leaves what there is. A username is a name to sign in
    with, so it asks for a fresh proof, as a password and a new address do. Raises Invalid, PasswordRefused, Conflict,
    Throttled."""
    if username is not None or new_password is not None:
        await fresh(ctx)
    text = None if profile is None else people.profile_text(checked(ctx.services.profile, profile))
    tenant, found = await _mine(ctx)
    name = named(tenant, username, by_oneself=True) if username is not None else None
    if username is not None:
        async with ctx.write() as db:  # by itself, because a name that is taken counts too
            await budgets.username(ctx, db)
    stored = None
    if new_password is not None:
        name_key = found["username_key"] if username is None else name.key if name else ""
        context = (found["email_key"], name_key, tenant.name, tenant.display_name)
        stored = await password.vetted(ctx.queued(Queue.OWNERS), new_password, tenant.rules, context)
    ends = Ends.NOTHING if stored is None else Ends.PENDING | Ends.OTHER_SESSIONS
    async with action(ctx, ends=ends, reason="password_changed") as acting:
        if text is not None:
            await people.set_profile(ctx, acting.db, *ctx.person.key, text)
            await record(ctx, acting.db, Event.PROFILE_CHANGED)
        if username is not None:
            await rename(ctx, acting.db, acting.person, name)
        if stored is not None:
            await replace_password(ctx, acting.db, acting.person, enrolling(ctx, tenant, acting.person), stored)


async def _mine(ctx: Ctx) -> tuple[tenants.Tenant, RowMapping]:
    async with ctx.read() as db:
        tenant = await tenants.by_id(ctx, db, ctx.person.tenant_id)
        found = await people.by_id(db, *ctx.person.key)
    if tenant is None or found is None:
        raise SessionEnded
    return tenant, found


def named(tenant: tenants.Tenant, username: str, *, by_oneself: bool) -> Username | None:
    """A username to be given in this tenant; None for an empty text. Raises Invalid, also where the tenant has none."""
    if tenant.rules.usernames == "off":
        raise Invalid({"username": "value"})
    return usernames.given(username, by_oneself=by_oneself) if username else None


async def rename(ctx: Ctx, db: Db, found: RowMapping, name: Username | None) -> None:
    """Give somebody another username, or take it away; nothing is recorded of one that stays. Raises Conflict."""
    text = name.text if name else ""
    if text == found["username"]:
        return
    if not await people.set_username(ctx, db, found["tenant_id"], found["id"], name):
        raise username_taken()
    about: dict[str, Any] = {"tenant_id": found["tenant_id"], "subject_id": found["id"]}
    personal = {"username": text, "username_before": found["username"]}
    await record(ctx, db, Event.USERNAME_CHANGED, **about, personal=personal)


def username_taken() -> Conflict:
    return Conflict("Someone already has that username.")


async def replace_password(ctx: Ctx, db: Db, person: RowMapping, who: Enrolling, stored: Stored) -> None:
    """The new password of a locked person, who is notified and can undo it. `who.proved`: what whoever sets it has
    proved of that person."""
    key = (who.tenant_id, who.person_id)
    rows = await credentials.rows_of(db, *key)
    before = rows.get(password.name, [])
    is_given = bool(before) and not await credentials.own_rows(db, *key, before)
    # Until an address is proved, whoever knows the first password may be who has set it.
    is_doubtful = is_given and person["first_proved_at"] is None and not who.proved - {password.name}
    made = await password.replace(ctx, db, *key, stored, may_be_others=is_doubtful)
    await budgets.reopen(db, who.person_id, password.name)
    if password.name not in rows:
        await credentials.changed(ctx, db, who, password.name, added=[made])
        return
    link = await undo_link.issue(ctx, db, person, Change.PASSWORD, rows, who.proved)
    await mail.enqueue(ctx, db, who.tenant_id, Change.PASSWORD.value, person["email"], service=who.service, link=link)


def enrolling(ctx: Ctx, tenant: tenants.Tenant, person: RowMapping, *, by_session: bool = False) -> Enrolling:
    """Who sets up a factor in a session. An offer is bound to that session, or to the person: someone who has to
    install an app first takes longer than a proof stays fresh, and returns in another session."""
    return Enrolling(
        tenant.id,
        tenant.name,
        person["id"],
        person["email"],
        tenant.display_name,
        tenant.rules,
        ctx.person.session_id if by_session else person["id"],
        proved_lately(ctx, tenant.rules),
        in_session=True,
    )


async def has_password(ctx: Ctx) -> bool:
    async with ctx.read() as db:
        return password.name in await credentials.kinds(db, *ctx.person.key)


async def my_sessions(ctx: Ctx, *, before: str | None, limit: int, with_carrier: bool = False) -> list[dict[str, Any]]:
    async with ctx.read() as db:
        return await sessions.listed(ctx, db, ctx.person.key, before=before, limit=limit, with_carrier=with_carrier)


async def end_session(ctx: Ctx, session_id: str) -> None:
    """End one of the person's own sessions, possibly the current one."""
    async with action(ctx, permission=ANYBODY) as acting:
        db = acting.db
        await sessions.end(ctx, db, session_id)
        await record(ctx, db, Event.SESSION_ENDED, session_id=session_id)


async def end_other_sessions(ctx: Ctx) -> None:
    """End all other sessions and whatever could open a new one: pending sign-ins, mailed secrets, remembered and known
    browsers."""
    async with action(ctx, permission=ANYBODY, ends=Ends.PENDING | Ends.OTHER_SESSIONS) as acting:
        await credentials.end_kinds(ctx, acting.db, ctx.person.tenant_id, ctx.person.person_id, [credentials.BROWSER])


async def my_activity(ctx: Ctx, *, before: str | None, limit: int) -> list[dict[str, Any]]:
    async with ctx.read() as db:
        return await audit.activity(db, *ctx.person.key, before=before, limit=limit)


async def exported(ctx: Ctx) -> dict[str, Any]:
    """All data stored about the person except secrets: {user, credentials, sessions, activity}. At most 10,000 activity
    rows, the newest."""
    async with action(ctx, permission="me:read") as acting:
        found = acting.person
        await record(ctx, acting.db, Event.ACCOUNT_EXPORTED)
    async with ctx.read() as db:
        roles = await access.roles_of(db, *ctx.person.key)
        return {
            "user": people.as_json({**found, "roles": ",".join(roles)}),
            "credentials": await credentials.exported(db, *ctx.person.key),
            "sessions": await sessions.listed(ctx, db, ctx.person.key, before=None, limit=1000),
            "activity": await audit.activity(db, *ctx.person.key, before=None, limit=10_000),
        }


async def delete(ctx: Ctx) -> None:
    """Close the account at once, and erase it after `ERASE__WAIT`; until then its owner can restore it. Without a
    waiting period it is erased now; so is one whose address was only claimed, which nobody could restore. Emptying the
    log for that is bounded: such an account costs its network one of the mails of an hour (`signup.notify`)."""
    await fresh(ctx)
    wait = ctx.settings.erase.waiting(ctx.settings)
    async with action(ctx, heavy=True) as acting:
        db = acting.db
        await access.keep_an_owner(db, *ctx.person.key)
        tenant = await tenants.by_id(ctx, db, ctx.person.tenant_id)
        if tenant is None:
            raise SessionEnded
        if wait and acting.person["claimed_at"] is None:
            proved = proved_lately(ctx, tenant.rules)
            await erasure.close(ctx, db, acting.person, service=tenant.display_name, proved=proved, wait=wait)
        else:
            await erasure.erase(ctx, db, acting.person)
    await erasure.scrub(ctx.services)
