"""Mailed codes as a factor. They prove control of an address and nothing beyond AAL1. Where the rules say so, people
turn them on as their second factor.

Not here: creating and comparing a code (`mailed_code`), the link beside it (`mailed_link`), and the wording of the mail
(`mail`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import budgets, credentials, mail, mailed_code, mailed_link, once, people, policy
from passgate.core.audit import record
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import ActivateAtOnce, Compared, Enrolling, Factor, Factors, Order, SetUp, Texts, wrong
from passgate.core.journey import SIGN_IN
from passgate.core.pending import SignIn
from passgate.core.rules import Rules
from passgate.errors import SessionEnded
from passgate.i18n import N_
from passgate.store import Db

name = "email_code"
_NEW = "email_code_new"


async def send(
    ctx: Ctx, db: Db, sign_in: SignIn, found: RowMapping | None, *, is_meant: bool, is_named: bool = False
) -> None:
    """Mail a fresh code for this sign-in, and in a sign-in or recovery a link beside it. `found`: who has the address.
    With `is_meant` false neither may succeed (a known address signs up, an unknown one recovers), and the mail explains
    what to do instead. Both cases write the same rows. Where no mail leaves, the ticket opens for no answer.
    `is_named`: mail the named person's own address, whatever was typed. A username has no address for a stranger to
    know: the mail of an unknown one goes to nobody, and the rows are the same."""
    person_id = found["id"] if found is not None else None
    tenant, journey, target = sign_in.tenant_id, sign_in.journey, _target(sign_in, found)
    tries = await budgets.who(ctx, db, tenant, is_step_up=journey.is_step_up, person_id=person_id or "")
    to = found["email"] if found is not None and (is_named or sign_in.is_by_username) else sign_in.email
    if journey.is_undo:  # its link was mailed to this very address, so no stranger can use up these mails
        is_free = await budgets.mail_of_undo(ctx, db, str(sign_in.data["undo"]))
    else:
        is_seen = found is not None
        whose = target.identifier_key
        tries = replace(tries, has_proved=_has_proved(sign_in, found))
        is_free = await budgets.mail(ctx, db, tenant, whose, tries, is_seen=is_seen, person_id=person_id)
    is_sent = is_free and (bool(to) or sign_in.is_by_username)
    has_code = await budgets.has_codes_left(ctx, db, target)
    is_open = is_meant and is_sent
    owner = None if journey.is_undo else person_id  # no session of the person's ends the codes of an undo
    code = await mailed_code.issue(
        ctx, db, tenant, name, sign_in.id, is_meant=is_open and has_code, person_id=owner if is_open else None
    )
    link = await mailed_link.issue(ctx, db, sign_in, person_id, is_meant=is_open) if journey.mails_link else None
    if not is_sent or not (has_code or journey.mails_link):
        return
    kind, erase_at = journey.code_mail if is_meant else journey.no_code_mail, 0
    if not is_meant and found is not None and found["erase_at"] is not None:
        kind, erase_at = "account_closing", found["erase_at"]
    await mail.enqueue(ctx, db, tenant, kind, to, service=sign_in.service, code=code, link=link, erase_at=erase_at)
    await record(ctx, db, Event.EMAIL_CODE_SENT, tenant_id=tenant, subject_id=person_id, purpose=journey.name)


def _has_proved(sign_in: SignIn, found: RowMapping | None) -> bool:
    """Whether a sign-in has proved another factor of the person. What is proved of an account whose address nobody has
    proved says nothing about the reader of that mailbox."""
    is_proved = found is not None and found["email_verified_at"] is not None
    return is_proved and sign_in.journey is SIGN_IN and sign_in.person_id is not None and bool(sign_in.proofs)


def _target(sign_in: SignIn, found: RowMapping | None) -> Target:
    """Refused codes count for the account and purpose, whoever's sign-in they are for; those of an undo for the address
    that its link was mailed to, since a thief has links too, to an address of theirs."""
    key = sign_in.identifier_key if found is None or sign_in.journey.is_undo else found["email_key"]
    return Target(Guess.MAILED, sign_in.tenant_id, sign_in.journey.name, found["id"] if found else None, key)


async def owner_of(db: Db, sign_in: SignIn) -> RowMapping | None:
    """The person another factor has named, else the owner of the address or username. For a tenant that does not exist
    yet there is none, even if the address has an account in `main`; nor for a sign-up where nobody has proved the
    address."""
    if "new_tenant" in sign_in.data:
        return None
    if sign_in.person_id is not None:
        return await people.by_id(db, sign_in.tenant_id, sign_in.person_id)
    found = await people.by_identifier(db, sign_in.tenant_id, sign_in.identifier_key)
    return None if sign_in.journey.makes_person and found is not None and people.is_unproved(found) else found


async def challenge(ctx: Ctx, sign_in: SignIn) -> dict[str, Any]:
    """Send another mail and invalidate the older code. Returns the masked address, the same for known and unknown;
    None where a username was typed, which does not say whose address it is until a proof has named the person."""
    is_undo = sign_in.journey.is_undo  # its code goes to the address that stood before the change
    is_named = sign_in.person_id is not None and not is_undo
    async with ctx.write() as db:
        found = await owner_of(db, sign_in)
        is_live = found is not None and people.is_live(found, or_closed=is_undo)
        is_meant = found is None if _makes_one(sign_in) else is_live
        await send(ctx, db, sign_in, found, is_meant=is_meant, is_named=is_named)
    if found is not None and is_named:
        return {"sent_to": people.masked(found["email"])}
    return {"sent_to": None if sign_in.is_by_username else people.masked(sign_in.email)}


def _makes_one(sign_in: SignIn) -> bool:
    """Whether it is a sign-up that has created nobody yet."""
    return sign_in.journey.makes_person and sign_in.person_id is None


async def was_sent(ctx: Ctx, sign_in: SignIn) -> bool:
    async with ctx.read() as db:
        return await once.was_issued(db, sign_in.tenant_id, name, sign_in.id)


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[Target, RowMapping | None]:
    """A code is a ticket of one sign-in, which ends after ten refusals, and an account has so many refused codes a
    day."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, sign_in.tenant_id, name, sign_in.id)
        found = await owner_of(db, sign_in)
    return _target(sign_in, found), live


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, seen: RowMapping | None, *, is_locked: bool) -> Compared:
    is_right = mailed_code.matches(ctx, seen, name, sign_in.id, answer)
    if seen is None or is_locked or not is_right:
        return wrong(sign_in.person_id)

    async def mark(db: Db) -> str | None:
        if not (await once.take(ctx, db, seen)).is_first:
            return None
        await once.end(ctx, db, sign_in.tenant_id, mailed_link.KIND, sign_in.id)
        return str(seen["id"])

    if _makes_one(sign_in):  # a sign-up never names an existing person
        return Compared(True, None, mark)
    async with ctx.read() as db:
        found = await owner_of(db, sign_in)
    # A username may have become somebody else's since; the code proves only who had it when the mail was sent.
    if sign_in.is_by_username and (found is None or found["id"] != seen["person_id"]):
        return wrong(sign_in.person_id)
    return Compared(True, found["id"] if found else None, mark)


