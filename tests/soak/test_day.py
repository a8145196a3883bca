"""The whole day of an attacker who knows only the address, pressing every quarter of an hour, and ten thousand starts,
on both databases.

The attack itself and its bounds are in tests/strangers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import The
from tests.strangers.test_crowd import many_starts
from tests.strangers.test_day import a_day

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("origins", [1, 65_536])
async def test_a_whole_day(tmp_path: Path, database_url: str | None, origins: int) -> None:
    await a_day(tmp_path, database_url, origins, every=15)


async def test_ten_thousand_starts(the: The) -> None:
    await many_starts(the, 10_000)
