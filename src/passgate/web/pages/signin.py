"""Signing in on pages: whose account, then factor by factor, until a session cookie is set. Signing out.

What is asked for is decided in `core.signin`; the running sign-in's handle travels in a cookie, never in a page.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from passgate.core import account, people, running, sessions, signin
from passgate.core.ctx import Ctx
from passgate.core.policy import Enough, Need
from passgate.core.sessions import Found
from passgate.errors import CredentialInvalid, FactorNotOffered, HandleInvalid, PassgateError, SessionEnded
from passgate.web import cookies, guards
from passgate.web.guards import AGuest, AHalf, Context, Elsewhere, Guest, Half, Visitor
from passgate.web.pages.page import fields, go, return_to, service_name, show, with_return

router = APIRouter(include_in_schema=False)

HOME = "/account"
PATHS = {"password": "/signin/password", "email_code": "/signin/email-code"}


def seated(ctx: Ctx, guest: Guest) -> tuple[str, ...]:
    """The cookie that a guest's forms are bound to, where there is none yet."""
    return (cookies.set_signin(ctx.settings, guest.seat),) if guest.is_new else ()


def begun(ctx: Ctx, started: signin.Started) -> Response:
    """On to the first factor, with the handle in its cookie."""
    return go(ctx, _next(started.need), cookies.set_signin(ctx.settings, started.handle))


def _next(need: Need) -> str:
    return next((PATHS[way[0]] for way in need.ways if way and way[0] in PATHS), "/signin")


async def present(request: Request, ctx: Ctx) -> Found | None:
    """The live session this browser has, if any; looking does not slide it."""
    try:
        value = cookies.read(request.headers.raw, cookies.session_name(ctx.settings))
        return await sessions.find(ctx, value) if value else None
    except (CredentialInvalid, SessionEnded):
        return None


async def typed_before(ctx: Ctx, guest: Guest) -> str:
    """The address of the sign-in that runs, so that nobody types it twice."""
    try:
        return (await running.find(ctx, guest.seat)).email
    except HandleInvalid:
        return ""


@router.api_route("/login", methods=["GET", "POST"], dependencies=[Depends(guards.stranger)])
async def login(request: Request, ctx: Context) -> Response:
    """Another name for /signin."""
    return RedirectResponse(ctx.house.at + with_return("/signin", return_to(request)), status_code=308)


@router.get("/signin")
async def look(request: Request, ctx: Context, guest: AGuest) -> Response:
    """Whose account is it?"""
    return await _begin_page(request, ctx, guest, await typed_before(ctx, guest))


@router.post("/signin")
async def begin(request: Request, ctx: Context, guest: AGuest) -> Response:
    """Begin to sign in with an address."""
    try:
        given = fields(guest.form, "email", optional=("tenant",))
        started = await signin.start(ctx, given["email"], given["tenant"] or None, return_to(request))
    except PassgateError as error:
        return await _begin_page(request, ctx, guest, guest.form.get("email", ""), error)
    return begun(ctx, started)


async def _begin_page(
    request: Request, ctx: Ctx, guest: Guest, email: str, error: PassgateError | None = None
) -> Response:
    back, found = return_to(request), await present(request, ctx)
    return show(
        request, "signin", service=await service_name(ctx), bound_to=guest.seat, error=error,
        set_cookies=seated(ctx, guest), email=email, action=with_return("/signin", back),
        signup=with_return("/signup", back), signed_in=found.of("email") if found else None,
    )  # fmt: skip


# -- factors ---------------------------------------------------------------------------------------


def _needed(half: Half, factor: str) -> Need:
    """What is asked for now, this factor among it; else on to the page that is."""
    decision = signin.decide(half.sign_in)
    if isinstance(decision, Need) and decision.offers(factor):
        return decision
    raise Elsewhere(_next(decision) if isinstance(decision, Need) else "/signin")


