"""The page to sign up: address and password; what follows is a running sign-in like any other.

Who may sign up is decided in `core.signup`.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from passgate.core import signin
from passgate.core.ctx import Ctx
from passgate.errors import Invalid, PassgateError
from passgate.web.guards import AGuest, Context, Guest
from passgate.web.pages.page import fields, return_to, show, tenant_of, with_return
from passgate.web.pages.signin import begun, seated

router = APIRouter(include_in_schema=False)


@router.get("/signup")
async def look(request: Request, ctx: Context, guest: AGuest) -> Response:
    """Address and password, with the rules said before."""
    return await _page(request, ctx, guest)


@router.post("/signup")
async def begin(request: Request, ctx: Context, guest: AGuest) -> Response:
    """Begin to sign up: the mail tells the rest, the same page follows for known and unknown."""
    try:
        given = fields(guest.form, "email", "password", optional=("tenant", "organisation"))
        started = await signin.start_signup(
            ctx, given["email"], given["password"], None, given["tenant"] or None, given["organisation"] or None,
            return_to(request),
        )  # fmt: skip
    except PassgateError as error:
        if isinstance(error, Invalid) and "new_tenant.name" in error.fields:
            error = Invalid({"organisation": error.fields["new_tenant.name"]})
        return await _page(request, ctx, guest, error)
    return begun(ctx, started)


async def _page(request: Request, ctx: Ctx, guest: Guest, error: PassgateError | None = None) -> Response:
    tenant, back = await tenant_of(ctx), return_to(request)
    return show(
        request, "signup", service=tenant.display_name, bound_to=guest.seat, error=error,
        set_cookies=seated(ctx, guest), email=guest.form.get("email", ""),
        organisation=guest.form.get("organisation", ""), tenancy=ctx.settings.tenancy,
        shortest=tenant.rules.shortest_password, action=with_return("/signup", back),
        signin=with_return("/signin", back),
    )  # fmt: skip
