"""The three queues for threads that hash: owners before strangers before sign-ups, and never all threads for strangers.

What is hashed is tested in test_hashing, whose hash is in which queue in tests/core/test_budgets.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passgate import hashing
from passgate.errors import Unavailable
from passgate.hashing import Hasher, Queue
from passgate.settings import HashSettings
from passgate.world import World
from tests.kit import Clock, Dice

OWNERS, STRANGERS, SIGN_UPS = Queue.OWNERS, Queue.STRANGERS, Queue.SIGN_UPS
BOUNDS = {OWNERS: 2000, STRANGERS: 1000, SIGN_UPS: 1000}
PATIENCE = 600
"""A deadline that no test reaches."""


class Work:
    """Hashes that compute nothing and last until `finish`. `started` lists their texts in the order in which threads
    took them."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.finished: set[str] = set()
        self.is_over = False
        self._changed = threading.Condition()
        self._loop, self._has_started = asyncio.get_running_loop(), asyncio.Event()

    def __call__(self, *given: Any) -> bytes:
        text = next(part for part in given if isinstance(part, bytes) and part.startswith(b"job ")).decode()
        with self._changed:
            self.started.append(text)
            self._loop.call_soon_threadsafe(self._has_started.set)
            assert self._changed.wait_for(lambda: self.is_over or text in self.finished, 30)
        return bytes(32)

    @property
    def busy(self) -> list[str]:
        return [text for text in self.started if text not in self.finished]

    def finish(self, text: str) -> None:
        with self._changed:
            self.finished.add(text)
            self._changed.notify_all()

    def end(self) -> None:
        """All hashes are quick from now on."""
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    async def until(self, count: int) -> None:
        """Wait until so many have started."""
        async with asyncio.timeout(10):
            while len(self.started) < count:
                self._has_started.clear()
                await self._has_started.wait()

    async def settle(self) -> None:
        """Long enough for whatever might start now to have started."""
        await asyncio.sleep(0.05)


@contextmanager
def hasher(threads: int, deadline: int = PATIENCE) -> Iterator[Hasher]:
    given = HashSettings(memory_kib=64, passes=1, threads=threads, deadline=deadline)
    made = Hasher(given, World(Clock(), Dice()))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def work(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Work]:
    made = Work()
    monkeypatch.setattr(hashing, "crypto_pwhash_alg", made)
    monkeypatch.setattr(hashing, "crypto_pwhash_str_verify", made)
    yield made
    made.end()


def ask(ours: Hasher, queue: Queue, number: int = 0) -> asyncio.Task[object]:
    """A check, or the hash of a new password; its text names its queue and number."""
    text = f"job {queue.name} {number}"
    work = ours.hash(text, queue) if queue is SIGN_UPS else ours.check(text, None, queue)
    return asyncio.create_task(work)


async def at_once(asked: asyncio.Task[object]) -> object:
    async with asyncio.timeout(1):
        return await asked


def jobs(*pairs: tuple[Queue, int]) -> list[str]:
    """The texts of these jobs: the queue of each, and how many."""
    counts = {queue: itertools.count() for queue in Queue}
    return [f"job {queue.name} {next(counts[queue])}" for queue, many in pairs for _ in range(many)]


async def test_with_one_thread_owners_are_first_then_strangers_then_sign_ups(work: Work) -> None:
    """Whoever came first: a check waits for at most the hash that runs. Each queue is served in its own order."""
    with hasher(1) as ours:
        asked = [ask(ours, SIGN_UPS, 0)]
        await work.until(1)
        for number in range(1, 4):
            asked += [ask(ours, SIGN_UPS, number), ask(ours, STRANGERS, number - 1), ask(ours, OWNERS, number - 1)]
        await work.settle()
        assert work.started == ["job SIGN_UPS 0"]
        order = ["job SIGN_UPS 0", *jobs((OWNERS, 3), (STRANGERS, 3)), *jobs((SIGN_UPS, 4))[1:]]
        for number, text in enumerate(order[:-1]):
            work.finish(text)
            await work.until(number + 2)
        assert work.started == order
        work.end()
        await asyncio.gather(*asked)


@pytest.mark.parametrize("late", [OWNERS, STRANGERS])
async def test_with_one_thread_a_check_that_comes_late_is_next(work: Work, late: Queue) -> None:
    with hasher(1) as ours:
        asked = [ask(ours, SIGN_UPS, number) for number in range(20)]
        await work.until(1)
        work.finish("job SIGN_UPS 0")
        await work.until(2)
        asked.append(ask(ours, late))
        await work.settle()
        work.finish("job SIGN_UPS 1")
        await work.until(3)
        assert work.started[2] == f"job {late.name} 0"
        work.end()
        await asyncio.gather(*asked)


