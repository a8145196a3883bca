"""The roles of an organization for its admins: what each may do, and making, changing and deleting those of its own.

Not here: giving a role to somebody (`admin_person`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path, Request
from starlette.responses import Response

from passgate.errors import Conflict, Invalid, NotFound, PassgateError
from passgate.web import routes
from passgate.web.guards import Visitor, form_of
from passgate.web.pages import admin
from passgate.web.pages.account import is_fresh
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import catalog, go

router = routes.pages()

HERE = "/admin/roles"
NEW = "/admin/roles-new"
"""Not below the roles: one may be called `new`."""
_ONE = HERE + "/{role}"
_MAY = "may."
"""Before the name of a permission: its checkbox."""
RoleName = Annotated[str, Path(min_length=1, max_length=40)]


@router.get(HERE)
async def roles(request: Request, ctx: Visitor) -> Response:
    """Lists the roles."""
    mine = await admin.permissions(request, ctx)
    every = (await admin.at(request, ctx).roles.list()).items
    texts = {one.name: _text(ctx, one) for one in every}
    return admin.page(request, "admin-roles", ctx, mine, roles=every, texts=texts)


def _text(ctx: Visitor, role: Any) -> str:
    """The description of a role. That of a tenant's own is not ours to translate."""
    return catalog(ctx).gettext(role.description) if role.built_in and role.description else str(role.description)


async def _permissions(request: Request, ctx: Visitor) -> list[tuple[str, str, bool]]:
    """Every permission: its name, its text in the reader's language, and whether whoever looks has it."""
    every = (await admin.at(request, ctx).roles.permissions()).items
    return [(one.name, catalog(ctx).gettext(one.description), one.yours) for one in every]


def _checked(request: Request, known: Sequence[tuple[str, str, bool]]) -> dict[str, Any]:
    """What the form says: {description, permissions}, and other names that it was sent with."""
    names = [name for name, _, _ in known]
    given = fields(request, optional=("name", "description", "was", *(_MAY + name for name in names)))
    return {**given, "permissions": [name for name in names if given[_MAY + name]]}


# -- a new one -------------------------------------------------------------------------------------


@router.get(NEW)
async def ask_new(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks what a new role is called and what it may do."""
    mine = await admin.permissions(request, ctx, "roles:write")
    return admin.page(
        request,
        "admin-role-new",
        ctx,
        mine,
        error,
        name=typed(request, "name"),
        description=typed(request, "description"),
        permissions=[one for one in await _permissions(request, ctx) if one[0] in mine],
        checked=_typed(request),
        fresh=await is_fresh(ctx),
    )


def _typed(request: Request) -> frozenset[str]:
    return frozenset(name.removeprefix(_MAY) for name, value in form_of(request).items() if value)


@router.post(HERE)
@form(ask_new)
async def create(request: Request, ctx: Visitor) -> Response:
    """Creates a role."""
    given = _checked(request, await _permissions(request, ctx))
    if not given["name"].strip():
        raise Invalid({"name": "missing"})
    made = await admin.at(request, ctx).roles.create(
        name=given["name"].strip(), description=given["description"].strip(), permissions=given["permissions"]
    )
    return go(ctx, f"{HERE}/{made.name}?done=created")


# -- one -------------------------------------------------------------------------------------------


async def _role(request: Request, ctx: Visitor, name: str) -> Any:
    """Raises NotFound."""
    found = [one for one in (await admin.at(request, ctx).roles.list()).items if one.name == name]
    if not found:
        raise NotFound
    return found[0]


async def _page(
    request: Request, name: str, ctx: Visitor, role: str, error: PassgateError | None, **more: Any
) -> Response:
    """A page about a role. Redirects to the role's from the other, if it would refuse."""
    mine = await admin.permissions(request, ctx)
    try:
        found = await _role(request, ctx, role)
    except NotFound as gone:
        return admin.page(request, "admin-role-gone", ctx, mine, gone)
    known = await _permissions(request, ctx)
    may_change = _may_change(ctx, mine, found, frozenset(name for name, _, _ in known))
    if name == "admin-role-delete" and error is None and not may_change:
        return go(ctx, f"{HERE}/{role}")
    was = {"description": found.description, "permissions": list(found.permissions)}
    return admin.page(
        request,
        name,
        ctx,
        mine,
        error,
        role=found,
        text=_text(ctx, found),
        may_change=may_change,
        permissions=[one for one in known if one[0] in mine],
        allowed=[text for name, text, _ in known if name in found.permissions],
        description=typed(request, "description") if error else found.description,
        checked=_typed(request) if error else frozenset(found.permissions),
        was=typed(request, "was") or json.dumps(was, separators=(",", ":")),
        fresh=await is_fresh(ctx),
        **more,
    )


def _may_change(ctx: Visitor, mine: frozenset[str], role: Any, known: frozenset[str]) -> bool:
    """Whether a form is displayed. Somebody who has the role may be able to do more than whoever looks; only the
    operation knows."""
    is_own = role.name in ctx.person.roles and "owner" not in ctx.person.roles
    return "roles:write" in mine and not role.built_in and not is_own and mine >= known.intersection(role.permissions)


@router.get(_ONE)
async def role(request: Request, ctx: Visitor, role: RoleName, error: Error = None) -> Response:
    """Shows a role, in a form for those who may change it."""
    return await _page(request, "admin-role", ctx, role, error)


@router.post(_ONE)
@form(role)
async def change(request: Request, ctx: Visitor, role: RoleName) -> Response:
    """Changes what the form changed, so that what others have changed meanwhile stays."""
    given = _checked(request, await _permissions(request, ctx))
    before = admin.sent_as_json(given["was"])
    listed = before.get("permissions", [])
    if not isinstance(listed, list):
        raise Invalid({"was": "type"})
    had = {str(name) for name in listed}
    now, wanted = (await _role(request, ctx, role)).permissions, set(given["permissions"])
    known = {name for name, _, _ in await _permissions(request, ctx)}
    taken, added = (had & known) - wanted, [name for name in given["permissions"] if name not in had]
    permissions = [name for name in now if name not in taken]
    permissions += [name for name in added if name not in permissions]
    changed: dict[str, Any] = {"permissions": permissions} if permissions != list(now) else {}
    if (description := given["description"].strip()) != before.get("description"):
        changed["description"] = description
    if changed:
        await admin.at(request, ctx).roles.change(role, **changed)
    return go(ctx, f"{HERE}/{role}?done=saved")


@router.get(f"{_ONE}/delete")
async def ask_delete(request: Request, ctx: Visitor, role: RoleName, error: Error = None) -> Response:
    """Asks to confirm deleting a role; once more if somebody has it."""
    return await _page(request, "admin-role-delete", ctx, role, error, is_used=isinstance(error, Conflict))


@router.post(f"{_ONE}/delete")
@form(ask_delete)
async def delete(request: Request, ctx: Visitor, role: RoleName) -> Response:
    """Deletes a role, if nobody has it, or takes it from everybody first."""
    decision = fields(request, "decision")["decision"]
    if decision not in ("delete", "take"):
        raise Invalid({"decision": "value"})
    await admin.at(request, ctx).roles.delete(role, take=decision == "take")
    return go(ctx, f"{HERE}?done=deleted")
