"""The first proof of an account's address. Until it, the account belongs to whoever set it up: somebody who signed up
without proving the address, or an admin. Whoever reads the address's mail takes it: everything that was set up before
ends in the transaction of the proof, but for what the very sign-in that proves the address has also proved or set up.
An account whose owner has proved an address stays theirs if an admin moves it: the new mailbox alone replaces no second
factor, and the mailbox of before can undo the move.

Not here: the ways to prove an address, which are the callers: a mailed code or link (`signin`, `starts`), a sign-up or
an invitation (`signup`), a change of address (`address`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import (
    access,
    budgets,
    credentials,
    erasure,
    invitation_link,
    mail,
    once,
    pending,
    people,
    recovery,
    tenants,
    undo_link,
)
from passgate.core.action import end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import BY_LINK
from passgate.core.factors import email_code, recovery_code
from passgate.core.pending import SignIn
from passgate.core.people import OWNER as BY_ITS_OWNER
from passgate.core.permissions import OWNER
from passgate.core.policy import Decision, Enough, Need, own_level, stronger_seconds
from passgate.core.rules import Rules
from passgate.errors import StepUpNeeded
from passgate.store import Db

REASON = "address_proved"
"""Why what was set up before has ended, in the facts of events."""


@dataclass(frozen=True, slots=True)
class Exempt:
    """What is left alone. `rows`: the ids of credentials that were proved or set up beside the address, by the same
    person therefore; `sign_in`: the id of the pending sign-in; `carrier`: that of the session which acts."""

    rows: frozenset[str] = frozenset()
    sign_in: str = ""
    carrier: str = ""


NOTHING = Exempt()


def _exempt(sign_in: SignIn) -> Exempt:
    """What a pending sign-in has shown of the person it names."""
    return Exempt(frozenset(sign_in.data.get("used", ())), sign_in.id, sign_in.carrier_id or "")


async def proved(ctx: Ctx, db: Db, sign_in: SignIn, factor: str, found: RowMapping, used: str) -> SignIn:
    """What a sign-in has proved, or set up, of a locked person, by the credential or code `used`. While nobody has
    proved their address: a mailed code takes it, and anything else stays theirs if this sign-in proves the address
    too. An undo has its code mailed to another address."""
    if found["email_verified_at"] is not None:
        return sign_in
    if factor != email_code.name:
        sign_in = await pending.with_data(ctx, db, sign_in, used=[*sign_in.data.get("used", ()), used])
    elif not sign_in.journey.is_undo:
        await take(ctx, db, found, _exempt(sign_in))
    return sign_in


async def by_link(ctx: Ctx, db: Db, sign_in: SignIn, decision: Decision, *, is_last: bool = False) -> bool:
    """Whether a sign-in that a mailed link began has taken the address of its locked person now. Where mailed codes are
    no first factor the link does not take it by itself, nor while something of the person's that lasts is asked for
    next (`decision`), because that would end. `is_last`: the sign-in finishes, by rules that were lowered meanwhile.
    Then not if only a password that somebody else has set was proved: nothing can ask for another one any more."""
    if email_code.name + BY_LINK not in sign_in.proofs or sign_in.person_id is None:
        return False
    if not _asks_no_more(ctx, sign_in, decision):
        return False
    key = (sign_in.tenant_id, sign_in.person_id)
    if is_last and not await credentials.own_rows(db, *key, sign_in.data.get("used", ())):
        return False
    found = await people.by_id(db, *key)
    is_theirs = found is not None and found["email_key"] == sign_in.email_key
    return found is not None and is_theirs and await take(ctx, db, found, _exempt(sign_in))


def _asks_no_more(ctx: Ctx, sign_in: SignIn, decision: Decision) -> bool:
    match decision:
        case Enough():
            return True
        case Need(enrol=is_set_up):
            return is_set_up or not any(decision.offers(one) for one in sign_in.enrolled if ctx.factors[one].is_lasting)
        case _:
            return False


async def take(ctx: Ctx, db: Db, found: RowMapping, left: Exempt = NOTHING) -> bool:
    """Mark the address of a locked person as proved. If it is the first one, end what was set up before. False if it
    was proved already, or is another one now."""
    if not await people.prove_address(ctx, db, found):
        return False
    if found["first_proved_at"] is None:
        await _end_before(ctx, db, found, left)
    else:
        about: dict[str, Any] = {"tenant_id": found["tenant_id"], "subject_id": found["id"]}
        facts: dict[str, Any] = {"ended": [], "sessions": 0, "roles": []}
        await record(ctx, db, Event.ADDRESS_PROVED, **about, personal={"email": found["email"]}, **facts)
    return True


async def rules_of(ctx: Ctx, db: Db, rules: Rules, tenant_id: str, person_id: str, has: frozenset[str]) -> Rules:
    """A tenant's rules as they count for a person with these factors. While nobody has proved the address, a mailed
    code stands for nothing that lasts, as where people turn mailed codes on: it would be the first proof, and end the
    app that is not asked for beside it."""
    if rules.mailed_second_factor != "everybody" or not stronger_seconds(ctx.factors, rules, has):
        return rules
    found = await people.by_id(db, tenant_id, person_id)
    is_first = found is not None and found["first_proved_at"] is None
    return rules.model_copy(update={"mailed_second_factor": "enrolled"}) if is_first else rules


async def require_way_in(ctx: Ctx, db: Db, found: RowMapping, rules: Rules) -> None:
    """Raise StepUpNeeded if somebody who proves an address in their session, as the first one of the account, would
    lose every first factor they have: somebody else has set it, or it is not certain which of several they used. A
    step-up that confirms the address shows which, and replaces what somebody else has set."""
    if found["first_proved_at"] is not None:
        return
    key, first = (found["tenant_id"], found["id"]), {*rules.first}
    has = await credentials.rows_of(db, *key)
    own = await credentials.own_rows(db, *key, await credentials.of_proofs(ctx, db, *key, ctx.person.proofs))
    stays = ctx.factors.given | {kind for kind, ids in has.items() if own & {*ids}}
    if first & has.keys() and not first & stays:
        age = rules.max_age or ctx.settings.signin.fresh
        raise StepUpNeeded(own_level(ctx.factors, frozenset(has)), age, address=True)


async def moved(ctx: Ctx, db: Db, found: RowMapping, to: str, rules: Rules) -> None:
    """The same for somebody who has proved another address (`to`) in a session of theirs. `found`: the row as it was
    before. Raises StepUpNeeded."""
    if found["first_proved_at"] is None:
        await _end_before(ctx, db, found, await _of_session(ctx, db, found, rules), moved_to=to)


async def turned_on(ctx: Ctx, db: Db, found: RowMapping, made: str, rules: Rules) -> None:
    """The same for somebody who has turned mailed codes on in a session of theirs: the code `made` that factor, and
    proved the address. Raises StepUpNeeded."""
    if found["email_verified_at"] is None:
        left = await _of_session(ctx, db, found, rules)
        await take(ctx, db, found, replace(left, rows=left.rows | {made}))


async def _of_session(ctx: Ctx, db: Db, found: RowMapping, rules: Rules) -> Exempt:
    """What a session's proofs have shown."""
    await require_way_in(ctx, db, found, rules)
    used = await credentials.of_proofs(ctx, db, found["tenant_id"], found["id"], ctx.person.proofs)
    return Exempt(used, carrier=ctx.person.carrier_id)


