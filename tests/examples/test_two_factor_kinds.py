"""Example 3: every kind of token at every endpoint that asks for one: none opens what is another's.

Not here: who may do what with the right one (roles).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from passgate.core import admin
from passgate.core.ctx import Ctx, Operator
from tests.examples.two_factor import (
    ADMIN,
    NOBODY,
    Service,
    Who,
    new_gate,
    pair,
    production,
    service,
    variables,
)
from tests.kit import PASSWORD, bearer

GET_OF_ACCESS = ("/auth/test-token", "/tfa/get_my_qrcode", "/users/users", "/tasks/test-celery")
OF_ACCESS = (*(f"GET {path}" for path in GET_OF_ACCESS), "PUT /tfa/enable_tfa", "GET /tasks/taskstatus")
OF_FIRST_STEP = ("POST /tfa/login_tfa", "POST /tfa/recover_tfa")
OF_REFRESH = "POST /auth/refresh"
ENDPOINTS = (*OF_ACCESS, *OF_FIRST_STEP, OF_REFRESH)

RIGHT = {"access": OF_ACCESS, "first step": OF_FIRST_STEP, "refresh": (OF_REFRESH,)}
"""What a token of each kind opens."""
WRONG = (
    *("nothing", "garbage", "a pair of dots", "another's access", "another's refresh", "another's first step"),
    *("expired access", "expired refresh", "expired first step", "used refresh", "used first step", "ended access"),
    *("a session", "an id", "a code", "a backup token"),
)
KINDS = (*RIGHT, *WRONG)
LOGS_IN_AGAIN = {"expired access", "nothing"}
"""Of an access token, 401: a refresh or a login helps. All else is 403, as the service answers."""


@pytest.fixture(scope="module")
def public() -> Iterator[Service]:
    """In production, where every endpoint of tasks asks for a token too."""
    found, gate = production()
    with service(gate, found) as made:
        yield made


@pytest.fixture(scope="module")
def tokens(public: Service) -> dict[str, str]:
    """One of each kind, of an admin: whatever is refused is refused for its kind."""
    made: dict[str, str] = {}
    made |= _over(public)
    who = public.person("code_generator")
    public.make_admin(who.email)
    made |= {f"another's {name}": token for name, token in _of_another().items()}
    used = public.first(who)
    public.forward(30)
    pair(public.second(used, public.code(who)))
    ended = public.login(who)
    pair(public.refresh(ended.refresh))
    assert public.refresh(ended.refresh).status_code == 403
    before = public.login(who)
    now = pair(public.refresh(before.refresh))
    made |= {"used first step": used, "ended access": ended.access, "access": now.access, "refresh": now.refresh}
    made |= {"first step": public.first(who), "garbage": "x" * 80, "a pair of dots": "eyJ.e.e", "an id": NOBODY}
    made |= {"a code": public.code(who), "a backup token": public.backup(who.email)[0]}
    made |= {"a session": _session(public), "used refresh": ended.refresh}
    return made


def _over(public: Service) -> dict[str, str]:
    """Of somebody whose time is over."""
    who = public.person("code_generator")
    public.make_admin(who.email)
    first, found = public.first(who), public.login(who)
    public.forward(hours=24.1)
    return {"expired first step": first, "expired access": found.access, "expired refresh": found.refresh}


def _of_another() -> dict[str, str]:
    """Of the same program somewhere else."""
    with service() as other:
        who = other.person("email")
        found = other.login(Who(ADMIN))
        return {"access": found.access, "refresh": found.refresh, "first step": other.first(who)}


def _session(public: Service) -> str:
    """A bearer session, as `carrier: bearer` of the JSON API below /auth makes it: it is one, and opens what an access
    token does."""
    api = "/auth/api/v1/signin"
    handle = public.http.post(api, json={"email": ADMIN}).json()["handle"]
    about, proof = bearer(handle), {"factor": "password", "answer": PASSWORD}
    assert public.http.post(f"{api}/prove", json=proof, headers=about).status_code == 200
    return str(public.http.post(f"{api}/finish", json={"carrier": "bearer"}, headers=about).json()["token"])


def asked(public: Service, endpoint: str, token: str | None) -> httpx2.Response:
    method, _, path = endpoint.partition(" ")
    more: dict[str, Any] = {}
    match path.rpartition("/")[2]:
        case "refresh":
            return public.refresh(token) if token is not None else public.ask("POST", path, json={})
        case "login_tfa":
            more = {"params": {"tfa_token": "0"}}
        case "recover_tfa":
            more = {"params": {"tfa_backup_token": "0"}}
        case "taskstatus":
            more = {"params": {"task_id": NOBODY}}
        case "enable_tfa":
            more = {"json": {"device_type": "email"}}
    return public.ask(method, path, token, **more)


def expected(kind: str, endpoint: str) -> int:
    if endpoint == OF_REFRESH:
        return 422 if kind == "nothing" else 403
    if endpoint in OF_FIRST_STEP:
        return 401
    return 401 if kind in LOGS_IN_AGAIN else 403


PASSES = {"GET /tasks/taskstatus": 404, "PUT /tfa/enable_tfa": 400, **dict.fromkeys(OF_FIRST_STEP, 403)}
"""What the right kind is answered for something that isn't there; else 200."""


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("kind", [one for one in KINDS if one not in ("refresh", "a session")])
def test_every_kind_everywhere(public: Service, tokens: dict[str, str], kind: str, endpoint: str) -> None:
    answer = asked(public, endpoint, tokens.get(kind))
    if endpoint in RIGHT.get(kind, ()):
        assert answer.status_code == PASSES.get(endpoint, 200)
        return
    assert answer.status_code == expected(kind, endpoint), answer.text
    assert answer.json().keys() == {"detail"}
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401 or endpoint in OF_ACCESS)


