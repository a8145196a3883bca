"""Whatever has happened to an address, a stranger cannot tell: known, unknown, deleted, deleted and signed up again,
locked. The same history at each, of guesses, mails, waiting, purges, key rotations and the owner's own sign-ins, gives
equal answers and equal counted work at every step.

Single requests are compared in tests/neutrality.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from passgate.core import budgets, jobs, people
from passgate.core.budgets import SHARES, Guess, Kind, Target
from passgate.core.ctx import Ctx
from passgate.store.tables import budget
from tests import operating
from tests.core.behind import Folk
from tests.kit import (
    OTHER_PASSWORD,
    PASSWORD,
    Person,
    The,
    bearer,
    client_for,
    code_of,
    handle_of,
    running,
    settings_for,
)
from tests.neutrality.watch import Work, outcome, watched
from tests.strangers.attack import owner_at
from tests.strangers.test_known import cookie_of

KINDS = ("unknown", "known", "deleted", "returned", "locked")
NUMBERS = itertools.count()
Seen = list[tuple[tuple[object, ...], Work]]

STEPS = st.sampled_from(
    ["guess", "guess", "guesses", "code", "mail", "sign_up", "owner", "owner", "purge", "rotate", 1, 30, 901, 86_401]
)


@dataclass
class Subject:
    """One address, and the stranger who tries it from a network of their own."""

    the: The
    kind: str
    email: str
    http: httpx2.AsyncClient
    seen: Seen = field(default_factory=list)
    mailed: str = ""
    known: str = ""
    """The cookie of the owner's browser."""

    async def ask(self, request: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        with watched(self.the) as work:
            answer = await request()
        self.seen.append((outcome(answer), work))
        return answer

    async def post(self, path: str, body: dict[str, object], handle: str = "") -> httpx2.Response:
        headers = bearer(handle) if handle else {}
        return await self.ask(lambda: self.http.post(f"/api/v1{path}", json=body, headers=headers))

    async def prove(self, handle: str, factor: str, answer: str) -> httpx2.Response:
        return await self.post("/signin/prove", {"factor": factor, "answer": answer}, handle)

    async def step(self, name: str) -> None:
        """One step of the stranger's, or of the owner's, who is not watched."""
        match name:
            case "guess" | "guesses":
                handle = str((await self.post("/signin", {"email": self.email})).json()["handle"])
                for _ in range(1 if name == "guess" else 11):
                    await self.prove(handle, "password", OTHER_PASSWORD)
            case "mail":
                self.mailed = str((await self.post("/recover", {"email": self.email})).json()["handle"])
            case "code" if self.mailed:
                await self.prove(self.mailed, "email_code", "00000000")
            case "sign_up":
                body: dict[str, object] = {"email": self.email, "password": PASSWORD}
                await self.post("/signup", body)
            case "owner":
                await self.owner()
            case _:
                pass

    async def owner(self) -> None:
        """The owner signs in at home, in a known browser, if there is an owner."""
        if not self.known:
            return
        async with owner_at(self.the, "198.51.100.1", passgate_known=self.known) as there:
            handle = handle_of(await there.start(self.email))
            assert (await there.prove(handle, "password", PASSWORD)).status_code == 200
            assert (await there.finish(handle)).status_code == 201


@dataclass
class Five:
    the: The
    subjects: list[Subject]

    async def run(self, steps: list[str | int]) -> None:
        for step in steps:
            if isinstance(step, int):
                self.the.clock.forward(step)
            elif step == "purge":
                await jobs.purge(self.the.gate.services)
            elif step == "rotate":
                await operating.rotate_keys(Ctx(self.the.gate.services))
            else:
                for subject in self.subjects:
                    await subject.step(step)

    def compare(self) -> None:
        unknown, *others = self.subjects
        for other in others:
            assert len(other.seen) == len(unknown.seen)
            for number, ((answer, work), (same, normal)) in enumerate(zip(other.seen, unknown.seen, strict=True)):
                assert answer == same, (other.kind, number)
                assert work.hashes == normal.hashes, (other.kind, number)
                assert work.statements == normal.statements, (other.kind, number)
                assert work.rows == normal.rows, (other.kind, number)


async def five(the: The) -> Five:
    """Fresh addresses of one length, each with the history of its kind."""
    folk, number, subjects = Folk(the), next(NUMBERS), []
    for index, kind in enumerate(KINDS):
        email = f"{kind[0]}{number:04}@example.com"
        if kind != "unknown":
            await folk.create(email)
        if kind in ("deleted", "returned"):
            await erase(folk, email)
        if kind == "returned":
            await folk.create(email)
        made = Subject(the, kind, email, client_for(the.gate, f"203.0.113.{index + 1}"))
        if kind in ("known", "returned", "locked"):
            made.known = await cookie_of(the, Person(email, PASSWORD))
        if kind == "locked":
            await lock(folk, email)
        subjects.append(made)
    await jobs.tidy(the.gate.services)
    return Five(the, subjects)


async def erase(folk: Folk, email: str) -> None:
    tenant = await folk.tenant()
    async with folk.ctx.write() as db:
        found = await people.by_key(db, tenant.id, email)
        assert found is not None
        await people.erase(db, tenant.id, found["id"])
        await budgets.forget(db, found["id"], tuple(folk.ctx.factors.proofs))


async def lock(folk: Folk, email: str) -> None:
    """Strangers have used up their share, long ago."""
    tenant = await folk.tenant()
    async with folk.ctx.write() as db:
        found = await people.by_key(db, tenant.id, email)
        assert found is not None
        key = budgets.count_key(
            folk.ctx, Target(Guess.AUTHENTICATOR, tenant.id, "password", found["id"]), Kind.STRANGER
        )
        await db.add(budget, key=key, used=SHARES[Kind.STRANGER], until_at=0, expires_at=2**62)


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[The]:
    async with running(settings_for(tmp_path, mail={"per_hour": 3})) as the:
        yield the


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=20))
async def test_a_stranger_sees_no_difference(shared: The, steps: list[str | int]) -> None:
    found = await five(shared)
    await found.run(steps)
    found.compare()
    shared.clock.forward(2 * 24 * 3600)  # nothing of this example is left for the next one


