"""The page that starts an account recovery. The verification code and the new password follow as in any pending
sign-in.

No answer reveals whether the account exists.
"""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from passgate.core import starts
from passgate.core.factors import password
from passgate.web import routes
from passgate.web.guards import Anonymous, Context
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import show, tenant_of
from passgate.web.pages.signin import typed_before
from passgate.web.pages.steps import begun, binding_cookies

router = routes.pages()


@router.get("/recover")
async def show_page(request: Request, ctx: Context, visitor: Anonymous, error: Error = None) -> Response:
    """Asks for the email address of the account to recover."""
    tenant = await tenant_of(ctx)
    return show(
        request,
        "recover",
        service=tenant.display_name,
        bound_to=visitor.binding,
        error=error,
        set_cookies=binding_cookies(ctx, visitor),
        email=typed(request, "email") if error else await typed_before(ctx, visitor),
        by_password=password.name in tenant.rules.first,
    )


@router.post("/recover")
@form(show_page)
async def begin(request: Request, ctx: Context, visitor: Anonymous) -> Response:  # noqa: ARG001  its page takes it
    """Emails a code; the same page follows for unknown addresses."""
    given = fields(request, "email", optional=("tenant",))
    return await begun(ctx, await starts.recover(ctx, given["email"], given["tenant"] or None))
