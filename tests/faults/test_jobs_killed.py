"""`kill -9` around a host's job: between its row and its run, and during its run. It runs once more, and is never lost.

Not here: leases and back-off by the clock (`tests/library/test_jobs`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from passgate.store.tables import job
from tests.processes import Deployment, Server, seen

WITHIN = 40.0
PROGRAM = "tests.faults.with_jobs"


def lines(data: Path) -> list[list[str]]:
    """Every run that began or ended: [word, job, attempt, process]."""
    file = data / "runs"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


async def started(server: Server, **params: Any) -> str:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        answer = await http.post("/start", params=params)
        assert answer.status_code == 200, answer.text
        return str(answer.json())


async def ended(made: Deployment) -> list[dict[str, Any]]:
    """All jobs, once each of them has ended."""
    async with asyncio.timeout(WITHIN):
        while True:
            rows = await made.a.rows(job)
            if rows and all(row["ended_at"] for row in rows):
                return rows
            await asyncio.sleep(0.05)


async def until_began(data: Path) -> None:
    async with asyncio.timeout(WITHIN):
        while True:
            if lines(data):
                return
            await asyncio.sleep(0.02)


async def test_killed_between_row_and_run(tmp_path: Path, database_url: str | None) -> None:
    data = tmp_path / "data"
    server = Server(data, database_url, program=PROGRAM)
    try:
        await server.start()
        with suppress(httpx2.TransportError):
            await started(server, seconds=0, and_die=True)
        server.kill9()
        async with seen([server], data, database_url) as made:
            [row] = await made.a.rows(job)
            await server.start()
            [row] = await ended(made)
        await server.stop()
    finally:
        server.kill9()
    server.no_faults()
    assert row["state"] == "SUCCESS"
    assert Counter(line[0] for line in lines(data)) == {"begins": 1, "ends": 1}


async def test_killed_while_it_runs(tmp_path: Path, database_url: str | None) -> None:
    """Another process runs it once the lease is over; and a job whose process lives runs once, although it takes longer
    than a lease."""
    data = tmp_path / "data"
    first, second = (Server(data, database_url, program=PROGRAM) for _ in range(2))
    try:
        await first.start()
        killed = await started(first, seconds=1.5)
        await until_began(data)
        first.kill9()
        await second.start()
        long = await started(second, seconds=4)
        async with seen([second], data, database_url) as made:
            rows = await ended(made)
        await second.stop()
    finally:
        first.kill9()
        second.kill9()
    second.no_faults()
    assert {row["id"]: (row["state"], row["attempts"]) for row in rows} == {
        killed: ("SUCCESS", 2),
        long: ("SUCCESS", 1),
    }
    runs = Counter((line[0], line[1]) for line in lines(data))
    assert runs == {("begins", killed): 2, ("ends", killed): 1, ("begins", long): 1, ("ends", long): 1}


async def test_two_processes_never_run_one_lease(tmp_path: Path, database_url: str | None) -> None:
    data, count = tmp_path / "data", 24
    servers = [Server(data, database_url, program=PROGRAM) for _ in range(2)]
    try:
        for server in servers:
            await server.start()
        ids = [await started(servers[number % 2], seconds=0.2) for number in range(count)]
        async with seen(servers, data, database_url) as made:
            rows = await ended(made)
        for server in servers:
            await server.stop()
    finally:
        for server in servers:
            server.kill9()
    for server in servers:
        server.no_faults()
    assert {(row["state"], row["attempts"]) for row in rows} == {("SUCCESS", 1)}
    begun = [line[1] for line in lines(data) if line[0] == "begins"]
    assert sorted(begun) == sorted(ids)
