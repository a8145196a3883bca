"""People, their addresses and usernames: find, create, change, disable, erase. One person belongs to exactly one
tenant.

Not here: which usernames there may be (`usernames`), what a person can prove (`factors`) and what they may do
(`access`).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    RowMapping,
    Select,
    String,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from passgate.core.audit import canonical
from passgate.core.ctx import Ctx
from passgate.core.usernames import Username
from passgate.errors import Invalid
from passgate.store import Db
from passgate.store.tables import person

PROFILE_LIMIT = 16 * 1024
OWNER, OPERATOR = "owner", "operator"
"""Who disabled an account: its owner, who closed it, or somebody who may disable people."""

_MISREAD = frozenset('|;<>()[],:\\"`$!%{}^?@')
"""Characters that mail programs have taken for a route, a comment, a list, a variable or an encoded word (RFC 2047), in
the part before the @. Hardly any real address has one."""


@dataclass(frozen=True, slots=True)
class Address:
    """`text` as the person wrote it, `key` for look-ups: all spellings of an address have the same key."""

    text: str
    key: str


def address(text: str, field: str = "email") -> Address:
    """Normalise (NFC, domain to A-label, lower case) or raise Invalid. No DNS, no provider's own rules (dots, plus). An
    address that some program on the way may read as another one, or as a command, is refused too."""
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415  its rules take 15 ms to compile

    try:
        found = validate_email(_trimmed(text), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as wrong:
        raise Invalid({field: "format"}) from wrong
    domain = found.ascii_domain or found.domain
    if _is_misread(found.local_part) or domain.rpartition(".")[2].isdigit():
        raise Invalid({field: "format"})
    if len(found.local_part) > 64 or len(found.local_part) + len(domain) > 253:  # RFC 5321 §4.5.3.1
        raise Invalid({field: "length"})
    key = unicodedata.normalize("NFC", f"{found.local_part}@{domain}".lower())
    return Address(found.normalized, key)


def _trimmed(text: str) -> str:
    """Without blanks, and marks that nobody sees, at its ends: they come along when an address is copied."""
    visible = [at for at, one in enumerate(text) if unicodedata.category(one) not in ("Zs", "Cf")]
    return text[visible[0] : visible[-1] + 1] if visible else ""


def _is_misread(local: str) -> bool:
    """Also if it is so only in the compatibility form, to which some programs normalise: ＠ is @ there."""
    plain = unicodedata.normalize("NFKC", local)
    is_option_or_path = plain.startswith(("-", "/"))
    return is_option_or_path or any(one in _MISREAD or one.isspace() or not one.isprintable() for one in plain)


def masked(address: str) -> str:
    """`a…@example.com`: enough for its owner to recognise."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def profile_text(profile: dict[str, Any] | None) -> str:
    text = canonical(profile or {}).decode()
    if len(text.encode()) > PROFILE_LIMIT:
        raise Invalid({"profile": "length"})
    return text


Key = tuple[str, str]
"""The ids of a person's tenant and of the person."""

_MINE = (person.c.tenant_id == bindparam("of_tenant"), person.c.id == bindparam("of_person"))
_LOCK = select(person).where(*_MINE, person.c.disabled_at.is_(None)).with_for_update()
_LOCK_CLOSED = (
    select(person).where(*_MINE, or_(person.c.disabled_at.is_(None), person.c.disabled_by == OWNER)).with_for_update()
)
_CHANGED = update(person).where(*_MINE).values(updated_at=bindparam("at"))
_USED = update(person).where(*_MINE, person.c.last_used_at < bindparam("at")).values(last_used_at=bindparam("at"))
_AT_ONCE = 1000
_SHARE = select(person.c.id).where(*_MINE).with_for_update(read=True, key_share=True)
_BY_KEY = select(person).where(
    person.c.tenant_id == bindparam("of_tenant"), person.c.email_key == bindparam("of_email_key")
)

_NO_NAME = literal_column("''", String)


