"""The basics of most tests: a clock and randomness under control, a running Passgate, a client, people and their mails.

No mocks: everything uses the real application through its public endpoints.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from sqlalchemy import Connection, Dialect, Table, event, select
from starlette.types import ASGIApp

from passgate import testing
from passgate.app import Passgate
from passgate.core.factor import Factor
from passgate.core.site import Site
from passgate.parts import build_services
from passgate.settings import Settings
from passgate.store import Store
from passgate.store.migrate import upgrade
from passgate.store.tables import metadata
from passgate.testing import CHEAP, PASSWORD, START, Clock
from passgate.world import World

__all__ = ["CHEAP", "PASSWORD", "START", "Clock"]

OTHER_PASSWORD = "seventeen purple umbrellas"

OWN_FACTORS: list[Factor] = []
OWN_SETTINGS: dict[str, Any] = {}
OWN_PLUGINS: list[str] = []
"""Plugins that every Passgate of a test run gets; a run with a host's own factor fills the list (see tests/library)."""


@dataclass
class Dice:
    """Bytes that look random and are the same in every run."""

    seed: bytes = b"passgate"
    counter: Any = field(default_factory=itertools.count)

    def __call__(self, count: int) -> bytes:
        return hashlib.shake_256(self.seed + next(self.counter).to_bytes(8)).digest(count)


def settings_for(data: Path, database_url: str | None = None, **more: Any) -> Settings:
    given: dict[str, Any] = {"data": data, "hash": CHEAP, **OWN_SETTINGS, **more}
    if database_url:
        given["database_url"] = database_url
    return Settings.development(**given)


@dataclass
class Person:
    email: str
    password: str
    token: str = ""

    @property
    def auth(self) -> dict[str, str]:
        return bearer(self.token)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


Tables = dict[str, list[dict[str, Any]]]
_WHOLE = {name: select(table).order_by(*table.primary_key.columns) for name, table in metadata.tables.items()}
"""Built once: building a statement costs more than running it."""


def all_tables(connection: Connection) -> Tables:
    """All rows in one query run. Rows and no digest: reading them is what costs, and a difference in rows can be
    read."""
    return {name: [dict(row) for row in connection.execute(whole).mappings()] for name, whole in _WHOLE.items()}


@dataclass
class The:
    """A running Passgate under test, with the requests that stories consist of. Answers are httpx2 responses."""

    gate: Passgate
    clock: Clock
    http: httpx2.AsyncClient

    # -- the endpoints ---------------------------------------------------------------------------------

    async def signup(self, email: str, password: str | None = PASSWORD, **more: Any) -> httpx2.Response:
        body = {"email": email, **({"password": password} if password is not None else {}), **more}
        return await self.http.post("/api/v1/signup", json=body)

    async def start(self, email: str | None = None, **more: Any) -> httpx2.Response:
        return await self.http.post("/api/v1/signin", json={**({"email": email} if email else {}), **more})

    async def recover(self, email: str) -> httpx2.Response:
        return await self.http.post("/api/v1/recover", json={"email": email})

    async def prove(self, handle: str, factor: str, answer: str) -> httpx2.Response:
        body = {"factor": factor, "answer": answer}
        return await self.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))

    async def challenge(self, handle: str, factor: str) -> httpx2.Response:
        return await self.http.post("/api/v1/signin/challenge", json={"factor": factor}, headers=bearer(handle))

    async def finish(self, handle: str, carrier: str = "bearer") -> httpx2.Response:
        return await self.http.post("/api/v1/signin/finish", json={"carrier": carrier}, headers=bearer(handle))

    async def complete(self, answer: object, email: str | None = None, **more: Any) -> httpx2.Response:
        """The end of a passkey's ceremony, without a handle."""
        body = {"answer": answer, "carrier": "bearer", **({"email": email} if email else {}), **more}
        return await self.http.post("/api/v1/signin/complete", json=body)

    async def session(self, token: str) -> httpx2.Response:
        return await self.http.get("/api/v1/session", headers=bearer(token))

    # -- mails and people ----------------------------------------------------------------------

    async def mails(self, to: str | None = None) -> list[dict[str, Any]]:
        """The mails to an address, newest first; compared without case."""
        got = await self.http.get("/dev/mail.json")
        assert got.status_code == 200, got.text
        return [mail for mail in got.json() if to is None or mail["to"].lower() == to.lower()]

    async def code(self, email: str) -> str:
        return str(next(mail["code"] for mail in await self.mails(email) if mail["code"]))

    async def person(self, email: str = "anna@example.com", password: str = PASSWORD) -> Person:
        """A person who has signed up and signed in through the endpoints."""
        handle = handle_of(await self.signup(email, password))
        assert (await self.prove(handle, "email_code", await self.code(email))).status_code == 200
        return Person(email, password, token_of(await self.finish(handle)))

    async def signed_in(self, person: Person) -> Person:
        """The same person with one more session."""
        handle = handle_of(await self.start(person.email))
        assert (await self.prove(handle, "password", person.password)).status_code == 200
        return Person(person.email, person.password, token_of(await self.finish(handle)))

    # -- the database ----------------------------------------------------------------------------------

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        async with self.gate.services.store.read() as db:
            return [dict(row) for row in await db.rows(select(table).order_by(*table.primary_key.columns))]

    async def everything(self, *, but: tuple[str, ...] = ()) -> Tables:
        """All tables with all rows, to be compared before and after."""
        async with self.gate.services.store.read() as db:
            found = await db.run(all_tables)
        return {name: rows for name, rows in found.items() if name not in but}

    async def events(self) -> list[str]:
        """Audit events, oldest first."""
        return [row["event"] for row in await self.rows(metadata.tables["audit_event"])]


