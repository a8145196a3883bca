"""A person's own factors over HTTP: shapes, statuses, refusals, and the cookie of a remembered browser.

Not here: the rules behind them, which are in tests/core.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from passgate.core import enrolment
from passgate.store.tables import credential
from tests.authenticator import Authenticator
from tests.core.having import (
    add_app,
    add_codes,
    add_passkey,
    asserted,
    begun,
    code_of_app,
    me,
    offered_passkey,
    policy,
    prove,
    prove_each,
    signed_in,
    step_up,
    unspelled,
)
from tests.kit import Person, The, bearer, code_of, handle_of, token_of

URL = "http://localhost:8000"
AAL1, AAL2 = "urn:passgate:aal1", "urn:passgate:aal2"
NOBODY = "00000000-0000-7000-8000-000000000000"
PASSKEY = {"id", "label", "created_at", "last_used_at", "synced", "backed_up"}
ICLOUD = bytes.fromhex("fbfc3007154e4ecc8c0b6e020557d7bd")

Endpoint = tuple[str, str, dict[str, Any] | None]
CHANGES: list[Endpoint] = [
    ("POST", "passkeys", None),
    ("POST", "passkeys/prove", {"answer": {}}),
    ("PATCH", f"passkeys/{NOBODY}", {"label": "x"}),
    ("DELETE", f"passkeys/{NOBODY}", None),
    ("POST", "totp", None),
    ("GET", "totp/qr", None),
    ("POST", "totp/prove", {"answer": "000000"}),
    ("DELETE", "totp", None),
    ("POST", "totp/show", None),
    ("POST", "email-code", None),
    ("POST", "email-code/prove", {"answer": "00000000"}),
    ("DELETE", "email-code", None),
    ("POST", "recovery-codes", None),
]
"""Endpoints that require a fresh proof."""
OTHERS: list[Endpoint] = [
    ("GET", "passkeys", None),
    ("GET", "browsers", None),
    ("DELETE", "browsers", None),
    ("DELETE", f"browsers/{NOBODY}", None),
]


# -- passkeys --------------------------------------------------------------------------------------


async def test_a_passkey_from_its_making_to_its_end(the: The) -> None:
    anna = await the.person()
    assert (await me(the, "GET", "passkeys", anna)).json() == {"items": [], "next": None}
    begun_ = await me(the, "POST", "passkeys", anna)
    assert (begun_.status_code, begun_.json().keys()) == (201, {"challenge"})
    options = begun_.json()["challenge"]
    assert options.keys() == {
        "rp",
        "user",
        "challenge",
        "pubKeyCredParams",
        "timeout",
        "excludeCredentials",
        "authenticatorSelection",
        "attestation",
        "extensions",
    }
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]
    key = Authenticator(aaguid=ICLOUD, bs=False)
    made = await me(the, "POST", "passkeys/prove", anna, {"answer": key.create(options, URL)})
    assert (made.status_code, made.json().keys()) == (201, PASSKEY)
    one = made.json()
    assert (one["synced"], one["backed_up"], one["last_used_at"]) == (True, False, None)
    assert one["label"] not in ("", "Passkey"), "an authenticator that is known has its name"
    assert one["created_at"].endswith("Z")
    renamed = await me(the, "PATCH", f"passkeys/{one['id']}", anna, {"label": " My  phone "})
    assert (renamed.status_code, renamed.json()) == (200, {**one, "label": "My phone"})
    handle = handle_of(await the.start())
    await prove_each(the, handle, ("passkey", await asserted(the, handle, key)))
    token_of(await the.finish(handle))
    await add_passkey(the, anna, Authenticator(), label="Second")
    listed = (await me(the, "GET", "passkeys", anna)).json()["items"]
    assert [found["label"] for found in listed] == ["Second", "My phone"]
    assert listed[1]["last_used_at"].endswith("Z")
    gone = await me(the, "DELETE", f"passkeys/{one['id']}", anna)
    assert (gone.status_code, gone.content) == (204, b"")
    again = await me(the, "DELETE", f"passkeys/{one['id']}", anna)
    assert (again.status_code, code_of(again)) == (404, "not_found")


async def test_a_passkey_that_is_removed_before_it_is_answered(the: The, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another session, or undone: no fault."""
    anna = await the.person()
    answer = Authenticator().create(await offered_passkey(the, anna), URL)

    async def none(_: object) -> list[dict[str, Any]]:
        return []

    monkeypatch.setattr(enrolment, "passkeys", none)
    proved = await me(the, "POST", "passkeys/prove", anna, {"answer": answer})
    assert (proved.status_code, proved.json()["code"]) == (404, "not_found")


