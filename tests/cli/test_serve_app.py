"""`passgate serve --app`: a host's program as a real process. Its start, what is wrong with it, its end.

Not here: the layer of `gate.requests`, which tests/library has; connections and deadlines, which are the same without a
program (test_serve, tests/wire).
"""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from fastapi import FastAPI

from passgate.cli import program
from passgate.cli.program import Lifespan
from passgate.cli.server import GRACE
from passgate.errors import NotFound, Unavailable, UnsafeSettings
from tests.cli.shell import CHEAP, Done, Running, Shell
from tests.kit import PASSWORD, bearer, handle_of
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
HOST = """
import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from passgate import Passgate, Settings


@asynccontextmanager
async def lifespan(app):
    await gate.at(None, tenant="main").users.list()  # Passgate is up before
    yield {"theirs": "kept"}
    Path("down").write_text("down")


app = FastAPI(lifespan=lifespan)
gate = Passgate(Settings.load())
gate.requests(app)
gate.mount(app)


@app.get("/state")
async def state(request: Request) -> str:
    return request.state.theirs


@app.get("/pid")
async def pid() -> int:
    import os
    return os.getpid()


@app.post("/me")
async def me(user = Depends(gate.user)) -> str:
    return user.email


@app.get("/endless")
async def endless() -> StreamingResponse:
    async def parts():
        while True:
            yield "."
            await asyncio.sleep(0.05)
    return StreamingResponse(parts())


@app.websocket("/socket")
async def socket(socket: WebSocket):
    await socket.accept()
"""
BARE = "from fastapi import FastAPI\napp = FastAPI()\n"
LIFESPAN = """
import asyncio, sys
from contextlib import asynccontextmanager
from fastapi import FastAPI
@asynccontextmanager
async def lifespan(app):
    {}
    yield
    {}
app = FastAPI(lifespan=lifespan)
"""


def running(folder: Path, text: str, *argv: str, **settings: str) -> Running:
    (folder / "main.py").write_text(text)
    return Running("serve", folder / "data", "--app", "main:app", *argv, **settings)


