"""Running a sign-in: challenge, prove, finish. `finish` is the only function that opens a session.

Not here: how one starts (`starts`), how a proof is counted (`proof`), checking factors (`factors`), requirements
(`policy`), and how a handle is carried (`web`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import (
    address_proof,
    budgets,
    carriers,
    credentials,
    invitation_link,
    keys,
    links,
    mail,
    once,
    pending,
    people,
    policy,
    proof,
    recovery,
    sessions,
    signup,
    tenants,
    tokens,
    undo,
)
from passgate.core import known as browsers
from passgate.core.audit import deferred, record
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx, Person, Stranger
from passgate.core.events import Event
from passgate.core.factor import (
    MAILED,
    NEW,
    REMEMBERED,
    Answer,
    Compared,
    Enrolling,
    Factor,
    SetUp,
    names_of,
    no_challenge,
    proved_of,
)
from passgate.core.factors import device, email_code
from passgate.core.journey import SIGN_IN
from passgate.core.pending import ByChallenge, SignIn
from passgate.core.policy import Decision, Enough, Need, Refuse
from passgate.core.proof import Attempt, Comparing, Marking, Outcome, Right
from passgate.core.rules import AAL1
from passgate.errors import (
    AlreadyProved,
    CredentialInvalid,
    FactorNotOffered,
    HandleInvalid,
    Invalid,
    NoChallenge,
    ProofMissing,
    SessionEnded,
    StepUpNeeded,
)
from passgate.hashing import Queue
from passgate.store import Db
from passgate.store.unit import Deferred

# -- what is required now --------------------------------------------------------------------------


async def find(ctx: Ctx, handle: str | ByChallenge) -> SignIn:
    """The pending sign-in of a handle, with its person's enrolled factors. Raises HandleInvalid."""
    found = await pending.find(ctx, handle)
    if found.person_id is None:
        return found
    async with ctx.read() as db:
        return await known(ctx, db, found)


async def known(ctx: Ctx, db: Db, sign_in: SignIn) -> SignIn:
    """Load the named person's enrolled factors and whether their browser is remembered; neither until a person is
    named."""
    if sign_in.person_id is None:
        return sign_in
    if sign_in.journey.is_undo:
        return await undo.known(ctx, db, sign_in)
    key, browser = (sign_in.tenant_id, sign_in.person_id), sign_in.data.get("browser")
    has = await credentials.kinds(db, *key)
    rules = await address_proof.rules_of(ctx, db, sign_in.rules, *key, has)
    remembered = bool(browser) and await device.is_known(ctx, db, *key, str(browser), rules)
    gone = (names_of(sign_in.proofs) & {*sign_in.rules.first}) - has - ctx.factors.given
    return replace(sign_in, rules=rules, enrolled=has, is_remembered=remembered, gone=gone)


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
        wants_address=bool(sign_in.data.get("address")),
        demanded=sign_in.demanded,
        proves_later=signup.is_later(sign_in),
        gone=sign_in.gone,
    )


def _offered(ctx: Ctx, sign_in: SignIn, name: str) -> tuple[Need, Factor]:
    decision, factor = decide(ctx, sign_in), ctx.factors.get(name)
    is_set_up = isinstance(decision, Need) and decision.enrol and decision.offers(name)
    if name in names_of(sign_in.proofs) and not is_set_up:
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
    if not need.enrol and factor.challenge is no_challenge:
        raise NoChallenge
    await _debit_challenge(ctx, sign_in)
    if need.enrol:
        return await _set_up_of(factor).offer(ctx, await _enrolling(ctx, sign_in))
    return await factor.challenge(ctx, sign_in)


async def _debit_challenge(ctx: Ctx, sign_in: SignIn) -> None:
    """A challenge writes and may mail, so it costs as much as a start. Throttled."""
    if sign_in.journey.is_step_up:
        return
    async with ctx.write() as db:
        mine = {"person_id": sign_in.person_id, "identifier_key": sign_in.identifier_key or None}
        await budgets.start(ctx, db, await budgets.who(ctx, db, sign_in.tenant_id, is_step_up=False, **mine))


