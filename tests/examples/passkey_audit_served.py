"""What the tests of examples/4-passkey-audit share that run it as a process: a copy of its folder, its requests over
HTTP, and what is stored.

Not here: tests, and the program inside a test (passkey_audit).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import select

from passgate.app import Passgate
from passgate.cli import desk
from passgate.core import ledger, users
from passgate.store.tables import person
from tests.authenticator import Authenticator
from tests.examples import programs
from tests.examples.passkey_audit import Who, about, options_of, rows_of
from tests.examples.programs import FIREFOX, Served, copy_of
from tests.kit import bearer
from tests.processes import client_for

ORIGIN = "http://localhost:8004"
"""Where the browsers of two processes are, by a proxy in front of them."""
SECRETS = ("pg_sin_", "pg_rt_", "pg_ses_", "eyJhbGciOi", "@example.com")
"""What no log has: beginnings of tokens and of what a browser answers, and addresses."""


def served(folder: Path, database_url: str | None = None, **given: Any) -> Served:
    """From `folder`, which becomes a copy of the example's if there is nothing yet. `given`: what Served takes. Mails
    are kept and not printed."""
    if not folder.exists():
        copy_of(4, folder)
    more = {"MAIL__URL": "dev:", "MAIL__PER_HOUR": "100000", **given}
    return Served(4, folder / ".passgate", database_url, folder=folder, **more)


@dataclass
class Face:
    """The endpoints of one process, for browsers at `origin`. Names without `_of` return the answer."""

    http: httpx2.AsyncClient
    origin: str
    names: Any = field(default_factory=itertools.count)

    def address(self) -> str:
        """An unused one: the tests of a module share their servers."""
        return f"p{next(self.names)}@example.com"

    async def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx2.Response:
        return await self.http.request(method, path, headers=bearer(token) if token else {}, **more)

    # -- ceremonies --------------------------------------------------------------------------------

    async def register_begin(self, email: str, **given: Any) -> httpx2.Response:
        return await self.ask("POST", "/register/begin", json=about(email, **given))

    async def register_complete(self, email: str, credential: Any) -> httpx2.Response:
        return await self.ask("POST", "/register/complete", json={"email": email, "credential": credential})

    async def login_begin(self, email: str) -> httpx2.Response:
        return await self.ask("POST", "/login/begin", json={"email": email})

    async def login_complete(self, email: str, assertion: Any) -> httpx2.Response:
        return await self.ask("POST", "/login/complete", json={"email": email, "assertion": assertion})

    async def created_of(self, email: str, key: Authenticator) -> dict[str, Any]:
        """The browser's answer to a registration that begins now."""
        return key.create(options_of(await self.register_begin(email)), self.origin)

    async def signed_of(self, who: Who) -> dict[str, Any]:
        """The browser's answer to a login that begins now."""
        return who.key.get(options_of(await self.login_begin(who.email)), self.origin)

    # -- people ------------------------------------------------------------------------------------

    async def person_of(self, email: str = "") -> Who:
        """Somebody new."""
        who = Who(email or self.address(), Authenticator())
        answer = await self.register_complete(who.email, await self.created_of(who.email, who.key))
        assert answer.status_code == 201, answer.text
        who.user = answer.json()
        who.id = who.user["id"]
        return who

    async def enter(self, who: Who) -> httpx2.Response:
        return await self.login_complete(who.email, await self.signed_of(who))

    async def token_of(self, who: Who) -> str:
        answer = await self.enter(who)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def show(self, user_id: str, token: str = "") -> httpx2.Response:
        return await self.ask("GET", f"/users/{user_id}", token)

    async def promote(self, user_id: str, token: str) -> httpx2.Response:
        return await self.ask("POST", f"/admin/users/{user_id}/promote", token)


@asynccontextmanager
async def at(server: Served, origin: str = "", names: Any = None) -> AsyncIterator[Face]:
    async with client_for(server) as http:
        http.headers["user-agent"] = FIREFOX
        yield Face(http, origin or server.url, names or itertools.count())


# -- what is stored --------------------------------------------------------------------------------


def inside(folder: Path, database_url: str | None = None) -> Any:
    """A view of the database of a copy."""
    return programs.inside(folder / ".passgate", database_url or f"sqlite:///{folder / 'app.db'}")


async def make_admin(gate: Passgate, who: Who) -> None:
    operator = desk.operator(gate.services, "main")
    await users.give_role(operator, await users.by_email(operator, who.email, "main"), "admin")


async def accounts_of(gate: Passgate, email: str) -> list[str]:
    """The ids of those who have an address."""
    async with gate.services.store.read() as db:
        return [row["id"] for row in await db.rows(select(person.c.id).where(person.c.email_key == email))]


async def is_whole(gate: Passgate) -> bool:
    """Whether the audit trail is as it was written."""
    await ledger.seal(gate.services)
    return not (await ledger.verify(gate.services)).findings


def rows(folder: Path, sql: str, *given: Any) -> list[dict[str, Any]]:
    return rows_of(folder / "app.db", sql, *given)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777
