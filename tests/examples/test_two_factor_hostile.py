"""Example 3: what nobody in their right mind sends, to every endpoint: an answer below 500, and nothing changed.

Not here: refusals that a person may run into (roles).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import select

from passgate.store.tables import credential, job, person, role_grant, session, tenant
from tests.examples.test_session_rbac_hostile import NOT_JSON, VALUES
from tests.examples.two_factor import AT, NOBODY, ROUTES, Service, Who
from tests.kit import PASSWORD

LONG = "x" * 4_000_000
JSON = {
    "POST /auth/signup": {"email": "fine@example.com", "full_name": "Ann", "password": PASSWORD},
    "POST /auth/refresh": {"refresh_token": "pg_rt_x"},
    "PUT /tfa/enable_tfa": {"device_type": "code_generator"},
}
QUERY = {
    "POST /tfa/login_tfa": "tfa_token",
    "POST /tfa/recover_tfa": "tfa_backup_token",
    "GET /tasks/taskstatus": "task_id",
}
FORMS = {
    "nothing": b"",
    "no pairs": b"&&&&",
    "doubled": b"username=a@example.com&username=fine@example.com&password=a&password=b",
    "half": b"username=%",
    "NUL": b"username=%00&password=%00",
    "no UTF-8": b"username=%ff%fe&password=%c3",
    "half a pair": b"username=%ed%a0%80&password=x",
    "many": b"&".join(b"m%d=1" % number for number in range(20_000)),
    "a name of 4 MB": b"username=a&" + LONG.encode() + b"=1",
    "a value of 4 MB": b"username=" + LONG.encode() + b"&password=x",
    "JSON": b'{"username": "fine@example.com", "password": "x"}',
    "grants": b"grant_type=client_credentials&scope=admin&username=fine@example.com&password=x",
}
CODES = {
    "empty": "",
    "a blank": " ",
    "5,000 digits": "1" * 5000,
    "NUL": "12345\x00",
    "lines": "123456\r\nX-Evil: 1",
    "to the left": "\u202e123456",
    "marks": "1\u0301" * 6,
    "letters": "ABCDEF",
    "other digits": "٠١٢٣٤٥",
    "SQL": "' OR 1=1; --",
    "a list": "[1,2,3,4,5,6]",
    "a path": "../../etc/passwd",
    "negative": "-12345",
    "hexadecimal": "0x1234",
    "a fraction": "12345.",
    "half a pair": "%ED%A0%80",
    "no UTF-8": "%FF%FE",
    "an id": NOBODY,
}
"""Of a query; those with a % are sent as they are."""
_WATCHED = (person, credential, role_grant, tenant, job)
Check = Callable[[httpx2.Response], None]


def rows(made: Service) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with made.gate.services.store.read() as db:
            found = {one.name: [dict(row) for row in await db.rows(select(one))] for one in _WATCHED}
            sessions = await db.rows(select(session.c.id))
        for one in found["person"]:
            del one["last_used_at"]  # that the admin used their session is no change
        return {**found, "sessions": len(sessions)}

    found: dict[str, Any] = made.run(read)
    return found


def shaped(answer: httpx2.Response) -> None:
    """A body that is too large is refused by the framework, in a shape of its own."""
    assert "x-evil" not in answer.headers
    assert len(answer.content) < 20_000
    if answer.status_code != 413:
        assert answer.json().keys() == {"detail"}


@pytest.fixture
def unchanged(mailed: Service) -> Iterator[Check]:
    """Asserts that an answer is a refusal in the service's shape; afterwards, that nothing has changed."""
    before = rows(mailed)

    def check(answer: httpx2.Response) -> None:
        assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.text[:200]}"
        assert answer.status_code not in (405, 429)
        shaped(answer)

    yield check
    assert rows(mailed) == before


@pytest.fixture
def first(mailed: Service) -> Callable[[], str]:
    """A first step of somebody with mailed codes: of another one for every eight, because refusals are counted."""
    begun: list[str] = []
    used = itertools.count()

    def found() -> str:
        if next(used) % 8 == 0:
            begun.append(mailed.first(mailed.person("email")))
        return begun[-1]

    return found


@pytest.fixture(scope="module")
def target(mailed: Service) -> Callable[[], str]:
    """An access token of an admin without a second step, as fresh as the clock."""
    who = mailed.person()
    mailed.make_admin(who.email)
    return lambda: mailed.login(who).access


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", NOT_JSON)
def test_no_json(mailed: Service, target: Callable[[], str], body: str) -> None:
    token = target()
    before = rows(mailed)
    for route in JSON:
        method, _, path = route.partition(" ")
        headers = {"content-type": "application/json"}
        for sent in (token, None):
            answer = mailed.ask(method, path, sent, content=NOT_JSON[body], headers=headers)
            assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.text[:200]}"
            shaped(answer)
    assert rows(mailed) == before


