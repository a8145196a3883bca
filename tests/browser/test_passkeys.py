"""Passkeys in a real Chromium with virtual authenticators: sign-up, sign-in by autofill and by button, a second device,
and what is refused to a copied, locked or lying device.

Not here: every invalid answer (tests/ground), and the pages without a script (tests/web).
"""

from __future__ import annotations

import asyncio

from tests.browser.device import Device, Pocket
from tests.browser.person import BrowserSite, Person
from tests.kit import PASSWORD

BUTTON = "form[data-passkey] button"
NO_AUTOFILL = "PublicKeyCredential.isConditionalMediationAvailable = async () => false"
OLD = """delete PublicKeyCredential.parseCreationOptionsFromJSON
delete PublicKeyCredential.parseRequestOptionsFromJSON
delete PublicKeyCredential.prototype.toJSON"""


async def up(site: BrowserSite, *scripts: str, synced: bool = True) -> tuple[Person, Pocket, Device]:
    """A person who signed up with a passkey alone, with their pocket and the device that holds the passkey."""
    anna = await site.person()
    for script in scripts:
        await anna.page.add_init_script(script)
    pocket = Pocket(anna.page)
    phone = await pocket.device(synced=synced)
    await anna.open("/signup")
    await anna.page.fill("input[name=email]", anna.email)
    assert await anna.press("button[name=decision]") == "signin-email-code"
    assert await anna.send("/signin/email-code", code=await anna.code()) == "signin-passkey"
    assert await anna.press(BUTTON) == "account-recovery-codes"
    assert len(await phone.credentials()) == 1
    return anna, pocket, phone


async def out(anna: Person) -> None:
    await anna.open("/signout")
    assert await anna.send("/signout") == "signout"


async def refused(anna: Person, where: str) -> None:
    """Press the button. The browser itself refuses, and the page stays and displays an alert."""
    await anna.page.click(BUTTON)
    await anna.page.locator("[role=alert]").wait_for()
    assert await anna.where() == where
    assert (await anna.focused())["code"] == where.partition(":")[2], "focus on the message"
    assert await anna.page.locator(BUTTON).is_enabled(), "and one can try again"


async def test_up_and_in_by_autofill(site: BrowserSite) -> None:
    """The address field offers passkeys. If a device has one and its user is present, nothing has to be typed."""
    anna, _, _ = await up(site)
    await out(anna)
    async with anna.page.expect_navigation(url="**/account"):
        await anna.page.goto(f"{anna.origin}/signin")
    assert await anna.where() == "account"
    assert await anna.open("/account/sessions") == "account-sessions"


async def test_in_by_the_button(site: BrowserSite) -> None:
    anna, _, _ = await up(site, NO_AUTOFILL)
    await out(anna)
    assert await anna.open("/account/sessions") == "signin"
    first = anna.page.locator("main button:visible").first
    assert await first.get_attribute("class") is None, "the primary one"
    assert await anna.page.locator('form[action^="/signin?"] button').get_attribute("class") == "quiet"
    assert await anna.press(BUTTON) == "account-sessions", "where one wanted to go"


NOTICE = """
const get = navigator.credentials.get.bind(navigator.credentials);
navigator.credentials.get = (options) => { const asked = get(options); window.isAsked = true; return asked; };
"""


async def test_the_button_while_autofill_waits(site: BrowserSite) -> None:
    """The button cancels the pending autofill request, because a browser allows one request at a time."""
    anna, _, phone = await up(site)
    await out(anna)
    await phone.present(is_there=False)
    await anna.page.add_init_script(NOTICE)
    assert await anna.open("/signin") == "signin"
    while not await anna.page.evaluate("window.isAsked === true"):  # noqa: ASYNC110  the page calls nobody
        await asyncio.sleep(0.02)
    await phone.present(is_there=True)  # answers only later requests, not the pending one
    assert await anna.press(BUTTON) == "account"


async def test_an_address_typed_while_autofill_waits(site: BrowserSite) -> None:
    anna, _, phone = await up(site)
    await anna.open("/account/password")
    await anna.send("/account/password", new_password=PASSWORD)
    await out(anna)
    await phone.present(is_there=False)
    assert await anna.open("/signin") == "signin"
    assert await anna.send("/signin", email=anna.email) == "signin-password"
    await phone.present(is_there=True)
    assert await anna.press(BUTTON) == "account"