def identified(key: BindParameter[str]) -> ColumnElement[bool]:
    """Who has this as their address or as their username, which is never both: one statement for either, and an index
    for each. Nobody has an empty one."""
    return or_(person.c.email_key == key, and_(person.c.username_key == key, person.c.username_key != _NO_NAME))


_BY_IDENTIFIER = select(person).where(
    person.c.tenant_id == bindparam("of_tenant"), identified(bindparam("of_identifier"))
)


async def by_identifier(db: Db, tenant_id: str, key: str) -> RowMapping | None:
    """Who has this address or username."""
    return await db.one(_BY_IDENTIFIER, of_tenant=tenant_id, of_identifier=key)


async def by_key(db: Db, tenant_id: str, email_key: str) -> RowMapping | None:
    return await db.one(_BY_KEY, of_tenant=tenant_id, of_email_key=email_key)


async def by_id(db: Db, tenant_id: str, person_id: str) -> RowMapping | None:
    return await db.one(select(person).where(person.c.tenant_id == tenant_id, person.c.id == person_id))


async def emails_of(db: Db, tenant_id: str, ids: Collection[str]) -> dict[str, str]:
    """The addresses of some people, by id."""
    if not ids:
        return {}
    query = select(person.c.id, person.c.email).where(person.c.tenant_id == tenant_id, person.c.id.in_(ids))
    return {row["id"]: row["email"] for row in await db.rows(query)}


async def email_of(ctx: Ctx, tenant_id: str, person_id: str) -> str:
    """Empty if there is no such person."""
    async with ctx.read() as db:
        found = await by_id(db, tenant_id, person_id)
    return str(found["email"]) if found else ""


async def create(
    ctx: Ctx,
    db: Db,
    tenant_id: str,
    at: Address,
    *,
    profile: str,
    verified: bool,
    claimed: bool = False,
    username: Username | None = None,
    person_id: str = "",
) -> str | None:
    """The new person's id, or None if the address or username is taken; one statement decides between concurrent
    requests. `claimed`: they have signed up with an address that they have not proved. `person_id`: a fresh id that
    something of theirs is bound to already."""
    now, person_id = ctx.now(), person_id or ctx.world.uuid()
    row = {
        "id": person_id,
        "tenant_id": tenant_id,
        "email": at.text,
        "email_key": at.key,
        "email_verified_at": now if verified else None,
        "claimed_at": now if claimed else None,
        "first_proved_at": now if verified else None,
        "username": username.text if username else "",
        "username_key": username.key if username else "",
        "profile": profile,
        "created_at": now,
        "updated_at": now,
    }
    is_created = await db.change(db.upsert(person).values(**row).on_conflict_do_nothing())
    return person_id if is_created else None


async def lock(db: Db, tenant_id: str, person_id: str) -> RowMapping | None:
    """The live person, row-locked until the transaction ends; `action` documents the lock order."""
    return await db.one(_LOCK, of_tenant=tenant_id, of_person=person_id)


async def lock_all(db: Db, keys: Iterable[Key], *, or_closed: bool = False) -> dict[Key, RowMapping]:
    """The live ones among some people, locked in the order that `action` documents. `or_closed`: also those whose
    account its owner closed."""
    query = _LOCK_CLOSED if or_closed else _LOCK
    in_order = sorted(keys, key=lambda key: key[1])
    found = {key: await db.one(query, of_tenant=key[0], of_person=key[1]) for key in in_order}
    return {key: row for key, row in found.items() if row is not None}


async def lock_many(db: Db, tenant_id: str, ids: Iterable[str]) -> None:
    """Lock any number of people of a tenant, disabled or not, in the same order."""
    in_order = sorted(ids)
    for at in range(0, len(in_order), _AT_ONCE):
        some = person.c.tenant_id == tenant_id, person.c.id.in_(in_order[at : at + _AT_ONCE])
        await db.rows(select(person.c.id).where(*some).order_by(person.c.id).with_for_update())


async def share(db: Db, keys: Iterable[Key]) -> set[Key]:
    """Those of some people who exist, disabled or not. Nobody erases them until the transaction ends; all else about
    them may change meanwhile."""
    in_order = sorted(keys, key=lambda key: key[1])
    return {key for key in in_order if await db.value(_SHARE, of_tenant=key[0], of_person=key[1])}