@dataclass(frozen=True, slots=True)
class Proved:
    """What is required next, and the handle to go on with."""

    decision: Decision
    handle: str = field(repr=False)


async def prove(ctx: Ctx, handle: str | ByChallenge, name: str, answer: Answer) -> Decision:
    """Check one factor's answer and return the new decision. A refusal counts; a server error refunds no attempt."""
    return await proof.prove(ctx, await _answering(ctx, await find(ctx, handle), name, answer))


async def prove_in_browser(ctx: Ctx, handle: str, name: str, answer: Answer) -> Proved:
    """The same where the handle is in a cookie, which a neighbour may have planted: the proof replaces the handle in
    one transaction, so that whoever knows the old one can never finish with it."""
    sign_in = await find(ctx, handle)
    attempt = await _answering(ctx, sign_in, name, answer)

    async def mark(db: Db, compared: Compared) -> Right[Proved] | Outcome:
        marked = await attempt.mark(db, compared)
        if not isinstance(marked, Right):
            return marked
        return Right(Proved(marked.value, await pending.new_handle(ctx, db, sign_in)))

    return await proof.prove(ctx, proof.marked_by(attempt, mark))


async def _answering(ctx: Ctx, sign_in: SignIn, name: str, answer: Answer) -> Attempt[Decision]:
    need, factor = _offered(ctx, sign_in, name)
    checked_answer(factor, answer)
    make = _setting_up if need.enrol else _proving
    return await make(ctx, sign_in, factor, answer)


def checked_answer(factor: Factor, answer: Answer) -> None:
    if isinstance(answer, dict) != (factor.answer == "object"):
        raise Invalid({"answer": "type"})


async def _proving(ctx: Ctx, sign_in: SignIn, factor: Factor, answer: Answer) -> Attempt[Decision]:
    target, seen = await factor.budget(ctx, sign_in)

    async def compare(ctx: Ctx, is_closed: bool) -> Compared:
        return await factor.compare(ctx, sign_in, answer, seen, is_locked=is_closed)

    async def mark(db: Db, compared: Compared) -> Right[Decision] | Outcome:
        return await _mark(ctx, db, sign_in, factor, compared)

    return _attempt(ctx, sign_in, factor, target, compare, mark)


def _attempt(
    ctx: Ctx, sign_in: SignIn, factor: Factor, target: Target, compare: Comparing, mark: Marking[Decision]
) -> Attempt[Decision]:
    """How a sign-in's proof is debited and its refusals audited, the same for every factor."""

    def refused(compared: Compared) -> tuple[Deferred, ...]:
        about: dict[str, Any] = {"tenant_id": sign_in.tenant_id, "subject_id": compared.person_id}
        facts = {"purpose": sign_in.journey.name, **compared.facts}
        return (deferred(ctx, factor.refused_event, **about, personal=sign_in.personal, **facts),)

    async def late(db: Db) -> Outcome:
        return await _late(db, sign_in, factor, Outcome.WRONG)

    return Attempt(
        tenant_id=sign_in.tenant_id,
        target=target,
        sign_in=sign_in,
        compare=compare,
        mark=mark,
        late=late,
        refused=refused,
        heavy=sign_in.journey.is_undo,
    )


async def _lock(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, *others: people.Key) -> RowMapping | None:
    """The live person, locked, and other people with them. Where a link began the sign-in its makers are locked too,
    and None means that they may not do this any more. An undo locks the owner of a closed account as well."""
    others = (*others, *invitation_link.keys_of(sign_in.data, sign_in.tenant_id))
    if sign_in.journey.is_undo:
        return await undo.lock(db, sign_in.tenant_id, person_id, others, at=sign_in.email_key)
    found = await links.lock(ctx, db, sign_in.tenant_id, person_id, sign_in.data.get("makers", ()), others)
    if "invitation" in sign_in.data:
        await tenants.share_row(db, sign_in.tenant_id)
    return found


