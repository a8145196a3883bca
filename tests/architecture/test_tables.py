"""Who owns a table: each has one module, or a few of one concern, that read and write it. Everybody else asks them.

Not here: what the tables are (`test_reference`).
"""

from __future__ import annotations

import ast

import pytest

from passgate.store.tables import metadata, sealed_columns
from tests.architecture.reference import modules, nodes

OWNERS = {
    "tenant": {"core/tenants.py"},
    "person": {"core/people.py", "core/known.py"},
    "role_grant": {"core/access.py"},
    "role": {"core/roles.py"},
    "credential": {
        "core/credentials.py",
        "core/authenticator.py",
        "core/factors/device.py",
        "core/factors/passkey.py",
        "core/factors/password.py",
    },
    "sign_in": {"core/pending.py"},
    "ticket": {"core/once.py"},
    "budget": {"core/throttle.py"},
    "installation_secret": {"core/installation.py"},
    "session": {"core/sessions.py", "core/session_lives.py"},
    "carrier": {"core/sessions.py"},
    "superseded_secret": {"core/sessions.py"},
    "form_answer": {"core/form_answers.py"},
    "audit_event": {"core/audit.py", "core/ledger.py", "core/checkpoint.py"},
    "audit_head": {"core/audit.py", "core/ledger.py", "core/checkpoint.py"},
    "audit_checkpoint": {"core/checkpoint.py"},
    "outbox": {"core/mail.py", "core/outbox.py"},
    "dev_mail": {"adapters/mailbox.py"},
    "observer": {"core/observers.py"},
    "observer_queue": {"core/observers.py"},
    "job": {"core/host_jobs.py", "core/job_worker.py"},
    "signing_key": {"core/keys.py"},
}
JOINED = {
    ("core/sessions.py", "person"): "one look-up finds all that a request needs",
    ("core/sessions.py", "role_grant"): "the same",
    ("core/sessions.py", "tenant"): "the same",
    ("core/pending.py", "tenant"): "one look-up finds a sign-in with its rules",
    ("core/authenticator.py", "person"): "an unknown address takes the same one query as a known one",
    ("core/factors/passkey.py", "person"): "one query finds the passkey and whether its person is live",
    ("core/access.py", "person"): "owners that are live",
    ("core/access.py", "role"): "what somebody may do, in one query with their roles",
    ("core/sessions.py", "role"): "one look-up finds all that a request needs",
    ("core/directory.py", "person"): "finds people, and changes nothing",
    ("core/directory.py", "role_grant"): "the list shows roles",
    ("core/observers.py", "audit_event"): "follows the trail",
    ("core/observers.py", "audit_head"): "the same",
    ("core/sealed.py", "credential"): "key rotation walks the declared columns of all tables",
}
"""Who reads a table of another module in one query with its own, and why."""


def named(source: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """(module, table) of each import of a table; and of each table written as text."""
    found = set()
    for name, tree in source.items():
        for node in nodes(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "passgate.store.tables":
                found |= {(name, alias.name) for alias in node.names if alias.name in metadata.tables}
            elif isinstance(node, ast.Attribute) and node.attr in metadata.tables and _is_tables(node.value):
                found.add((name, node.attr))
    return found


def _is_tables(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "tables"


def strangers(source: dict[str, ast.Module]) -> set[tuple[str, str]]:
    return {(name, table) for name, table in named(source) if name not in OWNERS[table]} - JOINED.keys()


def test_each_table_has_an_owner_that_uses_it() -> None:
    assert OWNERS.keys() == metadata.tables.keys()
    found = named(modules())
    assert {(name, table) for table, names in OWNERS.items() for name in names} <= found
    assert JOINED.keys() <= found, "it does not read that table any more: take its line away"


def test_nobody_else_queries_it() -> None:
    source = modules()
    assert strangers(source) == set()
    planted = ast.parse("from passgate.store.tables import session\nquery = select(session)")
    assert strangers({**source, "core/planted.py": planted}) == {("core/planted.py", "session")}


def test_sealed_columns_are_declared() -> None:
    """With their purpose; key rotation walks all but those that last for minutes at most."""
    sealed = {column for table in metadata.tables.values() for column in table.columns if "_sealed" in column.name}
    assert {str(column) for column in sealed if "purpose" not in column.info} == set()
    assert {str(one) for one in sealed - set(sealed_columns())} == {"form_answer.answer_sealed"}
    for column in sealed_columns():
        assert len(column.table.primary_key.columns) == 1, f"{column} has no key of one column"


@pytest.mark.parametrize("writing", ["insert", "update", "delete"])
def test_only_owners_write(writing: str) -> None:
    """What joins a table of somebody else's reads it."""
    for name, tree in modules().items():
        for node in nodes(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == writing and node.args:
                table = ast.unparse(node.args[0])
                assert table not in metadata.tables or name in OWNERS[table], (name, table)
