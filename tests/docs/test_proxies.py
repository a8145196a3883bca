"""Behind the proxies of docs/operate as printed, with TLS: a person signs in, and Passgate knows who they are.

Changed are only names of files, ports, and what a machine without an authority for certificates needs. Requests of
every shape through a proxy are in tests/wire.
"""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cli.shell import Running, Shell
from tests.docs.samples import sample, variables
from tests.kit import PASSWORD, bearer
from tests.servers import free_port
from tests.wire.targets import listens, located

pytestmark = pytest.mark.foreign

NAME = "id.acme.example"
VISITOR = "127.0.0.2"
"""An address of this machine that is not the proxy's."""
FORGED = {"X-Forwarded-For": "203.0.113.1", "Forwarded": "for=203.0.113.1", "X-Request-ID": "a-strangers-own"}
SECRET = "Qm7r9XcV2bN4tZ8kL1pW6yH3sD5fG0jA"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "PUBLIC_URL": f"https://{NAME}",
    "SECRETS": SECRET,
    "MAIL__URL": "smtps://127.0.0.1:1",
    "METRICS__TOKEN": SECRET,
    "HASH__MEMORY_KIB": str(19 * 1024),
    "HASH__PASSES": "2",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file with a key and a certificate that it signed itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "acme.pem"
    path.write_bytes(key.private_bytes(*kind) + signed.public_bytes(serialization.Encoding.PEM))
    return path


