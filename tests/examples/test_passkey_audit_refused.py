"""What the page of example 4 says when a ceremony is cancelled, or the program refuses something.

Not here: what the endpoints decide.
"""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import chromium
from tests.examples.passkey_page import PERSON, Open, browse, passkey_audit

__all__ = ["browse", "chromium", "passkey_audit"]
pytestmark = pytest.mark.browser


# -- cancelled -------------------------------------------------------------------------------------


async def test_not_unlocked(browse: Open) -> None:
    jane = await browse()
    await jane.phone.verify(does=False)
    await jane.open()
    await jane.register()
    await jane.at("register", "cancelled")
    assert await jane.stored() == {}
    assert await jane.focused() == "main"
    await jane.phone.verify(does=True)
    await jane.press("register")
    await jane.at("profile")


@pytest.mark.parametrize("by", ["button", "Escape"])
async def test_cancelled(browse: Open, by: str) -> None:
    """The overlay says what is waited for, has the focus, and can be closed."""
    jane = await browse()
    await jane.be_logged_in()
    await jane.page.click("#logout")
    await jane.phone.present(is_there=False)
    await jane.press("login")
    overlay = jane.page.locator("#overlay")
    await expect(overlay.locator("[role=status]")).to_be_visible()
    assert await jane.focused() == "cancel"
    await jane.page.click("#cancel") if by == "button" else await jane.page.keyboard.press(by)
    await jane.at("login", "cancelled")
    await expect(overlay).to_be_hidden()
    assert await jane.focused() == "main"
    await jane.phone.present(is_there=True)
    await jane.press("login")
    await jane.at("profile")


async def test_the_second_ceremony_cancelled(browse: Open) -> None:
    """The account is there: the page leads to its login."""
    jane = await browse()

    async def lock(route: Route) -> None:
        await jane.phone.verify(does=False)
        await route.continue_()

    await jane.page.route("**/login/begin", lock)
    await jane.open()
    await jane.register()
    await jane.at("login", "registered")
    assert await jane.page.input_value("#login_email") == jane.email
    assert await jane.page.input_value("#first_name") == "", "the form starts anew"
    assert await jane.stored() == {}
    await jane.page.unroute_all()
    await jane.phone.verify(does=True)
    await jane.press("login")
    await jane.at("profile")


# -- refused ---------------------------------------------------------------------------------------


async def test_an_address_that_is_taken(browse: Open) -> None:
    jane, other = await browse(), await browse()
    await jane.be_logged_in()
    await other.open()
    await other.register(email=jane.email)
    await other.at("register", "registration_refused")
    assert await other.page.input_value("#first_name") == PERSON["first_name"], "what was typed stays"
    await other.page.click("#notice-register button")
    await other.at("login")
    assert await other.page.input_value("#login_email") == jane.email


async def test_a_passkey_of_somebody_else(browse: Open) -> None:
    jane = await browse()
    await jane.be_logged_in()
    await jane.page.click("#logout")
    await jane.log_in(f"not-{jane.email}")
    await jane.at("login", "login_refused")
    assert await jane.stored() == {}


async def test_what_is_missing(browse: Open) -> None:
    """Said at each field, the first with the focus, before anything is sent; gone once one types."""
    jane = await browse()
    await jane.open()
    await jane.register(first_name=" ", job_title="", date_of_birth="2999-01-01")
    await jane.at("register")
    wrong = jane.page.locator("[aria-invalid=true]")
    assert [await one.get_attribute("name") for one in await wrong.all()] == [
        *("first_name", "date_of_birth", "job_title"),
    ]
    assert await jane.focused() == "first_name"
    for one in await wrong.all():
        await expect(jane.page.locator(f"#{await one.get_attribute('aria-describedby')}")).not_to_be_empty()
    assert not any("begin" in url for url in jane.asked)
    await jane.page.keyboard.type("Jane")
    await expect(wrong).to_have_count(2)


async def test_a_field_that_the_program_refuses(browse: Open) -> None:
    jane = await browse()
    await jane.open()
    await jane.register(email="jane..doe@example.com")
    await jane.at("register", "invalid")
    await expect(jane.page.locator("#email")).to_have_attribute("aria-invalid", "true")
    await expect(jane.page.locator("#wrong-email")).not_to_be_empty()
    assert await jane.focused() == "email"
    await jane.register()
    await jane.at("profile")


@pytest.mark.parametrize(
    ("status", "code", "headers"),
    [
        (429, "throttled", {"retry-after": "420"}),
        (429, "throttled", {}),
        (503, "unavailable", {"retry-after": "7"}),
        (500, "fault", {}),
        (422, "fault", {}),
        (401, "login_refused", {}),
    ],
)
async def test_what_else_the_program_refuses(browse: Open, status: int, code: str, headers: dict[str, str]) -> None:
    """Said beside the form, and for a while as a toast. The button is described by it."""
    jane = await browse()
    await jane.page.clock.install(time=time.time())
    await jane.open()
    await jane.page.click("#tab-login")
    await jane.answers("/login/begin", status, **headers)
    await jane.log_in()
    await jane.at("login", code)
    text = await jane.page.locator("#notice-login").inner_text()
    if headers:
        assert {"420": "7 ", "7": "7 "}[headers["retry-after"]] in text
    await expect(jane.page.locator("#toast-bad")).to_have_text(text)
    assert await jane.page.get_attribute("#login button.main", "aria-describedby") == "notice-login"
    await jane.page.clock.run_for(6000)
    await expect(jane.page.locator("#toast-bad")).to_be_empty()
    await jane.at("login", code)
    jane.complaints.clear()  # a fault is printed


async def test_no_line(browse: Open) -> None:
    jane = await browse()
    await jane.open()
    await jane.page.route("**/register/begin", lambda route: route.abort())
    await jane.register()
    await jane.at("register", "offline")
    await jane.page.unroute_all()
    await jane.press("register")
    await jane.at("profile")


async def test_text_is_only_text(browse: Open) -> None:
    jane = await browse()
    await jane.open()
    await jane.register(first_name="<img src=x onerror=alert(1)>", last_name='"><b>')
    await jane.at("profile")
    await expect(jane.field("first_name")).to_have_text("<img src=x onerror=alert(1)>")
    await expect(jane.field("last_name")).to_have_text('"><b>')
