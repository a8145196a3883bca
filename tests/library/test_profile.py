"""`profile=Model`: the host's model validates a person's profile at sign-up and at every change.

Not here: the other fields of a sign-up, which are in the tests of our own endpoints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import update
from starlette.testclient import TestClient

from passgate import testing
from passgate.store.tables import person
from passgate.testing import PASSWORD, Gate
from tests.kit import code_of
from tests.library.program import Profile, asked, guarded, program


@pytest.fixture
def gate() -> Gate:
    return testing.gate(profile=Profile)


@pytest.fixture
async def http(gate: Gate) -> AsyncIterator[httpx2.AsyncClient]:
    app = program()
    gate.mount(app)
    async with asked(guarded(gate, app), gate) as made:
        yield made


WRONG: list[tuple[dict[str, Any] | None, dict[str, str]]] = [
    (None, {"profile.name": "missing"}),
    ({}, {"profile.name": "missing"}),
    ({"name": ""}, {"profile.name": "length"}),
    ({"name": 7}, {"profile.name": "type"}),
    ({"name": "Anna", "birthday": "yesterday"}, {"profile.birthday": "type"}),
    ({"name": None, "birthday": []}, {"profile.name": "type", "profile.birthday": "type"}),
]


@pytest.mark.parametrize(("given", "fields"), WRONG)
async def test_what_does_not_fit(
    http: httpx2.AsyncClient, given: dict[str, Any] | None, fields: dict[str, str]
) -> None:
    body = {"email": "anna@example.com", "password": PASSWORD, **({} if given is None else {"profile": given})}
    refused = await http.post("/auth/api/v1/signup", json=body)
    assert (refused.status_code, code_of(refused)) == (422, "invalid")
    assert refused.json()["fields"] == fields
    await testing.sign_in(http, "anna@example.com", profile={"name": "Anna"})
    if given is not None:
        change = await http.patch("/auth/api/v1/me", json={"profile": given})
        assert (change.status_code, change.json()["fields"]) == (422, fields)


async def test_what_is_stored_is_what_the_model_made_of_it(http: httpx2.AsyncClient) -> None:
    await testing.sign_in(http, "anna@example.com", profile={"name": "Anna", "role": "owner"})
    displayed = (await http.get("/auth/api/v1/session")).json()["user"]["profile"]
    assert displayed == {"name": "Anna", "birthday": None}
    changed = await http.patch("/auth/api/v1/me", json={"profile": {"name": "Ann", "birthday": "1990-02-03", "x": 1}})
    assert changed.json()["user"]["profile"] == {"name": "Ann", "birthday": "1990-02-03"}
    assert (await http.get("/auth/api/v1/session")).json()["user"]["profile"] == {
        "name": "Ann",
        "birthday": "1990-02-03",
    }
    assert (await http.get("/me")).json()["name"] == "Ann"


async def test_a_stored_profile_that_no_longer_fits_locks_nobody_out(http: httpx2.AsyncClient, gate: Gate) -> None:
    await testing.sign_in(http, "anna@example.com", profile={"name": "Anna"})
    async with gate.services.store.write() as db:
        await db.change(update(person).values(profile="{}"))
    answer = await http.get("/me")
    assert (answer.status_code, answer.json()["name"]) == (200, None)


class Address(BaseModel):
    street: str = ""


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")

    first: str = Field("", alias="firstName")
    home: Address = Address()


async def test_aliases_forbidden_members_and_parts() -> None:
    gate = testing.gate(profile=Aliased)
    with TestClient(gate, base_url=gate.settings.url) as client:
        testing.sign_in(client, "anna@example.com", profile={"firstName": "Anna"})
        displayed = client.get("/api/v1/session").json()["user"]["profile"]
        assert displayed == {"firstName": "Anna", "home": {"street": ""}}
        for given, fields in (
            ({"nickname": "A"}, {"profile": "unknown"}),
            ({"home": {"street": 1}}, {"profile.home.street": "type"}),
        ):
            refused = client.patch("/api/v1/me", json={"profile": given})
            assert refused.json()["fields"] == fields


@pytest.mark.parametrize(("model", "needed"), [(Profile, True), (Aliased, False)])
def test_it_is_described(model: type[BaseModel], needed: bool) -> None:
    gate = testing.gate(profile=model)
    with TestClient(gate, base_url=gate.settings.url) as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
    mine = {"$ref": "#/components/schemas/Profile"}
    assert schemas["User"]["properties"]["profile"] == mine
    assert schemas["ProfileChange"]["properties"]["profile"] == mine
    assert ("profile" in schemas["Signup"]["required"]) is needed
    assert set(schemas["Profile"]["properties"]) == set(model.model_json_schema()["properties"])
    assert ("Profile.Address" in schemas) is not needed


async def test_without_a_model_it_is_any_object() -> None:
    gate = testing.gate()
    app = program()
    gate.mount(app)
    async with asked(guarded(gate, app), gate) as http:
        await testing.sign_in(http, "anna@example.com", profile={"any": ["thing"]})
        assert (await http.get("/auth/api/v1/session")).json()["user"]["profile"] == {"any": ["thing"]}
        assert (await http.get("/me")).json()["name"] is None
