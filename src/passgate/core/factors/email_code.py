"""Mailed codes: eight digits, once, for one running sign-in. Proof of an address, never of more (AAL1).

The words of the mail live in `mail`, the single use in `once`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from passgate.core import mail, once, people, throttle
from passgate.core.audit import Event, note
from passgate.core.ctx import Ctx
from passgate.core.factors import Compared, SignIn, typed, unmarked
from passgate.seal import digest
from passgate.store import Db

name = "email_code"
DIGITS = 8
_KINDS = {"signup": "signup_code", "recovery": "recovery_code", "signin": "signin_code", "step_up": "signin_code"}
_STRANGER_KINDS = {"signup": "signup_known", "recovery": "recovery_none"}


async def send(ctx: Ctx, db: Db, sign_in: SignIn, *, is_meant: bool, to: str = "") -> None:
    """A fresh code for this sign-in, and a mail. Where nobody is meant to get in (`is_meant` false: a known address
    signs up, an unknown one recovers) the ticket is one that no answer opens, and the mail says what there is instead.
    The same rows are written either way, and over the hourly limit none of them leaves as a mail. `to`: the named
    person's own address, where the sign-in did not begin with it."""
    code = ctx.world.digits(DIGITS)
    secret = _hash(ctx, sign_in.id, code) if is_meant else ctx.ring.mac("email code", ctx.world.bytes(32))
    await once.issue(ctx, db, sign_in.tenant_id, name, sign_in.id, secret, life=ctx.settings.mail.code_life)
    to = to or sign_in.email
    if not to or not await mail.may_send(ctx, db, sign_in.tenant_id, people.address(to).key):
        return
    kind = _KINDS[sign_in.purpose] if is_meant else _STRANGER_KINDS.get(sign_in.purpose)
    if kind is None:  # a sign-in code for an address that nobody has: the row is written, and says nothing useful
        kind, is_meant = "recovery_none", False
    await mail.lay(ctx, db, sign_in.tenant_id, kind, to, service=sign_in.service, code=code if is_meant else None)
    await note(ctx, db, Event.EMAIL_CODE_SENT, tenant_id=sign_in.tenant_id, purpose=sign_in.purpose)


def _hash(ctx: Ctx, sign_in_id: str, code: str) -> bytes:
    """Keyed, and bound to the one sign-in: eight digits alone could be guessed from the database."""
    return ctx.ring.mac("email code", digest(sign_in_id.encode(), code.encode()))


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
        await send(ctx, db, sign_in, is_meant=found is None if sign_in.purpose == "signup" else is_live, to=to)
    return {"sent_to": people.hidden(to)}


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[str, RowMapping | None]:
    """Codes of a sign-up or recovery are tickets of that one handle, which dies after ten refusals: a budget over all
    handles of an address would let anybody lock its owner out. A code that signs in is an authenticator."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, name, sign_in.id)
        found = await _named(db, sign_in)
    if sign_in.purpose in ("signup", "recovery"):
        return f"h:{sign_in.id}", live
    if found is None:
        return throttle.address_key(ctx, sign_in.tenant_id, sign_in.email_key, name), live
    return throttle.person_key(found["id"], name), live


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, seen: RowMapping | None, *, is_locked: bool) -> Compared:
    code = typed(answer)
    secret = seen["secret_hash"] if seen else bytes(36)
    is_right = ctx.ring.check("email code", digest(sign_in.id.encode(), code.encode()), secret)
    if seen is None or is_locked or not is_right:
        return Compared(False, sign_in.person_id, unmarked)

    async def mark(db: Db) -> bool:
        return await once.take(ctx, db, seen["id"])

    if sign_in.purpose == "signup":
        return Compared(True, None, mark)  # nobody yet: a sign-up never names a person who is there already
    async with ctx.read() as db:
        found = await _named(db, sign_in)
    return Compared(True, found["id"] if found else None, mark)
