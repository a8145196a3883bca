"""Sign-in, step-up and recovery over HTTP: handles, proofs, carriers, and every refusal that the contract names.

Not here: limits on wrong answers, which are in test_contract_throttle.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from passgate.settings import Settings
from passgate.store.tables import person, session, sign_in, tenant
from tests import kit
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of, handle_of, token_of

AAL1 = "urn:passgate:aal1"
FIRST = [["password"], ["passkey"]]
"""The first factors of the default policy, which are the first `need` of every sign-in."""
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 Version/26.1 Safari/605.1.15"


async def disable(the: The, email: str) -> None:
    async with the.gate.services.store.write() as db:
        assert await db.change(update(person).where(person.c.email == email).values(disabled_at=1)) == 1


async def policy(the: The, **rules: object) -> None:
    async with the.gate.services.store.write() as db:
        await db.change(update(tenant).values(policy=json.dumps(rules)))


async def test_start_prove_finish(the: The) -> None:
    anna = await the.person()
    begun = await the.start(anna.email)
    assert begun.status_code == 201
    assert begun.json().keys() == {"handle", "need", "enrol", "expires_at"}
    assert (begun.json()["need"], begun.json()["enrol"]) == (FIRST, False)
    handle = handle_of(begun)
    missing = await the.finish(handle)
    assert (missing.status_code, code_of(missing), missing.json()["need"]) == (409, "proof_missing", FIRST)
    wrong = await the.prove(handle, "password", OTHER_PASSWORD)
    assert (wrong.status_code, code_of(wrong)) == (403, "proof_refused")
    right = await the.prove(handle, "password", PASSWORD)
    assert right.status_code == 200
    assert right.json() == {"enough": True, "need": [], "enrol": False, "amr": ["pwd"], "acr": AAL1}
    again = await the.prove(handle, "password", OTHER_PASSWORD)
    assert (again.status_code, code_of(again)) == (409, "already_proved")
    done = await the.finish(handle)
    assert done.status_code == 201
    assert done.json().keys() == {"session", "token"}
    assert done.json()["token"].startswith("pg_ses_")
    assert done.json()["session"].keys() == {
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
    assert done.json()["session"]["current"] is True
    assert "set-cookie" not in done.headers
    for late in (
        await the.finish(handle),
        await the.prove(handle, "password", PASSWORD),
        await the.challenge(handle, "password"),
    ):
        assert (late.status_code, code_of(late)) == (401, "handle_invalid")
        assert late.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert len(await the.rows(session)) == 2


async def test_one_text_for_every_wrong_proof(lite: The) -> None:
    """A wrong password, a disabled person, a person without a password and an unknown address get the same response."""
    await lite.person("anna@example.com")
    await lite.person("bert@example.com")
    await disable(lite, "bert@example.com")
    pending = handle_of(await lite.signup("carl@example.com", None))
    await lite.prove(pending, "email_code", await lite.code("carl@example.com"))  # made without a password
    seen = []
    for email, word in (
        ("anna@example.com", OTHER_PASSWORD),
        ("bert@example.com", PASSWORD),
        ("carl@example.com", PASSWORD),
        ("nobody@example.com", PASSWORD),
        (None, PASSWORD),
    ):
        begun = await lite.start(email)
        assert begun.json()["need"] == FIRST
        answer = await lite.prove(handle_of(begun), "password", word)
        assert (answer.status_code, code_of(answer)) == (403, "proof_refused")
        seen.append(({**answer.json(), "request_id": ""}, sorted(answer.headers)))
    assert all(answer == seen[0] for answer in seen)


@pytest.mark.parametrize("factor", ["email_code", "totp", "link", "browser", "recovery_code", "Password", "x" * 40])
async def test_what_is_not_offered(lite: The, factor: str) -> None:
    anna = await lite.person()
    handle = handle_of(await lite.start(anna.email))
    before = await lite.everything()
    for answer in (await lite.prove(handle, factor, "12345678"), await lite.challenge(handle, factor)):
        assert (answer.status_code, code_of(answer)) == (409, "factor_not_offered")
    nothing = await lite.challenge(handle, "password")
    assert (nothing.status_code, code_of(nothing)) == (409, "no_challenge")
    assert await lite.everything() == before


async def test_already_proved_spends_no_attempt(the: The) -> None:
    anna = await the.person()
    handle = handle_of(await the.start(anna.email))
    await the.prove(handle, "password", PASSWORD)
    before = await the.everything()
    for _ in range(12):
        assert code_of(await the.prove(handle, "password", OTHER_PASSWORD)) == "already_proved"
        assert code_of(await the.challenge(handle, "password")) == "already_proved"
    assert await the.everything() == before
    token_of(await the.finish(handle))


async def test_a_handle_lives_fifteen_minutes(the: The) -> None:
    anna = await the.person()
    proved, idle = [handle_of(await the.start(anna.email)) for _ in range(2)]
    await the.prove(proved, "password", PASSWORD)
    created = (await the.rows(sign_in))[-1]["created_at"]
    assert (await the.rows(sign_in))[-1]["expires_at"] == created + 900_000_000
    the.clock.forward(899)
    assert code_of(await the.finish(idle)) == "proof_missing"
    the.clock.forward(1)
    for answer in (
        await the.finish(proved),
        await the.prove(idle, "password", PASSWORD),
        await the.challenge(idle, "password"),
    ):
        assert (answer.status_code, code_of(answer)) == (401, "handle_invalid")


async def test_a_handle_dies_after_ten_refusals(the: The) -> None:
    await the.person("anna@example.com")
    for begun in (
        await the.signup("new@example.com"),
        await the.signup("anna@example.com"),
        await the.recover("anna@example.com"),
        await the.recover("ghost@example.com"),
    ):
        handle = handle_of(begun)
        for _ in range(10):
            assert code_of(await the.prove(handle, "email_code", "00000000")) == "proof_refused"
        for answer in (await the.prove(handle, "email_code", "00000000"), await the.finish(handle)):
            assert (answer.status_code, code_of(answer)) == (401, "handle_invalid")
        assert code_of(await the.challenge(handle, "email_code")) == "handle_invalid"
    handle = handle_of(await the.signup("last@example.com"))
    code = await the.code("last@example.com")
    for _ in range(9):
        await the.prove(handle, "email_code", "00000000")
    assert (await the.prove(handle, "email_code", code)).status_code == 200


async def test_a_code_is_for_one_handle_and_once(the: The) -> None:
    anna = await the.person()
    one, two = [handle_of(await the.recover(anna.email)) for _ in range(2)]
    newest = await the.code(anna.email)
    assert code_of(await the.prove(one, "email_code", newest)) == "proof_refused"
    assert (await the.prove(two, "email_code", newest)).status_code == 200
    assert code_of(await the.prove(two, "email_code", newest)) == "already_proved"
    assert code_of(await the.prove(one, "email_code", newest)) == "proof_refused"


async def test_mailed_codes_as_a_first_factor_by_policy(lite: The) -> None:
    anna = await lite.person()
    await policy(lite, first=["password", "email_code"])
    mails = len(await lite.mails())
    for email in (anna.email, "ghost@example.com"):
        begun = await lite.start(email)
        assert begun.json()["need"] == [["password"], ["email_code"]]
        assert code_of(await lite.prove(handle_of(begun), "email_code", "12345678")) == "proof_refused"
        sent = await lite.challenge(handle_of(begun), "email_code")
        assert sent.json() == {"challenge": {"sent_to": f"{email[0]}…@example.com"}}
    assert len(await lite.mails()) == mails + 2
    assert [mail["kind"] for mail in (await lite.mails())[:2]] == ["recovery_none", "signin_code"]
    handle = handle_of(await lite.start(anna.email))
    await lite.challenge(handle, "email_code")
    proved = await lite.prove(handle, "email_code", await lite.code(anna.email))
    assert proved.json() == {"enough": True, "need": [], "enrol": False, "amr": ["otp"], "acr": AAL1}


async def test_mailed_codes_without_an_address(lite: The) -> None:
    await policy(lite, first=["password", "email_code"])
    handle = handle_of(await lite.start(None))
    mails = len(await lite.mails())
    assert (await lite.challenge(handle, "email_code")).status_code < 500
    assert code_of(await lite.prove(handle, "email_code", "12345678")) == "proof_refused"
    assert len(await lite.mails()) == mails  # there is no address to send it to


# -- recovery --------------------------------------------------------------------------------------


async def test_recovery_is_the_same_for_everybody(the: The) -> None:
    await the.person("anna@example.com")
    await the.person("bert@example.com")
    await disable(the, "bert@example.com")
    kinds = []
    for email in ("anna@example.com", "bert@example.com", "ghost@example.com"):
        answer = await the.recover(email)
        assert answer.status_code == 202
        assert answer.json().keys() == {"handle", "need", "enrol", "expires_at"}
        assert (answer.json()["need"], answer.json()["enrol"]) == ([["email_code"]], False)
        kinds.append((await the.mails(email))[0]["kind"])
    assert kinds == ["recovery_code", "recovery_none", "recovery_none"]
    none = (await the.mails("ghost@example.com"))[0]
    assert (none["code"], none["link"]) == (None, "http://localhost:8000/signup")


async def test_recovery_ends_running_sign_ins(the: The) -> None:
    """A sign-in that proved the old password before the recovery cannot be finished after it."""
    anna = await the.person()
    thief = handle_of(await the.start(anna.email))
    assert (await the.prove(thief, "password", PASSWORD)).status_code == 200
    handle = handle_of(await the.recover(anna.email))
    await the.prove(handle, "email_code", await the.code(anna.email))
    assert code_of(await the.finish(handle)) == "proof_missing"
    assert (await the.prove(handle, "password", OTHER_PASSWORD)).json()["enough"] is True
    assert code_of(await the.finish(thief)) == "handle_invalid"
    token_of(await the.finish(handle))


async def test_a_disabled_person_gets_in_nowhere(the: The) -> None:
    anna = await the.person()
    proved = handle_of(await the.start(anna.email))
    await the.prove(proved, "password", PASSWORD)
    stepping = handle_of(await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=anna.auth))
    recovering = handle_of(await the.recover(anna.email))
    code = await the.code(anna.email)
    pending = handle_of(await the.recover(anna.email))
    await the.prove(pending, "email_code", await the.code(anna.email))
    await disable(the, anna.email)
    assert code_of(await the.session(anna.token)) == "session_ended"
    for method, path in (("GET", "me"), ("GET", "me/sessions"), ("GET", "me/export"), ("DELETE", "session")):
        assert code_of(await the.http.request(method, f"/api/v1/{path}", headers=anna.auth)) == "session_ended"
    again = await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=anna.auth)
    assert code_of(again) == "session_ended"
    assert code_of(await the.finish(proved)) == "handle_invalid"
    assert code_of(await the.prove(stepping, "password", PASSWORD)) == "proof_refused"
    assert code_of(await the.prove(recovering, "email_code", code)) == "proof_refused"
    assert code_of(await the.prove(pending, "password", OTHER_PASSWORD)) == "handle_invalid"
    fresh = handle_of(await the.start(anna.email))
    assert code_of(await the.prove(fresh, "password", PASSWORD)) == "proof_refused"


# -- step-up ---------------------------------------------------------------------------------------


async def test_step_up_wants_a_live_session(lite: The) -> None:
    anna = await lite.person()
    for headers, code in (
        ({}, "credential_missing"),
        (bearer("pg_ses_nonsense"), "credential_invalid"),
        (bearer(handle_of(await lite.start(anna.email))), "credential_invalid"),
    ):
        answer = await lite.http.post("/api/v1/signin", json={"step_up": {}}, headers=headers)
        assert (answer.status_code, code_of(answer)) == (401, code)
    both = await lite.http.post("/api/v1/signin", json={"step_up": {}, "email": anna.email}, headers=anna.auth)
    assert (code_of(both), both.json()["fields"]) == ("invalid", {"step_up": "value"})
    odd = await lite.http.post("/api/v1/signin", json={"step_up": {"acr": "urn:nobody"}}, headers=anna.auth)
    assert (code_of(odd), odd.json()["fields"]) == ("invalid", {"step_up.acr": "value"})
    high = await lite.http.post("/api/v1/signin", json={"step_up": {"acr": "urn:passgate:aal3"}}, headers=anna.auth)
    assert code_of(high) == "factor_not_offered"


async def test_step_up_is_for_its_own_session(the: The) -> None:
    anna = await the.person()
    other = await the.signed_in(anna)
    begun = await the.http.post("/api/v1/signin", json={"step_up": {"acr": AAL1, "max_age": 0}}, headers=anna.auth)
    assert (begun.status_code, begun.json()["need"]) == (201, [["password"]])
    handle = handle_of(begun)
    assert code_of(await the.prove(handle, "password", OTHER_PASSWORD)) == "proof_refused"
    the.clock.forward(30)
    assert (await the.prove(handle, "password", PASSWORD)).json()["enough"] is True
    token = token_of(await the.finish(handle))
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert (await the.session(other.token)).status_code == 200
    fresh = (await the.session(token)).json()["session"]
    old = (await the.session(other.token)).json()["session"]
    assert fresh["auth_time"] > old["auth_time"]
    assert fresh["id"] != old["id"]


async def test_step_up_of_an_ended_session_opens_nothing(the: The) -> None:
    anna = await the.person()
    handle = handle_of(await the.http.post("/api/v1/signin", json={"step_up": {}}, headers=anna.auth))
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    assert (await the.http.delete("/api/v1/session", headers=anna.auth)).status_code == 204
    answer = await the.finish(handle)
    assert (answer.status_code, code_of(answer)) == (401, "session_ended")
    assert all(row["ended_at"] is not None for row in await the.rows(session))


# -- carriers and cookies --------------------------------------------------------------------------


def flags(cookie: str) -> tuple[str, str, set[str]]:
    pair, *attributes = cookie.split("; ")
    name, _, value = pair.partition("=")
    return name, value, set(attributes)


async def proved_handle(the: The, email: str) -> str:
    handle = handle_of(await the.start(email))
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    return handle


async def test_a_cookie_over_http(lite: The) -> None:
    anna = await lite.person()
    done = await lite.finish(await proved_handle(lite, anna.email), "cookie")
    assert (done.status_code, done.json().keys()) == (201, {"session"})
    name, value, attributes = flags(done.headers.get_list("set-cookie")[0])
    assert name == "passgate_session"
    assert value.startswith("pg_ses_")
    assert attributes == {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=86400"}
    assert value not in done.text
    lite.http.cookies.clear()
    displayed = await lite.http.get("/api/v1/session", headers={"Cookie": f"{name}={value}"})
    assert displayed.json()["session"]["id"] == done.json()["session"]["id"]
    prefixed = await lite.http.get("/api/v1/session", headers={"Cookie": f"__Host-{name}={value}"})
    assert code_of(prefixed) == "credential_missing"
    headers = {"Cookie": f"{name}={value}", "Sec-Fetch-Site": "same-origin"}
    over = await lite.http.delete("/api/v1/session", headers=headers)
    assert over.status_code == 204
    assert flags(over.headers["set-cookie"]) == (name, "", {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=0"})


def production(data: Path, **more: object) -> Settings:
    return Settings.production(
        **{
            "data": data,
            "public_url": "https://id.passgate.test",
            "secrets": ("r4" * 8 + "Kq7Wz0" * 6,),
            "mail": {"url": "smtp://127.0.0.1:1"},
            "metrics": {"token": "m3trics-t0ken-of-the-tests"},
            **more,
        }
    )


async def test_a_cookie_over_https(tmp_path: Path) -> None:
    """The same data folder is used first in development, where mails can be read, and then in production."""
    root = ("r4" * 8 + "Kq7Wz0" * 6,)
    async with kit.running(kit.settings_for(tmp_path, secrets=root)) as the:
        anna = await the.person()
    async with kit.running(production(tmp_path), ip="203.0.113.9") as the:
        the.clock.forward(hours=1)  # so that no id is drawn twice
        done = await the.finish(await proved_handle(the, anna.email), "cookie")
        name, value, attributes = flags(done.headers.get_list("set-cookie")[0])
        assert name == "__Host-passgate_session"
        assert attributes == {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=86400", "Secure"}
        assert done.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        the.http.cookies.clear()
        displayed = await the.http.get("/api/v1/session", headers={"Cookie": f"{name}={value}"})
        assert displayed.status_code == 200
        plain = await the.http.get("/api/v1/session", headers={"Cookie": f"passgate_session={value}"})
        assert code_of(plain) == "credential_missing"
        for origin, status in (("https://id.passgate.test", 204), ("http://id.passgate.test", 403)):
            headers = {"Cookie": f"{name}={value}", "Origin": origin}
            assert (await the.http.delete("/api/v1/me/sessions", headers=headers)).status_code == status
        over = await the.http.delete(
            "/api/v1/session", headers={"Cookie": f"{name}={value}", "Sec-Fetch-Site": "same-origin"}
        )
        assert flags(over.headers["set-cookie"])[2] == attributes - {"Max-Age=86400"} | {"Max-Age=0"}
        assert (await the.http.get("/dev/mail.json")).status_code == 404


FROM = [
    ({}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "none"}, False),
    ({"Origin": "http://localhost:8000"}, True),
    ({"Origin": "http://localhost:3000"}, False),
    ({"Origin": "https://evil.test"}, False),
    ({"Origin": "http://localhost:8000.evil.test"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:8000"}, False),
    ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
]


async def test_no_cookie_for_another_origin(lite: The) -> None:
    anna = await lite.person()
    for headers, is_ours in FROM:
        handle = await proved_handle(lite, anna.email)
        answer = await lite.http.post(
            "/api/v1/signin/finish", json={"carrier": "cookie"}, headers={**bearer(handle), **headers}
        )
        assert (answer.status_code == 201) is is_ours, headers
        assert ("set-cookie" in answer.headers) is is_ours
        if not is_ours:
            assert (answer.status_code, code_of(answer)) == (403, "csrf_refused")
            token_of(await lite.finish(handle))  # the handle is still valid
        lite.http.cookies.clear()


@pytest.mark.parametrize("carrier", ["JWT", "Bearer", "", "header"])
async def test_a_carrier_we_do_not_have(lite: The, carrier: str) -> None:
    anna = await lite.person()
    answer = await lite.finish(await proved_handle(lite, anna.email), carrier)
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert answer.json()["fields"] == {"carrier": "value"}


# -- credentials of the wrong kind -----------------------------------------------------------------


async def test_what_is_no_handle(lite: The) -> None:
    anna = await lite.person()
    handle = handle_of(await lite.start(anna.email))
    last = handle[-1]
    odd = next(letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter != last)
    values: list[list[tuple[str, str]]] = [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Basic {handle}")],
        [("Authorization", handle)],
        [("Authorization", f"Bearer {anna.token}")],
        [("Authorization", f"Bearer {handle[:-1]}{odd}")],
        [("Authorization", f"Bearer {handle}=")],
        [("Authorization", f"Bearer {handle} {handle}")],
        [("Authorization", f"Bearer {handle}")] * 2,
        [("Authorization", f"Bearer PG{handle[2:]}")],
        [("Cookie", f"passgate_signin={handle}")],
        [("Cookie", f"passgate_session={handle}")],
    ]
    for headers in values:
        for endpoint, body in (
            ("challenge", {"factor": "password"}),
            ("prove", {"factor": "password", "answer": PASSWORD}),
            ("finish", {"carrier": "bearer"}),
        ):
            answer = await lite.http.post(f"/api/v1/signin/{endpoint}", json=body, headers=headers)
            assert (answer.status_code, code_of(answer)) == (401, "handle_invalid"), (endpoint, headers)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    lower = await lite.http.post(
        "/api/v1/signin/finish", json={"carrier": "bearer"}, headers={"Authorization": f"bearer {handle}"}
    )
    assert code_of(lower) == "proof_missing"


async def test_a_new_device_sends_a_mail(the: The) -> None:
    anna = await the.person()
    count = len(await the.mails(anna.email))
    await the.signed_in(anna)
    assert len(await the.mails(anna.email)) == count
    the.http.headers["User-Agent"] = SAFARI
    await the.signed_in(anna)
    result = await the.mails(anna.email)
    assert (len(result), result[0]["kind"], result[0]["code"]) == (count + 1, "new_device", None)
    await the.signed_in(anna)
    assert len(await the.mails(anna.email)) == count + 1
    listed = (await the.http.get("/api/v1/me/sessions", headers=anna.auth)).json()["items"]
    assert [item["client"]["browser"] for item in listed[:2]] == ["Safari", "Safari"]
    assert listed[0]["client"] == {"browser": "Safari", "os": "macOS", "ip": "127.0.0.1"}
