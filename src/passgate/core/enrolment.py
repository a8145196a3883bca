"""What a signed-in person does with their own factors: list, set up, rename, remove; recovery codes and remembered
browsers too.

Every change wants a fresh proof at the person's own level. What a half-signed-in person may set up is `signin`'s.
"""

from __future__ import annotations

from typing import Any

from passgate.core import account, people, running, sessions, tenants, throttle
from passgate.core.audit import Event, kept, note
from passgate.core.ctx import Actor, Ctx
from passgate.core.factors import Answer, Enrolling, Enrolment, device, enrolled, passkey, recovery_code, totp
from passgate.core.factors.enrolled import BROWSER
from passgate.core.policy import KINDS, SET_UP, is_at_least, own_level
from passgate.core.tenants import Tenant
from passgate.errors import Invalid, NotFound, ProofRefused, SessionEnded
from passgate.store import Db

FACTORS: dict[str, Enrolment] = {"passkey": passkey, "totp": totp}
LONGEST_LABEL = 60


async def overview(ctx: Ctx, actor: Actor) -> dict[str, Any]:
    """{password: bool, passkeys: […], totp: instant or None, recovery_codes: how many are left, browsers: […]}."""
    async with ctx.read() as db:
        tenant = await _tenant(db, actor)
        kinds = await enrolled.kinds(db, actor.tenant_id, actor.person_id)
        apps = await enrolled.of_kind(db, actor.tenant_id, actor.person_id, totp.name)
        codes = await enrolled.of_kind(db, actor.tenant_id, actor.person_id, recovery_code.name)
        return {
            "password": "password" in kinds,
            "passkeys": await _passkeys(db, actor),
            "totp": apps[0]["created_at"] if apps else None,
            "recovery_codes": len(codes),
            "browsers": await device.listed(ctx, db, actor.tenant_id, actor.person_id, tenant.rules),
            "remember_days": tenant.rules.remember_days,
        }


async def passkeys(ctx: Ctx, actor: Actor) -> list[dict[str, Any]]:
    """Newest first."""
    async with ctx.read() as db:
        return await _passkeys(db, actor)


async def _passkeys(db: Db, actor: Actor) -> list[dict[str, Any]]:
    rows = await enrolled.of_kind(db, actor.tenant_id, actor.person_id, passkey.name)
    return [enrolled.shown(row) for row in reversed(rows)]


# -- setting up ------------------------------------------------------------------------------------


async def offer(ctx: Ctx, actor: Actor, factor: str) -> dict[str, Any]:
    """What is to be set up: options for the browser, or a secret. {…, active: True} where the tenant's rules take a
    secret without its first code."""
    await account.fresh(ctx, actor)
    who = await _who(ctx, actor, factor)
    if factor == totp.name and who.rules.totp_at_once:
        async with ctx.write() as db:
            await _hold(ctx, db, actor)
            shown = await totp.put_at_once(ctx, db, who)
            await _stay_at_own_level(db, actor, totp.name)
            return {**shown, "active": True}
    async with ctx.write() as db:
        await sessions.hold(ctx, db, actor)
        await note(ctx, db, Event.FACTOR_OFFERED, factor=factor)
    return await FACTORS[factor].offer(ctx, who)


async def offered(ctx: Ctx, actor: Actor) -> dict[str, Any] | None:
    """The secret that waits for its first code, so that a page can show it again."""
    await account.fresh(ctx, actor)
    return await totp.offered(ctx, await _who(ctx, actor))


async def prove(ctx: Ctx, actor: Actor, factor: str, answer: Answer, label: str | None = None) -> str:
    """The answer fits: the factor counts from now on; its id. In three steps like any proof."""
    await account.fresh(ctx, actor)
    if isinstance(answer, dict) != (factor == passkey.name):
        raise Invalid({"answer": "type"})
    name = checked_label(label) if label is not None else None
    who = await _who(ctx, actor, factor)
    async with ctx.write() as db:
        spent = await throttle.spend(ctx, db, actor.tenant_id, f"h:{factor}:{actor.person_id}")
    refused = ProofRefused(keep=(kept(ctx, Event.FACTOR_REFUSED, factor=factor),))
    try:
        if spent.is_locked:
            raise refused
        accepted = await FACTORS[factor].accept(ctx, who, answer)
        async with ctx.write() as db:
            await _hold(ctx, db, actor)
            made = await accepted.bind(db)
            await _stay_at_own_level(db, actor, factor)
            if name:
                await enrolled.rename(db, await enrolled.one(db, *_mine(actor), factor, made), name)
            await throttle.refund(ctx, db, spent, clear=True)
    except ProofRefused:
        async with ctx.write():
            raise refused from None
    return made