# -- turning them on -------------------------------------------------------------------------------


def can_turn_on(factors: Factors, rules: Rules, enrolled: frozenset[str]) -> bool:
    """Whether somebody with these factors would be asked for a mailed code once they turn it on."""
    is_asked = rules.second != "never" and name in rules.second_among and rules.mailed_second_factor != "everybody"
    return is_asked and name not in enrolled and not policy.stronger_seconds(factors, rules, enrolled)


def target_of_set_up(tenant_id: str, person_id: str, email_key: str) -> Target:
    """Refused codes of an account count for its mailbox: another account of the same address begins with them."""
    return Target(Guess.MAILED, tenant_id, name, person_id, email_key)


async def offer(ctx: Ctx, who: Enrolling) -> dict[str, Any]:
    """Mail a code, {sent_to}, whose answer turns mailed codes on: it shows that the mailbox is theirs. An older code
    becomes invalid."""
    async with ctx.write() as db:
        found = await people.by_id(db, who.tenant_id, who.person_id)
        if found is None:
            raise SessionEnded
        mine: dict[str, Any] = {"person_id": who.person_id}
        is_sent = await budgets.mail(ctx, db, who.tenant_id, found["email_key"], budgets.STEP_UP, is_seen=True, **mine)
        target = target_of_set_up(who.tenant_id, who.person_id, found["email_key"])
        is_sent = await budgets.has_codes_left(ctx, db, target) and is_sent
        code = await mailed_code.issue(ctx, db, who.tenant_id, _NEW, who.bound_to, is_meant=is_sent, **mine)
        if is_sent:
            await mail.enqueue(ctx, db, who.tenant_id, "factor_code", found["email"], service=who.service, code=code)
            await record(ctx, db, Event.EMAIL_CODE_SENT, purpose="set_up")
    return {"sent_to": people.masked(found["email"])}


async def offered(ctx: Ctx, who: Enrolling) -> dict[str, Any] | None:
    """{sent_to} while a code can still be answered."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, who.tenant_id, _NEW, who.bound_to)
    return {"sent_to": people.masked(who.email)} if live else None


async def accept(ctx: Ctx, who: Enrolling, answer: Any) -> Compared:
    """Check the code of the mail."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, who.tenant_id, _NEW, who.bound_to)
    if not mailed_code.matches(ctx, live, _NEW, who.bound_to, answer) or live is None:
        return wrong(who.person_id)

    async def mark(db: Db) -> str | None:
        return await _store(ctx, db, who) if (await once.take(ctx, db, live)).is_first else None

    return Compared(True, who.person_id, mark)


async def _store(ctx: Ctx, db: Db, who: Enrolling) -> str:
    made = await credentials.add(ctx, db, who.tenant_id, who.person_id, name)
    await credentials.changed(ctx, db, who, name, added=[made])
    return made


def at_once(rules: Rules) -> ActivateAtOnce | None:
    """Available if the tenant's rules ask for no first code. Nothing is mailed then but that it is on, and nothing is
    proved."""
    return _activate_at_once if rules.mailed_second_factor == "at_once" else None


async def _activate_at_once(ctx: Ctx, db: Db, who: Enrolling) -> dict[str, Any]:
    await _store(ctx, db, who)
    return {"sent_to": people.masked(who.email)}


FACTOR = Factor(
    name=name,
    amr=("otp",),
    is_first=True,
    is_second=True,
    recovers=True,
    is_enrolled=False,
    needs_address=True,
    is_sent=True,
    order=Order(first=2, second=3, recovery=4, signup=4),
    challenge=challenge,
    was_sent=was_sent,
    budget=budget,
    compare=compare,
    set_up=SetUp(
        accept=accept,
        offer=offer,
        offered=offered,
        at_once=at_once,
        may_begin=can_turn_on,
        is_mailed=True,
        has_account_page=True,
    ),
    texts=Texts(
        name=N_("emailed codes"),
        use=N_("Email me a code"),
        proved=N_("Verification code entered"),
        refused=N_("Wrong verification code"),
        wrong=N_("That code is incorrect or has expired. Use the code from our latest email or request a new one."),
        proved_meaning="An emailed code was correct.",
        refused_meaning="An emailed code was refused: wrong, expired, or none was sent.",
    ),
)
