"""Clients that are slow or silent are hung up in time, and nobody else notices them.

Not here: what is sent wrongly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx2
import psutil

from tests.cli.shell import Running
from tests.wire.conftest import BODY, HEAD, IDLE
from tests.wire.raw import head, send

MANY = 2000
FEW = 5
"""Descriptors that the server opens when it is first asked for something, such as readers of the database."""
POST = head("POST", "/api/v1/signin", "Content-Type: application/json", length=20)
GET = head("GET", "/healthz")
Client = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def silent(_writer: asyncio.StreamWriter) -> None:
    """Connects and says nothing."""


async def cut_head(writer: asyncio.StreamWriter) -> None:
    writer.write(POST[:30])


async def cut_body(writer: asyncio.StreamWriter) -> None:
    writer.write(POST + b'{"email"')


async def a_byte_a_second(writer: asyncio.StreamWriter) -> None:
    for byte in POST:
        writer.write(bytes([byte]))
        await asyncio.sleep(1)


async def idle(writer: asyncio.StreamWriter) -> None:
    writer.write(GET)


async def test_each_is_hung_up_in_time(server: Running) -> None:
    """At once, because that is a test of waiting."""
    deadlines = {silent: HEAD, cut_head: HEAD, cut_body: BODY, a_byte_a_second: HEAD, idle: IDLE}
    lasted = await asyncio.gather(*(_until_hung_up(server.port, client) for client in deadlines))
    for (client, seconds), found in zip(deadlines.items(), lasted, strict=True):
        assert seconds - 0.5 < found < seconds + 2, client.__name__


async def _until_hung_up(port: int, client: Client) -> float:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.ensure_future(client(writer))
    with suppress(ConnectionResetError):
        while await reader.read(65536):
            pass
    lasted = time.monotonic() - began
    sending.cancel()
    writer.close()
    with suppress(ConnectionResetError, BrokenPipeError, asyncio.CancelledError):
        await writer.wait_closed()
    return lasted


async def test_two_thousand_at_once(server: Running) -> None:
    """Others are served meanwhile, and afterwards the server has as many descriptors as before."""
    process = psutil.Process(server.process.pid)
    before = process.num_fds()
    kinds: list[Client] = [silent, cut_head, cut_body, a_byte_a_second]
    slow = asyncio.gather(*(_until_hung_up(server.port, kinds[number % 4]) for number in range(MANY)))
    served: list[float] = []
    async with httpx2.AsyncClient(base_url=f"http://localhost:{server.port}", trust_env=False, timeout=10) as http:
        while not slow.done():
            began = time.monotonic()
            assert (await http.get("/healthz")).status_code == 200
            served.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
    lasted = await slow
    assert len(lasted) == MANY
    assert len(served) > 10
    assert max(lasted) < max(HEAD, BODY) + 10, "all of them opened and closed on two cores"
    give_up = time.monotonic() + 5
    while process.num_fds() > before + FEW and time.monotonic() < give_up:  # noqa: ASYNC110  another process
        await asyncio.sleep(0.1)
    assert process.num_fds() <= before + FEW


def test_a_slow_answer_has_no_deadline_of_the_request(server: Running) -> None:
    """A request that is complete is answered, however long the connection lives on."""
    heard = send(server.port, GET, GET, pause=HEAD + 0.5, patience=1)
    assert heard.statuses == [200, 200]
