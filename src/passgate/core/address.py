"""Moving to another address: a code proves the new one, both are told, and the old one can undo it for a week.

How an address is compared lives in `people`; nothing here tells anybody whether an address is taken.
"""

from __future__ import annotations

from typing import Any

from passgate.core import account, mail, once, people, recovery, running, sessions, tenants, throttle
from passgate.core.audit import Event, kept, note
from passgate.core.ctx import Actor, Ctx
from passgate.core.people import Address
from passgate.errors import Conflict, HandleInvalid, Invalid, ProofRefused, SessionEnded
from passgate.seal import digest
from passgate.store import Db

DIGITS = 8
UNDO = "pg_und_"
UNDO_LIFE = 7 * 24 * 3600
"""Seconds in which the old address can take the change back."""

_CODE, _UNDO = "address", recovery.OLD_ADDRESS


async def start(ctx: Ctx, actor: Actor, email: str) -> str:
    """Mail a code to the new address; returns where it went, hidden. A taken address gets a mail that says so, and a
    ticket that no answer opens: whoever asks sees no difference."""
    await account.fresh(ctx, actor)
    at = people.address(email)
    async with ctx.write() as db:
        found = await sessions.hold(ctx, db, actor)
        if at.key == found["email_key"]:
            raise Invalid({"email": "value"})
        is_free = await people.by_key(db, actor.tenant_id, at.key) is None
        code = ctx.world.digits(DIGITS)
        secret = _hash(ctx, actor.person_id, code) if is_free else ctx.ring.mac("address code", ctx.world.bytes(32))
        life = ctx.settings.mail.code_life
        data = {"email": at.shown, "email_key": at.key}
        await once.issue(ctx, db, actor.tenant_id, _CODE, actor.person_id, secret, life=life, data=data)
        if await mail.may_send(ctx, db, actor.tenant_id, at.key):
            service = await _service(db, actor.tenant_id)
            kind = "address_code" if is_free else "address_known"
            await mail.lay(ctx, db, actor.tenant_id, kind, at.shown, service=service, code=code if is_free else None)
        await note(ctx, db, Event.ADDRESS_STARTED, personal={"email": at.shown})
    return people.hidden(at.shown)


async def waiting(ctx: Ctx, actor: Actor) -> str | None:
    """The new address, hidden, while its code can still be given."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, _CODE, actor.person_id)
    email = once.carried(ctx, live).get("email") if live else None
    return people.hidden(email) if email else None


async def prove(ctx: Ctx, actor: Actor, answer: str) -> None:
    """The code is right: the address moves. In three steps like any proof: spend, compare, mark."""
    await account.fresh(ctx, actor)
    key = f"h:address:{actor.person_id}"
    async with ctx.write() as db:
        spent = await throttle.spend(ctx, db, actor.tenant_id, key)
    refused = ProofRefused(keep=(kept(ctx, Event.ADDRESS_REFUSED),))
    async with ctx.read() as db:
        live = await once.live(ctx, db, _CODE, actor.person_id)
    code = "".join(answer.split()).replace("-", "")
    guess = digest(actor.person_id.encode(), code.encode())
    is_right = ctx.ring.check("address code", guess, live["secret_hash"] if live else bytes(36))
    carried = once.carried(ctx, live) if live else {}
    async with ctx.write() as db:
        if live is None or not is_right or spent.is_locked or "email" not in carried:
            raise refused
        found = await sessions.hold(ctx, db, actor)
        await running.end_all(ctx, db, actor.tenant_id, actor.person_id)
        if not await once.take(ctx, db, live["id"]):
            raise refused
        await _move(ctx, db, actor, found, Address(carried["email"], carried["email_key"]), refused)
        await throttle.refund(ctx, db, spent, clear=True)


async def _move(ctx: Ctx, db: Db, actor: Actor, found: Any, at: Address, refused: ProofRefused) -> None:
    """The person's row, the way back, the two mails."""
    if not await people.set_address(ctx, db, actor.tenant_id, actor.person_id, at):
        raise refused
    minted = ctx.ring.mint(UNDO)
    back = {"email": found["email"], "email_key": found["email_key"]}
    # Beside the older ones: who took an account over must not take the first address's way back by moving twice.
    await once.issue(
        ctx, db, actor.tenant_id, _UNDO, actor.person_id, minted.hash, life=UNDO_LIFE, data=back, beside=True
    )
    await note(ctx, db, Event.ADDRESS_CHANGED, personal={"email": at.shown, "email_before": found["email"]})
    service = await _service(db, actor.tenant_id)
    for to, link in ((found["email"], f"{ctx.house.base}/account/address/undo/{minted.token}"), (at.shown, None)):
        await mail.lay(ctx, db, actor.tenant_id, "address_changed", to, service=service, link=link)


async def undo(ctx: Ctx, token: str) -> None:
    """The old address stands again, once: all sessions and running sign-ins end, and so do the ways back that were
    given to later addresses. HandleInvalid for a link that is used, too old or none of ours."""
    row = await _link(ctx, token)
    if row is None:
        raise HandleInvalid
    tenant_id, person_id, back = row["tenant_id"], row["bound_to"], once.carried(ctx, row)
    async with ctx.write() as db:
        found, tenant = await people.lock(db, tenant_id, person_id), await tenants.by_id(db, tenant_id)
        if found is None or tenant is None or tenant.is_disabled or "email" not in back:
            raise HandleInvalid
        await running.end_all(ctx, db, tenant_id, person_id)
        if not await once.take(ctx, db, row["id"]):
            raise HandleInvalid
        await once.end(ctx, db, _UNDO, person_id, since=row["created_at"])
        await once.end(ctx, db, _CODE, person_id)
        if not await people.set_address(ctx, db, tenant_id, person_id, Address(back["email"], back["email_key"])):
            raise Conflict("That address belongs to another account by now.")
        ended = await sessions.end_all(ctx, db, tenant_id, person_id, "address_undone")
        about = {"email": back["email"], "email_before": found["email"]}
        await note(ctx, db, Event.ADDRESS_UNDONE, tenant_id=tenant_id, subject_id=person_id, personal=about)
        await note(
            ctx, db, Event.SESSIONS_ENDED, tenant_id=tenant_id, subject_id=person_id, reason="address_undone",
            count=ended,
        )  # fmt: skip
        await mail.lay(ctx, db, tenant_id, "address_restored", back["email"], service=await _service(db, tenant_id))


async def may_undo(ctx: Ctx, token: str) -> str | None:
    """The address a link would bring back, hidden; None for a link that is used, too old or none of ours."""
    row = await _link(ctx, token)
    email = once.carried(ctx, row).get("email") if row else None
    return people.hidden(email) if email else None


async def _link(ctx: Ctx, token: str) -> Any:
    secret_hash = ctx.ring.presented(UNDO, token)
    if secret_hash is None:
        return None
    async with ctx.read() as db:
        return await once.by_secret(ctx, db, _UNDO, secret_hash)


async def _service(db: Db, tenant_id: str) -> str:
    tenant = await tenants.by_id(db, tenant_id)
    if tenant is None:
        raise SessionEnded
    return tenant.display_name


def _hash(ctx: Ctx, person_id: str, code: str) -> bytes:
    """Keyed, and bound to the one person: eight digits alone could be guessed from the database."""
    return ctx.ring.mac("address code", digest(person_id.encode(), code.encode()))
