"""A form posted twice by the same browser is answered as it was the first time: whoever presses a button twice sees the
second answer, and by then the first post has done everything.

Stored for half a minute are the answers to forms whose token says which display of the page they come from, and answers
that replace or clear a credential. Refusals are not: a second wrong answer counts. Not here: storing
(`core.form_answers`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passgate.core import form_answers
from passgate.core.ctx import Ctx
from passgate.errors import CredentialInvalid, Unavailable
from passgate.seal import digest
from passgate.settings import Settings
from passgate.web import cookies, csrf

_BETWEEN = 0.05
"""Seconds between two looks for the answer to the first post, which another process may still be giving."""
_OVER, _TRIES_IF_OVER = (401, 404, 409), 20
"""The status of a form whose sign-in, or whose object, is no longer there."""
_TRIES_IF_TURNED_AWAY, _TRIES = 4, 2
"""After a guard's redirect, and after any other refusal: hardly ever a first post is the reason."""

Headers = list[tuple[bytes, bytes]]
Stored = tuple[int, Headers, bytes]
"""Status, header fields, body."""


@dataclass(frozen=True, slots=True)
class Form:
    """A post: what identifies it and its browser, the names of the credential cookies that it was sent with, and
    whether it says which display of a page it comes from."""

    key: bytes
    names: tuple[str, ...]
    is_numbered: bool

    def is_done(self, answer: _Collected) -> bool:
        """Whether a second post must not be executed: it is the same display of the page that was sent twice, or the
        answer replaces or clears a credential that the form was sent with."""
        if self.is_numbered:
            return answer.status == 303 or (answer.status == 200 and answer.is_page)
        written = [value.decode("latin-1") for name, value in answer.headers if name.lower() == b"set-cookie"]
        return answer.status == 303 and any(one.startswith(f"{name}=") for one in written for name in self.names)


class Repeats:
    """Knows the posts that this process is answering. Lives in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._names = (
            cookies.signin_name(settings),
            cookies.session_name(settings),
            cookies.link_name(settings),
        )
        self._running: dict[bytes, asyncio.Event] = {}

    def form(self, scope: Scope, body: bytes, csrf_token: str) -> Form | None:
        """None without a credential cookie."""
        try:
            sent = {name: cookies.read(scope["headers"], name) or "" for name in self._names}
        except CredentialInvalid:
            return None
        names = tuple(name for name, value in sent.items() if value)
        if not names:
            return None
        where = scope["path"].encode() + b"?" + scope["query_string"]
        key = digest(b"form", where, *(value.encode() for value in sent.values()), body)
        return Form(key, names, csrf.is_numbered(csrf_token))

    async def answer(self, ctx: Ctx, form: Form, inner: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a post as before, or with `inner`."""
        key = form.key
        while (running := self._running.get(key)) is not None:
            await running.wait()
        done = self._running[key] = asyncio.Event()  # before anything is awaited
        answer = _Collected()
        try:
            if await _replayed(ctx, key, send):
                return
            await inner(scope, receive, answer)
            # By a guard, which has done nothing, as it would in any other process.
            is_turned_away = scope["state"].get("is_turned_away", False)
            if form.is_done(answer) and not is_turned_away:
                with suppress(Unavailable):  # what was done is done: its answer must not be lost with the copy
                    await form_answers.store(ctx, key, msgspec.msgpack.encode(answer.stored))
            elif await self._comes(ctx, key, _tries(form, answer, is_turned_away=is_turned_away), send):
                return
        finally:
            self._running.pop(key, None)
            done.set()
        await answer.pass_on(send)

    async def _comes(self, ctx: Ctx, key: bytes, tries: int, send: Send) -> bool:
        """Whether another process has answered the same form, or does so meanwhile."""
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(_BETWEEN)
            if await _replayed(ctx, key, send):
                return True
        return False


def _tries(form: Form, answer: _Collected, *, is_turned_away: bool) -> int:
    """How often the first answer is looked for, after this one."""
    if is_turned_away:
        return _TRIES_IF_TURNED_AWAY if form.is_numbered else 0
    if answer.status < 400:
        return 0
    return _TRIES_IF_OVER if answer.status in _OVER else _TRIES


async def _replayed(ctx: Ctx, key: bytes, send: Send) -> bool:
    stored = await form_answers.find(ctx, key)
    if stored is None:
        return False
    status, headers, body = msgspec.msgpack.decode(stored, type=Stored)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return True


class _Collected:
    """Takes a response instead of sending it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.status = 0
        self.headers: Headers = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        self.messages.append(message)

    @property
    def is_page(self) -> bool:
        return any(name == b"content-type" and value.startswith(b"text/html") for name, value in self.headers)

    @property
    def stored(self) -> Stored:
        return self.status, self.headers, b"".join(message.get("body", b"") for message in self.messages)

    async def pass_on(self, send: Send) -> None:
        for message in self.messages:
            await send(message)
