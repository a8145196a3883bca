"""Proving: every outcome and what it costs in the budgets, and that a locked authenticator accepts no answer.

What each factor compares and changes is tested in its own module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from passgate.core import proof, throttle
from passgate.core.audit import deferred
from passgate.core.events import Event
from passgate.core.factor import Compared, wrong
from passgate.core.proof import Attempt, Outcome, Right
from passgate.errors import AlreadyProved, HandleInvalid, Invalid, ProofRefused, Throttled
from passgate.store import Db
from passgate.store.tables import budget
from tests.core.behind import Folk
from tests.kit import The

KEY = "h:trial"


@dataclass
class Trial:
    """An attempt whose comparison and outcome a test chooses; `moved` counts the calls of `mark`."""

    folk: Folk
    tenant_id: str
    is_right: bool = True
    end: Right[str] | Outcome = Right("done")  # noqa: RUF009  immutable
    moved: int = 0
    heard_locked: bool = False
    unfit: Exception | None = None

    async def compare(self, is_locked: bool) -> Compared:
        self.heard_locked = is_locked
        if self.unfit is not None:
            raise self.unfit
        return replace(wrong(None), is_right=self.is_right)

    async def mark(self, db: Db, _compared: Compared) -> Right[str] | Outcome:
        self.moved += 1
        await deferred(self.folk.ctx, Event.KEY_ROTATED)(db)
        return self.end

    def attempt(self, **more: Any) -> Attempt[str]:
        refused = deferred(self.folk.ctx, Event.FACTOR_REFUSED, tenant_id=self.tenant_id)
        return Attempt(
            tenant_id=self.tenant_id,
            authenticator=KEY,
            compare=self.compare,
            mark=self.mark,
            refused=lambda _person: (refused,),
            **more,
        )

    async def used(self) -> dict[str, int]:
        return {row["key"][:1]: row["used"] for row in await self.folk.the.rows(budget)}

    async def events(self) -> list[str]:
        events = await self.folk.the.events()
        return [event for event in events if event in (Event.KEY_ROTATED, Event.FACTOR_REFUSED)]


@pytest.fixture
async def trial(the: The) -> Trial:
    folk = Folk(the)
    return Trial(folk, (await folk.tenant("main")).id)


async def test_right(trial: Trial) -> None:
    assert await proof.prove(trial.folk.ctx, trial.attempt()) == "done"
    assert (await trial.used(), await trial.events()) == ({"o": 0, "h": 0}, ["key:rotated"])


async def test_wrong(trial: Trial) -> None:
    trial.is_right = False
    with pytest.raises(ProofRefused):
        await proof.prove(trial.folk.ctx, trial.attempt())
    assert (await trial.used(), await trial.events()) == ({"o": 1, "h": 1}, ["account:factor:refused"])
    assert trial.moved == 0


async def test_right_but_moved_meanwhile(trial: Trial) -> None:
    """If the state changed between comparison and `mark`, the writes of `mark` are rolled back and the refusal is
    kept."""
    trial.end = Outcome.WRONG
    with pytest.raises(ProofRefused):
        await proof.prove(trial.folk.ctx, trial.attempt())
    assert (await trial.used(), await trial.events()) == ({"o": 1, "h": 1}, ["account:factor:refused"])


async def test_its_twin_was_first(trial: Trial) -> None:
    trial.end = Outcome.LOST
    with pytest.raises(AlreadyProved):
        await proof.prove(trial.folk.ctx, trial.attempt())
    assert (await trial.used(), await trial.events()) == ({"o": 0, "h": 0}, [])


async def test_a_wrong_answer_may_be_a_late_one(trial: Trial) -> None:
    async def late(_db: Db) -> Outcome:
        return Outcome.LOST

    trial.is_right = False
    with pytest.raises(AlreadyProved):
        await proof.prove(trial.folk.ctx, trial.attempt(late=late))
    assert (await trial.used(), await trial.events()) == ({"o": 0, "h": 0}, [])


async def test_over(trial: Trial) -> None:
    trial.end = Outcome.OVER
    with pytest.raises(HandleInvalid):
        await proof.prove(trial.folk.ctx, trial.attempt())
    assert await trial.events() == []


async def test_what_has_no_form_costs_nothing(trial: Trial) -> None:
    trial.unfit = Invalid({"answer": "type"})
    with pytest.raises(Invalid):
        await proof.prove(trial.folk.ctx, trial.attempt())
    assert (await trial.used(), await trial.events()) == ({"o": 0, "h": 0}, [])


async def test_a_fault_gives_no_try_back(trial: Trial) -> None:
    trial.unfit = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        await proof.prove(trial.folk.ctx, trial.attempt())
    assert await trial.used() == {"o": 1, "h": 1}


async def test_nothing_is_right_about_a_disabled_authenticator(trial: Trial) -> None:
    ctx = trial.folk.ctx
    async with ctx.write() as db:
        used = throttle.LOCKED + 1
        row = {"key": KEY, "tenant_id": trial.tenant_id, "used": used, "until_at": 0, "updated_at": ctx.now()}
        await db.add(budget, **row)
    with pytest.raises(ProofRefused):
        await proof.prove(ctx, trial.attempt())
    assert (trial.heard_locked, trial.moved) == (True, 0)


async def test_who_must_wait_is_not_compared(trial: Trial) -> None:
    trial.is_right = False
    refused = deferred(trial.folk.ctx, Event.SIGNIN_THROTTLED, tenant_id=trial.tenant_id)
    for _ in range(throttle.FREE):
        with pytest.raises(ProofRefused):
            await proof.prove(trial.folk.ctx, trial.attempt())
    trial.is_right = True
    with pytest.raises(Throttled):
        await proof.prove(trial.folk.ctx, trial.attempt(throttled=(refused,)))
    assert trial.moved == 0
    assert (await trial.folk.the.events()).count("signin:throttled") == 1


async def test_what_is_set_up_anew_forgets_its_refusals(trial: Trial) -> None:
    other = throttle.person_key("somebody", "totp")
    async with trial.folk.ctx.write() as db:
        await db.add(budget, key=other, tenant_id=trial.tenant_id, used=7, until_at=0, updated_at=0)
    await proof.prove(trial.folk.ctx, trial.attempt(renewed=other))
    assert await trial.used() == {"o": 0, "h": 0, "p": 0}


async def test_where_nothing_can_be_guessed_nothing_is_spent(trial: Trial) -> None:
    attempt = replace(trial.attempt(), authenticator=None)
    assert await proof.prove(trial.folk.ctx, attempt) == "done"
    assert await trial.used() == {}
