"""The database is unreachable, full or locked while Passgate serves: requests get 503, nothing is written in part, and
Passgate recovers without a restart.

Not here: killed processes (`test_crash`) and failures of other parts (`test_parts`).
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from passgate.parts import build_services
from passgate.settings import KEY_FILE
from passgate.store.migrate import upgrade
from passgate.store.tables import person, sign_in
from passgate.world import World
from tests.faults.crash import nothing_incomplete
from tests.kit import PASSWORD, Person, code_of, handle_of, settings_for
from tests.processes import Deployment, Server, deployed, seen, together
from tests.servers import Postgres


def unavailable(answer: httpx2.Response) -> str:
    """Assert that the response is a 503; the part that it names."""
    assert answer.status_code == 503, f"{answer.status_code} {answer.text}"
    assert code_of(answer) == "unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    return str(answer.json()["down"])


async def ask_everything(made: Deployment, anna: Person, handle: str) -> list[httpx2.Response]:
    """Concurrent requests that read, write and prove, with a single statement and with transactions."""
    http = made.a.http
    return await together(
        made.a.session(anna.token),
        http.get("/api/v1/me", headers=anna.auth),
        http.patch("/api/v1/me", json={"profile": {"n": 1}}, headers=anna.auth),
        http.get("/api/v1/me/sessions", headers=anna.auth),
        made.a.signup(made.address()),
        made.a.start(anna.email),
        made.a.recover(anna.email),
        made.a.prove(handle, "password", PASSWORD),
        made.a.finish(handle),
        http.delete("/api/v1/session", headers=anna.auth),
    )


async def ready_again(made: Deployment) -> None:
    async with asyncio.timeout(15):
        while (await made.a.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def serves(made: Deployment, anna: Person, handle: str) -> None:
    """Assert that requests succeed at the first try, also concurrent ones, and that those answered 503 had no effect:
    the session and the handle still work."""
    answers = await together(*(made.a.session(anna.token) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await made.a.prove(handle, "password", PASSWORD)).status_code == 200
    assert (await made.a.finish(handle)).status_code == 201
    changed = await made.a.http.patch("/api/v1/me", json={"profile": {"n": 2}}, headers=anna.auth)
    assert changed.status_code == 200
    await made.a.person(made.address())


@pytest.mark.pg
async def test_postgres_comes_and_goes(tmp_path: Path) -> None:
    with Postgres(durable=True) as server:  # otherwise a killed server loses committed data
        url = await migrated(server, tmp_path)
        async with deployed(tmp_path / "data", url, count=1) as made:
            anna = await made.a.person()
            for away in (server.kill9, server.stop):
                handle = handle_of(await made.a.start(anna.email))
                away()
                began = time.monotonic()
                answers = await ask_everything(made, anna, handle)
                assert {unavailable(answer) for answer in answers} == {"database"}
                assert time.monotonic() - began < 10, "503, not a hang"
                assert (await made.a.http.get("/readyz")).status_code == 503
                assert (await made.a.http.get("/healthz")).status_code == 200
                server.start()
                await ready_again(made)
                await serves(made, anna, handle)


@pytest.mark.pg
async def test_postgres_dies_under_load(tmp_path: Path) -> None:
    """While PostgreSQL is killed and started, every response is either right or a 503."""
    with Postgres(durable=True) as server:  # otherwise a killed server loses committed data
        url = await migrated(server, tmp_path)
        async with deployed(tmp_path / "data", url, count=1) as made:
            anna = await made.a.person()
            answers: list[httpx2.Response] = []
            over = asyncio.Event()

            async def keep_asking(number: int) -> None:
                while not over.is_set():
                    profile = {"profile": {"n": number}}
                    answers.append(await made.a.session(anna.token))
                    answers.append(await made.a.http.patch("/api/v1/me", json=profile, headers=anna.auth))
                    answers.append(await made.a.start(anna.email))

            async def fall() -> None:
                for _ in range(2):
                    await asyncio.sleep(0.3)
                    server.kill9()
                    await asyncio.sleep(0.3)
                    await asyncio.to_thread(server.start)
                    await ready_again(made)
                over.set()

            await together(fall(), *(keep_asking(number) for number in range(8)))
            strange = [answer for answer in answers if answer.status_code not in (200, 201, 503)]
            assert [answer.text for answer in strange] == [], made.servers[0].log()[-20_000:]
            assert {unavailable(answer) for answer in answers if answer.status_code == 503} == {"database"}
            handle = handle_of(await made.a.start(anna.email))
            await serves(made, anna, handle)
            await nothing_incomplete(made)


async def migrated(server: Postgres, folder: Path) -> str:
    """The URL of a new, migrated database on the test's own server."""
    url = server.create_database()
    services = build_services(settings_for(folder / "migrating", url), World.real())
    await upgrade(services.store, lock=folder / "migrating" / "lock")
    await services.store.close()
    services.hasher.close()
    return url


# -- a full disk -----------------------------------------------------------------------------------

_PRIVATE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
_MOUNTED = ("sh", "-c", 'mount -t tmpfs -o size=1500k,mode=0700 tmpfs "$0" && exec "$@"')


