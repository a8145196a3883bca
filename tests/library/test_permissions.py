"""A host's own permissions: registered, in roles that a tenant makes, at the host's routes, in its tokens and twins.

Not here: the laws of roles (`tests/core/test_roles`), and who may in the matrix (`tests/architecture/test_roles`).
"""

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from sqlalchemy import select

from passgate import User, errors, testing
from passgate.access_token import AccessToken
from passgate.core import access
from passgate.core.ctx import Ctx
from passgate.core.permissions import PERMISSIONS, ROLES
from passgate.jose import members, opened
from passgate.store.tables import person, role_grant
from passgate.testing import Gate, SignedIn
from tests.kit import code_of
from tests.library.program import asked

OWN = {"invoices:read": "See invoices", "invoices:write": "Change invoices"}


@dataclass
class Office:
    """A program with routes that ask for its own permissions, and an owner and a user in it."""

    gate: Gate
    app: FastAPI
    http: httpx2.AsyncClient
    users: list[User]

    async def enter(self, email: str, *roles: str, **more: Any) -> SignedIn:
        """Sign somebody in, and give them roles."""
        who = await testing.sign_in(self.http, email, gate=self.gate, **more)
        async with self.gate.services.store.write() as db:
            tenant_id = await db.value(select(person.c.tenant_id).where(person.c.id == who.id))
            for role in roles:
                await access.grant(Ctx(self.gate.services), db, tenant_id, who.id, role)
        return who

    async def user(self) -> User:
        assert (await self.http.get("/me")).status_code == 200
        return self.users[-1]


@asynccontextmanager
async def office(**given: Any) -> AsyncIterator[Office]:
    gate, app, users = testing.gate(**{"permissions": OWN, **given}), FastAPI(), list[User]()
    gate.mount(app)

    @app.get("/invoices", dependencies=[Depends(gate.may("invoices:read"))])
    async def invoices() -> str:
        return "all of them"

    @app.get("/me")
    async def me(user: Annotated[User, Depends(gate.user)]) -> None:
        users.append(user)

    @app.post("/desk")
    async def desk(request: Request, name: str, permissions: str) -> list[str]:
        made = await gate.at(request).roles.create(name=name, permissions=permissions.split())
        return list(made.permissions)

    async with asked(app, gate) as http:
        yield Office(gate, app, http, users)


async def test_owners_have_them_and_roles_that_name_them() -> None:
    async with office() as it:
        await it.enter("admin@example.com", "admin")
        assert code_of(await it.http.get("/invoices")) == "permission_missing"
        assert (await it.user()).permissions == ROLES["admin"]
        await it.enter("boss@example.com", "owner")
        assert (await it.http.get("/invoices")).json() == "all of them"
        boss = await it.user()
        assert boss.permissions == PERMISSIONS.keys() | OWN.keys()
        made = await it.http.post("/desk", params={"name": "billing", "permissions": "invoices:read users:read"})
        assert made.json() == ["invoices:read", "users:read"]
        unknown = await it.http.post("/desk", params={"name": "other", "permissions": "invoices:fly"})
        assert code_of(unknown) == "invalid"
        clerk = await it.enter("clerk@example.com", "billing")
        assert (await it.http.get("/invoices")).json() == "all of them"
        found = await it.user()
        assert found.permissions == ROLES["user"] | {"invoices:read", "users:read"}
        assert found.may("invoices:read")
        assert not found.may("invoices:write")
        assert not found.may("nothing:known")
        listed = (await it.http.get("/auth/api/v1/permissions")).json()["items"]
        assert {one["name"]: one["description"] for one in listed if one["name"] in OWN} == OWN
        assert {one["name"] for one in listed if one["yours"]} == found.permissions
        assert [one["name"] for one in listed] == [*PERMISSIONS, *OWN]
        # What the role loses is lost at the next request.
        at = it.gate.at(None, tenant="main")
        assert (await at.roles.change("billing", permissions=["users:read"])).permissions == ("users:read",)
        assert code_of(await it.http.get("/invoices")) == "permission_missing"
        with pytest.raises(errors.Conflict):
            await at.roles.delete("billing")
        await at.roles.delete("billing", take=True)
        assert (await it.user()).permissions == ROLES["user"]
        async with it.gate.services.store.read() as db:
            mine = select(role_grant.c.role).where(role_grant.c.person_id == clerk.id)
            assert [row["role"] for row in await db.rows(mine)] == ["user"]


