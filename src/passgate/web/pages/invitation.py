"""The page behind an invitation's link. Opening the link changes nothing; only its form does.

Not here: the rules, which are in `core.invitation_link` and `core.starts`.
"""

from __future__ import annotations

from fastapi import Depends, Request
from starlette.responses import Response

from passgate.core import invitation_link, people, starts
from passgate.errors import PassgateError
from passgate.web import cookies, guards, routes
from passgate.web.guards import Context, Link
from passgate.web.pages.form import Error, fields, form
from passgate.web.pages.link import redirect_without_token
from passgate.web.pages.page import service_name, show
from passgate.web.pages.steps import begun, browser_of

router = routes.pages()

PATH = "/invitation"


@router.get(f"{PATH}/{{token}}", dependencies=[Depends(guards.stranger)])
async def follow(ctx: Context, token: str) -> Response:
    """Opens an invitation: moves its token to a short-lived cookie and changes nothing."""
    return redirect_without_token(ctx, (invitation_link.PREFIX,), token, PATH)


@router.get(PATH)
async def ask(request: Request, ctx: Context, link: Link, error: Error = None) -> Response:
    """Says who invites whom, and asks whether to accept."""
    offer = None
    try:
        offer = await invitation_link.opened(ctx, link)
    except PassgateError as over:
        error = error or over
    found = await guards.present(request)
    return show(
        request,
        "invitation",
        service=offer.tenant.display_name if offer else await service_name(ctx),
        bound_to=link,
        error=error,
        is_open=offer is not None,
        is_known=offer is not None and offer.person is not None,
        whose=people.masked(offer.invitation.at.text) if offer else "",
        inviter=offer.inviter if offer else "",
        signed_in=found.row["email"] if found and offer and _is_other(found.person_id, offer) else "",
    )


def _is_other(person_id: str, offer: invitation_link.Offer) -> bool:
    """Whether somebody else than the invited person is signed in here, who will be signed out."""
    return offer.person is None or offer.person["id"] != person_id


@router.post(PATH)
@form(ask)
async def accept(request: Request, ctx: Context, link: Link) -> Response:
    """Starts the sign-up or sign-in of whoever is invited."""
    fields(request)
    started = await starts.by_invitation(ctx, link, browser_of(request, ctx))
    return await begun(ctx, started, cookies.clear_link(ctx.settings))
