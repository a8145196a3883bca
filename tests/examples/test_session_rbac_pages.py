"""Example 2's pages by a clock that tests turn: who may open which, what is not fresh, sessions that are over.

Not here: a browser (test_pages_in_browser).
"""

from __future__ import annotations

from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI

from tests.examples.programs import module
from tests.examples.session_rbac import NOBODY, ROLES, Template
from tests.kit import OTHER_PASSWORD, PASSWORD

ADMINS = ("/users/new", "/users/{id}", "/users/{id}/delete")
EVERYBODYS = ("/account", "/password", "/users")


def sent(rbac: Template, path: str, **typed: str) -> httpx2.Response:
    """A form of one of our own pages."""
    answer: httpx2.Response = rbac.http.post(path, data=typed, headers={"sec-fetch-site": "same-origin"})
    return answer


def signed_in(rbac: Template, role: str) -> str:
    """Somebody new, whose cookie the client has from now on; their username."""
    _, name = rbac.person(role)
    rbac.http.cookies.clear()
    answer = sent(rbac, "/login", username=name, password=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    return name


def at(answer: httpx2.Response) -> str:
    """Where it leads, or its page, with the code of a refusal."""
    if answer.status_code == 303:
        return str(answer.headers["location"])
    page = answer.text.partition('data-page="')[2].partition('"')[0]
    code = answer.text.partition('data-code="')[2].partition('"')[0]
    return f"{page}:{code}" if code else page


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_who_may_open_which(rbac: Template, role: str) -> None:
    person, _ = rbac.person()
    if role == "nobody":
        rbac.http.cookies.clear()
    else:
        signed_in(rbac, role)
    expected = {"admin": 200, "nobody": 303}
    for path in ADMINS:
        assert rbac.http.get(path.format(id=person)).status_code == expected.get(role, 403), path
    for path in EVERYBODYS:
        assert rbac.http.get(path).status_code == expected.get(role, 200), path
    for path in ("/users/new", "/users/{id}", "/users/{id}/delete"):
        if role != "admin":
            assert sent(rbac, path.format(id=person), role="admin").status_code == expected.get(role, 403), path
    assert rbac.ask("GET", f"/users/{person}/", rbac.admin).json()["role"] == "user"


def test_every_page_has_a_guard(rbac: Template) -> None:
    assert rbac.gate.unguarded(cast("FastAPI", rbac.http.app)) == []


def test_a_sign_in_that_is_not_fresh(rbac: Template) -> None:
    """It has to be done again, also where the form was opened in time; the way leads back to it."""
    name = signed_in(rbac, "user")
    assert at(rbac.http.get("/password")) == "password"
    rbac.gate.clock.forward(minutes=5, seconds=10)
    confirm = "/login?why=confirm&to=%2Fpassword"
    assert at(rbac.http.get("/password")) == confirm
    assert at(sent(rbac, "/password", password=OTHER_PASSWORD)) == confirm
    page = rbac.http.get(confirm)
    assert (at(page), f'value="{name}"' in page.text) == ("login", True)
    assert at(sent(rbac, "/login", username=name, password=PASSWORD, to="/password")) == "/password"
    assert at(sent(rbac, "/password", password=OTHER_PASSWORD)) == "/account?done=password"
    assert rbac.login(name, OTHER_PASSWORD)
    assert at(rbac.http.get("/account?done=password")) == "account"


@pytest.mark.parametrize("path", [*EVERYBODYS, "/users/new"])
def test_a_session_that_is_over(rbac: Template, path: str) -> None:
    signed_in(rbac, "admin")
    rbac.gate.clock.forward(minutes=61)
    assert at(rbac.http.get(path)).startswith("/login?why=ended")
    if path == "/users/new":
        assert at(sent(rbac, path, email="a@example.com", username="aa", password=PASSWORD)) == "/login?why=ended"
    assert at(sent(rbac, "/logout")) == "/login?why=ended"


def test_what_is_typed_stays_text(rbac: Template) -> None:
    signed_in(rbac, "admin")
    typed = '"><script>alert(1)</script>'
    for path, name in (("/users/new", "email"), ("/login", "username")):
        answer = sent(rbac, path, **{name: typed, "password": typed})
        assert "<script" not in answer.text
        assert answer.text.count("&lt;script&gt;") == 1, path
    assert "<script" not in rbac.http.get("/login", params={"to": typed, "why": typed}).text


@pytest.mark.parametrize("role", ["owner", "", "member", "admin\0"])
def test_a_role_that_is_none(rbac: Template, role: str) -> None:
    signed_in(rbac, "admin")
    person, _ = rbac.person()
    assert sent(rbac, f"/users/{person}", role=role).status_code == 404
    assert sent(rbac, f"/users/{NOBODY}", role="user").status_code == 404
    assert rbac.ask("GET", f"/users/{person}/", rbac.admin).json()["role"] == "user"


NUMBERS = ["9" * 5000, "9" * 4, "٣" * 3, "-1", "1e2", "0x1", "²", " 1", "501", ""]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_none_of_a_page(rbac: Template, number: str) -> None:
    signed_in(rbac, "read_only")
    answer = rbac.http.get("/users", params={"page": number})
    assert at(answer) in ("users", "/users?page=1&sort=username")


def test_pages_end_where_the_list_of_passgate_does(rbac: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many people the last page is one that can be asked for."""
    signed_in(rbac, "admin")
    monkeypatch.setattr(module(2).pages, "SIZE", 1)
    monkeypatch.setattr(module(2).pages, "LAST", 2)
    rbac.person()
    rbac.person()
    first, last = rbac.http.get("/users"), rbac.http.get("/users?page=2")
    assert ('rel="next"' in first.text, 'rel="next"' in last.text) == (True, False)


def test_the_way_back_in(shared_rbac: Template) -> None:
    """The page of somebody who has forgotten their password is Passgate's, and where the link leads."""
    assert 'href="/auth/recover"' in shared_rbac.http.get("/login").text
    assert shared_rbac.http.get("/auth/recover").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/users/new/more/than/that", 404, "not_found"),
        ("GET", "/apiary", 404, "not_found"),
        ("PUT", "/users", 405, "method_not_allowed"),
        ("POST", "/users/new", 413, "too_large"),
        ("GET", "/users/new", 403, "permission_missing"),
    ],
)
@pytest.mark.parametrize("role", ["user", "admin", "nobody"])
def test_what_is_refused_is_a_page(rbac: Template, role: str, method: str, path: str, status: int, code: str) -> None:
    """With the navigation for whoever is signed in."""
    rbac.http.cookies.clear()
    if role != "nobody":
        signed_in(rbac, role)
    if path == "/users/new" and (role == "nobody" or (role == "admin") == (method == "GET")):
        return
    body = b"a" * 16_385 if status == 413 else b""
    for content in (body, iter([body[:9], body[9:]])):
        answer = rbac.http.request(method, path, content=content, headers={"sec-fetch-site": "same-origin"})
        assert (answer.status_code, at(answer)) == (status, f"refused:{code}")
        assert ('action="/logout"' in answer.text) == (role != "nobody")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
        assert ("allow" in answer.headers) == (status == 405)
    assert rbac.http.get("/api/nowhere").json()["success"] is False


