"""Sessions that end or are replaced while other requests use them: once the response to the end was sent, no request
succeeds with the session.

Not here: one-time codes, handles and guesses, which are in `test_signing`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import httpx2
import pytest
from sqlalchemy import insert, select

from passgate.core import access, sessions
from passgate.core.ctx import Ctx, Operator
from passgate.core.events import Event
from passgate.core.journey import STEP_UP
from passgate.store.tables import audit_event, carrier, person, role_grant, session
from tests.kit import OTHER_PASSWORD, Person, The, code_of, handle_of, token_of
from tests.processes import Deployment, Outcomes, together

MANY = 50


async def rows(pair: Deployment, statement: Any) -> list[dict[str, Any]]:
    async with pair.inside.services.store.read() as db:
        return [dict(row) for row in await db.rows(statement)]


async def id_of(pair: Deployment, who: Person) -> str:
    [her] = await rows(pair, select(person).where(person.c.email_key == who.email))
    return str(her["id"])


async def live_sessions(pair: Deployment, person_id: str) -> list[dict[str, Any]]:
    return await rows(pair, select(session).where(session.c.person_id == person_id, session.c.ended_at.is_(None)))


async def proved(face: The, who: Person, password: str | None = None) -> str:
    """The handle of a pending sign-in that is ready to finish."""
    handle = handle_of(await face.start(who.email))
    assert (await face.prove(handle, "password", password or who.password)).status_code == 200
    return handle


async def change_password(face: The, who: Person, new: str = OTHER_PASSWORD) -> httpx2.Response:
    return await face.http.post("/api/v1/me/password", json={"password": new}, headers=who.auth)


async def use(face: The, auth: dict[str, str], turn: int) -> httpx2.Response:
    match turn % 3:
        case 0:
            return await face.http.get("/api/v1/session", headers=auth)
        case 1:
            return await face.http.get("/api/v1/me", headers=auth)
        case _:
            return await face.http.patch("/api/v1/me", json={"profile": {"turn": turn}}, headers=auth)


async def test_ended_while_in_use(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    seen: list[tuple[float, int, httpx2.Response]] = []
    ended_at = float("inf")

    async def keep_using(number: int, face: The) -> None:
        for turn in range(number, number + 40):
            began = time.monotonic()
            seen.append((began, turn, await use(face, anna.auth, turn)))
            if began > ended_at:
                return

    async def end_soon() -> None:
        nonlocal ended_at
        while sum(answer.status_code == 200 for _, _, answer in seen) < MANY:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        assert (await pair.b.http.delete("/api/v1/session", headers=anna.auth)).status_code == 204
        ended_at = time.monotonic()

    await together(end_soon(), *(keep_using(number, face) for number, face in enumerate(pair.each(MANY))))
    assert Outcomes.of(answer for _, _, answer in seen).keys() <= {"200", "session_ended"}
    late = [answer for began, _, answer in seen if began > ended_at]
    assert late, "nobody asked after the end"
    assert Outcomes.of(late) == {"session_ended": len(late)}
    her = await id_of(pair, anna)
    [over] = await rows(pair, select(session).where(session.c.person_id == her))
    changes = await rows(
        pair,
        select(audit_event).where(audit_event.c.subject_id == her, audit_event.c.event == "account:profile:changed"),
    )
    written = [turn for _, turn, answer in seen if turn % 3 == 2 and answer.status_code == 200]
    assert len(changes) == len(written) > 0, "answered 200 means written, anything else means not"
    assert max(row["at"] for row in changes) <= over["ended_at"], "no write after the end"


async def test_all_other_sessions_end_while_in_use(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    others = [await pair.b.signed_in(anna) for _ in range(4)]
    uses = [use(face, others[turn % 4].auth, turn) for turn, face in enumerate(pair.each(MANY))]
    end = pair.b.http.delete("/api/v1/me/sessions", headers=anna.auth)
    answers = await together(end, *uses)
    assert answers[0].status_code == 204
    assert Outcomes.of(answers[1:]).keys() <= {"200", "session_ended"}
    for other in others:
        assert code_of(await pair.a.session(other.token)) == "session_ended"
    assert (await pair.a.session(anna.token)).status_code == 200


async def test_recovery_during_sign_ins_with_the_old_password(pair: Deployment) -> None:
    for _ in range(3):
        anna = await pair.a.person(pair.address())
        recovering = handle_of(await pair.a.recover(anna.email))
        code = await pair.a.code(anna.email, "recovery_code")
        assert (await pair.a.prove(recovering, "email_code", code)).status_code == 200
        ready = [await proved(pair.b, anna) for _ in range(4)]
        begun = [handle_of(await pair.b.start(anna.email)) for _ in range(4)]

        async def prove_and_finish(face: The, handle: str, password: str) -> httpx2.Response:
            answer = await face.prove(handle, "password", password)
            return await face.finish(handle) if answer.status_code == 200 else answer

        answers = await together(
            pair.a.prove(recovering, "password", OTHER_PASSWORD),
            *(face.finish(handle) for face, handle in zip(pair.each(4), ready, strict=True)),
            *(prove_and_finish(face, handle, anna.password) for face, handle in zip(pair.each(4), begun, strict=True)),
        )
        assert answers[0].status_code == 200, answers[0].text
        outcomes = Outcomes.of(answers[1:])
        assert outcomes.keys() <= {"201", "handle_invalid", "proof_refused", "already_proved"}
        await nobody_is_left(pair, anna, [token_of(answer) for answer in answers[1:] if answer.status_code == 201])
        token = token_of(await pair.b.finish(recovering))
        assert (await pair.a.session(token)).status_code == 200
        assert len(await live_sessions(pair, await id_of(pair, anna))) == 1


async def nobody_is_left(pair: Deployment, who: Person, tokens: list[str]) -> None:
    """Assert that every session of the old password has ended and that the old password is refused."""
    for token in tokens:
        assert code_of(await pair.a.session(token)) == "session_ended"
    handle = handle_of(await pair.a.start(who.email))
    assert code_of(await pair.a.prove(handle, "password", who.password)) == "proof_refused"


async def test_a_password_changes_during_sign_ins_with_the_old_one(pair: Deployment) -> None:
    for _ in range(3):
        anna = await pair.a.person(pair.address())
        ready = [await proved(pair.b, anna) for _ in range(6)]
        answers = await together(
            change_password(pair.a, anna),
            *(face.finish(handle) for face, handle in zip(pair.each(6), ready, strict=True)),
        )
        assert answers[0].status_code == 204, answers[0].text
        assert Outcomes.of(answers[1:]).keys() <= {"201", "handle_invalid"}
        await nobody_is_left(pair, anna, [token_of(answer) for answer in answers[1:] if answer.status_code == 201])
        assert (await pair.b.session(anna.token)).status_code == 200
        again = await pair.b.signed_in(Person(anna.email, OTHER_PASSWORD))
        assert (await pair.a.session(again.token)).status_code == 200


async def test_a_password_changes_during_step_ups(pair: Deployment) -> None:
    """Step-ups know the person from the start, so that both sides lock the same rows: there is no deadlock."""
    for turn in range(4):
        anna = await pair.a.person(pair.address())
        handles = [await step_up(face, anna) for face in pair.each(8)]
        answers = await together(
            *(
                face.prove(handle, "password", anna.password)
                for face, handle in zip(pair.each(8), handles, strict=True)
            ),
            change_password(pair.a, anna, f"{OTHER_PASSWORD} {turn}"),
        )
        assert answers[-1].status_code == 204, answers[-1].text
        assert Outcomes.of(answers[:-1]).keys() <= {"200", "handle_invalid", "proof_refused", "throttled"}
        finished = [await pair.b.finish(handle) for handle in handles]
        assert Outcomes.of(finished) == {"handle_invalid": len(handles)}


async def step_up(face: The, who: Person) -> str:
    return handle_of(await face.http.post("/api/v1/signin", json={"step_up": {"max_age": 300}}, headers=who.auth))


async def test_two_step_ups_of_one_session(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    handles = [await step_up(pair.a, anna), await step_up(pair.b, anna)]
    for handle in handles:
        assert (await pair.a.prove(handle, "password", anna.password)).status_code == 200
    answers = await together(*(face.finish(handles[turn % 2]) for turn, face in enumerate(pair.each(MANY))))
    outcomes = Outcomes.of(answers)
    assert outcomes["201"] == 1
    assert outcomes.keys() <= {"201", "session_ended", "handle_invalid"}
    assert code_of(await pair.b.session(anna.token)) == "session_ended"
    [token] = [token_of(answer) for answer in answers if answer.status_code == 201]
    assert (await pair.b.session(token)).status_code == 200
    assert len(await live_sessions(pair, await id_of(pair, anna))) == 1


@pytest.mark.parametrize("turns", [15, pytest.param(MANY, marks=pytest.mark.soak)])
async def test_the_old_secret_is_dead_once_a_step_up_is_answered(pair: Deployment, turns: int) -> None:
    """Step-ups, each while its old secret and another carrier of the session are in use in both processes."""
    anna = await pair.a.person(pair.address())
    her, token = await id_of(pair, anna), anna.token
    [sid] = [row["id"] for row in await live_sessions(pair, her)]
    other = await another_carrier(pair, sid)
    written = 0
    for turn in range(turns):
        old, finisher, face = Person(anna.email, anna.password, token), *pair.each(turn % 2 + 2)[-2:]
        handle = await step_up(face, old)
        assert (await face.prove(handle, "password", anna.password)).status_code == 200

        async def change(face: The, number: int, old: Person = old) -> httpx2.Response:
            await asyncio.sleep(number * 0.002)
            return await face.http.patch("/api/v1/me", json={"profile": {"turn": number}}, headers=old.auth)

        finished, others, *changes = await together(
            finisher.finish(handle), face.session(other), *(change(each, n) for n, each in enumerate(pair.each(4)))
        )
        token = token_of(finished)
        assert Outcomes.of(changes).keys() <= {"200", "session_ended"}
        written += Outcomes.of(changes)["200"]
        for each in pair.faces:
            assert code_of(await each.session(old.token)) == "session_ended"
            assert (await each.session(token)).json()["session"]["id"] == sid
            assert (await each.session(other)).status_code == others.status_code == 200
    rows_of_carriers = await rows(pair, select(carrier).where(carrier.c.session_id == sid))
    assert sorted(row["generation"] for row in rows_of_carriers) == [1, turns + 1]
    trail = select(audit_event.c.event).where(audit_event.c.subject_id == her).order_by(audit_event.c.at)
    events = [row["event"] for row in await rows(pair, trail)]
    assert events.count("account:profile:changed") == written > 0
    after = {following for event, following in itertools.pairwise(events) if event == str(STEP_UP.completed)}
    assert after == {str(Event.STEP_UP_STARTED)}, "the old secret changes nothing after a step-up"


async def another_carrier(pair: Deployment, sid: str) -> str:
    services = pair.inside.services
    minted = services.ring.mint(sessions.PREFIX)
    [row] = await rows(pair, select(carrier).where(carrier.c.session_id == sid))
    async with services.store.write() as db:
        own = {"id": services.world.uuid(), "secret_hash": minted.hash, "kind": "cookie"}
        await db.change(insert(carrier).values({**row, **own}))
    return minted.token


async def test_owners_leave_at_the_same_time(pair: Deployment) -> None:
    """Of six owners who delete their accounts at the same time, one stays. The tenant is shared by all races, none of
    which makes other owners in it."""
    owners = [await pair.a.person(pair.address()) for _ in range(6)]
    services = pair.inside.services
    ids = [await id_of(pair, owner) for owner in owners]
    mine = select(person.c.tenant_id).where(person.c.id.in_(ids))
    [tenant_id] = {row["tenant_id"] for row in await rows(pair, mine)}
    for person_id in ids:
        async with services.store.write() as db:
            await access.grant(Ctx(services), db, tenant_id, person_id, "owner")
    leave = (face.http.delete("/api/v1/me", headers=who.auth) for face, who in zip(pair.each(6), owners, strict=True))
    outcomes = Outcomes.of(await together(*leave))
    assert outcomes == {"204": 5, "conflict": 1}
    of_tenant = (role_grant.c.tenant_id == tenant_id, role_grant.c.role == "owner")
    left = await rows(pair, select(role_grant.c.person_id).where(*of_tenant))
    assert len(left) == 1
    async with services.store.write() as db:
        await access.give(Ctx(services, principal=Operator()), db, tenant_id, left[0]["person_id"], "user")


async def test_people_leave_while_they_sign_in(pair: Deployment) -> None:
    """A person deletes the account during step-ups and sign-ins, which change rows that the deletion removes: there is
    no deadlock and nothing of the person is left."""
    for _ in range(4):
        anna = await pair.a.person(pair.address())
        handles = [await step_up(face, anna) for face in pair.each(4)] + [
            handle_of(await face.start(anna.email)) for face in pair.each(4)
        ]
        answers = await together(
            *(
                face.prove(handle, "password", anna.password)
                for face, handle in zip(pair.each(8), handles, strict=True)
            ),
            pair.b.http.delete("/api/v1/me", headers=anna.auth),
        )
        assert answers[-1].status_code == 204
        # `factor_not_offered`: a request that reads during the deletion finds a person without factors.
        late = {"handle_invalid", "proof_refused", "throttled", "factor_not_offered"}
        assert Outcomes.of(answers[:-1]).keys() <= {"200", *late}
        for handle in handles:
            assert code_of(await pair.a.finish(handle)) in ("handle_invalid", "proof_missing")
        assert await rows(pair, select(person).where(person.c.email_key == anna.email)) == []


async def test_what_happened_is_proved(pair: Deployment) -> None:
    """After these races the audit trail has no gap, and every row is genuine."""
    from passgate.core import ledger  # noqa: PLC0415

    await ledger.seal(pair.inside.services)
    report = await ledger.verify(pair.inside.services)
    assert report.findings == []
    assert report.sealed > 0