def refused(folder: Path, text: str, **settings: str) -> Done:
    """How a program that does not start ends."""
    (folder / "main.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "passgate.cli", "serve", "--app", "main:app"],
        cwd=folder,
        env={"PATH": os.defpath, **CHEAP, "PASSGATE_PORT": "0"}
        | {f"PASSGATE_{name}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process for the tests that leave it running. At the end it must stop cleanly, its lifespan with it."""
    folder = tmp_path_factory.mktemp("host")
    (folder / ".env").write_text("PASSGATE_SIGNIN__LIFE=20m\n")
    with running(folder, HOST, "--name", "Example 7") as made:
        yield made
        assert made.stop() == 0
    assert (folder / "down").read_text() == "down"
    assert [line for line in made.log if line["level"] not in ("info", "debug")] == []


def test_it_is_ready_when_it_listens(host: Running) -> None:
    assert host.out == [f"Example 7 is ready: http://localhost:{host.port}\n"]
    for address in ("127.0.0.1", "[::1]"):
        with host.http(address) as http:
            answer = http.get("/state")
            assert (answer.json(), "server" in answer.headers) == ("kept", False)
            assert http.get("/auth/readyz").status_code == 200


def test_a_request_is_found_in_the_log(host: Running) -> None:
    with host.http() as http:
        given = http.get("/nowhere?secret=1").headers["x-request-id"]
    give_up = time.monotonic() + 5
    while not (found := [line for line in host.log if line.get("request_id") == given]):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert [(line["logger"], line["route"], line["status"]) for line in found] == [("passgate.access", "(none)", 404)]
    assert not any("secret" in line for line in host.err)


def test_it_uses_the_port_folder_and_file_that_the_server_uses(host: Running) -> None:
    """With port 0 the program learns the one that was chosen: it is part of the origin that cookies are checked
    against."""
    origin = {"Origin": f"http://localhost:{host.port}"}
    with host.http() as http:
        handle = handle_of(http.post("/auth/api/v1/signup", json={"email": "anna@example.com", "password": PASSWORD}))
        give_up = time.monotonic() + 20
        while not (mails := http.get("/auth/dev/mail.json").json()):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        proof = {"factor": "email_code", "answer": mails[0]["code"]}
        assert http.post("/auth/api/v1/signin/prove", json=proof, headers=bearer(handle)).status_code == 200
        finish = {"carrier": "cookie"}
        done = http.post("/auth/api/v1/signin/finish", json=finish, headers=bearer(handle) | origin)
        assert done.status_code == 201, done.text
        assert http.post("/me", headers=origin).json() == "anna@example.com"
        assert http.post("/me", headers={"Origin": "http://localhost:0"}).status_code == 403
    assert (host.data / "passgate.db").exists()
    assert not (host.data.parent / ".passgate").exists()


def test_an_upgrade_is_an_ordinary_request(host: Running) -> None:
    head = (
        "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", host.port), timeout=10) as raw:
        raw.sendall(head.encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 404 ")


def test_a_public_https_origin_is_in_redirects(tmp_path: Path) -> None:
    port = free_port()
    given = {"PUBLIC_URL": "https://app.localhost", "PORT": str(port)}
    with running(tmp_path, BARE + "app.get('/page/')(lambda: 1)", **given) as server:
        headers = {"Host": "app.localhost"}
        found = httpx2.get(f"http://127.0.0.1:{port}/page", headers=headers, trust_env=False, verify=False)
        assert found.headers["location"] == "https://app.localhost/page/"
        assert server.stop() == 0


# -- what is wrong with a program ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("main", "APP_NAME"),
        ("main:", "APP_NAME"),
        ("../main:app", "APP_NAME"),
        ("main:app()", "APP_NAME"),
        ("app_that_is_nowhere:app", "APP_NOT_FOUND"),
        ("app_of_the_test.deeper:app", "APP_NOT_FOUND"),
        ("app_of_the_test:nothing", "APP_MISSING"),
        ("app_of_the_test:number", "APP_KIND"),
        ("app_of_the_test:factory", "APP_KIND"),
        ("app_of_the_test:FastAPI", "APP_KIND"),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, code: str) -> None:
    text = BARE + "number = 1\ndef factory(gate): return app\n"
    (tmp_path / "app_of_the_test.py").write_text(text)
    _in_folder(tmp_path, monkeypatch)
    with pytest.raises(UnsafeSettings) as error:
        program.load(target)
    assert [one for one, _ in error.value.reasons] == [code]


def test_what_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application in a package; one that is wrapped; a bare function."""
    (tmp_path / "app_of_the_test").mkdir()
    (tmp_path / "app_of_the_test" / "deep.py").write_text(
        BARE
        + "from starlette.middleware.gzip import GZipMiddleware\nwrapped = GZipMiddleware(app)\n"
        + "async def bare(scope, receive, send): pass\n"
    )
    _in_folder(tmp_path, monkeypatch)
    for name in ("app", "wrapped", "bare"):
        assert callable(program.load(f"app_of_the_test.deep:{name}"))


def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("app_of_the_test")]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    done = refused(tmp_path, "x = 1\n")
    assert (done.code, done.out, done.codes) == (1, "", ["APP_MISSING"])
    assert len(done.err.splitlines()) == 1


def test_a_fault_of_the_import_is_printed_once(tmp_path: Path) -> None:
    """As Python shows it, with the program's own frames and none of ours; also with several workers."""
    done = refused(tmp_path, "def start():\n    import nothing_of_that_name\nstart()\n", WORKERS="2")
    assert (done.code, done.out) == (1, "")
    reason, *lines = done.err.splitlines()
    assert (done.codes[0], "/main.py, line 2" in reason) == ("APP_FAILED", True)
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert [line.split('"')[1].rpartition("/")[2] for line in lines if line.startswith("  File")] == ["main.py"] * 2


def test_a_fault_of_the_lifespan_is_printed(tmp_path: Path) -> None:
    done = refused(tmp_path, LIFESPAN.format("raise ZeroDivisionError('why')", "pass"))
    assert (done.code, done.out) == (1, "")
    _, *lines = done.err.splitlines()
    assert done.codes[0] == "APP_FAILED"
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "ZeroDivisionError: why")


