"""One serving process: Passgate or a host's program on uvicorn with uvloop and httptools, from start to shutdown.

Not here: the number of processes, which is in `workers`, how a program is found (`program`), and any route or rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from passgate.cli import desk
from passgate.cli.program import Lifespan
from passgate.cli.protocol import Connections, Protocol
from passgate.world import World

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from passgate.app import Passgate
    from passgate.settings import Settings

GRACE = 10
"""Seconds that requests in flight have at shutdown."""
Listening = Callable[[], Awaitable[None]]


class Server(uvicorn.Server):
    """uvicorn that ends orderly with exit code 0 on SIGTERM or SIGINT; a second SIGINT does not wait."""

    def __init__(self, app: ASGIApp, settings: Settings, world: World, listening: Listening) -> None:
        """The lifespan of `app` is up before `serve` and ends after it; `state` is what it left for requests."""
        self._connections = Connections(settings)
        protocol = partial(Protocol, connections=self._connections, settings=settings, world=world)
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", protocol),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=settings.serve.keep_alive,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self.state: dict[str, Any] = {}
        self.forced = asyncio.Event()
        self._listening = listening
        self._announcing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state.update(self.state)
        desk.collect_as_usual()
        await super().startup(sockets)
        # A task of its own: waiting for an answer here would block the main loop.
        self._announcing = asyncio.ensure_future(self._announce())

    async def _announce(self) -> None:
        try:
            await self._listening()
        except Exception:
            self.should_exit = True
            raise

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._connections.is_ending = True
        await super().shutdown(sockets)
        if self._announcing is not None:
            self._announcing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._announcing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Our handlers are installed already, before the database is opened."""
        yield

    def stop(self, number: int) -> None:
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
            self.forced.set()
        self.should_exit = True


async def serve(gate: Passgate, sockets: list[socket.socket], listening: Listening) -> None:
    """Serve until a signal arrives. Errors at the start are raised, not logged."""
    server = Server(gate, gate.settings, gate.services.world, listening)
    on_signals(server.stop)
    async with gate.running():
        if not server.should_exit:
            await server.serve(sockets)


async def serve_program(app: ASGIApp, settings: Settings, sockets: list[socket.socket], listening: Listening) -> None:
    """Serve a host's program likewise. Raises what its lifespan raises (`program.Lifespan`)."""
    server = Server(app, settings, World.real(), listening)
    on_signals(server.stop)
    async with Lifespan(app, server.forced).running() as server.state:
        if not server.should_exit:
            await server.serve(sockets)


def on_signals(stop: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


def run(work: Awaitable[None]) -> None:
    """Run on uvloop if it is installed."""
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
