"""The guards for a host application's own routes: authentication, permission and step-up checks.

The host's routes do not pass through the layers of `edge`, so the Ctx is created here, or in `host_requests`. Not here:
what makes a session live (`core.sessions`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute, Host, Mount, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket

from passgate.core import access, account, session_lives
from passgate.core.ctx import Ctx, Person, Services
from passgate.core.permissions import known
from passgate.core.profile import as_value
from passgate.core.rules import AAL1, LEVELS
from passgate.errors import CredentialMissing, PassgateError, PermissionMissing
from passgate.web import guards
from passgate.web.host_values import ReadOnly, Session, Tenant, User
from passgate.web.mount import MountedEndpoints
from passgate.web.origin import ContextFactory
from passgate.wire.problems import render
from passgate.world import SECOND

CTX = "passgate.ctx"
"""In the ASGI scope of a host's request: its Ctx."""
_HANDLERS = "starlette.exception_handlers"
_DESCRIBED = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")


Finder = Callable[..., Awaitable[User]]
"""A dependency that finds the user of a request."""


class Guard(Protocol):
    """A dependency that lets some users pass. Where that depends on more than the route, call it by hand, with the
    request (or WebSocket) and the user that a guard of the route has found in it. Raises TypeError for the user of
    another."""

    async def __call__(self, request: HTTPConnection, user: User) -> User: ...


Claims = Callable[[User], Mapping[str, Any]]


def context_of(services: Services, request: HTTPConnection) -> Ctx:
    """The Ctx of this request, created once, so that all its responses and audit events share one request id. Stored in
    the ASGI scope under our own key, because `request.state` belongs to the host."""
    found = request.scope.get(CTX)
    if not isinstance(found, Ctx) or found.services is not services:
        found = request.scope[CTX] = ContextFactory(services).ctx(request.scope)
    return found


async def user(services: Services, request: HTTPConnection, *, by_token: bool = False) -> User:
    """The user of a live session, by bearer token or cookie, or `by_token` alone; extends the idle timeout. Raises what
    `guards.live` raises, in the form that ends a WebSocket."""
    ctx = context_of(services, request)
    with ending(request):
        if by_token and "authorization" not in request.headers:
            raise CredentialMissing
        return await _found(services, request, await guards.live(ctx, request))


async def optional_user(services: Services, request: HTTPConnection) -> User | None:
    """The same, or None where `guards.present_or_nobody` finds nobody."""
    ctx = context_of(services, request)
    with ending(request):
        acting = await guards.present_or_nobody(ctx, request)
        return None if acting is None else await _found(services, request, acting)


async def _found(services: Services, request: HTTPConnection, acting: Ctx) -> User:
    request.scope[CTX] = acting
    await session_lives.touch(acting)
    return described(services, acting.person)


@contextmanager
def ending(request: HTTPConnection) -> Iterator[None]:
    """A WebSocket is refused with a close code, 4000 and the HTTP status, and the error's code as the reason. The
    framework closes it in every application, whatever handlers this has."""
    try:
        yield
    except PassgateError as error:
        if request.scope["type"] != "websocket":
            raise
        raise WebSocketException(*_close_code(error)) from error


def _close_code(error: PassgateError) -> tuple[int, str]:
    return 4000 + error.status, error.code


async def acting(services: Services, request: HTTPConnection) -> Ctx:
    """Whoever acts in this request: the person whom a guard has found, or whom `user` would find; else a stranger. Does
    not extend the idle timeout."""
    bring_answer(request.scope)
    ctx = context_of(services, request)
    return ctx if isinstance(ctx.principal, Person) else await guards.anybody(ctx, request)


def with_claims(who: User, claims: Claims | None) -> User:
    return replace(who, claims=ReadOnly(claims(who))) if claims else who


def described(services: Services, me: Person) -> User:
    tenant = Tenant(me.tenant_id, me.row["name"], me.row["display_name"])
    session = Session(
        me.session_id,
        me.acr,
        me.amr,
        _instant(me.auth_time),
        _instant(me.row["created_at"]),
        _instant(me.row["expires_at"]),
    )
    return User(
        id=me.person_id,
        email=me.row["email"],
        username=me.row["username"] or None,
        email_verified=me.row["email_verified_at"] is not None,
        profile=as_value(services.profile, me.row["profile"]),
        roles=me.roles,
        tenant=tenant,
        session=session,
        permissions=access.found_with(services, me),
    )


def _instant(value: int) -> datetime:
    return datetime.fromtimestamp(value / SECOND, UTC)


