"""A sign-in is a value: start, challenge, prove, finish. `finish` is the only place where a session is born.

Factors are checked in `factors`, demands decided in `policy`; how a handle is carried lives in `web`.

A proof is three steps. *Spend*: every budget is debited and committed before anything is compared, so that parallel
guesses cannot all pass. *Compare*: no transaction is open. *Mark*: one transaction that moves only what is still as it
was compared, notes the audit row, and gives the budgets back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import BigInteger, RowMapping, bindparam, select, update

from passgate.core import mail, people, policy, recovery, sessions, signup, tenants, throttle
from passgate.core.audit import Event, canonical, kept, note
from passgate.core.ctx import Actor, Ctx
from passgate.core.factors import Compared, Factor, SignIn, email_code, password
from passgate.core.policy import AAL1, LEVELS, Enough, Need, Refuse
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
from passgate.store.tables import sign_in as table
from passgate.store.tables import tenant as tenant_table
from passgate.store.unit import Keep
from passgate.world import SECOND

PREFIX = "pg_sin_"
ATTEMPTS = 10
"""Refusals after which a handle is dead."""

FACTORS: MappingProxyType[str, Factor] = MappingProxyType({"password": password, "email_code": email_code})

_EVENTS = {
    ("password", True): Event.PASSWORD_PROVED,
    ("password", False): Event.PASSWORD_REFUSED,
    ("email_code", True): Event.EMAIL_CODE_PROVED,
    ("email_code", False): Event.EMAIL_CODE_REFUSED,
}
_COMPLETED = {
    "signup": Event.SIGNUP_COMPLETED,
    "signin": Event.SIGNIN_COMPLETED,
    "recovery": Event.RECOVERY_COMPLETED,
    "step_up": Event.STEP_UP_COMPLETED,
}


@dataclass(frozen=True, slots=True)
class Started:
    """`handle` is shown once."""

    handle: str
    need: Need
    expires_at: int


# -- start -----------------------------------------------------------------------------------------


async def start(ctx: Ctx, email: str | None, tenant_name: str | None, return_to: str | None = None) -> Started:
    """Begin to sign in. No person is looked up: who is meant shows only in what is proved. `return_to`: where a page
    goes afterwards, checked by that page."""
    at = people.address(email) if email is not None else None
    async with ctx.write() as db:
        tenant = await tenants.find(db, tenant_name)
        if tenant is None or tenant.is_disabled:
            raise SignupClosed("Nobody can sign in here.")
        data = {"email": at.shown, "email_key": at.key} if at else {}
        begun, handle = await begin(ctx, db, tenant, "signin", data | _going(return_to))
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
        begun, handle = await begin(ctx, db, tenant, "signup", data | _going(return_to))
        await signup.announce(ctx, db, begun)
        return _started(begun, handle)


async def start_recovery(ctx: Ctx, email: str, tenant_name: str | None) -> Started:
    """Begin to choose a new password. Known or not, a mail goes out, and the answer is the same."""
    at = people.address(email)
    async with ctx.write() as db:
        tenant = await tenants.find(db, tenant_name)
        if tenant is None or tenant.is_disabled:
            raise SignupClosed("Nobody can sign in here.")
        begun, handle = await begin(ctx, db, tenant, "recovery", {"email": at.shown, "email_key": at.key})
        await recovery.announce(ctx, db, begun)
        return _started(begun, handle)


async def start_step_up(ctx: Ctx, actor: Actor, acr: str | None, return_to: str | None = None) -> Started:
    """A sign-in with the person already named. Its end replaces the actor's session. Whatever age was asked for:
    a step-up always takes a proof given now."""
    floor = acr or AAL1
    if floor not in LEVELS:
        raise Invalid({"step_up.acr": "value"})
    async with ctx.write() as db:
        found = await sessions.hold(ctx, db, actor)
        tenant = await tenants.by_id(db, actor.tenant_id)
        if tenant is None:
            raise HandleInvalid
        if isinstance(policy.decide(tenant.rules, "step_up", tuple(policy.KINDS), floor=floor), Refuse):
            raise FactorNotOffered("Nothing that is offered here reaches that level.")
        data = {"floor": floor, "email": found["email"], "email_key": found["email_key"]}
        begun, handle = await begin(
            ctx, db, tenant, "step_up", data | _going(return_to), person_id=actor.person_id, session_id=actor.session_id
        )
        await note(ctx, db, Event.STEP_UP_STARTED, tenant_id=tenant.id, acr=floor)
        return _started(begun, handle)


async def begin(
    ctx: Ctx, db: Db, tenant: tenants.Tenant, purpose: str, data: dict[str, Any], *,
    person_id: str | None = None, session_id: str | None = None,
) -> tuple[SignIn, str]:  # fmt: skip
    minted = ctx.ring.mint(PREFIX)
    now = ctx.now()
    row: dict[str, Any] = {
        "id": ctx.world.uuid(), "tenant_id": tenant.id, "purpose": purpose, "handle_hash": minted.hash,
        "person_id": person_id, "session_id": session_id, "proofs": "[]",
        "created_at": now, "expires_at": now + ctx.settings.signin.life * SECOND,
    }  # fmt: skip
    sealed = ctx.ring.seal("sign_in", f"sign_in:{row['id']}", canonical(data))
    await db.add(table, **row, data_sealed=sealed)
    return _value(row, data, tenant.name, tenant.display_name, tenant.rules), minted.token


def _going(return_to: str | None) -> dict[str, str]:
    return {"return_to": return_to} if return_to else {}


def _started(sign_in: SignIn, handle: str) -> Started:
    decision = decide(sign_in)
    if not isinstance(decision, Need):
        raise FactorNotOffered
    return Started(handle, decision, sign_in.expires_at)


# -- find ------------------------------------------------------------------------------------------


_BY_HANDLE = (
    select(table, tenant_table.c.name, tenant_table.c.display_name, tenant_table.c.policy, tenant_table.c.disabled_at)
    .join(tenant_table, tenant_table.c.id == table.c.tenant_id)
    .where(table.c.handle_hash == bindparam("of_handle"))
)


async def find(ctx: Ctx, handle: str) -> SignIn:
    """The running sign-in behind a handle, or HandleInvalid: unknown, finished, too old, dead."""
    handle_hash = ctx.ring.presented(PREFIX, handle)
    if handle_hash is None:
        raise HandleInvalid
    async with ctx.read() as db:
        return await _load(ctx, db, handle_hash)


async def _load(ctx: Ctx, db: Db, handle_hash: bytes) -> SignIn:
    row = await db.one(_BY_HANDLE, of_handle=handle_hash)
    if row is None or row["finished_at"] is not None or row["disabled_at"] is not None:
        raise HandleInvalid
    if row["expires_at"] <= ctx.now() or row["refused"] >= ATTEMPTS:
        raise HandleInvalid
    data = json.loads(ctx.ring.unseal("sign_in", f"sign_in:{row['id']}", row["data_sealed"]))
    rules = policy.Rules.from_json(json.loads(row["policy"]))
    return _value(row, data, row["name"], row["display_name"], rules)


def _value(
    row: RowMapping | dict[str, Any], data: dict[str, Any], name: str, service: str, rules: policy.Rules
) -> SignIn:
    return SignIn(
        id=row["id"], tenant_id=row["tenant_id"], tenant_name=name, service=service, rules=rules,
        purpose=row["purpose"], person_id=row["person_id"], session_id=row["session_id"],
        proofs=tuple(json.loads(row["proofs"])), proofs_text=row["proofs"],
        created_at=row["created_at"], expires_at=row["expires_at"], data=data,
    )  # fmt: skip


def decide(sign_in: SignIn) -> policy.Decision:
    return policy.decide(sign_in.rules, sign_in.purpose, sign_in.proofs, floor=str(sign_in.data.get("floor") or AAL1))


def _named(sign_in: SignIn) -> dict[str, str]:
    return {"email": sign_in.email} if sign_in.email else {}


# -- challenge and prove ---------------------------------------------------------------------------


def _offered(sign_in: SignIn, factor: str) -> Need:
    decision = decide(sign_in)
    if factor in sign_in.proofs:
        raise AlreadyProved
    if factor not in FACTORS or not isinstance(decision, Need) or not decision.offers(factor):
        raise FactorNotOffered
    return decision


async def challenge(ctx: Ctx, handle: str, factor: str) -> dict[str, Any]:
    sign_in = await find(ctx, handle)
    _offered(sign_in, factor)
    return await FACTORS[factor].challenge(ctx, sign_in)


async def prove(ctx: Ctx, handle: str, factor: str, answer: str) -> policy.Decision:
    """Answer one factor; what is still needed, or Enough. A refusal counts, a fault gives the try back to nobody."""
    sign_in = await find(ctx, handle)
    need = _offered(sign_in, factor)
    if need.enrol:
        return await _set_up(ctx, sign_in, factor, answer)
    authenticator, seen = await FACTORS[factor].budget(ctx, sign_in)
    spent = await _spend(ctx, sign_in, authenticator)
    compared = await FACTORS[factor].compare(ctx, sign_in, answer, seen, is_locked=spent.is_locked)
    if not compared.is_right:
        await _refuse(ctx, sign_in, factor, compared)
    return await _mark(ctx, sign_in, factor, compared, spent)


_THIS = table.c.id == bindparam("of_sign_in")
_RUNNING = (_THIS, table.c.finished_at.is_(None), table.c.refused < ATTEMPTS)
_IN_TIME = table.c.expires_at > bindparam("now", type_=BigInteger)
_SPEND = update(table).where(*_RUNNING, table.c.spent < ATTEMPTS).values(spent=table.c.spent + 1)
_GIVE_BACK = update(table).where(_THIS).values(spent=table.c.spent - 1)
_REFUSED = update(table).where(_THIS).values(refused=table.c.refused + 1)
_ADD_PROOF = (
    update(table)
    .where(*_RUNNING, _IN_TIME, table.c.proofs == bindparam("proofs_before"))
    .values(proofs=bindparam("proofs_after"), person_id=bindparam("of_person"), spent=table.c.spent - 1)
)
_FINISH = update(table).where(*_RUNNING, _IN_TIME).values(finished_at=bindparam("now", type_=BigInteger))
_THIS_ONE = select(table).where(_THIS)


async def _spend(ctx: Ctx, sign_in: SignIn, authenticator: str) -> throttle.Spent:
    throttled = kept(ctx, Event.SIGNIN_THROTTLED, tenant_id=sign_in.tenant_id, personal=_named(sign_in))
    async with ctx.write() as db:
        if not await db.change(_SPEND, of_sign_in=sign_in.id):
            refused = await db.value(select(table.c.refused).where(table.c.id == sign_in.id))
            if refused is None or refused >= ATTEMPTS:
                raise HandleInvalid
            # The tries in flight fill the budget; they may yet turn out right, so this one only waits.
            raise Throttled(1, keep=(throttled,))
        try:
            return await throttle.spend(ctx, db, sign_in.tenant_id, authenticator)
        except Throttled as late:
            raise Throttled(late.retry_after, keep=(throttled,)) from None


def _refusal_facts(ctx: Ctx, sign_in: SignIn, factor: str, person_id: str | None) -> tuple[Keep, Keep]:
    async def count(db: Db) -> None:
        await db.change(_REFUSED, of_sign_in=sign_in.id)

    event = _EVENTS[factor, False]
    row = kept(ctx, event, tenant_id=sign_in.tenant_id, subject_id=person_id, personal=_named(sign_in))
    return count, row


async def _refuse(ctx: Ctx, sign_in: SignIn, factor: str, compared: Compared) -> None:
    async with ctx.write() as db:
        for fact in _refusal_facts(ctx, sign_in, factor, compared.person_id):
            await fact(db)
    raise ProofRefused


async def _mark(ctx: Ctx, sign_in: SignIn, factor: str, compared: Compared, spent: throttle.Spent) -> policy.Decision:
    """Everything a right answer moves, in one transaction; a lost race leaves nothing but the try given back."""

    async def give_back(db: Db) -> None:
        await db.change(_GIVE_BACK, of_sign_in=sign_in.id)
        await throttle.refund(ctx, db, spent, clear=False)

    lost = ProofRefused(keep=_refusal_facts(ctx, sign_in, factor, compared.person_id))
    async with ctx.write() as db:
        if compared.person_id and not await people.lock(db, sign_in.tenant_id, compared.person_id):
            raise lost
        if not await _add_proof(ctx, db, sign_in, factor, compared.person_id):
            raise await _lost(db, sign_in, factor, give_back)
        if not await compared.mark(db):
            raise lost
        proved = replace(sign_in, proofs=(*sign_in.proofs, factor), person_id=compared.person_id)
        if sign_in.purpose == "signup" and factor == "email_code":
            proved = await signup.born(ctx, db, proved, lost)
            await _name(db, proved)
        await throttle.refund(ctx, db, spent, clear=True)
        await note(
            ctx, db, _EVENTS[factor, True], tenant_id=proved.tenant_id, subject_id=proved.person_id,
            personal=_named(sign_in),
        )  # fmt: skip
    return decide(proved)


async def _add_proof(ctx: Ctx, db: Db, sign_in: SignIn, factor: str, person_id: str | None) -> bool:
    """Only onto the proofs that were there when the answer was compared, and only while the sign-in runs."""
    return (
        await db.change(
            _ADD_PROOF,
            of_sign_in=sign_in.id,
            now=ctx.now(),
            proofs_before=sign_in.proofs_text,
            proofs_after=json.dumps((*sign_in.proofs, factor)),
            of_person=person_id,
        )
        == 1
    )


async def _lost(db: Db, sign_in: SignIn, factor: str, give_back: Keep) -> Exception:
    """Why a right answer came too late: another one was first, or the sign-in is over."""
    row = await db.one(select(table.c.proofs, table.c.finished_at, table.c.refused).where(table.c.id == sign_in.id))
    if row is None or row["refused"] >= ATTEMPTS or factor not in json.loads(row["proofs"]):
        return HandleInvalid()
    return AlreadyProved(keep=(give_back,))


async def _name(db: Db, sign_in: SignIn) -> None:
    """A birth moved the sign-in to its person, and perhaps to a new tenant."""
    values = {
        "person_id": sign_in.person_id, "tenant_id": sign_in.tenant_id, "proofs": json.dumps(sign_in.proofs),
    }  # fmt: skip
    await db.change(update(table).where(table.c.id == sign_in.id).values(**values))


async def _set_up(ctx: Ctx, sign_in: SignIn, factor: str, answer: str) -> policy.Decision:
    """Set up a factor that policy asks for now: a sign-up's first password, the new one of a recovery."""
    if factor != password.name or sign_in.person_id is None:
        raise FactorNotOffered
    async with ctx.read() as db:
        found = await people.by_id(db, sign_in.tenant_id, sign_in.person_id)
    if found is None or found["disabled_at"] is not None:
        raise HandleInvalid
    context = (found["email"], sign_in.service, sign_in.tenant_name)
    stored = await password.accept(ctx, answer, sign_in.rules, context)
    async with ctx.write() as db:
        if not await people.lock(db, sign_in.tenant_id, sign_in.person_id):
            raise HandleInvalid
        # `spent` is not debited here; the proof's own statement takes one off, so it is put on first.
        await db.change(update(table).where(table.c.id == sign_in.id).values(spent=table.c.spent + 1))
        if not await _add_proof(ctx, db, sign_in, factor, sign_in.person_id):
            raise await _lost(db, sign_in, factor, _nothing)
        # Sign-ins before budgets, as `_spend` takes them: the other way round the two could wait for each other.
        if sign_in.purpose == "recovery":
            await end_running(ctx, db, sign_in.tenant_id, sign_in.person_id, but=sign_in.id)
        await password.bind(ctx, db, sign_in.tenant_id, sign_in.person_id, stored)
        if sign_in.purpose == "recovery":
            await recovery.complete(ctx, db, sign_in)
    return decide(replace(sign_in, proofs=(*sign_in.proofs, factor)))


