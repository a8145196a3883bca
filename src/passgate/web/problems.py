"""Errors as answers: problem documents (RFC 9457) for programs, pages for people. What can go wrong is in `errors`.

Input is never echoed, and no text of a library or a database ever leaves.
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
from passgate.errors import Invalid, Malformed, MethodNotAllowed, NotFound, PassgateError, Refusal, Unavailable
from passgate.web.guards import Elsewhere
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
    """A page for who looks at pages, a problem document for programs. Outside the pages' own paths the Accept field
    decides, except at endpoints that are for programs alone."""
    wants_page = "text/html" in headers.get("accept", "") and not path.startswith(_PROGRAMS)
    return error_page(ctx, error) if is_page(path) or wants_page else render(error, ctx.request_id)


_PROGRAMS = ("/api/", "/openapi.json", "/oauth2/", "/bff/", "/.well-known/", "/healthz", "/readyz", "/metrics", "/dev/")


def install(app: FastAPI) -> None:
    """One handler for each kind that reaches the framework."""

    def answer(request: Request, error: PassgateError) -> Response:
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

    async def elsewhere(request: Request, found: Elsewhere) -> Response:
        return go(request.state.ctx, found.path, *found.set_cookies)

    app.exception_handler(PassgateError)(ours)
    app.exception_handler(Elsewhere)(elsewhere)
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
    return Invalid(fault_codes(error.errors(), skip=1))
