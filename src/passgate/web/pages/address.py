"""The pages that change an email address: the new address and its code.

Not here: the rules, which are in `core.address`.
"""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from passgate.core import address
from passgate.core.factors import email_code
from passgate.errors import PassgateError, StepUpNeeded
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages.account import is_fresh, page, step_up
from passgate.web.pages.page import fields, go

router = routes.pages()

HERE = "/account/address"


@router.get(HERE)
async def ask(request: Request, ctx: Visitor) -> Response:
    """Asks for a new email address, after a recent proof."""
    return page(request, "account-address", ctx, fresh=await is_fresh(ctx), new_email="")


@router.post(HERE)
async def start(request: Request, ctx: Visitor) -> Response:
    """Emails a code to the new address."""
    try:
        given = fields(request.state.form, "email")
        await address.start(ctx, given["email"])
    except StepUpNeeded:
        return await step_up(ctx, HERE)
    except PassgateError as error:
        typed = request.state.form.get("email", "")
        return page(request, "account-address", ctx, error, fresh=await is_fresh(ctx), new_email=typed)
    return go(ctx, f"{HERE}/code")


@router.get(f"{HERE}/code")
async def ask_code(request: Request, ctx: Visitor) -> Response:
    """Asks for the code sent to the new address."""
    sent_to = await address.waiting(ctx)
    if sent_to is None:
        return go(ctx, HERE)
    return page(request, "account-address-code", ctx, sent_to=sent_to, code="")


@router.post(f"{HERE}/code")
async def prove(request: Request, ctx: Visitor) -> Response:
    """Changes the email address."""
    try:
        await address.prove(ctx, fields(request.state.form, "code")["code"])
    except StepUpNeeded:
        return await step_up(ctx, f"{HERE}/code")
    except PassgateError as error:
        sent_to, code = await address.waiting(ctx), request.state.form.get("code", "")
        return page(
            request,
            "account-address-code",
            ctx,
            error,
            sent_to=sent_to or "…",
            code=code,
            wrong=email_code.FACTOR.texts.wrong,
        )
    return go(ctx, "/account?done=address")
