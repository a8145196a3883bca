"""A sign-in is a value: start, challenge, prove, finish. `finish` is the only place where a session is born.

Factors are checked in `factors`, demands decided in `policy`; how a handle is carried lives in `web`.

A proof is three steps. *Spend*: every budget is debited and committed before anything is compared, so that parallel
guesses cannot all pass. *Compare*: no transaction is open. *Mark*: one transaction that moves only what is still as it
was compared, notes the audit row, and gives the budgets back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from passgate.core import links, mail, once, people, policy, recovery, running, sessions, signup, tenants, throttle
from passgate.core.audit import Event, kept, note
from passgate.core.ctx import Actor, Ctx
from passgate.core.factors import (
    Answer,
    Compared,
    Enrolling,
    Enrolment,
    Factor,
    SignIn,
    device,
    email_code,
    enrolled,
    passkey,
    password,
    recovery_code,
    totp,
)
from passgate.core.policy import HELD, Decision, Enough, Need, Refuse, factors, own_level
from passgate.core.rules import AAL1, LEVELS
from passgate.core.running import find
from passgate.errors import (
    AlreadyProved,
    FactorNotOffered,
    HandleInvalid,
    Invalid,
    ProofMissing,
    ProofRefused,
    SignupClosed,
    StepUpNeeded,
    Throttled,
)  # fmt: skip
from passgate.store import Db
from passgate.store.unit import Keep

FACTORS: MappingProxyType[str, Factor] = MappingProxyType({
    "password": password, "passkey": passkey, "totp": totp, "recovery_code": recovery_code, "email_code": email_code,
})  # fmt: skip
SET_UP: MappingProxyType[str, Enrolment] = MappingProxyType({"password": password, "passkey": passkey, "totp": totp})
"""Those that a running sign-in can set up, where policy asks for it."""

_COMPLETED = {
    "signup": Event.SIGNUP_COMPLETED,
    "signin": Event.SIGNIN_COMPLETED,
    "recovery": Event.RECOVERY_COMPLETED,
    "step_up": Event.STEP_UP_COMPLETED,
}


_PROVED = {
    "password": Event.PASSWORD_PROVED,
    "passkey": Event.PASSKEY_PROVED,
    "totp": Event.TOTP_PROVED,
    "recovery_code": Event.RECOVERY_CODE_PROVED,
    "email_code": Event.EMAIL_CODE_PROVED,
}
_REFUSED = {
    "password": Event.PASSWORD_REFUSED,
    "passkey": Event.PASSKEY_REFUSED,
    "totp": Event.TOTP_REFUSED,
    "recovery_code": Event.RECOVERY_CODE_REFUSED,
    "email_code": Event.EMAIL_CODE_REFUSED,
}


@dataclass(frozen=True, slots=True)
class Started:
    """`handle` is shown once. What is needed first; after a link that may be nothing more."""

    handle: str
    decision: Decision
    expires_at: int

    @property
    def need(self) -> Need:
        if not isinstance(self.decision, Need):
            raise FactorNotOffered
        return self.decision


# -- start -----------------------------------------------------------------------------------------


async def start(
    ctx: Ctx, email: str | None, tenant_name: str | None, return_to: str | None = None, browser: str | None = None
) -> Started:
    """Begin to sign in. No person is looked up: who is meant shows only in what is proved. `return_to`: where a page
    goes afterwards, checked by that page; `browser`: the cookie of a remembered one."""
    at = people.address(email) if email is not None else None
    async with ctx.write() as db:
        tenant = await tenants.find(db, tenant_name)
        if tenant is None or tenant.is_disabled:
            raise SignupClosed("Nobody can sign in here.")
        data = {"email": at.shown, "email_key": at.key} if at else {}
        if kept_browser := device.presented(ctx, browser):
            data["browser"] = kept_browser
        begun, handle = await running.begin(ctx, db, tenant, "signin", data | _going(return_to))
        await note(ctx, db, Event.SIGNIN_STARTED, tenant_id=tenant.id, personal=_named(begun))
        return _started(begun, handle)


async def start_signup(
    ctx: Ctx, email: str, secret: str | None, profile: dict[str, Any] | None, tenant_name: str | None,
    new_tenant: str | None, return_to: str | None = None,
) -> Started:  # fmt: skip
    """Begin to sign up. Touches no person: everything lies in the sign-in until the mailed code is proved."""
    async with ctx.read() as db:
        tenant = await signup.target(ctx, db, tenant_name, new_tenant)
    data = await signup.prepared(ctx, tenant, email, secret, profile, new_tenant)
    async with ctx.write() as db:
        begun, handle = await running.begin(ctx, db, tenant, "signup", data | _going(return_to))
        await signup.announce(ctx, db, begun)
        return _started(begun, handle)


async def start_recovery(ctx: Ctx, email: str, tenant_name: str | None) -> Started:
    """Begin to choose a new password. Known or not, a mail goes out, and the answer is the same."""
    at = people.address(email)
    async with ctx.write() as db:
        tenant = await tenants.find(db, tenant_name)
        if tenant is None or tenant.is_disabled:
            raise SignupClosed("Nobody can sign in here.")
        begun, handle = await running.begin(ctx, db, tenant, "recovery", {"email": at.shown, "email_key": at.key})
        await recovery.announce(ctx, db, begun)
        return _started(begun, handle)


async def start_step_up(ctx: Ctx, actor: Actor, acr: str | None, return_to: str | None = None) -> Started:
    """A sign-in with the person already named, to the level that is asked for or else their own. Its end replaces the
    actor's session. Whatever age was asked for: a step-up always takes a proof given now."""
    if acr is not None and acr not in LEVELS:
        raise Invalid({"step_up.acr": "value"})
    async with ctx.write() as db:
        found = await sessions.hold(ctx, db, actor)
        tenant = await tenants.by_id(db, actor.tenant_id)
        if tenant is None:
            raise HandleInvalid
        floor = acr or own_level(await enrolled.kinds(db, actor.tenant_id, actor.person_id))
        data = {"floor": floor, "email": found["email"], "email_key": found["email_key"]}
        begun, handle = await running.begin(
            ctx, db, tenant, "step_up", data | _going(return_to), person_id=actor.person_id, session_id=actor.session_id
        )
        if isinstance(decide(begun), Refuse):
            raise FactorNotOffered("Nothing that you have set up reaches that level.")
        await note(ctx, db, Event.STEP_UP_STARTED, tenant_id=tenant.id, acr=floor)
        return _started(begun, handle)


