"""Example 2, killed in the middle of its work and started again: each change is there as a whole or not at all.

Not here: what a crash does to Passgate itself (tests/faults).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.examples.programs import Served
from tests.examples.session_rbac import Face, keeps_no_secret, served
from tests.kit import OTHER_PASSWORD, PASSWORD
from tests.processes import client_for

KILLS = 2
WORKERS = 3


@dataclass
class Work:
    """People by what was asked about them, and by what was answered."""

    created: set[str] = field(default_factory=set)
    asked_to_create: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    asked_to_change: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    asked_to_delete: set[str] = field(default_factory=set)


@asynccontextmanager
async def started(server: Served) -> AsyncIterator[Face]:
    await server.start()
    async with client_for(server) as http:
        yield Face(http)


async def works(face: Face, work: Work, admin: str, name: str) -> None:
    """Create somebody, change all of them at once, delete every second one; until nobody answers."""
    with suppress(httpx2.TransportError):
        for number in range(10_000):
            who = f"{name}x{number}"
            given = {"email": f"{who}@example.com", "username": who, "password": PASSWORD}
            work.asked_to_create.add(who)
            answer = await face.ask("POST", "/users/", admin, json=given)
            assert answer.status_code == 201, answer.text
            work.created.add(who)
            path = f"/users/{answer.json()['id']}/"
            change = {"username": f"{who}new", "password": OTHER_PASSWORD, "role": "admin"}
            work.asked_to_change.add(who)
            answer = await face.ask("PATCH", path, admin, json=change)
            assert answer.status_code == 202, answer.text
            work.changed.add(who)
            if number % 2:
                work.asked_to_delete.add(who)
                answer = await face.ask("DELETE", path, admin)
                assert answer.status_code == 204, answer.text
                work.deleted.add(who)


async def state_of(face: Face, everybody: dict[str, str], who: str) -> str:
    """What somebody is, by the list of people and by what signs them in."""
    old, new = await face.enter(who), await face.enter(f"{who}new", OTHER_PASSWORD)
    mixed = [await face.enter(who, OTHER_PASSWORD), await face.enter(f"{who}new")]
    assert [answer.status_code for answer in mixed] == [401, 401], "half of a change"
    match old.status_code, new.status_code, everybody.get(who), everybody.get(f"{who}new"):
        case 200, 401, "user", None:
            return "created"
        case 401, 200, None, "admin":
            return "changed"
        case 401, 200, None, "read_only":
            return "demoted"
        case 401, 401, None, None:
            return "gone"
    raise AssertionError(f"{who}: {old.status_code} {new.status_code}")


async def everybody_of(face: Face, admin: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for page in range(1, 100):
        answer = (await face.ask("GET", f"/users/?size=100&pageNumber={page}", admin)).json()
        found |= {one["username"]: one["role"] for one in answer["data"]}
        if not answer["metadata"]["hasNext"]:
            break
    return found


async def all_or_nothing(face: Face, work: Work) -> None:
    everybody = await everybody_of(face, await face.login("admin"))
    for who in sorted(work.asked_to_create):
        state = await state_of(face, everybody, who)
        if who in work.deleted:
            assert state == "gone"
        elif who in work.asked_to_delete:  # the power goes first, so that nobody deletes an equal
            assert state in ("changed", "demoted", "gone")
        elif who in work.changed:
            assert state == "changed"
        elif who in work.asked_to_change:
            assert state in ("created", "changed")
        elif who in work.created:
            assert state == "created"
        else:
            assert state in ("created", "gone")


async def killed(data: Path, url: str | None, kills: int, seed: int) -> None:
    dice, work = random.Random(seed), Work()
    server = served(data, url)
    try:
        for turn in range(kills):
            async with started(server) as face:
                admin = await face.login("admin")
                busy = [asyncio.ensure_future(works(face, work, admin, f"t{turn}w{one}")) for one in range(WORKERS)]
                await asyncio.sleep(dice.uniform(0.2, 1.5))
                server.kill9()
                await asyncio.gather(*busy)
        async with started(server) as face:
            await all_or_nothing(face, work)
            await server.stop()
    finally:
        server.kill9()
    assert work.asked_to_change, "too slow to be killed at work"
    server.no_faults()
    keeps_no_secret(server, PASSWORD, OTHER_PASSWORD)


async def test_killed_at_work(tmp_path: Path, database_url: str | None) -> None:
    await killed(tmp_path / "data", database_url, KILLS, seed=2)


@pytest.mark.soak
async def test_killed_at_work_many_times(tmp_path: Path, database_url: str | None) -> None:
    await killed(tmp_path / "data", database_url, 25, seed=3)


async def test_killed_at_its_first_start(tmp_path: Path) -> None:
    """However far it came, the next start makes what is missing, and one admin."""
    dice = random.Random(4)
    for turn in range(2):
        server = served(tmp_path / f"data{turn}")
        try:
            server.launch()
            await asyncio.sleep(dice.uniform(0.8, 4))
            server.kill9()
            async with started(server) as face:
                assert await everybody_of(face, await face.login("admin")) == {"admin": "admin"}
                await server.stop()
        finally:
            server.kill9()
        server.no_faults()
