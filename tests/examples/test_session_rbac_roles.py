"""Example 2: each endpoint for a stranger and for each of the three roles: code, header fields and shape.

Not here: how long a session lives, and what a change of a person does.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx2
import pytest

from tests.examples.session_rbac import NOBODY, ROLES, Template
from tests.kit import PASSWORD

TABLE = {
    "POST /auth/login": (200, 200, 200, 200),
    "POST /auth/logout": (401, 200, 200, 200),
    "GET /auth/session": (401, 200, 200, 200),
    "GET /users/me/": (401, 200, 200, 200),
    "GET /users/": (401, 200, 200, 200),
    "POST /users/": (401, 403, 403, 201),
    "GET /users/details": (401, 403, 403, 200),
    "GET /users/details/{id}/": (401, 403, 403, 200),
    "GET /users/{id}/": (401, 200, 200, 200),
    "PATCH /users/{id}/": (401, 403, 403, 202),
    "DELETE /users/{id}/": (401, 403, 403, 204),
}
"""For a stranger, then for each role, on somebody who has the lowest one."""
WHO = ("stranger", *ROLES)
CASES = [(route, who) for route in TABLE for who in WHO]


def body_of(shared: Template, route: str) -> dict[str, Any]:
    name = f"n{next(shared.names)}"
    match route:
        case "POST /auth/login":
            return {"json": {"username": "admin", "password": PASSWORD}}
        case "POST /users/":
            return {"json": {"email": f"{name}@example.com", "username": name, "password": PASSWORD}}
        case "PATCH /users/{id}/":
            return {"json": {"username": name}}
    return {}


@pytest.mark.parametrize(("route", "who"), CASES, ids=[" ".join(one) for one in CASES])
def test_who_may(shared_rbac: Template, route: str, who: str) -> None:
    target, _ = shared_rbac.person("read_only")
    session = None if who == "stranger" else shared_rbac.signed_in(who)[1]
    method, _, path = route.partition(" ")
    answer = shared_rbac.ask(method, path.format(id=target), session, **body_of(shared_rbac, route))
    assert answer.status_code == TABLE[route][WHO.index(who)], answer.text
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400:
        refused(answer, of_session=answer.status_code == 401)
    unchanged = shared_rbac.ask("GET", f"/users/{target}/", shared_rbac.admin)
    assert unchanged.status_code == (404 if answer.status_code == 204 else 200)


def refused(answer: httpx2.Response, *, of_session: bool = False) -> None:
    """The template's shape of an error, and its header fields."""
    found = answer.json()
    assert found == {"message": found["message"], "success": False, "details": None}
    assert found["message"]
    assert answer.headers["x-error"] == HTTPStatus(answer.status_code).phrase
    assert ("www-authenticate" in answer.headers) == of_session
    if of_session:
        assert answer.headers["www-authenticate"] == "Key-Bearer"


def test_every_route_is_in_the_table(shared_rbac: Template) -> None:
    document = shared_rbac.http.get("/openapi.json").json()
    found = {f"{method.upper()} {path.removeprefix('/api')}" for path, of in document["paths"].items() for method in of}
    assert found == TABLE.keys()


def test_operations_are_named_by_tag_and_name(shared_rbac: Template) -> None:
    document = shared_rbac.http.get("/openapi.json").json()
    listed = [(one["operationId"], one["tags"]) for of in document["paths"].values() for one in of.values()]
    assert all(name.startswith(f"{tags[0]}-") for name, tags in listed)
    assert len({name for name, _ in listed}) == len(listed) == len(TABLE)


def test_every_route_is_guarded(shared_rbac: Template) -> None:
    assert shared_rbac.gate.unguarded(shared_rbac.http.app) == []  # type: ignore[arg-type]


# -- shapes ----------------------------------------------------------------------------------------

HEALTH = {"maxAgeAt": "2027-01-16 08:00", "expiresNext": "2027-01-15 09:00", "issuedAt": "2027-01-15 08:00"}
"""Of a session of this second, in UTC: a day in all, an hour without use."""


