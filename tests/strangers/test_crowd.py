"""Many at once: honest people behind one address with a stranger among them, floods of sign-ups, and thousands of
starts. What they cost stays bounded, and who is known does not wait for them.

What one counter does is tested in tests/core/test_budgets and tests/core/test_throttle.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from passgate.core import jobs, known, signin, starts
from passgate.core.budgets import BYTES, REFUSALS, ROWS
from passgate.core.ctx import Ctx, Origin
from passgate.core.policy import Enough
from passgate.errors import Throttled
from passgate.hashing import Hasher, Queue, _Threads
from passgate.store.tables import audit_event, outbox, sign_in, ticket
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, PASSWORD, The, client_for, code_of, handle_of, running, settings_for
from tests.strangers.attack import owner_at
from tests.strangers.test_known import cookie_of

OFFICE = "203.0.113.5"
PEOPLE = 500


async def known_browser(folk: Folk, email: str) -> str:
    """The cookie of a person's browser, made from behind."""
    who, ctx = await folk.create(email), Ctx(folk.the.gate.services, Origin(OFFICE))
    async with ctx.write() as db:
        return await known.renewed(ctx, db, who.tenant_id, who.person_id)


async def test_five_hundred_behind_one_address(lite: The) -> None:
    """A stranger there uses up the address's refusals and is shut out; everybody who is known there signs in."""
    folk = Folk(lite)
    cookies = [await known_browser(folk, f"p{number}@example.com") for number in range(PEOPLE)]
    async with owner_at(lite, OFFICE) as stranger:
        for number in range(REFUSALS // 10):
            handle = handle_of(await stranger.start(f"n{number}@example.com"))
            for _ in range(10):
                assert code_of(await stranger.prove(handle, "password", OTHER_PASSWORD)) == "proof_refused"
        handle = handle_of(await stranger.start("p0@example.com"))
        assert code_of(await stranger.prove(handle, "password", PASSWORD)) == "throttled"
        async with client_for(lite.gate, OFFICE) as http:
            http.cookies.set("passgate_known", cookies[0])
            first = The(lite.gate, lite.clock, http)
            assert (await first.prove(handle_of(await first.start("p0@example.com")), "password", PASSWORD)).is_success
        for number, cookie in enumerate(cookies):
            ctx = Ctx(lite.gate.services, Origin(OFFICE, known=cookie))
            begun = await starts.sign_in(ctx, f"p{number}@example.com", None)
            assert isinstance(await signin.prove(ctx, begun.handle, "password", PASSWORD), Enough)
            assert (await signin.finish(ctx, begun.handle, carrier="cookie")).known
        handle = handle_of(await stranger.start("p0@example.com"))
        assert code_of(await stranger.prove(handle, "password", PASSWORD)) == "throttled"


async def test_thousands_of_starts(lite: The) -> None:
    """Ten thousand of them are in tests/soak."""
    await many_starts(lite, 2500)


async def many_starts(lite: The, count: int) -> None:
    """From many /64 of one network: rows and bytes are bounded by the /48, and the trail has not a row of them."""
    before, refused = len(await lite.rows(audit_event)), 0
    for number in range(count):
        ctx = Ctx(lite.gate.services, Origin(f"2001:db8:7:{number % 500:x}::1"))
        try:
            await starts.sign_in(ctx, f"n{number}@example.com", None)
        except Throttled:
            refused += 1
    rows = await lite.rows(sign_in)
    assert len(rows) == count - refused == 10 * ROWS
    assert sum(len(row["data_sealed"]) for row in rows) <= 10 * BYTES
    assert len(await lite.rows(audit_event)) == before
    assert lite.gate.services.tally["started_signin"] == len(rows)
    lite.clock.forward(2 * 3600)
    await jobs.purge(lite.gate.services)
    assert await lite.rows(sign_in) == []


@pytest.mark.parametrize("path", ["/signup", "/recover"])
async def test_what_mails_is_bounded_too(lite: The, path: str) -> None:
    """Thirty mails an hour to addresses that belong to nobody, and two hundred unfinished rows; known addresses get
    theirs. The answers are the same."""
    folk, statuses = Folk(lite), []
    await folk.create("anna@example.com")
    async with client_for(lite.gate, OFFICE) as http:
        for number in range(220):
            answer = await http.post(f"/api/v1{path}", json={"email": f"n{number}@example.com"})
            statuses.append(answer.status_code)
            lite.clock.forward(3)
        assert statuses == [202] * ROWS + [429] * 20
        assert len(await lite.rows(outbox)) == 30
    async with client_for(lite.gate, OFFICE) as http:
        lite.clock.forward(3600)
        for number in range(30):
            await http.post(f"/api/v1{path}", json={"email": f"m{number}@example.com"})
        assert (await http.post(f"/api/v1{path}", json={"email": "anna@example.com"})).status_code == 202
    kinds = [row["kind"] for row in await lite.rows(outbox)]
    assert kinds.count({"/signup": "signup_known", "/recover": "recovery_code"}[path]) == 1


async def test_what_was_not_delivered_cannot_be_answered(lite: The) -> None:
    """Past the mails of an hour the ticket has a secret that no code fits, and other codes are not its own."""
    handles = [handle_of(await lite.signup("new@example.com")) for _ in range(6)]
    mails = await lite.mails("new@example.com")
    assert len(mails) == 5
    for mail in mails:
        assert code_of(await lite.prove(handles[-1], "email_code", str(mail["code"]))) == "proof_refused"
    secrets = [row["secret_hash"] for row in await lite.rows(ticket)]
    assert sorted(len(secret) for secret in secrets) == [36] * 6
    assert (await lite.prove(handles[4], "email_code", str(mails[0]["code"]))).status_code == 200


async def test_an_undelivered_ticket_accepts_no_code_at_all(lite: The, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the eight digits that were drawn for it: with every draw the same, they are known, and still refused."""
    monkeypatch.setattr(type(lite.gate.services.world), "digits", lambda _self, _count: "12345678")
    handles = [handle_of(await lite.signup("new@example.com")) for _ in range(6)]
    assert code_of(await lite.prove(handles[5], "email_code", "12345678")) == "proof_refused"
    assert (await lite.prove(handles[4], "email_code", "12345678")).status_code == 200


async def test_the_bytes_of_an_origin(lite: The) -> None:
    """A megabyte an hour: large profiles are refused before two hundred rows are there."""
    profile, statuses = {"text": "x" * 12_000}, []
    async with client_for(lite.gate, OFFICE) as http:
        for number in range(100):
            body = {"email": f"n{number}@example.com", "profile": profile}
            statuses.append((await http.post("/api/v1/signup", json=body)).status_code)
    assert 75 < statuses.count(202) <= BYTES // 12_000
    assert sum(len(row["data_sealed"]) for row in await lite.rows(sign_in)) <= BYTES * 1.01


async def test_a_finished_sign_in_gives_its_room_back(lite: The) -> None:
    """Two hundred an hour are those that nobody finished."""
    anna = await lite.person()
    async with client_for(lite.gate, OFFICE) as http:
        there = The(lite.gate, lite.clock, http)
        for _ in range(ROWS + 20):
            await there.signed_in(anna)
            lite.clock.forward(3)


@pytest.mark.parametrize("connections", [200, 500])
async def test_known_people_do_not_wait_for_new_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    """Hundreds of sign-ups are waiting to be hashed, and strangers' checks: a known browser's check is the next one to
    get a thread, whatever waits. Each sign-up holds its thread for a while, so that they wait on any machine, and the
    order is that of turns: when a thread begins is the system's business."""
    asked, turns, waited = list[Queue](), list[Queue](), list[int]()
    is_over, taken, real = threading.Event(), _Threads.take, Hasher.run

    async def take(self: _Threads, queue: Queue) -> None:
        before = len(turns)
        asked.append(queue)
        await taken(self, queue)
        if queue is Queue.OWNERS:
            waited.append(len(turns) - before)
        turns.append(queue)

    async def run(self: Hasher, queue: Queue, work: Callable[..., object], *given: object) -> object:
        def slowly(*more: object) -> object:
            is_over.wait(0.2)
            return work(*more)

        return await real(self, queue, slowly if queue is Queue.SIGN_UPS else work, *given)

    def waiting() -> int:
        return asked.count(Queue.SIGN_UPS) - turns.count(Queue.SIGN_UPS)

    hashing = {"memory_kib": 8192, "passes": 2, "threads": 2, "deadline": 60}
    async with running(settings_for(tmp_path, hash=hashing)) as the:
        anna = await the.person()
        cookie = await cookie_of(the, anna)
        monkeypatch.setattr(_Threads, "take", take)
        monkeypatch.setattr(Hasher, "run", run)
        flood = [asyncio.create_task(the.signup(f"n{number}@example.com")) for number in range(connections)]
        guesses = [asyncio.create_task(guessed(the, f"g{number}@example.com")) for number in range(20)]
        try:
            while turns.count(Queue.SIGN_UPS) < 3 or waiting() < connections // 2:  # noqa: ASYNC110  no event says this
                await asyncio.sleep(0.01)
            async with owner_at(the, "198.51.100.2", passgate_known=cookie) as there:
                handle = handle_of(await there.start(anna.email))
                assert (await there.prove(handle, "password", PASSWORD)).status_code == 200
            assert waiting() > 0, "the flood is not over"
            assert waited in ([0], [1]), "at most the hash that was about to begin"
        finally:
            is_over.set()
            answers = await asyncio.gather(*flood)
            await asyncio.gather(*guesses)
        assert {answer.status_code for answer in answers} <= {202, 503}


async def guessed(the: The, email: str) -> None:
    handle = handle_of(await the.start(email))
    await the.prove(handle, "password", OTHER_PASSWORD)
