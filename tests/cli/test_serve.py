"""`passgate serve`, `demo` and `worker` as real processes: start, reachability, refusals, orderly shutdown."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from passgate.cli import sockets
from passgate.cli.protocol import HEAD
from passgate.errors import UnsafeSettings
from passgate.settings import Settings
from tests.cli.shell import Running, Shell
from tests.kit import OTHER_PASSWORD, PASSWORD, bearer
from tests.servers import Postgres, free_port

SECRET = "Qm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jA"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One development server for the tests that leave it running. At the end it must stop cleanly, with a log of JSON
    lines that contains no warnings."""
    with Running("serve", tmp_path_factory.mktemp("serve") / "data") as made:
        yield made
        assert made.stop() == 0
    assert all({"time", "level", "logger", "message"} <= set(line) for line in made.log)
    assert [line for line in made.log if line["level"] not in ("info", "debug")] == []


def test_it_listens_on_this_machine_alone(server: Running) -> None:
    for address in ("127.0.0.1", "[::1]"):
        with server.http(address) as http:
            answer = http.get("/readyz")
            assert (answer.status_code, "server" in answer.headers) == (200, False)
            assert http.get("/dev/mail.json").status_code == 200
    listening = {c.laddr.ip for c in psutil.Process(server.process.pid).net_connections("tcp") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1", "::1"}
    assert server.url == f"http://localhost:{server.port}"
    assert len(server.out) == 1


def test_forwarded_headers_of_strangers_are_not_believed(server: Running) -> None:
    with server.http() as http:
        assert http.get("/dev/mail.json", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404


def test_only_the_owner_reads_the_data(server: Running) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in server.data.iterdir()}
    assert {name: modes[name] for name in ("passgate.db", "passgate.keys")} == {
        "passgate.db": 0o600,
        "passgate.keys": 0o600,
    }
    assert {mode for name, mode in modes.items() if name.startswith("passgate.db")} == {0o600}
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


def test_a_request_is_found_in_the_log(server: Running) -> None:
    with server.http() as http:
        given = http.get("/healthz", headers={"X-Request-ID": "a-strangers-own"}).headers["x-request-id"]
    give_up = time.monotonic() + 5
    while not (found := [line for line in server.log if line.get("request_id") == given]):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert given != "a-strangers-own"
    assert (found[0]["route"], found[0]["status"], found[0]["method"]) == ("/healthz", 200, "GET")


def test_an_endless_header_ends(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        head = b""
        for _ in range(2 * HEAD // 4096):
            try:
                raw.sendall(b"a" * 4096)
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.002)
        try:
            head = raw.recv(4096)
        except ConnectionResetError:
            head = b"HTTP/1.1 400 "
    assert head.startswith(b"HTTP/1.1 400 ")


def test_one_address_has_so_many_connections(tmp_path: Path) -> None:
    """One too many is closed at once and harms nobody; when others end, a new one is served. Loopback has a hundred
    times the setting in development."""
    with Running("serve", tmp_path / "data", LIMIT__CONNECTIONS="1") as server:
        links = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(100)]
        try:
            _asked(links[-1])
            with (
                socket.create_connection(("127.0.0.1", server.port), timeout=10) as late,
                suppress(ConnectionResetError),
            ):
                late.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert late.recv(100) == b""
            _asked(links[0])
            links.pop().close()
            time.sleep(0.2)
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as again:
                _asked(again)
        finally:
            for one in links:
                one.close()


def _asked(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_commands_while_a_server_runs(server: Running, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = Shell(server.data, capsys)
    shell("user", "add", "owner@example.com", "--role", "owner")
    assert shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD).code == 0
    with server.http() as http:
        token = _signed_in(http, "anna@example.com", PASSWORD)
        assert shell("key", "rotate").code == 0
        again = _signed_in(http, "anna@example.com", PASSWORD)
        assert {_session(http, one) for one in (token, again)} == {200}
        assert shell("backup", str(tmp_path / "copy.db")).code == 0
        running = _started(http, "anna@example.com", PASSWORD)
        assert shell("user", "disable", "anna@example.com").code == 0
        assert {_session(http, one) for one in (token, again)} == {401}
        assert http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=bearer(running)).is_error
    assert shell("audit", "verify").code == 0


def _started(http: httpx2.Client, email: str, password: str) -> str:
    handle = str(http.post("/api/v1/signin", json={"email": email}).json()["handle"])
    proved = http.post("/api/v1/signin/prove", json={"factor": "password", "answer": password}, headers=bearer(handle))
    assert proved.status_code == 200, proved.text
    return handle


def _signed_in(http: httpx2.Client, email: str, password: str) -> str:
    handle = _started(http, email, password)
    done = http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=bearer(handle))
    return str(done.json()["token"])


