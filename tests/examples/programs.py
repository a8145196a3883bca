"""The programs of examples/, as their tests run them: inside the test with a clock of its own, or as processes.

Not here: tests, and anything that one example does.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from starlette.testclient import TestClient

from passgate.testing import Gate
from tests import kit
from tests.processes import ROOT, Server, ServerFault, client_for

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"


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


class Served(Server):
    """An example as a process of its own, served by `passgate serve --app` from its folder, with its `.env`."""

    def __init__(
        self, number: int, data: Path, database_url: str | None = None, env: dict[str, str] | None = None, **given: str
    ) -> None:
        """`env`: variables as they are; `given`: names without PASSGATE_."""
        super().__init__(data, database_url, **given)
        self._env |= env or {}
        self._folder, self._name = folder_of(number), f"Example {number}"

    def launch(self) -> None:
        self._launch("passgate.cli", "serve", "--app", "main:app", "--name", self._name, cwd=self._folder)

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