@pytest.mark.parametrize("value", VALUES)
def test_values(mailed: Service, target: Callable[[], str], value: str) -> None:
    """In each member alone. A name may be almost anything, and so may a long password."""
    token = target()
    before = rows(mailed)
    for route, right in JSON.items():
        method, _, path = route.partition(" ")
        for member in right:
            if (member == "full_name" and _is_a_name(VALUES[value])) or (member == "password" and _fits(VALUES[value])):
                continue
            answer = mailed.ask(method, path, token, json={**right, member: VALUES[value]})
            assert 400 <= answer.status_code < 500, f"{route} {member} {answer.status_code}"
    assert rows(mailed) == before


def _is_a_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 200


def _fits(value: Any) -> bool:
    return isinstance(value, str) and 6 <= len(value) <= 256


@pytest.mark.parametrize("value", [one for one in VALUES if _is_a_name(VALUES[one])])
def test_a_strange_name_is_refused_or_comes_back_as_it_is(mailed: Service, value: str) -> None:
    email = mailed.new()
    answer = mailed.signup(email, full_name=VALUES[value])
    assert answer.status_code in (200, 400, 422)
    if answer.status_code == 200:
        assert mailed.show(mailed.login(Who(email)).access).json()["full_name"] == VALUES[value]
        assert all("X-Evil: 1" not in mail.subject and "\x1b" not in mail.text for mail in mailed.mails(email))


@pytest.mark.parametrize("name", ["a" * 500, "\r\nX-Evil: 1", "<script>", "\x1b[2J", "ü\u202e", "\x00", "\ud800", LONG])
def test_names_of_members_come_back_short_and_plain(mailed: Service, unchanged: Check, name: str) -> None:
    body = json.dumps({**JSON["POST /auth/signup"], name: 1}).encode()
    answer = mailed.ask("POST", "/auth/signup", content=body, headers={"content-type": "application/json"})
    unchanged(answer)
    if answer.status_code == 422:
        [fault] = answer.json()["detail"]
        for part in fault["loc"]:
            assert len(str(part)) <= 40
            assert str(part).isascii()
            assert str(part).isprintable()


def test_a_thousand_faults_are_not_listed(mailed: Service, unchanged: Check) -> None:
    answer = mailed.ask("POST", "/auth/signup", json={f"m{number}": "x" for number in range(1000)})
    unchanged(answer)
    assert len(answer.json()["detail"]) == 20


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "", "\xff"])
def test_another_content_type(mailed: Service, unchanged: Check, kind: str) -> None:
    for route, right in JSON.items():
        method, _, path = route.partition(" ")
        headers: Any = {"content-type": kind.encode("latin-1")}
        unchanged(mailed.ask(method, path, content=json.dumps(right).encode(), headers=headers))
    headers = {"content-type": b"application/json"}
    unchanged(mailed.ask("POST", "/auth/login", content=b"username=a@example.com&password=x", headers=headers))


