"""Renders errors: problem documents (RFC 9457) for programs, pages for browsers. The errors are defined in `errors`.

No response contains any part of the input or any text from a library or a database.
"""

from __future__ import annotations

import logging

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from passgate.core.ctx import Ctx
from passgate.core.profile import fault_codes
from passgate.errors import (
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PassgateError,
    Refusal,
    StepUpNeeded,
    Unavailable,
)
from passgate.web.guards import RedirectTo
from passgate.web.pages.page import error_page, go, is_page

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


def answered(ctx: Ctx, path: str, headers: Headers, error: PassgateError) -> Response:
    """An error page for browsers, a problem document for programs. On hosted pages it is always a page; on other paths
    the Accept header decides, except on endpoints that only programs call."""
    wants_page = "text/html" in headers.get("accept", "") and not path.startswith(_PROGRAMS)
    return error_page(ctx, error, path) if is_page(path) or wants_page else render(error, ctx.request_id)


_PROGRAMS = ("/api/", "/openapi.json", "/oauth2/", "/bff/", "/.well-known/", "/healthz", "/readyz", "/metrics", "/dev/")


def install(app: FastAPI) -> None:
    """Register one exception handler for each kind of error that reaches the framework."""

    def answer(request: Request, error: PassgateError) -> Response:
        request.state.is_turned_away = isinstance(error, StepUpNeeded)
        return answered(request.state.ctx, request.url.path, request.headers, error)

    async def ours(request: Request, error: PassgateError) -> Response:
        if isinstance(error, Unavailable):
            cause = type(error.__cause__).__name__ if error.__cause__ else ""
            log.warning("unavailable", extra={"down": error.down, "cause": cause})
        return answer(request, error)

    async def theirs(request: Request, error: HTTPException) -> Response:
        translated = MethodNotAllowed(_allowed(app, request)) if error.status_code == 405 else _translated(error)
        return answer(request, translated)

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, _invalid(error))

    async def fault(request: Request, _error: Exception) -> Response:
        return answer(request, PassgateError())  # the edge logs it

    async def redirect(request: Request, found: RedirectTo) -> Response:
        request.state.is_turned_away = True
        return go(request.state.ctx, found.path, *found.set_cookies)

    app.exception_handler(PassgateError)(ours)
    app.exception_handler(RedirectTo)(redirect)
    app.exception_handler(HTTPException)(theirs)
    app.exception_handler(RequestValidationError)(invalid)
    app.exception_handler(Exception)(fault)


def _translated(error: HTTPException) -> PassgateError:
    if error.status_code == 404:
        return NotFound()
    return Malformed() if error.status_code < 500 else PassgateError()


def _allowed(app: FastAPI, request: Request) -> str:
    """The value of Allow (RFC 9110 §15.5.6): the methods of every route with this path. The framework names only those
    of the first one."""
    methods = {
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        for route in app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    }
    return ", ".join(sorted(methods))


def _invalid(error: RequestValidationError) -> Refusal:
    return Invalid(fault_codes(error.errors(), skip=1))
