"""The pages of example 2 in a real browser, against a real server: signing in and out, the users, a wrong password, a
session that another product takes over; by keyboard alone; axe in light and dark, wide and narrow.

Not here: the JSON API.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.conftest import chromium
from tests.browser.test_access import OPTIONS, PICTURES
from tests.examples.programs import Served
from tests.kit import OTHER_PASSWORD, PASSWORD
from tests.processes import client_for

__all__ = ["chromium"]
pytestmark = pytest.mark.browser

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
WITHIN = 10_000
ADMIN = {"ADMIN_USERNAME": "admin", "ADMIN_EMAIL": "admin@example.com", "ADMIN_PASSWORD": PASSWORD}
_names = itertools.count()


@dataclass
class Somebody:
    """One browser with one page. `where` is the page's name, with the code of a refusal behind a colon."""

    page: Page
    api: httpx2.AsyncClient
    admin: str
    origin: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    status: int = 0

    async def where(self) -> str:
        name = await self.page.locator("main").get_attribute("data-page") or ""
        alert = self.page.locator("[role=alert]")
        return f"{name}:{await alert.get_attribute('data-code')}" if await alert.count() else name

    async def open(self, path: str) -> str:
        answer = await self.page.goto(self.origin + path)
        self.status = answer.status if answer else 0
        return await self.where()

    async def press(self, selector: str) -> str:
        return await self._led(self.page.locator(selector).first.click)

    async def enter(self) -> str:
        return await self._led(lambda: self.page.keyboard.press("Enter"))

    async def _led(self, act: Callable[[], Awaitable[None]]) -> str:
        async with self.page.expect_navigation() as leading:
            await act()
        self.status = (await leading.value).status
        return await self.where()

    async def send(self, **typed: str) -> str:
        """Fill in the form of the page and press its button."""
        for name, text in typed.items():
            await self.page.fill(f"main [name={name}]", text)
        return await self.press("main form button")

    async def sign_in(self, username: str, password: str = PASSWORD) -> str:
        await self.open("/login")
        return await self.send(username=username, password=password)

    async def tab_to(self, **wanted: str) -> None:
        """Press Tab until the element has the focus. Every one on the way must show a ring."""
        for _ in range(40):
            await self.page.keyboard.press("Tab")
            here: dict[str, str] = await self.page.evaluate(
                """() => { const it = document.activeElement, style = getComputedStyle(it); return {
                     tag: it.localName, name: it.getAttribute("name") ?? "", href: it.getAttribute("href") ?? "",
                     action: it.form?.getAttribute("action") ?? "",
                     ring: it.matches(":focus-visible") && style.outlineStyle != "none" ? style.outlineWidth : "" } }"""
            )
            if here["tag"] == "body":
                continue
            assert here["ring"], here
            if all(here[name] == value for name, value in wanted.items()):
                return
        raise AssertionError(f"no way to {wanted} by Tab")

    async def focus(self) -> str:
        """What has the focus without a key: the name of a field, or the role of a message."""
        found: str = await self.page.evaluate(
            "() => document.activeElement.getAttribute('name') ?? document.activeElement.getAttribute('role') ?? ''"
        )
        return found

    # -- preparation through the API ---------------------------------------------------------------

    async def person(self, role: str = "user") -> tuple[str, str]:
        """The id and the username of somebody new."""
        name = f"person{next(_names)}"
        given = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        made = await self.ask("POST", "/api/users/", json=given)
        if role != "user":
            await self.ask("PATCH", f"/api/users/{made['id']}/", json={"role": role})
        return made["id"], name

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        answer = await self.api.request(method, path, headers={"authorization": f"Bearer {self.admin}"}, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def by_curl(self, path: str = "/account") -> httpx2.Response:
        """Use this browser's cookie from another product."""
        cookies = "; ".join(f"{one['name']}={one['value']}" for one in await self.page.context.cookies())
        return await self.api.get(path, headers={"cookie": cookies, "user-agent": "curl/8.14.1"})


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    server = Served(2, tmp_path_factory.mktemp("pages") / "data", env=ADMIN)
    await server.start()
    yield server
    await server.stop()
    server.no_faults()


Open = Callable[..., Awaitable[Somebody]]


@pytest.fixture
async def browse(served: Served, chromium: Browser) -> AsyncIterator[Open]:
    """Opens a browser. None may ask another site for anything, or complain."""
    people: list[tuple[Somebody, BrowserContext]] = []
    async with client_for(served) as api:
        answer = await api.post("/api/auth/login", json={"username": "admin", "password": PASSWORD})
        admin = answer.json()["sessionID"]

        async def opened(**given: Any) -> Somebody:
            context = await chromium.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **given})
            context.set_default_timeout(WITHIN)
            made = Somebody(await context.new_page(), api, admin, served.url)
            context.on("request", lambda request: made.asked.append(request.url))
            context.on("console", lambda message: made.complaints.append(message.text))
            people.append((made, context))
            return made

        yield opened
        for one, context in people:
            await context.close()
            assert [url for url in one.asked if not url.startswith(f"{served.url}/")] == []
            assert [text for text in one.complaints if "Failed to load resource" not in text] == []