def _can_mount(folder: str = "/mnt") -> bool:
    try:
        tried = subprocess.run([*_PRIVATE, *_MOUNTED, folder, "true"], check=False, capture_output=True)
    except OSError:
        return False
    return tried.returncode == 0


@contextmanager
def full_disk(_server: Server, data: Path) -> Iterator[None]:
    """Fill the disk with a file, so that every further write fails with ENOSPC."""
    filler = data / "filler"
    with filler.open("wb", buffering=0) as out, suppress(OSError):
        for size in (64 * 1024, 4096, 1):
            with suppress(OSError):
                while True:
                    out.write(bytes(size))
    assert shutil.disk_usage(data).free == 0
    yield
    filler.unlink()


@contextmanager
def no_longer_files(server: Server, data: Path) -> Iterator[None]:
    """Limit the size of files to that of the write-ahead log: a full disk for machines where nothing can be mounted."""
    size = (data / "passgate.db-wal").stat().st_size
    free = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, free[1]))
    yield
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, free)


Full = Callable[[Server, Path], Any]


@asynccontextmanager
async def on_a_small_disk(data: Path, how: Full) -> AsyncIterator[tuple[Deployment, Path]]:
    """A server, and the path of its data folder as the test process sees it."""
    if how is no_longer_files:
        async with deployed(data, count=1) as made:
            yield made, data
        return
    await asyncio.to_thread(data.mkdir)
    server = Server(data, prefix=(*_PRIVATE, *_MOUNTED, str(data)))
    try:
        await server.start()
        # The mount exists only in the server's mount namespace. SQLite cannot open files behind /proc/…/root, but they
        # can be copied from there.
        inside = Path(f"/proc/{server.pid}/root{data}")
        async with seen([server], data.parent / "unused") as made:
            yield made, inside
        await server.stop()
    finally:
        server.kill9()


@pytest.mark.parametrize("full", [no_longer_files, *([full_disk] if _can_mount() else [])])
async def test_the_disk_is_full(tmp_path: Path, full: Full) -> None:
    async with on_a_small_disk(tmp_path / "data", full) as (made, data):
        anna = await made.a.person()
        async with looked(made, data) as open_page:
            before = len(await open_page.a.rows(sign_in))
        with full(made.servers[0], data):
            answers = [await big_signup(made)]
            while answers[-1].status_code == 202:
                answers.append(await big_signup(made))
                assert len(answers) < 200, "the disk never got full"
            assert unavailable(answers[-1]) == "database"
            again = [await big_signup(made) for _ in range(5)]
            assert {unavailable(answer) for answer in again} == {"database"}
            assert (await made.a.session(anna.token)).status_code == 200, "who is in stays in"
            async with looked(made, data) as open_page:
                assert len(await open_page.a.rows(sign_in)) == before + len(answers) - 1
                await nothing_incomplete(open_page)
        await serves(made, anna, handle_of(await made.a.start(anna.email)))
        assert (await big_signup(made)).status_code == 202
        async with looked(made, data) as open_page:
            await nothing_incomplete(open_page)


@asynccontextmanager
async def looked(made: Deployment, data: Path) -> AsyncIterator[Deployment]:
    """A view of a copy of the database, which is made while the server process is stopped by SIGSTOP."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "data"
        copy.mkdir()
        os.kill(made.servers[0].pid, signal.SIGSTOP)
        try:
            for name in ("passgate.db", "passgate.db-wal", KEY_FILE):
                shutil.copy(data / name, copy / name)
        finally:
            os.kill(made.servers[0].pid, signal.SIGCONT)
        async with seen(made.servers, copy) as open_page:
            yield open_page


async def big_signup(made: Deployment) -> httpx2.Response:
    return await made.a.signup(made.address(), profile={"bio": "x" * 15_000})


# -- a lock of another process ---------------------------------------------------------------------


async def test_somebody_else_locks_the_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with deployed(data, count=1) as made:
        anna = await made.a.person()
        people = len(await made.a.rows(person))
        handle = handle_of(await made.a.start(anna.email))
        other = sqlite3.connect(data / "passgate.db", isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        try:
            began = time.monotonic()
            waiting = asyncio.gather(made.a.signup(made.address()), made.a.prove(handle, "password", PASSWORD))
            await asyncio.sleep(0.2)
            assert (await made.a.session(anna.token)).status_code == 200, "reading waits for nobody"
            assert (await made.a.http.get("/readyz")).status_code == 200
            assert time.monotonic() - began < 5, "nobody who only reads waits for the lock"
            assert {unavailable(answer) for answer in await waiting} == {"database"}
            assert time.monotonic() - began < 25, "503, not a hang"
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert len(await made.a.rows(person)) == people
        await serves(made, anna, handle)
        await nothing_incomplete(made)


async def test_a_short_lock_is_waited_for(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with deployed(data, count=1) as made:
        other = sqlite3.connect(data / "passgate.db", isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.gather(*(made.a.signup(made.address()) for _ in range(5)))
        await asyncio.sleep(0.5)
        other.execute("ROLLBACK")
        other.close()
        assert {answer.status_code for answer in await waiting} == {202}
