"""In a host's own program under uvicorn as it is: whatever that makes of `Upgrade`, nothing in a body is a request.

`passgate serve` reads it right (`test_upgrade`). Not here: the host's own routes.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.wire.raw import Heard, head, send
from tests.wire.targets import Kind, hosted
from tests.wire.test_upgrade import BODY, JSON, UPGRADES


async def asked(port: int, *segments: bytes) -> Heard:
    return await asyncio.to_thread(send, port, *segments, patience=0.4)


@pytest.mark.parametrize(("kind", "status"), [("httptools", 400), ("h11", 201)])
async def test_a_body_after_upgrade(kind: Kind, status: int) -> None:
    hidden = head("GET", "/auth/readyz")
    async with hosted(kind) as port:
        for fields in UPGRADES.values():
            post = head("POST", "/auth/api/v1/signin", JSON, *fields, length=len(BODY))
            for segments in ([post + BODY], [post, BODY]):
                assert (await asked(port, *segments)).statuses == [status]
            smuggling = head("POST", "/auth/api/v1/signin", JSON, *fields, length=len(hidden))
            for segments in ([smuggling + hidden], [smuggling, hidden]):
                assert (await asked(port, *segments)).statuses == [400]


@pytest.mark.parametrize("kind", ["httptools", "h11"])
async def test_everything_else_is_as_ever(kind: Kind) -> None:
    async with hosted(kind) as port:
        post = head("POST", "/auth/api/v1/signin", JSON, length=len(BODY)) + BODY
        assert (await asked(port, post + head("GET", "/auth/healthz"))).statuses == [201, 200]