async def _nothing(_db: Db) -> None:
    """Nothing was spent, so there is nothing to give back."""


async def end_running(ctx: Ctx, db: Db, tenant_id: str, person_id: str, *, but: str = "") -> None:
    """A password that is no longer right must not open a session through a sign-in that has proved it already. Call it
    before sessions are ended: a `finish` that was quicker has then laid its session where that will find it; and before
    budgets are touched, which `_spend` takes after the sign-in."""
    mine = update(table).where(
        table.c.tenant_id == tenant_id, table.c.person_id == person_id, table.c.finished_at.is_(None), table.c.id != but
    )
    await db.change(mine.values(finished_at=ctx.now()))


# -- finish ----------------------------------------------------------------------------------------


async def finish(ctx: Ctx, handle: str) -> sessions.Opened:
    """Open the one session of a sign-in that has proved enough. The only caller of `sessions.open_session`."""
    before = await find(ctx, handle)
    async with ctx.write() as db:
        # The person first: see `people.lock`. Before anybody is named there is nobody to lock, and nothing to finish.
        is_live = before.person_id and await people.lock(db, before.tenant_id, before.person_id)
        sign_in = await _finished(ctx, db, before)
        enough = decide(sign_in)
        if isinstance(enough, Need):
            raise ProofMissing(enough.listed())
        if isinstance(enough, Refuse):
            raise StepUpNeeded(str(sign_in.data.get("floor") or AAL1), 0)
        if sign_in.person_id is None or not is_live:
            raise HandleInvalid
        opened = await _open(ctx, db, sign_in, sign_in.person_id, enough)
        await note(
            ctx, db, _COMPLETED[sign_in.purpose], tenant_id=sign_in.tenant_id, subject_id=sign_in.person_id,
            acr=enough.acr, amr=list(enough.amr), session_id=opened.session["id"], reasons=list(enough.reasons),
        )  # fmt: skip
        return opened


