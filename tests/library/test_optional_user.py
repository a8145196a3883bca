"""`gate.optional_user`: whoever is signed in, or None. A cookie that opens nothing is None; a token that opens nothing
is refused, and so is somebody's cookie on a request from another site.

Not here: what makes a session live.
"""

from collections.abc import AsyncIterator
from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from sqlalchemy import select

from passgate import User, testing
from passgate.store.tables import audit_event
from passgate.testing import Gate
from tests.kit import bearer, code_of
from tests.library.program import asked

ANNA = "anna@example.com"
FOREIGN = {"sec-fetch-site": "cross-site"}


@pytest.fixture
def gate() -> Gate:
    return testing.gate(
        claims=lambda user: {"plan": f"{user.tenant.name}-gold"}, events={"page:viewed": "You viewed a page"}
    )


def program(gate: Gate) -> FastAPI:
    app = FastAPI()

    @app.get("/hello")
    async def hello(user: Annotated[User | None, Depends(gate.optional_user)]) -> str:
        return f"{user.email} {user.claims['plan']}" if user else "stranger"

    @app.post("/notes")
    async def write(request: Request, user: Annotated[User | None, Depends(gate.optional_user)]) -> str:
        await gate.record(request, "page:viewed")
        return user.email if user else "stranger"

    @app.get("/both")
    async def both(
        user: Annotated[User, Depends(gate.user)], _same: Annotated[User | None, Depends(gate.optional_user)]
    ) -> str:
        return user.email

    gate.mount(app)
    return app


@pytest.fixture
async def http(gate: Gate) -> AsyncIterator[httpx2.AsyncClient]:
    async with asked(program(gate), gate) as made:
        yield made


async def test_nobody(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/hello")).json() == "stranger"
    assert (await http.post("/notes", headers=FOREIGN)).json() == "stranger", "who has nothing that a site could use"


@pytest.mark.parametrize("carrier", ["cookie", "bearer", "jwt"])
async def test_somebody(http: httpx2.AsyncClient, carrier: testing.Carrier) -> None:
    await testing.sign_in(http, ANNA, carrier=carrier)
    assert (await http.get("/hello")).json() == f"{ANNA} main-gold"
    assert (await http.get("/both")).json() == ANNA


@pytest.mark.parametrize("cookie", ["nonsense", "pg_ses_nothing", "pg_at_x.y.z", "a; passgate_session=b"], ids=range(4))
async def test_a_cookie_that_opens_nothing(http: httpx2.AsyncClient, cookie: str) -> None:
    headers = {"cookie": f"passgate_session={cookie}"}
    assert (await http.get("/hello", headers=headers)).json() == "stranger"
    assert (await http.post("/notes", headers=headers | FOREIGN)).json() == "stranger"


async def test_the_cookie_of_an_ended_session(http: httpx2.AsyncClient, gate: Gate) -> None:
    await testing.sign_in(http, ANNA)
    dead = {"cookie": f"passgate_session={http.cookies['passgate_session']}"}
    await http.delete("/auth/api/v1/session")
    assert (await http.get("/hello", headers=dead)).json() == "stranger"
    await testing.sign_in(http, ANNA)
    gate.clock.forward(hours=25)
    assert (await http.get("/hello")).json() == "stranger"


async def test_a_session_that_the_rules_no_longer_accept(http: httpx2.AsyncClient, gate: Gate) -> None:
    """Somebody who has to prove more first is nobody yet."""
    who = await testing.sign_in(http, ANNA)
    tenant = (await http.get("/auth/api/v1/session")).json()["tenant"]["id"]
    await gate.at(None, tenant="main").admin.change_policy(tenant, second="always")
    assert (await http.get("/both")).status_code == 401
    assert (await http.get("/hello")).json() == "stranger"
    assert who.token is None


async def test_a_token_that_opens_nothing(http: httpx2.AsyncClient) -> None:
    who = await testing.sign_in(http, ANNA, carrier="bearer")
    del http.headers["authorization"]
    for wrong in ("pg_ses_nothing", "nonsense"):
        refused = await http.get("/hello", headers=bearer(wrong))
        assert (refused.status_code, code_of(refused)) == (401, "credential_invalid")
    basic = await http.get("/hello", headers={"authorization": "Basic YTpi"})
    assert (basic.status_code, code_of(basic)) == (401, "credential_invalid")
    await http.delete("/auth/api/v1/session", headers=bearer(who.token or ""))
    assert code_of(await http.get("/hello", headers=bearer(who.token or ""))) == "session_ended"


async def test_a_foreign_request_with_somebodys_cookie(http: httpx2.AsyncClient, gate: Gate) -> None:
    await testing.sign_in(http, ANNA)
    assert (await http.get("/hello", headers=FOREIGN)).status_code == 200
    refused = await http.post("/notes", headers=FOREIGN)
    assert (refused.status_code, code_of(refused)) == (403, "csrf_refused")
    assert (await http.post("/notes", headers={"sec-fetch-site": "same-origin"})).json() == ANNA


async def test_who_acts_is_who_was_found(http: httpx2.AsyncClient, gate: Gate) -> None:
    who = await testing.sign_in(http, ANNA)
    await http.post("/notes", headers={"sec-fetch-site": "same-origin"})
    await http.post("/notes", headers={"cookie": "passgate_session=nonsense"})
    async with gate.services.store.read() as db:
        rows = await db.rows(select(audit_event).where(audit_event.c.event == "page:viewed").order_by(audit_event.c.id))
    assert [row["actor_id"] for row in rows] == [who.id, None]


async def test_it_keeps_a_session_alive(http: httpx2.AsyncClient, gate: Gate) -> None:
    await testing.sign_in(http, ANNA)
    for _ in range(3):
        gate.clock.forward(minutes=40)
        assert (await http.get("/hello")).json() != "stranger"


def test_it_is_a_guard_and_the_document_has_it_as_optional(gate: Gate) -> None:
    app = program(gate)
    assert gate.unguarded(app) == []
    for _ in range(2):
        paths = app.openapi()["paths"]
        assert paths["/hello"]["get"]["security"] == [{}, {"session": []}, {"session_cookie": []}]
        assert paths["/notes"]["post"]["security"][0] == {}
        assert paths["/both"]["get"]["security"] == [{"session": []}, {"session_cookie": []}]
