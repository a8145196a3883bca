"""The pages under docs/reference match the code, every endpoint has one guard, and migrations create the declared
tables.

What each endpoint does is tested elsewhere.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import BeforeValidator
from sqlalchemy import Connection

from passgate.app import Passgate
from passgate.core.rules import OneOf, Rules
from passgate.reasons import GROUPS, REASONS
from passgate.settings import Settings
from passgate.store import SCHEMA, migrate
from passgate.store.tables import metadata
from passgate.web.api.hot import HOT
from tests.architecture.reference import (
    GENERATED,
    PAGES,
    STARTS,
    Endpoint,
    endpoints,
    modules,
    nodes,
    page,
    policy_page,
    starts_page,
)
from tests.kit import The


@pytest.mark.parametrize("name", GENERATED)
def test_a_page_matches_the_code(name: str) -> None:
    assert (PAGES / name).read_text() == page(name), "run `make reference`"


def test_the_page_of_reasons_matches_the_code() -> None:
    assert STARTS.read_text() == starts_page(), "run `make reference`"


def test_every_reason_is_listed_and_none_is_left_over() -> None:
    """A reason is a pair that begins with its code, or a call that does."""
    raised = set[str]()
    for tree in modules().values():
        for node in nodes(tree):
            parts = node.elts if isinstance(node, ast.Tuple) else node.args[:1] if isinstance(node, ast.Call) else []
            raised |= {str(one.value) for one in parts if isinstance(one, ast.Constant) and _is_code(one.value)}
    named = {"FAULT", "APP_FAILED"}  # in texts of their own
    assert {"PROXIES_ANY", "DATABASE_BEHIND", "APP_KIND"} <= raised
    assert (raised | named) - REASONS.keys() == set()
    assert REASONS.keys() - raised - named == set()
    assert sum(map(len, GROUPS.values())) == len(REASONS)


def test_every_reason_is_reached_by_a_test() -> None:
    """Of the other folders: here they are only listed."""
    texts = [path.read_text() for path in Path("tests").rglob("*.py") if path.parent.name != "architecture"]
    assert REASONS.keys() - set(re.findall(r'"([A-Z][A-Z_]+)"', "\n".join(texts))) == set()


def _is_code(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z]{3,}(_[A-Z]+)+", value) is not None and value not in _OTHERS


_OTHERS = {"PASSGATE_SECRETS_DIR", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}
"""Names of variables."""


def test_no_page_is_a_stranger() -> None:
    assert {path.name for path in PAGES.iterdir()} == set(GENERATED)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Passgate]:
    made = Passgate(Settings.development(data=tmp_path))
    yield made
    made.services.hasher.close()


def test_every_endpoint_names_one_guard(gate: Passgate) -> None:
    found = endpoints(gate)
    assert len(found) > 20
    for endpoint in found:
        assert len(endpoint.guards) == 1, f"{endpoint.method} {endpoint.path} names {endpoint.guards or 'no guard'}"


def test_every_hot_endpoint_has_a_guarded_twin(gate: Passgate) -> None:
    twins = {(endpoint.method, endpoint.path): endpoint for endpoint in endpoints(gate)}
    assert set(HOT) <= set(twins)
    assert {key: twins[key].guards for key in HOT} == {
        ("GET", "/api/v1/session"): ("peek",),
        ("POST", "/api/v1/tokens/refresh"): ("stranger",),
    }
    assert all(twins[key].is_hot for key in HOT)


def test_operation_ids_are_unique(gate: Passgate) -> None:
    named = [endpoint.operation for endpoint in endpoints(gate) if endpoint.operation]
    assert len(named) == len(set(named))
    assert all("-" in name for name in named)


def test_production_has_no_developer_endpoint(tmp_path: Path) -> None:
    settings = Settings.production(
        data=tmp_path,
        public_url="https://id.example.com",
        secrets=("7Qz-" * 9,),
        metrics={"token": "t" * 20},
        mail={"url": "smtps://mail.example.com"},
    )
    gate = Passgate(settings)
    found: list[Endpoint] = endpoints(gate)
    gate.services.hasher.close()
    assert found
    assert not [endpoint for endpoint in found if "developer" in endpoint.guards or endpoint.path.startswith("/dev")]


# -- tables and migrations -------------------------------------------------------------------------


def _is_other_default(
    _context: Any, _seen: Any, _meant: Any, seen: str | None, _default: Any, meant: str | None
) -> bool:
    """Alembic's own comparison fails on an empty string as the default on SQLite."""

    def plain(text: str | None) -> str | None:
        return None if text is None else re.sub(r"::[a-z ]+$", "", text).strip("()").removeprefix("'").removesuffix("'")

    return plain(seen) != plain(meant)


async def test_migrations_make_the_tables(the: The) -> None:
    def differences(connection: Connection) -> object:
        opts = {"compare_type": True, "compare_server_default": _is_other_default, "target_metadata": metadata}
        context = MigrationContext.configure(connection, opts=opts)
        with warnings.catch_warnings():
            # What reflection cannot read back (an index over an expression) would only be a warning and go unnoticed.
            warnings.simplefilter("error")
            return compare_metadata(context, metadata)

    async with the.gate.services.store.write() as db:
        assert await db.run(differences) == []
    assert await migrate.revision(the.gate.services.store) == SCHEMA.head


def test_head_is_the_newest_revision_and_there_is_no_way_back() -> None:
    scripts = ScriptDirectory.from_config(migrate.config(SCHEMA))
    assert scripts.get_heads() == [SCHEMA.head]
    for revision in scripts.walk_revisions():
        assert not hasattr(revision.module, "downgrade")
    assert not hasattr(migrate, "downgrade")


def test_a_field_of_a_policy_lists_its_values() -> None:
    """The expected values come from the fields themselves and not from the generated page."""
    page = policy_page()
    named = {
        name: step.func.values
        for name, field in Rules.model_fields.items()
        for step in field.metadata
        if isinstance(step, BeforeValidator) and isinstance(step.func, OneOf)
    }
    assert {"second", "least_acr"} <= named.keys()
    for name, values in named.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert ", ".join(f"`{value}`" for value in values) in row.split(" | ")[3]