async def start_by_link(ctx: Ctx, token: str, *, is_recovery: bool = False) -> Started:
    """Open a link that an operator or an admin made: its person is named by one proof, whatever else is asked for is
    asked all the same. `is_recovery`: to set up a new way in. HandleInvalid, or NotYet while the link waits."""
    row = await links.look(ctx, token)
    async with ctx.write() as db:
        found = await people.lock(db, row["tenant_id"], row["bound_to"])
        tenant = await tenants.by_id(db, row["tenant_id"])
        if found is None or tenant is None or tenant.is_disabled or not await once.take(ctx, db, row["id"]):
            raise HandleInvalid
        data = {"email": found["email"], "email_key": found["email_key"]}
        purpose = "recovery" if is_recovery else "signin"
        begun, handle = await running.begin(
            ctx, db, tenant, purpose, data, person_id=found["id"], proofs=("link",)
        )  # fmt: skip
        await note(ctx, db, Event.LINK_PROVED, tenant_id=tenant.id, subject_id=found["id"], purpose=purpose)
        return _started(begun, handle)


def _going(return_to: str | None) -> dict[str, str]:
    return {"return_to": return_to} if return_to else {}


def _started(sign_in: SignIn, handle: str) -> Started:
    decision = decide(sign_in)
    if isinstance(decision, Refuse):
        raise FactorNotOffered
    return Started(handle, decision, sign_in.expires_at)