async def test_the_user_stays_a_value() -> None:
    async with office() as it:
        await it.enter("anna@example.com")
        anna = await it.user()
        assert copy.copy(anna) == replace(anna) == anna
        more = replace(anna, permissions=anna.permissions | {"invoices:read"})
        assert (more.may("invoices:read"), anna.may("invoices:read")) == (True, False)
        required = {
            one.name: getattr(anna, one.name) for one in fields(anna) if one.name not in ("permissions", "claims")
        }
        assert not User(**required).may("me:read"), "whoever is made without any has none"


async def claims_of(it: Office, token: str) -> dict[str, Any]:
    """The claims of a token, its signature checked."""
    _, payload = opened(token, lambda kid: it.gate.services.keys.find(kid, it.gate.clock()))
    return members(payload)


async def test_tokens_carry_the_hosts_alone() -> None:
    async with office(claims=lambda user: {"may_write": user.may("invoices:write")}) as it:
        at = it.gate.at(None, tenant="main")
        await at.roles.create(name="billing", permissions=["invoices:write", "invoices:read", "users:delete"])
        await it.enter("clerk@example.com", "billing")
        who = await it.enter("clerk@example.com", carrier="jwt")
        assert who.token
        claims = await claims_of(it, who.token)
        assert claims["permissions"] == ["invoices:read", "invoices:write"]
        assert claims["may_write"] is True
        assert (await it.http.get("/invoices")).status_code == 200
        # A host's own routes look it up, whatever the token says.
        await at.roles.change("billing", permissions=[])
        assert code_of(await it.http.get("/invoices")) == "permission_missing"
        again = await it.http.post("/auth/api/v1/tokens/refresh", json={"refresh_token": who.refresh_token})
        assert (await claims_of(it, again.json()["access_token"]))["permissions"] == []
        boss = await it.enter("boss@example.com", "owner", carrier="jwt")
        boss = await it.enter("boss@example.com", carrier="jwt")
        assert boss.token
        assert (await claims_of(it, boss.token))["permissions"] == sorted(OWN)


async def test_without_any_no_token_has_the_claim() -> None:
    async with office_without() as it:
        who = await it.enter("anna@example.com", "owner", carrier="jwt")
        assert who.token
        assert "permissions" not in await claims_of(it, who.token)


@asynccontextmanager
async def office_without() -> AsyncIterator[Office]:
    gate, app = testing.gate(), FastAPI()
    gate.mount(app)
    async with asked(app, gate) as http:
        yield Office(gate, app, http, [])


async def test_claims_do_not_set_them() -> None:
    async with office(claims=lambda _user: {"permissions": ["invoices:write"]}) as it:
        await it.enter("anna@example.com")
        with pytest.raises(AssertionError, match="answered 500"):
            await it.enter("anna@example.com", carrier="jwt")


def test_what_a_token_may() -> None:
    token = AccessToken("i", "a", "s", "c", "j", "s", "t", "acr", (), (), 1, 1, 2, {})
    assert not token.may("invoices:read")
    assert replace(token, permissions=("invoices:read",)).may("invoices:read")
    assert not replace(token, permissions=("invoices:read",)).may("invoices")


def test_what_nobody_knows_is_a_slip_of_the_pen() -> None:
    gate = testing.gate(permissions=OWN)
    gate.may("invoices:read")
    gate.may("users:read")
    with pytest.raises(ValueError, match="permission"):
        gate.may("invoices:raed")
    with pytest.raises(ValueError, match="permission"):
        testing.gate().may("invoices:read")
    for wrong in ({"users:fly": "x"}, {"invoices": "x"}, {"invoices:read": "two\nlines"}):
        with pytest.raises(ValueError, match=r"permission|text"):
            testing.gate(permissions=wrong)
