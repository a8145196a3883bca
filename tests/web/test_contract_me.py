"""A person's own account over HTTP: profile, password, sessions, activity, export, deletion; each person reaches only
their own.

Not here: how a request is assigned to a session, which is in test_contract_session.
"""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from passgate.store.tables import carrier, credential, person, session
from tests.kit import OTHER_PASSWORD, PASSWORD, Person, The, bearer, code_of, handle_of, token_of

ME = "/api/v1/me"
STEP_UP = 'Bearer error="insufficient_user_authentication", acr_values="urn:passgate:aal1", max_age=300'


async def test_show_and_change(the: The) -> None:
    anna = await the.person()
    displayed = await the.http.get(ME, headers=anna.auth)
    assert (displayed.status_code, displayed.json().keys()) == (200, {"user", "tenant"})
    names = {"id", "email", "username", "email_verified", "profile", "roles", "created_at", "updated_at"}
    assert displayed.json()["user"].keys() == names
    assert displayed.json()["tenant"].keys() == {"id", "name", "display_name"}
    profile = {"name": "Anna 🦜", "n": 1.5, "deep": [{"a": None}], "": "", "big": 2**63 - 1}
    changed = await the.http.patch(ME, json={"profile": profile}, headers=anna.auth)
    assert changed.status_code == 200
    again = await the.http.get(ME, headers=anna.auth)
    assert (
        again.json() == changed.json() == {**displayed.json(), "user": {**displayed.json()["user"], "profile": profile}}
    )
    assert (await the.session(anna.token)).json()["user"]["profile"] == profile
    await the.http.patch(ME, json={"profile": {}}, headers=anna.auth)
    assert (await the.http.get(ME, headers=anna.auth)).json()["user"]["profile"] == {}


async def test_what_a_profile_cannot_be(lite: The) -> None:
    anna = await lite.person()
    before = await lite.everything()
    for body, fields in (
        ({"profile": {"about": "ü" * 9000}}, {"profile": "length"}),
        ({"profile": {str(n): n for n in range(101)}}, {"profile": "length"}),
        ({"profile": None}, {"profile": "type"}),
        ({}, {"profile": "missing"}),
        ({"profile": {}, "roles": ["owner"]}, {"body": "unknown"}),
        ({"profile": {}, "email": "eve@example.com"}, {"body": "unknown"}),
    ):
        answer = await lite.http.patch(ME, json=body, headers=anna.auth)
        assert (answer.status_code, code_of(answer)) == (422, "invalid")
        assert answer.json()["fields"] == fields
    assert await lite.everything() == before


async def test_a_new_password(the: The) -> None:
    anna = await the.person()
    other = await the.signed_in(anna)
    running = handle_of(await the.start(anna.email))
    await the.prove(running, "password", PASSWORD)
    done = await the.http.post(f"{ME}/password", json={"password": OTHER_PASSWORD}, headers=anna.auth)
    assert (done.status_code, done.content) == (204, b"")
    assert (await the.session(anna.token)).status_code == 200
    assert code_of(await the.session(other.token)) == "session_ended"
    assert code_of(await the.finish(running)) == "handle_invalid"
    assert (await the.mails(anna.email))[0]["kind"] == "password_changed"
    old = handle_of(await the.start(anna.email))
    assert code_of(await the.prove(old, "password", PASSWORD)) == "proof_refused"
    await the.signed_in(Person(anna.email, OTHER_PASSWORD))


@pytest.mark.parametrize(("method", "path"), [("POST", "/password"), ("DELETE", "")])
async def test_what_wants_a_fresh_proof(lite: The, method: str, path: str) -> None:
    anna = await lite.person()
    lite.clock.forward(299)
    body = {"password": OTHER_PASSWORD} if path else None
    lite.clock.forward(2)
    await lite.http.get(ME, headers=anna.auth)  # using a session is no fresh proof
    before = await lite.everything()
    answer = await lite.http.request(method, ME + path, json=body, headers=anna.auth)
    assert (answer.status_code, code_of(answer)) == (401, "insufficient_user_authentication")
    assert answer.headers["www-authenticate"] == STEP_UP
    assert await lite.everything() == before
    begun = await lite.http.post("/api/v1/signin", json={"step_up": {"max_age": 300}}, headers=anna.auth)
    handle = handle_of(begun)
    await lite.prove(handle, "password", PASSWORD)
    token = token_of(await lite.finish(handle))
    assert (await lite.http.request(method, ME + path, json=body, headers=bearer(token))).status_code == 204


async def test_leaving_takes_everything_along(the: The) -> None:
    anna, bert = await the.person("anna@example.com"), await the.person("bert@example.com")
    running = handle_of(await the.start(anna.email))
    await the.prove(running, "password", PASSWORD)
    gone = await the.http.delete(ME, headers=anna.auth)
    assert (gone.status_code, gone.content) == (204, b"")
    assert "Max-Age=0" in gone.headers["set-cookie"]
    assert code_of(await the.session(anna.token)) == "credential_invalid"
    assert code_of(await the.finish(running)) == "handle_invalid"
    assert [row["email"] for row in await the.rows(person)] == [bert.email]
    assert len(await the.rows(credential)) == len(await the.rows(session)) == 1
    assert (await the.session(bert.token)).status_code == 200
    again = await the.person("anna@example.com", OTHER_PASSWORD)
    assert (await the.http.get(ME, headers=again.auth)).json()["user"]["profile"] == {}
    listed = (await the.http.get(f"{ME}/activity", headers=again.auth)).json()
    assert len([item for item in listed["items"] if item["event"] == "account:created"]) == 1


# -- lists -----------------------------------------------------------------------------------------