@pytest.mark.parametrize("form", FORMS)
def test_forms(mailed: Service, unchanged: Check, form: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    unchanged(mailed.ask("POST", "/auth/login", content=FORMS[form], headers=headers))


def test_files_are_no_form(mailed: Service, unchanged: Check) -> None:
    unchanged(mailed.ask("POST", "/auth/login", files={"username": b"a", "password": b"x" * 1000}))
    unchanged(mailed.ask("POST", "/auth/login", files=[(f"f{number}", b"x") for number in range(200)]))


@pytest.mark.parametrize("route", [*JSON, "POST /auth/login"])
def test_the_largest_body(mailed: Service, unchanged: Check, route: str) -> None:
    """One more byte is refused, whether it is announced or not."""
    method, _, path = route.partition(" ")
    headers = {"content-type": "application/json" if route in JSON else "application/x-www-form-urlencoded"}
    fits = b'{"x": "' + b"a" * (16_384 - 9) + b'"}'
    assert len(fits) == 16_384
    unchanged(mailed.ask(method, path, content=fits, headers=headers))
    for larger in (fits + b" ", iter([fits, b" "]), b"a" * 2_000_000):
        answer = mailed.ask(method, path, content=larger, headers=headers)
        assert answer.status_code == 413
        unchanged(answer)


# -- queries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/tfa/login_tfa", "/tfa/recover_tfa"])
def test_codes(mailed: Service, first: Callable[[], str], path: str) -> None:
    """None of them is anybody's code. A refusal of the form costs no attempt, and none costs the account."""
    [name] = [query for route, query in QUERY.items() if route.endswith(path)]
    for label, code in CODES.items():
        value = code if "%" in code else quote(code)
        answer = mailed.ask("POST", f"{path}?{name}={value}", first())
        assert answer.status_code in (400, 403, 422), f"{label} {answer.status_code} {answer.text[:100]}"
        shaped(answer)


@pytest.mark.parametrize("path", ["/tfa/login_tfa", "/tfa/recover_tfa"])
@pytest.mark.parametrize("wrong_first", [True, False])
def test_a_code_that_comes_twice(mailed: Service, path: str, *, wrong_first: bool) -> None:
    """Doubled: the last one counts, as in every form, or none; two guesses are never made at once."""
    who = mailed.person("email")
    first = mailed.first(who)
    code = mailed.mailed_code(who.email) if path == "/tfa/login_tfa" else mailed.backup(who.email)[0]
    [name] = [query for route, query in QUERY.items() if route.endswith(path)]
    codes = ("000000", code) if wrong_first else (code, "000000")
    answer = mailed.ask("POST", f"{path}?" + "&".join(f"{name}={one}" for one in codes), first)
    assert answer.status_code == (200 if wrong_first else 403)


@pytest.mark.parametrize(
    "query", ["tfa_token[]=1", "%74fa_token%00=1", "&&&", "a" * 20_000, "TFA_TOKEN=123456", "=", ";"]
)
def test_queries_without_the_code(mailed: Service, first: Callable[[], str], query: str) -> None:
    assert mailed.ask("POST", f"/tfa/login_tfa?{query}", first()).status_code == 422


@pytest.mark.parametrize(
    "query", ["a" * 60_000, "x=%00&y=%ff", "token=1&" * 2000, "limit=-1", "limit=100000", "page=0'"]
)
def test_a_query_that_nobody_asks_for_has_no_effect(mailed: Service, target: Callable[[], str], query: str) -> None:
    token = target()
    before = rows(mailed)
    assert mailed.ask("GET", f"/auth/test-token?{query}", token).status_code == 200
    assert len(mailed.ask("GET", f"/users/users?{query}", token).json()) <= 100
    assert rows(mailed) == before


# -- the rest --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *(b"Bearer \xff", b"Bearer " + b"a" * 60_000, b"Bearer a b c", b"Bearer \t", b"bearer", b"\xc3\xbc", b""),
        *(b"Bearer ey.." + b"A" * 5000, b"Bearer pg_sin_" + b"A" * 5000, b"Bearer \x00"),
        b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    ],
)
def test_header_fields(mailed: Service, unchanged: Check, value: bytes) -> None:
    headers: Any = {"authorization": value}
    query = {"tfa_token": "0", "tfa_backup_token": "0"}
    for route in ROUTES:
        method, _, path = route.partition(" ")
        if path.startswith(("/auth/test", "/tfa", "/users")):
            more: dict[str, Any] = {"json": {"device_type": "email"}} if method == "PUT" else {}
            unchanged(mailed.ask(method, path, params=query, headers=headers, **more))


@pytest.mark.parametrize(
    "token", ["x" * 1024, "pg_rt_" + "A" * 900, "\x00", "\ud800", "pg_rt_", "eyJ.e.e", "ü" * 100, " "]
)
def test_refresh_tokens(mailed: Service, unchanged: Check, token: str) -> None:
    body = json.dumps({"refresh_token": token}).encode()
    unchanged(mailed.ask("POST", "/auth/refresh", content=body, headers={"content-type": "application/json"}))


@pytest.mark.parametrize("value", VALUES)
def test_logins(mailed: Service, unchanged: Check, value: str) -> None:
    text = str(VALUES[value])
    for form in ({"username": text, "password": "wrong"}, {"username": mailed.new(), "password": text}):
        unchanged(mailed.ask("POST", "/auth/login", data=form))


@pytest.mark.parametrize(
    "path", ["//auth/login", "/auth/login/", "/auth/%6cogin", "/auth/..%2fusers", "/AUTH/LOGIN", "/%00"]
)
def test_other_spellings_of_a_path(mailed: Service, path: str) -> None:
    """They lead to the endpoint itself, or nowhere."""
    answer = mailed.http.post(f"{AT}{path}", data={"username": "a@b.test", "password": "x"})
    assert answer.status_code in (307, 401, 404)
