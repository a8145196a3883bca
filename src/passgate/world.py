"""The outside world as a value: the clock and the dice, handed to whoever needs them.

Nothing else in the package asks for the time or for randomness; no rule and no storage ever lives here.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

Instant = int
"""Microseconds since 1970-01-01 UTC. One integer compares alike in Python, SQLite and PostgreSQL."""

SECOND = 1_000_000


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
        """A UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, then 74 random bits."""
        value = (self.clock() // 1000) << 80 | int.from_bytes(self.dice(10))
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        raw = f"{value:032x}"
        return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def iso(instant: Instant) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.000Z`."""
    moment = datetime.fromtimestamp(instant // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{instant % SECOND // 1000:03d}Z"
