"""In a host's own program under uvicorn as it is: whatever that makes of `Upgrade`, nothing in a body is a request; and
early answers are heard.

`passgate serve` reads it right (`test_upgrade`). Not here: the host's own routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from passgate.wire import incoming
from tests.wire.raw import Heard, head, send
from tests.wire.targets import Kind, hosted
from tests.wire.test_upgrade import BODY, JSON, UPGRADES


@pytest.fixture(scope="module")
async def ports() -> AsyncIterator[dict[Kind, int]]:
    async with hosted("httptools") as httptools, hosted("h11") as h11:
        yield {"httptools": httptools, "h11": h11}


async def asked(port: int, *segments: bytes) -> Heard:
    return await asyncio.to_thread(send, port, *segments, patience=0.4)


@pytest.mark.parametrize(("kind", "status"), [("httptools", 400), ("h11", 201)])
async def test_a_body_after_upgrade(ports: dict[Kind, int], kind: Kind, status: int) -> None:
    hidden = head("GET", "/auth/readyz")
    expected: list[tuple[list[bytes], int]] = []
    for fields in UPGRADES.values():
        post = head("POST", "/auth/api/v1/signin", JSON, *fields, length=len(BODY))
        smuggling = head("POST", "/auth/api/v1/signin", JSON, *fields, length=len(hidden))
        expected += [([post + BODY], status), ([post, BODY], status)]
        expected += [([smuggling + hidden], 400), ([smuggling, hidden], 400)]
    found = await asyncio.gather(*(asked(ports[kind], *segments) for segments, _ in expected))
    for (segments, answer), heard in zip(expected, found, strict=True):
        assert heard.statuses == [answer], segments


EARLY = {
    "no such path": ("POST", "/auth/nowhere", 404),
    "no such method": ("POST", "/auth/healthz", 405),
    "no session": ("GET", "/auth/api/v1/session", 401),
    "too large": ("POST", "/auth/api/v1/signin", 413),
}
"""Answers that do not wait for the body, and what asks for them."""


@pytest.mark.parametrize("kind", ["httptools", "h11"])
@pytest.mark.parametrize("early", EARLY)
async def test_no_body_after_upgrade_is_a_request(ports: dict[Kind, int], kind: Kind, early: str) -> None:
    """After an early answer. Where the server passes the body on, the connection is used again. Where it does not, a
    client that is still sending may be reset."""
    method, path, status = EARLY[early]
    body = head("GET", "/auth/readyz") + b"x" * (100_000 if status == 413 else 0)
    known = head(method, path, JSON, *UPGRADES["h2c"], length=len(body))
    chunked = head(method, path, JSON, *UPGRADES["h2c"], "Transfer-Encoding: chunked")
    chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    after = head("GET", "/auth/healthz")
    sent = [[known + body], [known, body], [known, body, after]]
    sent += [] if status == 413 else [[chunked, chunks], [chunked, chunks, after]]
    found = await asyncio.gather(*(asked(ports[kind], *segments) for segments in sent))
    for segments, heard in zip(sent, found, strict=True):
        answers = [status, 200] if kind == "h11" and segments[-1] == after else [status]
        is_cut = kind == "httptools" and status == 413 and heard.is_reset
        assert heard.statuses == answers or (is_cut and heard.statuses == [])


CLOSING = {
    "1.1": head("POST", "/auth/api/v1/signin", JSON, "Connection: close", length=500_000),
    "1.0": head("POST", "/auth/api/v1/signin", JSON, length=500_000).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "chunked": head("POST", "/auth/nowhere", JSON, "Connection: close", "Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("kind", ["httptools", "h11"])
@pytest.mark.parametrize("closing", CLOSING)
async def test_a_client_that_is_still_sending_hears_the_answer(
    ports: dict[Kind, int], kind: Kind, closing: str
) -> None:
    """Whose connection ends with it, as that of urllib."""
    chunks = [b"c350\r\n" + b"x" * 50_000 + b"\r\n"] * 10 + [b"0\r\n\r\n"]
    parts = chunks if closing == "chunked" else [b"x" * 50_000] * 10
    heard = await asked(ports[kind], CLOSING[closing], *parts)
    assert (heard.statuses, heard.is_reset) == ([404 if closing == "chunked" else 413], False)


async def test_a_client_that_waits_to_be_asked_for_its_body_is_not_asked(ports: dict[Kind, int]) -> None:
    fields = (JSON, "Connection: close", "Expect: 100-continue")
    for port in ports.values():
        heard = await asked(port, head("POST", "/auth/api/v1/signin", *fields, length=500_000))
        assert (heard.statuses, heard.after < incoming.PATIENCE) == ([413], True)


async def test_a_body_that_is_slow_or_endless_is_not_waited_for(
    ports: dict[Kind, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "PATIENCE", 0.1)
    asked_with = head("POST", "/auth/nowhere", JSON, *UPGRADES["h2c"], length=incoming.MOST + 100_000)
    for body in (b"x", b"x" * incoming.MOST):
        heard = await asked(ports["h11"], asked_with, body)
        assert (heard.statuses, heard.responses[0].headers["connection"]) == ([404], "close")


@pytest.mark.parametrize("kind", ["httptools", "h11"])
async def test_everything_else_is_as_ever(ports: dict[Kind, int], kind: Kind) -> None:
    post = head("POST", "/auth/api/v1/signin", JSON, length=len(BODY)) + BODY
    assert (await asked(ports[kind], post + head("GET", "/auth/healthz"))).statuses == [201, 200]
