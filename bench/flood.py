"""How long sign-ins take while strangers flood the server with sign-ups: of a known browser, and of a stranger."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench import load
from bench.people import PASSWORD, json_request
from bench.servers import Server

SIGN_INS = 40


async def known_browser(server: Server, email: str) -> str:
    """The Cookie header of a browser in which this person has completed a sign-in."""
    link = await load.Connection.open(server.port)
    handle = (await link.ask(json_request("POST", "/api/v1/signin", {"email": email}))).json()["handle"]
    await link.ask(json_request("POST", "/api/v1/signin/prove", {"factor": "password", "answer": PASSWORD}, handle))
    headers = {"Authorization": f"Bearer {handle}", "Origin": f"http://localhost:{server.port}"}
    done = await link.ask(load.request("POST", "/api/v1/signin/finish", {"carrier": "cookie"}, **headers))
    link.close()
    return next(cookie for cookie in done.cookies if cookie.startswith("passgate_known="))


async def sign_in_seconds(server: Server, email: str, cookie: str) -> float:
    link = await load.Connection.open(server.port)
    began = time.perf_counter()
    headers = {"Cookie": cookie} if cookie else {}
    begun = await link.ask(load.request("POST", "/api/v1/signin", {"email": email}, **headers))
    if begun.status != 201:
        raise RuntimeError(f"{begun.status} {begun.body!r}")
    headers["Authorization"] = f"Bearer {begun.json()['handle']}"
    proof = {"factor": "password", "answer": PASSWORD}
    proved = await link.ask(load.request("POST", "/api/v1/signin/prove", proof, **headers))
    if proved.status != 200:
        raise RuntimeError(f"{proved.status} {proved.body!r}")
    await link.ask(load.request("POST", "/api/v1/signin/finish", {"carrier": "bearer"}, **headers))
    link.close()
    return time.perf_counter() - began


@asynccontextmanager
async def flooded(server: Server, connections: int) -> AsyncIterator[None]:
    """So many connections that send one sign-up after the other."""
    numbers, is_over = itertools.count(), asyncio.Event()

    async def one() -> None:
        link = await load.Connection.open(server.port)
        while not is_over.is_set():
            body = {"email": f"flood{next(numbers)}@example.com", "password": PASSWORD}
            await link.ask(json_request("POST", "/api/v1/signup", body))
        link.close()

    tasks = [asyncio.create_task(one()) for _ in range(connections)]
    await asyncio.sleep(1 if connections else 0)
    try:
        yield
    finally:
        is_over.set()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _measured(server: Server, email: str, connections: int) -> dict[str, list[float]]:
    cookie = await known_browser(server, email)
    found: dict[str, list[float]] = {"known": [], "stranger": []}
    async with flooded(server, connections):
        for _ in range(SIGN_INS):
            found["known"].append(await sign_in_seconds(server, email, cookie))
            found["stranger"].append(await sign_in_seconds(server, email, ""))
    return found


def report(server: Server, email: str, row: Callable[..., None], *, crowds: tuple[int, ...]) -> None:
    """A row for each crowd and kind: median, worst, and the ratio of the median to that of the quiet server."""
    quiet: dict[str, float] = {}
    for connections in crowds:
        for kind, seconds in asyncio.run(_measured(server, email, connections)).items():
            median = statistics.median(seconds) * 1e3
            quiet.setdefault(kind, median)
            row(f"{kind}, {connections} sign-up connections", median, max(seconds) * 1e3, median / quiet[kind])
