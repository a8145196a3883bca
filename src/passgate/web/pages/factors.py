"""The account pages of factors: passkeys, the authenticator app, backup codes, remembered browsers.

Not here: what may be added or removed and how fresh the proof must be, which `core.enrolment` decides.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from passgate.core import account, enrolment
from passgate.core.ctx import Ctx
from passgate.core.factors import passkey, totp
from passgate.errors import NotFound, PassgateError
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages.account import Id, is_fresh, page
from passgate.web.pages.form import Error, fields, form, typed
from passgate.web.pages.page import go
from passgate.web.pages.passkey import answer_of, optioned
from passgate.web.pages.prove import picture
from passgate.web.pages.steps import CODES

router = routes.pages(prefix="/account")

HERE = "/account/factors"


@router.get("/factors")
async def ways(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Lists the sign-in options."""
    has = await enrolment.overview(ctx)
    locked = [(name, ctx.factors[name].texts.name) for name in sorted(has["locked"])]
    more = {**has, "passkeys": False, "mine": has["passkeys"], "locked": locked}
    return page(request, "account-factors", ctx, error, **more)


@router.post("/factors/unlock")
@form(ways)
async def unlock(request: Request, ctx: Visitor) -> Response:
    """Unlocks a sign-in option that was locked after too many wrong attempts."""
    await enrolment.unlock(ctx, fields(request, "factor")["factor"])
    return go(ctx, f"{HERE}?done=unlocked")


def after_adding(ctx: Ctx, before: dict[str, Any], done: str) -> Response:
    """Where to go after a factor was added: to the backup codes if it is the first second factor."""
    is_first = not any(before[name] for name in ("passkeys", "totp", "email_code", "recovery_codes"))
    return go(ctx, f"{CODES}?done={done}" if is_first else f"{HERE}?done={done}")


# -- passkeys --------------------------------------------------------------------------------------


