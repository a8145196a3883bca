"""Guards: the FastAPI dependencies that authenticate a request. Every route names exactly one, which a test enforces.

Not here: authorization. `core` decides what an authenticated principal may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from passgate.core import access, carriers, pending, session_lives, signin
from passgate.core import ctx as principals
from passgate.core.ctx import Ctx, Person
from passgate.core.pending import SignIn
from passgate.errors import (
    CredentialInvalid,
    CredentialMissing,
    CsrfRefused,
    HandleInvalid,
    SessionEnded,
    SessionSuperseded,
    StepUpNeeded,
)
from passgate.web import cookies, csrf
from passgate.wire import body


class _Bearer(HTTPBearer):
    """For the document alone, as is the cookie: the credential itself is read by `carried`. The framework's own take no
    WebSocket."""

    async def __call__(self) -> None:  # type: ignore[override]
        return None


class _Cookie(APIKeyCookie):
    async def __call__(self) -> None:  # type: ignore[override]
        return None


session_bearer = _Bearer(
    scheme_name="session", description="A session's token, `pg_ses_…`, or an access token", auto_error=False
)
session_cookie = _Cookie(name="__Host-passgate_session", scheme_name="session_cookie", auto_error=False)
_handle_bearer = HTTPBearer(scheme_name="handle", description="A sign-in's handle, `pg_sin_…`", auto_error=False)


def ctx_of(request: Request) -> Ctx:
    return cast("Ctx", request.state.ctx)


async def context(request: Request) -> Ctx:
    """`ctx_of` as a coroutine: FastAPI would run a plain function in a thread."""
    return ctx_of(request)


def bearer(headers: Headers) -> str | None:
    """The bearer token of the Authorization header (RFC 6750 §2.1), or None without the header. Raises
    CredentialInvalid if the header is repeated, uses another scheme or has no token."""
    fields = headers.getlist("authorization")
    if not fields:
        return None
    scheme, _, token = fields[0].partition(" ")
    if len(fields) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise CredentialInvalid
    return token.strip()


def carried(ctx: Ctx, headers: Headers) -> tuple[str, bool]:
    """The session token, and whether it came from the cookie. If there is an Authorization header, the cookie is
    ignored. Raises CredentialMissing without either, CredentialInvalid for a malformed one."""
    if (token := bearer(headers)) is not None:
        return token, False
    value = cookies.read(headers.raw, cookies.session_name(ctx.settings))
    if value is None:
        raise CredentialMissing
    return value, True


def is_safe(request: HTTPConnection) -> bool:
    """Whether the request may come from any site. A WebSocket may not: the browser sends the cookie with it, and lets
    the page that opens it read all answers."""
    return request.scope.get("method") in csrf.SAFE


async def live(ctx: Ctx, request: HTTPConnection, *, at_any_level: bool = False) -> Ctx:
    """The context of a request in which the person of its live session acts, for our endpoints and a host's own routes.
    With the cookie, an unsafe method or a WebSocket must pass the CSRF check. Raises CredentialMissing,
    CredentialInvalid, SessionEnded, CsrfRefused, or StepUpNeeded for a session that the tenant's rules no longer
    accept, unless `at_any_level`."""
    secret, by_cookie = carried(ctx, request.headers)
    acting = await carriers.acting(ctx, secret, by_cookie=by_cookie, at_any_level=at_any_level)
    if by_cookie:
        await _refuse_foreign(acting, request, acting.person.session_id)
    return acting


async def anybody(ctx: Ctx, request: HTTPConnection) -> Ctx:
    """The same for a request that is served in any case: a stranger acts if `live` would refuse it, which is not
    recorded."""
    try:
        secret, by_cookie = carried(ctx, request.headers)
        acting = await carriers.acting(ctx, secret, by_cookie=by_cookie)
        if by_cookie and not is_safe(request):
            csrf.check(acting, request.headers, acting.person.session_id)
    except (CredentialMissing, CredentialInvalid, SessionEnded, StepUpNeeded, CsrfRefused):
        return ctx
    return acting


async def present_or_nobody(ctx: Ctx, request: HTTPConnection) -> Ctx | None:
    """Like `live`, and None without a credential, or with a cookie that opens nothing (any more): browsers send that
    one by themselves, and its owner is to see what everybody sees. A token is sent on purpose, so a refused one is an
    error, and so is the cookie of somebody who is signed in, on a request from elsewhere."""
    by_token = "authorization" in request.headers
    try:
        return await live(ctx, request)
    except (CredentialMissing, CredentialInvalid, SessionEnded, StepUpNeeded):
        if by_token:
            raise
        return None


async def _refuse_foreign(ctx: Ctx, request: HTTPConnection, bound_to: str | None, *, form: bool = False) -> None:
    """Run the CSRF check on an unsafe request, and record a failure as an audit event. `form`: the token may be its
    field `csrf_token`."""
    if is_safe(request):
        return
    try:
        csrf.check(ctx, request.headers, bound_to, _token_of(request) if form else None)
    except CsrfRefused:
        await access.refused(ctx, reason=CsrfRefused.code)
        raise


async def stranger() -> None:
    """Anonymous access. It is explicit, so that an endpoint without a guard cannot be mistaken for a public one."""


async def handle(request: Request, _doc: Annotated[object, Security(_handle_bearer)]) -> str:
    """The handle of a pending sign-in as bearer token. Raises HandleInvalid if the header is missing or malformed."""
    try:
        given = bearer(request.headers)
    except CredentialInvalid:
        raise HandleInvalid from None
    if given is None:
        raise HandleInvalid
    return given


ByBearer = Annotated[object, Security(session_bearer)]
ByCookie = Annotated[object, Security(session_cookie)]


async def peek(request: Request, _bearer: ByBearer = None, _cookie: ByCookie = None) -> Ctx:
    """A live session, by bearer token or cookie. Does not extend its idle timeout. With the cookie, an unsafe method
    must pass the CSRF check. An operator in this process needs none."""
    ctx = ctx_of(request)
    return ctx if _is_operator(ctx) else await live(ctx, request)


def _is_operator(ctx: Ctx) -> bool:
    """No request over the network makes such a context: the edge makes strangers only (`web.origin`)."""
    return isinstance(ctx.principal, principals.Operator)


async def session(acting: Annotated[Ctx, Depends(peek)]) -> Ctx:
    """Like `peek`, and extends the idle timeout of the session."""
    if not _is_operator(acting):
        await session_lives.touch(acting)
    return acting


async def leaving(request: Request, _bearer: ByBearer = None, _cookie: ByCookie = None) -> Ctx:
    """Like `peek`, for signing out: a session that the tenant's rules no longer accept will do."""
    return await live(ctx_of(request), request, at_any_level=True)


