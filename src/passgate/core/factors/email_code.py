"""Mailed codes as a factor. Proof of an address, never of more (AAL1).

Making and comparing a code is `mailed_code`'s, the words of the mail are `mail`'s.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from passgate.core import mail, mailed_code, once, people, throttle
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import Compared, Factor, Order, Texts, wrong
from passgate.core.pending import SignIn
from passgate.i18n import N_
from passgate.store import Db

name = "email_code"


async def send(ctx: Ctx, db: Db, sign_in: SignIn, *, is_meant: bool, to: str = "") -> None:
    """A fresh code for this sign-in, and a mail. Where nobody is meant to get in (`is_meant` false: a known address
    signs up, an unknown one recovers) the mail says what there is instead. The same rows are written either way, and
    over the hourly limit none of them leaves as a mail. `to`: the named person's own address, where the sign-in did not
    begin with it."""
    code = await mailed_code.issue(ctx, db, sign_in.tenant_id, name, sign_in.id, is_meant=is_meant)
    to = to or sign_in.email
    if not to or not await mail.may_send(ctx, db, sign_in.tenant_id, people.address(to).key):
        return
    kind = sign_in.journey.code_mail if is_meant else sign_in.journey.no_code_mail
    await mail.enqueue(ctx, db, sign_in.tenant_id, kind, to, service=sign_in.service, code=code)
    await record(ctx, db, Event.EMAIL_CODE_SENT, tenant_id=sign_in.tenant_id, purpose=sign_in.journey.name)


async def _named(db: Db, sign_in: SignIn) -> RowMapping | None:
    """Whom another factor named, else whom the address means. In a tenant that is yet to be made it means nobody,
    whoever has it in `main`."""
    if "new_tenant" in sign_in.data:
        return None
    if sign_in.person_id is not None:
        return await people.by_id(db, sign_in.tenant_id, sign_in.person_id)
    return await people.by_key(db, sign_in.tenant_id, sign_in.email_key)


async def challenge(ctx: Ctx, sign_in: SignIn) -> dict[str, Any]:
    """Another mail; the older code dies. Answers where it went, the same for known and unknown."""
    async with ctx.write() as db:
        found = await _named(db, sign_in)
        is_live = found is not None and found["disabled_at"] is None
        to = found["email"] if found is not None and sign_in.person_id else sign_in.email
        await send(ctx, db, sign_in, is_meant=found is None if sign_in.journey.makes_person else is_live, to=to)
    return {"sent_to": people.hidden(to)}


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[str, RowMapping | None]:
    """Codes that went out at the start are tickets of that one handle, which dies after ten refusals: a budget over all
    handles of an address would let anybody lock its owner out. A code that signs in is an authenticator."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, name, sign_in.id)
        found = await _named(db, sign_in)
    if sign_in.journey.mails_at_start:
        return f"h:{sign_in.id}", live
    if found is None:
        return throttle.address_key(ctx, sign_in.tenant_id, sign_in.email_key, name), live
    return throttle.person_key(found["id"], name), live


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, seen: RowMapping | None, *, is_locked: bool) -> Compared:
    is_right = mailed_code.matches(ctx, seen, name, sign_in.id, answer)
    if seen is None or is_locked or not is_right:
        return wrong(sign_in.person_id)

    async def mark(db: Db) -> str | None:
        return str(seen["id"]) if await once.take(ctx, db, seen["id"]) else None

    if sign_in.journey.makes_person:
        return Compared(True, None, mark)  # nobody yet: a sign-up never names a person who is there already
    async with ctx.read() as db:
        found = await _named(db, sign_in)
    return Compared(True, found["id"] if found else None, mark)


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
    budget=budget,
    compare=compare,
    texts=Texts(
        name=N_("mailed codes"),
        use=N_("Mail me a code"),
        proved=N_("Mailed code given"),
        refused=N_("Wrong mailed code given"),
        wrong=N_("That code is not right, or it is too old. Look for the newest mail, or ask for another code."),
        proved_meaning="A mailed code was right.",
        refused_meaning="A mailed code was refused: wrong, too old, or none was meant.",
    ),
)
