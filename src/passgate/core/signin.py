"""Running a sign-in: start, challenge, prove, finish. `finish` is the only function that opens a session.

Not here: how a proof is counted (`proof`), checking factors (`factors`), requirements (`policy`), and how a handle is
carried (`web`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import (
    credentials,
    links,
    mail,
    pending,
    people,
    policy,
    proof,
    recovery,
    sessions,
    signup,
    tenants,
    throttle,
)
from passgate.core.action import action, within
from passgate.core.audit import deferred, record
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.core.factor import Answer, Compared, Enrolling, Factor, SetUp, names_of
from passgate.core.factors import device
from passgate.core.journey import RECOVERY, SIGN_IN, SIGN_UP, STEP_UP
from passgate.core.pending import SignIn
from passgate.core.policy import Decision, Enough, Need, Refuse, own_level
from passgate.core.proof import Attempt, Comparing, Marking, Outcome, Right
from passgate.core.rules import AAL1, LEVELS
from passgate.errors import (
    AlreadyProved,
    FactorNotOffered,
    HandleInvalid,
    Invalid,
    ProofMissing,
    SignupClosed,
    StepUpNeeded,
)
from passgate.store import Db
from passgate.store.unit import Deferred


@dataclass(frozen=True, slots=True)
class Started:
    """`handle` is returned only once. `decision` is what is required first; after a link possibly nothing more."""

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
    """Start a sign-in. Looks up no person: only a proof names one. `return_to`: where the page goes afterwards, which
    that page checks; `browser`: the cookie of a remembered browser."""
    at = people.address(email) if email is not None else None
    async with ctx.write() as db:
        tenant = await _open_tenant(ctx, db, tenant_name)
        data = {"email": at.text, "email_key": at.key} if at else {}
        if known := device.presented(ctx, browser):
            data["browser"] = known
        begun, handle = await pending.begin(ctx, db, tenant, SIGN_IN, data | _going(return_to))
        await record(ctx, db, Event.SIGNIN_STARTED, tenant_id=tenant.id, personal=begun.personal)
        return await _started(ctx, db, begun, handle)


async def start_signup(
    ctx: Ctx,
    email: str,
    secret: str | None,
    profile: dict[str, Any] | None,
    tenant_name: str | None,
    new_tenant: str | None,
    return_to: str | None = None,
) -> Started:
    """Start a sign-up. Creates no person: all data is in the pending sign-in until the mailed code is proved."""
    async with ctx.read() as db:
        tenant = await signup.target(ctx, db, tenant_name, new_tenant)
    data = await signup.prepared(ctx, tenant, email, secret, profile, new_tenant)
    async with ctx.write() as db:
        begun, handle = await pending.begin(ctx, db, tenant, SIGN_UP, data | _going(return_to))
        await signup.announce(ctx, db, begun)
        return await _started(ctx, db, begun, handle)


async def start_recovery(ctx: Ctx, email: str, tenant_name: str | None) -> Started:
    """Start choosing a new password. Known address or not, a mail is sent and the response is the same."""
    at = people.address(email)
    async with ctx.write() as db:
        tenant = await _open_tenant(ctx, db, tenant_name)
        begun, handle = await pending.begin(ctx, db, tenant, RECOVERY, {"email": at.text, "email_key": at.key})
        await recovery.announce(ctx, db, begun)
        return await _started(ctx, db, begun, handle)


async def start_step_up(ctx: Ctx, actor: Actor, acr: str | None, return_to: str | None = None) -> Started:
    """Start a sign-in of the actor to the requested level, or to their own. Finishing it replaces the actor's session.
    A step-up always requires a new proof, whatever age was requested."""
    if acr is not None and acr not in LEVELS:
        raise Invalid({"step_up.acr": "value"})
    async with action(ctx, actor) as acting:
        db, found = acting.db, acting.person
        tenant = await tenants.by_id(ctx, db, actor.tenant_id)
        if tenant is None:
            raise HandleInvalid
        floor = acr or own_level(ctx.factors, await credentials.kinds(db, actor.tenant_id, actor.person_id))
        data = {"floor": floor, "email": found["email"], "email_key": found["email_key"]}
        begun, handle = await pending.begin(
            ctx, db, tenant, STEP_UP, data | _going(return_to), person_id=actor.person_id, session_id=actor.session_id
        )
        started = await _started(ctx, db, begun, handle)
        if isinstance(started.decision, Refuse):
            raise FactorNotOffered("None of your sign-in options is secure enough for this.")
        await record(ctx, db, Event.STEP_UP_STARTED, tenant_id=tenant.id, acr=floor)
        return started


async def start_by_link(ctx: Ctx, token: str, *, is_recovery: bool = False) -> Started:
    """Open a link made by an operator or an admin: it names its person and is one proof; all other requirements remain.
    `is_recovery`: to set up a new first factor. Raises HandleInvalid, or NotYet during the waiting period."""
    ticket = await links.find(ctx, token)
    journey = RECOVERY if is_recovery else SIGN_IN

    async def compare(_is_locked: bool) -> Compared:
        return links.compared(ctx, ticket)

    async def mark(db: Db, compared: Compared) -> Right[Started] | Outcome:
        makers = links.makers_of(ctx, ticket)
        found = await links.lock(db, ticket["tenant_id"], ticket["bound_to"], makers)
        tenant = await tenants.by_id(ctx, db, ticket["tenant_id"])
        if found is None or tenant is None or tenant.is_disabled or not await compared.mark(db):
            return Outcome.OVER
        data = {"email": found["email"], "email_key": found["email_key"], "makers": makers}
        begun, handle = await pending.begin(
            ctx, db, tenant, journey, data, person_id=found["id"], proofs=(compared.proof,)
        )
        await record(ctx, db, Event.LINK_PROVED, tenant_id=tenant.id, subject_id=found["id"], purpose=journey.name)
        return Right(await _started(ctx, db, begun, handle))

    return await proof.prove(ctx, Attempt(tenant_id=ticket["tenant_id"], compare=compare, mark=mark))


async def _open_tenant(ctx: Ctx, db: Db, name: str | None) -> tenants.Tenant:
    tenant = await tenants.find(ctx, db, name)
    if tenant is None or tenant.is_disabled:
        raise SignupClosed("Sign-in isn't available here.")
    return tenant


def _going(return_to: str | None) -> dict[str, str]:
    return {"return_to": return_to} if return_to else {}


async def _started(ctx: Ctx, db: Db, begun: SignIn, handle: str) -> Started:
    return Started(handle, decide(ctx, await _known(ctx, db, begun)), begun.expires_at)


# -- what is required now --------------------------------------------------------------------------


async def find(ctx: Ctx, handle: str) -> SignIn:
    """The pending sign-in of a handle, with its person's enrolled factors. Raises HandleInvalid."""
    found = await pending.find(ctx, handle)
    if found.person_id is None:
        return found
    async with ctx.read() as db:
        return await _known(ctx, db, found)


