"""Hundreds of sign-ups and sign-ins while Passgate or its database is killed again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.crash import FLOWS, Acknowledged, a_whole_life, asked_after_a_crash, life, moments
from tests.faults.test_database import migrated, ready_again
from tests.processes import Deployment, Server, seen
from tests.servers import Postgres

pytestmark = pytest.mark.soak

FLOWS_IN_ALL = 200
LIVES = FLOWS_IN_ALL // FLOWS


async def finish(made: Deployment, acknowledged: Acknowledged) -> None:
    """Run until two hundred people have completed every step without being interrupted by a crash, and check again."""
    while acknowledged.flows < FLOWS_IN_ALL:
        await a_whole_life(made, acknowledged)
    await asked_after_a_crash(made, acknowledged)


async def test_passgate_is_killed(tmp_path: Path, database_url: str | None) -> None:
    data, acknowledged = tmp_path / "data", Acknowledged()
    server = Server(data, database_url)
    try:
        await server.start()
        async with seen([server], data, database_url) as made:
            whole = await a_whole_life(made, acknowledged)
            for moment in moments(7, LIVES, whole):
                await life(made, acknowledged, server.kill9, moment)
                await server.start()
                await asked_after_a_crash(made, acknowledged)
            await finish(made, acknowledged)
        await server.stop()
    finally:
        server.kill9()
    server.no_faults()


@pytest.mark.pg
async def test_postgres_is_killed(tmp_path: Path) -> None:
    """Only PostgreSQL is killed and started again; Passgate keeps running."""
    data, acknowledged = tmp_path / "data", Acknowledged()
    with Postgres(durable=True) as database:
        url = await migrated(database, tmp_path)
        server = Server(data, url)
        try:
            await server.start()
            async with seen([server], data, url) as made:
                whole = await a_whole_life(made, acknowledged)
                for moment in moments(8, LIVES, whole):
                    await life(made, acknowledged, database.kill9, moment)
                    await asyncio.to_thread(database.start)
                    await ready_again(made)
                    await asked_after_a_crash(made, acknowledged)
                await finish(made, acknowledged)
            await server.stop()
        finally:
            server.kill9()
