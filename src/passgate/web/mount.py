"""Mounts our endpoints in a host application as one route, which matches our paths and no others.

Not here: what an endpoint does. Of the host, only its list of routes and its lifespan are touched.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from passgate.errors import Unavailable
from passgate.web.origin import REQUEST_ID

log = logging.getLogger(__name__)

WELL_KNOWN = "/.well-known/"
"""Well-known URIs (RFC 8615): clients look for them at the root of the host, whatever the mount prefix."""
HOSTS_OWN = frozenset({"/", "/favicon.ico"})
"""Where we are mounted at the root, these stay the host's."""
NOT_STARTED = (
    "NOT_STARTED",
    "Passgate answers nothing before the program has started it: the server must run the lifespan of the application "
    "in which it is mounted. A sub-application has none: start it in the lifespan of the outer one, "
    "`async with gate.running():`.",
)
_ROOT_PATH = (
    "Requests come below {root}, and links in mails and redirects would lead elsewhere: "
    'gate.mount(app, at="{at}", root_path="{root}").'
)
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
"""The keys of the ASGI scope passed to our endpoints; anything that the host's middleware or router added is left
out."""


@dataclass
class Passing:
    """A request of a host, as the layer around the host marks it (`host_requests`). An object of its own
    in the scope, which layers in between may copy. `is_ours`: it reached our endpoints."""

    KEY: ClassVar = "passgate.passing"
    request_id: str
    is_ours: bool = False

    @classmethod
    def of(cls, scope: Scope) -> Passing | None:
        found = scope.get(cls.KEY)
        return found if isinstance(found, cls) else None


@dataclass(frozen=True, slots=True)
class Mounted:
    """What the route asks of its Passgate. `endpoints` and `routes` are called for each request, because one that is
    closed and started again builds new ones."""

    endpoints: Callable[[], ASGIApp]
    routes: Callable[[], list[BaseRoute]]
    is_running: Callable[[], bool]


def refuse(code: str, text: str) -> NoReturn:
    """Say in the log what the program has left out, and nothing of it to whoever asks."""
    log.critical(f"{code} {text}")
    raise Unavailable("start")


class MountedEndpoints(BaseRoute):
    """All our endpoints as one route. Below a prefix it matches every path; at the root, only the paths of our own
    routes."""

    def __init__(self, at: str, root_path: str | None, mounted: Mounted) -> None:
        """`root_path`: what the host says; if it says nothing, requests have to come without any."""
        self.at, self.path, self._root_path, self._mounted = at, at or "/", root_path, mounted

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.NONE if self._inner(scope) is None else Match.FULL), {}

    def _inner(self, scope: Scope) -> str | None:
        """The path without the mount prefix, or None if this route does not match."""
        if scope["type"] != "http":
            return None
        path = _path(scope)
        if path.startswith(WELL_KNOWN) or not self.at:
            return path if self._answers(path) else None
        if path == self.at or path.startswith(self.at + "/"):
            return path[len(self.at) :] or "/"
        return None

    def _answers(self, path: str) -> bool:
        if not self.at and path in HOSTS_OWN:
            return False
        asked = {"type": "http", "path": path, "root_path": "", "headers": []}
        return any(route.matches({**asked, "method": "GET"})[0] is not Match.NONE for route in self._mounted.routes())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = self._inner(scope)
        if inner is None:
            raise NoMatchFound("passgate", {})
        self._refuse_unprepared(scope)
        ours = {**{name: scope[name] for name in _OURS if name in scope}, "path": inner}
        if passing := Passing.of(scope):
            passing.is_ours = True
            ours[REQUEST_ID] = passing.request_id
        await self._mounted.endpoints()(ours, receive, send)

    def _refuse_unprepared(self, scope: Scope) -> None:
        """What the host's program has left out can't be seen before a request comes: a sub-application is never
        started, and only a request says what lies around it. Raises Unavailable."""
        if not self._mounted.is_running():
            refuse(*NOT_STARTED)
        root = str(scope.get("root_path", "")).rstrip("/")
        if self._root_path is None and root:
            refuse("ROOT_PATH", _ROOT_PATH.format(root=root, at=self.at))

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        raise NoMatchFound(name, path_params)


def _path(scope: Scope) -> str:
    """The request path without `root_path`, which a server or an outer application has consumed."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and (path == root or path.startswith(root + "/")) else path


def checked(at: str) -> str:
    """Validate a path at which something is mounted: `/auth`, or "" for the root. Raises ValueError."""
    if not _AT.fullmatch(at):
        raise ValueError("the path must be like /auth, or empty for the root")
    return at


def mount(
    app: FastAPI, endpoints: MountedEndpoints, running: Callable[[], AbstractAsyncContextManager[object]]
) -> None:
    """Add the endpoints to `app` and wrap its lifespan. Raises RuntimeError if a Passgate is mounted there already: two
    would share cookies and paths."""
    if any(isinstance(route, MountedEndpoints) for route in app.router.routes):
        raise RuntimeError("a Passgate is already mounted here")
    app.router.routes.append(endpoints)
    theirs = app.router.lifespan_context

    @asynccontextmanager
    async def ours_around_theirs(given: FastAPI) -> AsyncIterator[Any]:
        """Starts before the host's own startup and closes after its shutdown, because both may use Passgate."""
        async with running(), theirs(given) as state:
            yield state

    app.router.lifespan_context = ours_around_theirs