def handle_of(answer: httpx2.Response) -> str:
    assert answer.status_code in (201, 202), answer.text
    return str(answer.json()["handle"])


def token_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def code_of(answer: httpx2.Response) -> str:
    """The code of the problem document. Tests assert it instead of prose."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return str(problem["code"])


@asynccontextmanager
async def running(
    settings: Settings, *, ip: str = "127.0.0.1", real_world: bool = False, sites: tuple[Site, ...] = (), **given: Any
) -> AsyncIterator[The]:
    """A Passgate in this process, called over ASGI. Its background jobs do not run by themselves: `mails` delivers.
    `given`: further arguments of `Passgate`."""
    clock, more = Clock(), {"factors": OWN_FACTORS, "sites": sites, **given}
    gate = Passgate(settings, World.real() if real_world else World(clock, Dice()), **more)
    await make_quick(gate)
    async with gate.running(work=False), client_for(gate, ip) as http:
        yield The(gate, clock, http)


_compiled: dict[tuple[bool, bool], tuple[Dialect, dict[Any, Any]]] = {}


def _share_compiled(store: Store) -> None:
    """SQLAlchemy compiles a statement once per engine, and each test has its own engines. Here all engines of one
    dialect share the cache, which saves a third of a test's time."""
    for is_writer, role in ((True, store.writer), (False, store.reader)):
        engine = role.sync_engine
        engine.dialect, compiled = _compiled.setdefault((store.is_sqlite, is_writer), (engine.dialect, {}))
        engine.update_execution_options(compiled_cache=compiled)


async def make_quick(gate: Passgate) -> None:
    """A new SQLite file starts as a copy of a migrated one and does not wait for the disk: no test here cuts the
    power."""
    _share_compiled(gate.services.store)
    if not gate.services.store.is_sqlite:
        return
    engine = gate.services.store.writer.sync_engine
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
    _begin_with(await empty_database(), Path(str(engine.url.database)))


def make_gates_quick() -> None:
    """The same for whatever `passgate.testing` makes from now on. Its users' own path is run by tests/docs."""
    prepare = testing.Gate.prepare

    async def quick(gate: testing.Gate) -> None:
        await make_quick(gate)
        await prepare(gate)

    testing.Gate.prepare = quick  # type: ignore[assignment, method-assign]


_migrated: list[bytes] = []


async def empty_database() -> bytes:
    """An SQLite file of the newest schema without rows, made once in each test process."""
    if not _migrated:
        with TemporaryDirectory() as folder:
            await _migrate(Path(folder))
            _migrated.append(_content(Path(folder, "passgate.db")))
    return _migrated[0]


async def _migrate(data: Path) -> None:
    services = build_services(settings_for(data), World.real())
    await upgrade(services.store, lock=data / "lock")
    await services.store.close()
    services.hasher.close()


def _content(file: Path) -> bytes:
    return file.read_bytes()


def _begin_with(content: bytes, file: Path) -> None:
    if file.exists() and file.stat().st_size == 0:
        file.write_bytes(content)


def counted(gate: Passgate, logged: Iterable[LogRecord], what: str) -> int:
    """How often it was counted: what the workers have logged already, as in their first round, and what is left."""
    counts = [gate.services.tally, *(vars(line).get("counts", {}) for line in logged)]
    return sum(int(one.get(what, 0)) for one in counts)


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
"""The browser of whom tests create by calling `core` (`tests.core.behind`), so that it stays the same one."""


ASKED_THROUGH: list[Callable[[Passgate], ASGIApp]] = []
"""What requests reach a Passgate through, if not directly; filled for the tests that run through its Python twins."""


def client_for(gate: Passgate, ip: str = "127.0.0.1") -> httpx2.AsyncClient:
    app = ASKED_THROUGH[-1](gate) if ASKED_THROUGH else gate
    transport = httpx2.ASGITransport(app, client=(ip, 50000))
    return httpx2.AsyncClient(transport=transport, base_url=gate.settings.url, headers={"User-Agent": FIREFOX})
