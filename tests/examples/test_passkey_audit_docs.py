"""Steps 1 to 5 of the service's testing guide, in a real browser: two people register on the page, and one of them
calls `GET /users/{user_id}` at /docs with a token, with a wrong one and without one, as a user and as an admin.

Not here: the page itself, and what the endpoint decides in every case.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import chromium
from tests.browser.device import Pocket
from tests.examples.programs import Served, copy_of, running

__all__ = ["chromium"]
pytestmark = pytest.mark.browser


@asynccontextmanager
async def opened(chromium: Browser, url: str) -> AsyncIterator[Page]:
    context = await chromium.new_context(reduced_motion="reduce")
    page = await context.new_page()
    await Pocket(page).device()
    await page.goto(url)
    yield page
    await context.close()


async def register(page: Page, email: str) -> tuple[str, str]:
    """The token and the id, read as the guide says."""
    given = {"first_name": "Jane", "last_name": "Doe", "email": email, "date_of_birth": "1990-01-15"}
    for name, text in {**given, "job_title": "Software Engineer"}.items():
        await page.fill(f"#register [name={name}]", text)
    await page.click("#register button.main")
    await expect(page.locator("main")).to_have_attribute("data-page", "profile")
    token = await page.evaluate("sessionStorage.getItem('webauthn_jwt')")
    return token, await page.evaluate("sessionStorage.getItem('webauthn_user_id')")


def passgate(folder: Path, *command: str) -> None:
    subprocess.run([sys.executable, "-m", "passgate.cli", *command], cwd=folder, check=True, timeout=60)


class Viewer:
    """/docs with the endpoint open."""

    def __init__(self, page: Page) -> None:
        self.page, self.block = page, page.locator(".opblock", has_text="GET/users/{user_id}")

    async def open(self, url: str) -> None:
        await self.page.goto(f"{url}/docs")
        await self.block.locator(".opblock-summary-control").click()
        await self.block.locator("button.try-out__btn").click()

    async def authorize(self, token: str | None) -> None:
        """With None: log out. There is one value to give."""
        await self.page.locator(".scheme-container button.authorize").click()
        form = self.page.locator(".auth-container")
        await expect(form).to_have_count(1)
        if await form.locator("button", has_text="Logout").count():
            await form.locator("button", has_text="Logout").click()
        if token is not None:
            await form.locator("input").fill(token)
            await form.locator("button.authorize").click()
        await self.page.locator(".modal-ux button.btn-done").click()

    async def get(self, user_id: str) -> tuple[int, Any]:
        await self.block.locator("input[placeholder=user_id]").fill(user_id)
        async with self.page.expect_response(lambda answer: "/users/" in answer.url) as answering:
            await self.block.locator("button.execute").click()
        answer = await answering.value
        return answer.status, await answer.json()


async def test_the_testing_guide(tmp_path: Path, chromium: Browser) -> None:
    folder = copy_of(4, tmp_path / "4")
    server = Served(4, folder / ".passgate", folder=folder)
    async with running(server):
        async with opened(chromium, server.url) as page:
            _, other = await register(page, "john@example.com")
        async with opened(chromium, server.url) as page:
            token, mine = await register(page, "jane@example.com")
            viewer = Viewer(page)
            await viewer.open(server.url)
            await viewer.authorize(token)
            status, found = await viewer.get(mine)
            assert (status, found["id"], found["email"]) == (200, mine, "jane@example.com")
            forbidden = {"detail": "You don't have permission to access this resource"}
            assert await viewer.get(other) == (403, forbidden)
            await viewer.authorize("invalid-token")
            assert await viewer.get(mine) == (401, {"detail": "Could not validate credentials"})
            await viewer.authorize(None)
            assert await viewer.get(mine) == (401, {"detail": "Not authenticated"})
            await asyncio.to_thread(passgate, folder, "role", "give", "jane@example.com", "admin")
            await viewer.authorize(token)
            status, found = await viewer.get(other)
            assert (status, found["email"]) == (200, "john@example.com")
        rows = sqlite3.connect(folder / "app.db").execute(
            "SELECT user_email, success, details FROM audit_logs WHERE event_type='user_access' ORDER BY created_at"
        )
        *_, last = rows.fetchall()
        assert last == ("jane@example.com", 1, "User Jane Doe accessed by Jane Doe (role: admin)")