@pytest.mark.parametrize("endpoint", [*OF_ACCESS, *OF_FIRST_STEP])
def test_a_refresh_token_opens_nothing_else(public: Service, tokens: dict[str, str], endpoint: str) -> None:
    assert asked(public, endpoint, tokens["refresh"]).status_code == expected("refresh", endpoint)


def test_a_refresh_token_is_good_for_a_pair(public: Service) -> None:
    """After all refusals above it is still good."""
    pair(public.refresh(public.login(Who(ADMIN)).refresh))


def test_a_session_of_the_json_api_is_one(public: Service, tokens: dict[str, str]) -> None:
    assert public.show(tokens["a session"]).status_code == 200
    for endpoint in (*OF_FIRST_STEP, OF_REFRESH):
        wrong = asked(public, endpoint, tokens["a session"])
        assert wrong.status_code == expected("garbage", endpoint)


def test_somebody_of_another_tenant_sees_nobody_of_this_one(public: Service) -> None:
    """An operator may make one. Whoever is an admin there is one nowhere else."""

    async def make() -> None:
        ctx = Ctx(public.gate.services, principal=Operator())
        await admin.add_tenant(ctx, "far-away", None, "open")
        at = public.gate.at(None, tenant="far-away")
        found = await at.users.create(email="far@example.com", password=PASSWORD)
        await at.users.give_role(found.id, "admin")

    public.run(make)
    assert public.enter("far@example.com").status_code == 401
    api, about = "/auth/api/v1/signin", {"email": "far@example.com", "tenant": "far-away"}
    handle = public.http.post(api, json=about).json()["handle"]
    proof = {"factor": "password", "answer": PASSWORD}
    public.http.post(f"{api}/prove", json=proof, headers=bearer(handle))
    done = public.http.post(f"{api}/finish", json={"carrier": "jwt"}, headers=bearer(handle)).json()
    listed = public.ask("GET", "/users/users", done["access_token"])
    assert "far@example.com" in listed.text
    assert ADMIN not in listed.text
    job = public.ask("GET", "/tasks/test-celery", public.admin).json()["task_id"]
    seen = public.ask("GET", "/tasks/taskstatus", done["access_token"], params={"task_id": job})
    assert seen.status_code == 404


@pytest.mark.parametrize("begin", ["signin", "recover"])
@pytest.mark.parametrize("device", ["code_generator", "email"])
def test_what_is_begun_without_the_password_gives_no_pair(public: Service, begin: str, device: str) -> None:
    """Below /auth, anybody may begin something with somebody's address. A right code is not enough for it."""
    who = public.person(device)
    for token in ("tfa_token", "tfa_backup_token"):
        handle = public.http.post(f"/auth/api/v1/{begin}", json={"email": who.email}).json()["handle"]
        public.first(who)
        if token == "tfa_token":
            answer = public.second(handle, public.code(who))
        else:
            answer = public.recover(handle, public.backup(who.email)[0])
        assert 400 <= answer.status_code < 500
        assert "access_token" not in answer.text
    public.forward(30)
    public.login(who)  # and the owner goes on


# -- the header field ------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", OF_ACCESS[:1] + OF_FIRST_STEP)
def test_how_a_token_is_sent(public: Service, endpoint: str) -> None:
    who = Who(ADMIN) if endpoint in OF_ACCESS else public.person("email")
    token = public.login(who).access if endpoint in OF_ACCESS else public.first(who)
    right = PASSES.get(endpoint, 200)

    def status(*values: str) -> int:
        method, _, path = endpoint.partition(" ")
        query = {"tfa_token": "0", "tfa_backup_token": "0"}
        headers: Any = [("authorization", value) for value in values]
        return public.http.request(method, f"/api/v1{path}", params=query, headers=headers).status_code

    for scheme in ("Bearer", "bearer", "BEARER"):
        assert status(f"{scheme} {token}") == right, scheme
    for value in (token, f"Basic {token}", f"Bearer {token} x", f"Bearer {token},x", "Bearer", "Bearer ", ""):
        assert status(value) in (401, 403)
        assert status(value) != right or endpoint in OF_FIRST_STEP
    assert status(f"Bearer {token}", f"Bearer {token}") in (400, 401, 403)


def test_two_headers_are_none(public: Service) -> None:
    """Whoever is in front may have read the other one."""
    first = public.first(public.person("email"))
    two: Any = [("authorization", f"Bearer {first}"), ("authorization", "Bearer x")]
    for path, query in (("/tfa/login_tfa", "tfa_token"), ("/tfa/recover_tfa", "tfa_backup_token")):
        for headers in (two, two[::-1]):
            answer = public.http.post(f"/api/v1{path}", params={query: "0"}, headers=headers)
            assert answer.status_code == 401
    both: Any = [("authorization", f"Bearer {public.admin}"), ("authorization", "Bearer x")]
    for headers in (both, both[::-1]):
        assert public.http.get("/api/v1/auth/test-token", headers=headers).status_code == 403


def test_a_token_in_a_url_is_none(public: Service) -> None:
    access = public.admin
    for name in ("token", "access_token", "authorization"):
        assert public.ask("GET", "/auth/test-token", params={name: access}).status_code == 401


def test_development_asks_nobody_for_a_test_mail() -> None:
    found = variables()
    with service(new_gate(found), found) as made:
        for endpoint, status in (("GET /tasks/test-celery", 200), ("GET /tasks/taskstatus", 404)):
            for token in (None, "x" * 80, made.admin):
                assert asked(made, endpoint, token).status_code == status
