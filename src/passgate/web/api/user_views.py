"""The endpoints that read one of a tenant's people: sessions, factors, activity, and what may be done to them.

Not here: the rules, which are in `core.user_views`, and the user object, which is in `users`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from passgate.core import user_views
from passgate.core.access import tenant_of
from passgate.core.ctx import Ctx
from passgate.core.users import User
from passgate.errors import Invalid, NotFound, PermissionMissing
from passgate.web import routes
from passgate.web.api.account import Activity, Id
from passgate.web.api.shapes import SESSION, Cursor, Limit, Output, Session, format_times, operation_id, page, refuses
from passgate.web.guards import Session as Live

router = routes.endpoints(prefix="/api/v1/users/{id}", tags=["users"], generate_unique_id_function=operation_id)

_READS = (*SESSION, PermissionMissing, NotFound, Invalid)


class UserSession(Session):
    carrier: Annotated[str, Field(description="How it is carried: `cookie`, `bearer` or `jwt`")]


class UserSessions(Output):
    items: list[UserSession]
    next: None


class UserFactor(Output):
    factor: str
    label: str
    created_at: str
    last_used_at: str | None


class UserFactors(Output):
    items: list[UserFactor]
    next: None


class UserActions(Output):
    actions: Annotated[list[str], Field(description="What you may do to the user now, a recent proof apart")]
    roles: Annotated[list[str], Field(description="The roles you may give to the user, or take from them")]


@router.get(
    "/sessions",
    responses=refuses(*_READS),
    response_model=UserSessions,
    name="sessions",
    summary="List a user's sessions",
)
async def sessions(ctx: Live, id: Id) -> Any:
    """Returns the user's active sessions, newest first."""
    return _all(await user_views.sessions_of(ctx, await _user(ctx, id)))


@router.get(
    "/factors",
    responses=refuses(*_READS),
    response_model=UserFactors,
    name="factors",
    summary="List what a user has set up",
)
async def factors(ctx: Live, id: Id) -> Any:
    """Returns the user's sign-in options, oldest first, one item for each passkey and each unused recovery code."""
    return _all(await user_views.factors_of(ctx, await _user(ctx, id)))


@router.get(
    "/activity",
    responses=refuses(*_READS),
    response_model=Activity,
    name="activity",
    summary="List a user's recent activity",
)
async def activity(ctx: Live, id: Id, limit: Limit = 100, after: Cursor = None) -> Any:
    """Returns the audit events about the user, and of what they did, newest first. Where somebody else acted, the
    client is empty."""
    return page(await user_views.activity_of(ctx, await _user(ctx, id), before=after, limit=limit + 1), limit)


@router.get(
    "/actions",
    responses=refuses(*_READS),
    response_model=UserActions,
    name="actions",
    summary="List what you may do to a user",
)
async def actions(ctx: Live, id: Id) -> Any:
    """Decided as when you do it, so that a page need not offer what would be refused."""
    return await user_views.actions_on(ctx, await _user(ctx, id))


async def _user(ctx: Ctx, person_id: str) -> User:
    return User(await tenant_of(ctx), person_id)


def _all(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": [format_times(row) for row in rows], "next": None}