def decide(sign_in: SignIn) -> Decision:
    floor = str(sign_in.data.get("floor") or AAL1)
    return policy.decide(
        sign_in.rules, sign_in.purpose, sign_in.proofs, sign_in.enrolled, floor, is_remembered=sign_in.is_remembered
    )


def _named(sign_in: SignIn) -> dict[str, str]:
    return {"email": sign_in.email} if sign_in.email else {}


# -- challenge and prove ---------------------------------------------------------------------------


def _offered(sign_in: SignIn, factor: str) -> Need:
    decision = decide(sign_in)
    if factor in factors(sign_in.proofs):
        raise AlreadyProved
    if factor not in FACTORS or not isinstance(decision, Need) or not decision.offers(factor):
        raise FactorNotOffered
    return decision


async def challenge(ctx: Ctx, handle: str, factor: str) -> dict[str, Any]:
    """What a factor needs first, or what is to be set up where policy asks for that now."""
    sign_in = await find(ctx, handle)
    if _offered(sign_in, factor).enrol:
        return await SET_UP[factor].offer(ctx, await _enrolling(ctx, sign_in))
    return await FACTORS[factor].challenge(ctx, sign_in)


async def prove(ctx: Ctx, handle: str, factor: str, answer: Answer) -> Decision:
    """Answer one factor; what is still needed, or Enough. A refusal counts, a fault gives the try back to nobody."""
    sign_in = await find(ctx, handle)
    need = _offered(sign_in, factor)
    if isinstance(answer, dict) != (factor == passkey.name):
        raise Invalid({"answer": "type"})
    if need.enrol:
        return await _set_up(ctx, sign_in, factor, answer)
    authenticator, seen = await FACTORS[factor].budget(ctx, sign_in)
    spent = await _spend(ctx, sign_in, authenticator)
    compared = await FACTORS[factor].compare(ctx, sign_in, answer, seen, is_locked=spent.is_locked)
    if not compared.is_right:
        await _refuse(ctx, sign_in, factor, compared, spent)
    return await _mark(ctx, sign_in, factor, compared, spent)


async def waits_until(ctx: Ctx, handle: str) -> int | None:
    """From when on a recovery that showed two ways back can go on without the lost factor; None where nothing waits."""
    return await recovery.usable_at(ctx, await find(ctx, handle))


async def _spend(ctx: Ctx, sign_in: SignIn, authenticator: str) -> throttle.Spent:
    throttled = kept(ctx, Event.SIGNIN_THROTTLED, tenant_id=sign_in.tenant_id, personal=_named(sign_in))
    async with ctx.write() as db:
        if not await db.change(running.SPEND, of_sign_in=sign_in.id):
            if await running.is_dead(db, sign_in):
                raise HandleInvalid
            # The tries in flight fill the budget; they may yet turn out right, so this one only waits.
            raise Throttled(1, keep=(throttled,))
        try:
            return await throttle.spend(ctx, db, sign_in.tenant_id, authenticator)
        except Throttled as late:
            raise Throttled(late.retry_after, keep=(throttled,)) from None


def _refusal_facts(ctx: Ctx, sign_in: SignIn, factor: str, person_id: str | None) -> tuple[Keep, Keep]:
    async def count(db: Db) -> None:
        await db.change(running.REFUSED, of_sign_in=sign_in.id)

    row = kept(ctx, _REFUSED[factor], tenant_id=sign_in.tenant_id, subject_id=person_id, personal=_named(sign_in))
    return count, row


async def _refuse(ctx: Ctx, sign_in: SignIn, factor: str, compared: Compared, spent: throttle.Spent) -> None:
    """A doubled request may find spent what its twin has just used: that is neither wrong nor a replay."""
    async with ctx.write() as db:
        proofs, is_dead = await running.now_proved(db, sign_in)
        if factor in factors(proofs) and not is_dead:
            raise AlreadyProved(keep=(_giving_back(ctx, sign_in, spent),))
        for fact in (*_refusal_facts(ctx, sign_in, factor, compared.person_id), *compared.kept):
            await fact(db)
    raise ProofRefused


