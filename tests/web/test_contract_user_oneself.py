"""`PATCH /api/v1/users/{id}` of oneself: profile, username and password, in one transaction.

Not here: of other people (`test_contract_users`), and `/api/v1/me/password` (`test_contract_me`).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from passgate.store.tables import audit_event, person
from tests.core.behind import Folk
from tests.core.having import policy
from tests.kit import OTHER_PASSWORD, PASSWORD, Person, The, code_of, handle_of

MOVING = ("audit_event", "budget", "session", "audit_head")
"""What a refused request of a live session may write."""


async def myself(the: The, who: Person) -> str:
    found: str = (await the.http.get("/api/v1/me", headers=who.auth)).json()["user"]["id"]
    return found


async def patch(the: The, who: Person, body: dict[str, Any]) -> Any:
    return await the.http.patch(f"/api/v1/users/{await myself(the, who)}", json=body, headers=who.auth)


async def test_all_at_once(the: The) -> None:
    await policy(the, usernames="optional")
    anna = await the.person()
    other = await the.signed_in(anna)
    handle = handle_of(await the.start(anna.email))
    body = {"profile": {"name": "Anna"}, "username": "anna", "password": OTHER_PASSWORD}
    done = await patch(the, anna, body)
    assert done.status_code == 200, done.text
    assert (done.json()["profile"], done.json()["username"]) == ({"name": "Anna"}, "anna")
    assert (await the.session(anna.token)).status_code == 200
    assert code_of(await the.session(other.token)) == "session_ended"
    assert code_of(await the.prove(handle, "password", PASSWORD)) == "proof_refused"
    await the.signed_in(Person(anna.email, OTHER_PASSWORD, ""))
    mail = next(mail for mail in await the.mails(anna.email) if mail["kind"] == "password_changed")
    assert "/undo/" in mail["link"]
    assert [event for event in await the.events() if event.startswith(("account:profile", "account:username"))] == [
        "account:profile:changed",
        "account:username:changed",
    ]


async def test_it_is_what_the_endpoint_of_passwords_does(lite: The) -> None:
    """The same events, facts and mails."""
    left = []
    for number, path in enumerate(("PATCH", "POST")):
        who = await lite.person(f"anna{number}@example.com")
        await lite.signed_in(who)
        since = len(await lite.rows(audit_event))
        if path == "PATCH":
            assert (await patch(lite, who, {"password": OTHER_PASSWORD})).status_code == 200
        else:
            given = {"password": OTHER_PASSWORD}
            answer = await lite.http.post("/api/v1/me/password", json=given, headers=who.auth)
            assert answer.status_code == 204
        rows = sorted(await lite.rows(audit_event), key=lambda row: row["id"])[since:]
        facts = [{**json.loads(row["facts"]), "request_id": ""} for row in rows]
        mails = [mail["kind"] for mail in await lite.mails(who.email)]
        left.append(([row["event"] for row in rows], [sorted(one) for one in facts], mails))
    assert left[0] == left[1]
    assert left[0][0][-1] == "session:all_ended"


async def test_a_session_that_is_not_fresh(lite: The) -> None:
    """Somebody who has found an open laptop: nothing changes, and nothing is hashed for them."""
    await policy(lite, usernames="optional")
    anna = await lite.person()
    lite.clock.forward(minutes=10)
    before = await lite.everything(but=MOVING)
    for body in (
        {"password": OTHER_PASSWORD},
        {"password": "password"},
        {"password": OTHER_PASSWORD, "profile": {"a": 1}},
        {"password": OTHER_PASSWORD, "username": "anna"},
    ):
        refused = await patch(lite, anna, body)
        assert (refused.status_code, code_of(refused)) == (401, "insufficient_user_authentication"), body
    assert {name for name, rows in (await lite.everything(but=MOVING)).items() if rows != before[name]} <= {"person"}
    await lite.signed_in(anna)
    assert (await patch(lite, anna, {"profile": {"a": 1}})).status_code == 200


async def test_with_a_second_factor_the_first_alone_is_not_fresh(lite: The) -> None:
    folk = Folk(lite)
    who = await folk.create()
    _, token = await folk.opened(*who.key)
    await folk.add_app(who)
    anna = Person(await folk.email(who), PASSWORD, token)
    assert code_of(await patch(lite, anna, {"password": OTHER_PASSWORD})) == "insufficient_user_authentication"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"username": "ben"}, "conflict"),
        ({"username": "admin"}, "invalid"),
        ({"password": "password"}, "password_refused"),
        ({"password": "short"}, "password_refused"),
        ({"password": "benjamin-the-second", "username": "benjamin-the-second"}, "password_refused"),
        ({"profile": {"x": "y" * 20_000}}, "invalid"),
        ({"email": "eve@example.com"}, "permission_missing"),
        ({"roles": ["user"]}, "permission_missing"),
    ],
)
async def test_a_part_that_is_refused_refuses_all(lite: The, body: dict[str, Any], code: str) -> None:
    await policy(lite, usernames="optional")
    other, anna = await Folk(lite).create(), await lite.person()
    await lite.gate.at(None, tenant="main").users.change(other.person_id, username="ben")
    there = await lite.signed_in(anna)
    before = await lite.everything(but=MOVING)
    whole = {"profile": {"a": 1}, "username": "anna", "password": OTHER_PASSWORD, **body}
    assert code_of(await patch(lite, anna, whole)) == code
    after = await lite.everything(but=MOVING)
    assert after["credential"] == before["credential"]
    assert {row["id"]: (row["profile"], row["username"]) for row in after["person"]} == {
        row["id"]: (row["profile"], row["username"]) for row in before["person"]
    }
    assert after["outbox"] == before["outbox"]
    assert (await lite.session(there.token)).status_code == 200
    await lite.signed_in(anna)


async def test_a_username_that_goes_may_be_in_the_password(lite: The) -> None:
    """What counts is the name that somebody has afterwards."""
    await policy(lite, usernames="optional")
    anna = await lite.person()
    name = "seventeen-kettles-sing"
    assert (await patch(lite, anna, {"username": name})).status_code == 200
    assert code_of(await patch(lite, anna, {"password": name})) == "password_refused"
    assert code_of(await patch(lite, anna, {"password": name, "profile": {}})) == "password_refused"
    assert (await patch(lite, anna, {"password": name, "username": None})).status_code == 200
    [row] = [row for row in await lite.rows(person) if row["email"] == anna.email]
    assert row["username"] == ""
