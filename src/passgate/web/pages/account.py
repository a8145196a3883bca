"""The account pages: profile, password, sessions, activity, data export, deletion.

Not here: what is allowed and how fresh the proof must be, which `core.account` decides.
"""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Path, Request
from starlette.responses import Response

from passgate.core import access, account
from passgate.core.ctx import Ctx
from passgate.core.profile import Lines, lines
from passgate.core.rules import Rules
from passgate.errors import Invalid, PassgateError, StepUpNeeded
from passgate.i18n import N_
from passgate.web import cookies, guards, routes
from passgate.web.api.account import export as exported
from passgate.web.api.shapes import encode
from passgate.web.guards import Context, LeavingVisitor, Visitor
from passgate.web.pages.admin import SECTIONS
from passgate.web.pages.event_labels import label_of, labels_of_amr
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go, return_to, show
from passgate.web.pages.steps import HOME, step_up
from passgate.wire.body import PROFILE

router = routes.pages()

at_well_known = routes.services(include_in_schema=False, dependencies=[Depends(guards.stranger)])
"""Programs ask for well-known URIs (RFC 8615): errors there, and unknown paths near them, are problem documents."""

Id = Annotated[str, Path(min_length=36, max_length=36, pattern="^[0-9a-f-]{36}$")]
_LISTED = 20
_CARRIED = {"bearer": N_("Used by an app"), "jwt": N_("Used by an app with access tokens")}
"""How a session is used that no browser has."""


def page(request: Request, name: str, ctx: Ctx, error: PassgateError | None = None, **more: Any) -> Response:
    """An account page; its header names the signed-in person."""
    profile = json.loads(ctx.person.row["profile"])
    label = profile.get("name")
    return show(
        request,
        name,
        service=ctx.person.row["display_name"],
        bound_to=ctx.person.session_id,
        error=error,
        email=ctx.person.row["email"],
        name=label if isinstance(label, str) else "",
        done=request.query_params.get("done"),
        administers=_administers(ctx),
        **more,
    )


def _administers(ctx: Ctx) -> bool:
    """Whether there is a page of admins to display, as far as is known without another query."""
    mine = access.found_with(ctx.services, ctx.person)
    return any(permission in mine for _, _, permission in SECTIONS)


async def is_fresh(ctx: Ctx) -> bool:
    try:
        await account.fresh(ctx)
    except StepUpNeeded:
        return False
    return True


@at_well_known.get("/.well-known/change-password")
async def well_known(ctx: Context) -> Response:
    """Redirects password managers to the page for changing the password."""
    return go(ctx, "/account/password")


@router.get("/")
async def start(ctx: Visitor) -> Response:
    """Redirects to the account, or to the sign-in."""
    return go(ctx, HOME)


@router.get("/account/confirm")
async def ask_confirm(request: Request, ctx: LeavingVisitor) -> Response:
    """Asks the user to confirm who they are, after the rules were raised."""
    return page(request, "account-confirm", ctx, back=return_to(request) or HOME)


@router.post("/account/confirm")
async def confirm(request: Request, ctx: LeavingVisitor) -> Response:
    """Starts confirming who the user is, then returns."""
    decision = fields(request, optional=("decision",))["decision"]
    return await step_up(ctx, return_to(request) or HOME, address=decision == "address")


# -- profile ---------------------------------------------------------------------------------------


