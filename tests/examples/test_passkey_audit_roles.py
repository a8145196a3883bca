"""Example 4: each endpoint for nobody, a user and an admin, in development and in production: codes, words and header
fields; roles count at once, and a token ends with its account.

Not here: what a token says, and how it is made (flow).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from passgate.core import admin
from passgate.core.ctx import Ctx, Operator
from passgate.testing import Carrier
from tests.authenticator import Authenticator
from tests.examples.passkey_audit import NOBODY, ROUTES, Service, Who, about, options_of, production, service
from tests.kit import bearer

NOT_AUTHENTICATED = (401, "Not authenticated")
NOT_VALID = (401, "Could not validate credentials")
FORBIDDEN = (403, "You don't have permission to access this resource")
NOT_FOUND = (404, "User not found")
OPEN, FOUND, NOTHING_BEGUN = (200, 200, 200), (307, 307, 307), (400, 400, 400)
TABLE = {
    "POST /users": FOUND,
    "POST /register/begin": OPEN,
    "POST /register/complete": NOTHING_BEGUN,
    "POST /login": FOUND,
    "POST /login/begin": OPEN,
    "POST /login/complete": NOTHING_BEGUN,
    "GET /users/{user_id}": (401, 403, 200),
    "POST /admin/users/{user_id}/promote": (401, 403, 200),
}
"""For nobody, a user and an admin who has just logged in, on somebody else."""
WHO = ("nobody", "user", "admin")
TEN_MINUTES, FIVE_MINUTES = 601, 301


def refusal(answer: httpx2.Response) -> tuple[int, Any]:
    """Status and detail of a refusal, in the service's shape and with its header fields."""
    assert answer.json().keys() == {"detail"}
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    assert answer.headers.get("www-authenticate", "Bearer").startswith("Bearer")
    return answer.status_code, answer.json()["detail"]


def admin_of(made: Service) -> Who:
    who = made.person()
    made.make_admin(who)
    return who


@pytest.fixture(scope="module", params=["development", "production"])
def either(request: pytest.FixtureRequest) -> Iterator[Service]:
    found, gate = production() if request.param == "production" else (None, None)
    with service(gate, found) as made:
        yield made


@pytest.fixture(autouse=True)
def new_budgets(request: pytest.FixtureRequest) -> None:
    """All tests of a program ask from one address, and in production its limits are those of any."""
    if "either" in request.fixturenames:
        request.getfixturevalue("either").forward(TEN_MINUTES)


def body_of(made: Service, route: str) -> dict[str, Any]:
    match route:
        case "POST /users" | "POST /register/begin":
            return {"json": about(made.new())}
        case "POST /login" | "POST /login/begin":
            return {"json": {"email": made.new()}}
        case "POST /register/complete":
            return {"json": {"email": made.new(), "credential": forgotten(made, is_new=True)}}
        case "POST /login/complete":
            return {"json": {"email": made.new(), "assertion": forgotten(made, is_new=False)}}
    return {}


def forgotten(made: Service, *, is_new: bool) -> dict[str, Any]:
    """A browser's answer to a challenge that is over."""
    who = made.person()
    answer = made.created(made.new(), Authenticator()) if is_new else made.signed(who.email, who.key)
    made.forward(FIVE_MINUTES)
    return answer


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("who", WHO)
def test_who_may(either: Service, who: str, route: str) -> None:
    target = either.person()
    more = body_of(either, route)
    asking = admin_of(either) if who == "admin" else either.person()
    token = None if who == "nobody" else either.token(asking)
    method, _, path = route.partition(" ")
    answer = either.ask(method, path.format(user_id=target.id), token, **more)
    assert answer.status_code == TABLE[route][WHO.index(who)], answer.text
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("strict-transport-security" in answer.headers) == (not either.gate.settings.is_development)
    if answer.status_code >= 400:
        status, detail = refusal(answer)
        assert status == 400 or (status, detail) == (NOT_AUTHENTICATED if who == "nobody" else FORBIDDEN)


