"""The installation's secret: made once, the same after key rotations and restarts, made anew if its key is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from passgate.core import installation, sealed
from passgate.core.ctx import Ctx
from passgate.store.tables import installation_secret
from tests import operating
from tests.kit import The, running, settings_for

NEWER, OLDER, OTHER = ("n3" * 20, "o1" * 20, "x9" * 20)


async def test_it_is_the_same_after_rotation_and_restart(tmp_path: Path, database_url: str | None) -> None:
    async with running(settings_for(tmp_path, database_url)) as the:
        before = the.gate.services.ring.stable_mac(b"anna")
        sealed = (await the.rows(installation_secret))[0]["value_sealed"]
        await operating.rotate_keys(Ctx(the.gate.services))
        assert the.gate.services.ring.stable_mac(b"anna") == before
        resealed = (await the.rows(installation_secret))[0]["value_sealed"]
        assert resealed != sealed
        assert bytes(resealed).startswith(the.gate.services.ring.head)
    async with running(settings_for(tmp_path, database_url)) as the:
        assert the.gate.services.ring.stable_mac(b"anna") == before


async def test_it_outlives_the_key_that_sealed_it_first(tmp_path: Path) -> None:
    """Two roots in the settings; the jobs reseal it under the newest, and then the older root can go."""
    async with running(settings_for(tmp_path, secrets=(OLDER,))) as the:
        before = the.gate.services.ring.stable_mac(b"anna")
    async with running(settings_for(tmp_path, secrets=(NEWER, OLDER))) as the:
        await sealed.rewrap(the.gate.services)
        await sealed.rewrap(the.gate.services)
    async with running(settings_for(tmp_path, secrets=(NEWER,))) as the:
        assert the.gate.services.ring.stable_mac(b"anna") == before


async def test_a_lost_key_costs_the_counters_alone(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, secrets=(OLDER,))) as the:
        before = the.gate.services.ring.stable_mac(b"anna")
    async with running(settings_for(tmp_path, secrets=(OTHER,)), real_world=True) as the:
        assert the.gate.services.ring.stable_mac(b"anna") != before
        assert len(await the.rows(installation_secret)) == 1


async def test_many_first_starts_at_once(the: The) -> None:
    """All of them end with one secret."""
    services = the.gate.services
    async with services.store.write() as db:
        await db.change(installation_secret.delete())
    macs = set()

    async def start() -> None:
        await installation.load(services)
        macs.add(services.ring.stable_mac(b"anna"))

    await asyncio.gather(*(start() for _ in range(20)))
    assert len(macs) == 1
    assert len(await the.rows(installation_secret)) == 1
