"""Proving: every outcome and what it costs in the budgets and in the pending sign-in, and that a closed authenticator
accepts no answer.

What each factor compares and changes is tested in its own module, what a budget holds in test_budgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import update

from passgate.core import budgets, known, pending, proof, throttle
from passgate.core.audit import deferred
from passgate.core.budgets import Guess, Kind, Target
from passgate.core.ctx import Ctx, Origin
from passgate.core.events import Event
from passgate.core.factor import Compared, wrong
from passgate.core.journey import SIGN_IN, STEP_UP, Journey
from passgate.core.pending import SignIn
from passgate.core.proof import Attempt, Outcome, Right
from passgate.errors import AlreadyProved, HandleInvalid, Invalid, ProofRefused, Throttled
from passgate.hashing import Queue
from passgate.store import Db
from passgate.store.tables import audit_event, budget, sign_in
from tests.core.behind import Folk
from tests.kit import The

SPENT = {"o:refusals": 1, "w:trial": 1, "n:stranger": 1}
NOTHING = {"o:refusals": 0, "w:trial": 0, "n:stranger": 0}
RIGHT = {"o:refusals": 0, "w:trial": 0}
"""A right answer deletes the row of refusals and takes back the rest."""


@dataclass
class Trial:
    """An attempt by a stranger at an address that nobody has, whose comparison and outcome a test chooses; `moved`
    counts the calls of `mark`."""

    folk: Folk
    target: Target
    is_right: bool = True
    end: Right[str] | Outcome = Right("done")  # noqa: RUF009  immutable
    moved: int = 0
    heard: list[tuple[bool, Queue]] = field(default_factory=list)
    """Of each comparison: whether the authenticator was closed, and whose hashes these are."""
    unfit: Exception | None = None

    async def compare(self, ctx: Ctx, is_closed: bool) -> Compared:
        self.heard.append((is_closed, ctx.queue))
        if self.unfit is not None:
            raise self.unfit
        return replace(wrong(self.target.person_id), is_right=self.is_right)

    async def mark(self, db: Db, _compared: Compared) -> Right[str] | Outcome:
        self.moved += 1
        await deferred(self.folk.ctx, Event.KEY_ROTATED, tenant_id=self.target.tenant_id)(db)
        return self.end

    def attempt(self, **more: Any) -> Attempt[str]:
        refused = deferred(self.folk.ctx, Event.FACTOR_REFUSED, tenant_id=self.target.tenant_id)
        given = {"target": self.target, **more}
        return Attempt(
            tenant_id=self.target.tenant_id,
            compare=self.compare,
            mark=self.mark,
            refused=lambda _person: (refused,),
            **given,
        )

    async def prove(self, **more: Any) -> str:
        return await proof.prove(self.folk.ctx, self.attempt(**more))

    async def begin(self, journey: Journey = SIGN_IN, person_id: str | None = None) -> SignIn:
        """A pending sign-in, from no origin's room."""
        ctx, tenant = self.folk.ctx, await self.folk.tenant()
        async with ctx.write() as db:
            return (await pending.begin(ctx, db, tenant, journey, {}, person_id=person_id))[0]

    async def row(self) -> tuple[int, int, int]:
        """What the one pending sign-in has spent, throttled and refused."""
        [row] = await self.folk.the.rows(sign_in)
        return row["spent"], row["throttled"], row["refused"]

    async def used(self) -> dict[str, int]:
        """The counts, by the first two parts of their keys."""
        return {":".join(row["key"].split(":")[:2]): row["used"] for row in await self.folk.the.rows(budget)}

    async def events(self) -> list[str]:
        events = await self.folk.the.events()
        return [event for event in events if event in (Event.KEY_ROTATED, Event.FACTOR_REFUSED, Event.FACTOR_LOCKED)]

    async def fill(self, used: int, kind: Kind = Kind.STRANGER) -> None:
        """So many refusals, without their waits."""
        key = budgets.count_key(self.folk.ctx, self.target, kind)
        async with self.folk.ctx.write() as db:
            await db.add(budget, key=key, used=used, until_at=0, expires_at=throttle.NEVER)


@pytest.fixture
async def trial(the: The) -> Trial:
    folk = Folk(the)
    return Trial(folk, Target(Guess.AUTHENTICATOR, (await folk.tenant()).id, "trial", None, "nobody@example.com"))


# -- outcomes --------------------------------------------------------------------------------------


async def test_right(trial: Trial) -> None:
    assert await trial.prove() == "done"
    assert (await trial.used(), await trial.events()) == (RIGHT, ["key:rotated"])
    assert trial.heard == [(False, Queue.STRANGERS)]


async def test_wrong(trial: Trial) -> None:
    trial.is_right = False
    with pytest.raises(ProofRefused):
        await trial.prove()
    assert (await trial.used(), await trial.events()) == (SPENT, ["account:factor:refused"])
    assert trial.moved == 0


