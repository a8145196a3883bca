"""Every code block of the README and the guides, run as printed: commands in a real shell, requests to a real server,
Python programs, scripts in a real browser.

The blocks of a page build on each other. A block that nothing here runs fails the test, which names it.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from playwright.async_api import Browser

from passgate.core.factors import FACTORS
from passgate.core.policy import is_reachable
from passgate.core.rules import Rules
from tests.browser.device import Pocket
from tests.docs.blocks import PAGES, ROOT, Block, blocks, name_of
from tests.docs.samples import TRIED, unknown
from tests.docs.terminal import SERVES, Terminal, answers, dry
from tests.servers import Postgres, free_port

EXEMPT: dict[str, str] = {}
"""Blocks that cannot be run, by name, each with its reason. It should stay empty."""


# -- one page --------------------------------------------------------------------------------------


@dataclass
class Reading:
    """The state that the blocks of one page have built so far."""

    terminal: Terminal
    program: dict[str, Any] = field(default_factory=dict)
    postgres: Postgres | None = None
    database: str = ""

    def follow(self, block: Block) -> None:
        run = RUN.get(block.language)
        assert run is not None, f"{block.name}: nothing runs this"
        if block.file:
            self.terminal.save(block)
        run(self, block)

    # -- commands ----------------------------------------------------------------------------------

    def commands(self, block: Block) -> None:
        script = block.text
        if all(line.startswith("make ") for line in script.strip().splitlines()):
            for line in script.strip().splitlines():
                done = subprocess.run(dry(line), check=False, capture_output=True, text=True)
                assert done.returncode == 0, f"{block.name}: {done.stderr}"
            return
        self.terminal.run(block, script)

    def printed(self, block: Block) -> None:
        """The block is the output of the commands before it."""
        assert self.terminal.out == block.text, block.name

    def answered(self, block: Block) -> None:
        """The block has the shape of the response to the last request, with other values; or it is a file."""
        displayed = json.loads(block.text)
        if block.file is None:
            assert shape(displayed) == shape(answers(self.terminal)), block.name

    # -- programs ----------------------------------------------------------------------------------

    def python(self, block: Block) -> None:
        """A block that is saved is imported as a module; other blocks continue one program. Its tests must pass, and
        its app must start and answer."""
        with self._as_if_there():
            if block.file:
                module = ModuleType(Path(block.file).stem)
                sys.modules[module.__name__] = module
                program = module.__dict__
            else:
                program = self.program
                program.setdefault("__name__", "page")
            exec(compile(block.text, block.name, "exec"), program)  # noqa: S102  the page tells the reader to run it
            for name, value in list(program.items()):
                if name.startswith("test_") and inspect.isfunction(value):
                    value()
            if isinstance(program.get("app"), FastAPI):
                answers_at_all(program["app"])

    @contextmanager
    def _as_if_there(self) -> Iterator[None]:
        """Work in the terminal's folder, with its variables."""
        modules = set(sys.modules)
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PASSGATE_")]:
                patch.delenv(name)
            for name, value in self.terminal.env.items():
                if name.startswith("PASSGATE_"):
                    patch.setenv(name, value)
            patch.setenv("PASSGATE_DATA", str(self.terminal.folder / ".program"))
            if (self.terminal.cwd / "templates").is_dir():
                patch.setenv("PASSGATE_LOOK__TEMPLATES", str(self.terminal.cwd / "templates"))
            patch.chdir(self.terminal.cwd)
            patch.syspath_prepend(self.terminal.cwd)
            try:
                yield
            finally:
                for name in set(sys.modules) - modules:
                    if Path(getattr(sys.modules[name], "__file__", None) or self.terminal.cwd).is_relative_to(
                        self.terminal.cwd
                    ):
                        del sys.modules[name]

    # -- statements --------------------------------------------------------------------------------

    def statements(self, block: Block) -> None:
        """By the server's administrator, in the page's database."""
        assert self.postgres is not None, block.name
        for statement in block.text.strip().split(";\n"):
            self.postgres.sql(statement, self.database)

    # -- configuration and templates ---------------------------------------------------------------

    def settings(self, block: Block) -> None:
        """A file of variables, which later commands read if it is saved; or a systemd unit."""
        if block.text.startswith("["):
            self.elsewhere(block)
            return
        assert all(re.fullmatch(r"PASSGATE_[A-Z_]+=.+", line) for line in block.text.splitlines()), block.name
        assert unknown(block.text) == set(), block.name

    def elsewhere(self, block: Block) -> None:
        """A sample for a program that no terminal runs: a test of its own tries it."""
        assert (name_of(block.page), block.language) in TRIED, f"{block.name}: nothing tries this"

    def template(self, block: Block) -> None:
        """A file that a later server or program renders."""
        assert block.file, f"{block.name}: nothing says what to save it as"

    def script(self, block: Block) -> None:
        """Run in the browser by `test_a_script_of_the_guide`."""
        assert block.name in {one.name for one in SCRIPTS}


RUN: dict[str, Callable[[Reading, Block], None]] = {
    "sh": Reading.commands,
    "text": Reading.printed,
    "json": Reading.answered,
    "python": Reading.python,
    "ini": Reading.settings,
    "sql": Reading.statements,
    **{language: Reading.elsewhere for _, language in TRIED if language != "ini"},
    "html": Reading.template,
    "js": Reading.script,
}
SCRIPTS = [block for page in PAGES for block in blocks(page) if block.language == "js"]


