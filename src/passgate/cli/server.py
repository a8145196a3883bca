"""One serving process: Passgate on uvicorn with uvloop and httptools, from its start to an orderly shutdown.

Not here: the number of processes, which is in `workers`, and any route or rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from passgate.core import budgets

if TYPE_CHECKING:
    from passgate.app import Passgate
    from passgate.settings import Settings

GRACE = 10
"""Seconds that requests in flight have at shutdown."""
HEAD = 64 * 1024
"""Bytes that the request line and the header fields may take together."""

Listening = Callable[[], Awaitable[None]]


class Connections:
    """How many connections each origin has open to this process. Trusted proxies may have any number: theirs are those
    of many people."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trusted = [ipaddress.ip_network(network) for network in settings.trusted_proxies]
        self._open: Counter[str] = Counter()

    def opened(self, peer: str) -> bool:
        """Count one more; False if it is one too many."""
        limits = self._limits(peer)
        if any(self._open[key] >= limit for key, limit in limits):
            return False
        self._open.update(key for key, _ in limits)
        return True

    def closed(self, peer: str) -> None:
        for key, _ in self._limits(peer):
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def _limits(self, peer: str) -> list[tuple[str, int]]:
        try:
            ip = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:  # a Unix socket: only a proxy of this machine can reach it
            return []
        if any(ip in network for network in self._trusted):
            return []
        most = self._settings.limit.connections
        most *= budgets.HERE if self._settings.is_development and ip.is_loopback else 1
        return [(network, most * factor) for network, factor in budgets.networks(str(ip))]


class Protocol(HttpToolsProtocol):
    """httptools accepts an endless header; here it ends at `HEAD` with 400 and a closed connection. A connection too
    many of one origin is closed at once."""

    _head: int | None = 0
    _peer: str | None = None

    def __init__(self, *args: Any, connections: Connections, **given: Any) -> None:
        super().__init__(*args, **given)
        self._connections = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._connections.opened(peer):
            transport.abort()
            return
        self._peer = peer
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer is not None:
            self._connections.closed(self._peer)
            super().connection_lost(exc)

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
    """uvicorn that ends orderly with exit code 0 on SIGTERM or SIGINT; a second SIGINT does not wait."""

    def __init__(self, gate: Passgate, listening: Listening) -> None:
        config = uvicorn.Config(
            gate,
            http=cast("type[asyncio.Protocol]", partial(Protocol, connections=Connections(gate.settings))),
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
        # A task of its own: waiting for an answer here would block the main loop.
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
        """Our handlers are installed already, before the database is opened."""
        yield

    def stop(self, number: int) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


async def serve(gate: Passgate, sockets: list[socket.socket], listening: Listening) -> None:
    """Serve until a signal arrives. Errors at the start are raised, not logged."""
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
