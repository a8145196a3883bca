"""Limits on wrong answers: growing waits, the lock after a hundred refusals, the budget of an origin, and what resets
them.

Not here: concurrent attempts; all attempts here are sequential.
"""

from __future__ import annotations

import pytest
from sqlalchemy import update

from passgate.store.tables import budget
from passgate.world import SECOND
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, client_for, code_of, handle_of

WAITS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
WRONG = "wrong horse battery staple"


class Guesser:
    """Tries passwords for one address, with a new handle whenever the old one is used up."""

    def __init__(self, the: The, email: str) -> None:
        self.the, self.email, self.handle, self.left, self.until = the, email, "", 0, 0

    async def try_(self, password: str = WRONG) -> tuple[str, int]:
        """(code or "ok", seconds to wait)"""
        if self.left == 0 or self.the.clock.now >= self.until:
            self.handle, self.left = handle_of(await self.the.start(self.email)), 10
            self.until = self.the.clock.now + 890 * SECOND
        answer = await self.the.prove(self.handle, "password", password)
        if answer.status_code == 200:
            self.left = 0
            return "ok", 0
        code = code_of(answer)
        if code == "throttled":
            assert answer.status_code == 429
            return code, int(answer.headers["retry-after"])
        assert "retry-after" not in answer.headers
        self.left -= 1
        return code, 0

    async def wrong(self, times: int) -> None:
        for _ in range(times):
            assert await self.try_() == ("proof_refused", 0)


async def skip_to(the: The, used: int) -> None:
    """Change the row in the database to so many refusals long ago. This saves computing a hundred hashes."""
    async with the.gate.services.store.write() as db:
        ladders = update(budget).where(budget.c.key.like("p:%") | budget.c.key.like("a:%"))
        assert await db.change(ladders.values(used=used, until_at=0)) == 1


@pytest.mark.parametrize("email", ["anna@example.com", "nobody@example.com"])
async def test_ten_are_free_then_the_waits_double(the: The, email: str) -> None:
    await the.person("anna@example.com")
    guesser = Guesser(the, email)
    await guesser.wrong(10)
    for wait in WAITS:
        assert await guesser.try_() == ("throttled", wait)
        before = await the.rows(budget)
        assert await guesser.try_(PASSWORD) == ("throttled", wait)  # a right one must wait too, and is not counted
        assert await the.rows(budget) == before
        the.clock.forward(wait)
        await guesser.wrong(1)


async def test_a_right_one_ends_the_row(the: The) -> None:
    await the.person("anna@example.com")
    guesser = Guesser(the, "anna@example.com")
    await guesser.wrong(11 - 1)
    the.clock.forward(1)
    assert await guesser.try_(PASSWORD) == ("ok", 0)
    await guesser.wrong(10)
    assert await guesser.try_() == ("throttled", 1)


@pytest.mark.parametrize("email", ["anna@example.com", "nobody@example.com"])
async def test_a_hundred_lock_and_no_answer_reveals_it(the: The, email: str) -> None:
    await the.person("anna@example.com")
    guesser = Guesser(the, email)
    await guesser.wrong(1)
    await skip_to(the, 98)
    if email.startswith("anna"):
        assert await guesser.try_(PASSWORD) == ("ok", 0)  # after 99 refusals the right one still works
        await guesser.wrong(1)
        await skip_to(the, 98)
    await guesser.wrong(1)
    assert await guesser.try_() == ("throttled", 900)
    the.clock.forward(900)
    await guesser.wrong(1)  # the hundredth refusal
    for _ in range(3):
        the.clock.forward(900)
        assert await guesser.try_(PASSWORD) == ("proof_refused", 0)
        assert await guesser.try_(PASSWORD) == ("throttled", 900)
    the.clock.forward(40 * 24 * 3600)
    assert await guesser.try_(PASSWORD) == ("proof_refused", 0)


async def test_recovery_unlocks(the: The) -> None:
    anna = await the.person()
    guesser = Guesser(the, anna.email)
    await guesser.wrong(1)
    await skip_to(the, 100)
    assert await guesser.try_(PASSWORD) == ("proof_refused", 0)
    handle = handle_of(await the.recover(anna.email))
    await the.prove(handle, "email_code", await the.code(anna.email))
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).status_code == 200
    assert await guesser.try_(OTHER_PASSWORD) == ("ok", 0)
    await guesser.wrong(10)