async def set_profile(ctx: Ctx, db: Db, tenant_id: str, person_id: str, profile: str) -> None:
    moved = update(person).where(*_is(tenant_id, person_id))
    await db.change(moved.values(profile=profile, updated_at=ctx.now()))


async def set_address(ctx: Ctx, db: Db, tenant_id: str, person_id: str, at: Address, *, is_proved: bool = True) -> bool:
    """False if someone else in the tenant has the address, after which the transaction must be rolled back."""
    now = ctx.now()
    move = update(person).where(*_is(tenant_id, person_id))
    values: dict[str, Any] = {"email": at.text, "email_key": at.key, "email_verified_at": now if is_proved else None}
    if is_proved:
        values["first_proved_at"] = func.coalesce(person.c.first_proved_at, now)
    try:
        moved = await db.change(move.values(**values, claimed_at=None, updated_at=now))
    except IntegrityError:
        return False
    return moved == 1


async def respell(ctx: Ctx, db: Db, tenant_id: str, person_id: str, at: Address) -> None:
    """Write the same address in another way, such as with capitals. It is proved, or not, as it was."""
    same = update(person).where(*_is(tenant_id, person_id), person.c.email_key == at.key)
    await db.change(same.values(email=at.text, updated_at=ctx.now()))


async def set_username(ctx: Ctx, db: Db, tenant_id: str, person_id: str, name: Username | None) -> bool:
    """Give another username, or take it away. False if someone else in the tenant has it, after which the transaction
    must be rolled back."""
    values = {"username": name.text if name else "", "username_key": name.key if name else ""}
    move = update(person).where(*_is(tenant_id, person_id)).values(**values, updated_at=ctx.now())
    try:
        return await db.change(move) == 1
    except IntegrityError:
        return False


async def prove_address(ctx: Ctx, db: Db, found: RowMapping) -> bool:
    """Somebody who reads the mail of an address that nobody had proved has answered. False if somebody else's proof
    came first, or the account has another address now. An account that was closed before is open again."""
    same = (person.c.email_key == found["email_key"], person.c.email_verified_at.is_(None))
    now, mine = ctx.now(), _is(found["tenant_id"], found["id"])
    values = {"email_verified_at": now, "first_proved_at": func.coalesce(person.c.first_proved_at, now)}
    if not await db.change(update(person).where(*mine, *same).values(**values, claimed_at=None, updated_at=now)):
        return False
    await reopen(ctx, db, found["tenant_id"], found["id"])
    return True


def is_unproved(row: RowMapping) -> bool:
    """Whether nobody has ever proved an address of the account, so that whoever does takes it. One that somebody has
    disabled stays theirs to enable."""
    return row["first_proved_at"] is None and is_live(row, or_closed=True)


async def keys_at(db: Db, tenant_id: str, email_key: str) -> tuple[Key, ...]:
    """Who has this address, to be locked with whoever gets it."""
    found = await by_key(db, tenant_id, email_key)
    return ((tenant_id, found["id"]),) if found is not None else ()


async def lock_unproved(db: Db, tenant_id: str, email_key: str, locked: Collection[Key]) -> RowMapping | None:
    """Whose account of this address nobody has ever proved, if it is one of those `locked` already: somebody who came
    since would be locked after the tenant and others, against the order (`action`)."""
    seen = await by_key(db, tenant_id, email_key)
    if seen is None or not is_unproved(seen) or (tenant_id, seen["id"]) not in locked:
        return None
    found = (await lock_all(db, [(tenant_id, seen["id"])], or_closed=True)).get((tenant_id, seen["id"]))
    return found if found is not None and found["email_key"] == email_key and is_unproved(found) else None


