"""A person's stories on the hosted pages in a real Chromium, with and without scripts: sign-up, sign-in, sign-out,
refusals, recovery, a new address, deletion.

Not here: every refusal, and the resulting rows, which are in tests/web.
"""

from __future__ import annotations

import asyncio

from tests.browser.device import with_app
from tests.browser.person import BrowserSite
from tests.kit import OTHER_PASSWORD, PASSWORD


async def test_up_out_and_in(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    assert await anna.open("/account") == "signin"
    assert await anna.press('a[href^="/signup"]') == "signup"
    assert await anna.send("/signup", email=anna.email, password=PASSWORD) == "signin-email-code"
    wrong = await anna.send("/signin/email-code", code="1234 5678")
    assert wrong == "signin-email-code:proof_refused"
    assert await anna.page.input_value("input[name=code]") == "1234 5678", "what was typed is kept"
    code = await anna.code()
    assert await anna.send("/signin/email-code", code=f" {code[:4]} {code[4:]} ") == "account"
    assert anna.path == "/account"
    assert await anna.press('a[href="/signout"]') == "signout"
    assert await anna.send("/signout") == "signout"
    assert await anna.open("/account/sessions") == "signin"
    assert await anna.send("/signin", email=anna.email.upper()) == "signin-password"
    assert await anna.send("/signin/password", password=PASSWORD) == "account-sessions", "where one wanted to go"


async def test_back_shows_nothing_after_the_way_out(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.be_signed_in()
    assert await anna.open("/account") == "account"
    assert await anna.press('a[href="/signout"]') == "signout"
    await anna.send("/signout")
    await anna.page.go_back()
    while anna.page.url != "about:blank":
        assert await anna.where() in ("signout", "signin"), "a page of somebody who left"
        await anna.page.go_back()


async def test_a_wrong_password(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.exist()
    assert await anna.sign_in(OTHER_PASSWORD) == "signin-password:proof_refused"
    alert = anna.page.locator("[role=alert]")
    assert await alert.is_visible()
    assert await alert.inner_text()
    assert (await anna.focused())["code"] == "proof_refused", "focus on the message"
    field = anna.page.locator("input[name=password]")
    assert (await field.get_attribute("aria-invalid"), await field.input_value()) == ("true", "")
    assert await anna.send("/signin/password", password=PASSWORD) == "account"


async def test_too_many_tries(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.exist()
    for _ in range(10):  # ten cost no wait; the API uses them up
        handle = (await anna.face.start(anna.email)).json()["handle"]
        await anna.face.prove(handle, "password", OTHER_PASSWORD)
    where = await anna.sign_in(OTHER_PASSWORD)
    while where == "signin-password:proof_refused":  # slow machine: that wait is over; the next is longer
        where = await anna.send("/signin/password", password=OTHER_PASSWORD)
    assert where == "signin-password:throttled"
    assert anna.answer
    assert anna.answer.status == 429
    seconds = int(await anna.answer.header_value("retry-after") or 0)
    assert 1 <= seconds <= 8
    assert str(seconds) in await anna.page.locator("[role=alert]").inner_text()
    await asyncio.sleep(seconds)
    assert await anna.send("/signin/password", password=PASSWORD) == "account"


async def test_a_forgotten_password_ends_all_other_sessions(site: BrowserSite, js: bool) -> None:
    anna, thief = await site.person(js=js), await site.person(js=js)
    await thief.be_signed_in()
    anna.email = thief.email
    assert await thief.open("/account/sessions") == "account-sessions"
    await anna.open("/signin")
    await anna.send("/signin", email=anna.email)
    assert await anna.press('a[href="/recover"]') == "recover"
    assert await anna.page.input_value("input[name=email]") == anna.email, "typed once"
    assert await anna.send("/recover") == "signin-email-code"
    assert await anna.send("/signin/email-code", code=await anna.code()) == "new-password"
    assert await anna.send("/signin/password", new_password="password" * 3) == "new-password:password_refused"
    assert await anna.send("/signin/password", new_password=OTHER_PASSWORD) == "account"
    assert await thief.press('nav a[href="/account/activity"]') == "signin", "dead at the next click"
    assert await thief.sign_in(PASSWORD) == "signin-password:proof_refused"
    assert await anna.press('nav a[href="/account/sessions"]') == "account-sessions"
    assert await anna.page.locator(".rows > li").count() == 1


async def test_one_browser_ends_the_other(site: BrowserSite, js: bool) -> None:
    here, there = await site.person(js=js), await site.person(js=js)
    await here.exist()
    there.email = here.email
    assert await here.sign_in() == "account"
    for form in ('[action^="/account/sessions/"]', '[action="/account/sessions"]'):  # that one, then all others
        assert await there.sign_in() == "account"
        await here.open("/account/sessions")
        # The list is newest first, so the first session that can be ended is the other browser's.
        assert await here.press(f"form{form} button") == "account-sessions"
        assert await there.press('nav a[href="/account/password"]') == "signin", "dead at the next click"
        assert await here.page.locator("[role=status]").is_visible()
    assert await here.page.locator(".rows > li").count() == 1


async def test_another_address_and_the_way_back(site: BrowserSite, js: bool) -> None:
    anna, owner = await site.person(js=js), await site.person(js=js)
    await anna.be_signed_in()
    old, new = anna.email, f"new-{anna.email}"
    await anna.open("/account")
    assert await anna.press('a[href="/account/address"]') == "account-address"
    assert await anna.send("/account/address", email=new) == "account-address-code"
    wrong = await anna.send("/account/address/code", code="00000000")
    assert wrong == "account-address-code:proof_refused"
    assert await anna.send("/account/address/code", code=await anna.code(new)) == "account"
    result = {to: (await anna.face.mails_of(to, "address_changed"))[0] for to in (old, new)}
    assert result[new]["link"] is None
    await owner.page.goto(result[old]["link"])
    assert (await owner.where(), owner.path) == ("account-undo", "/account/undo"), "no secret stays in sight"
    assert await owner.send("/account/undo") == "signin-email-code"
    assert await anna.open("/account") == "account", "the link alone undoes nothing"
    assert await owner.send("/signin/email-code", code=await owner.code(old)) == "new-password"
    assert await anna.open("/account") == "signin", "whoever moved it is out"
    assert await owner.send("/signin/password", new_password=OTHER_PASSWORD) == "account"
    await owner.page.goto(result[old]["link"])
    assert await owner.where() == "account-undo:handle_invalid", "a link works once"


async def test_what_a_thief_added_is_undone(site: BrowserSite, js: bool) -> None:
    """A thief of the password adds an app, changes the password and is thrown out by the first of the mails."""
    owner, thief = await site.person(js=js), await site.person(js=js)
    thief.email = owner.email
    await owner.exist()
    assert await thief.sign_in() == "account"
    await with_app(thief)
    await thief.open("/account/password")
    assert await thief.send("/account/password", new_password=OTHER_PASSWORD) == "account-password"
    mail = (await owner.face.mails_of(owner.email, "factor_added"))[0]
    await owner.page.goto(mail["link"])
    assert await owner.where() == "account-undo"
    assert await owner.page.locator("[data-changes] li").count() == 2
    assert await owner.send("/account/undo") == "signin-email-code"
    assert await owner.send("/signin/email-code", code=await owner.code()) == "new-password"
    assert await owner.send("/signin/password", new_password=f"{PASSWORD} again") == "account"
    assert await thief.open("/account") == "signin"
    assert await thief.sign_in(OTHER_PASSWORD) == "signin-password:proof_refused"


async def test_data_taken_along_and_leaving(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.be_signed_in()
    await anna.open("/account/export")
    async with anna.page.expect_download() as taking:
        await anna.page.click('form[action="/account/export"] button')
    assert (await taking.value).suggested_filename == "my-data.json"
    assert await anna.press('a[href="/account/delete"]') == "account-delete"
    assert await anna.send("/account/delete") == "signout"
    assert await anna.sign_in() == "signin-password:proof_refused"


AWAY = (
    "//evil.example",
    "/\\evil.example",
    "https://evil.example/account",
    "javascript:alert(1)",
    "/account//evil.example",
    "/%09/evil.example",
)


async def test_nobody_is_led_away(site: BrowserSite, js: bool) -> None:
    """The whole list is in tests/web; these are the targets that browsers are known to interpret differently. When the
    browsers are closed, `BrowserSite.leave` asserts that no request went to another origin."""
    anna = await site.person(js=js)
    await anna.exist()
    for wanted in AWAY:
        spelt = wanted.replace("%", "%25").replace("\\", "%5C").replace("/", "%2F")
        assert await anna.sign_in(path=f"/login?return_to={spelt}") == "account", wanted
        assert anna.path == "/account"
