"""An attacker who knows only an address and works all day: from one origin or from as many as an IPv6 network has. Also
counts which answers were really compared, per authenticator and per kind of mailed secret.

Not here: assertions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from passgate.core import budgets
from passgate.core.budgets import Guess, Spent, Target, Who
from passgate.core.ctx import Ctx
from passgate.store import Db
from tests.kit import The, bearer, client_for


@dataclass
class Compared:
    """`most`: the longest row of compared, refused answers of each authenticator, by everybody together. `mailed`: how
    many answers were compared with each kind of mailed secret."""

    row: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    mailed: Counter[str] = field(default_factory=Counter)

    def spent(self, target: Target, spent: Spent) -> None:
        if spent.wait or spent.is_closed:
            return
        if target.guess is Guess.MAILED:
            self.mailed[target.name] += 1
        elif target.guess is Guess.AUTHENTICATOR:
            self.row[target.name] += 1
            self.most[target.name] = max(self.most[target.name], self.row[target.name])

    def right(self, spent: Spent) -> None:
        """A right answer ends the rows of its authenticator."""
        for key in spent.counts:
            self.row[key.split(":")[2]] = 0


@contextmanager
def compared() -> Iterator[Compared]:
    """Listens at the one function that every attempt passes."""
    found = Compared()
    spend, right = budgets.spend, budgets.right

    async def heard(ctx: Ctx, db: Db, target: Target, tries: Who) -> Spent:
        spent = await spend(ctx, db, target, tries)
        found.spent(target, spent)
        return spent

    async def succeeded(db: Db, spent: Spent) -> None:
        found.right(spent)
        await right(db, spent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "spend", heard)
        patch.setattr(budgets, "right", succeeded)
        yield found


@dataclass
class Attacker:
    """`origins` addresses in as many /64 of one /32, taken in turn."""

    the: The
    email: str
    origins: int
    clients: dict[int, httpx2.AsyncClient] = field(default_factory=dict)
    turn: int = 0
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)

    @property
    def http(self) -> httpx2.AsyncClient:
        """The next origin. Neighbouring turns are far apart, so that no /48 is used up before the others."""
        self.turn += 1
        number = (self.turn * 40503) % self.origins
        if number not in self.clients:
            if len(self.clients) > 500:
                self.clients.clear()  # nothing is open: each speaks to the program in this process
            self.clients[number] = client_for(self.the.gate, f"2001:db8:{number:x}::1")
        return self.clients[number]

    async def post(self, path: str, body: dict[str, Any], handle: str = "") -> httpx2.Response:
        headers = bearer(handle) if handle else {}
        answer = await self.http.post(f"/api/v1{path}", json=body, headers=headers)
        code = answer.json().get("code", "") if answer.status_code >= 400 else ""
        self.refused[answer.status_code, code] += 1
        return answer

    async def begin(self, path: str, **more: Any) -> str:
        answer = await self.post(path, {"email": self.email, **more})
        return str(answer.json().get("handle", ""))

    async def guess(self, handle: str, factor: str, times: int) -> None:
        """Until the handle is dead, or told to wait."""
        for number in range(times):
            answer = "wrong horse battery staple" if factor == "password" else f"{self.turn:05}{number:03}"
            got = await self.post("/signin/prove", {"factor": factor, "answer": answer}, handle)
            if got.status_code != 403:
                return

    async def press(self) -> None:
        """One round over everything that an address allows."""
        for _ in range(3):
            for factor in ("password", "email_code"):
                if handle := await self.begin("/signin"):
                    if factor == "email_code":
                        await self.post("/signin/challenge", {"factor": factor}, handle)
                    await self.guess(handle, factor, 10)
            if handle := await self.begin("/recover"):
                await self.guess(handle, "email_code", 10)
            if handle := await self.begin("/signup", password="seventeen purple umbrellas"):
                await self.guess(handle, "email_code", 10)

    async def press_for(self, hours: float, *, every: float = 15) -> None:
        """`every` in minutes."""
        for _ in range(int(hours * 60 / every)):
            await self.press()
            self.the.clock.forward(minutes=every)


@asynccontextmanager
async def owner_at(the: The, ip: str, **cookies: str) -> AsyncIterator[The]:
    """The owner in a browser with these cookies."""
    async with client_for(the.gate, ip) as http:
        for name, value in cookies.items():
            http.cookies.set(name, value)
        yield The(the.gate, the.clock, http)
