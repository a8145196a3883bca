"""How example 4 starts, and starts again: variables that are refused, production with all that it asks for, the root
secret, resetting by both scripts, what it keeps from other users of the machine, and a database of an older version.

Not here: what each variable does (variables), what its logs have (access_log), and two first starts at once (races).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from passgate import errors
from passgate.store.schema import SCHEMA
from tests.adapters.test_mail import Sink
from tests.adapters.test_mail import serving as serving_mail
from tests.authenticator import Authenticator
from tests.docs.terminal import BIN
from tests.examples.passkey_audit import ROOT_SECRET
from tests.examples.passkey_audit_served import Face, at, inside, is_whole, mode_of, rows, served
from tests.examples.programs import By, Served, folder_of, module, running
from tests.processes import ROOT
from tests.servers import Postgres, free_port
from tests.upgrade.test_upgrade import VERSIONS, unpacked

PUBLIC = "https://id.passgate.test"


def test_what_passgate_reads_may_be_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`passgate serve` wants it in production, before it knows the program."""
    monkeypatch.chdir(tmp_path)
    load = module(4, "variables").Variables.load
    monkeypatch.setenv("ORIGIN", PUBLIC)
    monkeypatch.setenv("PASSGATE_PUBLIC_URL", PUBLIC)
    assert load().origin == PUBLIC
    monkeypatch.setenv("PASSGATE_PUBLIC_URL", f"{PUBLIC}.example")
    with pytest.raises(errors.UnsafeSettings) as refused:
        load()
    assert [code for code, _ in refused.value.reasons] == ["OTHER_PASSGATE_PUBLIC_URL"]


def test_what_pip_installs_is_this_checkout() -> None:
    """A bare name would be somebody else's package of a public index."""
    lines = [line for line in (folder_of(4) / "requirements.txt").read_text().splitlines() if line[:1] not in ("", "#")]
    assert (folder_of(4) / lines[0]).resolve() == ROOT
    assert [line.partition(">=")[0] for line in lines[1:]] == ["pydantic-settings"]


def run(folder: Path, *command: str, **env: str) -> int:
    given = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(command, check=False, cwd=folder, env=given, capture_output=True).returncode


# -- as a process ----------------------------------------------------------------------------------


async def test_refused_by_name(tmp_path: Path) -> None:
    env = {"JWT_ALGORITHM": "HS256", "RP_ID": "sesame.example", "JWT_EXPIRATION_MINUTES": "sesame"}
    server = served(tmp_path / "example", env=env, TOKEN__ACCESS="5m")
    wanted = {f"VALUE_{name}" for name in env} | {"OTHER_PASSGATE_TOKEN__ACCESS"}
    assert await server.refused() == wanted
    assert not (tmp_path / "example" / "app.db").exists()


async def test_production_names_all_that_is_missing(tmp_path: Path) -> None:
    wanted = {"SECRETS_MISSING", "URL_NOT_HTTPS", "URL_LOCALHOST", "MAIL_NOT_REAL", "HASH_WEAK", "METRICS_OPEN"}
    folder = tmp_path / "example"
    assert await served(folder, ENVIRONMENT="production").refused() == wanted
    assert not (folder / "app.db").exists()


@pytest.mark.pg
@pytest.mark.parametrize("by", ["passgate", "uvicorn"])
async def test_production_with_all_of_it(tmp_path: Path, postgres: Postgres, pg_template: str, by: By) -> None:
    """Everything but views; whoever has the address gets a mail when somebody else registers it."""
    sink, url = Sink(), postgres.create_database(template=pg_template)
    folder, given = tmp_path / "example", {"HASH__MEMORY_KIB": "19456", "HASH__PASSES": "2"}
    async with serving_mail(sink, enable_SMTPUTF8=True) as port:
        given |= {"MAIL__URL": f"smtp://127.0.0.1:{port}", "METRICS__TOKEN": secrets.token_hex(16)}
        given |= {"PUBLIC_URL": PUBLIC, "SECRETS": ROOT_SECRET} if by == "passgate" else {}
        env = {"ORIGIN": PUBLIC, "JWT_SECRET": ROOT_SECRET}
        server = served(folder, url, env=env, by=by, ENVIRONMENT="production", **given)
        async with running(server), at(server, PUBLIC) as face:
            face.http.headers["host"] = "id.passgate.test"
            jane = await face.person_of("jane@example.com")
            token = await face.token_of(jane)
            assert (await face.show(jane.id, token)).json() == jane.user
            assert (await face.show(jane.id)).status_code == 401
            assert (await face.http.get("/auth/dev/mail.json")).status_code == 404
            other = await face.created_of("jane@example.com", Authenticator())
            assert (await face.register_complete("jane@example.com", other)).status_code == 400
            for _ in range(600):
                if sink.got:
                    break
                await asyncio.sleep(0.05)
            assert sink.got[0].rcpt_tos == ["jane@example.com"]
    assert not (folder / "app.db").exists()
    assert ROOT_SECRET not in server.log()