@router.get("/passkeys/new")
async def ask_passkey(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Offers to create a passkey."""
    fresh, can_mail_undo = await is_fresh(ctx), await account.can_mail_undo(ctx)
    more: dict[str, Any] = {"passkeys": True, "can_mail_undo": can_mail_undo, "wrong": passkey.FACTOR.texts.wrong}
    return page(request, "account-passkey-new", ctx, error, fresh=fresh, **more)


@router.post("/passkeys/options")
async def passkey_options(request: Request, ctx: Visitor) -> Response:
    """Returns the browser's options for creating a passkey."""
    fields(request)
    offered = await enrolment.offer(ctx, passkey.name)
    return optioned(ctx, offered, ctx.person.session_id)


@router.post("/passkeys")
@form(ask_passkey)
async def add_passkey(request: Request, ctx: Visitor) -> Response:
    """Saves the passkey that the browser created."""
    given = fields(request, optional=("answer",))
    before = await enrolment.overview(ctx)
    await enrolment.prove(ctx, passkey.name, answer_of(given["answer"]))
    return after_adding(ctx, before, "passkey")


async def _mine(ctx: Ctx, passkey_id: str) -> dict[str, Any]:
    rows = await enrolment.passkeys(ctx)
    one = next((row for row in rows if row["id"] == passkey_id), None)
    if one is None:
        raise NotFound
    return one


@router.get("/passkeys/{id}")
async def ask_name(request: Request, ctx: Visitor, id: Id, error: Error = None) -> Response:
    """Asks for a passkey's name."""
    one, fresh = await _mine(ctx, id), await is_fresh(ctx)
    label = typed(request, "label", one["label"])
    return page(request, "account-passkey", ctx, error, fresh=fresh, one=one, label=label)


@router.post("/passkeys/{id}")
@form(ask_name)
async def rename(request: Request, ctx: Visitor, id: Id) -> Response:
    """Renames a passkey."""
    await enrolment.rename(ctx, id, fields(request, "label")["label"])
    return go(ctx, f"{HERE}?done=renamed")


@router.get("/passkeys/{id}/remove")
async def ask_remove(request: Request, ctx: Visitor, id: Id, error: Error = None) -> Response:
    """Asks to confirm removing a passkey."""
    one, fresh = await _mine(ctx, id), await is_fresh(ctx)
    return page(request, "account-passkey-remove", ctx, error, fresh=fresh, one=one)


@router.post("/passkeys/{id}/remove")
@form(ask_remove)
async def remove(request: Request, ctx: Visitor, id: Id) -> Response:
    """Removes a passkey, unless it's the only way to sign in."""
    fields(request)
    await enrolment.remove(ctx, passkey.name, id)
    return go(ctx, f"{HERE}?done=removed")


# -- authenticator app -----------------------------------------------------------------------------


@router.get("/totp")
async def ask_totp(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Shows the QR code while a setup waits for its first code."""
    return await _totp_page(request, ctx, error)


async def _totp_page(
    request: Request,
    ctx: Ctx,
    error: PassgateError | None = None,
    offer: dict[str, Any] | None = None,
    *,
    is_again: bool = False,
) -> Response:
    """`offer`: what the app of this answer alone reads; `is_again`: it is the app that the person has."""
    fresh = await is_fresh(ctx)
    has = await enrolment.overview(ctx)
    offered = offer or (await enrolment.offered(ctx, totp.name) if fresh else None)
    return page(
        request,
        "account-totp",
        ctx,
        error,
        fresh=fresh,
        code="",
        drawn=picture(offered),
        wrong=totp.FACTOR.texts.wrong,
        active=offer is not None,
        can_mail_undo=fresh and await account.can_mail_undo(ctx),
        since=has["totp"],
        again=is_again,
        can_show=has["can_show"],
    )


@router.post("/totp/show")
@form(ask_totp)
async def show_totp(request: Request, ctx: Visitor) -> Response:
    """Shows the QR code of one's own app again, if the policy allows that."""
    fields(request)
    return await _totp_page(request, ctx, offer=await enrolment.totp_again(ctx), is_again=True)


@router.post("/totp/offer")
@form(ask_totp)
async def offer_totp(request: Request, ctx: Visitor) -> Response:
    """Creates a setup key; the current app keeps working until the new one is confirmed."""
    fields(request)
    offer = await enrolment.offer(ctx, totp.name)
    if offer.get("active"):  # the tenant's rules want no first code: this is the only time it can be seen
        return await _totp_page(request, ctx, offer=offer)
    return go(ctx, "/account/totp")


@router.post("/totp")
@form(ask_totp)
async def prove_totp(request: Request, ctx: Visitor) -> Response:
    """Turns on the authenticator app with its first code."""
    given = fields(request, "code")
    before = await enrolment.overview(ctx)
    await enrolment.prove(ctx, totp.name, given["code"])
    return after_adding(ctx, before, "totp")


@router.get("/totp/remove")
async def ask_remove_totp(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Asks to confirm removing the authenticator app."""
    return page(request, "account-totp-remove", ctx, error, fresh=await is_fresh(ctx))


@router.post("/totp/remove")
@form(ask_remove_totp)
async def remove_totp(request: Request, ctx: Visitor) -> Response:
    """Removes the authenticator app."""
    fields(request)
    await enrolment.remove(ctx, totp.name)
    return go(ctx, f"{HERE}?done=no-totp")


# -- recovery codes --------------------------------------------------------------------------------


@router.get("/recovery-codes")
async def ask_codes(request: Request, ctx: Visitor, error: Error = None) -> Response:
    """Shows how many backup codes are left."""
    return await _codes_page(request, ctx, error)


@router.post("/recovery-codes")
@form(ask_codes)
async def make_codes(request: Request, ctx: Visitor) -> Response:
    """Generates new backup codes and shows them once, or says that they were only emailed."""
    fields(request)
    return await _codes_page(request, ctx, codes=await enrolment.recovery_codes(ctx))


async def _codes_page(
    request: Request, ctx: Ctx, error: PassgateError | None = None, codes: list[str] | None = None
) -> Response:
    has = await enrolment.overview(ctx)
    left, size = has["recovery_codes"], has["codes_in_set"]
    text = "\r\n".join((f"{ctx.person.row['display_name']}, {ctx.person.row['email']}", "", *(codes or ()), ""))
    file = f"data:text/plain;charset=utf-8,{quote(text)}"
    more: dict[str, Any] = {"codes": codes, "is_mailed": codes == [], "left": left, "size": size, "file": file}
    return page(request, "account-recovery-codes", ctx, error, fresh=await is_fresh(ctx), **more)


# -- remembered browsers ---------------------------------------------------------------------------


@router.post("/browsers")
@form(ways)
async def forget_all(request: Request, ctx: Visitor) -> Response:
    """Removes all remembered browsers."""
    fields(request)
    await enrolment.forget_browser(ctx)
    return go(ctx, f"{HERE}?done=browsers")


@router.post("/browsers/{id}")
@form(ways)
async def forget(request: Request, ctx: Visitor, id: Id) -> Response:
    """Removes a remembered browser."""
    fields(request)
    await enrolment.forget_browser(ctx, id)
    return go(ctx, f"{HERE}?done=browser")
