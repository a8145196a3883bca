"""Somebody at the page of example 4, in a real browser with a virtual authenticator; and the program they are at.

Not here: tests.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, Route, expect

from tests.browser.device import Device, Pocket
from tests.examples.programs import Served, copy_of, running

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
WITHIN = 10_000
KEYS = ["webauthn_jwt", "webauthn_user_data", "webauthn_user_id"]
PERSON = {"first_name": "Jané", "last_name": "Doe", "date_of_birth": "1990-01-15", "job_title": "Software Engineer"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
async def passkey_audit(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of the program."""
    folder = copy_of(4, tmp_path_factory.mktemp("page") / "4")
    server = Served(4, folder / ".passgate", folder=folder)
    async with running(server):
        yield server.url


@dataclass
class Somebody:
    """One browser with one page and one device."""

    page: Page
    phone: Device
    origin: str
    email: str = field(default_factory=lambda: f"jane{next(_numbers)}-{time.time_ns()}@example.com")
    asked: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self) -> None:
        await self.page.goto(self.origin + "/")

    async def at(self, name: str, code: str = "") -> None:
        """Wait until the page shows this: register, login or profile; and the code of the notice there."""
        await expect(self.page.locator("main")).to_have_attribute("data-page", name)
        notice = self.page.locator(f"#notice-{name}")
        await expect(notice).to_have_attribute("data-code", code) if code else await expect(notice).to_be_hidden()

    async def fill(self, **given: str) -> None:
        for name, text in {**PERSON, "email": self.email, **given}.items():
            await self.page.fill(f"#register [name={name}]", text)

    async def press(self, place: str) -> None:
        await self.page.click(f"#{place} button.main")

    async def register(self, **given: str) -> None:
        await self.fill(**given)
        await self.press("register")

    async def log_in(self, email: str | None = None) -> None:
        await self.page.fill("#login_email", email or self.email)
        await self.press("login")

    async def be_logged_in(self) -> None:
        await self.open()
        await self.register()
        await self.at("profile")

    async def stored(self) -> dict[str, str]:
        found: dict[str, str] = await self.page.evaluate("({...sessionStorage})")
        return found

    async def asked_with(self, token: str, user_id: str) -> int:
        """The status for whoever has this token."""
        answer = await self.page.request.get(
            f"{self.origin}/users/{user_id}", headers={"authorization": f"Bearer {token}"}
        )
        return answer.status

    def field(self, name: str) -> Locator:
        return self.page.locator(f".facts [data-field={name}]")

    async def focused(self) -> str:
        """The id of what has the focus; or its class, or its tag."""
        found: str = await self.page.evaluate(
            "(({id, className, localName}) => id || className || localName)(document.activeElement)"
        )
        return found

    async def answers(self, path: str, status: int, detail: Any = "No", **headers: str) -> None:
        """What the program answers from now on."""

        async def answer(route: Route) -> None:
            fields = {"content-type": "application/json", **headers}
            await route.fulfill(status=status, body=json.dumps({"detail": detail}), headers=fields)

        await self.page.route(f"**{path}", answer)

    async def tab_to(self, wanted: str) -> None:
        """Press Tab until the element matches. Every one on the way must show a ring."""
        for _ in range(30):
            await self.page.keyboard.press("Tab")
            here = await self.page.evaluate(
                """(wanted) => { const it = document.activeElement, style = getComputedStyle(it); return {
                     matches: it.matches(wanted), html: it.outerHTML.slice(0, 99), tag: it.localName,
                     ring: style.outlineStyle != "none" } }""",
                wanted,
            )
            if here["tag"] == "body":
                continue
            assert here["ring"], here
            if here["matches"]:
                return
        raise AssertionError(f"no way to {wanted} by Tab")


Open = Callable[..., Awaitable[Somebody]]


@pytest.fixture
async def browse(passkey_audit: str, chromium: Browser) -> AsyncIterator[Open]:
    """Opens a browser. None may ask another site for anything, or complain (also of its content security policy)."""
    people: list[tuple[Somebody, BrowserContext]] = []

    async def opened(*, transport: str = "internal", script: str = "", **given: Any) -> Somebody:
        context = await chromium.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **given})
        context.set_default_timeout(WITHIN)
        page = await context.new_page()
        if script:
            await page.add_init_script(script)
        made = Somebody(page, await Pocket(page).device(transport=transport), passkey_audit)
        context.on("request", lambda request: made.asked.append(request.url))
        context.on("weberror", lambda error: made.complaints.append(str(error.error)))
        context.on(
            "console",
            lambda message: (made.printed if message.type == "info" else made.complaints).append(message.text),
        )
        people.append((made, context))
        return made

    yield opened
    for one, context in people:
        await context.close()
        assert [url for url in one.asked if not url.startswith(f"{passkey_audit}/")] == []
        assert [text for text in one.complaints if "Failed to load resource" not in text] == []
