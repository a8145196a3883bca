"""The pages that change an email address: the new address, its code, and the undo from the old address.

Not here: the rules, which are in `core.address`.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from passgate.core import address
from passgate.core.ctx import Ctx
from passgate.core.factors import email_code
from passgate.errors import HandleInvalid, PassgateError, StepUpNeeded
from passgate.web import cookies, guards
from passgate.web.guards import Context, Link, Visitor
from passgate.web.pages.account import is_fresh, page, step_up
from passgate.web.pages.page import fields, go, service_name, show

router = APIRouter(include_in_schema=False)

HERE = "/account/address"


@router.get(HERE)
async def ask(request: Request, ctx: Context, found: Visitor) -> Response:
    """Asks for a new email address, after a recent proof."""
    return page(request, "account-address", found, fresh=await is_fresh(ctx, found), new_email="")


@router.post(HERE)
async def start(request: Request, ctx: Context, found: Visitor) -> Response:
    """Emails a code to the new address."""
    try:
        given = fields(request.state.form, "email")
        await address.start(ctx.acting(found.actor), found.actor, given["email"])
    except StepUpNeeded:
        return await step_up(ctx, found, HERE)
    except PassgateError as error:
        typed = request.state.form.get("email", "")
        return page(request, "account-address", found, error, fresh=await is_fresh(ctx, found), new_email=typed)
    return go(ctx, f"{HERE}/code")


@router.get(f"{HERE}/code")
async def ask_code(request: Request, ctx: Context, found: Visitor) -> Response:
    """Asks for the code sent to the new address."""
    sent_to = await address.waiting(ctx, found.actor)
    if sent_to is None:
        return go(ctx, HERE)
    return page(request, "account-address-code", found, sent_to=sent_to, code="")


@router.post(f"{HERE}/code")
async def prove(request: Request, ctx: Context, found: Visitor) -> Response:
    """Changes the email address."""
    try:
        await address.prove(ctx.acting(found.actor), found.actor, fields(request.state.form, "code")["code"])
    except StepUpNeeded:
        return await step_up(ctx, found, f"{HERE}/code")
    except PassgateError as error:
        sent_to, code = await address.waiting(ctx, found.actor), request.state.form.get("code", "")
        return page(
            request,
            "account-address-code",
            found,
            error,
            sent_to=sent_to or "…",
            code=code,
            wrong=email_code.FACTOR.texts.wrong,
        )
    return go(ctx, "/account?done=address")


# -- undo ------------------------------------------------------------------------------------------


@router.get(f"{HERE}/undo/{{token}}", dependencies=[Depends(guards.stranger)])
async def follow(ctx: Context, token: str) -> Response:
    """Opens an emailed link: moves its token to a short-lived cookie and changes nothing."""
    if ctx.ring.presented(address.UNDO, token) is None:
        return go(ctx, f"{HERE}/undo")
    return go(ctx, f"{HERE}/undo", cookies.set_link(ctx.settings, token))


@router.get(f"{HERE}/undo")
async def ask_undo(request: Request, ctx: Context, link: Link) -> Response:
    """Asks to confirm undoing the change."""
    return await _undo_page(request, ctx, link)


@router.post(f"{HERE}/undo")
async def undo(request: Request, ctx: Context, link: Link) -> Response:
    """Restores the old address and ends all sessions."""
    try:
        fields(await guards.form_of(request))
        await address.undo(ctx, link)
    except PassgateError as error:
        return await _undo_page(request, ctx, link, error)
    settings = ctx.settings
    return go(ctx, "/recover", cookies.clear_link(settings), cookies.clear_session(settings))


async def _undo_page(request: Request, ctx: Ctx, link: str, error: PassgateError | None = None) -> Response:
    back = await address.may_undo(ctx, link)
    if back is None and error is None:
        error = HandleInvalid()
    return show(request, "account-undo", service=await service_name(ctx), bound_to=link, error=error, back=back)
