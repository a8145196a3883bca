"""The endpoints of a tenant's people for its admins, /api/v1/users. Not here: the rules, which are in `core.users` and
`core.directory`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from pydantic import AfterValidator, Field

from passgate.core import directory, user_changes, users
from passgate.core.access import tenant_of
from passgate.core.ctx import Ctx
from passgate.core.directory import Asked, Page, Span
from passgate.errors import (
    Conflict,
    CsrfRefused,
    Invalid,
    NotFound,
    PasswordRefused,
    PermissionMissing,
    StepUpNeeded,
    Throttled,
)
from passgate.web import routes
from passgate.web.api.account import Id
from passgate.web.api.shapes import (
    SESSION,
    Email,
    Input,
    Limit,
    Output,
    Secret,
    User,
    Username,
    format_times,
    operation_id,
    refuses,
    with_example,
)
from passgate.web.guards import Session as Live
from passgate.world import SECOND, iso

router = routes.endpoints(prefix="/api/v1/users", tags=["users"], generate_unique_id_function=operation_id)

_READS = (*SESSION, PermissionMissing, Invalid)
_CHANGES = (*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, Invalid)
RoleName = Annotated[str, Path(min_length=1, max_length=40, pattern="^[a-z_][a-z0-9_-]*$")]
Since = Annotated[str | None, Query(max_length=40, description="From this instant on (RFC 3339)")]
Until = Annotated[str | None, Query(max_length=40, description="Before this instant (RFC 3339)")]


class Managed(User):
    disabled: bool
    last_used_at: Annotated[str | None, Field(description="When the user last used a session, to the minute")]


class Users(Output):
    items: list[Managed]
    next: Annotated[str | None, Field(description="Pass as `after` to get the next page; null on the last page")]
    total: Annotated[int | None, Field(description="Only with `page`: how many users match")] = None


_Roles = Annotated[list[Annotated[str, Field(min_length=1, max_length=40)]], Field(max_length=20)]


class NewUser(Input):
    model_config = with_example({"email": "anna@example.com"})

    email: Email
    username: Username | None = None
    password: Secret | None = None
    profile: dict[str, Any] | None = None
    roles: _Roles | None = Field(None, description="Default: `user`")


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError
    return names


class UserChange(Input):
    """Members you leave out stay unchanged."""

    model_config = with_example({"profile": {"name": "Anna"}})

    profile: dict[str, Any] | None = Field(None, description="Replaces the whole profile")
    email: Email | None = None
    username: Username | None = Field(None, description="null removes it")
    password: Secret | None = Field(None, description="Ends all sessions, of yourself all others")
    roles: Annotated[_Roles, Field(min_length=1), AfterValidator(_distinct)] | None = Field(
        None, description="Replaces all roles, each given and taken as by itself"
    )


class Reset(Output):
    approval: Annotated[
        Literal["given", "needed"], Field(description="`needed`: another admin, or an owner, has to ask for it too")
    ]
    usable_at: Annotated[str | None, Field(description="When the second factors are removed")] = None


@router.get(
    "",
    responses=refuses(*_READS),
    response_model=Users,
    response_model_exclude_unset=True,
    name="list",
    summary="List users",
)
async def listed(
    ctx: Live,
    search: Annotated[str, Query(max_length=320, description="The beginning of the email address or username")] = "",
    role_at_most: Annotated[
        str | None, Query(max_length=40, description="Only users without a permission that this role lacks")
    ] = None,
    disabled: bool | None = None,
    created_since: Since = None,
    created_until: Until = None,
    updated_since: Since = None,
    updated_until: Until = None,
    last_used_since: Since = None,
    last_used_until: Until = None,
    sort: Annotated[str, Query(max_length=20, description=f"One of {', '.join(directory.SORTS)}")] = "created_at",
    after: Annotated[str | None, Query(max_length=800, description="`next` from the previous page")] = None,
    limit: Limit = 50,
    page: Annotated[
        int | None, Query(ge=1, le=directory.DEEPEST, description="Page number, instead of `after`; comes with `total`")
    ] = None,
    size: Annotated[int, Query(ge=1, le=100, description="Items of a page with a number")] = 50,
) -> Any:
    """Returns the users of the tenant. Follow `next`, or ask for pages by number, which reach 10,000 users."""
    asked = Asked(
        search=search,
        role_at_most=role_at_most,
        disabled=disabled,
        created=_span(created_since, created_until, "created"),
        updated=_span(updated_since, updated_until, "updated"),
        last_used=_span(last_used_since, last_used_until, "last_used"),
        sort=sort,
    )
    if page is None:
        return _as_json(await users.find(ctx, asked, cursor=after, limit=limit))
    if after is not None:
        raise Invalid({"after": "value"})
    return _as_json(await users.find_numbered(ctx, asked, page=page, size=size))


def _span(since: str | None, until: str | None, name: str) -> Span:
    return _instant(since, f"{name}_since"), _instant(until, f"{name}_until")


def _instant(text: str | None, name: str) -> int | None:
    """Microseconds since 1970. Raises Invalid for what is no instant: a date and a time with an offset."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid({name: "format"}) from None
    if found.tzinfo is None or found.year < 1970:
        raise Invalid({name: "format"})
    return int(found.timestamp() * SECOND)


