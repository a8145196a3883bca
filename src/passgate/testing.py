"""For the tests of a host program: a Passgate in a folder of its own, a clock that tests set, a mailbox, `sign_in`.

All of it uses the real endpoints; nothing is mocked and no network is used. Not here: anything a server imports.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Awaitable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import httpx2
from pydantic import BaseModel

from passgate.app import Passgate
from passgate.core import job_worker, ledger, observers, outbox
from passgate.core.factor import Factor
from passgate.core.message import Message
from passgate.settings import HashSettings, Settings
from passgate.web.host import Claims
from passgate.world import SECOND, World

PASSWORD = "correct horse battery staple"
CHEAP = HashSettings(memory_kib=1024, passes=1)
"""Hash parameters for all tests but those of hashing."""
START = 1_800_000_000 * SECOND
_PATIENCE = 5.0
"""Seconds to wait for a mail."""


@dataclass
class Clock:
    """Stands still until `forward` moves it. Each reading adds one microsecond, so that no two are equal."""

    now: int = START

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def forward(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0) -> None:
        self.now += int((seconds + minutes * 60 + hours * 3600) * SECOND)


@dataclass
class Mailbox:
    """Collects mails instead of sending them, oldest first."""

    mails: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        """A second mail with the same id is ignored."""
        if all(mail.id != message.id for mail in self.mails):
            self.mails.append(message)

    def to(self, email: str) -> list[Message]:
        """The mails to an address, newest first; compared without case."""
        return [mail for mail in reversed(self.mails) if mail.to.lower() == email.lower()]

    def code(self, email: str) -> str:
        """The newest code that was mailed to this address."""
        return next(mail.code for mail in self.to(email) if mail.code)


class Gate(Passgate):
    """A Passgate for one test or for many, with a `clock` and a `mailbox` of its own."""

    def __init__(self, settings: Settings, clock: Clock, mailbox: Mailbox, **given: Any) -> None:
        """`given`: further arguments of `Passgate`."""
        super().__init__(settings, World(clock, World.real().dice), mailer=mailbox, **given)
        self.clock, self.mailbox = clock, mailbox
        _made.append(weakref.ref(self))

    async def settle(self) -> None:
        """Run the background work now: deliver mails, run jobs that are due, seal the audit trail, notify observers."""
        await outbox.settle(self.services, self.mailer)
        while await job_worker.work(self.services, self._host_jobs):
            pass
        await ledger.seal(self.services)
        while await observers.notify(self.services, self._observers):
            pass


_made: list[weakref.ref[Gate]] = []


def gate(
    *,
    profile: type[BaseModel] | None = None,
    claims: Claims | None = None,
    factors: Iterable[Factor] = (),
    clock: Clock | None = None,
    mailbox: Mailbox | None = None,
    events: Mapping[str, str] | None = None,
    permissions: Mapping[str, str] | None = None,
    **settings: Any,
) -> Gate:
    """Settings of development with cheap hashes; the data folder is temporary and is removed with the process at the
    latest. No variable and no file is read; `settings` are those of `Settings`."""
    folder = None if "data" in settings else Path(tempfile.mkdtemp(prefix="passgate-"))
    given = {"data": folder, "hash": CHEAP, "mail": {"per_hour": 10_000}, **settings}
    preset = Settings.development(**given)
    more: dict[str, Any] = {"profile": profile, "claims": claims, "factors": factors, "events": events}
    more |= {"permissions": permissions}
    made = Gate(preset, clock or Clock(), mailbox or Mailbox(), **more)
    if folder is not None:
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


# -- sign_in ---------------------------------------------------------------------------------------

Carrier = Literal["cookie", "bearer", "jwt"]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person that a client is signed in as. With a synchronous client, awaiting it is optional. `token`: what the
    client sends, and None for a cookie; `refresh_token`: of a token pair."""

    id: str
    email: str
    password: str
    session_id: str
    token: str | None
    refresh_token: str | None = None

    def __await__(self) -> Generator[None, None, SignedIn]:
        yield from ()
        return self


