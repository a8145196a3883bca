"""The account page that turns mailed codes on and off as one's second step.

Not here: who may, which `core.enrolment` decides, and the page of a sign-in that asks for one (`prove`).
"""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from passgate.core import enrolment
from passgate.core.factors import email_code
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages.account import is_fresh, page
from passgate.web.pages.factors import HERE as FACTORS
from passgate.web.pages.factors import after_adding
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go

router = routes.pages()

HERE = "/account/email-code"


@router.get(HERE)
async def ask(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Offers to turn emailed codes on or off, or asks for the code that was sent."""
    fresh, has = await is_fresh(ctx), await enrolment.overview(ctx)
    since, at_once = has["email_code"], has["at_once"]
    offered = await enrolment.offered(ctx, email_code.name) if fresh and not since and not at_once else None
    sent_to = offered["sent_to"] if offered else None
    more = {"fresh": fresh, "since": since, "at_once": at_once, "sent_to": sent_to, "code": typed(request, "code")}
    return page(request, "account-email-code", ctx, error, wrong=email_code.FACTOR.texts.wrong, **more)


@router.post(f"{HERE}/send")
@form(ask)
async def send(request: Request, ctx: Visitor) -> Response:
    """Emails a code; an earlier one expires. Turns emailed codes on if the policy needs no first code."""
    fields(request)
    before = await enrolment.overview(ctx)
    offered = await enrolment.offer(ctx, email_code.name)
    return after_adding(ctx, before, "email-code") if offered.get("active") else go(ctx, HERE)


@router.post(HERE)
@form(ask)
async def prove(request: Request, ctx: Visitor) -> Response:
    """Turns on emailed codes with the code that was sent."""
    given = fields(request, "code")
    before = await enrolment.overview(ctx)
    await enrolment.prove(ctx, email_code.name, given["code"])
    return after_adding(ctx, before, "email-code")


@router.post(f"{HERE}/remove")
@form(ask)
async def remove(request: Request, ctx: Visitor) -> Response:
    """Turns off emailed codes."""
    fields(request)
    await enrolment.remove(ctx, email_code.name)
    return go(ctx, f"{FACTORS}?done=no-email-code")
