"""One user's page for the admins of the organization, and what they do there. A button is displayed only if its
operation would not refuse, and a section only to somebody who may read it.

Not here: the list (`admin_people`), and who may do what, which the operations decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import Request
from starlette.responses import Response

from passgate.errors import Invalid, NotFound, PassgateError
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages import admin
from passgate.web.pages.account import Id, is_fresh
from passgate.web.pages.admin_people import HERE
from passgate.web.pages.event_labels import label_of, labels_of_amr
from passgate.web.pages.form import Error, fields, form
from passgate.web.pages.page import go
from passgate.web.pages.policy_texts import label_of as label_of_factor

router = routes.pages()

_THEM = HERE + "/{id}"
_LISTED = 10
_ACTIONS = frozenset({"disable", "enable", "sign_out", "reset_factors", "delete"})
"""Those that have a button of their own."""
_DAY = 24 * 3600


@router.get(_THEM)
async def person(request: Request, ctx: Visitor, id: Id, error: Error = None) -> Response:
    """Shows a user, and what can be done."""
    mine = await admin.permissions(request, ctx)
    users = admin.at(request, ctx).users
    try:
        them, can = await users.show(id), await users.actions(id)
        more: dict[str, Any] = {
            "sessions": (await users.sessions(id)).items if "sessions:read" in mine else None,
            "factors": _grouped((await users.factors(id)).items) if "factors:read" in mine else None,
            "activity": (await users.activity(id, limit=_LISTED)).items if "audit:read" in mine else None,
        }
    except NotFound as gone:
        return _gone(request, ctx, mine, gone)
    return admin.page(
        request,
        "admin-person",
        ctx,
        mine,
        error,
        them=them,
        can=can.actions,
        has_actions=not _ACTIONS.isdisjoint(can.actions),
        is_me=id == ctx.person.person_id,
        to_give=[role for role in reversed(can.roles) if role not in them.roles],
        to_take=[role for role in them.roles if role in can.roles],
        labels={one.name: label_of_factor(ctx.factors, one.name) for one in ctx.factors},
        label_of=lambda event: label_of(event, ctx.factors),
        own_labels=ctx.services.events,
        ways=labels_of_amr,
        **more,
    )


def _gone(request: Request, ctx: Visitor, mine: frozenset[str], gone: PassgateError) -> Response:
    """Somebody else may have deleted the user meanwhile."""
    return admin.page(request, "admin-gone", ctx, mine, gone)


def _grouped(factors: Iterable[Any]) -> list[tuple[Any, int]]:
    """What a user has set up, each with how many of it there are: backup codes have no names."""
    found: dict[tuple[str, str], list[Any]] = {}
    for one in factors:
        found.setdefault((one.factor, one.label or ""), []).append(one)
    return [(alike[0], len(alike)) for alike in found.values()]


def _path(id: str, done: str) -> str:
    return f"{HERE}/{id}?done={done}"


@router.post(f"{_THEM}/disable")
@form(person)
async def disable(request: Request, ctx: Visitor, id: Id) -> Response:
    """Disables a user, which signs them out everywhere."""
    fields(request)
    await admin.at(request, ctx).users.disable(id)
    return go(ctx, _path(id, "disabled"))


@router.post(f"{_THEM}/enable")
@form(person)
async def enable(request: Request, ctx: Visitor, id: Id) -> Response:
    """Lets a disabled user sign in again."""
    fields(request)
    await admin.at(request, ctx).users.enable(id)
    return go(ctx, _path(id, "enabled"))


@router.post(f"{_THEM}/sign-out")
@form(person)
async def sign_out(request: Request, ctx: Visitor, id: Id) -> Response:
    """Signs a user out everywhere."""
    fields(request)
    await admin.at(request, ctx).users.sign_out(id)
    return go(ctx, _path(id, "signed-out"))


# -- roles -----------------------------------------------------------------------------------------


@router.post(f"{_THEM}/roles")
@form(person)
async def give_role(request: Request, ctx: Visitor, id: Id) -> Response:
    """Gives a user a role."""
    role = fields(request, "role")["role"]
    await admin.at(request, ctx).users.give_role(id, role)
    return go(ctx, _path(id, "role"))


@router.post(_THEM + "/roles/{role}/remove")
@form(person)
async def take_role(request: Request, ctx: Visitor, id: Id, role: admin.RoleName) -> Response:
    """Takes a role from a user."""
    fields(request)
    await admin.at(request, ctx).users.take_role(id, role)
    return go(ctx, _path(id, "no-role"))


# -- confirmed first -------------------------------------------------------------------------------


async def _confirming(
    request: Request, name: str, ctx: Visitor, id: str, action: str, error: PassgateError | None, **more: Any
) -> Response:
    """A page that asks whether to do something with a user. Redirects to the user's page if it can't be done."""
    mine = await admin.permissions(request, ctx)
    users = admin.at(request, ctx).users
    try:
        them, can = await users.show(id), await users.actions(id)
    except NotFound as gone:
        return _gone(request, ctx, mine, gone)
    if error is None and action not in can.actions:
        return go(ctx, f"{HERE}/{id}")
    return admin.page(request, name, ctx, mine, error, them=them, fresh=await is_fresh(ctx), **more)


@router.get(f"{_THEM}/reset")
async def ask_reset(request: Request, ctx: Visitor, id: Id, error: Error = None) -> Response:
    """Asks to confirm resetting a user's two-step verification."""
    days = -(-ctx.settings.recovery.waiting(ctx.settings) // _DAY)
    return await _confirming(request, "admin-person-reset", ctx, id, "reset_factors", error, days=days)


@router.post(f"{_THEM}/reset")
@form(ask_reset)
async def reset(request: Request, ctx: Visitor, id: Id) -> Response:
    """Asks for the removal of a user's second factors."""
    fields(request)
    made = await admin.at(request, ctx).users.reset_factors(id)
    return go(ctx, _path(id, "reset" if made.approval == "given" else "reset-asked"))


@router.get(f"{_THEM}/delete")
async def ask_delete(request: Request, ctx: Visitor, id: Id, error: Error = None) -> Response:
    """Asks to confirm deleting a user."""
    return await _confirming(request, "admin-person-delete", ctx, id, "delete", error)


@router.post(f"{_THEM}/delete")
@form(ask_delete)
async def delete(request: Request, ctx: Visitor, id: Id) -> Response:
    """Deletes a user at once."""
    if fields(request, "decision")["decision"] != "delete":
        raise Invalid({"decision": "value"})
    await admin.at(request, ctx).users.delete(id)
    return go(ctx, f"{HERE}?done=deleted")
