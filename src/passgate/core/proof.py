"""Proving anything, in one function for sign-ins, enrolments, changes of address and links: spend, compare, mark.
*Spend*: every budget is debited and committed before anything is compared, so that parallel guesses cannot all pass.
*Compare*: no transaction is open. *Mark*: one transaction that only updates rows unchanged since.

Not here: what is compared and changed (the callers), limits (`budgets`), a sign-in's attempts (`pending`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Generic, TypeVar, cast

from passgate.core import budgets, pending
from passgate.core.audit import deferred
from passgate.core.budgets import Guess, Kind, Spent, Target, Who
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import Compared
from passgate.core.pending import SignIn
from passgate.errors import AlreadyProved, HandleInvalid, Invalid, ProofRefused, Throttled
from passgate.store import Db
from passgate.store.unit import Deferred

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Right(Generic[T]):
    """The answer counts; `value` is the result."""

    value: T


class Outcome(Enum):
    """Why an answer does not count: it is wrong, a concurrent duplicate came first, or what it was for is over."""

    WRONG = auto()
    LOST = auto()
    OVER = auto()


Comparing = Callable[[Ctx, bool], Awaitable[Compared]]
Marking = Callable[[Db, Compared], Awaitable[Right[T] | Outcome]]


async def _wrong(_db: Db) -> Outcome:
    return Outcome.WRONG


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Generic[T]):
    """One attempt at a proof. `target` is what a wrong answer counts against; None if the answer is a secret that was
    found already. `sign_in`: its attempts are debited too; without one, a session acts."""

    tenant_id: str
    compare: Comparing
    """Receives the context to hash with, and whether the authenticator is closed; no answer is right then."""
    mark: Marking[T]
    """Makes all changes of a correct answer, inside the transaction that records it."""
    target: Target | None = None
    sign_in: SignIn | None = None
    late: Callable[[Db], Awaitable[Outcome]] = _wrong
    """Decides whether a wrong answer was right before a concurrent duplicate used it up."""
    refused: Callable[[Compared], tuple[Deferred, ...]] = lambda _compared: ()
    """What to record about a wrong answer, given the person's id."""
    renewed: tuple[str, str] | None = None
    """The person and factor that a correct answer sets up anew; its refusals are cleared."""
    heavy: bool = False
    """Its changes may erase an account."""


def marked_by(attempt: Attempt[T], mark: Marking[U]) -> Attempt[U]:
    """The same attempt with another mark, and so another result."""
    return replace(cast("Attempt[U]", attempt), mark=mark)


async def prove(ctx: Ctx, attempt: Attempt[T]) -> T:
    """The result of a correct answer. ProofRefused, AlreadyProved, HandleInvalid, Throttled; Invalid costs no try."""
    spent = await _spend(ctx, attempt)
    compared = await _compare(ctx, attempt, spent)
    refused = (*_counted(attempt), *attempt.refused(compared), *_locks(ctx, attempt, spent))
    refused = (*refused, *compared.deferred)
    async with ctx.write(heavy=attempt.heavy) as db:
        match await (attempt.mark(db, compared) if compared.is_right else attempt.late(db)):
            case Right(value):
                if spent is not None:
                    await budgets.right(db, spent)
                if attempt.renewed is not None:
                    await budgets.reopen(db, *attempt.renewed)
                return value
            case Outcome.LOST:
                raise AlreadyProved(deferred=(_giving_back(attempt, spent),))
            case Outcome.OVER:
                raise HandleInvalid
            case Outcome.WRONG if compared.is_right:
                raise ProofRefused(deferred=refused)  # rolls back what `mark` changed
            case Outcome.WRONG:
                for fact in refused:
                    await fact(db)
    raise ProofRefused


async def _spend(ctx: Ctx, attempt: Attempt[T]) -> Spent | None:
    """Debit everything and commit, also for an attempt that comes too soon: waiting is not free either."""
    target, sign_in = attempt.target, attempt.sign_in
    if target is None:
        return None
    async with ctx.write() as db:
        if sign_in is not None and not await pending.spend(db, sign_in):
            if await pending.is_over(db, sign_in):
                raise HandleInvalid
            # Concurrent attempts exhaust the sign-in's but may still succeed, so this one only has to wait.
            raise Throttled(1)
        spent = await budgets.spend(ctx, db, target, await _who(ctx, db, target, sign_in))
    if spent.wait:
        if sign_in is not None:
            # In a transaction of its own: a second UPDATE of the row would make PostgreSQL check its foreign keys
            # again, and lock the person after the budgets.
            async with ctx.write() as db:
                await pending.throttle(db, sign_in)
        ctx.services.tally["throttled"] += 1
        raise Throttled(spent.wait)
    return spent


async def _who(ctx: Ctx, db: Db, target: Target, sign_in: SignIn | None) -> Who:
    """Where nothing can be guessed, whoever is known in this browser counts: the person is not named yet."""
    if target.person_id is None and target.guess is not Guess.NOT:
        return Who(Kind.STRANGER)
    is_step_up = sign_in is None or sign_in.journey.is_step_up
    return await budgets.who(ctx, db, target.tenant_id, is_step_up=is_step_up, person_id=target.person_id)


async def _compare(ctx: Ctx, attempt: Attempt[T], spent: Spent | None) -> Compared:
    is_closed = spent is not None and spent.is_closed
    try:
        compared = await attempt.compare(ctx.queued(spent.who.queue) if spent else ctx, is_closed)
        return replace(compared, is_right=False) if is_closed else compared
    except Invalid as unfit:  # no answer of this form could be right, so nothing was guessed
        unfit.deferred = (*unfit.deferred, _giving_back(attempt, spent))
        async with ctx.write():
            raise


def _locks(ctx: Ctx, attempt: Attempt[T], spent: Spent | None) -> tuple[Deferred, ...]:
    """What to record if this refusal uses up the share of whoever tried."""
    target = attempt.target
    if spent is None or target is None or not spent.is_last:
        return ()
    about = {"tenant_id": target.tenant_id, "subject_id": target.person_id}
    return (deferred(ctx, Event.FACTOR_LOCKED, **about, factor=target.name, by=spent.who.kind.value),)


def _counted(attempt: Attempt[T]) -> tuple[Deferred, ...]:
    sign_in = attempt.sign_in
    if sign_in is None:
        return ()

    async def count(db: Db) -> None:
        await pending.refuse(db, sign_in)

    return (count,)


def _giving_back(attempt: Attempt[T], spent: Spent | None) -> Deferred:
    async def give_back(db: Db) -> None:
        if attempt.sign_in is not None:
            await pending.give_back(db, attempt.sign_in)
        if spent is not None:
            await budgets.undo(db, spent)

    return give_back