async def operator(request: Request) -> bool:
    """Anonymous access. Returns True for a request from loopback or with the metrics token, and for an operator in this
    process; the answer then includes the names of components."""
    ctx = ctx_of(request)
    if ctx.origin.is_loopback or _is_operator(ctx):
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
    """Development only. The edge middleware answers 404 to any request that does not come from a browser on this
    machine."""


# -- pages -----------------------------------------------------------------------------------------


class RedirectTo(Exception):
    """Redirects the browser to another of our pages with 303."""

    def __init__(self, path: str, *set_cookies: str) -> None:
        super().__init__(path)
        self.path, self.set_cookies = path, set_cookies


BINDING = "pg_pre_"
"""Prefix of the sign-in cookie's value while there is no pending sign-in: a random token to bind forms to."""


@dataclass(frozen=True, slots=True)
class AnonymousVisitor:
    """The visitor of a page that needs no session. `binding` is the value of the sign-in cookie, which CSRF tokens are
    bound to; `is_new` means that the response has to set it."""

    binding: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class PendingVisitor:
    """A visitor with a pending sign-in, whose handle is the value of the sign-in cookie."""

    anonymous: AnonymousVisitor
    sign_in: SignIn

    @property
    def handle(self) -> str:
        return self.anonymous.binding


def form_of(request: HTTPConnection) -> dict[str, str]:
    """The fields of a submitted form, which the edge has decoded; empty for a safe method."""
    return {} if is_safe(request) else request.scope[body.DECODED]


def _token_of(request: HTTPConnection) -> str:
    return form_of(request).get("csrf_token", "")


