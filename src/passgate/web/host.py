"""What a host program's own routes may ask of Passgate: who is asking, may they, was it proved lately.

The host's routes never pass our edge, so a Ctx is made here; what makes a session live is decided in `core.sessions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.responses import Response
from starlette.routing import BaseRoute

from passgate.core import access, sessions
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Services
from passgate.core.events import Event
from passgate.core.policy import is_at_least
from passgate.core.profile import as_value
from passgate.core.rules import AAL1, LEVELS
from passgate.core.sessions import Found
from passgate.errors import PassgateError, PermissionMissing, StepUpNeeded
from passgate.web import guards
from passgate.web.mount import MountedEndpoints
from passgate.web.origin import Asking
from passgate.web.problems import render
from passgate.world import SECOND

_CTX = "passgate.ctx"


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Session:
    """`auth_time` is when the person last proved who they are; `amr` how (RFC 8176), `acr` how well."""

    id: str
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking. `profile` is an instance of the model given to Passgate, a dict where none was given; None where
    what is kept does not fit the model."""

    id: str
    email: str
    email_verified: bool
    profile: Any
    roles: tuple[str, ...]
    tenant: Tenant
    session: Session
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What the host's `claims=` says of this user, worked out anew at each request. (Tokens will carry the same.)"""

    def may(self, permission: str) -> bool:
        return access.may(self.roles, permission)


Guard = Callable[..., Awaitable[User]]
Claims = Callable[[User], Mapping[str, Any]]


def asking(services: Services, request: Request) -> Ctx:
    """One for each request, so that all that is refused and noted of it has one id. Ours lies in the scope under a name
    of our own: `request.state` is the host's."""
    found = request.scope.get(_CTX)
    if not isinstance(found, Ctx) or found.services is not services:
        found = request.scope[_CTX] = Asking(services).ctx(request.scope)
    return found


async def user(services: Services, request: Request) -> User:
    """Whoever carries a live session, by bearer or by cookie; use keeps it alive."""
    ctx = asking(services, request)
    found = await guards.live(ctx, request)
    await sessions.touch(ctx, found)
    request.scope[_CTX] = ctx.acting(found.actor)
    return _user(services, found)


def with_claims(who: User, claims: Claims | None) -> User:
    return replace(who, claims=MappingProxyType(dict(claims(who)))) if claims else who


def _user(services: Services, found: Found) -> User:
    actor = found.actor
    tenant = Tenant(actor.tenant_id, found.of("name"), found.of("display_name"))
    session = Session(
        actor.session_id,
        actor.acr,
        actor.amr,
        _instant(actor.auth_time),
        _instant(found.of("created_at")),
        _instant(found.of("expires_at")),
    )
    return User(
        id=actor.person_id,
        email=found.of("email"),
        email_verified=found.of("email_verified_at") is not None,
        profile=as_value(services.profile, found.of("profile")),
        roles=found.roles,
        tenant=tenant,
        session=session,
    )


def _instant(value: int) -> datetime:
    return datetime.fromtimestamp(value / SECOND, UTC)


def may(services: Callable[[], Services], who: Guard, permission: str) -> Guard:
    """`services` is asked at the request: a gate that was closed and runs again has another."""
    if not any(permission in given for given in access.ROLES.values()):
        raise ValueError(f"no role has the permission {permission!r}")

    async def allowed(request: Request, user: Any) -> User:
        if not user.may(permission):
            ctx = asking(services(), request)
            async with ctx.write() as db:
                await record(ctx, db, Event.ACCESS_REFUSED, permission=permission)
            raise PermissionMissing
        return user  # type: ignore[no-any-return]

    return _on(who, allowed)


def fresh(services: Callable[[], Services], who: Guard, seconds: int, acr: str | None = None) -> Guard:
    if seconds <= 0:
        raise ValueError("a proof takes some time: ask for a minute or more")
    if acr is not None and acr not in LEVELS:
        raise ValueError(f"no level is called {acr!r}")

    async def proved(request: Request, user: Any) -> User:
        now = asking(services(), request).now()
        is_old = now - user.session.auth_time.timestamp() * SECOND > seconds * SECOND
        if is_old or not is_at_least(user.session.acr, acr or AAL1):
            raise StepUpNeeded(acr or user.session.acr, seconds)
        return user  # type: ignore[no-any-return]

    return _on(who, proved)


def _on(who: Guard, check: Callable[[Request, Any], Awaitable[User]]) -> Guard:
    """A guard that rests on another one."""
    found = Depends(who)

    async def guard(request: Request, user: Any = found) -> User:
        return await check(request, user)

    return guard


# -- the host's own program ------------------------------------------------------------------------


def answer_refusals(app: FastAPI) -> None:
    """Problem documents for what our guards refuse, unless the host answers that itself."""
    if PassgateError not in app.exception_handlers:
        app.add_exception_handler(PassgateError, _refused)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, PassgateError):
        raise error
    ctx = request.scope.get(_CTX)
    request_id = ctx.request_id if isinstance(ctx, Ctx) else ""
    answer = render(error, request_id)
    answer.headers["cache-control"] = "no-store"
    if request_id:
        answer.headers["x-request-id"] = request_id
    return answer


def unguarded(app: FastAPI, marks: tuple[object, ...]) -> list[str]:
    """The host's routes that name none of our guards, as `GET /path`. Its own /docs are left out."""
    described = {app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url}
    return sorted(
        name
        for context in iter_route_contexts(app.routes)
        if not isinstance(context.original_route, MountedEndpoints)
        and context.path not in described
        and not (_dependant(context) and _names(context.dependant, marks))
        for name in _named(context)
    )


def _dependant(context: Any) -> bool:
    return isinstance(context.original_route, (APIRoute, APIWebSocketRoute))


def _names(dependant: Dependant, marks: tuple[object, ...]) -> bool:
    return dependant.call in marks or any(_names(below, marks) for below in dependant.dependencies)


def _named(context: Any) -> Iterator[str]:
    route: BaseRoute = context.original_route
    methods = getattr(context, "methods", None) or {type(route).__name__}
    return (f"{method} {context.path}" for method in sorted(methods))
