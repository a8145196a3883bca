"""The lookup of breached passwords in real files and at a real HTTP server, with valid and with broken content."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passgate.adapters.breach import Breach, Garbage, in_answer, in_file
from passgate.errors import Unavailable
from passgate.settings import BreachSettings

pytestmark = pytest.mark.anyio


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


def range_of(*counted: tuple[str, int]) -> bytes:
    return "\r\n".join(f"{sha1(password)[5:]}:{count}" for password, count in counted).encode()


def http(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *more])
    return f"{head}\r\n\r\n".encode() + body


@dataclass
class Server:
    """Sends `answer` after `pause` seconds, and with `drip` then one byte every tenth of a second without end."""

    answer: bytes
    pause: float = 0
    drip: bool = False
    port: int = 0
    heard: list[str] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await asyncio.sleep(self.pause)
            writer.write(self.answer)
            while self.drip:
                writer.write(b"0")
                await asyncio.sleep(0.1)
                await writer.drain()
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(server: Server, deadline: int = 5, ranges: Path | None = None) -> AsyncIterator[Breach]:
    talks: list[asyncio.Task[None]] = []
    listening = await asyncio.start_server(
        lambda reader, writer: talks.append(asyncio.ensure_future(server.talk(reader, writer))),
        "127.0.0.1",
        0,
    )
    server.port = listening.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{server.port}/range/"
    breach = Breach(BreachSettings(url=url, deadline=deadline, ranges=ranges))
    try:
        yield breach
    finally:
        await breach.close()
        listening.close()
        await listening.wait_closed()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def is_unavailable(breach: Breach) -> bool:
    with pytest.raises(Unavailable) as caught:
        await breach.knows("hunter2")
    return caught.value.down == "breach"


async def test_nothing_is_known_without_a_source() -> None:
    breach = Breach(BreachSettings())
    assert not await breach.knows("password")
    await breach.close()


async def test_the_service_sees_five_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server = Server(http(range_of(("other", 3), ("hunter2", 17), ("padding", 0))))
    async with serving(server) as breach:
        assert await breach.knows("hunter2")
        assert not await breach.knows("padding")
        assert not await breach.knows("a stranger to all of them")
    assert server.heard[0].startswith(f"GET /range/{sha1('hunter2')[:5]} HTTP/1.1\r\n")
    assert "add-padding: true" in server.heard[0].lower()
    assert not any(sha1("hunter2")[5:] in heard or "hunter2" in heard for heard in server.heard)


@pytest.mark.parametrize(
    "answer",
    [
        http(b"", "503 Service Unavailable"),
        http(b"", "404 Not Found"),
        http(b"", "302 Found", "Location: /range/00000"),
        http(b"<html>Sign in to the hotel's network</html>"),
        http(range_of(("hunter2", 1)) + b"\r\nand more"),
        http(range_of(("other", 1)) * 2),
        http(gzip.compress(range_of(("hunter2", 1))), "200 OK", "Content-Encoding: gzip"),
        http((range_of(("other", 1)) + b"\r\n") * 60_000),
        http(range_of(("other", 1)))[:-10],
        b"garbage\r\n\r\n",
        b"",
    ],
)
async def test_a_service_that_makes_no_sense(answer: bytes) -> None:
    server = Server(answer)
    async with serving(server) as breach:
        assert await is_unavailable(breach)
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "server", [Server(b"", pause=3), Server(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", drip=True)]
)
async def test_a_slow_service(server: Server) -> None:
    async with serving(server, deadline=1) as breach:
        began = asyncio.get_running_loop().time()
        assert await is_unavailable(breach)
        assert asyncio.get_running_loop().time() - began < 2


async def test_nobody_listens() -> None:
    server = Server(b"")
    async with serving(server):
        pass
    breach = Breach(BreachSettings(url=f"http://127.0.0.1:{server.port}/"))
    assert await is_unavailable(breach)
    await breach.close()


def test_an_answer_is_read_whole() -> None:
    suffix = b"0" * 34 + b"A"
    assert in_answer(suffix.lower() + b":1\n", suffix)
    assert not in_answer(suffix + b":000", suffix)
    assert not in_answer(b"", suffix)
    with pytest.raises(Garbage):
        in_answer(suffix + b":1\n\n<p>", suffix)


HASH = st.binary(min_size=20, max_size=20).map(lambda raw: raw.hex().upper().encode())
# Hashes that differ only in their last digits, so that the search has to compare whole hashes.
CLOSE = st.integers(0, 300).map(lambda number: f"{number:040X}".encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(HASH | CLOSE, st.integers(0, 10**9), min_size=1, max_size=60),
    st.lists(HASH | CLOSE, max_size=10),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
)
def test_the_file_knows_what_is_in_it(
    tmp_path: Path, known: dict[bytes, int], strangers: list[bytes], end: bytes, closed: bool
) -> None:
    path = tmp_path / "ranges.txt"
    lines = end.join(b"%s:%d" % (name, known[name]) for name in sorted(known))
    path.write_bytes(lines + (end if closed else b""))
    for name in [*known, *strangers]:
        assert in_file(path, name) is (known.get(name, 0) > 0)


async def test_the_file_is_asked_first(tmp_path: Path) -> None:
    path = tmp_path / "ranges.txt"
    path.write_text("".join(f"{name}:5\n" for name in sorted(sha1(f"word {n}") for n in range(5000))))
    breach = Breach(BreachSettings(ranges=path))
    assert await breach.knows("word 77")
    assert not await breach.knows("word 5000")
    server = Server(http(range_of(("hunter2", 1))))
    async with serving(server, ranges=path) as both:
        assert await both.knows("word 77")
        assert server.heard == []
        assert await both.knows("hunter2")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"hello\n",
        b"x" * 10_000,
        b"0" * 40 + b"\n",
        b"0" * 40 + b":1\ngarbage\n" + b"F" * 40 + b":1\n",
        b"".join(b"%040X:1\n" % number for number in range(100, 0, -1)),
    ],
)
async def test_a_file_that_makes_no_sense(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ranges.txt"
    path.write_bytes(content)
    assert await is_unavailable(Breach(BreachSettings(ranges=path)))


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert await is_unavailable(Breach(BreachSettings(ranges=tmp_path / "none")))
    assert await is_unavailable(Breach(BreachSettings(ranges=tmp_path)))
