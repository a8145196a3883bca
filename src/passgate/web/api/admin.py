"""The doors of a tenant's admins: its policy, a sign-in link for somebody. Rules live in `core.admin`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from passgate.core import admin
from passgate.errors import CsrfRefused, Invalid, NotFound, PermissionMissing, StepUpNeeded
from passgate.web.api.account import Id
from passgate.web.api.shapes import SESSION, Input, Output, operation_id, refuses, shown_as
from passgate.web.guards import Context
from passgate.web.guards import Session as Live
from passgate.world import iso

router = APIRouter(prefix="/api/v1", tags=["admin"], generate_unique_id_function=operation_id)


class Policy(Output):
    first: Annotated[list[str], Field(description="The ways in: password, passkey, email_code")]
    second: Annotated[str, Field(description="never, if_enrolled or always")]
    second_among: Annotated[list[str], Field(description="passkey, totp, recovery_code, email_code (stays AAL1)")]
    least_acr: Annotated[str, Field(description="What every sign-in must reach: urn:passgate:aal1, …aal2, phr, …aal3")]
    max_age: Annotated[int, Field(description="Seconds a proof may be old where a fresh one is asked; 0: the setting")]
    password_alone: Annotated[int, Field(description="Characters of a password that may stand alone")]
    password_beside: Annotated[int, Field(description="And of one that never does")]
    totp_window: Annotated[int, Field(description="Steps of 30 s to either side, at most 2")]
    totp_at_once: Annotated[bool, Field(description="An authenticator app counts without its first code")]
    passkey_counter: Annotated[str, Field(description="refuse or note a counter that does not grow")]
    remember_days: Annotated[int, Field(description="Days that a browser can be remembered; 0: never")]


class PolicyChange(Input):
    """What is not sent stays as it is."""

    model_config = shown_as({"second": "always", "second_among": ["passkey", "totp"]})

    first: list[str] | None = None
    second: str | None = None
    second_among: list[str] | None = None
    least_acr: str | None = None
    max_age: int | None = None
    password_alone: int | None = None
    password_beside: int | None = None
    totp_window: int | None = None
    totp_at_once: bool | None = None
    passkey_counter: str | None = None
    remember_days: int | None = None


class SigninLink(Output):
    url: Annotated[str, Field(description="Shown this once; it opens once")]
    usable_at: str
    expires_at: str


@router.get(
    "/tenants/{id}/policy",
    responses=refuses(*SESSION, PermissionMissing, NotFound, Invalid),
    response_model=Policy,
    name="policy",
    summary="The rules of my tenant",
)
async def policy(ctx: Context, found: Live, id: Id) -> Any:
    """What is asked of whom."""
    return (await admin.policy_of(ctx.acting(found.actor), found.actor, id)).to_json()


@router.patch(
    "/tenants/{id}/policy",
    responses=refuses(*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, NotFound, Invalid),
    response_model=Policy,
    name="change_policy",
    summary="Change the rules of my tenant",
)
async def change_policy(ctx: Context, found: Live, id: Id, given: PolicyChange) -> Any:
    """Wants a fresh proof. Counts from the next step of every running sign-in on."""
    data = given.model_dump(exclude_unset=True)
    return (await admin.change_policy(ctx.acting(found.actor), found.actor, id, data)).to_json()


@router.post(
    "/users/{id}/signin-link",
    responses=refuses(*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, NotFound, Invalid),
    status_code=201,
    response_model=SigninLink,
    name="signin_link",
    summary="Make a sign-in link for somebody",
)
async def signin_link(ctx: Context, found: Live, id: Id) -> Any:
    """One proof, and never a second factor. The person is told at once and can stop it while it waits."""
    made = await admin.signin_link(ctx.acting(found.actor), found.actor, id)
    return {"url": made.url, "usable_at": iso(made.usable_at), "expires_at": iso(made.expires_at)}