def nginx(here: Path, port: int, upstream: str, certificate: Path) -> list[str]:
    text = sample("nginx.md", "nginx").replace("443", str(port)).replace("http://127.0.0.1:8000", f"http://{upstream}")
    for name in ("/etc/ssl/acme.pem", "/etc/ssl/private/acme.key"):
        assert name in text
        text = text.replace(name, str(certificate))
    folders = " ".join(f"{kind}_temp_path {here}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if Path("/").owner() == here.owner() else ""
    http = f"access_log off; client_body_temp_path {here}/body; {folders} {text}"
    config = f"daemon off; pid {here}/pid; error_log {here}/log; {user} events {{}} http {{ {http} }}"
    (here / "config").write_text(config)
    return [located("nginx"), "-p", str(here), "-c", str(here / "config")]


def caddy(here: Path, port: int, upstream: str, certificate: Path) -> list[str]:
    text = sample("caddy.md", "caddyfile")
    assert "reverse_proxy 127.0.0.1:8000" in text
    text = text.replace("127.0.0.1:8000", upstream).replace("health_interval 10s", "health_interval 1s")
    text = text.replace("reverse_proxy", f"tls {certificate} {certificate}\n    reverse_proxy", 1)
    ports = f"http_port {free_port()}\n https_port {port}"
    (here / "config").write_text(f"{{\n admin off\n auto_https disable_redirects\n {ports}\n}}\n{text}")
    return [located("caddy"), "run", "--adapter", "caddyfile", "--config", str(here / "config")]


def haproxy(here: Path, port: int, upstream: str, certificate: Path) -> list[str]:
    text = sample("haproxy.md", "haproxy")
    for printed, real in (
        (":443", f"127.0.0.1:{port}"),
        ("/etc/haproxy/acme.pem", str(certificate)),
        ("127.0.0.1:8000", upstream),
    ):
        assert printed in text
        text = text.replace(printed, real)
    (here / "config").write_text(text)
    return [located("haproxy"), "-db", "-f", str(here / "config")]


@contextmanager
def running(command: list[str], here: Path, port: int) -> Iterator[None]:
    env = {"HOME": str(here), "XDG_DATA_HOME": str(here), "XDG_CONFIG_HOME": str(here), "PATH": "/usr/bin:/bin"}
    with (here / "printed").open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as proxy:
        try:
            give_up = time.monotonic() + 20
            while not listens(port):
                assert proxy.poll() is None, (here / "printed").read_text()
                assert time.monotonic() < give_up
                time.sleep(0.05)
            yield
        finally:
            proxy.terminate()


def client(port: int) -> httpx2.Client:
    anything = ssl.create_default_context()
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    transport = httpx2.HTTPTransport(verify=anything, local_address=VISITOR)
    return httpx2.Client(base_url=f"https://127.0.0.1:{port}", transport=transport, headers={"Host": NAME}, timeout=30)


def ask(http: httpx2.Client, method: str, path: str, **given: object) -> httpx2.Response:
    """As a browser would that looks the name up."""
    return http.request(method, path, extensions={"sni_hostname": NAME}, **given)  # type: ignore[arg-type]


def signs_in(port: int) -> None:
    with client(port) as http:
        give_up = time.monotonic() + 20
        while (page := ask(http, "GET", "/signin", headers=FORGED)).status_code == 503 and time.monotonic() < give_up:
            time.sleep(0.2)  # until the proxy has found us healthy
        assert page.status_code == 200
        assert page.headers["x-request-id"] != FORGED["X-Request-ID"]
        assert "__Host-" in page.headers["set-cookie"]
        begun = ask(http, "POST", "/api/v1/signin", json={"email": "anna@example.com"}, headers=FORGED)
        handle = bearer(begun.json()["handle"])
        proof = {"factor": "password", "answer": PASSWORD}
        assert ask(http, "POST", "/api/v1/signin/prove", json=proof, headers=handle | FORGED).status_code == 200
        done = ask(http, "POST", "/api/v1/signin/finish", json={"carrier": "bearer"}, headers=handle | FORGED)
        assert done.json()["session"]["client"]["ip"] == VISITOR


@pytest.fixture
def person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A data folder in which Anna has a password."""
    shell = Shell(tmp_path / "data", capsys, **PRODUCTION)
    assert shell("user", "add", "anna@example.com", "--password-stdin", typed=PASSWORD).code == 0
    return shell.data


@pytest.mark.parametrize(
    ("page", "configured"),
    [("nginx.md", nginx), ("caddy.md", caddy), ("haproxy.md", haproxy)],
    ids=lambda one: str(one)[:9],
)
def test_as_printed(
    page: str, configured: Callable[..., list[str]], person: Path, certificate: Path, tmp_path: Path
) -> None:
    here, port = tmp_path / "proxy", free_port()
    here.mkdir()
    trusted = variables(sample(page, "ini"))
    assert trusted.keys() == {"PASSGATE_TRUSTED_PROXIES"}
    given = PRODUCTION | {name.removeprefix("PASSGATE_"): value for name, value in trusted.items()}
    with Running("serve", person, **given, PORT=str(inside := free_port())) as server:
        with running(configured(here, port, f"127.0.0.1:{inside}", certificate), here, port):
            signs_in(port)
        assert server.stop() == 0
    assert [line for line in server.log if line["level"] not in ("info", "debug")] == []
    assert FORGED["X-Request-ID"] not in str(server.log)


def test_nginx_through_a_unix_socket(person: Path, certificate: Path, tmp_path: Path) -> None:
    here, port, path = tmp_path / "proxy", free_port(), tmp_path / "socket"
    here.mkdir()
    with Running("serve", person, **PRODUCTION, HOST=f"unix:{path}", TRUSTED_PROXIES="unix", WORKERS="2") as server:
        with running(nginx(here, port, f"unix:{path}:", certificate), here, port):
            signs_in(port)
        assert server.stop() == 0
    assert not path.exists()


def test_a_proxy_that_nobody_trusts_is_named(person: Path, certificate: Path, tmp_path: Path) -> None:
    """Once, although several requests came through it."""
    here, port = tmp_path / "proxy", free_port()
    here.mkdir()
    with Running("serve", person, **PRODUCTION, PORT=str(inside := free_port())) as server:
        with running(haproxy(here, port, f"127.0.0.1:{inside}", certificate), here, port), client(port) as http:
            for _ in range(3):
                ask(http, "GET", "/signin", headers=FORGED)
        assert server.stop() == 0
    warned = [line for line in server.log if line["level"] == "warning"]
    assert [line["address"] for line in warned] == ["127.0.0.1"]
    assert "203.0.113.1" not in str(warned)
