"""Undoing changes of what a person signs in with, by the address that stood before them. An undo is a pending sign-in
of its own purpose: it asks for a newly mailed code and for every second factor that stood before the change, takes the
change and all later ones back, and goes on as a recovery. It has no undo of its own.

Not here: issuing the links (`undo_link`), and running the sign-in (`signin`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import address_proof, credentials, mail, once, people, recovery, tenants, undo_link
from passgate.core.action import end_all
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import proved_of
from passgate.core.factors import email_code, password
from passgate.core.pending import SignIn
from passgate.core.people import Address
from passgate.core.undo_link import Undoable
from passgate.errors import Conflict, HandleInvalid
from passgate.store import Db


@dataclass(frozen=True, slots=True)
class Found:
    """What a link undoes, oldest first, and what that asks for. `is_paused`: not while an operator has disabled the
    account."""

    service: str = ""
    changes: tuple[Undoable, ...] = ()
    demanded: frozenset[str] = frozenset()
    is_paused: bool = False


async def find(ctx: Ctx, token: str) -> Found:
    """Raises HandleInvalid for a link that is unknown, used or too old."""
    async with ctx.read() as db:
        ticket = await undo_link.find(ctx, db, token)
        changes = await undo_link.since(ctx, db, ticket)
        tenant = await tenants.by_id(ctx, db, ticket["tenant_id"])
        found = await people.by_id(db, ticket["tenant_id"], ticket["bound_to"])
    if tenant is None or found is None or not changes:
        raise HandleInvalid
    is_paused = not people.is_live(found, or_closed=True)
    return Found(tenant.display_name, tuple(changes), asked(ctx, changes)[0], is_paused)


async def lock(
    db: Db, tenant_id: str, person_id: str, others: Iterable[people.Key] = (), *, at: str = ""
) -> RowMapping | None:
    """The person's row, locked together with those of `others` and of whoever has the address that returns to them
    (its key `at`); None while an operator has disabled the account: the undo then works afterwards. An account that its
    owner closed may be undone."""
    holders = await people.keys_at(db, tenant_id, at) if at else ()
    locked = await people.lock_all(db, {(tenant_id, person_id), *others, *holders}, or_closed=True)
    return locked.get((tenant_id, person_id))


async def known(ctx: Ctx, db: Db, sign_in: SignIn) -> SignIn:
    """What the undo asks for. Until it is done, only the credentials that stood before the change count, and those that
    a later change was made with. HandleInvalid if something is asked for that nobody can prove any more."""
    ticket = await once.by_id(db, sign_in.tenant_id, str(sign_in.data["undo"]))
    if ticket is None:
        raise HandleInvalid
    if ticket["taken_at"] is not None:  # by this sign-in: another one would have ended it
        has = await credentials.kinds(db, sign_in.tenant_id, sign_in.person_id or "")
        return replace(sign_in, enrolled=has, demanded=frozenset(), rows=None)
    changes = await undo_link.since(ctx, db, ticket)
    if not changes:
        raise HandleInvalid
    demanded, rows = asked(ctx, changes)
    enrolled = await credentials.usable_kinds(ctx, db, sign_in.tenant_id, sign_in.person_id or "", rows)
    if not demanded <= enrolled:
        raise HandleInvalid
    return replace(sign_in, enrolled=enrolled, demanded=demanded, rows=rows)


def asked(ctx: Ctx, changes: list[Undoable]) -> tuple[frozenset[str], frozenset[str]]:
    """The factors that an undo of these changes asks for beside the mailed code, and the credentials that count: every
    second factor that stood before the first change. If whoever made a change had proved all of that and more, they
    were no less the owner than whoever undoes it, so that more is asked for too. An app of a thief's, added since, is
    not what stood before."""
    first = changes[0]
    lasting = {name for name in ctx.factors.possession if ctx.factors[name].is_lasting}
    seconds = {kind for kind, ids in first.rows.items() if ids} & lasting
    rows, more = {one for ids in first.rows.values() for one in ids}, set[str]()
    for change in changes:
        beyond = change.proved - seconds - {email_code.name}
        has_all = {*seconds, email_code.name} <= change.proved and change.email_key == first.email_key
        is_same = all(set(change.rows.get(kind, ())) <= set(first.rows[kind]) for kind in seconds)
        if has_all and is_same and beyond:
            more |= beyond
            rows |= {one for kind in beyond for one in change.rows.get(kind, ())}
    return frozenset(seconds | more), frozenset(rows)


async def is_returning(ctx: Ctx, db: Db, tenant_id: str, person_id: str, at: Address, proved: frozenset[str]) -> bool:
    """Whether the address `at`, just proved, could undo everything since it was the account's, by somebody who has
    proved `proved`. Then the account only returns to it: links mailed since to other addresses end, so that whoever had
    moved the account away can't undo its return."""
    for ticket in await once.all_live(ctx, db, tenant_id, undo_link.KIND, person_id):
        changes = await undo_link.since(ctx, db, ticket)
        if changes[0].email_key == at.key and asked(ctx, changes)[0] <= proved:
            await undo_link.end_others(ctx, db, ticket, at.key)
            return True
    return False


