"""A tenant's display name over HTTP: who may read and change it, and what is refused.

Not here: where it is read (`test_tenant_name`), and its policy (`test_contract_policy`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from passgate import errors
from passgate.core.ctx import Ctx
from passgate.store.tables import audit_event, tenant
from tests import operating
from tests.kit import The, bearer, code_of, handle_of, running, settings_for, token_of
from tests.web.test_contract_policy import NOBODY, somebody

EVENT = "tenant:changed"
OWN = "/api/v1/tenants/own"


async def changes(the: The) -> list[dict[str, Any]]:
    return [json.loads(row["facts"])["change"] for row in await the.rows(audit_event) if row["event"] == EVENT]


async def test_it_is_read_and_changed(the: The) -> None:
    anna, mine = await somebody(the, "owner")
    for path in (f"/api/v1/tenants/{mine}", OWN):
        answer = await the.http.get(path, headers=anna.auth)
        assert (answer.status_code, answer.json()) == (200, {"id": mine, "name": "main", "display_name": "Passgate"})
    answer = await the.http.patch(f"/api/v1/tenants/{mine}", json={"display_name": "  Café №1 "}, headers=anna.auth)
    assert (answer.status_code, answer.json()) == (200, {"id": mine, "name": "main", "display_name": "Café №1"})
    assert (await the.http.get(OWN, headers=anna.auth)).json() == answer.json()
    assert (await the.session(anna.token)).json()["tenant"] == answer.json()
    assert await changes(the) == [{"from": {"display_name": "Passgate"}, "to": {"display_name": "Café №1"}}]
    for same in ("Café №1", "Café №1  "):
        answer = await the.http.patch(OWN, json={"display_name": same}, headers=anna.auth)
        assert answer.status_code == 200
    assert len(await changes(the)) == 1, "nothing changed"


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("owner", 200, 200), ("admin", 200, 403), ("user", 403, 403), ("read_only", 403, 403)]
)
async def test_who_may(lite: The, role: str, reads: int, writes: int) -> None:
    anna, _ = await somebody(lite, role)
    if role == "read_only":
        await operating.take_role(Ctx(lite.gate.services), anna.email, "user", "main")
    answers = [
        await lite.http.get(OWN, headers=anna.auth),
        await lite.http.patch(OWN, json={"display_name": "Acme"}, headers=anna.auth),
    ]
    assert [answer.status_code for answer in answers] == [reads, writes]
    assert (await lite.events()).count("access:refused") == [reads, writes].count(403)
    assert len(await changes(lite)) == (writes == 200)


async def test_a_role_of_its_own_that_changes_no_policy(lite: The) -> None:
    anna, _ = await somebody(lite, "owner")
    made = {"name": "brand", "permissions": ["me:read", "tenant:write"]}
    assert (await lite.http.post("/api/v1/roles", json=made, headers=anna.auth)).status_code == 201
    ben, _ = await somebody(lite, "brand", "ben@example.com")
    assert (await lite.http.patch(OWN, json={"display_name": "Acme"}, headers=ben.auth)).status_code == 200
    assert (await lite.http.patch(f"{OWN}/policy", json={"max_age": 60}, headers=ben.auth)).status_code == 403


async def test_another_tenants_owner_is_refused(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        anna, _ = await somebody(the, "owner")
        handle = handle_of(await the.signup("olga@example.com", new_tenant={"name": "acme"}))
        assert (await the.prove(handle, "email_code", await the.code("olga@example.com"))).status_code == 200
        olga = token_of(await the.finish(handle))
        theirs = (await the.session(olga)).json()["tenant"]["id"]
        before = await the.everything()
        for id_ in (theirs, NOBODY):
            for answer in (
                await the.http.get(f"/api/v1/tenants/{id_}", headers=anna.auth),
                await the.http.patch(f"/api/v1/tenants/{id_}", json={"display_name": "Mine"}, headers=anna.auth),
            ):
                assert (answer.status_code, code_of(answer)) == (404, "not_found")
        assert await the.everything() == before
        answer = await the.http.patch(OWN, json={"display_name": "Acme"}, headers=bearer(olga))
        assert (answer.status_code, answer.json()["id"]) == (200, theirs)
        assert {row["name"]: row["display_name"] for row in await the.rows(tenant)} == {
            "main": "Passgate",
            "acme": "Acme",
        }


async def test_a_change_asks_for_a_fresh_proof(lite: The) -> None:
    anna, _ = await somebody(lite, "owner")
    lite.clock.forward(301)
    answer = await lite.http.patch(OWN, json={"display_name": "Acme"}, headers=anna.auth)
    assert (answer.status_code, code_of(answer)) == (401, "insufficient_user_authentication")
    assert await changes(lite) == []
    assert (await lite.http.get(OWN, headers=anna.auth)).status_code == 200


# -- what is refused -------------------------------------------------------------------------------

NO_NAMES = [
    *((one, "format") for one in ("\u3164", "\u2800", "\u115f\u1160", "\uffa0", "\u034f", "...", "🙂")),
    *(("", "length"), ("   ", "length"), ("x" * 201, "length"), ("x" * 401, "length")),
    *((f"A{one}B", "format") for one in "\xa0\xad\u200b\u2028\u202e\u2066\ufeff\U000e0041"),
]


@pytest.mark.parametrize(("name", "why"), NO_NAMES, ids=[f"{len(name)}-{name[:12]!a}" for name, _ in NO_NAMES])
async def test_no_name(lite: The, name: str, why: str) -> None:
    """Nor when a tenant is created: it is one check."""
    anna, _ = await somebody(lite, "owner")
    before = await lite.everything()
    answer = await lite.http.patch(OWN, json={"display_name": name}, headers=anna.auth)
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert answer.json()["fields"] == {"display_name": why}
    if name:
        with pytest.raises(errors.Invalid) as refused:
            await operating.add_tenant(Ctx(lite.gate.services), "acme", name, "open")
        assert refused.value.fields == {"display_name": why}
    assert await lite.everything() == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *(
            (one, "format")
            for one in ("https:⁄⁄eve.example", "See eve.example", "a@b", "eve。example", "eve．example", "a\\b")
        ),
        ("x" * 65, "length"),
    ],
    ids=ascii,
)
async def test_no_name_of_a_person(lite: The, name: str, why: str) -> None:
    """Strangers may own tenants, and mails have the name. An operator chooses freely."""
    anna, _ = await somebody(lite, "owner")
    answer = await lite.http.patch(OWN, json={"display_name": name}, headers=anna.auth)
    assert (answer.status_code, answer.json()["fields"]) == (422, {"display_name": why})
    assert await changes(lite) == []
    assert (await lite.gate.at(None, tenant="main").admin.change_tenant("own", display_name=name)).display_name == name


@pytest.mark.parametrize("name", ["Acme Inc.", "Müller & Söhne, 2.0", "x" * 64])
async def test_names_of_a_person(lite: The, name: str) -> None:
    anna, _ = await somebody(lite, "owner")
    assert (await lite.http.patch(OWN, json={"display_name": name}, headers=anna.auth)).status_code == 200


@pytest.mark.parametrize("name", ["A\tB", "A\x1bB", "A\x7fB", "A\x85B", "Acme\r\nBcc: eve@example.com"], ids=ascii)
async def test_control_characters(lite: The, name: str) -> None:
    """Over HTTP no body contains one."""
    anna, _ = await somebody(lite, "owner")
    before = await lite.everything()
    answer = await lite.http.patch(OWN, json={"display_name": name}, headers=anna.auth)
    assert (answer.status_code, code_of(answer)) == (400, "malformed")
    with pytest.raises(errors.Invalid) as refused:
        await operating.add_tenant(Ctx(lite.gate.services), "acme", name, "open")
    assert refused.value.fields == {"display_name": "format"}
    assert await lite.everything() == before


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"display_name": "missing"}),
        ({"display_name": None}, {"display_name": "type"}),
        ({"display_name": 7}, {"display_name": "type"}),
        ({"display_name": "Acme", "name": "acme"}, {"body": "unknown"}),
    ],
)
async def test_no_change(lite: The, body: dict[str, Any], fields: dict[str, str]) -> None:
    anna, _ = await somebody(lite, "owner")
    before = await lite.everything()
    answer = await lite.http.patch(OWN, json=body, headers=anna.auth)
    assert (answer.status_code, answer.json()["fields"]) == (422, fields)
    assert await lite.everything() == before
