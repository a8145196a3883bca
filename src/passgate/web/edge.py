"""The outermost ASGI middleware: request context, strict decoding of every body, response headers, the access log.

Not here: rules and database access. Inner layers only see bodies that decoded unambiguously.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passgate.core.ctx import Ctx, Services
from passgate.errors import Malformed, NotForm, NotFound, NotJson, PassgateError, TooLarge
from passgate.settings import is_localhost, is_loopback
from passgate.web import body as decoder
from passgate.web.origin import ContextFactory
from passgate.web.pages.page import is_page
from passgate.web.problems import answered
from passgate.web.repeat import Repeats

access = logging.getLogger("passgate.access")
log = logging.getLogger("passgate.fault")

Hot = Callable[[Ctx, Headers, Send], Awaitable[None]]
"""An endpoint that bypasses the framework for speed and sends the response itself."""


class Edge:
    """The middleware. `around` wraps every response, including refusals and hot endpoints; CORS uses it, so that
    scripts of allowed origins can read all of them."""

    def __init__(
        self,
        inner: ASGIApp,
        services: Services,
        hot: Mapping[tuple[str, str], Hot],
        around: Callable[[ASGIApp], ASGIApp],
    ) -> None:
        self._inner, self._services, self._hot = inner, services, hot
        self._answered = around(self._answer)
        self._contexts = ContextFactory(services)
        self._headers = _standard_headers(https=services.settings.https)
        self._repeats = Repeats(services.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = self._services.world.now()
        ctx = self._contexts.ctx(scope)
        request_id = ctx.request_id
        answer = _Answer(send, request_id, self._headers)
        scope.setdefault("state", {}).update(ctx=ctx, request_id=request_id, answer=answer)
        try:
            await self._answered(scope, receive, answer)
        finally:
            access.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "route": _route(scope),
                    "status": answer.status,
                    "ms": (self._services.world.now() - started) / 1000,
                },
            )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._pass(scope, receive, send)
        except PassgateError as error:
            await self._fail(error, scope, receive, send)
        except Exception:
            log.exception("fault", extra={"request_id": scope["state"]["request_id"], "route": _route(scope)})
            await self._fail(PassgateError(), scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, ctx = Headers(scope=scope), scope["state"]["ctx"]
        hot = self._hot.get((scope["method"], scope["path"]))
        if hot is not None and not scope["query_string"]:
            scope["passgate.route"] = scope["path"]
            await hot(ctx, headers, send)
            return
        if scope["path"].startswith("/dev/") and not self._may_develop(ctx, headers):
            raise NotFound
        if scope["query_string"]:
            decoder.decode_pairs(scope["query_string"])
        at_page = is_page(scope["path"])
        if at_page and scope["method"] == "GET" and (name := self._other_name(headers)):
            await RedirectResponse(name + _target(scope), status_code=307)(scope, receive, send)
            return
        raw = await _checked(headers, receive, form=at_page)
        given = _again(raw, receive)
        form = self._repeats.form(scope, raw) if at_page and scope["method"] == "POST" else None
        if form is None:
            await self._inner(scope, given, send)
        else:
            await self._repeats.answer(ctx, form, self._inner, scope, given, send)

    async def _fail(self, error: PassgateError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["state"]["answer"].status == 0:
            await answered(scope["state"]["ctx"], scope["path"], Headers(scope=scope), error)(scope, receive, send)

    def _may_develop(self, ctx: Ctx, headers: Headers) -> bool:
        """`/dev/*` is only for a browser on this machine: the peer is loopback, no proxy forwarded the request, and the
        Host header is localhost or a loopback address."""
        host = headers.get("host", "").rsplit(":", 1)[0] if not headers.get("host", "").endswith("]") else ""
        named = is_localhost(host) or is_loopback(host) or headers.get("host", "") == "[::1]"
        return ctx.settings.is_development and ctx.origin.is_loopback and named

    def _other_name(self, headers: Headers) -> str | None:
        """In development, the base URL to redirect to if the Host header is an IP address, where passkeys do not work
        and which is another site to the browser; else None."""
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        is_elsewhere = self._services.settings.is_development and is_loopback(name)
        return self._services.sites.default.url if is_elsewhere else None


class _Answer:
    """Wraps `send`: records the status and adds the standard headers to every response."""

    def __init__(self, send: Send, request_id: str, standard: list[tuple[bytes, bytes]]) -> None:
        self._send, self.request_id, self.status = send, request_id, 0
        self._standard = standard

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            have = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *(field for field in self._standard if field[0] not in have),
                (b"x-request-id", self.request_id.encode()),
            ]
        await self._send(message)


def _standard_headers(*, https: bool) -> list[tuple[bytes, bytes]]:
    fields = {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    if https:
        fields["strict-transport-security"] = "max-age=63072000; includeSubDomains"
    return [(name.encode(), value.encode()) for name, value in fields.items()]


async def _checked(headers: Headers, receive: Receive, *, form: bool) -> bytes:
    """Read the whole body, and make sure that it decodes. Pages accept forms, all other paths JSON. Raises Malformed,
    NotForm, NotJson or TooLarge."""
    raw = await _whole(headers, receive)
    if raw or headers.get("content-type"):
        _refuse_unless(headers, "application/x-www-form-urlencoded" if form else "application/json")
    if form:
        decoder.decode_pairs(raw)
    elif raw:
        decoder.decode_json(raw)
    elif headers.get("content-type"):
        raise Malformed
    return raw


def _again(raw: bytes, receive: Receive) -> Receive:
    """A `receive` that replays a body."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": raw, "more_body": False}

    return replay


def _target(scope: Scope) -> str:
    """Path and query of the request, percent-encoded to ASCII."""
    query = scope["query_string"].decode("latin-1")
    return quote(scope["path"], safe="/~") + (f"?{quote(query, safe=_UNQUOTED)}" if query else "")


_UNQUOTED = "%=&+/?~.,:;@!$'()*-_"


def _refuse_unless(headers: Headers, wanted: str) -> None:
    refused = NotJson() if wanted == "application/json" else NotForm()
    kinds = headers.getlist("content-type")
    kind, _, parameters = (kinds[0] if kinds else "").partition(";")
    charset = parameters.strip().lower()
    if len(kinds) != 1 or kind.strip().lower() != wanted or charset not in ("", "charset=utf-8"):
        raise refused
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise refused


async def _whole(headers: Headers, receive: Receive) -> bytes:
    announced = headers.get("content-length", "0")
    if announced.isdigit() and len(announced) < 19 and int(announced) > decoder.MAX_BODY:
        raise TooLarge
    parts, total = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed
        part = message.get("body", b"")
        total += len(part)
        if total > decoder.MAX_BODY:
            raise TooLarge
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _route(scope: Scope) -> str:
    """The route template for the log, never the path, which may contain a secret."""
    if "passgate.route" in scope:
        return str(scope["passgate.route"])
    route: Any = scope.get("route")
    return str(getattr(route, "path", "(none)"))
