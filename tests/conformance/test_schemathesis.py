"""Schemathesis reads the OpenAPI document and sends generated requests to a running server: every response must conform
to the document.

Not here: what responses mean, which is tested in tests/web.
"""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings

from passgate.app import Passgate
from passgate.web.docs import described
from tests import kit
from tests.kit import PASSWORD

CONFIG = {
    "generation": {"deterministic": True, "database": "none"},
    "checks": {
        # A value may fit the schema and still be invalid, such as an address that cannot get mail.
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", "400", "401", "403", "404", "409", "422", "429"],
        },
    },
    "phases": {"coverage": {"unexpected-methods": ["PUT", "TRACE", "DELETE", "PATCH"]}, "stateful": {"enabled": False}},
    "operations": [
        # The path also matches /me/passkeys/{id}: PATCH and DELETE take `prove` for an id instead of answering 405.
        {"include-path": "/api/v1/me/passkeys/prove", "checks": {"unsupported_method": {"enabled": False}}},
    ],
}

QUICK = settings(
    max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@dataclass
class Running:
    """A server on a real socket and the credentials of its client: one session while it lives, and a new handle for
    each use."""

    url: str
    http: requests.Session = field(default_factory=requests.Session)
    token: str = ""
    people: int = 0

    def post(self, path: str, body: dict[str, Any], secret: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return self.http.post(f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=10)

    def handle(self) -> str:
        """The handle of a new sign-up whose code is not proved."""
        self.people += 1
        return str(self.post("/signup", {"email": f"n{self.people}@example.com"}).json()["handle"])

    def proved(self, email: str = "") -> str:
        """The handle of a new person's sign-up that is ready to finish."""
        handle = str(self.post("/signup", {"email": email, "password": PASSWORD}).json()["handle"])
        mails = self.http.get(f"{self.url}/dev/mail.json", timeout=10).json()
        code = next(mail["code"] for mail in mails if mail["to"] == email)
        assert self.post("/signin/prove", {"factor": "email_code", "answer": code}, handle).json()["enough"] is True
        return handle

    def session(self) -> str:
        if not self.token or not self._lives():
            self.people += 1
            handle = self.proved(f"p{self.people}@example.com")
            self.token = str(self.post("/signin/finish", {"carrier": "bearer"}, handle).json()["token"])
        return self.token

    def _lives(self) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.http.get(f"{self.url}/api/v1/session", headers=headers, timeout=10).status_code == 200

    def credential(self, case: schemathesis.Case[Any]) -> str | None:
        if case.path == "/api/v1/signin/finish":
            self.people += 1
            return self.proved(f"p{self.people}@example.com")
        schemes = {name for way in case.operation.definition.raw.get("security", []) for name in way}
        if "handle" in schemes:
            return self.handle()
        return self.session() if "session" in schemes else None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    gate = Passgate(kit.settings_for(tmp_path_factory.mktemp("server"), port=port))
    config = uvicorn.Config(gate, log_level="error", server_header=False, access_log=False)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    made = Running(f"http://localhost:{port}")
    yield made
    made.http.close()
    running.should_exit = True
    thread.join(timeout=30)
    assert not thread.is_alive()


def document() -> dict[str, Any]:
    """The OpenAPI document, made without a server, because pytest creates one test per endpoint while it collects."""
    with tempfile.TemporaryDirectory() as folder:
        gate = Passgate(kit.settings_for(Path(folder)))
        try:
            return described(gate.api)
        finally:
            asyncio.run(gate.close())


@schemathesis.check
def names_a_documented_code(_ctx: schemathesis.CheckContext, response: Any, case: schemathesis.Case[Any]) -> None:
    """Our own rule: every refusal is a problem document whose code is in the description of that status."""
    assert response.headers["x-request-id"]
    assert "server" not in response.headers
    if response.status_code < 400 or response.status_code in (405, 503):
        return
    problem = response.json()
    assert problem["status"] == response.status_code
    result = case.operation.definition.raw["responses"][str(response.status_code)]["description"]
    assert problem["code"] in re.findall(r"[a-z_]+", result), (problem["code"], result)


endpoints = schemathesis.openapi.from_dict(document(), config=schemathesis.Config.from_dict(CONFIG))


def test_the_server_serves_this_document(server: Running) -> None:
    assert server.http.get(f"{server.url}/openapi.json", timeout=10).json() == endpoints.raw_schema


def ask(case: schemathesis.Case[Any], server: Running) -> None:
    secret = server.credential(case)
    headers = {"Authorization": f"Bearer {secret}"} if secret else None
    case.call_and_validate(base_url=server.url, session=server.http, headers=headers)


@endpoints.parametrize()
@QUICK
def test_every_answer_is_announced(case: schemathesis.Case[Any], server: Running) -> None:
    ask(case, server)


@pytest.mark.soak
@endpoints.parametrize()
@LONG
def test_every_answer_is_announced_for_long(case: schemathesis.Case[Any], server: Running) -> None:
    ask(case, server)
