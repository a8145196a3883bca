"""The first hour of somebody new with an example: an empty home folder, the PATH of a fresh machine, a copy of the
project, and each block of the example's README as printed. What the terminals show is stored beside this file, and
`python -m tests.examples.first_hour` with the example's number writes it anew.

Not here: what the endpoints do.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.test_blocks import shape
from tests.examples.passkey_audit import Who
from tests.examples.passkey_audit_served import at
from tests.examples.programs import MADE, Served, folder_of
from tests.examples.seed_readme import commands
from tests.servers import free_port

PORTS = {2: 8002, 3: 5555, 4: 8004}
"""Of the examples that are lived through: what their READMEs print."""
TYPED = b"seventeen purple umbrellas\n"
"""What the README of example 2 says to type."""
COPIED = {"sessionID": "SESSION_ID", "id": "USER_ID", "refresh_token": "REFRESH_TOKEN", "task_id": "TASK_ID"}
"""Members of answers that a reader copies, with the words that stand for them on the pages."""
IN_ITS_FOLDER = (4,)
"""Whose README has the second terminal in the folder of the example, and not in the root."""
REFUSED_WHILE_RUNNING = "reset_db.py"
INSTALLED_WITHIN, ENDS_WITHIN, WORKS_WITHIN = 600.0, 20.0, 30.0
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".*_cache", ".hypothesis", "node_modules", *MADE)
WENT_WRONG, AT_WORK = re.compile('"success":false|"detail":'), re.compile('"(PENDING|STARTED)"')
OF_THE_MACHINE = re.compile(r"(PIP|UV|SSL)_\w+|\w+_CA_\w+|(?i:\w+_proxy)")
"""Variables that say where packages come from, as the machine of anybody has them; the cache of uv is one of them, so
that nothing is fetched twice."""


def stored(number: int) -> Path:
    return Path(__file__).with_name(f"first_hour_{number}.txt")


def machine(folder: Path, port: int) -> dict[str, str]:
    """The variables of a fresh machine: what a distribution has on its PATH, a Python, and an empty home."""
    home, programs = folder / "home", folder / "programs"
    home.mkdir()
    programs.mkdir()
    (programs / "python3").write_text(f'#!/bin/sh\nexec "{Path(sys.base_prefix) / "bin" / "python3"}" "$@"\n')
    (programs / "python3").chmod(0o755)
    given = {name: value for name, value in os.environ.items() if OF_THE_MACHINE.fullmatch(name)}
    cache = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
    path = os.pathsep.join((str(programs), "/usr/local/bin", "/usr/bin", "/bin"))
    return {**given, "UV_CACHE_DIR": cache, "PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "PORT": str(port)}


async def with_passkeys(port: int) -> dict[str, str]:
    """What the README of example 4 says to do in a browser, rightly and wrongly; what a reader copies there."""
    server = Served(4, Path("unused"))
    server.port = port
    async with at(server) as face:
        jane, john = [await face.person_of(f"{name}@example.com") for name in ("jane", "john")]
        token = await face.token_of(jane)
        assert (await face.enter(Who(jane.email, john.key))).status_code == 401
        assert (await face.show(john.id, token)).status_code == 403
    return {"ACCESS_TOKEN": token, "USER_ID": john.id}


IN_THE_BROWSER = {4: with_passkeys}


@dataclass
class Hour:
    """`printed`: what both terminals show, in the order of the README of the example `number`."""

    number: int
    project: Path
    env: dict[str, str]
    port: int
    printed: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    out: str = ""
    server: subprocess.Popen[bytes] | None = None

    def follow(self, block: Block) -> None:
        match block.language:
            case "sh" if "make " in block.text:
                self.start(block.text.strip())
            case "sh":
                if REFUSED_WHILE_RUNNING in block.text:
                    self.stop()
                self.commands(block.text)
            case "text":
                assert self.as_printed(self.out.strip()) == block.text.strip(), block.name
            case "json":
                assert shape(json.loads(self.out)) == shape(json.loads(block.text)), block.name
            case _:
                raise AssertionError(f"{block.name}: nothing runs this")

    # -- the first terminal ------------------------------------------------------------------------

    def start(self, command: str) -> None:
        """A server, which the second terminal's commands talk to. What a line reads without showing it is typed."""
        assert self.server is None
        self.printed += [f"$ {line}" for line in command.splitlines()]
        place = self.project.parent
        with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
            self.server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.project,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        assert self.server.stdin is not None
        with self.server.stdin as keys:
            keys.write(TYPED)
        self.out = self._ready(self.server, place / "out")
        self.printed.append(self.out)
        if self.number in IN_THE_BROWSER:
            self.known |= asyncio.run(IN_THE_BROWSER[self.number](self.port))

    def _ready(self, server: subprocess.Popen[bytes], out: Path) -> str:
        give_up = time.monotonic() + INSTALLED_WITHIN
        while not out.read_text().endswith("\n"):
            assert server.poll() is None, self.complaints
            assert time.monotonic() < give_up, self.complaints
            time.sleep(0.01)
        return self.as_printed(out.read_text().strip())

    @property
    def complaints(self) -> str:
        """What the server's terminal shows besides, the log."""
        return (self.project.parent / "err").read_text()

    def stop(self) -> None:
        """Press Ctrl+C in the first terminal. It ends by itself; make reports the signal."""
        server, self.server = self.server, None
        assert server is not None
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(ENDS_WITHIN)
        finally:
            self._kill(server)
        self.printed.append("^C")

    @staticmethod
    def _kill(server: subprocess.Popen[bytes]) -> None:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    # -- the second terminal -----------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        return self.project / "examples" / folder_of(self.number).name if self.number in IN_ITS_FOLDER else self.project

    def commands(self, text: str) -> None:
        for written in commands(text):
            command = re.sub(r"\s*\\?\n\s*", " ", written)
            self.printed.append(f"$ {command}")
            filled = re.sub("|".join(self.known) or r"\Z\A", lambda found: self.known[found[0]], command)
            self._ask(command, filled.replace(f"localhost:{PORTS[self.number]}", f"localhost:{self.port}"))
            self._learn()
            self.printed += [self.as_printed(self.out.strip())] if self.out else []

    def _ask(self, command: str, asked: str) -> None:
        """What is still at work is asked about again."""
        give_up = time.monotonic() + WORKS_WITHIN
        while True:
            done = subprocess.run(
                ["sh", "-c", asked], check=False, cwd=self.folder, env=self.env, capture_output=True, text=True
            )
            self.out = done.stdout
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert not WENT_WRONG.search(self.out), f"{command}: {self.out}"
            if not AT_WORK.search(self.out) or time.monotonic() > give_up:
                return

    def _learn(self) -> None:
        """What a reader copies from an answer."""
        answer: Any = json.JSONDecoder().raw_decode(self.out)[0] if self.out.startswith("{") else {}
        for name, word in COPIED.items():
            if answer.get(name):
                self.known[word] = answer[name]
        if "access_token" in answer:
            is_pair = answer["refresh_token"] is not None
            self.known["ACCESS_TOKEN" if is_pair else "FIRST_STEP"] = answer["access_token"]
        if code := re.fullmatch(r'"code":"(\d+)"\s*', self.out):
            self.known["CODE"] = code[1]

    def as_printed(self, text: str) -> str:
        """The text without what differs from one hour to the next."""
        for word, value in self.known.items():
            text = text.replace(value, word)
        text = text.replace(f"localhost:{self.port}", f"localhost:{PORTS[self.number]}")
        text = re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d\.\d{6})?|T[\d:]+\.\d{6}Z)", "DATE TIME", text)
        text = re.sub(r"\d+ sealed, \d+ not", "SOME sealed, SOME not", text)
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


@contextmanager
def hour(number: int) -> Iterator[Hour]:
    folder = Path(tempfile.mkdtemp(prefix="first-hour-"))
    try:
        shutil.copytree(ROOT, folder / "passgate", ignore=LEFT_OUT, symlinks=True)
        port = free_port()
        made = Hour(number, folder / "passgate", machine(folder, port), port)
        try:
            yield made
        finally:
            if made.server is not None:
                made._kill(made.server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lived(one: Hour) -> str:
    """Follow the README from top to bottom and stop; what the terminals show."""
    for block in blocks(folder_of(one.number) / "README.md"):
        one.follow(block)
    if one.server is not None:
        one.stop()
    return "\n".join(one.printed) + "\n"


def main() -> None:
    for number in map(int, sys.argv[1:]):
        with hour(number) as one:
            stored(number).write_text(lived(one))


if __name__ == "__main__":
    main()
