"""Example 4, killed in the middle of its work and started again: accounts are whole, whoever was answered has what they
were answered, a challenge that was used stays used, and each event is in the trail and in app.log.

Not here: what a crash does to Passgate itself (tests/faults).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from passgate.app import Passgate
from passgate.store.tables import audit_event, credential, person, session
from tests.authenticator import Authenticator
from tests.examples.passkey_audit import Who
from tests.examples.passkey_audit_served import SECRETS, Face, accounts_of, at, inside, is_whole, rows, served
from tests.examples.programs import Served, until
from tests.processes import leases_end

KILLS = 1
WORKERS = 4


@dataclass
class One:
    """Somebody, with what was answered to them. `sent`: the last answer of their browser to each ceremony. `entered`:
    how often they were logged in, and `asked`: how often they asked to be."""

    who: Who
    sent: dict[str, Any] = field(default_factory=dict)
    is_made: bool = False
    token: str = ""
    entered: int = 0
    asked: int = 0


@asynccontextmanager
async def started(server: Served) -> AsyncIterator[Face]:
    await server.start()
    async with at(server) as face:
        yield face


async def works(face: Face, people: list[One], name: str) -> None:
    """Register and log in twice, until nobody answers."""
    with suppress(httpx2.TransportError):
        for number in range(10_000):
            one = One(Who(f"{name}x{number}@example.com", Authenticator()))
            people.append(one)
            one.sent["register"] = await face.created_of(one.who.email, one.who.key)
            answer = await face.register_complete(one.who.email, one.sent["register"])
            assert answer.status_code == 201, answer.text
            one.is_made, one.who.user = True, answer.json()
            for _ in range(2):
                one.sent["login"] = await face.signed_of(one.who)
                one.asked += 1
                answer = await face.login_complete(one.who.email, one.sent["login"])
                assert answer.status_code == 200, answer.text
                one.entered, one.token = one.entered + 1, answer.json()["access_token"]
                assert (await face.show(one.who.user["id"], one.token)).status_code == 200


async def until_somebody_is_in(people: list[One]) -> None:
    """However slow the machine is, it is killed at work."""
    for _ in range(600):
        if any(one.entered for one in people):
            return
        await asyncio.sleep(0.05)


async def what_is_left(face: Face, gate: Passgate, one: One) -> str:
    ids = await accounts_of(gate, one.who.email)
    if not ids:
        assert not one.is_made
        await face.person_of(one.who.email)
        return "nothing"
    [found] = ids
    if one.is_made:
        assert found == one.who.user["id"]
    if one.token:
        assert (await face.show(found, one.token)).json() == one.who.user
    assert one.entered <= await count_of(gate, found, "signin:completed") <= one.asked
    # Whatever was used before is used up, and a new challenge does.
    again = await face.register_complete(one.who.email, one.sent["register"])
    assert again.status_code == 400
    if one.asked == one.entered and one.sent.get("login"):
        assert (await face.login_complete(one.who.email, one.sent["login"])).status_code == 400
    assert (await face.enter(one.who)).status_code == 200
    return "all of it"


async def count_of(gate: Passgate, person_id: str, event: str) -> int:
    query = select(func.count().label("n")).where(audit_event.c.event == event, audit_event.c.subject_id == person_id)
    async with gate.services.store.read() as db:
        return int((await db.rows(query))[0]["n"])


async def accounts_are_whole(gate: Passgate) -> None:
    """Everybody has one passkey and one profile. No session is without a sign-in: that of a registration ends with its
    answer, or was cut off before."""
    async with gate.services.store.read() as db:
        people = await db.rows(select(person))
        keys = Counter(
            row["person_id"] for row in await db.rows(select(credential).where(credential.c.kind == "passkey"))
        )
        sessions = Counter(row["person_id"] for row in await db.rows(select(session)))
        events = (audit_event.c.event.in_(("signin:completed", "signup:completed")),)
        entered = Counter(row["subject_id"] for row in await db.rows(select(audit_event).where(*events)))
    assert people
    assert keys == {row["id"]: 1 for row in people}
    assert {json.loads(row["profile"])["job_title"] for row in people} == {"Software Engineer"}
    assert sessions == entered


async def all_is_logged(gate: Passgate, folder: Path) -> None:
    """Each event of the trail is in app.log, some of them twice: what the dead process had begun is done again."""
    kinds = ("signup:completed", "signin:completed", "webauthn:login_begin", "webauthn:user_access")
    async with gate.services.store.read() as db:
        found = await db.rows(select(audit_event.c.id).where(audit_event.c.event.in_(kinds)))

    async def missing() -> set[str]:
        lines = (folder / "app.log").read_text().splitlines()
        return {row["id"] for row in found} - {line.rpartition(" id=")[2] for line in lines}

    assert await until(missing, lambda left: not left) == set()


def views_answer(folder: Path) -> None:
    people = rows(folder, "SELECT id, first_name, job_title, role FROM users")
    assert {(row["first_name"], row["job_title"], row["role"]) for row in people} == {
        ("Jane", "Software Engineer", "user")
    }
    assert len(rows(folder, "SELECT user_id FROM webauthn_credentials")) == len(people)
    assert rows(folder, "SELECT id FROM audit_logs WHERE event_type = 'login_complete' AND success = 1")


async def killed(folder: Path, url: str | None, kills: int, seed: int) -> None:
    dice, found = random.Random(seed), Counter[str]()
    server = served(folder, url)
    try:
        for turn in range(kills):
            people: list[One] = []
            async with started(server) as face:
                busy = [asyncio.ensure_future(works(face, people, f"t{turn}w{one}")) for one in range(WORKERS)]
                await until_somebody_is_in(people)
                await asyncio.sleep(dice.uniform(0, 1))
                server.kill9()
                await asyncio.gather(*busy)
            async with inside(folder, url) as gate:
                await leases_end(gate)
            async with started(server) as face, inside(folder, url) as gate:
                await accounts_are_whole(gate)
                for one in people:
                    found[await what_is_left(face, gate, one)] += 1
                await all_is_logged(gate, folder)
                assert await is_whole(gate)
                if url is None:
                    views_answer(folder)
                await server.stop()
    finally:
        server.kill9()
    assert found["all of it"], "too slow to be killed at work"
    server.no_faults()
    assert [word for word in SECRETS if word in server.log() + (folder / "app.log").read_text()] == []


async def test_killed_at_work(tmp_path: Path, database_url: str | None) -> None:
    await killed(tmp_path / "example", database_url, KILLS, seed=2)


@pytest.mark.soak
async def test_killed_at_work_many_times(tmp_path: Path, database_url: str | None) -> None:
    await killed(tmp_path / "example", database_url, 25, seed=3)


@pytest.mark.soak
async def test_killed_at_its_first_start(tmp_path: Path) -> None:
    """However far it came, the next start makes what is missing."""
    dice = random.Random(4)
    for turn in range(12):
        folder = tmp_path / f"example{turn}"
        server = served(folder)
        try:
            server.launch()
            await asyncio.sleep(dice.uniform(0.5, 3))
            server.kill9()
            async with started(server) as face:
                jane = await face.person_of()
                assert (await face.enter(jane)).status_code == 200
                views_answer(folder)
                await server.stop()
        finally:
            server.kill9()
        server.no_faults()
