"""Sessions and their carriers: open, find, lift, touch, end. A session is the result of a sign-in, and the only thing
that authorises a person to act; a carrier has a secret and the level that was proved with it. Only `signin.finish`
opens one. Nothing that has ended becomes live: nothing resets `ended_at`. A step-up leaves the session's id as it is
and gives the carrier that asked a new secret; other carriers of the session keep theirs.

Not here: where in a request a secret stands, which is `web`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    String,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from passgate.core import people, refresh_token, session_lives, tenants
from passgate.core.ctx import Ctx, Person
from passgate.core.policy import amr_of, least, stronger, suffices
from passgate.core.refresh_token import RefreshToken
from passgate.core.rules import Rules
from passgate.errors import CredentialInvalid, NotFound, SessionEnded, SessionSuperseded, StepUpNeeded
from passgate.seal import Minted
from passgate.store import Db
from passgate.store.point import Lookup
from passgate.store.tables import carrier, person, role, role_grant, session, superseded_secret, tenant
from passgate.world import SECOND

PREFIX = "pg_ses_"
"""Lets secret scanners find a leaked token."""

# Literals, because a bound comma would be another parameter of LOOKUP.
_COMMA, _EQUALS, _NOTHING = (literal_column(text, String) for text in ("','", "'='", "''"))
_ROLES = (
    select(
        func.aggregate_strings(
            role_grant.c.role + func.coalesce(_EQUALS + role.c.permissions, _NOTHING),
            _COMMA,  # type: ignore[arg-type]
        )
    )
    .select_from(role_grant)
    .outerjoin(role, and_(role.c.tenant_id == person.c.tenant_id, role.c.name == role_grant.c.role))
    .where(role_grant.c.person_id == person.c.id)
)
"""Such as `user,auditor=audit:read users:read`: after a role of the tenant's own what it allows, as stored."""
_WHOLE = (
    select(
        session.c.id,
        session.c.tenant_id,
        session.c.person_id,
        session.c.created_at,
        session.c.began_at,
        session.c.last_used_at,
        session.c.idle_expires_at,
        session.c.expires_at,
        session.c.ended_at,
        session.c.browser,
        session.c.os,
        session.c.ip,
        carrier.c.id.label("carrier_id"),
        carrier.c.generation,
        carrier.c.auth_time,
        carrier.c.amr,
        carrier.c.acr,
        carrier.c.proofs,
        carrier.c.ended_at.label("carrier_ended_at"),
        person.c.email,
        person.c.username,
        person.c.email_verified_at,
        person.c.profile,
        person.c.created_at.label("person_created_at"),
        person.c.updated_at.label("person_updated_at"),
        person.c.disabled_at.label("person_disabled_at"),
        tenant.c.name,
        tenant.c.display_name,
        tenant.c.disabled_at.label("tenant_disabled_at"),
        tenant.c.policy,
        _ROLES.scalar_subquery().label("roles"),
    )
    .join(carrier, carrier.c.session_id == session.c.id)
    .join(person, person.c.id == session.c.person_id)
    .join(tenant, tenant.c.id == session.c.tenant_id)
)
"""Everything a request needs to know of a session, in one indexed query."""
LOOKUP = Lookup(_WHOLE.where(carrier.c.secret_hash == b""))
_IS_FAMILY = carrier.c.kind == literal_column("'jwt'", String)
_BY_ID = Lookup(_WHOLE.where(session.c.id == "", _IS_FAMILY))
_FAMILY = Lookup(
    _WHOLE.add_columns(carrier.c.rotation, carrier.c.rotated_at, carrier.c.secret_hash, carrier.c.key_thumbprint).where(
        carrier.c.id == "", _IS_FAMILY
    )
)
"""The same columns in the same places, and then those of a refresh family."""
_EXPIRIES = LOOKUP.several("idle_expires_at", "expires_at")
_ENDS = LOOKUP.several("ended_at", "carrier_ended_at", "person_disabled_at", "tenant_disabled_at")
_NO_END = (None, None, None, None)
_policy = itemgetter(LOOKUP.index["policy"])
_amr = msgspec.json.Decoder(tuple[str, ...]).decode
_proofs = msgspec.json.Decoder(dict[str, int]).decode
_OF_PERSON = LOOKUP.several(
    "tenant_id", "person_id", "id", "carrier_id", "generation", "acr", "amr", "auth_time", "proofs"
)
_SUPERSEDED = Lookup(
    select(session.c.ended_at)
    .join(carrier, carrier.c.session_id == session.c.id)
    .join(superseded_secret, superseded_secret.c.carrier_id == carrier.c.id)
    .where(superseded_secret.c.secret_hash == b"")
)

