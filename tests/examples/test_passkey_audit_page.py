"""The page of example 4 in a real browser with virtual authenticators: registering, the profile, the countdown, what it
stores; by keyboard alone; axe in light and dark, wide and narrow.

Not here: what is cancelled or refused (test_passkey_audit_refused), and what the endpoints decide.
"""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import expect

from tests.browser.conftest import chromium
from tests.browser.test_access import OPTIONS, PICTURES
from tests.examples.passkey_page import KEYS, NARROW, PERSON, WIDE, Open, Somebody, browse, passkey_audit

__all__ = ["browse", "chromium", "passkey_audit"]
pytestmark = pytest.mark.browser


# -- in and out ------------------------------------------------------------------------------------


BY_HAND = """for (const name of ["parseCreationOptionsFromJSON", "parseRequestOptionsFromJSON"])
  delete PublicKeyCredential[name];
delete PublicKeyCredential.prototype.toJSON;"""


@pytest.mark.parametrize("script", ["", BY_HAND], ids=["native", "by-hand"])
async def test_in_and_out(browse: Open, script: str) -> None:
    """Registering leads through both ceremonies to the profile, which stays after a reload; out, and in again."""
    jane = await browse(script=script)
    await jane.open()
    await jane.at("register")
    await jane.register()
    await jane.at("profile")
    assert await jane.focused() == "h1"
    for name in ("first_name", "last_name", "job_title"):
        await expect(jane.field(name)).to_have_text(PERSON[name])
    await expect(jane.field("email")).to_have_text(jane.email)
    await expect(jane.field("role")).to_have_text("user")
    assert (await jane.field("date_of_birth").get_attribute("datetime") or "").startswith("1990-01-15")
    await expect(jane.field("date_of_birth")).to_contain_text("15")
    assert await jane.field("created_at").inner_text()
    stored = await jane.stored()
    assert sorted(stored) == KEYS
    user = json.loads(stored["webauthn_user_data"])
    assert sorted(user) == ["email", "first_name", "id", "last_name", "role"]
    assert await jane.field("id").inner_text() == user["id"] == stored["webauthn_user_id"]
    token = await jane.page.evaluate("sessionStorage.getItem('webauthn_jwt')")
    assert token.count(".") == 2
    assert any(user["id"] in line for line in jane.printed)
    assert not any(token in line for line in jane.printed)
    await jane.page.reload()
    await jane.at("profile")
    await expect(jane.field("job_title")).to_have_text(PERSON["job_title"])
    async with jane.page.expect_response("**/auth/api/v1/session") as ending:
        await jane.page.click("#logout")
    assert (await ending.value).status == 204
    await jane.at("login", "logged_out")
    assert await jane.asked_with(token, user["id"]) == 401
    assert await jane.stored() == {}
    assert jane.email not in await jane.page.locator("#profile").text_content()  # type: ignore[operator]
    assert await jane.page.input_value("#login_email") == jane.email
    await jane.press("login")
    await jane.at("profile")
    assert sorted(await jane.stored()) == KEYS
    assert len(await jane.phone.credentials()) == 1


async def test_a_security_key(browse: Open) -> None:
    """Without a platform authenticator the page warns, and goes on."""
    jane = await browse(transport="usb")
    await jane.open()
    await expect(jane.page.locator("#warning")).to_be_visible()
    await jane.register()
    await jane.at("profile")


async def test_no_warning_without_reason(browse: Open) -> None:
    jane = await browse()
    await jane.be_logged_in()
    assert await jane.page.locator("#warning").get_attribute("hidden") is not None


async def test_a_browser_without_passkeys(browse: Open) -> None:
    jane = await browse(script="delete globalThis.PublicKeyCredential")
    await jane.open()
    await expect(jane.page.locator("#warning")).to_be_visible()
    await jane.register()
    await jane.at("register", "unsupported")
    assert not any("begin" in url for url in jane.asked)


async def test_pressed_twice(browse: Open) -> None:
    jane = await browse()
    await jane.open()
    await jane.fill()
    await jane.page.evaluate("document.querySelectorAll('#register .main').forEach((it) => { it.click(); it.click() })")
    await jane.at("profile")
    assert len([url for url in jane.asked if url.endswith("/begin")]) == 2, "one of each ceremony"


