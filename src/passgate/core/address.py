"""Changing an account's address: a code proves the new one, both are notified, and the old one can undo it for a week.

Not here: how addresses are compared, which is `people`. Nothing here reveals whether an address is taken.
"""

from __future__ import annotations

from typing import Any

from passgate.core import account, budgets, mail, mailed_code, once, people, proof, recovery, tenants
from passgate.core.action import Ends, action, end_all, within
from passgate.core.audit import deferred, record
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Actor, Ctx
from passgate.core.events import Event
from passgate.core.factor import Compared, wrong
from passgate.core.people import Address
from passgate.core.proof import Attempt, Outcome, Right
from passgate.errors import Conflict, HandleInvalid, Invalid, SessionEnded
from passgate.store import Db

UNDO = "pg_und_"
UNDO_LIFE = 7 * 24 * 3600
"""Seconds during which the old address can undo the change."""

_CODE, _UNDO = "address", recovery.OLD_ADDRESS


async def start(ctx: Ctx, actor: Actor, email: str) -> str:
    """Mail a code to the new address; returns that address, masked. A taken address gets a different mail and a ticket
    that no answer opens, so the caller sees no difference."""
    await account.fresh(ctx, actor)
    at = people.address(email)
    async with action(ctx, actor) as acting:
        db = acting.db
        if at.key == acting.person["email_key"]:
            raise Invalid({"email": "value"})
        is_free = await people.by_key(db, actor.tenant_id, at.key) is None
        data = {"email": at.text, "email_key": at.key}
        mine = (actor.tenant_id, _CODE, actor.person_id)
        is_sent = await budgets.mail_of_session(ctx, db, actor.tenant_id, actor.person_id, at.key)
        is_sent = await budgets.has_codes_left(ctx, db, _target(actor)) and is_sent
        code = await mailed_code.issue(ctx, db, *mine, is_meant=is_free and is_sent, data=data)
        if is_sent:
            kind, service = "address_code" if is_free else "address_known", await _service(ctx, db, actor.tenant_id)
            await mail.enqueue(ctx, db, actor.tenant_id, kind, at.text, service=service, code=code)
        await record(ctx, db, Event.ADDRESS_STARTED, personal={"email": at.text})
    return people.masked(at.text)


async def waiting(ctx: Ctx, actor: Actor) -> str | None:
    """The new address, masked, while its code is still valid."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, _CODE, actor.person_id)
    email = once.carried(ctx, live).get("email") if live else None
    return people.masked(email) if email else None


async def prove(ctx: Ctx, actor: Actor, answer: str) -> None:
    """Check the code and change the address."""
    await account.fresh(ctx, actor)
    async with ctx.read() as db:
        live = await once.live(ctx, db, _CODE, actor.person_id)
    to = once.carried(ctx, live) if live else {}

    async def compare(ctx: Ctx, is_closed: bool) -> Compared:
        is_right = mailed_code.matches(ctx, live, _CODE, actor.person_id, answer)
        if live is None or is_closed or not is_right or "email" not in to:
            return wrong(actor.person_id)

        async def take(db: Db) -> str | None:
            return str(live["id"]) if await once.take(ctx, db, live["id"]) else None

        return Compared(True, actor.person_id, take)

    async def mark(db: Db, compared: Compared) -> Right[None] | Outcome:
        async with within(ctx, db, actor, ends=Ends.PENDING) as acting:
            at = Address(to["email"], to["email_key"])
            is_moved = await compared.mark(db) and await _move(ctx, db, actor, acting.person, at)
            return Right(None) if is_moved else Outcome.WRONG

    refused = deferred(ctx, Event.ADDRESS_REFUSED)
    attempt = Attempt(
        tenant_id=actor.tenant_id,
        target=_target(actor),
        compare=compare,
        mark=mark,
        refused=lambda _person_id: (refused,),
    )
    await proof.prove(ctx, attempt)


def _target(actor: Actor) -> Target:
    return Target(Guess.MAILED, actor.tenant_id, _CODE, actor.person_id)


async def _move(ctx: Ctx, db: Db, actor: Actor, found: Any, at: Address) -> bool:
    """Change the person's row, issue the undo link and send both mails; False if the address is now taken."""
    if not await people.set_address(ctx, db, actor.tenant_id, actor.person_id, at):
        return False
    minted = ctx.ring.mint(UNDO)
    back = {"email": found["email"], "email_key": found["email_key"]}
    # Older undo links stay valid: an attacker must not invalidate the first address's link by changing it twice.
    await once.issue(
        ctx, db, actor.tenant_id, _UNDO, actor.person_id, minted.hash, life=UNDO_LIFE, data=back, keep_older=True
    )
    await record(ctx, db, Event.ADDRESS_CHANGED, personal={"email": at.text, "email_before": found["email"]})
    service = await _service(ctx, db, actor.tenant_id)
    for to, link in ((found["email"], f"{ctx.services.base}/account/address/undo/{minted.token}"), (at.text, None)):
        await mail.enqueue(ctx, db, actor.tenant_id, "address_changed", to, service=service, link=link)
    return True


async def undo(ctx: Ctx, token: str) -> None:
    """Restore the old address, once: ends all sessions and pending sign-ins, and invalidates undo links issued to later
    addresses. Raises HandleInvalid for a link that is used, expired or unknown."""
    row = await _link(ctx, token)
    if row is None:
        raise HandleInvalid
    tenant_id, person_id, back = row["tenant_id"], row["bound_to"], once.carried(ctx, row)
    async with ctx.write() as db:
        found = await people.lock(db, tenant_id, person_id)
        tenant = await tenants.by_id(ctx, db, tenant_id)
        if found is None or tenant is None or tenant.is_disabled or "email" not in back:
            raise HandleInvalid
        ended = await end_all(ctx, db, tenant_id, person_id, "address_undone")
        if not await once.take(ctx, db, row["id"]):
            raise HandleInvalid
        await once.end(ctx, db, _UNDO, person_id, since=row["created_at"])
        await once.end(ctx, db, _CODE, person_id)
        if not await people.set_address(ctx, db, tenant_id, person_id, Address(back["email"], back["email_key"])):
            raise Conflict("That email address now belongs to another account.")
        about = {"email": back["email"], "email_before": found["email"]}
        await record(ctx, db, Event.ADDRESS_UNDONE, tenant_id=tenant_id, subject_id=person_id, personal=about)
        await record(
            ctx,
            db,
            Event.SESSIONS_ENDED,
            tenant_id=tenant_id,
            subject_id=person_id,
            reason="address_undone",
            count=ended,
        )
        service = await _service(ctx, db, tenant_id)
        await mail.enqueue(ctx, db, tenant_id, "address_restored", back["email"], service=service)


async def may_undo(ctx: Ctx, token: str) -> str | None:
    """The address a link would restore, masked; None for a link that is used, expired or unknown."""
    row = await _link(ctx, token)
    email = once.carried(ctx, row).get("email") if row else None
    return people.masked(email) if email else None


async def _link(ctx: Ctx, token: str) -> Any:
    secret_hash = ctx.ring.presented(UNDO, token)
    if secret_hash is None:
        return None
    async with ctx.read() as db:
        return await once.by_secret(ctx, db, _UNDO, secret_hash)


async def _service(ctx: Ctx, db: Db, tenant_id: str) -> str:
    tenant = await tenants.by_id(ctx, db, tenant_id)
    if tenant is None:
        raise SessionEnded
    return tenant.display_name