async def test_a_browser_that_spells_nothing_itself(site: BrowserSite) -> None:
    """Where the browser lacks WebAuthn's three JSON functions, our script replaces them."""
    anna, _, _ = await up(site, NO_AUTOFILL, OLD)
    await out(anna)
    await anna.open("/signin")
    assert await anna.press(BUTTON) == "account"


async def test_a_browser_without_passkeys(site: BrowserSite) -> None:
    """Nothing about passkeys is displayed, and the form for the address has the primary button."""
    anna = await site.person()
    await anna.page.add_init_script("delete window.PublicKeyCredential")
    await anna.exist()
    await anna.open("/signin")
    assert await anna.page.locator(BUTTON).is_hidden()
    assert await anna.page.locator('form[action="/signin"] button').get_attribute("class") != "quiet"
    assert await anna.send("/signin", email=anna.email) == "signin-password"
    assert await anna.page.locator(BUTTON).is_hidden()
    assert await anna.open("/signin/passkey") == "signin-passkey"
    assert await anna.page.locator("[data-unable]").is_visible()


async def test_without_a_script_the_page_explains(site: BrowserSite) -> None:
    anna = await site.person(js=False)
    await anna.exist()
    await anna.open("/signin")
    assert await anna.page.locator(BUTTON).is_hidden()
    await anna.send("/signin", email=anna.email)
    assert await anna.open("/signin/passkey") == "signin-passkey"
    assert await anna.page.locator("noscript p").is_visible()
    assert await anna.press('.ways a[href="/signin/password"]') == "signin-password"


async def test_a_second_device_and_the_first_one_gone(site: BrowserSite) -> None:
    anna, pocket, phone = await up(site, NO_AUTOFILL)
    await anna.open("/account/factors")
    assert await anna.press('a[href="/account/passkeys/new"]') == "account-passkey-new"
    await refused(anna, "account-passkey-new:passkey_known")
    assert len(await phone.credentials()) == 1
    await phone.present(is_there=False)
    key = await pocket.device(synced=False, transport="usb")
    assert await anna.press(BUTTON) == "account-factors"
    assert len(await key.credentials()) == 1
    rows = anna.page.locator(".rows > li", has=anna.page.locator('a[href*="/passkeys/"]'))
    assert await rows.count() == 2
    assert await anna.press('a[href^="/account/passkeys/"]:not([href$=new]):not([href$=remove])') == "account-passkey"
    assert await anna.send("/account/passkeys/", label="My <key>") == "account-factors"
    assert await rows.nth(0).locator("b").inner_text() == "My <key>"
    await rows.nth(1).locator('a[href$="/remove"]').click()
    await anna.page.wait_for_url("**/remove")
    assert await anna.send("/account/passkeys/") == "account-factors"
    assert await rows.count() == 1
    assert await anna.press('a[href$="/remove"]') == "account-passkey-remove"
    assert await anna.send("/account/passkeys/") == "account-passkey-remove:conflict", "the last way in stays"
    await phone.leave()
    await out(anna)
    await anna.open("/signin")
    assert await anna.press(BUTTON) == "account", "with the key"


async def test_a_device_that_is_not_unlocked(site: BrowserSite) -> None:
    anna, _, phone = await up(site, NO_AUTOFILL)
    await out(anna)
    await phone.verify(does=False)
    await anna.open("/signin")
    await refused(anna, "signin:passkey_unused")
    await phone.verify(does=True)
    assert await anna.press(BUTTON) == "account"


async def test_a_passkey_whose_self_description_changes(site: BrowserSite) -> None:
    """Whether a passkey may be backed up never changes (WebAuthn §6.1.3), so a changed claim is refused."""
    anna, _, phone = await up(site, NO_AUTOFILL)
    await out(anna)
    await phone.claim(backupEligibility=False, backupState=False)
    await anna.open("/signin")
    assert await anna.press(BUTTON) == "signin-passkey:proof_refused"
    await phone.claim(backupEligibility=True, backupState=True)
    assert await anna.press(BUTTON) == "account"


async def test_a_copied_passkey(site: BrowserSite) -> None:
    anna, _, phone = await up(site, NO_AUTOFILL, synced=False)
    await out(anna)
    await anna.open("/signin")
    assert await anna.press(BUTTON) == "account"
    await out(anna)
    await phone.copied(1)
    await anna.open("/signin")
    assert await anna.press(BUTTON) == "signin-passkey:proof_refused"
    assert await anna.face.mails_of(anna.email, "passkey_counter")
