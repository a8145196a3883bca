"""`python -m MODULE` without the second that its imports take: a process that has imported everything and forks for
each.

`Process` starts one. Run as a module, this is the process that forks, and listens on a socket, where the command
`passgate` of the tests of the documentation asks it too (tests/docs/client.py). What is started is unchanged: a process
with its own arguments, folder, variables, streams, session, signals and exit code.

Not here: what is started. Tests about the start itself, and those that put a command before it, start an interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent
LONGEST = 1 << 17
READY_WITHIN = 60.0
IMPORTED = (
    *("passgate.app", "passgate.cli", "passgate.cli.server", "passgate.cli.sockets", "passgate.core.operate"),
    *("passgate.store.migrate", "passgate.testing", "tests.kit", "tests.tenancy"),
    *("alembic.command", "asyncpg", "uvicorn.lifespan.off", "uvicorn.protocols.http.httptools_impl", "uvloop"),
)
"""What takes long. No thread, no connection and no randomness comes of it."""


class Process:
    """Like the `subprocess.Popen` of `python -m MODULE ARGUMENTS`, in a session of its own."""

    def __init__(
        self,
        module: str,
        *argv: str,
        cwd: Path,
        env: Mapping[str, str],
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> None:
        """`stdout`, `stderr`: files, PIPE for text to read, or DEVNULL. Nothing can be read from its standard input."""
        self.returncode: int | None = None
        self._module = module
        path, self._asked = listening(), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asked.connect(path)
        order = {"module": module, "argv": argv, "cwd": str(cwd), "env": dict(env)}
        with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123  as a stream
            self.stdout, out = _stream(stdout, nothing)
            self.stderr, err = _stream(stderr, nothing)
            socket.send_fds(self._asked, [json.dumps(order).encode()], [nothing.fileno(), out, err])
        for made, end in ((self.stdout, out), (self.stderr, err)):
            if made is not None:
                os.close(end)
        pid, [self._pidfd], _, _ = socket.recv_fds(self._asked, LONGEST, 1)
        self.pid = int(pid)

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._asked], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._module, timeout or 0)
            self.returncode = int(self._asked.recv(LONGEST))
            self._asked.close()
            os.close(self._pidfd)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _stream(wanted: int | IO[Any], nothing: IO[Any]) -> tuple[IO[str] | None, int]:
    """What we read of it, and the descriptor that the process gets."""
    if wanted == subprocess.PIPE:
        ours, theirs = os.pipe()
        return open(ours), theirs  # noqa: PTH123  the caller closes it
    return None, nothing.fileno() if isinstance(wanted, int) else wanted.fileno()


@lru_cache(1)
def listening() -> str:
    """The socket of this test process's zygote, which is started when first needed and ends with the test process."""
    folder = tempfile.mkdtemp(prefix="zygote-")  # a socket's path must be short
    path = Path(folder, "socket")
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(path)], stdin=subprocess.PIPE, cwd=ROOT, env=env, start_new_session=True
    )

    def end() -> None:
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    give_up = time.monotonic() + READY_WITHIN
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return str(path)


# -- the process that forks ------------------------------------------------------------------------


class _Forking:
    """The process that forks. It ends with the test process, which holds its standard input."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._events = selectors.PollSelector()  # unlike epoll, it shares nothing with the processes that are forked
        for source in (sys.stdin, listener):
            self._events.register(source, selectors.EVENT_READ)

    def next(self) -> tuple[dict[str, Any], list[int]]:
        """Returns in each process that is forked, with what it has to be, and never in this one."""
        while True:
            for key, _ in self._events.select():
                if key.fileobj is sys.stdin:
                    sys.exit()
                if key.fileobj is not self._listener:
                    self._report(key.fd, *key.data)
                elif (found := self._fork()) is not None:
                    return found

    def _fork(self) -> tuple[dict[str, Any], list[int]] | None:
        asking, _ = self._listener.accept()
        order, streams, _, _ = socket.recv_fds(asking, LONGEST, 3)
        pid = os.fork()
        if pid == 0:
            asking.close()
            self._close()
            return json.loads(order), streams
        for stream in streams:
            os.close(stream)
        descriptor = os.pidfd_open(pid)
        self._events.register(descriptor, selectors.EVENT_READ, (pid, asking))
        socket.send_fds(asking, [str(pid).encode()], [descriptor])
        return None

    def _report(self, descriptor: int, pid: int, asking: socket.socket) -> None:
        """The exit code of a process that has ended, to whom started it, if they are still there."""
        self._events.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with asking, suppress(OSError):
            asking.send(str(code).encode())

    def _close(self) -> None:
        self._listener.close()
        for key in self._events.get_map().values():
            if key.data is not None:
                os.close(key.fd)
                key.data[1].close()


def _become(order: dict[str, Any], streams: list[int], installed: list[str]) -> None:
    """What an interpreter that is started with these does, from here on. `installed`: where it finds packages."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    more = order["env"].get("PYTHONPATH", "")
    sys.path[:] = [order["cwd"], *(more.split(os.pathsep) if more else ()), *installed]
    sys.argv[1:] = order["argv"]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def main(path: Path) -> None:
    installed = [place for place in sys.path[1:] if place != str(ROOT)]
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    listener, fresh = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), path.with_suffix(".new")
    listener.bind(str(fresh))
    listener.listen()
    fresh.rename(path)  # from now on there is somebody to ask
    _become(*_Forking(listener).next(), installed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