@router.get("/account")
async def profile(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Shows the profile."""
    row = ctx.person.row
    more = {"since": row["person_created_at"], "has_password": await account.has_password(ctx)}
    more["email_verified"] = row["email_verified_at"] is not None
    usernames = Rules.parsed(row["policy"], ctx.factors).usernames != "off"
    more |= {"username": row["username"], "usernames": usernames, "texts": _texts(request, ctx)}
    return page(request, "account", ctx, error, **more)


def _texts(request: Request, ctx: Ctx) -> list[tuple[Lines, str]]:
    """The texts of several lines that the host's model has, each as it was typed or as it is stored."""
    stored, several = json.loads(ctx.person.row["profile"]), lines(ctx.services.profile)
    return [(one, typed(request, _field(one), str(stored.get(one.name) or ""))) for one in several]


def _field(text: Lines) -> str:
    """In the form."""
    return f"{PROFILE}.{text.name}"


@router.post("/account")
@form(profile)
async def change_profile(request: Request, ctx: Visitor) -> Response:
    """Changes the name and the texts of several lines; the rest of the profile stays."""
    several = lines(ctx.services.profile)
    given = fields(request, optional=("name", *map(_field, several)))
    texts = {one.name: given[_field(one)].strip() or (None if one.is_optional else "") for one in several}
    stored = json.loads(ctx.person.row["profile"])
    await account.set_profile(ctx, {**stored, "name": given["name"].strip(), **texts})
    return go(ctx, "/account?done=profile")


# -- password --------------------------------------------------------------------------------------


@router.get("/account/password")
async def ask_password(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks for a new password, after a recent proof."""
    shortest = Rules.parsed(ctx.person.row["policy"], ctx.factors).shortest_password(ctx.factors)
    has, fresh = await account.has_password(ctx), await is_fresh(ctx)
    return page(request, "account-password", ctx, error, shortest=shortest, fresh=fresh, has_password=has)


@router.post("/account/password")
@form(ask_password)
async def password(request: Request, ctx: Visitor) -> Response:
    """Changes the password and ends all other sessions."""
    await account.set_password(ctx, fields(request, "new_password")["new_password"])
    return go(ctx, "/account/password?done=password")


# -- sessions and activity -------------------------------------------------------------------------


@router.get("/account/sessions")
async def sessions(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Lists the devices that are signed in."""
    rows = await account.my_sessions(ctx, before=None, limit=account.PAGE, with_carrier=True)
    rows.sort(key=lambda row: (not row["current"], -row["last_used_at"]))
    listed = [
        {**row, "shown_by": labels_of_amr(row["amr"]), "carried_by": _CARRIED.get(row["carrier"])} for row in rows
    ]
    return page(request, "account-sessions", ctx, error, rows=listed)


@router.post("/account/sessions")
@form(sessions)
async def end_others(request: Request, ctx: Visitor) -> Response:
    """Signs out everywhere else."""
    fields(request)
    await account.end_other_sessions(ctx)
    return go(ctx, "/account/sessions?done=sessions")


@router.post("/account/sessions/{id}")
@form(sessions)
async def end_one(request: Request, ctx: Visitor, id: Id) -> Response:
    """Signs out one device."""
    fields(request)
    await account.end_session(ctx, id)
    return go(ctx, "/account/sessions?done=session")


@router.get("/account/activity")
async def activity(request: Request, ctx: Visitor) -> Response:
    """Lists recent activity, newest first."""
    before = request.query_params.get("after")
    rows = await account.my_activity(ctx, before=before, limit=_LISTED + 1)
    older = rows[_LISTED - 1]["id"] if len(rows) > _LISTED else None
    listed = [
        # A host's text is not ours to translate: `_` would return it as markup.
        {**row, "label": label_of(row["event"], ctx.factors), "own_label": ctx.services.events.get(row["event"])}
        for row in rows[:_LISTED]
    ]
    return page(request, "account-activity", ctx, rows=listed, older=quote(older) if older else None)


# -- data export, deletion -------------------------------------------------------------------------


@router.get("/account/export")
async def ask_export(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Offers a download of the account's data, and deleting the account."""
    return page(request, "account-export", ctx, error)


@router.post("/account/export")
@form(ask_export)
async def export(request: Request, ctx: Visitor) -> Response:
    """Downloads the account's data as a file."""
    fields(request)
    data = await exported(ctx)
    headers = {"content-disposition": 'attachment; filename="my-data.json"'}
    return Response(encode(data), media_type="application/json", headers=headers)


@router.get("/account/delete")
async def ask_delete(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks to confirm deleting the account."""
    days = -(-ctx.settings.erase.waiting(ctx.settings) // (24 * 3600))
    return page(request, "account-delete", ctx, error, fresh=await is_fresh(ctx), erase_days=days)


@router.post("/account/delete")
@form(ask_delete)
async def delete(request: Request, ctx: Visitor) -> Response:
    """Closes the account at once; it is erased after a waiting period."""
    if fields(request, "decision")["decision"] != "delete":
        raise Invalid({"decision": "value"})
    await account.delete(ctx)
    return go(ctx, "/signout", cookies.clear_session(ctx.settings))
