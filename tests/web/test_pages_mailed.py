"""Mailed codes as one's second step on the pages, an app that is displayed again, and how many backup codes there are.

Not here: the rules behind them, which are in tests/core.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from passgate.store.tables import credential, person
from tests.kit import OTHER_PASSWORD, PASSWORD, The, running, settings_for
from tests.web.browsing import SAME, Browser, Page, app, browser, led, outcome, rule

EMAIL = "anna@example.com"
HERE = "/account/email-code"
ENROLLED = {"second_among": ["passkey", "totp", "recovery_code", "email_code"], "mailed_second_factor": "enrolled"}


@pytest.fixture
async def anna(tmp_path: Path) -> AsyncIterator[Browser]:
    async with running(settings_for(tmp_path)) as the, browser(the) as made:
        yield await made.sign_up(EMAIL)


async def live(the: The) -> list[str]:
    return sorted(row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None)


async def turn_on(anna: Browser) -> None:
    assert led(await anna.send(f"{HERE}/send", at=HERE)) == HERE
    code = await anna.the.code(EMAIL)
    assert led(await anna.send(HERE, code=code)) == "/account/recovery-codes?done=email-code"


async def test_from_turning_it_on_to_turning_it_off(anna: Browser) -> None:
    the = anna.the
    assert HERE not in (await anna.page("/account/factors")).links
    await rule(the, **ENROLLED)
    assert HERE in (await anna.page("/account/factors")).links
    page = await anna.page(HERE)
    assert (page.name, HERE in page.actions) == ("account-email-code", False), "nothing was sent yet"
    assert led(await anna.send(f"{HERE}/send", at=HERE)) == HERE
    wrong = await anna.send(HERE, code="00000000")
    assert outcome(wrong) == (403, "account-email-code", "proof_refused")
    assert Page(wrong.text).marked == {"code"}
    assert led(await anna.send(HERE, code=await the.code(EMAIL))) == "/account/recovery-codes?done=email-code"
    assert await live(the) == ["email_code", "password"]

    await anna.send("/signout")
    before = len(await the.mails())
    await anna.page("/signin")
    assert led(await anna.send("/signin", email=EMAIL)) == "/signin/password"
    assert len(await the.mails()) == before
    assert led(await anna.send("/signin/password", password=PASSWORD)) == "/signin/email-code"
    assert len(await the.mails()) == before + 1, "one mail, before the page is displayed"
    assert led(await anna.send("/signin/email-code", code=await the.code(EMAIL))) == "/account"

    page = await anna.page(HERE)
    assert page.actions >= {f"{HERE}/remove"}
    assert led(await anna.send(f"{HERE}/remove", at=HERE)) == "/account/factors?done=no-email-code"
    assert await live(the) == ["password"]
    assert (await anna.page("/account/factors?done=no-email-code")).name == "account-factors"


async def test_where_no_first_code_is_asked_for(anna: Browser) -> None:
    the = anna.the
    await rule(the, **{**ENROLLED, "mailed_second_factor": "at_once"})
    assert (await anna.page(HERE)).actions >= {f"{HERE}/send"}
    assert led(await anna.send(f"{HERE}/send", at=HERE)) == "/account/recovery-codes?done=email-code"
    assert await live(the) == ["email_code", "password"]
    assert "factor_code" not in [mail["kind"] for mail in await the.mails(EMAIL)]
    assert (await anna.page(HERE)).actions >= {f"{HERE}/remove"}


async def test_backup_codes_that_are_only_mailed(anna: Browser) -> None:
    """Nobody has proved the address: the page says so and shows none."""
    the = anna.the
    await rule(the, recovery_codes={"count": 5, "mailed": True})
    async with the.gate.services.store.write() as db:
        await db.change(person.update().values(email_verified_at=None, first_proved_at=None))
    answer = await anna.send("/account/recovery-codes")
    page = Page(answer.text)
    assert (answer.status_code, page.name, page.codes) == (200, "account-recovery-codes", [])
    [mail] = [mail for mail in await the.mails(EMAIL) if mail["kind"] == "recovery_codes"]
    code = next(line.strip() for line in mail["text"].splitlines() if line.strip().count("-") == 3)
    assert code not in answer.text
    assert (await live(the)).count("recovery_code") == 5


async def test_with_an_app_the_page_of_a_mailed_code_leads_to_the_app(anna: Browser) -> None:
    the = anna.the
    await rule(the, **ENROLLED)
    await turn_on(anna)
    secret = await anna.add_app()
    await anna.send("/signout")
    before = len(await the.mails())
    await anna.page("/signin")
    await anna.send("/signin", email=EMAIL)
    assert led(await anna.send("/signin/password", password=PASSWORD)) == "/signin/totp"
    page = await anna.page("/signin/totp")
    assert not [link for link in (*page.links, *page.actions) if "email-code" in link]
    assert led(await anna.get("/signin/email-code")) == "/signin/totp"
    again = await anna.http.post("/signin/email-code/again", headers=SAME)
    assert led(again) == "/signin/totp"
    assert len(await the.mails()) == before
    the.clock.forward(30)
    assert led(await anna.send("/signin/totp", code=app(the, secret))) == "/account"


async def test_what_the_rules_do_not_have_is_refused(anna: Browser) -> None:
    refused = await anna.http.post(f"{HERE}/send", headers=SAME)
    assert outcome(refused) == (409, "account-email-code", "conflict")
    refused = await anna.http.post("/account/totp/show", headers=SAME)
    assert outcome(refused) == (404, "account-totp", "not_found")
    assert await live(anna.the) == ["password"]


async def test_an_app_is_displayed_again(anna: Browser) -> None:
    secret = await anna.add_app()
    assert "/account/totp/show" not in (await anna.page("/account/totp")).actions
    await rule(anna.the, totp_shown_again=True)
    assert "/account/totp/show" in (await anna.page("/account/totp")).actions
    again = await anna.send("/account/totp/show", at="/account/totp")
    assert (again.status_code, Page(again.text).name) == (200, "account-totp")
    assert Page(again.text).secret == secret
    assert again.headers["cache-control"] == "no-store"
    assert not (await anna.page("/account/totp")).codes, "the page that is opened does not have it"


async def test_without_a_fresh_proof_the_pages_ask_for_one(anna: Browser) -> None:
    the = anna.the
    await rule(the, **ENROLLED, totp_shown_again=True)
    await anna.add_app()
    the.clock.forward(301)
    before = len(await the.mails())
    page = await anna.page("/account/totp")
    assert "/account/totp/show" not in page.actions
    assert led(await anna.http.post("/account/totp/show", headers=SAME)).startswith("/signin/")
    assert f"{HERE}/send" not in (await anna.page(HERE)).actions
    assert led(await anna.http.post(f"{HERE}/send", headers=SAME)).startswith("/signin/")
    assert len(await the.mails()) == before


async def test_as_many_backup_codes_as_the_rules_have(anna: Browser) -> None:
    await rule(anna.the, recovery_codes={"count": 5, "mailed": True})
    codes = await anna.add_codes()
    assert len(codes) == 5
    [mail] = [mail for mail in await anna.the.mails(EMAIL) if mail["kind"] == "recovery_codes"]
    assert all(code in mail["text"] for code in codes)


async def test_a_short_password_where_the_rules_take_it(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as the, browser(the) as anna:
        await rule(the, password_checks="length", password_alone=6)
        await anna.sign_up(EMAIL, "123456")
        assert led(await anna.send("/account/password", new_password="654321")) == "/account/password?done=password"
        refused = await anna.send("/account/password", new_password="12345")
        assert outcome(refused) == (422, "account-password", "password_refused")
        await rule(the)
        refused = await anna.send("/account/password", new_password="12345678")
        assert outcome(refused) == (422, "account-password", "password_refused")
        assert (
            led(await anna.send("/account/password", new_password=OTHER_PASSWORD)) == "/account/password?done=password"
        )
