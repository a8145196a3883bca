"""What the tests of examples/4-passkey-audit share: the program with its settings and an admin, people with a passkey,
requests, and the tables of app.db.

Not here: tests, and the authenticator itself (tests/authenticator.py).
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.testclient import TestClient

from passgate.settings import HashSettings, LimitSettings, MetricsSettings
from passgate.testing import CHEAP, Clock, Gate, Mailbox
from tests.authenticator import Authenticator
from tests.examples.programs import client_of, module
from tests.kit import bearer

ADMIN = "admin@example.com"
NOBODY = "00000000-0000-7000-8000-000000000000"
HERE = "127.0.0.1"
FAR_AWAY = ("203.0.113.9", 50000)
"""A client that is not on this machine: for it, limits are those of production."""
ROOT_SECRET = "r4" * 8 + "Kq7Wz0" * 6
ROUTES = (
    *("POST /register/begin", "POST /register/complete", "POST /login/begin", "POST /login/complete"),
    *("GET /users/{user_id}", "POST /admin/users/{user_id}/promote", "POST /users", "POST /login"),
)
COLUMNS = {
    "users": ("id", "first_name", "last_name", "email", "date_of_birth", "job_title", "role", "created_at"),
    "webauthn_credentials": ("id", "user_id", "credential_id", "public_key", "sign_count", "created_at"),
    "audit_logs": (
        *("id", "event_type", "user_email", "user_id", "ip_address", "user_agent"),
        *("success", "details", "created_at"),
    ),
}
"""Of the service's README."""
FIELDS = ("first_name", "last_name", "email", "date_of_birth", "job_title")


def variables(**given: Any) -> Any:
    """The program's Variables, without a file."""
    return module(4).Variables(_env_file=None, **given)


def new_gate(found: Any, *, mailbox: Mailbox | None = None, **settings: Any) -> Gate:
    """With the settings that the variables make, `app.db` in a folder of its own, a clock that stands still, and
    nothing in the background but what `settle` runs. `settings`: instead of them, already of their types."""
    folder = Path(tempfile.mkdtemp(prefix="passgate-"))
    own = found.settings()
    mail = own.mail.model_copy(update={"per_hour": 100_000})
    database = SecretStr(f"sqlite:///{folder / 'app.db'}")
    more = {"data": folder, "database_url": database, "hash": CHEAP, "mail": mail, **settings}
    shapes, audit = module(4).shapes, module(4, "audit")
    made = Gate(
        own.model_copy(update=more),
        Clock(),
        mailbox or Mailbox(),
        profile=shapes.Profile,
        claims=shapes.claims,
        events=audit.EVENTS,
    )
    made.running = partial(made.running, work=False)  # type: ignore[method-assign]
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


def production(**given: Any) -> tuple[Any, Gate]:
    """Variables and a gate as they are served to the public; mails go to the mailbox all the same."""
    about = {"passgate_environment": "production", "jwt_secret": ROOT_SECRET, "origin": "https://id.passgate.test"}
    found = variables(**{**about, **given})
    more = {
        "environment": "production",
        "hash": HashSettings(),
        "mail": found.settings().mail.model_copy(update={"url": "smtp://127.0.0.1:1", "per_hour": 100_000}),
        "limit": LimitSettings(starts=100_000, stranger_mails=100_000),
        "metrics": MetricsSettings(token=SecretStr("m3trics-t0ken-of-the-tests")),
    }
    return found, new_gate(found, **more)


def program(gate: Gate, found: Any) -> FastAPI:
    app: FastAPI = module(4).program(gate, found)
    return app


def about(email: str, **given: Any) -> dict[str, Any]:
    """The body of a registration."""
    birth = "1990-01-15T00:00:00Z"
    body = {"first_name": "Jane", "last_name": "Doe", "date_of_birth": birth, "job_title": "Software Engineer"}
    return {**body, "email": email, **given}


@dataclass
class Who:
    """Somebody with an account, and their authenticator."""

    email: str
    key: Authenticator
    id: str = ""
    user: dict[str, Any] = field(default_factory=dict)


