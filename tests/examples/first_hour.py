"""The first hour of somebody new with an example: an empty home folder, the PATH of a fresh machine, a copy of the
project, and each block of the example's README as printed. What the terminals show is stored beside this file, and
`python -m tests.examples.first_hour` writes it anew.

Not here: what the endpoints do.
"""

from __future__ import annotations

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
from tests.servers import free_port

EXAMPLE = ROOT / "examples" / "2-session-rbac"
STORED = Path(__file__).with_name("first_hour.txt")
TYPED = b"seventeen purple umbrellas\n"
"""What the README says to type."""
INSTALLED_WITHIN, ENDS_WITHIN = 600.0, 20.0
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".passgate", ".*_cache", ".hypothesis", "__pycache__", "node_modules"
)
OF_THE_MACHINE = re.compile(r"(PIP|UV|SSL)_\w+|\w+_CA_\w+|(?i:\w+_proxy)")
"""Variables that say where packages come from, as the machine of anybody has them; the cache of uv is one of them, so
that nothing is fetched twice."""


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


@dataclass
class Hour:
    """`printed`: what both terminals show, in the order of the README."""

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
                self.commands(block.text)
            case "text":
                assert self.out.strip() == block.text.strip(), block.name
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

    def commands(self, text: str) -> None:
        for command in re.sub(r"\\\n\s*", "", text).strip().splitlines():
            self.printed.append(f"$ {command}")
            filled = re.sub("|".join(self.known) or r"\Z\A", lambda found: self.known[found[0]], command)
            asked = filled.replace("localhost:8002", f"localhost:{self.port}")
            done = subprocess.run(
                ["sh", "-c", asked], check=False, cwd=self.project, env=self.env, capture_output=True, text=True
            )
            self.out = done.stdout
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert '"success":false' not in self.out, f"{command}: {self.out}"
            self._learn()
            self.printed += [self.as_printed(self.out.strip())] if self.out else []

    def _learn(self) -> None:
        """What a reader copies from an answer."""
        answer: Any = json.loads(self.out) if self.out.startswith("{") else {}
        for name, word in (("sessionID", "SESSION_ID"), ("id", "USER_ID")):
            if name in answer:
                self.known[word] = answer[name]

    def as_printed(self, text: str) -> str:
        """The text without what differs from one hour to the next."""
        for word, value in self.known.items():
            text = text.replace(value, word)
        text = text.replace(f"localhost:{self.port}", "localhost:8002")
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE TIME", text)
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


@contextmanager
def hour() -> Iterator[Hour]:
    folder = Path(tempfile.mkdtemp(prefix="first-hour-"))
    try:
        shutil.copytree(ROOT, folder / "passgate", ignore=LEFT_OUT, symlinks=True)
        port = free_port()
        made = Hour(folder / "passgate", machine(folder, port), port)
        try:
            yield made
        finally:
            if made.server is not None:
                made._kill(made.server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lived(one: Hour) -> str:
    """Follow the README from top to bottom and stop; what the terminals show."""
    for block in blocks(EXAMPLE / "README.md"):
        one.follow(block)
    one.stop()
    return "\n".join(one.printed) + "\n"


def main() -> None:
    with hour() as one:
        STORED.write_text(lived(one))


if __name__ == "__main__":
    main()
