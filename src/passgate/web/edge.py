"""The outermost ASGI layers, from the outside: `Context` (who asks from where, the log), `Answers` (an error becomes an
answer) and `Strict` (the route, its query and its body). Inner layers only see what decoded unambiguously.

Not here: rules and database access.
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
from passgate.errors import Malformed, MethodNotAllowed, NotForm, NotFound, NotJson, PassgateError, TooLarge
from passgate.settings import is_localhost, is_loopback
from passgate.web import guards
from passgate.web.origin import ContextFactory
from passgate.web.problems import answered
from passgate.web.repeat import Repeats
from passgate.web.routes import Declared, Face, Methods, Table, allowed
from passgate.wire import body as decoder
from passgate.wire.incoming import Incoming

access = logging.getLogger("passgate.access")
log = logging.getLogger("passgate.fault")

Hot = Callable[[Ctx, Headers, Any, Send], Awaitable[None]]
"""An endpoint that bypasses the framework for speed and sends the response itself. The third is the decoded body."""


def layers(strict: ASGIApp, services: Services, around: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
    """All layers. `strict` are those below `Context`. `around` wraps every answer, refusals and hot endpoints included;
    CORS uses it, so that scripts of allowed origins can read all of them."""
    return Context(around(strict), services)


def strict_layers(inner: ASGIApp, services: Services, table: Table, hot: Mapping[tuple[str, str], Hot]) -> ASGIApp:
    """The layers below `Context`, which the twins of the endpoints use too (`web.twins`)."""
    return Answers(Strict(inner, services, table, hot))


# -- context ---------------------------------------------------------------------------------------


class Context:
    """Creates the Ctx of each request, adds the standard headers to its answer, and logs both."""

    def __init__(self, inner: ASGIApp, services: Services) -> None:
        self._inner, self._world = inner, services.world
        self._contexts = ContextFactory(services)
        self._headers = _standard_headers(https=services.settings.https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = self._world.now()
        ctx = self._contexts.ctx(scope)
        incoming = Incoming.of(scope, receive)
        answer = _Answer(send, ctx.request_id, self._headers, incoming, has_body=scope["method"] != "HEAD")
        scope.setdefault("state", {}).update(ctx=ctx, request_id=ctx.request_id, answer=answer, incoming=incoming)
        try:
            await self._inner(scope, incoming or receive, answer)
        finally:
            access.info(
                "request",
                extra={
                    "request_id": ctx.request_id,
                    "method": scope["method"],
                    "route": _route(scope),
                    "status": answer.status,
                    "ms": (self._world.now() - started) / 1000,
                },
            )


class _Answer:
    """Wraps `send`: records the status and adds the standard headers. `has_body`: not for HEAD. `incoming`: what the
    client is still sending; if the server withholds it, nothing that follows on the connection may count as a request,
    no matter what the answer is."""

    def __init__(
        self,
        send: Send,
        request_id: str,
        standard: list[tuple[bytes, bytes]],
        incoming: Incoming | None,
        *,
        has_body: bool,
    ) -> None:
        self._send, self.request_id, self.status = send, request_id, 0
        self._standard, self._incoming, self._has_body = standard, incoming, has_body

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._incoming is not None:
                await self._incoming.read_on()
            is_last = self._incoming is not None and self._incoming.is_withheld
            have = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *(field for field in self._standard if field[0] not in have),
                (b"x-request-id", self.request_id.encode()),
                *([(b"connection", b"close")] if is_last else []),
            ]
        elif not self._has_body:
            message["body"] = b""
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


def _route(scope: Scope) -> str:
    """The route template for the log, never the path, which may contain a secret."""
    return str(scope.get("passgate.route", "(none)"))


# -- answers ---------------------------------------------------------------------------------------


class Answers:
    """Turns errors of the layers below into answers. Those of endpoints are turned by the framework's handlers."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        try:
            await self._inner(scope, receive, send)
        except PassgateError as error:
            await self._fail(error, scope, receive, send)
        except Exception:
            log.exception("fault", extra={"request_id": scope["state"]["request_id"], "route": _route(scope)})
            await self._fail(PassgateError(), scope, receive, send)

    async def _fail(self, error: PassgateError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["state"]["answer"].status == 0:
            await answered(scope, error)(scope, receive, send)


# -- strict ----------------------------------------------------------------------------------------


class Strict:
    """Finds the route, and lets only a query and a body through that decode. HEAD is asked as GET."""

    def __init__(self, inner: ASGIApp, services: Services, table: Table, hot: Mapping[tuple[str, str], Hot]) -> None:
        self._inner, self._services, self._table, self._hot = inner, services, table, hot
        self._repeats = Repeats(services.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        ctx, method = scope["state"]["ctx"], "GET" if scope["method"] == "HEAD" else scope["method"]
        hot = self._hot.get((method, scope["path"]))
        if hot is not None and not scope["query_string"]:
            scope["passgate.route"], scope["passgate.face"] = scope["path"], Face.PROBLEM
            headers = Headers(scope=scope)
            given = None if method == "GET" else _decoded(headers, await _whole(headers, receive, scope), form=False)
            await hot(ctx, headers, given, send)
            return
        methods = self._table.at(scope["path"])
        if methods:
            await self._to_route(ctx, _chosen(methods, method, scope), {**scope, "method": method}, receive, send)
        elif scope["path"].endswith("/") and _is_page(self._table.at(scope["path"].rstrip("/"))):
            await RedirectResponse(_target(ctx, scope), status_code=308)(scope, receive, send)
        else:
            scope["passgate.face"] = self._table.face_near(scope["path"])
            raise NotFound

    async def _to_route(self, ctx: Ctx, route: Declared, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if guards.developer.__name__ in route.guards and not _may_develop(ctx, headers):
            raise NotFound
        if scope["query_string"]:
            scope["query_string"] = _query(route, scope["query_string"])
        is_page = route.face is Face.PAGE
        if is_page and scope["method"] == "GET" and (url := self._other_name(headers)):
            await RedirectResponse(url + _target(ctx, scope), status_code=307)(scope, receive, send)
            return
        raw = await _whole(headers, receive, scope)
        scope[decoder.DECODED] = _decoded(headers, raw, form=is_page)
        scope["state"]["table"] = self._table
        given = _again(raw, receive)
        form = None
        if is_page and scope["method"] == "POST":
            form = self._repeats.form(scope, raw, scope[decoder.DECODED].get("csrf_token", ""))
        if form is None:
            await self._inner(scope, given, send)
        else:
            await self._repeats.answer(ctx, form, self._inner, scope, given, send)

    def _other_name(self, headers: Headers) -> str | None:
        """In development, the base URL to redirect to if the Host header is an IP address, where passkeys do not work
        and which is another site to the browser; else None."""
        is_elsewhere = self._services.settings.is_development and is_loopback(_host(headers))
        return self._services.sites.default.url if is_elsewhere else None


def _is_page(methods: Methods) -> bool:
    return any(route.face is Face.PAGE for route in methods.values())


def _chosen(methods: Methods, method: str, scope: Scope) -> Declared:
    any_route = next(iter(methods.values()))
    scope["passgate.face"], scope["passgate.route"] = any_route.face, any_route.path
    route = methods.get(method)
    if route is None:
        raise MethodNotAllowed(allowed(methods))
    scope["passgate.route"] = route.path
    return route


def _host(headers: Headers) -> str:
    host = headers.get("host", "")
    return host if host.endswith("]") else host.rsplit(":", 1)[0]


def _may_develop(ctx: Ctx, headers: Headers) -> bool:
    """What is for developers is only for a browser on this machine: the peer is loopback, no proxy forwarded the
    request, and the Host header is localhost or a loopback address."""
    host = _host(headers)
    is_named = host == "[::1]" or is_localhost(host) or is_loopback(host)
    return ctx.settings.is_development and ctx.origin.is_loopback and is_named


def _query(route: Declared, query: bytes) -> bytes:
    """The query, checked; for a route that names what it reads, only that."""
    if route.queries is not None:
        query = b"&".join(
            part for part in query.split(b"&") if part.partition(b"=")[0].decode("latin-1") in route.queries
        )
    decoder.decode_pairs(query)
    return query


def _target(ctx: Ctx, scope: Scope) -> str:
    """Where a redirect to the same page leads: its path without slashes at the end and its query, in ASCII."""
    path = scope["path"].rstrip("/") or "/"
    query = scope["query_string"].decode("latin-1")
    return quote(ctx.site.path + path, safe="/~") + (f"?{quote(query, safe=_UNQUOTED)}" if query else "")


_UNQUOTED = "%=&+/?~.,:;@!$'()*-_"


# -- bodies ----------------------------------------------------------------------------------------


def _decoded(headers: Headers, raw: bytes, *, form: bool) -> Any:
    """Pages accept forms, everything else JSON. Without content nothing is asked of its format. Raises Malformed,
    NotForm or NotJson."""
    if not raw:
        return {} if form else None
    _refuse_unless(headers, "application/x-www-form-urlencoded" if form else "application/json")
    return decoder.decode_pairs(raw) if form else decoder.decode_json(raw)


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


def _refuse_unless(headers: Headers, wanted: str) -> None:
    refused = NotJson() if wanted == "application/json" else NotForm()
    kinds = headers.getlist("content-type")
    kind, *parameters = (kinds[0] if kinds else "").lower().split(";")
    is_utf8 = all(one.strip().replace('"', "") in ("", "charset=utf-8") for one in parameters)
    if len(kinds) != 1 or kind.strip() != wanted or len(parameters) > 1 or not is_utf8:
        raise refused
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise refused


async def _whole(headers: Headers, receive: Receive, scope: Scope) -> bytes:
    """The whole body. Raises Malformed or TooLarge."""
    announced = headers.get("content-length", "0")
    if not announced.isdigit():
        raise Malformed
    if len(announced) > 18 or int(announced) > decoder.MAX_BODY:
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
            break
    incoming: Incoming | None = scope["state"]["incoming"]
    if incoming is not None and incoming.is_withheld:
        raise Malformed
    return b"".join(parts)