def _page(request: Request, half: Half, name: str, error: PassgateError | None = None, **more: Any) -> Response:
    running = half.sign_in
    return show(
        request, name, service=running.service, bound_to=half.guest.seat, error=error, purpose=running.purpose,
        email=running.email, shortest=running.rules.shortest_password, **more,
    )  # fmt: skip


async def _proved(ctx: Ctx, half: Half, factor: str, answer: str) -> Response:
    """Prove, and go on: to the next factor, or home with a session."""
    decision = await signin.prove(ctx, half.handle, factor, answer)
    if isinstance(decision, Need):
        return go(ctx, _next(decision))
    if not isinstance(decision, Enough):
        raise FactorNotOffered
    opened = (await signin.finish(ctx, half.handle)).opened
    settings = ctx.settings
    wanted = half.sign_in.data.get("return_to") or HOME
    return go(ctx, str(wanted), cookies.set_session(settings, opened.token), cookies.clear_signin(settings))


@router.get("/signin/password")
async def ask_password(request: Request, half: AHalf) -> Response:
    """Ask for the password, or for a new one."""
    need = _needed(half, "password")
    return _page(request, half, "new-password" if need.enrol else "signin-password")


@router.post("/signin/password")
async def password(request: Request, ctx: Context, half: AHalf) -> Response:
    """Prove the password, or set a new one."""
    need = _needed(half, "password")
    name, field = ("new-password", "new_password") if need.enrol else ("signin-password", "password")
    try:
        return await _proved(ctx, half, "password", fields(half.guest.form, field)[field])
    except HandleInvalid:
        raise
    except PassgateError as error:
        return _page(request, half, name, error)


@router.get("/signin/email-code")
async def ask_code(request: Request, ctx: Context, half: AHalf) -> Response:
    """Ask for the mailed code."""
    _needed(half, "email_code")
    return _code_page(request, ctx, half)


def _code_page(request: Request, ctx: Ctx, half: Half, error: PassgateError | None = None) -> Response:
    code = half.guest.form.get("code", "") if error else ""
    return _page(
        request, half, "signin-email-code", error, code=code, sent_to=people.hidden(half.sign_in.email),
        minutes=ctx.settings.mail.code_life // 60, again=request.query_params.get("again") == "1",
    )  # fmt: skip


@router.post("/signin/email-code")
async def code(request: Request, ctx: Context, half: AHalf) -> Response:
    """Prove the mailed code."""
    _needed(half, "email_code")
    try:
        return await _proved(ctx, half, "email_code", fields(half.guest.form, "code")["code"])
    except HandleInvalid:
        raise
    except PassgateError as error:
        return _code_page(request, ctx, half, error)


@router.post("/signin/email-code/again")
async def again(request: Request, ctx: Context, half: AHalf) -> Response:
    """Send another code; the older one dies."""
    _needed(half, "email_code")
    try:
        fields(half.guest.form)
        await signin.challenge(ctx, half.handle, "email_code")
    except HandleInvalid:
        raise
    except PassgateError as error:
        return _code_page(request, ctx, half, error)
    return go(ctx, "/signin/email-code?again=1")


# -- out -------------------------------------------------------------------------------------------


@router.get("/signout", dependencies=[Depends(guards.stranger)])
async def ask_out(request: Request, ctx: Context) -> Response:
    """Ask whether to end this session; without one, say that it is over."""
    found = await present(request, ctx)
    if found is None:
        return show(request, "signout", service=await service_name(ctx), email=None)
    bound_to, service = found.actor.session_id, found.of("display_name")
    return show(request, "signout", service=service, bound_to=bound_to, email=found.of("email"))


@router.post("/signout")
async def out(request: Request, ctx: Context, found: Visitor) -> Response:
    """End this session and clear its cookie."""
    fields(request.state.form)
    await account.end_session(ctx.acting(found.actor), found.actor, found.actor.session_id)
    return go(ctx, "/signout", cookies.clear_session(ctx.settings))
