"""A tenant's rules and sign-in links over HTTP: who may read and change them, and what is refused.

Not here: what the rules mean (tests/core/test_policy) and what links allow (tests/core/test_links).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from passgate.core import admin, tenants
from passgate.core.ctx import Ctx, Operator
from passgate.core.factors import totp
from passgate.core.rules import Rules
from passgate.store.tables import tenant
from passgate.world import SECOND
from tests import operating
from tests.core.having import prove, unspelled
from tests.kit import Person, The, code_of, handle_of, running, settings_for

NOBODY = "00000000-0000-7000-8000-000000000000"


async def somebody(the: The, role: str, email: str = "anna@example.com") -> tuple[Person, str]:
    """A person with the role, and the id of their tenant."""
    who = await the.person(email)
    if role != "user":
        await operating.give_role(Ctx(the.gate.services), email, role, tenants.MAIN)
    return who, (await the.session(who.token)).json()["tenant"]["id"]


async def test_the_rules_are_read(lite: The) -> None:
    anna, mine = await somebody(lite, "admin")
    answer = await lite.http.get(f"/api/v1/tenants/{mine}/policy", headers=anna.auth)
    assert (answer.status_code, answer.json()) == (200, Rules().to_json())


async def test_ones_own_tenant_by_the_word_own(lite: The) -> None:
    """For a person the tenant they are in, for an operator the one that is named."""
    anna, mine = await somebody(lite, "owner")
    changed = await lite.http.patch("/api/v1/tenants/own/policy", json={"remember_days": 7}, headers=anna.auth)
    assert (changed.status_code, changed.json()["remember_days"]) == (200, 7)
    for at in ("own", mine):
        answer = await lite.http.get(f"/api/v1/tenants/{at}/policy", headers=anna.auth)
        assert answer.json() == changed.json()
    explained = await lite.http.get("/api/v1/tenants/own/policy/explain", headers=anna.auth)
    assert explained.status_code == 200
    await admin.add_tenant(Ctx(lite.gate.services, principal=Operator()), "acme", None, "open")
    theirs = lite.gate.at(None, tenant="acme").admin
    assert (await theirs.policy("own")).remember_days == Rules().remember_days
    await theirs.change_policy("own", remember_days=9)
    assert (await theirs.policy("own")).remember_days == 9
    assert (await lite.gate.at(None, tenant="main").admin.policy("own")).remember_days == 7
    ben, _ = await somebody(lite, "user", "ben@example.com")
    assert (await lite.http.get("/api/v1/tenants/own/policy", headers=ben.auth)).status_code == 403
    for wrong in ("ow", "OWN", "owner", "main", "own "):
        assert (await lite.http.get(f"/api/v1/tenants/{wrong}/policy", headers=anna.auth)).status_code == 422


async def add_app(the: The, who: Person) -> None:
    offer = await the.http.post("/api/v1/me/totp", headers=who.auth)
    code = totp.code_at(unspelled(offer.json()["secret"]), the.clock.now // SECOND // totp.PERIOD)
    assert (await the.http.post("/api/v1/me/totp/prove", json={"answer": code}, headers=who.auth)).status_code == 204


async def test_they_are_changed_and_count_at_once(the: The) -> None:
    anna, mine = await somebody(the, "owner")
    await add_app(the, anna)
    await the.person("bert@example.com")
    pending_one = handle_of(await the.start("bert@example.com"))
    change = {"second": "always", "second_among": ["totp"], "remember_days": 0}
    answer = await the.http.patch(f"/api/v1/tenants/{mine}/policy", json=change, headers=anna.auth)
    assert (answer.status_code, answer.json()) == (200, {**Rules().to_json(), **change})
    [row] = await the.rows(tenant)
    assert json.loads(row["policy"]) == change, "only what differs is kept"
    asked = await prove(the, pending_one, "password", anna.password)
    assert asked.json() == {"enough": False, "need": [["email_code"]], "enrol": False}
    await the.challenge(pending_one, "email_code")
    asked = await prove(the, pending_one, "email_code", await the.code("bert@example.com"))
    assert asked.json() == {"enough": False, "need": [["totp"]], "enrol": True}
    undone = {name: Rules().to_json()[name] for name in ("second", "second_among")}
    back = await the.http.patch(f"/api/v1/tenants/{mine}/policy", json=undone, headers=anna.auth)
    assert back.json() == {**Rules().to_json(), "remember_days": 0}
    assert (await the.events()).count("tenant:policy:changed") == 2
    same = await the.http.patch(f"/api/v1/tenants/{mine}/policy", json={}, headers=anna.auth)
    assert same.status_code == 200


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"first": []}, {"first": "value"}),
        ({"first": ["totp"]}, {"first": "value"}),
        ({"second": "sometimes", "max_age": -1}, {"second": "value", "max_age": "value"}),
        ({"least_acr": "aal2"}, {"least_acr": "value"}),
        ({"totp_window": 3}, {"totp_window": "value"}),
        ({"first": ["password"], "second_among": ["totp"], "least_acr": "phr"}, {"least_acr": "value"}),
        ({"second": "always", "second_among": ["recovery_code"]}, {"second_among": "value"}),
        ({"nonsense": 1}, {"body": "unknown"}),
        ({"max_age": "60"}, {"max_age": "type"}),
        ({"totp_at_once": 1}, {"totp_at_once": "type"}),
        ({"first": None}, {"first": "type"}),
    ],
)
async def test_faults_are_reported_and_change_nothing(
    lite: The, change: dict[str, object], fields: dict[str, str]
) -> None:
    anna, mine = await somebody(lite, "owner")
    before = await lite.everything()
    answer = await lite.http.patch(f"/api/v1/tenants/{mine}/policy", json=change, headers=anna.auth)
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert answer.json()["fields"] == fields
    assert await lite.everything() == before


@pytest.mark.parametrize(
    ("role", "reads", "writes", "links"),
    [("owner", 200, 200, 201), ("admin", 200, 403, 201), ("user", 403, 403, 403), ("read_only", 403, 403, 403)],
)
async def test_who_may(lite: The, role: str, reads: int, writes: int, links: int) -> None:
    anna, mine = await somebody(lite, role)
    other = await lite.person("bert@example.com")
    theirs = (await lite.session(other.token)).json()["user"]["id"]
    if role == "read_only":
        await operating.take_role(Ctx(lite.gate.services), anna.email, "user", tenants.MAIN)
    answers = [
        await lite.http.get(f"/api/v1/tenants/{mine}/policy", headers=anna.auth),
        await lite.http.patch(f"/api/v1/tenants/{mine}/policy", json={"max_age": 60}, headers=anna.auth),
        await lite.http.post(f"/api/v1/users/{theirs}/signin-link", headers=anna.auth),
    ]
    assert [answer.status_code for answer in answers] == [reads, writes, links]
    refused = [answer for answer in answers if answer.status_code == 403]
    assert {code_of(answer) for answer in refused} <= {"permission_missing"}
    assert (await lite.events()).count("access:refused") == len(refused)


async def test_other_tenants_are_not_found(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        anna, _ = await somebody(the, "owner")
        handle = handle_of(await the.signup("olga@example.com", new_tenant={"name": "acme"}))
        await prove(the, handle, "email_code", await the.code("olga@example.com"))
        olga = await the.finish(handle)
        displayed = (await the.session(olga.json()["token"])).json()
        before = await the.everything()
        for id_ in (displayed["tenant"]["id"], NOBODY):
            path = f"/api/v1/tenants/{id_}/policy"
            for answer in (
                await the.http.get(path, headers=anna.auth),
                await the.http.patch(path, json={"max_age": 60}, headers=anna.auth),
            ):
                assert (answer.status_code, code_of(answer)) == (404, "not_found")
        for id_ in (displayed["user"]["id"], NOBODY):
            answer = await the.http.post(f"/api/v1/users/{id_}/signin-link", headers=anna.auth)
            assert (answer.status_code, code_of(answer)) == (404, "not_found")
        assert await the.everything() == before


async def test_a_change_wants_a_fresh_proof(lite: The) -> None:
    anna, mine = await somebody(lite, "owner")
    other = await lite.person("bert@example.com")
    theirs = (await lite.session(other.token)).json()["user"]["id"]
    lite.clock.forward(301)
    for answer in (
        await lite.http.patch(f"/api/v1/tenants/{mine}/policy", json={"max_age": 60}, headers=anna.auth),
        await lite.http.post(f"/api/v1/users/{theirs}/signin-link", headers=anna.auth),
    ):
        assert (answer.status_code, code_of(answer)) == (401, "insufficient_user_authentication")
        assert 'acr_values="urn:passgate:aal1", max_age=300' in answer.headers["www-authenticate"]
    assert (await lite.http.get(f"/api/v1/tenants/{mine}/policy", headers=anna.auth)).status_code == 200


async def test_a_link_for_an_equal_takes_two(lite: The) -> None:
    anna, _ = await somebody(lite, "admin", "anna@example.com")
    carl, _ = await somebody(lite, "admin", "carl@example.com")
    bert, _ = await somebody(lite, "admin", "bert@example.com")
    theirs = (await lite.session(bert.token)).json()["user"]["id"]
    path = f"/api/v1/users/{theirs}/signin-link"
    for _ in range(2):
        asked = await lite.http.post(path, headers=anna.auth)
        assert (asked.status_code, asked.json()) == (202, {"approval": "needed"})
    made = await lite.http.post(path, headers=carl.auth)
    assert (made.status_code, made.json().keys()) == (201, {"url", "usable_at", "expires_at"})
    assert [mail["kind"] for mail in await lite.mails("bert@example.com")].count("signin_link") == 1


async def test_a_link_for_somebody(the: The) -> None:
    anna, _ = await somebody(the, "admin")
    other = await the.person("bert@example.com")
    theirs = (await the.session(other.token)).json()["user"]["id"]
    made = await the.http.post(f"/api/v1/users/{theirs}/signin-link", headers=anna.auth)
    assert (made.status_code, made.json().keys()) == (201, {"url", "usable_at", "expires_at"})
    assert made.json()["url"].startswith("http://localhost:8000/signin/link/pg_lnk_")
    assert made.headers["cache-control"] == "no-store"
    assert (await the.mails("bert@example.com"))[0]["kind"] == "signin_link"
    own = (await the.session(anna.token)).json()["user"]["id"]
    refused = await the.http.post(f"/api/v1/users/{own}/signin-link", headers=anna.auth)
    assert (refused.status_code, code_of(refused)) == (403, "permission_missing")
