"""The pages of admins call the operations of the API and nothing below them: their modules import neither the core nor
the store, nor the endpoints' own functions. So an admin has no other power on a page than by the API.

Not here: what the pages do (`tests/web/test_pages_admin`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passgate.errors import Unavailable
from passgate.web.pages import admin
from tests import catalogue
from tests.architecture.population import Population

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


@pytest.mark.parametrize("page", [key for key in catalogue.catalogue() if key.partition(" ")[2].startswith("/admin")])
async def test_the_database_goes_in_the_middle(
    lite_population: Population, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of the operations that a page calls: it answers 503, whichever is the first that finds it gone."""
    store = type(lite_population.the.gate.services.store)
    ask, answers = await catalogue.catalogue()[page].rights[0].asks(lite_population), list[int]()
    await lite_population.lift()
    while not answers or answers[-1] == 503:
        left = iter(range(len(answers)))
        with monkeypatch.context() as patched:
            for name in ("read", "write"):
                patched.setattr(store, name, _gone_after(getattr(store, name), left))
            sent = await lite_population.send(page.partition(" ")[0], replace(ask, cookie="passgate_session"))
        answers.append(sent.status_code)
    assert answers[-1] < 400, answers
    assert 503 in answers


def _gone_after(opens: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def opened(*given: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise Unavailable("database")
        return opens(*given, **more)

    return opened