def test_login_session_and_me(shared_rbac: Template) -> None:
    person_id, name = shared_rbac.person("read_only")
    answer = shared_rbac.ask("POST", "/auth/login", json={"username": name.upper(), "password": PASSWORD})
    session = answer.json()["sessionID"]
    assert answer.json() == {"sessionID": session, "identity": {"username": name, "role": "read_only"}}
    assert "set-cookie" not in answer.headers
    answer = shared_rbac.ask("GET", "/auth/session", session)
    assert answer.json() == {"owner": {"username": name, "role": "read_only"}, "health": HEALTH}
    user = {"id": person_id, "email": f"{name}@example.com", "username": name, "role": "read_only"}
    answer = shared_rbac.ask("GET", "/users/me/", session)
    assert answer.json() == {"user": user, "sessionID": session, "health": HEALTH}
    assert shared_rbac.ask("GET", f"/users/{person_id}/", session).json() == user
    answer = shared_rbac.ask("POST", "/auth/logout", session)
    assert answer.json() == {"message": answer.json()["message"], "success": True}


def test_created_and_in_detail(shared_rbac: Template) -> None:
    given = {"email": "New.One@example.com", "username": "new.one", "password": PASSWORD}
    answer = shared_rbac.ask("POST", "/users/", shared_rbac.admin, json=given)
    made = {"id": answer.json()["id"], "email": "New.One@example.com", "username": "new.one", "role": "user"}
    assert answer.json() == made
    detailed = shared_rbac.ask("GET", f"/users/details/{made['id']}/", shared_rbac.admin).json()
    times = {"createdAt": "2027-01-15 08:00", "updatedAt": "2027-01-15 08:00"}
    assert detailed == {**made, **times}


@pytest.mark.parametrize("path", ["/users/", "/users/details"])
def test_a_page(shared_rbac: Template, path: str) -> None:
    members = {
        "/users/": {"id", "email", "username", "role"},
        "/users/details": {"id", "email", "username", "role", "createdAt", "updatedAt"},
    }
    shared_rbac.person()
    found = shared_rbac.ask("GET", f"{path}?size=1", shared_rbac.admin).json()
    assert found.keys() == {"metadata", "data"}
    total = found["metadata"]["totalItems"]
    shape = {"pageNumber": 1, "pageSize": 1, "totalItems": total, "totalPages": total}
    assert found["metadata"] == {**shape, "hasPrevious": False, "hasNext": True, "previousPage": None, "nextPage": 2}
    assert [one.keys() for one in found["data"]] == [members[path]]


def test_validation(shared_rbac: Template) -> None:
    answer = shared_rbac.ask("POST", "/auth/login", json={"username": "", "more": 1})
    assert answer.status_code == 422
    found = answer.json()
    assert found == {"errors": found["errors"], "message": found["message"], "success": False}
    assert all(one.keys() == {"field", "message", "type"} for one in found["errors"])
    assert {one["field"]: one["type"] for one in found["errors"]} == {
        "username": "string_too_short",
        "password": "missing",
        "more": "extra_forbidden",
    }
    assert answer.headers["x-error"] == HTTPStatus(422).phrase


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/users/nobody/", 404),
        ("GET", f"/users/{NOBODY}/", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/users/", 405),
    ],
)
def test_what_is_not_there(shared_rbac: Template, method: str, path: str, code: int) -> None:
    answer = shared_rbac.ask(method, path, shared_rbac.admin)
    assert answer.status_code == code
    refused(answer)


@pytest.mark.parametrize("path", ["/users/me", "/users", "/users/details/", f"/users/{NOBODY}", "/auth/session/"])
def test_the_other_spelling_leads_there(shared_rbac: Template, path: str) -> None:
    answer = shared_rbac.ask("GET", path, shared_rbac.admin)
    assert answer.status_code == 307
    other = path.rstrip("/") if path.endswith("/") else f"{path}/"
    assert answer.headers["location"] == f"{shared_rbac.gate.settings.url}/api{other}"