async def _known(ctx: Ctx, db: Db, sign_in: SignIn) -> SignIn:
    """Load the named person's enrolled factors and whether their browser is remembered; neither until a person is
    named."""
    if sign_in.person_id is None:
        return sign_in
    has = await credentials.kinds(db, sign_in.tenant_id, sign_in.person_id)
    browser = sign_in.data.get("browser")
    remembered = bool(browser) and await device.is_known(
        ctx, db, sign_in.tenant_id, sign_in.person_id, str(browser), sign_in.rules
    )
    return replace(sign_in, enrolled=has, is_remembered=remembered)


def decide(ctx: Ctx, sign_in: SignIn) -> Decision:
    floor = str(sign_in.data.get("floor") or AAL1)
    return policy.decide(
        ctx.factors,
        sign_in.rules,
        sign_in.journey,
        sign_in.proofs,
        sign_in.enrolled,
        floor,
        is_remembered=sign_in.is_remembered,
    )


def _offered(ctx: Ctx, sign_in: SignIn, name: str) -> tuple[Need, Factor]:
    decision, factor = decide(ctx, sign_in), ctx.factors.get(name)
    if name in names_of(sign_in.proofs):
        raise AlreadyProved
    if factor is None or not isinstance(decision, Need) or not decision.offers(name):
        raise FactorNotOffered
    return decision, factor


def _set_up_of(factor: Factor) -> SetUp:
    if factor.set_up is None:
        raise FactorNotOffered
    return factor.set_up


async def waits_until(ctx: Ctx, handle: str) -> int | None:
    """From when a recovery that proved two methods can go on without the lost factor; None if nothing is waiting."""
    return await recovery.usable_at(ctx, await pending.find(ctx, handle))


# -- challenge and prove ---------------------------------------------------------------------------


async def challenge(ctx: Ctx, handle: str, name: str) -> dict[str, Any]:
    """A factor's challenge, or the offer to set it up if policy requires that now."""
    sign_in = await find(ctx, handle)
    need, factor = _offered(ctx, sign_in, name)
    if need.enrol:
        return await _set_up_of(factor).offer(ctx, await _enrolling(ctx, sign_in))
    return await factor.challenge(ctx, sign_in)