async def _late(db: Db, sign_in: SignIn, factor: Factor, otherwise: Outcome) -> Outcome:
    """LOST if a concurrent duplicate of this request has just proved the factor: that is neither wrong nor a replay."""
    proofs, is_dead = await pending.proofs_now(db, sign_in)
    return Outcome.LOST if factor.name in names_of(proofs) and not is_dead else otherwise


async def _mark(ctx: Ctx, db: Db, sign_in: SignIn, factor: Factor, compared: Compared) -> Right[Decision] | Outcome:
    """Make all changes of a correct answer. It must name a person, the one named so far if any, or else create one."""
    proof_name, named = compared.proof or factor.name, compared.person_id
    if sign_in.person_id not in (None, named) or (named is None and not sign_in.journey.makes_person):
        return Outcome.WRONG
    proved = replace(sign_in, proofs=(*sign_in.proofs, proof_name), person_id=named)
    found = await _lock(ctx, db, sign_in, named) if named else None
    if named and found is None:
        return Outcome.WRONG
    if taken := await signup.keys_of_taken(db, proved):
        await people.lock_all(db, taken, or_closed=True)
    if not await pending.add_proof(ctx, db, sign_in, proof_name, named):
        return await _late(db, sign_in, factor, Outcome.OVER)
    if not (used := await compared.mark(db)):
        return Outcome.WRONG
    if found is not None:
        proved = await address_proof.proved(ctx, db, proved, factor.name, found, used)
    if sign_in.journey.makes_person and proved.person_id is None:
        made = await signup.create(ctx, db, proved, taken)
        if made is None:
            return Outcome.WRONG
        proved = made
        await pending.name(ctx, db, sign_in, proved)
    proved = await known(ctx, db, proved)
    advance = undo.advance if proved.journey.is_undo else recovery.drop_lost_factors
    if await advance(ctx, db, proved) or await address_proof.by_link(ctx, db, proved, decide(ctx, proved)):
        proved = await known(ctx, db, proved)
    await record(
        ctx, db, factor.proved_event, tenant_id=proved.tenant_id, subject_id=proved.person_id, personal=sign_in.personal
    )
    return Right(decide(ctx, proved))


# -- enrolment that policy requires now ------------------------------------------------------------


