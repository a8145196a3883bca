"""What the tests of examples/3-two-factor-mail share: the program with its settings and an admin, people of each
device, requests, their mails, and an authenticator app with an RFC 6238 of its own.

Not here: tests.
"""

from __future__ import annotations

import base64
import hmac
import io
import itertools
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import zxingcpp
from fastapi import FastAPI
from PIL import Image
from pydantic import SecretStr
from starlette.testclient import TestClient

from passgate.core.message import Message
from passgate.settings import HashSettings, LimitSettings, MetricsSettings
from passgate.testing import CHEAP, Clock, Gate, Mailbox
from passgate.world import SECOND
from tests.examples.programs import client_of, module
from tests.kit import PASSWORD, bearer

AT = "/api/v1"
ADMIN = "admin@example.com"
SHORT = "123456"
"""The password of the service's README."""
NOBODY = "00000000-0000-7000-8000-000000000000"
MINUTE = 60
DEVICES = ("email", "code_generator")
FAR_AWAY = ("203.0.113.9", 50000)
"""A client that is not on this machine: for it, limits are those of production."""
ROOT_SECRET = "r4" * 8 + "Kq7Wz0" * 6

ROUTES = (
    *("POST /auth/signup", "POST /auth/login", "GET /auth/test-token", "POST /auth/refresh"),
    *("POST /tfa/login_tfa", "POST /tfa/recover_tfa", "GET /tfa/get_my_qrcode", "PUT /tfa/enable_tfa"),
    *("GET /users/users", "GET /tasks/test-celery", "GET /tasks/taskstatus"),
)


def variables(**given: Any) -> Any:
    """The program's Variables, without a file."""
    return module(3).Variables(_env_file=None, **given)


def new_gate(found: Any, *, mailbox: Mailbox | None = None, **settings: Any) -> Gate:
    """With the settings that the variables make, cheap hashes, a clock that stands still, and nothing in the background
    but what `settle` runs. `settings`: instead of them, already of their types."""
    folder = Path(tempfile.mkdtemp(prefix="passgate-"))
    own = found.settings()
    mail = own.mail.model_copy(update={"per_hour": 100_000})
    more = {"data": folder, "hash": CHEAP, "mail": mail, **settings}
    made = Gate(own.model_copy(update=more), Clock(), mailbox or Mailbox(), profile=module(3).shapes.Profile)
    made.running = partial(made.running, work=False)  # type: ignore[method-assign]
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


def production(**given: Any) -> tuple[Any, Gate]:
    """Variables and a gate as they are served to the public; mails go to the mailbox all the same."""
    found = variables(**{"fastapi_config": "production", "fake_email_sender": "id@example.com", **given})
    more = {
        "secrets": (ROOT_SECRET,),
        "public_url": "https://id.passgate.test",
        "hash": HashSettings(),
        "mail": found.settings().mail.model_copy(update={"url": "smtp://127.0.0.1:1", "per_hour": 100_000}),
        "limit": LimitSettings(starts=100_000, stranger_mails=100_000),
        "metrics": MetricsSettings(token=SecretStr("m3trics-t0ken-of-the-tests")),
    }
    return found, new_gate(found, **more)


def program(gate: Gate, found: Any) -> FastAPI:
    app: FastAPI = module(3).program(gate, found)
    return app


# -- an authenticator app --------------------------------------------------------------------------


@dataclass(frozen=True)
class App:
    """Whoever has scanned a QR code. Its codes are computed here, from RFC 4226 and RFC 6238 alone."""

    uri: str
    clock: Clock

    @classmethod
    def scan(cls, picture: bytes, clock: Clock) -> App:
        only = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
        [found] = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)), formats=only)
        return cls(found.text, clock)

    @property
    def label(self) -> str:
        return unquote(urlsplit(self.uri).path)

    @property
    def query(self) -> dict[str, str]:
        return {name: value for name, [value] in parse_qs(urlsplit(self.uri).query, strict_parsing=True).items()}

    def code(self, later: int = 0) -> str:
        """Of now, or of so many steps later."""
        step = self.clock.now // SECOND // int(self.query["period"]) + later
        digest = hmac.new(base64.b32decode(self.query["secret"]), step.to_bytes(8, "big"), "sha1").digest()
        at = digest[19] & 0xF
        return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


# -- the program -----------------------------------------------------------------------------------


@dataclass
class Who:
    """Somebody with an account, and the app if they have one."""

    email: str
    password: str = PASSWORD
    app: App | None = None


@dataclass(frozen=True)
class Tokens:
    access: str
    refresh: str