def test_a_refused_page_uses_no_session(rbac: Template) -> None:
    """Its navigation is no use of the session, which ends as if it had not been asked for."""
    signed_in(rbac, "user")
    rbac.gate.clock.forward(minutes=50)
    assert 'action="/logout"' in rbac.http.get("/nowhere").text
    rbac.gate.clock.forward(minutes=11)
    assert at(rbac.http.get("/account")).startswith("/login?why=ended")


@pytest.mark.parametrize("path", ["/login", "/api/auth/login"])
def test_a_client_that_hangs_up(rbac: Template, path: str) -> None:
    """In the middle of what it sends: nothing is done, and it is no fault of the program's."""

    async def hang_up() -> list[Any]:
        sends = iter([{"type": "http.request", "body": b"username=a", "more_body": True}, {"type": "http.disconnect"}])
        answers: list[Any] = []

        async def receive() -> Any:
            return next(sends, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            answers.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"sec-fetch-site", b"same-origin")]
        about = {"http_version": "1.1", "scheme": "http", "query_string": b"", "root_path": "", "asgi": {}}
        where = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode()}
        scope = {**about, **where, "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 80)}
        await rbac.http.app(scope, receive, send)
        return answers

    answers = rbac.http.portal.call(hang_up)  # type: ignore[union-attr]
    assert answers[0]["status"] == 400


def test_an_admin_deletes_an_admin(rbac: Template) -> None:
    signed_in(rbac, "admin")
    person, _ = rbac.person("admin")
    assert at(sent(rbac, f"/users/{person}/delete")) == "/users?done=deleted"
    assert rbac.ask("GET", f"/users/{person}/", rbac.admin).status_code == 404
