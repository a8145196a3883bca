"""The tutorial, followed as printed: from an empty folder, in a real terminal and a real browser with a passkey device.

Its sentences are the steps. A sentence that matches no step fails the test, and so does a block that nothing runs.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Locator, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from tests.browser.device import App, Device, Pocket
from tests.browser.person import SEEN_WITHIN
from tests.docs.blocks import ROOT, TUTORIAL, Block, parts
from tests.docs.terminal import Terminal
from tests.library.test_wheel import UV, done

SECOND = 1_000_000
WAITS = {"half a minute": 30, "two minutes": 120}
NO_AUTOFILL = "PublicKeyCredential.isConditionalMediationAvailable = async () => false"
"""Turns autofill off: a person picks a passkey from a list, but a virtual device would answer as soon as a page
asks."""

INSTALL = re.compile(r"^\.venv/bin/pip install (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (found,) = folder.glob("*.whl")
    return found


@dataclass
class Reader:
    """Follows the page from top to bottom."""

    terminal: Terminal
    page: Page
    device: Device
    wheel: Path
    app: App | None = None
    steps: int = 0
    ran: list[str] = field(default_factory=list)

    # -- the terminal ------------------------------------------------------------------------------

    async def block(self, block: Block) -> None:
        match block.language:
            case "python":
                self.terminal.save(block)
            case "sh":
                await asyncio.to_thread(self._commands, block)
            case "text":
                assert self.terminal.out == block.text, block.name
            case _:
                pytest.fail(f"{block.name}: nobody knows how to follow this")
        self.ran.append(block.name)

    def _commands(self, block: Block) -> None:
        """Run as printed, except that the package is installed from a wheel, and its dependencies from uv's cache
        where possible, without a network."""
        before, install, after = block.text.partition(found[0] if (found := INSTALL.search(block.text)) else "\0")
        self.terminal.run(block, before)
        if install and found:
            checkout = (self.terminal.cwd / found[1]).resolve()
            assert tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["name"] == "passgate"
            python = self.terminal.cwd / ".venv" / "bin" / "python"
            install_here = (UV, "pip", "install", "--quiet", "--python", python)
            locked = ("--require-hashes", "-r", ROOT / "requirements" / "run.txt")
            try:
                done(*install_here, "--offline", *locked)
            except AssertionError:  # the cache was emptied since this environment was made
                done(*install_here, *locked)
            done(*install_here, "--offline", "--no-deps", self.wheel)
        if after.strip():
            self.terminal.run(block, after)

    # -- the browser -------------------------------------------------------------------------------

    async def step(self, text: str) -> None:
        """Do one numbered item: its sentences in order."""
        self.steps += 1
        rest = text
        while rest:
            for pattern, do in STEPS:
                if found := pattern.match(rest):
                    try:
                        await do(self, *found.groups())
                    except Exception as error:
                        error.add_note(f"The step was: {found[0]} The page is {self.page.url}")
                        raise
                    rest = rest[found.end() :].strip()
                    break
            else:
                pytest.fail(f"nobody understands the step: {rest}")

    async def open(self, url: str) -> None:
        await self.page.goto(self.terminal.here(url))

    async def press(self, label: str) -> None:
        """Press the button or link of that name, and wait for the page that it leads to."""
        displayed = self.page.locator("main button, main a, body > form button, body > a").filter(visible=True)
        found = await self._there(displayed.filter(has_text=like(label)), label, displayed)
        async with self.page.expect_navigation():
            await found.click()

    async def type(self, text: str, label: str) -> None:
        displayed = self.page.locator("label").filter(visible=True)
        field = self.page.locator("input:visible").and_(self.page.get_by_label(like(label)))
        await (await self._there(field, label, displayed)).fill(text)

    async def _there(self, found: Locator, label: str, displayed: Locator) -> Locator:
        """The first match. If there is none, the test fails and lists what the page has instead."""
        try:
            await found.first.wait_for()
        except PlaywrightTimeout:
            pytest.fail(f"there is no {label!r} at {self.page.url}, but {await displayed.all_inner_texts()}")
        return found.first

    async def mailed(self, url: str, label: str) -> None:
        tab = await self.page.context.new_page()
        await tab.goto(self.terminal.here(url))
        code = await tab.locator("article .big").first.inner_text()
        await tab.close()
        await self.type(code, label)

    async def scan(self) -> None:
        self.app = await App.scan(self.page.locator("[role=img]"))

    async def from_app(self, label: str) -> None:
        assert self.app is not None, "no QR code was scanned before"
        await self.type(self.app.code(), label)

    async def arrive(self, url: str) -> None:
        wanted = urlsplit(self.terminal.here(url))
        seen = urlsplit(self.page.url)
        assert (seen.netloc, seen.path) == (wanted.netloc, wanted.path)

    async def read(self, text: str) -> None:
        assert text in await self.page.locator("body").inner_text()

    async def asked_for_more(self) -> None:
        assert await self.page.locator("main").get_attribute("data-page") == "signin-passkey"

    async def unlock(self) -> None:
        """The virtual device has unlocked itself."""
        assert len(await self.device.credentials()) == 1

    async def wait(self, how_long: str) -> None:
        """Change the database as if the time had passed, instead of waiting."""
        assert how_long in WAITS
        with closing(sqlite3.connect(self.terminal.cwd / ".passgate" / "passgate.db", timeout=20)) as db, db:
            db.execute("UPDATE carrier SET proofs = '{}'")
            db.execute("UPDATE credential SET counter = 0 WHERE kind = 'totp'")

    async def nothing(self) -> None:
        """A sentence that tells the reader something and needs no action."""


def like(label: str) -> re.Pattern[str]:
    """Matches a label without regard to case and hyphens."""
    return re.compile("-?".join(map(re.escape, label.replace("-", ""))), re.IGNORECASE)


Step = Callable[..., Awaitable[None]]
STEPS: list[tuple[re.Pattern[str], Step]] = [
    (re.compile(pattern), do)
    for pattern, do in (
        (r"Open <(\S+)>\.", Reader.open),
        (r"Press \*\*(.+?)\*\*\.", Reader.press),
        (r"Type `(.+?)` in \*\*(.+?)\*\*\.", Reader.type),
        (r"Type the code from the newest mail at <(\S+)> in \*\*(.+?)\*\*\.", Reader.mailed),
        (r"Scan the QR code with your authenticator app\.", Reader.scan),
        (r"The policy asks for a second step, and offers a passkey first\.", Reader.asked_for_more),
        (r"Type the code from the app in \*\*(.+?)\*\*\.", Reader.from_app),
        (r"You arrive at <(\S+)>\.", Reader.arrive),
        (r"The page says `(.+?)`\.?", Reader.read),
        (r"Your device asks for your fingerprint, your face or a PIN\.", Reader.unlock),
        (
            r"Wait (half a minute|two minutes)(?:\.|, until the app shows a new code: each code works once\.)",
            Reader.wait,
        ),
        (r"Backup codes are for the day you lose your device; skip them for now\.", Reader.nothing),
    )
]


def steps_of(lines: list[str]) -> list[str]:
    """The numbered items among lines of text, each as one line."""
    found: list[str] = []
    is_item = False
    for line in lines:
        if number := re.match(r"\d+\. (.*)", line):
            found.append(number[1])
            is_item = True
        elif is_item and line.startswith("   ") and line.strip():
            found[-1] += f" {line.strip()}"
        else:
            is_item = False
    return found


@pytest.fixture
async def reader(tmp_path: Path, chromium: Browser, wheel: Path) -> AsyncIterator[Reader]:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "passgate").symlink_to(ROOT)
    terminal = Terminal(folder)
    context = await chromium.new_context(locale="en-GB", reduced_motion="reduce")
    context.set_default_timeout(SEEN_WITHIN)
    page = await context.new_page()
    await page.add_init_script(NO_AUTOFILL)
    device = await Pocket(page).device()
    try:
        yield Reader(terminal, page, device, wheel)
    finally:
        await context.close()
        await asyncio.to_thread(terminal.stop)


async def test_the_tutorial_is_true(reader: Reader) -> None:
    lines: list[str] = []
    for part in parts(TUTORIAL):
        if isinstance(part, Block):
            for step in steps_of(lines):
                await reader.step(step)
            lines = []
            await reader.block(part)
        else:
            lines.append(part)
    for step in steps_of(lines):
        await reader.step(step)
    assert len(reader.ran) > 5
    assert reader.steps > 20


def test_an_unknown_step_fails() -> None:
    assert not any(pattern.match("Click on the moon.") for pattern, _ in STEPS)
    assert steps_of(["1. Open <x>.", "   Press **Y**.", "", "text", "2. Press **Z**."]) == [
        "Open <x>. Press **Y**.",
        "Press **Z**.",
    ]