@pytest.mark.parametrize("threads", [2, 3, 8])
async def test_strangers_and_sign_ups_leave_owners_one_thread(work: Work, threads: int) -> None:
    """Together they never hold the last of two or more threads, also while others wait; owners may hold them all."""
    with hasher(threads) as ours:
        asked = [ask(ours, queue, number) for number in range(threads) for queue in (SIGN_UPS, STRANGERS)]
        await work.settle()
        assert len(work.started) == threads - 1
        asked.append(ask(ours, OWNERS, 0))
        await work.until(threads)
        assert work.busy[-1] == "job OWNERS 0"
        for _ in range(threads):
            work.finish(work.busy[0] if work.busy[0] != "job OWNERS 0" else work.busy[1])
            await work.settle()
            assert len(work.busy) == threads
        work.finish("job OWNERS 0")
        await work.settle()
        assert len(work.busy) == threads - 1, "its thread stays free for the next owner"
        work.end()
        await asyncio.gather(*asked)
        work.is_over, before = False, len(work.started)
        asked = [ask(ours, OWNERS, number) for number in range(100, 100 + threads + 1)]
        await work.until(before + threads)
        await work.settle()
        assert len(work.started) == before + threads
        work.end()
        await asyncio.gather(*asked)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("waiting", [200, 500])
async def test_among_waiting_sign_ups_honest_checks_are_next(
    work: Work, monkeypatch: pytest.MonkeyPatch, waiting: int, threads: int
) -> None:
    """Every check that comes while hundreds of sign-ups wait starts before any further sign-up."""
    with hasher(threads) as ours:
        served, take = list[Queue](), ours._threads.take

        async def recorded(queue: Queue) -> None:
            await take(queue)
            served.append(queue)

        monkeypatch.setattr(ours._threads, "take", recorded)
        busy = max(threads - 1, 1)
        sign_ups = [ask(ours, SIGN_UPS, number) for number in range(busy + waiting)]
        await work.until(busy)
        await work.settle()
        assert not any(one.done() for one in sign_ups)
        checks = [ask(ours, queue, number) for number in range(10) for queue in (STRANGERS, OWNERS)]
        await work.settle()
        work.end()
        assert not any(await asyncio.gather(*checks))
        await asyncio.gather(*sign_ups)
    assert served[:busy] == [SIGN_UPS] * busy
    assert sorted(served[busy : busy + 20]) == [OWNERS] * 10 + [STRANGERS] * 10
    assert served[busy + 20 :] == [SIGN_UPS] * waiting


@pytest.mark.parametrize("queue", Queue)
async def test_a_queue_has_a_bound_of_its_own(work: Work, queue: Queue) -> None:
    """One more than the bound gets 503 at once, in that queue alone; when one is served there is room for one."""
    with hasher(1) as ours:
        asked = [ask(ours, OWNERS, -1)]
        await work.until(1)
        asked += [ask(ours, queue, number) for number in range(BOUNDS[queue])]
        await work.settle()
        with pytest.raises(Unavailable) as full:
            await at_once(ask(ours, queue, BOUNDS[queue]))
        assert (full.value.down, full.value.retry_after) == ("hashing", PATIENCE)
        asked += [ask(ours, other, 5000) for other in Queue if other is not queue]
        await work.settle()
        assert not any(one.done() for one in asked)
        asked.pop().cancel()
        asked.pop().cancel()
        work.finish("job OWNERS -1")
        await work.until(2)
        asked.append(ask(ours, queue, 6000))
        with pytest.raises(Unavailable):
            await at_once(ask(ours, queue, 6001))
        work.end()
        await asyncio.gather(*asked)
        assert f"job {queue.name} {BOUNDS[queue]}" not in work.started


async def test_who_goes_away_makes_room_in_a_full_queue(work: Work) -> None:
    with hasher(1) as ours:
        asked = [ask(ours, SIGN_UPS, number) for number in range(1 + BOUNDS[SIGN_UPS])]
        await work.settle()
        gone = asked.pop(500)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        asked.append(ask(ours, SIGN_UPS, 6000))
        with pytest.raises(Unavailable):
            await at_once(ask(ours, SIGN_UPS, 6001))
        work.end()
        await asyncio.gather(*asked)
        assert "job SIGN_UPS 6000" in work.started