def test_a_program_refuses_its_own_settings(tmp_path: Path) -> None:
    raised = "from passgate.errors import UnsafeSettings; raise UnsafeSettings([('OLD_NAME', 'REDIS_HOST is gone.')])"
    done = refused(tmp_path, LIFESPAN.format(raised, "pass"), WORKERS="2")
    assert done.code == 1
    assert "OLD_NAME REDIS_HOST is gone." in done.err.splitlines()
    assert "Traceback" not in done.err


def test_the_server_is_refused_before_the_program_is_imported(lite_shell: Shell) -> None:
    (lite_shell.data.parent / "main.py").write_text("open('imported', 'w')\n" + BARE)
    codes = lite_shell("serve", "--app", "main:app", ENVIRONMENT="production").codes
    assert {"SECRETS_MISSING", "URL_NOT_HTTPS", "METRICS_OPEN"} <= set(codes)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert lite_shell("serve", "--app", "main:app", PORT=port).codes == ["ADDRESS_TAKEN"]
    assert not (lite_shell.data.parent / "imported").exists()


# -- the lifespan ----------------------------------------------------------------------------------


def application(start: Callable[[], None] = lambda: None, end: Callable[[], None] = lambda: None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, int]]:
        start()
        yield {"answer": 42}
        end()

    return FastAPI(lifespan=lifespan)


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


