"""Example 2: how a session begins, lives and ends, by a clock that the tests turn, and which ids open nothing.

Not here: what a session may do (roles), and processes (races).
"""

from __future__ import annotations

import httpx2
import pytest
from sqlalchemy import select

from passgate.core.events import Event
from passgate.store.tables import audit_event
from tests.examples.programs import FIREFOX
from tests.examples.session_rbac import Template
from tests.examples.test_session_rbac_roles import refused
from tests.kit import PASSWORD

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
CURL = "curl/8.14.1"


def is_live(rbac: Template, session: str) -> bool:
    """Without using it."""
    answer = rbac.ask("GET", "/auth/session", session)
    if answer.status_code == 403:
        refused(answer, of_session=True)
    assert answer.status_code in (200, 403)
    return answer.status_code == 200


def used(rbac: Template, session: str, **headers: str) -> httpx2.Response:
    return rbac.ask("GET", "/users/me/", session, headers=headers)


# -- how long it lives -----------------------------------------------------------------------------


def test_each_accepted_request_gives_the_full_hour(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    for _ in range(3):
        rbac.gate.clock.forward(minutes=59, seconds=59)
        assert used(rbac, session).status_code == 200
    rbac.gate.clock.forward(seconds=5)  # by so little that a coarser record would not move
    assert used(rbac, session).status_code == 200
    rbac.gate.clock.forward(minutes=59, seconds=58)
    assert is_live(rbac, session)
    rbac.gate.clock.forward(seconds=3)
    assert not is_live(rbac, session)
    assert used(rbac, session).status_code == 403


def test_a_refused_request_gives_nothing(rbac: Template) -> None:
    _, session = rbac.signed_in("read_only")
    rbac.gate.clock.forward(minutes=50)
    assert rbac.ask("GET", "/auth/session", "wrong").status_code == 403
    before = rbac.ask("GET", "/auth/session", session).json()
    assert used(rbac, f"{session}x").status_code == 403
    assert rbac.ask("GET", "/auth/session", session).json() == before


def test_session_info_never_slides(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    before = rbac.ask("GET", "/auth/session", session).json()
    for _ in range(5):
        rbac.gate.clock.forward(minutes=11)
        assert rbac.ask("GET", "/auth/session", session).json() == before
    rbac.gate.clock.forward(minutes=6)
    assert not is_live(rbac, session)


def test_a_day_in_all(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    end = rbac.ask("GET", "/auth/session", session).json()["health"]["maxAgeAt"]
    for _ in range(47):
        rbac.gate.clock.forward(minutes=30)
        assert used(rbac, session).status_code == 200
    assert rbac.ask("GET", "/auth/session", session).json()["health"]["maxAgeAt"] == end
    rbac.gate.clock.forward(minutes=30)
    assert not is_live(rbac, session)


# -- logout ----------------------------------------------------------------------------------------


def test_logout(rbac: Template) -> None:
    _, name = rbac.person()
    first, second = rbac.login(name), rbac.login(name)
    assert rbac.ask("POST", "/auth/logout", first).status_code == 200
    assert (is_live(rbac, first), is_live(rbac, second)) == (False, True)
    for unknown in (first, "nobody", f"{second}x"):
        assert rbac.ask("POST", "/auth/logout", unknown).status_code == 200
    assert is_live(rbac, second)
    answer = rbac.ask("POST", "/auth/logout")
    assert answer.status_code == 401
    refused(answer, of_session=True)


# -- login -----------------------------------------------------------------------------------------


def test_wrong_user_and_wrong_password_are_one_answer(rbac: Template) -> None:
    _, name = rbac.person()
    tried = [(name, "a wrong password"), ("nobody.here", PASSWORD), ("x", PASSWORD), ("x" * 128, PASSWORD)]
    tried += [(f"{name}@example.com", PASSWORD), ("\u202eadmin", PASSWORD)]
    answers = [rbac.ask("POST", "/auth/login", json={"username": one, "password": word}) for one, word in tried]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    refused(answers[0])


def test_guesses_are_slowed_down(rbac: Template) -> None:
    _, name = rbac.person()
    codes = [
        rbac.ask("POST", "/auth/login", json={"username": name, "password": f"guess {number}"}) for number in range(40)
    ]
    assert [answer.status_code for answer in codes][-1] == 429
    assert int(codes[-1].headers["retry-after"]) > 0
    refused(codes[-1])
    _, other = rbac.person()
    assert rbac.login(other)


# -- taken over ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/users/me/", "/auth/session"])
@pytest.mark.parametrize("thief", [CURL, CHROME], ids=["curl", "another browser"])
def test_another_product_ends_it_for_both(rbac: Template, path: str, thief: str) -> None:
    _, session = rbac.signed_in("admin")
    answer = rbac.ask("GET", path, session, headers={"user-agent": thief})
    assert answer.status_code == 403
    refused(answer, of_session=True)
    assert not is_live(rbac, session)
    assert used(rbac, session).status_code == 403
    found = rbac.http.portal.call(_events, rbac)  # type: ignore[union-attr]
    assert found.count(Event.CLIENT_CHANGED) == 1


async def _events(rbac: Template) -> list[str]:
    async with rbac.gate.services.store.read() as db:
        return [row["event"] for row in await db.rows(select(audit_event))]


def test_an_update_another_address_and_a_forged_header_end_nothing(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    newer = FIREFOX.replace("142.0", "143.1")
    assert used(rbac, session, **{"user-agent": newer}).status_code == 200
    assert used(rbac, session, **{"x-forwarded-for": "203.0.113.9"}).status_code == 200
    assert used(rbac, session, forwarded="for=203.0.113.9").status_code == 200
    rbac.http._transport.client = ("203.0.113.9", 50000)  # type: ignore[attr-defined]  # another network
    assert used(rbac, session).status_code == 200
    assert is_live(rbac, session)


def test_a_forged_address_makes_no_thief_welcome(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    stolen = {"user-agent": CURL, "x-forwarded-for": "127.0.0.1"}
    assert used(rbac, session, **stolen).status_code == 403
    assert not is_live(rbac, session)


# -- ids that open nothing -------------------------------------------------------------------------


def test_one_changed_character(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    for place in range(len(session)):
        other = "A" if session[place] != "A" else "B"
        answer = used(rbac, session[:place] + other + session[place + 1 :])
        assert answer.status_code == 403, place
        refused(answer, of_session=True)
    assert used(rbac, session).status_code == 200


def test_forged_swapped_and_foreign(rbac: Template) -> None:
    (mine, one), (theirs, other) = rbac.signed_in("user"), rbac.signed_in("admin")
    middle = len(one) // 2
    handle = rbac.http.post("/auth/api/v1/signin", json={"username": "admin"}).json()["handle"]
    forged = [one[:middle] + other[middle:], other[:middle] + one[middle:], one[:-1], one + one, handle, mine, theirs]
    forged += ["pg_ses_", "pg_ses_" + "A" * 80, "eyJhbGciOiJub25lIn0.e30.", "null", "x" * 5000]
    for number, session in enumerate(forged):
        assert used(rbac, session).status_code == 403, number
    for header in ("Basic YWRtaW46YWRtaW4=", "Bearer", "Bearer ", one, f"Token {one}"):
        assert rbac.ask("GET", "/users/me/", headers={"authorization": header}).status_code == 403, header
    assert used(rbac, one).json()["user"]["id"] == mine
    assert used(rbac, other).json()["user"]["id"] == theirs


def test_two_credentials_are_none(rbac: Template) -> None:
    _, session = rbac.signed_in("user")
    doubled = [("authorization", f"Bearer {session}"), ("authorization", f"Bearer {rbac.admin}")]
    answer = rbac.http.request("GET", "/api/users/me/", headers=doubled)
    assert answer.status_code == 403