async def test_who_goes_away_while_hashing_occupies_the_thread_until_its_end(work: Work) -> None:
    """Otherwise strangers who come and go would hold the last thread."""
    with hasher(2) as ours:
        gone = ask(ours, STRANGERS, 0)
        await work.until(1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        asked = [ask(ours, STRANGERS, 1), ask(ours, OWNERS, 0)]
        await work.settle()
        assert work.started == ["job STRANGERS 0", "job OWNERS 0"]
        work.finish("job STRANGERS 0")
        await work.until(3)
        work.end()
        await asyncio.gather(*asked)


async def test_what_cannot_be_started_occupies_no_thread(work: Work) -> None:
    with hasher(1) as ours:
        ours.close()
        for queue in Queue:
            with pytest.raises(RuntimeError):
                await at_once(ask(ours, queue))


async def test_who_goes_away_while_waiting_takes_no_thread(work: Work) -> None:
    """Cancelled callers leave their queue: nothing is hashed for them, and the threads serve the others."""
    with hasher(2) as ours:
        running = [ask(ours, OWNERS, -1), ask(ours, OWNERS, -2)]
        await work.until(2)
        asked = {queue: [ask(ours, queue, number) for number in range(6)] for queue in Queue}
        await work.settle()
        for waiting in asked.values():
            for gone in waiting[::2]:
                gone.cancel()
        work.end()
        await asyncio.gather(*running)
        for waiting in asked.values():
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert [isinstance(one, asyncio.CancelledError) for one in outcomes] == [True, False] * 3
        assert len(work.started) == 2 + 9
        assert not [text for text in work.started if text.split()[2] in {"0", "2", "4"}]


@pytest.mark.parametrize("is_served", [True, False])
async def test_who_goes_away_as_their_turn_comes_gives_the_thread_back(is_served: bool) -> None:
    """The cancellation and the turn come in the same round of the event loop, in either order. The next one is
    served."""
    threads = hashing._Threads(1)
    await threads.take(SIGN_UPS)
    waiting, behind = [asyncio.create_task(threads.take(STRANGERS)) for _ in range(2)]
    await asyncio.sleep(0)
    if is_served:
        threads.give_back(SIGN_UPS)
        waiting.cancel()
    else:
        waiting.cancel()
        threads.give_back(SIGN_UPS)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(1):
        await behind
        threads.give_back(STRANGERS)
        await threads.take(SIGN_UPS)


async def test_after_the_deadline_nobody_waits_any_more(work: Work) -> None:
    with hasher(1, deadline=1) as ours:
        first = ask(ours, SIGN_UPS, 0)
        await work.until(1)
        late = await asyncio.gather(*(ask(ours, queue, 1) for queue in Queue), return_exceptions=True)
        assert [one.down for one in late if isinstance(one, Unavailable)] == ["hashing"] * 3
        work.finish("job SIGN_UPS 0")
        await first
        again = ask(ours, SIGN_UPS, 2)
        await work.until(2)
        assert work.started == ["job SIGN_UPS 0", "job SIGN_UPS 2"]
        work.end()
        await again


class Line:
    """The model of the threads: who runs, and who waits in each queue."""

    def __init__(self, number: int) -> None:
        self.number, self.running, self.waiting = number, dict[int, Queue](), {queue: list[int]() for queue in Queue}

    def serve(self) -> None:
        for queue in Queue:
            while self.waiting[queue] and self.has_room(queue):
                self.running[self.waiting[queue].pop(0)] = queue

    def has_room(self, queue: Queue) -> bool:
        others = [one for one in self.running.values() if one is not OWNERS]
        is_open = queue is OWNERS or self.number == 1 or len(others) < self.number - 1
        return is_open and len(self.running) < self.number

    def leave(self, number: int) -> None:
        self.running.pop(number, None)
        for waiting in self.waiting.values():
            if number in waiting:
                waiting.remove(number)


STEPS = st.lists(
    st.one_of(st.sampled_from(list(Queue)), st.tuples(st.sampled_from(["done", "gone"]), st.integers(0, 5))),
    max_size=60,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from([1, 2, 3]), STEPS)
async def test_the_threads_are_their_model(number: int, steps: list[Queue | tuple[str, int]]) -> None:
    """In any order of arrivals, finished hashes and cancelled waits, the model's callers run, and at the end nobody."""
    threads, model, callers = hashing._Threads(number), Line(number), list[asyncio.Task[None]]()

    def leave(one: int) -> None:
        if one in model.running:
            threads.give_back(model.running[one])
        else:
            callers[one].cancel()
        model.leave(one)

    for step in steps:
        waiting = [one for queue in Queue for one in model.waiting[queue]]
        if isinstance(step, Queue):
            model.waiting[step].append(len(callers))
            callers.append(asyncio.create_task(threads.take(step)))
        elif found := list(model.running) if step[0] == "done" else waiting:
            leave(found[step[1] % len(found)])
        model.serve()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [one for one in waiting_or_running(model) if callers[one].done()] == sorted(model.running)
    while model.running or any(model.waiting.values()):
        leave(next(iter(waiting_or_running(model))))
        model.serve()
        await asyncio.sleep(0)
    for queue in Queue:
        async with asyncio.timeout(1):
            await threads.take(queue)
        threads.give_back(queue)


def waiting_or_running(model: Line) -> list[int]:
    return sorted([*model.running, *(one for waiting in model.waiting.values() for one in waiting)])
