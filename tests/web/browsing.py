"""A browser without scripts for tests of pages: it stores cookies, finds forms, fills them in and sends them.

It follows no redirect by itself and knows no page in advance.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx2
from sqlalchemy import update

from passgate.core.factors import totp
from passgate.core.rules import Rules
from passgate.store.tables import tenant
from passgate.world import SECOND
from tests.authenticator import Authenticator
from tests.kit import PASSWORD, The, client_for

SAME = {"sec-fetch-site": "same-origin"}


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Page(HTMLParser):
    """What tests ask of a page: its data-page, the code of its alert, its forms and links, marked fields, displayed
    codes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.name = self.alert = self.language = ""
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.marked: set[str] = set()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.codes: list[str] = []
        self._in_code = False
        self._select = ""
        self.feed(text)

    @property
    def actions(self) -> set[str]:
        """The paths that its forms post to, without the query."""
        return {form.action.partition("?")[0] for form in self.forms}

    @property
    def secret(self) -> bytes:
        """The secret of an authenticator app, in the form that people type."""
        [secret] = self.codes
        return base64.b32decode(secret.replace(" ", ""))

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.codes.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self._in_code = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag == "code":
            self._in_code = True
        if tag == "html":
            self.language = given.get("lang", "")
        if tag == "main":
            self.name = given.get("data-page", "")
        if given.get("role") == "alert":
            self.alert = given["data-code"]
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if tag in ("a", "link") and "href" in given:
            self.links.append(given["href"])
        if tag in ("input", "button", "select", "textarea") and "name" in given:
            self.forms[-1].names.add(given["name"])
            is_sent = given.get("type") != "checkbox" or "checked" in given
            if "value" in given and tag == "input" and is_sent:
                self.forms[-1].fields[given["name"]] = given["value"]
            self._select = given["name"] if tag == "select" else ""
        if tag == "option" and ("selected" in given or self._select not in self.forms[-1].fields):
            self.forms[-1].fields[self._select] = given["value"]
        if tag in ("input", "select", "textarea") and "name" in given and given.get("aria-invalid") == "true":
            self.marked.add(given["name"])


@dataclass
class Browser:
    http: httpx2.AsyncClient
    the: The

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.get(path, headers=headers)

    async def page(self, path: str) -> Page:
        """The page at a path, after redirects."""
        return Page((await self.http.get(path, follow_redirects=True)).text)

    async def send(self, path: str, *, at: str | None = None, **typed: str) -> httpx2.Response:
        """Fill in the form of the page at `at` (else `path`) that posts to `path`, and send it like a browser without
        Sec-Fetch-Site and Origin: only the token proves where it comes from."""
        found = await self.page(at or path)
        form = next(form for form in found.forms if form.action.partition("?")[0] == path.partition("?")[0])
        assert form.method == "post"
        assert set(typed) <= form.names, f"{path} has {form.names}"
        return await self.http.post(form.action, data={**form.fields, **typed})

    async def sign_up(self, email: str = "anna@example.com", password: str = PASSWORD) -> Browser:
        await self.send("/signup", email=email, password=password)
        done = await self.send("/signin/email-code", code=await self.the.code(email))
        assert (done.status_code, done.headers["location"]) == (303, "/account"), done.text
        return self

    async def sign_in(self, email: str = "anna@example.com", password: str = PASSWORD) -> Browser:
        await self.send("/signin", email=email)
        done = await self.send("/signin/password", password=password)
        assert (done.status_code, done.headers["location"]) == (303, "/account"), done.text
        return self

    # -- second factors ----------------------------------------------------------------------------

    async def options(self, at: str) -> tuple[dict[str, Any], Form]:
        """What the script of the page at `at` receives, and the form that it fills in."""
        found = await self.page(at)
        [marks] = [given for tag, given in found.tags if tag == "form" and "data-passkey" in given]
        [form] = [form for form in found.forms if form.action == marks["action"]]
        given = {name: form.fields[name] for name in ("csrf_token",)}
        if "data-decision" in marks:
            given["decision"] = marks["data-decision"]
        answer = await self.http.post(marks["data-options"], data=given)
        assert answer.status_code == 200, answer.text
        form.fields["csrf_token"] = answer.json()["csrf_token"]
        return answer.json()["publicKey"], form

    async def use(self, device: Authenticator, at: str, *, remember: bool = False, **twists: Any) -> httpx2.Response:
        """Answer with a passkey of that device, or create one there, like the page's script."""
        options, form = await self.options(at)
        verb = device.create if "rp" in options else device.get
        answer = json.dumps(verb(options, self.the.gate.settings.url, **twists))
        more = {"remember": "1"} if remember else {}
        return await self.http.post(form.action, data={**form.fields, "answer": answer, **more})

    async def add_app(self) -> bytes:
        """Set up an authenticator app on the account page; its secret."""
        await self.send("/account/totp/offer", at="/account/totp")
        secret = (await self.page("/account/totp")).secret
        done = await self.send("/account/totp", code=app(self.the, secret))
        assert done.status_code == 303, done.text
        self.the.clock.forward(totp.PERIOD)  # the current code is used up
        return secret

    async def add_codes(self) -> list[str]:
        """Make recovery codes."""
        return Page((await self.send("/account/recovery-codes")).text).codes

    async def give_password(self, email: str = "anna@example.com", password: str = PASSWORD) -> httpx2.Response:
        """Start a sign-in and prove the password."""
        await self.send("/signin", email=email)
        return await self.send("/signin/password", password=password)

    @property
    def session(self) -> str:
        return str(self.http.cookies.get("passgate_session") or "")


@asynccontextmanager
async def browser(the: The, ip: str = "127.0.0.1", **headers: str) -> AsyncIterator[Browser]:
    async with client_for(the.gate, ip) as http:
        http.headers.update(headers)
        yield Browser(http, the)


def app(the: The, secret: bytes) -> str:
    """The current code of an authenticator app."""
    return totp.code_at(secret, the.clock() // SECOND // totp.PERIOD)


async def rule(the: The, **changes: Any) -> None:
    """Change the tenant's policy in the database."""
    stored = json.dumps(Rules().changed(changes, the.gate.services.factors).differences())
    async with the.gate.services.store.write() as db:
        await db.change(update(tenant).values(policy=stored))


def led(answer: httpx2.Response) -> str:
    """The path that a successful form redirects to."""
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def outcome(answer: httpx2.Response) -> tuple[int, str, str]:
    """(status, data-page, the alert's code)."""
    page = Page(answer.text)
    return answer.status_code, page.name, page.alert
