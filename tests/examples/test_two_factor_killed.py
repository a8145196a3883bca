"""Example 3, killed in the middle of its work and started again: whoever was answered has what they were answered,
everybody else can begin anew or go on with a backup token, jobs end, and each mail that was due is there once.

Not here: what a crash does to Passgate itself (tests/faults).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx2
import pytest

from passgate.app import Passgate
from passgate.world import World, iso
from tests.browser.device import App
from tests.examples.programs import Served, inside, until
from tests.examples.two_factor_served import SECRETS, Face, kinds_of, scanned, served
from tests.processes import client_for, leases_end

KILLS = 1
WORKERS = 4
BACKUPS = 5
DEVICES = ("code_generator", "email", "", "enable code_generator", "enable email")
"""At sign-up, or turned on after it."""


@dataclass
class One:
    """Somebody, with what was answered to them. `is_on`: that the second step is. `used`: backup tokens that were sent.
    `refresh`: the newest token, and `is_asked`: that it was sent, too."""

    email: str
    wanted: str
    is_made: bool = False
    is_on: bool = False
    app: App | None = None
    used: set[str] = field(default_factory=set)
    refresh: str = ""
    is_asked: bool = False

    @property
    def has_app(self) -> bool:
        return self.wanted.endswith("code_generator")


@dataclass
class Work:
    people: list[One] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)


@asynccontextmanager
async def started(server: Served) -> AsyncIterator[Face]:
    await server.start()
    async with client_for(server) as http:
        yield Face(http)


async def works(face: Face, work: Work, name: str) -> None:
    """Sign up and use all of it, until nobody answers."""
    with suppress(httpx2.TransportError):
        for number in range(10_000):
            one = One(f"{name}x{number}@example.com", DEVICES[(number + len(work.people)) % len(DEVICES)])
            work.people.append(one)
            await signs_up(face, one)
            await uses(face, one)
            answer = await face.ask("GET", "/tasks/test-celery")
            assert answer.status_code == 200, answer.text
            work.tasks.append(answer.json()["task_id"])


async def signs_up(face: Face, one: One) -> None:
    later = one.wanted.startswith("enable ")
    answer = await face.signup(one.email, "" if later else one.wanted)
    assert answer.status_code == 200, answer.text
    one.is_made = True
    if later:
        answer = await face.enable(await face.access_of(one.email), one.wanted.removeprefix("enable "))
        assert answer.status_code == 200, answer.text
    one.is_on = bool(one.wanted)
    one.app = scanned(answer.content) if answer.content else None


async def uses(face: Face, one: One) -> None:
    if one.is_on:
        first = await face.first_of(one.email)
        code = one.app.code() if one.app else await face.code_of(one.email)
        answer = await face.second(first, code)
        assert answer.status_code == 200, answer.text
        first, backup = await face.first_of(one.email), (await face.backups_of(one.email))[0]
        one.used.add(backup)
        answer = await face.backup(first, backup)
    else:
        answer = await face.login(one.email)
    assert answer.status_code == 200, answer.text
    for _ in range(2):
        one.refresh, one.is_asked = answer.json()["refresh_token"], True
        answer = await face.refresh(one.refresh)
        assert answer.status_code == 200, answer.text
    one.refresh, one.is_asked = answer.json()["refresh_token"], False


async def gets_in(face: Face, gate: Passgate, one: One) -> str:
    """Assert that somebody does, or signs up as if nothing had been; what they were left with."""
    login = await face.login(one.email)
    if login.status_code == 401:
        assert not one.is_made
        assert (await face.signup(one.email)).status_code == 200
        return "nothing"
    kinds = await kinds_of(gate, one.email)
    if login.status_code == 200:
        assert not one.is_on
        assert kinds == {"password": 1}
        if one.wanted:
            answer = await face.enable(login.json()["access_token"], one.wanted.removeprefix("enable "))
            assert answer.status_code == 200
        return "password"
    assert login.status_code == 202
    first, tokens = login.json()["access_token"], await face.backups_of(one.email)
    if kinds["totp"] or kinds["email_code"]:
        code = one.app.code(1) if one.app else "" if one.has_app else await face.code_of(one.email)
        if code:
            assert (await face.second(first, code)).status_code == 200
            return "all of it"
    assert not one.is_on, "the picture did not arrive, or the device is missing"
    left = [token for token in tokens if token not in one.used]
    answer = await face.backup(first, left[0])
    assert answer.status_code == 200, answer.text
    if kinds["totp"]:
        return "an app that nobody has"
    answer = await face.enable(answer.json()["access_token"], "code_generator")
    assert (await face.second(await face.first_of(one.email), scanned(answer.content).code())).status_code == 200
    return "backup tokens"


async def what_is_left(face: Face, gate: Passgate, work: Work) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in work.people:
        if one.refresh and not one.is_asked:
            assert (await face.refresh(one.refresh)).status_code == 200
        elif one.refresh:  # the answer may have been lost: then it ends, and they log in
            assert (await face.refresh(one.refresh)).status_code in (200, 403)
        await are_mailed(face, one.email, is_due=(await kinds_of(gate, one.email))["recovery_code"] > 0)
        found[await gets_in(face, gate, one)] += 1
    return found


async def are_mailed(face: Face, email: str, *, is_due: bool) -> None:
    """No more and no less than one list of backup tokens. What the dead process was about to send comes later."""

    async def kinds() -> Counter[str]:
        return Counter(mail["kind"] for mail in await face.mails_of(email))

    mails = await until(kinds, lambda found: found["recovery_codes"] >= is_due)
    assert (mails["recovery_codes"], mails["address_claimed"] <= 1) == (is_due, True), mails


async def all_tasks_end(face: Face, work: Work, since: str) -> None:
    """Each with one mail; each worker may have started one more in this turn and in the one before, whose id nobody
    got. The mailbox shows the newest mails alone, so only those of this turn are counted."""

    async def state(task: str) -> dict[str, str]:
        found: dict[str, str] = (await face.ask("GET", "/tasks/taskstatus", params={"task_id": task})).json()
        return found

    for task in work.tasks:
        answer = await until(partial(state, task), lambda found: found["state"] in ("SUCCESS", "FAILURE"))
        assert answer == {"state": "SUCCESS", "result": "Email sent"}
    mails = [mail for mail in await face.mails_of("fake@mail.com") if mail["subject"] == "Test"]
    count = len([mail for mail in mails if mail["sent_at"] >= since])
    assert len(work.tasks) <= count <= len(work.tasks) + 2 * WORKERS


async def _tasks(work: Work) -> list[str]:
    return work.tasks


async def killed(data: Path, url: str | None, kills: int, seed: int) -> None:
    dice, work, found = random.Random(seed), Work(), Counter[str]()
    server = served(data, url)
    try:
        for turn in range(kills):
            since = iso(World.real().now())
            async with started(server) as face:
                busy = [asyncio.ensure_future(works(face, work, f"t{turn}w{one}")) for one in range(WORKERS)]
                await until(partial(_tasks, work), bool)  # somebody is through, however slow the machine is
                await asyncio.sleep(dice.uniform(0, 0.9))
                server.kill9()
                await asyncio.gather(*busy)
            async with inside(data, url) as gate:
                await leases_end(gate)
            async with started(server) as face, inside(data, url) as gate:
                found += await what_is_left(face, gate, work)
                await all_tasks_end(face, work, since)
                await server.stop()
            work = Work()
    finally:
        server.kill9()
    assert found["all of it"], "too slow to be killed at work"
    server.no_faults()
    assert [word for word in SECRETS if word in server.log()] == []


async def test_killed_at_work(tmp_path: Path, database_url: str | None) -> None:
    await killed(tmp_path / "data", database_url, KILLS, seed=2)


@pytest.mark.soak
async def test_killed_at_work_many_times(tmp_path: Path, database_url: str | None) -> None:
    await killed(tmp_path / "data", database_url, 25, seed=3)


async def test_killed_at_its_first_start(tmp_path: Path) -> None:
    """However far it came, the next start makes what is missing."""
    server, dice = served(tmp_path / "data"), random.Random(4)
    try:
        server.launch()
        await asyncio.sleep(dice.uniform(0.8, 3))
        server.kill9()
        async with started(server) as face:
            email, app = await face.new_with_app()
            assert (await face.second(await face.first_of(email), app.code())).status_code == 200
            assert len(await face.backups_of(email)) == BACKUPS
            await server.stop()
    finally:
        server.kill9()
    server.no_faults()