async def test_the_owners_sign_in_is_not_seen(shared: The) -> None:
    """The owner's own success clears the refusals of the account, and nothing that a stranger could see."""
    found = await five(shared)
    await found.run(["guesses", 901, "guess"])
    for subject in found.subjects:
        await subject.owner()
    await found.run(["guess", "guess", 901, "guesses", "purge", 86_401, "guesses"])
    found.compare()


async def test_the_comparison_sees_a_difference(shared: The) -> None:
    """A control: if waits were cleared for somebody, the comparison would fail."""
    found = await five(shared)
    await found.run(["guesses"])
    folk, tenant = Folk(shared), await Folk(shared).tenant()
    mac = budgets.address_mac(folk.ctx, tenant.id, found.subjects[1].email)
    async with folk.ctx.write() as db:
        cleared = update(budget).where(budget.c.key == f"w:password:{mac}").values(used=0, until_at=0)
        assert await db.change(cleared) == 1
    await found.run(["guess"])
    with pytest.raises(AssertionError):
        found.compare()


async def test_waits_fall_by_time_alone(the: The) -> None:
    """A row lives a day from its first refusal, whoever was right meanwhile."""
    anna = await the.person()
    for email in (anna.email, "nobody@example.com"):
        handle = handle_of(await the.start(email))
        for _ in range(10):
            await the.prove(handle, "password", OTHER_PASSWORD)
    the.clock.forward(1)
    await the.signed_in(anna)  # as a stranger: no refusal, so it takes no step of the ladder
    for email in (anna.email, "nobody@example.com"):
        handle = handle_of(await the.start(email))
        assert code_of(await the.prove(handle, "password", OTHER_PASSWORD)) == "proof_refused"
        assert code_of(await the.prove(handle, "password", OTHER_PASSWORD)) == "throttled"
    the.clock.forward(24 * 3600)
    for email in (anna.email, "nobody@example.com"):
        handle = handle_of(await the.start(email))
        answers = [code_of(await the.prove(handle, "password", OTHER_PASSWORD)) for _ in range(10)]
        assert answers == ["proof_refused"] * 10


async def test_the_owners_own_visit_begins_no_row(the: The) -> None:
    """The owner's first use of the day is a right answer in a new browser: the life of the waits is still counted from
    the stranger's first try, as for an address that nobody has."""
    anna = await the.person()
    waits: dict[str, list[str]] = {anna.email: [], "nobody@example.com": []}
    await the.signed_in(anna)
    the.clock.forward(12 * 3600)
    for hours in (0, 11, 2, 11, 2):
        the.clock.forward(hours * 3600)
        for email, codes in waits.items():
            handle = handle_of(await the.start(email))
            codes += [code_of(await the.prove(handle, "password", OTHER_PASSWORD)) for _ in range(8)]
    assert waits[anna.email] == waits["nobody@example.com"]
    assert {"proof_refused", "throttled"} == set(waits[anna.email])
