"""One person of a tenant over HTTP, for those who may look: sessions, factors, activity, what may be done to them; and
the policy explained.

Not here: the user object and changes (`test_contract_users`), what may be done to whom (`test_user_actions`), and who
may read at all (`tests/architecture/test_roles`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from passgate.core import account, admin, sessions, users
from passgate.core.ctx import Ctx, Operator
from passgate.core.ctx import Person as Actor
from passgate.core.users import User
from passgate.store.tables import audit_event
from passgate.world import iso
from tests.authenticator import Authenticator
from tests.kit import PASSWORD, The, bearer, code_of, handle_of
from tests.web.test_contract_users import NOBODY, Office, office

S = {
    "id", "created_at", "last_used_at", "idle_expires_at", "expires_at", "auth_time", "amr", "acr", "current", "client",
}  # fmt: skip
READS = ("sessions", "factors", "activity", "actions")


async def read(desk: Office, who: Actor, what: str, *, by: str = "", **query: Any) -> Any:
    answer = await desk.ask("GET", f"/{who.person_id}/{what}", by=by, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- sessions --------------------------------------------------------------------------------------


async def test_where_somebody_is_signed_in(the: The) -> None:
    desk = await office(the)
    ben = await desk.folk.create("ben@example.com")
    the.clock.forward(1)
    handle = handle_of(await the.start("ben@example.com"))
    await the.prove(handle, "password", PASSWORD)
    theirs = (await the.finish(handle, "jwt")).json()["session"]
    found = await read(desk, ben, "sessions")
    assert found["next"] is None
    newest, oldest = found["items"]
    assert newest == {**theirs, "carrier": "jwt", "current": False}
    assert (newest.keys(), oldest["id"], oldest["carrier"]) == (S | {"carrier"}, ben.session_id, "bearer")
    assert not [one for one in found["items"] if one["current"]]
    async with desk.folk.ctx.write() as db:
        await sessions.end_one(desk.folk.ctx, db, ben, "ended")
    assert [one["id"] for one in (await read(desk, ben, "sessions"))["items"]] == [theirs["id"]]
    mine = await read(desk, await desk.folk.actor_of(desk.admin), "sessions")
    assert [one["current"] for one in mine["items"]] == [True, False], "of oneself by the same permission"
    by_operator = await the.gate.at(None, tenant="main").users.sessions(ben.person_id)
    assert [(one.id, one.carrier) for one in by_operator.items] == [(theirs["id"], "jwt")]


# -- factors ---------------------------------------------------------------------------------------


async def test_what_somebody_has_set_up(the: The) -> None:
    desk = await office(the)
    folk, ben = desk.folk, await desk.folk.create("ben@example.com")
    await folk.add_app(ben)
    await folk.add_passkey(ben, Authenticator())
    codes = await folk.add_codes(ben)
    found = await read(desk, ben, "factors")
    assert found["next"] is None
    assert {one.keys() == {"factor", "label", "created_at", "last_used_at"} for one in found["items"]} == {True}
    kinds = [one["factor"] for one in found["items"]]
    assert kinds[:3] == ["password", "totp", "passkey"]
    assert kinds[3:] == ["recovery_code"] * len(codes)
    assert "secret" not in json.dumps(found)
    for item in found["items"]:
        assert item["created_at"].endswith("Z")
    nobody = await folk.create("new@example.com", hashed=None)
    assert (await read(desk, nobody, "factors")) == {"items": [], "next": None}


# -- activity --------------------------------------------------------------------------------------


async def test_what_somebody_did_and_what_was_done_to_them(the: The) -> None:
    desk = await office(the)
    folk = desk.folk
    ben, carl = await folk.create("ben@example.com", "admin"), await folk.create("carl@example.com")
    ben = await folk.strong(ben)
    await account.set_profile(folk.acting(ben), {"name": "Ben"})
    await users.disable(folk.acting(ben), User(*carl.key))
    answer = await desk.ask("PATCH", f"/{ben.person_id}", {"profile": {"name": "B"}}, by=desk.owner)
    assert answer.status_code == 200
    rows = await read(desk, ben, "activity")
    assert {one.keys() == {"id", "at", "event", "client"} for one in rows["items"]} == {True}
    events = [one["event"] for one in rows["items"]]
    assert events[:3] == ["account:profile:changed", "account:disabled", "account:profile:changed"]
    clients = [one["client"]["ip"] for one in rows["items"][:3]]
    here = folk.ctx.origin.ip
    assert clients == ["", here, here], "an owner's own client is nobody else's to see"
    theirs = await read(desk, carl, "activity")
    assert theirs["items"][0] == {**rows["items"][1], "client": {"browser": "", "os": "", "ip": ""}}
    stored = {row["id"]: row for row in await the.rows(audit_event)}
    for items, who in ((rows["items"], ben), (theirs["items"], carl)):
        for item in items:
            row = stored[item["id"]]
            assert who.person_id in (row["subject_id"], row["actor_id"])
            assert iso(row["at"]) == item["at"]
        mine = {row["id"] for row in stored.values() if who.person_id in (row["subject_id"], row["actor_id"])}
        assert {item["id"] for item in items} == mine


async def test_activity_in_pages(lite: The) -> None:
    desk = await office(lite)
    ben = await desk.folk.create("ben@example.com")
    for number in range(5):
        await account.set_profile(desk.folk.acting(ben), {"name": str(number)})
    whole = (await read(desk, ben, "activity"))["items"]
    found, after = [], None
    while True:
        page = await read(desk, ben, "activity", limit=2, **({"after": after} if after else {}))
        found += page["items"]
        after = page["next"]
        if after is None:
            break
        assert len(page["items"]) == 2
    assert found == whole
    assert len(whole) >= 5
    for query, field in (({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"after": "x"}, "after")):
        refused = await desk.ask("GET", f"/{ben.person_id}/activity", **query)
        assert (refused.status_code, [*refused.json()["fields"]]) == (422, [field])


# -- nobody else -----------------------------------------------------------------------------------


async def test_who_is_not_there_is_not_found(lite: The) -> None:
    """Nor is anybody of another tenant, whatever is asked of them."""
    desk = await office(lite)
    ctx: Ctx = replace(desk.folk.ctx, principal=Operator())
    await admin.add_tenant(ctx, "acme", None, "open")
    foreign = await desk.folk.create(None, at="acme")
    for what in READS:
        for one in (NOBODY, foreign.person_id):
            for secret in (desk.owner, desk.admin):
                answer = await desk.ask("GET", f"/{one}/{what}", by=secret)
                assert (answer.status_code, code_of(answer)) == (404, "not_found"), (what, one)
        assert (await desk.ask("GET", f"/x/{what}")).status_code == 422


async def test_a_refusal_is_recorded_and_nothing_else(lite: The) -> None:
    desk = await office(lite)
    ben = await desk.folk.create("ben@example.com")
    _, secret = await desk.folk.opened(*ben.key)
    before = await lite.everything(but=("audit_event",))
    for what in READS:
        answer = await desk.ask("GET", f"/{ben.person_id}/{what}", by=secret)
        assert (answer.status_code, code_of(answer)) == (403, "permission_missing"), "me/… is for oneself"
        row = (await lite.rows(audit_event))[-1]
        assert (row["event"], row["actor_id"]) == ("access:refused", ben.person_id)
    count = len(await lite.rows(audit_event))
    for what in READS:
        await read(desk, ben, what, by=desk.owner)
    assert len(await lite.rows(audit_event)) == count
    assert await lite.everything(but=("audit_event",)) == before


# -- the policy, explained -------------------------------------------------------------------------

EXPLAINED = {"decision", "need", "amr", "acr", "reasons", "why", "has"}
AAL2 = "urn:passgate:aal2"


async def explained(desk: Office, *, by: str = "", **query: Any) -> Any:
    who = await desk.folk.actor_of(desk.owner)
    path = f"/api/v1/tenants/{who.tenant_id}/policy/explain"
    return await desk.the.http.get(path, params=query, headers=bearer(by or desk.admin))


@pytest.mark.parametrize(
    ("query", "decision", "need"),
    [
        ({}, "need", [["password"], ["passkey"]]),
        ({"proofs": "password"}, "enough", []),
        ({"proofs": "password", "has": "password,totp"}, "need", [["totp"]]),
        ({"proofs": "password", "has": "password,totp", "remembered": True}, "enough", []),
        ({"proofs": "password,totp", "has": "password,totp", "acr": AAL2}, "enough", []),
        ({"proofs": "password", "has": "password", "acr": AAL2}, None, None),
        ({"purpose": "recovery"}, None, None),
        ({"purpose": "step_up", "has": "password"}, None, None),
    ],
)
async def test_it_is_explained_as_on_the_command_line(
    lite: The, query: dict[str, Any], decision: str | None, need: list[list[str]] | None
) -> None:
    desk = await office(lite)
    answer = await explained(desk, **query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found.keys() == EXPLAINED
    if decision is not None:
        assert (found["decision"], found["need"]) == (decision, need)
    who = await desk.folk.actor_of(desk.owner)
    as_command = await admin.explained(
        replace(desk.folk.ctx, principal=Operator()),
        who.tenant_id,
        None,
        purpose=query.get("purpose", "signin"),
        proofs=tuple(filter(None, query.get("proofs", "").split(","))),
        has=tuple(filter(None, query.get("has", "").split(","))),
        acr=query.get("acr", "urn:passgate:aal1"),
        is_remembered=bool(query.get("remembered")),
    )
    assert found == as_command


async def test_it_is_explained_for_somebody(the: The) -> None:
    """With what they have set up, for whom that may be seen."""
    desk = await office(the)
    ben = await desk.folk.create("ben@example.com")
    await desk.folk.add_app(ben)
    found = (await explained(desk, user=ben.person_id, proofs="password", has="password")).json()
    assert (found["decision"], found["need"], found["has"]) == ("need", [["totp"]], ["password", "totp"])
    ctx: Ctx = replace(desk.folk.ctx, principal=Operator())
    await admin.add_tenant(ctx, "acme", None, "open")
    foreign = await desk.folk.create(None, at="acme")
    for one in (NOBODY, foreign.person_id):
        answer = await explained(desk, user=one)
        assert (answer.status_code, code_of(answer)) == (404, "not_found")


async def test_what_cannot_be_explained(lite: The) -> None:
    desk = await office(lite)
    for query, field in (
        ({"purpose": "fun"}, "purpose"),
        ({"proofs": "telepathy"}, "proofs"),
        ({"has": "luck"}, "has"),
        ({"acr": "aal9"}, "acr"),
        ({"remembered": "perhaps"}, "remembered"),
        ({"user": "ben"}, "user"),
    ):
        answer = await explained(desk, **query)
        assert (answer.status_code, [*answer.json()["fields"]]) == (422, [field]), query
    for path in (NOBODY, "x"):
        answer = await lite.http.get(f"/api/v1/tenants/{path}/policy/explain", headers=bearer(desk.owner))
        assert answer.status_code == (404 if path == NOBODY else 422)
