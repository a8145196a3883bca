"""The route table. Each route declares how it answers (its face), what body it takes, and its guard, which is a
dependency; edge, problems and the reference read it here, and no path prefix decides anything.

Not here: the routes themselves, and reading a body (`edge`).
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, compile_path, get_name

from passgate.web import guards
from passgate.wire.body import DECODED

_analysing = threading.RLock()


class Face(StrEnum):
    """How a route answers errors."""

    PAGE = "page"
    PROBLEM = "problem"


class Body(StrEnum):
    """What body a route takes. NONE: a body that comes all the same has to be one that its face would take."""

    NONE = "none"
    JSON = "json"
    FORM = "form"


class Declared(APIRoute, ABC):
    """A route of ours. One of a kind without a face or a body cannot be made. `queries`: the query names that are read,
    and everything else in a query is left alone; None for a route that decodes the whole query strictly. `is_shared`:
    scripts of the allowed origins may call it.

    The framework analyses an endpoint when its route is first used, and not when it is declared: to analyse all of them
    would take a third of the start. A route that it cannot analyse, or that has not exactly one guard, answers nothing:
    whatever uses it raises."""

    queries: ClassVar[frozenset[str] | None] = None
    is_shared: ClassVar[bool] = False

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        self.path, self.endpoint = path, endpoint
        self.name = declared.get("name") or get_name(endpoint)
        self.methods = {method.upper() for method in declared.get("methods") or ("GET",)}
        self.tags, self.include_in_schema = declared.get("tags") or [], declared.get("include_in_schema", True)
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self._declared = declared

    if not TYPE_CHECKING:  # a type checker would take it for a class that has every attribute

        def __getattr__(self, name: str) -> Any:
            """What only the analysis knows is not there before it, and comes all at once or not at all. Whoever asks
            after a fault is refused as well, and two threads may use a route: each Passgate of a process has it."""
            with _analysing:
                if "_declared" in vars(self):
                    analysed = object.__new__(type(self))
                    APIRoute.__init__(analysed, self.path, self.endpoint, **self._declared)
                    vars(self).update(vars(analysed))
                    del self._declared
            return object.__getattribute__(self, name)

    def analyse(self) -> None:
        """Now, instead of at its first use. Raises what is wrong with it."""
        self.app  # noqa: B018

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The last step of the analysis."""
        if len(self.guards) != 1:
            raise TypeError(f"a route has to declare one guard: {self}")
        return super().get_route_handler()

    @property
    @abstractmethod
    def face(self) -> Face: ...

    @property
    @abstractmethod
    def body(self) -> Body: ...

    @property
    def guards(self) -> tuple[str, ...]:
        return tuple(guard.__name__ for guard in _guards(self.dependant))


class Page(Declared):
    """For people: forms in, HTML out."""

    face = Face.PAGE
    queries = frozenset({"return_to", "done", "after", "again"})

    @property
    def body(self) -> Body:
        return Body.FORM if "POST" in (self.methods or ()) else Body.NONE


class Listing(Page):
    """A page of a list that people search and sort."""

    queries = Page.queries | {"search", "disabled", "sort"}


class Service(Declared):
    """For programs of the operator: JSON in, JSON out."""

    face = Face.PROBLEM

    @property
    def body(self) -> Body:
        return Body.NONE if self.body_field is None else Body.JSON

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def with_decoded(request: Request) -> Response:
            return await handle(_Decoded(request.scope, request.receive))

        return with_decoded


class _Decoded(Request):
    """The framework takes the value that the edge has decoded, and does not decode again."""

    async def body(self) -> bytes:
        return b"" if self.scope[DECODED] is None else await super().body()

    async def json(self) -> Any:
        return self.scope[DECODED]


class Endpoint(Service):
    """For programs of everybody."""

    is_shared = True


class File(Service):
    """A static file, whose address may carry a version."""

    queries = frozenset({"v"})


def pages(**given: Any) -> APIRouter:
    return APIRouter(include_in_schema=False, route_class=Page, **given)


def listings(**given: Any) -> APIRouter:
    return APIRouter(include_in_schema=False, route_class=Listing, **given)


def endpoints(**given: Any) -> APIRouter:
    return APIRouter(route_class=Endpoint, **given)


def services(**given: Any) -> APIRouter:
    return APIRouter(route_class=Service, **given)


def files(**given: Any) -> APIRouter:
    return APIRouter(include_in_schema=False, route_class=File, **given)


Methods = Mapping[str, Declared]


class Table:
    """All routes of one application, found by path. TypeError for one that declares nothing."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._fixed: dict[str, dict[str, Declared]] = {}
        self._patterns: dict[re.Pattern[str], dict[str, Declared]] = {}
        self._neighbours: dict[str, list[Declared]] = {}
        self._paths: dict[object, str] = {}
        self.routes: list[Declared] = []
        for route in routes:
            if not isinstance(route, Declared):
                raise TypeError(f"a route has to declare its face and its body: {route}")
            by_path: Any = self._patterns if "{" in route.path else self._fixed
            methods = by_path.setdefault(route.path_regex if "{" in route.path else route.path, {})
            methods.update(dict.fromkeys(route.methods or (), route))
            self._neighbours.setdefault(_first(route.path), []).append(route)
            self._paths[route.endpoint] = route.path
            self.routes.append(route)

    def at(self, path: str) -> Methods:
        """The routes of a path, by method; empty for an unknown path."""
        if (found := self._fixed.get(path)) is not None:
            return found
        return next((methods for pattern, methods in self._patterns.items() if pattern.match(path)), {})

    def path_of(self, endpoint: object, given: Mapping[str, Any]) -> str:
        """The path of an endpoint, with these path parameters."""
        return self._paths[endpoint].format(**given)

    def face_near(self, path: str) -> Face | None:
        """The face that all routes below the same first segment have; None if they differ, or there are none."""
        faces = {route.face for route in self._neighbours.get(_first(path), ())}
        return faces.pop() if len(faces) == 1 else None

    def is_shared(self, path: str) -> bool:
        """Of a path without a route: whether all its neighbours are."""
        found = [*self.at(path).values()] or self._neighbours.get(_first(path), [])
        return bool(found) and all(route.is_shared for route in found)

    def is_own_page(self, path: str) -> bool:
        """Whether a signed-in person can look at this page, and so return to it."""
        page = self.at(path).get("GET")
        return page is not None and page.face is Face.PAGE and guards.visitor.__name__ in page.guards


def _first(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def allowed(methods: Methods) -> str:
    """The value of Allow (RFC 9110 §15.5.6)."""
    return ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))


def _guards(dependant: Dependant) -> list[Any]:
    """Those that the route declares; a guard that such a guard depends on is part of it."""
    found: list[Any] = []
    for below in dependant.dependencies:
        found += [below.call] if below.call in guards.GUARDS else _guards(below)
    return found
