"""Every query names its tenant: each statement of the whole run is read before it is executed, and fails if a table
with `tenant_id` is narrowed to no tenant, except for those below, with their reasons.

A table is narrowed if its `tenant_id` is compared with a value, or if its rows are reached from those of a narrowed
table by equal columns. INSERTs need no check: the column may not be NULL. Not here: who may act in which tenant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Delete, Select, Table, Update
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, ClauseElement
from sqlalchemy.sql.selectable import Alias, Join

from passgate.store import Db

SECRET = "found by the hash of a secret of 256 bits, which names its tenant"
JOB = "a job over all tenants, for no principal"
OPERATOR = "an operator asks, who may read every tenant"
ACROSS = {
    "core/pending.py:find": SECRET,
    "core/once.py:by_secret": SECRET,
    "core/credentials.py:purge_browsers": JOB,
    "core/credentials.py:purge_secrets": JOB,
    "core/factors/password.py:schemes": OPERATOR,
    "core/host_jobs.py:purge": JOB,
    "core/job_worker.py:_due": JOB,
    "core/ledger.py:count": OPERATOR,
    "core/ledger.py:export": OPERATOR,
    "core/ledger.py:newest": OPERATOR,
    "core/ledger.py:newest_mac": JOB,
    "core/ledger.py:verify": OPERATOR,
    "core/ledger.py:seal": JOB,
    "core/checkpoint.py:make": JOB,
    "core/observers.py:_behind": JOB,
    "core/observers.py:join": JOB,
    "core/observers.py:notify": JOB,
    "core/once.py:of_kind": JOB,
    "core/once.py:purge": JOB,
    "core/outbox.py:deliver": JOB,
    "core/outbox.py:purge": JOB,
    "core/outbox.py:settle": JOB,
    "core/pending.py:purge": JOB,
    "core/people.py:due": JOB,
    "core/sealed.py:_column": JOB,
    "core/sealed.py:_row": JOB,
    "core/sessions.py:purge": JOB,
}
"""Who may read or change the rows of all tenants, by module and function, and why. Besides them only the two look-ups
of `core/sessions.py`, which find a session by the hash of its secret."""

METHODS = ("rows", "one", "value", "change", "change_many")
"""Of `Db`: what runs a statement."""


class EveryTenant(AssertionError):
    """A statement narrows a table to no tenant."""


def unbound(statement: Any, outer: frozenset[Any] = frozenset()) -> Iterator[str]:
    """The names of the tables that the statement narrows to no tenant. `outer`: those that the enclosing one does."""
    if not isinstance(statement, Select | Update | Delete):
        return
    bound = set(outer)
    pairs = [pair for left, right in _equal(statement, statement) for pair in ((left, right), (right, left))]
    while new := {this.table for this, that in pairs if _narrows(this, that, bound)} - bound:
        bound |= new
    yield from (table.name for table in _tables(statement) if "tenant_id" in table.c and table not in bound)
    for inner in _inner(statement):
        yield from unbound(inner, frozenset(bound))


def _narrows(this: Any, that: Any, bound: set[Any]) -> bool:
    if not isinstance(this, Column):
        return False
    if isinstance(that, Column):
        return that.table in bound
    return this.name == "tenant_id" or (this.table.name == "tenant" and this.name in ("id", "name"))


def _tables(statement: Any) -> list[Any]:
    found, todo = [], [statement.table] if isinstance(statement, Update | Delete) else statement.get_final_froms()
    while todo:
        one = todo.pop()
        if isinstance(one, Join):
            todo += [one.left, one.right]
        elif isinstance(one, Table | Alias):
            found.append(one)
    return found


def _equal(statement: ClauseElement, element: ClauseElement) -> Iterator[tuple[Any, Any]]:
    """Both sides of each equality in the statement itself."""
    if isinstance(element, BinaryExpression) and element.operator in (operators.eq, operators.in_op):
        yield element.left, element.right
    for child in element.get_children():
        if not isinstance(child, Select):
            yield from _equal(statement, child)


def _inner(element: ClauseElement) -> Iterator[ClauseElement]:
    for child in element.get_children():
        if isinstance(child, Select):
            yield child
        else:
            yield from _inner(child)


def watch() -> None:
    """Read every statement of this process from now on."""
    for name in METHODS:
        setattr(Db, name, _watched(getattr(Db, name)))


_known: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()
"""Statements that were read: many are built once and executed again and again."""
_known_shapes: dict[Any, list[str]] = {}
"""By what SQLAlchemy keeps their compiled form by, in which the values do not count: the others, built each time."""


def _read(statement: Any) -> list[str]:
    if statement not in _known:
        key = statement._generate_cache_key()
        _known[statement] = _of_shape(statement, key.key) if key is not None else _unbound(statement)
    return _known[statement]


def _of_shape(statement: Any, shape: Any) -> list[str]:
    if shape not in _known_shapes:
        _known_shapes[shape] = _unbound(statement)
    return _known_shapes[shape]


def _unbound(statement: Any) -> list[str]:
    return sorted(set(unbound(statement)))


def _watched(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def checked(self: Db, statement: Any, *args: Any, **given: Any) -> Any:
        if tables := _read(statement):
            who = _caller(sys._getframe(1))
            if who is not None and who not in ACROSS:
                raise EveryTenant(f"{who} narrows {', '.join(tables)} to no tenant")
        return await method(self, statement, *args, **given)

    return checked


def _caller(frame: FrameType | None) -> str | None:
    """The function of ours that runs the statement; None if a test does."""
    while frame is not None and frame.f_code.co_name.startswith("<"):
        frame = frame.f_back
    if frame is None:
        return None
    _, is_ours, module = frame.f_code.co_filename.partition("/src/passgate/")
    return f"{module}:{frame.f_code.co_name}" if is_ours else None
