"""The body of a request with `Upgrade`, as far as the server passes it on: whether all of it came.

uvicorn with httptools takes such a body for another protocol, passes on nothing and reads what is still to come as the
next request. `passgate serve` ignores `Upgrade` (`cli.protocol`), so there is nothing to notice. Not here: what a body
means (`body`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Message, Receive

MOST = 1024 * 1024
"""Bytes that are read before an answer that did not wait for the body."""
PATIENCE = 2.0
"""Seconds for reading them."""


class Incoming:
    """The `receive` of one request; it counts what passes."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive, self._length = receive, headers.get("content-length")
        self._is_chunked = "transfer-encoding" in headers
        self._bytes, self._has_ended = 0, False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        self._has_ended = not message.get("more_body", False)
        return message

    @property
    def is_whole(self) -> bool:
        """Whether as much came as was announced. A chunked body that is empty could as well have been withheld."""
        if self._length is not None:
            return (self._length.lstrip("0") or "0") == str(self._bytes)
        return not self._is_chunked or (self._has_ended and self._bytes > 0)

    async def read_on(self) -> None:
        """Read the rest. A server that passes it on can then go on with the connection; with one that does not, this
        takes no time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not (self.is_whole or self._has_ended) and self._bytes < MOST:
                    await self()
