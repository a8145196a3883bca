"""The pages that start a sign-in and that sign out.

Not here: what is asked for, which `core.signin` decides, and the pages of factors, which are in `prove` and `passkey`.
"""

from __future__ import annotations

from fastapi import Depends, Request
from starlette.responses import RedirectResponse, Response

from passgate.core import account, pending, starts
from passgate.core.ctx import Ctx
from passgate.core.factors import passkey
from passgate.errors import HandleInvalid
from passgate.web import cookies, guards, routes
from passgate.web.guards import Anonymous, AnonymousVisitor, Context, LeavingVisitor
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import OR_USERNAME, go, return_to, service_name, show, tenant_of, with_return
from passgate.web.pages.steps import begun, binding_cookies, browser_of

router = routes.pages()


async def typed_before(ctx: Ctx, visitor: AnonymousVisitor, *, or_username: bool = False) -> str:
    """The address of the pending sign-in, so that the form need not be filled in again; `or_username`: or the username
    that it began with."""
    try:
        found = await pending.find(ctx, visitor.binding)
    except HandleInvalid:
        return ""
    return found.identifier if or_username else found.email


@router.api_route("/login", methods=["GET", "POST"], dependencies=[Depends(guards.stranger)])
async def login(request: Request, ctx: Context) -> Response:
    """Redirects to /signin."""
    return RedirectResponse(ctx.site.path + with_return("/signin", return_to(request)), status_code=308)


@router.get("/signin")
async def show_page(request: Request, ctx: Context, visitor: Anonymous, error: Error = None) -> Response:
    """Asks for the email address, or the username where the tenant has them."""
    back, found, tenant = return_to(request), await guards.present(request), await tenant_of(ctx)
    has_usernames = tenant.rules.usernames != "off"
    return show(
        request,
        "signin",
        service=tenant.display_name,
        bound_to=visitor.binding,
        error=error,
        set_cookies=binding_cookies(ctx, visitor),
        email=typed(request, "email") if error else await typed_before(ctx, visitor, or_username=has_usernames),
        usernames=has_usernames,
        sayings=OR_USERNAME if has_usernames else {},
        action=with_return("/signin", back),
        signup=with_return("/signup", back),
        signed_in=found.row["email"] if found else None,
        passkeys=passkey.name in tenant.rules.first,
        by_address=any(ctx.factors[name].needs_address for name in tenant.rules.first),
        options=with_return("/signin/passkey/options", back),
    )


@router.post("/signin")
@form(show_page)
async def begin(request: Request, ctx: Context, visitor: Anonymous) -> Response:  # noqa: ARG001  its page takes it
    """Starts a sign-in with an email address or a username."""
    given, back = fields(request, "email", optional=("tenant",)), return_to(request)
    browser = browser_of(request, ctx)
    started = await starts.sign_in(ctx, given["email"], given["tenant"] or None, back, browser, or_username=True)
    return await begun(ctx, started)


# -- signing out -----------------------------------------------------------------------------------


@router.get("/signout", dependencies=[Depends(guards.stranger)])
async def ask_out(request: Request, ctx: Context) -> Response:
    """Asks to confirm signing out."""
    found = await guards.present(request)
    if found is None:
        return show(request, "signout", service=await service_name(ctx), email=None)
    bound_to, service = found.session_id, found.row["display_name"]
    return show(request, "signout", service=service, bound_to=bound_to, email=found.row["email"])


@router.post("/signout")
async def out(request: Request, ctx: LeavingVisitor) -> Response:
    """Signs out and clears the cookie."""
    fields(request)
    await account.end_session(ctx, ctx.person.session_id)
    return go(ctx, "/signout", cookies.clear_session(ctx.settings))
