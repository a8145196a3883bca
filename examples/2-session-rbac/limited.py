"""Routes that read no more of a body than any of these routes needs.

Not here: FastAPI's `max_body_size`, which answers in a shape of its own, and on the application would reach below the
mount.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message

from passgate import errors

LARGEST = 16_384


class Limited(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def limited(request: Request) -> Response:
            size = 0

            async def receive() -> Message:
                nonlocal size
                message = await request.receive()
                size += len(message.get("body", b""))
                if size > LARGEST:
                    raise HTTPException(413, errors.TooLarge.message)
                return message

            return await handle(Request(request.scope, receive))

        return limited
