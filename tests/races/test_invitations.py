"""Invitations used in two processes at the same moment: each is accepted once, a cancelled one gives nothing, and of
two for one address only the newer opens.

What an inviter's lost power means at the same moment is in `test_ticket_powers`.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from passgate.store.tables import audit_event, person, role_grant, ticket
from tests.kit import PASSWORD, Person, bearer, code_of, handle_of
from tests.processes import Deployment, Face, Outcomes, together
from tests.races.test_people import member

INVITATIONS = "/api/v1/invitations"
MANY = 16


async def ask(face: Face, who: Person, method: str, path: str = "", body: Any = None) -> httpx2.Response:
    more = {} if body is None else {"json": body}
    return await face.http.request(method, f"{INVITATIONS}{path}", headers=who.auth, **more)


async def invite(face: Face, boss: Person, email: str, *roles: str) -> dict[str, Any]:
    made = await ask(face, boss, "POST", "", {"email": email, "roles": [*roles] or ["user"]})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def tokens(pair: Deployment, email: str, count: int = 1) -> list[str]:
    """Of the mailed links, newest first."""
    mails = await pair.a.mails_of(email, "invitation", count)
    return [str(mail["link"]).rpartition("/")[2] for mail in mails]


async def accept(face: Face, token: str) -> httpx2.Response:
    return await face.http.post(f"{INVITATIONS}/accept", json={"token": token})


async def set_up(face: Face, handle: str) -> httpx2.Response:
    body = {"factor": "password", "answer": PASSWORD}
    return await face.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))


async def roles(pair: Deployment, email: str) -> list[str]:
    mine = [row["id"] for row in await pair.a.rows(person) if row["email"] == email]
    assert len(mine) <= 1
    return sorted(row["role"] for row in await pair.a.rows(role_grant) if row["person_id"] in mine)


async def accepted(pair: Deployment, email: str) -> int:
    mine = [row["id"] for row in await pair.a.rows(person) if row["email"] == email]
    rows = [row for row in await pair.a.rows(audit_event) if row["event"] == "invitation:accepted"]
    return len([row for row in rows if row["subject_id"] in mine])


async def test_many_sign_ups_of_one_invitation(pair: Deployment) -> None:
    """All begin, one creates the person, with the roles once."""
    (_, boss), email = await member(pair, "admin"), pair.address()
    await invite(pair.a, boss, email, "admin", "user")
    [token] = await tokens(pair, email)
    begun = await together(*(accept(face, token) for face in pair.each(MANY)))
    assert Outcomes.of(begun) == {"201": MANY}
    handles = [handle_of(one) for one in begun]
    answers = await together(*(set_up(face, one) for face, one in zip(pair.each(MANY), handles, strict=True)))
    outcomes = Outcomes.of(answers)
    assert outcomes["200"] == 1, outcomes
    assert outcomes.keys() <= {"200", "handle_invalid"}, outcomes
    assert (await roles(pair, email), await accepted(pair, email)) == (["admin", "user"], 1)
    assert code_of(await accept(pair.b, token)) == "invitation_invalid"


async def test_many_sign_ins_of_one_invitation(pair: Deployment) -> None:
    """Of somebody who is in the tenant already."""
    (_, boss), (_, ben) = await member(pair, "admin"), await member(pair)
    await invite(pair.a, boss, ben.email, "admin")
    [token] = await tokens(pair, ben.email)
    handles = [handle_of(await accept(pair.a, token)) for _ in range(6)]
    for handle in handles:
        assert (await set_up(pair.a, handle)).status_code == 200
    answers = await together(*(face.finish(one) for face, one in zip(pair.each(6), handles, strict=True)))
    outcomes = Outcomes.of(answers)
    assert (outcomes["201"], outcomes["invitation_invalid"]) == (1, 5), outcomes
    assert (await roles(pair, ben.email), await accepted(pair, ben.email)) == (["admin", "user"], 1)


@pytest.mark.parametrize("turn", range(4))
async def test_cancelled_at_the_same_moment(pair: Deployment, turn: int) -> None:
    """One of the two comes first, whole: either the invitation was there to cancel, or the person is in."""
    (_, boss), email = await member(pair, "admin"), pair.address()
    made = await invite(pair.a, boss, email)
    handle = handle_of(await accept(pair.a, (await tokens(pair, email))[0]))
    face, other = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
    taken, ended = await together(set_up(face, handle), ask(other, boss, "DELETE", f"/{made['id']}"))
    outcome = (Outcomes.of([taken]), ended.status_code)
    assert outcome in (({"200": 1}, 404), ({"invitation_invalid": 1}, 204)), outcome
    assert await roles(pair, email) == (["user"] if taken.status_code == 200 else [])


@pytest.mark.parametrize("turn", range(4))
async def test_replaced_at_the_same_moment(pair: Deployment, turn: int) -> None:
    """The older is accepted before the newer is there, or not at all."""
    (_, boss), email = await member(pair, "admin"), pair.address()
    await invite(pair.a, boss, email, "admin")
    handle = handle_of(await accept(pair.a, (await tokens(pair, email))[0]))
    face, other = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
    body = {"email": email, "roles": ["read_only"]}
    taken, made = await together(set_up(face, handle), ask(other, boss, "POST", "", body))
    assert made.status_code == 201
    assert Outcomes.of([taken]).keys() <= {"200", "invitation_invalid"}
    assert await roles(pair, email) == (["admin"] if taken.status_code == 200 else [])


async def test_two_for_one_address(pair: Deployment) -> None:
    """Two admins invite the same address at once: one link opens."""
    (_, one), (_, two), email = await member(pair, "admin"), await member(pair, "admin"), pair.address()
    answers = await together(
        ask(pair.a, one, "POST", "", {"email": email}), ask(pair.b, two, "POST", "", {"email": email})
    )
    assert Outcomes.of(answers) == {"201": 2}
    found = [await accept(pair.a, token) for token in await tokens(pair, email, 2)]
    assert Outcomes.of(found) == {"201": 1, "invitation_invalid": 1}
    listed = (await ask(pair.b, one, "GET", "?limit=100")).json()["items"]
    assert [item["email"] for item in listed].count(email) == 1
    [opened] = [answer for answer in found if answer.status_code == 201]
    assert (await set_up(pair.b, handle_of(opened))).status_code == 200
    assert await roles(pair, email) == ["user"]
    rows = [row for row in await pair.a.rows(ticket) if row["kind"] == "invitation" and row["data_sealed"]]
    assert not [row for row in rows if row["taken_at"]]