def test_every_route_is_in_the_table(either: Service) -> None:
    assert {*ROUTES} == TABLE.keys()
    document = either.http.get("/openapi.json")
    if either.gate.settings.docs:
        paths = document.json()["paths"]
        assert {f"{method.upper()} {path}" for path, of in paths.items() for method in of} == TABLE.keys()
    else:
        assert document.status_code == 404


def test_every_route_is_guarded(either: Service) -> None:
    assert either.gate.unguarded(either.http.app) == []  # type: ignore[arg-type]


def test_the_document_has_the_headings_and_the_token(keyed: Service) -> None:
    document = keyed.http.get("/openapi.json").json()
    tags = {
        f"{method.upper()} {path}": one["tags"] for path, of in document["paths"].items() for method, one in of.items()
    }
    assert tags["GET /users/{user_id}"] == tags["POST /admin/users/{user_id}/promote"] == ["Protected Endpoints"]
    assert tags["POST /login/begin"] == ["Login"]
    assert tags["POST /register/begin"] == ["Registration"]
    secured = {path for path, of in document["paths"].items() for one in of.values() if one.get("security")}
    assert secured == {"/users/{user_id}", "/admin/users/{user_id}/promote"}


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        *("Bearer invalid-token", "Bearer a.b.c", "Bearer pg_sn_x", "bearer x"),
        *("Basic YTpi", "Token x", "x", "", "Bearer", "Bearer ", "Bearer a b"),
    ],
)
def test_what_is_no_token(keyed: Service, header: str) -> None:
    who = keyed.person()
    before = keyed.query("SELECT * FROM role_grant")
    assert refusal(keyed.show(who.id, headers={"authorization": header})) == NOT_VALID
    promoted = keyed.ask("POST", f"/admin/users/{who.id}/promote", headers={"authorization": header})
    assert refusal(promoted) == NOT_VALID
    assert keyed.query("SELECT * FROM role_grant") == before


def test_the_header_field_of_a_refusal(keyed: Service) -> None:
    """RFC 6750 §3."""
    who = keyed.person()
    assert keyed.show(who.id).headers["www-authenticate"] == "Bearer"
    assert keyed.show(who.id, "x").headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("how", ["disable", "delete", "sign_out"])
def test_a_token_ends_with_its_account_or_its_session(keyed: Service, how: str) -> None:
    who = keyed.person()
    token = keyed.token(who)
    assert keyed.show(who.id, token).status_code == 200

    async def end() -> None:
        await getattr(keyed.gate.at(None, tenant="main").users, how)(who.id)

    keyed.run(end)
    assert refusal(keyed.show(who.id, token)) == NOT_VALID
    again = keyed.enter(who)
    assert again.status_code == (200 if how == "sign_out" else 401)


def test_open_endpoints_ask_for_no_token_and_take_a_bad_one(keyed: Service) -> None:
    for token in (None, "x", "pg_sn_x"):
        assert keyed.ask("POST", "/login/begin", token, json={"email": keyed.new()}).status_code == 200
        assert keyed.ask("POST", "/register/begin", token, json=about(keyed.new())).status_code == 200


# -- who may see whom ------------------------------------------------------------------------------


def test_a_user_sees_nobody_else_and_not_whether_there_is_anybody(keyed: Service) -> None:
    who, other = keyed.person(), keyed.person()
    token = keyed.token(who)
    assert keyed.show(who.id, token).json() == who.user
    for somebody in (other.id, NOBODY, "x", who.id.upper(), f"{who.id}x", "me", "0"):
        assert refusal(keyed.show(somebody, token)) == FORBIDDEN
        assert refusal(keyed.promote(somebody, token)) == FORBIDDEN


def test_an_admin_sees_everybody(keyed: Service) -> None:
    boss, other = admin_of(keyed), keyed.person()
    token = keyed.token(boss)
    assert keyed.show(other.id, token).json() == other.user
    assert keyed.show(boss.id, token).json() == {**boss.user, "role": "admin"}
    for nobody in (NOBODY, "x", other.id.upper(), f"{other.id}x", "me", "0"):
        assert refusal(keyed.show(nobody, token)) == NOT_FOUND
        assert refusal(keyed.promote(nobody, token)) == NOT_FOUND