async def test_the_classes_of_the_page(browse: Open) -> None:
    """What the page is built of can be used from the console."""
    jane = await browse()
    await jane.open()
    names = await jane.page.evaluate("import('/page/app.js').then(Object.keys)")
    assert sorted(names) == ["AuthAPI", "TokenManager", "WebAuthnClient"]
    there = "import('/page/app.js').then(({WebAuthnClient: one}) => [one.isSupported(), 'login' in one.prototype])"
    assert await jane.page.evaluate(there) == [True, True]


# -- the countdown ---------------------------------------------------------------------------------


async def test_the_countdown(browse: Open) -> None:
    """Red below five minutes, with a word and an announcement; out at zero."""
    jane = await browse()
    await jane.page.clock.install(time=time.time())
    await jane.be_logged_in()
    left, toast = jane.page.locator("#left"), jane.page.locator("#toast-good")
    countdown = jane.page.locator("#countdown")
    before = await left.inner_text()
    await jane.page.clock.run_for(3000)
    assert await left.inner_text() != before
    await jane.page.clock.fast_forward("50:00")
    await expect(toast).to_be_empty()
    await expect(countdown).not_to_have_class("countdown urgent")
    calm = await countdown.evaluate("(it) => getComputedStyle(it).color")
    await jane.page.clock.fast_forward("05:10")
    await expect(countdown).to_have_class("countdown urgent")
    await expect(jane.page.locator(".soon")).to_be_visible()
    assert await countdown.evaluate("(it) => getComputedStyle(it).color") != calm
    await expect(toast).not_to_be_empty()
    assert (await left.inner_text()).startswith("4:")
    await jane.page.clock.run_for(6000)
    await expect(toast).to_be_empty()  # once, for five seconds
    await jane.page.clock.fast_forward("05:00")
    await jane.at("login", "session_ended")
    assert await jane.stored() == {}
    assert await jane.focused() == "main"
    assert await jane.page.input_value("#login_email") == jane.email


async def test_a_reload_after_the_end(browse: Open) -> None:
    jane = await browse()
    await jane.be_logged_in()
    await jane.page.clock.set_fixed_time(time.time() + 3700)
    await jane.page.reload()
    await jane.at("login", "session_ended")
    assert await jane.stored() == {}


async def test_a_token_that_is_refused(browse: Open) -> None:
    jane = await browse()
    await jane.be_logged_in()
    await jane.page.evaluate("sessionStorage.webauthn_jwt += 'x'")
    await jane.page.reload()
    await jane.at("login", "session_refused")
    assert await jane.stored() == {}


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.e30"])
async def test_a_token_that_is_none(browse: Open, token: str) -> None:
    jane = await browse()
    await jane.be_logged_in()
    await jane.page.evaluate("(token) => { sessionStorage.webauthn_jwt = token }", token)
    await jane.page.reload()
    await jane.at("login" if token else "register", "session_ended" if token else "")


async def test_the_profile_when_the_service_is_away(browse: Open) -> None:
    """What is known already stays, and one can try again."""
    jane = await browse()
    await jane.be_logged_in()
    await jane.answers("/users/*", 503)
    await jane.page.reload()
    await jane.at("profile", "unavailable")
    await expect(jane.field("email")).to_have_text(jane.email)
    await jane.page.unroute_all()
    await jane.page.click("#notice-profile button")
    await jane.at("profile")
    await expect(jane.field("job_title")).to_have_text(PERSON["job_title"])


# -- for everybody ---------------------------------------------------------------------------------


