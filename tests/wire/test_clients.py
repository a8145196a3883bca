"""Clients of others, as programs and as recorded bytes, are answered right: by `passgate serve` alone, in a host's
program under uvicorn, behind nginx and behind HAProxy.

The programs are in `clients`, the bytes in `recorded`. Not here: what no client sends (`test_upgrade`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.shell import Running
from tests.wire.raw import Heard, send_each
from tests.wire.recorded import RECORDED
from tests.wire.targets import HAPROXY, NGINX, X_FORWARDED_FOR, hosted, located, proxy

pytestmark = pytest.mark.foreign

PROGRAMS = Path(__file__).with_name("clients")
WITHIN = 60.0
"""Seconds for all exchanges of a program."""
STATUSES = {
    "signin": 201,
    "again": 200,  # a GET over the same connection
    "head": 200,
    "chunked": 201,
    "large": 413,
    "large-chunked": 413,
    "after": 200,
    "expect": 201,
    "large-expect": 413,
    "empty": 422,
}
NO_EXPECT = STATUSES.keys() - {"expect", "large-expect"}
CLIENTS = {
    "jdk": STATUSES.keys() - {"large-expect"},
    "jdk-http1.1": STATUSES.keys() - {"large-expect"},
    "node": NO_EXPECT,
    "requests": NO_EXPECT,
    "urllib": NO_EXPECT,
    "curl": STATUSES.keys(),
    "curl-http2": STATUSES.keys(),
    "curl-http1.0": NO_EXPECT - {"chunked", "large-chunked"},
}
"""The exchanges of each client."""
TARGETS = ["alone", "httptools", "h11", "nginx", "haproxy"]
RESET = 0
WITHHELD = {"signin": 400, "chunked": 400, "expect": 400, "large": 413, "large-chunked": 400, "large-expect": 413}
"""What becomes of a body after `Upgrade` under httptools (decision 0065). The connection ends with the answer, and a
client that is still sending may be reset."""


@dataclass(frozen=True)
class Exchange:
    """A line of a program. `status`: 0 if no answer was heard; then `type` is the error. `connection`: equal for
    exchanges over the same one, where the client lets that be seen."""

    client: str
    target: str
    exchange: str
    status: int
    type: str
    body: str
    connection: int | None = None

    @property
    def is_right(self) -> bool:
        """Whether media type and body are those of the status."""
        content = base64.b64decode(self.body)
        if self.status == RESET:
            return True
        if self.exchange == "head":
            return (self.type, content) == ("application/json", b"")
        document = json.loads(content)
        if self.status >= 400:
            return self.type == "application/problem+json" and document["status"] == self.status
        found = document["handle"].startswith("pg_sin_") if self.status == 201 else document == {"status": "ok"}
        return self.type == "application/json" and found


# -- what runs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def ports(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, int]]:
    """Of each target."""
    folder = tmp_path_factory.mktemp("clients")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Running("serve", folder / "data", TRUSTED_PROXIES="127.0.0.1"))
        upstream = f"127.0.0.1:{server.port}"
        haproxy = proxy("haproxy", HAPROXY, folder / "haproxy", upstream, writes=X_FORWARDED_FOR)
        yield {
            "alone": server.port,
            "httptools": await stack.enter_async_context(hosted("httptools", at="")),
            "h11": await stack.enter_async_context(hosted("h11", at="")),
            "nginx": stack.enter_context(proxy("nginx", NGINX, folder / "nginx", upstream)),
            "haproxy": stack.enter_context(haproxy),
        }
        assert server.stop() == 0
    assert [line for line in server.log if line["level"] not in ("info", "debug")] == []


@pytest.fixture(scope="module")
async def exchanges(ports: dict[str, int]) -> list[Exchange]:
    """All of them; each program is started once."""
    located("curl")
    java = (located("java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Client.java")
    started = (java, (located("node"), "client.mjs"), (sys.executable, "client.py"), (sys.executable, "curl.py"))
    targets = [f"{name}=http://127.0.0.1:{port}" for name, port in ports.items()]
    found = await asyncio.gather(*(lines(*command, *targets) for command in started))
    return [line for of_one in found for line in of_one]


async def lines(*command: str) -> list[Exchange]:
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROGRAMS, env=env
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), WITHIN)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return [Exchange(**json.loads(line)) for line in out.splitlines()]


# -- programs --------------------------------------------------------------------------------------


def allowed(client: str, target: str, exchange: str) -> set[int]:
    is_upgrade = client in ("jdk", "curl-http2")
    if is_upgrade and target == "httptools" and exchange in WITHHELD:
        return {WITHHELD[exchange], RESET}
    return {STATUSES[exchange]}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_program_is_answered_right(exchanges: list[Exchange], client: str, target: str) -> None:
    found = {line.exchange: line for line in exchanges if (line.client, line.target) == (client, target)}
    assert found.keys() == CLIENTS[client]
    for name, line in found.items():
        assert line.status in allowed(client, target, name), line
        assert line.is_right, line


@pytest.mark.parametrize("target", TARGETS)
async def test_connections_are_used_again(exchanges: list[Exchange], target: str) -> None:
    """By curl and requests at once. Node opens a second one where the first is not free yet."""
    of = {
        client: [line.connection for line in exchanges if (line.client, line.target) == (client, target)]
        for client in ("curl", "requests", "node")
    }
    assert of["curl"][0] == of["curl"][1]
    assert of["requests"][0] == of["requests"][1]
    assert len(set(of["node"])) < len(of["node"])


# -- recorded bytes --------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
async def test_recorded_bytes_are_answered_right(ports: dict[str, int], target: str) -> None:
    for (name, one), heard in zip(RECORDED.items(), await asyncio.to_thread(replayed, ports[target]), strict=True):
        answers = [answer for answer in heard.responses if answer.status >= 200]
        assert ([answer.status for answer in answers], heard.rest) == (one.statuses, b""), name
        assert all(b'"handle":"pg_sin_' in answer.body for answer in answers if answer.status == 201)


def replayed(port: int) -> list[Heard]:
    return send_each(port, [one.segments for one in RECORDED.values()], 0.7)