async def test_the_root_secret_is_all_that_is_needed(tmp_path: Path) -> None:
    """After a restart keys are the same, also without the key file, and tokens go on."""
    folder, env = tmp_path / "example", {"JWT_SECRET": ROOT_SECRET}

    async def keys(face: Face) -> Any:
        return (await face.http.get("/auth/oauth2/jwks")).json()["keys"]

    server = served(folder, env=env)
    async with running(server), at(server) as face:
        jane = await face.person_of()
        token, before = await face.token_of(jane), await keys(face)
    assert not list((folder / ".passgate").glob("*.keys"))
    async with running(server), at(server) as face:
        assert await keys(face) == before
        assert (await face.show(jane.id, token)).json() == jane.user
        command = [str(BIN / "passgate"), "role", "give", jane.email, "admin"]
        assert await asyncio.to_thread(run, folder, *command, PASSGATE_SECRETS=ROOT_SECRET) == 0
        assert (await face.show(jane.id, token)).json() == {**jane.user, "role": "admin"}
    assert ROOT_SECRET not in server.log()


async def test_a_browser_that_is_elsewhere(tmp_path: Path) -> None:
    """Another port is another origin: nobody registers or logs in there, and every attempt is a row."""
    folder, email = tmp_path / "example", "jane@example.com"
    server = served(folder, env={"ORIGIN": "http://localhost:1"})
    async with running(server), at(server) as face:
        refused = await face.register_complete(email, await face.created_of(email, Authenticator()))
        assert refused.status_code == 400
        assert rows(folder, "SELECT * FROM users") == []
        face.origin = "http://localhost:1"
        jane = await face.person_of(email)
        face.origin = server.url
        assert (await face.enter(jane)).status_code == 401
        face.origin = "http://localhost:1"
        assert (await face.enter(jane)).status_code == 200
    found = rows(folder, "SELECT event_type, success FROM audit_logs WHERE event_type LIKE '%complete' ORDER BY id")
    assert [tuple(row.values()) for row in found] == [
        ("registration_complete", 0),
        ("registration_complete", 1),
        ("login_complete", 0),
        ("login_complete", 1),
    ]


# -- resetting -------------------------------------------------------------------------------------


RESET = ("python3", "reset_db.py")


async def test_reset_by_the_first_script(tmp_path: Path) -> None:
    folder, email = tmp_path / "example", "jane@example.com"
    server = served(folder)
    async with running(server), at(server) as face:
        jane = await face.person_of(email)
        token = await face.token_of(jane)
        assert await asyncio.to_thread(run, folder, *RESET) == 1
        assert (await face.show(jane.id, token)).status_code == 200
        assert {mode_of(path) for path in folder.glob("app.db*")} == {0o600}
        assert mode_of(folder / "app.log") == 0o600
    assert await asyncio.to_thread(run, folder, *RESET) == 0
    assert {path.name for path in folder.glob("app.*")} == {"app.lock"}
    async with running(server), at(server) as face:
        assert (await face.show(jane.id, token)).status_code == 401
        assert (await face.enter(jane)).status_code == 401
        again = await face.person_of(email)
        assert again.id != jane.id
        assert (await face.enter(again)).status_code == 200


async def test_not_reset_while_a_server_starts(tmp_path: Path) -> None:
    """However early somebody tries: the server uses the file that is there."""
    folder = tmp_path / "example"
    server = served(folder)
    server.launch()
    try:
        ready, ended = asyncio.ensure_future(server.ready()), list[int]()
        while not ready.done():
            ended.append(await asyncio.to_thread(run, folder, *RESET))
        await ready
        async with at(server) as face:
            jane = await face.person_of()
        assert [row["id"] for row in rows(folder, "SELECT id FROM users")] == [jane.id]
        await server.stop()
    finally:
        server.kill9()
    assert {*ended} <= {0, 1}
    assert ended[-1] == 1
    server.no_faults()


