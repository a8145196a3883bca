"""The passkey pages: the options for the script, and the browser's answer, which is posted as an ordinary form.

Not here: what an answer proves, which `core.factors.passkey` decides.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from passgate.core import signin, starts
from passgate.core.ctx import Ctx
from passgate.core.factors import passkey
from passgate.core.journey import SIGN_IN
from passgate.core.pending import SignIn
from passgate.core.policy import Need
from passgate.errors import FactorNotOffered, HandleInvalid, Malformed
from passgate.web import cookies, csrf, routes
from passgate.web.guards import Anonymous, AnonymousVisitor, Context, Pending
from passgate.web.pages.form import Error, fields, form
from passgate.web.pages.page import return_to, tenant_of
from passgate.web.pages.steps import browser_of, is_nobody, needed, page, proved, remembers
from passgate.wire import body

router = routes.pages()

ANYBODY, AUTOFILL = "anybody", "autofill"
"""The decisions of the first page: any passkey may be used, whatever address was typed before. What waits in a field's
autofill must not end a sign-in that another tab has begun; a button may."""


def optioned(ctx: Ctx, options: dict[str, Any], bound_to: str, *set_cookies: str, sign_in_id: str = "") -> Response:
    """The options for `navigator.credentials` as JSON, and the CSRF token of the forms from now on."""
    answer = JSONResponse({"publicKey": options, "csrf_token": csrf.of_form(ctx, bound_to, sign_in_id)})
    for cookie in set_cookies:
        answer.headers.append("set-cookie", cookie)
    return answer


def answer_of(text: str) -> dict[str, Any]:
    """The browser's answer. Anything that is not a JSON object becomes an answer that cannot match."""
    try:
        found = body.decode_json(text.encode())
    except Malformed:
        return {}
    return found if isinstance(found, dict) else {}


@router.post("/signin/passkey/options")
async def options(request: Request, ctx: Context, visitor: Anonymous) -> Response:
    """Returns the browser's options for the pending sign-in, or for a new one without an email address."""
    decision = fields(request, optional=("decision",))["decision"]
    handle = await _offering(request, ctx, visitor, decision)
    if handle is not None:
        sign_in = await signin.find(ctx, handle)
        waits = await passkey.waiting(ctx, sign_in) if decision == AUTOFILL else None
        made = waits or await signin.challenge(ctx, handle, passkey.name)
        return optioned(ctx, made, handle, sign_in_id=sign_in.id)
    if passkey.name not in (await tenant_of(ctx)).rules.first:
        raise FactorNotOffered
    handle = (await starts.sign_in(ctx, None, None, return_to(request), browser_of(request, ctx))).handle
    made, sign_in = await signin.challenge(ctx, handle, passkey.name), await signin.find(ctx, handle)
    return optioned(ctx, made, handle, cookies.set_signin(ctx.settings, handle), sign_in_id=sign_in.id)


async def _offering(request: Request, ctx: Ctx, visitor: AnonymousVisitor, decided: str) -> str | None:
    """The handle of the pending sign-in, if it asks for a passkey now; else None. FactorNotOffered if it must go on."""
    try:
        sign_in = await signin.find(ctx, visitor.binding)
    except HandleInvalid:
        return None
    if decided in (ANYBODY, AUTOFILL) and not _is_blank(sign_in, return_to(request)):
        if decided == AUTOFILL and not is_nobody(sign_in):
            raise FactorNotOffered
        return None
    decision = signin.decide(ctx, sign_in)
    return visitor.binding if isinstance(decision, Need) and decision.offers(passkey.name) else None


def _is_blank(sign_in: SignIn, wanted: str | None) -> bool:
    """Whether this endpoint started the sign-in for the same page and nothing has been proved yet."""
    return sign_in.journey is SIGN_IN and is_nobody(sign_in) and sign_in.data.get("return_to") == wanted


@router.get("/signin/passkey")
async def ask(request: Request, ctx: Context, visitor: Pending, error: Error = None) -> Response:
    """Asks for a passkey, or offers to create one."""
    needed(ctx, visitor, passkey.FACTOR)
    return await page(request, ctx, visitor, passkey.FACTOR, "signin-passkey", error, passkeys=True)


@router.post("/signin/passkey")
@form(ask, passes_on=HandleInvalid)
async def prove(request: Request, ctx: Context, visitor: Pending) -> Response:
    """Checks the passkey, or saves the one the browser created."""
    needed(ctx, visitor, passkey.FACTOR)
    given = fields(request, optional=("answer", "remember"))
    return await proved(ctx, visitor, passkey.FACTOR, answer_of(given["answer"]), remember=remembers(given))