Kind = Literal["cookie", "bearer", "jwt"]


@dataclass(frozen=True, slots=True)
class Opened:
    """`token` is returned only once; that of a refresh family is its refresh token."""

    token: str
    session: dict[str, Any]
    carrier_id: str
    is_new_device: bool


_THEIRS = (session.c.tenant_id == bindparam("of_tenant"), session.c.person_id == bindparam("of_person"))
_SEEN = select(
    exists().where(*_THEIRS).label("any"),
    exists()
    .where(*_THEIRS, session.c.browser == bindparam("as_browser"), session.c.os == bindparam("as_os"))
    .label("same"),
    select(tenant.c.policy).where(tenant.c.id == bindparam("of_tenant")).scalar_subquery().label("policy"),
)


@dataclass(frozen=True, slots=True)
class Proved:
    """What a sign-in or step-up proved, and the kind of carrier it is for. `proofs`: when each was given."""

    kind: Kind
    proofs: Mapping[str, int]
    amr: tuple[str, ...]
    acr: str

    def level(self, now: int) -> dict[str, Any]:
        """The columns of the level that was proved now."""
        return {
            "kind": self.kind,
            "proofs": json.dumps(dict(self.proofs)),
            "amr": json.dumps(self.amr),
            "acr": self.acr,
            "auth_time": now,
        }


async def open_session(ctx: Ctx, db: Db, tenant_id: str, person_id: str, proved: Proved) -> Opened:
    """Open a session with one carrier, always with new ids and a new secret. Only the secret's hash is stored."""
    now = ctx.now()
    both = {"tenant_id": tenant_id, "created_at": now, "ended_at": None}
    row = {"id": ctx.world.uuid(), "person_id": person_id, **both, **_used(ctx, now, proved.acr)}
    carried = {"id": ctx.world.uuid(), "session_id": row["id"], **both, **proved.level(now)}
    minted = _minted(ctx, proved.kind, carried["id"], 0)
    device = {"as_browser": ctx.origin.browser, "as_os": ctx.origin.os}
    seen = await db.one(_SEEN, of_tenant=tenant_id, of_person=person_id, **device)
    await people.used(db, tenant_id, person_id, now)
    await db.add(session, **row)
    await db.add(carrier, **carried, secret_hash=minted.hash)
    rules = Rules.parsed(seen["policy"], ctx.factors) if seen else Rules()
    is_new = bool(seen and seen["any"] and not seen["same"])
    return Opened(minted.token, as_json({**carried, **row}, rules, current=True), carried["id"], is_new)


def _minted(ctx: Ctx, kind: Kind, carrier_id: str, rotation: int) -> Minted:
    if kind == "jwt":
        return refresh_token.minted(ctx.ring, carrier_id, rotation, ctx.world.bytes(32))
    return ctx.ring.mint(PREFIX)


def _used(ctx: Ctx, now: int, acr: str) -> dict[str, Any]:
    """The columns of a session that was proved now: its lifetimes, and where it is used."""
    idle, absolute = session_lives.written(ctx.settings, acr)
    return {
        "began_at": now,
        "last_used_at": now,
        "idle_expires_at": now + min(idle, absolute) * SECOND,
        "expires_at": now + absolute * SECOND,
        "browser": ctx.origin.browser,
        "os": ctx.origin.os,
        "ip": ctx.origin.ip,
    }


async def find(ctx: Ctx, token: str, *, at_any_level: bool = False) -> Person:
    """The person of a live session, by the secret of one of its carriers; raises CredentialInvalid, SessionEnded, or
    StepUpNeeded for a level that the tenant's rules no longer accept, unless `at_any_level`. The MAC is checked before
    the database is queried; every call queries it, so a session ended, or a rule raised, a moment ago counts."""
    secret_hash = ctx.ring.presented(PREFIX, token)
    if secret_hash is None:
        raise CredentialInvalid
    read = await ctx.services.store.point.one(LOOKUP, secret_hash)
    if read is None:
        raise await _missing(ctx, secret_hash)
    found = _person(ctx, LOOKUP, read)
    return found if at_any_level else leveled(ctx, found)


async def of_family(ctx: Ctx, session_id: str) -> Person:
    """The person of a live session that is carried by a refresh family, at whatever level. CredentialInvalid,
    SessionEnded."""
    read = await ctx.services.store.point.one(_BY_ID, session_id)
    if read is None:
        raise CredentialInvalid
    return _person(ctx, _BY_ID, read)