async def test_the_last_way_in_stays(the: The) -> None:
    handle = handle_of(await the.signup("anna@example.com", None))
    proved = await prove(the, handle, "email_code", await the.code("anna@example.com"))
    assert proved.json() == {"enough": False, "need": [["password"], ["passkey"]], "enrol": True}
    key = Authenticator()
    options = (await the.challenge(handle, "passkey")).json()["challenge"]
    assert options["user"]["name"] == "anna@example.com"
    done = await prove(the, handle, "passkey", key.create(options, URL))
    assert done.json() == {"enough": True, "need": [], "enrol": False, "amr": ["otp", "pop", "user"], "acr": AAL2}
    anna = Person("anna@example.com", "", token_of(await the.finish(handle)))
    [one] = (await me(the, "GET", "passkeys", anna)).json()["items"]
    last = await me(the, "DELETE", f"passkeys/{one['id']}", anna)
    assert (last.status_code, code_of(last)) == (409, "conflict")


# -- authenticator app and recovery codes ----------------------------------------------------------


async def test_an_app_from_its_secret_to_its_end(the: The) -> None:
    anna = await the.person()
    early = await me(the, "GET", "totp/qr", anna)
    assert (early.status_code, code_of(early)) == (404, "not_found")
    offered = await me(the, "POST", "totp", anna)
    assert (offered.status_code, offered.json().keys()) == (201, {"otpauth_uri", "secret", "active"})
    assert offered.json()["active"] is False
    assert offered.json()["secret"] in offered.json()["otpauth_uri"]
    picture = await me(the, "GET", "totp/qr", anna)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.content.startswith(b"\x89PNG")
    assert picture.headers["cache-control"] == "no-store"
    wrong = await me(the, "POST", "totp/prove", anna, {"answer": "000000"})
    assert (wrong.status_code, code_of(wrong)) == (403, "proof_refused")
    code = code_of_app(the, unspelled(offered.json()["secret"]))
    right = await me(the, "POST", "totp/prove", anna, {"answer": code})
    assert (right.status_code, right.content) == (204, b"")
    assert (await the.session(anna.token)).json()["session"]["acr"] == AAL2
    assert (await me(the, "GET", "totp/qr", anna)).status_code == 404, "it is shown no more"
    assert (await me(the, "DELETE", "totp", anna)).status_code == 204
    again = await me(the, "DELETE", "totp", anna)
    assert (again.status_code, code_of(again)) == (404, "not_found")


async def test_recovery_codes(the: The) -> None:
    anna = await the.person()
    made = await me(the, "POST", "recovery-codes", anna)
    assert (made.status_code, made.json().keys()) == (201, {"codes"})
    assert len(made.json()["codes"]) == 10
    assert made.headers["cache-control"] == "no-store"


async def test_guesses_at_a_first_code_wait(the: The) -> None:
    anna = await the.person()
    await me(the, "POST", "totp", anna)
    for _ in range(10):
        assert code_of(await me(the, "POST", "totp/prove", anna, {"answer": "000000"})) == "proof_refused"
    late = await me(the, "POST", "totp/prove", anna, {"answer": "000000"})
    assert (late.status_code, code_of(late)) == (429, "throttled")
    assert int(late.headers["retry-after"]) >= 1


async def test_everything_in_one_request(lite: The) -> None:
    anna = await lite.person()
    nothing = await lite.http.get("/api/v1/me/factors", headers=anna.auth)
    assert nothing.json() == {
        "password": True,
        "passkeys": [],
        "totp": None,
        "email_code": None,
        "recovery_codes": 0,
        "browsers": [],
    }
    await add_app(lite, anna)
    one = await add_passkey(lite, anna, Authenticator())
    await add_codes(lite, anna)
    seen = (await lite.http.get("/api/v1/me/factors", headers=anna.auth)).json()
    assert (seen["passkeys"], seen["recovery_codes"]) == ([one], 10)
    assert seen["totp"].endswith("Z")


