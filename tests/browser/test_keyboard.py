"""Stories by keyboard alone: Tab and Enter are enough, the focus is always visible, and a field that should be focused
from the start is.

Not here: what axe finds on the pages, which is in test_access.
"""

from __future__ import annotations

from tests.browser.device import App, Pocket
from tests.browser.person import BrowserSite, Person
from tests.kit import OTHER_PASSWORD, PASSWORD


async def tab_to(anna: Person, **wanted: str) -> None:
    """Press Tab until the element has the focus. Every element on the way must show a focus ring."""
    for _ in range(25):
        await anna.page.keyboard.press("Tab")
        focused = await anna.focused()
        if focused["tag"] == "body":  # the focus wraps around at the end of the page
            continue
        assert focused["ring"], focused
        if all(focused[name] == value for name, value in wanted.items()):
            return
    raise AssertionError(f"no way to {wanted} by Tab")


async def typed(anna: Person, field: str, text: str) -> None:
    """Type into the field, which must have the focus already."""
    assert (await anna.focused())["name"] == field
    await anna.page.keyboard.type(text)


async def test_by_keyboard_alone(site: BrowserSite, js: bool) -> None:
    """Sign up, sign out, sign in after a wrong password, change the name, and end another session."""
    anna, other = await site.person(js=js), await site.person(js=js)
    other.email = anna.email
    await anna.open("/signin")
    await tab_to(anna, href="/signup")
    assert await anna.enter() == "signup"
    await typed(anna, "email", anna.email)
    await tab_to(anna, name="password")
    await typed(anna, "password", "password" * 3)
    assert await anna.enter() == "signup:password_refused"
    assert (await anna.focused())["code"] == "password_refused"
    await tab_to(anna, name="email")
    await tab_to(anna, name="password")
    await anna.page.keyboard.type(PASSWORD)
    assert await anna.enter() == "signin-email-code"
    await typed(anna, "code", await anna.face.code(anna.email))
    assert await anna.enter() == "account"
    await tab_to(anna, href="/signout")
    assert await anna.enter() == "signout"
    await tab_to(anna, tag="button")
    assert await anna.enter() == "signout"
    await tab_to(anna, href="/signin")
    assert await anna.enter() == "signin"
    await typed(anna, "email", anna.email)
    assert await anna.enter() == "signin-password"
    await typed(anna, "password", OTHER_PASSWORD)
    assert await anna.enter() == "signin-password:proof_refused"
    await tab_to(anna, name="password")
    await anna.page.keyboard.type(PASSWORD)
    assert await anna.enter() == "account"
    await tab_to(anna, name="name")
    await anna.page.keyboard.type("Anna")
    await tab_to(anna, tag="button")
    assert await anna.enter() == "account"
    await other.sign_in()
    await tab_to(anna, href="/account/sessions")
    assert await anna.enter() == "account-sessions"
    await tab_to(anna, action="/account/sessions")
    assert await anna.enter() == "account-sessions"
    assert await other.open("/account") == "signin"


async def test_recovery_a_new_address_and_leaving_by_keyboard_alone(site: BrowserSite, js: bool) -> None:
    """Recover a forgotten password, change the address, export the data, and delete the account."""
    anna = await site.person(js=js)
    await anna.exist()
    await anna.open("/signin")
    await typed(anna, "email", anna.email)
    assert await anna.enter() == "signin-password"
    await tab_to(anna, href="/recover")
    assert await anna.enter() == "recover"
    await tab_to(anna, tag="button")
    assert await anna.enter() == "signin-email-code"
    await tab_to(anna, name="code")
    await anna.page.keyboard.type(await anna.code())
    assert await anna.enter() == "new-password"
    await tab_to(anna, name="new_password")
    await anna.page.keyboard.type(OTHER_PASSWORD)
    assert await anna.enter() == "account"
    await tab_to(anna, href="/account/address")
    assert await anna.enter() == "account-address"
    await tab_to(anna, name="email")
    new = f"new-{anna.email}"
    await anna.page.keyboard.type(new)
    assert await anna.enter() == "account-address-code"
    await typed(anna, "code", await anna.code(new))
    assert await anna.enter() == "account"
    await tab_to(anna, href="/account/export")
    assert await anna.enter() == "account-export"
    await tab_to(anna, action="/account/export")
    async with anna.page.expect_download():
        await anna.page.keyboard.press("Enter")
    await tab_to(anna, href="/account/delete")
    assert await anna.enter() == "account-delete"
    await tab_to(anna, action="/account/delete")
    assert await anna.enter() == "signout"


