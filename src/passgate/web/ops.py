"""Endpoints for operators and developers: liveness, readiness and, in development, the mailbox. Not here: personal
data, except in the mails of the development mailbox."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from fastapi import Depends, Request, Response
from pydantic import Field
from starlette.responses import JSONResponse

from passgate.core import outbox
from passgate.core.message import Mailer
from passgate.errors import Unavailable
from passgate.store.migrate import is_behind
from passgate.store.unit import is_reachable
from passgate.web import guards, routes
from passgate.web.api.shapes import Output, operation_id, refuses
from passgate.web.guards import Context, Operator

router = routes.services(tags=["ops"], generate_unique_id_function=operation_id)


class Health(Output):
    status: Literal["ok"]


class Ready(Output):
    status: Literal["ok", "unavailable"]
    parts: dict[str, Literal["ok", "down"]] | None = Field(None, description="Visible to operators only")


@router.get(
    "/healthz",
    name="health",
    response_model=Health,
    responses=refuses(),
    dependencies=[Depends(guards.stranger)],
    summary="Check health",
)
async def healthz() -> dict[str, str]:
    """Returns 200 while the process responds."""
    return {"status": "ok"}


_UNREADY: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "Something we depend on is down"}}


@router.get("/readyz", name="ready", response_model=Ready, responses=refuses() | _UNREADY, summary="Check readiness")
async def readyz(ctx: Context, named: Operator) -> Response:
    """Returns 200 when the process can work, else 503. Names what is down only to loopback or the metrics token."""
    parts = {"database": await is_reachable(ctx.services.store)}
    parts["schema"] = parts["database"] and not await _behind(ctx)
    ready = all(parts.values())
    answer: dict[str, Any] = {"status": "ok" if ready else "unavailable"}
    if named:
        answer["parts"] = {name: "ok" if fine else "down" for name, fine in parts.items()}
    return JSONResponse(answer, status_code=200 if ready else 503)


async def _behind(ctx: Context) -> bool:
    try:
        return await is_behind(ctx.services.store, serving=True)
    except Unavailable:
        return True


class Mailbox(Mailer, Protocol):
    """A mailer that stores messages instead of sending them."""

    async def list(self, limit: int = 200) -> list[dict[str, Any]]: ...


def mailbox_of(request: Request) -> Mailbox:
    """The mailbox of the application that serves this request: the routes are shared by all applications in the
    process."""
    mailbox: Mailbox = request.app.state.mailbox
    return mailbox


developer_router = routes.services(prefix="/dev", tags=["dev"], dependencies=[Depends(guards.developer)])
"""Included in development only; the edge middleware admits only a browser on this machine."""


@developer_router.get("/mail.json", name="mail", include_in_schema=False)
async def mail_json(request: Request, ctx: Context) -> list[dict[str, Any]]:
    """Returns all emails, newest first, after delivering those that wait."""
    mailbox = mailbox_of(request)
    await outbox.settle(ctx.services, mailbox)
    return await mailbox.list()