async def test_sessions_one_by_one(the: The) -> None:
    anna, bert = await the.person("anna@example.com"), await the.person("bert@example.com")
    other = await the.signed_in(anna)
    listed = await the.http.get(f"{ME}/sessions", headers=anna.auth)
    assert (listed.status_code, listed.json().keys()) == (200, {"items", "next"})
    items = listed.json()["items"]
    assert [item["current"] for item in items] == [False, True]
    assert items[0].keys() == {
        "id",
        "created_at",
        "last_used_at",
        "idle_expires_at",
        "expires_at",
        "auth_time",
        "amr",
        "acr",
        "current",
        "client",
    }
    theirs = (await the.http.get(f"{ME}/sessions", headers=bert.auth)).json()["items"][0]["id"]
    for not_mine in (theirs, "00000000-0000-7000-8000-000000000000"):
        answer = await the.http.delete(f"{ME}/sessions/{not_mine}", headers=anna.auth)
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert (await the.session(bert.token)).status_code == 200
    path = f"{ME}/sessions/{items[0]['id']}"
    done = await the.http.delete(path, headers=anna.auth)
    assert (done.status_code, done.content) == (204, b"")
    assert code_of(await the.session(other.token)) == "session_ended"
    again = await the.http.delete(path, headers=anna.auth)
    assert (again.status_code, code_of(again)) == (404, "not_found")
    assert len((await the.http.get(f"{ME}/sessions", headers=anna.auth)).json()["items"]) == 1
    assert (await the.http.delete(f"{ME}/sessions/{items[1]['id']}", headers=anna.auth)).status_code == 204
    assert code_of(await the.session(anna.token)) == "session_ended"


@pytest.mark.parametrize("list_", ["sessions", "activity"])
async def test_pages(the: The, list_: str) -> None:
    anna = await the.person()
    for _ in range(4):
        await the.signed_in(anna)
    whole = (await the.http.get(f"{ME}/{list_}", headers=anna.auth)).json()
    assert whole["next"] is None
    seen, after = [], ""
    while True:
        page = await the.http.get(f"{ME}/{list_}?limit=2{after}", headers=anna.auth)
        assert page.status_code == 200
        assert page.json().keys() == {"items", "next"}
        assert 1 <= len(page.json()["items"]) <= 2
        seen += page.json()["items"]
        if page.json()["next"] is None:
            break
        after = f"&after={page.json()['next']}"
    assert seen == whole["items"]
    assert len(seen) >= 5
    nothing = await the.http.get(f"{ME}/{list_}?after=00000000-0000-0000-0000-000000000000", headers=anna.auth)
    assert nothing.json() == {"items": [], "next": None}
    for query in (
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1.5",
        "limit=",
        "limit=ten",
        "limit=1e1",
        "limit=%2B",
        "after=x",
        "after=",
        f"after={'g' * 36}",
        f"limit={'9' * 400}",
    ):
        answer = await the.http.get(f"{ME}/{list_}?{query}", headers=anna.auth)
        assert (answer.status_code, code_of(answer)) == (422, "invalid"), query
        assert answer.json()["fields"].keys() == {query.partition("=")[0]}


async def test_a_page_holds_a_hundred(the: The) -> None:
    anna = await the.person()
    row, carried = (await the.rows(session))[0], (await the.rows(carrier))[0]
    async with the.gate.services.store.write() as db:
        ids = [f"00000000-0000-7000-8000-{number:012x}" for number in range(130)]
        await db.change(insert(session).values([{**row, "id": one} for one in ids]))
        copies = [{**carried, "id": one, "session_id": one, "secret_hash": one.encode()} for one in ids]
        await db.change(insert(carrier).values(copies))
    first = (await the.http.get(f"{ME}/sessions", headers=anna.auth)).json()
    assert len(first["items"]) == 100
    rest = (await the.http.get(f"{ME}/sessions?after={first['next']}", headers=anna.auth)).json()
    assert (len(rest["items"]), rest["next"]) == (31, None)
    ids = [item["id"] for item in first["items"] + rest["items"]]
    assert ids == sorted(set(ids), reverse=True)


async def test_activity_is_ones_own(the: The) -> None:
    anna, bert = await the.person("anna@example.com"), await the.person("bert@example.com")
    handle = handle_of(await the.start(bert.email))
    await the.prove(handle, "password", "wrong horse battery staple")
    mine = (await the.http.get(f"{ME}/activity", headers=anna.auth)).json()["items"]
    theirs = (await the.http.get(f"{ME}/activity", headers=bert.auth)).json()["items"]
    assert mine[0].keys() == {"id", "at", "event", "client"}
    assert mine[0]["client"].keys() == {"browser", "os", "ip"}
    assert "signin:password:refused" in {item["event"] for item in theirs}
    assert "signin:password:refused" not in {item["event"] for item in mine}
    assert not {item["id"] for item in mine} & {item["id"] for item in theirs}


async def test_the_export_holds_no_secret(the: The) -> None:
    anna = await the.person("anna@example.com")
    await the.person("bert@example.com")
    answer = await the.http.get(f"{ME}/export", headers=anna.auth)
    body = answer.json()
    assert (answer.status_code, body.keys()) == (200, {"user", "credentials", "sessions", "activity"})
    assert [one.keys() for one in body["credentials"]] == [
        {"kind", "label", "created_at", "last_used_at", "revoked_at"}
    ]
    assert (body["credentials"][0]["kind"], body["user"]["email"]) == ("password", anna.email)
    assert len(body["sessions"]) == 1
    for secret in ("argon2", "pg_ses_", "pg_sin_", "secret", "bert", "mac", "hash"):
        assert secret not in answer.text
    assert (await the.events())[-1] == "account:exported"