async def prove(ctx: Ctx, handle: str, name: str, answer: Answer) -> Decision:
    """Check one factor's answer and return the new decision. A refusal counts; a server error refunds no attempt."""
    sign_in = await find(ctx, handle)
    need, factor = _offered(ctx, sign_in, name)
    checked_answer(factor, answer)
    make = _setting_up if need.enrol else _proving
    return await proof.prove(ctx, await make(ctx, sign_in, factor, answer))


def checked_answer(factor: Factor, answer: Answer) -> None:
    if isinstance(answer, dict) != (factor.answer == "object"):
        raise Invalid({"answer": "type"})


async def _proving(ctx: Ctx, sign_in: SignIn, factor: Factor, answer: Answer) -> Attempt[Decision]:
    authenticator, seen = await factor.budget(ctx, sign_in)

    async def compare(is_locked: bool) -> Compared:
        return await factor.compare(ctx, sign_in, answer, seen, is_locked=is_locked)

    async def mark(db: Db, compared: Compared) -> Right[Decision] | Outcome:
        return await _mark(ctx, db, sign_in, factor, compared)

    return _attempt(ctx, sign_in, factor, authenticator, compare, mark)


def _attempt(
    ctx: Ctx, sign_in: SignIn, factor: Factor, authenticator: str, compare: Comparing, mark: Marking[Decision]
) -> Attempt[Decision]:
    """How a sign-in's proof is debited and its refusals audited, the same for every factor."""

    def refused(person_id: str | None) -> tuple[Deferred, ...]:
        about = {"tenant_id": sign_in.tenant_id, "subject_id": person_id, "personal": sign_in.personal}
        return (deferred(ctx, factor.refused_event, **about),)

    async def late(db: Db) -> Outcome:
        return await _late(db, sign_in, factor, Outcome.WRONG)

    throttled = deferred(ctx, Event.SIGNIN_THROTTLED, tenant_id=sign_in.tenant_id, personal=sign_in.personal)
    return Attempt(
        tenant_id=sign_in.tenant_id,
        authenticator=authenticator,
        sign_in=sign_in,
        compare=compare,
        mark=mark,
        late=late,
        refused=refused,
        throttled=(throttled,),
    )


async def _lock(db: Db, sign_in: SignIn, person_id: str) -> RowMapping | None:
    """The live person, locked. Where a link began the sign-in its makers are locked too, and None means that they may
    not do this any more."""
    return await links.lock(db, sign_in.tenant_id, person_id, sign_in.data.get("makers", ()))


async def _late(db: Db, sign_in: SignIn, factor: Factor, otherwise: Outcome) -> Outcome:
    """LOST if a concurrent duplicate of this request has just proved the factor: that is neither wrong nor a replay."""
    proofs, is_dead = await pending.proofs_now(db, sign_in)
    return Outcome.LOST if factor.name in names_of(proofs) and not is_dead else otherwise


async def _mark(ctx: Ctx, db: Db, sign_in: SignIn, factor: Factor, compared: Compared) -> Right[Decision] | Outcome:
    """Make all changes of a correct answer. It must name a person, the one named so far if any, or else create one."""
    proof_name, named = compared.proof or factor.name, compared.person_id
    if sign_in.person_id not in (None, named) or (named is None and not sign_in.journey.makes_person):
        return Outcome.WRONG
    if named and not await _lock(db, sign_in, named):
        return Outcome.WRONG
    if not await pending.add_proof(ctx, db, sign_in, proof_name, named):
        return await _late(db, sign_in, factor, Outcome.OVER)
    if not await compared.mark(db):
        return Outcome.WRONG
    proved = replace(sign_in, proofs=(*sign_in.proofs, proof_name), person_id=named)
    if sign_in.journey.makes_person and proved.person_id is None:
        made = await signup.create(ctx, db, proved)
        if made is None:
            return Outcome.WRONG
        proved = made
        await pending.name(db, proved)
    proved = await _known(ctx, db, proved)
    if await recovery.drop_lost_factors(ctx, db, proved):
        proved = await _known(ctx, db, proved)
    await record(
        ctx, db, factor.proved_event, tenant_id=proved.tenant_id, subject_id=proved.person_id, personal=sign_in.personal
    )
    return Right(decide(ctx, proved))


# -- enrolment that policy requires now ------------------------------------------------------------


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


async def offered(ctx: Ctx, handle: str, name: str) -> dict[str, Any] | None:
    """The latest enrolment offer, while it can be answered; FactorNotOffered if policy does not require it now."""
    sign_in = await find(ctx, handle)
    need, factor = _offered(ctx, sign_in, name)
    if not need.enrol:
        raise FactorNotOffered
    return await _set_up_of(factor).offered(ctx, await _enrolling(ctx, sign_in))


