"""Roles of a tenant's own over HTTP: listed, created, given, changed, deleted; and what each is refused for.

Not here: who may in every combination (`tests/core/test_roles`), and two who act at once (`tests/races/test_roles`).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from passgate.core.permissions import PERMISSIONS, ROLES
from passgate.store.tables import audit_event, person, role, role_grant
from tests.kit import The, bearer, code_of
from tests.web.test_contract_users import Office, office

FIELDS = {"name", "description", "permissions", "built_in", "created_at", "updated_at"}
READS = ["me:read", "users:read"]


async def ask(desk: Office, method: str, path: str = "", body: Any = None, by: str = "", **query: Any) -> Any:
    more = {} if body is None else {"json": body}
    return await desk.the.http.request(
        method, f"/api/v1/roles{path}", params=query, headers=bearer(by or desk.owner), **more
    )


async def made(desk: Office, name: str, *permissions: str, **more: Any) -> dict[str, Any]:
    answer = await ask(desk, "POST", body={"name": name, "permissions": list(permissions), **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def member(desk: Office, *roles: str) -> tuple[str, str]:
    """Somebody with these roles: id and token."""
    actor = await desk.folk.create(None, *roles)
    return actor.person_id, (await desk.folk.opened(*actor.key))[1]


async def mine(desk: Office, token: str) -> set[str]:
    answer = await desk.the.http.get("/api/v1/permissions", headers=bearer(token))
    return {one["name"] for one in answer.json()["items"] if one["yours"]}


async def facts(the: The, event: str) -> dict[str, Any]:
    """Of the newest row of this event."""
    rows = [row for row in await the.rows(audit_event) if row["event"] == event]
    found: dict[str, Any] = json.loads(rows[-1]["facts"])
    return found


# -- listed ----------------------------------------------------------------------------------------


async def test_built_in_ones_come_first(lite: The) -> None:
    desk = await office(lite)
    await made(desk, "zeta", *READS)
    own = await made(desk, "alpha", "me:read", description="First")
    answer = await ask(desk, "GET", by=desk.admin)
    items = answer.json()["items"]
    assert (answer.status_code, answer.json()["next"]) == (200, None)
    assert [one["name"] for one in items] == [*ROLES, "alpha", "zeta"]
    assert all(one.keys() == FIELDS for one in items)
    assert [one["built_in"] for one in items] == [True] * len(ROLES) + [False] * 2
    assert {one["name"]: set(one["permissions"]) for one in items if one["built_in"]} == ROLES
    assert items[0]["created_at"] is items[0]["updated_at"] is None
    assert items[len(ROLES)] == own


async def test_permissions_are_listed(lite: The) -> None:
    desk = await office(lite)
    answer = await lite.http.get("/api/v1/permissions", headers=bearer(desk.admin))
    assert {one["name"] for one in answer.json()["items"]} == PERMISSIONS.keys()
    assert await mine(desk, desk.admin) == ROLES["admin"]
    await made(desk, "auditor", "audit:read")
    _, token = await member(desk, "user", "auditor")
    assert await mine(desk, token) == ROLES["user"] | {"audit:read"}


# -- created ---------------------------------------------------------------------------------------


async def test_created_and_given(the: The) -> None:
    desk = await office(the)
    own = await made(desk, "reader", "users:read", "me:read", "me:read", description="Sees users")
    assert own == {
        **{"name": "reader", "description": "Sees users", "permissions": READS, "built_in": False},
        "created_at": own["created_at"],
        "updated_at": own["created_at"],
    }
    assert (await facts(the, "role:created"))["permissions"] == READS
    who, token = await member(desk)
    assert (await desk.ask("GET", by=token)).status_code == 403
    given = await desk.ask("PUT", f"/{who}/roles/reader")
    assert (given.status_code, given.json()["roles"]) == (200, ["reader", "user"])
    assert (await desk.ask("GET", by=token)).status_code == 200, "from the next request on"
    session = await the.http.get("/api/v1/session", headers=bearer(token))
    assert session.json()["user"]["roles"] == ["reader", "user"]
    assert (await desk.ask("GET", f"/{who}")).json()["roles"] == ["reader", "user"]
    assert (await desk.ask("DELETE", f"/{who}/roles/reader")).json()["roles"] == ["user"]
    assert (await desk.ask("GET", by=token)).status_code == 403
    added = await desk.ask("POST", body={"email": "new@example.com", "roles": ["reader"]})
    assert (added.status_code, added.json()["roles"]) == (201, ["reader"])


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "a"}, {"name": "format"}),
        ({"name": "1st"}, {"name": "format"}),
        ({"name": "Auditor"}, {"name": "format"}),
        ({"name": "au ditor"}, {"name": "format"}),
        ({"name": "a=b"}, {"name": "format"}),
        ({"name": "a,b"}, {"name": "format"}),
        ({"name": "аuditor"}, {"name": "format"}),
        ({"name": "a" * 41}, {"name": "length"}),
        *(({"name": name}, {"name": "reserved"}) for name in ROLES),
        ({"description": "x" * 201}, {"description": "length"}),
        ({"description": "turned\u202eround"}, {"description": "format"}),
        ({"permissions": ["users:fly"]}, {"permissions": "value"}),
        ({"permissions": ["me:read me:write"]}, {"permissions": "value"}),
        ({"permissions": ["*"]}, {"permissions": "value"}),
    ],
)
async def test_what_is_no_role(lite: The, body: dict[str, Any], fields: dict[str, str]) -> None:
    desk = await office(lite)
    answer = await ask(desk, "POST", body={"name": "auditor", "permissions": [], **body})
    assert (answer.status_code, answer.json()["fields"]) == (422, fields)
    assert await lite.rows(role) == []


async def test_a_name_is_taken_once_and_fifty_are_enough(lite: The) -> None:
    desk = await office(lite)
    for number in range(50):
        await made(desk, f"role-{number}")
    again = await ask(desk, "POST", body={"name": "role-0", "permissions": []})
    more = await ask(desk, "POST", body={"name": "another", "permissions": []})
    assert code_of(again) == code_of(more) == "conflict"
    assert (await ask(desk, "DELETE", "/role-0")).status_code == 204
    await made(desk, "another")
    assert code_of(await ask(desk, "POST", body={"name": "role-1", "permissions": []})) == "conflict"


# -- changed ---------------------------------------------------------------------------------------


async def test_changed_for_everybody_at_once(the: The) -> None:
    desk = await office(the)
    before = await made(desk, "reader", *READS)
    _, token = await member(desk, "reader")
    assert (await desk.ask("GET", by=token)).status_code == 200
    the.clock.forward(1)
    answer = await ask(desk, "PATCH", "/reader", {"permissions": ["me:read"], "description": "Less"})
    assert answer.status_code == 200
    after = answer.json()
    assert after == {**before, "description": "Less", "permissions": ["me:read"], "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert (await desk.ask("GET", by=token)).status_code == 403
    assert (await facts(the, "role:changed"))["change"] == {"from": READS, "to": ["me:read"]}
    events = await the.events()
    same = await ask(desk, "PATCH", "/reader", {"permissions": ["me:read"]})
    assert (same.status_code, same.json()) == (200, after)
    assert await the.events() == events, "nothing has changed"
    only = await ask(desk, "PATCH", "/reader", {"description": ""})
    assert only.json()["permissions"] == ["me:read"]
    assert "change" not in await facts(the, "role:changed")


async def test_changes_that_are_none(lite: The) -> None:
    desk = await office(lite)
    await made(desk, "reader", *READS)
    for body, fields in (
        ({}, {"body": "missing"}),
        ({"name": "writer"}, {"body": "unknown"}),
        ({"permissions": ["users:fly"]}, {"permissions": "value"}),
        ({"description": "\u202e"}, {"description": "format"}),
    ):
        answer = await ask(desk, "PATCH", "/reader", body)
        assert (answer.status_code, answer.json()["fields"]) == (422, fields)
    assert code_of(await ask(desk, "PATCH", "/nowhere", {"description": "x"})) == "not_found"
    for name in ROLES:
        assert code_of(await ask(desk, "PATCH", f"/{name}", {"permissions": []})) == "conflict"
        assert code_of(await ask(desk, "DELETE", f"/{name}", take=True)) == "conflict"


async def test_what_nobody_knows_any_more_counts_for_nothing(lite: The) -> None:
    """A permission of a program that registers it no longer: listed and left alone, without effect."""
    desk = await office(lite)
    await made(desk, "reader", *READS)
    async with desk.folk.ctx.write() as db:
        await db.change(role.update().values(permissions="gone:read me:read users:read"))
    stored = ["gone:read", *READS]
    items = (await ask(desk, "GET")).json()["items"]
    assert items[-1]["permissions"] == stored
    _, token = await member(desk, "reader")
    assert await mine(desk, token) == set(READS)
    assert (await ask(desk, "PATCH", "/reader", {"description": "x"})).json()["permissions"] == stored
    more = await ask(desk, "PATCH", "/reader", {"permissions": [*stored, "me:write"]})
    assert more.json()["permissions"] == ["gone:read", "me:read", "me:write", "users:read"]
    less = await ask(desk, "PATCH", "/reader", {"permissions": READS})
    assert less.json()["permissions"] == READS
    again = await ask(desk, "PATCH", "/reader", {"permissions": stored})
    assert again.json()["fields"] == {"permissions": "value"}


# -- deleted ---------------------------------------------------------------------------------------


async def test_deleted_only_when_nobody_has_it_or_it_is_taken(the: The) -> None:
    desk = await office(the)
    await made(desk, "reader", *READS)
    having = [await member(desk, "user", "reader") for _ in range(3)]
    the.clock.forward(1)
    before = await the.everything(but=("audit_event", "audit_head"))
    refused = await ask(desk, "DELETE", "/reader")
    assert (refused.status_code, code_of(refused)) == (409, "conflict")
    assert await the.everything(but=("audit_event", "audit_head")) == before
    stamps = {row["id"]: row["updated_at"] for row in await the.rows(person)}
    assert (await ask(desk, "DELETE", "/reader", take=True)).status_code == 204
    assert await the.rows(role) == []
    assert "reader" not in {row["role"] for row in await the.rows(role_grant)}
    assert (await facts(the, "role:deleted"))["count"] == 3
    moved = {row["id"] for row in await the.rows(person) if row["updated_at"] != stamps[row["id"]]}
    assert moved == {person_id for person_id, _ in having}
    for _, token in having:
        assert (await desk.ask("GET", by=token)).status_code == 403
    assert code_of(await ask(desk, "DELETE", "/reader", take=True)) == "not_found"
    await made(desk, "reader")
    assert (await ask(desk, "DELETE", "/reader")).status_code == 204
    assert (await facts(the, "role:deleted"))["count"] == 0


async def test_a_role_that_is_gone_is_given_to_nobody(lite: The) -> None:
    desk = await office(lite)
    await made(desk, "reader", *READS)
    assert (await ask(desk, "DELETE", "/reader")).status_code == 204
    who, _ = await member(desk)
    answer = await desk.ask("PUT", f"/{who}/roles/reader", by=desk.owner)
    assert (answer.status_code, answer.json()["fields"]) == (422, {"role": "value"})
    body = {"email": "new@example.com", "roles": ["reader"]}
    assert (await desk.ask("POST", body=body, by=desk.owner)).json()["fields"] == {"roles": "value"}
    answer = await desk.ask("PATCH", f"/{who}", {"roles": ["user", "reader"]}, by=desk.owner)
    assert (answer.status_code, answer.json()["fields"]) == (422, {"roles": "value"})
    assert (await desk.ask("GET", role_at_most="reader")).json()["fields"] == {"role_at_most": "value"}


# -- who may ---------------------------------------------------------------------------------------


async def test_it_takes_a_power_and_a_fresh_proof(lite: The) -> None:
    desk = await office(lite)
    await made(desk, "reader", *READS)
    _, user = await member(desk)
    assert code_of(await ask(desk, "GET", by=user)) == "permission_missing"
    for by in (user, desk.admin):
        for method, path, body in (
            ("POST", "", {"name": "own", "permissions": []}),
            ("PATCH", "/reader", {"description": "x"}),
            ("DELETE", "/reader", None),
        ):
            assert code_of(await ask(desk, method, path, body, by=by)) == "permission_missing"
            assert (await facts(lite, "access:refused"))["permission"] == "roles:write"
    lite.clock.forward(minutes=20)
    for method, path, body in (
        ("POST", "", {"name": "own", "permissions": []}),
        ("PATCH", "/reader", {"description": "x"}),
        ("DELETE", "/reader", None),
    ):
        assert code_of(await ask(desk, method, path, body)) == "insufficient_user_authentication"


async def test_found_by_what_they_may_at_most(lite: The) -> None:
    """People who have more than a role of the tenant's own allows are not found by it, nor those with a role that
    nobody knows."""
    desk = await office(lite)
    await made(desk, "reader", *READS)
    await made(desk, "writer", "me:read", "me:write", "users:read", "users:write")
    names = {role: f"{role}@example.com" for role in ("reader", "writer", "read_only", "user", "gone")}
    for name, email in names.items():
        await desk.folk.create(email, name)
    assert set(await desk.listed(role_at_most="reader")) == {names["reader"], names["read_only"]}
    assert set(await desk.listed(role_at_most="writer")) == {one for name, one in names.items() if name != "gone"}
    assert names["writer"] in await desk.listed(role_at_most="admin")
    assert names["writer"] not in await desk.listed(role_at_most="user")


async def test_nobody_promotes_themselves(the: The) -> None:
    """Somebody who makes roles: by the role that they have, by one that they make, by a friend, by a new person. Each
    refusal is in the trail, and nothing else has changed."""
    desk = await office(the)
    clerk = ["me:read", "me:write", "roles:give", "roles:write", "users:read", "users:write"]
    await made(desk, "clerk", *clerk)
    await made(desk, "strong", *clerk, "users:delete")
    (who, token), (friend, other) = await member(desk, "clerk"), await member(desk, "clerk")
    created = await ask(desk, "POST", body={"name": "helper", "permissions": clerk}, by=token)
    assert created.status_code == 201
    assert (await desk.ask("PUT", f"/{friend}/roles/helper", by=token)).status_code == 200
    but = ("audit_event", "audit_head", "budget")
    before = await the.everything(but=but)
    more = {"permissions": [*clerk, "users:delete"]}
    less = {"permissions": ["me:read", "roles:write"]}
    puppet = {"email": "puppet@example.com", "roles": ["strong"]}
    refused = (
        await ask(desk, "PATCH", "/clerk", more, by=token),
        await ask(desk, "PATCH", "/clerk", less, by=token),
        await ask(desk, "DELETE", "/clerk", by=token, take=True),
        await ask(desk, "PATCH", "/helper", more, by=token),
        await ask(desk, "PATCH", "/helper", less, by=other),
        await ask(desk, "PATCH", "/strong", less, by=token),
        await ask(desk, "DELETE", "/strong", by=token),
        await ask(desk, "POST", body={"name": "mine", **more}, by=token),
        await desk.ask("PUT", f"/{who}/roles/helper", by=token),
        await desk.ask("PUT", f"/{friend}/roles/strong", by=token),
        await desk.ask("POST", body=puppet, by=token),
    )
    assert [code_of(answer) for answer in refused] == ["permission_missing"] * len(refused)
    assert await the.everything(but=but) == before
    assert (await the.events())[-len(refused) :] == ["access:refused"] * len(refused)
    for one in (token, other):
        assert await mine(desk, one) == set(clerk)
