"""Account recovery: a mailed code and a new password; two different recovery methods for a lost second factor;
notifying the owner, who can stop it. No mailed code or link alone replaces a second factor.

Not here: running the sign-in, which is `signin`. Nothing here reveals whether an address has an account.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from passgate.core import credentials, mail, once, pending, people, tenants, undo_link
from passgate.core.action import end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import LINK as LINK_PROOF
from passgate.core.factor import proved_of
from passgate.core.factors import email_code
from passgate.core.pending import SignIn
from passgate.core.undo_link import Change
from passgate.errors import HandleInvalid
from passgate.i18n import N_
from passgate.store import Db
from passgate.world import SECOND

STOP = "pg_stp_"
LINK, LINK_ASKED = "link", "link_asked"
RESET, RESET_ASKED = "reset", "reset_asked"
ADDRESS_CODE = "address"
"""Tickets of codes for a new address."""
_DROP, _STOP = "release", "stop"
_AFTERWARDS = 7 * 24 * 3600
"""Seconds during which lost factors can be removed after the waiting period."""


async def announce(ctx: Ctx, db: Db, sign_in: SignIn) -> None:
    """Send the mail: a code for a live account, an explanation for any other address."""
    found = await people.by_key(db, sign_in.tenant_id, sign_in.email_key)
    await email_code.send(ctx, db, sign_in, found, is_meant=found is not None and people.is_live(found))


async def complete(ctx: Ctx, db: Db, sign_in: SignIn, what: str, link: str | None = None) -> None:
    """A factor was set up in a recovery, or lost ones were removed: end all sessions and other pending sign-ins, and
    notify the owner. `what`: the heading of that mail; `link` undoes it."""
    if sign_in.person_id is None:
        return
    ended = await end_all(ctx, db, sign_in.tenant_id, sign_in.person_id, "recovered", but=sign_in.id)
    if ended:
        await record(
            ctx,
            db,
            Event.SESSIONS_ENDED,
            tenant_id=sign_in.tenant_id,
            subject_id=sign_in.person_id,
            reason="recovered",
            count=ended,
        )
    for to in await _addresses(ctx, db, sign_in.tenant_id, sign_in.person_id):
        heading = what or N_("Your account was recovered")
        await mail.enqueue(
            ctx, db, sign_in.tenant_id, "recovered", to, service=sign_in.service, what=heading, link=link
        )


# -- a lost second factor --------------------------------------------------------------------------


def _ways_proved(ctx: Ctx, sign_in: SignIn) -> frozenset[str]:
    """The distinct recovery methods proved, including a link."""
    return proved_of(sign_in.proofs) & {*ctx.factors.ways_back, LINK_PROOF}


async def drop_lost_factors(ctx: Ctx, db: Db, sign_in: SignIn) -> bool:
    """True if a recovery has proved two different methods, or one where all second factors are provisional, and the
    person's lost factors were removed. With a waiting period, the first call only starts it and notifies all of the
    owner's addresses, from which it can be stopped."""
    possession, person_id = set(ctx.factors.possession), sign_in.person_id
    lost = sign_in.enrolled & possession
    if not sign_in.journey.is_recovery or person_id is None or not lost:
        return False
    if proved_of(sign_in.proofs) & possession or not await _has_ways(ctx, db, sign_in):
        return False
    if not await _has_waited(ctx, db, sign_in, person_id):
        return False
    found, rows = (
        await people.by_id(db, sign_in.tenant_id, person_id),
        await credentials.rows_of(db, sign_in.tenant_id, person_id),
    )
    if found is None:
        return False
    ways = _ways_proved(ctx, sign_in)
    await credentials.end_kinds(ctx, db, sign_in.tenant_id, person_id, [*possession, credentials.BROWSER])
    await record(
        ctx,
        db,
        Event.FACTORS_RELEASED,
        tenant_id=sign_in.tenant_id,
        subject_id=sign_in.person_id,
        factors=sorted(lost),
        ways=sorted(ways),
    )
    link = await undo_link.issue(ctx, db, found, Change.REMOVED, rows, proved_of(sign_in.proofs), factor=min(lost))
    await complete(ctx, db, sign_in, N_("Your two-step verification was reset"), link)
    return True


async def _has_ways(ctx: Ctx, db: Db, sign_in: SignIn) -> bool:
    """Whether two different recovery methods are proved. One is enough against second factors that nothing but a
    password vouched for within the last week."""
    ways = _ways_proved(ctx, sign_in)
    if len(ways) != 1 or sign_in.person_id is None or sign_in.journey.is_undo:
        return len(ways) > 1
    return not await credentials.settled(ctx, db, sign_in.tenant_id, sign_in.person_id)


async def has_waited_for(ctx: Ctx, db: Db, sign_in: SignIn) -> bool:
    """Whether two recovery methods stand for a second factor now. The first call starts the waiting period."""
    is_asked = sign_in.person_id is not None and len(_ways_proved(ctx, sign_in)) > 1
    return is_asked and await _has_waited(ctx, db, sign_in, str(sign_in.person_id))


