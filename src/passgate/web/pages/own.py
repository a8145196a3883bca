"""The account page of a factor without a page of its own, such as a host's: set it up, replace it, remove it. One
router per factor is built from its value.

Not here: what may be added or removed and how fresh the proof must be, which `core.enrolment` decides.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Request
from starlette.responses import Response

from passgate.core import enrolment
from passgate.core.ctx import Ctx
from passgate.core.factor import Factor
from passgate.errors import PassgateError
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages.account import is_fresh, page
from passgate.web.pages.factors import HERE
from passgate.web.pages.form import Error, fields, form
from passgate.web.pages.page import go


def pages_of(own: Iterable[Factor]) -> APIRouter:
    router = routes.pages(prefix="/account")
    for factor in own:
        _add(router, factor)
    return router


def _add(router: APIRouter, factor: Factor) -> None:
    async def ask(request: Request, ctx: Visitor, error: Error = None) -> Response:
        return await _page(request, ctx, factor, error)

    @form(ask)
    async def prove(request: Request, ctx: Visitor) -> Response:
        await enrolment.prove(ctx, factor.name, fields(request, "code")["code"])
        return go(ctx, f"{HERE}?done=own")

    @form(ask)
    async def remove(request: Request, ctx: Visitor) -> Response:
        fields(request)
        await enrolment.remove(ctx, factor.name)
        return go(ctx, f"{HERE}?done=no-own")

    ask.__doc__ = f"Offers to set up, replace or remove {factor.texts.name}."
    prove.__doc__ = f"Sets up or replaces {factor.texts.name}."
    remove.__doc__ = f"Removes {factor.texts.name}."
    router.add_api_route(f"/{factor.path}", ask, methods=["GET"])
    router.add_api_route(f"/{factor.path}", prove, methods=["POST"])
    router.add_api_route(f"/{factor.path}/remove", remove, methods=["POST"])


async def _page(request: Request, ctx: Ctx, factor: Factor, error: PassgateError | None) -> Response:
    own = {one["factor"]: one["since"] for one in (await enrolment.overview(ctx))["own"]}
    return page(
        request,
        "account-factor",
        ctx,
        error,
        fresh=await is_fresh(ctx),
        path=f"/account/{factor.path}",
        what=factor.texts.name,
        since=own[factor],
        wrong=factor.texts.wrong,
    )
