"""Identifiers are ordered, digits are uniformly distributed, and instants are formatted in UTC.

The real clock and the real randomness are used here once, and in no other test of rules.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from passgate.world import SECOND, World, iso
from tests.kit import Clock, Dice

INSTANT = st.integers(0, 2**47 * 1000)


@given(INSTANT, st.binary(min_size=8, max_size=8))
def test_an_id_is_a_uuid_version_7(now: int, dice: bytes) -> None:
    text = World(lambda: now, lambda _count: dice).uuid()
    made = uuid.UUID(text)
    assert (str(made), made.version, made.variant) == (text, 7, uuid.RFC_4122)
    assert made.int >> 80 == now // 1000
    # RFC 9562 method 3: the twelve bits after the version are the fraction of the millisecond.
    fraction = made.int >> 64 & 0xFFF
    assert fraction == now % 1000 * 4096 // 1000
    assert made.int & (2**62 - 1) == int.from_bytes(dice) >> 2


@given(INSTANT, INSTANT, st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_ids_sort_by_their_instant(one: int, other: int, dice: bytes, more_dice: bytes) -> None:
    first = World(lambda: one, lambda _count: dice).uuid()
    second = World(lambda: other, lambda _count: more_dice).uuid()
    if one != other:
        assert (first < second) is (one < other)


def test_the_real_ones_are_distinct_and_now() -> None:
    world = World.real()
    made = [world.uuid() for _ in range(2000)]
    assert len(set(made)) == 2000
    assert abs(world.now() - time.time() * SECOND) < 5 * SECOND
    assert len(world.bytes(32)) == 32
    assert world.bytes(32) != world.bytes(32)


def test_digits_are_uniform() -> None:
    """Chi-square of each of the eight places of 20,000 codes. With 9 degrees of freedom, 27.9 is exceeded with a
    probability of 0.1 %; the limit is higher because there are eight places."""
    world = World(Clock(), Dice())
    codes = [world.digits(8) for _ in range(20_000)]
    assert all(len(code) == 8 and code.isascii() and code.isdigit() for code in codes)
    for place in range(8):
        counted = Counter(code[place] for code in codes)
        assert sum((counted[digit] - 2000) ** 2 / 2000 for digit in "0123456789") < 33


def test_digits_begin_with_zeros_too() -> None:
    assert World(lambda: 0, bytes).digits(8) == "00000000"


@given(st.integers(1, 40))
def test_texts_are_safe_in_a_url(count: int) -> None:
    text = World(Clock(), Dice()).text(count)
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(text) == -(-count * 4 // 3)


def test_instants_are_written_in_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_800_000_000_123_999) == "2027-01-15T08:00:00.123Z"
