"""The people of a tenant as their admins see them: found, sorted, in pages. A page follows a cursor, or counts from the
first row and comes with the total.

Not here: changing anybody (`users`).
"""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    exists,
    func,
    literal,
    not_,
    null,
    select,
    true,
    tuple_,
    union_all,
)

from passgate.core import access, people, usernames
from passgate.core.ctx import Ctx
from passgate.errors import Invalid, NotFound
from passgate.store import Db
from passgate.store.tables import person, role_grant

DEEPEST = 10_000
"""Rows that pages with numbers reach; a cursor goes on."""
_LAST = "\U0010ffff"
_SORTED = {
    "created_at": person.c.created_at,
    "updated_at": person.c.updated_at,
    "last_used_at": person.c.last_used_at,
    "email": person.c.email_key,
    "username": person.c.username_key,
}
SORTS = (*_SORTED, *(f"-{name}" for name in _SORTED))
"""A minus: downwards."""
_ROLES = (
    select(func.aggregate_strings(role_grant.c.role, ","))
    .where(role_grant.c.tenant_id == person.c.tenant_id, role_grant.c.person_id == person.c.id)
    .scalar_subquery()
    .label("roles")
)
_WHOLE = select(person, _ROLES)

Span = tuple[int | None, int | None]
"""From an instant on, until before another, in microseconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is looked for. `search`: the beginning of the address or username; `role_at_most`: people without a
    permission that this role lacks; `last_used`: never used is before everything."""

    search: str = ""
    role_at_most: str | None = None
    disabled: bool | None = None
    created: Span = (None, None)
    updated: Span = (None, None)
    last_used: Span = (None, None)
    sort: str = "created_at"


@dataclass(frozen=True, slots=True)
class Page:
    """`items` as in `as_json`; `next`: the cursor of the page behind; `total` only of a page with a number."""

    items: list[dict[str, Any]]
    next: str | None = None
    total: int | None = None


async def one(ctx: Ctx, tenant_id: str, person_id: str) -> dict[str, Any]:
    """Raises NotFound."""
    async with ctx.read() as db:
        return await read(db, tenant_id, person_id)


async def read(db: Db, tenant_id: str, person_id: str) -> dict[str, Any]:
    """The same within a transaction."""
    row = await db.one(_WHOLE.where(person.c.tenant_id == tenant_id, person.c.id == person_id))
    if row is None:
        raise NotFound
    return as_json(row)


def as_json(row: RowMapping) -> dict[str, Any]:
    """The user object, with `disabled` and `last_used_at` (None if never)."""
    more = {"disabled": row["disabled_at"] is not None, "last_used_at": row["last_used_at"] or None}
    return people.as_json(row) | more


async def after(ctx: Ctx, tenant_id: str, asked: Asked, *, cursor: str | None, limit: int) -> Page:
    """The page behind a cursor, or the first. Raises Invalid."""
    last, within = _opened(cursor, asked) if cursor is not None else None, await _within(ctx, tenant_id, asked)
    async with ctx.read() as db:
        rows = await db.rows(_first(tenant_id, asked, within, limit + 1, last))
    items = [as_json(row) for row in rows[:limit]]
    name = _order(asked)[0].name
    return Page(items, _cursor(rows[limit - 1], name, asked) if len(rows) > limit else None)


async def numbered(ctx: Ctx, tenant_id: str, asked: Asked, *, page: int, size: int) -> Page:
    """Page 1 and so on, with how many people are found in all: one statement reads both, so they agree. Raises
    Invalid."""
    if page * size > DEEPEST:
        raise Invalid({"page": "value"})
    within = await _within(ctx, tenant_id, asked)
    ways = _ways(tenant_id, asked, within)
    counts = [select(func.count()).select_from(person).where(*way.conditions).scalar_subquery() for way in ways]
    every = select(reduce(add, counts).label("total")).cte("every")
    rows = _first(tenant_id, asked, within, page * size).offset((page - 1) * size).limit(size).cte("page")
    async with ctx.read() as db:
        found = await db.rows(select(every.c.total, rows).select_from(every).outerjoin(rows, true()))
    items = [as_json(row) for row in found if row["id"] is not None]
    return Page(items, total=found[0]["total"])


async def _within(ctx: Ctx, tenant_id: str, asked: Asked) -> list[str]:
    """The roles that allow no more than the one that is asked for. Raises Invalid for one that is not there."""
    if asked.role_at_most is None:
        return []
    async with ctx.read() as db:
        allowed = await access.roles_in(ctx, db, tenant_id)
    if asked.role_at_most not in allowed:
        raise Invalid({"role_at_most": "value"})
    return [name for name, given in allowed.items() if given <= allowed[asked.role_at_most]]