# -- signing in and out ----------------------------------------------------------------------------


async def test_in_and_out(browse: Open) -> None:
    """The way in leads back to where one was going, and the way out is the end of the session on the server."""
    anna = await browse(java_script_enabled=False)
    _, name = await anna.person()
    assert await anna.open("/") == "login"
    assert await anna.open("/users") == "login"
    assert await anna.send(username=name, password=PASSWORD) == "users"
    assert await anna.open("/login") == "account"
    assert name in await anna.page.inner_text("h1")
    cookies = await anna.page.context.cookies()
    assert await anna.press("header form button") == "login"
    await anna.page.context.add_cookies([{"name": c["name"], "value": c["value"], "url": anna.origin} for c in cookies])
    assert await anna.open("/account") == "login"
    assert await anna.page.locator("[role=status]").count() == 1


@pytest.mark.parametrize("who", ["nobody-at-all", "person"])
async def test_a_wrong_password(browse: Open, who: str) -> None:
    """One answer whether or not anybody has that name: in place, the name kept, the password not, the focus on it."""
    anna = await browse()
    name = (await anna.person())[1] if who == "person" else who
    assert await anna.sign_in(name, "not the right one") == "login:proof_refused"
    assert anna.status == 403
    assert await anna.page.input_value("[name=username]") == name
    assert await anna.page.input_value("[name=password]") == ""
    assert await anna.focus() == "alert"
    if who == "person":
        assert await anna.send(password=PASSWORD) == "account"


async def test_too_many_tries(browse: Open) -> None:
    anna = await browse()
    _, name = await anna.person()
    for number in range(40):
        if await anna.sign_in(name, f"guess {number}") == "login:throttled":
            break
    assert await anna.where() == "login:throttled"
    assert anna.status == 429
    again = await anna.api.post("/login", content=f"username={name}&password=guess")
    assert int(again.headers["retry-after"]) > 0


# -- one's own password ----------------------------------------------------------------------------


async def test_ones_own_password(browse: Open) -> None:
    """Other browsers are signed out. What is refused stays on the page."""
    anna, other = await browse(), await browse()
    _, name = await anna.person()
    assert await other.sign_in(name) == "account"
    assert await anna.sign_in(name) == "account"
    assert await anna.press("main a[href='/password']") == "password"
    assert await anna.focus() == "password"
    assert await anna.send(password="too short") == "password:password_refused"
    assert await anna.send(password=OTHER_PASSWORD) == "account"
    assert await anna.page.locator("[role=status]").count() == 1
    assert await other.open("/account") == "login"
    assert await other.send(username=name, password=PASSWORD) == "login:proof_refused"
    assert await other.send(password=OTHER_PASSWORD) == "account"


async def test_a_sign_in_that_is_not_fresh(browse: Open) -> None:
    """Whoever has to sign in again finds their name there, and comes back to where they were."""
    anna = await browse()
    _, name = await anna.person()
    await anna.sign_in(name)
    assert await anna.open("/login?why=confirm&to=/password") == "login"
    assert await anna.page.input_value("[name=username]") == name
    assert await anna.send(password=PASSWORD) == "password"


@pytest.mark.parametrize("to", ["https://elsewhere.example/", "//elsewhere.example", "/auth/signout", "javascript:1"])
async def test_the_way_back_leads_nowhere_else(browse: Open, to: str) -> None:
    anna = await browse()
    _, name = await anna.person()
    await anna.open(f"/login?to={to}")
    assert await anna.send(username=name, password=PASSWORD) == "account"


# -- the users -------------------------------------------------------------------------------------


async def test_what_a_reader_finds(browse: Open) -> None:
    """Nobody above their own role, and no way to change anybody."""
    anna = await browse()
    _, reader = await anna.person("read_only")
    user, other = await anna.person()
    await anna.sign_in(reader)
    assert await anna.press("header a[href='/users']") == "users"
    text = await anna.page.inner_text("main")
    assert reader in text
    assert other not in text
    assert await anna.page.locator("main a[href^='/users/']").count() == 0
    for path in ("/users/new", f"/users/{user}", f"/users/{user}/delete"):
        assert await anna.open(path) == "refused:permission_missing"
        assert anna.status == 403