async def make_way(ctx: Ctx, db: Db, found: RowMapping, to: str, *, begun_since: int | None = None) -> None:
    """Somebody with an account of theirs (`found`) has proved the address with the key `to`, which becomes theirs.
    Whoever has it without ever having proved it is erased: nobody but the reader of that mailbox could have kept it.
    So is an account that this reader has closed again, if it began at that instant or later. An owner whom somebody has
    set up stays: the tenant may have no other. The caller has locked both (`people.keys_at`)."""
    holder = await people.by_key(db, found["tenant_id"], to)
    if holder is None or holder["id"] == found["id"]:
        return
    is_closed = holder["disabled_by"] == BY_ITS_OWNER
    is_left = begun_since is not None and is_closed and holder["created_at"] >= begun_since
    is_claimed = people.is_unproved(holder)
    if not (is_claimed or is_left):
        return
    if holder["claimed_at"] is None and OWNER in await access.roles_of(db, holder["tenant_id"], holder["id"]):
        return
    await erasure.erase(ctx, db, holder)


async def _end_before(ctx: Ctx, db: Db, found: RowMapping, left: Exempt, *, moved_to: str = "") -> None:
    """Roles that an account was given while its address was only claimed end too, unless whoever had the account proves
    that very address: they were meant for the reader of that mailbox, and neither for another one nor unseen. That
    mailed codes are turned on proves nothing, and only asks for more: it stays beside whatever does. So do backup codes
    that nobody but this reader has seen."""
    key = (found["tenant_id"], found["id"])
    own, has = await credentials.own_rows(db, *key, left.rows), await credentials.rows_of(db, *key)
    chosen = {one for kind in ctx.factors.chosen for one in has.get(kind, ())}
    stays = own - chosen
    unseen = await recovery_code.unseen(ctx, db, found) if stays and not moved_to else frozenset[str]()
    ended = await credentials.end_but(ctx, db, *key, own | chosen | unseen if stays else own)
    await once.end(ctx, db, key[0], undo_link.KIND, key[1])
    await recovery.end_waits(ctx, db, *key)
    if not stays:
        await recovery.end_made(ctx, db, *key)
        await invitation_link.end_made(ctx, db, *key, REASON)
    sessions = await end_all(ctx, db, *key, REASON, but=left.sign_in, but_carrier=left.carrier)
    is_somebody_else = found["claimed_at"] is not None and (moved_to or not stays)
    if is_somebody_else and not left.carrier:
        await _clear(ctx, db, found)
    roles = await access.take_extra(ctx, db, *key, REASON) if is_somebody_else else []
    about: dict[str, Any] = {"tenant_id": key[0], "subject_id": key[1]}
    facts: dict[str, Any] = {"ended": sorted({kind for _, kind in ended}), "sessions": sessions, "roles": roles}
    await record(ctx, db, Event.ADDRESS_PROVED, **about, personal={"email": moved_to or found["email"]}, **facts)
    if sessions:
        await record(ctx, db, Event.SESSIONS_ENDED, **about, reason=REASON, count=sessions)
    await _notify_owners(ctx, db, found, roles)
    if left.carrier:
        await _notify_of_ended(ctx, db, found, moved_to or found["email"], {kind for _, kind in ended})
    await budgets.forget(db, key[1], tuple(ctx.factors.proofs))  # refusals and locks of whoever was in it


