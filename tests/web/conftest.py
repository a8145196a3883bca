"""Fixtures of the catalogue for the tests of this folder, and the second run of the contract's tests, through the
Python twins. Fixtures of a single test module stay in that module.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests import kit
from tests.catalogue.settled import lite_population, population, settled
from tests.web.through_twins import CALLS, through_twins
from tests.web.without_twins import WITHOUT

__all__ = ["lite_population", "population", "settled"]

TWINS = "twins"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of the contract runs over HTTP and through the twins."""
    if metafunc.module.__name__.rpartition(".")[2].startswith("test_contract_"):
        metafunc.parametrize("through", ["http", TWINS], indirect=True)


_IN_SOAK = ("test_contract_edge", "test_contract_policy", "test_contract_throttle")
"""Through the twins these run with the long tests: what they are about lies below or above the endpoints."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Through the twins on SQLite alone: below the endpoints the two runs are the same. Of a test that calls no twin,
    one case runs all the same, so that it is noticed when this is no longer true."""
    seen: set[str] = set()
    left_out = [item for item in items if _is_through_twins(item) and _is_left_out(item, seen)]
    for item in items:
        if _is_through_twins(item) and isinstance(item, pytest.Function) and item.module.__name__.endswith(_IN_SOAK):
            item.add_marker(pytest.mark.soak)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out(item: pytest.Item, seen: set[str]) -> bool:
    name = item.originalname if isinstance(item, pytest.Function) else item.name
    is_repeated = name in WITHOUT and name in seen
    seen.add(name)
    return is_repeated or item.get_closest_marker("pg") is not None


def _is_through_twins(item: pytest.Item) -> bool:
    return (
        isinstance(item, pytest.Function) and "callspec" in vars(item) and item.callspec.params.get("through") == TWINS
    )


@pytest.fixture(autouse=True)
def through(request: pytest.FixtureRequest) -> Iterator[None]:
    if getattr(request, "param", "http") != TWINS:
        yield
        return
    kit.ASKED_THROUGH.append(through_twins)
    yield
    kit.ASKED_THROUGH.pop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that calls no twin shows nothing about them: it has to be on the list, with the reason."""
    before = CALLS["made"]
    yield
    if _is_through_twins(item) and isinstance(item, pytest.Function):
        name, made = item.originalname, CALLS["made"] - before
        assert (made == 0) == (name in WITHOUT), f"{name} made {made} calls of twins: see without_twins.py"
