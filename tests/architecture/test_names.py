"""Names that the project no longer uses, with their replacements (`old_names.csv`): no module defines one of them.

A name that another library demands (`Semaphore.release`) is used but not defined, so it does not count.
"""

from __future__ import annotations

import ast
import csv
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.reference import ROOT

TABLE = Path(__file__).with_name("old_names.csv")
TERMS = re.compile(r"\b(doors?|houses?|deeds?|towns?|seats?|seated)\b", re.IGNORECASE)
TEXTS = (".html", ".txt", ".po", ".js", ".css")
UI = ("src/passgate/web/templates", "src/passgate/web/locales", "src/passgate/web/static")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def defined(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, getattr(node, "lineno", 0)


def parts(name: str) -> set[str]:
    """The words of a name in lower case: `_OldName` and `old_name` both contain `old`."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


@cache
def old_names(name: str) -> tuple[str, ...]:
    found = parts(name)
    return tuple(
        f"{row['old']}: {row['now']}"
        for row in ROWS
        if (row["old"].lower() in found if row["match"] == "part" else row["old"] == name)
        and name not in row["except"].split()
    )


with TABLE.open(newline="") as file:
    ROWS = list(csv.DictReader(file))


@pytest.mark.parametrize("folder", ["src", "tests", "bench", "tools"])
def test_no_old_name_is_defined(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name} → {old}"
        for path in tracked(f"{folder}/*.py")
        for name, line in defined(ast.parse(path.read_text()))
        for old in old_names(name)
    ]
    assert found == []


@pytest.mark.parametrize(
    "name", ["door_of", "SeatOf", "_told", "test_the_house_stands", "keep", "HALF", "look_up", "put", "lay_out"]
)
def test_the_table_finds_an_old_name(name: str) -> None:
    assert old_names(name)


@pytest.mark.parametrize("name", ["keep_an_owner", "put_nowait", "layout", "footnote", "password_beside", "household"])
def test_the_table_leaves_other_names_alone(name: str) -> None:
    assert not old_names(name)


def test_old_terms_are_in_no_page_and_no_document() -> None:
    """Decision records are exempt: they keep the terms of the time they were written."""
    documents = [path for path in tracked("*.md", "*.csv") if "decisions" not in path.parts and path != TABLE]
    pages = [path for path in tracked(*UI) if path.suffix in TEXTS and "vendor" not in path.parts]
    assert len(pages) > 30
    found = [
        f"{path.relative_to(ROOT)}:{number} {word.group()}"
        for path in (*documents, *pages)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for word in TERMS.finditer(line)
    ]
    assert found == []