@dataclass(frozen=True, slots=True)
class _Way:
    """Conditions that one index answers. `along`: the column of which it is a range, if people are searched for."""

    conditions: tuple[ColumnElement[bool], ...]
    along: Any = None


def _ways(tenant_id: str, asked: Asked, within: list[str]) -> list[_Way]:
    """Who is found. A search has two ways, by address and by username; nobody is found in both."""
    same = tuple(_conditions(tenant_id, asked, within))
    if not asked.search.strip():
        return [_Way(same)]
    text = asked.search.strip()
    address, name = _address(text), usernames.folded(text)
    by_address = and_(person.c.email_key >= address, person.c.email_key < address + _LAST)
    by_username = and_(person.c.username_key >= name, person.c.username_key < name + _LAST)
    return [
        _Way((*same, by_address), person.c.email_key),
        _Way((*same, by_username, not_(by_address)), person.c.username_key),
    ]


def _address(text: str) -> str:
    """The beginning of a key. A whole address is compared as it is stored, with the A-label of its domain; of half a
    domain there is none yet."""
    try:
        return people.address(text).key
    except Invalid:
        return unicodedata.normalize("NFC", text.lower())


def _first(
    tenant_id: str, asked: Asked, within: list[str], most: int, last: tuple[Any, str] | None = None
) -> Select[Any]:
    """The first people of all ways, behind `last`."""
    ways = _ways(tenant_id, asked, within)
    if len(ways) == 1:
        return _read(_WHOLE, ways[0], asked, most, last)
    firsts = [_read(select(person.c.id), way, asked, most, last).subquery() for way in ways]
    found = union_all(*(select(one.c.id) for one in firsts)).subquery()
    whole = _WHOLE.join(found, person.c.id == found.c.id)
    return _read(whole, _Way((person.c.tenant_id == tenant_id,), person.c.id), asked, most, None)


def _read(query: Select[Any], way: _Way, asked: Asked, most: int, last: tuple[Any, str] | None) -> Select[Any]:
    """A search reads along its own index and sorts what it finds. A database without statistics, as SQLite is, would
    rather read everybody in order, unless no index has that order."""
    column, is_down = _order(asked)
    place = column if way.along is None or way.along is column else func.coalesce(column, null())
    query = query.where(*way.conditions)
    if last is not None:
        here, there = tuple_(place, person.c.id), tuple_(*map(literal, last))
        query = query.where(here < there if is_down else here > there)
    order = (place.desc(), person.c.id.desc()) if is_down else (place, person.c.id)
    return query.order_by(*order).limit(most)


def _order(asked: Asked) -> tuple[Any, bool]:
    if asked.sort not in SORTS:
        raise Invalid({"sort": "value"})
    return _SORTED[asked.sort.removeprefix("-")], asked.sort.startswith("-")


def _conditions(tenant_id: str, asked: Asked, within: list[str]) -> Iterator[ColumnElement[bool]]:
    yield person.c.tenant_id == tenant_id
    if asked.disabled is not None:
        yield person.c.disabled_at.is_not(None) if asked.disabled else person.c.disabled_at.is_(None)
    if asked.role_at_most is not None:
        yield ~_has_other_than(within)
    for column, (since, until) in (
        (person.c.created_at, asked.created),
        (person.c.updated_at, asked.updated),
        (person.c.last_used_at, asked.last_used),
    ):
        if since is not None:
            yield column >= since
        if until is not None:
            yield column < until


def _has_other_than(within: list[str]) -> ColumnElement[bool]:
    """Of a role that nobody knows it is not known that it allows less."""
    theirs = (role_grant.c.tenant_id == person.c.tenant_id, role_grant.c.person_id == person.c.id)
    return exists().where(*theirs, role_grant.c.role.not_in(within))


# -- cursors ---------------------------------------------------------------------------------------


def _cursor(row: RowMapping, name: str, asked: Asked) -> str:
    """Where a page ended: the sorted value and the id, which stay a place even if that person is gone."""
    text = json.dumps([asked.sort, row[name], row["id"]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _opened(cursor: str, asked: Asked) -> tuple[Any, str]:
    """Raises Invalid for what is no cursor of this order."""
    try:
        sort, value, person_id = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (ValueError, TypeError):
        raise Invalid({"after": "value"}) from None
    kind = str if asked.sort.endswith(("email", "username")) else int
    is_place = sort == asked.sort and type(value) is kind and isinstance(person_id, str)
    if not is_place or not f"{value}{person_id}".isprintable() or (kind is int and not 0 <= value < 2**63):
        raise Invalid({"after": "value"})
    return value, person_id