async def changed(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> None:
    """Something that belongs to the person was changed, such as their roles."""
    await db.change(_CHANGED, of_tenant=tenant_id, of_person=person_id, at=ctx.now())


async def all_changed(ctx: Ctx, db: Db, theirs: Select[Any], *, of_tenant: str, **given: str) -> None:
    """The same of all people of a tenant whose ids a query finds. The caller has locked them."""
    move = update(person).where(person.c.tenant_id == bindparam("of_tenant"), person.c.id.in_(theirs))
    await db.change(move.values(updated_at=bindparam("at")), of_tenant=of_tenant, at=ctx.now(), **given)


async def used(db: Db, tenant_id: str, person_id: str, now: int) -> None:
    """The person has used their account. Before anything of their sessions is written, because they are locked first
    (`action`)."""
    await db.change(_USED, of_tenant=tenant_id, of_person=person_id, at=now)


def is_live(row: RowMapping, *, or_closed: bool = False) -> bool:
    """Whether the account can be used. `or_closed`: or was closed by its owner, who may still undo that."""
    return row["disabled_at"] is None or (or_closed and row["disabled_by"] == OWNER)


async def disable(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> bool:
    """False if it is disabled already. A closed account stays closed, and can't be restored while it is disabled."""
    moved = update(person).where(
        *_is(tenant_id, person_id), or_(person.c.disabled_at.is_(None), person.c.disabled_by == OWNER)
    )
    now = ctx.now()
    return await db.change(moved.values(disabled_at=now, disabled_by=OPERATOR, updated_at=now)) == 1


async def enable(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> bool:
    """Take back `disable`; False if it is not disabled. An account that its owner closed is closed again."""
    disabled = update(person).where(*_is(tenant_id, person_id), person.c.disabled_by == OPERATOR)
    closed = disabled.where(person.c.erase_at.is_not(None)).values(disabled_by=OWNER, updated_at=ctx.now())
    opened = disabled.values(disabled_at=None, disabled_by=None, updated_at=ctx.now())
    return await db.change(closed) == 1 or await db.change(opened) == 1


async def close(ctx: Ctx, db: Db, tenant_id: str, person_id: str, erase_at: int) -> None:
    """The owner deletes the account: it can't be used from now on, and is erased then (microseconds)."""
    now = ctx.now()
    values = {"disabled_at": now, "disabled_by": OWNER, "erase_at": erase_at, "updated_at": now}
    await db.change(update(person).where(*_is(tenant_id, person_id)).values(**values))


async def reopen(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> None:
    """Take back `close`."""
    closed = update(person).where(*_is(tenant_id, person_id), person.c.disabled_by == OWNER)
    await db.change(closed.values(disabled_at=None, disabled_by=None, erase_at=None, updated_at=ctx.now()))


async def lock_due(ctx: Ctx, db: Db, key: Key) -> RowMapping | None:
    """A closed account whose time to be erased has come, locked."""
    due = select(person).where(*_MINE, *_is_due(ctx)).with_for_update()
    return await db.one(due, of_tenant=key[0], of_person=key[1])


async def due(ctx: Ctx, db: Db, limit: int) -> list[Key]:
    """Closed accounts that are to be erased now."""
    query = select(person.c.tenant_id, person.c.id).where(*_is_due(ctx)).order_by(person.c.erase_at).limit(limit)
    return [(row["tenant_id"], row["id"]) for row in await db.rows(query)]


def _is_due(ctx: Ctx) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """While an operator has disabled the account it is not erased: whoever closed it may not have been its owner."""
    return person.c.erase_at <= ctx.now(), person.c.disabled_by == OWNER


async def erase(db: Db, tenant_id: str, person_id: str) -> None:
    """Delete the row and, by foreign key, everything that belongs to it."""
    await db.change(delete(person).where(*_is(tenant_id, person_id)))


def _is(tenant_id: str, person_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return person.c.tenant_id == tenant_id, person.c.id == person_id


def as_json(row: RowMapping | dict[str, Any]) -> dict[str, Any]:
    """The API's user object: {id, email, username, email_verified, profile, roles, created_at, updated_at}."""
    return {
        "id": row["id"],
        "email": row["email"],
        "username": row["username"] or None,
        "email_verified": row["email_verified_at"] is not None,
        "profile": json.loads(row["profile"]),
        "roles": sorted(row["roles"].split(",")) if row["roles"] else [],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
