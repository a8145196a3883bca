"""Actions of a signed-in person on their own factors: list, set up, rename, remove; also recovery codes and remembered
browsers. Every change requires a fresh proof at their own level.

Not here: enrolment during a sign-in, which is `signin`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import account, address_proof, budgets, credentials, mail, people, policy, proof, sessions, tenants
from passgate.core.action import ANYBODY, Ends, action, within
from passgate.core.audit import deferred, record
from passgate.core.budgets import Guess, Target
from passgate.core.credentials import BROWSER
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import NEW, Answer, Compared, Enrolling, Factor, SetUp, names_of
from passgate.core.factors import device, email_code, passkey, password, recovery_code, totp
from passgate.core.proof import Attempt, Outcome, Right
from passgate.core.rules import Rules
from passgate.core.signin import checked_answer
from passgate.core.tenants import Tenant
from passgate.errors import Conflict, Invalid, NotFound, SessionEnded, StepUpNeeded
from passgate.store import Db

LONGEST_LABEL = 60


async def overview(ctx: Ctx) -> dict[str, Any]:
    """{password: bool, passkeys: […], totp: instant or None, recovery_codes: how many are left, email_code: instant or
    None, can_mail: whether mailed codes can be turned on, at_once: without a first code, can_show: whether the app can
    be shown again, codes_in_set: how many backup codes a set has, browsers: […], remember_days, own: factors without a
    handwritten page, as {factor, since: instant or None}, locked: the names of factors that wrong answers have locked
    for somebody}."""
    async with ctx.read() as db:
        tenant = await _tenant(ctx, db)
        kinds = await credentials.kinds(db, *ctx.person.key)
        apps = await credentials.of_kind(db, *ctx.person.key, totp.name)
        codes = await credentials.of_kind(db, *ctx.person.key, recovery_code.name)
        return {
            "password": "password" in kinds,
            "passkeys": await _passkeys(ctx, db),
            "totp": apps[0]["created_at"] if apps else None,
            "recovery_codes": len(codes),
            "email_code": await _since(ctx, db, email_code.FACTOR),
            "can_mail": email_code.can_turn_on(ctx.factors, tenant.rules, kinds),
            "at_once": email_code.at_once(tenant.rules) is not None,
            "can_show": bool(apps) and tenant.rules.totp_shown_again,
            "codes_in_set": tenant.rules.recovery_codes.count,
            "browsers": await device.listed(ctx, db, *ctx.person.key, tenant.rules),
            "remember_days": tenant.rules.remember_days,
            "own": [{"factor": one, "since": await _since(ctx, db, one)} for one in ctx.factors.own],
            "locked": await budgets.locked(ctx, db, ctx.person.person_id, sorted(kinds)),
        }


async def _since(ctx: Ctx, db: Db, factor: Factor) -> int | None:
    rows = await credentials.of_kind(db, *ctx.person.key, factor.name)
    return int(rows[0]["created_at"]) if rows else None


async def passkeys(ctx: Ctx) -> list[dict[str, Any]]:
    """Newest first."""
    async with ctx.read() as db:
        return await _passkeys(ctx, db)


async def _passkeys(ctx: Ctx, db: Db) -> list[dict[str, Any]]:
    rows = await credentials.of_kind(db, *ctx.person.key, passkey.name)
    return [credentials.as_json(row) for row in reversed(rows)]


# -- setting up ------------------------------------------------------------------------------------


def _set_up_of(ctx: Ctx, name: str) -> tuple[Factor, SetUp]:
    """A factor that can be set up in a session. A password is not: changing it ends all other sessions."""
    factor = ctx.factors.get(name)
    if factor is None or factor.set_up is None or name == password.name:
        raise NotFound
    return factor, factor.set_up


async def offer(ctx: Ctx, name: str) -> dict[str, Any]:
    """What to set up: options for the browser, or a secret. {…, active: True} if the tenant's rules accept a secret
    without its first code: that of a first second factor alone. Another one would take the place of what works, and of
    two requests at once the second raises Conflict, so that what the first has answered counts. Throttled."""
    await account.fresh(ctx)
    _, set_up = _set_up_of(ctx, name)
    who = await _who(ctx, set_up)
    async with ctx.read() as db:
        has_second = await _has_second(ctx, db, who.rules)
    if (activate := set_up.at_once(who.rules)) is not None and not has_second:
        async with action(ctx, ends=Ends.PENDING) as acting:
            await _check(ctx, acting.db, set_up, who)
            _require(not await _has_second(ctx, acting.db, who.rules))
            await budgets.set_up(ctx, acting.db)
            offered = await activate(ctx, acting.db, replace(who, email=acting.person["email"]))
            await budgets.reopen(acting.db, ctx.person.person_id, name)
            if not set_up.is_mailed:  # whoever sees a secret has it; who reads the mailbox has not been shown
                await _count_new(ctx, acting.db, name)
            return {**offered, "active": True}
    async with action(ctx) as acting:
        await _check(ctx, acting.db, set_up, who)
        if name == email_code.name:
            await address_proof.require_way_in(ctx, acting.db, acting.person, who.rules)
        await record(ctx, acting.db, Event.FACTOR_OFFERED, factor=name)
    return await set_up.offer(ctx, who)


async def _has_second(ctx: Ctx, db: Db, rules: Rules) -> bool:
    """Whether a second factor is set up that the rules accept and that is no set of backup codes."""
    kinds = await credentials.kinds(db, *ctx.person.key)
    return bool(kinds & {*ctx.factors.set_up_second, *ctx.factors.chosen} & {*rules.second_among})


async def _check(ctx: Ctx, db: Db, set_up: SetUp, who: Enrolling) -> None:
    _require(set_up.may_begin(ctx.factors, who.rules, await credentials.kinds(db, *ctx.person.key)))


def _require(is_possible: bool) -> None:
    if not is_possible:
        raise Conflict("You can't set this up: you have it already, or something safer, or it isn't used here.")


async def offered(ctx: Ctx, name: str) -> dict[str, Any] | None:
    """The offer that awaits its first answer, so that a page can display it again."""
    await account.fresh(ctx)
    _, set_up = _set_up_of(ctx, name)
    return await set_up.offered(ctx, await _who(ctx, set_up))


async def prove(ctx: Ctx, name: str, answer: Answer, label: str | None = None) -> str:
    """Check the answer and activate the factor; returns its id."""
    await account.fresh(ctx)
    factor, set_up = _set_up_of(ctx, name)
    checked_answer(factor, answer)
    called = checked_label(label) if label is not None else None
    who = await _who(ctx, set_up)

    async def compare(ctx: Ctx, _is_closed: bool) -> Compared:
        return await set_up.accept(ctx, who, answer)

    async def mark(db: Db, compared: Compared) -> Right[str] | Outcome:
        async with within(ctx, db, ends=Ends.PENDING) as acting:
            await _check(ctx, db, set_up, who)
            made = await compared.mark(db)
            if made is None:
                return Outcome.WRONG
            await _count_new(ctx, db, compared.proof or name)
            if name == email_code.name:
                await address_proof.turned_on(ctx, db, acting.person, made, who.rules)
            if called:
                await credentials.rename(db, await credentials.one(db, *ctx.person.key, name, made), called)
            return Right(made)

    attempt = Attempt(
        tenant_id=ctx.person.tenant_id,
        target=_target(ctx, name, set_up, who),
        compare=compare,
        mark=mark,
        refused=lambda compared: (deferred(ctx, Event.FACTOR_REFUSED, factor=name, **compared.facts),),
        renewed=(ctx.person.person_id, name),
    )
    return await proof.prove(ctx, attempt)


async def recovery_codes(ctx: Ctx) -> list[str]:
    """A new set, returned only this once; the old one becomes invalid. Where the rules say so it is mailed too. While
    nobody has proved the address it is only mailed, and the list is empty: whoever asks may be somebody else than the
    reader of that mailbox. Of an account that an admin has moved to another address it is only returned, for the same
    reason. Throttled if the mail may not be sent now; then the old set goes on."""
    await account.fresh(ctx)
    who = await _who(ctx)
    asked = who.rules.recovery_codes
    async with ctx.read() as db:
        found = await people.by_id(db, *ctx.person.key)
        is_only_mailed = found is not None and _is_unseen(who.rules, found)
        await budgets.may_make_codes(ctx, db, who.tenant_id, found["email_key"] if found and is_only_mailed else None)
    made = await recovery_code.fresh(ctx, asked.count)
    async with action(ctx, ends=Ends.PENDING, heavy=True) as acting:
        person = acting.person
        await budgets.set_up(ctx, acting.db)
        is_unseen = _is_unseen(who.rules, person)
        is_mailed = is_unseen or (asked.mailed and person["email_verified_at"] is not None)
        facts: dict[str, Any] = {"count": len(made.codes), "mailed": is_mailed, "shown": not is_unseen}
        await record(ctx, acting.db, Event.RECOVERY_CODES_MADE, **facts)
        who = replace(who, email=person["email"])
        await recovery_code.replace(ctx, acting.db, who, made, is_mailed=is_mailed, is_unseen=is_unseen)
    return [] if is_unseen else made.codes


def _is_unseen(rules: Rules, person: RowMapping) -> bool:
    """Whether a new set is only mailed."""
    return rules.recovery_codes.mailed and people.is_unproved(person)


async def totp_again(ctx: Ctx) -> dict[str, Any]:
    """{otpauth_uri, secret} of the person's own live app, if the rules allow that; they are notified. Asks for a recent
    proof of that very app: else whoever has one backup code would have a lasting copy. NotFound, StepUpNeeded."""
    await account.fresh(ctx)
    who = await _who(ctx)
    async with action(ctx) as acting:
        db = acting.db
        rows = await credentials.of_kind(db, *ctx.person.key, totp.name)
        if not rows or not who.rules.totp_shown_again:
            raise NotFound
        await _require_app(ctx, db, who.rules, rows[0])
        offered = totp.again(ctx, rows[0], who)
        await record(ctx, db, Event.FACTOR_DISPLAYED, factor=totp.name)
        await mail.enqueue(ctx, db, who.tenant_id, "factor_displayed", acting.person["email"], service=who.service)
    return offered


async def _require_app(ctx: Ctx, db: Db, rules: Rules, app: RowMapping) -> None:
    """Raise StepUpNeeded unless this session has proved the app lately, since it was set up."""
    proofs, age = ctx.person.proofs, account.oldest(ctx, rules)
    lately = [one for one in policy.recent(proofs, ctx.now(), age) if totp.name in names_of([one])]
    if not any(proofs[one] >= app["created_at"] for one in lately):
        raise StepUpNeeded(policy.own_level(ctx.factors, await credentials.kinds(db, *ctx.person.key)), age)


# -- renaming and removing -------------------------------------------------------------------------


def checked_label(label: str) -> str:
    text = " ".join(label.split())
    if not 0 < len(text) <= LONGEST_LABEL:
        raise Invalid({"label": "length"})
    return text


async def rename(ctx: Ctx, passkey_id: str, label: str) -> dict[str, Any]:
    """Rename one of the person's own passkeys; NotFound for anyone else's."""
    await account.fresh(ctx)
    name = checked_label(label)
    async with action(ctx) as acting:
        db = acting.db
        row = await credentials.one(db, *ctx.person.key, passkey.name, passkey_id)
        await credentials.rename(db, row, name)
        await record(ctx, db, Event.FACTOR_RENAMED, factor=passkey.name)
        return credentials.as_json(row) | {"label": name}


async def remove(ctx: Ctx, factor: str, credential_id: str | None = None) -> None:
    """Remove a passkey by its id, or the only one of another factor. Raises Conflict for the last one a sign-in
    requires. If no other second factor remains, the recovery codes are removed too: otherwise every sign-in would ask
    for one."""
    await account.fresh(ctx)
    who = await _who(ctx)
    async with action(ctx, ends=Ends.PENDING) as acting:
        db = acting.db
        if credential_id is None:
            rows = await credentials.of_kind(db, *ctx.person.key, factor)
            if not rows:
                raise NotFound
            credential_id = rows[0]["id"]
        row = await credentials.one(db, *ctx.person.key, factor, str(credential_id))
        await credentials.keep_a_way_in(ctx, db, *ctx.person.key, who.rules, row)
        ended = await credentials.end(ctx, db, *ctx.person.key, credentials.is_row(row))
        if not await credentials.kinds(db, *ctx.person.key) & {*ctx.factors.set_up_second, *ctx.factors.chosen}:
            ended += await credentials.end_kinds(ctx, db, *ctx.person.key, [recovery_code.name])
        label = row["label"] if factor == passkey.name else ""
        await credentials.changed(ctx, db, who, factor, ended=ended, label=label)


async def unlock(ctx: Ctx, name: str) -> None:
    """Accept answers of a factor again after too many wrong ones. NotFound for a factor that the person does not
    have."""
    await account.fresh(ctx)
    async with action(ctx, permission=ANYBODY) as acting:
        db = acting.db
        if name not in await credentials.kinds(db, *ctx.person.key):
            raise NotFound
        await budgets.reopen(db, ctx.person.person_id, name)
        await record(ctx, db, Event.FACTOR_UNLOCKED, factor=name)


async def forget_browser(ctx: Ctx, browser_id: str | None = None) -> None:
    """Forget one remembered browser, or all of them. Requires no fresh proof, since a thief gains nothing from it."""
    async with action(ctx, permission=ANYBODY) as acting:
        db = acting.db
        if browser_id is not None:
            which = credentials.is_row(await credentials.one(db, *ctx.person.key, BROWSER, browser_id))
            ended = await credentials.end(ctx, db, *ctx.person.key, which)
        else:
            ended = await credentials.end_kinds(ctx, db, *ctx.person.key, [BROWSER])
        await record(ctx, db, Event.BROWSER_FORGOTTEN, count=len(ended))


async def browsers(ctx: Ctx) -> list[dict[str, Any]]:
    async with ctx.read() as db:
        return await device.listed(ctx, db, *ctx.person.key, (await _tenant(ctx, db)).rules)


# -- helpers ---------------------------------------------------------------------------------------


def _target(ctx: Ctx, name: str, set_up: SetUp, who: Enrolling) -> Target:
    """What a wrong first answer counts against: a mailed one against its mailbox, whoever claims that next."""
    if set_up.is_mailed:
        return email_code.target_of_set_up(who.tenant_id, who.person_id, people.address(who.email).key)
    return Target(Guess.SET_UP, ctx.person.tenant_id, name, ctx.person.person_id)


async def _count_new(ctx: Ctx, db: Db, proof: str) -> None:
    """Count what was just set up among the carrier's proofs, and raise it to the person's own level: they were
    at their own level before. Otherwise the next action would ask for a code that is already used."""
    level = policy.own_level(ctx.factors, await credentials.kinds(db, *ctx.person.key))
    await sessions.lift(ctx, db, {proof + NEW: ctx.now()}, level)


async def _tenant(ctx: Ctx, db: Db) -> Tenant:
    tenant = await tenants.by_id(ctx, db, ctx.person.tenant_id)
    if tenant is None:
        raise SessionEnded
    return tenant


async def _who(ctx: Ctx, set_up: SetUp | None = None) -> Enrolling:
    async with ctx.read() as db:
        tenant = await _tenant(ctx, db)
        found = await people.by_id(db, *ctx.person.key)
    if found is None:
        raise SessionEnded
    by_session = set_up is not None and set_up.is_bound_to_session
    return account.enrolling(ctx, tenant, found, by_session=by_session)
