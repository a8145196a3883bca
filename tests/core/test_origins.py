"""What an origin, a known browser and an address may cause: refusals, starts, unfinished sign-ins, mails.

The shares and waits of an authenticator are tested in test_budgets.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from passgate.core import budgets
from passgate.core.budgets import STEP_UP, Guess, Kind, Target
from passgate.core.ctx import Origin
from passgate.core.events import Event
from passgate.settings import HashSettings
from passgate.store.tables import audit_event
from tests import kit
from tests.core.desk import ANNA, HOUR, NOBODY, NUMBERS, STRANGER, Desk
from tests.kit import The

MAILED = Target(Guess.MAILED, "tenant", "recovery", "anna's id", "anna@example.com")


@pytest.fixture
def desk(lite: The) -> Desk:
    return Desk(lite)


# -- origins ---------------------------------------------------------------------------------------


async def test_only_strangers_spend_their_origin(desk: Desk) -> None:
    await desk.fill(f"o:refusals:{desk.origin.ip}", 100, 100, 600)
    for target in (ANNA, NOBODY, MAILED, replace(ANNA, guess=Guess.NOT)):
        spent = await desk.spend(target, STRANGER)
        assert (spent.wait, spent.is_closed, spent.counts) == (600, False, ())
    assert await desk.used("n:") == await desk.used("w:") == await desk.used("d:") == []
    for kind in (Kind.KNOWN, Kind.STEP_UP):
        assert (await desk.spend(ANNA, desk.who(kind))).wait == 0
    assert (await desk.at("192.0.2.1").spend(ANNA, STRANGER)).wait == 0
    desk.the.clock.forward(600)
    assert (await desk.spend(ANNA, STRANGER)).wait == 0


async def test_a_try_that_comes_too_soon_costs_one_of_the_origins_hundred(desk: Desk) -> None:
    waits = [(await desk.spend(ANNA, STRANGER)).wait for _ in range(101)]
    assert waits == [0] * 10 + [1] * 90 + [600]
    assert await desk.used("o:refusals:") == [100]
    assert await desk.used("n:") == await desk.used("w:") == [10]
    assert (await desk.spend(NOBODY, STRANGER)).wait == 600


async def test_right_answers_cost_an_origin_nothing(desk: Desk) -> None:
    for _ in range(120):
        spent = await desk.spend(ANNA, STRANGER)
        assert spent.wait == 0
        await desk.right(spent)
    assert set((await desk.rows()).values()) == {0}


@pytest.mark.parametrize(
    ("ip", "networks"),
    [
        ("192.0.2.1", (("192.0.2.1", 1),)),
        ("2001:db8:1:2:3:4:5:6", (("2001:db8:1:2::/64", 1), ("2001:db8:1::/48", 10))),
        ("2001:db8:1:2::", (("2001:db8:1:2::/64", 1), ("2001:db8:1::/48", 10))),
        ("::ffff:192.0.2.1", (("192.0.2.1", 1),)),
        ("", (("unknown", 1),)),
        ("not an address", (("unknown", 1),)),
    ],
)
def test_whose_window_it_is(ip: str, networks: tuple[tuple[str, int], ...]) -> None:
    assert budgets.networks(ip) == networks


async def test_a_48_has_ten_times_the_limit_of_a_64(desk: Desk) -> None:
    """Ten networks of a /48 that use up their own limit use up that of the /48 too, and another /48 does not wait."""
    for number in range(1, 11):
        of_a_64 = desk.at(f"2001:db8:1:{number:x}::1")
        await of_a_64.fill(f"o:refusals:2001:db8:1:{number:x}::/64", 99, 100, 600)
        if number == 1:
            await of_a_64.fill("o:refusals:2001:db8:1::/48", 990, 1000, 600)
        spent = await of_a_64.spend(NOBODY, STRANGER)
        assert (spent.wait, len(spent.windows)) == (0, 2)
        assert (await of_a_64.spend(ANNA, STRANGER)).wait == 600
    assert (await desk.rows())["o:refusals:2001:db8:1::/48"] == 1000
    assert (await desk.at("2001:db8:1:b::1").spend(ANNA, STRANGER)).wait == 600
    assert (await desk.at("2001:db8:2::1").spend(ANNA, STRANGER)).wait == 0


LIMITS = [("starts", 300, 600), ("rows", 200, HOUR), ("bytes", 1_000_000, HOUR), ("mails", 30, HOUR)]


@pytest.mark.parametrize(("what", "limit", "seconds"), LIMITS)
@pytest.mark.parametrize(
    ("ip", "network", "factor"), [("192.0.2.1", "192.0.2.1", 1), ("2001:db8:1:2::1", "2001:db8:1::/48", 10)]
)
async def test_what_an_origin_may_cause(
    desk: Desk, what: str, limit: int, seconds: int, ip: str, network: str, factor: int
) -> None:
    """One more than the limit is refused to strangers until the window ends; owners are not counted."""
    there, key = desk.at(ip), f"o:{what}:{network}"

    async def try_(kind: Kind) -> bool:
        if what == "mails":
            return await there.mail(f"{next(NUMBERS)}@example.com", desk.who(kind), is_seen=False)
        if what == "starts":
            return await there.start(desk.who(kind)) == 0
        return isinstance(await there.room(desk.who(kind), size=1), tuple)

    await there.fill(key, limit * factor - 1, limit * factor, seconds)
    assert [await try_(Kind.STRANGER) for _ in range(2)] == [True, False]
    assert (await desk.rows())[key] == limit * factor
    assert await try_(Kind.KNOWN)
    assert await try_(Kind.STEP_UP)
    assert (await desk.rows())[key] == limit * factor
    desk.the.clock.forward(seconds - 1)
    assert not await try_(Kind.STRANGER)
    desk.the.clock.forward(1)
    assert await try_(Kind.STRANGER)


async def test_who_is_here_may_do_a_hundred_times_as_much(desk: Desk) -> None:
    """Loopback in development is everybody's one machine: but not another machine that a proxy on it reports."""
    here = Desk(desk.the, Origin("127.0.0.1", is_loopback=True))
    for what, limit, seconds in LIMITS:
        await here.fill(f"o:{what}:127.0.0.1", limit, limit, seconds)
    assert await here.start(STRANGER) == 0
    assert await here.mail("a@example.com", STRANGER, is_seen=False)
    assert isinstance(await here.room(STRANGER), tuple)
    proxied = Desk(desk.the, Origin("127.0.0.1"))
    assert await proxied.start(STRANGER) == 600
    also = Desk(desk.the, Origin("127.0.0.2", is_loopback=True))
    await also.fill("o:starts:127.0.0.2", 29_999, 30_000, 600)
    assert [await also.start(STRANGER) for _ in range(2)] == [0, 600]


