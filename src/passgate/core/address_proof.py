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
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import access, budgets, credentials, mail, once, pending, people, recovery, tenants, undo_link
from passgate.core.action import end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import names_of
from passgate.core.factors import email_code
from passgate.core.pending import SignIn
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
    proved their address: it is that, or it stays theirs if this sign-in proves the address too. An undo has its code
    mailed to another address."""
    if found["email_verified_at"] is not None:
        return sign_in
    if factor != email_code.name:
        return await pending.with_data(ctx, db, sign_in, used=[*sign_in.data.get("used", ()), used])
    if not sign_in.journey.is_undo:
        await take(ctx, db, found, _exempt(sign_in))
    return sign_in


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


async def moved(ctx: Ctx, db: Db, found: RowMapping, to: str, carrier: str, proofs: Iterable[str]) -> None:
    """The same for somebody who has proved another address (`to`) in a session of theirs (`carrier`), in which they had
    given these proofs. `found`: the row as it was before."""
    if found["first_proved_at"] is None:
        used = await _used(db, found, proofs)
        await _end_before(ctx, db, found, Exempt(used, carrier=carrier), moved_to=to)


async def turned_on(ctx: Ctx, db: Db, found: RowMapping, carrier: str, proofs: Iterable[str], made: str) -> None:
    """The same for somebody who has turned mailed codes on in a session of theirs: the code `made` that factor, and
    proved the address."""
    if found["email_verified_at"] is None:
        used = {made, *await _used(db, found, proofs)}
        await take(ctx, db, found, Exempt(frozenset(used), carrier=carrier))


async def _used(db: Db, found: RowMapping, proofs: Iterable[str]) -> frozenset[str]:
    """The ids of the credentials that a session's proofs were given with. It does not say which of several of a
    kind."""
    mine, rows = names_of(proofs), await credentials.rows_of(db, found["tenant_id"], found["id"])
    return frozenset(ids[0] for kind, ids in rows.items() if kind in mine and len(ids) == 1)


async def _end_before(ctx: Ctx, db: Db, found: RowMapping, left: Exempt, *, moved_to: str = "") -> None:
    """Roles that an account was given while its address was only claimed end too, unless whoever had the account proves
    that very address: they were meant for the reader of that mailbox, and neither for another one nor unseen."""
    key = (found["tenant_id"], found["id"])
    stays = await credentials.own_rows(db, *key, left.rows)
    ended = await credentials.end_but(ctx, db, *key, stays)
    await once.end(ctx, db, key[0], undo_link.KIND, key[1])
    await recovery.end_waits(ctx, db, *key)
    sessions = await end_all(ctx, db, *key, REASON, but=left.sign_in, but_carrier=left.carrier)
    is_somebody_else = found["claimed_at"] is not None and (moved_to or not stays)
    roles = await access.take_extra(ctx, db, *key, REASON) if is_somebody_else else []
    about: dict[str, Any] = {"tenant_id": key[0], "subject_id": key[1]}
    facts: dict[str, Any] = {"ended": sorted({kind for _, kind in ended}), "sessions": sessions, "roles": roles}
    await record(ctx, db, Event.ADDRESS_PROVED, **about, personal={"email": moved_to or found["email"]}, **facts)
    if sessions:
        await record(ctx, db, Event.SESSIONS_ENDED, **about, reason=REASON, count=sessions)
    await _notify_owners(ctx, db, found, roles)
    await budgets.forget(db, key[1], tuple(ctx.factors.proofs))  # refusals and locks of whoever was in it


async def _notify_owners(ctx: Ctx, db: Db, found: RowMapping, roles: Iterable[str]) -> None:
    """Whoever gave the roles decides whether the owner of the mailbox gets them."""
    if not roles:
        return
    tenant = await tenants.by_id(ctx, db, found["tenant_id"])
    service, label = tenant.display_name if tenant else "", found["email"]
    for to in await access.owners(db, found["tenant_id"], but=found["id"]):
        what = ", ".join(roles)
        await mail.enqueue(ctx, db, found["tenant_id"], "roles_ended", to, service=service, what=what, label=label)
