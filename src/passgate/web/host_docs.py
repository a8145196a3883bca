"""A host's own OpenAPI document, in our vendored viewer: `gate.docs(app)`. Nothing is loaded from elsewhere.

Not here: the page and its files (`docs`), and what the document says, which is the framework's affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from passgate.web import docs
from passgate.web.host import depends_on
from passgate.web.mount import checked

DOCUMENT = "openapi.json"
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def install(app: FastAPI, at: str, public: Callable[[], Awaitable[None]]) -> None:
    """Serve the page at `at`, its files below and the document beside it, all guarded by `public` and in no document.
    Raises ValueError for a path that can't be one, and RuntimeError if the framework's own pages are there, which load
    scripts from elsewhere, or if another route has a path already."""
    above, _, folder = checked(at).rpartition("/")
    if not folder:
        raise ValueError("the path must be like /docs")
    if app.openapi_url and (app.docs_url or app.redoc_url):
        raise RuntimeError("make the application with docs_url=None, redoc_url=None")
    router = APIRouter(include_in_schema=False, dependencies=[Depends(public)])

    async def page() -> Response:
        return _with_headers(docs.page(app.title, folder))

    async def file(name: str, kind: str) -> Response:
        return _with_headers(await docs.file(docs.STATIC / name, kind))

    async def document(request: Request) -> Response:
        return _with_headers(JSONResponse(described(app, request)))

    router.add_api_route(at, page, methods=["GET", "HEAD"])
    for path, (name, kind) in docs.FILES.items():
        router.add_api_route(at + path.removeprefix("/docs"), partial(file, name, kind), methods=["GET", "HEAD"])
    if app.openapi_url != f"{above}/{DOCUMENT}":  # else the framework serves the same one
        router.add_api_route(f"{above}/{DOCUMENT}", document, methods=["GET", "HEAD"])
    for route in router.routes:
        _refuse_taken(app, route.path)  # type: ignore[attr-defined]
    app.include_router(router)


def _refuse_taken(app: FastAPI, path: str) -> None:
    """Routes that were added before answer first."""
    asked = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    if any(route.matches(dict(asked))[0] is Match.FULL for route in app.routes):
        raise RuntimeError(f"{path} is taken already: call docs() before, or choose another path")


def described(app: FastAPI, request: Request) -> dict[str, Any]:
    """The host's own document. Below another application its paths begin at that one's."""
    document = app.openapi()
    root = str(request.scope.get("root_path", ""))
    return {"servers": [{"url": root}], **document} if root else document


def mark_optional(app: FastAPI, optional: object, required: tuple[object, ...]) -> None:
    """Have the host's document say that a route with the guard `optional`, and none of `required`, asks for no
    credential: the framework lists a credential that a route reads as one that it needs."""
    theirs = app.openapi

    def document() -> dict[str, Any]:
        found = theirs()
        for context in iter_route_contexts(app.routes):
            is_ours = isinstance(context.original_route, APIRoute) and depends_on(context.dependant, (optional,))
            if not is_ours or depends_on(context.dependant, required):
                continue
            operations = found.get("paths", {}).get(context.path_format, {})
            for security in (operations.get(method.lower(), {}).get("security") for method in context.methods or ()):
                if security and {} not in security:
                    security.insert(0, {})
        return found

    app.openapi = document  # type: ignore[method-assign]


def _with_headers(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer
