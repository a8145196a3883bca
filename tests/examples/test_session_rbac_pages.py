"""Example 2's pages by a clock that tests turn: who may open which, what is not fresh, sessions that are over.

Not here: a browser (test_pages_in_browser).
"""

from __future__ import annotations

from typing import cast

import httpx2
import pytest
from fastapi import FastAPI

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


@pytest.mark.parametrize("role", ["owner", "", "manager", "admin\0"])
def test_a_role_that_is_none(rbac: Template, role: str) -> None:
    signed_in(rbac, "admin")
    person, _ = rbac.person()
    assert sent(rbac, f"/users/{person}", role=role).status_code == 404
    assert sent(rbac, f"/users/{NOBODY}", role="user").status_code == 404
    assert rbac.ask("GET", f"/users/{person}/", rbac.admin).json()["role"] == "user"


def test_an_admin_deletes_an_admin(rbac: Template) -> None:
    signed_in(rbac, "admin")
    person, _ = rbac.person("admin")
    assert at(sent(rbac, f"/users/{person}/delete")) == "/users?done=deleted"
    assert rbac.ask("GET", f"/users/{person}/", rbac.admin).status_code == 404