async def test_the_state_of_a_lifespan() -> None:
    ended = list[int]()
    app = application(end=lambda: ended.append(1))
    async with Lifespan(app, asyncio.Event()).running() as state:
        assert (state, ended) == ({"answer": 42}, [])
    assert ended == [1]


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (ZeroDivisionError("why"), 1, "ZeroDivisionError: why"),
        (NotFound(), 1, "passgate.errors.NotFound"),
        (SystemExit("ADMIN_EMAIL is missing"), 1, "ADMIN_EMAIL is missing"),
        (SystemExit(3), 3, ""),
        (SystemExit(), 0, ""),
    ],
)
@pytest.mark.parametrize("when", ["start", "end"])
async def test_what_a_lifespan_raises(
    error: BaseException, code: int, printed: str, when: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(program.Fault) as fault:
        async with Lifespan(application(**{when: raising(error)}), asyncio.Event()).running():
            pass
    assert fault.value.show("main:app", in_full=True) == code
    assert ["", *capsys.readouterr().err.splitlines()][-1].startswith(printed)


def test_production_prints_no_value_of_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    fault = program.Fault()
    with pytest.raises(ValueError, match="hunter2") as raised:
        int("hunter2")
    fault.__cause__ = raised.value
    assert fault.show("main:app", in_full=False) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert (line.split()[0], "ValueError" in line, __file__ in line, "hunter2" in line) == (
        "APP_FAILED",
        True,
        True,
        False,
    )


async def test_refusals_of_a_lifespan_stay_what_they_are() -> None:
    for error in (UnsafeSettings([("OLD_NAME", "REDIS_HOST")]), Unavailable("database")):
        with pytest.raises(type(error)):
            async with Lifespan(application(raising(error)), asyncio.Event()).running():
                pass


async def ends_at_once(_scope: Any, _receive: Any, _send: Any) -> None:
    pass


async def reports_a_failure(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.failed", "message": "no"})


@pytest.mark.parametrize("app", [ends_at_once, reports_a_failure])
async def test_an_application_without_a_lifespan(app: Any) -> None:
    with pytest.raises(UnsafeSettings) as error:
        async with Lifespan(app, asyncio.Event()).running():
            pass
    assert [code for code, _ in error.value.reasons] == ["APP_LIFESPAN"]


# -- make example-N --------------------------------------------------------------------------------


def test_an_example_needs_its_folder_only(tmp_path: Path) -> None:
    """Its settings file, its data in the checkout's folder, the port that is asked for; ended with its `make`."""
    shared, folder, port = tmp_path / "examples", tmp_path / "examples" / "9-thing", free_port()
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "examples" / "example.mk", shared)
    (folder / "Makefile").write_text("NUMBER := 9\nPORT ?= 8009\n\ninclude ../example.mk\n")
    (folder / "main.py").write_text(HOST)
    (folder / ".env").write_text("PASSGATE_LOG_LEVEL=warning\n")
    for name in ("pyproject.toml", "ready"):  # in this order: the environment is there
        (tmp_path / name).touch()
    given = {"PATH": os.environ.get("PATH", os.defpath), "PORT": str(port), **CHEAP}
    argv = ["make", f"VENV={sys.prefix}", f"READY={tmp_path / 'ready'}", "LOCKED=", "example-9"]
    with subprocess.Popen(argv, cwd=tmp_path, env=given, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Example 9 is ready: http://localhost:{port}\n"
        [server] = [one for one in psutil.Process(process.pid).children(recursive=True) if not one.children()]
        process.terminate()
        process.wait(30)
        server.wait(30)
    assert (tmp_path / ".passgate" / "example-9" / "passgate.db").exists()
    assert (folder / "down").exists()
    nothing = subprocess.run([*argv[:-1], "example-8"], cwd=tmp_path, env=given, capture_output=True, check=False)
    assert nothing.returncode == 2


# -- several processes, signals --------------------------------------------------------------------


def test_each_worker_imports_the_program(tmp_path: Path) -> None:
    with running(tmp_path, HOST, WORKERS="2") as server:
        assert server.out[0] == f"Passgate is ready: http://localhost:{server.port}\n"
        first = _pids(server, 2)
        psutil.Process(min(first)).kill()
        give_up = time.monotonic() + 30
        while len(now := _pids(server, 1) - {min(first)}) < 2:
            first |= now
            assert time.monotonic() < give_up
        assert server.stop() == 0
        assert not any(psutil.pid_exists(pid) for pid in now)


def _pids(server: Running, least: int) -> set[int]:
    """The processes that answer; asked on many connections, so that each gets some."""
    found, give_up = set[int](), time.monotonic() + 20
    with server.http() as http:
        while len(found) < least or time.monotonic() < give_up - 19:
            assert time.monotonic() < give_up
            with suppress(OSError):
                found.add(http.get("/pid", headers={"Connection": "close"}).json())
    return found


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """For an answer without an end, and for a lifespan that does not end."""
    hanging = HOST.replace('Path("down").write_text("down")', "await asyncio.sleep(100)")
    with running(tmp_path, hanging) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 200 ")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        began = time.monotonic()
        assert server.stop(signal.SIGINT) == 0
        assert time.monotonic() - began < GRACE / 2


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_program_has_its_own_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str) -> None:
    """No other key is made by serving it, at the first start or later, and one key verifies the trail."""
    secret = "Qm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jA"
    text = HOST.replace("Settings.load()", f"Settings.load(secrets=({secret!r},))")
    for _ in range(2):
        with running(tmp_path, text, WORKERS=workers) as server, server.http() as http:
            assert http.get("/state").json() == "kept"
            assert server.stop() == 0
        assert [line for line in server.log if line["level"] in {"warning", "error"}] == []
    shell = Shell(tmp_path / "data", capsys)
    assert shell("user", "list").codes == ["KEYS_MISSING"]
    assert not (tmp_path / "data" / "passgate.keys").exists()
    assert shell("user", "add", "anna@example.com", SECRETS=secret).code == 0
    assert shell("audit", "verify", SECRETS=secret).code == 0


def test_a_program_without_its_secret_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "data", capsys)
    shell("user", "add", "anna@example.com", SECRETS="Qm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jA")
    for workers in ("1", "2"):
        done = refused(tmp_path, HOST, DATA=str(shell.data), WORKERS=workers)
        assert done.code == 1
        assert "KEYS_MISSING" in done.codes
        assert not (shell.data / "passgate.keys").exists()