def test_an_admin_sees_nobody_of_another_tenant(keyed: Service) -> None:
    async def elsewhere() -> str:
        await admin.add_tenant(Ctx(keyed.gate.services, principal=Operator()), "far-away", None, "open")
        return (await keyed.gate.at(None, tenant="far-away").users.create(email="far@example.com")).id

    token, foreign = keyed.token(admin_of(keyed)), keyed.run(elsewhere)
    assert refusal(keyed.show(foreign, token)) == NOT_FOUND
    assert refusal(keyed.promote(foreign, token)) == NOT_FOUND


def test_an_owner_is_an_admin(keyed: Service) -> None:
    who, other = keyed.person(), keyed.person()

    async def give() -> None:
        await keyed.gate.at(None, tenant="main").users.give_role(who.id, "owner")

    keyed.run(give)
    assert keyed.show(other.id, keyed.token(who)).status_code == 200
    assert keyed.show(who.id, keyed.token(who)).json()["role"] == "admin"
    assert keyed.query("SELECT role FROM users WHERE id = ?", who.id) == [{"role": "admin"}]


# -- promote ---------------------------------------------------------------------------------------


def test_promote(keyed: Service) -> None:
    """It counts at once, also for a token from before, in both directions."""
    boss, who, other = admin_of(keyed), keyed.person(), keyed.person()
    old = keyed.token(who)
    assert refusal(keyed.show(other.id, old)) == FORBIDDEN
    answer = keyed.promote(who.id, keyed.token(boss))
    assert (answer.status_code, answer.json()) == (200, {**who.user, "role": "admin"})
    assert keyed.show(other.id, old).status_code == 200
    assert keyed.query("SELECT role FROM users WHERE id = ?", who.id) == [{"role": "admin"}]
    assert keyed.enter(who).json()["user"]["role"] == "admin"
    again = keyed.promote(who.id, keyed.token(boss))
    assert (again.status_code, again.json()["role"]) == (200, "admin")

    async def take() -> None:
        await keyed.gate.at(None, tenant="main").users.take_role(who.id, "admin")

    keyed.run(take)
    assert refusal(keyed.show(other.id, old)) == FORBIDDEN


def test_promote_asks_for_a_fresh_login(keyed: Service) -> None:
    boss, who = admin_of(keyed), keyed.person()
    token = keyed.token(boss)
    keyed.forward(FIVE_MINUTES)
    status, detail = refusal(keyed.promote(who.id, token))
    assert status == 401
    assert detail not in (NOT_AUTHENTICATED[1], NOT_VALID[1])
    assert keyed.show(who.id, token).json()["role"] == "user"
    assert keyed.promote(who.id, keyed.token(boss)).status_code == 200


def test_a_user_does_not_promote_even_oneself(keyed: Service) -> None:
    who = keyed.person()
    token = keyed.token(who)
    assert refusal(keyed.promote(who.id, token)) == FORBIDDEN
    assert keyed.show(who.id, token).json()["role"] == "user"


@pytest.mark.parametrize("way", [{"json": {"role": "owner"}}, {"params": {"role": "owner"}}])
def test_promote_makes_nothing_but_an_admin(keyed: Service, way: dict[str, Any]) -> None:
    boss, who = admin_of(keyed), keyed.person()
    keyed.ask("POST", f"/admin/users/{who.id}/promote", keyed.token(boss), **way)
    roles = keyed.query("SELECT role FROM role_grant WHERE person_id = ?", who.id)
    assert {one["role"] for one in roles} <= {"user", "admin"}


# -- what else carries a session -------------------------------------------------------------------


