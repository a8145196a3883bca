"""The two tables of proofs: every test, name and page they refer to exists, and no row is missing or listed twice.

Whether a test really asserts what its row says is for a reviewer; nothing here runs those tests.
"""

from __future__ import annotations

import ast
import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.reference import ROOT

SEEDS, ASVS = ROOT / "docs/seeds.md", ROOT / "docs/security/asvs.md"
PAGES = (SEEDS, ASVS)
GROUPS = {
    "A": 19,
    "B": 11,
    "C": 15,
    "D": 7,
    "E": 13,
    "F": 7,
    "G": 8,
    "H": 10,
    "I": 9,
    "J": 10,
    "K": 7,
    "L": 3,
    "M": 5,
    "N": 3,
    "O": 6,
    "P": 8,
}
"""The number of features in each group of the list of features."""
PARTS = (
    "pages",
    "examples",
    "workers",
    "tenancy",
    "provider",
    "BFF",
    "federation",
    "admin console",
    "React",
    "operation",
)
"""The names of the parts that are still to be built."""

_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
_NAME = re.compile(r"(src/[\w/]+\.py):(\w+)")
_PAGE = re.compile(r"docs/[\w/-]+\.md")
_PROOF = re.compile(r"`(?:tests|src)/[^`]+`")


def cells(text: str) -> list[list[str]]:
    """The rows of all tables without the header rows."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def features() -> list[list[str]]:
    return [row for row in cells(SEEDS.read_text()) if re.fullmatch(r"[A-P]\d+", row[0])]


def requirements() -> list[list[str]]:
    return [row for row in cells(ASVS.read_text()) if re.fullmatch(r"V\d+\.\d+\.\d+", row[0])]


@cache
def names_in(path: str) -> frozenset[str]:
    """The names a file defines at its top level: functions, classes and constants."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Assign():
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_what_is_pointed_at_exists(page: Path) -> None:
    text = page.read_text()
    tests, names = set(_TEST.findall(text)), set(_NAME.findall(text))
    assert len(tests) > 40
    assert all(name.startswith("test_") for _, name in tests)
    lost = {(path, name) for path, name in tests | names if not _has(path, name)}
    assert lost == set()
    assert {path for path in _PAGE.findall(text) if not (ROOT / path).is_file()} == set()
    odd = {proof for proof in _PROOF.findall(text) if not (_TEST.search(proof) or _NAME.search(proof))}
    assert odd == set(), "a proof is written path::test or path:name"


def _has(path: str, name: str) -> bool:
    return (ROOT / path).is_file() and name in names_in(path)


def test_every_feature_of_the_seeds_stands_once() -> None:
    ids = [row[0] for row in features()]
    assert ids == [f"{group}{number}" for group, count in GROUPS.items() for number in range(1, count + 1)]


def test_every_requirement_stands_once() -> None:
    listed = [row["id"] for row in runpy.run_path(str(ROOT / "tools/asvs.py"))["rows"]()]
    assert len(listed) == len(set(listed)) == 249
    assert [row[0] for row in requirements()] == listed


def test_the_page_matches_the_list() -> None:
    assert ASVS.read_text() == runpy.run_path(str(ROOT / "tools/asvs.py"))["page"](), "run `python tools/asvs.py`"


def test_every_feature_has_a_state_and_its_proof() -> None:
    rows = features()
    assert {len(row) for row in rows} == {4}
    for id_, _, state, proof in rows:
        has_test, has_part = bool(_TEST.search(proof)), any(part in proof for part in PARTS)
        result = {"proved": has_test, "partly": has_test and "To come:" in proof and has_part, "later": has_part}
        assert result[state], id_
        assert state != "later" or not has_test, f"{id_} has a test and is at least partly there"
    counted = [sum(row[2] == state for row in rows) for state in ("proved", "partly", "later")]
    assert "Proved {}, partly {}, later {}; {} in all.".format(*counted, len(rows)) in SEEDS.read_text()


def test_every_requirement_has_a_state_and_its_proof() -> None:
    rows = requirements()
    assert {len(row) for row in rows} == {5}
    for id_, level, _, state, proof in rows:
        result = {
            "proved by": bool(_TEST.search(proof)),
            "by design": bool(_NAME.match(proof.strip("`"))),
            "later": proof.startswith(PARTS),
            "operator/document": bool(_PAGE.match(proof)),
            "not by machine": len(proof) > 20,
        }
        assert result[state], id_
        assert level in {"1", "2", "3"}
