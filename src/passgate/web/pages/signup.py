"""The sign-up page: address and password. What follows is a pending sign-in like any other.

Not here: who may sign up, which `core.signup` decides.
"""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from passgate.core import starts
from passgate.core.ctx import Ctx
from passgate.core.factors import passkey, password
from passgate.errors import Invalid
from passgate.web import routes
from passgate.web.guards import Anonymous, Context
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import return_to, show, tenant_of, with_return
from passgate.web.pages.steps import begun, binding_cookies

router = routes.pages()


@router.get("/signup")
async def show_page(request: Request, ctx: Context, visitor: Anonymous, error: Error = None) -> Response:
    """Asks for an email address and a password."""
    tenant, back = await tenant_of(ctx), return_to(request)
    if isinstance(error, Invalid) and "new_tenant.name" in error.fields:
        error = Invalid({"organisation": error.fields["new_tenant.name"]})
    return show(
        request,
        "signup",
        service=tenant.display_name,
        bound_to=visitor.binding,
        error=error,
        set_cookies=binding_cookies(ctx, visitor),
        email=typed(request, "email"),
        organisation=typed(request, "organisation"),
        tenancy=ctx.settings.tenancy,
        address_first=tenant.rules.address_proof == "first",
        shortest=tenant.rules.shortest_password(ctx.factors),
        action=with_return("/signup", back),
        signin=with_return("/signin", back),
        by_password=password.name in tenant.rules.first,
        by_passkey=passkey.name in tenant.rules.first,
        passkeys=passkey.name in tenant.rules.first,
    )


@router.post("/signup")
@form(show_page)
async def begin(request: Request, ctx: Context, visitor: Anonymous) -> Response:  # noqa: ARG001  its page takes it
    """Starts a sign-up; the same page follows for known addresses."""
    given = await _fields(request, ctx)
    started = await starts.sign_up(
        ctx,
        given["email"],
        given["password"] or None,
        None,
        given["tenant"] or None,
        given["organisation"] or None,
        return_to(request),
    )
    return await begun(ctx, started)


async def _fields(request: Request, ctx: Ctx) -> dict[str, str]:
    """The fields of the form. A sign-up with a passkey has no password; one that a browser filled in is ignored."""
    first, more = (await tenant_of(ctx)).rules.first, ("tenant", "organisation", "decision")
    chosen = typed(request, "decision")
    if chosen not in ("", passkey.name) or (chosen and passkey.name not in first):
        raise Invalid({"decision": "value"})
    if not chosen and password.name in first:
        return fields(request, "email", "password", optional=more)
    return {**fields(request, "email", optional=("password", *more)), "password": ""}
