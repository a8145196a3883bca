"""Who pays what for an answer: the shares and waits of strangers, known browsers and step-ups, what right answers give
back, mailed codes, and how an authenticator is opened again.

How a counter works is tested in test_throttle, what an attempt does with a budget in test_proof, origins, starts and
mails in test_origins.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace

import pytest

from passgate.core import account, budgets, enrolment, installation, known, sealed, signin, starts, throttle
from passgate.core.budgets import STEP_UP, Guess, Kind, Target
from passgate.core.ctx import Ctx, Origin
from passgate.core.events import Event
from passgate.errors import NotFound, ProofRefused, StepUpNeeded
from passgate.hashing import Queue
from passgate.store.tables import budget
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.core.desk import ANNA, DAY, HOUR, NOBODY, STRANGER, Desk
from tests.kit import OTHER_PASSWORD, PASSWORD, The

SHARES = {Kind.STRANGER: 70, Kind.KNOWN: 20, Kind.STEP_UP: 10}
MAILED = Target(Guess.MAILED, "tenant", "recovery", "anna's id", "anna@example.com")
FACTORS = ("password", "totp", "recovery_code")


@pytest.fixture
def desk(lite: The) -> Desk:
    return Desk(lite)


# -- shares ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
async def test_a_share_that_is_used_up_closes_for_its_kind_alone(desk: Desk, kind: Kind) -> None:
    """The last refusal of the share says so, and later ones are compared with nothing."""
    spent = await desk.refuse(ANNA, kind, SHARES[kind] + 2)
    assert [one.is_closed for one in spent] == [False] * SHARES[kind] + [True] * 2
    assert [one.is_last for one in spent] == [False] * (SHARES[kind] - 1) + [True] + [False] * 2
    assert await desk.closed(ANNA) == {each: each is kind for each in Kind}
    desk.the.clock.forward(1000 * DAY)
    assert await desk.closed(ANNA) == {each: each is kind for each in Kind}


async def test_after_a_hundred_refusals_it_is_closed_for_everybody(desk: Desk) -> None:
    for kind, share in SHARES.items():
        await desk.refuse(ANNA, kind, share)
    assert await desk.closed(ANNA) == dict.fromkeys(Kind, True)
    assert sum(await desk.used("n:")) == 100
    other = replace(ANNA, name="totp")
    assert await desk.closed(other) == dict.fromkeys(Kind, False)


@pytest.mark.parametrize("kind", Kind)
async def test_each_kind_has_its_own_ladder(desk: Desk, kind: Kind) -> None:
    """Ten are free for each kind, then its waits begin, and nobody else waits. Another address waits for nothing."""
    for wait in (0,) * 10 + (1, 1):
        assert (await desk.spend(ANNA, desk.who(kind))).wait == wait
    waits = {each: (await desk.spend(ANNA, desk.who(each))).wait for each in Kind}
    assert waits == {each: int(each is kind) for each in Kind}
    assert (await desk.spend(NOBODY, STRANGER)).wait == 0
    desk.the.clock.forward(1)
    assert [(await desk.spend(ANNA, desk.who(kind))).wait for _ in range(2)] == [0, 2]


@pytest.mark.parametrize("kind", Kind)
async def test_a_right_answer_ends_the_refusals_of_all_three(desk: Desk, kind: Kind) -> None:
    other = replace(ANNA, name="totp")
    for each, share in SHARES.items():
        await desk.refuse(ANNA, each, share - 1)
        await desk.refuse(other, each, 1)
    await desk.right(await desk.spend(ANNA, desk.who(kind)))
    left = {key for key in await desk.rows() if key.startswith("n:")}
    assert left == {f"n:{each}:totp:anna's id" for each in Kind}
    assert not any(spent.is_closed for spent in await desk.refuse(ANNA, kind, SHARES[kind]))


@pytest.mark.parametrize("target", [ANNA, MAILED, replace(ANNA, guess=Guess.SET_UP), replace(ANNA, guess=Guess.NOT)])
@pytest.mark.parametrize("kind", Kind)
async def test_what_is_undone_leaves_no_trace(desk: Desk, target: Target, kind: Kind) -> None:
    """An attempt that was neither refused nor right gives back exactly what it cost, beside those of others."""
    tries = desk.who(kind)
    for _ in range(3):
        await desk.spend(target, tries)
    before = await desk.the.rows(budget)
    spent = await desk.spend(target, tries)
    assert (await desk.the.rows(budget) == before) is (target.guess is Guess.NOT and kind is not Kind.STRANGER)
    await desk.undo(spent)
    assert await desk.the.rows(budget) == before


async def test_what_is_undone_takes_its_wait_with_it(desk: Desk) -> None:
    for kind in Kind:
        for _ in range(9):
            await desk.spend(ANNA, desk.who(kind))
        await desk.undo(await desk.spend(ANNA, desk.who(kind)))
        assert [(await desk.spend(ANNA, desk.who(kind))).wait for _ in range(2)] == [0, 1]


# -- waits of strangers ----------------------------------------------------------------------------


async def test_no_right_answer_ends_the_waits_of_strangers(desk: Desk) -> None:
    """Their waits end by time alone. A stranger's right answer takes back its own step, those of others change
    nothing."""
    await desk.refuse(ANNA, Kind.STRANGER, 12)
    assert await desk.used("w:") == [12]
    for kind in Kind:
        await desk.right(await desk.spend(ANNA, desk.who(kind)))
        assert await desk.used("w:") == [12]
    assert [(await desk.spend(ANNA, STRANGER)).wait for _ in range(2)] == [0, 8]
    desk.the.clock.forward(DAY)
    assert [(await desk.spend(ANNA, STRANGER)).wait for _ in range(11)] == [0] * 10 + [1]


async def test_the_waits_are_those_of_the_address_known_or_not(desk: Desk) -> None:
    """For three days, an address whose owner signs in now and then, from known browsers and from others, has the waits
    of an address that nobody has; and the rows of both have the same count and the same end."""
    waits: dict[Target, list[int]] = {ANNA: [], NOBODY: []}
    signed_in = set()
    for turn in range(150):
        for target, found in waits.items():
            found.append((await desk.at(f"192.0.2.{turn}").spend(target, STRANGER)).wait)
        if turn % 5 == 0:
            for kind in (Kind.KNOWN, Kind.STRANGER):
                spent = await desk.spend(ANNA, desk.who(kind))
                if not spent.wait:
                    await desk.right(spent)
                    signed_in.add(kind)
        desk.the.clock.forward((1, 3, 20, 100, 900, 4000)[turn % 6])
    assert waits[ANNA] == waits[NOBODY]
    assert (len(set(waits[ANNA])) > 9, signed_in) == (True, {Kind.KNOWN, Kind.STRANGER})
    ladders = [row for row in await desk.the.rows(budget) if row["key"].startswith("w:password:")]
    assert [(row["used"], row["expires_at"] // SECOND) for row in ladders[:1]] * 2 == [
        (row["used"], row["expires_at"] // SECOND) for row in ladders
    ]


async def test_the_row_of_a_person_has_no_end_and_that_of_an_unknown_address_has(desk: Desk) -> None:
    await desk.spend(ANNA, STRANGER)
    await desk.spend(NOBODY, STRANGER)
    desk.the.clock.forward(DAY)
    async with desk.ctx.write() as db:
        await throttle.purge(desk.ctx, db)
    assert await desk.rows() == {"n:stranger:password:anna's id": 1}


async def test_where_no_address_was_typed_the_waits_are_the_persons(desk: Desk) -> None:
    await desk.spend(replace(ANNA, identifier_key=""), STRANGER)
    assert await desk.used("w:password:anna's id") == [1]
    await desk.spend(ANNA, STRANGER)
    assert await desk.used("w:password:") == [1, 1]
    assert await desk.used("n:stranger:password:anna's id") == [2]


# -- codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [MAILED, replace(MAILED, person_id=None)], ids=["known", "unknown"])
@pytest.mark.parametrize("kind", Kind)
async def test_fifty_codes_of_a_purpose_are_refused_in_a_day(desk: Desk, kind: Kind, target: Target) -> None:
    """There are no waits. The fifty-first is closed and counts no more, whoever tries, until a day after the first."""
    tries = desk.who(kind)
    spent = [await desk.spend(target, tries) for _ in range(52)]
    assert {one.wait for one in spent} == {0}
    assert [one.is_closed for one in spent] == [False] * 50 + [True] * 2
    for closed in spent[-2:]:
        await desk.undo(closed)
    assert await desk.used("d:recovery:") == [50]
    async with desk.ctx.read() as db:
        assert not await budgets.has_codes_left(desk.ctx, db, target)
        assert await budgets.has_codes_left(desk.ctx, db, replace(target, name="signin"))
    for other in (
        replace(target, name="signin"),
        replace(target, identifier_key="other"),
        replace(target, tenant_id="x"),
    ):
        assert not (await desk.spend(other, tries)).is_closed
    desk.the.clock.forward(DAY)
    assert not (await desk.spend(target, tries)).is_closed


async def test_right_codes_are_not_counted(desk: Desk) -> None:
    for _ in range(60):
        spent = await desk.spend(MAILED, STEP_UP)
        assert not spent.is_closed
        await desk.right(spent)
    async with desk.ctx.read() as db:
        assert await budgets.has_codes_left(desk.ctx, db, MAILED)


async def test_a_first_answer_is_never_closed_and_costs_the_authenticator_nothing(desk: Desk) -> None:
    spent = await desk.refuse(replace(ANNA, guess=Guess.SET_UP), Kind.STEP_UP, 30)
    assert not any(one.is_closed for one in spent)
    assert await desk.used("n:") == []
    assert (await desk.spend(replace(ANNA, guess=Guess.SET_UP), STEP_UP)).wait == 0
    assert (await desk.spend(replace(ANNA, guess=Guess.SET_UP), STEP_UP)).wait == 900


# -- known browsers --------------------------------------------------------------------------------


async def test_who_tries(desk: Desk) -> None:
    """Only the person of an entry is known in that browser. A step-up needs no cookie, and no cookie makes one."""
    folk = Folk(desk.the)
    anna, bert = await folk.create("anna@example.com"), await folk.create("bert@example.com")
    async with desk.ctx.write() as db:
        cookie = await known.renewed(desk.ctx, db, anna.tenant_id, anna.person_id)
    browser, stranger = Ctx(desk.the.gate.services, Origin("192.0.2.1", known=cookie)), desk.ctx

    async def kind(ctx: Ctx, person: str | None = None, email: str | None = None, at: str = anna.tenant_id) -> Kind:
        async with ctx.read() as db:
            found = await budgets.who(ctx, db, at, is_step_up=False, person_id=person, identifier_key=email)
        assert (found.entry is not None) is (found.kind is Kind.KNOWN)
        assert found.queue is (Queue.STRANGERS if found.kind is Kind.STRANGER else Queue.OWNERS)
        return found.kind

    assert await kind(browser, anna.person_id) == await kind(browser, email="anna@example.com") == Kind.KNOWN
    assert await kind(browser) == Kind.KNOWN
    assert await kind(browser, bert.person_id) == await kind(browser, email="bert@example.com") == Kind.STRANGER
    assert await kind(browser, email="nobody@example.com") == await kind(browser, at="other") == Kind.STRANGER
    assert await kind(stranger, anna.person_id) == await kind(stranger) == Kind.STRANGER
    async with stranger.read() as db:
        assert await budgets.who(stranger, db, anna.tenant_id, is_step_up=True) == STEP_UP
    assert STEP_UP.queue is Queue.OWNERS


async def test_after_five_refusals_a_browser_is_a_strangers(desk: Desk) -> None:
    """Right answers are not counted, and refusals of two factors add up."""
    folk = Folk(desk.the)
    anna = await folk.create("anna@example.com")
    async with desk.ctx.write() as db:
        cookie = await known.renewed(desk.ctx, db, anna.tenant_id, anna.person_id)
    ctx, targets = (
        Ctx(desk.the.gate.services, Origin("192.0.2.1", known=cookie)),
        itertools.cycle(
            [replace(ANNA, person_id=anna.person_id), replace(ANNA, person_id=anna.person_id, name="totp")]
        ),
    )
    for is_right in (False, False, True, True, True, False, False, True, False):
        async with ctx.write() as db:
            tries = await budgets.who(ctx, db, anna.tenant_id, is_step_up=False, person_id=anna.person_id)
            assert tries.kind is Kind.KNOWN
            spent = await budgets.spend(ctx, db, next(targets), tries)
            if is_right:
                await budgets.right(db, spent)
    desk.the.clock.forward(known.LIFE - HOUR)
    async with ctx.read() as db:
        tries = await budgets.who(ctx, db, anna.tenant_id, is_step_up=False, person_id=anna.person_id)
    assert tries.kind is Kind.STRANGER


# -- open again ------------------------------------------------------------------------------------


async def test_what_is_reopened_begins_anew_for_everybody(desk: Desk) -> None:
    """And for that factor of that person alone. The waits of strangers stay as they are."""
    other, bert = replace(ANNA, name="totp"), replace(ANNA, person_id="bert's id")
    for kind, share in SHARES.items():
        for target in (ANNA, other, bert):
            await desk.refuse(target, kind, share)
    waits = await desk.used("w:")
    async with desk.ctx.write() as db:
        assert await budgets.locked(desk.ctx, db, "anna's id", FACTORS) == {"password", "totp"}
        await budgets.reopen(db, "anna's id", "password")
        assert await budgets.locked(desk.ctx, db, "anna's id", FACTORS) == {"totp"}
    assert await desk.used("w:") == waits
    for target, is_closed in ((ANNA, False), (other, True), (bert, True)):
        assert await desk.closed(target) == dict.fromkeys(Kind, is_closed)


@pytest.mark.parametrize("kind", Kind)
async def test_it_is_locked_as_soon_as_it_is_closed_for_somebody(desk: Desk, kind: Kind) -> None:
    await desk.refuse(ANNA, kind, SHARES[kind] - 1)
    async with desk.ctx.read() as db:
        assert await budgets.locked(desk.ctx, db, "anna's id", FACTORS) == set()
    await desk.refuse(ANNA, kind, 1)
    async with desk.ctx.read() as db:
        assert await budgets.locked(desk.ctx, db, "anna's id", FACTORS) == {"password"}


async def test_an_owner_unlocks_a_factor_that_they_have(desk: Desk) -> None:
    folk = Folk(desk.the)
    actor = await folk.create("anna@example.com")
    await desk.refuse(Target(Guess.AUTHENTICATOR, actor.tenant_id, "password", actor.person_id), Kind.STRANGER, 70)
    assert (await enrolment.overview(folk.acting(actor)))["locked"] == {"password"}
    before = await desk.the.everything()
    with pytest.raises(StepUpNeeded):
        await enrolment.unlock(folk.acting(actor), "password")
    assert await desk.the.everything() == before
    actor = await folk.session(actor.tenant_id, actor.person_id)
    before = await desk.the.everything()
    for name in ("totp", "nothing of that name"):
        with pytest.raises(NotFound):
            await enrolment.unlock(folk.acting(actor), name)
    assert await desk.the.everything() == before
    await enrolment.unlock(folk.acting(actor), "password")
    assert (await enrolment.overview(folk.acting(actor)))["locked"] == set()
    assert await desk.used("n:") == []
    assert (await desk.the.events())[-1] == Event.FACTOR_UNLOCKED


async def test_nothing_is_counted_any_more_for_who_is_erased(desk: Desk) -> None:
    other, bert = replace(ANNA, name="totp"), replace(ANNA, person_id="bert's id")
    for kind in Kind:
        for target in (ANNA, other, bert):
            await desk.spend(target, desk.who(kind))
    async with desk.ctx.write() as db:
        await budgets.forget(db, "anna's id", FACTORS)
    left = {key for key in await desk.rows() if key.startswith("n:")}
    assert left == {f"n:{kind}:password:bert's id" for kind in Kind}


# -- keys ------------------------------------------------------------------------------------------


async def test_the_table_is_no_list_of_addresses(desk: Desk) -> None:
    """One row for each tenant, address and factor, which does not show the address."""
    for tenant in ("a", "b"):
        for email in ("x@example.com", "y@example.com"):
            for name in ("password", "totp"):
                await desk.spend(Target(Guess.AUTHENTICATOR, tenant, name, None, email), STRANGER)
                await desk.spend(Target(Guess.MAILED, tenant, name, "id", email), STRANGER)
            await desk.mail(email, STRANGER, is_seen=False, tenant_id=tenant)
    keys = set(await desk.rows())
    assert [len([key for key in keys if key.startswith(start)]) for start in ("n:", "w:", "d:", "m:")] == [8, 8, 8, 4]
    assert not [key for key in keys if "example" in key]


async def test_a_new_key_refills_nothing(desk: Desk) -> None:
    """After a rotation, and in a process that starts afterwards, the same rows are counted on."""
    services = desk.the.gate.services
    for _ in range(10):
        await desk.spend(NOBODY, STRANGER)
        await desk.spend(replace(MAILED, person_id=None), STRANGER)
    rows = set(await desk.rows())
    for _ in range(2):
        services.ring.rotate()
        await sealed.rewrap(services)
    assert (await desk.spend(NOBODY, STRANGER)).wait == 1
    services.ring.load_stable(bytes(32))
    await installation.load(services)
    assert (await desk.spend(NOBODY, STRANGER)).wait == 1
    await desk.spend(replace(MAILED, person_id=None), STRANGER)
    assert set(await desk.rows()) == rows
    assert await desk.used("d:") == [11]


# -- hashes ----------------------------------------------------------------------------------------


async def test_whose_hashes_go_first(lite: The, monkeypatch: pytest.MonkeyPatch) -> None:
    folk, queues = Folk(lite), list[Queue]()
    hasher, real = lite.gate.services.hasher, lite.gate.services.hasher.run

    async def recorded(queue: Queue, *given: object) -> object:
        queues.append(queue)
        return await real(queue, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(hasher, "run", recorded)
    actor, _ = await folk.create("anna@example.com"), await folk.create("bert@example.com")
    async with folk.ctx.write() as db:
        cookie = await known.renewed(folk.ctx, db, actor.tenant_id, actor.person_id)
    browser = replace(folk.ctx, origin=replace(folk.ctx.origin, known=cookie))

    async def sign_in(ctx: Ctx, email: str) -> None:
        handle = (await starts.sign_in(ctx, email, None)).handle
        with suppress(ProofRefused):
            await signin.prove(ctx, handle, "password", PASSWORD)

    async def step_up() -> None:
        handle = (await starts.step_up(folk.acting(actor), None)).handle
        await signin.prove(folk.ctx, handle, "password", PASSWORD)

    async def recover(email: str) -> None:
        handle = (await starts.recover(folk.ctx, email, None)).handle
        await signin.prove(folk.ctx, handle, "email_code", await folk.code())
        await signin.prove(folk.ctx, handle, "password", OTHER_PASSWORD)

    cases: list[tuple[Awaitable[object], Queue]] = [
        (starts.sign_up(folk.ctx, "new@example.com", PASSWORD, None, None, None), Queue.SIGN_UPS),
        (starts.sign_up(browser, "anna@example.com", PASSWORD, None, None, None), Queue.SIGN_UPS),
        (sign_in(folk.ctx, "anna@example.com"), Queue.STRANGERS),
        (sign_in(folk.ctx, "nobody@example.com"), Queue.STRANGERS),
        (sign_in(browser, "nobody@example.com"), Queue.STRANGERS),
        (sign_in(browser, "anna@example.com"), Queue.OWNERS),
        (step_up(), Queue.OWNERS),
        (enrolment.recovery_codes(folk.acting(actor)), Queue.OWNERS),
        (account.set_password(folk.acting(actor), OTHER_PASSWORD), Queue.OWNERS),
        (recover("bert@example.com"), Queue.OWNERS),
    ]
    for number, (action, queue) in enumerate(cases):
        queues.clear()
        await action
        assert set(queues) == {queue}, number
