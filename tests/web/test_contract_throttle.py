"""Limits on wrong answers over JSON: waits, the shares of strangers, known browsers and step-ups, the budget of an
origin, and what ends or opens them.

Concurrent attempts are tested in tests/races, the arithmetic in tests/core/test_budgets; here all attempts are
sequential.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import update

from passgate.store.tables import budget
from passgate.world import SECOND
from tests import kit
from tests.kit import OTHER_PASSWORD, PASSWORD, Person, The, bearer, client_for, code_of, handle_of

WAITS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
WRONG = "wrong horse battery staple"
SHARES = {"stranger": 70, "known": 20, "step_up": 10}


class Guesser:
    """Tries passwords for one address, with a new handle whenever the old one is used up. `auth` makes the sign-ins
    step-ups of a session."""

    def __init__(self, the: The, email: str, auth: dict[str, str] | None = None) -> None:
        self.the, self.email, self.auth, self.handle, self.left, self.until = the, email, auth, "", 0, 0

    async def begin(self) -> str:
        if self.auth is None:
            return handle_of(await self.the.start(self.email))
        return handle_of(await self.the.http.post("/api/v1/signin", json={"step_up": {}}, headers=self.auth))

    async def try_(self, password: str = WRONG) -> tuple[str, int]:
        """(code or "ok", seconds to wait)"""
        if self.left == 0 or self.the.clock.now >= self.until:
            self.handle, self.left = await self.begin(), 10
            self.until = self.the.clock.now + 890 * SECOND
        answer = await self.the.prove(self.handle, "password", password)
        if answer.status_code == 200:
            self.left = 0
            return "ok", 0
        code, self.left = code_of(answer), self.left - 1
        if code == "throttled":
            assert answer.status_code == 429
            return code, int(answer.headers["retry-after"])
        assert "retry-after" not in answer.headers
        return code, 0

    async def wrong(self, times: int) -> None:
        for _ in range(times):
            assert await self.try_() == ("proof_refused", 0)


async def skip_to(the: The, used: int, kind: str = "stranger") -> None:
    """Change the row in the database to so many refusals. This saves computing as many hashes."""
    async with the.gate.services.store.write() as db:
        mine = update(budget).where(budget.c.key.like(f"n:{kind}:password:%"))
        assert await db.change(mine.values(used=used, until_at=0)) == 1


async def counted(the: The, start: str) -> dict[str, int]:
    """The counts of the rows whose keys begin like this."""
    return {row["key"]: row["used"] for row in await the.rows(budget) if row["key"].startswith(start)}


async def in_browser(the: The, who: Person, ip: str = "127.0.0.1") -> The:
    """A client that carries the cookie of a browser in which the person has signed in, and no session."""
    handle = handle_of(await the.start(who.email))
    assert (await the.prove(handle, "password", who.password)).status_code == 200
    done = await the.finish(handle, "cookie")
    [pair] = [each.partition(";")[0] for each in done.headers.get_list("set-cookie") if "known=" in each]
    the.http.cookies.clear()
    client = client_for(the.gate, ip)
    client.headers["cookie"] = pair
    return The(the.gate, the.clock, client)


# -- waits and shares ------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["anna@example.com", "nobody@example.com"])
async def test_ten_are_free_then_the_waits_double(the: The, email: str) -> None:
    """Who tries too soon costs the origin one, also with a right answer, and changes nothing else."""
    await the.person("anna@example.com")
    guesser = Guesser(the, email)
    await guesser.wrong(10)
    for wait in WAITS:
        assert await guesser.try_() == ("throttled", wait)
        before = [await counted(the, start) for start in ("n:", "w:")]
        [refusals] = (await counted(the, "o:refusals:")).values()
        assert await guesser.try_(PASSWORD) == ("throttled", wait)
        assert [await counted(the, start) for start in ("n:", "w:")] == before
        assert list((await counted(the, "o:refusals:")).values()) == [refusals + 1]
        the.clock.forward(wait)
        await guesser.wrong(1)


async def test_a_right_one_ends_the_row_and_not_the_waits(the: The) -> None:
    await the.person("anna@example.com")
    guesser = Guesser(the, "anna@example.com")
    await guesser.wrong(11 - 1)
    the.clock.forward(1)
    assert await guesser.try_(PASSWORD) == ("ok", 0)
    assert await counted(the, "n:") == {}
    await guesser.wrong(1)
    assert list((await counted(the, "n:")).values()) == [1]
    assert await guesser.try_() == ("throttled", 2)
    the.clock.forward(24 * 3600)
    await guesser.wrong(10)
    assert await guesser.try_() == ("throttled", 1)


@pytest.mark.parametrize("email", ["anna@example.com", "nobody@example.com"])
async def test_seventy_lock_for_strangers_and_no_answer_reveals_it(the: The, email: str) -> None:
    await the.person("anna@example.com")
    guesser = Guesser(the, email)
    await guesser.wrong(1)
    await skip_to(the, 68)
    if email.startswith("anna"):
        await guesser.wrong(1)
        assert await guesser.try_(PASSWORD) == ("ok", 0)  # after 69 refusals the right one still works
        await guesser.wrong(1)
        await skip_to(the, 68)
    await guesser.wrong(2)  # the seventieth refusal
    assert (await the.events())[-1] == "account:factor:locked"
    for _ in range(3):
        assert await guesser.try_(PASSWORD) == ("proof_refused", 0)
    the.clock.forward(40 * 24 * 3600)
    assert await guesser.try_(PASSWORD) == ("proof_refused", 0)
    assert (await the.events()).count("account:factor:locked") == 1


async def test_a_try_that_comes_too_soon_costs_the_handle_one_of_its_ten(lite: The) -> None:
    anna = await lite.person()
    await Guesser(lite, anna.email).wrong(10)
    before = await lite.events()
    handle = handle_of(await lite.start(anna.email))
    codes = [code_of(await lite.prove(handle, "password", PASSWORD)) for _ in range(11)]
    assert codes == ["throttled"] * 10 + ["handle_invalid"]
    lite.clock.forward(1)
    assert code_of(await lite.prove(handle, "password", PASSWORD)) == "handle_invalid"
    assert (await lite.events(), lite.gate.services.tally["throttled"]) == (before, 10)


@pytest.mark.parametrize("kind", ["known", "step_up"])
async def test_strangers_shut_out_neither_a_known_browser_nor_a_session(lite: The, kind: str) -> None:
    """Owners have waits and a share of their own, and their right answer opens the factor for strangers too."""
    anna = await lite.person()
    there = await in_browser(lite, anna) if kind == "known" else lite
    stranger, owner = Guesser(lite, anna.email), Guesser(there, anna.email, None if kind == "known" else anna.auth)
    await stranger.wrong(9)
    await skip_to(lite, 70)
    assert await stranger.try_(PASSWORD) == ("proof_refused", 0)
    assert await stranger.try_(PASSWORD) == ("throttled", 1)
    await owner.wrong(3)
    assert await owner.try_(PASSWORD) == ("ok", 0)
    assert await counted(lite, "n:") == {}
    lite.clock.forward(1)
    assert await stranger.try_(PASSWORD) == ("ok", 0)
    if there is not lite:
        await there.http.aclose()


@pytest.mark.parametrize("kind", ["known", "step_up"])
async def test_owners_have_waits_and_a_share_too(lite: The, kind: str) -> None:
    anna = await lite.person()
    there = await in_browser(lite, anna) if kind == "known" else lite
    owner = Guesser(there, anna.email, None if kind == "known" else anna.auth)
    await owner.wrong(1)
    await skip_to(lite, SHARES[kind] - 1, kind)
    await owner.wrong(1)
    assert (await lite.events())[-1] == "account:factor:locked"
    assert await owner.try_(PASSWORD) == ("throttled", WAITS[SHARES[kind] - 10])
    lite.clock.forward(WAITS[SHARES[kind] - 10])
    assert await owner.try_(PASSWORD) == ("proof_refused", 0)
    assert await Guesser(lite, anna.email).try_(PASSWORD) == ("ok", 0)
    assert await counted(lite, "n:") == {}
    if there is not lite:
        await there.http.aclose()


async def test_after_five_refusals_a_known_browser_is_a_strangers(lite: The) -> None:
    anna = await lite.person()
    known = await in_browser(lite, anna)
    await Guesser(lite, anna.email).wrong(1)
    await skip_to(lite, 70)
    assert await Guesser(known, anna.email).try_(PASSWORD) == ("ok", 0)
    await Guesser(lite, anna.email).wrong(1)
    await skip_to(lite, 70)
    await Guesser(known, anna.email).wrong(5)
    assert await Guesser(known, anna.email).try_(PASSWORD) == ("proof_refused", 0)
    assert {key.split(":")[1]: used for key, used in (await counted(lite, "n:")).items()} == {
        "stranger": 71,
        "known": 5,
    }
    await known.http.aclose()


async def test_recovery_unlocks(the: The) -> None:
    anna = await the.person()
    guesser = Guesser(the, anna.email)
    await guesser.wrong(1)
    await skip_to(the, 70)
    assert await guesser.try_(PASSWORD) == ("proof_refused", 0)
    handle = handle_of(await the.recover(anna.email))
    await the.prove(handle, "email_code", await the.code(anna.email))
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).status_code == 200
    assert await counted(the, "n:") == {}
    assert await guesser.try_(OTHER_PASSWORD) == ("ok", 0)


async def test_the_owner_unlocks_a_factor(the: The) -> None:
    """With a fresh proof, and only what they have."""
    anna = await the.person()
    guesser = Guesser(the, anna.email)
    await guesser.wrong(1)
    await skip_to(the, 70)
    assert await guesser.try_(PASSWORD) == ("proof_refused", 0)

    async def unlock(factor: str) -> httpx2.Response:
        return await the.http.post("/api/v1/me/unlock", json={"factor": factor}, headers=anna.auth)

    assert [code_of(await unlock(factor)) for factor in ("totp", "nothing")] == ["not_found"] * 2
    assert list((await counted(the, "n:")).values()) == [71]
    assert (await unlock("password")).status_code == 204
    assert ((await the.events())[-1], await counted(the, "n:")) == ("account:factor:unlocked", {})
    assert await guesser.try_(PASSWORD) == ("ok", 0)
    await guesser.wrong(1)
    the.clock.forward(300)
    assert code_of(await unlock("password")) == "insufficient_user_authentication"
    assert list((await counted(the, "n:")).values()) == [1]


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


# -- codes -----------------------------------------------------------------------------------------


async def test_guessing_codes_locks_nobody_out(the: The) -> None:
    """Fifty wrong codes of one purpose and address end its codes for that day and nothing else: neither the password
    nor the codes of another purpose, and the mails still carry a link."""
    anna = await the.person()
    for _ in range(5):
        handle = handle_of(await the.recover(anna.email))
        for _ in range(10):
            assert code_of(await the.prove(handle, "email_code", "00000000")) == "proof_refused"
        the.clock.forward(900)
    [mail, *earlier] = [mail for mail in await the.mails(anna.email) if mail["kind"] == "recovery_code"]
    handle = handle_of(await the.recover(anna.email))
    assert code_of(await the.prove(handle, "email_code", mail["code"])) == "proof_refused"
    [last, *before] = [mail for mail in await the.mails(anna.email) if mail["kind"] == "recovery_code"]
    assert (last["code"], bool(last["link"]), before) == (None, True, [mail, *earlier])
    await the.signed_in(anna)
    the.clock.forward(24 * 3600)
    handle = handle_of(await the.recover(anna.email))
    assert (await the.prove(handle, "email_code", await the.code(anna.email))).status_code == 200


# -- origins ---------------------------------------------------------------------------------------


ORIGINS = [
    (["203.0.113.7"], "203.0.113.8"),
    (["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:0DB8:0001:0002::9"], "2001:db8:1:3::1"),
    (["::ffff:198.51.100.7", "198.51.100.7"], "::ffff:198.51.100.8"),
]


async def answer_of(client: httpx2.AsyncClient, handle: str, factor: str = "password", answer: str = PASSWORD) -> str:
    body = {"factor": factor, "answer": answer}
    got = await client.post("/api/v1/signin/prove", json=body, headers=bearer(handle))
    if got.status_code == 429:
        assert 1 <= int(got.headers["retry-after"]) <= 600
    return "ok" if got.status_code == 200 else code_of(got)


@pytest.mark.parametrize(("ips", "other"), ORIGINS, ids=["IPv4", "IPv6 /64", "mapped"])
async def test_an_origin_has_a_hundred_refusals_in_ten_minutes(lite: The, ips: list[str], other: str) -> None:
    """Strangers there wait then, also with a right answer; a known browser and a session behind the same address do
    not."""
    anna = await lite.person("anna@example.com")
    # Refusing a code of a sign-up is cheap, because nothing is hashed for it.
    handles = [handle_of(await lite.signup(f"n{number}@example.com")) for number in range(10)]
    fresh, own = handle_of(await lite.start(anna.email)), handle_of(await lite.start(anna.email))
    stepping = handle_of(await lite.http.post("/api/v1/signin", json={"step_up": {}}, headers=anna.auth))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_for(lite.gate, ip)) for ip in ips]
        elsewhere = await stack.enter_async_context(client_for(lite.gate, other))
        browser = await stack.enter_async_context((await in_browser(lite, anna, ips[0])).http)
        for turn in range(100):
            got = await answer_of(clients[turn % len(clients)], handles[turn // 10], "email_code", "00000000")
            assert got == "proof_refused"
        for client in clients:
            assert await answer_of(client, fresh) == "throttled"
        assert [await answer_of(browser, own), await answer_of(clients[0], stepping)] == ["ok", "ok"]
        assert await answer_of(elsewhere, fresh) == "ok"
        lite.clock.forward(600)
        assert await answer_of(clients[0], handle_of(await lite.start(anna.email))) == "ok"


async def test_an_origin_that_has_used_up_its_starts_causes_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever hashes, mails or writes on a stranger's word is refused before it does. Another origin starts."""
    async with kit.running(kit.settings_for(tmp_path, limit={"starts": 3}), ip="203.0.113.7") as the:
        handle = handle_of(await the.signup("anna@example.com"))
        for _ in range(2):
            await the.start("anna@example.com")
        before = await the.everything()
        monkeypatch.setattr(the.gate.services.hasher, "run", None)
        for answer in (
            await the.signup("bert@example.com"),
            await the.start("anna@example.com"),
            await the.start(),
            await the.recover("anna@example.com"),
            await the.challenge(handle, "email_code"),
        ):
            assert (code_of(answer), answer.headers["retry-after"]) == ("throttled", "600")
        assert await the.everything() == before
        async with client_for(the.gate, "203.0.113.8") as http:
            assert (await The(the.gate, the.clock, http).start("anna@example.com")).status_code == 201
        the.clock.forward(600)
        assert (await the.start("anna@example.com")).status_code == 201


async def test_right_answers_cost_an_origin_nothing(lite: The) -> None:
    """A finished sign-in leaves the start and its bytes."""
    anna = await lite.person()
    async with client_for(lite.gate, "203.0.113.7") as http:
        there = The(lite.gate, lite.clock, http)
        for _ in range(12):
            await there.signed_in(anna)
    origin = {key.split(":")[1]: used for key, used in (await counted(lite, "o:")).items() if key.endswith(".7")}
    assert (origin.pop("bytes") > 0, origin) == (True, {"starts": 12, "rows": 0, "refusals": 0})


@pytest.mark.parametrize("ip", ["", "unix", "fe80::1%eth0", "::1%lo", "999.1.1.1", "x" * 300])
async def test_a_peer_without_a_proper_address(lite: The, ip: str) -> None:
    """Unix sockets, zone ids and malformed addresses are counted in some budget and never cause a fault."""
    async with client_for(lite.gate, ip) as http:
        there = The(lite.gate, lite.clock, http)
        handle = handle_of(await there.start("anna@example.com"))
        assert code_of(await there.prove(handle, "password", WRONG)) == "proof_refused"
