"""The path templates of a host's routes, for the log: `/users/{id}`, never the path itself, which may hold a secret.

Not here: which routes have a guard (`host`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Host, Mount, compile_path
from starlette.types import Scope

NONE = "(none)"
"""No route answered."""


class Templates:
    """The templates of one application. A route that was included twice has two, of which the path decides."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[BaseRoute, list[str]]] = {}

    def of(self, app: Any, scope: Scope) -> str:
        """Of the route that the framework chose and put into the scope."""
        route = scope.get("route")
        if not isinstance(route, BaseRoute):
            return NONE
        if id(route) not in self._of:
            self._read(app, route)
        found = self._of[id(route)][1]
        return found[0] if len(found) == 1 else next((one for one in found if _fits(one, scope)), NONE)

    def _read(self, app: Any, route: BaseRoute) -> None:
        """Anew, because a route was added; one that is not in the application is remembered without a template."""
        found: dict[int, tuple[BaseRoute, list[str]]] = {}
        for one, template in _all(app, ""):
            found.setdefault(id(one), (one, []))[1].append(template)
        self._of |= {id(route): (route, [NONE])} | found


def _all(app: Any, at: str) -> Iterator[tuple[BaseRoute, str]]:
    """Every route with its template, those of mounted applications included."""
    for context in iter_route_contexts(getattr(app, "routes", ())):
        route: BaseRoute = context.original_route
        template = at + (context.path or "")
        yield route, template or "/"
        if isinstance(route, Mount | Host):
            yield from _all(route.app, template)


def _fits(template: str, scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("app_root_path", scope.get("root_path", "")))
    return compile_path(template)[0].match(path) is not None
