"""All roles of somebody at once, by `PATCH /api/v1/users/{id}`: with everything else that is changed, or not at all.

Not here: giving and taking one role (`test_contract_users`), and who may give what (`tests/core/test_roles`).
"""

from __future__ import annotations

import json

import pytest

from passgate.errors import Conflict
from passgate.store.tables import audit_event
from tests.core.having import policy
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of
from tests.web.test_contract_users import office

GIVEN, TAKEN, REFUSED = "role:given", "role:taken", "access:refused"


async def facts_of(the: The, subject_id: str, *events: str) -> list[tuple[str, str | None]]:
    """The events about somebody, with the role or permission that each names, oldest first."""
    found = [row for row in await the.rows(audit_event) if row["subject_id"] == subject_id]
    named = [(row["event"], json.loads(row["facts"])) for row in sorted(found, key=lambda row: row["id"])]
    return [(event, one.get("role", one.get("permission"))) for event, one in named if event in events]


async def test_roles_with_everything_else(the: The) -> None:
    desk, anna = await office(the), await the.person()
    await policy(the, usernames="optional")
    found = (await desk.ask("GET", search="anna")).json()["items"][0]["id"]
    body = {
        "roles": ["admin", "read_only"],
        "profile": {"name": "A"},
        "username": "anna",
        "email": "a@example.org",
        "password": OTHER_PASSWORD,
    }
    changed = await desk.ask("PATCH", f"/{found}", body)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["roles"], changed.json()["username"]) == (["admin", "read_only"], "anna")
    assert changed.json()["email"] == "a@example.org"
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert await facts_of(the, found, GIVEN, TAKEN) == [
        (GIVEN, "user"),
        (TAKEN, "user"),
        (GIVEN, "admin"),
        (GIVEN, "read_only"),
    ]


async def test_the_same_roles_again(lite: The) -> None:
    desk = await office(lite)
    made = await desk.add("anna@example.com", roles=["read_only", "user"])
    count = len(await lite.events())
    lite.clock.forward(5)
    same = await desk.ask("PATCH", f"/{made['id']}", {"roles": ["user", "read_only"]})
    assert (same.status_code, same.json()["updated_at"]) == (200, made["updated_at"])
    assert (await lite.events())[count:] == []
    more = await desk.ask("PATCH", f"/{made['id']}", {"roles": ["user", "read_only", "admin"]})
    assert more.json()["updated_at"] > made["updated_at"]
    assert (await lite.events())[count:] == [GIVEN]


async def test_a_part_that_is_refused_refuses_all(the: The) -> None:
    """Whichever it is: no role is given or taken, and nothing else changes."""
    desk = await office(the)
    await policy(the, usernames="optional")
    made = await desk.add("anna@example.com", password=PASSWORD)
    await desk.add("ben@example.com", username="ben")
    rest = {"profile": {"name": "A"}, "username": "anna"}
    before = await the.everything(but=("audit_event", "budget"))
    for body, code in (
        ({"roles": ["admin"], "username": "ben"}, "conflict"),
        ({"roles": ["admin"], "email": "BEN@example.com"}, "conflict"),
        ({"roles": ["admin"], "password": "password"}, "password_refused"),
        ({"roles": ["admin"], "profile": {"x": "y" * 20_000}}, "invalid"),
        ({**rest, "roles": ["admin", "owner"]}, "permission_missing"),
        ({**rest, "roles": ["owner"]}, "permission_missing"),
        ({**rest, "roles": ["admin", "emperor"]}, "invalid"),
        ({**rest, "roles": ["admin", "admin"]}, "invalid"),
        ({**rest, "roles": []}, "invalid"),
        ({**rest, "roles": [f"role-{number}" for number in range(21)]}, "invalid"),
        ({**rest, "roles": ["x" * 41]}, "invalid"),
        ({**rest, "roles": ["admin", 5]}, "invalid"),
        ({**rest, "roles": "admin"}, "invalid"),
        ({**rest, "roles": {"admin": True}}, "invalid"),
        ({"roles": None}, "invalid"),
    ):
        count = len(await the.events())
        assert code_of(await desk.ask("PATCH", f"/{made['id']}", body)) == code, body
        assert (await the.events())[count:] == ([REFUSED] if code == "permission_missing" else []), body
    assert await the.everything(but=("audit_event", "budget")) == before
    assert (await facts_of(the, made["id"], REFUSED))[-1] == (REFUSED, "owner")


