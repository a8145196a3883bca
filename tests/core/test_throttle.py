"""Counters: ladders, windows and plain counts, each compared with a small model, and what purging deletes.

One statement decides between any number of concurrent tries. Races between processes are tested in tests/races; who
pays what is tested in test_budgets.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passgate.core import throttle
from passgate.core.ctx import Ctx, Origin
from passgate.core.throttle import FREE, NEVER, NO_LIMIT, WAITS, Counted
from passgate.store.tables import budget
from passgate.world import SECOND
from tests.kit import The

EXAMPLES = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
DAY = 24 * 3600
NUMBERS = itertools.count()


def ctx_of(the: The) -> Ctx:
    return Ctx(the.gate.services, Origin("127.0.0.1", is_loopback=True))


@dataclass
class Counters:
    """The functions of `throttle`, each in its own transaction."""

    the: The
    ctx: Ctx

    async def climb(self, key: str, life: int | None = None) -> Counted:
        expires_at = NEVER if life is None else self.the.clock.now + life * SECOND
        async with self.ctx.write() as db:
            return await throttle.climb(self.ctx, db, key, expires_at=expires_at)

    async def window(self, key: str, limit: int, seconds: int, amount: int = 1) -> Counted:
        async with self.ctx.write() as db:
            return await throttle.window(self.ctx, db, key, limit=limit, seconds=seconds, amount=amount)

    async def count(self, key: str, life: int | None = None) -> int:
        expires_at = NEVER if life is None else self.the.clock.now + life * SECOND
        async with self.ctx.write() as db:
            return await throttle.count(self.ctx, db, key, expires_at=expires_at)

    async def step_back(self, key: str, counted: Counted) -> None:
        async with self.ctx.write() as db:
            await throttle.step_back(db, key, counted)

    async def take_back(self, key: str, amount: int = 1) -> None:
        async with self.ctx.write() as db:
            await throttle.take_back(db, key, amount)

    async def used(self, key: str) -> int:
        async with self.ctx.read() as db:
            return await throttle.used(self.ctx, db, key)

    async def rows(self) -> dict[str, int]:
        return {row["key"]: row["used"] for row in await self.the.rows(budget)}


def counters(the: The) -> Counters:
    return Counters(the, ctx_of(the))


def wait_after(used: int) -> int:
    """Seconds to wait after so many refusals."""
    return 0 if used < FREE else WAITS[min(used - FREE, len(WAITS) - 1)]


# -- ladders ---------------------------------------------------------------------------------------


class Ladder:
    """The model: a count, the end of the wait, and the end of the row, changed by tries and by time."""

    def __init__(self) -> None:
        self.used = self.until = self.expires_at = 0

    def is_waiting(self, now: int) -> bool:
        return now < min(self.until, self.expires_at)

    def climb(self, now: int, expires_at: int) -> None:
        if self.expires_at <= now:
            self.used, self.expires_at = 0, expires_at
        self.used += 1
        self.until = now + wait_after(self.used) * SECOND if wait_after(self.used) else 0

    def step_back(self) -> None:
        self.used, self.until = self.used - 1, 0


TIMES = st.sampled_from([1, 3, 30, 901, 3600, DAY])
STEPS = st.lists(st.one_of(st.just("wrong"), st.just("wrong"), st.just("wrong"), st.just("undone"), TIMES), max_size=60)
ABOUT_NOW = SECOND // 1000
"""The test clock moves by a microsecond at each reading."""


@EXAMPLES
@given(STEPS, st.sampled_from([None, DAY]))
async def test_a_ladder_is_its_model(lite: The, steps: list[str | int], life: int | None) -> None:
    """A step that is undone takes its own wait with it. A row with an end starts anew after it, whatever the waits."""
    mine, model, key = counters(lite), Ladder(), f"w:{next(NUMBERS)}"
    for step in steps:
        if isinstance(step, int):
            lite.clock.forward(step)
            continue
        now = lite.clock.now
        got = await mine.climb(key, life)
        if model.is_waiting(now + ABOUT_NOW):
            assert (got.used, got.until) == (None, 0)
            assert 0 <= got.wait - (model.until - now) / SECOND <= 1
            continue
        model.climb(now, NEVER if life is None else now + life * SECOND)
        assert (got.used, got.wait) == (model.used, 0)
        assert abs(got.until - model.until) < ABOUT_NOW
        if step == "undone":
            await mine.step_back(key, got)
            model.step_back()


async def test_ten_are_free_then_waits_double(the: The) -> None:
    mine, key = counters(the), "w:key"
    assert [(await mine.climb(key)).used for _ in range(FREE)] == list(range(1, FREE + 1))
    for number, wait in enumerate((1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900)):
        assert await mine.climb(key) == Counted(None, wait)
        the.clock.forward(wait - 1)
        assert await mine.climb(key) == Counted(None, 1)
        the.clock.forward(1)
        assert (await mine.climb(key)).used == FREE + number + 1


async def test_of_many_at_once_only_the_free_ones_pass(the: The) -> None:
    mine = counters(the)
    got = await asyncio.gather(*(mine.climb("w:key") for _ in range(30)))
    assert sorted(one.used for one in got if one.used is not None) == list(range(1, FREE + 1))
    assert {one.wait for one in got if one.used is None} == {1}
    assert await mine.rows() == {"w:key": FREE}


async def test_a_step_back_leaves_the_wait_of_a_later_step(the: The) -> None:
    """Two tries are in flight; the first turns out to be no refusal after the second has set a wait."""
    mine = counters(the)
    for _ in range(FREE - 1):
        await mine.climb("w:key")
    first = await mine.climb("w:key")
    the.clock.forward(1)
    await mine.climb("w:key")
    await mine.step_back("w:key", first)
    assert await mine.climb("w:key") == Counted(None, 2)
    the.clock.forward(2)
    assert (await mine.climb("w:key")).used == FREE + 1


async def test_no_step_back_goes_below_nothing(lite: The) -> None:
    mine = counters(lite)
    step = await mine.climb("w:key")
    for _ in range(2):
        await mine.step_back("w:key", step)
    await mine.step_back("w:other", step)
    assert await mine.rows() == {"w:key": 0}


# -- windows ---------------------------------------------------------------------------------------


class Window:
    """The model: a count and the end of the window, which its first use decides."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.until = limit, 0, 0

    def add(self, now: int, amount: int, seconds: int) -> bool:
        if amount > self.limit:
            return False
        if self.until <= now:
            self.used, self.until = 0, now + seconds * SECOND
        if self.used + amount > self.limit:
            return False
        self.used += amount
        return True


