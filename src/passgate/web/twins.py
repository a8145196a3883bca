"""The Python twins of the JSON API: each calls its endpoint in this process, through the same layers, and gives its
answer as a value or raises its refusal. So limits, guards, rules and audit are the endpoint's own.

Not here: any endpoint or rule, and the names that a host calls (`operations`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from inspect import BoundArguments, Parameter, Signature
from typing import Any, cast
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope

from passgate.core.ctx import Ctx, Operator, Services, Stranger
from passgate.errors import Invalid, NotFound, PassgateError
from passgate.hashing import Queue
from passgate.web import cookies, guards
from passgate.web.carried import Carried, with_cookies
from passgate.web.host import context_of
from passgate.web.routes import Body, Declared, Table
from passgate.web.values import built, kind_of

ENDS = frozenset({"session-end", "me-delete"})
"""The operations that have no body to answer with, and clear the cookie of a session: they answer with `Carried`."""

_SPAN = ("_since", "_until")
"""How the names of parameters end that are instants."""

_PASSED = frozenset(
    {
        b"accept-language",
        b"authorization",
        b"cookie",
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"user-agent",
        b"x-csrf-token",
    }
)
"""The header fields of the host's request that an endpoint sees."""


# -- operations ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One operation of the API document. `path_names`, `body` and `query` are the names of its parameters."""

    route: Declared
    method: str

    @property
    def id(self) -> str:
        return self.route.unique_id

    @property
    def tag(self) -> str:
        return str(self.route.tags[0])

    @property
    def name(self) -> str:
        return self.route.name

    @cached_property
    def takes_handle(self) -> bool:
        return guards.handle.__name__ in self.route.guards

    @cached_property
    def path_names(self) -> tuple[str, ...]:
        """In the order of the path."""
        return tuple(self.route.param_convertors)

    @cached_property
    def query(self) -> tuple[str, ...]:
        return tuple(one.alias for one in self.route.dependant.query_params)

    @cached_property
    def model(self) -> type[BaseModel] | None:
        """Of the body."""
        if self.route.body is Body.NONE:
            return None
        given: Any = self.route.dependant.body_params[0].field_info.annotation
        return cast("type[BaseModel]", given)

    @cached_property
    def body(self) -> tuple[str, ...]:
        return tuple(self.model.model_fields) if self.model else ()

    @cached_property
    def answer(self) -> Any:
        """The type of the value."""
        if self.id in ENDS:
            return Carried
        if self.route.response_model is None:
            return type(None) if self.route.status_code == HTTPStatus.NO_CONTENT else bytes
        return kind_of(self.route.response_model)

    @cached_property
    def signature(self) -> Signature:
        """A handle and ids by position, the members of body and query by name."""
        positional = [*(["handle"] if self.takes_handle else []), *self.path_names]
        given = [Parameter(name, Parameter.POSITIONAL_ONLY, annotation=str) for name in positional]
        members = self.model.model_fields.items() if self.model else ()
        named = [*members, *((one.alias, one.field_info) for one in self.route.dependant.query_params)]
        for name, info in named:
            default = Parameter.empty if info.is_required() else info.get_default()
            kind: Any = datetime | info.annotation if name.endswith(_SPAN) and name in self.query else info.annotation
            given.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind))
        return Signature(given)

    def bound(self, *args: Any, **kwargs: Any) -> BoundArguments:
        """Raises TypeError, as calling any function does, for parameters that it has not, or that are missing."""
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as wrong:
            raise TypeError(f"{self.tag}.{self.name}(): {wrong}") from None


def operations(routes: Iterable[BaseRoute]) -> dict[str, dict[str, Operation]]:
    """By tag and name."""
    found: dict[str, dict[str, Operation]] = {}
    for route in routes:
        if isinstance(route, Declared) and route.include_in_schema and route.tags:
            [method] = list(route.methods or ())
            one = Operation(route, method)
            found.setdefault(one.tag, {})[one.name] = one
    return found


