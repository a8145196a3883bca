"""Changing an account's address: a code proves the new one, both are notified, and the old one can undo it.

Not here: how addresses are compared, which is `people`. Nothing here reveals whether an address is taken.
"""

from __future__ import annotations

from typing import Any

from passgate.core import (
    account,
    address_proof,
    budgets,
    credentials,
    mail,
    mailed_code,
    once,
    people,
    proof,
    recovery,
    tenants,
    undo,
    undo_link,
)
from passgate.core.action import Ends, action, within
from passgate.core.audit import deferred, record
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import Compared, wrong
from passgate.core.people import Address
from passgate.core.proof import Attempt, Outcome, Right
from passgate.core.undo_link import Change
from passgate.errors import Invalid, SessionEnded
from passgate.store import Db

_CODE = recovery.ADDRESS_CODE


async def start(ctx: Ctx, email: str) -> str:
    """Mail a code to the new address; returns that address, masked. A taken address gets a different mail and a ticket
    that no answer opens, so the caller sees no difference. One that nobody has ever proved is free for whoever does."""
    await account.fresh(ctx)
    at = people.address(email)
    async with action(ctx) as acting:
        db = acting.db
        if at.key == acting.person["email_key"]:
            raise Invalid({"email": "value"})
        tenant = await _tenant(ctx, db, ctx.person.tenant_id)
        await address_proof.require_way_in(ctx, db, acting.person, tenant.rules)
        holder = await people.by_key(db, ctx.person.tenant_id, at.key)
        is_free = holder is None or people.is_unproved(holder)
        data = {"email": at.text, "email_key": at.key}
        mine = (ctx.person.tenant_id, _CODE, ctx.person.person_id)
        is_sent = await budgets.mail_of_session(ctx, db, *ctx.person.key, at.key)
        is_sent = await budgets.has_codes_left(ctx, db, _target(ctx, at.key)) and is_sent
        code = await mailed_code.issue(ctx, db, *mine, is_meant=is_free and is_sent, data=data)
        if is_sent:
            kind = "address_code" if is_free else "address_known"
            await mail.enqueue(ctx, db, tenant.id, kind, at.text, service=tenant.display_name, code=code)
        await record(ctx, db, Event.ADDRESS_STARTED, personal={"email": at.text})
    return people.masked(at.text)


async def waiting(ctx: Ctx) -> str | None:
    """The new address, masked, while its code is still valid."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, ctx.person.tenant_id, _CODE, ctx.person.person_id)
    email = once.carried(ctx, live).get("email") if live else None
    return people.masked(email) if email else None


async def prove(ctx: Ctx, answer: str) -> None:
    """Check the code and change the address."""
    await account.fresh(ctx)
    async with ctx.read() as db:
        live = await once.live(ctx, db, ctx.person.tenant_id, _CODE, ctx.person.person_id)
    to = once.carried(ctx, live) if live else {}

    async def compare(ctx: Ctx, is_closed: bool) -> Compared:
        is_right = mailed_code.matches(ctx, live, _CODE, ctx.person.person_id, answer)
        if live is None or is_closed or not is_right or "email" not in to:
            return wrong(ctx.person.person_id)

        async def take(db: Db) -> str | None:
            return str(live["id"]) if (await once.take(ctx, db, live)).is_first else None

        return Compared(True, ctx.person.person_id, take)

    async def mark(db: Db, compared: Compared) -> Right[None] | Outcome:
        at = Address(to["email"], to["email_key"])
        holders = await people.keys_at(db, ctx.person.tenant_id, at.key)
        await people.lock_all(db, {ctx.person.key, *holders}, or_closed=True)
        async with within(ctx, db, ends=Ends.PENDING) as acting:
            is_moved = await compared.mark(db) and await _move(ctx, db, acting.person, at)
            return Right(None) if is_moved else Outcome.WRONG

    refused = deferred(ctx, Event.ADDRESS_REFUSED)
    attempt = Attempt(
        tenant_id=ctx.person.tenant_id,
        target=_target(ctx, to.get("email_key", "")),
        compare=compare,
        mark=mark,
        refused=lambda _compared: (refused,),
        heavy=True,
    )
    await proof.prove(ctx, attempt)


def _target(ctx: Ctx, email_key: str) -> Target:
    """Refused codes count for the mailbox they were sent to, whoever asks for them: an account more costs nothing."""
    return Target(Guess.MAILED, ctx.person.tenant_id, _CODE, ctx.person.person_id, email_key)


async def _move(ctx: Ctx, db: Db, found: Any, at: Address) -> bool:
    """Change the person's row, issue the undo link and send both mails; False if the address is now taken. There is no
    link if the account only returns to an address that could undo its leaving. Codes and links in the mailbox of before
    count no more."""
    await address_proof.make_way(ctx, db, found, at.key)
    if not await people.set_address(ctx, db, *ctx.person.key, at):
        return False
    tenant = await _tenant(ctx, db, ctx.person.tenant_id)
    await address_proof.moved(ctx, db, found, at.text, tenant.rules)
    await once.end_mailed(ctx, db, *ctx.person.key)
    rows = await credentials.rows_of(db, *ctx.person.key)
    proved = account.proved_lately(ctx, tenant.rules)
    back = None
    if not await undo.is_returning(ctx, db, found["tenant_id"], found["id"], at, proved):
        back = await undo_link.issue(ctx, db, found, Change.ADDRESS, rows, proved)
    await record(ctx, db, Event.ADDRESS_CHANGED, personal={"email": at.text, "email_before": found["email"]})
    kind, service = Change.ADDRESS.value, tenant.display_name
    await mail.enqueue(ctx, db, tenant.id, kind, found["email"], service=service, link=back, person=found)
    await mail.enqueue(ctx, db, tenant.id, kind, at.text, service=service)
    return True


async def _tenant(ctx: Ctx, db: Db, tenant_id: str) -> tenants.Tenant:
    tenant = await tenants.by_id(ctx, db, tenant_id)
    if tenant is None:
        raise SessionEnded
    return tenant
