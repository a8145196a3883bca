"""A server around Passgate that cancels requests, as time limits of a host do. The request header `x-patience` says
after how many seconds; with `x-stubborn`, every later await is cancelled too.

Not here: tests.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable
from typing import Any

import anyio
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from passgate.app import Passgate, create_app
from tests.processes import serve

CANCELLED = "x-cancelled"
"""Response header of a request that was cancelled."""


class Hasty:
    def __init__(self, gate: Passgate) -> None:
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if scope["type"] == "http" and scope["path"] == "/left":
            await JSONResponse(self.left())(scope, receive, send)
        elif "x-patience" not in headers:
            await self.gate(scope, receive, send)
        else:
            limited = _always if "x-stubborn" in headers else _once
            await self.in_time(limited, float(headers["x-patience"]), scope, receive, send)

    async def in_time(self, limited: Any, patience: float, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def recorded(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        # A response that was begun cannot be replaced by a 503: the server closes the connection.
        if not await limited(self.gate(scope, receive, recorded), patience) and not has_begun:
            await Response(status_code=503, headers={CANCELLED: "yes"})(scope, receive, send)

    def left(self) -> int:
        """How many connections are checked out of the pools. Collects garbage first, so that leaked objects log their
        warnings."""
        gc.collect()
        store: Any = self.gate.services.store
        return int(store.writer.sync_engine.pool.checkedout() + store.reader.sync_engine.pool.checkedout())


async def _once(work: Awaitable[None], seconds: float) -> bool:
    """Whether the work ended within `seconds`; otherwise it is cancelled once."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True


async def _always(work: Awaitable[None], seconds: float) -> bool:
    with anyio.move_on_after(seconds) as scope:
        await work
    return not scope.cancelled_caught


if __name__ == "__main__":
    made = create_app()
    serve(Hasty(made), made.settings.port)