async def test_who_may_change_people_and_not_their_roles(lite: The) -> None:
    """And the other way round: it takes both permissions, also for the roles that somebody has already."""
    desk = await office(lite)
    made = await desk.add("anna@example.com")
    both = {"users:write", "roles:give"}
    for has, code in ((both - {"roles:give"}, "roles:give"), (both - {"users:write"}, "users:write")):
        role = "-".join(sorted(has)).replace(":", "-")
        body = {"name": role, "permissions": ["me:read", "me:write", *has]}
        assert (await lite.http.post("/api/v1/roles", json=body, headers=bearer(desk.owner))).status_code == 201
        clerk = await desk.folk.create(f"{role}@office.example", role)
        token = (await desk.folk.opened(*clerk.key))[1]
        before = await lite.everything(but=("audit_event", "budget"))
        for roles in (["read_only"], ["user"], ["user", "read_only"]):
            refused = await desk.ask("PATCH", f"/{made['id']}", {"roles": roles, "profile": {"a": 1}}, by=token)
            assert (refused.status_code, code_of(refused)) == (403, "permission_missing"), (has, roles)
            assert (await facts_of(lite, made["id"], REFUSED))[-1] == (REFUSED, code)
        after = await lite.everything(but=("audit_event", "budget"))
        assert {name for name in after if after[name] != before[name]} <= {"session"}


async def test_ones_own_roles_and_those_of_whoever_may_do_more(lite: The) -> None:
    desk = await office(lite)
    owner, admin = [(await desk.ask("GET", search=name)).json()["items"][0]["id"] for name in ("owner", "admin")]
    before = await lite.everything(but=("audit_event", "budget"))
    for by, about, roles in (
        (desk.admin, admin, ["admin"]),
        (desk.admin, admin, ["owner"]),
        (desk.admin, admin, ["user", "admin"]),
        (desk.owner, owner, ["user"]),
        (desk.admin, owner, ["user"]),
        (desk.admin, owner, ["owner", "user"]),
    ):
        refused = await desk.ask("PATCH", f"/{about}", {"roles": roles, "profile": {"a": 1}}, by=by)
        assert (refused.status_code, code_of(refused)) == (403, "permission_missing"), roles
        assert [event for event, _ in await facts_of(lite, about, REFUSED)][-1:] == [REFUSED]
    assert await lite.everything(but=("audit_event", "budget")) == before


async def test_an_owner_stays(the: The) -> None:
    """An operator takes nobody's last owner; two owners may be made of one, and one of two."""
    desk = await office(the)
    owner = (await desk.ask("GET", search="owner")).json()["items"][0]["id"]
    at = the.gate.at(None, tenant="main").users
    with pytest.raises(Conflict):
        await at.change(owner, roles=["admin"], profile={"a": 1})
    assert (await at.show(owner)).profile == {}
    assert (await at.change(owner, roles=["owner", "admin"])).roles == ("admin", "owner")
    made = await desk.add("anna@example.com")
    assert (await desk.ask("PATCH", f"/{made['id']}", {"roles": ["owner"]}, by=desk.owner)).json()["roles"] == ["owner"]
    assert (await at.change(owner, roles=["admin"])).roles == ("admin",)
    with pytest.raises(Conflict):
        await at.change(made["id"], roles=["user"])


async def test_the_roles_of_an_account_that_cannot_be_used(lite: The) -> None:
    desk = await office(lite)
    made = await desk.add("anna@example.com")
    await desk.ask("POST", f"/{made['id']}/disable")
    assert code_of(await desk.ask("PATCH", f"/{made['id']}", {"roles": ["admin"]})) == "not_found"
    with pytest.raises(Conflict):
        await lite.gate.at(None, tenant="main").users.change(made["id"], roles=["admin"])
    assert (await desk.ask("GET", f"/{made['id']}")).json()["roles"] == ["user"]


async def test_roles_take_a_fresh_proof(lite: The) -> None:
    desk = await office(lite)
    made = await desk.add("anna@example.com")
    lite.clock.forward(20 * 60)
    refused = await desk.ask("PATCH", f"/{made['id']}", {"roles": ["admin"]})
    assert code_of(refused) == "insufficient_user_authentication"