@contextmanager
def by_script(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`./reset.sh`, until its server ends."""
    env = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PORT": str(port)}
    with (folder.parent / "script.log").open("ab") as log:
        process = subprocess.Popen(["./reset.sh"], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def started(port: int, process: subprocess.Popen[bytes]) -> Served:
    """A server that a script has started."""
    server = Served(4, Path("unused"))
    server.port, server._process = port, process
    return server


async def registered(server: Served, email: str) -> str:
    """The id of somebody new, when it answers."""
    await server.ready()
    async with at(server) as face:
        return (await face.person_of(email)).id


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not ours, although it serves something with the same name."""
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", "main:app", "--port", "8000"]
    ) as process:
        yield process
        assert process.poll() is None
        process.kill()


async def test_reset_by_the_second_script(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    """It stops the server that it has started, and no other process whose number is noted."""
    folder, port, email = tmp_path / "example", free_port(), "jane@example.com"
    served(folder)
    pid_file = folder / "app.pid"
    pid_file.write_text(f"{stranger.pid}\n")
    with by_script(folder, port) as first:
        before = await registered(started(port, first), email)
        assert pid_file.read_text().strip() == str(first.pid)
        with by_script(folder, port) as second:
            assert await asyncio.to_thread(first.wait, 30) in (0, -signal.SIGTERM)
            after = await registered(started(port, second), email)
            assert after != before
            assert [row["id"] for row in rows(folder, "SELECT id FROM users")] == [after]
            # A server that somebody else has started goes on, with its database.
            pid_file.write_text(f"{stranger.pid}\n")
            with by_script(folder, free_port()) as third:
                assert await asyncio.to_thread(third.wait, 30) == 1
            assert second.poll() is None
            assert [row["id"] for row in rows(folder, "SELECT id FROM users")] == [after]


# -- a database of an older version ----------------------------------------------------------------

OLDER_VIEWS = """
DROP VIEW IF EXISTS users; CREATE VIEW users AS SELECT p.id, p.email AS mail FROM person p;
DROP VIEW IF EXISTS webauthn_credentials; CREATE VIEW webauthn_credentials AS SELECT * FROM credential;
DROP VIEW IF EXISTS audit_logs; CREATE VIEW audit_logs AS SELECT e.*, p.email AS who FROM audit_event e
LEFT JOIN person p ON p.id = e.subject_id LEFT JOIN session s ON s.person_id = p.id;
"""


@pytest.mark.parametrize("version", VERSIONS[-1:])
async def test_a_database_of_an_older_version(tmp_path: Path, version: str) -> None:
    """It goes on, and its views are those of today."""
    folder = tmp_path / "example"
    server = served(folder)
    data = folder / ".passgate"
    unpacked(version, data)
    (data / "passgate.db").rename(folder / "app.db")
    database = sqlite3.connect(folder / "app.db")
    database.executescript(OLDER_VIEWS)
    [(revision,)] = database.execute("SELECT version_num FROM alembic_version").fetchall()
    database.close()
    assert revision == version
    async with running(server), at(server) as face:
        jane = await face.person_of()
        assert (await face.enter(jane)).status_code == 200
        assert (await face.show(jane.id, await face.token_of(jane))).status_code == 200
        [row] = rows(folder, "SELECT version_num FROM alembic_version")
        assert row["version_num"] == SCHEMA.head
        people = rows(folder, "SELECT email, first_name, role FROM users")
        assert {row["email"]: row["first_name"] for row in people}[jane.email] == "Jane"
        assert len(people) > 3
        assert len(rows(folder, "SELECT user_id, sign_count, public_key FROM webauthn_credentials")) == 2
        mine = rows(folder, "SELECT event_type FROM audit_logs WHERE user_email = ? AND success", jane.email)
        assert {row["event_type"] for row in mine} >= {"registration_complete", "login_complete", "user_access"}
        async with inside(folder) as gate:
            assert await is_whole(gate)
