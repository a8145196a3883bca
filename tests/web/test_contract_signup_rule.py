"""Who may sign up, as a rule of the tenant: changed by API, asked when a sign-up starts and when it creates an account.

Not here: pages (`test_pages_signup_rule`), and what an invitation opens (`test_contract_invitations`).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from passgate.store.tables import person, tenant
from tests.core.having import policy
from tests.kit import PASSWORD, The, code_of, handle_of, running, settings_for, token_of
from tests.web.test_contract_policy import somebody
from tests.web.test_contract_signup import make_tenant

NEW, KNOWN = "new@example.com", "anna@example.com"


async def addresses(the: The) -> set[str]:
    return {row["email"] for row in await the.rows(person)}


async def test_an_owner_changes_it(the: The) -> None:
    anna, mine = await somebody(the, "owner")
    path = f"/api/v1/tenants/{mine}/policy"
    for signup in ("closed", "invite", "open"):
        changed = await the.http.patch(path, json={"signup": signup}, headers=anna.auth)
        assert (changed.status_code, changed.json()["signup"]) == (200, signup)
        for email in (NEW, KNOWN):
            answer = await the.signup(email)
            assert (answer.status_code, code_of(answer) if answer.is_error else "") == (
                (202, "") if signup == "open" else (403, "signup_closed")
            )
        await the.signed_in(anna)
    [row] = await the.rows(tenant)
    assert json.loads(row["policy"]) == {}, "only what differs is kept"
    for wrong in ("shut", "", None, True, ["open"]):
        refused = await the.http.patch(path, json={"signup": wrong}, headers=anna.auth)
        assert (refused.status_code, code_of(refused)) == (422, "invalid")
    assert (await the.http.get(path, headers=anna.auth)).json()["signup"] == "open"


async def test_refused_before_anything_is_done(lite: The) -> None:
    """Known and unknown address alike, with no hash, mail or budget."""
    await lite.person(KNOWN)
    await policy(lite, signup="closed")
    before, mails = await lite.everything(), len(await lite.mails())
    seen = [await lite.signup(email, PASSWORD) for email in (KNOWN, NEW)]
    assert [(one.status_code, {**one.json(), "request_id": ""}) for one in seen[:1]] == [
        (one.status_code, {**one.json(), "request_id": ""}) for one in seen[1:]
    ]
    assert (await lite.everything(), len(await lite.mails())) == (before, mails)


@pytest.mark.parametrize("signup", ["closed", "invite"])
async def test_closed_before_it_is_proved(the: The, signup: str) -> None:
    """The code is right, and creates nobody; it is not used up. A wrong one is answered as ever."""
    await the.person(KNOWN)
    new, known = [handle_of(await the.signup(email)) for email in (NEW, KNOWN)]
    code = await the.code(NEW)
    await policy(the, signup=signup)
    for handle in (new, known):
        assert code_of(await the.prove(handle, "email_code", "00000000")) == "proof_refused"
    assert code_of(await the.prove(known, "email_code", code)) == "proof_refused"
    for _ in range(2):
        closed = await the.prove(new, "email_code", code)
        assert (closed.status_code, code_of(closed)) == (403, "signup_closed")
    assert await addresses(the) == {KNOWN}
    assert code_of(await the.finish(new)) == "proof_missing"
    await policy(the)
    assert (await the.prove(new, "email_code", code)).status_code == 200
    token_of(await the.finish(new))
    assert await addresses(the) == {KNOWN, NEW}


async def test_closed_after_it_was_proved(the: The) -> None:
    """The account is there, and its owner sets up the way in that is still missing."""
    handle = handle_of(await the.signup(NEW, None))
    assert (await the.prove(handle, "email_code", await the.code(NEW))).status_code == 200
    await policy(the, signup="closed")
    assert (await the.prove(handle, "password", PASSWORD)).status_code == 200
    token_of(await the.finish(handle))


async def test_a_new_tenant(tmp_path: Path, database_url: str | None) -> None:
    """Founded while `main` is open: asked when it starts, and when it is proved. It is open itself."""
    async with running(settings_for(tmp_path, database_url, tenancy="multi")) as the:
        handle = handle_of(await the.signup(NEW, new_tenant={"name": "acme"}))
        await policy(the, signup="closed")
        assert code_of(await the.prove(handle, "email_code", await the.code(NEW))) == "signup_closed"
        assert code_of(await the.signup(KNOWN, new_tenant={"name": "beta"})) == "signup_closed"
        assert [row["name"] for row in await the.rows(tenant)] == ["main"]
        await policy(the)
        assert (await the.prove(handle, "email_code", await the.code(NEW))).status_code == 200
        assert (await the.signup(KNOWN, tenant="acme")).status_code == 202


async def test_another_tenants_is_its_own(the: The) -> None:
    await make_tenant(the, "acme", signup="closed")
    assert code_of(await the.signup(NEW, tenant="acme")) == "signup_closed"
    assert (await the.signup(NEW)).status_code == 202
    rules = {row["name"]: json.loads(row["policy"]) for row in await the.rows(tenant)}
    assert rules == {"main": {}, "acme": {"signup": "closed"}}
