"""The endpoints of a tenant's admins: its policy, a sign-in link for somebody. Rules live in `core.admin`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, create_model

from passgate.core import admin
from passgate.core.rules import Rules
from passgate.errors import CsrfRefused, Invalid, NotFound, PermissionMissing, StepUpNeeded
from passgate.web.api.account import Id
from passgate.web.api.shapes import SESSION, Input, Output, operation_id, refuses, with_example
from passgate.web.guards import Context
from passgate.web.guards import Session as Live
from passgate.world import iso

router = APIRouter(prefix="/api/v1", tags=["admin"], generate_unique_id_function=operation_id)


def _fields(*, optional: bool) -> dict[str, Any]:
    """The fields of a tenant's rules, as JSON has them."""
    found: dict[str, Any] = {}
    for name, field in Rules.model_fields.items():
        kind: Any = list[str] if field.annotation == tuple[str, ...] else field.annotation
        described = Field(None if optional else ..., description=field.description)
        found[name] = (kind | None if optional else kind, described)
    return found


Policy = create_model("Policy", __base__=Output, **_fields(optional=False))
_Change = create_model("_Change", __base__=Input, **_fields(optional=True))


class PolicyChange(_Change):
    """Fields you leave out stay unchanged."""

    model_config = with_example({"second": "always", "second_among": ["passkey", "totp"]})


class SigninLink(Output):
    url: Annotated[str, Field(description="Shown only once; works once")]
    usable_at: str
    expires_at: str


@router.get(
    "/tenants/{id}/policy",
    responses=refuses(*SESSION, PermissionMissing, NotFound, Invalid),
    response_model=Policy,
    name="policy",
    summary="Get the tenant's policy",
)
async def policy(ctx: Context, found: Live, id: Id) -> Any:
    """Returns what the tenant requires for signing in."""
    return (await admin.policy_of(ctx.acting(found.actor), found.actor, id)).to_json()


@router.patch(
    "/tenants/{id}/policy",
    responses=refuses(*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, NotFound, Invalid),
    response_model=Policy,
    name="change_policy",
    summary="Change the tenant's policy",
)
async def change_policy(ctx: Context, found: Live, id: Id, given: PolicyChange) -> Any:
    """Requires a recent proof. Applies to pending sign-ins from their next step."""
    data = given.model_dump(exclude_unset=True)
    return (await admin.change_policy(ctx.acting(found.actor), found.actor, id, data)).to_json()


@router.post(
    "/users/{id}/signin-link",
    responses=refuses(*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, NotFound, Invalid),
    status_code=201,
    response_model=SigninLink,
    name="signin_link",
    summary="Create a sign-in link",
)
async def signin_link(ctx: Context, found: Live, id: Id) -> Any:
    """The link replaces the first factor, never the second. The user is notified right away and can cancel it."""
    made = await admin.signin_link(ctx.acting(found.actor), found.actor, id)
    return {"url": made.url, "usable_at": iso(made.usable_at), "expires_at": iso(made.expires_at)}
