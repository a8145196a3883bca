"""The path templates of a host's routes, for the log: `/users/{id}`, never the path itself, which may hold a secret.

Not here: which routes have a guard (`host`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Host, Mount, Route, compile_path
from starlette.types import Scope

NONE = "(none)"
"""No route answered."""


class Templates:
    """The templates of one application, by route and by what answers there: the framework puts one of the two into the
    scope. What answers at several templates has all of them, of which the path decides."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[object, list[str]]] = {}

    def of(self, app: Any, scope: Scope) -> str:
        """Of the route that answered a request."""
        chosen = scope.get("route") or scope.get("endpoint")
        if chosen is None:
            return NONE
        if id(chosen) not in self._of:
            self._read(app, chosen)
        found = self._of[id(chosen)][1]
        return found[0] if len(found) == 1 else next((one for one in found if _fits(one, scope)), NONE)

    def _read(self, app: Any, chosen: object) -> None:
        """Anew, because a route was added; one that is not in the application is remembered without a template."""
        found: dict[int, tuple[object, list[str]]] = {}
        for one, template in _all(app, ""):
            found.setdefault(id(one), (one, []))[1].append(template)
        self._of |= {id(chosen): (chosen, [NONE])} | found


def _all(app: Any, at: str) -> Iterator[tuple[object, str]]:
    """Every route and what answers there, each with its template, those of mounted applications included."""
    for context in iter_route_contexts(getattr(app, "routes", ())):
        route: BaseRoute = context.original_route
        template = at + (context.path or "")
        yield route, template or "/"
        if isinstance(route, Mount | Host):
            yield route.app, template or "/"
            yield from _all(route.app, template)
        elif isinstance(route, Route):
            yield route.endpoint, template


def _fits(template: str, scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("app_root_path", scope.get("root_path", "")))
    return any(compile_path(one)[0].match(path) for one in (template, template + "/{path:path}"))
