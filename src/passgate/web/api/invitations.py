"""The endpoints of invitations, /api/v1/invitations: made, listed and cancelled by whoever may invite, and accepted by
whoever has the link. Not here: the rules, which are in `core.invitations` and `core.invitation_link`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Response
from pydantic import Field

from passgate.core import invitations, starts
from passgate.core.policy import Enough
from passgate.errors import (
    CsrfRefused,
    FactorNotOffered,
    Invalid,
    InvitationInvalid,
    NotFound,
    PermissionMissing,
    StepUpNeeded,
    Throttled,
)
from passgate.web import guards, routes
from passgate.web.api.account import Id
from passgate.web.api.shapes import (
    SESSION,
    Cursor,
    Email,
    Input,
    Limit,
    Output,
    format_times,
    operation_id,
    refuses,
    with_example,
)
from passgate.web.api.signin import Started
from passgate.web.guards import Context
from passgate.web.guards import Session as Live
from passgate.world import iso

router = routes.endpoints(prefix="/api/v1/invitations", tags=["invitations"], generate_unique_id_function=operation_id)

_CHANGES = (*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, Invalid)


class Inviter(Output):
    id: str
    email: str


class Invitation(Output):
    id: str
    email: str
    roles: list[str]
    inviter: Annotated[Inviter | None, Field(description="Null if an operator made it")]
    created_at: str
    expires_at: str


class Invitations(Output):
    items: list[Invitation]
    next: Annotated[str | None, Field(description="Pass as `after` to get the next page; null on the last page")]


class NewInvitation(Input):
    model_config = with_example({"email": "ben@example.com", "roles": ["user"]})

    email: Email
    roles: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=40)]], Field(min_length=1, max_length=20)] | None
    ) = Field(None, description="Default: `user`. At most what you may do yourself")


class Acceptance(Input):
    model_config = with_example({"token": "pg_inv_…"})

    token: Annotated[str, Field(min_length=1, max_length=200, description="The last part of the link in the email")]


@router.get(
    "",
    responses=refuses(*SESSION, PermissionMissing, Invalid),
    response_model=Invitations,
    name="list",
    summary="List invitations",
)
async def listed(ctx: Live, after: Cursor = None, limit: Limit = 50) -> Any:
    """Returns the invitations that can still be accepted, newest first."""
    page = await invitations.listed(ctx, cursor=after, limit=limit)
    return {"items": [format_times(row) for row in page.items], "next": page.next}


@router.post(
    "",
    responses=refuses(*_CHANGES, Throttled),
    status_code=201,
    response_model=Invitation,
    name="create",
    summary="Invite somebody",
)
async def create(ctx: Live, given: NewInvitation) -> Any:
    """Emails a link that works once, for 7 days; an older invitation of the address becomes invalid. The response is
    the same if the address has an account. Requires a recent proof."""
    return format_times(await invitations.create(ctx, given.email, given.roles))


@router.delete(
    "/{id}",
    responses=refuses(*_CHANGES, NotFound),
    status_code=204,
    name="cancel",
    summary="Cancel an invitation",
)
async def cancel(ctx: Live, id: Id) -> Response:
    """Its link stops working. Requires a recent proof."""
    await invitations.cancel(ctx, id)
    return Response(status_code=204)


@router.post(
    "/accept",
    responses=refuses(InvitationInvalid, FactorNotOffered, Invalid, Throttled),
    status_code=201,
    response_model=Started,
    dependencies=[Depends(guards.stranger)],
    name="accept",
    summary="Accept an invitation",
)
async def accept(ctx: Context, given: Acceptance) -> Any:
    """Starts a sign-up that needs no emailed code, or, for somebody who is in the tenant already, their sign-in. They
    have the roles when that is done. With an empty `need`, continue with `finish`."""
    begun = await starts.by_invitation(ctx, given.token)
    listed, enrol = ([], False) if isinstance(begun.decision, Enough) else (begun.need.listed(), begun.need.enrol)
    return {"handle": begun.handle, "need": listed, "enrol": enrol, "expires_at": iso(begun.expires_at)}
