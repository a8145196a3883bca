"""Fifty concurrent requests with one code, one handle, one address or one password: what may happen once happens once.

Not here: sessions that end while they are used, which are in `test_sessions`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import httpx2
from sqlalchemy import select

from passgate.core import budgets, installation
from passgate.core.audit import address_hash
from passgate.core.ctx import Ctx
from passgate.store.tables import audit_event, budget, credential, dev_mail, outbox, person, session, sign_in, tenant
from tests.kit import OTHER_PASSWORD, PASSWORD, The, code_of, handle_of, token_of
from tests.processes import Deployment, Outcomes, facts, together

MANY = 50
WRONG = "not the right horse at all"


async def rows(pair: Deployment, statement: Any) -> list[dict[str, Any]]:
    async with pair.inside.services.store.read() as db:
        return [dict(row) for row in await db.rows(statement)]


async def person_of(pair: Deployment, email: str) -> list[dict[str, Any]]:
    return await rows(pair, select(person).where(person.c.email_key == email))


async def events_of(pair: Deployment, person_id: str, event: str) -> list[dict[str, Any]]:
    return await rows(
        pair, select(audit_event).where(audit_event.c.subject_id == person_id, audit_event.c.event == event)
    )


async def counted(pair: Deployment, email: str) -> dict[str, tuple[int, int]]:
    """The count and the end of the wait in each budget of an address's password, by what begins its key: `w` for the
    waits of strangers, `n` for refusals in a row."""
    await installation.load(pair.inside.services)
    [home] = await rows(pair, select(tenant).where(tenant.c.name == "main"))
    mac = budgets.address_mac(Ctx(pair.inside.services), home["id"], email)
    ids = [row["id"] for row in await person_of(pair, email)]
    keys = [f"w:password:{mac}", *(f"n:stranger:password:{whose}" for whose in (mac, *ids))]
    found = await rows(pair, select(budget).where(budget.c.key.in_(keys)))
    return {row["key"][0]: (row["used"], row["until_at"]) for row in found}


async def spent_on(pair: Deployment, handles: list[str]) -> list[tuple[int, int, int]]:
    """What each handle has spent: tries that are counted, refusals, tries that came too soon."""
    hashes = [pair.inside.services.ring.presented("pg_sin_", handle) for handle in handles]
    found = await rows(pair, select(sign_in).where(sign_in.c.handle_hash.in_(hashes)))
    return [(row["spent"], row["refused"], row["throttled"]) for row in found]


def ladder(seconds: float) -> int:
    """How many tries strangers have within `seconds`: ten, and one more after each wait of 1, 2, 4 … s."""
    allowed, wait = 10, 1
    while seconds >= wait:
        allowed, seconds, wait = allowed + 1, seconds - wait, wait * 2
    return allowed


async def test_one_mailed_code(pair: Deployment) -> None:
    email = pair.address()
    handle = handle_of(await pair.a.signup(email))
    code = await pair.a.code(email)
    outcomes = Outcomes.of(await together(*(each.prove(handle, "email_code", code) for each in pair.each(MANY))))
    assert outcomes["200"] == 1
    assert set(outcomes) <= {"200", "already_proved", "throttled", "proof_refused"}
    create = await person_of(pair, email)
    assert len(create) == 1
    for event in ("account:created", "account:password:set", "role:given", "signin:email_code:proved"):
        assert len(await events_of(pair, create[0]["id"], event)) == 1, event
    assert (await pair.b.finish(handle)).status_code == 201, "the losers have not killed the handle"


async def test_one_proved_handle(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    handle = handle_of(await pair.b.start(anna.email))
    assert (await pair.b.prove(handle, "password", anna.password)).status_code == 200
    outcomes = Outcomes.of(await together(*(each.finish(handle) for each in pair.each(MANY))))
    assert outcomes == {"201": 1, "handle_invalid": MANY - 1}
    [her] = await person_of(pair, anna.email)
    assert len(await rows(pair, select(session).where(session.c.person_id == her["id"]))) == 2
    assert len(await events_of(pair, her["id"], "signin:completed")) == 1


async def guesses(pair: Deployment, handles: list[str]) -> tuple[Outcomes, float]:
    """Send a wrong password with each handle at the same time; the responses and the seconds they took."""
    began = time.monotonic()
    faces = pair.each(len(handles))
    works = (each.prove(handle, "password", WRONG) for each, handle in zip(faces, handles, strict=True))
    answers = await together(*works)
    return Outcomes.of(answers), time.monotonic() - began


async def started(pair: Deployment, email: str, count: int = MANY) -> list[str]:
    return [handle_of(answer) for answer in await together(*(each.start(email) for each in pair.each(count)))]


async def test_guesses_over_many_handles(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    handles = await started(pair, anna.email)
    outcomes, took = await guesses(pair, handles)
    [her] = await person_of(pair, anna.email)
    compared = len(await events_of(pair, her["id"], "signin:password:refused"))
    assert compared == outcomes["proof_refused"]
    assert 10 <= compared <= ladder(took)
    assert outcomes == {"proof_refused": compared, "throttled": MANY - compared}
    await all_counted(pair, anna.email, handles, compared)


async def all_counted(pair: Deployment, email: str, handles: list[str], compared: int) -> None:
    """Each try was counted once: what was compared as a refusal, all others as too soon for their handle."""
    used = await counted(pair, email)
    assert {name: count for name, (count, _) in used.items()} == {"w": compared, "n": compared}
    assert used["n"][1] == 0 < used["w"][1], "strangers wait at the address alone"
    spent = Counter(await spent_on(pair, handles))
    assert spent == {(1, 1, 0): compared, (0, 0, 1): MANY - compared}


async def test_guesses_for_an_address_nobody_has(pair: Deployment) -> None:
    ghost = pair.address()
    handles = await started(pair, ghost)
    outcomes, took = await guesses(pair, handles)
    await installation.load(pair.inside.services)
    [main] = await rows(pair, select(tenant.c.id).where(tenant.c.name == "main"))
    of_main = (audit_event.c.event == "signin:password:refused", audit_event.c.tenant_id == main["id"])
    refused = await rows(pair, select(audit_event).where(*of_main))
    hashed = address_hash(Ctx(pair.inside.services), str(main["id"]), ghost)
    compared = sum(json.loads(row["personal"]).get("address_hash") == hashed for row in refused)
    assert compared == outcomes["proof_refused"]
    assert 10 <= compared <= ladder(took)
    assert outcomes == {"proof_refused": compared, "throttled": MANY - compared}
    await all_counted(pair, ghost, handles, compared)


async def test_guesses_on_one_handle(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    handle = handle_of(await pair.a.start(anna.email))
    outcomes, _ = await guesses(pair, [handle] * MANY)
    [her] = await person_of(pair, anna.email)
    compared = len(await events_of(pair, her["id"], "signin:password:refused"))
    assert compared == outcomes["proof_refused"] <= 10
    assert set(outcomes) <= {"proof_refused", "throttled", "handle_invalid"}
    [(spent, refused, throttled)] = await spent_on(pair, [handle])
    assert spent == refused == compared
    assert refused + throttled <= 10


async def test_sign_ups_of_one_address(pair: Deployment) -> None:
    email = pair.address()
    answers = await together(*(each.signup(email) for each in pair.each(MANY)))
    assert Outcomes.of(answers) == {"202": MANY}
    assert await person_of(pair, email) == [], "a sign-up touches no person"
    mails = await pair.a.mails_of(email, "signup_code", 5)
    assert len(mails) == 5
    # The responses do not reveal which of the fifty handles got a mail; the audit trail does.
    sent = await rows(pair, select(audit_event).where(audit_event.c.event == "signin:email_code:sent"))
    asked = {facts(row)["request_id"] for row in sent}
    handles = [handle_of(answer) for answer in answers if answer.headers["x-request-id"] in asked]
    assert len(handles) == 5
    codes = [mail["code"] for mail in mails]
    tries = [(handle, code) for code in codes for handle in handles]
    works = (
        each.prove(handle, "email_code", code)
        for each, (handle, code) in zip(pair.each(len(tries)), tries, strict=True)
    )
    outcomes = Outcomes.of(await together(*works))
    assert outcomes["200"] == 1
    assert len(await person_of(pair, email)) == 1
    assert len(await pair.b.mails(email)) == 5


async def test_rival_sign_ups_proved_at_once(pair: Deployment) -> None:
    """Five sign-ups of one address with different passwords are proved at the same time: one account is created, with
    the password of the sign-up that won."""
    email = pair.address()
    rivals: list[tuple[str, str, str]] = []
    for number in range(5):
        password = f"{PASSWORD} {number}"
        handle = handle_of(await pair.each(number + 1)[-1].signup(email, password))
        rivals.append((handle, await pair.a.code(email), password))
    tries = rivals * (MANY // len(rivals))
    works = (
        each.prove(handle, "email_code", code)
        for each, (handle, code, _) in zip(pair.each(len(tries)), tries, strict=True)
    )
    answers = await together(*works)
    outcomes = Outcomes.of(answers)
    assert outcomes["200"] == 1
    assert set(outcomes) <= {"200", "already_proved", "throttled", "proof_refused", "handle_invalid"}
    [her] = await person_of(pair, email)
    assert len(await rows(pair, select(credential).where(credential.c.person_id == her["id"]))) == 1
    won = tries[[answer.status_code for answer in answers].index(200)][2]
    for _, _, password in rivals:
        handle = handle_of(await pair.b.start(email))
        proved = await pair.b.prove(handle, "password", password)
        assert (proved.status_code == 200) == (password == won)


async def test_another_code_is_asked_for_at_once(pair: Deployment) -> None:
    """Each challenge mails a fresh code and invalidates the older ones, even if several are requested at the same
    time."""
    email = pair.address()
    handle = handle_of(await pair.a.signup(email))
    outcomes = Outcomes.of(await together(*(each.challenge(handle, "email_code") for each in pair.each(8))))
    assert outcomes == {"200": 8}
    mails = await pair.a.mails_of(email, "signup_code", 5)
    assert len(mails) == 5
    proved = [await pair.b.prove(handle, "email_code", mail["code"]) for mail in mails]
    assert Outcomes.of(proved)["200"] <= 1, "one code at most is good"
    assert len(await person_of(pair, email)) == Outcomes.of(proved)["200"]


async def patient(face: The, handle: str, password: str) -> list[httpx2.Response]:
    """Prove, and retry as late as a 429 asks for; all responses."""
    answers = [await face.prove(handle, "password", password)]
    while answers[-1].status_code == 429:
        await asyncio.sleep(int(answers[-1].headers["retry-after"]))
        answers.append(await face.prove(handle, "password", password))
    return answers


async def test_right_sign_ins_of_one_person(pair: Deployment) -> None:
    """No right password is refused. With more than ten tries in flight some may get 429, and every one that was
    compared is refunded. Whoever waits as long as they are told keeps a handle that works."""
    anna = await pair.a.person(pair.address())
    handles = await started(pair, anna.email)
    pairs = zip(pair.each(MANY), handles, strict=True)
    tries = await together(*(patient(each, handle, anna.password) for each, handle in pairs))
    assert Outcomes.of(answers[-1] for answers in tries) == {"200": MANY}
    finished = await together(*(each.finish(handle) for each, handle in zip(pair.each(MANY), handles, strict=True)))
    tokens = {token_of(answer) for answer in finished}
    assert len(tokens) == MANY
    assert Outcomes.of(await together(*(pair.a.session(token) for token in tokens))) == {"200": MANY}
    [her] = await person_of(pair, anna.email)
    assert await events_of(pair, her["id"], "signin:password:refused") == []
    await nothing_counts(pair, anna.email)
    assert set(await spent_on(pair, handles)) == {(0, 0, 0)}, "a proof clears what came too soon before it"


async def nothing_counts(pair: Deployment, email: str) -> None:
    """Assert that every try was given back, and that a right answer has ended the row of refusals."""
    used = await counted(pair, email)
    assert used["w"] == (0, 0), "nobody waits for refusals that were none"
    assert used.get("n", (0, 0)) == (0, 0)


async def test_no_mail_lies_about(pair: Deployment) -> None:
    """Both processes deliver mails: each is in the mailbox once, and its row in the outbox is emptied."""
    email = pair.address()
    await together(*(each.signup(f"{number}.{email}") for number, each in enumerate(pair.each(20))))
    async with asyncio.timeout(10):
        while await rows(pair, select(outbox).where(outbox.c.message_sealed.is_not(None))):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len([mail for mail in await pair.a.mails() if mail["to"].endswith(f".{email}")]) == 20
    sent = await rows(pair, select(outbox.c.id))
    stored = {row["id"] for row in await rows(pair, select(dev_mail.c.id))}
    assert {row["id"] for row in sent} == stored


async def test_a_lost_race_is_no_wrong_answer(pair: Deployment) -> None:
    """Fifty requests prove the right password on one handle: one succeeds, and the others do not count as wrong."""
    anna = await pair.a.person(pair.address())
    handle = handle_of(await pair.a.start(anna.email))
    outcomes = Outcomes.of(await together(*(each.prove(handle, "password", PASSWORD) for each in pair.each(MANY))))
    assert outcomes["200"] == 1
    assert set(outcomes) <= {"200", "already_proved", "throttled"}
    await nothing_counts(pair, anna.email)
    other = handle_of(await pair.b.start(anna.email))
    assert code_of(await pair.b.prove(other, "password", OTHER_PASSWORD)) == "proof_refused"
    assert (await pair.b.finish(handle)).status_code == 201