async def _finished(ctx: Ctx, db: Db, before: SignIn) -> SignIn:
    """Take the handle, then look again: what was proved by now counts, and nobody else can take it."""
    if not await db.change(_FINISH, of_sign_in=before.id, now=ctx.now()):
        raise HandleInvalid
    row = await db.one(_THIS_ONE, of_sign_in=before.id)
    if row is None:
        raise HandleInvalid
    return replace(
        before, proofs=tuple(json.loads(row["proofs"])), person_id=row["person_id"], tenant_id=row["tenant_id"]
    )


async def _open(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str, enough: Enough) -> sessions.Opened:
    if sign_in.purpose == "step_up" and sign_in.session_id:
        replaced = Actor(sign_in.tenant_id, person_id, sign_in.session_id, "", (), 0)
        await sessions.hold(ctx, db, replaced)
        await sessions.end(ctx, db, replaced, sign_in.session_id, "stepped_up")
    opened = await sessions.open_session(
        ctx, db, tenant_id=sign_in.tenant_id, person_id=person_id, amr=enough.amr, acr=enough.acr, auth_time=ctx.now()
    )
    if opened.is_new_device and sign_in.purpose == "signin":
        found = await people.by_id(db, sign_in.tenant_id, person_id)
        if found is not None:
            await mail.lay(ctx, db, sign_in.tenant_id, "new_device", found["email"], service=sign_in.service)
    return opened
