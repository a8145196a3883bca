"""The table printed at the end of a run: it counts tests and seconds per folder and names a folder over its budget.

Nothing here is slow itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import storage
from tests.seconds import Spent, entry, folder_of, table

KNOWN = {"web": {"tests": 2, "seconds": 3.0, "budget": 5}, "core": {"tests": 2, "seconds": 3.0, "budget": 5}}


def test_a_folder_over_its_budget_is_named() -> None:
    spent = {"web": Spent({"a", "b"}, 5.1), "core": Spent({"c"}, 4.9), "new": Spent({"d"}, 0.1)}
    named = [line.split()[0] for line in table(spent, KNOWN) if line.endswith("over its budget")]
    assert named == ["web", "new"]


@pytest.mark.parametrize(
    ("nodeid", "folder"),
    [
        ("tests/web/test_body.py::test_x[a/b::c]", "web"),
        ("tests/web/test_body.py::test_x[a]@pg", "web"),
        ("tests/test_x.py::test_y", "tests"),
    ],
    ids=["parameters", "a group", "no folder"],
)
def test_whose_seconds_they_are(nodeid: str, folder: str) -> None:
    assert folder_of(nodeid) == folder


def test_a_new_record_keeps_the_budget_that_was_set() -> None:
    assert entry(Spent({"a"}, 7.04), KNOWN["web"]) == {"tests": 1, "seconds": 7.0, "budget": 5}
    assert entry(Spent({"a"}, 7.04), None) == {"tests": 1, "seconds": 7.0, "budget": 11}


def test_without_memory_the_disk_is_used_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DEBUG_TEMPROOT", raising=False)
    monkeypatch.setattr(storage, "MEMORY", tmp_path / "none")
    storage.choose()
    assert storage.memory() is None
    assert "on disk" in storage.described()