# -- session, freshness and CSRF -------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_fresh_proof_at_ones_own_level(lite: The, method: str, path: str, body: dict[str, Any] | None) -> None:
    """A weak or stale session is refused with the level and the age that are required (RFC 9470), and a step-up to them
    is enough."""
    anna = await lite.person()
    secret = await add_app(lite, anna)
    waived = await remembered(lite, anna, secret)
    stale = await signed_in(lite, anna, ("totp", code_of_app(lite, secret, 1)))
    weak = await me(lite, method, path, waived, body)
    lite.clock.forward(301)
    old = await me(lite, method, path, stale, body)
    for answer in (weak, old):
        assert (answer.status_code, code_of(answer)) == (401, "insufficient_user_authentication")
        assert answer.headers["www-authenticate"] == (
            f'Bearer error="insufficient_user_authentication", acr_values="{AAL2}", max_age=300'
        )
    handle = await step_up(lite, stale)
    await prove_each(lite, handle, ("password", anna.password), ("totp", code_of_app(lite, secret)))
    fresh = Person(anna.email, anna.password, token_of(await lite.finish(handle)))
    assert (await me(lite, method, path, fresh, body)).status_code != 401


async def remembered(the: The, who: Person, secret: bytes) -> Person:
    """An AAL1 session of a person with a second factor, which a remembered browser is not asked for."""
    handle = await begun(the, who.email)
    await prove_each(the, handle, ("totp", code_of_app(the, secret)))
    cookie = browser_cookie(await finish(the, handle, remember=True))
    handle = handle_of(await the.http.post("/api/v1/signin", json={"email": who.email}, headers={"Cookie": cookie}))
    await prove_each(the, handle, ("password", who.password))
    token = token_of(await the.finish(handle))
    assert (await the.session(token)).json()["session"]["acr"] == AAL1
    return Person(who.email, who.password, token)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES + OTHERS)
async def test_nobody_without_a_session(lite: The, method: str, path: str, body: dict[str, Any] | None) -> None:
    anna = await lite.person()
    handle = handle_of(await lite.start(anna.email))
    before = await lite.everything()
    for token, code in (("", "credential_missing"), (handle, "credential_invalid"), ("pg_ses_x", "credential_invalid")):
        given: Any = {"json": body} if body is not None else {}
        headers = bearer(token) if token else {}
        answer = await lite.http.request(method, f"/api/v1/me/{path}", headers=headers, **given)
        assert (answer.status_code, code_of(answer)) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await lite.everything() == before


@pytest.mark.parametrize(
    ("method", "path", "body"), [endpoint for endpoint in CHANGES + OTHERS if endpoint[0] != "GET"]
)
async def test_no_change_by_cookie_from_elsewhere(
    lite: The, method: str, path: str, body: dict[str, Any] | None
) -> None:
    anna = await lite.person()
    given: Any = {"json": body} if body is not None else {}
    before = await lite.everything()
    for from_where in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}, {}):
        headers = {"Cookie": f"passgate_session={anna.token}", **from_where}
        answer = await lite.http.request(method, f"/api/v1/me/{path}", headers=headers, **given)
        assert (answer.status_code, code_of(answer)) == (403, "csrf_refused")
    after = await lite.everything()
    assert [name for name in before if before[name] != after[name] and name != "audit_event"] == []


async def test_somebody_elses_are_not_found(lite: The) -> None:
    anna, bert = await lite.person("anna@example.com"), await lite.person("bert@example.com")
    one = await add_passkey(lite, anna, Authenticator())
    before = await lite.rows(credential)
    for method, body in (("PATCH", {"label": "Mine"}), ("DELETE", None)):
        for path in (f"passkeys/{one['id']}", f"passkeys/{NOBODY}"):
            answer = await me(lite, method, path, bert, body)
            assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert (await me(lite, "DELETE", f"browsers/{one['id']}", anna)).status_code == 404, "a passkey is no browser"
    for odd in ("1", "x" * 36, NOBODY[:-1]):
        answer = await me(lite, "DELETE", f"passkeys/{odd}", bert)
        assert answer.status_code in (404, 422)
    assert await lite.rows(credential) == before


async def test_shapes_that_are_refused(lite: The) -> None:
    anna = await lite.person()
    for path, body, fields in (
        ("passkeys/prove", {}, {"answer": "missing"}),
        ("passkeys/prove", {"answer": "text"}, {"answer": "type"}),
        ("passkeys/prove", {"answer": {}, "label": 1}, {"label": "type"}),
        ("passkeys/prove", {"answer": {}, "label": "x" * 61}, {"label": "length"}),
        ("totp/prove", {"answer": 123456}, {"answer": "type"}),
        ("totp/prove", {"answer": ""}, {"answer": "length"}),
        ("totp/prove", {"answer": "1", "more": 1}, {"body": "unknown"}),
    ):
        answer = await me(lite, "POST", path, anna, body)
        assert (answer.status_code, code_of(answer)) == (422, "invalid"), (path, body)
        assert answer.json()["fields"] == fields
    form = await lite.http.post(
        "/api/v1/me/totp/prove", content=b"answer=1", headers={**anna.auth, "Content-Type": "text/plain"}
    )
    assert (form.status_code, code_of(form)) == (415, "not_json")


