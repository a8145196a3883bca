"""Sign-up where addresses are proved later, on pages: signed in at once, the code if the address is not free, and
confirming the address in the account.

Not here: the same over JSON (`test_contract_address_proof`).
"""

from __future__ import annotations

import pytest

from passgate.core import user_changes
from passgate.store.tables import person
from tests import operating
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, PASSWORD, The, handle_of
from tests.web.browsing import Page, browser, led, outcome, rule

EMAIL = "anna@example.com"


async def test_on_pages(lite: The) -> None:
    """Sign up, see that the address is not confirmed, confirm it beside the password."""
    await rule(lite, address_proof="later")
    async with browser(lite) as anna:
        assert led(await anna.send("/signup", email=EMAIL, password=PASSWORD)) == "/account"
        assert "/account/confirm" in (await anna.page("/account")).actions
        assert led(await anna.send("/account/confirm", at="/account", decision="address")) == "/signin/password"
        assert led(await anna.send("/signin/password", password=PASSWORD)) == "/signin/email-code"
        assert led(await anna.send("/signin/email-code", code=await lite.code(EMAIL))) == "/account"
        assert "/account/confirm" not in (await anna.page("/account")).actions
        assert [row["email_verified_at"] is None for row in await lite.rows(person)] == [False]
    async with browser(lite) as again:
        await again.sign_in(EMAIL)


@pytest.mark.parametrize("proved", [True, False])
async def test_an_address_that_is_not_free_on_pages(lite: The, proved: bool) -> None:
    """The page of the code follows, whoever has the address."""
    if proved:
        await lite.person(EMAIL)
    await rule(lite, address_proof="later")
    if not proved:
        await lite.finish(handle_of(await lite.signup(EMAIL)))
    async with browser(lite) as anna:
        assert led(await anna.send("/signup", email=EMAIL, password=OTHER_PASSWORD)) == "/signin/email-code"
        assert (await anna.page("/signin/email-code")).name == "signin-email-code"
        assert outcome(await anna.send("/signin/email-code", code="12345678")) == (
            403,
            "signin-email-code",
            "proof_refused",
        )
        if not proved:
            assert led(await anna.send("/signin/email-code", code=await lite.code(EMAIL))) == "/account"


async def test_an_admins_password_is_replaced_on_pages(lite: The) -> None:
    operator = operating.operator(Folk(lite).ctx)
    await user_changes.create(operator, EMAIL, secret=PASSWORD, profile=None, roles=None)
    async with browser(lite) as anna:
        await anna.sign_in(EMAIL)
        assert led(await anna.send("/account/confirm", at="/account", decision="address")) == "/signin/password"
        await anna.send("/signin/password", password=PASSWORD)
        assert led(await anna.send("/signin/email-code", code=await lite.code(EMAIL))) == "/signin/password"
        page: Page = await anna.page("/signin/password")
        assert page.name == "new-password"
        assert led(await anna.send("/signin/password", new_password=OTHER_PASSWORD)) == "/account"
    async with browser(lite) as again:
        await again.sign_in(EMAIL, OTHER_PASSWORD)
