"""The fixtures of the examples: each program inside its test, one for a module where its tests need none of their own.

Not here: tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples import passkey_audit, session_rbac, two_factor
from tests.servers import Postgres


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
def pair_url(request: pytest.FixtureRequest) -> str | None:
    """Of the database of two processes, which the tests of a module share: None stands for SQLite."""
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database(template=request.getfixturevalue("pg_template"))


@pytest.fixture
def rbac() -> Iterator[session_rbac.Template]:
    """Example 2 for one test, which may turn its clock."""
    with session_rbac.template() as made:
        yield made


@pytest.fixture(scope="module")
def shared_rbac() -> Iterator[session_rbac.Template]:
    """Example 2 for all tests of a module, which leave its clock alone."""
    with session_rbac.template() as made:
        yield made


@pytest.fixture(scope="module")
def mailed() -> Iterator[two_factor.Service]:
    """Example 3 for all tests of a module, which may turn its clock: each has people of its own."""
    with two_factor.service() as made:
        yield made


@pytest.fixture(scope="module")
def keyed() -> Iterator[passkey_audit.Service]:
    """Example 4 for all tests of a module, which may turn its clock: each has people of its own."""
    with passkey_audit.service() as made:
        yield made