async def opened_family(ctx: Ctx, db: Db, tenant_id: str, carrier_id: str) -> Person:
    """The same of a family that this transaction has opened or stepped up. SessionEnded."""
    row = await db.one(_WHOLE.where(*_this(tenant_id, carrier_id)))
    if row is None:
        raise SessionEnded
    return _person(ctx, LOOKUP, tuple(row.values()))


async def family(ctx: Ctx, family_id: str) -> tuple[Person | None, Mapping[str, Any]]:
    """A refresh family, and whose it is: None if the session or the family has ended. CredentialInvalid."""
    read = await ctx.services.store.point.one(_FAMILY, family_id)
    if read is None:
        raise CredentialInvalid
    row = _FAMILY.named(read)
    try:
        return _person(ctx, _FAMILY, read), row
    except SessionEnded:
        return None, row


def _person(ctx: Ctx, lookup: Lookup, read: Any) -> Person:
    """Raises SessionEnded. In its row are the ends of the session by the tenant's rules too."""
    now, rules = ctx.now(), Rules.parsed(_policy(read), ctx.factors)
    if session_lives.are_shorter(rules):
        read = _shortened(lookup, read, rules)
    if min(_EXPIRIES(read)) <= now or _ENDS(read) != _NO_END:
        raise SessionEnded
    tenant_id, person_id, session_id, carrier_id, generation, acr, amr, auth_time, proofs = _OF_PERSON(read)
    carried = (carrier_id, generation, acr, _amr(amr), auth_time, _proofs(proofs))
    return Person(tenant_id, person_id, session_id, *carried, lookup.named(read))


def _shortened(lookup: Lookup, read: Any, rules: Rules) -> list[Any]:
    columns = list(read)
    ends = session_lives.ends(lookup.named(read), rules)
    columns[lookup.index["idle_expires_at"]], columns[lookup.index["expires_at"]] = ends
    return columns


def leveled(ctx: Ctx, found: Person) -> Person:
    """The same, or StepUpNeeded for a level that the tenant's rules no longer accept."""
    rules = Rules.parsed(found.row["policy"], ctx.factors)
    if not suffices(rules, found.proofs, found.acr):
        raise StepUpNeeded(least(ctx.factors, rules), ctx.settings.signin.fresh)
    return found


async def _missing(ctx: Ctx, secret_hash: bytes) -> SessionEnded | CredentialInvalid:
    """Why no carrier has this secret: a step-up has replaced it, or it is none of ours."""
    row = await ctx.services.store.point.one(_SUPERSEDED, secret_hash)
    if row is None:
        return CredentialInvalid()
    return SessionSuperseded() if row[0] is None else SessionEnded()


def _is(tenant_id: str, person_id: str) -> tuple[ColumnElement[bool], ...]:
    return session.c.tenant_id == tenant_id, session.c.person_id == person_id


async def is_live(ctx: Ctx, db: Db) -> bool:
    """Whether whoever acts still has what they came with: the session is live, and the carrier's secret the same. With
    the person locked it stays so until the transaction ends, because ending and lifting take that lock too."""
    row = await live_carrier(ctx, db, ctx.person.tenant_id, ctx.person.carrier_id)
    return row is not None and row["generation"] == ctx.person.generation


def _this(tenant_id: str, carrier_id: str) -> tuple[ColumnElement[bool], ...]:
    return carrier.c.tenant_id == tenant_id, carrier.c.id == carrier_id


async def live_carrier(ctx: Ctx, db: Db, tenant_id: str, carrier_id: str) -> RowMapping | None:
    """The row of a live carrier of a live session, whatever its secret is by now, with the tenant's policy."""
    row = await db.one(_CARRIER, of_tenant=tenant_id, of_carrier=carrier_id)
    if row is None or min(session_lives.ends(row, Rules.parsed(row["policy"], ctx.factors))) <= ctx.now():
        return None
    return row


_CARRIER = (
    select(
        carrier,
        session.c.began_at,
        session.c.last_used_at,
        session.c.idle_expires_at,
        session.c.expires_at,
        tenant.c.policy,
    )
    .join(session, session.c.id == carrier.c.session_id)
    .join(tenant, tenant.c.id == session.c.tenant_id)
    .where(
        carrier.c.tenant_id == bindparam("of_tenant"),
        carrier.c.id == bindparam("of_carrier"),
        carrier.c.ended_at.is_(None),
        session.c.ended_at.is_(None),
    )
)


