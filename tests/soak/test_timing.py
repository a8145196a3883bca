"""How long answers take, known against unknown: interleaved pairs, the median of their differences, its bootstrap.

The counted work is compared in tests/neutrality; this is what is left for a stopwatch.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from passgate.settings import HashSettings
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, The, handle_of, running, settings_for

pytestmark = pytest.mark.soak

PAIRS = 300
BOUND = 0.03
"""Three hundredths of an answer's own time. One hash left out would be most of it, one statement some twentieth."""

USUAL = HashSettings(memory_kib=8 * 1024, passes=1)
"""A hash that weighs more beside the rest than the cheap one of the other tests."""

Measured = Callable[[The, str], Awaitable[float]]


async def _timed(deed: Awaitable[object]) -> float:
    began = time.perf_counter()
    await deed
    return time.perf_counter() - began


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


def differs(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The 99 % interval of the median difference, as parts of the median time."""
    dice, scale = random.Random(7), statistics.median(value for pair in pairs for value in pair)
    gaps = [one - other for one, other in pairs]
    medians = sorted(statistics.median(dice.choices(gaps, k=len(gaps))) for _ in range(2000))
    return medians[10] / scale, medians[-11] / scale


async def sampled(the: The, measured: Measured, extra: float = 0.0) -> list[tuple[float, float]]:
    """Pairs of (known, unknown), whose order is drawn; every address is asked once, so that no budget is felt."""
    folk, dice, pairs = Folk(the), random.Random(11), []
    for number in range(PAIRS + 20):
        await folk.born(f"known{number:04}@example.com", hashed=USUAL)
        times = {}
        for kind in dice.sample(("known", "guess"), 2):
            times[kind] = await measured(the, f"{kind}{number:04}@example.com")
        pairs.append((times["known"] + extra * times["guess"], times["guess"]))
    return pairs[20:]  # the first warm caches


@pytest.mark.parametrize("measured", [starting, wrong_password, signing_up, recovering, wrong_code])
async def test_known_and_unknown_take_as_long(tmp_path: Path, measured: Measured) -> None:
    async with running(settings_for(tmp_path, hash=USUAL)) as the:
        low, high = differs(await sampled(the, measured))
    assert low < BOUND and high > -BOUND, f"the median differs by {low:.1%} to {high:.1%}"


async def test_the_stopwatch_would_notice(tmp_path: Path) -> None:
    """A tenth more is outside the bound: the interval is narrow enough to mean something."""
    async with running(settings_for(tmp_path, hash=USUAL)) as the:
        low, _ = differs(await sampled(the, wrong_password, extra=0.1))
    assert low > BOUND
