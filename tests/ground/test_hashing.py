"""Argon2id against a reference implementation, in both directions; peppers, schemes, threads and deadlines.

Rules for passwords are tested in tests/core, who waits for a thread in test_hashing_queues.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from passgate import hashing
from passgate.errors import Unavailable
from passgate.hashing import Hasher, Queue, Stored
from passgate.settings import HashSettings
from passgate.world import World
from tests.kit import PASSWORD, Clock, Dice

SMALL: dict[str, Any] = {"memory_kib": 64, "passes": 1}
PEPPER, NEWER = "p" * 16 + "q" * 16, "r" * 16 + "s" * 16


@contextmanager
def hasher(**given: Any) -> Iterator[Hasher]:
    made = Hasher(HashSettings(**{**SMALL, **given}), World(Clock(), Dice()))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("parameters", [(64, 1), (64, 2), (128, 3), (19456, 2)])
@pytest.mark.parametrize("password", [PASSWORD, "pässwörd ünd möre", "x" * 256, "🔑 and words"])
async def test_the_reference_verifies_what_we_hash(parameters: tuple[int, int], password: str) -> None:
    memory, passes = parameters
    with hasher(memory_kib=memory, passes=passes) as ours:
        stored = await ours.hash(password, Queue.OWNERS)
    assert stored.phc.startswith(f"$argon2id$v=19$m={memory},t={passes},p=1$")
    assert stored.scheme == f"m={memory},t={passes}"
    theirs = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1)
    assert theirs.verify(stored.phc, password)
    assert not theirs.check_needs_rehash(stored.phc)
    with pytest.raises(VerifyMismatchError):
        theirs.verify(stored.phc, password + "x")


@pytest.mark.parametrize("passes", [1, 3])
async def test_we_verify_what_the_reference_hashed(passes: int) -> None:
    phc = PasswordHasher(time_cost=passes, memory_cost=256, parallelism=1).hash(PASSWORD)
    stored = Stored(phc, f"m=256,t={passes}")
    with hasher() as ours:
        assert await ours.check(PASSWORD, stored, Queue.OWNERS)
        assert not await ours.check(PASSWORD + "x", stored, Queue.OWNERS)
        assert not ours.is_stale(stored)
    with hasher(memory_kib=1024, passes=passes) as stronger:
        assert stronger.is_stale(stored)


async def test_every_hash_has_its_own_salt() -> None:
    with hasher() as ours:
        assert len({(await ours.hash(PASSWORD, Queue.OWNERS)).phc for _ in range(20)}) == 20


async def test_two_spellings_of_one_password() -> None:
    """Passwords are normalised to NFC: a composed é equals a decomposed one."""
    with hasher() as ours:
        stored = await ours.hash("caf\u00e9 au lait, please", Queue.OWNERS)
        assert await ours.check("cafe\u0301 au lait, please", stored, Queue.OWNERS)


# -- peppers ---------------------------------------------------------------------------------------


async def test_without_its_pepper_a_hash_fits_nothing() -> None:
    with hasher(pepper=(PEPPER,)) as peppered, hasher() as plain:
        stored = await peppered.hash(PASSWORD, Queue.OWNERS)
        assert await peppered.check(PASSWORD, stored, Queue.OWNERS)
        assert not await plain.check(PASSWORD, stored, Queue.OWNERS)
        assert not await plain.check(PASSWORD, Stored(stored.phc, plain.scheme), Queue.OWNERS)
    assert ",k=" in stored.scheme
    assert PEPPER not in stored.scheme + stored.phc


async def test_a_pepper_is_rotated() -> None:
    """New hashes use the newest pepper. Older hashes can still be verified and count as stale."""
    with hasher(pepper=(PEPPER,)) as before, hasher(pepper=(NEWER, PEPPER)) as now, hasher(pepper=(NEWER,)) as later:
        old = await before.hash(PASSWORD, Queue.OWNERS)
        assert await now.check(PASSWORD, old, Queue.OWNERS)
        assert now.is_stale(old)
        fresh = await now.hash(PASSWORD, Queue.OWNERS)
        assert (now.is_stale(fresh), fresh.scheme == later.scheme) == (False, True)
        assert await later.check(PASSWORD, fresh, Queue.OWNERS)
        assert not await later.check(PASSWORD, old, Queue.OWNERS)


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        ((64, 1), (64, 1), None),
        ((64, 1), (64, 2), (64, 2)),
        ((64, 1), (128, 1), (128, 1)),
        ((64, 2), (128, 2), (128, 2)),
        ((64, 3), (128, 2), (128, 2)),
        ((128, 1), (64, 3), (64, 3)),
        ((64, 2), (64, 1), None),
        ((128, 1), (64, 1), None),
        ((128, 2), (64, 3), None),
        ((128, 1), (64, 2), None),
    ],
)
@pytest.mark.parametrize("peppers", [((), ()), ((PEPPER,), (PEPPER,)), ((), (PEPPER,)), ((PEPPER,), (NEWER, PEPPER))])
async def test_a_password_is_hashed_anew_only_upwards(
    before: tuple[int, int],
    now: tuple[int, int],
    after: tuple[int, int] | None,
    peppers: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    """A changed pepper is adopted always, with the stronger parameters of both."""
    with (
        hasher(memory_kib=before[0], passes=before[1], pepper=peppers[0]) as then,
        hasher(memory_kib=now[0], passes=now[1], pepper=peppers[1]) as ours,
    ):
        stored = await then.hash(PASSWORD, Queue.OWNERS)
        is_stale = after is not None or peppers[0] != peppers[1]
        assert ours.is_stale(stored) is is_stale
        fresh = await ours.rehash(PASSWORD, stored, Queue.OWNERS)
        memory, passes = after or before
        assert fresh.phc.startswith(f"$argon2id$v=19$m={memory},t={passes},p=1$")
        assert fresh.scheme.partition(",k=")[2] == ours.scheme.partition(",k=")[2]
        assert not ours.is_stale(fresh)
        assert await ours.check(PASSWORD, fresh, Queue.OWNERS)


async def test_a_pepper_may_come_later() -> None:
    with hasher() as before, hasher(pepper=(PEPPER,)) as now:
        assert await now.check(PASSWORD, await before.hash(PASSWORD, Queue.OWNERS), Queue.OWNERS)


# -- equal work for every check --------------------------------------------------------------------


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parameters of each verification by Argon2id, in order."""
    seen: list[str] = []
    real = vars(hashing)["crypto_pwhash_str_verify"]

    def counted(phc: bytes, password: bytes) -> bool:
        seen.append(phc.decode().split("$")[3])
        return bool(real(phc, password))

    monkeypatch.setattr(hashing, "crypto_pwhash_str_verify", counted)
    return seen


