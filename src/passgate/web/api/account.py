"""The endpoints of the caller's own account: /api/v1/me. Not here: the rules, which are in `core.account`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import Field

from passgate.core import account, address
from passgate.errors import (
    Conflict,
    CsrfRefused,
    Invalid,
    NotFound,
    PasswordRefused,
    ProofRefused,
    StepUpNeeded,
    Throttled,
)
from passgate.web import cookies, routes
from passgate.web.api.shapes import (
    SESSION,
    Client,
    Cursor,
    Email,
    Input,
    Limit,
    Output,
    Secret,
    Session,
    Tenant,
    User,
    format_times,
    operation_id,
    page,
    refuses,
    rendered,
    whole,
    with_example,
)
from passgate.web.guards import Session as Live

router = routes.endpoints(prefix="/api/v1/me", tags=["me"], generate_unique_id_function=operation_id)

Id = Annotated[str, Path(min_length=36, max_length=36, pattern="^[0-9a-f-]{36}$")]


Next = Annotated[str | None, Field(description="Pass as `after` to get the next page; null on the last page")]


class Me(Output):
    user: User
    tenant: Tenant


class ProfileChange(Input):
    model_config = with_example({"profile": {"name": "Anna"}})

    profile: Annotated[dict[str, Any], Field(max_length=100)]


class NewPassword(Input):
    password: Secret


class NewAddress(Input):
    model_config = with_example({"email": "anna@example.org"})

    email: Email


class SentTo(Output):
    sent_to: Annotated[str, Field(description="The new email address, partly hidden", examples=["a…@example.org"])]


class AddressProof(Input):
    model_config = with_example({"answer": "12345678"})

    answer: Annotated[str, Field(min_length=1, max_length=1024, description="The verification code from the email")]


class Sessions(Output):
    items: list[Session]
    next: Next


class Happening(Output):
    id: str
    at: str
    event: str
    client: Client


class Activity(Output):
    items: list[Happening]
    next: Next


class Credential(Output):
    kind: str
    label: str
    created_at: str
    last_used_at: str | None
    revoked_at: str | None


class Export(Output):
    user: User
    credentials: list[Credential]
    sessions: list[Session]
    activity: list[Happening]


@router.get("", responses=refuses(*SESSION), response_model=Me, name="show", summary="Get the current user")
async def show(ctx: Live) -> Any:
    """Returns the signed-in user and their tenant. Extends the session."""
    body = whole(ctx.person)
    return rendered({"user": body["user"], "tenant": body["tenant"]})


@router.patch(
    "",
    responses=refuses(*SESSION, CsrfRefused, Invalid),
    response_model=Me,
    name="change",
    summary="Replace the profile",
)
async def change(ctx: Live, given: ProfileChange) -> Any:
    """Replaces the whole profile. Members you leave out are removed."""
    stored = await account.set_profile(ctx, given.profile)
    body = whole(ctx.person)
    return rendered({"user": {**body["user"], "profile": stored}, "tenant": body["tenant"]})


@router.delete(
    "",
    responses=refuses(*SESSION, StepUpNeeded, CsrfRefused, Conflict),
    status_code=204,
    name="delete",
    summary="Delete the account",
)
async def delete(ctx: Live) -> Response:
    """Closes the account at once and erases it after a waiting period (`PASSGATE_ERASE__WAIT`), in which the user can
    restore it. Requires a recent proof: on a 401, step up, then try again."""
    await account.delete(ctx)
    return Response(status_code=204, headers={"set-cookie": cookies.clear_session(ctx.settings)})


@router.get("/export", responses=refuses(*SESSION), response_model=Export, name="export", summary="Export account data")
async def export(ctx: Live) -> Any:
    """Returns everything stored about the user, except secrets, in one document."""
    data = await account.exported(ctx)
    lists = {name: [format_times(row) for row in data[name]] for name in ("credentials", "sessions", "activity")}
    return {"user": format_times(data["user"]), **lists}


@router.get(
    "/activity",
    responses=refuses(*SESSION, Invalid),
    response_model=Activity,
    name="activity",
    summary="List recent activity",
)
async def activity(ctx: Live, limit: Limit = 100, after: Cursor = None) -> Any:
    """Returns the account's audit events, newest first."""
    return page(await account.my_activity(ctx, before=after, limit=limit + 1), limit)


@router.post(
    "/password",
    responses=refuses(*SESSION, StepUpNeeded, CsrfRefused, Invalid, PasswordRefused),
    status_code=204,
    name="password",
    summary="Change the password",
)
async def password(ctx: Live, given: NewPassword) -> Response:
    """Ends all other sessions. Requires a recent proof: on a 401, step up, then try again."""
    await account.set_password(ctx, given.password)
    return Response(status_code=204)


@router.post(
    "/address",
    responses=refuses(*SESSION, CsrfRefused, Invalid, StepUpNeeded),
    status_code=202,
    response_model=SentTo,
    name="address",
    summary="Start changing the email address",
)
async def begin_address(ctx: Live, given: NewAddress) -> Any:
    """Emails a code to the new address. The response is the same if the address is taken. Requires a recent proof."""
    return {"sent_to": await address.start(ctx, given.email)}


@router.post(
    "/address/prove",
    responses=refuses(*SESSION, CsrfRefused, Invalid, ProofRefused, StepUpNeeded, Throttled),
    status_code=204,
    name="prove_address",
    summary="Confirm the new email address",
)
async def prove_address(ctx: Live, given: AddressProof) -> Response:
    """Changes the email address. Both addresses are notified, and the old one can undo the change for 7 days."""
    await address.prove(ctx, given.answer)
    return Response(status_code=204)


@router.get(
    "/sessions",
    responses=refuses(*SESSION, Invalid),
    response_model=Sessions,
    name="sessions",
    summary="List sessions",
)
async def sessions(ctx: Live, limit: Limit = 100, after: Cursor = None) -> Any:
    """Returns the user's active sessions, newest first."""
    return page(await account.my_sessions(ctx, before=after, limit=limit + 1), limit)


@router.delete(
    "/sessions",
    responses=refuses(*SESSION, CsrfRefused),
    status_code=204,
    name="end_others",
    summary="Sign out everywhere else",
)
async def end_others(ctx: Live) -> Response:
    """Ends every session except the current one."""
    await account.end_other_sessions(ctx)
    return Response(status_code=204)


@router.delete(
    "/sessions/{id}",
    responses=refuses(*SESSION, CsrfRefused, NotFound, Invalid),
    status_code=204,
    name="end_one",
    summary="End a session",
)
async def end_one(ctx: Live, id: Id) -> Response:
    """Ends one of the user's sessions. You can end the current session too."""
    await account.end_session(ctx, id)
    return Response(status_code=204)
