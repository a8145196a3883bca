"""Example 3: each endpoint for nobody, a user and an admin, in development and in production: code, header fields and
shape; and what is refused for its form.

Not here: tokens in other places than theirs (kinds), and what nobody in their right mind sends (hostile).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.examples.two_factor import (
    ADMIN,
    AT,
    DEVICES,
    NOBODY,
    ROUTES,
    SHORT,
    Service,
    Who,
    pair,
    production,
    service,
)
from tests.kit import PASSWORD

OPEN = (200, 200, 200)
TABLE = {
    "POST /auth/signup": OPEN,
    "POST /auth/login": OPEN,
    "GET /auth/test-token": (401, 200, 200),
    "POST /auth/refresh": (403, 200, 200),
    "POST /tfa/login_tfa": (401, 401, 401),
    "POST /tfa/recover_tfa": (401, 401, 401),
    "GET /tfa/get_my_qrcode": (401, 400, 400),
    "PUT /tfa/enable_tfa": (401, 200, 200),
    "GET /users/users": (401, 403, 200),
    "GET /tasks/test-celery": (401, 403, 200),
    "GET /tasks/taskstatus": (401, 403, 404),
}
"""In production, for a stranger, a user and an admin without a second step; a token is one of access."""
DEVELOPMENT = {"GET /tasks/test-celery": OPEN, "GET /tasks/taskstatus": (404, 404, 404)}
WHO = ("nobody", "user", "admin")
USER = "user@example.com"


@pytest.fixture(scope="module", params=["development", "production"])
def either(request: pytest.FixtureRequest) -> Iterator[Service]:
    found, gate = production() if request.param == "production" else (None, None)
    with service(gate, found) as made:
        made.person(email=USER)
        yield made


def given(made: Service, who: str, route: str) -> tuple[str | None, dict[str, Any]]:
    """The token, and what else a request of this route has. Whoever changes is somebody new."""
    changes = route == "PUT /tfa/enable_tfa"
    person = Who(ADMIN) if who == "admin" and not changes else made.person() if changes else Who(USER)
    if who == "admin" and changes:
        made.make_admin(person.email)
    tokens = made.login(person)
    token = None if who == "nobody" else tokens.access
    match route.rpartition("/")[2]:
        case "signup":
            return token, {"json": {"email": made.new(), "full_name": "Ann", "password": PASSWORD}}
        case "login":
            return token, {"data": {"username": person.email, "password": PASSWORD}}
        case "refresh":
            return token, {"json": {"refresh_token": "x" if who == "nobody" else tokens.refresh}}
        case "login_tfa":
            return token, {"params": {"tfa_token": "000000"}}
        case "recover_tfa":
            return token, {"params": {"tfa_backup_token": "abcd-efgh-ijkl-mnop"}}
        case "enable_tfa":
            return token, {"json": {"device_type": "email"}}
        case "taskstatus":
            return token, {"params": {"task_id": NOBODY}}
    return token, {}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("who", WHO)
def test_who_may(either: Service, who: str, route: str) -> None:
    expected = TABLE | (DEVELOPMENT if either.gate.settings.is_development else {})
    method, _, path = route.partition(" ")
    token, more = given(either, who, route)
    answer = either.ask(method, path, token, **more)
    assert answer.status_code == expected[route][WHO.index(who)], answer.text
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("strict-transport-security" in answer.headers) == (not either.gate.settings.is_development)
    if answer.status_code >= 400:
        refused(answer)


def refused(answer: httpx2.Response) -> None:
    """The service's shape of an error, and its header fields."""
    found = answer.json()
    assert found.keys() == {"detail"}
    assert isinstance(found["detail"], str)
    assert found["detail"]
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_route_is_in_the_table(either: Service) -> None:
    document = either.http.get("/openapi.json").json()
    found = {f"{method.upper()} {path.removeprefix(AT)}" for path, of in document["paths"].items() for method in of}
    assert found == {*ROUTES, "GET /"} == {*TABLE, "GET /"}


def test_operations_have_stable_names(either: Service) -> None:
    document = either.http.get("/openapi.json").json()
    names = [one["operationId"] for of in document["paths"].values() for one in of.values()]
    assert len({*names}) == len(names)
    assert {"auth-signup", "auth-login", "tfa-login_tfa", "users-listed", "tasks-taskstatus"} <= {*names}


def test_every_route_is_guarded(either: Service) -> None:
    assert either.gate.unguarded(either.http.app) == []  # type: ignore[arg-type]


def test_the_document_names_the_token_that_is_due(either: Service) -> None:
    """`Authorize` of /docs signs in by the form, and the second step takes the token of the first."""
    document = either.http.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["access token"]["flows"]["password"]["tokenUrl"].strip("/") == f"{AT}/auth/login".strip("/")
    of = {path: [*one.get("security", [{}])[0]] for path, ways in document["paths"].items() for one in ways.values()}
    assert of[f"{AT}/tfa/login_tfa"] == of[f"{AT}/tfa/recover_tfa"] == ["first step"]
    assert of[f"{AT}/auth/login"] == []
    assert "access token" in of[f"{AT}/auth/test-token"]


