"""A small HTTP load generator: several kept-alive connections that send the same raw requests. It evaluates nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def request(method: str, path: str, body: object = None, **headers: str) -> bytes:
    payload = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + payload


@dataclass
class Answer:
    status: int
    body: bytes
    cookies: tuple[str, ...] = ()
    """`name=value` of each cookie that the response sets."""

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One kept-alive connection. Responses must have Content-Length, as those of all servers here do, or be chunked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, raw: bytes) -> Answer:
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        status = int(head[9:12])
        lines = (line for line in head.split(b"\r\n") if line.lower().startswith(b"set-cookie:"))
        cookies = tuple(line[11:].split(b";")[0].strip().decode() for line in lines)
        at = lowered.find(b"content-length:")
        if at >= 0:
            length = int(lowered[at + 15 : lowered.index(b"\r\n", at)])
            return Answer(status, await self._reader.readexactly(length) if length else b"", cookies)
        if b"transfer-encoding: chunked" in lowered:
            return Answer(status, await self._chunks())
        return Answer(status, b"")

    async def _chunks(self) -> bytes:
        parts = []
        while size := int((await self._reader.readline()).strip() or b"0", 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readline()
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


async def storm(port: int, raw: bytes, *, count: int, connections: int = 16) -> float:
    """Send the same request `count` times; returns seconds. Any status but 200 raises."""
    left = count

    async def one() -> None:
        nonlocal left
        link = await Connection.open(port)
        while left > 0:
            left -= 1
            answer = await link.ask(raw)
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {answer.body[:200]!r}")
        link.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return time.perf_counter() - began


async def crowd(work: Callable[[int], Any], *, count: int, at_once: int) -> float:
    """Run `work(0)` to `work(count - 1)`, `at_once` of them at a time; returns seconds."""
    numbers = iter(range(count))

    async def one() -> None:
        for number in numbers:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    return time.perf_counter() - began