async def _enrolling(ctx: Ctx, sign_in: SignIn) -> Enrolling:
    if sign_in.person_id is None and not signup.begins_unnamed(sign_in):
        raise FactorNotOffered
    if sign_in.person_id is None:
        person_id, email = await signup.new_id(ctx, sign_in), sign_in.email
    else:
        async with ctx.read() as db:
            found = await people.by_id(db, sign_in.tenant_id, sign_in.person_id)
        if found is None or not people.is_live(found):
            raise HandleInvalid
        person_id, email = found["id"], found["email"]
    return Enrolling(
        sign_in.tenant_id,
        sign_in.tenant_name,
        person_id,
        email,
        sign_in.service,
        sign_in.rules,
        sign_in.id,
        proved_of(sign_in.proofs),
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
    Decided again with the person locked: of two, one sets up a kind. It is their own, also if a script hands it on."""
    who, set_up = await _enrolling(ctx, sign_in), _set_up_of(factor)

    async def compare(ctx: Ctx, _is_closed: bool) -> Compared:
        return await set_up.accept(replace(ctx.queued(Queue.OWNERS), principal=Stranger()), who, answer)

    async def mark(db: Db, compared: Compared) -> Right[Decision] | Outcome:
        named = await _named(ctx, db, sign_in)
        if named is None or named.person_id != who.person_id:
            return await _late(db, sign_in, factor, Outcome.OVER)
        now = decide(ctx, await known(ctx, db, named))
        if not isinstance(now, Need) or not now.enrol or not now.offers(factor.name):
            raise FactorNotOffered
        proof_name = (compared.proof or factor.name) + NEW
        if not await pending.add_proof(ctx, db, sign_in, proof_name, who.person_id):
            return await _late(db, sign_in, factor, Outcome.OVER)
        if not (made := await compared.mark(db)):
            return Outcome.WRONG
        if found := await people.by_id(db, named.tenant_id, who.person_id):
            await address_proof.proved(ctx, db, named, factor.name, found, made)
        if now.reason == policy.NEW_FIRST.name:
            await recovery.complete(ctx, db, sign_in, set_up.replaced)
        if sign_in.person_id is None:
            await signup.notify(ctx, db, sign_in)
        return Right(decide(ctx, await known(ctx, db, replace(named, proofs=(*sign_in.proofs, proof_name)))))

    attempt = _attempt(ctx, sign_in, factor, Target(Guess.NOT, sign_in.tenant_id), compare, mark)
    return replace(attempt, renewed=(who.person_id, factor.name))


async def _named(ctx: Ctx, db: Db, sign_in: SignIn, *others: people.Key) -> SignIn | None:
    """The same with its person locked, whom it creates if somebody invited, or who proves the address later, has none
    yet; None if that can't be."""
    if sign_in.person_id is not None:
        return sign_in if await _lock(ctx, db, sign_in, sign_in.person_id, *others) else None
    if not signup.begins_unnamed(sign_in):
        return None
    makers, taken = invitation_link.keys_of(sign_in.data, sign_in.tenant_id), await signup.keys_of_taken(db, sign_in)
    await people.lock_all(db, {*makers, *others, *taken}, or_closed=True)
    await tenants.share_row(db, sign_in.tenant_id)
    return await signup.create(ctx, db, sign_in, taken)


# -- finish ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finished:
    """Cookies for this browser, returned only once: `browser` if it may skip the second factor from now on, `known`
    for the budgets."""

    opened: sessions.Opened
    browser: str | None
    known: str | None
    pair: tokens.Pair | None = None


async def finish(ctx: Ctx, handle: str | ByChallenge, *, carrier: sessions.Kind, remember: bool = False) -> Finished:
    """Open the session of a sign-in that has proved enough, or raise HandleInvalid, ProofMissing or StepUpNeeded. With
    a cookie a browser gets it, and is known from now on. A session that this browser carries already lives on if it is
    the same person's, and is replaced if it is another's. `remember`: the browser may skip the second factor for some
    days, if the tenant's rules allow that."""
    by_cookie = carrier == "cookie"
    key = await keys.signer(ctx.services) if carrier == "jwt" else None
    before = await pending.find(ctx, handle)
    present = await _present(ctx) if by_cookie else None
    others = (present.key,) if present else ()
    async with ctx.write() as db:
        is_live = await _is_ready(ctx, db, before, *others)
        sign_in = await known(ctx, db, await pending.take(ctx, db, before))
        enough = decide(ctx, sign_in)
        if isinstance(enough, Need):
            raise ProofMissing(enough.listed())
        if isinstance(enough, Refuse):
            raise StepUpNeeded(str(sign_in.data.get("floor") or sign_in.rules.least_acr), 0)
        if sign_in.person_id is None or not is_live:
            raise HandleInvalid
        await invitation_link.accept_by(ctx, db, sign_in)
        await address_proof.by_link(ctx, db, sign_in, enough, is_last=True)
        opened = await _open(ctx, db, sign_in, sign_in.person_id, _proved(ctx, sign_in, enough, carrier), present)
        await budgets.finished(db, tuple(sign_in.data.get("rows", ())))
        if before.person_id is None:
            await signup.notify(ctx, db, before)
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
        remembered = await _remember(ctx, db, sign_in, sign_in.person_id) if remember else None
        cookie = await browsers.renewed(ctx, db, sign_in.tenant_id, sign_in.person_id) if by_cookie else None
        pair = await tokens.first(ctx, db, key, sign_in.tenant_id, opened) if key else None
        return Finished(opened, remembered, cookie, pair)


async def _is_ready(ctx: Ctx, db: Db, before: SignIn, *others: people.Key) -> bool:
    """Whether there is a live person, whom this locks. Before anybody is named there is nobody to lock, and nothing to
    finish; but somebody invited who needs nothing more is created here."""
    if before.person_id is None and not isinstance(decide(ctx, before), Enough):
        return False
    named = await _named(ctx, db, before, *others)
    if named is not None and before.person_id is None:
        await pending.name(ctx, db, before, named)
    return named is not None


async def _present(ctx: Ctx) -> Person | None:
    """Whose live session the browser of this request carries."""
    try:
        return (await carriers.acting(ctx, ctx.origin.session, by_cookie=True, at_any_level=True)).person
    except (CredentialInvalid, SessionEnded):
        return None


async def _open(
    ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, proved: sessions.Proved, present: Person | None
) -> sessions.Opened:
    opened = await _session(ctx, db, sign_in, person_id, proved, present)
    if sign_in.journey.is_recovery or email_code.name in names_of(sign_in.proofs):
        await once.end_mailed(ctx, db, sign_in.tenant_id, person_id)
    if proved_of(sign_in.proofs) & await credentials.settled(ctx, db, sign_in.tenant_id, person_id):
        await recovery.cancel_drop(ctx, db, sign_in.tenant_id, person_id)
    if sign_in.is_remembered:
        await device.used(ctx, db, sign_in.tenant_id, str(sign_in.data["browser"]))
    if opened.is_new_device and sign_in.journey is SIGN_IN:
        found = await people.by_id(db, sign_in.tenant_id, person_id)
        if found is not None:
            await mail.enqueue(ctx, db, sign_in.tenant_id, "new_device", found["email"], service=sign_in.service)
    return opened


async def _session(
    ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, proved: sessions.Proved, present: Person | None
) -> sessions.Opened:
    """A new session; or the same one under a new secret after a step-up, which signing in again in its browser is too.
    Raises SessionEnded if the session of a step-up has ended meanwhile."""
    goes_on = sign_in.carrier_id if sign_in.journey.is_step_up else None
    is_here = present and await sessions.live_carrier(ctx, db, present.tenant_id, present.carrier_id)
    if goes_on is None and present is not None and is_here:
        if present.person_id == person_id:
            goes_on = present.carrier_id
        else:
            await sessions.end(ctx.acting(present), db, present.session_id, "replaced")
            about: dict[str, Any] = {"tenant_id": present.tenant_id, "subject_id": present.person_id}
            await record(ctx, db, Event.SESSION_ENDED, **about, session_id=present.session_id, reason="replaced")
    if goes_on is not None:
        await pending.end_step_ups(ctx, db, sign_in, goes_on)
        return await sessions.renew(ctx, db, sign_in.tenant_id, goes_on, proved)
    return await sessions.open_session(ctx, db, sign_in.tenant_id, person_id, proved)


def _proved(ctx: Ctx, sign_in: SignIn, enough: Enough, carrier: sessions.Kind) -> sessions.Proved:
    proofs = dict(sign_in.proved_at)
    if enough.reason == policy.BY_BROWSER.name:
        proofs[REMEMBERED] = ctx.now()
    return sessions.Proved(carrier, proofs, enough.amr, enough.acr)


def may_remember(sign_in: SignIn) -> int:
    """For how many days this browser can be remembered after this sign-in; 0: not at all. No mailed code does."""
    unmailed = tuple(one for one in sign_in.proofs if not one.endswith(MAILED))
    is_plain = sign_in.journey is SIGN_IN and sign_in.rules.least_acr == AAL1
    return sign_in.rules.remember_days if is_plain and policy.shows_two(sign_in.rules, unmailed) else 0


async def _remember(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str) -> str | None:
    days = may_remember(sign_in)
    return await device.remember(ctx, db, sign_in.tenant_id, person_id, days) if days else None
