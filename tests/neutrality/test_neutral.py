"""Responses do not reveal who has an account: they and the counted work are the same for every address, known or not.

The work is counted, which does not depend on the load of the machine. Time is measured in tests/soak.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from passgate.core import budgets, credentials, jobs, people, usernames
from passgate.core.budgets import Guess, Kind, Target
from passgate.core.ctx import Person as Actor
from passgate.store.tables import budget, outbox, person
from tests.authenticator import Authenticator
from tests.core.behind import OLDER, Folk
from tests.kit import CHEAP, OTHER_PASSWORD, PASSWORD, The, bearer, code_of, handle_of, running, settings_for
from tests.neutrality.watch import Work, outcome, watched
from tests.web.browsing import rule

KINDS = (
    "unknown",
    "known",
    "owner",
    "disabled",
    "no_password",
    "old_hash",
    "passkey_only",
    "with_app",
    "unproved",
    "claimed",
    "locked",
    "ghost",
)
TWINS = {"locked": "ghost", "ghost": "ghost"}
"""The kind that another must equal, if that is not `unknown`: `ghost` is an unknown address with as many refusals."""

OURS = "http://localhost:8000"


@dataclass
class Population:
    """One address of each kind, all of the same length, so that responses do not differ in length. `device` has the
    passkey of `passkey_only`."""

    folk: Folk
    device: Authenticator = field(default_factory=Authenticator)

    @property
    def the(self) -> The:
        return self.folk.the

    def address(self, kind: str) -> str:
        return f"a{ascii_lowercase[KINDS.index(kind)]}@example.com"

    def username(self, email: str) -> str:
        """As long as the address."""
        return email.replace("@", ".")

    async def settle(self) -> None:
        await self.folk.create(self.address("known"))
        await self.folk.create(self.address("owner"), "owner")
        disabled = await self.folk.create(self.address("disabled"))
        await self.folk.create(self.address("no_password"), hashed=None)
        await self.folk.create(self.address("old_hash"), hashed=OLDER)
        await self.give_passkey(await self.folk.create(self.address("passkey_only"), hashed=None))
        await self.give_app(await self.folk.create(self.address("with_app")))
        for kind in ("locked", "unproved", "claimed"):
            await self.folk.create(self.address(kind))
        async with self.folk.ctx.write() as db:
            await people.disable(self.folk.ctx, db, disabled.tenant_id, disabled.person_id)
            for kind in ("unproved", "claimed"):
                claimed_at = self.the.clock() if kind == "claimed" else None
                theirs = update(person).where(person.c.email == self.address(kind))
                await db.change(theirs.values(email_verified_at=None, claimed_at=claimed_at))
        await jobs.tidy(self.the.gate.services)

    async def give_passkey(self, who: Actor) -> None:
        _, token = await self.folk.opened(who.tenant_id, who.person_id)
        offered = await self.the.http.post("/api/v1/me/passkeys", headers=bearer(token))
        answer = self.device.create(offered.json()["challenge"], OURS)
        made = await self.the.http.post("/api/v1/me/passkeys/prove", json={"answer": answer}, headers=bearer(token))
        assert made.status_code == 201, made.text

    async def give_app(self, who: Actor) -> None:
        async with self.folk.ctx.write() as db:
            await credentials.add(self.folk.ctx, db, who.tenant_id, who.person_id, "totp", secret=bytes(20))

    async def prove_passkey(self, handle: str, answer: dict[str, Any]) -> httpx2.Response:
        body = {"factor": "passkey", "answer": answer}
        return await self.the.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))

    async def one_try(self, email: str) -> None:
        handle = handle_of(await self.the.start(email))
        assert code_of(await self.the.prove(handle, "password", OTHER_PASSWORD)) == "proof_refused"

    async def lock(self, kind: str) -> None:
        """Use up the share of strangers; tests/core/test_budgets tests how that comes about."""
        ctx, tenant = self.folk.ctx, await self.folk.tenant()
        at = people.address(self.address(kind)).key
        async with ctx.write() as db:
            found = await people.by_key(db, tenant.id, at)
            target = Target(Guess.AUTHENTICATOR, tenant.id, "password", found["id"] if found else None, at)
            key = budgets.count_key(ctx, target, Kind.STRANGER)
            assert await db.change(update(budget).where(budget.c.key == key).values(used=70)) == 1


@pytest.fixture
async def population(tmp_path: Path, database_url: str | None) -> AsyncIterator[Population]:
    async with running(settings_for(tmp_path, database_url)) as the:
        made = Population(Folk(the))
        await made.settle()
        # One refusal for each, so that every budget has a row before the comparison.
        for kind in KINDS:
            await made.one_try(made.address(kind))
        for kind in ("locked", "ghost"):
            await made.lock(kind)
        yield made


Seen = list[tuple[tuple[object, ...], Work]]


async def signing_in(population: Population, named: str | dict[str, str]) -> Seen:
    """Start, prove with wrong answers, request a challenge and try to finish; each response with its work."""
    seen: Seen = []
    with watched(population.the) as work:
        begun = await population.the.start(**_named(named))
    seen.append((outcome(begun), work))
    handle = handle_of(begun)
    for factor, answer in (("password", OTHER_PASSWORD), ("password", "short"), ("email_code", "12345678")):
        with watched(population.the) as work:
            answered = await population.the.prove(handle, factor, answer)
        seen.append((outcome(answered), work))
    for ask in (population.the.challenge(handle, "password"), population.the.finish(handle)):
        with watched(population.the) as work:
            answered = await ask
        seen.append((outcome(answered), work))
    return seen


def _named(named: str | dict[str, str]) -> dict[str, str]:
    return {"email": named} if isinstance(named, str) else named


async def _mailed(population: Population, begin: Callable[[], Awaitable[object]]) -> Seen:
    """Begin; prove a wrong code and request another mail, twice; then request mails beyond the hourly limit."""
    seen: Seen = []
    with watched(population.the) as work:
        begun = await begin()
    handle = handle_of(begun)  # type: ignore[arg-type]
    seen.append((outcome(begun), work))  # type: ignore[arg-type]
    for _ in range(2):
        with watched(population.the) as work:
            answered = await population.the.prove(handle, "email_code", "00000000")
        seen.append((outcome(answered), work))
        assert code_of(answered) == "proof_refused"
        with watched(population.the) as work:
            answered = await population.the.challenge(handle, "email_code")
        seen.append((outcome(answered), work))
    for _ in range(5):
        with watched(population.the) as work:
            answered = await population.the.challenge(handle, "email_code")
        seen.append((outcome(answered), work))
        assert answered.status_code == 200
    return seen


async def signing_up(population: Population, email: str) -> Seen:
    return await _mailed(population, lambda: population.the.signup(email, PASSWORD))


async def signing_up_without_a_password(population: Population, email: str) -> Seen:
    return await _mailed(population, lambda: population.the.signup(email, None))


async def recovering(population: Population, email: str) -> Seen:
    return await _mailed(population, lambda: population.the.recover(email))


async def by_passkey(population: Population, named: str | dict[str, str]) -> Seen:
    """Name somebody and answer with a passkey that is not registered: two challenges, then the same answer twice."""
    device, seen, options = Authenticator(), Seen(), {}
    device.create(CREATION, OURS)
    handle = handle_of(await population.the.start(**_named(named)))
    for _ in range(2):
        with watched(population.the) as work:
            asked = await population.the.challenge(handle, "passkey")
        options = asked.json()["challenge"]
        assert options["allowCredentials"] == []
        seen.append((outcome(asked, options["challenge"]), work))
    answer = device.get(options, OURS)
    for _ in range(2):
        with watched(population.the) as work:
            answered = await population.prove_passkey(handle, answer)
        seen.append((outcome(answered), work))
        assert code_of(answered) == "proof_refused"
    return seen


async def without_a_handle(population: Population, named: str | dict[str, str]) -> Seen:
    """The same where the challenge alone says which sign-in it is: a wrong answer, and the same again."""
    device, seen = Authenticator(), Seen()
    device.create(CREATION, OURS)
    handle = handle_of(await population.the.start(**_named(named)))
    options = (await population.the.challenge(handle, "passkey")).json()["challenge"]
    answer = device.get(options, OURS)
    email = named if isinstance(named, str) else None
    for code in ("proof_refused", "handle_invalid"):
        with watched(population.the) as work:
            answered = await population.the.complete(answer, email)
        seen.append((outcome(answered), work))
        assert code_of(answered) == code
    return seen


CREATION: dict[str, Any] = {
    "rp": {"id": "localhost"},
    "user": {"id": "AAAAAAAAAAAAAAAAAAAAAA"},
    "challenge": "AA",
    "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
}
"""Made-up creation options, so that a device gets a passkey that no server knows."""

WAYS = (signing_in, signing_up, signing_up_without_a_password, recovering, by_passkey, without_a_handle)


@pytest.mark.parametrize("way", WAYS)
async def test_whoever_it_is(population: Population, way: Callable[[Population, str], Awaitable[Seen]]) -> None:
    seen = {kind: await way(population, population.address(kind)) for kind in KINDS}
    for kind in KINDS:
        twin = seen[TWINS.get(kind, "unknown")]
        for step, ((answer, work), (same, normal)) in enumerate(zip(seen[kind], twin, strict=True)):
            assert answer == same, (kind, step)
            assert work.hashes == normal.hashes, (kind, step)
            assert work.checks == normal.checks, (kind, step)
            assert work.statements == normal.statements, (kind, step)
            assert work.rows == normal.rows, (kind, step)
    assert any(work.hashes for _, work in seen["known"]) is (way in (signing_in, signing_up))
    assert any(work.statements for _, work in seen["known"])


@pytest.mark.parametrize("chosen", ["enrolled", "at_once"])
async def test_whoever_turned_mailed_codes_on(population: Population, chosen: str) -> None:
    """Before the first factor is proved nothing differs between those who turned them on and anybody else."""
    mailed = population.address("known")
    found = await population.folk.tenant()
    async with population.folk.ctx.write() as db:
        known = await people.by_key(db, found.id, mailed)
        assert known is not None
        await credentials.add(population.folk.ctx, db, found.id, known["id"], "email_code")
    rules = {"second_among": ["totp", "email_code"], "mailed_second_factor": chosen}
    await rule(population.the, **rules)
    kinds = ("unknown", "known", "with_app", "no_password")
    for way in (signing_in, by_passkey):
        seen = [await way(population, population.address(kind)) for kind in kinds]
        assert seen[0] == seen[1] == seen[2] == seen[3]


async def ending_a_sign_up(population: Population, email: str) -> Seen:
    """Where the address is proved later: start, finish, and what follows if it is not free."""
    seen: Seen = []
    with watched(population.the) as work:
        begun = await population.the.signup(email, PASSWORD)
    seen.append((outcome(begun), work))
    handle = handle_of(begun)
    with watched(population.the) as work:
        ended = await population.the.finish(handle)
    seen.append((outcome(ended), work))
    if ended.status_code == 201:
        return seen
    assert code_of(ended) == "proof_missing"
    for ask in (population.the.prove(handle, "email_code", "00000000"), population.the.challenge(handle, "email_code")):
        with watched(population.the) as work:
            answered = await ask
        seen.append((outcome(answered), work))
    return seen


async def test_an_address_that_is_proved_later(population: Population) -> None:
    """Nothing tells one address from another before the end. That says whether it is free, and not whose it is if it
    isn't: proved, claimed by somebody, or disabled."""
    await rule(population.the, address_proof="later")
    seen = {kind: await ending_a_sign_up(population, population.address(kind)) for kind in KINDS}
    free = {kind: steps for kind, steps in seen.items() if kind in ("unknown", "ghost")}
    taken = {kind: steps for kind, steps in seen.items() if kind not in free}
    assert {len(steps) for steps in free.values()} == {2}
    begun = {kind: (outcome, work.hashes, work.statements, work.rows) for kind, [(outcome, work), *_] in seen.items()}
    assert all(first == begun["unknown"] for first in begun.values()), begun
    for kind, steps in taken.items():
        for step, ((answer, work), (same, normal)) in enumerate(zip(steps, taken["known"], strict=True)):
            assert answer == same, (kind, step)
            assert (work.hashes, work.statements, work.rows) == (normal.hashes, normal.statements, normal.rows), (
                kind,
                step,
            )