async def advance(ctx: Ctx, db: Db, sign_in: SignIn) -> bool:
    """Take the changes back as soon as everything is proved, in the transaction of the last proof; True if it was."""
    done, possession = proved_of(sign_in.proofs), set(ctx.factors.possession)
    if sign_in.rows is None or email_code.name not in done:
        return False
    missing = sign_in.demanded - done
    codes = {name for name in possession if not ctx.factors[name].is_lasting}
    is_lost = bool(missing) and not done & codes
    if missing - possession or (is_lost and not await recovery.has_waited_for(ctx, db, sign_in)):
        return False
    await _take_back(ctx, db, sign_in, is_lost=is_lost)
    return True


async def _take_back(ctx: Ctx, db: Db, sign_in: SignIn, *, is_lost: bool) -> None:
    tenant_id, person_id = sign_in.tenant_id, sign_in.person_id or ""
    ticket = await once.by_id(db, tenant_id, str(sign_in.data["undo"]))
    found = await people.by_id(db, tenant_id, person_id)
    if ticket is None or found is None:
        raise HandleInvalid
    changes = await undo_link.since(ctx, db, ticket)
    if not changes or not (await once.take(ctx, db, ticket)).is_first:
        raise HandleInvalid
    first = changes[0]
    await once.end(ctx, db, tenant_id, undo_link.KIND, person_id, since=ticket["created_at"])
    await recovery.end_waits(ctx, db, tenant_id, person_id)
    ended = await end_all(ctx, db, tenant_id, person_id, "undone", but=sign_in.id)
    before = {one for ids in first.rows.values() for one in ids}
    await credentials.restore(ctx, db, tenant_id, person_id, before)
    if is_lost:  # as in a recovery: two other proofs stand for what is lost, and it goes
        await credentials.end_kinds(ctx, db, tenant_id, person_id, ctx.factors.possession)
    if password.name in sign_in.rules.first:  # a new one is asked for next; until then the old one opens nothing
        await credentials.end_kinds(ctx, db, tenant_id, person_id, [password.name])
    await people.reopen(ctx, db, tenant_id, person_id)
    is_moved = found["email_key"] != first.email_key
    if is_moved:
        await address_proof.make_way(ctx, db, found, first.email_key, begun_since=ticket["created_at"])
    if is_moved and not await people.set_address(ctx, db, tenant_id, person_id, Address(first.email, first.email_key)):
        raise Conflict("That email address now belongs to another account.")
    about: dict[str, Any] = {"tenant_id": tenant_id, "subject_id": person_id}
    if is_moved:
        personal = {"email": first.email, "email_before": found["email"]}
        await record(ctx, db, Event.ADDRESS_UNDONE, **about, personal=personal)
    await record(ctx, db, Event.CHANGES_UNDONE, **about, changes=[change.change.value for change in changes])
    await record(ctx, db, Event.SESSIONS_ENDED, **about, reason="undone", count=ended)
    kind = "address_restored" if is_moved else "factor_undone"
    await mail.enqueue(ctx, db, tenant_id, kind, first.email, service=sign_in.service)
