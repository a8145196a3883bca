"""Real Passgate processes for tests: start, wait until ready, kill, restart; several over one database.

Run as a module it is the server itself, with its settings from PASSGATE_… alone. Not here: rules of the product.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2
from sqlalchemy import update

from passgate.app import Passgate
from passgate.settings import Settings
from passgate.store.tables import job, observer_queue, outbox
from passgate.world import SECOND
from tests import tenancy, zygote
from tests.kit import CHEAP, OWN_FACTORS, OWN_PLUGINS, OWN_SETTINGS, Clock, The, settings_for
from tests.servers import free_port

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
READY_WITHIN = 30.0
STOP_WITHIN = 15.0


class ServerFault(RuntimeError):
    """The process did not start or did not stop; the end of its log is the message."""


class Server:
    """One Passgate process on its own port. `kill9` and `launch` again simulate a power cut and the next start."""

    def __init__(
        self,
        data: Path,
        database_url: str | None = None,
        *,
        prefix: Sequence[str] = (),
        program: str = __name__,
        **settings: str,
    ) -> None:
        """`settings`: names without PASSGATE_; `prefix`: a command that ends in running ours; `program`: a module that
        serves."""
        self.port = free_port()
        self._prefix, self._program = prefix, program
        self._log = data.parent / f"{data.name}-{self.port}.log"
        self._process: subprocess.Popen[bytes] | zygote.Process | None = None
        given = {
            "DATA": str(data),
            "PORT": str(self.port),
            "HASH__MEMORY_KIB": str(CHEAP.memory_kib),
            "HASH__PASSES": str(CHEAP.passes),
            **({"DATABASE_URL": database_url} if database_url else {}),
            **settings,
        }
        self._env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
        self._env |= {f"PASSGATE_{name}": value for name, value in given.items()}

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def no_faults(self) -> None:
        """Assert that it logged no fault of ours. What libraries log about an unavailable database does not count."""
        log = self.log()
        found = min((place for word in ("fault\n", "job failed\n") if (place := log.find(word)) >= 0), default=-1)
        assert found < 0, log[found : found + 6000]

    def launch(self) -> None:
        """Start the process without waiting."""
        self._launch(self._program, *OWN_PLUGINS, cwd=self._log.parent)

    def _launch(self, module: str, *argv: str, cwd: Path) -> None:
        """`python -m` this."""
        with self._log.open("ab") as log:
            if not self._prefix:
                self._process = zygote.Process(module, *argv, cwd=cwd, env=self._env, stdout=log, stderr=log)
                return
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", module, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=self._env,
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Return when it reports ready; ServerFault if it ends or takes too long."""
        give_up = time.monotonic() + READY_WITHIN
        async with client_for(self) as http:
            while self._process is not None and self._process.poll() is None and time.monotonic() < give_up:
                with suppress(httpx2.TransportError):
                    if (await http.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.03)
        raise ServerFault(f"Passgate did not start: {self.log()[-2000:]}")

    async def start(self) -> None:
        self.launch()
        await self.ready()

    def kill9(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def stop(self) -> None:
        """Stop orderly by SIGTERM. A process that has to be killed is a fault."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise ServerFault(f"Passgate did not stop: {self.log()[-2000:]}") from None
        self._process = None


def client_for(server: Server, *, timeout: float = 60) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=60, max_keepalive_connections=60)
    # By address, with the name in Host: `localhost` may lead to ::1 first, where nobody listens here.
    return httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{server.port}",
        headers={"Host": f"localhost:{server.port}"},
        timeout=timeout,
        limits=limits,
        trust_env=False,
        verify=False,
    )


@dataclass
class Face(The):
    """`The` over real HTTP. Mails are waited for, because the server's worker may hold one between outbox and
    mailbox."""

    async def code(self, email: str, kind: str = "signup_code") -> str:
        return str((await self.mails_of(email, kind))[0]["code"])

    async def mails_of(self, email: str, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """At least `count` mails of one kind to one address, newest first."""
        give_up = time.monotonic() + READY_WITHIN
        while len(found := [mail for mail in await self.mails(email) if mail["kind"] == kind]) < count:
            assert time.monotonic() < give_up, f"{len(found)} of {count} mails"
            await asyncio.sleep(0.02)
        return found


@dataclass
class Deployment:
    """Several processes over one data folder and database, each as a `Face`, with access to the database."""

    servers: list[Server]
    faces: list[Face]
    inside: Passgate
    numbers: Any = field(default_factory=itertools.count)

    @property
    def a(self) -> Face:
        return self.faces[0]

    @property
    def b(self) -> Face:
        return self.faces[-1]

    def each(self, count: int) -> list[Face]:
        """`count` faces in turn."""
        return list(itertools.islice(itertools.cycle(self.faces), count))

    def address(self) -> str:
        """An unused address: the tests of a module share their servers."""
        return f"p{next(self.numbers)}@example.com"

    async def warm(self, count: int = 25) -> None:
        """Open `count` connections to each process, so that a race is between requests and not between handshakes."""
        await asyncio.gather(*(face.http.get("/healthz") for face in self.each(count * len(self.faces))))


@asynccontextmanager
async def deployed(
    data: Path, database_url: str | None = None, *, count: int = 2, **settings: str
) -> AsyncIterator[Deployment]:
    """`count` processes over `data`, stopped orderly at the end. A fault in their log fails the test."""
    servers = [Server(data, database_url, **settings) for _ in range(count)]
    try:
        for server in servers:
            server.launch()
        await asyncio.gather(*(server.ready() for server in servers))
        async with seen(servers, data, database_url) as made:
            yield made
        for server in servers:
            await server.stop()
    finally:
        for server in servers:
            server.kill9()
    for server in servers:
        server.no_faults()


@asynccontextmanager
async def seen(servers: list[Server], data: Path, database_url: str | None = None) -> AsyncIterator[Deployment]:
    """A view of servers that somebody else starts and stops."""
    inside = Passgate(settings_for(data, database_url), factors=OWN_FACTORS)
    clients = [client_for(server) for server in servers]
    try:
        yield Deployment(servers, [Face(inside, Clock(), http) for http in clients], inside)
    finally:
        for http in clients:
            await http.aclose()
        await inside.close()


async def leases_end(gate: Passgate) -> None:
    """While no process runs: what those that were killed had begun need not wait for the minute after which it is
    somebody else's."""
    async with gate.services.store.write() as db:
        for table in (job, observer_queue, outbox):
            await db.change(update(table).values(due_at=table.c.due_at - 60 * SECOND))


class Barrier:
    """Holds all tasks until the last one has arrived."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    async def passed(self, work: Awaitable[T]) -> T:
        await self._open.wait()
        return await work

    async def together(self, works: Iterable[Awaitable[T]]) -> list[T]:
        tasks = [asyncio.ensure_future(self.passed(work)) for work in works]
        await asyncio.sleep(0)
        self._open.set()
        return await asyncio.gather(*tasks)


async def together(*works: Awaitable[T]) -> list[T]:
    """Start all at the same moment."""
    return await Barrier().together(works)


def tally(answers: Iterable[httpx2.Response]) -> dict[str, int]:
    """How often each answer came: a status, or the code of a problem. An answer of 500 or above fails."""
    found: dict[str, int] = {}
    for answer in answers:
        assert answer.status_code < 500, f"{answer.status_code} {answer.text}"
        name = str(answer.json()["code"]) if answer.status_code >= 400 else str(answer.status_code)
        found[name] = found.get(name, 0) + 1
    return found


class Outcomes(dict[str, int]):
    """A tally that returns 0 for an answer that did not come."""

    def __missing__(self, _key: str) -> int:
        return 0

    @classmethod
    def of(cls, answers: Iterable[httpx2.Response]) -> Self:
        return cls(tally(answers))


def facts(row: dict[str, Any]) -> dict[str, Any]:
    """The facts of an audit row, parsed."""
    return dict(json.loads(row["facts"]))


def main() -> None:
    """The server: one uvicorn process on 127.0.0.1; the environment decides, and the plugins of this test run."""
    for plugin in sys.argv[1:]:
        importlib.import_module(plugin)
    gate = Passgate(Settings.load(**OWN_SETTINGS), factors=OWN_FACTORS)
    serve(gate, gate.settings.port)


def serve(app: Any, port: int) -> None:
    import uvicorn  # noqa: PLC0415  only the server process pays for it

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=120,  # otherwise it could close an idle connection just when the test sends its next request
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    tenancy.watch()
    main()
