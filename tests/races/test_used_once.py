"""Fifty concurrent uses of everything that may be used once: one succeeds, the others are refused, and at most one mail
is sent.

What the API uses is sent to two processes; what only a page uses is called in two Passgates over one database. Mailed
sign-up codes and handles are tested in test_signing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from passgate.app import Passgate
from passgate.core import address, by_challenge, recovery, signin, starts
from passgate.core.ctx import Ctx
from passgate.core.factors import passkey
from passgate.core.factors.totp import PERIOD, code_at
from passgate.errors import Refusal
from passgate.store.tables import audit_event, credential, person, session
from passgate.world import World
from tests import operating
from tests.authenticator import Authenticator, b64
from tests.core.behind import HERE, Folk
from tests.core.having import (
    add_codes,
    add_passkey,
    begun,
    challenged,
    me,
    offered_passkey,
    prove,
    prove_each,
    unspelled,
)
from tests.kit import (
    OTHER_PASSWORD,
    PASSWORD,
    Clock,
    Person,
    The,
    client_for,
    handle_of,
    make_quick,
    settings_for,
)
from tests.processes import Deployment, Face, Outcomes, together

MANY, HANDLES = 50, 10
REFUSED = {"proof_refused", "throttled", "already_proved", "handle_invalid", "factor_not_offered"}


async def events(pair: Deployment, email: str, event: str) -> int:
    """How many such audit events this person has."""
    async with pair.inside.services.store.read() as db:
        her = await db.value(select(person.c.id).where(person.c.email_key == email))
        rows = await db.rows(
            select(audit_event.c.id).where(audit_event.c.subject_id == her, audit_event.c.event == event)
        )
    return len(rows)


async def of_kind(pair: Deployment, email: str, kind: str) -> int:
    """How many live credentials of that kind this person has."""
    query = (
        select(credential.c.id)
        .join(person, person.c.id == credential.c.person_id)
        .where(person.c.email_key == email, credential.c.kind == kind, credential.c.revoked_at.is_(None))
    )
    async with pair.inside.services.store.read() as db:
        return len(await db.rows(query))


def once(answers: Iterable[httpx2.Response], right: int, *others: str) -> None:
    outcomes = Outcomes.of(answers)
    assert outcomes[str(right)] == 1, outcomes
    assert set(outcomes) <= {str(right), *REFUSED, *others}, outcomes


async def named(face: Face, who: Person) -> list[str]:
    """Ten handles whose person is known, each five times in the list."""
    made = await together(*(begun(face, who.email) for _ in range(HANDLES)))
    return made * (MANY // HANDLES)


async def proofs(pair: Deployment, handles: list[str], factor: str, answer: object) -> list[httpx2.Response]:
    faces = zip(pair.each(MANY), handles, strict=True)
    return await together(*(prove(face, handle, factor, answer) for face, handle in faces))


def code_by_secret(secret: bytes, steps: int = 0) -> str:
    return code_at(secret, int(time.time()) // PERIOD + steps)


async def app_of(face: Face, who: Person) -> bytes:
    secret = unspelled((await me(face, "POST", "totp", who)).json()["secret"])
    proved = await me(face, "POST", "totp/prove", who, {"answer": code_by_secret(secret)})
    assert proved.status_code == 204, proved.text
    return secret


async def test_a_code_of_an_app(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    secret = await app_of(pair.a, anna)
    handles = await named(pair.b, anna)
    once(await proofs(pair, handles, "totp", code_by_secret(secret, 1)), 200)
    assert await events(pair, anna.email, "signin:totp:proved") == 1


async def test_a_recovery_code(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    [code, *_] = await add_codes(pair.a, anna)
    once(await proofs(pair, await named(pair.b, anna), "recovery_code", code), 200)
    assert await events(pair, anna.email, "account:recovery_code:used") == 1
    assert await of_kind(pair, anna.email, "recovery_code") == 9
    assert len(await pair.a.mails_of(anna.email, "recovery_code_used")) == 1


async def test_a_passkeys_answer(pair: Deployment) -> None:
    anna, key = await pair.a.person(pair.address()), Authenticator(counter=3, step=1)
    await add_passkey(pair.a, anna, key)
    handle = handle_of(await pair.b.start())
    answer = key.get(await challenged(pair.a, handle, "passkey"), pair.a.gate.settings.url)
    once(await proofs(pair, [handle] * MANY, "passkey", answer), 200)
    assert await events(pair, anna.email, "signin:passkey:proved") == 1
    assert await events(pair, anna.email, "signin:passkey:counter_back") == 0


async def test_an_answer_without_a_handle(pair: Deployment) -> None:
    """Begun on one process and completed on both, while others begin with the same address and with another: nobody
    overwrites it, and nobody but the one who proves it gets a session."""
    anna, key = await pair.a.person(pair.address()), Authenticator(counter=3, step=1)
    await add_passkey(pair.a, anna, key)
    handle = handle_of(await pair.a.start(anna.email))
    answer = key.get(await challenged(pair.a, handle, "passkey"), pair.a.gate.settings.url)
    begins = [beginning(face, email) for face in pair.faces for email in (anna.email, pair.address())]
    tries = (face.complete(answer, anna.email) for face in pair.each(MANY))
    answers = await together(*begins, *tries)
    assert all(one.status_code == 200 for one in answers[: len(begins)])
    once(answers[len(begins) :], 201)
    assert await events(pair, anna.email, "signin:completed") == 1
    assert await events(pair, anna.email, "signin:passkey:proved") == 1
    assert await events(pair, anna.email, "signin:passkey:counter_back") == 0
    [done] = [one for one in answers if one.status_code == 201]
    assert (await pair.b.session(done.json()["token"])).status_code == 200
    assert Outcomes.of([await pair.b.complete(answer), await pair.a.finish(handle)]) == {"handle_invalid": 2}


async def beginning(face: Face, email: str) -> httpx2.Response:
    """The challenge of another sign-in."""
    return await face.challenge(handle_of(await face.start(email)), "passkey")


async def test_a_sign_up_without_a_handle(pair: Deployment) -> None:
    email, key = pair.address(), Authenticator()
    handle = handle_of(await pair.a.signup(email, None))
    assert (await pair.a.prove(handle, "email_code", await pair.a.code(email))).status_code == 200
    answer = key.create(await challenged(pair.b, handle, "passkey"), pair.a.gate.settings.url)
    once(await together(*(face.complete(answer, email) for face in pair.each(MANY))), 201)
    assert await of_kind(pair, email, "passkey") == 1
    assert await events(pair, email, "signup:completed") == 1


async def test_an_answer_by_the_handle_and_without_it(pair: Deployment) -> None:
    """Whoever proves it goes on: by the handle to a finish of its own, without it to the session at once."""
    anna, key = await pair.a.person(pair.address()), Authenticator()
    await add_passkey(pair.a, anna, key)
    handle = handle_of(await pair.a.start())
    answer = key.get(await challenged(pair.a, handle, "passkey"), pair.a.gate.settings.url)
    tries = [
        face.complete(answer) if number % 4 < 2 else prove(face, handle, "passkey", answer)
        for number, face in enumerate(pair.each(20))
    ]
    answers = await together(*tries)
    proved = [one for one in answers if one.status_code in (200, 201)]
    assert len(proved) == 1, Outcomes.of(answers)
    assert set(Outcomes.of(answers)) <= {"200", "201", *REFUSED}
    assert await events(pair, anna.email, "signin:completed") == (proved[0].status_code == 201)


async def test_a_new_passkey(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    answer = Authenticator().create(await offered_passkey(pair.a, anna), pair.a.gate.settings.url)
    tries = (me(face, "POST", "passkeys/prove", anna, {"answer": answer}) for face in pair.each(MANY))
    once(await together(*tries), 201, "insufficient_user_authentication")
    assert await of_kind(pair, anna.email, "passkey") == 1
    assert len(await pair.a.mails_of(anna.email, "factor_added")) == 1


async def test_one_passkey_for_two_people(pair: Deployment) -> None:
    """Six people add a passkey with the same credential id at the same moment: one of them gets it."""
    people = [await pair.a.person(pair.address()) for _ in range(6)]
    key = Authenticator()
    key.create(await offered_passkey(pair.a, people[0]), pair.a.gate.settings.url)
    taken = key.credentials[0].id
    tries = []
    for face, who in zip(pair.each(6), people, strict=True):
        answer = Authenticator().create(
            await offered_passkey(face, who), face.gate.settings.url, auth_data=lambda raw: raw[:55] + taken + raw[87:]
        )
        tries.append(
            me(face, "POST", "passkeys/prove", who, {"answer": answer | {"id": b64(taken), "rawId": b64(taken)}})
        )
    assert Outcomes.of(await together(*tries)) == {"201": 1, "proof_refused": 5}


async def test_the_first_code_of_an_app(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    secret = unspelled((await me(pair.a, "POST", "totp", anna)).json()["secret"])
    code = code_by_secret(secret)
    tries = (me(face, "POST", "totp/prove", anna, {"answer": code}) for face in pair.each(MANY))
    once(await together(*tries), 204, "insufficient_user_authentication")
    assert await of_kind(pair, anna.email, "totp") == 1
    assert len(await pair.a.mails_of(anna.email, "factor_added")) == 1
    once_more = await prove(pair.b, await begun(pair.b, anna.email), "totp", code)
    assert once_more.status_code == 403


async def test_a_code_to_recover_and_the_password_after_it(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    handle = handle_of(await pair.b.recover(anna.email))
    code = await pair.a.code(anna.email, "recovery_code")
    once(await proofs(pair, [handle] * MANY, "email_code", code), 200)
    once(await proofs(pair, [handle] * MANY, "password", OTHER_PASSWORD), 200)
    assert await events(pair, anna.email, "account:password:set") == 2
    assert await of_kind(pair, anna.email, "password") == 1
    once(await together(*(face.finish(handle) for face in pair.each(MANY))), 201)
    assert await events(pair, anna.email, "recovery:completed") == 1


# -- what only pages use ---------------------------------------------------------------------------


@dataclass
class Twins:
    """Two Passgates in this process, over one database and with one test clock."""

    the: The
    ctxs: list[Ctx]

    async def at_once(self, use: Callable[[Ctx, int], Awaitable[object]]) -> Counter[str]:
        """How often each outcome came among fifty concurrent uses: "done", or the code of a refusal."""

        async def outcomes(number: int) -> str:
            try:
                await use(self.ctxs[number % 2], number)
            except Refusal as refused:
                return refused.code
            return "done"

        return Counter(await together(*(outcomes(number) for number in range(MANY))))

    async def counted(self, event: str) -> int:
        return (await self.the.events()).count(event)


@pytest.fixture
async def twins(tmp_path: Path, database_url: str | None) -> AsyncIterator[Twins]:
    async with two_gates(tmp_path, database_url) as made:
        yield made


@asynccontextmanager
async def two_gates(tmp_path: Path, database_url: str | None) -> AsyncIterator[Twins]:
    clock = Clock()
    settings = settings_for(tmp_path, database_url, recovery={"wait": "24h"}, mail={"per_hour": 1000})
    one, two = (Passgate(settings, World(clock, World.real().dice)) for _ in range(2))
    for gate in (one, two):
        await make_quick(gate)
    async with one.running(work=False), two.running(work=False), client_for(one) as http:
        yield Twins(The(one, clock, http), [Ctx(gate.services, HERE) for gate in (one, two)])


async def test_an_answer_as_its_challenge_expires(twins: Twins) -> None:
    """Fifty at the very moment: none or one completes, and a microsecond later none does."""
    folk, key = Folk(twins.the), Authenticator()
    actor = await folk.create()
    await folk.add_passkey(actor, key)
    for late in (False, True):
        begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
        asked = await signin.challenge(folk.ctx, begun.handle, "passkey")
        answer = key.get(asked, twins.the.gate.settings.url)
        before = len(await twins.the.rows(session))
        twins.the.clock.forward(passkey.LIFE)
        if not late:
            twins.the.clock.now -= 200

        async def use(ctx: Ctx, number: int, answer: Any = answer) -> None:
            twins.the.clock.now += 10 if number % 5 == 0 else 0
            await by_challenge.complete(ctx, answer, carrier="bearer")

        outcomes = await twins.at_once(use)
        opened = len(await twins.the.rows(session)) - before
        assert set(outcomes) <= {"done", *REFUSED}, outcomes
        assert outcomes["done"] == opened
        assert opened <= (0 if late else 1)


async def link_for(twins: Twins, email: str) -> str:
    made = await operating.signin_link(twins.ctxs[0], email, "main")
    return made.url.rpartition("/")[2]


async def test_a_sign_in_link(twins: Twins) -> None:
    folk = Folk(twins.the)
    token = await link_for(twins, await folk.email(await folk.create()))
    outcomes = await twins.at_once(lambda ctx, number: starts.by_link(ctx, token, is_recovery=bool(number % 4 // 2)))
    assert outcomes == {"done": 1, "handle_invalid": MANY - 1}
    assert await twins.counted("signin:link:proved") == 1


async def test_a_stop_link_races_the_link_it_stops(twins: Twins) -> None:
    """Whichever comes first: after the stop the link opens nothing, and a pending sign-in that it began cannot
    finish."""
    folk = Folk(twins.the)
    actor = await folk.create()
    email = await folk.email(actor)
    token = await link_for(twins, email)
    result = (await twins.the.mails(email))[0]
    stop = str(result["link"]).rpartition("/")[2]
    handles: list[str] = []

    async def use(ctx: Ctx, number: int) -> None:
        if number % 5:
            await recovery.stop(ctx, stop)
        else:
            handles.append((await starts.by_link(ctx, token)).handle)

    outcomes = await twins.at_once(use)
    assert outcomes["done"] == 1 + len(handles)
    assert outcomes["handle_invalid"] == MANY - outcomes["done"]
    assert await twins.counted("recovery:stopped") == 1
    for handle in handles:
        with pytest.raises(Refusal) as late:
            await signin.finish(twins.ctxs[0], handle, carrier="bearer")
        assert late.value.code == "handle_invalid"


async def test_a_change_of_address_that_is_taken_back(twins: Twins) -> None:
    folk = Folk(twins.the)
    actor = await folk.create("old@example.com")
    await address.start(folk.acting(actor), "new@example.com")
    await address.prove(folk.acting(actor), await folk.code())
    result = next(mail for mail in await twins.the.mails("old@example.com") if mail["kind"] == "address_changed")
    token = str(result["link"]).rpartition("/")[2]
    begun = [await folk.undoing(token) for _ in range(5)]

    async def use(ctx: Ctx, number: int) -> None:
        handle, code = begun[number % len(begun)]
        await signin.prove(ctx, handle, "email_code", code)

    outcomes = await twins.at_once(use)
    assert outcomes["done"] == 1
    assert outcomes["handle_invalid"] + outcomes["already_proved"] == MANY - 1
    assert await twins.counted("account:address:undone") == 1


async def test_a_removal_that_has_waited(twins: Twins) -> None:
    """Of ten pending recoveries, one removes the lost factor and finishes; the others are ended."""
    folk = Folk(twins.the)
    actor = await folk.create()
    await folk.add_app(actor)
    email = await folk.email(actor)
    await two_ways(twins, email)
    twins.the.clock.forward(24 * 3600)
    handles = []
    for _ in range(HANDLES):
        handles.append(handle_of(await twins.the.recover(email)))
        await prove_each(twins.the, handles[-1], ("email_code", await folk_code(twins, email)))
    opened: list[str] = []

    async def use(ctx: Ctx, number: int) -> None:
        await signin.prove(ctx, handles[number % HANDLES], "password", PASSWORD)
        opened.append(handles[number % HANDLES])

    outcomes = await twins.at_once(use)
    assert outcomes["done"] == 1, outcomes
    assert set(outcomes) <= {"done", *REFUSED}
    assert await twins.counted("recovery:factors:released") == 1
    finished = await twins.at_once(lambda ctx, number: signin.finish(ctx, handles[number % HANDLES], carrier="bearer"))
    assert finished["done"] == 1
    live = [row for row in await twins.the.rows(session) if row["ended_at"] is None]
    assert len(live) == 1


async def folk_code(twins: Twins, email: str) -> str:
    return next(str(mail["code"]) for mail in await twins.the.mails(email) if mail["kind"] == "recovery_code")


async def two_ways(twins: Twins, email: str) -> None:
    handle = handle_of(await twins.the.recover(email))
    await prove_each(twins.the, handle, ("email_code", await folk_code(twins, email)), ("password", PASSWORD))
