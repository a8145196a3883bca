"""`kill -9` at random moments of sign-ups and sign-ins, three times. The long version is in tests/soak."""

from __future__ import annotations

from pathlib import Path

from tests.faults.crash import Acknowledged, a_whole_life, asked_after_a_crash, life, moments
from tests.processes import Server, leases_end, seen

KILLS = 3


async def test_killed_at_random(tmp_path: Path, database_url: str | None) -> None:
    data, outcomes = tmp_path / "data", Acknowledged()
    server = Server(data, database_url)
    try:
        await server.start()
        async with seen([server], data, database_url) as made:
            whole = await a_whole_life(made, outcomes)
            for moment in moments(1, KILLS, whole):
                await life(made, outcomes, server.kill9, moment)
                await leases_end(made.inside)
                await server.start()  # a restart is enough: nothing is repaired by hand
                await asked_after_a_crash(made, outcomes)
            await a_whole_life(made, outcomes)
            await asked_after_a_crash(made, outcomes)
        await server.stop()
    finally:
        server.kill9()
    server.no_faults()
    assert outcomes.flows >= 2 * 5