async def _mark(ctx: Ctx, sign_in: SignIn, factor: str, compared: Compared, spent: throttle.Spent) -> Decision:
    """Everything a right answer moves, in one transaction; a lost race leaves nothing but the try given back."""
    proof, give_back = compared.proof or factor, _giving_back(ctx, sign_in, spent)
    lost = ProofRefused(keep=_refusal_facts(ctx, sign_in, factor, compared.person_id))
    async with ctx.write() as db:
        if compared.person_id and not await people.lock(db, sign_in.tenant_id, compared.person_id):
            raise lost
        if not await running.add_proof(ctx, db, sign_in, proof, compared.person_id):
            raise await _lost(db, sign_in, factor, give_back)
        if not await compared.mark(db):
            raise lost
        proved = replace(sign_in, proofs=(*sign_in.proofs, proof), person_id=compared.person_id)
        if sign_in.purpose == "signup" and factor == "email_code":
            proved = await signup.born(ctx, db, proved, lost)
            await running.name(db, proved)
        proved = await running.known(ctx, db, proved)
        # Before budgets: it ends other sign-ins, and a proof takes its sign-in first.
        if await recovery.release(ctx, db, proved):
            proved = await running.known(ctx, db, proved)
        await throttle.refund(ctx, db, spent, clear=True)
        await note(
            ctx, db, _PROVED[factor], tenant_id=proved.tenant_id, subject_id=proved.person_id,
            personal=_named(sign_in),
        )  # fmt: skip
    return decide(proved)


def _giving_back(ctx: Ctx, sign_in: SignIn, spent: throttle.Spent) -> Keep:
    async def give_back(db: Db) -> None:
        await db.change(running.GIVE_BACK, of_sign_in=sign_in.id)
        await throttle.refund(ctx, db, spent, clear=False)

    return give_back


async def _lost(db: Db, sign_in: SignIn, factor: str, give_back: Keep) -> Exception:
    """Why a right answer came too late: another one was first, or the sign-in is over."""
    proofs, is_dead = await running.now_proved(db, sign_in)
    if is_dead or factor not in factors(proofs):
        return HandleInvalid()
    return AlreadyProved(keep=(give_back,))


# -- setting up what policy asks for now -----------------------------------------------------------


async def _enrolling(ctx: Ctx, sign_in: SignIn) -> Enrolling:
    if sign_in.person_id is None:
        raise FactorNotOffered
    async with ctx.read() as db:
        found = await people.by_id(db, sign_in.tenant_id, sign_in.person_id)
    if found is None or found["disabled_at"] is not None:
        raise HandleInvalid
    return Enrolling(
        sign_in.tenant_id, sign_in.tenant_name, found["id"], found["email"], sign_in.service, sign_in.rules, sign_in.id
    )


async def setting_up(ctx: Ctx, handle: str, factor: str) -> Enrolling:
    """Whose factor a page is about to set up; FactorNotOffered where policy does not ask for it now."""
    sign_in = await find(ctx, handle)
    if not _offered(sign_in, factor).enrol:
        raise FactorNotOffered
    return await _enrolling(ctx, sign_in)


async def _set_up(ctx: Ctx, sign_in: SignIn, factor: str, answer: Answer) -> Decision:
    """A sign-up's own way in, the new one of a recovery, a second factor that is always asked for. Looked at again with
    the person locked: of two that are half signed in only one can set up a kind that the person has none of."""
    who = await _enrolling(ctx, sign_in)
    facts = _refusal_facts(ctx, sign_in, factor, who.person_id)
    try:
        accepted = await SET_UP[factor].accept(ctx, who, answer)
    except ProofRefused:
        async with ctx.write() as db:
            for fact in facts:
                await fact(db)
        raise
    async with ctx.write() as db:
        if not await people.lock(db, who.tenant_id, who.person_id):
            raise HandleInvalid
        now = decide(await running.known(ctx, db, sign_in))
        if not isinstance(now, Need) or not now.enrol or not now.offers(factor):
            raise FactorNotOffered
        # `spent` is not debited here; the proof's own statement takes one off, so it is put on first.
        await running.spend_one(db, sign_in)
        proof = accepted.proof or factor
        if not await running.add_proof(ctx, db, sign_in, proof, who.person_id):
            raise await _lost(db, sign_in, factor, _nothing)
        # Sign-ins before budgets, as `_spend` takes them: the other way round the two could wait for each other.
        if sign_in.purpose == "recovery":
            await running.end_all(ctx, db, who.tenant_id, who.person_id, but=sign_in.id)
        await accepted.bind(db)
        if sign_in.purpose == "recovery":
            await recovery.complete(ctx, db, sign_in, factor)
        proved = await running.known(ctx, db, replace(sign_in, proofs=(*sign_in.proofs, proof)))
    return decide(proved)


