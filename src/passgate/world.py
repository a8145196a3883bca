"""The clock and the source of randomness as a value that is passed to whoever needs them.

No other module asks for the time or for randomness. Not here: any rule or storage.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

Instant = int
"""Microseconds since 1970-01-01 UTC. One integer that compares alike in Python, SQLite and PostgreSQL."""

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1)  # in UTC, but without a time zone, which `iso` would have to remove


@dataclass(frozen=True, slots=True)
class World:
    """`clock` returns an Instant, `dice` returns n random bytes."""

    clock: Callable[[], Instant]
    dice: Callable[[int], bytes]

    @classmethod
    def real(cls) -> World:
        return cls(clock=lambda: time.time_ns() // 1000, dice=secrets.token_bytes)

    def now(self) -> Instant:
        return self.clock()

    def bytes(self, count: int) -> bytes:
        return self.dice(count)

    def text(self, count: int = 16) -> str:
        """`count` random bytes, base64url without padding."""
        return base64.urlsafe_b64encode(self.dice(count)).rstrip(b"=").decode()

    def digits(self, count: int) -> str:
        """A uniformly drawn decimal string: 8 digits are 26.5 bits. 64 spare bits make the modulo bias vanish."""
        width = count // 2 + 8
        return str(int.from_bytes(self.dice(width)) % 10**count).zfill(count)

    def uuid(self) -> str:
        """A UUIDv7 (RFC 9562 §5.7, method 3): milliseconds, 12 bits of the fraction, 62 random bits. Ids that are made
        one after another sort in that order, to a quarter of a microsecond."""
        milli, micro = divmod(self.clock(), 1000)
        high = milli << 16 | 0x7000 | micro * 4096 // 1000
        low = 0b10 << 62 | int.from_bytes(self.dice(8)) >> 2
        raw = f"{high:016x}{low:016x}"
        return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def iso(instant: Instant) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.000Z`."""
    return (_EPOCH + timedelta(microseconds=instant)).isoformat(timespec="milliseconds") + "Z"