WINDOW_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "take back", "forward"]), st.sampled_from([1, 1, 2, 5, 11])),
    max_size=40,
)


@EXAMPLES
@given(WINDOW_STEPS)
async def test_a_window_is_its_model(lite: The, steps: list[tuple[str, int]]) -> None:
    mine, model, key = counters(lite), Window(10), f"o:{next(NUMBERS)}"
    for step, number in steps:
        if step == "forward":
            lite.clock.forward(number)
            continue
        if step == "take back":
            await mine.take_back(key, number)
            model.used = max(model.used - number, 0)
            continue
        now = lite.clock.now
        got = await mine.window(key, 10, 10, number)
        if model.add(now + ABOUT_NOW, number, 10):
            assert got == Counted(model.used)
        else:
            assert got.used is None
            assert -0.01 <= got.wait - (10 if number > 10 else (model.until - now) / SECOND) <= 1


async def test_a_window_ends_so_long_after_its_first_use(the: The) -> None:
    mine = counters(the)
    assert [(await mine.window("o:key", 3, 600)).used for _ in range(2)] == [1, 2]
    the.clock.forward(599)
    assert (await mine.window("o:key", 3, 600)).used == 3
    assert await mine.window("o:key", 3, 600) == Counted(None, 1)
    assert await mine.used("o:key") == 3
    the.clock.forward(1)
    assert await mine.used("o:key") == 0
    assert await mine.window("o:key", 3, 600) == Counted(1)
    assert await mine.window("o:key", 3, 600, amount=4) == Counted(None, 600)
    assert await mine.rows() == {"o:key": 1}


async def test_of_many_at_once_only_those_in_the_window_pass(the: The) -> None:
    mine = counters(the)
    got = await asyncio.gather(*(mine.window("o:key", 20, 600, 2) for _ in range(30)))
    assert sorted(one.used for one in got if one.used is not None) == list(range(2, 21, 2))
    assert {one.wait for one in got if one.used is None} == {600}


# -- plain counts ----------------------------------------------------------------------------------


async def test_a_count_has_no_limit_and_no_wait(the: The) -> None:
    mine = counters(the)
    assert [await mine.count("n:key", DAY) for _ in range(120)] == list(range(1, 121))
    the.clock.forward(DAY - 1)
    assert await mine.count("n:key", DAY) == 121
    the.clock.forward(1)
    assert await mine.used("n:key") == 0
    assert await mine.count("n:key", DAY) == 1
    assert await mine.count("n:other") == 1
    the.clock.forward(10_000 * DAY)
    assert await mine.count("n:other") == 2


async def test_of_many_at_once_each_counts(the: The) -> None:
    mine = counters(the)
    assert sorted(await asyncio.gather(*(mine.count("n:key") for _ in range(30)))) == list(range(1, 31))


async def test_a_counter_is_never_too_large_for_its_column(the: The) -> None:
    mine = counters(the)
    assert await mine.window("o:key", NO_LIMIT, 600, NO_LIMIT - 1) == Counted(NO_LIMIT - 1)
    assert await mine.count("o:key") == NO_LIMIT
    assert await mine.count("o:key") == NO_LIMIT
    assert (await mine.window("o:key", NO_LIMIT, 600)).used is None


async def test_several_are_read_at_once(lite: The) -> None:
    mine, ctx = counters(lite), ctx_of(lite)
    for key in ("n:a", "n:a", "n:b"):
        await mine.count(key)
    await mine.count("n:over", 1)
    lite.clock.forward(1)
    async with ctx.read() as db:
        assert await throttle.several(ctx, db, ["n:a", "n:b", "n:over", "n:none"]) == {"n:a": 2, "n:b": 1}
        assert await throttle.several(ctx, db, []) == {}
    async with ctx.write() as db:
        await throttle.reset(db, ["n:a", "n:over", "n:none"])
    assert await mine.rows() == {"n:b": 1}


async def test_purging_deletes_what_is_over(lite: The) -> None:
    mine, ctx = counters(lite), ctx_of(lite)
    await mine.count("n:person")
    await mine.climb("w:person")
    await mine.climb("w:a", DAY)
    await mine.count("n:a", DAY + 1)
    await mine.window("o:a", 1, 600)
    lite.clock.forward(DAY - 1)
    await mine.window("o:b", 1, 600)
    await mine.window("o:c", 1, 601)
    lite.clock.forward(1)
    async with ctx.write() as db:
        await throttle.purge(ctx, db)
    assert set(await mine.rows()) == {"n:person", "w:person", "n:a", "o:b", "o:c"}
    lite.clock.forward(600)
    async with ctx.write() as db:
        await throttle.purge(ctx, db)
    assert set(await mine.rows()) == {"n:person", "w:person"}