# -- by username -----------------------------------------------------------------------------------


async def give_usernames(population: Population) -> None:
    """To everybody, as long as the others; `unknown` and `ghost` are nobody's."""
    async with population.folk.ctx.write() as db:
        for found in await population.the.rows(person):
            name = usernames.given(population.username(found["email"]), by_oneself=False)
            assert await people.set_username(population.folk.ctx, db, found["tenant_id"], found["id"], name)


async def by_username(population: Population, email: str) -> Seen:
    return await signing_in(population, {"username": population.username(email)})


async def by_username_and_passkey(population: Population, email: str) -> Seen:
    return await by_passkey(population, {"username": population.username(email)})


async def by_username_without_a_handle(population: Population, email: str) -> Seen:
    return await without_a_handle(population, {"username": population.username(email)})


async def by_username_and_mail(population: Population, email: str) -> Seen:
    return await _mailed(population, lambda: population.the.start(username=population.username(email)))


async def by_address_and_mail(population: Population, email: str) -> Seen:
    return await _mailed(population, lambda: population.the.start(email))


@pytest.mark.parametrize(
    "way", [by_username, by_username_and_passkey, by_username_without_a_handle, by_username_and_mail]
)
async def test_whoever_it_is_by_username(
    population: Population, way: Callable[[Population, str], Awaitable[Seen]]
) -> None:
    """Known or not, a username costs and answers what every other does."""
    first = ["email_code"] if way is by_username_and_mail else ["password", "passkey"]
    await give_usernames(population)
    await rule(population.the, usernames="optional", first=first)
    for kind in KINDS:  # a refusal for each of these names too
        handle = handle_of(await population.the.start(username=population.username(population.address(kind))))
        assert code_of(await population.the.prove(handle, first[0], "99999999")) == "proof_refused"
    seen = {kind: await way(population, population.address(kind)) for kind in KINDS}
    for kind in KINDS:
        twin = seen[TWINS.get(kind, "unknown")]
        for step, ((answer, work), (same, normal)) in enumerate(zip(seen[kind], twin, strict=True)):
            assert answer == same, (kind, step)
            assert (work.hashes, work.checks) == (normal.hashes, normal.checks), (kind, step)
            assert work.statements == normal.statements, (kind, step)
            assert work.rows == normal.rows, (kind, step)


