"""The units of docs/operate: systemd reads them, and a server takes the socket over that a launcher holds open, as
systemd does.

Not here: what `passgate serve` does with sockets of its own (tests/cli).
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from passgate.cli.server import GRACE
from tests.cli.shell import CHEAP
from tests.docs import samples
from tests.docs.samples import sample

LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "passgate.cli", *sys.argv[2:]])
"""
"""What systemd does between fork and exec."""


def unit(number: int) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(sample("systemd.md", "ini", number))
    return found


def test_the_units_name_what_there_is() -> None:
    service, listens = unit(0)["Service"], unit(1)["Socket"]
    name, _, value = service["Environment"].partition("=")
    assert name in samples.VARIABLES
    assert value == f"/var/lib/{service['StateDirectory']}"
    assert int(service["TimeoutStopSec"]) > GRACE
    assert listens["ListenStream"] == "127.0.0.1:8000"
    program, *arguments = service["ExecStart"].split()
    assert Path(program).name == "passgate"
    asked = [str(Path(sys.executable).parent / "passgate"), *arguments, "--help"]
    done = subprocess.run(asked, check=False, capture_output=True)
    assert done.returncode == 0


def test_the_folder_of_a_socket_is_made() -> None:
    """systemd removes it at each end of the service, and nobody else may make one in /run."""
    pages = {page.name: page.read_text() for page in samples.page_names()}
    folders = set(re.findall(r"PASSGATE_HOST=unix:/run/(\w+)/socket", "".join(pages.values())))
    assert folders
    assert folders == set(re.findall(r"RuntimeDirectory=(\w+)", pages["systemd.md"]))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "passgate"
    for number, name in enumerate(("passgate.service", "passgate.socket")):
        text = sample("systemd.md", "ini", number).replace("/srv/passgate/.venv/bin/passgate", str(program))
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "passgate" in line] == []


class Launched:
    """`passgate serve` with a socket that this process holds."""

    def __init__(self, listening: socket.socket, data: Path, **settings: str) -> None:
        env = {"PATH": os.environ["PATH"], **CHEAP, **{f"PASSGATE_{key}": value for key, value in settings.items()}}
        os.set_inheritable(listening.fileno(), True)
        argv = [sys.executable, "-c", LAUNCHER, str(listening.fileno()), "--data", str(data), "serve"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(
            argv, env=env, cwd=data.parent, pass_fds=[listening.fileno()], text=True, **pipes
        )  # type: ignore[call-overload]

    def line(self) -> str:
        return str(self.process.stdout.readline())

    def stop(self) -> int:
        self.process.terminate()
        return self.end()

    def end(self) -> int:
        self.err = self.process.communicate(timeout=40)[1]
        return int(self.process.returncode)


def by_address() -> tuple[socket.socket, Callable[[], httpx2.Client]]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listening.getsockname()[1]
    return listening, lambda: httpx2.Client(
        base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=40, verify=False
    )


def test_a_restart_refuses_nobody(tmp_path: Path) -> None:
    """While one server ends and the next one starts, requests wait, and each is answered."""
    listening, client = by_address()
    statuses: list[int | str] = []
    is_over = threading.Event()

    def visits() -> None:
        while not is_over.is_set():
            try:
                with client() as http:
                    statuses.append(http.get("/healthz").status_code)
            except httpx2.TransportError as fault:
                statuses.append(repr(fault))
            time.sleep(0.01)

    with listening:
        first = Launched(listening, tmp_path / "data", WORKERS="2")
        assert f"127.0.0.1:{listening.getsockname()[1]}" in first.line()
        visitor = threading.Thread(target=visits)
        visitor.start()
        time.sleep(0.3)
        before = len(statuses)
        assert first.stop() == 0
        second = Launched(listening, tmp_path / "data")
        assert "ready" in second.line()
        time.sleep(0.3)
        is_over.set()
        visitor.join()
        assert second.stop() == 0
    assert (0 < before < len(statuses), set(statuses)) == (True, {200})


def test_a_unix_socket_of_systemd_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        server = Launched(listening, tmp_path / "data")
        assert f"unix:{path}" in server.line()
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://localhost") as http:
            assert http.get("/healthz").status_code == 200
        assert server.stop() == 0
        assert path.exists()


@pytest.mark.parametrize(
    ("family", "kind", "address", "code"),
    [
        (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1", "SOCKETS_INHERITED"),
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", "SOCKETS_INHERITED"),
        (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", "DEVELOPMENT_BIND"),
    ],
    ids=["datagrams", "not listening", "for all"],
)
def test_a_socket_that_will_not_do(family: int, kind: int, address: str, code: str, tmp_path: Path) -> None:
    """Development serves this machine alone, whoever opened the socket."""
    with socket.socket(family, kind) as listening:
        listening.bind((address, 0))
        if code == "DEVELOPMENT_BIND":
            listening.listen()
        refused = Launched(listening, tmp_path / "data")
        assert refused.end() == 1
    assert [line.split()[0] for line in refused.err.splitlines()] == [code]


def test_a_socket_for_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """LISTEN_PID names another process: the variables were inherited by mistake."""
    env = {"PATH": os.environ["PATH"], "PASSGATE_PORT": "0", "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    argv = [sys.executable, "-m", "passgate.cli", "--data", str(tmp_path / "data"), "doctor"]
    done = subprocess.run(argv, env=env, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ok\n")
