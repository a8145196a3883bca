"""What the tests of examples/2-session-rbac share: the program with an admin in it, people of each role, requests.

Not here: tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.testclient import TestClient

from passgate import testing
from passgate.testing import Gate
from tests.examples.programs import Served, client_of, module
from tests.kit import PASSWORD, bearer

ADMIN = {"username": "admin", "email": "admin@example.com", "password": PASSWORD}
TEMPLATE = {"session": {"touch": 0, "idle": 3600, "absolute": 86_400}, "mail": {"per_hour": 100_000}}
"""The settings of its `.env`."""
ROLES = ("read_only", "user", "admin")
NOBODY = "00000000-0000-7000-8000-000000000000"


def new_gate(**settings: Any) -> Gate:
    return testing.gate(permissions=module(2, "roles").PERMISSIONS, **{**TEMPLATE, **settings})


@dataclass
class Template:
    """The program, called by anybody whose id of a session is handed in."""

    gate: Gate
    http: TestClient
    admin: str = ""
    names: Any = field(default_factory=itertools.count)

    def ask(self, method: str, path: str, session: str | None = None, **more: Any) -> httpx2.Response:
        """`path`: below /api."""
        headers = {**(bearer(session) if session else {}), **more.pop("headers", {})}
        answer: httpx2.Response = self.http.request(method, f"/api{path}", headers=headers, **more)
        return answer

    def login(self, username: str, password: str = PASSWORD, **headers: str) -> str:
        given = {"username": username, "password": password}
        answer = self.ask("POST", "/auth/login", json=given, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["sessionID"])

    def person(self, role: str = "user", username: str = "") -> tuple[str, str]:
        """The id and the username of somebody new."""
        name = username or f"p{next(self.names)}"
        given = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        answer = self.ask("POST", "/users/", self.admin, json=given)
        assert answer.status_code == 201, answer.text
        if role != "user":
            changed = self.ask("PATCH", f"/users/{answer.json()['id']}/", self.admin, json={"role": role})
            assert changed.status_code == 202, changed.text
        return answer.json()["id"], name

    def signed_in(self, role: str) -> tuple[str, str]:
        """The id of somebody new, and the id of their session."""
        person_id, name = self.person(role)
        return person_id, self.login(name)


def program(gate: Gate) -> FastAPI:
    app: FastAPI = module(2).program(gate, module(2, "roles").FirstAdmin(**ADMIN))
    return app


@contextmanager
def template(**settings: Any) -> Iterator[Template]:
    gate = new_gate(**settings)
    with client_of(program(gate), gate) as http:
        made = Template(gate, http)
        made.admin = made.login("admin")
        yield made


# -- processes -------------------------------------------------------------------------------------


@dataclass
class Face:
    """The same over HTTP, at one process."""

    http: httpx2.AsyncClient

    async def ask(self, method: str, path: str, session: str = "", **more: Any) -> httpx2.Response:
        headers = bearer(session) if session else {}
        return await self.http.request(method, f"/api{path}", headers=headers, **more)

    async def enter(self, username: str, password: str = PASSWORD) -> httpx2.Response:
        return await self.ask("POST", "/auth/login", json={"username": username, "password": password})

    async def login(self, username: str, password: str = PASSWORD) -> str:
        answer = await self.enter(username, password)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["sessionID"])

    async def person(self, admin: str, username: str, role: str = "user") -> str:
        given = {"email": f"{username}@example.com", "username": username, "password": PASSWORD}
        answer = await self.ask("POST", "/users/", admin, json=given)
        assert answer.status_code == 201, answer.text
        person_id = str(answer.json()["id"])
        if role != "user":
            assert (await self.ask("PATCH", f"/users/{person_id}/", admin, json={"role": role})).status_code == 202
        return person_id


FIRST = {"ADMIN_PASSWORD": PASSWORD}
"""What its `.env` leaves out."""


def served(data: Path, database_url: str | None = None, **env: str) -> Served:
    """`env`: besides the first admin's."""
    return Served(2, data, database_url, env={**FIRST, **env}, MAIL__PER_HOUR="100000")


def keeps_no_secret(server: Served, *secrets: str) -> None:
    """Assert that no part of its log is one of these."""
    log = server.log()
    assert not [secret for secret in secrets if secret in log]
    assert "pg_ses_" not in log
    assert "pg_sin_" not in log
