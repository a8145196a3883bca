"""Our endpoints in a host's program: one route among its own, which takes what is ours and nothing else.

What an endpoint does is not known here, nor anything of the host but its list of routes and its lifespan.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

WELL_KNOWN = "/.well-known/"
"""What browsers and programs look for at the root of a host (RFC 8615), wherever the endpoints are."""
_AT = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_OURS = (
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "query_string",
    "headers",
    "client",
    "server",
    "extensions",
)
"""What of a request our endpoints see: nothing that the host's middleware or router laid beside it."""


class MountedEndpoints(BaseRoute):
    """All endpoints as one route. Below a prefix everything is ours; at the root only the paths that we answer."""

    def __init__(self, at: str, endpoints: Callable[[], ASGIApp], routes: Callable[[], list[BaseRoute]]) -> None:
        """`endpoints` and `routes` are asked at the request: a gate that was closed and runs again has others."""
        self.at, self.path, self._endpoints, self._routes = at, at or "/", endpoints, routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.NONE if self._inner(scope) is None else Match.FULL), {}

    def _inner(self, scope: Scope) -> str | None:
        """The path as our endpoints know it, or None where it is not ours."""
        if scope["type"] != "http":
            return None
        path = _path(scope)
        if path.startswith(WELL_KNOWN) or not self.at:
            return path if self._answers(path) else None
        if path == self.at or path.startswith(self.at + "/"):
            return path[len(self.at) :] or "/"
        return None

    def _answers(self, path: str) -> bool:
        asked = {"type": "http", "path": path, "root_path": "", "headers": []}
        return any(route.matches({**asked, "method": "GET"})[0] is not Match.NONE for route in self._routes())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = self._inner(scope)
        if inner is None:
            raise NoMatchFound("passgate", {})
        await self._endpoints()(
            {**{name: scope[name] for name in _OURS if name in scope}, "path": inner}, receive, send
        )

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        raise NoMatchFound(name, path_params)


def _path(scope: Scope) -> str:
    """Without what a server or an outer program has taken off it (`root_path`)."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and (path == root or path.startswith(root + "/")) else path


def checked(at: str) -> str:
    """`/auth`, or empty for the root."""
    if not _AT.fullmatch(at):
        raise ValueError("mount at a path such as /auth, or at the root with an empty one")
    return at


def mount(
    app: FastAPI, endpoints: MountedEndpoints, running: Callable[[], AbstractAsyncContextManager[object]]
) -> None:
    """Refuses a second one: two gates in one program would share their cookies and their paths."""
    if any(isinstance(route, MountedEndpoints) for route in app.router.routes):
        raise RuntimeError("a Passgate is mounted here already")
    app.router.routes.append(endpoints)
    theirs = app.router.lifespan_context

    @asynccontextmanager
    async def ours_around_theirs(given: FastAPI) -> AsyncIterator[Any]:
        """Ready before the host's own start, closed after its own end: both may use what we give."""
        async with running(), theirs(given) as state:
            yield state

    app.router.lifespan_context = ours_around_theirs
