"""How many places a new event, policy field, endpoint, page or factor takes, as CONTRIBUTING says. One of each is added
to a copy of the project; then the copy is checked for knowing them and for tests that complain.

The files that are added are in `plants`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.plants import (
    ENDPOINT,
    ENDPOINT_ENTRY,
    EVENT,
    FACTOR,
    FACTOR_ENTRY,
    FACTOR_PAGE,
    FIELD,
    PAGE,
    PAGE_ENTRY,
    TOUCHING,
    WAVED,
    WITH_FACTOR,
    Copy,
    Plant,
)
from tests.architecture.reference import ROOT

PLANTS = (EVENT, FIELD, ENDPOINT, PAGE, FACTOR, FACTOR_PAGE)
ENTRIES = (ENDPOINT_ENTRY, PAGE_ENTRY, FACTOR_ENTRY)
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:schemathesis")
WATCHFUL = (
    "tests/architecture/test_catalogue.py",
    "tests/architecture/test_shape.py",
    "tests/architecture/test_reference.py",
    "tests/core/test_enrolment.py::test_everything_one_has_at_a_glance",
    "tests/web/test_docs.py::test_every_endpoint_has_a_description",
    "tests/web/test_pages_look.py::test_the_german_catalog_is_complete",
)
"""The tests that could fail because of something new: shape, references, OpenAPI document, translations."""
MATRICES = (
    "tests/architecture/test_matrix.py",
    "tests/architecture/test_order.py",
    "tests/architecture/test_refusals.py",
    "tests/web/test_hostile_input.py",
    "tests/browser/test_access.py",
)
CATALOGUE = "tests/architecture/test_catalogue.py::test_every_endpoint_is_in_the_catalogue"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy with one new thing of each kind and no entry for them in the catalogue."""
    made = Copy(tmp_path_factory.mktemp("copy"))
    made.plant(*PLANTS)
    return made


@pytest.fixture(scope="module")
def result(copy: Copy) -> dict[str, Any]:
    done = copy.run("-m", "tests.architecture.asked", WAVED, "waves", "motto")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["package"] == str(copy.root / "src" / "passgate")
    return answer


# -- an event, a policy field ----------------------------------------------------------------------


def test_an_event(result: dict[str, Any]) -> None:
    """`gate.on` accepts the event too; otherwise `asked` would have failed."""
    assert result["event"] == {"rows": [f"| `{WAVED}` | A person waved. |"], "label": "You waved"}


def test_a_policy_field(result: dict[str, Any]) -> None:
    assert result["field"] == {
        "rows": ["| `waves` | number | `3` | 0 to 9 | How often one may wave |"],
        "described_by": ["How often one may wave"] * 2,
        "taken": 5,
        "refused": [{"waves": "value"}, {"waves": "type"}],
        "kept": {"waves": 5},
    }


# -- a factor --------------------------------------------------------------------------------------


def test_a_factor(result: dict[str, Any]) -> None:
    known = result["factor"]
    assert known["rules"] == ["motto", "motto"]
    assert known["labels"] == ["Word said", "Wrong word said"]
    assert [row.split("`")[1] for row in known["events"]] == ["signin:motto:proved", "signin:motto:refused"]
    assert [row.split("`")[1] for row in known["fields"]] == ["first", "second_among"]
    assert [tuple(row.split("`")[1:4:2]) for row in known["endpoints"]] == [
        ("GET", "/account/motto"),
        ("POST", "/account/motto"),
        ("POST", "/account/motto/remove"),
        ("DELETE", "/api/v1/me/motto"),
        ("POST", "/api/v1/me/motto/prove"),
        ("GET", "/signin/motto"),
        ("POST", "/signin/motto"),
    ]


def test_a_factor_is_under_the_import_contract(tmp_path: Path) -> None:
    """The import contract covers the new factor without an entry: an import of another factor is reported."""
    made = Copy(tmp_path)
    made.plant(FACTOR, TOUCHING)
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = made.run("-c", lint, "--no-cache", "--contract", "factors-apart")
    assert done.returncode == 1, done.stdout
    assert "passgate.core.factors.motto -> passgate.core.factors.totp" in done.stdout


# -- entries in the catalogue ----------------------------------------------------------------------


def test_what_the_catalogue_does_not_know_is_named_by_one_test(copy: Copy, result: dict[str, Any]) -> None:
    """The other tests pass once the references are written."""
    done = copy.run(*PYTEST, "-vv", "-m", "not pg", *WATCHFUL)
    assert re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE) == [CATALOGUE], done.stdout[-3000:]
    named = {*re.findall(r"^E +\+ +'(.+)',$", done.stdout, re.MULTILINE)}
    assert {gap for gap in named if "motto: no entry" not in gap and "motto/" not in gap} == {
        "POST /api/v1/me/wave: no entry",
        "GET /account/wave: no entry",
        "factor motto: nobody knows an answer",
    }


def test_what_it_knows_is_in_every_matrix(tmp_path: Path) -> None:
    made = Copy(tmp_path)
    made.plant(*PLANTS, *ENTRIES)
    with_factor = (*PYTEST, "-q", "-p", WITH_FACTOR)
    done = made.run(*with_factor, CATALOGUE)
    assert done.returncode == 0, done.stdout[-3000:]
    done = made.run(*with_factor, "--collect-only", "-k", "wave or motto", *MATRICES)
    assert done.returncode == 0, done.stdout[-3000:]
    rows = set(done.stdout.splitlines())
    assert {
        "tests/architecture/test_matrix.py::test_a_right_request_that_yields_nothing_goes_well[POST /api/v1/me/wave]",
        "tests/architecture/test_order.py::test_every_action_takes_its_locks_in_the_one_order[wave]",
        "tests/architecture/test_refusals.py::test_an_action_broken_at_its_last_write_succeeds_when_asked_again[wave]",
        "tests/web/test_hostile_input.py::test_bytes_that_nobody_reads[POST /api/v1/me/wave]",
        "tests/browser/test_access.py::test_axe_finds_nothing[account-wave-member-peek-en-GB-two]",
    } <= rows, done.stdout


# -- the table in CONTRIBUTING ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "files"),
    [
        ("event", EVENT),
        ("policy field", FIELD),
        ("factor", FACTOR),
        ("endpoint", ENDPOINT),
        ("page", PAGE | PAGE_ENTRY),
    ],
)
def test_the_count_is_what_is_planted(thing: str, files: Plant) -> None:
    [count] = re.findall(rf"^\| an? {thing} \| (\d)\b", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert int(count) == len(files)


def test_what_is_excluded_from_the_count() -> None:
    """A factor's page template does not count, nor does an entry of the catalogue, which stays within one folder."""
    assert list(FACTOR_PAGE) == ["src/passgate/web/templates/signin_motto.html"]
    assert all(path.startswith("tests/catalogue/") for path in (ENDPOINT_ENTRY | PAGE_ENTRY))
