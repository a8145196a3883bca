"""A browser without scripts for tests of pages: it keeps cookies, finds forms, fills and sends them.

It follows nothing by itself, and knows no page by heart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx2

from tests.kit import PASSWORD, The, client_for

SAME = {"sec-fetch-site": "same-origin"}


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Page(HTMLParser):
    """What a test asks of a page: its data-page, its alert's code, its forms and links, marked fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.name = self.alert = self.language = ""
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.marked: set[str] = set()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
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
        if tag in ("input", "button") and "name" in given:
            self.forms[-1].names.add(given["name"])
            if "value" in given and tag == "input":
                self.forms[-1].fields[given["name"]] = given["value"]
            if given.get("aria-invalid") == "true":
                self.marked.add(given["name"])


@dataclass
class Browser:
    http: httpx2.AsyncClient
    the: The

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.get(path, headers=headers)

    async def page(self, path: str) -> Page:
        """The page a path leads to, after any redirects."""
        return Page((await self.http.get(path, follow_redirects=True)).text)

    async def send(self, path: str, *, at: str | None = None, **typed: str) -> httpx2.Response:
        """Fill the form of the page at `at` (else `path`) that posts to `path`, and send it as a browser would that
        tells nothing of where it comes from: the token alone vouches."""
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

    @property
    def session(self) -> str:
        return str(self.http.cookies.get("passgate_session") or "")


@asynccontextmanager
async def browser(the: The, ip: str = "127.0.0.1", **headers: str) -> AsyncIterator[Browser]:
    async with client_for(the.gate, ip) as http:
        http.headers.update(headers)
        yield Browser(http, the)


def told(answer: httpx2.Response) -> tuple[int, str, str]:
    """(status, data-page, the alert's code)."""
    page = Page(answer.text)
    return answer.status_code, page.name, page.alert
