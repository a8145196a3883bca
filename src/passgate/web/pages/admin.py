"""What the pages of admins share: their frame, what of it somebody may see, and the operations that they call. These
pages do nothing but call the operations of the API, as a host program does, so an admin has no other power here than
there; a test reads their imports.

Not here: the pages themselves (`admin_…`), and any rule.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response

from passgate.errors import Invalid, PassgateError, PermissionMissing
from passgate.i18n import N_
from passgate.web import routes
from passgate.web.guards import Visitor, form_of
from passgate.web.pages.page import go, show

if TYPE_CHECKING:
    from passgate.operations import Operations

router = routes.pages()

HERE = "/admin"
SECTIONS = (
    ("/admin/people", N_("People"), "users:read"),
    ("/admin/invitations", N_("Invitations"), "invitations:write"),
    ("/admin/roles", N_("Roles"), "users:read"),
    ("/admin/policy", N_("Policy"), "policy:read"),
)
"""Path, name, and the permission without which a section is not displayed."""
ROLE_NAMES = {
    "owner": N_("Owner"),
    "admin": N_("Admin"),
    "user": N_("User"),
    "read_only": N_("Read only"),
}
"""What people call the built-in roles; a tenant's own have the names that it gave them."""
RoleName = Annotated[str, Path(min_length=1, max_length=40)]
_REPLACED = frozenset({b"authorization", b"x-csrf-token"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(request: Request, ctx: Visitor) -> Operations:
    """The operations of the API, for whoever opened this page or sent its form: by the cookie, as the page itself. The
    form's token goes along, because a browser that says nothing of where a request comes from needs it there too."""
    token = form_of(request).get("csrf_token", "").partition(".")[0]
    headers = [(name, value) for name, value in request.scope["headers"] if name not in _REPLACED]
    given = {**request.scope, "headers": [*headers, (b"x-csrf-token", token.encode())]}
    operations: Operations = request.app.state.operations(HTTPConnection(given), ctx)
    return operations


async def permissions(request: Request, ctx: Visitor, needed: str = "") -> frozenset[str]:
    """Those of whoever looks at the page, now. Raises PermissionMissing for somebody who may see no section, or lacks
    the one that a page is of no use without."""
    mine = frozenset(one.name for one in (await at(request, ctx).roles.permissions()).items if one.yours)
    if not any(permission in mine for _, _, permission in SECTIONS) or (needed and needed not in mine):
        raise PermissionMissing
    return mine


def page(
    request: Request, name: str, ctx: Visitor, mine: frozenset[str], error: PassgateError | None = None, /, **more: Any
) -> Response:
    """A page of admins, for somebody who has these permissions."""
    return show(
        request,
        name,
        service=ctx.person.row["display_name"],
        bound_to=ctx.person.session_id,
        error=error,
        email=ctx.person.row["email"],
        sections=[(path, text) for path, text, permission in SECTIONS if permission in mine],
        section=next((path for path, _, _ in SECTIONS if request.url.path.startswith(path)), ""),
        may=mine,
        done=request.query_params.get("done"),
        role_names=ROLE_NAMES,
        instant=instant,
        **more,
    )


def instant(at: datetime) -> int:
    """In microseconds, as templates take it."""
    return (at - _EPOCH) // timedelta(microseconds=1)


@router.get(HERE)
async def start(request: Request, ctx: Visitor) -> Response:
    """Redirects to the first section that the user may see."""
    mine = await permissions(request, ctx)
    return go(ctx, next(path for path, _, permission in SECTIONS if permission in mine))


def sent_as_json(text: str) -> dict[str, Any]:
    """What a form displayed when it was opened, as it sends it along. Raises Invalid."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid({"was": "format"}) from None
    if not isinstance(found, dict):
        raise Invalid({"was": "type"})
    return found


async def roles_to_give(
    request: Request, ctx: Visitor, mine: frozenset[str], permission: str = "roles:give"
) -> list[str]:
    """The roles that somebody with these permissions may give, the most powerful last: none with a permission that they
    lack."""
    if not mine.issuperset({permission, "users:read"}):
        return []
    every = (await at(request, ctx).roles.list()).items
    return [one.name for one in reversed(every) if mine.issuperset(one.permissions)]
