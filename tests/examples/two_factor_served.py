"""What the tests of examples/3-two-factor-mail share that run it as a process: how it is started, its requests over
HTTP, its mails, and an authenticator app that reads the pictures it sends.

Not here: tests, and the program inside a test (two_factor).
"""

from __future__ import annotations

import io
import itertools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import zxingcpp
from PIL import Image
from sqlalchemy import select

from passgate.app import Passgate
from passgate.store.tables import credential, person
from tests.browser.device import App
from tests.examples.programs import Served
from tests.kit import bearer

SHORT = "123456"
"""The password of the service's README."""
SECRETS = ("pg_sin_", "pg_rt_", "pg_ses_", "eyJhbGciOi", "tfa_token=", "tfa_backup_token=", "task_id=", SHORT)
"""What no log has: beginnings of tokens, names of a query, and the password."""


def served(data: Path, database_url: str | None = None, **given: Any) -> Served:
    """`given`: what Served takes. Mails are kept and not printed."""
    return Served(3, data, database_url, **{"MAIL__URL": "dev:", "MAIL__PER_HOUR": "100000", **given})


def scanned(picture: bytes) -> App:
    """Read a picture, as a camera would."""
    only = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    [found] = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)), formats=only)
    return App(found.text)


@dataclass
class Face:
    """The endpoints of one process. Names without `_of` return the answer."""

    http: httpx2.AsyncClient
    names: Any = field(default_factory=itertools.count)

    def address(self) -> str:
        """An unused one: the tests of a module share their servers."""
        return f"p{next(self.names)}@example.com"

    async def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx2.Response:
        return await self.http.request(method, f"/api/v1{path}", headers=bearer(token) if token else {}, **more)

    async def signup(self, email: str, device: str = "", password: str = SHORT) -> httpx2.Response:
        given: dict[str, Any] = {"email": email, "full_name": "Anna", "password": password}
        if device:
            given |= {"tfa_enabled": True, "device": {"device_type": device}}
        return await self.ask("POST", "/auth/signup", json=given)

    async def login(self, email: str, password: str = SHORT) -> httpx2.Response:
        return await self.ask("POST", "/auth/login", data={"username": email, "password": password})

    async def second(self, first: str, code: str) -> httpx2.Response:
        return await self.ask("POST", "/tfa/login_tfa", first, params={"tfa_token": code})

    async def backup(self, first: str, code: str) -> httpx2.Response:
        return await self.ask("POST", "/tfa/recover_tfa", first, params={"tfa_backup_token": code})

    async def refresh(self, token: str) -> httpx2.Response:
        return await self.ask("POST", "/auth/refresh", json={"refresh_token": token})

    async def enable(self, access: str, device: str) -> httpx2.Response:
        return await self.ask("PUT", "/tfa/enable_tfa", access, json={"device_type": device})

    async def show(self, access: str) -> dict[str, Any]:
        answer = await self.ask("GET", "/auth/test-token", access)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    # -- stories -----------------------------------------------------------------------------------

    async def new(self, device: str = "") -> str:
        """The address of somebody new."""
        email = self.address()
        answer = await self.signup(email, device)
        assert answer.status_code == 200, answer.text
        return email

    async def new_with_app(self) -> tuple[str, App]:
        email = self.address()
        return email, scanned((await self.signup(email, "code_generator")).content)

    async def access_of(self, email: str) -> str:
        """The access token of somebody without a second step."""
        return str((await self.pair_of(email))["access_token"])

    async def pair_of(self, email: str) -> dict[str, str]:
        answer = await self.login(email)
        assert answer.status_code == 200, answer.text
        found: dict[str, str] = answer.json()
        return found

    async def first_of(self, email: str) -> str:
        """The token of the first step."""
        answer = await self.login(email)
        assert answer.status_code == 202, answer.text
        assert answer.json()["refresh_token"] is None
        return str(answer.json()["access_token"])

    # -- mails -------------------------------------------------------------------------------------

    async def mails_of(self, email: str) -> list[dict[str, Any]]:
        """Newest first, all of them: whoever asks has those delivered that wait."""
        answer = await self.http.get("/auth/dev/mail.json")
        return [mail for mail in answer.json() if mail["to"] == email]

    async def code_of(self, email: str) -> str:
        return next(str(mail["code"]) for mail in await self.mails_of(email) if mail["kind"] == "signin_code")

    async def backups_of(self, email: str) -> list[str]:
        """The backup tokens of the last mail that has some."""
        return next(backups_in(mail["text"]) for mail in await self.mails_of(email) if mail["kind"] == "recovery_codes")


def backups_in(text: str) -> list[str]:
    """The lines of a mail that stand by themselves."""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


# -- what is stored --------------------------------------------------------------------------------


async def kinds_of(gate: Passgate, email: str) -> Counter[str]:
    """How many live credentials of each kind somebody has."""
    query = (
        select(credential.c.kind)
        .join(person, person.c.id == credential.c.person_id)
        .where(person.c.email_key == email, credential.c.revoked_at.is_(None))
    )
    async with gate.services.store.read() as db:
        return Counter(row["kind"] for row in await db.rows(query))