async def test_in_production_loopback_is_an_origin_like_another(tmp_path: Path) -> None:
    settings = kit.settings_for(
        tmp_path,
        environment="production",
        hash=HashSettings(),
        public_url="https://id.passgate.test",
        secrets=("r4" * 8 + "Kq7Wz0" * 6,),
        mail={"url": "smtp://127.0.0.1:1"},
        metrics={"token": "m3trics-t0ken-of-the-tests"},
    )
    async with kit.running(settings) as the:
        here = Desk(the, Origin("127.0.0.1", is_loopback=True))
        assert not here.ctx.settings.is_development
        await here.fill("o:starts:127.0.0.1", 300, 300, 600)
        assert await here.start(STRANGER) == 600


async def test_the_settings_may_allow_less(tmp_path: Path) -> None:
    limit = {"starts": 3, "stranger_mails": 2}
    async with kit.running(kit.settings_for(tmp_path, limit=limit, mail={"per_hour": 1})) as the:
        desk = Desk(the)
        assert [await desk.start(STRANGER) for _ in range(4)] == [0, 0, 0, 600]
        sent = [await desk.mail(f"{number}@example.com", STRANGER, is_seen=False) for number in range(3)]
        assert sent == [True, True, False]
        assert [await desk.mail("a@example.com", STRANGER, is_seen=True) for _ in range(2)] == [True, False]


# -- starts and unfinished sign-ins ----------------------------------------------------------------


async def test_a_persons_known_browsers_have_starts_of_their_own(desk: Desk) -> None:
    """Sixty in ten minutes, however often they sign in anew; after that they spend their origin's, like strangers.
    Another person has their own."""
    assert [await desk.start(desk.browser()) for _ in range(60)] == [0] * 60
    assert await desk.used("o:starts:") == []
    await desk.fill(f"o:starts:{desk.origin.ip}", 299, 300, 600)
    assert [await desk.start(desk.browser()) for _ in range(2)] == [0, 600]
    assert await desk.start(desk.browser("bert's id")) == 0
    desk.the.clock.forward(600)
    assert await desk.start(desk.browser()) == 0
    assert await desk.used("o:starts:") == [300]


async def test_what_is_finished_waits_for_nobody(desk: Desk) -> None:
    rows = [await desk.room(STRANGER) for _ in range(200)]
    assert await desk.room(STRANGER) == HOUR
    [*_, last] = rows
    assert isinstance(last, tuple)
    async with desk.ctx.write() as db:
        await budgets.finished(db, last)
    assert await desk.room(STRANGER) == last
    assert await desk.room(STRANGER) == HOUR


async def test_large_sign_ins_take_more_room(desk: Desk) -> None:
    """A megabyte in an hour. What is refused takes no room, so that a smaller one still fits."""
    for _ in range(15):
        assert isinstance(await desk.room(STRANGER, size=64_000), tuple)
    assert await desk.room(STRANGER, size=64_000) == HOUR
    assert await desk.used("o:rows:") == [15]
    assert isinstance(await desk.room(STRANGER, size=40_000), tuple)
    assert await desk.room(STRANGER, size=1) == HOUR
    assert await desk.at("192.0.2.1").room(STRANGER, size=1_000_001) == HOUR
    assert await desk.room(STEP_UP, size=2_000_000) == ()