async def test_either_name_is_as_much_work(population: Population) -> None:
    """An address that is typed where a username is meant, or the other way round, is no less and no more."""
    await give_usernames(population)
    await rule(population.the, usernames="optional", first=["password", "passkey", "email_code"])
    ways = (
        (signing_in, by_username),
        (by_passkey, by_username_and_passkey),
        (by_address_and_mail, by_username_and_mail),
    )
    for address, username in ways:
        for kind in ("unknown", "known"):
            handle = handle_of(await population.the.start(username=population.username(population.address(kind))))
            assert code_of(await population.the.prove(handle, "password", OTHER_PASSWORD)) == "proof_refused"
            one = await address(population, population.address(kind))
            population.the.clock.forward(3601)  # both names share the mails of one mailbox
            other = await username(population, population.address(kind))
            for (answer, work), (same, normal) in zip(one, other, strict=True):
                assert answer[0] == same[0]
                assert work == normal, (address, kind)


async def test_a_known_passkey_is_no_more_than_an_unknown_one(population: Population) -> None:
    """Somebody who knows the credential id and user handle of another's passkey learns nothing by sending them: with
    the owner's address, another's, an unknown one, or none."""
    [mine] = population.device.credentials
    for email in (population.address("passkey_only"), population.address("known"), population.address("unknown"), None):
        seen = []
        for is_known in (False, True):
            device = Authenticator()
            device.create(CREATION, OURS)
            if is_known:
                device.credentials[0].id, device.credentials[0].user_handle = mine.id, mine.user_handle
            handle = handle_of(await population.the.start(email))
            options = (await population.the.challenge(handle, "passkey")).json()["challenge"]
            with watched(population.the) as work:
                answered = await population.prove_passkey(handle, device.get(options, OURS))
            assert code_of(answered) == "proof_refused"
            seen.append((outcome(answered), work))
        assert seen[0] == seen[1], email
        assert seen[0][1].checks == 1


