"""Behind a real nginx and a real HAProxy: every request arrives as it was sent, from whoever sent it, over TCP and over
a Unix socket.

Not here: fields that no proxy writes (`test_forwarded`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from passgate import testing
from passgate.app import Passgate
from tests.cli.shell import Running
from tests.kit import PASSWORD
from tests.wire.raw import head, send
from tests.wire.targets import FORWARDED, HAPROXY, NGINX, X_FORWARDED_FOR, proxy, serving

pytestmark = pytest.mark.foreign

VISITOR = "127.0.0.2"
"""An address of this machine that is not the proxy's."""
FORGED = {"X-Forwarded-For": "203.0.113.1"}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running("serve", tmp_path_factory.mktemp("behind") / "data", TRUSTED_PROXIES="127.0.0.1") as server:
        yield server
        assert server.stop() == 0
    assert [line for line in server.log if line["level"] not in ("info", "debug")] == []


@pytest.fixture(scope="module", params=["nginx", "haproxy", "haproxy-forwarded"])
def port(request: pytest.FixtureRequest, behind: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    here, upstream = tmp_path_factory.mktemp("proxy") / "here", f"127.0.0.1:{behind.port}"
    if request.param == "nginx":
        with proxy("nginx", NGINX, here, upstream) as found:
            yield found
        return
    writes = FORWARDED if request.param.endswith("forwarded") else X_FORWARDED_FOR
    with proxy("haproxy", HAPROXY, here, upstream, writes=writes) as found:
        yield found


def visitor(port: int) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(local_address=VISITOR)
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", transport=transport, trust_env=False, timeout=30)


async def address_of(http: httpx2.AsyncClient, mails: httpx2.AsyncClient, email: str) -> str:
    """Sign up and in; the address that the session shows."""
    begun = await http.post("/api/v1/signup", json={"email": email, "password": PASSWORD}, headers=FORGED)
    handle = {"Authorization": f"Bearer {begun.json()['handle']}"}
    sent = next(mail for mail in (await mails.get("/dev/mail.json")).json() if mail["to"] == email)
    proof = {"factor": "email_code", "answer": sent["code"]}
    assert (await http.post("/api/v1/signin/prove", json=proof, headers=handle)).status_code == 200
    done = await http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=handle | FORGED)
    return str(done.json()["session"]["client"]["ip"])


async def test_a_session_shows_the_visitors_address(port: int, behind: Running) -> None:
    direct = httpx2.AsyncClient(base_url=f"http://localhost:{behind.port}", trust_env=False)
    async with visitor(port) as http, direct as mails:
        assert await address_of(http, mails, f"p{port}@example.com") == VISITOR


UPGRADES = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
BODY = b'{"email":"you@example.com"}'


def test_every_request_arrives_as_it_was_sent(port: int) -> None:
    """With `Upgrade`, chunked, in segments, one after the other on one connection to us."""
    asked = head("POST", "/api/v1/signin", "Content-Type: application/json", *UPGRADES, length=len(BODY))
    hidden = head("GET", "/readyz")
    smuggling = head("POST", "/api/v1/signin", "Content-Type: application/json", *UPGRADES, length=len(hidden))
    for segments, statuses in (
        ([asked + BODY], [201]),
        ([asked, BODY], [201]),
        ([smuggling, hidden], [400]),
        ([asked + BODY, head("GET", "/healthz")], [201, 200]),
    ):
        heard = send(port, *segments, patience=0.5)
        assert (heard.statuses, heard.rest) == (statuses, b""), segments


def test_a_large_body_is_answered(port: int) -> None:
    asked = head("POST", "/api/v1/signin", "Content-Type: application/json", length=500_000)
    assert send(port, asked, b"x" * 500_000, patience=2).statuses == [413]


# -- a library program on a Unix socket ------------------------------------------------------------


@asynccontextmanager
async def on_a_socket(path: Path, gate: Passgate) -> AsyncIterator[None]:
    app = FastAPI()
    gate.mount(app, at="/auth")
    async with serving(app, uds=str(path), proxy_headers=False):
        yield


async def test_through_a_unix_socket(tmp_path: Path) -> None:
    """The session shows the visitor, and each visitor has a budget of their own."""
    gate = testing.gate(trusted_proxies="unix", limit={"starts": 1})
    async with on_a_socket(tmp_path / "socket", gate):
        with proxy("nginx", NGINX, tmp_path / "here", f"unix:{tmp_path / 'socket'}") as port:
            for number, address in enumerate((VISITOR, "127.0.0.3")):
                transport = httpx2.AsyncHTTPTransport(local_address=address)
                async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/auth", transport=transport) as http:
                    asked = {"email": f"u{number}@example.com"}
                    for status in (201, 429):
                        answer = await http.post("/api/v1/signin", json=asked, headers=FORGED)
                        assert answer.status_code == status, address
