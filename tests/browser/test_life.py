"""Life in a browser: buttons pressed twice over a slow line, pages reloaded, left and opened again, two tabs, and a
sign-in that somebody else planted. Each ends where a person would expect.

The stories are those of the other modules; a few are told here in every run, all in the long one. Not here: what one
post does twice (tests/web).
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from playwright.async_api import Browser

from passgate.store.tables import sign_in
from tests.browser import test_keyboard, test_passkeys, test_second, test_stories
from tests.browser.conftest import Rule
from tests.browser.device import with_app
from tests.browser.habits import reload, restless, twice
from tests.browser.line import slow_line
from tests.browser.person import BrowserSite
from tests.kit import OTHER_PASSWORD, PASSWORD, handle_of
from tests.processes import Deployment, deployed
from tests.servers import free_port
from tests.web.browsing import rule

Story = Callable[..., Any]
MODULES = (test_stories, test_second, test_passkeys, test_keyboard)
IN_EVERY_RUN = {"test_up_out_and_in"}
COUNTS = {
    "test_too_many_tries": "a second press is a second try",
}
"""Stories that end otherwise for who presses twice, and why."""
WITH_DEVICE = {name for name in dir(test_passkeys) if name.startswith("test_")} | {"test_passkeys_by_keyboard_alone"}
"""A virtual authenticator belongs to its tab, and answers every page that asks for one, so these are only reloaded."""


def stories(*but: str) -> list[Any]:
    """Every story with and without scripts, where it can be told so; most of them in the long run alone."""
    found = []
    for module in MODULES:
        for name, story in inspect.getmembers(module, inspect.iscoroutinefunction):
            if not name.startswith("test_") or name in but:
                continue
            for js in (True, False) if "js" in inspect.signature(story).parameters else (True,):
                marks = [] if name in IN_EVERY_RUN and js else [pytest.mark.soak]
                found.append(pytest.param(story, js, id=f"{name}-{'scripts' if js else 'no-scripts'}", marks=marks))
    return found


async def perform(story: Story, **given: object) -> None:
    wanted = inspect.signature(story).parameters
    await story(**{name: value for name, value in given.items() if name in wanted})


# -- pressed twice ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
async def far(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Deployment, str]]:
    """A server at the other end of a slow line, and its address there."""
    port = free_port()
    origin = f"http://localhost:{port}"
    data = tmp_path_factory.mktemp("far") / "data"
    async with deployed(data, count=1, PUBLIC_URL=origin) as made, slow_line(port, made.servers[0].port):
        yield made, origin


@pytest.fixture
async def impatient(far: tuple[Deployment, str], chromium: Browser) -> AsyncIterator[BrowserSite]:
    site = BrowserSite(far[0], chromium, origin=far[1], presses=twice)
    yield site
    await site.leave()


@pytest.mark.parametrize(("story", "js"), stories(*COUNTS))
async def test_pressed_twice(impatient: BrowserSite, story: Story, js: bool) -> None:
    async def rules(**changes: Any) -> None:
        await rule(impatient.deployment.a, **changes)

    await perform(story, site=impatient, js=js, rules=rules)
    await rules()


# -- reloaded, left and opened again ---------------------------------------------------------------


@pytest.mark.parametrize(("story", "js"), stories(*COUNTS))
async def test_a_restless_person(site: BrowserSite, rules: Rule, story: Story, js: bool) -> None:
    site.habit = reload if story.__name__ in WITH_DEVICE else restless
    await perform(story, site=site, js=js, rules=rules)


# -- two tabs --------------------------------------------------------------------------------------

STEPS = ("open", "name", "prove")
ORDERS = sorted(set(itertools.permutations("aaabbb")))
"""Every order in which two tabs can take their three steps."""


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("".join(one), marks=[] if number % 10 == 4 else [pytest.mark.soak])
        for number, one in enumerate(ORDERS)
    ],
)
async def test_two_tabs_never_mix(site: BrowserSite, order: str) -> None:
    """Anna and Ben sign in with one browser. A form of a sign-in that is no longer this browser's leads to the one that
    is, and nothing in it is compared."""
    anna = await site.person()
    ben = await site.tab(anna)
    tabs, passwords = {"a": anna, "b": ben}, {"a": PASSWORD, "b": OTHER_PASSWORD}
    for name, tab in tabs.items():
        await tab.face.person(tab.email, passwords[name])
    before = {row["id"] for row in await site.deployment.a.rows(sign_in)}
    pending = signed_in = ""
    left = {name: iter(STEPS) for name in tabs}
    for name in order:
        tab, step = tabs[name], next(left[name])
        if step == "open":
            assert await tab.open("/signin") == "signin"
        elif step == "name":
            assert await tab.send("/signin", email=tab.email) == "signin-password"
            pending = name
        elif pending == name:
            assert await tab.send("/signin/password", password=passwords[name]) == "account"
            pending, signed_in = "", name
        else:
            led = await tab.send("/signin/password", password=passwords[name])
            assert led == ("signin-password" if pending else "signin")
    assert await anna.whose() == tabs[signed_in].email
    began = [row for row in await site.deployment.a.rows(sign_in) if row["id"] not in before]
    assert [row["refused"] for row in began if row["refused"]] == []


# -- a sign-in that somebody else planted ----------------------------------------------------------


async def test_a_planted_handle_that_is_polled_gets_nothing(site: BrowserSite) -> None:
    """The attacker has begun a sign-in and got its handle into the browser; its owner proves password and app there."""
    anna = await site.person()
    await anna.be_signed_in()
    app = await with_app(anna)
    await anna.page.context.clear_cookies()
    handle = handle_of(await anna.face.start(anna.email))
    await anna.page.context.add_cookies([{"name": "passgate_signin", "value": handle, "url": anna.origin}])
    answers: list[tuple[int, str]] = []

    async def poll() -> None:
        while True:
            answer = await anna.face.finish(handle)
            answers.append((answer.status_code, answer.text))
            await asyncio.sleep(0.01)

    polling = asyncio.ensure_future(poll())
    assert await anna.open("/signin/password") == "signin-password"
    assert await anna.send("/signin/password", password=PASSWORD) == "signin-totp"
    assert await anna.send("/signin/totp", code=app.code(1)) == "account"
    polling.cancel()
    assert {status for status, _ in answers} <= {200, 401, 409}
    assert not any("pg_ses_" in text or "pg_sin_" in text for _, text in answers)
    assert (await anna.face.finish(handle)).status_code == 401