async def _nothing(_db: Db) -> None:
    """Nothing was spent, so there is nothing to give back."""


# -- finish ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finished:
    """`browser` is the cookie of a browser that is remembered from now on, shown once."""

    opened: sessions.Opened
    browser: str | None


async def finish(ctx: Ctx, handle: str, *, remember: bool = False) -> Finished:
    """Open the one session of a sign-in that has proved enough. The only caller of `sessions.open_session`.
    `remember`: this browser need not show the second factor again for some days, where the tenant's rules have that."""
    before = await find(ctx, handle, with_enrolled=False)  # looked at below, with the person held
    async with ctx.write() as db:
        # The person first: see `people.lock`. Before anybody is named there is nobody to lock, and nothing to finish.
        is_live = before.person_id and await people.lock(db, before.tenant_id, before.person_id)
        sign_in = await running.take(ctx, db, before)
        enough = decide(sign_in)
        if isinstance(enough, Need):
            raise ProofMissing(enough.listed())
        if isinstance(enough, Refuse):
            raise StepUpNeeded(str(sign_in.data.get("floor") or sign_in.rules.least_acr), 0)
        if sign_in.person_id is None or not is_live:
            raise HandleInvalid
        opened = await _open(ctx, db, sign_in, sign_in.person_id, enough)
        await note(
            ctx, db, _COMPLETED[sign_in.purpose], tenant_id=sign_in.tenant_id, subject_id=sign_in.person_id,
            acr=enough.acr, amr=list(enough.amr), session_id=opened.session["id"], reasons=list(enough.reasons),
        )  # fmt: skip
        return Finished(opened, await _remember(ctx, db, sign_in, sign_in.person_id) if remember else None)


async def _open(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, enough: Enough) -> sessions.Opened:
    if sign_in.purpose == "step_up" and sign_in.session_id:
        replaced = Actor(sign_in.tenant_id, person_id, sign_in.session_id, "", (), 0)
        await sessions.hold(ctx, db, replaced)
        await sessions.end(ctx, db, replaced, sign_in.session_id, "stepped_up")
    opened = await sessions.open_session(
        ctx, db, tenant_id=sign_in.tenant_id, person_id=person_id, amr=enough.amr, acr=enough.acr, auth_time=ctx.now()
    )
    if factors(sign_in.proofs) & set(HELD):
        await recovery.not_lost(ctx, db, sign_in.tenant_id, person_id)
    if sign_in.is_remembered:
        await device.used(ctx, db, str(sign_in.data["browser"]))
    if opened.is_new_device and sign_in.purpose == "signin":
        found = await people.by_id(db, sign_in.tenant_id, person_id)
        if found is not None:
            await mail.lay(ctx, db, sign_in.tenant_id, "new_device", found["email"], service=sign_in.service)
    return opened


def may_remember(sign_in: SignIn) -> int:
    """For how many days this browser can be remembered once this sign-in is over; 0: not at all."""
    is_plain = sign_in.purpose == "signin" and sign_in.rules.least_acr == AAL1
    return sign_in.rules.remember_days if is_plain and policy.shows_two(sign_in.rules, sign_in.proofs) else 0


async def _remember(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str) -> str | None:
    days = may_remember(sign_in)
    return await device.remember(ctx, db, sign_in.tenant_id, person_id, days) if days else None