@dataclass
class Service:
    """The program, called by anybody whose token is handed in."""

    gate: Gate
    http: TestClient
    variables: Any
    names: Any = field(default_factory=itertools.count)

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx2.Response:
        """`path`: below /api/v1. No answer sets a cookie."""
        headers = {**(bearer(token) if token else {}), **more.pop("headers", {})}
        answer: httpx2.Response = self.http.request(method, f"{AT}{path}", headers=headers, **more)
        assert "set-cookie" not in answer.headers
        return answer

    def forward(self, seconds: float = 0, **more: float) -> None:
        self.gate.clock.forward(seconds, **more)

    # -- people ------------------------------------------------------------------------------------

    def new(self) -> str:
        return f"p{next(self.names)}@example.com"

    def signup(self, email: str, device: str | None = None, **more: Any) -> httpx2.Response:
        given: dict[str, Any] = {"email": email, "full_name": "Ann Example", "password": PASSWORD, **more}
        if device:
            given |= {"tfa_enabled": True, "device": {"device_type": device}}
        return self.ask("POST", "/auth/signup", json=given)

    def person(self, device: str | None = None, email: str = "", password: str = PASSWORD) -> Who:
        who = Who(email or self.new(), password)
        answer = self.signup(who.email, device, password=password)
        assert answer.status_code == 200, answer.text
        if device == "code_generator":
            who.app = App.scan(answer.content, self.gate.clock)
        return who

    @property
    def admin(self) -> str:
        """An access token of now: tests may turn the clock."""
        return self.login(Who(ADMIN)).access

    def make_admin(self, email: str) -> None:
        async def give() -> None:
            at = self.gate.at(None, tenant="main")
            found = next(one for one in (await at.users.list()).items if one.email == email)
            await at.users.give_role(found.id, "admin")

        self.run(give)

    # -- signing in --------------------------------------------------------------------------------

    def enter(self, email: str, password: str = PASSWORD) -> httpx2.Response:
        form = {"grant_type": "", "username": email, "password": password, "scope": "", "client_id": ""}
        return self.ask("POST", "/auth/login", data=form)

    def first(self, who: Who) -> str:
        """The token of the first step."""
        answer = self.enter(who.email, who.password)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["access_token"])

    def second(self, first: str | None, code: str) -> httpx2.Response:
        return self.ask("POST", "/tfa/login_tfa", first, params={"tfa_token": code})

    def recover(self, first: str | None, code: str) -> httpx2.Response:
        return self.ask("POST", "/tfa/recover_tfa", first, params={"tfa_backup_token": code})

    def code(self, who: Who) -> str:
        """Of the app, or of the newest mail."""
        return who.app.code() if who.app else self.mailed_code(who.email)

    def login(self, who: Who) -> Tokens:
        """The pair, by a second step if one is due. A code of the app works once, so that time passes first."""
        answer = self.enter(who.email, who.password)
        if answer.status_code == 202:
            if who.app:
                self.forward(30)
            answer = self.second(answer.json()["access_token"], self.code(who))
        return pair(answer)

    def signed_in(self, device: str | None = None) -> tuple[Who, Tokens]:
        who = self.person(device)
        return who, self.login(who)

    def show(self, token: str) -> httpx2.Response:
        return self.ask("GET", "/auth/test-token", token)

    def refresh(self, token: Any) -> httpx2.Response:
        return self.ask("POST", "/auth/refresh", json={"refresh_token": token})

    def enable(self, token: str, device: str) -> httpx2.Response:
        return self.ask("PUT", "/tfa/enable_tfa", token, json={"device_type": device})

    # -- mails and background ----------------------------------------------------------------------

    def run(self, call: Any, *args: Any) -> Any:
        """In the loop of the program."""
        return self.http.portal.call(call, *args)  # type: ignore[union-attr]

    def settle(self) -> None:
        self.run(self.gate.settle)

    def mails(self, email: str, kind: str = "") -> list[Message]:
        """Newest first."""
        self.settle()
        return [mail for mail in self.gate.mailbox.to(email) if kind in ("", mail.kind)]

    def mailed_code(self, email: str) -> str:
        return next(str(mail.code) for mail in self.mails(email) if mail.code)

    def backup(self, email: str) -> list[str]:
        """The backup tokens of the newest mail that has some: its lines of that form."""
        return backup_of(self.mails(email, "recovery_codes")[0].text)


def backup_of(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if [len(part) for part in line.split("-")] == [4, 4, 4, 4]]


def pair(answer: httpx2.Response) -> Tokens:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found.keys() == {"access_token", "refresh_token"}
    return Tokens(found["access_token"], found["refresh_token"])


@contextmanager
def service(gate: Gate | None = None, found: Any = None, client: Any = None, **given: Any) -> Iterator[Service]:
    """`given`: variables; `client`: address and port of who asks."""
    found = found or variables(**given)
    gate = gate or new_gate(found)
    with client_of(program(gate, found), gate, **({"client": client} if client else {})) as http:
        made = Service(gate, http, found)
        made.person(email=ADMIN)
        made.make_admin(ADMIN)
        yield made
