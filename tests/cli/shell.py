"""How tests run the command line: `Shell` calls it in this process, `Running` is a real server process.

Settings are passed as environment variables only. Not here: what a command does.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from passgate.cli import main
from tests.zygote import Process

CHEAP = {"PASSGATE_HASH__MEMORY_KIB": "8192", "PASSGATE_HASH__PASSES": "1"}
READY_WITHIN = 60.0
STOP_WITHIN = 30.0


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def codes(self) -> list[str]:
        """The codes on stderr: the first word of each line like `CODE text` or `code: message`."""
        return re.findall(r"^([A-Z][A-Z_]{3,}|[a-z_]+)(?=[ :])", self.err, re.MULTILINE)


class Shell:
    """Runs `passgate` in this process, with its own data folder and settings."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str], **settings: str) -> None:
        self.data = data
        # Port 0: other programs of this machine may have 8000.
        self.env = {**CHEAP, "PASSGATE_PORT": "0", "PASSGATE_DATA": str(data)} | {
            f"PASSGATE_{key}": value for key, value in settings.items()
        }
        self._capsys = capsys

    def __call__(self, *argv: str, typed: str = "", **settings: str) -> Done:
        env = self.env | {f"PASSGATE_{key}": value for key, value in settings.items()}
        with pytest.MonkeyPatch.context() as patch, untouched_logging():
            for name in [name for name in os.environ if name.startswith("PASSGATE_")]:
                patch.delenv(name)
            for name, value in env.items():
                patch.setenv(name, value)
            patch.chdir(self.data.parent)
            patch.setattr(sys, "argv", ["passgate", *argv])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
            with pytest.raises(SystemExit) as left:
                main()
        captured = self._capsys.readouterr()
        return Done(int(left.value.code or 0), captured.out, captured.err)


@contextmanager
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)


class Running:
    """A serving process. `with` starts it and returns once it reports that it is ready."""

    def __init__(self, command: str, data: Path, *argv: str, **settings: str) -> None:
        given = {**CHEAP, "PASSGATE_PORT": "0"} | {f"PASSGATE_{key}": value for key, value in settings.items()}
        self._argv = ["--data", str(data), command, *argv]
        self._env = {"PATH": os.environ.get("PATH", os.defpath), **given}
        self.data = data
        self.out: list[str] = []
        self.err: list[str] = []

    def __enter__(self) -> Self:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = Process("passgate.cli", *self._argv, cwd=self.data.parent, env=self._env, **streams)
        pairs = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self._readers = [threading.Thread(target=_drain, args=pair, daemon=True) for pair in pairs]
        for reader in self._readers:
            reader.start()
        give_up = time.monotonic() + READY_WITHIN
        while not any("ready" in line for line in self.out):
            assert self.process.poll() is None, "".join(self.err)
            assert time.monotonic() < give_up, "".join(self.err)
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._ended()

    @property
    def url(self) -> str:
        return str(re.findall(r"https?://\S+", "".join(self.out))[0])

    @property
    def port(self) -> int:
        found = re.search(r":(\d+)", "".join(self.out))
        assert found is not None
        return int(found[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the process to end; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(STOP_WITHIN)
        self._ended()
        return code

    def _ended(self) -> None:
        self.process.wait(STOP_WITHIN)
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def http(self, address: str = "127.0.0.1") -> httpx2.Client:
        headers = {"Host": f"localhost:{self.port}"}
        # Plain HTTP needs no certificate store, and reading it takes longer than the rest of the test.
        return httpx2.Client(
            base_url=f"http://{address}:{self.port}", headers=headers, trust_env=False, timeout=30, verify=False
        )

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err]


def _drain(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines.append(line)
