"""The one field of the sign-in page, which takes an address or a username where the tenant has them.

Not here: the rest of a sign-in over pages (`test_pages_story`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from passgate.core import people, usernames
from passgate.store.tables import person
from passgate.world import SECOND
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, PASSWORD, The
from tests.web.browsing import Browser, Page, browser, led, outcome, rule


@pytest.fixture
async def chrome(lite: The) -> AsyncIterator[Browser]:
    async with browser(lite) as made:
        yield made


async def named(the: The, username: str = "Anna") -> Folk:
    folk = Folk(the)
    who = await folk.create("anna@example.com")
    async with folk.ctx.write() as db:
        assert await people.set_username(folk.ctx, db, *who.key, usernames.given(username, by_oneself=False))
    return folk


def field(page: Page) -> dict[str, str]:
    [given] = [given for tag, given in page.tags if tag == "input" and given.get("name") == "email"]
    return given


async def test_the_field(lite: The, chrome: Browser) -> None:
    off = field(await chrome.page("/signin"))
    assert (off["type"], off["autocomplete"]) == ("email", "username webauthn")
    await rule(lite, usernames="optional")
    on = field(await chrome.page("/signin"))
    assert (on["type"], on["autocomplete"], on["maxlength"]) == ("text", "username webauthn", "320")
    for path in ("/signup", "/recover"):
        assert field(await chrome.page(path))["type"] == "email"


async def test_either_name(lite: The, chrome: Browser) -> None:
    await named(lite)
    await rule(lite, usernames="optional")
    for typed in ("anna", " ANNA ", "anna@example.com"):
        assert led(await chrome.send("/signin", email=typed)) == "/signin/password"
        asked = await chrome.get("/signin/password")
        assert f"<b>{typed.strip()}</b>" in asked.text
        assert field(await chrome.page("/signin"))["value"] == typed.strip()
        wrong = await chrome.send("/signin/password", password=OTHER_PASSWORD)
        assert outcome(wrong) == (403, "signin-password", "proof_refused")
        assert led(await chrome.send("/signin/password", password=PASSWORD)) == "/account"
        await chrome.send("/signout")


async def test_what_is_neither(lite: The, chrome: Browser) -> None:
    """The alert says what the field takes; what was typed stands in it again."""
    for usernames_are, typed in (
        ("off", "anna"),
        ("off", "a"),
        ("optional", "a"),
        ("optional", "an na"),
        ("optional", "a@"),
    ):
        await rule(lite, usernames=usernames_are)
        answer = await chrome.send("/signin", email=typed)
        assert outcome(answer) == (422, "signin", "invalid"), typed
        page = Page(answer.text)
        assert (page.marked, field(page)["value"]) == ({"email"}, typed)
        assert ("username" in answer.text.partition('role="alert"')[2][:400]) is (usernames_are == "optional")
    empty = await chrome.send("/signin", email=" ")
    assert outcome(empty) == (422, "signin", "invalid")


async def test_a_recovery_does_not_begin_with_it(lite: The, chrome: Browser) -> None:
    await named(lite)
    await rule(lite, usernames="optional")
    await chrome.send("/signin", email="anna")
    assert field(await chrome.page("/recover"))["value"] == ""
    refused = await chrome.send("/recover", email="anna")
    assert outcome(refused) == (422, "recover", "invalid")
    await chrome.send("/signin", email="anna@example.com")
    assert field(await chrome.page("/recover"))["value"] == "anna@example.com"


@pytest.mark.parametrize("typed", ["anna", "nobody"])
async def test_a_code_goes_to_an_address_that_is_not_named(lite: The, chrome: Browser, typed: str) -> None:
    folk = await named(lite)
    await rule(lite, usernames="optional", first=["email_code"])
    assert led(await chrome.send("/signin", email=typed)) == "/signin/email-code"
    asked = await chrome.get("/signin/email-code")
    assert f"<b>{typed}</b>" in asked.text
    assert "example.com" not in asked.text
    again = await chrome.send("/signin/email-code/again", at="/signin/email-code")
    assert led(again) == "/signin/email-code?again=1"
    if typed == "anna":
        assert led(await chrome.send("/signin/email-code", code=await folk.code())) == "/account"


async def test_after_a_proof_it_is(lite: The, chrome: Browser) -> None:
    await named(lite)
    await rule(lite, usernames="optional", second="always", second_among=["email_code"])
    await chrome.send("/signin", email="anna")
    assert led(await chrome.send("/signin/password", password=PASSWORD)) == "/signin/email-code"
    assert "<b>a…@example.com</b>" in (await chrome.get("/signin/email-code")).text


async def test_a_passkey_after_it(lite: The, chrome: Browser) -> None:
    """It must be that person's; a passkey of somebody else answers nothing."""
    folk, mine, other = await named(lite), Authenticator(), Authenticator()
    async with folk.ctx.read() as db:
        anna = await people.by_identifier(db, (await folk.tenant()).id, "anna")
    assert anna is not None
    await folk.add_passkey(await folk.session(anna["tenant_id"], anna["id"]), mine)
    await folk.add_passkey(await folk.create("ben@example.com"), other)
    await rule(lite, usernames="optional")
    for device, status in ((other, 403), (mine, 303)):
        await chrome.send("/signin", email="anna")
        assert (await chrome.use(device, "/signin/passkey")).status_code == status


