"""The invitations of an organization for its admins: those that can still be accepted, inviting, canceling.

Not here: accepting one, which is a page before there is a session.
"""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages import admin
from passgate.web.pages.account import Id, is_fresh
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go

router = routes.pages()

HERE = "/admin/invitations"
LISTED = 20


@router.get(HERE)
async def invitations(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Lists the invitations that can still be accepted, and asks for the address of somebody else."""
    mine = await admin.permissions(request, ctx)
    after = request.query_params.get("after")
    found = await admin.at(request, ctx).invitations.list(after=after or None, limit=LISTED)
    return admin.page(
        request,
        "admin-invitations",
        ctx,
        mine,
        error,
        invitations=found.items,
        following=f"{HERE}?after={quote(found.next)}" if found.next else None,
        address=typed(request, "email"),
        role=typed(request, "role", "user"),
        roles=await admin.roles_to_give(request, ctx, mine, "invitations:write"),
        fresh=await is_fresh(ctx),
    )


@router.post(HERE)
@form(invitations)
async def invite(request: Request, ctx: Visitor) -> Response:
    """Invites somebody, by mail."""
    given = fields(request, "email", optional=("role",))
    roles = [given["role"]] if given["role"] else None
    await admin.at(request, ctx).invitations.create(email=given["email"], roles=roles)
    return go(ctx, f"{HERE}?done=invited")


@router.post(HERE + "/{id}/cancel")
@form(invitations)
async def cancel(request: Request, ctx: Visitor, id: Id) -> Response:
    """Cancels an invitation."""
    fields(request)
    await admin.at(request, ctx).invitations.cancel(id)
    return go(ctx, f"{HERE}?done=canceled")
