"""The page behind the link that undoes a change: it lists what the undo takes back before it begins.

Not here: the rules, which are in `core.undo`, and the pages of its proofs, which are those of a sign-in.
"""

from __future__ import annotations

from fastapi import Depends, Request
from starlette.responses import Response

from passgate.core import people, starts, undo, undo_link
from passgate.core.ctx import Ctx
from passgate.core.undo_link import Change, Undoable
from passgate.errors import HandleInvalid
from passgate.i18n import N_
from passgate.web import cookies, guards, routes
from passgate.web.guards import Context, Link
from passgate.web.pages.form import Error, fields, form
from passgate.web.pages.link import redirect_without_token
from passgate.web.pages.page import catalog, service_name, show
from passgate.web.pages.steps import begun

router = routes.pages()

HERE = "/account/undo"
_TEXTS = {
    Change.ADDED: N_("Added: %(what)s"),
    Change.REMOVED: N_("Removed: %(what)s"),
    Change.PASSWORD: N_("Your password was changed"),
    Change.ADDRESS: N_("Your email address was changed"),
    Change.CLOSED: N_("Your account was closed"),
}


@router.get(f"{HERE}/{{token}}", dependencies=[Depends(guards.stranger)])
async def follow(ctx: Context, token: str) -> Response:
    """Opens an emailed link: moves its token to a short-lived cookie and changes nothing."""
    return redirect_without_token(ctx, (undo_link.PREFIX,), token, HERE)


@router.get(HERE)
async def ask(request: Request, ctx: Context, link: Link, error: Error = None) -> Response:
    """Lists the changes that would be undone."""
    found = undo.Found()
    try:
        found = await undo.find(ctx, link)
    except HandleInvalid as over:
        error = error or over
    ranked = ctx.factors.ranked(found.demanded, lambda order: order.recovery)
    return show(
        request,
        "account-undo",
        service=found.service or await service_name(ctx),
        bound_to=link,
        error=error,
        changes=[{"text": _text(ctx, one), "label": one.label, "at": one.at} for one in found.changes],
        sent_to=people.masked(found.changes[0].email) if found.changes else "",
        demanded=[ctx.factors[name].texts.name for name in ranked],
        is_paused=found.is_paused,
    )


def _text(ctx: Ctx, change: Undoable) -> str:
    translate = catalog(ctx).gettext
    what = ctx.factors[change.factor].texts.name if change.factor in ctx.factors else ""
    return translate(_TEXTS[change.change]) % {"what": translate(what) if what else ""}


@router.post(HERE)
@form(ask)
async def begin(request: Request, ctx: Context, link: Link) -> Response:
    """Starts undoing the changes: emails a code to the address that was there before them."""
    fields(request)
    return await begun(ctx, await starts.by_undo(ctx, link), cookies.clear_link(ctx.settings))