@dataclass
class Service:
    """The program, called by anybody whose token is handed in."""

    gate: Gate
    http: TestClient
    variables: Any
    names: Any = field(default_factory=itertools.count)

    @property
    def origin(self) -> str:
        return self.gate.settings.url

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx2.Response:
        """No answer sets a cookie."""
        headers = {**(bearer(token) if token else {}), **more.pop("headers", {})}
        answer: httpx2.Response = self.http.request(method, path, headers=headers, **more)
        assert "set-cookie" not in answer.headers
        return answer

    def forward(self, seconds: float = 0, **more: float) -> None:
        self.gate.clock.forward(seconds, **more)

    def new(self) -> str:
        return f"p{next(self.names)}@example.com"

    # -- ceremonies --------------------------------------------------------------------------------

    def register_begin(self, email: str, **given: Any) -> httpx2.Response:
        return self.ask("POST", "/register/begin", json=about(email, **given))

    def register_complete(self, email: str, credential: Any) -> httpx2.Response:
        return self.ask("POST", "/register/complete", json={"email": email, "credential": credential})

    def login_begin(self, email: str) -> httpx2.Response:
        return self.ask("POST", "/login/begin", json={"email": email})

    def login_complete(self, email: str, assertion: Any) -> httpx2.Response:
        return self.ask("POST", "/login/complete", json={"email": email, "assertion": assertion})

    def created(self, email: str, key: Authenticator, /, **twists: Any) -> dict[str, Any]:
        """The browser's answer to a registration that begins now."""
        return key.create(options_of(self.register_begin(email)), self.origin, **twists)

    def signed(self, email: str, key: Authenticator, /, **twists: Any) -> dict[str, Any]:
        """The browser's answer to a login that begins now."""
        return key.get(options_of(self.login_begin(email)), self.origin, **twists)

    # -- people ------------------------------------------------------------------------------------

    def person(self, email: str = "", key: Authenticator | None = None, **given: Any) -> Who:
        who = Who(email or self.new(), key or Authenticator())
        options = options_of(self.register_begin(who.email, **given))
        answer = self.register_complete(who.email, who.key.create(options, self.origin))
        assert answer.status_code == 201, answer.text
        who.user = answer.json()
        who.id = who.user["id"]
        return who

    def enter(self, who: Who, /, **twists: Any) -> httpx2.Response:
        return self.login_complete(who.email, self.signed(who.email, who.key, **twists))

    def token(self, who: Who) -> str:
        answer = self.enter(who)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def make_admin(self, who: Who) -> None:
        async def give() -> None:
            await self.gate.at(None, tenant="main").users.give_role(who.id, "admin")

        self.run(give)

    def show(self, user_id: str, token: str | None = None, **more: Any) -> httpx2.Response:
        return self.ask("GET", f"/users/{user_id}", token, **more)

    def promote(self, user_id: str, token: str | None = None) -> httpx2.Response:
        return self.ask("POST", f"/admin/users/{user_id}/promote", token)

    # -- what is stored ----------------------------------------------------------------------------

    def run(self, call: Any, *args: Any) -> Any:
        """In the loop of the program."""
        return self.http.portal.call(call, *args)  # type: ignore[union-attr]

    def settle(self) -> None:
        self.run(self.gate.settle)

    def mails(self, email: str, kind: str = "") -> list[Any]:
        """Newest first."""
        self.settle()
        return [mail for mail in self.gate.mailbox.to(email) if kind in ("", mail.kind)]

    def query(self, sql: str, *given: Any) -> list[dict[str, Any]]:
        """Rows of app.db, as the sqlite3 of a README sees them."""
        return rows_of(self.gate.settings.database_file, sql, *given)

    def logs(self, **wanted: Any) -> list[dict[str, Any]]:
        """Of audit_logs, oldest first."""
        where = " AND ".join(f"{name} IS ?" for name in wanted) or "1"
        return self.query(f"SELECT * FROM audit_logs WHERE {where} ORDER BY id", *wanted.values())


def rows_of(path: Path, sql: str, *given: Any) -> list[dict[str, Any]]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in database.execute(sql, given)]
    finally:
        database.close()


def options_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    [found] = answer.json().values()
    return dict(found)


@contextmanager
def service(gate: Gate | None = None, found: Any = None, client: Any = None, **given: Any) -> Iterator[Service]:
    """`given`: variables; `client`: address and port of who asks."""
    found = found or variables(**given)
    gate = gate or new_gate(found)
    with client_of(program(gate, found), gate, **({"client": client} if client else {})) as http:
        yield Service(gate, http, found)


# -- from several addresses -------------------------------------------------------------------------


@dataclass
class From:
    """The program, asked from the address that `at` says."""

    app: Any
    at: list[str] = field(default_factory=lambda: [HERE])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "client": (self.at[-1], 50000)}
        await self.app(scope, receive, send)


@dataclass
class Moving(Service):
    places: From = field(kw_only=True)

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        self.places.at.append(place)
        yield
        self.places.at.pop()


@contextmanager
def moving(place: str = HERE) -> Iterator[Moving]:
    found = variables()
    gate = new_gate(found)
    places = From(program(gate, found), [place])
    with client_of(places, gate) as http:
        yield Moving(gate, http, found, places=places)