async def test_by_keyboard_alone(browse: Open) -> None:
    jane = await browse()
    await jane.open()
    await jane.tab_to("#tab-register")
    for key, name in (("ArrowRight", "login"), ("ArrowRight", "register"), ("End", "login"), ("Home", "register")):
        await jane.page.keyboard.press(key)
        await jane.at(name)
        assert await jane.focused() == f"tab-{name}"
        await expect(jane.page.locator("[role=tab][aria-selected=true]")).to_have_count(1)
        await expect(jane.page.locator("[role=tabpanel]")).to_have_count(2)
    for name, text in (("first_name", "Jane"), ("last_name", "Doe"), ("email", jane.email)):
        await jane.tab_to(f"#{name}")
        await jane.page.keyboard.type(text)
    await jane.tab_to("#date_of_birth")
    await jane.page.keyboard.type("01151990")
    await jane.tab_to("#job_title")
    await jane.page.keyboard.type("Engineer")
    await jane.page.keyboard.press("Enter")
    await jane.at("profile")
    assert (await jane.field("date_of_birth").get_attribute("datetime") or "").startswith("1990-01-15")
    await jane.tab_to("#copy")
    await jane.tab_to("#logout")
    await jane.page.keyboard.press("Enter")
    await jane.at("login", "logged_out")
    await jane.page.keyboard.press("Enter")
    await jane.at("profile")


async def test_the_id_can_be_copied(browse: Open) -> None:
    jane = await browse(permissions=["clipboard-read", "clipboard-write"])
    await jane.be_logged_in()
    await jane.page.click("#copy")
    assert await jane.page.evaluate("navigator.clipboard.readText()") == await jane.field("id").inner_text()


async def test_without_scripts(browse: Open) -> None:
    jane = await browse(java_script_enabled=False)
    await jane.open()
    await expect(jane.page.locator("noscript p")).to_be_visible()
    await expect(jane.page.locator("form")).to_have_count(2)
    assert not await jane.page.locator(".scripted").is_visible()
    if PICTURES:
        await jane.page.screenshot(path=Path(PICTURES) / "passkey-no-scripts.png", full_page=True)


async def no_violation(jane: Somebody, state: str) -> None:
    """In light and dark, wide and at 360 pixels, where nothing overflows sideways."""
    await jane.page.evaluate(AXE_SCRIPT)
    for size, colours in itertools.product((WIDE, NARROW), ("light", "dark")):
        await jane.page.set_viewport_size(size)  # type: ignore[arg-type]
        await jane.page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
        seen = f"passkey-{state}-{size['width']}-{colours}"
        if PICTURES:
            await jane.page.screenshot(path=Path(PICTURES) / f"{seen}.png", full_page=True)
        violations = await jane.page.evaluate("async (options) => (await axe.run(options)).violations", OPTIONS)
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == [], seen
        assert await jane.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, seen


async def test_axe_finds_nothing_where_one_registers_and_logs_in(browse: Open) -> None:
    jane = await browse(transport="usb")
    await jane.open()
    await no_violation(jane, "register")
    await jane.press("register")
    await no_violation(jane, "register-invalid")
    await jane.phone.present(is_there=False)
    await jane.register()
    await expect(jane.page.locator("#overlay")).to_be_visible()
    await no_violation(jane, "overlay")
    await jane.page.click("#cancel")
    await jane.at("register", "cancelled")
    await no_violation(jane, "register-cancelled")
    await jane.answers("/register/begin", 400)
    await jane.press("register")
    await jane.at("register", "registration_refused")
    await no_violation(jane, "register-refused")
    await jane.page.unroute_all()
    await jane.phone.present(is_there=True)
    await jane.answers("/login/begin", 429, **{"retry-after": "420"})
    await jane.press("register")
    await jane.at("login", "registered")
    await no_violation(jane, "login-registered")
    await jane.press("login")
    await jane.at("login", "throttled")
    await no_violation(jane, "login-throttled")


async def test_axe_finds_nothing_on_the_profile(browse: Open) -> None:
    jane = await browse()
    await jane.page.clock.install(time=time.time())
    await jane.be_logged_in()
    await no_violation(jane, "profile")
    await jane.page.clock.fast_forward("55:30")
    await no_violation(jane, "profile-urgent")
    await jane.answers("/users/*", 503)
    await jane.page.reload()
    await jane.at("profile", "unavailable")
    await no_violation(jane, "profile-unavailable")
    await jane.page.clock.fast_forward("05:00")
    await jane.at("login", "session_ended")
    await no_violation(jane, "login-session-ended")