# -- shapes ----------------------------------------------------------------------------------------


def test_the_root(mailed: Service) -> None:
    answer = mailed.http.get("/")
    assert (answer.status_code, answer.json()) == (200, "fastapi_2fa")


def test_the_list(mailed: Service) -> None:
    """Without secrets, the first ones first, and not more than a hundred."""
    people = {device: mailed.person(device).email for device in (None, *DEVICES)}
    found = mailed.ask("GET", "/users/users", mailed.admin).json()
    by_email = {one["email"]: one for one in found}
    for device, email in people.items():
        person = by_email[email]["id"]
        has = {"device_type": device, "id": person} if device else None
        shape = {"email": email, "tfa_enabled": bool(device), "full_name": "Ann Example", "id": person, "device": has}
        assert by_email[email] == shape


def test_the_role_is_read_at_each_request(mailed: Service) -> None:
    who, tokens = mailed.signed_in()
    assert mailed.ask("GET", "/users/users", tokens.access).status_code == 403
    mailed.make_admin(who.email)
    assert mailed.ask("GET", "/users/users", tokens.access).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", path, 404) for path in ("/nowhere", "/tfa", "/auth/signup/x", "/users/users/1")),
        *(("GET", path, 405) for path in ("/auth/signup", "/auth/login", "/tfa/login_tfa")),
        *(("POST", path, 405) for path in ("/auth/test-token", "/tfa/enable_tfa", "/users/users")),
        *(("DELETE", path, 405) for path in ("/auth/refresh", "/tasks/taskstatus")),
    ],
)
def test_what_is_not_there(mailed: Service, method: str, path: str, status: int) -> None:
    answer = mailed.ask(method, path)
    assert answer.status_code == status
    refused(answer)
    assert status != 405 or answer.headers["allow"]


# -- validation ------------------------------------------------------------------------------------

SECRET = "a secret that no answer repeats"
RIGHT = {"full_name": "Ann", "password": SECRET}
FAULTS: dict[str, tuple[dict[str, Any], list[tuple[str, ...]]]] = {
    "no address": ({"email": None}, [("body", "email")]),
    "no address at all": ({"email": "nobody"}, [("body", "email")]),
    "an empty address": ({"email": ""}, [("body", "email")]),
    "two at signs": ({"email": "a@b@example.com"}, [("body", "email")]),
    "a name before it": ({"email": "Ann <ann@example.com>"}, [("body", "email")]),
    "two addresses": ({"email": "a@example.com,b@example.com"}, [("body", "email")]),
    "no name": ({"full_name": ""}, [("body", "full_name")]),
    "a name too long": ({"full_name": "x" * 201}, [("body", "full_name")]),
    "no password": ({"password": ""}, [("body", "password")]),
    "a short password": ({"password": "12345"}, [("body", "password")]),
    "a long password": ({"password": SECRET * 20}, [("body", "password")]),
    "a password that is a number": ({"password": 12345678}, [("body", "password")]),
    "something unknown": ({"is_admin": SECRET}, [("body", "is_admin")]),
    "roles": ({"roles": ["admin"]}, [("body", "roles")]),
    "another device": ({"tfa_enabled": True, "device": {"device_type": SECRET}}, [("body", "device", "device_type")]),
    "a device too much": (
        {"tfa_enabled": True, "device": {"device_type": "email", "key": SECRET}},
        [("body", "device", "key")],
    ),
    "a device without a type": ({"tfa_enabled": True, "device": {}}, [("body", "device", "device_type")]),
    "a device that is a word": ({"tfa_enabled": True, "device": "email"}, [("body", "device")]),
    "all at once": (
        {"email": 1, "full_name": [], "password": {"a": SECRET}},
        [("body", "email"), ("body", "full_name"), ("body", "password")],
    ),
}


def faults_of(answer: httpx2.Response) -> list[tuple[Any, ...]]:
    """Where each fault is; nothing that was sent is in them."""
    assert answer.status_code == 422, answer.text
    found = answer.json()
    assert found.keys() == {"detail"}
    assert all(one.keys() == {"loc", "msg", "type"} for one in found["detail"])
    assert SECRET not in answer.text
    assert "12345" not in answer.text
    return [tuple(one["loc"]) for one in found["detail"]]


@pytest.mark.parametrize("name", FAULTS)
def test_a_signup_that_is_refused(mailed: Service, name: str) -> None:
    change, where = FAULTS[name]
    email = mailed.new()
    asked = {**RIGHT, "email": email, **change}
    answer = mailed.ask("POST", "/auth/signup", json={name: one for name, one in asked.items() if one is not None})
    assert faults_of(answer) == where
    assert mailed.mails(email) == [], "no account"