async def test_an_admin_creates_changes_and_deletes(browse: Open) -> None:
    anna, bert = await browse(), await browse()
    name = f"bert{next(_names)}"
    await anna.sign_in("admin")
    await anna.open("/users")
    assert await anna.press("main a[href='/users/new']") == "user-new"
    typed = {"email": f"{name}@example.com", "username": "x", "password": OTHER_PASSWORD}
    assert await anna.send(**typed) == "user-new:invalid"
    assert await anna.page.locator("[name=username][aria-invalid=true]").count() == 1
    assert await anna.page.input_value("[name=email]") == typed["email"]
    assert await anna.page.input_value("[name=password]") == ""
    assert await anna.send(username="admin", password=OTHER_PASSWORD) == "user-new:conflict"
    assert await anna.send(username=name, password="password" * 3) == "user-new:password_refused"
    assert await anna.send(username=name, password=OTHER_PASSWORD) == "users"
    assert await bert.sign_in(name, OTHER_PASSWORD) == "account"
    bert_id = next(one["id"] for one in await everybody(anna) if one["username"] == name)
    await anna.open(f"/users/{bert_id}")
    await anna.page.select_option("select[name=role]", "admin")
    assert await anna.press("main form button") == "users"
    assert await bert.open("/users/new") == "user-new"
    await anna.open(f"/users/{bert_id}")
    assert await anna.press("main a.danger") == "user-delete"
    assert await anna.press("main form button") == "users"
    assert await bert.open("/account") == "login"
    assert await anna.open(f"/users/{bert_id}") == "refused:not_found"


async def everybody(anna: Somebody) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await anna.ask("GET", "/api/users/?size=100"))["data"]
    return found


async def test_oneself_has_no_role_to_change(browse: Open) -> None:
    anna = await browse()
    await anna.sign_in("admin")
    me = next(one["id"] for one in await everybody(anna) if one["username"] == "admin")
    await anna.open(f"/users/{me}")
    assert await anna.page.locator("main form").count() == 0
    for path in (f"/users/{me}", f"/users/{me}/delete"):
        sent = await anna.page.request.post(anna.origin + path, form={"role": "user"}, headers={"origin": anna.origin})
        assert sent.status == 403, path


@pytest.mark.parametrize("path", ["/users/none", "/users/00000000-0000-7000-8000-000000000000"])
async def test_nobody(browse: Open, path: str) -> None:
    anna = await browse()
    await anna.sign_in("admin")
    assert await anna.open(path) == "refused:not_found"
    assert anna.status == 404


async def test_pages_and_sorting(browse: Open) -> None:
    anna = await browse()
    while len(await everybody(anna)) <= 20:
        await anna.person("read_only")
    await anna.sign_in("admin")
    await anna.open("/users")
    first = await anna.page.locator(".rows strong").all_inner_texts()
    assert first == sorted(first)
    assert len(first) == 20
    assert await anna.press("a[rel=next]") == "users"
    assert not {*first} & {*await anna.page.locator(".rows strong").all_inner_texts()}
    await anna.open("/users")
    await anna.press(".sorts a[aria-current]")
    assert (await anna.page.locator(".rows strong").all_inner_texts())[0] == sorted(
        one["username"] for one in await everybody(anna)
    )[-1]
    for query in ("page=999", "page=0", "page=x", "sort=password", "page=1&page=2", "page=%00"):
        assert await anna.open(f"/users?{query}") == "users", query


# -- taken over, and forms from elsewhere ----------------------------------------------------------


async def test_a_session_taken_over_is_dead_for_both(browse: Open) -> None:
    anna = await browse()
    _, name = await anna.person()
    await anna.sign_in(name)
    thief = await anna.by_curl()
    assert thief.status_code == 403
    assert 'data-code="client_changed"' in thief.text
    assert name not in thief.text
    assert (await anna.by_curl()).status_code == 303
    assert await anna.open("/account") == "login"
    assert await anna.page.locator("[role=status]").count() == 1
    assert await anna.send(username=name, password=PASSWORD) == "account"