@pytest.mark.parametrize(
    "spellings",
    [
        ["anna@bücher.example", "ANNA@BÜCHER.EXAMPLE", "anna@xn--bcher-kva.example", "Anna@bu\u0308cher.example"],
        ["jos\u00e9@example.com", "jose\u0301@example.com", "JOS\u00c9@example.COM", " jos\u00e9@example.com "],
    ],
    ids=["domain", "local part"],
)
@pytest.mark.parametrize("known", [True, False])
async def test_all_spellings_share_one_row(lite: The, spellings: list[str], known: bool) -> None:
    if known:
        handle = handle_of(await lite.signup(spellings[0]))
        code = (await lite.mails())[0]["code"]
        assert (await lite.prove(handle, "email_code", code)).status_code == 200
        assert (await lite.signup(spellings[2])).status_code == 202
        assert (await lite.mails())[0]["kind"] == "signup_known"
    guessers = [Guesser(lite, spelling) for spelling in spellings]
    for turn in range(10):
        await guessers[turn % len(guessers)].wrong(1)
    for guesser in guessers:
        assert await guesser.try_() == ("throttled", 1)


async def test_handles_of_one_person_share_one_row(lite: The) -> None:
    """Step-up and sign-in check the same password, so they share its row of refusals."""
    anna = await lite.person()
    await Guesser(lite, anna.email).wrong(10)
    begun = await lite.http.post("/api/v1/signin", json={"step_up": {}}, headers=anna.auth)
    answer = await lite.prove(handle_of(begun), "password", PASSWORD)
    assert (code_of(answer), answer.headers["retry-after"]) == ("throttled", "1")
    assert (await lite.events())[-1] == "signin:throttled"


async def test_guessing_codes_locks_nobody_out(the: The) -> None:
    """Wrong codes of a sign-up or a recovery are counted for its handle alone, so they never lock the owner's
    password."""
    anna = await the.person()
    for _ in range(3):
        handle = handle_of(await the.recover(anna.email))
        for _ in range(10):
            assert code_of(await the.prove(handle, "email_code", "00000000")) == "proof_refused"
    await the.signed_in(anna)


ORIGINS = [
    (["203.0.113.7"], "203.0.113.8"),
    (["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:0DB8:0001:0002::9"], "2001:db8:1:3::1"),
    (["::ffff:198.51.100.7", "198.51.100.7"], "::ffff:198.51.100.8"),
]


@pytest.mark.parametrize(("ips", "other"), ORIGINS, ids=["IPv4", "IPv6 /64", "mapped"])
async def test_an_origin_has_a_hundred_refusals_in_ten_minutes(lite: The, ips: list[str], other: str) -> None:
    await lite.person("anna@example.com")
    # Refusing a code of a sign-up is cheap, because nothing is hashed for it.
    handles = [handle_of(await lite.signup(f"n{number}@example.com")) for number in range(10)]
    clients = [client_for(lite.gate, ip) for ip in ips]

    async def prove(client: object, handle: str, answer: str = "00000000", factor: str = "email_code") -> str:
        body = {"factor": factor, "answer": answer}
        got = await client.post("/api/v1/signin/prove", json=body, headers=bearer(handle))  # type: ignore[attr-defined]
        if got.status_code == 429:
            assert 1 <= int(got.headers["retry-after"]) <= 600
        return "ok" if got.status_code == 200 else code_of(got)

    for turn in range(100):
        assert await prove(clients[turn % len(clients)], handles[turn // 10]) == "proof_refused"
    fresh = handle_of(await lite.start("anna@example.com"))
    for client in clients:
        assert await prove(client, fresh, PASSWORD, "password") == "throttled"
    elsewhere = client_for(lite.gate, other)
    assert await prove(elsewhere, fresh, PASSWORD, "password") == "ok"
    lite.clock.forward(600)
    late = handle_of(await lite.start("anna@example.com"))
    assert await prove(clients[0], late, PASSWORD, "password") == "ok"
    for client in (*clients, elsewhere):
        await client.aclose()


async def test_right_answers_cost_an_origin_nothing(lite: The) -> None:
    anna = await lite.person()
    async with client_for(lite.gate, "203.0.113.7") as http:
        there = The(lite.gate, lite.clock, http)
        for _ in range(12):
            await there.signed_in(anna)
    rows = [row["used"] for row in await lite.rows(budget) if row["key"] == "o:203.0.113.7"]
    assert rows == [0]


@pytest.mark.parametrize("ip", ["", "unix", "fe80::1%eth0", "::1%lo", "999.1.1.1", "x" * 300])
async def test_a_peer_without_a_proper_address(lite: The, ip: str) -> None:
    """Unix sockets, zone ids and malformed addresses are counted in some budget and never cause a fault."""
    async with client_for(lite.gate, ip) as http:
        there = The(lite.gate, lite.clock, http)
        handle = handle_of(await there.start("anna@example.com"))
        assert code_of(await there.prove(handle, "password", WRONG)) == "proof_refused"
