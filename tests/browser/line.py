"""A slow line between browser and server: what the server sends arrives late, so that a person presses again.

Not here: presses (`habits`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

LATE = 0.2
"""Seconds."""


@asynccontextmanager
async def slow_line(port: int, to: int) -> AsyncIterator[None]:
    """Listens at `port` and passes on to `to`."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: float) -> None:
        while part := await reader.read(65536):
            await asyncio.sleep(late)
            writer.write(part)
            await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)
        # A browser that presses again hangs up on its first request, which the server goes on with.
        with suppress(ConnectionError):
            await asyncio.gather(carry(reader, back, 0), carry(there, writer, LATE))
        for one in (writer, back):
            one.close()

    async with await asyncio.start_server(connect, "127.0.0.1", port):
        yield