async def test_right_but_moved_meanwhile(trial: Trial) -> None:
    """If the state changed between comparison and `mark`, the writes of `mark` are rolled back and the refusal is
    kept."""
    trial.end = Outcome.WRONG
    with pytest.raises(ProofRefused):
        await trial.prove()
    assert (await trial.used(), await trial.events()) == (SPENT, ["account:factor:refused"])


async def test_its_twin_was_first(trial: Trial) -> None:
    trial.end = Outcome.LOST
    with pytest.raises(AlreadyProved):
        await trial.prove()
    assert (await trial.used(), await trial.events()) == (NOTHING, [])


async def test_a_wrong_answer_may_be_a_late_one(trial: Trial) -> None:
    async def late(_db: Db) -> Outcome:
        return Outcome.LOST

    trial.is_right = False
    with pytest.raises(AlreadyProved):
        await trial.prove(late=late)
    assert (await trial.used(), await trial.events()) == (NOTHING, [])


async def test_over(trial: Trial) -> None:
    trial.end = Outcome.OVER
    with pytest.raises(HandleInvalid):
        await trial.prove()
    assert (await trial.used(), await trial.events()) == (SPENT, [])


async def test_what_has_no_form_costs_nothing(trial: Trial) -> None:
    trial.unfit = Invalid({"answer": "type"})
    begun = await trial.begin()
    with pytest.raises(Invalid):
        await trial.prove(sign_in=begun)
    assert (await trial.used(), await trial.events(), await trial.row()) == (NOTHING, [], (0, 0, 0))


async def test_a_fault_gives_no_try_back(trial: Trial) -> None:
    trial.unfit = RuntimeError("broken")
    begun = await trial.begin()
    with pytest.raises(RuntimeError):
        await trial.prove(sign_in=begun)
    assert (await trial.used(), await trial.row()) == (SPENT, (1, 0, 0))


async def test_where_nothing_can_be_guessed_nothing_is_spent(trial: Trial) -> None:
    assert await trial.prove(target=None) == "done"
    assert await trial.used() == {}


async def test_what_is_set_up_anew_forgets_its_refusals(trial: Trial) -> None:
    """And those of that factor alone, of all three kinds, and only if the answer is right."""
    for name in ("totp", "password"):
        mine = replace(trial, target=replace(trial.target, name=name, person_id="somebody"))
        for kind in Kind:
            await mine.fill(7, kind)
    await trial.prove(renewed=("somebody", "totp"))
    left = {row["key"] for row in await trial.folk.the.rows(budget) if row["used"]}
    assert left == {f"n:{kind}:password:somebody" for kind in Kind}
    trial.is_right = False
    with pytest.raises(ProofRefused):
        await trial.prove(renewed=("somebody", "password"))
    assert left < {row["key"] for row in await trial.folk.the.rows(budget)}


# -- who tries -------------------------------------------------------------------------------------


async def test_in_a_session_no_origin_is_spent(trial: Trial) -> None:
    """Without a pending sign-in a session acts, which is counted with step-ups."""
    trial.is_right, trial.target = False, replace(trial.target, person_id="somebody")
    with pytest.raises(ProofRefused):
        await trial.prove()
    with pytest.raises(ProofRefused):
        await trial.prove(sign_in=await trial.begin(STEP_UP))
    assert await trial.used() == {"n:step_up": 2}
    assert trial.heard == [(False, Queue.OWNERS)] * 2
    with pytest.raises(ProofRefused):
        await trial.prove(sign_in=await trial.begin(SIGN_IN))
    assert await trial.used() == {"n:step_up": 2, **SPENT}
    assert trial.heard[2:] == [(False, Queue.STRANGERS)]


async def test_where_nothing_can_be_guessed_any_known_browser_is_known(trial: Trial) -> None:
    """A passkey names its person only by its answer. Where something can be guessed, the browser has to know them."""
    actor = await trial.folk.create()
    async with trial.folk.ctx.write() as db:
        cookie = await known.renewed(trial.folk.ctx, db, actor.tenant_id, actor.person_id)
    ctx, begun = replace(trial.folk.ctx, origin=Origin("192.0.2.1", known=cookie)), await trial.begin()
    signature = replace(trial.target, guess=Guess.NOT, identifier_key="")
    await proof.prove(ctx, trial.attempt(target=signature, sign_in=begun))
    assert (await trial.used(), trial.heard) == ({}, [(False, Queue.OWNERS)])
    await proof.prove(ctx, trial.attempt(sign_in=begun))
    await proof.prove(trial.folk.ctx, trial.attempt(target=signature, sign_in=begun))
    assert trial.heard[1:] == [(False, Queue.STRANGERS)] * 2
    assert {row["key"] for row in await trial.folk.the.rows(budget)} > {"o:refusals:192.0.2.1", "o:refusals:127.0.0.1"}