# -- calling one -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inside:
    """What the twins need of a Passgate. `layers` are those below the one that makes a context."""

    services: Services
    layers: ASGIApp
    table: Table
    operations: Mapping[str, Mapping[str, Operation]]
    is_running: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that a host hands in; None authorises nobody."""

    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the request of a host, or without one an operator, for a tenant. `inside` is called each time, because
    a Passgate that is closed and started again has new parts. `ctx`: of a request for one of our own pages. `bearer`:
    what authorises instead of the request's own credentials."""

    inside: Callable[[], Inside]
    request: HTTPConnection | None
    tenant: str | None = None
    ctx: Ctx | None = None
    bearer: Bearer | None = None

    async def call(self, operation: Operation, *args: Any, **kwargs: Any) -> Any:
        given, inside = operation.bound(*args, **kwargs).arguments, self.inside()
        if not inside.is_running():
            raise RuntimeError("this Passgate is not running: mount it, or enter `async with gate.running()`")
        path = operation.route.path.format(**{name: given[name] for name in operation.path_names})
        if inside.table.at(path).get(operation.method) is not operation.route:
            raise NotFound  # an id that would lead to another endpoint
        scope, answer = self._scope(inside.services, operation, path, given), _Answer()
        scope["state"]["answer"] = answer
        await inside.layers(scope, _sends(_body(operation, given)), answer)
        if (error := scope["state"]["error"]) is not None:
            raise error
        return _value(inside.services, operation, answer)

    def _scope(self, services: Services, operation: Operation, path: str, given: Mapping[str, Any]) -> Scope:
        """A request for the endpoint, with what the host's own says of who asks from where."""
        ctx = self._ctx(services)
        query = {name: _text(given[name]) for name in operation.query if given.get(name) is not None}
        asked: Mapping[str, Any] = {} if self.request is None else self.request.scope
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "client": asked.get("client"),
            "server": asked.get("server"),
            "method": operation.method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "headers": _headers(asked.get("headers", ()), operation, given, self.bearer),
            "state": {"ctx": ctx, "request_id": ctx.request_id, "incoming": None, "error": None},
        }

    def _ctx(self, services: Services) -> Ctx:
        """That of the host's request, in which nobody acts yet, whatever a guard has found: the endpoint's own guard
        finds out. Only here is an operator made, and only without a request."""
        if self.request is None:
            return Ctx(services, principal=Operator(self.tenant), request_id=services.world.text(12))
        ctx = self.ctx or context_of(services, self.request)
        origin = ctx.origin if self.bearer is None else replace(ctx.origin, session="")
        return replace(ctx, origin=origin, principal=Stranger(), queue=Queue.STRANGERS)


@dataclass(slots=True)
class _Answer:
    """Collects what an endpoint sends."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    def cookies(self) -> tuple[str, ...]:
        return tuple(value.decode("latin-1") for name, value in self.headers if name.lower() == b"set-cookie")


def _headers(
    asked: Iterable[tuple[bytes, bytes]], operation: Operation, given: Mapping[str, Any], bearer: Bearer | None
) -> list[tuple[bytes, bytes]]:
    """A step of a sign-in is asked with its handle, and then nothing else authorises it. With a token of the host's
    no credential of the request is passed on."""
    passed = _PASSED - ({b"authorization"} if operation.takes_handle else set())
    if bearer is not None:
        passed -= {b"authorization", b"cookie"}
    found = [(name.lower(), value) for name, value in asked if name.lower() in passed]
    secret = given["handle"] if operation.takes_handle else bearer.token if bearer else None
    if operation.takes_handle or secret is not None:
        found.append((b"authorization", f"Bearer {secret}".encode("utf-8", "surrogatepass")))
    return [*found, (b"content-type", b"application/json")] if operation.model else found


def _body(operation: Operation, given: Mapping[str, Any]) -> bytes:
    """The members that were given, as JSON; the edge decodes and checks it as any other. Raises Invalid for what is no
    JSON."""
    if operation.model is None:
        return b""
    members = [f"{json.dumps(name)}:{_json(name, given[name])}" for name in operation.body if name in given]
    return ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass")


def _json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise Invalid({name: "type"}) from None


def _text(value: Any) -> str:
    """A parameter of a query; an instant is written as the endpoint reads it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _sends(body: bytes) -> Receive:
    waiting = [body]

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()  # nobody hangs up
        return {"type": "http.request", "body": waiting.pop(), "more_body": False}

    return receive


def _value(services: Services, operation: Operation, answer: _Answer) -> Any:
    if answer.status == 0:
        raise PassgateError
    set_cookies = answer.cookies()
    value: Any = None
    if operation.answer is bytes:
        value = answer.body
    elif operation.answer is Carried:
        value = Carried()
    elif answer.body:
        value = built(operation.answer, json.loads(answer.body))
    if isinstance(value, Carried):
        return with_cookies(value, set_cookies, cookies.clear_session(services.settings))
    if set_cookies:
        raise RuntimeError(f"{operation.id} sets a cookie that its twin does not hand over")
    return value