async def anonymous_visitor(request: Request) -> AnonymousVisitor:
    """Any visitor of a hosted page. An unsafe method must pass the CSRF check; its token is bound to the sign-in
    cookie."""
    ctx = ctx_of(request)
    value = cookies.sent_once(request.headers.raw, cookies.signin_name(ctx.settings))
    known = value if value and any(ctx.ring.presented(kind, value) for kind in (BINDING, pending.PREFIX)) else None
    await _refuse_foreign(ctx, request, known, form=True)
    return AnonymousVisitor(known or ctx.ring.mint(BINDING).token, known is None)


async def present(request: Request) -> Person | None:
    """The person of this browser's live session, if any. Does not extend its idle timeout."""
    ctx = ctx_of(request)
    try:
        value = cookies.read(request.headers.raw, cookies.session_name(ctx.settings))
        return (await carriers.acting(ctx, value, by_cookie=True, at_any_level=True)).person if value else None
    except (CredentialInvalid, SessionEnded):
        return None


async def pending_visitor(
    request: Request, found: Annotated[AnonymousVisitor, Depends(anonymous_visitor)]
) -> PendingVisitor:
    """A visitor with a pending sign-in. Without one, a safe method redirects to `/signin`, and so does an unsafe one if
    the browser is signed in by now; else HandleInvalid is raised. An unsafe method must pass the CSRF check, and its
    form be for this very sign-in: that of another tab leads to where this one stands, and nothing in it is compared."""
    ctx = ctx_of(request)
    try:
        sign_in = await signin.find(ctx, found.binding)
    except HandleInvalid:
        if request.method in csrf.SAFE or await present(request) is not None:
            raise RedirectTo("/signin") from None  # which says who is signed in by now
        raise
    if not csrf.is_for(ctx, _token_of(request), sign_in.id):
        raise RedirectTo("/signin/password")  # which leads on, if something else is asked for
    return PendingVisitor(found, sign_in)


async def visitor(request: Request) -> Ctx:
    """A signed-in visitor, by session cookie; extends the idle timeout. Everybody else is redirected to `/signin`. An
    unsafe method must pass the CSRF check."""
    return await _visitor(request, at_any_level=False)


async def leaving_visitor(request: Request) -> Ctx:
    """Like `visitor`, for signing out and for confirming who one is: a session that the tenant's rules no longer accept
    will do."""
    return await _visitor(request, at_any_level=True)


async def _visitor(request: Request, *, at_any_level: bool) -> Ctx:
    ctx = ctx_of(request)
    try:
        value = cookies.read(request.headers.raw, cookies.session_name(ctx.settings))
        acting = await carriers.acting(ctx, value or "", by_cookie=True, at_any_level=at_any_level)
    except (CredentialInvalid, SessionEnded) as over:
        back = request.url.path if request.method in csrf.SAFE else "/account"
        # A newer secret of the same session may be in the browser by now.
        gone = () if isinstance(over, SessionSuperseded) else (cookies.clear_session(ctx.settings),)
        where = "" if back == "/" else f"?return_to={quote(back, safe='')}"
        raise RedirectTo(f"/signin{where}", *gone) from None
    await _refuse_foreign(acting, request, acting.person.session_id, form=True)
    await session_lives.touch(acting)
    return acting


async def link(request: Request) -> str:
    """The token of a mailed link that was opened in this browser, from the link cookie; empty without one. An unsafe
    method must pass the CSRF check; its token is bound to that cookie."""
    ctx = ctx_of(request)
    value = cookies.sent_once(request.headers.raw, cookies.link_name(ctx.settings))
    await _refuse_foreign(ctx, request, value or None, form=True)
    return value


GUARDS = (
    stranger,
    handle,
    peek,
    session,
    leaving,
    operator,
    developer,
    anonymous_visitor,
    pending_visitor,
    visitor,
    leaving_visitor,
    link,
)

Context = Annotated[Ctx, Depends(context)]
Handle = Annotated[str, Depends(handle)]
Peek = Annotated[Ctx, Depends(peek)]
Session = Annotated[Ctx, Depends(session)]
Leaving = Annotated[Ctx, Depends(leaving)]
Operator = Annotated[bool, Depends(operator)]
Anonymous = Annotated[AnonymousVisitor, Depends(anonymous_visitor)]
Pending = Annotated[PendingVisitor, Depends(pending_visitor)]
Visitor = Annotated[Ctx, Depends(visitor)]
LeavingVisitor = Annotated[Ctx, Depends(leaving_visitor)]
Link = Annotated[str, Depends(link)]
