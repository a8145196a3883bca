"""Development's mailbox as a page: what was mailed, newest first, with its code and its link.

The edge keeps everybody but this machine's own browser out; production never mounts it.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from passgate.core import outbox
from passgate.web import guards
from passgate.web.guards import Context
from passgate.web.ops import mailbox_of
from passgate.web.pages.page import show

_LISTED = 12


developer_router = APIRouter(include_in_schema=False, dependencies=[Depends(guards.developer)])


@developer_router.get("/dev/mail")
async def mails(request: Request, ctx: Context) -> Response:
    """The newest mails. What waits is delivered first."""
    mailbox = mailbox_of(request)
    await outbox.settle(ctx.services, mailbox)
    return show(request, "dev-mail", service="Passgate", mails=await mailbox.list(_LISTED))
