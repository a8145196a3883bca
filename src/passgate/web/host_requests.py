"""The outermost layer of a host. Its own routes get one request id for answer, log and audit trail, a line in the
access log, and the standard headers that the host did not set.

Not here: our own endpoints, whose layers are in `edge`, and which route of a host answers (`host_routes`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passgate.core.ctx import Services
from passgate.web.host import CTX
from passgate.web.host_routes import Templates
from passgate.web.mount import Passing
from passgate.web.origin import ContextFactory
from passgate.world import World

access = logging.getLogger("passgate.access")
log = logging.getLogger("passgate.fault")

Field = tuple[bytes, bytes]


def install(app: FastAPI, services: Callable[[], Services]) -> None:
    """Put the layer around all others of `app`. A middleware of the usual kind stands inside the one that answers
    errors, and would see neither those answers nor those of middlewares around it. Raises TypeError for anything but an
    application, RuntimeError once it has started."""
    if not isinstance(app, Starlette):
        raise TypeError("requests() takes your application itself: gate.requests(app)")
    if app.middleware_stack is not None:
        raise RuntimeError("this application has started already")
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: HostRequests(build(), services)  # type: ignore[method-assign]


def _without_query(scope: Scope) -> Scope:
    """A copy for the program. The server's own loses the query: its access log, which is written later, would have
    whatever code or token a client sends there."""
    inner = dict(scope)
    scope["query_string"] = b""
    return inner


class HostRequests:
    """The outermost layer of a host. Answers of our own endpoints pass unchanged: they have all of this already.
    The lifespan passes too, and WebSockets, whose query the server does not keep either."""

    def __init__(self, app: ASGIApp, services: Callable[[], Services]) -> None:
        """`services` is called for each request, because a Passgate that is closed and started again has new ones."""
        self._app, self._services = app, services
        self._templates = Templates()
        self._known: tuple[Services, ContextFactory, Headers] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or Passing.of(scope):
            await self._app(scope, receive, send)
            return
        scope = _without_query(scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services, contexts, headers = self._parts()
        ctx = scope[CTX] = contexts.ctx(scope)
        passing = scope[Passing.KEY] = Passing(ctx.request_id)
        app, answer = scope["app"], _Answer(send, passing, headers, services.world)
        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:  # whoever asked hung up before their body was whole
            raise
        except Exception:
            if not answer.is_cut:
                route = self._templates.of(app, scope)
                log.exception("fault", extra={"request_id": ctx.request_id, "route": route})
            raise
        finally:
            if not passing.is_ours:
                self._record(app, scope, ctx.request_id, answer)

    def _parts(self) -> tuple[Services, ContextFactory, Headers]:
        services = self._services()
        if self._known is None or self._known[0] is not services:
            self._known = services, ContextFactory(services), Headers(https=services.settings.https)
        return self._known

    def _record(self, app: Any, scope: Scope, request_id: str, answer: _Answer) -> None:
        access.info(
            "request",
            extra={
                "request_id": request_id,
                "method": scope["method"],
                "route": self._templates.of(app, scope),
                "status": answer.status,
                "ms": answer.ms,
            },
        )


class Headers:
    """The standard fields of a host's answers. None of them changes what a page may load or do; frames are the
    exception, because a page that others may frame has to say so in any case."""

    def __init__(self, *, https: bool) -> None:
        fields = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin", "cache-control": "no-store"}
        if https:
            fields["strict-transport-security"] = "max-age=63072000; includeSubDomains"
        self._fields = [(name.encode(), value.encode()) for name, value in fields.items()]

    def missing(self, given: Iterable[Field]) -> list[Field]:
        """Those that the host did not set. It says who may frame a page by either of two fields."""
        have = {name.lower() for name, _ in given}
        found = [field for field in self._fields if field[0] not in have]
        if b"content-security-policy" not in have:
            framed = b"" if b"x-frame-options" in have else b"frame-ancestors 'none'; "
            found.append((b"content-security-policy", framed + b"base-uri 'none'; object-src 'none'"))
            if framed:
                found.append((b"x-frame-options", b"DENY"))
        return found


class _Answer:
    """Wraps `send`: adds the fields, and records the status and how long the answer took, without the background tasks
    that follow it. `is_cut`: the answer could not be sent, which is no fault of the host."""

    def __init__(self, send: Send, passing: Passing, headers: Headers, world: World) -> None:
        self._send, self._passing, self._headers, self._world = send, passing, headers, world
        self._began, self._ended = world.now(), 0
        self.status, self.is_cut = 0, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._passing.is_ours:
            own = [field for field in message.get("headers", ()) if field[0].lower() != b"x-request-id"]
            request_id = (b"x-request-id", self._passing.request_id.encode())
            message = {**message, "headers": [*own, *self._headers.missing(own), request_id]}
        try:
            await self._send(message)
        except Exception:
            self.is_cut = True
            raise
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._ended = self._world.now()

    @property
    def ms(self) -> float:
        return ((self._ended or self._world.now()) - self._began) / 1000
