"""The endpoints of roles and permissions. Not here: the rules, which are in `core.roles` and `core.access`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import Field

from passgate.core import access, roles
from passgate.errors import Conflict, CsrfRefused, Invalid, NotFound, PermissionMissing, StepUpNeeded
from passgate.web import routes
from passgate.web.api.shapes import SESSION, Input, Output, format_times, operation_id, refuses, with_example
from passgate.web.guards import Session as Live

router = routes.endpoints(prefix="/api/v1", tags=["roles"], generate_unique_id_function=operation_id)

_CHANGES = (*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, Invalid, Conflict)
RoleName = Annotated[str, Path(min_length=1, max_length=40, pattern="^[a-z_][a-z0-9_-]*$")]
_Permissions = Annotated[list[Annotated[str, Field(min_length=1, max_length=60)]], Field(max_length=200)]
_Description = Annotated[str, Field(max_length=200)]


class Permission(Output):
    name: str
    description: str
    yours: Annotated[bool, Field(description="Whether you have it now")]


class Permissions(Output):
    items: list[Permission]
    next: None


class Role(Output):
    name: str
    description: str
    permissions: Annotated[
        list[str], Field(description="Those of a role of your own that no program registers any more have no effect")
    ]
    built_in: bool
    created_at: Annotated[str | None, Field(description="Null for a built-in role")]
    updated_at: str | None


class Roles(Output):
    items: list[Role]
    next: None


class NewRole(Input):
    model_config = with_example({"name": "auditor", "permissions": ["me:read", "audit:read"]})

    name: Annotated[
        str, Field(min_length=1, max_length=40, description="2 to 40 of a-z, 0-9, `_` and `-`; it can't be changed")
    ]
    description: _Description = ""
    permissions: _Permissions


class RoleChange(Input):
    """Members you leave out stay unchanged."""

    model_config = with_example({"permissions": ["me:read", "audit:read", "users:read"]})

    description: _Description | None = None
    permissions: _Permissions | None = Field(None, description="Replaces all permissions")


@router.get(
    "/permissions",
    responses=refuses(*SESSION),
    response_model=Permissions,
    name="permissions",
    summary="List permissions",
)
async def permissions(ctx: Live) -> Any:
    """Returns every permission there is, those of the program that runs Passgate included, and which of them you
    have."""
    return {"items": await access.listed_permissions(ctx), "next": None}


@router.get(
    "/roles",
    responses=refuses(*SESSION, PermissionMissing),
    response_model=Roles,
    name="list",
    summary="List roles",
)
async def listed(ctx: Live) -> Any:
    """Returns the built-in roles and the tenant's own."""
    return {"items": [format_times(one) for one in await roles.listed(ctx)], "next": None}


@router.post(
    "/roles",
    responses=refuses(*_CHANGES),
    status_code=201,
    response_model=Role,
    name="create",
    summary="Create a role",
)
async def create(ctx: Live, given: NewRole) -> Any:
    """Nobody creates a role with a permission they lack. A tenant has at most 50 of its own. Requires a recent
    proof."""
    made = await roles.create(ctx, given.name, description=given.description, permissions=given.permissions)
    return format_times(made)


@router.patch(
    "/roles/{role}",
    responses=refuses(*_CHANGES, NotFound),
    response_model=Role,
    name="change",
    summary="Change a role",
)
async def change(ctx: Live, role: RoleName, given: RoleChange) -> Any:
    """Applies to everybody who has the role from their next request on. Nobody changes a role that allows more than
    they may do, or that somebody has who may do more; only an owner changes a role of their own. Requires a recent
    proof."""
    return format_times(await roles.change(ctx, role, roles.Change(given.description, given.permissions)))


@router.delete(
    "/roles/{role}",
    responses=refuses(*_CHANGES, NotFound),
    status_code=204,
    name="delete",
    summary="Delete a role",
)
async def delete(
    ctx: Live,
    role: RoleName,
    take: Annotated[
        bool, Query(description="Take the role from everybody who has it; otherwise that is refused")
    ] = False,
) -> Response:
    """Who may change a role may delete it. Requires a recent proof."""
    await roles.remove(ctx, role, take=take)
    return Response(status_code=204)