@pytest.mark.parametrize("more", [{}, {"device": None}])
def test_a_second_step_needs_a_device(mailed: Service, more: dict[str, Any]) -> None:
    email = mailed.new()
    answer = mailed.ask("POST", "/auth/signup", json={**RIGHT, "email": email, "tfa_enabled": True, **more})
    assert answer.status_code == 400
    refused(answer)
    assert mailed.mails(email) == [], "no account"


@pytest.mark.parametrize(
    "given", [{"username": "a@example.com"}, {"password": SECRET}, {}, {"username": "", "password": ""}]
)
def test_a_login_without_both(mailed: Service, given: dict[str, str]) -> None:
    answer = mailed.ask("POST", "/auth/login", data=given)
    assert {where[:1] for where in faults_of(answer)} == {("body",)}


def test_a_login_as_json_is_none(mailed: Service) -> None:
    answer = mailed.ask("POST", "/auth/login", json={"username": ADMIN, "password": SECRET})
    assert faults_of(answer) == [("body", "username"), ("body", "password")]


@pytest.mark.parametrize(
    "content", [{}, {"refresh_token": ""}, {"refresh_token": 7}, {"refresh_token": "x" * 2000}, []]
)
def test_a_refresh_that_is_refused(mailed: Service, content: Any) -> None:
    assert faults_of(mailed.ask("POST", "/auth/refresh", json=content))[0][0] == "body"


@pytest.mark.parametrize("path", ["/tfa/login_tfa", "/tfa/recover_tfa"])
def test_a_second_step_without_its_code(mailed: Service, path: str) -> None:
    [name] = {"/tfa/login_tfa": ["tfa_token"], "/tfa/recover_tfa": ["tfa_backup_token"]}[path]
    first = mailed.first(mailed.person("email"))
    for query in ({}, {name: ""}, {name: "9" * 65}):
        assert faults_of(mailed.ask("POST", path, first, params=query)) == [("query", name)]
    answer = mailed.ask("POST", path, first, json={name: "123456"})
    assert faults_of(answer) == [("query", name)]


@pytest.mark.parametrize(
    "device", [{}, {"device_type": "sms"}, {"device_type": None}, {"device_type": "email", "x": 1}]
)
def test_a_device_that_is_none(mailed: Service, device: dict[str, Any]) -> None:
    who, tokens = mailed.signed_in()
    answer = mailed.ask("PUT", "/tfa/enable_tfa", tokens.access, json=device)
    assert faults_of(answer)[0][0] == "body"
    assert mailed.enter(who.email).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b'{"password": "%b"' % SECRET.encode(), b"\xff" + SECRET.encode()])
def test_no_json(mailed: Service, body: bytes) -> None:
    answer = mailed.ask("POST", "/auth/signup", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert SECRET not in answer.text


# -- a taken address -------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [None, *DEVICES])
@pytest.mark.parametrize("is_proved", [True, False])
def test_one_account_at_an_address(mailed: Service, device: str | None, is_proved: bool) -> None:
    """In any case, with and without a second step; the owner hears of it."""
    who = mailed.person("email" if is_proved else None)
    if is_proved:
        mailed.login(who)
    before = mailed.gate.mailbox.to(who.email)
    for email in (who.email, who.email.upper(), f" {who.email} "):
        answer = mailed.signup(email, device, password="another password of somebody")
        assert answer.status_code == 400, answer.text
        refused(answer)
    assert len(mailed.mails(who.email)) > len(before)
    listed = mailed.ask("GET", "/users/users", mailed.admin).json()
    assert [one["email"].lower() for one in listed].count(who.email) == 1
    assert mailed.enter(who.email, "another password of somebody").status_code == 401
    mailed.login(who)  # and the owner goes on


def test_the_address_is_as_it_was_typed_and_found_in_any_case(mailed: Service) -> None:
    email = f"Some.One.{mailed.new()}"
    mailed.person(email=email)
    tokens = pair(mailed.enter(email.upper()))
    assert mailed.show(tokens.access).json()["email"] == email


def test_whoever_is_not_there_is_answered_as_a_wrong_password(mailed: Service) -> None:
    who = mailed.person()
    wrong = [mailed.enter(who.email, SECRET), mailed.enter(mailed.new(), SECRET), mailed.enter("nobody", SECRET)]
    assert {answer.status_code for answer in wrong} == {401}
    assert len({answer.text for answer in wrong}) == 1
    ours = [{name: value for name, value in answer.headers.items() if name != "x-request-id"} for answer in wrong]
    assert ours[0] == ours[1] == ours[2]
    assert ours[0]["www-authenticate"] == "Bearer"


def test_in_production_six_digits_are_no_password() -> None:
    found, gate = production()
    with service(gate, found) as made:
        for password in (SHORT, "password1234567", "fourteen chars"):
            answer = made.signup(made.new(), password=password)
            assert faults_of_password(answer) == ["password"]
        made.login(made.person(password="fifteen of them"))


def faults_of_password(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert SHORT not in json.dumps(answer.json())
    return [one["loc"][-1] for one in answer.json()["detail"]]
