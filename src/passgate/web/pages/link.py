"""The pages behind mailed links: one signs in, one stops a recovery. Opening a link changes nothing; only its form
does.

Not here: the rules, which are in `core.links` and `core.recovery`.
"""

from __future__ import annotations

from fastapi import Depends, Request
from starlette.responses import Response

from passgate.core import links, mailed_link, recovery, starts
from passgate.core.ctx import Ctx
from passgate.core.factors import password
from passgate.errors import HandleInvalid, Invalid, PassgateError
from passgate.web import cookies, guards, routes
from passgate.web.guards import Context, Link
from passgate.web.pages.form import Error, fields, form
from passgate.web.pages.page import go, service_name, show, tenant_of
from passgate.web.pages.steps import begun

router = routes.pages()

IN = "/signin/link"
STOP = "/recover/stop"


def redirect_without_token(ctx: Ctx, kinds: tuple[str, ...], token: str, path: str) -> Response:
    """Move the token of a link into a short-lived cookie and redirect, so that it leaves the address bar and the
    history. An invalid token clears the cookie of an earlier link."""
    is_ours = any(ctx.ring.presented(kind, token) is not None for kind in kinds)
    return go(ctx, path, cookies.set_link(ctx.settings, token) if is_ours else cookies.clear_link(ctx.settings))


# -- signing in ------------------------------------------------------------------------------------


@router.get(f"{IN}/{{token}}", dependencies=[Depends(guards.stranger)])
async def follow(ctx: Context, token: str) -> Response:
    """Opens a sign-in link: moves its token to a short-lived cookie and changes nothing."""
    return redirect_without_token(ctx, (links.PREFIX, mailed_link.PREFIX), token, IN)


@router.get(IN)
async def ask(request: Request, ctx: Context, link: Link, error: Error = None) -> Response:
    """Asks whether to sign in or to recover the account."""
    is_open, whose, purpose = True, "", None
    try:
        if link.startswith(mailed_link.PREFIX):
            ticket = await mailed_link.find(ctx, link)
            purpose, whose = mailed_link.purpose(ctx, ticket), await links.whose(ctx, ticket, ticket["person_id"])
        else:
            ticket = await links.find(ctx, link)
            whose = await links.whose(ctx, ticket, ticket["bound_to"])
    except PassgateError as over:
        is_open, error = False, error or over
    tenant = await tenant_of(ctx)
    return show(
        request,
        "signin-link",
        service=tenant.display_name,
        bound_to=link,
        error=error,
        is_open=is_open,
        whose=whose,
        purpose=purpose,
        by_password=password.name in tenant.rules.first,
    )


@router.post(IN)
@form(ask)
async def enter(request: Request, ctx: Context, link: Link) -> Response:
    """Uses the link and continues with the next step."""
    decision = fields(request, "decision")["decision"]
    if decision not in ("signin", "recover"):
        raise Invalid({"decision": "value"})
    started = await starts.by_link(ctx, link, is_recovery=decision == "recover")
    return await begun(ctx, started, cookies.clear_link(ctx.settings))


# -- stopping --------------------------------------------------------------------------------------


@router.get(f"{STOP}/{{token}}", dependencies=[Depends(guards.stranger)])
async def follow_stop(ctx: Context, token: str) -> Response:
    """Opens an emailed link: moves its token to a short-lived cookie and changes nothing."""
    return redirect_without_token(ctx, (recovery.STOP,), token, STOP)


@router.get(STOP)
async def ask_stop(request: Request, ctx: Context, link: Link, error: Error = None) -> Response:
    """Asks whether to stop the request, and confirms it afterwards."""
    is_open = await recovery.find_stop(ctx, link) is not None
    is_done = not link and request.query_params.get("done") == "stopped"
    if not is_open and not is_done and error is None:
        error = HandleInvalid()
    return show(
        request,
        "recover-stop",
        service=await service_name(ctx),
        bound_to=link,
        error=error,
        is_open=is_open,
        is_done=is_done,
    )


@router.post(STOP)
@form(ask_stop)
async def stop(request: Request, ctx: Context, link: Link) -> Response:
    """Stops the request."""
    fields(request)
    await recovery.stop(ctx, link)
    return go(ctx, f"{STOP}?done=stopped", cookies.clear_link(ctx.settings))
