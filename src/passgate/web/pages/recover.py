"""The page that starts an account recovery. The verification code and the new password follow as in any pending
sign-in.

No answer reveals whether the account exists.
"""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from passgate.core import starts
from passgate.core.ctx import Ctx
from passgate.core.factors import password
from passgate.errors import PassgateError
from passgate.web import routes
from passgate.web.guards import Anonymous, AnonymousVisitor, Context
from passgate.web.pages.page import fields, show, tenant_of
from passgate.web.pages.signin import typed_before
from passgate.web.pages.steps import begun, binding_cookies

router = routes.pages()


@router.get("/recover")
async def show_page(request: Request, ctx: Context, visitor: Anonymous) -> Response:
    """Asks for the email address of the account to recover."""
    return await _page(request, ctx, visitor, await typed_before(ctx, visitor))


@router.post("/recover")
async def begin(request: Request, ctx: Context, visitor: Anonymous) -> Response:
    """Emails a code; the same page follows for unknown addresses."""
    try:
        given = fields(visitor.form, "email", optional=("tenant",))
        started = await starts.recover(ctx, given["email"], given["tenant"] or None)
    except PassgateError as error:
        return await _page(request, ctx, visitor, visitor.form.get("email", ""), error)
    return await begun(ctx, started)


async def _page(
    request: Request, ctx: Ctx, visitor: AnonymousVisitor, email: str, error: PassgateError | None = None
) -> Response:
    tenant = await tenant_of(ctx)
    return show(
        request,
        "recover",
        service=tenant.display_name,
        bound_to=visitor.binding,
        error=error,
        set_cookies=binding_cookies(ctx, visitor),
        email=email,
        by_password=password.name in tenant.rules.first,
    )
