"""The installation's secret: made once, the same after key rotations and restarts, made anew if its key is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from passgate import Passgate
from passgate.core import installation, sealed
from passgate.core.ctx import Ctx
from passgate.errors import UnsafeSettings
from passgate.settings import KEY_FILE
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


async def test_without_its_keys_a_database_is_not_served(tmp_path: Path, database_url: str | None) -> None:
    """No fresh key is made beside what another one has sealed, and nothing is written."""
    mine = settings_for(tmp_path, database_url, secrets=(OLDER,))
    async with running(mine) as the:
        await the.person()
        before = await the.everything()
    lost = settings_for(tmp_path, database_url)
    for work in (False, True):
        with pytest.raises(UnsafeSettings) as refused:
            async with Passgate(lost).running(work=work):
                pass
        assert [code for code, _ in refused.value.reasons] == ["KEYS_MISSING"]
        assert not (lost.data / KEY_FILE).exists()
    async with running(mine) as the:
        assert await the.everything() == before


async def test_a_lost_key_costs_the_counters_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever sets another secret starts anew with it, and the log says so."""
    async with running(settings_for(tmp_path, secrets=(OLDER,))) as the:
        before = the.gate.services.ring.stable_mac(b"anna")
    async with running(settings_for(tmp_path, secrets=(OTHER,)), real_world=True) as the:
        assert the.gate.services.ring.stable_mac(b"anna") != before
        assert [one.levelname for one in caplog.records if "other keys" in one.message] == ["ERROR"]
        assert await installation.key_reasons(the.gate.services) == []
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