def carried(made: Service, who: Who, carrier: Carrier) -> httpx2.Response:
    """Logged in at the JSON API below /auth."""
    begun = made.http.post("/auth/api/v1/signin", json={"email": who.email})
    handle = bearer(begun.json()["handle"])
    asked = made.http.post("/auth/api/v1/signin/challenge", json={"factor": "passkey"}, headers=handle)
    body = {"factor": "passkey", "answer": who.key.get(asked.json()["challenge"], made.origin)}
    proved = made.http.post("/auth/api/v1/signin/prove", json=body, headers=handle)
    assert proved.status_code == 200, proved.text
    answer: httpx2.Response = made.http.post("/auth/api/v1/signin/finish", json={"carrier": carrier}, headers=handle)
    assert answer.status_code == 201, answer.text
    return answer


def test_a_session_of_the_json_api_is_as_good_as_a_token(keyed: Service) -> None:
    """Whether its bearer is a session's own or a token pair's."""
    who, other = keyed.person(), keyed.person()
    for token in (carried(keyed, who, "bearer").json()["token"], carried(keyed, who, "jwt").json()["access_token"]):
        assert keyed.show(who.id, token).json() == who.user
        assert refusal(keyed.show(other.id, token)) == FORBIDDEN


def test_the_cookie_of_the_pages_carries_nothing_here(keyed: Service) -> None:
    """Other programs call these endpoints. So no site can have a browser call them, whatever it says of itself."""
    boss, who = admin_of(keyed), keyed.person()
    carried(keyed, boss, "cookie")
    try:
        before = keyed.logs()
        ours = {"sec-fetch-site": "same-origin", "origin": keyed.origin}
        for headers in ({}, ours, {"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            assert refusal(keyed.show(boss.id, headers=headers)) == NOT_AUTHENTICATED
            promoted = keyed.ask("POST", f"/admin/users/{who.id}/promote", headers=headers)
            assert refusal(promoted) == NOT_AUTHENTICATED
        assert keyed.logs() == before
        assert keyed.show(who.id, keyed.token(who)).json()["role"] == "user"
    finally:
        keyed.http.cookies.clear()


def test_a_token_counts_more_than_a_cookie(keyed: Service) -> None:
    boss, who = admin_of(keyed), keyed.person()
    token = keyed.token(who)
    carried(keyed, boss, "cookie")
    try:
        assert refusal(keyed.show(boss.id, token)) == FORBIDDEN
        assert refusal(keyed.show(who.id, "x")) == NOT_VALID
    finally:
        keyed.http.cookies.clear()


def test_no_other_origin_reads_an_answer(keyed: Service) -> None:
    who = keyed.person()
    token = keyed.token(who)
    for origin in ("https://evil.example", "null", "http://localhost:9999"):
        answer = keyed.show(who.id, token, headers={"origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        asked = {"origin": origin, "access-control-request-method": "GET"}
        assert "access-control-allow-origin" not in keyed.ask("OPTIONS", f"/users/{who.id}", headers=asked).headers


# -- what is not there -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", path, 404) for path in ("/nowhere", "/page", "/page/nowhere.js", "/page/..%2fmain.py")),
        *(("GET", path, 404) for path in ("/users/a/b", "/app.db", "/.env", "/page/%2e%2e/main.py")),
        *(("GET", path, 405) for path in ("/users", "/login", "/register/begin", "/login/complete")),
        *(("DELETE", path, 405) for path in ("/users/x", "/admin/users/x/promote", "/register/begin")),
        ("GET", "/admin/users/x/promote", 405),
        ("POST", "/admin/users//promote", 404),
    ],
)
def test_what_is_not_there(keyed: Service, method: str, path: str, status: int) -> None:
    answer = keyed.ask(method, path)
    assert answer.status_code == status
    assert answer.json().keys() == {"detail"}
    assert status != 405 or answer.headers["allow"]


def test_a_registration_in_production_has_the_name_of_its_host() -> None:
    found, gate = production(rp_name="The Service")
    with service(gate, found) as made:
        options = options_of(made.register_begin(made.new()))
        assert options["rp"] == {"id": "id.passgate.test", "name": "The Service"}
        assert json.loads(json.dumps(options)) == options
