"""Spends budgets by calling `core.budgets` directly, for the tests of who pays what.

Not here: rules, and assertions about more than that a helper did what it is for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from passgate.core import budgets, throttle
from passgate.core.budgets import STEP_UP, Guess, Kind, Spent, Target, Who
from passgate.core.ctx import Ctx, Origin
from passgate.core.known import Entry
from passgate.errors import Throttled
from passgate.store.tables import budget
from tests.kit import The

HOUR, DAY = 3600, 24 * 3600
NUMBERS = itertools.count()
ANNA = Target(Guess.AUTHENTICATOR, "tenant", "password", "anna's id", "anna@example.com")
NOBODY = Target(Guess.AUTHENTICATOR, "tenant", "password", None, "nobody@example.com")
STRANGER = Who(Kind.STRANGER)


@dataclass
class Desk:
    """Spends budgets, each time in a transaction of its own, from one origin."""

    the: The
    origin: Origin = field(default_factory=lambda: Origin(f"198.51.100.{next(NUMBERS) % 250}"))

    @property
    def ctx(self) -> Ctx:
        return Ctx(self.the.gate.services, self.origin)

    def at(self, ip: str) -> Desk:
        return Desk(self.the, Origin(ip))

    def browser(self, person_id: str = "anna's id") -> Who:
        """A known browser in which nothing was refused yet."""
        return Who(Kind.KNOWN, Entry("tenant", person_id, 0, f"entry {next(NUMBERS)}", self.the.clock.now))

    def who(self, kind: Kind) -> Who:
        return {Kind.STRANGER: Who(kind), Kind.KNOWN: self.browser(), Kind.STEP_UP: STEP_UP}[kind]

    async def spend(self, target: Target, tries: Who) -> Spent:
        async with self.ctx.write() as db:
            return await budgets.spend(self.ctx, db, target, tries)

    async def right(self, spent: Spent) -> None:
        async with self.ctx.write() as db:
            await budgets.right(db, spent)

    async def undo(self, spent: Spent) -> None:
        async with self.ctx.write() as db:
            await budgets.undo(db, spent)

    async def refuse(self, target: Target, kind: Kind, times: int) -> list[Spent]:
        """So many refusals, each after the longest wait, so that none is too early."""
        found = []
        for _ in range(times):
            found.append(await self.spend(target, self.who(kind)))
            assert found[-1].wait == 0
            self.the.clock.forward(901)
        return found

    async def closed(self, target: Target, kinds: Iterable[Kind] = Kind) -> dict[Kind, bool]:
        """For whom an authenticator is closed now; leaves no trace."""
        self.the.clock.forward(901)
        found = {}
        for kind in kinds:
            spent = await self.spend(target, self.who(kind))
            assert spent.wait == 0
            found[kind] = spent.is_closed
            await self.undo(spent)
        return found

    async def start(self, tries: Who) -> int:
        """The seconds to wait; 0 if it may start."""
        try:
            async with self.ctx.write() as db:
                await budgets.start(self.ctx, db, tries)
        except Throttled as late:
            return late.retry_after
        return 0

    async def room(self, tries: Who, size: int = 10) -> tuple[str, ...] | int:
        """What finishing gives back, or the seconds to wait."""
        try:
            async with self.ctx.write() as db:
                return await budgets.pending_row(self.ctx, db, tries, size)
        except Throttled as late:
            return late.retry_after

    async def mail(self, email: str, tries: Who, *, is_seen: bool, tenant_id: str = "tenant") -> bool:
        async with self.ctx.write() as db:
            return await budgets.mail(self.ctx, db, tenant_id, email, tries, is_seen=is_seen)

    async def fill(self, key: str, used: int, limit: int, seconds: int) -> None:
        """Count that much at once in a window."""
        async with self.ctx.write() as db:
            got = await throttle.window(self.ctx, db, key, limit=limit, seconds=seconds, amount=used)
        assert got.used == used

    async def rows(self) -> dict[str, int]:
        return {row["key"]: row["used"] for row in await self.the.rows(budget)}

    async def used(self, start: str) -> list[int]:
        """The counts of the rows whose keys begin like this."""
        return [used for key, used in (await self.rows()).items() if key.startswith(start)]
