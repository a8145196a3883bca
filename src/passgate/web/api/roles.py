"""The endpoints of roles and permissions. Not here: the rules, which are in `core.access`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from passgate.core import access
from passgate.web import routes
from passgate.web.api.shapes import SESSION, Output, operation_id, refuses
from passgate.web.guards import Session as Live

router = routes.endpoints(prefix="/api/v1", tags=["roles"], generate_unique_id_function=operation_id)


class Permission(Output):
    name: str
    description: str
    yours: Annotated[bool, Field(description="Whether you have it now")]


class Permissions(Output):
    items: list[Permission]
    next: None


@router.get(
    "/permissions",
    responses=refuses(*SESSION),
    response_model=Permissions,
    name="permissions",
    summary="List permissions",
)
async def permissions(ctx: Live) -> Any:
    """Returns every permission there is, and which of them you have."""
    return {"items": await access.listed_permissions(ctx), "next": None}
