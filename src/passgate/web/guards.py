"""Who may pass a door: every route names exactly one of these. A route without one fails a house test.

Guards only say who is asking; what they may do is decided in `core`.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.datastructures import Headers

from passgate.core import sessions
from passgate.core.ctx import Ctx
from passgate.core.sessions import Found
from passgate.errors import CredentialInvalid, CredentialMissing, HandleInvalid
from passgate.web import cookies, csrf

session_bearer = HTTPBearer(scheme_name="session", description="A session's token, `pg_ses_…`", auto_error=False)
session_cookie = APIKeyCookie(name="__Host-passgate_session", scheme_name="session_cookie", auto_error=False)
_handle_bearer = HTTPBearer(scheme_name="handle", description="A sign-in's handle, `pg_sin_…`", auto_error=False)


def ctx_of(request: Request) -> Ctx:
    return cast("Ctx", request.state.ctx)


async def context(request: Request) -> Ctx:
    """`ctx_of` for the framework, which would hand a plain function to a thread."""
    return ctx_of(request)


def bearer(headers: Headers) -> str | None:
    """The one bearer token (RFC 6750 §2.1), None without the field, CredentialInvalid for anything in between."""
    fields = headers.getlist("authorization")
    if not fields:
        return None
    scheme, _, token = fields[0].partition(" ")
    if len(fields) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise CredentialInvalid
    return token.strip()


def carried(ctx: Ctx, headers: Headers) -> tuple[str, bool]:
    """A session's secret, and whether it came by cookie. An Authorization field decides alone, right or wrong."""
    if (token := bearer(headers)) is not None:
        return token, False
    value = cookies.read(headers.raw, cookies.session_name(ctx.settings))
    if value is None:
        raise CredentialMissing
    return value, True


async def live(ctx: Ctx, request: Request) -> Found:
    """The live session a request carries: the one rule for our doors and for a host's own routes."""
    secret, by_cookie = carried(ctx, request.headers)
    found = await sessions.find(ctx, secret)
    if by_cookie and request.method not in csrf.SAFE:
        csrf.check(ctx, request.headers, found.actor.session_id)
    return found


async def stranger() -> None:
    """Anybody. Written down, so that a door that forgot its guard cannot look like one that needs none."""


async def handle(request: Request, _doc: Annotated[object, Security(_handle_bearer)]) -> str:
    """Whoever carries a running sign-in's handle."""
    try:
        given = bearer(request.headers)
    except CredentialInvalid:
        raise HandleInvalid from None
    if given is None:
        raise HandleInvalid
    return given


ByBearer = Annotated[object, Security(session_bearer)]
ByCookie = Annotated[object, Security(session_cookie)]


async def look(request: Request, _bearer: ByBearer = None, _cookie: ByCookie = None) -> Found:
    """Whoever carries a live session, not slid by this. By cookie, an unsafe method must come from our own pages."""
    return await live(ctx_of(request), request)


async def session(request: Request, found: Annotated[Found, Depends(look)]) -> Found:
    """The same, and use slides its idle end."""
    await sessions.touch(ctx_of(request), found)
    return found


async def operator(request: Request) -> bool:
    """Anybody gets the plain answer; True for loopback or the metrics token, who get the names too."""
    ctx = ctx_of(request)
    if ctx.origin.is_loopback:
        return True
    token = ctx.settings.metrics.token
    try:
        given = bearer(request.headers)
    except CredentialInvalid:
        return False
    if token is None or given is None:
        return False
    return ctx.ring.check("metrics", given.encode(), ctx.ring.mac("metrics", token.get_secret_value().encode()))


async def developer() -> None:
    """The edge lets nobody but this machine's own browser near these doors, and only in development."""


GUARDS = (stranger, handle, look, session, operator, developer)

Context = Annotated[Ctx, Depends(context)]
Handle = Annotated[str, Depends(handle)]
Look = Annotated[Found, Depends(look)]
Session = Annotated[Found, Depends(session)]
Operator = Annotated[bool, Depends(operator)]
