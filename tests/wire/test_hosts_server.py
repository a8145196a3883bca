"""In a host's own program under uvicorn as it is: whatever that makes of `Upgrade`, nothing in a body is a request.

`passgate serve` reads it right (`test_upgrade`). Not here: the host's own routes.
"""

from __future__ import annotations

import asyncio

import pytest

from passgate.wire import incoming
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


EARLY = {
    "no such path": ("POST", "/auth/nowhere", 404),
    "no such method": ("POST", "/auth/healthz", 405),
    "no session": ("GET", "/auth/api/v1/session", 401),
    "too large": ("POST", "/auth/api/v1/signin", 413),
}
"""Answers that do not wait for the body, and what asks for them."""


@pytest.mark.parametrize("kind", ["httptools", "h11"])
@pytest.mark.parametrize("early", EARLY)
async def test_a_body_after_upgrade_is_no_request_after_an_early_answer(kind: Kind, early: str) -> None:
    """Where the server passes the body on, the connection is used again. Where it does not, a client that is still
    sending may be reset."""
    method, path, status = EARLY[early]
    body = head("GET", "/auth/readyz") + b"x" * (100_000 if status == 413 else 0)
    known = head(method, path, JSON, *UPGRADES["h2c"], length=len(body))
    chunked = head(method, path, JSON, *UPGRADES["h2c"], "Transfer-Encoding: chunked")
    chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    after = head("GET", "/auth/healthz")
    async with hosted(kind) as port:
        sent = [[known + body], [known, body], [known, body, after]]
        sent += [] if status == 413 else [[chunked, chunks], [chunked, chunks, after]]
        found = await asyncio.gather(*(asked(port, *segments) for segments in sent))
    for segments, heard in zip(sent, found, strict=True):
        answers = [status, 200] if kind == "h11" and segments[-1] == after else [status]
        is_cut = kind == "httptools" and status == 413 and heard.is_reset
        assert heard.statuses == answers or (is_cut and heard.statuses == [])


async def test_a_body_that_is_slow_or_endless_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "PATIENCE", 0.1)
    asked_with = head("POST", "/auth/nowhere", JSON, *UPGRADES["h2c"], length=incoming.MOST + 100_000)
    async with hosted("h11") as port:
        for body in (b"x", b"x" * incoming.MOST):
            heard = await asked(port, asked_with, body)
            assert (heard.statuses, heard.responses[0].headers["connection"]) == ([404], "close")


@pytest.mark.parametrize("kind", ["httptools", "h11"])
async def test_everything_else_is_as_ever(kind: Kind) -> None:
    async with hosted(kind) as port:
        post = head("POST", "/auth/api/v1/signin", JSON, length=len(BODY)) + BODY
        assert (await asked(port, post + head("GET", "/auth/healthz"))).statuses == [201, 200]