def _session(http: httpx2.Client, token: str) -> int:
    return http.get("/api/v1/session", headers=bearer(token)).status_code


def test_at_the_end_a_connection_without_a_request_may_still_send_one(tmp_path: Path) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Running("serve", tmp_path / "data") as server:
        fresh, silent, idle = (socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(3))
        with fresh, silent, idle:
            idle.sendall(asked)
            assert idle.recv(1)
            server.process.send_signal(signal.SIGTERM)
            assert _to_its_end(idle)  # it has its answer, and is closed first
            fresh.sendall(asked)
            answer = _to_its_end(fresh)
            assert (answer[:13], b"connection: close" in answer.lower()) == (b"HTTP/1.1 200 ", True)
            assert _to_its_end(silent) == b""
        assert server.stop() == 0


def _to_its_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


def test_sigterm_finishes_what_is_in_flight_and_a_second_start_finds_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    body = json.dumps({"email": "anna@example.com", "password": OTHER_PASSWORD}).encode()
    head = (
        f"POST /api/v1/signup HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with Running("serve", data) as first, socket.create_connection(("127.0.0.1", first.port), timeout=20) as raw:
        raw.sendall(head.encode() + body[:10])
        time.sleep(0.3)
        first.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", first.port), timeout=1).close()
        raw.sendall(body[10:])
        assert raw.recv(4096).startswith(b"HTTP/1.1 202 ")
        assert first.stop() == 0
    with Running("worker", data) as worker:
        assert worker.stop(signal.SIGINT) == 0
    with Running("serve", data) as second, second.http() as http:
        # In the outbox, not yet in the mailbox: a process that ends while sending keeps its lease for a minute.
        with closing(sqlite3.connect(data / "passgate.db")) as db:
            assert db.execute("SELECT kind FROM outbox").fetchall() == [("signup_code",)]
        assert http.get("/readyz").status_code == 200


def test_a_server_starts_with_a_key_file_of_yesterday(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It logs that, and publishes a successor of the signing key that it cannot read. Until that one signs, no pair is
    given, and the sign-in can be finished otherwise."""
    shell = Shell(tmp_path / "data", capsys)
    shell("user", "add", "anna@example.com")
    keys = shell.data / "passgate.keys"
    yesterday = keys.read_bytes()
    first = shell("key", "rotate", "--signing", "--json").json["key_id"]
    assert shell("key", "rotate").code == 0
    keys.write_bytes(yesterday)
    assert shell("user", "add", "bert@example.com").codes == ["KEYS_WRONG"]
    with Running("serve", shell.data) as server, server.http() as http:
        give_up = time.monotonic() + 30
        while len(published := [key["kid"] for key in http.get("/oauth2/jwks").json()["keys"]]) < 2:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        assert published[0] == first
        assert shell("user", "list").code == 0, "commands go by these keys from now on"
        handle = bearer(_signed_up(http, "bert@example.com", PASSWORD))
        down = http.post("/api/v1/signin/finish", json={"carrier": "jwt"}, headers=handle)
        assert (down.status_code, down.json()["code"]) == (503, "unavailable")
        assert http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=handle).status_code == 201
        assert server.stop() == 0
    lost = [line for line in server.log if line["level"] == "error"]
    assert [line.get("row") for line in lost] == [None, f"signing_key:{first}"]
    assert "other keys" in lost[0]["message"]


def _signed_up(http: httpx2.Client, email: str, password: str) -> str:
    """The handle of a sign-up that has proved its address."""
    handle = str(http.post("/api/v1/signup", json={"email": email, "password": password}).json()["handle"])
    give_up = time.monotonic() + 20
    while not (mails := http.get("/dev/mail.json").json()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    proof = {"factor": "email_code", "answer": mails[0]["code"]}
    proved = http.post("/api/v1/signin/prove", json=proof, headers=bearer(handle))
    assert proved.status_code == 200, proved.text
    return handle


def test_workers_are_replaced_and_end_with_their_parent(tmp_path: Path) -> None:
    with Running("serve", tmp_path / "data", WORKERS="2") as server:
        workers = _workers(server)
        assert len(workers) == 2
        assert _answering(server) == 200
        workers[0].kill()
        give_up = time.monotonic() + 30
        while len(now := [one for one in _workers(server) if one.pid != workers[0].pid]) < 2:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        assert _answering(server) == 200
        server.process.kill()
        gone, _ = psutil.wait_procs(now, timeout=20)
        assert len(gone) == 2
    assert [line["code"] for line in server.log if line["message"] == "worker ended"] == [-9]


def _workers(server: Running) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(server.process.pid).children():
        with suppress(psutil.Error):  # a process that has ended has no command line
            if any("spawn_main" in part for part in child.cmdline()):
                found.append(child)
    return found


def _answering(server: Running) -> int:
    """The status of `/readyz` on many connections, so that each worker gets some."""
    with server.http() as http:
        statuses = {http.get("/readyz", headers={"Connection": "close"}).status_code for _ in range(20)}
    assert len(statuses) == 1
    return statuses.pop()


def test_demo(tmp_path: Path) -> None:
    data = tmp_path / ".passgate" / "demo"
    data.mkdir(parents=True)
    ready = data / "ready.json"
    ready.write_text('{"url": "http://localhost:1"}')
    # The demo must not use the settings of a real deployment.
    elsewhere = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "HOST": "192.0.2.1", "ENVIRONMENT": "production"}
    with Running("demo", data, "--port", "0", **elsewhere) as demo:
        assert stat.S_IMODE(ready.stat().st_mode) == 0o600
        listed = json.loads(ready.read_text())
        assert set(listed) == {"url", "signup", "mail", "docs", "admin_link", "clients"}
        assert (listed["url"], listed["clients"]) == (f"http://localhost:{demo.port}", [])
        assert demo.out[0] == f"Passgate is ready: {listed['url']}\n"
        with demo.http() as http:
            # Following the link changes nothing; a button on the page that it leads to uses it.
            followed = http.get(listed["admin_link"].removeprefix(listed["url"]), follow_redirects=False)
            assert (followed.status_code, followed.headers["location"]) == (303, "/signin/link")
            for name in ("signup", "mail", "docs"):
                assert http.get(listed[name].removeprefix(listed["url"])).status_code == 200
        assert demo.stop(signal.SIGINT) == 0
    assert not ready.exists()


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnsafeSettings) as refused:
            sockets.bind(Settings.development(port=port))
    assert [code for code, _ in refused.value.reasons] == ["ADDRESS_TAKEN"]


def test_each_family_has_its_own_socket() -> None:
    with sockets.bound(Settings.production(host="::", port=free_port())) as both:
        assert [one.family for one in both] == [socket.AF_INET, socket.AF_INET6]
        assert both[1].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    with sockets.bound(Settings.production(host="127.0.0.1", port=0)) as one, pytest.raises(UnsafeSettings) as refused:
        assert sockets.addresses_of(one) == f"127.0.0.1:{one[0].getsockname()[1]}"
        sockets.bind(Settings.production(host="no.such.host.invalid"))
    assert [code for code, _ in refused.value.reasons] == ["ADDRESS_UNKNOWN"]


@pytest.mark.pg
def test_production_on_postgresql(tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": "https://id.example.com",
        "SECRETS": SECRET,
        "WORKERS": "2",
        "DATABASE_URL": postgres.create_database(),
        "MAIL__URL": "smtp://127.0.0.1:1",
        "METRICS__TOKEN": SECRET,
        "HASH__MEMORY_KIB": str(19 * 1024),
        "HASH__PASSES": "2",
        "PORT": str(free_port()),
    }
    shell = Shell(tmp_path / "data", capsys, **settings)
    assert shell("serve").codes == ["DATABASE_BEHIND"]
    assert shell("migrate").code == 0
    assert shell("doctor").code == 0
    assert shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD).code == 0
    with Running("serve", tmp_path / "data", **settings) as server:
        assert server.url == "https://id.example.com"
        base = f"http://127.0.0.1:{settings['PORT']}"
        with httpx2.Client(base_url=base, trust_env=False, timeout=30, verify=False) as http:
            ready = http.get("/readyz", headers=bearer(SECRET))
            assert ready.json()["parts"] == {"database": "ok", "schema": "ok"}
            assert "strict-transport-security" in ready.headers
            assert http.get("/dev/mail.json").status_code == 404
            assert _session(http, _signed_in(http, "anna@example.com", PASSWORD)) == 200
        workers = _workers(server)
        assert server.stop() == 0
        assert not any(one.is_running() for one in workers)
    assert not (tmp_path / "data" / "passgate.keys").exists()
