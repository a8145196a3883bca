"""The server processes to measure: two bare servers and Passgate, with the CPU and memory they used."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


async def hello(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
    """A minimal ASGI application."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()  # type: ignore[operator]
            await send({"type": message["type"] + ".complete"})  # type: ignore[operator]
            if message["type"] == "lifespan.shutdown":
                return
    head = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": head})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"hello"})  # type: ignore[operator]


@dataclass
class Server:
    port: int
    process: psutil.Process
    cold_start: float

    def cpu(self) -> float:
        """Seconds of CPU so far, including child processes."""
        everybody = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in everybody)

    def pss(self) -> float:
        """Memory in megabytes: a page shared by n processes counts 1/n."""
        total = 0
        for one in [self.process, *self.process.children(recursive=True)]:
            text = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return total / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: list[str], port: int, path: str, cwd: Path | None = None, **env: str) -> Iterator[Server]:
    """Start the process, in the folder `cwd`, and yield it when it answers `path`."""
    began = time.perf_counter()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **env}, cwd=cwd, **quiet) as popen:
        try:
            while not _answers(port, path):
                if popen.poll() is not None or time.perf_counter() - began > 30:
                    raise RuntimeError(f"{command} did not start")
                time.sleep(0.005)
            yield Server(port, psutil.Process(popen.pid), time.perf_counter() - began)
        finally:
            popen.terminate()
            try:
                popen.wait(10)
            except subprocess.TimeoutExpired:
                popen.kill()


def _answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return link.recv(32).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def granian_hello() -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--no-ws"]
    command += ["--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--workers-kill-timeout", "3"]
    return started([*command, "bench.servers:hello"], port, "/")


def uvicorn_hello() -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--no-access-log", "--log-level", "error"]
    return started([*command, "bench.servers:hello"], port, "/")


_FASTAPI_HELLO = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
"""


def fastapi_hello(folder: Path) -> AbstractContextManager[Server]:
    """The least program that somebody would write on the same framework and server; it stands in `folder`."""
    port = free_port()
    (folder / "fastapi_hello.py").write_text(_FASTAPI_HELLO)
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--no-access-log", "--log-level", "error"]
    return started([*command, "--app-dir", str(folder), "fastapi_hello:app"], port, "/")


def passgate(data: Path, **env: str) -> AbstractContextManager[Server]:
    port = free_port()
    given = {"PASSGATE_PORT": str(port), **env}
    command = [sys.executable, "-m", "passgate.cli", "--data", str(data), "serve"]
    return started(command, port, "/readyz", None, **given)


def example(folder: Path, data: Path, **env: str) -> AbstractContextManager[Server]:
    """One of examples/, served as its Makefile does."""
    port = free_port()
    given = {"PASSGATE_PORT": str(port), "PASSGATE_DATA": str(data), **env}
    command = [sys.executable, "-m", "passgate.cli", "serve", "--app", "main:app"]
    return started(command, port, "/auth/readyz", folder, **given)


def passgate_on(data: Path, database_url: str) -> AbstractContextManager[Server]:
    env = {"PASSGATE_DATABASE_URL": database_url}
    migrate = [sys.executable, "-m", "passgate.cli", "--data", str(data), "migrate"]
    subprocess.run(migrate, env={**os.environ, **env}, check=True, capture_output=True)
    return passgate(data, **env)
