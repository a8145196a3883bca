"""The pages that change an email address: the new address and its code.

Not here: the rules, which are in `core.address`.
"""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from passgate.core import address
from passgate.core.factors import email_code
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages.account import is_fresh, page
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go

router = routes.pages()

HERE = "/account/address"


@router.get(HERE)
async def ask(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks for a new email address, after a recent proof."""
    new_email = typed(request, "email")
    return page(request, "account-address", ctx, error, fresh=await is_fresh(ctx), new_email=new_email)


@router.post(HERE)
@form(ask)
async def start(request: Request, ctx: Visitor) -> Response:
    """Emails a code to the new address."""
    await address.start(ctx, fields(request, "email")["email"])
    return go(ctx, f"{HERE}/code")


@router.get(f"{HERE}/code")
async def ask_code(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks for the code sent to the new address."""
    sent_to, wrong = await address.waiting(ctx), email_code.FACTOR.texts.wrong
    if sent_to is None and error is None:
        return go(ctx, HERE)
    more = {"sent_to": sent_to or "…", "code": typed(request, "code"), "wrong": wrong}
    return page(request, "account-address-code", ctx, error, **more)


@router.post(f"{HERE}/code")
@form(ask_code)
async def prove(request: Request, ctx: Visitor) -> Response:
    """Changes the email address."""
    await address.prove(ctx, fields(request, "code")["code"])
    return go(ctx, "/account?done=address")