# -- mails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_seen", [True, False])
async def test_an_address_gets_five_mails_an_hour_from_each_kind(desk: Desk, is_seen: bool) -> None:
    """Strangers share theirs, from wherever they ask."""
    for kind in Kind:
        sent = [await desk.at(f"192.0.2.{n}").mail("a@example.com", desk.who(kind), is_seen=is_seen) for n in range(6)]
        assert sent == [True] * 5 + [False]
    assert await desk.mail("b@example.com", STRANGER, is_seen=is_seen)
    desk.the.clock.forward(HOUR)
    assert await desk.mail("a@example.com", STRANGER, is_seen=is_seen)


async def test_mails_to_addresses_that_were_seen_cost_the_origin_nothing(desk: Desk) -> None:
    """They are counted like those to others, so that both are the same work, but under a name without a limit."""
    assert all([await desk.mail(f"{number}@example.com", STRANGER, is_seen=True) for number in range(40)])
    assert (await desk.used("o:seen:"), await desk.used("o:mails:")) == ([40], [])
    assert [await desk.mail(f"{n}@example.org", STRANGER, is_seen=False) for n in range(31)] == [True] * 30 + [False]
    assert await desk.mail("a@example.com", STRANGER, is_seen=True)


async def test_a_session_may_have_five_mails_sent_to_addresses_that_are_not_its_own(desk: Desk) -> None:
    async def try_(person_id: str, email: str) -> bool:
        async with desk.ctx.write() as db:
            return await budgets.mail_of_session(desk.ctx, db, "tenant", person_id, email)

    assert [await try_("anna's id", f"{number}@example.com") for number in range(6)] == [True] * 5 + [False]
    assert await try_("bert's id", "0@example.com")
    assert [await try_(f"{number}'s id", "0@example.com") for number in range(4)] == [True] * 3 + [False]
    desk.the.clock.forward(HOUR)
    assert await try_("anna's id", "0@example.com")


# -- mails that are held back ----------------------------------------------------------------------


async def withheld(desk: Desk) -> list[tuple[str | None, dict[str, object]]]:
    """Whose each row is, and its facts but the principal, which is always a stranger here."""
    rows = [row for row in await desk.the.rows(audit_event) if row["event"] == Event.MAIL_WITHHELD]
    facts = [json.loads(row["facts"]) for row in rows]
    assert {one.pop("principal") for one in facts} <= {"stranger"}
    return [(row["subject_id"], one) for row, one in zip(rows, facts, strict=True)]


@pytest.mark.parametrize("person_id", ["anna's id", None])
async def test_a_mail_not_sent_is_one_row_an_hour(desk: Desk, person_id: str | None) -> None:
    """However many are asked for, by whom, from wherever; alike for an address that nobody has."""

    async def ask(times: int, kind: Kind = Kind.STRANGER) -> None:
        for number in range(times):
            here = desk.at(f"192.0.2.{number}")
            async with here.ctx.write() as db:
                seen = person_id is not None
                tries = desk.who(kind)
                await budgets.mail(here.ctx, db, "tenant", "anna@example.com", tries, is_seen=seen, person_id=person_id)

    await ask(5)
    assert await withheld(desk) == []
    await ask(20)
    await ask(20, Kind.KNOWN)
    first = (person_id, {"limit": "address", "kind": "stranger"})
    assert await withheld(desk) == [first]
    desk.the.clock.forward(HOUR)
    await ask(20, Kind.STEP_UP)
    assert await withheld(desk) == [first, (person_id, {"limit": "address", "kind": "step_up"})]
    assert "anna@example.com" not in str(await desk.the.everything())


async def test_mails_that_a_network_may_not_cause_are_one_row_of_the_network(desk: Desk) -> None:
    """Addresses that somebody makes up cannot grow the trail. A network that pays a lot has many /64s."""
    for number in range(60):
        await desk.mail(f"{number}@example.org", STRANGER, is_seen=False)
    assert await withheld(desk) == [(None, {"limit": "origin", "kind": "stranger"})]
    for size in range(11):
        there = desk.at(f"2001:db8:1:{size:x}::1")
        for number in range(31):
            await there.mail(f"{size}.{number}@example.org", STRANGER, is_seen=False)
    assert len(await withheld(desk)) == 2


async def test_what_a_session_may_not_have_sent_is_one_row_of_its_person(desk: Desk) -> None:
    for number in range(12):
        async with desk.ctx.write() as db:
            await budgets.mail_of_session(desk.ctx, db, "tenant", "anna's id", f"{number}@example.com")
    assert await withheld(desk) == [("anna's id", {"limit": "person", "kind": "step_up"})]
