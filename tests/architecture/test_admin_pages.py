"""The pages of admins call the operations of the API and nothing below them: their modules import neither the core nor
the store, nor the endpoints' own functions. So an admin has no other power on a page than by the API.

Not here: what the pages do (`tests/web/test_pages_admin`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from passgate.web.pages import admin

FOLDER = Path(admin.__file__).parent
MODULES = sorted(FOLDER.glob("admin*.py"))
BELOW = ("passgate.core", "passgate.store", "passgate.web.api", "passgate.app", "sqlalchemy")


def imported(source: str) -> Iterator[str]:
    """The full names of what a module imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=module, level=0, names=names):
                yield from (f"{module}.{one.name}" for one in names)
            case ast.ImportFrom():
                yield "a relative import"


def below(source: str) -> list[str]:
    return [
        name for name in imported(source) if f"{name}.".startswith(tuple(f"{one}." for one in BELOW)) or " " in name
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_only_operations_are_called(module: Path) -> None:
    assert below(module.read_text()) == []


def test_the_modules_are_found() -> None:
    assert len(MODULES) >= 6


@pytest.mark.parametrize(
    "planted",
    [
        "from passgate.core import users",
        "from passgate import core",
        "import passgate.store.tables",
        "async def page():\n    from passgate.core.users import disable\n",
        "from passgate.web.api.users import disable",
        "from ...core import users",
    ],
)
def test_a_planted_import_is_found(planted: str) -> None:
    assert len(below(f"from passgate.web import routes\n{planted}\n")) == 1