async def test_each_check_pays_for_every_scheme_in_use(verified: list[str]) -> None:
    with hasher(passes=2) as older, hasher() as ours:
        old, new = await older.hash(PASSWORD, Queue.OWNERS), await ours.hash(PASSWORD, Queue.OWNERS)
        ours.know({old.scheme})
        result = []
        for stored in (None, old, new):
            for password in (PASSWORD, "another one"):
                verified.clear()
                result.append(await ours.check(password, stored, Queue.OWNERS))
                assert verified == ["m=64,t=1,p=1", "m=64,t=2,p=1"]
    assert result == [False, False, True, False, True, False]


async def test_an_unknown_scheme_costs_its_own_hash(verified: list[str]) -> None:
    """A stored hash of a scheme that is not yet known as in use is still verified correctly."""
    with hasher(passes=2) as older, hasher() as ours:
        assert await ours.check(PASSWORD, await older.hash(PASSWORD, Queue.OWNERS), Queue.OWNERS)
    assert sorted(verified) == ["m=64,t=1,p=1", "m=64,t=2,p=1"]


async def test_a_scheme_whose_pepper_is_gone_is_not_paid_for(verified: list[str]) -> None:
    with hasher() as ours:
        ours.know({"m=64,t=1,k=00000000", "m=64,t=3"})
        assert not await ours.check(PASSWORD, None, Queue.OWNERS)
        assert verified == ["m=64,t=1,p=1", "m=64,t=3,p=1"]
        ours.know(set())
        verified.clear()
        assert not await ours.check(PASSWORD, None, Queue.OWNERS)
        assert verified == ["m=64,t=1,p=1"]


# -- threads and deadlines -------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, list[int]]]:
    """Blocks each hash until the event is set. The list has, for each hash that started, how many were running then."""
    gate, inside, lock = threading.Event(), [0], threading.Lock()
    peak: list[int] = []
    real = vars(hashing)["crypto_pwhash_alg"]

    def waiting(*given: Any) -> bytes:
        with lock:
            inside[0] += 1
            peak.append(inside[0])
        gate.wait(10)
        with lock:
            inside[0] -= 1
        made: bytes = real(*given)
        return made

    monkeypatch.setattr(hashing, "crypto_pwhash_alg", waiting)
    yield gate, peak
    gate.set()


async def test_threads_are_capped(slow: tuple[threading.Event, list[int]]) -> None:
    gate, peak = slow
    with hasher(threads=2) as ours:
        asked = [asyncio.create_task(ours.hash(PASSWORD, Queue.OWNERS)) for _ in range(6)]
        await asyncio.sleep(0.1)
        assert peak == [1, 2]
        gate.set()
        await asyncio.gather(*asked)
    assert max(peak) == 2
    assert len(peak) == 6


async def test_a_wait_that_is_too_long_is_refused(slow: tuple[threading.Event, list[int]]) -> None:
    gate, _ = slow
    with hasher(threads=1, deadline=1) as ours:
        first = asyncio.create_task(ours.hash(PASSWORD, Queue.OWNERS))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as result:
            await ours.hash(PASSWORD, Queue.OWNERS)
        assert (result.value.down, result.value.retry_after) == ("hashing", 1)
        gate.set()
        assert (await first).scheme == ours.scheme
        assert (await ours.hash(PASSWORD, Queue.OWNERS)).scheme == ours.scheme


async def test_who_goes_away_frees_no_slot_before_the_thread_is_done(
    slow: tuple[threading.Event, list[int]],
) -> None:
    gate, peak = slow
    with hasher(threads=1) as ours:
        gone = asyncio.create_task(ours.hash(PASSWORD, Queue.OWNERS))
        await asyncio.sleep(0.05)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        next_one = asyncio.create_task(ours.hash(PASSWORD, Queue.OWNERS))
        await asyncio.sleep(0.05)
        assert peak == [1]
        gate.set()
        await next_one
    assert peak == [1, 1]


@pytest.mark.parametrize(
    ("memory", "passes", "meets"),
    [(46 * 1024, 1, True), (46 * 1024 - 1, 1, False), (19456, 2, True), (19455, 2, False), (12 * 1024, 3, True)],
)
def test_the_floor_is_owasps(memory: int, passes: int, meets: bool) -> None:
    assert HashSettings(memory_kib=memory, passes=passes).meets_owasp is meets
