"""A body as the server passes it on: whether all of it came, and what is still on its way when the answer is there.

A server that ends a connection while the client is still sending resets it, and the client may never hear the answer;
so the rest is read first. After `Upgrade`, uvicorn on httptools passes on nothing and reads the body as the next
request; so the connection must end. `passgate serve` ignores `Upgrade` and closes softly (`cli.protocol`). Not here:
what a body means (`body`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

MOST = 1024 * 1024
"""Bytes that are read before an answer that did not wait for the body."""
PATIENCE = 2.0
"""Seconds for reading them."""
_ANNOUNCED_BY = (b"content-length", b"transfer-encoding")


class Incoming:
    """The `receive` of one request with a body; it counts what passes."""

    def __init__(self, receive: Receive, headers: Headers, *, is_last: bool) -> None:
        self._receive, self._length = receive, headers.get("content-length")
        self._is_upgrade, self._is_asked_for = "upgrade" in headers, "expect" not in headers
        self._is_last = is_last or self._is_upgrade
        self._bytes, self._has_ended = 0, False

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> Self | None:
        """None for a request without a body."""
        if not any(name in _ANNOUNCED_BY for name, _ in scope["headers"]):
            return None
        headers = Headers(scope=scope)
        is_closing = "close" in ",".join(headers.getlist("connection")).lower()
        return cls(receive, headers, is_last=is_closing or scope["http_version"] == "1.0")

    async def __call__(self) -> Message:
        self._is_asked_for = True
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        self._has_ended = not message.get("more_body", False)
        return message

    @property
    def is_withheld(self) -> bool:
        """Whether the server passes on less than was announced. After `Upgrade` it may do so as long as not everything
        came, and a chunked body that is empty could as well have been withheld."""
        return (self._has_ended or self._is_upgrade) and not self._is_whole

    @property
    def _is_whole(self) -> bool:
        if self._length is not None:
            return (self._length.lstrip("0") or "0") == str(self._bytes)
        return self._has_ended and (self._bytes > 0 or not self._is_upgrade)

    async def read_on(self) -> None:
        """If the connection ends with the answer, read the rest, unless the client waits to be asked for it (RFC 9110
        §10.1.1)."""
        if not (self._is_last and self._is_asked_for):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not self._has_ended and self._bytes < MOST:
                    await self()
