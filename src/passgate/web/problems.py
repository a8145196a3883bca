"""Errors as answers: one problem document (RFC 9457) for whatever goes wrong. What can go wrong lives in `errors`.

Input is never echoed, and no text of a library or a database ever leaves.
"""

from __future__ import annotations

import logging

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from passgate.core.profile import words
from passgate.errors import (
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PassgateError,
    Refusal,
    Unavailable,
)  # fmt: skip

log = logging.getLogger("passgate.fault")

MEDIA_TYPE = "application/problem+json"


def document(error: PassgateError, request_id: str) -> dict[str, object]:
    return {
        "type": f"urn:passgate:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.message,
        "request_id": request_id,
        **error.extra(),
    }


def render(error: PassgateError, request_id: str) -> Response:
    body = msgspec.json.encode(document(error, request_id))
    return Response(body, status_code=error.status, headers=error.headers(), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """One handler for each kind that reaches the framework."""

    async def ours(request: Request, error: PassgateError) -> Response:
        if isinstance(error, Unavailable):
            cause = type(error.__cause__).__name__ if error.__cause__ else ""
            log.warning("unavailable", extra={"down": error.down, "cause": cause})
        return render(error, request.state.request_id)

    async def theirs(request: Request, error: HTTPException) -> Response:
        translated = MethodNotAllowed(_allowed(app, request)) if error.status_code == 405 else _translated(error)
        return render(translated, request.state.request_id)

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return render(_invalid(error), request.state.request_id)

    async def fault(request: Request, _error: Exception) -> Response:
        return render(PassgateError(), request.state.request_id)  # the edge logs it

    app.exception_handler(PassgateError)(ours)
    app.exception_handler(HTTPException)(theirs)
    app.exception_handler(RequestValidationError)(invalid)
    app.exception_handler(Exception)(fault)


def _translated(error: HTTPException) -> PassgateError:
    if error.status_code == 404:
        return NotFound()
    return Malformed() if error.status_code < 500 else PassgateError()


def _allowed(app: FastAPI, request: Request) -> str:
    """Every method of this path (RFC 9110 §15.5.6); the framework names those of the first route that fits."""
    methods = {
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        for route in app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    }
    return ", ".join(sorted(methods))


def _invalid(error: RequestValidationError) -> Refusal:
    return Invalid(words(error.errors(), skip=1))
