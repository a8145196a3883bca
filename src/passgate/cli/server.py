"""One serving process: Passgate behind uvicorn on uvloop and httptools, from the first byte to an orderly end.

How many processes there are is `workers`' business; no route and no rule lives here.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from passgate.app import Passgate

GRACE = 10
"""Seconds that requests in flight are given at the end."""
HEAD = 64 * 1024
"""Bytes that a request's line and header fields may take together."""

Listening = Callable[[], Awaitable[None]]


class Protocol(HttpToolsProtocol):
    """httptools keeps an endless header for ever: here it ends at `HEAD`, with 400 and a closed connection."""

    _head: int | None = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head is None:
            return
        self._head += len(data)
        if self._head > HEAD and not self.transport.is_closing():
            self.send_400_response("Header fields too large.")

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()


class Server(uvicorn.Server):
    """uvicorn, told to stop by SIGTERM or SIGINT as an orderly end with exit code 0; a second SIGINT does not wait."""

    def __init__(self, gate: Passgate, listening: Listening) -> None:
        config = uvicorn.Config(
            gate,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._listening = listening
        self._announcing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Beside the main loop: whoever wants to hear an answer first must let it run.
        self._announcing = asyncio.ensure_future(self._announce())

    async def _announce(self) -> None:
        try:
            await self._listening()
        except Exception:
            self.should_exit = True
            raise

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._announcing is not None:
            self._announcing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._announcing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours are on the loop already, from before the database was opened."""
        yield

    def stop(self, number: int) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


async def serve(gate: Passgate, sockets: list[socket.socket], listening: Listening) -> None:
    """Until a signal comes. What is wrong with the start is raised, not logged."""
    server = Server(gate, listening)
    on_signals(server.stop)
    async with gate.running():
        if not server.should_exit:
            await server.serve(sockets)


def on_signals(stop: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


def run(work: Awaitable[None]) -> None:
    """On uvloop where there is one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_awaited(work))


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415
    except ModuleNotFoundError:  # Windows has none
        return None
    return uvloop.new_event_loop
