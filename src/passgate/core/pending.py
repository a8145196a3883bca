"""The pending sign-in: its row, its value, and every statement on it. It is not trusted; no session check accepts it.

Not here: what it requires (`policy`) and what advances it (`signin`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import BigInteger, RowMapping, Select, bindparam, delete, select, update

from passgate.core import tenants
from passgate.core.audit import canonical
from passgate.core.ctx import Ctx
from passgate.core.journey import JOURNEYS, Journey
from passgate.core.rules import Rules
from passgate.errors import HandleInvalid
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import sign_in as table
from passgate.store.tables import tenant as tenant_table
from passgate.world import SECOND

PREFIX = "pg_sin_"
ATTEMPTS = 10
"""Refusals, and tries that came too soon, after which a handle is invalid."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """`data` is sealed at rest; `proofs` is what it has proved so far; `enrolled` is what the named person has, empty
    until one is named."""

    id: str
    tenant_id: str
    tenant_name: str
    service: str
    rules: Rules
    journey: Journey
    person_id: str | None
    carrier_id: str | None
    """Of a step-up: what asked for it."""
    proofs: tuple[str, ...]
    proofs_text: str
    proved_at: Mapping[str, int]
    """When each of `proofs` was given, in microseconds."""
    created_at: int
    expires_at: int
    data: dict[str, Any] = field(repr=False)
    enrolled: frozenset[str] = frozenset()
    is_remembered: bool = False
    demanded: frozenset[str] = frozenset()
    """Of an undo, until it is done: the factors to prove, and `rows`: the credentials that count instead of the live
    ones."""
    rows: frozenset[str] | None = None
    gone: frozenset[str] = frozenset()
    """First factors that it has proved and that its person no longer has."""

    @property
    def key(self) -> dict[str, str]:
        """What the statements on its row bind."""
        return {"of_tenant": self.tenant_id, "of_sign_in": self.id}

    @property
    def email_key(self) -> str:
        return str(self.data.get("email_key", ""))

    @property
    def email(self) -> str:
        return str(self.data.get("email", ""))

    @property
    def identifier(self) -> str:
        """What was typed at its start: an address or a username, or nothing."""
        return self.email or str(self.data.get("username", ""))

    @property
    def identifier_key(self) -> str:
        """One of an address has an @, and one of a username has none, so they are never equal."""
        return self.email_key or str(self.data.get("username_key", ""))

    @property
    def is_by_username(self) -> bool:
        return "username" in self.data

    @property
    def personal(self) -> dict[str, str]:
        """The personal part of its audit rows. A username is the same there in all its spellings."""
        found = {"email": self.email, "username": str(self.data.get("username_key", ""))}
        return {name: text for name, text in found.items() if text}


@dataclass(frozen=True, slots=True)
class ByChallenge:
    """Names a pending sign-in without its handle. Only `by_challenge` makes one, for whoever answers the challenge of
    that sign-in; a test sees to that."""

    tenant_id: str
    id: str


_THIS = (table.c.tenant_id == bindparam("of_tenant"), table.c.id == bindparam("of_sign_in"))
_UNFINISHED = table.c.finished_at.is_(None)
_PENDING = (*_THIS, _UNFINISHED, table.c.refused < ATTEMPTS)
_IN_TIME = table.c.expires_at > bindparam("now", type_=BigInteger)
_SPEND = update(table).where(*_PENDING, table.c.spent + table.c.throttled < ATTEMPTS).values(spent=table.c.spent + 1)
_GIVE_BACK = update(table).where(*_THIS).values(spent=table.c.spent - 1)
# Counted apart from refusals: a proof that is being compared meanwhile still counts, and then clears it.
_THROTTLE = update(table).where(*_THIS).values(spent=table.c.spent - 1, throttled=table.c.throttled + 1)
_REFUSE = update(table).where(*_THIS).values(refused=table.c.refused + 1)
_ADD_PROOF = (
    update(table)
    .where(*_PENDING, _IN_TIME, table.c.proofs == bindparam("proofs_before"))
    .values(proofs=bindparam("proofs_after"), person_id=bindparam("of_person"), spent=table.c.spent - 1, throttled=0)
)
_FINISH = update(table).where(*_PENDING, _IN_TIME).values(finished_at=bindparam("now", type_=BigInteger))
_BY_ID = select(table).where(*_THIS)
_WITH_TENANT = select(
    table, tenant_table.c.name, tenant_table.c.display_name, tenant_table.c.policy, tenant_table.c.disabled_at
).join(tenant_table, tenant_table.c.id == table.c.tenant_id)
_BY_HANDLE = _WITH_TENANT.where(table.c.handle_hash == bindparam("of_handle"))
_BY_CHALLENGE = _WITH_TENANT.where(*_THIS)


async def begin(
    ctx: Ctx,
    db: Db,
    tenant: tenants.Tenant,
    journey: Journey,
    data: dict[str, Any],
    *,
    person_id: str | None = None,
    carrier_id: str | None = None,
    proofs: tuple[str, ...] = (),
) -> tuple[SignIn, str]:
    """Insert a row; returns it with its handle, which is returned only this once. `data` is sealed."""
    minted = ctx.ring.mint(PREFIX)
    now = ctx.now()
    row: dict[str, Any] = {
        "id": ctx.world.uuid(),
        "tenant_id": tenant.id,
        "purpose": journey.name,
        "handle_hash": minted.hash,
        "person_id": person_id,
        "carrier_id": carrier_id,
        "proofs": json.dumps(dict.fromkeys(proofs, now)),
        "created_at": now,
        "expires_at": now + ctx.settings.signin.life * SECOND,
    }
    sealed = ctx.ring.seal("sign_in", f"sign_in:{row['id']}", canonical(data))
    await db.add(table, **row, data_sealed=sealed)
    return _value(row, data, tenant.name, tenant.display_name, tenant.rules), minted.token


async def find(ctx: Ctx, handle: str | ByChallenge) -> SignIn:
    """The pending sign-in of a handle, or HandleInvalid: unknown, finished, expired, refused ten times. Does not load
    what its person has enrolled."""
    query, given = _wanted(ctx, handle)
    async with ctx.read() as db:
        row = await db.one(query, **given)
    if row is None or row["finished_at"] is not None or row["disabled_at"] is not None:
        raise HandleInvalid
    if ctx.site.tenant not in (None, row["name"]):  # begun on another tenant's site
        raise HandleInvalid
    if row["expires_at"] <= ctx.now() or _is_dead(row):
        raise HandleInvalid
    try:
        data = json.loads(ctx.ring.unseal("sign_in", f"sign_in:{row['id']}", row["data_sealed"]))
    except Unreadable:
        raise HandleInvalid from None
    rules = Rules.parsed(row["policy"], ctx.factors)
    if "username" in data and rules.usernames == "off":  # switched off since it began
        raise HandleInvalid
    return _value(row, data, row["name"], row["display_name"], rules)


def _wanted(ctx: Ctx, handle: str | ByChallenge) -> tuple[Select[Any], dict[str, Any]]:
    if isinstance(handle, ByChallenge):
        return _BY_CHALLENGE, {"of_tenant": handle.tenant_id, "of_sign_in": handle.id}
    handle_hash = ctx.ring.presented(PREFIX, handle)
    if handle_hash is None:
        raise HandleInvalid
    return _BY_HANDLE, {"of_handle": handle_hash}


def _value(row: RowMapping | dict[str, Any], data: dict[str, Any], name: str, service: str, rules: Rules) -> SignIn:
    return SignIn(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant_name=name,
        service=service,
        rules=rules,
        journey=JOURNEYS[row["purpose"]],
        person_id=row["person_id"],
        carrier_id=row["carrier_id"],
        proofs=tuple(proved_at := _proofs(row)),
        proofs_text=row["proofs"],
        proved_at=proved_at,
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        data=data,
    )


# -- attempts --------------------------------------------------------------------------------------


async def spend(db: Db, sign_in: SignIn) -> bool:
    """Debit one attempt; False if none is left or the sign-in is over. `add_proof` and `give_back` refund it."""
    return await db.change(_SPEND, **sign_in.key) == 1


async def give_back(db: Db, sign_in: SignIn) -> None:
    await db.change(_GIVE_BACK, **sign_in.key)


async def throttle(db: Db, sign_in: SignIn) -> None:
    """Count an attempt that came too soon; it was not compared."""
    await db.change(_THROTTLE, **sign_in.key)


async def refuse(db: Db, sign_in: SignIn) -> None:
    """Count a wrong answer; the tenth invalidates the handle."""
    await db.change(_REFUSE, **sign_in.key)


# -- proofs ----------------------------------------------------------------------------------------


async def add_proof(ctx: Ctx, db: Db, sign_in: SignIn, proof: str, person_id: str | None) -> bool:
    """Add a proof, only to the proofs present when the answer was compared, and only while the sign-in is pending.
    Refunds the attempt spent on it."""
    moved = await db.change(
        _ADD_PROOF,
        **sign_in.key,
        now=ctx.now(),
        proofs_before=sign_in.proofs_text,
        proofs_after=json.dumps({**sign_in.proved_at, proof: ctx.now()}),
        of_person=person_id,
    )
    return moved == 1


async def new_handle(ctx: Ctx, db: Db, sign_in: SignIn) -> str:
    """Replace the handle, which is returned only this once; whoever else knew the old one is left with nothing."""
    minted = ctx.ring.mint(PREFIX)
    await db.change(update(table).where(*_THIS).values(handle_hash=minted.hash), **sign_in.key)
    return minted.token


async def with_data(ctx: Ctx, db: Db, sign_in: SignIn, **changed: Any) -> SignIn:
    """Change its sealed data; None takes a member away. The caller has just written the row, or nobody else does."""
    data = {name: value for name, value in {**sign_in.data, **changed}.items() if value is not None}
    sealed = ctx.ring.seal("sign_in", f"sign_in:{sign_in.id}", canonical(data))
    await db.change(update(table).where(*_THIS, _UNFINISHED).values(data_sealed=sealed), **sign_in.key)
    return replace(sign_in, data=data)


async def proofs_now(db: Db, sign_in: SignIn) -> tuple[tuple[str, ...], bool]:
    """Its current proofs, and whether it is invalid after ten refusals, or missing."""
    row = await db.one(_BY_ID, **sign_in.key)
    return (tuple(_proofs(row)), _is_dead(row)) if row else ((), True)


async def is_over(db: Db, sign_in: SignIn) -> bool:
    """Whether it is finished, ended, invalid after ten refusals, or missing."""
    row = await db.one(_BY_ID, **sign_in.key)
    return row is None or row["finished_at"] is not None or _is_dead(row)


def _proofs(row: RowMapping | dict[str, Any]) -> dict[str, int]:
    """When each proof was given. A row of an older version lists the proofs alone."""
    found = json.loads(row["proofs"])
    return found if isinstance(found, dict) else dict.fromkeys(found, int(row["created_at"]))


def _is_dead(row: RowMapping) -> bool:
    return bool(row["refused"] + row["throttled"] >= ATTEMPTS)


async def name(ctx: Ctx, db: Db, before: SignIn, named: SignIn) -> None:
    """Store the person, and possibly new tenant, that a sign-up created, with what that proved."""
    proved_at = {proof: named.proved_at.get(proof, ctx.now()) for proof in named.proofs}
    values = {"person_id": named.person_id, "tenant_id": named.tenant_id, "proofs": json.dumps(proved_at)}
    await db.change(update(table).where(*_THIS).values(**values), **before.key)


# -- ending ----------------------------------------------------------------------------------------


async def take(ctx: Ctx, db: Db, before: SignIn) -> SignIn:
    """Mark as finished, for one caller only, then read the row again: proofs added meanwhile count."""
    if not await db.change(_FINISH, **before.key, now=ctx.now()):
        raise HandleInvalid
    row = await db.one(_BY_ID, **before.key)
    if row is None:
        raise HandleInvalid
    proved_at = _proofs(row)
    return replace(
        before,
        proofs=tuple(proved_at),
        proved_at=proved_at,
        person_id=row["person_id"],
        tenant_id=row["tenant_id"],
    )


async def purge(db: Db, before: int) -> None:
    """Delete sign-ins that expired before then."""
    await db.change(delete(table).where(table.c.expires_at < before))


async def end(ctx: Ctx, db: Db, tenant_id: str, sign_in_id: str) -> None:
    """End one pending sign-in, wherever it runs."""
    this = update(table).where(table.c.tenant_id == tenant_id, table.c.id == sign_in_id, _UNFINISHED)
    await db.change(this.values(finished_at=ctx.now()))


async def end_step_ups(ctx: Ctx, db: Db, sign_in: SignIn, carrier_id: str) -> None:
    """End the other step-ups of a carrier, whose secret changes now: who asked for them has the old one."""
    others = (table.c.tenant_id == sign_in.tenant_id, table.c.carrier_id == carrier_id, table.c.id != sign_in.id)
    await db.change(update(table).where(*others, _UNFINISHED).values(finished_at=ctx.now()))


async def end_all(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, *, but: str = "", spared: tuple[str, ...] = ()
) -> None:
    """End a person's pending sign-ins: one that proved a factor before it became invalid must not open a session.
    `but`: the id of one to leave open; `spared`: purposes to leave alone."""
    mine = update(table).where(
        table.c.tenant_id == tenant_id, table.c.person_id == person_id, _UNFINISHED, table.c.id != but
    )
    mine = mine.where(table.c.purpose.not_in(spared)) if spared else mine
    await db.change(mine.values(finished_at=ctx.now()))