def shape(value: Any) -> Any:
    """The names and types of a response. A list of objects is represented by its first one; other lists and booleans
    are compared by value."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case [dict() as first, *_]:
            return [shape(first)]
        case list():
            return value
        case bool():
            return value
        case _:
            return type(value).__name__


def answers_at_all(app: FastAPI) -> None:
    """The app starts, and each of its own pages answers an anonymous request without a fault."""
    with TestClient(app, base_url="http://localhost:8000") as client:
        own = [route for route in app.routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())]
        for route in own:
            assert client.get(route.path, follow_redirects=False).status_code < 500, route.path
        assert own or client.get("/auth/healthz").status_code == 200


# -- the server ------------------------------------------------------------------------------------


@dataclass
class Shared:
    """One server for all pages whose commands send requests without starting one."""

    data: Path
    port: int


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which people exist. It is copied for each page."""
    terminal = Terminal(tmp_path_factory.mktemp("furnished"), is_quick=True)
    people = "".join(f"passgate user add {name}@example.com\n" for name in ("anna", "bert"))
    terminal.run(Block(PAGES[0], 0, "sh", people, ""))
    return terminal.folder / ".passgate"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, furnished: Path) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("docs")
    made = Shared(folder / "data", free_port())
    shutil.copytree(furnished, made.data)
    terminal = Terminal(folder, made.port, {"PASSGATE_DATA": str(made.data)})
    terminal.run(Block(PAGES[0], 0, "sh", "passgate serve\n", ""))
    yield made
    terminal.stop()


def asks(page: Path) -> bool:
    """Whether the page's commands send requests to a server that the page does not start."""
    text = [block.text for block in blocks(page) if block.language in ("sh", "js")]
    found = (SERVES.search(line) for one in text for line in one.splitlines())
    starts = any(served and not served["second"] for served in found)
    return any("localhost:8000" in one for one in text) and not starts


@pytest.fixture
def reading(request: pytest.FixtureRequest, tmp_path: Path, furnished: Path) -> Iterator[Reading]:
    """The state of the test's page, with a terminal of its own."""
    page: Path = request.getfixturevalue("page")
    if asks(page):
        server: Shared = request.getfixturevalue("shared")
        terminal = Terminal(tmp_path, server.port, {"PASSGATE_DATA": str(server.data)}, is_quick=True)
    else:
        terminal = Terminal(tmp_path, is_quick=True)
        if "PASSGATE_SECRETS_FILE=" not in page.read_text():  # a copy needs its original keys
            shutil.copytree(furnished, tmp_path / ".passgate")
    terminal.instead["localhost:1025"] = f"localhost:{free_port()}"
    made = Reading(terminal)
    if "postgresql" in page.name:
        made.postgres = postgres = request.getfixturevalue("postgres")
        url = terminal.instead["postgresql://passgate:PASSWORD@db.example.com/passgate"] = postgres.create_database()
        made.database = url.rpartition("/")[2]
    yield made
    terminal.stop()
    if made.postgres is not None:
        for left in (f'DATABASE "{made.database}"', "DATABASE passgate", "ROLE passgate", "ROLE passgate_serve"):
            made.postgres.sql(f"DROP {left}")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name_of(page), marks=[pytest.mark.pg] if "postgresql" in page.name else [])
        for page in PAGES
    ],
)
def test_every_block_runs_as_printed(page: Path, reading: Reading) -> None:
    for block in blocks(page):
        if block.name not in EXEMPT:
            reading.follow(block)


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: str(block.name))
async def test_a_script_of_the_guide(block: Block, shared: Shared, chromium: Browser) -> None:
    """A person who signed up with a passkey runs the script on a page of the same origin."""
    origin = f"http://localhost:{shared.port}"
    context = await chromium.new_context(locale="en-GB")
    page = await context.new_page()
    await page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    phone = await Pocket(page).device()
    await page.goto(f"{origin}/signup")
    await page.fill("input[name=email]", "script@example.com")
    await page.click("button[name=decision]")
    mailbox = await context.new_page()
    await mailbox.goto(f"{origin}/dev/mail")
    code = await mailbox.locator("article .big").first.inner_text()
    await page.fill("input[name=code]", code)
    await page.click("form[action='/signin/email-code'] button")
    await page.click("form[data-passkey] button")
    await page.wait_for_url("**/account/**")
    assert len(await phone.credentials()) == 1
    await context.clear_cookies()
    await page.goto(f"{origin}/docs")
    await page.evaluate(f"async () => {{ {block.text} }}")
    await page.goto(f"{origin}/account")
    assert await page.locator("main").get_attribute("data-page") == "account"
    await context.close()


def test_the_rules_that_a_guide_names_are_accepted() -> None:
    outcomes = re.findall(r"`(\{\"[^`]+\})`", (ROOT / "docs/guide/two-step.md").read_text())
    assert len(outcomes) >= 5
    for text in outcomes:
        assert is_reachable(FACTORS, Rules().changed(json.loads(text), FACTORS)), text


# -- completeness ----------------------------------------------------------------------------------


def test_what_is_exempt_is_there() -> None:
    assert set(EXEMPT) <= {block.name for page in PAGES for block in blocks(page)}


def test_a_block_that_nothing_runs_is_named(tmp_path: Path) -> None:
    reading = Reading(Terminal(tmp_path))
    with pytest.raises(AssertionError, match=r"README\.md:7"):
        reading.follow(Block(PAGES[0], 7, "brainfuck", "+", ""))
    with pytest.raises(AssertionError, match=r"README\.md:8"):
        reading.follow(Block(PAGES[0], 8, "sh", "false\n", ""))


def test_shapes() -> None:
    assert shape({"a": [["x"]], "b": True}) == {"a": [["x"]], "b": True}
    assert shape([{"a": 1}, {"b": 2}]) == [{"a": "int"}]