async def test_the_work_pays_for_every_scheme_in_use(population: Population) -> None:
    """Each check computes one hash per scheme in use, old schemes included, in a fixed order."""
    seen = await signing_in(population, population.address("unknown"))
    assert seen[1][1].hashes == [f"verify m={CHEAP.memory_kib},t=1,p=1", f"verify m={OLDER.memory_kib},t=1,p=1"]


async def test_over_the_limit_nobody_gets_a_mail(population: Population) -> None:
    """At most five mails an hour go to an address, known or not, whichever endpoints cause them."""
    for kind in ("unknown", "known"):
        before = len(await population.the.rows(outbox))
        await recovering(population, population.address(kind))
        await signing_up(population, population.address(kind))
        assert len(await population.the.rows(outbox)) - before == 5


async def test_the_waits_are_the_same(population: Population) -> None:
    """The eleventh refusal in a row gets 429 with the same response for every kind of address."""
    outcomes_by_kind: dict[str, list[tuple[object, ...]]] = {}
    for kind in ("unknown", "known", "disabled", "no_password", "passkey_only", "with_app"):
        answers: list[tuple[object, ...]] = []
        for _ in range(2):
            handle = handle_of(await population.the.start(population.address(kind)))
            answers += [outcome(await population.the.prove(handle, "password", OTHER_PASSWORD)) for _ in range(6)]
        outcomes_by_kind[kind] = answers
    assert len({str(answers) for answers in outcomes_by_kind.values()}) == 1
    statuses = [status for status, *_ in outcomes_by_kind["unknown"]]
    assert (statuses[0], statuses[-1]) == (403, 429)


