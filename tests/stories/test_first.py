"""A person's whole story over JSON: sign up, sign in, list and end sessions, recover, step up, leave."""

from passgate.store.tables import person
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of, handle_of, token_of


async def test_sign_up_then_sign_in_then_end(the: The) -> None:
    anna = await the.person("Anna@Example.com")
    again = await the.signed_in(anna)
    displayed = (await the.session(again.token)).json()
    assert displayed["user"]["email_verified"] is True
    assert displayed["user"]["roles"] == ["user"]
    assert displayed["tenant"]["name"] == "main"
    assert displayed["session"]["amr"] == ["pwd"]
    listed = (await the.http.get("/api/v1/me/sessions", headers=again.auth)).json()
    assert [item["current"] for item in listed["items"]] == [True, False]
    ended = await the.http.delete(f"/api/v1/me/sessions/{listed['items'][1]['id']}", headers=again.auth)
    assert ended.status_code == 204
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert (await the.http.delete("/api/v1/session", headers=again.auth)).status_code == 204
    assert code_of(await the.session(again.token)) == "session_ended"


async def test_a_known_address_signs_up(the: The) -> None:
    await the.person("anna@example.com")
    before = len(await the.rows(person))
    handle = handle_of(await the.signup("ANNA@example.com", OTHER_PASSWORD))
    assert (await the.mails())[0]["kind"] == "signup_known"
    assert code_of(await the.prove(handle, "email_code", "12345678")) == "proof_refused"
    assert len(await the.rows(person)) == before


async def test_recovery_ends_every_session(the: The) -> None:
    anna = await the.person()
    handle = handle_of(await the.recover(anna.email))
    proved = await the.prove(handle, "email_code", await the.code(anna.email))
    assert proved.json() == {"enough": False, "need": [["password"]], "enrol": True}
    refused = await the.prove(handle, "password", "short")
    assert (code_of(refused), refused.json()["fields"]) == ("password_refused", {"password": "short"})
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).json()["enough"] is True
    token = token_of(await the.finish(handle))
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert (await the.session(token)).status_code == 200
    assert (await the.mails())[0]["kind"] == "recovered"
    old = handle_of(await the.start(anna.email))
    assert code_of(await the.prove(old, "password", PASSWORD)) == "proof_refused"


async def test_step_up_replaces_the_session(the: The) -> None:
    anna = await the.person()
    the.clock.forward(400)
    stale = await the.http.post("/api/v1/me/password", json={"password": OTHER_PASSWORD}, headers=anna.auth)
    assert code_of(stale) == "insufficient_user_authentication"
    assert "max_age=300" in stale.headers["www-authenticate"]
    begun = await the.http.post("/api/v1/signin", json={"step_up": {"max_age": 300}}, headers=anna.auth)
    handle = handle_of(begun)
    assert (await the.prove(handle, "password", PASSWORD)).json()["enough"] is True
    token = token_of(await the.finish(handle))
    assert code_of(await the.session(anna.token)) == "session_ended"
    done = await the.http.post("/api/v1/me/password", json={"password": OTHER_PASSWORD}, headers=bearer(token))
    assert done.status_code == 204
    assert (await the.mails())[0]["kind"] == "password_changed"


async def test_leaving(the: The) -> None:
    anna = await the.person()
    assert (await the.http.delete("/api/v1/me", headers=anna.auth)).status_code == 204
    assert code_of(await the.session(anna.token)) == "credential_invalid"
    assert await the.rows(person) == []