async def _setting_up(ctx: Ctx, sign_in: SignIn, factor: Factor, answer: Answer) -> Attempt[Decision]:
    """Enrolment inside a sign-in: the first factor of a sign-up, the new one of a recovery, a required second factor.
    Decided again with the person locked: only one of two pending sign-ins can set up a kind the person has none of."""
    who, set_up = await _enrolling(ctx, sign_in), _set_up_of(factor)

    async def compare(_is_locked: bool) -> Compared:
        return await set_up.accept(ctx, who, answer)

    async def mark(db: Db, compared: Compared) -> Right[Decision] | Outcome:
        if not await _lock(db, sign_in, who.person_id):
            return Outcome.OVER
        now = decide(ctx, await _known(ctx, db, sign_in))
        if not isinstance(now, Need) or not now.enrol or not now.offers(factor.name):
            raise FactorNotOffered
        proof_name = compared.proof or factor.name
        if not await pending.add_proof(ctx, db, sign_in, proof_name, who.person_id):
            return await _late(db, sign_in, factor, Outcome.OVER)
        if not await compared.mark(db):
            return Outcome.WRONG
        if sign_in.journey.is_recovery:
            await recovery.complete(ctx, db, sign_in, set_up.replaced)
        return Right(decide(ctx, await _known(ctx, db, replace(sign_in, proofs=(*sign_in.proofs, proof_name)))))

    attempt = _attempt(ctx, sign_in, factor, f"h:{sign_in.id}", compare, mark)
    return replace(attempt, renewed=throttle.person_key(who.person_id, factor.name))


# -- finish ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finished:
    """`browser` is the cookie of a browser remembered from now on, returned only once."""

    opened: sessions.Opened
    browser: str | None


async def finish(ctx: Ctx, handle: str, *, remember: bool = False) -> Finished:
    """Open the session of a sign-in that has proved enough, or raise HandleInvalid, ProofMissing or StepUpNeeded.
    `remember`: this browser may skip the second factor for some days, if the tenant's rules allow that."""
    before = await pending.find(ctx, handle)
    async with ctx.write() as db:
        # Before anybody is named there is nobody to lock, and nothing to finish.
        is_live = before.person_id and await _lock(db, before, before.person_id)
        sign_in = await _known(ctx, db, await pending.take(ctx, db, before))
        enough = decide(ctx, sign_in)
        if isinstance(enough, Need):
            raise ProofMissing(enough.listed())
        if isinstance(enough, Refuse):
            raise StepUpNeeded(str(sign_in.data.get("floor") or sign_in.rules.least_acr), 0)
        if sign_in.person_id is None or not is_live:
            raise HandleInvalid
        opened = await _open(ctx, db, sign_in, sign_in.person_id, enough)
        await record(
            ctx,
            db,
            sign_in.journey.completed,
            tenant_id=sign_in.tenant_id,
            subject_id=sign_in.person_id,
            acr=enough.acr,
            amr=list(enough.amr),
            session_id=opened.session["id"],
            reasons=[enough.reason],
        )
        return Finished(opened, await _remember(ctx, db, sign_in, sign_in.person_id) if remember else None)


async def _open(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, enough: Enough) -> sessions.Opened:
    if sign_in.journey.is_step_up and sign_in.session_id:
        replaced = Actor(sign_in.tenant_id, person_id, sign_in.session_id, "", (), 0)
        async with within(ctx, db, replaced):
            await sessions.end(ctx, db, replaced, sign_in.session_id, "stepped_up")
    opened = await sessions.open_session(
        ctx, db, tenant_id=sign_in.tenant_id, person_id=person_id, amr=enough.amr, acr=enough.acr, auth_time=ctx.now()
    )
    if names_of(sign_in.proofs) & set(ctx.factors.possession):
        await recovery.cancel_drop(ctx, db, sign_in.tenant_id, person_id)
    if sign_in.is_remembered:
        await device.used(ctx, db, str(sign_in.data["browser"]))
    if opened.is_new_device and sign_in.journey is SIGN_IN:
        found = await people.by_id(db, sign_in.tenant_id, person_id)
        if found is not None:
            await mail.enqueue(ctx, db, sign_in.tenant_id, "new_device", found["email"], service=sign_in.service)
    return opened


def may_remember(sign_in: SignIn) -> int:
    """For how many days this browser can be remembered after this sign-in; 0: not at all."""
    is_plain = sign_in.journey is SIGN_IN and sign_in.rules.least_acr == AAL1
    two = is_plain and policy.shows_two(sign_in.rules, sign_in.proofs)
    return sign_in.rules.remember_days if two else 0


async def _remember(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str) -> str | None:
    days = may_remember(sign_in)
    return await device.remember(ctx, db, sign_in.tenant_id, person_id, days) if days else None
