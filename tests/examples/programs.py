"""The programs of examples/, as their tests run them: inside the test with a clock of its own, or as processes.

Not here: tests, and anything that one example does.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import httpx2
from starlette.testclient import TestClient

from passgate.app import Passgate
from passgate.testing import Gate
from tests import kit
from tests.processes import ROOT, Server, ServerFault, client_for

T = TypeVar("T")
By = Literal["passgate", "uvicorn"]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
PATIENCE = 120.0
"""Seconds in which something that takes its time has to come."""
MADE = ("__pycache__", ".passgate*", "app.db*", "app.log", "app.lock", "app.pid")
"""What a program leaves in its folder."""


def folder_of(number: int) -> Path:
    [found] = (ROOT / "examples").glob(f"{number}-*")
    return found


@cache
def module(number: int, name: str = "program") -> ModuleType:
    """A module of an example. Those of two examples may have the same name, so none stays where Python would find it
    for the other."""
    folder = str(folder_of(number))
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        for known, found in list(sys.modules.items()):
            if str(getattr(found, "__file__", "")).startswith(folder + "/"):
                del sys.modules[known]


@contextmanager
def client_of(app: Any, gate: Gate, **more: Any) -> Iterator[TestClient]:
    """A program inside the test, started, with a client on this machine. A fault of the program is the test's."""
    asyncio.run(kit.make_quick(gate))
    about = {"base_url": gate.settings.url, "client": ("127.0.0.1", 50000), "follow_redirects": False, **more}
    with TestClient(app, headers={"user-agent": FIREFOX}, **about) as client:
        yield client


# -- processes -------------------------------------------------------------------------------------


def copy_of(number: int, folder: Path) -> Path:
    """The folder of an example that writes into it, as it is in a fresh checkout."""
    return Path(shutil.copytree(folder_of(number), folder, ignore=shutil.ignore_patterns(*MADE)))


class Served(Server):
    """An example as a process of its own, from its folder or a copy of it, with its `.env`: by `passgate serve --app`,
    or by uvicorn alone."""

    def __init__(
        self,
        number: int,
        data: Path,
        database_url: str | None = None,
        env: dict[str, str] | None = None,
        *,
        folder: Path | None = None,
        app: str = "main:app",
        by: By = "passgate",
        **given: str,
    ) -> None:
        """`env`: variables as they are; `given`: names without PASSGATE_."""
        super().__init__(data, database_url, **given)
        self._env |= env or {}
        self._folder, self._name = folder or folder_of(number), f"Example {number}"
        self._command = {
            "passgate": ["passgate.cli", "serve", "--app", app, "--name", self._name],
            "uvicorn": ["uvicorn", app, "--port", str(self.port), "--log-level", "debug", "--app-dir", "."],
        }[by]

    def launch(self) -> None:
        self._launch(*self._command, cwd=self._folder)

    async def ready(self) -> None:
        """Return when it answers below its own mount."""
        async with client_for(self) as http:
            for _ in range(1200):
                if self._process is None or self._process.poll() is not None:
                    break
                with suppress(Exception):
                    if (await http.get("/auth/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.03)
        raise ServerFault(f"{self._name} did not start: {self.log()[-2000:]}")

    def ended(self) -> int | None:
        """Wait for the process, which ends by itself; its exit code."""
        assert self._process is not None
        code = self._process.wait(30)
        self._process = None
        return code

    async def refused(self) -> set[str]:
        """Start it, which it refuses; the codes of its reasons."""
        self.launch()
        try:
            assert await asyncio.to_thread(self.ended) != 0
        finally:
            self.kill9()
        assert "Traceback" not in self.log()
        assert "is ready" not in self.log()
        return {line.split()[0] for line in self.log().splitlines() if line.split()[0].isupper()}


@asynccontextmanager
async def running(*servers: Server, has_faults: bool = False) -> AsyncIterator[None]:
    """Started at the same moment, stopped orderly at the end. A fault in their log fails the test, unless it has some
    on purpose."""
    try:
        for server in servers:
            server.launch()
        await asyncio.gather(*(server.ready() for server in servers))
        yield
        for server in servers:
            await server.stop()
    finally:
        for server in servers:
            server.kill9()
    for server in servers:
        if not has_faults:
            server.no_faults()


@asynccontextmanager
async def inside(data: Path, database_url: str | None = None) -> AsyncIterator[Passgate]:
    """A view of the database of servers that others start."""
    made = Passgate(kit.settings_for(data, database_url))
    try:
        yield made
    finally:
        await made.close()


async def until(ask: Callable[[], Awaitable[T]], is_over: Callable[[T], bool]) -> T:
    """Ask again until it is; the last answer. What a dead process had begun is taken up by another after a while."""
    give_up = time.monotonic() + PATIENCE
    while True:
        answer = await ask()
        if is_over(answer) or time.monotonic() > give_up:
            return answer
        await asyncio.sleep(0.3)


def codes(answers: Iterable[httpx2.Response]) -> Counter[int]:
    """How often each status came. An answer of 500 or above fails."""
    found = Counter(answer.status_code for answer in answers)
    assert all(code < 500 for code in found), found
    return found