async def test_the_way_back_to_an_address_by_keyboard_alone(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.be_signed_in()
    old, new = anna.email, f"new-{anna.email}"
    await anna.open("/account/address")
    await anna.send("/account/address", email=new)
    await anna.send("/account/address/code", code=await anna.code(new))
    await anna.page.goto((await anna.face.mails_of(old, "address_changed"))[0]["link"])
    await tab_to(anna, action="/account/undo")
    assert await anna.enter() == "signin-email-code"
    await typed(anna, "code", await anna.code(old))
    assert await anna.enter() == "new-password"


async def test_showing_a_password_by_keyboard(site: BrowserSite) -> None:
    """The script's only addition: a button after the field that shows the password. Sending the form hides it again."""
    anna = await site.person()
    await anna.exist()
    await anna.open("/signin")
    await anna.send("/signin", email=anna.email)
    await typed(anna, "password", PASSWORD)
    await anna.page.keyboard.press("Tab")
    assert (await anna.focused())["kind"] == "button"
    await anna.page.keyboard.press("Enter")
    assert await anna.focused() | {"ring": ""} == await anna.focused() | {
        "ring": "",
        "name": "password",
        "kind": "text",
    }
    assert await anna.enter() == "account"


async def test_a_second_step_by_keyboard_alone(site: BrowserSite, js: bool) -> None:
    """Set up an app, make recovery codes, sign in with one of them, and remove the app."""
    anna = await site.person(js=js)
    await anna.be_signed_in()
    await anna.open("/account")
    await tab_to(anna, href="/account/factors")
    assert await anna.enter() == "account-factors"
    await tab_to(anna, href="/account/totp")
    assert await anna.enter() == "account-totp"
    await tab_to(anna, action="/account/totp/offer")
    assert await anna.enter() == "account-totp"
    app = await App.scan(anna.page.locator("[role=img]"))
    await typed(anna, "code", app.code())
    assert await anna.enter() == "account-recovery-codes"
    await tab_to(anna, action="/account/recovery-codes")
    assert await anna.enter() == "account-recovery-codes"
    [saved, *_] = await anna.page.locator(".codes code").all_inner_texts()
    await tab_to(anna, href="/signout")
    assert await anna.enter() == "signout"
    await tab_to(anna, tag="button")
    assert await anna.enter() == "signout"
    await anna.open("/signin")
    await typed(anna, "email", anna.email)
    assert await anna.enter() == "signin-password"
    await typed(anna, "password", PASSWORD)
    assert await anna.enter() == "signin-totp"
    await tab_to(anna, href="/signin/recovery-code")
    assert await anna.enter() == "signin-recovery-code"
    await typed(anna, "code", saved)
    await tab_to(anna, name="remember")
    await anna.page.keyboard.press("Space")
    assert await anna.enter() == "account"
    await anna.open("/account/factors")
    await tab_to(anna, href="/account/totp/remove")
    assert await anna.enter() == "account-totp-remove"
    await tab_to(anna, action="/account/totp/remove")
    assert await anna.enter() == "account-factors"


async def test_passkeys_by_keyboard_alone(site: BrowserSite) -> None:
    anna = await site.person()
    await anna.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    await Pocket(anna.page).device()
    await anna.open("/signup")
    await typed(anna, "email", anna.email)
    await tab_to(anna, name="decision")
    assert await anna.enter() == "signin-email-code"
    await typed(anna, "code", await anna.face.code(anna.email))
    assert await anna.enter() == "signin-passkey"
    await tab_to(anna, action="/signin/passkey")
    assert await anna.enter() == "account-recovery-codes"
    await tab_to(anna, href="/account/factors")
    assert await anna.enter() == "account-factors"
    await anna.open("/signout")
    await tab_to(anna, tag="button")
    assert await anna.enter() == "signout"
    await anna.open("/signin")
    await anna.page.keyboard.press("Shift+Tab")
    assert (await anna.focused())["action"] == "/signin/passkey"
    assert await anna.enter() == "account"