@pytest.mark.parametrize("is_known", [True, False])
async def test_the_last_of_a_share_locks_and_nothing_is_right_afterwards(trial: Trial, is_known: bool) -> None:
    """Only refusals lock: a right answer in the last place ends the row."""
    trial.target = replace(trial.target, person_id="somebody" if is_known else None)
    begun = await trial.begin()
    await trial.fill(69)
    trial.is_right = False
    with pytest.raises(ProofRefused):
        await trial.prove(sign_in=begun)
    assert await trial.events() == ["account:factor:refused", "account:factor:locked"]
    [row] = [row for row in await trial.folk.the.rows(audit_event) if row["event"] == Event.FACTOR_LOCKED]
    assert (row["subject_id"], '"by":"stranger"' in row["facts"]) == (trial.target.person_id, True)
    trial.is_right = True
    with pytest.raises(ProofRefused):
        await trial.prove(sign_in=begun)
    assert ([is_closed for is_closed, _ in trial.heard], trial.moved) == ([False, True], 0)
    assert await trial.used() == {"o:refusals": 2, "w:trial": 2, "n:stranger": 71}
    assert await trial.row() == (2, 0, 2)


async def test_a_right_answer_in_the_last_place_locks_nothing(trial: Trial) -> None:
    await trial.fill(69)
    assert await trial.prove() == "done"
    assert (await trial.used(), await trial.events()) == (RIGHT, ["key:rotated"])


# -- the pending sign-in ---------------------------------------------------------------------------


async def test_who_must_wait_is_not_compared(trial: Trial) -> None:
    """It costs one of the origin's hundred and one of the sign-in's ten, is counted, and is not in the trail."""
    trial.is_right = False
    for _ in range(throttle.FREE):
        with pytest.raises(ProofRefused):
            await trial.prove()
    trial.is_right, before = True, await trial.events()
    begun = await trial.begin()
    with pytest.raises(Throttled) as late:
        await trial.prove(sign_in=begun)
    assert late.value.retry_after == 1
    assert (trial.moved, len(trial.heard), await trial.events()) == (0, 10, before)
    assert await trial.used() == {"o:refusals": 11, "w:trial": 10, "n:stranger": 10}
    assert (await trial.row(), trial.folk.ctx.services.tally["throttled"]) == ((0, 1, 0), 1)


@pytest.mark.parametrize("too_soon", [0, 1, 5, 10])
async def test_ten_refusals_or_tries_that_come_too_soon_end_a_sign_in(trial: Trial, too_soon: int) -> None:
    trial.is_right = False
    begun = await trial.begin()
    if too_soon:
        for _ in range(throttle.FREE):
            with pytest.raises(ProofRefused):
                await trial.prove()
        for _ in range(too_soon):
            with pytest.raises(Throttled):
                await trial.prove(sign_in=begun)
        trial.folk.the.clock.forward(1)
    for number in range(10 - too_soon):
        trial.target = replace(trial.target, identifier_key=f"{number}@example.com")
        with pytest.raises(ProofRefused):
            await trial.prove(sign_in=begun)
    trial.is_right = True
    compared = len(trial.heard)
    with pytest.raises(HandleInvalid):
        await trial.prove(sign_in=begun)
    assert (len(trial.heard), await trial.row()) == (compared, (10 - too_soon, too_soon, 10 - too_soon))


async def test_a_try_that_comes_too_soon_never_undoes_a_proof_that_is_being_compared(trial: Trial) -> None:
    """While a right answer is being compared, so many come too soon that none is left. It counts all the same and
    clears them; only where nothing is being compared is the sign-in over."""
    begun, folk = await trial.begin(), trial.folk

    async def compare(_ctx: Ctx, _is_closed: bool) -> Compared:
        async with folk.ctx.write() as db:
            for _ in range(9):
                assert await pending.spend(db, begun)
                await pending.throttle(db, begun)
            assert not await pending.spend(db, begun)
        with pytest.raises(Throttled) as late:
            await trial.prove(sign_in=begun)
        assert late.value.retry_after == 1
        return replace(wrong(None), is_right=True)

    async def mark(db: Db, _compared: Compared) -> Right[str] | Outcome:
        is_added = await pending.add_proof(folk.ctx, db, begun, "trial", None)
        return Right("done") if is_added else Outcome.OVER

    assert await proof.prove(folk.ctx, replace(trial.attempt(sign_in=begun), compare=compare, mark=mark)) == "done"
    assert (await trial.row(), await trial.used(), trial.heard) == ((0, 0, 0), RIGHT, [])


@pytest.mark.parametrize("over", [{"refused": 10, "spent": 10}, {"throttled": 10}, {"finished_at": 1}])
async def test_a_sign_in_that_is_over_spends_nothing(trial: Trial, over: dict[str, int]) -> None:
    begun = await trial.begin()
    async with trial.folk.ctx.write() as db:
        await db.change(update(sign_in).values(**over))
    with pytest.raises(HandleInvalid):
        await trial.prove(sign_in=begun)
    assert (await trial.used(), trial.heard) == ({}, [])
