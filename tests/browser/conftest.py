"""One real server process and one headless Chromium for all browser tests of a test process; each person gets a new
browser context.

Not here: tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.person import BrowserSite
from tests.processes import Deployment, deployed
from tests.web.browsing import rule

Rule = Callable[..., Awaitable[None]]

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP localhost 127.0.0.1",  # another process may listen on ::1
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path_factory.mktemp("browser") / "data", count=1) as made:
        yield made


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The distribution's Chromium, as `make test` installs it. Its sandbox does not work for root, so root runs without
    it."""
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert program, "no chromium on PATH: `make test` installs it, or says what to do"
    sandbox = os.geteuid() != 0
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS, chromium_sandbox=sandbox)
        yield browser
        await browser.close()


@pytest.fixture
async def site(served: Deployment, chromium: Browser) -> AsyncIterator[BrowserSite]:
    site = BrowserSite(served, chromium)
    yield site
    await site.leave()


@pytest.fixture
async def rules(site: BrowserSite) -> AsyncIterator[Rule]:
    """Changes the tenant's policy until the end of the test."""

    async def change(**changes: Any) -> None:
        await rule(site.deployment.a, **changes)

    yield change
    await change()


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def js(request: pytest.FixtureRequest) -> bool:
    """Runs a test with and without scripts, because no page may depend on its script."""
    return bool(request.param)
