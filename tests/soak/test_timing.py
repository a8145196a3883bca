"""How long responses take for known and for unknown addresses: interleaved pairs, and a confidence interval of the
median difference.

The work is compared by counting in tests/neutrality; here the time is measured. A busy machine adds noise, so pairs are
taken until the interval is narrow. If it stays wide, the test fails and says that nothing could be measured.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from passgate.settings import HashSettings
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, The, handle_of, running, settings_for

pytestmark = pytest.mark.soak

BOUND = 0.03
"""The allowed difference, as a part of the response time. A hash makes up most of that time, a statement about 0.05."""
PLANTED = 0.1
"""An added delay that must be detected, as a part of the response time."""
WARM = 20
"""Pairs for warm-up, which are not counted."""
USUAL = HashSettings(memory_kib=8 * 1024, passes=1)
"""A hash that takes a larger part of the response time than the cheap one of the other tests."""

AT_ONCE, AT_MOST = 150, 3000
"""Pairs between two computations of the interval, and in all. No budget runs out within them."""
PATIENCE = 240.0
"""Seconds after which measuring is given up."""

Measured = Callable[[The, str], Awaitable[float]]


async def _timed(asked: Awaitable[httpx2.Response]) -> float:
    began = time.perf_counter()
    answer = await asked
    took = time.perf_counter() - began
    assert answer.status_code not in (429, 503), answer.text
    return took


async def wrong_password(the: The, email: str) -> float:
    handle = handle_of(await the.start(email))
    return await _timed(the.prove(handle, "password", OTHER_PASSWORD))


async def starting(the: The, email: str) -> float:
    return await _timed(the.start(email))


async def signing_up(the: The, email: str) -> float:
    return await _timed(the.signup(email, None))


async def recovering(the: The, email: str) -> float:
    return await _timed(the.recover(email))


async def wrong_code(the: The, email: str) -> float:
    handle = handle_of(await the.recover(email))
    return await _timed(the.prove(handle, "email_code", "00000000"))


@dataclass
class Stopwatch:
    """Measures pairs of (known, unknown) seconds in random order. `planted`: a delay added to the known times, as a
    part of the median unknown time and spent busy right after the request."""

    the: The
    measured: Measured
    planted: float = 0.0
    at_most: int = AT_MOST
    pairs: list[tuple[float, float]] = field(default_factory=list)
    dice: random.Random = field(default_factory=lambda: random.Random(11))

    async def run(self) -> tuple[float, float]:
        """Take pairs until the interval is narrow enough to tell `PLANTED` from `BOUND`; the interval."""
        give_up = time.monotonic() + PATIENCE
        await self._take(WARM, 0)
        self.pairs.clear()
        while len(self.pairs) < self.at_most and time.monotonic() < give_up:
            await self._take(AT_ONCE, WARM + len(self.pairs))
            low, high = self.interval()
            if high - low < PLANTED - BOUND:
                return low, high
        low, high = self.interval()
        pytest.fail(
            f"COULD NOT BE MEASURED: the machine is too busy. After {len(self.pairs)} pairs the median difference is"
            f" only known to lie between {low:.1%} and {high:.1%}; nothing is said about the answers."
        )

    def interval(self) -> tuple[float, float]:
        """The 99 % confidence interval of the median difference, by order statistics (2.58 standard deviations of a
        binomial distribution with p = 1/2), as parts of the median time."""
        scale = statistics.median(value for pair in self.pairs for value in pair)
        gaps, margin = sorted(known - unknown for known, unknown in self.pairs), 2.58 * math.sqrt(len(self.pairs)) / 2
        middle = (len(gaps) - 1) / 2
        return gaps[math.floor(middle - margin)] / scale, gaps[math.ceil(middle + margin)] / scale

    async def _take(self, count: int, first: int) -> None:
        """Use each address once, so that no budget runs out."""
        folk = Folk(self.the)
        for number in range(first, first + count):
            await folk.create(f"known{number:04}@example.com", hashed=USUAL)
            times = {}
            for kind in self.dice.sample(("known", "guess"), 2):
                times[kind] = await self.measured(self.the, f"{kind}{number:04}@example.com")
                if kind == "known":
                    times[kind] += self._plant()
            self.pairs.append((times["known"], times["guess"]))

    def _plant(self) -> float:
        if not self.planted or not self.pairs:
            return 0.0
        began = time.perf_counter()
        until = began + self.planted * statistics.median(unknown for _, unknown in self.pairs[-AT_ONCE:])
        while time.perf_counter() < until:
            pass
        return time.perf_counter() - began


KINDS = pytest.mark.parametrize("measured", [starting, wrong_password, signing_up, recovering, wrong_code])


@KINDS
async def test_known_and_unknown_take_as_long(tmp_path: Path, measured: Measured) -> None:
    async with running(settings_for(tmp_path, hash=USUAL)) as the:
        low, high = await Stopwatch(the, measured).run()
    assert low < BOUND and high > -BOUND, f"the median differs by {low:.1%} to {high:.1%}"


@KINDS
async def test_the_stopwatch_would_notice(tmp_path: Path, measured: Measured) -> None:
    """An added tenth is detected for each kind of request."""
    async with running(settings_for(tmp_path, hash=USUAL)) as the:
        low, high = await Stopwatch(the, measured, PLANTED).run()
    assert low > BOUND, f"a tenth was planted, and the median differs by {low:.1%} to {high:.1%}"


async def test_it_reports_that_it_could_not_measure(tmp_path: Path) -> None:
    dice = random.Random(3)

    async def blurred(_the: The, _email: str) -> float:
        return dice.lognormvariate(0, 2)

    async with running(settings_for(tmp_path, hash=USUAL)) as the:
        with pytest.raises(pytest.fail.Exception, match="COULD NOT BE MEASURED"):
            await Stopwatch(the, blurred, at_most=3 * AT_ONCE).run()
