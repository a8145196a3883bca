"""The numbered promises of the template's "Session Id Auth Flow", each by a test: a login, a request with the id, and
somebody else who has the id.

Not here: what else sessions do (test_session_rbac_session).
"""

from __future__ import annotations

from tests.examples.programs import FIREFOX
from tests.examples.session_rbac import Template

HOUR, DAY = 3600, 86_400
THIEF = {"user-agent": "curl/8.5.0"}
UPDATED = {"user-agent": FIREFOX.replace("142.0", "143.0")}

PROMISES = {
    "1.1": ("an_id_is_signed", "an_id_lasts_an_hour"),
    "1.2": ("the_answer_has_the_id",),
    "2.1": ("the_id_travels_as_a_bearer",),
    "2.2": ("an_id_is_signed",),
    "2.3": ("what_the_server_has_forgotten_counts_no_longer",),
    "2.3 A": ("whoever_is_deleted_is_out", "a_new_username_changes_nothing"),
    "2.3 B": ("the_role_is_read_at_each_request",),
    "2.3 C": ("a_day_is_the_end",),
    "2.4": ("each_request_gives_another_hour",),
    "2.5": ("the_answer_has_the_id",),
    "3.1": ("another_client_ends_the_session",),
    "3.2": ("an_id_is_signed",),
    "3.3": ("another_client_ends_the_session",),
    "3.4": ("another_client_ends_the_session", "the_same_client_may_be_updated"),
    "3.5": ("another_client_ends_the_session",),
}
"""By place in the section, as `seed_readme.promises` counts: its tests, without `test_`."""


def status(rbac: Template, session: str, **headers: str) -> int:
    return rbac.ask("GET", "/users/me/", session, headers=headers).status_code


# -- a login ---------------------------------------------------------------------------------------


def test_an_id_is_signed(rbac: Template) -> None:
    """One that the server did not make is refused, and so is every id with one other character."""
    _, session = rbac.signed_in("user")
    for place in (0, len(session) // 2, len(session) - 2):
        other = "A" if session[place] != "A" else "B"
        assert status(rbac, session[:place] + other + session[place + 1 :]) == 403
    assert status(rbac, session) == 200


def test_an_id_lasts_an_hour(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    _, other = rbac.signed_in("user")
    rbac.gate.clock.forward(HOUR - 60)
    assert status(rbac, session) == 200
    rbac.gate.clock.forward(90)
    assert status(rbac, other) == 403


def test_the_answer_has_the_id(rbac: Template) -> None:
    person, session = rbac.signed_in("user")
    answer = rbac.ask("GET", "/users/me/", session)
    assert answer.status_code == 200
    assert (answer.json()["user"]["id"], answer.json()["sessionID"]) == (person, session)


# -- a request with the id -------------------------------------------------------------------------


def test_the_id_travels_as_a_bearer(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    for scheme, expected in (("Bearer", 200), ("bearer", 200), ("Basic", 403), ("", 403)):
        answer = rbac.ask("GET", "/users/me/", headers={"authorization": f"{scheme} {session}".strip()})
        assert answer.status_code == expected, scheme
    assert rbac.ask("GET", "/users/me/").status_code == 401


def test_what_the_server_has_forgotten_counts_no_longer(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    assert rbac.ask("POST", "/auth/logout", session).status_code == 200
    assert status(rbac, session) == 403


def test_whoever_is_deleted_is_out(rbac: Template) -> None:
    person, session = rbac.signed_in("user")
    assert rbac.ask("DELETE", f"/users/{person}/", rbac.admin).status_code == 204
    assert status(rbac, session) == 403


def test_a_new_username_changes_nothing(rbac: Template) -> None:
    """The person is found by id."""
    person, session = rbac.signed_in("user")
    changed = rbac.ask("PATCH", f"/users/{person}/", rbac.admin, json={"username": "another.name"})
    assert changed.status_code == 202
    assert rbac.ask("GET", "/users/me/", session).json()["user"]["username"] == "another.name"


def test_the_role_is_read_at_each_request(rbac: Template) -> None:
    person, session = rbac.signed_in("admin")
    assert rbac.ask("GET", "/users/details", session).status_code == 200
    assert rbac.ask("PATCH", f"/users/{person}/", rbac.admin, json={"role": "user"}).status_code == 202
    assert rbac.ask("GET", "/users/details", session).status_code == 403
    assert status(rbac, session) == 200


def test_a_day_is_the_end(rbac: Template) -> None:
    """However often the id is used."""
    _, session = rbac.signed_in("user")
    for _ in range(DAY // (HOUR - 60)):
        rbac.gate.clock.forward(HOUR - 60)
        assert status(rbac, session) == 200
    rbac.gate.clock.forward(HOUR - 60)
    assert status(rbac, session) == 403


def test_each_request_gives_another_hour(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    for _ in range(3):
        rbac.gate.clock.forward(HOUR - 60)
        assert status(rbac, session) == 200
    rbac.gate.clock.forward(HOUR + 60)
    assert status(rbac, session) == 403


# -- somebody else who has the id ------------------------------------------------------------------


def test_another_client_ends_the_session(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    answer = rbac.ask("GET", "/users/me/", session, headers=THIEF)
    assert (answer.status_code, answer.headers["x-error"]) == (403, "Forbidden")
    assert status(rbac, session) == 403


def test_the_same_client_may_be_updated(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    assert status(rbac, session, **UPDATED) == 200
    assert status(rbac, session) == 200
