"""Requests as bytes over a socket, and what comes back, taken apart as a client would.

Not here: assertions.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Heard:
    """`responses`: the complete ones. `rest`: bytes after them. `is_reset`: the connection was reset. `after`: seconds
    until it ended."""

    responses: list[Response]
    rest: bytes
    is_reset: bool
    after: float

    @property
    def statuses(self) -> list[int]:
        return [response.status for response in self.responses]


def send(port: int, *segments: bytes, pause: float = 0.03, patience: float = 1.0) -> Heard:
    """Send each segment, and read until the server ends or nothing has come for `patience` seconds."""
    began, heard, is_reset = time.monotonic(), b"", False
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(patience)
        try:
            for number, segment in enumerate(segments):
                if number:
                    time.sleep(pause)
                connection.sendall(segment)
        except (ConnectionResetError, BrokenPipeError):  # what came before can be read nevertheless
            is_reset = True
        except TimeoutError:
            pass
        try:
            while part := connection.recv(65536):
                heard += part
        except ConnectionResetError:
            is_reset = True
        except TimeoutError:
            pass
    responses, rest = taken_apart(heard)
    return Heard(responses, rest, is_reset, time.monotonic() - began)


def send_each(port: int, requests: Sequence[Iterable[bytes]], patience: float) -> list[Heard]:
    """`send` for each on a connection of its own, all at once: they would spend most of their time waiting for what
    must not come."""
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda segments: send(port, *segments, patience=patience), requests))


def taken_apart(heard: bytes) -> tuple[list[Response], bytes]:
    """Responses by Content-Length, as ours are; without a body for 204 and 304."""
    found = []
    while heard.startswith(b"HTTP/1.") and b"\r\n\r\n" in heard:
        head, _, rest = heard.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        length = 0 if status in (204, 304) or status < 200 else int(headers.get("content-length", "0"))
        if len(rest) < length:
            break
        found.append(Response(status, headers, rest[:length]))
        heard = rest[length:]
    return found, heard


def head(method: str, path: str, *fields: str, length: int | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, "", ""]).encode()


def split(content: bytes, *at: int) -> Iterable[bytes]:
    """The content in segments that end at these places."""
    marks = [0, *at, len(content)]
    return [content[start:end] for start, end in itertools.pairwise(marks)]
