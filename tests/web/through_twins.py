"""Every request that a twin can express becomes a call of it, and its value or error a response again. With this in
between, the tests of the API's contract are tests of the twins (`tests/web/conftest.py`).

Not here: those tests. What no twin can express (a broken body, an unknown path, HEAD …) reaches the endpoint itself.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passgate import operations
from passgate.app import Passgate, _with_cors
from passgate.errors import CredentialInvalid, Malformed, PassgateError
from passgate.web import guards
from passgate.web.api.shapes import encode
from passgate.web.carried import Carried
from passgate.web.edge import layers
from passgate.web.host import CTX
from passgate.web.routes import Body
from passgate.web.twins import Operation
from passgate.web.values import is_value
from passgate.wire.body import MAX_BODY, decode_json, decode_pairs
from passgate.wire.problems import render

CALLS = {"made": 0}

LEFT_OUT = {"ops-ready": "parts", "users-list": "total"}
"""A member that the endpoint leaves out where the value has None."""


@dataclass(frozen=True)
class Call:
    operation: Operation
    positional: tuple[str, ...]
    named: dict[str, Any]


def through_twins(gate: Passgate, *, operator: str | None = None) -> ASGIApp:
    """The application of a host whose routes all call twins, with our outermost layers around its answers. `operator`:
    the tenant in which an operator calls them, and nobody's credential counts."""
    around = partial(_with_cors, settings=gate.settings, table=gate._inside.table)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raw = await _whole(receive)
        call = _call(gate, scope, raw)
        if call is None:
            await gate(scope, _again(raw), send)
            return
        CALLS["made"] += 1
        await layers(partial(_answer, gate, call, operator), gate.services, around)(scope, _again(raw), send)

    return app


async def _answer(gate: Passgate, call: Call, operator: str | None, scope: Scope, receive: Receive, send: Send) -> None:
    ctx, operation = scope["state"]["ctx"], call.operation
    scope["passgate.route"] = operation.route.path
    headers = [one for one in scope["headers"] if not operation.takes_handle or one[0] != b"authorization"]
    request = Request({**scope, "headers": headers, CTX: ctx})
    at = gate.at(request) if operator is None else gate.at(None, tenant=operator)
    twin = getattr(getattr(at, operation.tag), operation.name)
    try:
        response = responded(operation, await twin(*call.positional, **call.named))
    except PassgateError as error:
        response = render(error, ctx.request_id)
    await response(scope, receive, send)


# -- from a request to a call ----------------------------------------------------------------------


def _call(gate: Passgate, scope: Scope, raw: bytes) -> Call | None:
    """None for a request that no call of a twin is."""
    route = gate._inside.table.at(scope["path"]).get(scope["method"])
    by_name = gate._inside.operations.get(str(route.tags[0]) if route and route.tags else "", {})
    operation = by_name.get(route.name) if route else None
    if route is None or operation is None or operation.route is not route or b"%" in scope["raw_path"]:
        return None
    headers = Headers(scope=scope)
    try:
        positional = [guards.bearer(headers)] if operation.takes_handle else []
        named = {**decode_pairs(scope["query_string"]), **_members(operation, headers, raw)}
    except (Malformed, CredentialInvalid):
        return None
    matched = route.path_regex.match(scope["path"])
    positional += [(matched.groupdict() if matched else {})[name] for name in operation.path_names]
    if None in positional:
        return None
    try:
        operation.bound(*positional, **named)
    except TypeError:
        return None
    return Call(operation, tuple(map(str, positional)), named)


def _members(operation: Operation, headers: Headers, raw: bytes) -> dict[str, Any]:
    """Those of the body. Raises Malformed for one that is not of the members that JSON of an object has."""
    if not raw and operation.route.body is Body.NONE:
        return {}
    body = decode_json(raw) if len(raw) <= MAX_BODY else None
    is_json = headers.getlist("content-type") == ["application/json"] and "content-encoding" not in headers
    if not is_json or not isinstance(body, dict) or operation.route.body is Body.NONE:
        raise Malformed
    return body


# -- from a value to a response --------------------------------------------------------------------


def responded(operation: Operation, value: Any) -> Response:
    status = operation.route.status_code or 200
    if value is None or type(value) is Carried:
        response = Response(status_code=204)
    elif isinstance(value, bytes):
        response = Response(value, media_type="image/png")
    else:
        if isinstance(value, operations.__getattr__("LinkAsked")):
            status = 202
        if getattr(value, "status", "ok") == "unavailable":
            status = 503
        members = as_json(value, exclude_none=operation.route.response_model_exclude_none)
        if (name := LEFT_OUT.get(operation.id)) and getattr(value, name) is None:
            members.pop(name, None)
        response = Response(encode(members), status, media_type="application/json")
    if isinstance(value, Carried) and value._set_cookies:
        value.set_on(response)
    return response


def as_json(value: Any, *, exclude_none: bool = False) -> Any:
    if isinstance(value, datetime):
        assert value.tzinfo is not None
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [as_json(one, exclude_none=exclude_none) for one in value]
    if not is_value(type(value)):
        return value
    members = {one.name: getattr(value, one.name) for one in fields(value) if not one.name.startswith("_")}
    return {
        name: as_json(member, exclude_none=exclude_none)
        for name, member in members.items()
        if not (exclude_none and member is None)
    }


# -- bodies ----------------------------------------------------------------------------------------


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(raw: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    return receive