async def _clear(ctx: Ctx, db: Db, found: RowMapping) -> None:
    """Take the profile and the username away that somebody has chosen who claimed the address."""
    key = (found["tenant_id"], found["id"])
    about: dict[str, Any] = {"tenant_id": key[0], "subject_id": key[1]}
    empty = people.profile_text(None)
    if found["profile"] != empty:
        await people.set_profile(ctx, db, *key, empty)
        await record(ctx, db, Event.PROFILE_CHANGED, **about)
    if found["username"]:
        await people.set_username(ctx, db, *key, None)
        personal = {"username": "", "username_before": found["username"]}
        await record(ctx, db, Event.USERNAME_CHANGED, **about, personal=personal)


async def _notify_of_ended(ctx: Ctx, db: Db, found: RowMapping, to: str, kinds: Iterable[str]) -> None:
    """Somebody whose session goes on hears what of theirs does not."""
    tenant = await tenants.by_id(ctx, db, found["tenant_id"])
    service = tenant.display_name if tenant else ""
    for factor in [ctx.factors[kind] for kind in sorted(kinds) if kind in ctx.factors]:
        kind, what = undo_link.Change.REMOVED.value, factor.texts.name
        await mail.enqueue(ctx, db, found["tenant_id"], kind, to, service=service, what=what)


async def _notify_owners(ctx: Ctx, db: Db, found: RowMapping, roles: Iterable[str]) -> None:
    """Whoever gave the roles decides whether the owner of the mailbox gets them."""
    if not roles:
        return
    tenant = await tenants.by_id(ctx, db, found["tenant_id"])
    service, label = tenant.display_name if tenant else "", found["email"]
    for to in await access.owners(db, found["tenant_id"], but=found["id"]):
        what = ", ".join(roles)
        await mail.enqueue(ctx, db, found["tenant_id"], "roles_ended", to, service=service, what=what, label=label)
