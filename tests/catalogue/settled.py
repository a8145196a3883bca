"""Fixtures with the population that sends the catalogue's requests, set up once per session and then copied.

Who belongs to the population is in `tests.architecture.population`.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.population import Population
from tests.kit import running, settings_for

HOURS: dict[str, Any] = {
    "tenancy": "multi",
    "mail": {"per_hour": 10_000, "code_life": 6 * 3600},
    "signin": {"fresh": 6 * 3600, "life": 6 * 3600},
    "session": {"idle": 80_000, "touch": 80_000},
}
"""Lifetimes so long that nothing expires until a rule is broken, and no session is updated by its use."""


@pytest.fixture(scope="session")
async def settled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Population]:
    """The population in its initial state; each test works on a copy."""
    folder = tmp_path_factory.mktemp("population")
    async with running(settings_for(folder, **HOURS)) as the:
        return folder, await Population.settled(the)


Settled = tuple[Path, Population]


@asynccontextmanager
async def copied(settled: Settled, folder: Path, **given: Any) -> AsyncIterator[Population]:
    """The population on a copy of its own, on SQLite. `given`: further arguments of `Passgate`."""
    shutil.copytree(settled[0], folder)
    async with running(settings_for(folder, **HOURS), **given) as the:
        yield settled[1].moved(the)


@pytest.fixture
async def lite_population(settled: Settled, tmp_path: Path) -> AsyncIterator[Population]:
    async with copied(settled, tmp_path / "population") as made:
        yield made


@pytest.fixture
async def population(
    settled: tuple[Path, Population], tmp_path: Path, database_url: str | None
) -> AsyncIterator[Population]:
    """The population on each database; on PostgreSQL it is set up anew for each test."""
    folder, people = settled
    if database_url is None:
        shutil.copytree(folder, tmp_path / "population")
    async with running(settings_for(tmp_path / "population", database_url, **HOURS)) as the:
        yield people.moved(the) if database_url is None else await Population.settled(the)
