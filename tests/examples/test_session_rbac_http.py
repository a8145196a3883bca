"""Example 2: what each of its answers carries, who may call it from another origin, its document, and its own faults.

Not here: codes and shapes of single routes (roles).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.examples.programs import client_of
from tests.examples.session_rbac import NOBODY, Template, new_gate, program, template
from tests.examples.test_session_rbac_pages import at
from tests.examples.test_session_rbac_roles import refused
from tests.kit import bearer

FRONT, FOREIGN = "https://front.example.com", "https://foreign.example.com"


@pytest.mark.parametrize("path", ["/users/me/", "/users/", "/nowhere", "/auth/session", "/users/me"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_fields_of_every_answer(shared_rbac: Template, path: str, *, signed_in: bool) -> None:
    answers = [shared_rbac.ask("GET", path, shared_rbac.admin if signed_in else None) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers.get("content-type", "application/json") == "application/json"


def test_a_strangers_request_id_is_not_taken(shared_rbac: Template) -> None:
    answer = shared_rbac.ask("GET", "/users/", headers={"x-request-id": "0123456789abcdef"})
    assert answer.headers["x-request-id"] != "0123456789abcdef"


def test_origins() -> None:
    with template(cors={"origins": [FRONT]}) as made:
        asks = {"access-control-request-method": "PATCH", "access-control-request-headers": "authorization"}
        path = "/api/users/me/"
        there = made.http.options(path, headers={"origin": FRONT, **asks})
        assert there.status_code == 200
        assert there.headers["access-control-allow-origin"] == FRONT
        methods = {"GET", "POST", "PUT", "PATCH", "DELETE"}
        assert methods <= {*there.headers["access-control-allow-methods"].split(", ")}
        assert "access-control-allow-credentials" not in there.headers
        elsewhere = made.http.options(path, headers={"origin": FOREIGN, **asks})
        assert elsewhere.status_code == 400
        assert "access-control-allow-origin" not in elsewhere.headers
        assert there.headers["x-request-id"]
        for url in (path, "/auth/api/v1/session", "/api/nowhere"):
            answer = made.http.get(url, headers={"origin": FRONT})
            assert answer.headers.get_list("access-control-allow-origin") == [FRONT], url
            answer = made.http.get(url, headers={"origin": FOREIGN})
            assert "access-control-allow-origin" not in answer.headers, url


@pytest.mark.parametrize("path", ["/api/users/me/", "/auth/api/v1/users/1/roles/user"])
@pytest.mark.parametrize("field", ["authorization", "content-type", "x-request-id"])
def test_what_an_origin_may_send(path: str, field: str) -> None:
    """Below the mount too, where a role is given by PUT."""
    with template(cors={"origins": [FRONT]}) as made:
        asks = {"access-control-request-method": "PUT", "access-control-request-headers": field}
        assert made.http.options(path, headers={"origin": FRONT, **asks}).status_code == 200


def test_no_origin_is_the_default(shared_rbac: Template) -> None:
    for origin in (FRONT, "null", "*"):
        answer = shared_rbac.ask("GET", "/users/", shared_rbac.admin, headers={"origin": origin})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-allow-")]


def test_a_cookie_from_elsewhere_changes_nothing(rbac: Template) -> None:
    """The pages carry a session by cookie; a write with it has to come from one of them."""
    handle = rbac.http.post("/auth/api/v1/signin", json={"username": "admin"}).json()["handle"]
    headers = {"authorization": f"Bearer {handle}", "sec-fetch-site": "same-origin"}
    proof = {"factor": "password", "answer": "correct horse battery staple"}
    assert rbac.http.post("/auth/api/v1/signin/prove", json=proof, headers=headers).status_code == 200
    rbac.http.post("/auth/api/v1/signin/finish", json={"carrier": "cookie"}, headers=headers)
    me = rbac.ask("GET", "/users/me/").json()
    assert me["user"]["username"] == "admin"
    assert me["sessionID"] is None, "what a page can't read is not handed to it, nor what is no credential"
    person_id, _ = rbac.person()
    for site in ("cross-site", "same-site", "none"):
        answer = rbac.ask("DELETE", f"/users/{person_id}/", headers={"sec-fetch-site": site, "origin": FOREIGN})
        assert answer.status_code == 403
        refused(answer)
    assert rbac.ask("GET", f"/users/{person_id}/").status_code == 200
    answer = rbac.ask("DELETE", f"/users/{person_id}/", headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 204


LARGEST = 16_384
WRITES = (("POST", "/auth/login"), ("POST", "/users/"), ("PATCH", f"/users/{NOBODY}/"))


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_the_largest_body(shared_rbac: Template, method: str, path: str) -> None:
    """One more byte is refused, whether it is announced or not, for strangers too."""
    head, tail = b'{"username": "', b'"}'
    fits = head + b"a" * (LARGEST - len(head + tail)) + tail
    assert len(fits) == LARGEST
    for session in (shared_rbac.admin, None):

        def answered(body: Any, session: str | None = session) -> Any:
            return shared_rbac.ask(method, path, session, content=body, headers={"content-type": "application/json"})

        assert answered(fits).status_code == (422 if session or "login" in path else 401)
        for larger in (fits + b" ", iter([fits, b" "]), b"a" * 2_000_000):
            answer = answered(larger)
            assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            refused(answer)


def test_passgates_own_limit_is_its_own(shared_rbac: Template) -> None:
    """What is larger than a body of the program's is not refused for it below the mount."""
    given = {"profile": {"text": "a" * 20_000}}
    answer = shared_rbac.http.patch("/auth/api/v1/me", json=given, headers=bearer(shared_rbac.admin))
    assert answer.status_code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_only_some_faults_are_named(shared_rbac: Template) -> None:
    many = {f"m{number}": number for number in range(1000)}
    for answer in (
        shared_rbac.ask("POST", "/auth/login", json=many),
        shared_rbac.ask("GET", "/users/", shared_rbac.admin, params=dict.fromkeys([*many][:300], "1")),
    ):
        assert answer.status_code == 422
        assert len(answer.json()["errors"]) == 20


def test_the_document_is_its_own(shared_rbac: Template) -> None:
    assert shared_rbac.http.get("/docs").status_code == 200
    document = shared_rbac.http.get("/openapi.json").json()
    assert document["info"]["title"] == "Session RBAC"
    assert all(path.startswith("/api/") for path in document["paths"])
    guarded = [one for of in document["paths"].values() for one in of.values() if "security" in one]
    assert len(guarded) == sum(len(of) for of in document["paths"].values()) - 1, "all but the login"


def test_the_document_can_be_switched_off() -> None:
    with template(docs=False) as made:
        for path in ("/docs", "/openapi.json", "/redoc", "/auth/docs", "/auth/openapi.json"):
            assert made.http.get(path).status_code == 404, path


@pytest.mark.parametrize("path", ["/api/broken", "/broken", "/apiary"])
def test_a_fault_reveals_nothing(path: str) -> None:
    """JSON below /api, and a page elsewhere."""
    gate = new_gate()
    app = program(gate)

    @app.get(path)
    async def broken() -> None:
        raise LookupError("a secret of the program")

    with client_of(app, gate) as http:
        calm = TestClient(app, base_url=gate.settings.url, raise_server_exceptions=False)
        answer = calm.get(path)
        assert http.get("/api/nowhere").status_code == 404
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    if path.startswith("/api/"):
        refused(answer)
    else:
        assert at(answer) == "refused:fault"
    assert answer.headers["x-request-id"]
    assert "secret" not in answer.text
