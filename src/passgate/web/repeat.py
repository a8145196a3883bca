"""A form posted twice by the same browser is answered as it was the first time: whoever presses a button twice sees the
second answer, and by then the first has replaced the cookie that the form was sent with.

Only answers that replace or clear a credential are stored, and only for half a minute. Everything else may be done
again. Not here: storing them (`core.form_answers`).
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
from passgate.web import cookies

_PATIENCE = 1.0
"""Seconds to wait for the first post, if another process is still answering it."""
_BETWEEN = 0.05
_OVER = (401, 409)
"""The status of a form whose sign-in has gone on or ended."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Form:
    """A post: what identifies it and its browser, and the names of the credential cookies that it was sent with."""

    key: bytes
    names: tuple[str, ...]

    def is_over(self, answer: _Collected) -> bool:
        """Whether the answer replaces or clears a credential that the form was sent with."""
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

    def form(self, scope: Scope, body: bytes) -> Form | None:
        """None without a credential cookie."""
        try:
            sent = {name: cookies.read(scope["headers"], name) or "" for name in self._names}
        except CredentialInvalid:
            return None
        names = tuple(name for name, value in sent.items() if value)
        if not names:
            return None
        where = scope["path"].encode() + b"?" + scope["query_string"]
        return Form(digest(b"form", where, *(value.encode() for value in sent.values()), body), names)

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
            if form.is_over(answer) and not is_turned_away:
                with suppress(Unavailable):  # what was done is done: its answer must not be lost with the copy
                    await form_answers.store(ctx, key, msgspec.msgpack.encode(answer.headers))
            elif answer.status in _OVER and not is_turned_away and await self._comes(ctx, key, send):
                return
        finally:
            self._running.pop(key, None)
            done.set()
        await answer.pass_on(send)

    async def _comes(self, ctx: Ctx, key: bytes, send: Send) -> bool:
        """Whether another process answers the same form meanwhile."""
        for _ in range(int(_PATIENCE / _BETWEEN)):
            if await _replayed(ctx, key, send):
                return True
            await asyncio.sleep(_BETWEEN)
        return False


async def _replayed(ctx: Ctx, key: bytes, send: Send) -> bool:
    stored = await form_answers.find(ctx, key)
    if stored is None:
        return False
    headers = [(name, value) for name, value in msgspec.msgpack.decode(stored, type=Headers)]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
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

    async def pass_on(self, send: Send) -> None:
        for message in self.messages:
            await send(message)
