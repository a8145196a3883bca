"""People and their addresses: find, create, change, disable, erase. One person belongs to exactly one tenant.

Not here: what a person can prove (`factors`) and what they may do (`access`).
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import RowMapping, bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from passgate.core.audit import canonical
from passgate.core.ctx import Ctx
from passgate.errors import Invalid
from passgate.store import Db
from passgate.store.tables import person, role_grant

PROFILE_LIMIT = 16 * 1024

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
    try:
        found = validate_email(text.strip(" "), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as wrong:
        raise Invalid({field: "format"}) from wrong
    domain = found.ascii_domain or found.domain
    if _is_misread(found.local_part) or domain.rpartition(".")[2].isdigit():
        raise Invalid({field: "format"})
    if len(found.local_part) > 64 or len(found.local_part) + len(domain) > 253:  # RFC 5321 §4.5.3.1
        raise Invalid({field: "length"})
    key = unicodedata.normalize("NFC", f"{found.local_part}@{domain}".lower())
    return Address(found.normalized, key)


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


_MINE = (person.c.tenant_id == bindparam("of_tenant"), person.c.id == bindparam("of_person"))
_LOCK = select(person).where(*_MINE, person.c.disabled_at.is_(None)).with_for_update()
_BY_KEY = select(person).where(
    person.c.tenant_id == bindparam("of_tenant"), person.c.email_key == bindparam("of_email_key")
)


async def by_key(db: Db, tenant_id: str, email_key: str) -> RowMapping | None:
    return await db.one(_BY_KEY, of_tenant=tenant_id, of_email_key=email_key)


async def by_id(db: Db, tenant_id: str, person_id: str) -> RowMapping | None:
    return await db.one(select(person).where(person.c.tenant_id == tenant_id, person.c.id == person_id))


async def create(ctx: Ctx, db: Db, tenant_id: str, at: Address, *, profile: str, verified: bool) -> str | None:
    """The new person's id, or None if the address is taken; one statement decides between concurrent requests."""
    now, person_id = ctx.now(), ctx.world.uuid()
    row = {
        "id": person_id,
        "tenant_id": tenant_id,
        "email": at.text,
        "email_key": at.key,
        "email_verified_at": now if verified else None,
        "profile": profile,
        "created_at": now,
    }
    is_created = await db.change(db.upsert(person).values(**row).on_conflict_do_nothing())
    return person_id if is_created else None


async def lock(db: Db, tenant_id: str, person_id: str) -> RowMapping | None:
    """The live person, row-locked until the transaction ends; `action` documents the lock order."""
    return await db.one(_LOCK, of_tenant=tenant_id, of_person=person_id)


async def set_profile(db: Db, tenant_id: str, person_id: str, profile: str) -> None:
    await db.change(
        update(person).where(person.c.tenant_id == tenant_id, person.c.id == person_id).values(profile=profile)
    )


async def set_address(ctx: Ctx, db: Db, tenant_id: str, person_id: str, at: Address) -> bool:
    """Set a proved address; False if someone else in the tenant has it, after which the transaction must be rolled
    back."""
    move = update(person).where(person.c.tenant_id == tenant_id, person.c.id == person_id)
    try:
        moved = await db.change(move.values(email=at.text, email_key=at.key, email_verified_at=ctx.now()))
    except IntegrityError:
        return False
    return moved == 1


async def disable(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> bool:
    moved = update(person).where(
        person.c.tenant_id == tenant_id, person.c.id == person_id, person.c.disabled_at.is_(None)
    )
    return await db.change(moved.values(disabled_at=ctx.now())) == 1


async def erase(db: Db, tenant_id: str, person_id: str) -> None:
    """Delete the row and, by foreign key, everything that belongs to it."""
    await db.change(delete(person).where(person.c.tenant_id == tenant_id, person.c.id == person_id))


async def listed(db: Db, tenant_id: str, *, after: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    roles = func.aggregate_strings(role_grant.c.role, ",")
    query = (
        select(person, select(roles).where(role_grant.c.person_id == person.c.id).scalar_subquery().label("roles"))
        .where(person.c.tenant_id == tenant_id, person.c.id > (after or ""))
        .order_by(person.c.id)
        .limit(limit)
    )
    return [as_json(row) | {"disabled": row["disabled_at"] is not None} for row in await db.rows(query)]


def as_json(row: RowMapping | dict[str, Any]) -> dict[str, Any]:
    """The API's user object: {id, email, email_verified, profile, roles, created_at}."""
    return {
        "id": row["id"],
        "email": row["email"],
        "email_verified": row["email_verified_at"] is not None,
        "profile": json.loads(row["profile"]),
        "roles": sorted(row["roles"].split(",")) if row["roles"] else [],
        "created_at": row["created_at"],
    }
