"""Who may pass an endpoint: every route names exactly one of these. A route without one fails an architecture test.

Guards only say who is asking; what they may do is decided in `core`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.datastructures import Headers

from passgate.core import pending, sessions, signin
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.pending import SignIn
from passgate.core.sessions import Found
from passgate.errors import CredentialInvalid, CredentialMissing, CsrfRefused, HandleInvalid, SessionEnded
from passgate.web import body, cookies, csrf

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
    """The live session a request carries: the one rule for our endpoints and for a host's own routes."""
    secret, by_cookie = carried(ctx, request.headers)
    found = await sessions.find(ctx, secret)
    if by_cookie and request.method not in csrf.SAFE:
        await _refuse_foreign(ctx.acting(found.actor), request, found.actor.session_id)
    return found


async def _refuse_foreign(ctx: Ctx, request: Request, bound_to: str | None, given: str | None = None) -> None:
    """A page elsewhere that spends a person's cookie is worth a row in the trail. `given`: a form's csrf_token."""
    try:
        csrf.check(ctx, request.headers, bound_to, given)
    except CsrfRefused:
        async with ctx.write() as db:
            await record(ctx, db, Event.ACCESS_REFUSED, reason=CsrfRefused.code)
        raise


async def stranger() -> None:
    """Anybody. Written down, so that an endpoint that forgot its guard cannot look like one that needs none."""


async def handle(request: Request, _doc: Annotated[object, Security(_handle_bearer)]) -> str:
    """Whoever carries a pending sign-in's handle."""
    try:
        given = bearer(request.headers)
    except CredentialInvalid:
        raise HandleInvalid from None
    if given is None:
        raise HandleInvalid
    return given


ByBearer = Annotated[object, Security(session_bearer)]
ByCookie = Annotated[object, Security(session_cookie)]


async def peek(request: Request, _bearer: ByBearer = None, _cookie: ByCookie = None) -> Found:
    """Whoever carries a live session, not slid by this. By cookie, an unsafe method must come from our own pages."""
    return await live(ctx_of(request), request)


async def session(request: Request, found: Annotated[Found, Depends(peek)]) -> Found:
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
    """The edge lets nobody but this machine's own browser near these endpoints, and only in development."""


# -- pages -----------------------------------------------------------------------------------------


class Elsewhere(Exception):
    """Not here: the browser is sent on with a GET (303)."""

    def __init__(self, path: str, *set_cookies: str) -> None:
        super().__init__(path)
        self.path, self.set_cookies = path, set_cookies


BINDING = "pg_pre_"
"""What the sign-in cookie holds before a sign-in runs: something of ours that a form can be bound to."""


@dataclass(frozen=True, slots=True)
class AnonymousVisitor:
    """Whoever looks at a page before there is a session. `binding`: the cookie that forms are bound to."""

    binding: str
    is_new: bool
    form: dict[str, str]


@dataclass(frozen=True, slots=True)
class PendingVisitor:
    """Whoever is half signed in: the cookie holds the handle of a pending sign-in."""

    anonymous: AnonymousVisitor
    sign_in: SignIn

    @property
    def handle(self) -> str:
        return self.anonymous.binding


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, read strictly; empty for a GET."""
    return {} if request.method in csrf.SAFE else body.decode_pairs(await request.body())


async def anonymous_visitor(request: Request) -> AnonymousVisitor:
    """Anybody, on a page of our own: an unsafe method must come from one, bound to the sign-in cookie."""
    ctx = ctx_of(request)
    value = cookies.read(request.headers.raw, cookies.signin_name(ctx.settings))
    known = value if value and any(ctx.ring.presented(kind, value) for kind in (BINDING, pending.PREFIX)) else None
    form = await form_of(request)
    if request.method not in csrf.SAFE:
        await _refuse_foreign(ctx, request, known, form.get("csrf_token"))
    return AnonymousVisitor(known or ctx.ring.mint(BINDING).token, known is None, form)


async def pending_visitor(
    request: Request, found: Annotated[AnonymousVisitor, Depends(anonymous_visitor)]
) -> PendingVisitor:
    """Whoever is half signed in. Without a pending sign-in a look leads to its beginning."""
    try:
        return PendingVisitor(found, await signin.find(ctx_of(request), found.binding))
    except HandleInvalid:
        if request.method in csrf.SAFE:
            raise Elsewhere("/signin") from None
        raise


async def visitor(request: Request) -> Found:
    """Whoever is signed in, by cookie; everybody else is led to the sign-in page. An unsafe method must come from our
    own pages."""
    ctx = ctx_of(request)
    value = cookies.read(request.headers.raw, cookies.session_name(ctx.settings))
    form = await form_of(request)
    try:
        found = await sessions.find(ctx, value or "")
    except (CredentialInvalid, SessionEnded):
        back = request.url.path if request.method in csrf.SAFE else "/account"
        raise Elsewhere(f"/signin?return_to={quote(back, safe='')}", cookies.clear_session(ctx.settings)) from None
    if request.method not in csrf.SAFE:
        await _refuse_foreign(ctx.acting(found.actor), request, found.actor.session_id, form.get("csrf_token"))
    await sessions.touch(ctx, found)
    request.state.form = form
    return found


async def link(request: Request) -> str:
    """Whoever opened a mailed link in this browser: what it carried, empty without. An unsafe method must come from our
    own pages, bound to it."""
    ctx = ctx_of(request)
    value = cookies.read(request.headers.raw, cookies.link_name(ctx.settings)) or ""
    if request.method not in csrf.SAFE:
        await _refuse_foreign(ctx, request, value or None, (await form_of(request)).get("csrf_token"))
    return value


GUARDS = (stranger, handle, peek, session, operator, developer, anonymous_visitor, pending_visitor, visitor, link)

Context = Annotated[Ctx, Depends(context)]
Handle = Annotated[str, Depends(handle)]
Peek = Annotated[Found, Depends(peek)]
Session = Annotated[Found, Depends(session)]
Operator = Annotated[bool, Depends(operator)]
Anonymous = Annotated[AnonymousVisitor, Depends(anonymous_visitor)]
Pending = Annotated[PendingVisitor, Depends(pending_visitor)]
Visitor = Annotated[Found, Depends(visitor)]
Link = Annotated[str, Depends(link)]
