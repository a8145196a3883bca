"""The list of an organization's users for its admins: searched, filtered, sorted, page by page; and adding one.

Not here: one user's page (`admin_person`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import Response

from passgate.errors import Invalid
from passgate.i18n import N_
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages import admin
from passgate.web.pages.account import is_fresh
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go

router = routes.listings()

HERE = "/admin/people"
LISTED = 20
SORTS = (("-created_at", N_("Newest first")), ("-last_used_at", N_("Last used")), ("email", N_("Email address")))
STATES = (("", N_("All users")), ("false", N_("Enabled users")), ("true", N_("Disabled users")))
_STATE = {"false": False, "true": True}


@router.get(HERE)
async def people(request: Request, ctx: Visitor) -> Response:
    """Lists the organization's users."""
    mine = await admin.permissions(request, ctx)
    asked, after = _asked(request), request.query_params.get("after")
    given: dict[str, Any] = {**asked, "disabled": _STATE.get(asked["disabled"]), "limit": LISTED}
    error, found = None, None
    try:
        found = await admin.at(request, ctx).users.list(**given, after=after or None)
    except Invalid as refused:
        error = refused
    following = found.next if found else None
    return admin.page(
        request,
        "admin-people",
        ctx,
        mine,
        error,
        people=found.items if found else (),
        asked=asked,
        is_filtered=bool(asked["search"] or asked["disabled"]),
        first=f"{HERE}?{urlencode(asked)}" if after else None,
        following=f"{HERE}?{urlencode({**asked, 'after': following})}" if following else None,
        sorts=SORTS,
        states=STATES,
    )


def _asked(request: Request) -> dict[str, str]:
    """What the query asks for; a value that no filter has is ignored. Who is searched for by address is listed by it:
    any other order would sort all that are found, for each page."""
    query = request.query_params
    search, disabled = query.get("search", "").strip(), query.get("disabled", "")
    sort = "email" if search else query.get("sort", "")
    return {
        "search": search,
        "disabled": disabled if disabled in _STATE else "",
        "sort": sort if sort in dict(SORTS) else SORTS[0][0],
    }


@router.get(f"{HERE}/new")
async def ask_new(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks for the address and the role of a new user."""
    mine = await admin.permissions(request, ctx, "users:write")
    return admin.page(
        request,
        "admin-person-new",
        ctx,
        mine,
        error,
        address=typed(request, "email"),
        role=typed(request, "role", "user"),
        roles=await admin.roles_to_give(request, ctx, mine),
        fresh=await is_fresh(ctx),
    )


@router.post(HERE)
@form(ask_new)
async def create(request: Request, ctx: Visitor) -> Response:
    """Adds a user."""
    given = fields(request, "email", optional=("role",))
    roles = [given["role"]] if given["role"] else None
    made = await admin.at(request, ctx).users.create(email=given["email"], roles=roles)
    return go(ctx, f"{HERE}/{made.id}?done=created")
