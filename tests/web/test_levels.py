"""Rules bite at once: what a session that is below its tenant's new rules may still do, and how its person meets them;
who is told; and rules that their owner cannot meet."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from passgate.core import tenants
from passgate.core.ctx import Ctx
from passgate.core.rules import AAL2
from passgate.store.tables import audit_event
from tests import catalogue, operating
from tests.architecture.population import Population
from tests.authenticator import Authenticator
from tests.core.having import code_of_app, unspelled
from tests.kit import PASSWORD, Person, The, bearer, code_of, handle_of, token_of
from tests.web.browsing import SAME, Page, browser, rule

BELOW = "insufficient_user_authentication"
RAISED = [{"second": "always"}, {"least_acr": AAL2}]
LEAVING = {"DELETE /api/v1/session", "POST /signout", "GET /account/confirm", "POST /account/confirm"}


@pytest.mark.parametrize("rules", RAISED, ids=["always", "least"])
async def test_a_session_below_the_rules_is_refused_everywhere(
    lite_population: Population, rules: dict[str, str]
) -> None:
    """At every endpoint and page that a session opens, but signing out and confirming who one is."""
    population, ben = lite_population, lite_population.ben
    await population.rules(**rules)
    asked = 0
    for key, entry in catalogue.catalogue().items():
        method, _, path = key.partition(" ")
        if entry.who not in ("session", "peek", "visitor"):
            continue
        path = path.replace("{id}", "00000000-0000-7000-8000-000000000000")
        if path.startswith("/api/"):
            body: Any = {"json": {}} if method in ("POST", "PATCH") else {}
            answer = await population.the.http.request(method, path, headers=bearer(ben.token), **body)
            assert (answer.status_code, code_of(answer)) == (401, BELOW), key
            assert 'acr_values="urn:passgate:aal2"' in answer.headers["www-authenticate"]
        else:
            cookie = {"cookie": f"passgate_session={ben.token}", **SAME}
            answer = await population.the.http.request(method, path, headers=cookie)
            assert (answer.status_code, Page(answer.text).alert) == (401, BELOW), key
            assert not answer.headers.get_list("set-cookie")
        asked += 1
    assert asked > 50
    assert (await population.the.session(population.anna.token)).status_code == 200, "she proved both"
    confirm = await population.the.http.get("/account/confirm", headers={"cookie": f"passgate_session={ben.token}"})
    assert (confirm.status_code, Page(confirm.text).name) == (200, "account-confirm")
    out = await population.the.http.delete("/api/v1/session", headers=bearer(ben.token))
    assert out.status_code == 204


@pytest.mark.parametrize("rules", RAISED, ids=["always", "least"])
async def test_who_has_nothing_else_confirms_the_address_and_sets_it_up(the: The, rules: dict[str, str]) -> None:
    anna = await the.person()
    the.clock.forward(600)
    await rule(the, **rules)
    assert code_of(await the.session(anna.token)) == BELOW
    begun = await the.http.post("/api/v1/signin", json={"step_up": {"acr": AAL2}}, headers=anna.auth)
    handle = handle_of(begun)
    assert begun.json()["need"] == [["password"]]
    assert (await the.prove(handle, "password", PASSWORD)).json()["need"] == [["email_code"]]
    assert code_of(await the.challenge(handle, "totp")) == "factor_not_offered"
    await the.challenge(handle, "email_code")
    asked = (await the.prove(handle, "email_code", await the.code(anna.email))).json()
    assert (asked["need"], asked["enrol"]) == ([["passkey"], ["totp"]], True)
    secret = (await the.challenge(handle, "totp")).json()["challenge"]["secret"]
    assert (await the.prove(handle, "totp", code_of_app(the, unspelled(secret)))).json()["enough"]
    token = token_of(await the.finish(handle))
    found = (await the.session(token)).json()["session"]
    assert (found["acr"], found["amr"]) == (AAL2, ["pwd", "otp"])
    other = next(mail for mail in await the.mails(anna.email) if mail["kind"] == "factor_added")
    assert other["link"] is None, "what the rules ask for is not undone"


async def test_rules_that_are_raised_while_requests_run(the: The) -> None:
    """Each of fifty requests is answered by the rules before or after, and none writes afterwards."""
    anna, owner = await the.person(), await with_app(the, "owner@example.com")
    pending_one = handle_of(await the.start(anna.email))
    assert (await the.prove(pending_one, "password", PASSWORD)).json()["enough"]
    tenant_id = (await the.session(owner.token)).json()["tenant"]["id"]
    change = the.http.patch(f"/api/v1/tenants/{tenant_id}/policy", json={"second": "always"}, headers=owner.auth)
    writes = [
        the.http.patch("/api/v1/me", json={"profile": {"name": str(number)}}, headers=anna.auth) for number in range(50)
    ]
    changed, *answers = await asyncio.gather(change, *writes)
    assert changed.status_code == 200, changed.text
    assert {answer.status_code for answer in answers} <= {200, 401}
    late = await the.http.patch("/api/v1/me", json={"profile": {"name": "late"}}, headers=anna.auth)
    assert code_of(late) == BELOW
    assert code_of(await the.finish(pending_one)) == "proof_missing", "half a sign-in meets the new rules too"


async def with_app(the: The, email: str) -> Person:
    """An owner with an authenticator app, at that level."""
    who = await the.person(email)
    await operating.give_role(Ctx(the.gate.services), email, "owner", tenants.MAIN)
    offer = await the.http.post("/api/v1/me/totp", headers=who.auth)
    code = {"answer": code_of_app(the, unspelled(offer.json()["secret"]))}
    assert (await the.http.post("/api/v1/me/totp/prove", json=code, headers=who.auth)).status_code == 204
    return who


async def test_the_other_owners_get_a_mail_and_the_trail_the_values(the: The) -> None:
    anna, ben = await with_app(the, "anna@example.com"), await with_app(the, "ben@example.com")
    admin = await the.person("admin@example.com")
    await operating.give_role(Ctx(the.gate.services), admin.email, "admin", tenants.MAIN)
    tenant_id = (await the.session(anna.token)).json()["tenant"]["id"]
    path = f"/api/v1/tenants/{tenant_id}/policy"
    assert (await the.http.patch(path, json={"remember_days": 0, "second": "always"}, headers=anna.auth)).is_success
    kinds = {mail: [one["kind"] for one in await the.mails(mail)] for mail in (anna.email, ben.email, admin.email)}
    assert [kinds[one].count("policy_changed") for one in kinds] == [0, 1, 0]
    [row] = [row for row in await the.rows(audit_event) if row["event"] == "tenant:policy:changed"]
    facts: dict[str, Any] = json.loads(row["facts"])
    assert facts["change"] == {
        "from": {"remember_days": 30, "second": "if_enrolled"},
        "to": {"remember_days": 0, "second": "always"},
    }
    assert (await the.http.patch(path, json={"remember_days": 0}, headers=anna.auth)).is_success
    assert (await the.events()).count("tenant:policy:changed") == 1, "nothing changed, nobody is told"
    assert [one["kind"] for one in await the.mails(ben.email)].count("policy_changed") == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"first": ["passkey"]}, "first"),
        ({"least_acr": "urn:passgate:aal3"}, "least_acr"),
        ({"first": ["passkey"], "second": "always"}, "first"),
    ],
)
async def test_nobody_stores_rules_that_they_cannot_meet(lite: The, change: dict[str, Any], field: str) -> None:
    owner = await with_app(lite, "owner@example.com")
    tenant_id = (await lite.session(owner.token)).json()["tenant"]["id"]
    path = f"/api/v1/tenants/{tenant_id}/policy"
    refused = await lite.http.patch(path, json=change, headers=owner.auth)
    assert (refused.status_code, refused.json()["fields"]) == (422, {field: "value"})
    assert "tenant:policy:changed" not in await lite.events()


@pytest.mark.parametrize(("is_synced", "status"), [(True, 422), (False, 200)])
async def test_a_key_that_cannot_leave_its_device_reaches_the_highest_level(
    lite: The, is_synced: bool, status: int
) -> None:
    owner = await with_app(lite, "owner@example.com")
    options = (await lite.http.post("/api/v1/me/passkeys", headers=owner.auth)).json()
    key = Authenticator(be=is_synced, bs=is_synced)
    answer = {"answer": key.create(options["challenge"], lite.gate.settings.url)}
    assert (await lite.http.post("/api/v1/me/passkeys/prove", json=answer, headers=owner.auth)).status_code == 201
    tenant_id = (await lite.session(owner.token)).json()["tenant"]["id"]
    path = f"/api/v1/tenants/{tenant_id}/policy"
    answer_to = await lite.http.patch(path, json={"least_acr": "urn:passgate:aal3"}, headers=owner.auth)
    assert answer_to.status_code == status, answer_to.text


async def test_an_owner_without_a_second_factor_raises_the_rules(the: The) -> None:
    """They can meet them, by setting one up: their own session has to do that next."""
    owner = await the.person("owner@example.com")
    await operating.give_role(Ctx(the.gate.services), owner.email, "owner", tenants.MAIN)
    tenant_id = (await the.session(owner.token)).json()["tenant"]["id"]
    path = f"/api/v1/tenants/{tenant_id}/policy"
    assert (await the.http.patch(path, json={"second": "always"}, headers=owner.auth)).status_code == 200
    assert code_of(await the.http.patch(path, json={"second": "never"}, headers=owner.auth)) == BELOW
    async with browser(the) as anna:
        anna.http.cookies.set("passgate_session", owner.token, domain="localhost.local")
        assert Page((await anna.get("/account")).text).alert == BELOW
        assert (await anna.send("/account/confirm")).headers["location"] == "/signin/password"
        assert (await anna.send("/signin/password", password=PASSWORD)).headers["location"] == "/signin/email-code"
        code = await the.code(owner.email)
        assert (await anna.send("/signin/email-code", code=code)).headers["location"] == "/signin/totp"
        secret = (await anna.page("/signin/totp")).secret
        done = await anna.send("/signin/totp", code=code_of_app(the, secret))
        assert (done.status_code, done.headers["location"]) == (303, "/account")
        assert (await the.session(anna.session)).json()["session"]["acr"] == AAL2
