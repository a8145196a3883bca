"""Five hundred requests are cancelled at random moments, in two processes over one SQLite file.

`test_cancelled` cancels each single await in turn.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2

from tests.faults.crash import nothing_incomplete, trail_is_whole
from tests.faults.hasty import CANCELLED, Hasty
from tests.kit import PASSWORD, Person, handle_of
from tests.processes import Deployment, Face, Server, seen

Ask = Callable[[Face], Awaitable[httpx2.Response]]

CUT_SHORT = 500
AT_ONCE = 16
SOON = 1.0
_COMPLAINTS = re.compile(r"Warning|Exception ignored|never retrieved|was destroyed|never awaited|unclosed")


class Storm:
    """Sends requests of all kinds, each cancelled at a random moment between its start and shortly after its end."""

    def __init__(self, made: Deployment, anna: Person) -> None:
        self.made, self.anna = made, anna
        self.whole = 0.0
        """Seconds that a request takes under this load; 0 while unknown, when no request is cancelled."""
        self.dice, self.cut_short = random.Random(5), 0
        self.kinds: list[Ask] = [
            self.sign_up,
            self.start,
            self.prove,
            self.finish,
            self.recover,
            self.change,
            self.open_page,
        ]

    def hurried(self) -> dict[str, str]:
        if not self.whole:
            return {}
        stubborn = {"x-stubborn": "yes"} if self.dice.random() < 0.5 else {}
        return {"x-patience": str(self.dice.uniform(0, 1.2 * self.whole)), **stubborn}

    async def post(self, face: Face, path: str, body: dict[str, object], handle: str = "") -> httpx2.Response:
        carried = {"Authorization": f"Bearer {handle}"} if handle else {}
        return await face.http.post(f"/api/v1{path}", json=body, headers={**carried, **self.hurried()})

    async def sign_up(self, face: Face) -> httpx2.Response:
        return await self.post(face, "/signup", {"email": self.made.address(), "password": PASSWORD})

    async def start(self, face: Face) -> httpx2.Response:
        return await self.post(face, "/signin", {"email": self.anna.email})

    async def prove(self, face: Face) -> httpx2.Response:
        handle = handle_of(await face.start(self.anna.email))
        return await self.post(face, "/signin/prove", {"factor": "password", "answer": PASSWORD}, handle)

    async def finish(self, face: Face) -> httpx2.Response:
        handle = handle_of(await face.start(self.anna.email))
        await face.prove(handle, "password", PASSWORD)
        return await self.post(face, "/signin/finish", {"carrier": "bearer"}, handle)

    async def recover(self, face: Face) -> httpx2.Response:
        return await self.post(face, "/recover", {"email": self.anna.email})

    async def change(self, face: Face) -> httpx2.Response:
        body = {"profile": {"n": self.dice.random()}}
        return await face.http.patch("/api/v1/me", json=body, headers={**self.anna.auth, **self.hurried()})

    async def open_page(self, face: Face) -> httpx2.Response:
        return await face.http.get("/api/v1/me/sessions", headers={**self.anna.auth, **self.hurried()})

    async def rage(self) -> None:
        turns = itertools.cycle(itertools.product(self.kinds, self.made.faces))
        await asyncio.gather(*(kind(face) for kind, face in itertools.islice(turns, AT_ONCE)))  # warm-up
        began = time.monotonic()
        await asyncio.gather(*(self.change(face) for _, face in itertools.islice(turns, AT_ONCE)))
        self.whole = time.monotonic() - began
        await asyncio.gather(*(self._some(turns) for _ in range(AT_ONCE)))

    async def _some(self, turns: Iterator[tuple[Ask, Face]]) -> None:
        while self.cut_short < CUT_SHORT:
            kind, face = next(turns)
            try:
                answer = await kind(face)
            except httpx2.TransportError:  # cancelled after the response had begun
                self.cut_short += 1
                continue
            assert answer.status_code != 500, answer.text
            self.cut_short += CANCELLED in answer.headers


async def serves_at_once(face: Face, email: str) -> None:
    began = time.monotonic()
    assert (await face.start(email)).status_code == 201
    assert time.monotonic() - began < SOON, "the next write waited"
    async with asyncio.timeout(10):  # a background job may be using a connection
        while (await face.http.get("/left")).json():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_cut_short_at_random(tmp_path: Path) -> None:
    data = tmp_path / "data"
    strict = ("env", "PYTHONWARNINGS=error")
    servers = [Server(data, prefix=strict, program=Hasty.__module__) for _ in range(2)]
    try:
        for server in servers:
            server.launch()
        await asyncio.gather(*(server.ready() for server in servers))
        async with seen(servers, data) as made:
            anna = await made.a.person()
            await Storm(made, anna).rage()
            for face in made.faces:
                await serves_at_once(face, anna.email)
            with closing(sqlite3.connect(data / "passgate.db", isolation_level=None, timeout=SOON)) as other:
                other.execute("BEGIN IMMEDIATE")
            await nothing_incomplete(made)
            await trail_is_whole(made)
        for server in servers:
            await server.stop()
    finally:
        for server in servers:
            server.kill9()
    for server in servers:
        server.no_faults()
        assert not _COMPLAINTS.search(server.log()), server.log()
