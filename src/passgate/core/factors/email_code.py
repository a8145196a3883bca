"""Mailed codes as a factor. They prove control of an address and nothing beyond AAL1.

Not here: creating and comparing a code (`mailed_code`), and the wording of the mail (`mail`).
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
    """Mail a fresh code for this sign-in. With `is_meant` false no code may succeed (a known address signs up, an
    unknown one recovers), and the mail explains what to do instead. Both cases write the same rows, and over the hourly
    limit neither sends a mail. `to`: the named person's own address, if the sign-in did not begin with it."""
    code = await mailed_code.issue(ctx, db, sign_in.tenant_id, name, sign_in.id, is_meant=is_meant)
    to = to or sign_in.email
    if not to or not await mail.may_send(ctx, db, sign_in.tenant_id, people.address(to).key):
        return
    kind = sign_in.journey.code_mail if is_meant else sign_in.journey.no_code_mail
    await mail.enqueue(ctx, db, sign_in.tenant_id, kind, to, service=sign_in.service, code=code)
    await record(ctx, db, Event.EMAIL_CODE_SENT, tenant_id=sign_in.tenant_id, purpose=sign_in.journey.name)


async def _named(db: Db, sign_in: SignIn) -> RowMapping | None:
    """The person another factor has named, else the owner of the address. For a tenant that does not exist yet there is
    none, even if the address has an account in `main`."""
    if "new_tenant" in sign_in.data:
        return None
    if sign_in.person_id is not None:
        return await people.by_id(db, sign_in.tenant_id, sign_in.person_id)
    return await people.by_key(db, sign_in.tenant_id, sign_in.email_key)


async def challenge(ctx: Ctx, sign_in: SignIn) -> dict[str, Any]:
    """Send another mail and invalidate the older code. Returns the masked address, the same for known and unknown."""
    async with ctx.write() as db:
        found = await _named(db, sign_in)
        is_live = found is not None and found["disabled_at"] is None
        to = found["email"] if found is not None and sign_in.person_id else sign_in.email
        await send(ctx, db, sign_in, is_meant=found is None if sign_in.journey.makes_person else is_live, to=to)
    return {"sent_to": people.hidden(to)}


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[str, RowMapping | None]:
    """A code sent at the start is a ticket of one handle, which ends after ten refusals: a budget across all handles of
    an address would let anyone lock its owner out. A code used to sign in is an authenticator with its own budget."""
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
        return Compared(True, None, mark)  # a sign-up never names an existing person
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
        name=N_("emailed codes"),
        use=N_("Email me a code"),
        proved=N_("Verification code entered"),
        refused=N_("Wrong verification code"),
        wrong=N_("That code is incorrect or has expired. Use the code from our latest email or request a new one."),
        proved_meaning="An emailed code was correct.",
        refused_meaning="An emailed code was refused: wrong, expired, or none was sent.",
    ),
)
