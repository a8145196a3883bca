"""One connection of the server: uvicorn's HTTP/1.1 on httptools, made strict where that is lenient. `Upgrade` is
ignored (RFC 9110 §7.8), heads and bodies have deadlines, an early answer is heard by a client that is still sending,
and no origin has more connections than its share.

Not here: the life of the server (`server`), and what a request means (`web`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import Enum, auto
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from passgate.core import budgets
from passgate.errors import Malformed
from passgate.settings import Settings, is_loopback
from passgate.wire.forwarded import Proxies, address
from passgate.wire.problems import MEDIA_TYPE, render
from passgate.world import World

HEAD = 64 * 1024
"""Bytes that the request line and the header fields may take together."""
DRAINED = 1024 * 1024
"""Bytes of a body that are read after its answer, so that the client hears the answer instead of a reset."""
LINGER = 2.0
"""Seconds for reading them, and for a client to take what was sent before its connection is reset."""
UNASKED = 2.0
"""Seconds for the first request of a connection at the end of the server: who has just connected is about to ask."""


class Connections:
    """How many connections each origin has open to this process. Trusted proxies may have any number: theirs are those
    of many people. `is_ending`: the server is, so each of them ends with its answer."""

    def __init__(self, settings: Settings) -> None:
        self.is_ending = False
        self._settings = settings
        self._proxies = Proxies(settings.trusted_proxies)
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
        ip = address(peer)
        if not ip or self._proxies.trust(ip):  # what has no address, such as a Unix socket, is of this machine
            return []
        most = self._settings.limit.connections
        most *= budgets.HERE if self._settings.is_development and is_loopback(ip) else 1
        return [(network, most * factor) for network, factor in budgets.networks(ip)]


class Reading(Enum):
    """What of a request is awaited. NOTHING: it is complete, or none has begun."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class Protocol(HttpToolsProtocol):
    """One connection. The methods that `HttpToolsProtocol` calls `on_…` are called by its parser, in the middle of
    `data_received`."""

    def __init__(self, *args: Any, connections: Connections, settings: Settings, world: World, **given: Any) -> None:
        super().__init__(*args, **given)
        self._connections, self._serve, self._world = connections, settings.serve, world
        self._is_https = settings.https  # TLS ends at a proxy in front; a program builds URLs from the scheme
        self._peer: str | None = None
        self._reading, self._messages, self._bytes = Reading.HEAD, 0, 0
        self._is_upgrade = self._is_lingering = self._has_asked = False
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited: tuple[Reading, int] | None = None

    # -- the connection ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._connections.opened(peer):
            transport.abort()
            return
        self._peer = peer
        super().connection_made(transport)
        if self._is_https:
            self.scheme = "https"
        self._softly_closed = _SoftlyClosed(self)
        self._watch()
        if self._connections.is_ending:  # it was accepted before, and is made only now
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer is not None:
            self._connections.closed(self._peer)
            self._expect(None)
            super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    def shutdown(self) -> None:
        """The server ends. A connection that has just been made waits for its request, so that a restart refuses
        nobody."""
        if not self._has_asked:
            self.loop.call_later(UNASKED, self._end_unasked)
        else:
            super().shutdown()

    def _end_unasked(self) -> None:
        if not self._has_asked:
            self._end()

    def _end(self) -> None:
        """Close, and do not wait for a client that takes nothing."""
        self.transport.close()
        self.loop.call_later(LINGER, self.transport.abort)

    # -- what arrives ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._bytes += len(data)
        begun = self._messages
        if self._is_lingering and self._reading is not Reading.BODY:
            self._bounded(DRAINED)
            return
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._messages != begun:
            self._bytes = len(data)
        if self._reading is Reading.HEAD and self._bytes > HEAD:
            self.send_400_response("")
        elif self._reading is Reading.BODY and self.cycle.response_complete:
            self._bounded(DRAINED)
        self._watch()

    def _bounded(self, most: int) -> None:
        if self._bytes > most:
            self.transport.abort()

    def _feed(self, data: bytes) -> None:
        """httptools takes what follows a head with `Upgrade` for another protocol. Such a head is written once more
        without that field, from what was parsed, for a parser of its own."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
            else:
                return

    def _without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            if name == b"connection":
                options = [option for option in value.split(b",") if option.strip().lower() != b"upgrade"]
                lines.append(b"connection: " + b",".join(options))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        self._reading, self._bytes, self._is_upgrade = Reading.HEAD, 0, False
        self._messages += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("no proxy")  # the parser's caller answers 400
            self._is_upgrade = True
            return
        self._reading, self._has_asked = Reading.BODY, True
        super().on_headers_complete()
        # Its task has not begun.
        self.cycle.transport = self._softly_closed  # type: ignore[assignment]
        self.cycle.keep_alive = self.cycle.keep_alive and not self._connections.is_ending

    def on_message_complete(self) -> None:
        if self._is_upgrade:
            return
        self._reading, self._bytes = Reading.NOTHING, 0
        super().on_message_complete()
        if self._is_lingering:
            self._end()

    # -- deadlines ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Set the deadline of what is awaited now; a request that arrives whole needs none."""
        if self._is_lingering:
            return
        awaited = None if self._reading is Reading.NOTHING else (self._reading, self._messages)
        if awaited != self._awaited:
            seconds = self._serve.head if self._reading is Reading.HEAD else self._serve.body
            self._expect(awaited, seconds)

    def _expect(self, awaited: tuple[Reading, int] | None, seconds: float = 0) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._awaited = awaited
        if awaited is not None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    # -- early ends --------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's signature
        """Answer what cannot be parsed, in its turn: after an answer that is still to come, the connection only
        ends."""
        if self.transport.is_closing() or self._is_lingering:
            return
        latest: RequestResponseCycle | None = self.cycle
        broken = latest if self._reading is Reading.BODY else None
        self._reading = Reading.NOTHING
        if broken is not None:
            if broken.response_started or self.pipeline:
                self.transport.abort()
                return
            broken.disconnected = True
            broken.message_event.set()
        elif latest is not None and not latest.response_complete:
            latest.keep_alive = False
            self._linger()
            return
        self.transport.write(_malformed(self._world))
        self._linger(then_close=True)

    def _linger(self, *, then_close: bool = False) -> None:
        """Read on without doing anything with it, for a while: closing now would reset the connection, and the client
        would lose the answer."""
        self._is_lingering, self._bytes = True, 0
        self._expect(None)
        if then_close:
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.flow.resume_reading()
            self._expect((self._reading, self._messages), LINGER)

    def close_softly(self) -> None:
        """Called for the answer after which the connection ends."""
        if self._reading is Reading.BODY and not self.transport.is_closing():
            self._linger(then_close=True)
        else:
            self._end()


class _SoftlyClosed:
    """The transport, as one answer sees it."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.write, self.is_closing = protocol.transport.write, protocol.transport.is_closing

    def close(self) -> None:
        self._protocol.close_softly()


def _malformed(world: World) -> bytes:
    request_id = world.text(12)
    answer = render(Malformed(), request_id)
    fields = [
        "HTTP/1.1 400 Bad Request",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(answer.body)}",
        "cache-control: no-store",
        f"x-request-id: {request_id}",
        "connection: close",
    ]
    return "\r\n".join([*fields, "", ""]).encode() + bytes(answer.body)
