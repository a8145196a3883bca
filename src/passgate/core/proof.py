"""Proving anything, in one function for sign-ins, enrolments, changes of address and links: spend, compare, mark.
*Spend*: every budget is debited and committed before anything is compared, so that parallel guesses cannot all pass.
*Compare*: no transaction is open. *Mark*: one transaction that only updates rows unchanged since.

Not here: what is compared and changed (the callers), budgets (`throttle`), a sign-in's attempts (`pending`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Generic, TypeVar

from passgate.core import pending, throttle
from passgate.core.ctx import Ctx
from passgate.core.factor import Compared
from passgate.core.pending import SignIn
from passgate.errors import AlreadyProved, HandleInvalid, Invalid, ProofRefused, Throttled
from passgate.store import Db
from passgate.store.unit import Deferred

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Right(Generic[T]):
    """The answer counts; `value` is the result."""

    value: T


class Outcome(Enum):
    """Why an answer does not count: it is wrong, a concurrent duplicate came first, or what it was for is over."""

    WRONG = auto()
    LOST = auto()
    OVER = auto()


Comparing = Callable[[bool], Awaitable[Compared]]
Marking = Callable[[Db, Compared], Awaitable[Right[T] | Outcome]]


async def _wrong(_db: Db) -> Outcome:
    return Outcome.WRONG


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Generic[T]):
    """One attempt at a proof. `authenticator` is the throttle key debited along with the origin's; None if nothing can
    be guessed. `sign_in`: its attempts are debited too."""

    tenant_id: str
    compare: Comparing
    """Receives whether the authenticator is disabled, so that it can skip work; no answer is right then."""
    mark: Marking[T]
    """Makes all changes of a correct answer, inside the transaction that records it."""
    authenticator: str | None = None
    sign_in: SignIn | None = None
    late: Callable[[Db], Awaitable[Outcome]] = _wrong
    """Decides whether a wrong answer was right before a concurrent duplicate used it up."""
    refused: Callable[[str | None], tuple[Deferred, ...]] = lambda _person_id: ()
    """What to record about a wrong answer, given the person's id."""
    throttled: tuple[Deferred, ...] = ()
    renewed: str | None = None
    """The throttle key of an authenticator that a correct answer sets up anew; its refusals are cleared."""


async def prove(ctx: Ctx, attempt: Attempt[T]) -> T:
    """The result of a correct answer. ProofRefused, AlreadyProved, HandleInvalid, Throttled; Invalid costs no try."""
    spent = await _spend(ctx, attempt)
    compared = await _compare(ctx, attempt, spent)
    refused = (*_counted(attempt), *attempt.refused(compared.person_id), *compared.deferred)
    async with ctx.write() as db:
        match await (attempt.mark(db, compared) if compared.is_right else attempt.late(db)):
            case Right(value):
                if spent is not None:
                    await throttle.refund(ctx, db, spent, clear=True)
                if attempt.renewed is not None:
                    await throttle.clear(ctx, db, attempt.renewed)
                return value
            case Outcome.LOST:
                raise AlreadyProved(deferred=(_giving_back(ctx, attempt, spent),))
            case Outcome.OVER:
                raise HandleInvalid
            case Outcome.WRONG if compared.is_right:
                raise ProofRefused(deferred=refused)  # rolls back what `mark` changed
            case Outcome.WRONG:
                for fact in refused:
                    await fact(db)
    raise ProofRefused


async def _spend(ctx: Ctx, attempt: Attempt[T]) -> throttle.Spent | None:
    if attempt.authenticator is None:
        return None
    async with ctx.write() as db:
        if attempt.sign_in is not None and not await pending.spend(db, attempt.sign_in):
            if (await pending.proofs_now(db, attempt.sign_in))[1]:
                raise HandleInvalid
            # Concurrent attempts exhaust the budget but may still succeed, so this one only has to wait.
            raise Throttled(1, deferred=attempt.throttled)
        try:
            return await throttle.spend(ctx, db, attempt.tenant_id, attempt.authenticator)
        except Throttled as late:
            raise Throttled(late.retry_after, deferred=attempt.throttled) from None


async def _compare(ctx: Ctx, attempt: Attempt[T], spent: throttle.Spent | None) -> Compared:
    is_locked = spent is not None and spent.is_locked
    try:
        compared = await attempt.compare(is_locked)
        return replace(compared, is_right=False) if is_locked else compared
    except Invalid as unfit:  # no answer of this form could be right, so nothing was guessed
        unfit.deferred = (*unfit.deferred, _giving_back(ctx, attempt, spent))
        async with ctx.write():
            raise


def _counted(attempt: Attempt[T]) -> tuple[Deferred, ...]:
    sign_in = attempt.sign_in
    if sign_in is None:
        return ()

    async def count(db: Db) -> None:
        await pending.refuse(db, sign_in)

    return (count,)


def _giving_back(ctx: Ctx, attempt: Attempt[T], spent: throttle.Spent | None) -> Deferred:
    async def give_back(db: Db) -> None:
        if attempt.sign_in is not None:
            await pending.give_back(db, attempt.sign_in)
        if spent is not None:
            await throttle.refund(ctx, db, spent, clear=False)

    return give_back