def may(services: Callable[[], Services], who: Finder, permission: str) -> Guard:
    """A guard that requires a permission; a refusal is recorded as an audit event. `services` is called for each
    request, because a Passgate that is closed and started again has new ones. Raises ValueError for an unknown
    permission."""
    if permission not in known(services().permissions):
        raise ValueError(f"there is no permission {permission!r}: name your own in Passgate(permissions={{…}})")

    async def allowed(ctx: Ctx, user: User) -> None:
        if not user.may(permission):
            await access.refused(ctx, permission=permission)
            raise PermissionMissing

    return _on(services, who, allowed)


def fresh(services: Callable[[], Services], who: Finder, seconds: int, acr: str | None = None) -> Guard:
    """A guard that requires a fresh proof, as our own endpoints do: of the user's own level, or of `acr` if that is the
    higher one."""
    if seconds <= 0:
        raise ValueError("the age of a proof must be at least a minute")
    if acr is not None and acr not in LEVELS:
        raise ValueError(f"there is no level {acr!r}")

    async def proved(ctx: Ctx, _user: User) -> None:
        await account.fresh(ctx, seconds=seconds, acr=acr or AAL1)

    return _on(services, who, proved)


def _on(services: Callable[[], Services], who: Finder, check: Callable[[Ctx, User], Awaitable[None]]) -> Guard:
    """A guard that runs `check` on the user whom `who` finds, or on the one with whom it is called by hand."""
    found = Depends(who)

    async def guard(request: HTTPConnection, user: Any = found) -> User:
        ctx = context_of(services(), request)
        is_theirs = isinstance(ctx.principal, Person) and user is not found and ctx.person.session_id == user.session.id
        if not is_theirs:  # a guard has found them, or this one; not an older request
            raise TypeError("a guard that is called by hand takes a request and the user of that request")
        with ending(request):
            await check(ctx, user)
        return user  # type: ignore[no-any-return]

    return guard


# -- the host's own program ------------------------------------------------------------------------


def answer_refusals(app: FastAPI) -> None:
    """Render the errors of our guards as problem documents, unless the host has its own handler for PassgateError."""
    if PassgateError not in app.exception_handlers:
        app.add_exception_handler(PassgateError, _refused)  # type: ignore[arg-type]  # for both kinds


async def _refused(request: Request | WebSocket, error: Exception) -> Response | None:
    """On a WebSocket, open or not, the answer is its end: an operation that was called for it (`gate.at`) raised."""
    if not isinstance(error, PassgateError):
        raise error
    if isinstance(request, WebSocket):
        await request.close(*_close_code(error))
        return None
    ctx = request.scope.get(CTX)
    request_id = ctx.request_id if isinstance(ctx, Ctx) else ""
    answer = render(error, request_id)
    answer.headers["cache-control"] = "no-store"
    if request_id:
        answer.headers["x-request-id"] = request_id
    return answer


def bring_answer(scope: Scope) -> None:
    """Let the application that serves this request answer our refusals as `_refused` does, if it has no handler of its
    own. A mounted application has handlers of its own and none of its host's, and nothing but a request that comes
    through it says that it is there: it may be wrapped in anything. What a route raises is looked up in the table that
    the framework puts into the scope."""
    handlers, _ = scope.get(_HANDLERS, ({}, {}))
    handlers.setdefault(PassgateError, _refused)


def unguarded(app: FastAPI, marks: tuple[object, ...]) -> list[str]:
    """The host's routes without any of our guards, as `GET /path`, those of mounted applications included; a mount that
    cannot be looked into is listed itself. The framework's OpenAPI and documentation routes are left out."""
    return sorted(_unguarded(app, "", marks))


def _unguarded(app: Any, at: str, marks: tuple[object, ...]) -> Iterator[str]:
    described = {getattr(app, name, None) for name in _DESCRIBED}
    for context in iter_route_contexts(app.routes):
        route: BaseRoute = context.original_route
        if isinstance(route, MountedEndpoints) or context.path in described:
            continue
        if isinstance(route, Mount | Host) and route.routes:
            inner = at + (route.path if isinstance(route, Mount) else "")
            yield from _unguarded(route.app if hasattr(route.app, "routes") else route, inner, marks)
            continue
        if isinstance(route, APIRoute | APIWebSocketRoute) and depends_on(context.dependant, marks):
            continue
        is_socket = isinstance(route, WebSocketRoute)
        methods = ["WEBSOCKET"] if is_socket else getattr(context, "methods", None) or [type(route).__name__]
        yield from (f"{method} {at}{context.path}" for method in methods)


def depends_on(dependant: Dependant, marks: tuple[object, ...]) -> bool:
    """Whether a route has one of these dependencies, however deep."""
    return dependant.call in marks or any(depends_on(below, marks) for below in dependant.dependencies)
