"""The endpoints of one's own account: /api/v1/me. Rules live in `core.account`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
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
from passgate.web import cookies
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
from passgate.web.guards import Context
from passgate.web.guards import Session as Live

router = APIRouter(prefix="/api/v1/me", tags=["me"], generate_unique_id_function=operation_id)

Id = Annotated[str, Path(min_length=36, max_length=36, pattern="^[0-9a-f-]{36}$")]


Next = Annotated[str | None, Field(description="`after` of the next page; null on the last")]


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
    sent_to: Annotated[str, Field(description="The new address, hidden but for its owner", examples=["a…@example.org"])]


class AddressProof(Input):
    model_config = with_example({"answer": "12345678"})

    answer: Annotated[str, Field(min_length=1, max_length=1024, description="The code from the mail")]


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


@router.get("", responses=refuses(*SESSION), response_model=Me, name="show", summary="Who I am")
async def show(found: Live) -> Any:
    """The person and the tenant of the session that is carried. Using it keeps the session alive."""
    body = whole(found)
    return rendered({"user": body["user"], "tenant": body["tenant"]})


@router.patch(
    "",
    responses=refuses(*SESSION, CsrfRefused, Invalid),
    response_model=Me,
    name="change",
    summary="Replace my profile",
)
async def change(ctx: Context, found: Live, given: ProfileChange) -> Any:
    """The whole of it: what is not sent is gone."""
    stored = await account.set_profile(ctx.acting(found.actor), found.actor, given.profile)
    body = whole(found)
    return rendered({"user": {**body["user"], "profile": stored}, "tenant": body["tenant"]})


@router.delete(
    "",
    responses=refuses(*SESSION, StepUpNeeded, CsrfRefused, Conflict),
    status_code=204,
    name="delete",
    summary="Delete my account",
)
async def delete(ctx: Context, found: Live) -> Response:
    """For good. Wants a fresh proof: where it is missing, the 401 says how old one may be; step up, then ask again."""
    await account.delete(ctx.acting(found.actor), found.actor)
    return Response(status_code=204, headers={"set-cookie": cookies.clear_session(ctx.settings)})


@router.get(
    "/export", responses=refuses(*SESSION), response_model=Export, name="export", summary="Everything kept about me"
)
async def export(ctx: Context, found: Live) -> Any:
    """All that is not a secret, in one document."""
    data = await account.exported(ctx.acting(found.actor), found.actor)
    lists = {name: [format_times(row) for row in data[name]] for name in ("credentials", "sessions", "activity")}
    return {"user": format_times(data["user"]), **lists}


@router.get(
    "/activity",
    responses=refuses(*SESSION, Invalid),
    response_model=Activity,
    name="activity",
    summary="What happened with my account",
)
async def activity(ctx: Context, found: Live, limit: Limit = 100, after: Cursor = None) -> Any:
    """Newest first."""
    return page(await account.my_activity(ctx, found.actor, before=after, limit=limit + 1), limit)


@router.post(
    "/password",
    responses=refuses(*SESSION, StepUpNeeded, CsrfRefused, Invalid, PasswordRefused),
    status_code=204,
    name="password",
    summary="Set a new password",
)
async def password(ctx: Context, found: Live, given: NewPassword) -> Response:
    """All my other sessions end. Wants a fresh proof: where it is missing, step up, then ask again."""
    await account.set_password(ctx.acting(found.actor), found.actor, given.password)
    return Response(status_code=204)


@router.post(
    "/address",
    responses=refuses(*SESSION, CsrfRefused, Invalid, StepUpNeeded),
    status_code=202,
    response_model=SentTo,
    name="address",
    summary="Begin to change my address",
)
async def begin_address(ctx: Context, found: Live, given: NewAddress) -> Any:
    """Mails a code to the new address; the answer is the same whether somebody has it already. Wants a fresh proof."""
    return {"sent_to": await address.start(ctx.acting(found.actor), found.actor, given.email)}


@router.post(
    "/address/prove",
    responses=refuses(*SESSION, CsrfRefused, Invalid, ProofRefused, StepUpNeeded, Throttled),
    status_code=204,
    name="prove_address",
    summary="Prove my new address",
)
async def prove_address(ctx: Context, found: Live, given: AddressProof) -> Response:
    """The address moves. Both are told, and the old one can take it back for seven days."""
    await address.prove(ctx.acting(found.actor), found.actor, given.answer)
    return Response(status_code=204)


@router.get(
    "/sessions",
    responses=refuses(*SESSION, Invalid),
    response_model=Sessions,
    name="sessions",
    summary="Where I am signed in",
)
async def sessions(ctx: Context, found: Live, limit: Limit = 100, after: Cursor = None) -> Any:
    """My live sessions, newest first."""
    return page(await account.my_sessions(ctx, found.actor, before=after, limit=limit + 1), limit)


@router.delete(
    "/sessions",
    responses=refuses(*SESSION, CsrfRefused),
    status_code=204,
    name="end_others",
    summary="End all my other sessions",
)
async def end_others(ctx: Context, found: Live) -> Response:
    """The one that is carried stays."""
    await account.end_other_sessions(ctx.acting(found.actor), found.actor)
    return Response(status_code=204)


@router.delete(
    "/sessions/{id}",
    responses=refuses(*SESSION, CsrfRefused, NotFound, Invalid),
    status_code=204,
    name="end_one",
    summary="End one of my sessions",
)
async def end_one(ctx: Context, found: Live, id: Id) -> Response:
    """By its id, as the list shows it; the one that is carried may be ended too."""
    await account.end_session(ctx.acting(found.actor), found.actor, id)
    return Response(status_code=204)
