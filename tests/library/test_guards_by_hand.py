"""Guards that a route calls by hand, because what it asks for depends on the body.

Not here: guards as dependencies (`test_guards`).
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from sqlalchemy import select

from passgate import User, testing
from passgate.store.tables import audit_event
from passgate.testing import Gate
from tests.kit import bearer, code_of
from tests.library.program import asked

ANNA, BERT = "anna@example.com", "bert@example.com"
OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def gate() -> Gate:
    return testing.gate(permissions={"notes:pin": "Pin notes"})


@pytest.fixture
async def http(gate: Gate) -> AsyncIterator[httpx2.AsyncClient]:
    app, recent, deep, pins = (
        FastAPI(),
        gate.fresh(minutes=5),
        gate.fresh(acr="urn:passgate:aal2"),
        gate.may("notes:pin"),
    )
    seen: list[User] = []

    @app.patch("/me")
    async def change(
        request: Request, user: Annotated[User, Depends(gate.user)], given: dict[str, Any]
    ) -> dict[str, Any]:
        if "password" in given:
            assert (await recent(request, user)) is user
        if "key" in given:
            await deep(request, user=user)
        if "pinned" in given:
            await pins(request, user)
        return {"by": user.email, **given}

    @app.patch("/mixed")
    async def mixed(request: Request, user: Annotated[User, Depends(gate.user)], given: dict[str, Any]) -> str:
        """Keeps the first user, and asks for the next request with that one."""
        seen.append(user)
        guard: Any = {"recent": recent, "pins": pins}[given["guard"]]
        await (guard(request) if given.get("alone") else guard(request, seen[0]))
        return user.email

    @app.patch("/open", dependencies=[Depends(gate.public)])
    async def anybody(request: Request, given: dict[str, Any]) -> str:
        """No guard has found anybody in this request."""
        guard: Any = {"recent": recent, "pins": pins}[given["guard"]]
        return str((await guard(request, seen[0])).email)

    gate.mount(app)
    assert gate.unguarded(app) == []
    async with asked(app, gate) as made:
        yield made


async def events(gate: Gate) -> list[str]:
    async with gate.services.store.read() as db:
        return [row["event"] for row in await db.rows(select(audit_event).order_by(audit_event.c.id))]


async def test_it_depends_on_the_body(http: httpx2.AsyncClient, gate: Gate) -> None:
    await testing.sign_in(http, ANNA)
    assert (await http.patch("/me", json={"password": "x"}, headers=OURS)).json() == {"by": ANNA, "password": "x"}
    gate.clock.forward(minutes=10)
    assert (await http.patch("/me", json={"name": "A"}, headers=OURS)).status_code == 200
    late = await http.patch("/me", json={"password": "x"}, headers=OURS)
    assert (late.status_code, code_of(late)) == (401, "insufficient_user_authentication")
    assert "max_age=300" in late.headers["www-authenticate"]


async def test_a_level(http: httpx2.AsyncClient) -> None:
    who = await testing.sign_in(http, ANNA, carrier="bearer")
    low = await http.patch("/me", json={"key": "x"}, headers=bearer(who.token or ""))
    assert (low.status_code, code_of(low)) == (401, "insufficient_user_authentication")
    assert 'acr_values="urn:passgate:aal2"' in low.headers["www-authenticate"]


async def test_a_permission_whose_refusal_is_recorded(http: httpx2.AsyncClient, gate: Gate) -> None:
    await testing.sign_in(http, ANNA)
    refused = await http.patch("/me", json={"pinned": True}, headers=OURS)
    assert (refused.status_code, code_of(refused)) == (403, "permission_missing")
    assert (await events(gate))[-1] == "access:refused"
    role = await gate.at(None, tenant="main").roles.create(name="pinner", permissions=["me:read", "notes:pin"])
    me = (await http.get("/auth/api/v1/session")).json()["user"]["id"]
    await gate.at(None, tenant="main").users.give_role(me, role.name)
    assert (await http.patch("/me", json={"pinned": True}, headers=OURS)).status_code == 200


@pytest.mark.parametrize("guard", ["recent", "pins"])
async def test_the_user_of_another_request_or_none(http: httpx2.AsyncClient, gate: Gate, guard: str) -> None:
    """Whose proof or power counts must not be a matter of what a program has kept."""
    owner, bert = [await testing.sign_in(http, email, carrier="bearer") for email in (ANNA, BERT)]
    await gate.at(None, tenant="main").users.give_role(owner.id, "owner")
    for _ in range(2):
        mine = await http.patch("/mixed", json={"guard": guard}, headers=bearer(owner.token or ""))
        assert mine.json() == ANNA
    for who, body in ((bert, {}), (bert, {"alone": True}), (owner, {"alone": True})):
        with pytest.raises(TypeError):
            await http.patch("/mixed", json={"guard": guard, **body}, headers=bearer(who.token or ""))
    for headers in ({}, bearer(bert.token or ""), bearer(owner.token or "")):
        with pytest.raises(TypeError):
            await http.patch("/open", json={"guard": guard}, headers=headers)
