"""Answers errors: with a problem document for programs, with a page for browsers, as the route declares.

Not here: the errors themselves (`errors`), and how a document or a page is written.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from passgate.core.profile import fault_codes
from passgate.errors import (
    Invalid,
    Malformed,
    NotFound,
    PassgateError,
    Refusal,
    StepUpNeeded,
    Unavailable,
)
from passgate.web.guards import RedirectTo
from passgate.web.pages.page import error_page, go
from passgate.web.routes import Face, Table
from passgate.wire.problems import render

log = logging.getLogger("passgate.fault")


def answered(scope: Scope, error: PassgateError) -> Response:
    """An error page or a problem document, as the route declares. Where there is no route, its neighbours do, or the
    Accept header decides. A twin finds the error itself in the state (`web.twins`)."""
    if "error" in scope["state"]:
        scope["state"]["error"] = error
    if isinstance(error, Unavailable):
        cause = type(error.__cause__).__name__ if error.__cause__ else ""
        log.warning("unavailable", extra={"down": error.down, "cause": cause})
    ctx, face = scope["state"]["ctx"], scope.get("passgate.face")
    if face is None:
        face = Face.PAGE if "text/html" in Headers(scope=scope).get("accept", "") else Face.PROBLEM
    if face is Face.PROBLEM:
        return render(error, ctx.request_id)
    table: Table | None = scope["state"].get("table")
    is_ours = table is not None and table.is_own_page(scope["path"])
    return error_page(ctx, error, scope["path"] if is_ours else "/account")


def install(app: FastAPI) -> None:
    """Register one exception handler for each kind of error that reaches the framework."""

    def answer(request: Request, error: PassgateError) -> Response:
        request.state.is_turned_away = isinstance(error, StepUpNeeded)
        return answered(request.scope, error)

    async def ours(request: Request, error: PassgateError) -> Response:
        return answer(request, error)

    async def theirs(request: Request, error: HTTPException) -> Response:
        return answer(request, _translated(error))

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


def _invalid(error: RequestValidationError) -> Refusal:
    return Invalid(fault_codes(error.errors(), skip=1))