async def test_forms_of_another_site_do_nothing(browse: Open) -> None:
    anna = await browse()
    user, _ = await anna.person()
    await anna.sign_in("admin")
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in await anna.page.context.cookies())
    agent = await anna.page.evaluate("navigator.userAgent")
    for path in ("/logout", "/password", "/users/new", f"/users/{user}", f"/users/{user}/delete"):
        headers = {"cookie": cookies, "user-agent": agent, "origin": "https://elsewhere.example"}
        sent = await anna.api.post(path, headers=headers, content="role=admin")
        assert (sent.status_code, 'data-code="csrf_refused"' in sent.text) == (403, True), path
    assert await anna.open(f"/users/{user}") == "user"
    typed = {"username": "admin", "password": PASSWORD}
    sent = await anna.api.post("/login", headers={"origin": "https://elsewhere.example"}, data=typed)
    assert (sent.status_code, "set-cookie" in sent.headers) == (403, False)


async def test_a_form_that_is_too_large_or_no_form(browse: Open) -> None:
    anna = await browse()
    for body, status in ((b"a" * 20_000, 413), (b"\xff", 400), (b"", 422), (b"username=%ff&password=%00", 422)):
        sent = await anna.api.post("/login", content=body)
        assert sent.status_code == status, body[:30]
        assert "data-page=" in sent.text


# -- for everybody ---------------------------------------------------------------------------------


async def test_by_keyboard_alone(browse: Open) -> None:
    anna = await browse()
    user, name = await anna.person()
    await anna.open("/")
    assert await anna.focus() == "username"
    await anna.page.keyboard.type("admin")
    await anna.tab_to(name="password")
    await anna.page.keyboard.type("not the right one")
    assert await anna.enter() == "login:proof_refused"
    await anna.tab_to(name="password")
    await anna.page.keyboard.type(PASSWORD)
    assert await anna.enter() == "account"
    await anna.tab_to(href="/users")
    assert await anna.enter() == "users"
    await anna.tab_to(href="/users/new")
    assert await anna.enter() == "user-new"
    await anna.page.keyboard.type(f"by-{name}@example.com")
    await anna.tab_to(name="username")
    await anna.page.keyboard.type(f"by-{name}")
    await anna.tab_to(name="password")
    await anna.page.keyboard.type(OTHER_PASSWORD)
    assert await anna.enter() == "users"
    await anna.open(f"/users/{user}")
    await anna.tab_to(name="role")
    await anna.page.keyboard.press("r")
    await anna.tab_to(tag="button", action=f"/users/{user}")
    assert await anna.enter() == "users"
    assert (await anna.ask("GET", f"/api/users/{user}/"))["role"] == "read_only"
    await anna.open(f"/users/{user}")
    await anna.tab_to(href=f"/users/{user}/delete")
    assert await anna.enter() == "user-delete"
    await anna.tab_to(tag="button", action=f"/users/{user}/delete")
    assert await anna.enter() == "users"
    await anna.tab_to(tag="button", action="/logout")
    assert await anna.enter() == "login"


async def test_axe_finds_nothing(browse: Open) -> None:
    """Each page and each refusal, in light and dark, wide and at 360 pixels, where nothing overflows sideways."""
    anna = await browse()
    user, _ = await anna.person()
    views = [(size, colours) for size in (WIDE, NARROW) for colours in ("light", "dark")]

    async def check(place: str) -> None:
        assert await anna.where() == place
        await anna.page.evaluate(AXE_SCRIPT)
        for size, colours in views:
            await anna.page.set_viewport_size(size)  # type: ignore[arg-type]
            await anna.page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            seen = f"rbac-{place.replace(':', '-')}-{size['width']}-{colours}"
            if PICTURES:
                await anna.page.screenshot(path=Path(PICTURES) / f"{seen}.png", full_page=True)
            violations = await anna.page.evaluate("async (options) => (await axe.run(options)).violations", OPTIONS)
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == [], seen
            assert await anna.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, seen

    await anna.open("/login?why=ended")
    await check("login")
    await anna.send(username="admin", password="wrong")
    await check("login:proof_refused")
    await anna.send(password=PASSWORD)
    await check("account")
    for path, place in (("/users?done=created", "users"), ("/users/new", "user-new"), ("/password", "password")):
        await anna.open(path)
        await check(place)
    await anna.send(password="short")
    await check("password:password_refused")
    await anna.open("/users/new")
    await anna.send(email="a@example.com", username="x", password=OTHER_PASSWORD)
    await check("user-new:invalid")
    for path, place in ((f"/users/{user}", "user"), (f"/users/{user}/delete", "user-delete"), ("/users/0", "refused")):
        await anna.open(path)
        await check(f"{place}:not_found" if place == "refused" else place)


async def test_header_fields_of_every_page(browse: Open) -> None:
    anna = await browse()
    await anna.sign_in("admin")
    for path in ("/login?why=confirm", "/account", "/users", "/users/new", "/password", "/users/none"):
        answer = await anna.page.request.get(anna.origin + path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
        assert len(await answer.body()) < 20_000
