"""A reader's terminal: runs shell blocks as printed, one after the other, in a folder and an environment of its own.

Not here: what a block should do.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.request import ProxyHandler, Request, build_opener

from tests import zygote
from tests.docs.blocks import ROOT, Block
from tests.servers import free_port

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
PRINTED_PORT, SECOND_PORT = 8000, 8001
READY_WITHIN = 60.0
STOP_WITHIN = 20.0
ENDS_WITHIN = 60.0
DIRECTLY = build_opener(ProxyHandler({}))
SERVES = re.compile(
    r"(?:\.venv/bin/)?(?:passgate (?:--data \S+ )?(?:serve(?: --app \w+:\w+)?|worker)"
    r"|uvicorn \w\S*(?P<second> --port 8001)?)$"
)
"""A command that runs until it is stopped. It is the only line of its block, or the last one. `second`: a program
beside the one that the page is about."""


@dataclass
class Terminal:
    """`port` replaces the printed 8000, and `second` 8001. Variables and the current folder persist from block to
    block."""

    folder: Path
    port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    """Other printed texts, each with its replacement."""
    second: int = field(default_factory=free_port)
    is_quick: bool = False
    """Whether commands and servers are forked (tests.zygote); otherwise the installed programs run."""
    out: str = ""
    _groups: list[int] = field(default_factory=list)
    _served: list[tuple[str, subprocess.Popen[bytes] | zygote.Process]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tools, self.cwd = self.folder / ".tools", self.folder
        self._tools.mkdir()
        self._tool("curl", "curl.py")
        if self.is_quick:
            self._tool("passgate", "client.py")
        self.env = {
            "PATH": os.pathsep.join(map(str, (self._tools, BIN, os.environ.get("PATH", os.defpath)))),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PASSGATE_PORT": str(self.port),
            "PORT": str(self.port),
            **({"DOCS_ZYGOTE": zygote.listening()} if self.is_quick else {}),
            "DOCS_ANSWERS": str(self._tools / "answers.json"),
            **self.env,
        }

    def _tool(self, name: str, module: str) -> None:
        program = self._tools / name
        argv = shlex.join([sys.executable, "-I", "-S", str(HERE / module)])
        program.write_text(f'#!/bin/sh\nexec {argv} "$@"\n')
        program.chmod(0o755)

    def here(self, text: str) -> str:
        """The text with this terminal's ports and its other replacements of printed texts."""
        for printed, real in self.instead.items():
            text = text.replace(printed, real)
        ports = {str(PRINTED_PORT): str(self.port), str(SECOND_PORT): str(self.second)}
        return re.sub(rf"(?<=localhost:)({'|'.join(ports)})\b", lambda found: ports[found[0]], text)

    def save(self, block: Block) -> Path:
        assert block.file, f"{block.name}: nothing says what to save it as"
        path = self.cwd / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(block.text))
        return path

    # -- commands ----------------------------------------------------------------------------------

    def run(self, block: Block, script: str | None = None) -> str:
        """Run a block; its output. The test fails if any of its commands fails."""
        *before, last = (script if script is not None else block.text).rstrip().split("\n")
        served = SERVES.fullmatch(last)
        commands = self.here("\n".join([*before, *([] if served else [last])]))
        self.out = self._run(block, commands) if commands.strip() else ""
        if served:
            self.serve(block, last)
        return self.out

    def _run(self, block: Block, commands: str) -> str:
        state, where, out = self._tools / "env", self._tools / "pwd", self._tools / "out"
        script = f"{commands}\nenv -0 >{shlex.quote(str(state))}\npwd >{shlex.quote(str(where))}\n"
        # Output goes to files, because a background process of the block would hold a pipe open.
        with out.open("wb") as printed, (self._tools / "err").open("wb") as complained:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=complained,
                start_new_session=True,
            )
            if re.search(r"&$", commands, re.MULTILINE):  # `stop` ends background processes
                self._groups.append(process.pid)
            code = process.wait(ENDS_WITHIN)
        outcomes, wrong = out.read_text(), (self._tools / "err").read_text()
        assert code == 0, f"{block.name} ended with {code}\n{outcomes}\n{wrong}"
        self.env = dict(pair.split("=", 1) for pair in state.read_text().split("\0") if pair)
        self.cwd = Path(where.read_text().strip())
        return outcomes

    # -- servers and workers -----------------------------------------------------------------------

    def serve(self, block: Block, command: str) -> None:
        """Start or restart a command, and return once it answers."""
        self.stop(command)
        argv = shlex.split(command)
        port = self.second if str(SECOND_PORT) in argv else self.port
        if "uvicorn" in argv[0]:
            argv = [*argv[:2], "--port", str(port)]
        log = self._tools / f"log-{len(self._served)}-{time.monotonic_ns()}"
        with log.open("wb") as out:
            process = self._started(argv, out)
        self._served.append((command, process))
        if argv[-1] == "worker":
            return
        give_up = time.monotonic() + READY_WITHIN
        while not self._answers(port):
            assert process.poll() is None, f"{block.name} ended\n{log.read_text()[-3000:]}"
            assert time.monotonic() < give_up, f"{block.name} does not answer\n{log.read_text()[-3000:]}"
            time.sleep(0.05)

    def _started(self, argv: list[str], out: IO[bytes]) -> subprocess.Popen[bytes] | zygote.Process:
        if self.is_quick:
            module = {"passgate": "passgate.cli"}.get(argv[0], argv[0])
            return zygote.Process(module, *argv[1:], cwd=self.cwd, env=self.env, stdout=out, stderr=out)
        if argv[0] == "passgate":
            argv[0] = str(BIN / "passgate")
        # `env` finds the program on this terminal's PATH, as a shell would.
        return subprocess.Popen(
            ["/usr/bin/env", *argv],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )

    def _answers(self, port: int) -> bool:
        """Whether a server is there. Any response counts, an error too."""
        try:
            asked = Request(f"http://127.0.0.1:{port}/healthz", headers={"Host": f"localhost:{port}"})
            with DIRECTLY.open(asked, timeout=5):
                return True
        except OSError as error:
            return getattr(error, "code", None) is not None

    def stop(self, command: str = "") -> None:
        """Stop one command, or all of them and then the background processes of blocks. Commands end by SIGTERM."""
        for started, process in self._served[:]:
            if command in ("", started):
                self._served.remove((started, process))
                if process.poll() is None:
                    process.terminate()
                try:
                    code = process.wait(STOP_WITHIN)
                finally:
                    process.kill()
                    process.wait()
                assert code in (0, -15), f"{started} ended with {code}"
        if not command:
            for group in self._groups:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
            self._groups.clear()


def dry(make: str) -> list[str]:
    """`make demo` as a command that only prints what it would do, and fails if a target does not exist."""
    return ["make", "-n", "-C", str(ROOT), *shlex.split(make, comments=True)[1:]]


def answers(terminal: Terminal) -> Any:
    """The response to the last `curl` of this terminal."""
    path = Path(terminal.env["DOCS_ANSWERS"])
    return json.loads(path.read_text())["last"] if path.exists() else None