@dataclass(frozen=True, slots=True)
class _Ask:
    path: str
    body: dict[str, Any] | None = None
    bearer: str | None = None

    def given(self, at: str) -> dict[str, Any]:
        """The arguments of a request, without anything that the client carries already."""
        headers = {"authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        method = "GET" if self.body is None else "POST"
        body = {} if self.body is None else {"json": self.body}
        return {"method": method, "url": f"{at}/api/v1/{self.path}", "headers": headers, **body}


Way = Generator[_Ask | None, httpx2.Response | None, SignedIn]
"""The requests, one after the other; None while a mail is awaited."""


@overload
def sign_in(
    client: httpx2.AsyncClient,
    email: str,
    password: str = PASSWORD,
    *,
    profile: dict[str, Any] | None = None,
    carrier: Carrier = "cookie",
    gate: Gate | None = None,
) -> Awaitable[SignedIn]: ...
@overload
def sign_in(
    client: httpx2.Client,
    email: str,
    password: str = PASSWORD,
    *,
    profile: dict[str, Any] | None = None,
    carrier: Carrier = "cookie",
    gate: Gate | None = None,
) -> SignedIn: ...
def sign_in(
    client: httpx2.AsyncClient | httpx2.Client,
    email: str,
    password: str = PASSWORD,
    *,
    profile: dict[str, Any] | None = None,
    carrier: Carrier = "cookie",
    gate: Gate | None = None,
) -> Awaitable[SignedIn] | SignedIn:
    """Sign somebody in with this client, after a sign-up if the address is new. From then on the client sends their
    cookie, like a browser on one of our own pages. Uses the endpoints of `gate`, by default of the last one created.
    Await it with an httpx2.AsyncClient; Starlette's TestClient needs no await."""
    found = gate or _last()
    way = _way(found, email, password, profile, carrier)
    for name in ("authorization", "sec-fetch-site"):
        client.headers.pop(name, None)
    if isinstance(client, httpx2.AsyncClient):
        return _walked(client, found, way, carrier)
    return _stepped(client, found, way, carrier)


def _last() -> Gate:
    alive = [one for reference in _made if (one := reference()) is not None]
    if not alive:
        raise LookupError("call testing.gate() first")
    return alive[-1]


async def _walked(client: httpx2.AsyncClient, gate: Gate, way: Way, carrier: Carrier) -> SignedIn:
    answer: httpx2.Response | None = None
    try:
        while True:
            ask, answer = way.send(answer), None
            if ask is None:
                await outbox.settle(gate.services, gate.mailer)
            else:
                answer = await client.request(**ask.given(gate.services.sites.default.path))
    except StopIteration as end:
        return _carrying(client, end.value, carrier)


def _stepped(client: httpx2.Client, gate: Gate, way: Way, carrier: Carrier) -> SignedIn:
    answer: httpx2.Response | None = None
    try:
        while True:
            ask, answer = way.send(answer), None
            if ask is None:
                time.sleep(0.005)
            else:
                answer = client.request(**ask.given(gate.services.sites.default.path))
    except StopIteration as end:
        return _carrying(client, end.value, carrier)


def _carrying(client: httpx2.AsyncClient | httpx2.Client, who: SignedIn, carrier: Carrier) -> SignedIn:
    if carrier == "cookie":
        client.headers["sec-fetch-site"] = "same-origin"
    else:
        client.headers["authorization"] = f"Bearer {who.token}"
    return who


def _way(gate: Gate, email: str, password: str, profile: dict[str, Any] | None, carrier: Carrier) -> Way:
    since = gate.clock.now
    body = {"email": email, "password": password, **({} if profile is None else {"profile": profile})}
    handle = _right((yield _Ask("signup", body)), 202)["handle"]
    mail = yield from _mailed(gate.mailbox, email, since)
    proof = {"factor": "email_code", "answer": mail.code}
    if mail.kind == "signup_known":
        handle = _right((yield _Ask("signin", {"email": email})), 201)["handle"]
        proof = {"factor": "password", "answer": password}
    _right((yield _Ask("signin/prove", proof, handle)), 200)
    done = _right((yield _Ask("signin/finish", {"carrier": carrier}, handle)), 201)
    token = done.get("access_token") or done.get("token")
    answer = _right((yield _Ask("session", None, token)), 200)
    carried = (token, done.get("refresh_token"))
    return SignedIn(answer["user"]["id"], email, password, done["session"]["id"], *carried)


def _mailed(mailbox: Mailbox, email: str, since: int) -> Generator[None, httpx2.Response | None, Message]:
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        for mail in mailbox.to(email):
            if mail.created_at > since and mail.kind in ("signup_code", "signup_known"):
                return mail
        yield None
    raise AssertionError(f"no email to {email}: is the app's lifespan running?")


def _right(answer: httpx2.Response | None, status: int) -> dict[str, Any]:
    assert answer is not None  # noqa: S101  of a step that was asked
    if answer.status_code != status:
        raise AssertionError(f"{answer.request.url.path} answered {answer.status_code}: {answer.text}")
    found: dict[str, Any] = answer.json()
    return found