async def end_waits(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> None:
    """Nothing that was asked for waits any longer: no removal of factors, no sign-in link, no new address."""
    for kind in (_DROP, LINK, LINK_ASKED, RESET, RESET_ASKED, _STOP, ADDRESS_CODE):
        await once.end(ctx, db, tenant_id, kind, person_id)


async def end_made(ctx: Ctx, db: Db, tenant_id: str, maker: str) -> None:
    """Invalidate the sign-in links and resets of others that an admin has made or approved, alone or as one of two."""
    for kind in (LINK, LINK_ASKED, RESET, RESET_ASKED):
        for row in await once.of_kind(ctx, db, kind):
            data = once.carried(ctx, row) if row["tenant_id"] == tenant_id else {}
            if maker in (data.get("maker"), *(data.get("makers") or ())):
                await once.end_one(ctx, db, row)


async def _has_waited(ctx: Ctx, db: Db, sign_in: SignIn, person_id: str) -> bool:
    wait = ctx.settings.recovery.waiting(ctx.settings)
    if not wait:
        return True
    begun = await once.live(ctx, db, sign_in.tenant_id, _DROP, person_id)
    if begun is not None and (usable := _usable_at(ctx, begun)) is not None:
        return usable <= ctx.now() and (await once.take(ctx, db, begun)).is_first
    usable_at = ctx.now() + wait * SECOND
    life, data = wait + _AFTERWARDS, {"usable_at": usable_at}
    await once.issue(ctx, db, sign_in.tenant_id, _DROP, person_id, b"", life=life, data=data)
    await record(ctx, db, Event.RELEASE_ASKED, tenant_id=sign_in.tenant_id, subject_id=person_id)
    await warn_owner(ctx, db, sign_in.tenant_id, person_id, "recovery_asked", life=life)
    return False


async def usable_at(ctx: Ctx, sign_in: SignIn) -> int | None:
    """The instant from which a recovery without its second factor can be finished; None if nothing is waiting."""
    if not sign_in.journey.is_recovery or sign_in.person_id is None or not _ways_proved(ctx, sign_in):
        return None
    if proved_of(sign_in.proofs) & set(ctx.factors.possession):
        return None
    async with ctx.read() as db:
        if not await _has_ways(ctx, db, sign_in):
            return None
        begun = await once.live(ctx, db, sign_in.tenant_id, _DROP, sign_in.person_id)
    return _usable_at(ctx, begun) if begun else None


def _usable_at(ctx: Ctx, begun: RowMapping) -> int | None:
    """None if the ticket can no longer be read, as after a lost key: the waiting period then begins anew."""
    found = once.carried(ctx, begun).get("usable_at")
    return int(found) if found is not None else None


async def cancel_drop(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> None:
    """A second factor was proved after all, and not one that a thief may have added: cancel the pending removal."""
    if await once.live(ctx, db, tenant_id, _DROP, person_id):
        await _stop(ctx, db, tenant_id, person_id)


# -- notifying the owner, and stopping -------------------------------------------------------------


async def warn_owner(ctx: Ctx, db: Db, tenant_id: str, person_id: str, kind: str, *, life: int) -> None:
    """Mail every address of the person, with a link that stops the recovery or the sign-in link. `life` in seconds."""
    minted = ctx.ring.mint(STOP)
    await once.issue(ctx, db, tenant_id, _STOP, person_id, minted.hash, life=life, keep_older=True)
    link = await tenants.link(ctx, db, tenant_id, f"/recover/stop/{minted.token}")
    tenant = await tenants.by_id(ctx, db, tenant_id)
    for to in await _addresses(ctx, db, tenant_id, person_id):
        await mail.enqueue(ctx, db, tenant_id, kind, to, service=tenant.display_name if tenant else "", link=link)


async def _addresses(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> list[str]:
    """The current address, and those that can still undo a change."""
    found = await people.by_id(db, tenant_id, person_id)
    older = await undo_link.addresses(ctx, db, tenant_id, person_id)
    return list(dict.fromkeys((*([found["email"]] if found else []), *older)))


async def stop(ctx: Ctx, token: str) -> None:
    """The owner objects: no factor is removed, and no sign-in link made for them works any more. HandleInvalid."""
    row = await find_stop(ctx, token)
    if row is None:
        raise HandleInvalid
    async with ctx.write() as db:
        tenant = await tenants.by_id(ctx, db, row["tenant_id"])
        if tenant is None or tenant.is_disabled or not await people.lock(db, row["tenant_id"], row["bound_to"]):
            raise HandleInvalid
        if not (await once.take(ctx, db, row)).is_first:
            raise HandleInvalid
        await _stop(ctx, db, row["tenant_id"], row["bound_to"])


async def _stop(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> None:
    await pending.end_all(ctx, db, tenant_id, person_id)
    await end_waits(ctx, db, tenant_id, person_id)
    await record(ctx, db, Event.RECOVERY_STOPPED, tenant_id=tenant_id, subject_id=person_id)


async def find_stop(ctx: Ctx, token: str) -> RowMapping | None:
    """The ticket of a stop link; None if it is used, expired or unknown."""
    secret_hash: Any = ctx.ring.presented(STOP, token)
    if secret_hash is None:
        return None
    async with ctx.read() as db:
        return await once.by_secret(ctx, db, _STOP, secret_hash)
