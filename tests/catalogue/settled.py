"""The town that the catalogue's requests come from, settled once and then copied: fixtures for the folders that ask.

Who lives there is told in the town itself.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.town import Town
from tests.kit import running, settings_for

HOURS: dict[str, Any] = {
    "tenancy": "multi",
    "mail": {"per_hour": 10_000, "code_life": 6 * 3600},
    "signin": {"fresh": 6 * 3600, "life": 6 * 3600},
    "session": {"idle": 80_000, "touch": 80_000},
}
"""Everything that is fresh stays so, and using a session leaves no trace, until a rule is broken."""


@pytest.fixture(scope="session")
async def settled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Town]:
    """The town as it is before anything happens; each test moves into a copy of it."""
    folder = tmp_path_factory.mktemp("town")
    async with running(settings_for(folder, **HOURS)) as the:
        return folder, await Town.settled(the)


@pytest.fixture
async def lite_town(settled: tuple[Path, Town], tmp_path: Path) -> AsyncIterator[Town]:
    folder, town = settled
    shutil.copytree(folder, tmp_path / "town")
    async with running(settings_for(tmp_path / "town", **HOURS)) as the:
        yield town.moved(the)


@pytest.fixture
async def town(settled: tuple[Path, Town], tmp_path: Path, database_url: str | None) -> AsyncIterator[Town]:
    """On each database; on PostgreSQL it is settled anew."""
    folder, people = settled
    if database_url is None:
        shutil.copytree(folder, tmp_path / "town")
    async with running(settings_for(tmp_path / "town", database_url, **HOURS)) as the:
        yield people.moved(the) if database_url is None else await Town.settled(the)
