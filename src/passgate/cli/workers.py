"""Several serving processes on the same sockets: start them, replace one that dies, end them together.

Not here: what one of them does, which is in `server`.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from passgate.cli.desk import explain
from passgate.cli.program import Fault, load
from passgate.cli.server import GRACE, Listening, run, serve, serve_program
from passgate.errors import PassgateError
from passgate.logs import configure

if TYPE_CHECKING:
    from passgate.settings import Settings

log = logging.getLogger("passgate.serve")

_SPAWN = multiprocessing.get_context("spawn")
"""A fresh interpreter for each: it shares no threads, connections or random state with the parent."""


class _Worker:
    """A process, and the pipe on which it reports that it listens. It ends by itself when the parent's end of the pipe
    closes."""

    def __init__(self, settings: Settings, sockets: list[socket.socket], program: str | None) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(settings, sockets, theirs, program))
        self.process.start()
        theirs.close()
        self.is_listening = False

    def drain(self) -> None:
        try:
            self.is_listening = bool(self.pipe.recv())
        except (EOFError, OSError):
            self.pipe.close()

    @property
    def readers(self) -> list[Any]:
        return [self.process.sentinel] if self.is_listening or self.pipe.closed else [self.process.sentinel, self.pipe]


def supervise(
    settings: Settings, sockets: list[socket.socket], listening: Callable[[], None], program: str | None = None
) -> int:
    """Run until a signal arrives; the exit code. If a worker dies before it has listened, all end, because its
    successor would die too. Each imports the `program`, the MODULE:NAME of a host."""
    has_announced, stop_at = False, _Stopped()
    workers = [_Worker(settings, sockets, program) for _ in range(settings.workers)]
    try:
        while not stop_at.came:
            wait([stop_at.reader, *(reader for worker in workers for reader in worker.readers)])
            for worker in workers:
                if worker.pipe in wait(worker.readers, 0):
                    worker.drain()
            if not has_announced and all(worker.is_listening for worker in workers):
                has_announced = True
                listening()
            for place, worker in enumerate(workers):
                if worker.process.is_alive() or stop_at.came:
                    continue
                log.error("worker ended", extra={"worker": worker.process.pid, "code": worker.process.exitcode})
                if not worker.is_listening:
                    return 1
                worker.pipe.close()
                workers[place] = _Worker(settings, sockets, program)
        return 0
    finally:
        _end(workers)
        stop_at.close()


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(GRACE + 5)
        if worker.process.is_alive():
            log.error("worker had to be killed", extra={"worker": worker.process.pid})
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


class _Stopped:
    """SIGTERM and SIGINT as something to wait for: the handler writes a byte to the pipe that `wait` reads."""

    def __init__(self) -> None:
        self.came = False
        self.reader, self._writer = socket.socketpair()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, _number: int, _frame: object) -> None:
        self.came = True
        self._writer.send(b".")

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self.reader.close()
        self._writer.close()


def _work(settings: Settings, sockets: list[socket.socket], pipe: Connection, program: str | None) -> None:
    """The body of a worker process."""
    configure(settings.log_level)

    async def listening() -> None:
        loop = asyncio.get_running_loop()

        def parent_is_gone() -> None:
            loop.remove_reader(pipe.fileno())
            signal.raise_signal(signal.SIGTERM)

        # The parent never writes to it: it becomes readable when the parent has ended, for whatever reason.
        loop.add_reader(pipe.fileno(), parent_is_gone)
        with suppress(BrokenPipeError):  # the parent has ended; the reader above notices it too
            pipe.send(True)

    try:
        _serve(settings, sockets, listening, program)
    except Fault as fault:
        sys.exit(fault.show(program or "", in_full=settings.is_development))
    except PassgateError as error:
        explain(error)
        sys.exit(1)
    except Exception:
        # Not left to multiprocessing, which would print the text of the exception.
        log.exception("worker failed")
        sys.exit(1)


def _serve(settings: Settings, sockets: list[socket.socket], listening: Listening, program: str | None) -> None:
    from passgate.app import Passgate  # noqa: PLC0415

    if program is None:
        run(serve(Passgate(settings), sockets, listening))
    else:
        run(serve_program(load(program), settings, sockets, listening))
