"""Which tests run in the same xdist worker: those that share something that is slow to start. What they test does not
matter here.

Every other test goes to whichever worker is free, so all workers end at about the same time.
"""

from __future__ import annotations

from collections import Counter

import pytest
from xdist.scheduler import LoadScopeScheduling

SHARING = (
    "tests/browser/",
    "tests/cli/test_serve.py",
    "tests/conformance/",
    "tests/core/test_directory.py",
    "tests/docs/",
    *(f"tests/examples/test_session_rbac_{name}.py" for name in ("hostile", "http", "people", "races", "roles")),
    "tests/examples/test_two_factor_races.py",
    "tests/examples/test_pages_in_browser.py",
    "tests/examples/test_passkey_audit_page.py",
    "tests/examples/test_passkey_audit_refused.py",
    "tests/architecture/test_machine.py",
    "tests/architecture/test_matrix.py",
    "tests/architecture/test_places.py",
    "tests/library/test_wheel.py",
    "tests/races/",
    "tests/wire/test_clients.py",
)
"""Files and folders whose tests share something: a server, a built wheel, a population of people, a copy of the
project, programs of others."""


POSTGRES = ("postgres", "::test_migrate_a_server", "::test_not_ready_without_its_database")
"""Parts of test ids which show that a test uses the PostgreSQL server."""


class InGroups(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Assigns groups by test id. xdist's own `loadgroup` appends the group to the id, which pytest 9.2 no longer
    reads."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid) or nodeid


def group_of(nodeid: str) -> str | None:
    """`postgres` for all tests that use the server; otherwise the file or folder of SHARING; None for a test by
    itself."""
    if any(name in nodeid for name in POSTGRES):
        return "postgres"
    return next((place for place in SHARING if nodeid.startswith(place)), None)


def rename_duplicates(items: list[pytest.Item]) -> None:
    """Give tests with the same id different ones. Schemathesis gives all its tests one id, and xdist, in groups, would
    silently run only one of them."""
    seen = Counter(item.nodeid for item in items)
    for item in items:
        if seen[item.nodeid] > 1:
            item._id = item.id.with_params(item.name.partition("[")[2].removesuffix("]"))
    if again := [nodeid for nodeid, count in Counter(item.nodeid for item in items).items() if count > 1]:
        raise pytest.UsageError(f"more than one test is called {again[0]}: only one of them would run")