async def test_a_form_of_before_it_was_switched_off(lite: The, chrome: Browser) -> None:
    await named(lite)
    await rule(lite, usernames="optional")
    await chrome.send("/signin", email="anna")
    asked = await chrome.page("/signin/password")
    await rule(lite)
    [form] = [form for form in asked.forms if form.action == "/signin/password"]
    answer = await chrome.http.post(form.action, data={**form.fields, "password": PASSWORD})
    assert outcome(answer) == (401, "error", "handle_invalid")


async def test_ones_own(lite: The, chrome: Browser) -> None:
    """Chosen, changed, refused and removed on the page of the account, with a recent proof."""
    folk = await named(lite)
    await chrome.send("/signin", email="anna@example.com")
    assert led(await chrome.send("/signin/password", password=PASSWORD)) == "/account"
    assert led(await chrome.get("/account/username")) == "/account"
    await rule(lite, usernames="optional")
    [input_] = [one for tag, one in (await chrome.page("/account/username")).tags if one.get("id") == "username"]
    assert (input_["value"], input_["maxlength"]) == ("Anna", "64")
    for bad in ("a", "a b", "admin", "me", "anna@example.com", "01a22ed7-3818-76c0-b6ed-81bd484521ef"):
        refused = await chrome.send("/account/username", username=bad)
        assert outcome(refused) == (422, "account-username", "invalid"), bad
    other = await folk.create("ben@example.com")
    async with folk.ctx.write() as db:
        await people.set_username(folk.ctx, db, *other.key, usernames.given("ben", by_oneself=True))
    assert outcome(await chrome.send("/account/username", username="BEN")) == (409, "account-username", "conflict")
    for _ in range(10):
        assert outcome(await chrome.send("/account/username", username="ben")) == (409, "account-username", "conflict")
    for name, key in (("Änne.K", "änne.k"), ("", "")):
        assert led(await chrome.send("/account/username", username=name)) == "/account?done=username"
        mine = next(row for row in await lite.rows(person) if row["email"] == "anna@example.com")
        assert (mine["username"], mine["username_key"]) == (name, key)
    tries = [outcome(await chrome.send("/account/username", username="ben"))[0] for _ in range(9)]
    assert tries == [409] * 7 + [429] * 2, "of twenty in an hour"
    lite.clock.now += 3000 * SECOND
    asked = await chrome.page("/account/username")
    assert not [one for tag, one in asked.tags if one.get("id") == "username"]
