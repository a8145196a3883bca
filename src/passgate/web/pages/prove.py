"""The pages of typed factors: password, verification code, authenticator app, backup code, and a host's own. One form
per factor is built from its value.

Not here: what is asked for, which `core.signin` decides, and passkeys, which have their own module.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from passgate import qr
from passgate.core import signin
from passgate.core.ctx import Ctx
from passgate.core.factor import Factor, Factors
from passgate.core.policy import Need
from passgate.errors import HandleInvalid, PassgateError
from passgate.web import routes
from passgate.web.guards import Context, Pending, PendingVisitor, RedirectTo
from passgate.web.pages.form import Answer, Error, fields, form, typed
from passgate.web.pages.page import go
from passgate.web.pages.steps import needed, page, path_of, proved, ranked, remembers, sent_to, waiting


@lru_cache(4)
def pages_of(factors: Factors) -> APIRouter:
    """The routers of every typed factor, and the page of a recovery that waits."""
    router = routes.pages()
    for factor in factors:
        if factor.answer == "text":
            _add_form(router, factor)
    router.add_api_route("/recover/waiting", wait, methods=["GET"])
    return router


def _add_form(router: APIRouter, factor: Factor) -> None:
    async def ask(request: Request, ctx: Context, visitor: Pending, error: Error = None) -> Response:
        need = needed(ctx, visitor, factor)
        if error is None and factor.is_sent and not await factor.was_sent(ctx, visitor.sign_in):
            # Opened by its address: the page before it has the button that sends something.
            first = ranked(ctx, visitor.sign_in, need)[0]
            if first is not factor:
                raise RedirectTo(path_of(first))
        return await _form(request, ctx, visitor, factor, need, error)

    @form(ask, passes_on=HandleInvalid)
    async def prove(request: Request, ctx: Context, visitor: Pending) -> Response:
        need = needed(ctx, visitor, factor)
        name = factor.set_up.form_field if need.enrol and factor.set_up else factor.form_field
        given = fields(request, name, optional=("remember",))
        return await proved(ctx, visitor, factor, given[name], remember=remembers(given))

    ask.__doc__ = f"Asks for a proof with {factor.texts.name}, or for its setup."
    prove.__doc__ = f"Checks a proof with {factor.texts.name}, or its setup."
    router.add_api_route(path_of(factor), ask, methods=["GET"])
    router.add_api_route(path_of(factor), prove, methods=["POST"])
    if factor.is_sent:
        _add_challenge(router, factor, ask, f"{path_of(factor)}/again", f"{path_of(factor)}?again=1")
    if factor.set_up is not None and factor.set_up.is_drawn:
        _add_challenge(router, factor, ask, f"{path_of(factor)}/offer", path_of(factor))


async def _form(
    request: Request, ctx: Ctx, visitor: PendingVisitor, factor: Factor, need: Need, error: PassgateError | None
) -> Response:
    set_up = factor.set_up if need.enrol else None
    context: dict[str, Any] = {"code": "", "drawn": None, "passkeys": False}
    if factor.is_sent:
        context |= {
            "code": typed(request, "code"),
            "again": request.query_params.get("again") == "1",
            "sent_to": await sent_to(ctx, visitor.sign_in),
            "minutes": ctx.settings.mail.code_life // 60,
        }
    if set_up is not None and set_up.is_drawn:
        context["drawn"] = picture(await signin.offered(ctx, visitor.handle, factor.name))
    if factor.has_passkey_button and not need.enrol:
        context["passkeys"] = any(one.answer == "object" and need.offers(one.name) for one in ctx.factors)
    name = set_up.page if set_up is not None and set_up.page else f"signin-{factor.path}"
    return await page(request, ctx, visitor, factor, name, error, **context)


def _add_challenge(router: APIRouter, factor: Factor, ask: Answer, path: str, back: str) -> None:
    """The route that sends a new code or makes a new secret before the page is displayed; an older one becomes
    invalid."""

    @form(ask, passes_on=HandleInvalid)
    async def challenge(request: Request, ctx: Context, visitor: Pending) -> Response:
        needed(ctx, visitor, factor)
        fields(request)
        await signin.challenge(ctx, visitor.handle, factor.name)
        return go(ctx, back)

    challenge.__doc__ = f"Sends or creates the challenge for {factor.texts.name}; an earlier one expires."
    router.add_api_route(path, challenge, methods=["POST"])


def picture(offered: dict[str, Any] | None) -> dict[str, str] | None:
    """What an authenticator app reads: the QR code, and the secret in groups of four characters for typing."""
    if offered is None:
        return None
    secret = offered["secret"]
    grouped = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    # Markup that we generate: input reaches it only as black and white squares.
    return {"qr": Markup(qr.svg(offered["otpauth_uri"])), "secret": grouped}  # noqa: S704


async def wait(request: Request, ctx: Context, visitor: Pending) -> Response:
    """The page of a recovery that waits: when it can go on, and that the owner got a mail."""
    until = await waiting(ctx, visitor)
    if until is None:
        raise RedirectTo("/signin")
    return await page(request, ctx, visitor, None, "recover-waiting", until=until)
