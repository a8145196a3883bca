"""The session endpoint. `GET` is by far the most frequent request, so it is plain ASGI without a framework.

Not here: what makes a session live, which `core.sessions` decides for every endpoint.
"""

from __future__ import annotations

from typing import Any

from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import Send

from passgate.core import account, carriers
from passgate.core.ctx import Ctx
from passgate.errors import CsrfRefused
from passgate.web import cookies, routes
from passgate.web.api.shapes import (
    SESSION,
    Output,
    Session,
    Tenant,
    User,
    operation_id,
    refuses,
    rendered,
    send_json,
    whole,
)
from passgate.web.guards import Leaving, Peek, carried

router = routes.endpoints(prefix="/api/v1", tags=["session"], generate_unique_id_function=operation_id)


class Whole(Output):
    user: User
    tenant: Tenant
    session: Session


async def answer(ctx: Ctx, headers: Headers, _body: object, send: Send) -> None:
    """GET /api/v1/session. Never extends the session; reads the store each time."""
    secret, by_cookie = carried(ctx, headers)
    await send_json(send, whole((await carriers.acting(ctx, secret, by_cookie=by_cookie)).person))


@router.get(
    "/session", responses=refuses(*SESSION), response_model=Whole, name="show", summary="Get the current session"
)
async def show(ctx: Peek) -> Any:  # without a query, the edge middleware calls `answer` instead
    """Returns the session, its user and its tenant. Doesn't extend the session."""
    return rendered(whole(ctx.person))


@router.delete("/session", responses=refuses(*SESSION, CsrfRefused), status_code=204, name="end", summary="Sign out")
async def end(ctx: Leaving) -> Response:
    """Ends the current session and clears its cookie."""
    await account.end_session(ctx, ctx.person.session_id)
    return Response(status_code=204, headers={"set-cookie": cookies.clear_session(ctx.settings)})
