"""What a start costs: from the process to the first answer, idle memory, and commands; beside bare programs in turn
with them. Of each the least of all rounds: whatever else the machine does only adds.

Not here: requests to a server that runs (`__main__`).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from bench import servers
from bench.servers import Server

Row = Callable[..., None]

COMMANDS = (("user", "list"), ("role", "list"), ("audit", "verify"), ("doctor",), ("migrate",), ("--help",))
IDLE = 3
"""Seconds after which a server has made what it leaves for after its start."""


def start_rows(row: Row, *, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        _command("--data", str(data), "user", "add", "anna@example.com")
        kinds: dict[str, Callable[[], AbstractContextManager[Server]]] = {
            "hello on uvicorn": servers.uvicorn_hello,
            "hello on FastAPI and uvicorn": partial(servers.fastapi_hello, Path(folder)),
            "`passgate serve`, its database is there": partial(servers.passgate, data),
        }
        for started in kinds.values():  # byte-code, and files that are read for the first time
            with started():
                pass
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(times):
            for name, started in kinds.items():
                with started() as server:
                    found[name].append((server.cold_start, server.cpu()))
        least = {name: [min(one) for one in zip(*got, strict=True)] for name, got in found.items()}
        _, bare = least["hello on FastAPI and uvicorn"]
        for name, started in kinds.items():
            with started() as server:
                time.sleep(IDLE)
                row(name, *least[name], least[name][1] / bare, server.pss())


def command_rows(row: Row, *, times: int) -> None:
    with tempfile.TemporaryDirectory() as data:
        passgate = ("-m", "passgate.cli", "--data", data)
        _command("--data", data, "user", "add", "anna@example.com")
        kinds = {
            "an interpreter that ends": ("-c", "pass"),
            "`import fastapi`": ("-c", "import fastapi"),
            **{f"`passgate {' '.join(argv)}`": (*passgate, *argv) for argv in COMMANDS},
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(times):
            for name, argv in kinds.items():
                found[name].append(_cost(*argv))
        least = {name: [min(one) for one in zip(*got, strict=True)] for name, got in found.items()}
        _, bare = least["`import fastapi`"]
        for name, (wall, cpu) in least.items():
            row(name, wall, cpu, cpu / bare)


def _command(*argv: str) -> None:
    subprocess.run([sys.executable, "-m", "passgate.cli", *argv], check=True, capture_output=True)


def _cost(*argv: str) -> tuple[float, float]:
    """Seconds from start to end, and of CPU."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *argv], check=False, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
