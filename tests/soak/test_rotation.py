"""Signing keys rotate again and again, while people sign in, use and refresh tokens at two processes: nobody is
refused.

Each step of a rotation is in tests/core/test_keys.py.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import update

from passgate.core import keys
from passgate.store.tables import signing_key
from passgate.world import SECOND
from tests.kit import Person
from tests.processes import Deployment, deployed
from tests.races.test_refresh import refreshed, signed_in

pytestmark = pytest.mark.soak
ROTATIONS, PEOPLE = 12, 6


async def test_rotation_under_load(tmp_path: Path, database_url: str | None) -> None:
    async with deployed(tmp_path / "data", database_url, PUBLIC_URL="http://localhost:8000") as made:
        people = [await made.a.person(made.address()) for _ in range(PEOPLE)]
        stop, seen = asyncio.Event(), Counter[int]()
        users = [asyncio.ensure_future(_use(made, one, number, stop, seen)) for number, one in enumerate(people)]
        for _ in range(ROTATIONS):
            made_key = await keys.add(made.inside.services, "ES256")
            # Its time has come: with the clock of a server nobody could wait for it.
            async with made.inside.services.store.write() as db:
                now = made.inside.services.world.now()
                mine = update(signing_key).where(signing_key.c.id == made_key.id)
                await db.change(mine.values(signs_from=now - SECOND))
            await asyncio.sleep(3)  # a process looks for an unknown key once a second
        stop.set()
        await asyncio.gather(*users)
        assert seen.keys() == {200}
        assert sum(seen.values()) > PEOPLE * ROTATIONS


async def _use(made: Deployment, who: Person, number: int, stop: asyncio.Event, seen: Counter[int]) -> None:
    """Sign in, then use and refresh at both processes in turn."""
    for turn in itertools.count(number):
        if stop.is_set():
            return
        face, other = made.each(turn % 2 + 2)[-2:]
        pair = await signed_in(face, who)
        for _ in range(5):
            seen[(await other.session(pair["access_token"])).status_code] += 1
            answer = await refreshed(other, pair["refresh_token"])
            seen[answer.status_code] += 1
            pair = answer.json()
            seen[(await face.session(pair["access_token"])).status_code] += 1
