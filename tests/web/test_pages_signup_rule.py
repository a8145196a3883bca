"""Who may sign up, on pages: the refusal of a form, and the field of the policy.

Not here: what the rule means (`test_contract_signup_rule`).
"""

from __future__ import annotations

import json

from passgate.store.tables import person, tenant
from tests.core.having import policy
from tests.kit import PASSWORD, The
from tests.web.browsing import browser, led, outcome
from tests.web.test_pages_admin import one_with

NEW = "new@example.com"


async def test_a_form_of_a_closed_tenant(lite: The) -> None:
    """Where it starts, and where the account would be created; opened again, the same code creates it."""
    async with browser(lite) as one:
        led(await one.send("/signup", email=NEW, password=PASSWORD))
        code = await lite.code(NEW)
        await policy(lite, signup="closed")
        assert outcome(await one.send("/signin/email-code", code=code)) == (403, "signin-email-code", "signup_closed")
        assert await lite.rows(person) == []
        await policy(lite)
        assert led(await one.send("/signin/email-code", code=code)) == "/account"
    async with browser(lite) as other:
        await policy(lite, signup="invite")
        for email in (NEW, "other@example.com"):
            refused = await other.send("/signup", email=email, password=PASSWORD)
            assert outcome(refused) == (403, "signup", "signup_closed")


async def test_the_field_of_the_policy(lite: The) -> None:
    async with one_with(lite, "owner") as owner:
        led(await owner.send("/admin/policy", signup="closed"))
        [row] = await lite.rows(tenant)
        assert json.loads(row["policy"]) == {"signup": "closed"}
        form = next(form for form in (await owner.page("/admin/policy")).forms if form.action == "/admin/policy")
        assert form.fields["signup"] == "closed"
