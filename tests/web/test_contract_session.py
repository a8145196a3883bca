"""Sessions over HTTP: credentials, lifetime, and the CSRF protection of cookies.

Not here: how a session is opened, which is in test_contract_signin.
"""

from __future__ import annotations

import itertools
from typing import Any

import httpx2
import pytest

from passgate.core import account
from passgate.core.ctx import Ctx
from passgate.store.tables import person
from passgate.web import csrf
from tests import catalogue
from tests.architecture.population import Ask, Population
from tests.catalogue.api import PEEK, SESSION
from tests.catalogue.asks import steps_up
from tests.kit import PASSWORD, Person, The, bearer, code_of, handle_of, token_of

NAME = "passgate_session"
OURS = "http://localhost:8000"


def cookie(token: str) -> dict[str, str]:
    return {"Cookie": f"{NAME}={token}"}


async def ask(the: The, *headers: tuple[str, str], query: str = "") -> httpx2.Response:
    return await the.http.get(f"/api/v1/session{query}", headers=list(headers))


# -- the response ----------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?view=whole"], ids=["hot", "through the framework"])
async def test_the_answer_is_the_contracts(the: The, query: str) -> None:
    """The edge answers this endpoint itself; with a query string, the framework does. Both send the same response."""
    anna = await the.person()
    answer = await the.http.get(f"/api/v1/session{query}", headers=anna.auth)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"user", "tenant", "session"}
    names = {"id", "email", "username", "email_verified", "profile", "roles", "created_at", "updated_at"}
    assert body["user"].keys() == names
    assert body["tenant"].keys() == {"id", "name", "display_name"}
    assert body["session"].keys() == {
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
    assert body["session"]["client"].keys() == {"browser", "os", "ip"}
    assert (body["session"]["current"], body["session"]["amr"]) == (True, ["otp", "pwd"])
    assert "current" in body["session"]
    assert "pg_ses_" not in answer.text
    assert body["user"]["id"][14] == "7"
    assert all(value.endswith("Z") for key, value in body["session"].items() if key.endswith("_at"))


# -- credentials -----------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?x=1"], ids=["hot", "through the framework"])
async def test_credentials(the: The, query: str) -> None:
    anna = await the.person()
    token, handle = anna.token, handle_of(await the.start(anna.email))
    odd = next(letter for letter in "ABCDEFGHIJ" if letter != token[-1])
    good: list[list[tuple[str, str]]] = [
        [("Authorization", f"Bearer {token}")],
        [("Authorization", f"bearer {token}")],
        [("Authorization", f"BEARER  {token} ")],
        [("Cookie", f"{NAME}={token}")],
        [("Cookie", f"a=b; {NAME}={token}; c=d")],
        [("Cookie", f"x={NAME}={handle}; {NAME}={token}")],
        [("Authorization", f"Bearer {token}"), ("Cookie", f"{NAME}=rubbish")],
    ]
    for headers in good:
        assert (await ask(the, *headers, query=query)).status_code == 200, headers
    missing: list[list[tuple[str, str]]] = [
        [],
        [("Cookie", "a=b")],
        [("Cookie", f"{NAME}=")],
        [("Cookie", f"__Host-{NAME}={token}")],
        [("Cookie", f"{NAME.upper()}={token}")],
        [("Cookie", f"passgate_signin={token}")],
    ]
    for headers in missing:
        answer = await ask(the, *headers, query=query)
        assert (answer.status_code, code_of(answer)) == (401, "credential_missing"), headers
        assert answer.headers["www-authenticate"] == "Bearer"
    invalid: list[list[tuple[str, str]]] = [
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", token)],
        [("Authorization", f"Basic {token}")],
        [("Authorization", f"DPoP {token}")],
        [("Authorization", f"Bearer {token}")] * 2,
        [("Authorization", f"Bearer {token}"), ("Authorization", "Basic x")],
        [("Authorization", f"Bearer {handle}")],
        [("Authorization", f"Bearer {token}{token}")],
        [("Authorization", f"Bearer {token}, Bearer {token}")],
        [("Authorization", f"Bearer {token[:-1]}{odd}")],
        [("Authorization", f"Bearer {token[:-1]}")],
        [("Authorization", f"Bearer {token}=")],
        [("Authorization", f"Bearer {token.upper()}")],
        [("Authorization", f"Bearer pg_ses_{'A' * 70}")],
        [("Authorization", "Bearer pg_ses_" + "é" * 70)],
        [("Authorization", "Basic x"), ("Cookie", f"{NAME}={token}")],
        [("Cookie", f"{NAME}={handle}")],
        [("Cookie", f"{NAME}={token}; {NAME}={token}")],
        [("Cookie", f"{NAME}={token}"), ("Cookie", f"{NAME}={handle}")],
        [("Cookie", f'{NAME}="{token}"')],
    ]
    for headers in invalid:
        raw = [(name, value.encode("latin-1")) for name, value in headers]
        answer = await the.http.get(f"/api/v1/session{query}", headers=raw)  # type: ignore[arg-type]
        assert (answer.status_code, code_of(answer)) == (401, "credential_invalid"), headers
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def carrying(population: Population) -> list[tuple[str, Ask]]:
    """(method, valid request) of each endpoint of the catalogue that accepts a session, and of a step-up."""
    known = catalogue.catalogue()
    rights = {key: right for key, right in catalogue.asked().items() if known[key].who in (PEEK, SESSION)}
    assert len(rights) > 20
    asked = [(key.partition(" ")[0], await right.asks(population)) for key, right in rights.items()]
    return [*asked, ("POST", await steps_up(population))]


async def test_every_endpoint_wants_a_live_session(lite_population: Population) -> None:
    population = lite_population
    asked = await carrying(population)
    over, token = await population.folk.opened(population.cara.tenant_id, population.cara.id)
    await account.end_session(population.folk.acting(over), over.session_id)
    handle = await population.begun(population.anna)
    before = await population.the.everything()
    for method, ask in asked:
        for headers, code in (
            ({}, "credential_missing"),
            (bearer(handle), "credential_invalid"),
            (bearer(token), "session_ended"),
            (cookie(token), "session_ended"),
        ):
            answer = await population.the.http.request(method, ask.path, json=ask.body, headers=headers)
            assert (answer.status_code, code_of(answer)) == (401, code), (method, ask.path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await population.the.everything() == before


# -- lifetime --------------------------------------------------------------------------------------


async def test_looking_never_slides_it_and_using_does(the: The) -> None:
    anna = await the.person()
    first = (await the.session(anna.token)).json()["session"]
    assert first["idle_expires_at"] < first["expires_at"]
    the.clock.forward(59)
    await the.http.get("/api/v1/me", headers=anna.auth)  # too soon after the last use to be recorded
    assert (await the.session(anna.token)).json()["session"] == first
    the.clock.forward(3000)
    for query in ("", "?x=1"):
        assert (await ask(the, *anna.auth.items(), query=query)).json()["session"] == first
    await the.http.get("/api/v1/me", headers=anna.auth)
    slid = (await the.session(anna.token)).json()["session"]
    assert slid["last_used_at"] > first["last_used_at"]
    assert slid["idle_expires_at"] > first["idle_expires_at"]
    unmoved = ("id", "created_at", "expires_at", "auth_time", "amr", "acr", "client")
    assert {name: slid[name] for name in unmoved} == {name: first[name] for name in unmoved}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/sessions"), ("GET", "/activity"), ("PATCH", "")])
async def test_every_other_endpoint_slides_it(lite: The, method: str, path: str) -> None:
    anna = await lite.person()
    first = (await lite.session(anna.token)).json()["session"]
    lite.clock.forward(61)
    body: dict[str, Any] | None = {"profile": {}} if method == "PATCH" else None
    await lite.http.request(method, f"/api/v1/me{path}", headers=anna.auth, json=body)
    assert (await lite.session(anna.token)).json()["session"]["last_used_at"] > first["last_used_at"]


async def test_the_idle_end(the: The) -> None:
    anna = await the.person()
    the.clock.forward(3599)
    assert (await the.session(anna.token)).status_code == 200
    the.clock.forward(1)
    for answer in (await the.session(anna.token), await the.http.get("/api/v1/me", headers=anna.auth)):
        assert (answer.status_code, code_of(answer)) == (401, "session_ended")


async def test_the_absolute_end(the: The) -> None:
    anna = await the.person()
    for _ in range(47):
        the.clock.forward(1800)
        assert (await the.http.get("/api/v1/me", headers=anna.auth)).status_code == 200
    last = (await the.session(anna.token)).json()["session"]
    assert last["idle_expires_at"] == last["expires_at"]
    the.clock.forward(1799)
    assert (await the.http.get("/api/v1/me", headers=anna.auth)).status_code == 200
    the.clock.forward(1)
    assert code_of(await the.session(anna.token)) == "session_ended"


async def test_ended_is_ended_at_the_next_request(the: The) -> None:
    anna = await the.person()
    other = await the.signed_in(anna)
    assert (await the.http.delete("/api/v1/me/sessions", headers=anna.auth)).status_code == 204
    assert code_of(await the.session(other.token)) == "session_ended"
    assert (await the.session(anna.token)).status_code == 200
    done = await the.http.delete("/api/v1/session", headers=anna.auth)
    assert (done.status_code, done.content) == (204, b"")
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert code_of(await the.http.delete("/api/v1/session", headers=anna.auth)) == "session_ended"


# -- CSRF ------------------------------------------------------------------------------------------

SITES = ["same-origin", "same-site", "cross-site", "none", None, "sideways"]
ORIGINS = [OURS, "https://evil.test", "null", None]
TOKENS = ["right", "wrong", "another's", None]


def may_pass(site: str | None, origin: str | None, token: str | None) -> bool:
    """The contract's rule, restated: Sec-Fetch-Site decides, else Origin, else the token."""
    if site in ("same-origin", "same-site", "cross-site", "none"):
        return site == "same-origin"
    if origin is not None and origin != "null":
        return origin == OURS
    return token == "right"


async def form_token(the: The, who: Person) -> str:
    session_id = (await the.session(who.token)).json()["session"]["id"]
    return csrf.token(Ctx(the.gate.services), session_id)


async def test_a_cookie_acts_only_for_our_own_pages(lite: The) -> None:
    anna = await lite.person()
    other = await lite.signed_in(anna)
    right = await form_token(lite, anna)
    tokens = {"right": right, "wrong": right[:-1] + ("0" if right[-1] != "0" else "1")}
    tokens["another's"] = await form_token(lite, other)
    for number, (site, origin, token) in enumerate(itertools.product(SITES, ORIGINS, TOKENS)):
        headers = cookie(anna.token)
        headers |= {"Sec-Fetch-Site": site} if site else {}
        headers |= {"Origin": origin} if origin else {}
        headers |= {"X-CSRF-Token": tokens[token]} if token else {}
        body = {"profile": {"turn": number}}
        answer = await lite.http.patch("/api/v1/me", json=body, headers=headers)
        before = (await lite.rows(person))[0]["profile"]
        if may_pass(site, origin, token):
            assert answer.status_code == 200, (site, origin, token)
            assert before == f'{{"turn":{number}}}'
        else:
            assert (answer.status_code, code_of(answer)) == (403, "csrf_refused"), (site, origin, token)
            assert before != f'{{"turn":{number}}}'


async def test_every_unsafe_endpoint_is_guarded(lite_population: Population) -> None:
    population, the = lite_population, lite_population.the
    asked = await carrying(population)
    unsafe = [(method, ask) for method, ask in asked if method != "GET"]
    the.clock.forward(61)  # so that extending the session would change its row
    before, events = await the.everything(but=("audit_event",)), (await the.events()).count("access:refused")
    hostile: list[dict[str, str]] = [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": f"{OURS}/"},
        {"Origin": OURS.upper()},
        {"Origin": "http://localhost"},
        {"Referer": OURS},
        {"X-CSRF-Token": "00"},
        {"X-CSRF-Token": "zz"},
        {"Sec-Fetch-Site": "Same-Origin"},
    ]
    for (method, ask), more in itertools.product(unsafe, hostile):
        answer = await the.http.request(method, ask.path, json=ask.body, headers={**cookie(ask.secret), **more})
        assert (answer.status_code, code_of(answer)) == (403, "csrf_refused"), (method, ask.path, more)
    doubled = [
        ("Cookie", f"{NAME}={population.anna.token}"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "same-origin"),
    ]
    assert code_of(await the.http.delete("/api/v1/session", headers=doubled)) == "csrf_refused"
    assert await the.everything(but=("audit_event",)) == before
    assert (await the.events()).count("access:refused") == events + len(unsafe) * len(hostile) + 1
    for method, ask in asked:
        if method == "GET":
            headers = {**cookie(ask.secret), "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}
            assert (await the.http.request(method, ask.path, headers=headers)).status_code == 200


async def test_an_authorization_header_needs_none_of_it(lite: The) -> None:
    anna = await lite.person()
    headers = {**anna.auth, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test", **cookie("rubbish")}
    assert (await lite.http.patch("/api/v1/me", json={"profile": {}}, headers=headers)).status_code == 200
    step_up = await lite.http.post("/api/v1/signin", json={"step_up": {}}, headers=headers)
    handle = handle_of(step_up)
    assert (await lite.prove(handle, "password", PASSWORD)).status_code == 200
    token_of(await lite.finish(handle))


async def test_a_method_override_is_not_heard(lite: The) -> None:
    anna = await lite.person()
    before = await lite.everything()
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        answer = await lite.http.get("/api/v1/session?_method=DELETE", headers={**anna.auth, name: "DELETE"})
        assert answer.status_code == 200
    for method in ("PUT", "TRACE", "PROPFIND"):
        answer = await lite.http.request(method, "/api/v1/session", headers=anna.auth)
        assert answer.status_code == 405, method
    assert await lite.everything() == before