async def test_a_locked_password_answers_like_a_wrong_one(population: Population) -> None:
    """After a hundred refusals the right password gets the response of a wrong one, as does an unknown address."""
    seen = []
    for kind in ("ghost", "locked", "no_password"):  # the last is not locked: it has no password
        handle = handle_of(await population.the.start(population.address(kind)))
        with watched(population.the) as work:
            answered = await population.the.prove(handle, "password", PASSWORD)
        seen.append((outcome(answered), work))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0][0] == 403


async def test_what_is_refused_is_refused_alike(population: Population) -> None:
    """A password that is too short is refused in the same way for every kind of address."""
    answers = [outcome(await population.the.signup(population.address(kind), "short")) for kind in KINDS]
    assert len({str(answer) for answer in answers}) == 1


async def test_a_session_that_is_none(population: Population) -> None:
    """A token that was not made with our key is refused without a statement; a genuine but unknown one costs two,
    because a step-up may have replaced it."""
    with watched(population.the) as work:
        answer = await population.the.session("pg_ses_" + "A" * 70)
    assert (code_of(answer), work.statements) == ("credential_invalid", [])
    with watched(population.the) as work:
        answer = await population.the.session(population.folk.ctx.ring.mint("pg_ses_").token)
    assert (code_of(answer), len(work.statements)) == ("credential_invalid", 2)


async def test_inviting_reveals_nothing(population: Population) -> None:
    """Whoever invites learns nothing about the address."""
    boss = await population.folk.create("boss@example.com", "owner")
    _, token = await population.folk.opened(*boss.key)
    invited, seen = "/api/v1/invitations", {}
    for email in ("first@example.com", *map(population.address, KINDS)):
        with watched(population.the) as work:
            made = await population.the.http.post(invited, json={"email": email}, headers=bearer(token))
        assert made.status_code == 201, made.text
        assert made.json()["email"] == email
        drawn = {key: len(made.json()[key]) for key in ("id", "email", "created_at", "expires_at")}
        seen[email] = (made.json()["roles"], made.json()["inviter"], drawn, made.headers["content-length"], work)
    del seen["first@example.com"]  # which begins the inviter's own budget
    assert all(one == seen[population.address("unknown")] for one in seen.values())
