"""The mailbox of development as a page: mails, newest first, with their codes and links.

The edge middleware admits only a browser on this machine, and production does not mount the page.
"""

from __future__ import annotations

from datetime import datetime

from fastapi import Depends, Request
from starlette.responses import Response

from passgate.core import outbox
from passgate.web import guards, routes
from passgate.web.guards import Context
from passgate.web.ops import mailbox_of
from passgate.web.pages.page import show

_LISTED = 12


developer_router = routes.pages(dependencies=[Depends(guards.developer)])


@developer_router.get("/dev/mail")
async def mails(request: Request, ctx: Context) -> Response:
    """Lists the newest emails."""
    mailbox = mailbox_of(request)
    await outbox.settle(ctx.services, mailbox)
    found = await mailbox.list(_LISTED)
    mails = [{**mail, "sent": _instant(str(mail["sent_at"]))} for mail in found]
    return show(request, "dev-mail", service="Passgate", mails=mails)


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000) * 1000