# -- a remembered browser --------------------------------------------------------------------------


async def finish(the: The, handle: str, carrier: str = "cookie", **more: object) -> httpx2.Response:
    body = {"carrier": carrier, **more}
    headers = {**bearer(handle), "Sec-Fetch-Site": "same-origin"}
    answer = await the.http.post("/api/v1/signin/finish", json=body, headers=headers)
    the.http.cookies.clear()
    return answer


def browser_cookie(answer: httpx2.Response) -> str:
    """`name=value` of the cookie of a remembered browser; exactly one must be set."""
    [found] = [one for one in answer.headers.get_list("set-cookie") if one.startswith("passgate_browser=")]
    pair, *flags = found.split("; ")
    assert set(flags) == {"Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={365 * 24 * 3600}"}
    return str(pair)


async def test_a_browser_is_remembered_over_cookies(the: The) -> None:
    anna = await the.person()
    secret = await add_app(the, anna)
    handle = await begun(the, anna.email)
    await prove_each(the, handle, ("totp", code_of_app(the, secret)))
    done = await finish(the, handle, remember=True)
    assert (done.status_code, done.json().keys()) == (201, {"session"})
    cookie = browser_cookie(done)
    start = {"json": {"email": anna.email}, "headers": {"Cookie": cookie}}
    again = await the.http.post("/api/v1/signin", **start)  # type: ignore[arg-type]
    assert again.json()["need"] == [["password"], ["passkey"]], "the start says nothing of it"
    proved = await prove(the, handle_of(again), "password", anna.password)
    assert proved.json() == {"enough": True, "need": [], "enrol": False, "amr": ["pwd"], "acr": AAL1}
    strong = await step_up(the, anna)
    asked = await prove(the, strong, "password", anna.password)
    assert asked.json()["need"] == [["totp"]]
    listed = (await me(the, "GET", "browsers", anna)).json()
    assert (len(listed["items"]), listed["next"]) == (1, None)
    assert listed["items"][0].keys() == {"id", "label", "created_at", "last_used_at", "expires_at"}
    elsewhere = await the.person("bert@example.com")
    missing = await me(the, "DELETE", f"browsers/{listed['items'][0]['id']}", elsewhere)
    assert code_of(missing) == "not_found"
    assert (await me(the, "DELETE", f"browsers/{listed['items'][0]['id']}", anna)).status_code == 204
    over = handle_of(await the.http.post("/api/v1/signin", **start))  # type: ignore[arg-type]
    assert (await prove(the, over, "password", anna.password)).json()["need"] == [["totp"]]
    assert (await me(the, "DELETE", "browsers", anna)).status_code == 204


async def test_only_a_browser_is_remembered(lite: The) -> None:
    anna = await lite.person()
    secret = await add_app(lite, anna)
    handle = await begun(lite, anna.email)
    await prove_each(lite, handle, ("totp", code_of_app(lite, secret)))
    bearer_too = await finish(lite, handle, "bearer", remember=True)
    assert (code_of(bearer_too), bearer_too.json()["fields"]) == ("invalid", {"remember": "value"})
    unasked = await finish(lite, handle)
    assert unasked.status_code == 201
    assert not [one for one in unasked.headers.get_list("set-cookie") if "browser" in one]
    await policy(lite, remember_days=0)
    lite.clock.forward(30)
    handle = await begun(lite, anna.email)
    await prove_each(lite, handle, ("totp", code_of_app(lite, secret)))
    refused = await finish(lite, handle, remember=True)
    assert refused.status_code == 201
    assert not [one for one in refused.headers.get_list("set-cookie") if "browser" in one]


async def test_two_cookies_of_one_name_are_none(lite: The) -> None:
    """One of two cookies with the same name may come from a neighbouring host, so the request is refused."""
    anna = await lite.person()
    await add_codes(lite, anna)
    headers = {"Cookie": "passgate_browser=pg_brw_a; passgate_browser=pg_brw_b"}
    answer = await lite.http.post("/api/v1/signin", json={"email": anna.email}, headers=headers)
    assert (answer.status_code, code_of(answer)) == (401, "credential_invalid")
    odd = await lite.http.post(
        "/api/v1/signin", json={"email": anna.email}, headers={"Cookie": "passgate_browser=nonsense"}
    )
    assert odd.status_code == 201
    assert (await offered_passkey(lite, anna))["user"]["name"] == anna.email