async def recovery_codes(ctx: Ctx, actor: Actor) -> list[str]:
    """A new set, shown this once; the old one is dead."""
    await account.fresh(ctx, actor)
    who = await _who(ctx, actor)
    made = await recovery_code.fresh(ctx)
    async with ctx.write(heavy=True) as db:
        await _hold(ctx, db, actor)
        await recovery_code.put(ctx, db, *_mine(actor), made)
        await note(ctx, db, Event.RECOVERY_CODES_MADE, count=len(made.shown))
        await enrolled.changed(ctx, db, *_mine(actor), recovery_code.name, service=who.service, is_added=True)
    return made.shown


# -- renaming and removing -------------------------------------------------------------------------


def checked_label(label: str) -> str:
    text = " ".join(label.split())
    if not 0 < len(text) <= LONGEST_LABEL:
        raise Invalid({"label": "length"})
    return text


async def rename(ctx: Ctx, actor: Actor, passkey_id: str, label: str) -> dict[str, Any]:
    """One of the actor's own passkeys; somebody else's is not found."""
    await account.fresh(ctx, actor)
    name = checked_label(label)
    async with ctx.write() as db:
        await sessions.hold(ctx, db, actor)
        row = await enrolled.one(db, *_mine(actor), passkey.name, passkey_id)
        await enrolled.rename(db, row, name)
        await note(ctx, db, Event.FACTOR_RENAMED, factor=passkey.name)
        return enrolled.shown(row) | {"label": name}


async def remove(ctx: Ctx, actor: Actor, factor: str, credential_id: str | None = None) -> None:
    """A passkey by its id, or the authenticator app. Conflict for the last way in. Without another second factor the
    recovery codes go too: they would be asked for at every sign-in."""
    await account.fresh(ctx, actor)
    who = await _who(ctx, actor)
    async with ctx.write() as db:
        await _hold(ctx, db, actor)
        if credential_id is None:
            rows = await enrolled.of_kind(db, *_mine(actor), factor)
            if not rows:
                raise NotFound
            credential_id = rows[0]["id"]
        row = await enrolled.one(db, *_mine(actor), factor, str(credential_id))
        await enrolled.keep_a_way_in(db, *_mine(actor), who.rules, row)
        await enrolled.end(ctx, db, *_mine(actor), enrolled.is_row(row))
        if not await enrolled.kinds(db, *_mine(actor)) & set(SET_UP):
            await enrolled.end_kinds(ctx, db, *_mine(actor), [recovery_code.name])
        label = row["label"] if factor == passkey.name else ""
        await enrolled.changed(ctx, db, *_mine(actor), factor, service=who.service, is_added=False, label=label)


async def forget_browser(ctx: Ctx, actor: Actor, browser_id: str | None = None) -> None:
    """One remembered browser, or all of them. Needs no fresh proof: it only takes something away from a thief."""
    async with ctx.write() as db:
        await sessions.hold(ctx, db, actor)
        if browser_id is not None:
            which = enrolled.is_row(await enrolled.one(db, *_mine(actor), BROWSER, browser_id))
            ended = await enrolled.end(ctx, db, *_mine(actor), which)
        else:
            ended = await enrolled.end_kinds(ctx, db, *_mine(actor), [BROWSER])
        await note(ctx, db, Event.BROWSER_FORGOTTEN, count=ended)


async def browsers(ctx: Ctx, actor: Actor) -> list[dict[str, Any]]:
    async with ctx.read() as db:
        return await device.listed(ctx, db, *_mine(actor), (await _tenant(db, actor)).rules)


# -- whose -----------------------------------------------------------------------------------------


def _mine(actor: Actor) -> tuple[str, str]:
    return actor.tenant_id, actor.person_id


async def _hold(ctx: Ctx, db: Db, actor: Actor) -> None:
    """The session lives, and no sign-in that is half done goes on with what was enrolled before."""
    await sessions.hold(ctx, db, actor)
    await running.end_all(ctx, db, *_mine(actor))


async def _stay_at_own_level(db: Db, actor: Actor, factor: str) -> None:
    """Who set up a factor has just shown it, and was at their own level before: so they are after it too. Otherwise the
    next deed would ask for a code that is spent already."""
    level = own_level(await enrolled.kinds(db, *_mine(actor)))
    if not is_at_least(actor.acr, level):
        await sessions.lift(db, actor, tuple(dict.fromkeys((*actor.amr, *KINDS[factor].amr))), level)


async def _tenant(db: Db, actor: Actor) -> Tenant:
    tenant = await tenants.by_id(db, actor.tenant_id)
    if tenant is None:
        raise SessionEnded
    return tenant


async def _who(ctx: Ctx, actor: Actor, factor: str = "") -> Enrolling:
    """A passkey's challenge is the session's own. A secret is the person's: who installs an app first takes longer than
    a proof is fresh, and comes back with another session."""
    async with ctx.read() as db:
        tenant = await _tenant(db, actor)
        found = await people.by_id(db, *_mine(actor))
    if found is None:
        raise SessionEnded
    return Enrolling(
        tenant.id, tenant.name, actor.person_id, found["email"], tenant.display_name, tenant.rules,
        actor.session_id if factor == passkey.name else actor.person_id,
    )  # fmt: skip
