"""The page on which people choose their username, where their organization has usernames.

Not here: which usernames there may be, and what a change asks for, which `core.account` decides.
"""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from passgate.core import account
from passgate.core.rules import Rules
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages.account import is_fresh, page
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go
from passgate.web.pages.steps import HOME

router = routes.pages()


@router.get("/account/username")
async def ask(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks for a username, after a recent proof; leads to the profile where there are none."""
    if error is None and Rules.parsed(ctx.person.row["policy"], ctx.factors).usernames == "off":
        return go(ctx, HOME)
    present = ctx.person.row["username"]
    wanted = typed(request, "username", present)
    return page(request, "account-username", ctx, error, fresh=await is_fresh(ctx), present=present, wanted=wanted)


@router.post("/account/username")
@form(ask)
async def choose(request: Request, ctx: Visitor) -> Response:
    """Changes the username; an empty one removes it."""
    await account.set_username(ctx, fields(request, optional=("username",))["username"].strip())
    return go(ctx, f"{HOME}?done=username")