async def lift(ctx: Ctx, db: Db, proofs: Mapping[str, int], acr: str) -> None:
    """Add proofs to the carrier of whoever acts, whom the caller has locked; its level never falls. SessionEnded."""
    this = (ctx.person.tenant_id, ctx.person.carrier_id)
    row = await live_carrier(ctx, db, *this)
    if row is None:
        raise SessionEnded
    merged = {**json.loads(row["proofs"]), **proofs}
    amr = dict.fromkeys((*json.loads(row["amr"]), *amr_of(ctx.factors, tuple(proofs))))
    values = {"proofs": json.dumps(merged), "amr": json.dumps([*amr]), "acr": stronger(row["acr"], acr)}
    await db.change(update(carrier).where(*_this(*this)).values(**values))


async def renew(ctx: Ctx, db: Db, tenant_id: str, carrier_id: str, proved: Proved) -> Opened:
    """The same session after a step-up or another sign-in in its browser: its lifetimes begin anew, and the carrier
    that asked has a new secret; the proofs are added to those it had, and `auth_time`, `amr` and `acr` describe the
    sign-in that has just finished. The person is locked. SessionEnded."""
    old = await live_carrier(ctx, db, tenant_id, carrier_id)
    if old is None:
        raise SessionEnded
    rotation = old["rotation"] + 1
    # In another second than before, because access tokens are told from those before the step-up by it.
    now = max(ctx.now(), (old["auth_time"] // SECOND + 1) * SECOND) if proved.kind == "jwt" else ctx.now()
    minted = _minted(ctx, proved.kind, carrier_id, rotation)
    level = replace(proved, proofs={**json.loads(old["proofs"]), **proved.proofs}).level(now)
    secret = {"secret_hash": minted.hash, "generation": old["generation"] + 1, "rotation": rotation, "clients": "[]"}
    await db.change(update(carrier).where(*_this(tenant_id, carrier_id)).values(**level, **secret, rotated_at=now))
    await db.add(superseded_secret, secret_hash=old["secret_hash"], carrier_id=carrier_id)
    # A change of the rules ends sessions without locking their people.
    of_session = update(session).where(session.c.tenant_id == tenant_id, session.c.id == old["session_id"])
    if not await db.change(of_session.where(session.c.ended_at.is_(None)).values(**_used(ctx, now, proved.acr))):
        raise SessionEnded
    row = await db.one(_WITH_LEVEL.where(*_this(tenant_id, carrier_id)))
    if row is None:
        raise SessionEnded
    lifted = as_json(row, Rules.parsed(old["policy"], ctx.factors), current=True)
    return Opened(minted.token, lifted, carrier_id, is_new_device=False)


async def rotate(ctx: Ctx, db: Db, me: Person, given: RefreshToken, successor: Minted) -> bool:
    """Replace the token of a live refresh family, which is a use of the session; False if it was used before. Check and
    mark are one statement."""
    now = ctx.now()
    family = {"of_tenant": me.tenant_id, "of_session": me.session_id, "of_family": given.family_id}
    unused = {"old_rotation": given.rotation, "old_hash": given.hash}
    moved = {"new_rotation": given.rotation + 1, "new_hash": successor.hash, "at": now}
    began_after, used_after = session_lives.since(session_lives.rules_of(ctx, me), now)
    alive = {"began_after": began_after, "used_after": used_after}
    await session_lives.use(ctx, db, me)  # first, because it locks the person
    return await db.change(_ROTATE, **family, **unused, **moved, **alive) == 1


_ROTATE = (
    update(carrier)
    .where(
        carrier.c.tenant_id == bindparam("of_tenant"),
        carrier.c.id == bindparam("of_family"),
        carrier.c.rotation == bindparam("old_rotation"),
        carrier.c.secret_hash == bindparam("old_hash"),
        carrier.c.ended_at.is_(None),
        exists().where(
            session.c.tenant_id == bindparam("of_tenant"),
            session.c.id == bindparam("of_session"),
            *session_lives.live(bindparam("at"), bindparam("began_after"), bindparam("used_after")),
        ),
    )
    .values(
        rotation=bindparam("new_rotation"),
        secret_hash=bindparam("new_hash"),
        rotated_at=bindparam("at"),
    )
)


async def other_clients(ctx: Ctx, me: Person) -> list[list[str]]:
    """The browsers and systems that were recorded for a carrier, besides the one that signed in."""
    async with ctx.read() as db:
        stored = await db.value(select(carrier.c.clients).where(*_this(me.tenant_id, me.carrier_id)))
    found: list[list[str]] = json.loads(stored or "[]")
    return found


async def add_client(db: Db, me: Person, before: list[list[str]], client: tuple[str, str]) -> bool:
    """Record one more; False if somebody else has just recorded one."""
    same = update(carrier).where(*_this(me.tenant_id, me.carrier_id), carrier.c.clients == json.dumps(before))
    return bool(await db.change(same.values(clients=json.dumps([*before, client]))))


async def end(ctx: Ctx, db: Db, session_id: str, reason: str = "ended") -> None:
    """End one of the person's own sessions, and its step-ups; NotFound for anyone else's."""
    if not await _end(ctx, db, *ctx.person.key, session.c.id == session_id, reason):
        raise NotFound


async def end_one(ctx: Ctx, db: Db, whose: Person, reason: str) -> bool:
    """End this session, whoever acts; False if it had ended."""
    return bool(await _end(ctx, db, *whose.key, session.c.id == whose.session_id, reason))


async def end_others(ctx: Ctx, db: Db, reason: str = "ended") -> int:
    return await _end(ctx, db, *ctx.person.key, session.c.id != ctx.person.session_id, reason)


async def end_all(ctx: Ctx, db: Db, tenant_id: str, person_id: str, reason: str, *, but_carrier: str = "") -> int:
    """`but_carrier`: the id of a carrier to leave alone, with its session and nothing else of that."""
    if not but_carrier:
        return await _end(ctx, db, tenant_id, person_id, session.c.id != "", reason)
    its = select(carrier.c.session_id).where(*_this(tenant_id, but_carrier))
    others = (carrier.c.tenant_id == tenant_id, carrier.c.session_id.in_(its), carrier.c.id != but_carrier)
    await db.change(update(carrier).where(*others, carrier.c.ended_at.is_(None)).values(ended_at=ctx.now()))
    return await _end(ctx, db, tenant_id, person_id, session.c.id.not_in(its), reason)


async def _end(ctx: Ctx, db: Db, tenant_id: str, person_id: str, which: ColumnElement[bool], reason: str) -> int:
    now, these = ctx.now(), (*_is(tenant_id, person_id), which, session.c.ended_at.is_(None))
    carriers = (carrier.c.tenant_id == tenant_id, carrier.c.session_id.in_(select(session.c.id).where(*these)))
    await db.change(update(carrier).where(*carriers, carrier.c.ended_at.is_(None)).values(ended_at=now))
    return await db.change(update(session).where(*these).values(ended_at=now, end_reason=reason))


async def purge(db: Db, before: int) -> None:
    """Delete sessions that ended or expired before then."""
    ended = and_(session.c.ended_at.is_not(None), session.c.ended_at < before)
    await db.change(delete(session).where(or_(ended, session.c.expires_at < before)))


_WITH_LEVEL = select(session, carrier.c.kind, carrier.c.amr, carrier.c.acr, carrier.c.auth_time).join(
    carrier, carrier.c.session_id == session.c.id
)
_of_same = carrier.alias()
_NEWEST = (
    select(_of_same.c.id)
    .where(_of_same.c.session_id == session.c.id, _of_same.c.ended_at.is_(None))
    .order_by(_of_same.c.auth_time.desc(), _of_same.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
"""Of a session's carriers the one that proved something last: its level is what a list shows."""


async def listed(
    ctx: Ctx, db: Db, whose: tuple[str, str], *, before: str | None, limit: int, with_carrier: bool = False
) -> list[dict[str, Any]]:
    """Somebody's live sessions, newest first. `with_carrier`: adds the kind of the carrier that proved something
    last."""
    of = await tenants.by_id(ctx, db, whose[0])
    rules, now = of.rules if of else Rules(), ctx.now()
    alive = session_lives.live(now, *session_lives.since(rules, now))
    query = _WITH_LEVEL.where(*_is(*whose), *alive, carrier.c.id == _NEWEST)
    if before:
        query = query.where(session.c.id < before)
    rows = await db.rows(query.order_by(session.c.id.desc()).limit(limit))
    present = ctx.principal.session_id if isinstance(ctx.principal, Person) else ""
    found = [as_json(row, rules, current=row["id"] == present) for row in rows]
    return [{**one, "carrier": row["kind"]} for one, row in zip(found, rows, strict=True)] if with_carrier else found


def as_json(row: RowMapping | dict[str, Any], rules: Rules, *, current: bool) -> dict[str, Any]:
    """The API's session object; instants as stored, formatted by the caller."""
    idle, absolute = session_lives.ends(row, rules)
    return {
        "id": row["id"],
        "created_at": row["created_at"],
        "last_used_at": row["last_used_at"],
        "idle_expires_at": idle,
        "expires_at": absolute,
        "auth_time": row["auth_time"],
        "amr": json.loads(row["amr"]),
        "acr": row["acr"],
        "current": current,
        "client": {"browser": row["browser"], "os": row["os"], "ip": row["ip"]},
    }
