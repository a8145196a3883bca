"""The rule of `tests/tenancy.py`, which the whole run checks: what it refuses, what it lets pass, and that its list of
exceptions names functions that exist.

Not here: the statements themselves.
"""

from __future__ import annotations

import ast
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, exists, insert, select, update

from passgate.store import Db
from passgate.store.tables import carrier, credential, person, role_grant, session, tenant, ticket
from tests import tenancy
from tests.architecture.reference import ROOT, modules, nodes
from tests.kit import The

_MINE = session.c.tenant_id == bindparam("of_tenant")
LOOSE = {
    "by id": (select(session).where(session.c.id == "x"), {"session"}),
    "everything": (select(person), {"person"}),
    "a change": (update(ticket).where(ticket.c.id == "x").values(taken_at=1), {"ticket"}),
    "a deletion": (delete(credential).where(credential.c.person_id == "x"), {"credential"}),
    "one of two": (
        select(session).join(person, person.c.email == "x").where(_MINE),
        {"person"},
    ),
    "not equal": (select(session).where(session.c.tenant_id != "x"), {"session"}),
    "with another column": (select(session).where(session.c.tenant_id == session.c.id), {"session"}),
    "inside": (select(session).where(_MINE, exists().where(person.c.email == "x")), {"person"}),
    "by the name of nothing": (select(session).where(session.c.tenant_id == person.c.tenant_id), {"session", "person"}),
}
NARROW = {
    "by tenant": select(session).where(_MINE, session.c.id == "x"),
    "a change": update(ticket).where(ticket.c.tenant_id == "x", ticket.c.id == "y").values(taken_at=1),
    "by a join": select(carrier).join(session, session.c.id == carrier.c.session_id).where(_MINE),
    "by the tenant's name": select(person).join(tenant, tenant.c.id == person.c.tenant_id).where(tenant.c.name == "x"),
    "inside": select(
        person.c.id,
        select(role_grant.c.role).where(role_grant.c.person_id == person.c.id).scalar_subquery(),
    ).where(person.c.tenant_id == "x"),
    "a new row": insert(session).values(id="x"),
    "no such table": select(tenant).where(tenant.c.id == "x"),
}


@pytest.mark.parametrize("which", LOOSE)
def test_a_planted_statement_is_found(which: str) -> None:
    statement, tables = LOOSE[which]
    assert set(tenancy.unbound(statement)) == tables


@pytest.mark.parametrize("which", NARROW)
def test_a_statement_that_names_its_tenant_passes(which: str) -> None:
    assert set(tenancy.unbound(NARROW[which])) == set()


async def test_it_is_refused_where_it_is_run(lite: The) -> None:
    """Such a function of ours fails at the first call, in whatever test."""
    planted: dict[str, Any] = {"select": select, "session": session}
    code = "async def planted(db): return await db.rows(select(session).where(session.c.id == 'x'))"
    exec(compile(code, f"{ROOT}/src/passgate/core/planted.py", "exec"), planted)  # noqa: S102  as a module of ours
    async with lite.gate.services.store.read() as db:
        with pytest.raises(tenancy.EveryTenant, match=r"core/planted\.py:planted"):
            await planted["planted"](db)


def test_exceptions_are_functions_of_ours() -> None:
    for place in tenancy.ACROSS:
        path, _, name = place.partition(":")
        tree = ast.parse((ROOT / "src" / "passgate" / path).read_text())
        named = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in named, place


def test_nothing_runs_past_it() -> None:
    """Every statement passes one of these methods, except look-ups by a hash (of a session's secret, twice, and of a
    form), and the questions whether there are tables yet."""
    assert [name for name in tenancy.METHODS if not hasattr(getattr(Db, name), "__wrapped__")] == []
    calls: dict[str, list[str]] = {"Lookup": [], "db.run": []}
    for name, tree in modules().items():
        for node in nodes(tree):
            if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in calls:
                calls[called].append(name)
    assert calls == {
        "Lookup": ["core/form_answers.py", *["core/sessions.py"] * 4],
        "db.run": ["cli/desk.py", "core/installation.py", *["store/migrate.py"] * 2],
    }
