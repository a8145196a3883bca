"""A person with a real browser: opens, types, presses, reads, and looks up mails. Pages are identified by data-page and
refusals by the code of the alert, never by text."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, Response

from tests.kit import PASSWORD
from tests.processes import Deployment, Face

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
SEEN_WITHIN = 10_000
_numbers = itertools.count()


Press = Callable[["Person", Locator | None], Awaitable[None]]
Habit = Callable[["Person"], Awaitable[None]]


async def once(person: Person, button: Locator | None) -> None:
    """Press a button or a link, or Enter where the focus is."""
    async with person.page.expect_navigation() as leading:
        await (button.click() if button else person.page.keyboard.press("Enter"))
    person.answer = await leading.value


async def nothing(_person: Person) -> None:
    """Go on at once."""


@dataclass
class Person:
    """One browser context (with its own cookies) and one page. Collects all requests and all complaints of the
    browser. `presses`: how a button is pressed; `habit`: what is done on every page before going on; `history`: method
    and address of the pages of this tab."""

    page: Page
    origin: str
    face: Face
    email: str = field(default_factory=lambda: f"anna{next(_numbers)}@example.com")
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    answer: Response | None = None
    presses: Press = once
    habit: Habit = nothing
    history: list[tuple[str, str]] = field(default_factory=list)

    # -- looking -----------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def where(self) -> str:
        """The data-page; if something was refused, followed by a colon and the code of the alert."""
        name = await self.page.locator("main").get_attribute("data-page") or ""
        alert = self.page.locator("[role=alert]")
        return f"{name}:{await alert.get_attribute('data-code')}" if await alert.count() else name

    async def open(self, path: str) -> str:
        self._leave(self.origin + path)
        self.answer = await self.page.goto(self.origin + path)
        return await self._arrived()

    async def focused(self) -> dict[str, str]:
        """The focused element: its tag, name, address, and whether a focus ring is drawn."""
        found: dict[str, str] = await self.page.evaluate(
            """() => { const it = document.activeElement, style = getComputedStyle(it); return {
                 tag: it.localName, name: it.getAttribute("name") ?? "", href: it.getAttribute("href") ?? "",
                 kind: it.getAttribute("type") ?? "", code: it.dataset.code ?? "",
                 action: it.form?.getAttribute("action") ?? "",
                 ring: it.matches(":focus-visible") && style.outlineStyle != "none" ? style.outlineWidth : "" } }"""
        )
        return found

    # -- doing -------------------------------------------------------------------------------------

    async def press(self, selector: str) -> str:
        """Press a button or link that leads to another page; that page's name."""
        return await self._led(self.page.locator(selector).first)

    async def enter(self) -> str:
        """Press Enter where the focus is; the name of the page that it leads to."""
        return await self._led(None)

    async def _led(self, button: Locator | None) -> str:
        await self.presses(self, button)
        return await self._arrived()

    def _leave(self, to: str) -> None:
        """Browsers replace the entry of the same address."""
        if self.history and self.history[-1][1] == to:
            self.history.pop()

    async def _arrived(self) -> str:
        self._leave(self.page.url)
        self.history.append((self.answer.request.method if self.answer else "GET", self.page.url))
        await self.habit(self)
        return await self.where()

    async def send(self, action: str, **typed: str) -> str:
        """Fill in the form that posts to the path, and press its button."""
        form = f'form[action^="{action}"]'
        for name, text in typed.items():
            await self.page.fill(f'{form} input[name="{name}"]', text)
        return await self.press(f"{form} button:not([type=button])")

    # -- stories in one word -----------------------------------------------------------------------

    async def code(self, email: str = "") -> str:
        """The newest code, read from development's mailbox in a separate tab."""
        tab = await self.page.context.new_page()
        give_up = asyncio.get_running_loop().time() + SEEN_WITHIN / 1000
        mail = tab.locator("article", has=tab.locator("header", has_text=email or self.email)).locator(".big")
        while True:  # a mail may be between the server's outbox and its mailbox
            await tab.goto(f"{self.origin}/dev/mail")
            if await mail.count() or asyncio.get_running_loop().time() > give_up:
                break
        found = await mail.first.inner_text()
        await tab.close()
        return found

    async def sign_up(self) -> None:
        await self.open("/signup")
        assert await self.send("/signup", email=self.email, password=PASSWORD) == "signin-email-code"
        assert await self.send("/signin/email-code", code=await self.code()) == "account"

    async def sign_in(self, password: str = PASSWORD, path: str = "/signin") -> str:
        await self.open(path)
        assert await self.send("/signin", email=self.email) == "signin-password"
        return await self.send("/signin/password", password=password)

    async def whose(self) -> str:
        """The address of the person whose session the browser has."""
        [token] = [one["value"] for one in await self.page.context.cookies() if one["name"] == "passgate_session"]
        return str((await self.face.session(token)).json()["user"]["email"])

    # -- preparation through the API ---------------------------------------------------------------

    async def exist(self) -> None:
        """Create an account through the API."""
        await self.face.person(self.email)

    async def be_signed_in(self) -> None:
        """Create an account and a session for this browser through the API."""
        person = await self.face.person(self.email)
        await self.page.context.add_cookies([{"name": "passgate_session", "value": person.token, "url": self.origin}])


@dataclass
class BrowserSite:
    """One real server and one real browser; each `person` has a context of their own. `origin`: where the browser finds
    the server, if not at its own address."""

    deployment: Deployment
    browser: Browser
    people: list[Person] = field(default_factory=list)
    origin: str = ""
    presses: Press = once
    habit: Habit = nothing

    async def person(self, *, js: bool = True, email: str = "", **given: object) -> Person:
        context: BrowserContext = await self.browser.new_context(
            java_script_enabled=js,
            **{"viewport": DESKTOP, "reduced_motion": "reduce", "locale": "en-GB", **given},  # type: ignore[arg-type]
        )
        context.set_default_timeout(SEEN_WITHIN)
        origin = self.origin or self.deployment.servers[0].url
        made = Person(await context.new_page(), origin, self.deployment.a, presses=self.presses, habit=self.habit)
        made.email = email or made.email

        def asked(request: Request) -> None:
            made.asked.append(request.url)

        def on_console(message: ConsoleMessage) -> None:
            # The console also reports the status of each refusal (403, 422, 429), which is no complaint.
            if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
                made.complaints.append(message.text)

        context.on("request", asked)
        context.on("console", on_console)
        context.on("weberror", lambda error: made.complaints.append(str(error.error)))
        self.people.append(made)
        return made

    async def tab(self, person: Person) -> Person:
        """Somebody else in another tab of the same browser."""
        return Person(await person.page.context.new_page(), person.origin, person.face)

    async def leave(self) -> None:
        """Close everything. No browser may have sent a request to another origin or reported a complaint (a policy, a
        script)."""
        people, self.people = self.people, []
        for person in people:
            await person.page.context.close()
        for person in people:
            assert [url for url in person.asked if not url.startswith(person.origin + "/")] == []
            assert person.complaints == []
