"""Checks whether a password appears in a breach, against the operator's own hash file or a k-anonymity service.

Not here: what follows for a breached password, or any guess: if no source answers, Unavailable is raised.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from passgate import files
from passgate.errors import Unavailable
from passgate.settings import BreachSettings

if TYPE_CHECKING:
    import httpx2

_MAX_ANSWER = 2 * 1024 * 1024
_MAX_LINE = 128
_SAMPLES = 128
"""Lines that `check_file` compares."""
_LINE = re.compile(rb"([0-9A-F]{40}):([0-9]{1,12})\r?\n?")
# Possessive quantifier: no backtracking, whatever the service sends.
_ANSWER = re.compile(rb"(?:[0-9A-F]{35}:[0-9]{1,12}(?:\r?\n|\Z))*+")


class Garbage(ValueError):
    """The file or response is not in the format of Have I Been Pwned's downloads or ranges."""


class Breach:
    """With both a file and a service, a match in either counts. With neither, no password counts as breached."""

    def __init__(self, settings: BreachSettings) -> None:
        self._file, self._url, self._deadline = settings.ranges, settings.url, settings.deadline
        self._client = None if self._url is None else _client(self._deadline)

    async def knows(self, password: str) -> bool:
        """True for a password with a count of at least 1. Raises Unavailable("breach") if no source answers within the
        deadline (seconds), or if a result cannot be parsed."""
        # The lists are keyed by SHA-1; it protects nothing here.
        wanted = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            async with asyncio.timeout(self._deadline):
                return await self._asked(wanted)
        except (OSError, TimeoutError, Garbage) as fault:
            raise Unavailable("breach") from fault

    async def _asked(self, wanted: str) -> bool:
        if self._file is not None and await asyncio.to_thread(in_file, self._file, wanted.encode()):
            return True
        if self._client is None:
            return False
        import httpx2  # noqa: PLC0415  where a service is asked, the client has imported it

        try:
            answer = await _fetch(self._client, f"{self._url}{wanted[:5]}")
        except (httpx2.HTTPError, httpx2.InvalidURL) as fault:
            raise Unavailable("breach") from fault
        return in_answer(answer, wanted[5:].encode())

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _client(deadline: float) -> httpx2.AsyncClient:
    import httpx2  # noqa: PLC0415  only where a service is asked

    # Padding hides the requested prefix from an eavesdropper. Compression would reveal the size again, and would let a
    # small response grow beyond the cap.
    headers = {"Add-Padding": "true", "Accept-Encoding": "identity", "User-Agent": "passgate"}
    return httpx2.AsyncClient(headers=headers, timeout=deadline, follow_redirects=False, trust_env=False)


async def _fetch(client: httpx2.AsyncClient, url: str) -> bytes:
    body = b""
    async with client.stream("GET", url) as response:
        if response.status_code != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
            raise Garbage
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > _MAX_ANSWER:
                raise Garbage
    return body


def in_answer(answer: bytes, suffix: bytes) -> bool:
    """`answer`: lines of 35 hex digits, a colon and a count, where 0 is padding. Raises Garbage."""
    lines = answer.strip().upper()
    if _ANSWER.fullmatch(lines) is None:
        raise Garbage
    return re.search(rb"^" + suffix + rb":0*[1-9]", lines, re.MULTILINE) is not None


def in_file(path: Path, wanted: bytes) -> bool:
    """Binary search by offset over sorted lines `HASH:COUNT`: some 36 short reads in a file of 40 GB.

    `wanted` is 40 upper-case hex digits. Raises OSError, and Garbage for a file that is empty, malformed or found to be
    out of order.
    """
    with path.open("rb") as file:
        low, high = 0, file.seek(0, os.SEEK_END)
        if high == 0:
            raise Garbage
        least, most = b"", b"G"  # hashes already read on either side
        while low < high:  # if present, the wanted line begins in [low, high)
            middle = (low + high) // 2
            start, found, count, end = _line_from(file, middle)
            if start >= high:
                high = middle
                continue
            if not least < found < most:
                raise Garbage
            if found == wanted:
                return count > 0
            if found < wanted:
                low, least = end, found
            else:
                high, most = middle, found
    return False


def check_file(path: Path) -> None:
    """Whether `in_file` can search it, by samples: a file of 40 GB is not read as a whole. OSError, Garbage."""
    with files.open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            raise Garbage("it is empty")
        latest = b""
        for number in range(_SAMPLES):
            try:
                start, found, _, _ = _line_from(file, size * number // _SAMPLES)
            except Garbage:
                raise Garbage("its lines must be HASH:COUNT") from None
            if start < size and found < latest:
                raise Garbage("it is not sorted by hash")
            latest = max(latest, found)


def _line_from(file: BinaryIO, offset: int) -> tuple[int, bytes, int, int]:
    """The first line that begins at or after `offset`: (start, hash, count, end). At the end of the file, `start` is
    the file's size and the hash is empty."""
    file.seek(max(offset - 1, 0))
    if offset > 0:
        file.readline(_MAX_LINE)
    start = file.tell()
    line = file.readline(_MAX_LINE).upper()
    if not line:
        return start, b"", 0, start
    parsed = _LINE.fullmatch(line)
    if parsed is None:
        raise Garbage
    return start, parsed[1], int(parsed[2]), start + len(line)
