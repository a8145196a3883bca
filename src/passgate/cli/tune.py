"""Measures Argon2id on this machine with the code that hashes passwords. Not here: changing a setting."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

from passgate.hashing import Hasher, Queue
from passgate.settings import HashSettings, Settings
from passgate.world import World

# Memory in KiB and passes: OWASP's three minimums, then higher values.
CANDIDATES = ((46 * 1024, 1), (19 * 1024, 2), (12 * 1024, 3), (32 * 1024, 2), (46 * 1024, 2), (64 * 1024, 3))
ROUNDS = 3
PATIENCE = 250
"""Milliseconds that a person may wait for one hash."""


@dataclass(frozen=True, slots=False)
class Measured:
    """One parameter set: the time of one hash, and hashes per second of this machine."""

    memory_kib: int
    passes: int
    ms: float
    per_second: float
    suggested: bool = False

    def __str__(self) -> str:
        mark = "*" if self.suggested else " "
        return (
            f"{mark} PASSGATE_HASH__MEMORY_KIB={self.memory_kib} PASSGATE_HASH__PASSES={self.passes}"
            f"  {self.ms:.0f} ms, {self.per_second:.0f}/s"
        )


async def tune(settings: Settings) -> list[Measured]:
    """All candidates, each at or above OWASP's minimum; the suggested one is the most expensive within PATIENCE."""
    threads = settings.hash.threads or os.cpu_count() or 1
    measured = [await _measure(memory, passes, threads) for memory, passes in CANDIDATES]
    within = [row for row in measured if row.ms <= PATIENCE] or measured[:1]
    best = max(within, key=lambda row: row.memory_kib * row.passes)
    return [Measured(row.memory_kib, row.passes, row.ms, row.per_second, row is best) for row in measured]


async def _measure(memory: int, passes: int, threads: int) -> Measured:
    hasher = Hasher(HashSettings(memory_kib=memory, passes=passes, threads=1), World.real())
    times = []
    try:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            await hasher.hash("correct horse battery staple", Queue.OWNERS)
            times.append(time.perf_counter() - started)
    finally:
        hasher.close()
    each = statistics.median(times)
    return Measured(memory, passes, round(each * 1000, 1), round(threads / each, 1))
