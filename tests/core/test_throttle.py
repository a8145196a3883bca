"""The throttle: increasing waits and the windows per origin, compared with a small model.

One statement decides between any number of concurrent tries. Races between processes are tested in tests/races; which
budgets an action spends is tested with the action.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passgate.core import throttle
from passgate.core.ctx import Ctx, Origin
from passgate.core.throttle import FREE, LOCKED, WAITS, Spent
from passgate.errors import Throttled
from passgate.store.tables import budget
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.kit import The

EXAMPLES = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
NUMBERS = itertools.count()


async def spent(ctx: Ctx, key: str) -> Spent | int:
    """Spend one try: the receipt, or the seconds to wait."""
    try:
        async with ctx.write() as db:
            return await throttle.spend(ctx, db, "tenant", key)
    except Throttled as late:
        return late.retry_after


STEPS = st.lists(
    st.one_of(st.just("wrong"), st.just("wrong"), st.just("right"), st.just("lost"), st.sampled_from([1, 3, 30, 901])),
    max_size=60,
)


@EXAMPLES
@given(STEPS)
async def test_the_ladder_is_its_model(lite: The, steps: list[str | int]) -> None:
    """The model has two variables, `used` and `until`, changed by wrong and right answers, lost races and time."""
    ctx = Ctx(lite.gate.services, Origin("127.0.0.1", is_loopback=True))
    key = throttle.person_key(f"person{next(NUMBERS)}", "password")
    used, until = 0, 0
    for step in steps:
        if isinstance(step, int):
            lite.clock.forward(step)
            continue
        now = lite.clock.now
        got = await spent(ctx, key)
        if now < until - SECOND // 1000:  # the test clock moves by a microsecond at each reading
            assert isinstance(got, int)
            assert 0 <= got - (until - now) / SECOND <= 1
            continue
        assert isinstance(got, Spent)
        used += 1
        until = lite.clock.now + WAITS[min(used - FREE, len(WAITS) - 1)] * SECOND if used >= FREE else 0
        assert got.is_locked is (used > LOCKED)
        if step == "wrong":
            continue
        async with ctx.write() as db:
            await throttle.refund(ctx, db, got, clear=step == "right")
        used = 0 if step == "right" else used - 1
        until = 0 if used < FREE else until


async def test_ten_are_free_then_waits_double(the: The) -> None:
    ctx = Ctx(the.gate.services, Origin("127.0.0.1", is_loopback=True))
    key = throttle.person_key("somebody", "password")
    for _ in range(FREE):
        assert isinstance(await spent(ctx, key), Spent)
    for wait in (*WAITS, 900, 900):
        assert await spent(ctx, key) == wait
        the.clock.forward(wait - 1)
        assert await spent(ctx, key) == 1
        the.clock.forward(1)
        assert isinstance(await spent(ctx, key), Spent)


async def test_after_a_hundred_it_is_locked_until_recovered(lite: The) -> None:
    ctx = Ctx(lite.gate.services, Origin("127.0.0.1", is_loopback=True))
    key = throttle.person_key("somebody", "password")
    result = []
    for _ in range(LOCKED + 2):
        got = await spent(ctx, key)
        assert isinstance(got, Spent)
        result.append(got.is_locked)
        lite.clock.forward(901)
    assert result == [False] * LOCKED + [True, True]
    async with ctx.write() as db:
        await throttle.clear(ctx, db, key)
    got = await spent(ctx, key)
    assert isinstance(got, Spent)
    assert not got.is_locked


async def test_of_many_at_once_only_the_free_ones_pass(the: The) -> None:
    ctx = Ctx(the.gate.services, Origin("127.0.0.1", is_loopback=True))
    key = throttle.person_key("somebody", "password")
    got = await asyncio.gather(*(spent(ctx, key) for _ in range(30)))
    assert len([one for one in got if isinstance(one, Spent)]) == FREE


async def test_an_origin_has_a_window(lite: The) -> None:
    """An origin may cause a hundred refusals in ten minutes, counted over all people; then a new window starts."""
    ctx = Ctx(lite.gate.services, Origin("198.51.100.7"))
    for number in range(throttle.ORIGIN_REFUSALS):
        assert isinstance(await spent(ctx, f"p:password:{number}"), Spent)
    wait = await spent(ctx, "p:password:one more")
    assert isinstance(wait, int)
    assert 590 <= wait <= 600
    assert isinstance(await spent(Ctx(lite.gate.services, Origin("198.51.100.8")), "p:password:one more"), Spent)
    lite.clock.forward(wait)
    assert isinstance(await spent(ctx, "p:password:another"), Spent)


async def test_right_answers_cost_an_origin_nothing(lite: The) -> None:
    ctx = Ctx(lite.gate.services, Origin("198.51.100.7"))
    for number in range(throttle.ORIGIN_REFUSALS + 20):
        got = await spent(ctx, f"p:password:{number}")
        assert isinstance(got, Spent)
        async with ctx.write() as db:
            await throttle.refund(ctx, db, got, clear=True)


@pytest.mark.parametrize(
    ("ip", "key"),
    [
        ("192.0.2.1", "o:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "o:2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "o:2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "o:192.0.2.1"),
        ("", "o:unknown"),
        ("not an address", "o:unknown"),
    ],
)
async def test_whose_window_it_is(lite: The, ip: str, key: str) -> None:
    assert throttle.origin_key(Ctx(lite.gate.services, Origin(ip))) == key


async def test_the_table_is_no_list_of_addresses(lite: The) -> None:
    ctx = Ctx(lite.gate.services, Origin("127.0.0.1", is_loopback=True))
    keys = {
        throttle.address_key(ctx, tenant, email, factor)
        for tenant in ("a", "b")
        for email in ("x@example.com", "y@example.com")
        for factor in ("password", "email_code")
    }
    assert len(keys) == 8
    assert not [key for key in keys if "example" in key]


async def test_purging_forgets_strangers_and_keeps_people(lite: The) -> None:
    """Budgets of people are never purged, so that slow guessing does not reset the count. Old budgets of unknown
    addresses, handles and mails are."""
    folk = Folk(lite)
    for key in ("p:password:person", "a:password:stranger", "h:handle", "m:mail"):
        await spent(folk.ctx, key)
    lite.clock.forward(25 * 3600)
    await spent(folk.elsewhere, "a:password:fresh")
    async with folk.ctx.write() as db:
        await throttle.purge(folk.ctx, db)
    assert {row["key"] for row in await lite.rows(budget)} == {"p:password:person", "a:password:fresh", "o:203.0.113.7"}