def _as_json(found: Page) -> dict[str, Any]:
    total = {} if found.total is None else {"total": found.total}
    return {"items": [format_times(row) for row in found.items], "next": found.next, **total}


@router.post(
    "",
    responses=refuses(*_CHANGES, PasswordRefused, Conflict),
    status_code=201,
    response_model=Managed,
    name="create",
    summary="Create a user",
)
async def create(ctx: Live, given: NewUser) -> Any:
    """No email is sent. The user signs in with the password, or sets one by recovering the account, which also confirms
    the address. Requires a recent proof."""
    about: dict[str, Any] = {"username": given.username, "profile": given.profile, "roles": given.roles}
    return format_times(await user_changes.create(ctx, given.email, secret=given.password, **about))


@router.get("/{id}", responses=refuses(*_READS, NotFound), response_model=Managed, name="show", summary="Get a user")
async def show(ctx: Live, id: Id) -> Any:
    """Returns a user of the tenant; everybody may get themselves."""
    return format_times(await users.one(ctx, id))


@router.patch(
    "/{id}",
    responses=refuses(*_CHANGES, PasswordRefused, NotFound, Conflict, Throttled),
    response_model=Managed,
    name="change",
    summary="Change a user",
)
async def change(ctx: Live, id: Id, given: UserChange) -> Any:
    """Makes all changes or none. The user is notified of a new address or password and can undo it for a week. A new
    address is unconfirmed. `roles` takes the permission `roles:give` besides, and what each of them takes by itself. Of
    yourself you can change profile, username and password here; a new password ends your other sessions. Requires a
    recent proof, except for your own profile."""
    removes = "username" in given.model_fields_set and given.username is None
    roles = None if given.roles is None else tuple(given.roles)
    name = "" if removes else given.username
    wanted = user_changes.Change(given.profile, given.email, given.password, name, roles)
    return format_times(await user_changes.change(ctx, id, wanted))


@router.delete(
    "/{id}",
    responses=refuses(*_CHANGES, NotFound, Conflict),
    status_code=204,
    name="delete",
    summary="Delete a user",
)
async def delete(ctx: Live, id: Id) -> Response:
    """Erases the user at once, with everything of theirs. The audit trail keeps its rows, without their personal parts.
    Requires a recent proof."""
    await user_changes.delete(ctx, await _user(ctx, id))
    return Response(status_code=204)


@router.post(
    "/{id}/disable",
    responses=refuses(*_CHANGES, NotFound, Conflict),
    response_model=Managed,
    name="disable",
    summary="Disable a user",
)
async def disable(ctx: Live, id: Id) -> Any:
    """Ends all sessions and pending sign-ins, and lets none start. Requires a recent proof."""
    return format_times(await users.disable(ctx, await _user(ctx, id)))


@router.post(
    "/{id}/enable",
    responses=refuses(*_CHANGES, NotFound),
    response_model=Managed,
    name="enable",
    summary="Enable a user",
)
async def enable(ctx: Live, id: Id) -> Any:
    """What was ended stays ended: the user signs in anew. Requires a recent proof."""
    return format_times(await users.enable(ctx, await _user(ctx, id)))


@router.post(
    "/{id}/sign-out",
    responses=refuses(*_CHANGES, NotFound),
    status_code=204,
    name="sign_out",
    summary="Sign a user out",
)
async def sign_out(ctx: Live, id: Id) -> Response:
    """Ends all of the user's sessions, and whatever could open a new one without a proof. Requires a recent proof."""
    await users.sign_out(ctx, await _user(ctx, id))
    return Response(status_code=204)


@router.post(
    "/{id}/factors/reset",
    responses=refuses(*_CHANGES, NotFound),
    status_code=202,
    response_model=Reset,
    response_model_exclude_none=True,
    name="reset_factors",
    summary="Reset a user's second factors",
)
async def reset_factors(ctx: Live, id: Id) -> Any:
    """For a user who has lost them. They are removed after a waiting period (`PASSGATE_RECOVERY__WAIT`), in which the
    user, who is notified at once, can stop it. For somebody with the same permissions as you, a second admin or an
    owner has to ask too. Requires a recent proof."""
    usable_at = await users.reset_factors(ctx, await _user(ctx, id))
    return {"approval": "needed"} if usable_at is None else {"approval": "given", "usable_at": iso(usable_at)}


@router.put(
    "/{id}/roles/{role}",
    responses=refuses(*_CHANGES, NotFound),
    response_model=Managed,
    name="give_role",
    summary="Give a user a role",
)
async def give_role(ctx: Live, id: Id, role: RoleName) -> Any:
    """Applies from the user's next request on. Nobody gives more than they have, or changes their own roles. Requires a
    recent proof."""
    return format_times(await users.give_role(ctx, await _user(ctx, id), role))


@router.delete(
    "/{id}/roles/{role}",
    responses=refuses(*_CHANGES, NotFound, Conflict),
    response_model=Managed,
    name="take_role",
    summary="Take a role from a user",
)
async def take_role(ctx: Live, id: Id, role: RoleName) -> Any:
    """Applies from the user's next request on. The last owner stays. Requires a recent proof."""
    return format_times(await users.take_role(ctx, await _user(ctx, id), role))


async def _user(ctx: Ctx, person_id: str) -> users.User:
    return users.User(await tenant_of(ctx), person_id)
