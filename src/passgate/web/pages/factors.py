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
from passgate.errors import NotFound, PassgateError, StepUpNeeded
from passgate.web import routes
from passgate.web.guards import Visitor
from passgate.web.pages.account import Id, is_fresh, page, step_up
from passgate.web.pages.page import fields, go
from passgate.web.pages.passkey import answer_of, optioned
from passgate.web.pages.prove import picture
from passgate.web.pages.steps import CODES

router = routes.pages(prefix="/account")

HERE = "/account/factors"


async def _changing(request: Request, ctx: Ctx, name: str, error: PassgateError | None = None, **more: Any) -> Response:
    """Run a change; without a fresh proof redirect to a step-up first."""
    return page(request, name, ctx, error, fresh=await is_fresh(ctx), **more)


@router.get("/factors")
async def ways(request: Request, ctx: Visitor) -> Response:
    """Lists the sign-in options."""
    return await _list(request, ctx)


async def _list(request: Request, ctx: Ctx, error: PassgateError | None = None) -> Response:
    has = await enrolment.overview(ctx)
    locked = [(name, ctx.factors[name].texts.name) for name in sorted(has["locked"])]
    more = {**has, "passkeys": False, "mine": has["passkeys"], "locked": locked}
    return page(request, "account-factors", ctx, error, **more)


@router.post("/factors/unlock")
async def unlock(request: Request, ctx: Visitor) -> Response:
    """Unlocks a sign-in option that was locked after too many wrong attempts."""
    try:
        given = fields(request.state.form, "factor")
        await enrolment.unlock(ctx, given["factor"])
    except StepUpNeeded:
        return await step_up(ctx, HERE)
    except PassgateError as error:
        return await _list(request, ctx, error)
    return go(ctx, f"{HERE}?done=unlocked")


def _after_adding(ctx: Ctx, before: dict[str, Any], done: str) -> Response:
    """Where to go after a factor was added: to the backup codes if it is the first second factor."""
    is_first = not before["passkeys"] and not before["totp"] and not before["recovery_codes"]
    return go(ctx, f"{CODES}?done={done}" if is_first else f"{HERE}?done={done}")


# -- passkeys --------------------------------------------------------------------------------------


@router.get("/passkeys/new")
async def ask_passkey(request: Request, ctx: Visitor) -> Response:
    """Offers to create a passkey."""
    return await _passkey_page(request, ctx)


async def _passkey_page(request: Request, ctx: Ctx, error: PassgateError | None = None) -> Response:
    more: dict[str, Any] = {"passkeys": True, "can_mail_undo": await account.can_mail_undo(ctx)}
    return await _changing(request, ctx, "account-passkey-new", error, wrong=passkey.FACTOR.texts.wrong, **more)


@router.post("/passkeys/options")
async def passkey_options(request: Request, ctx: Visitor) -> Response:
    """Returns the browser's options for creating a passkey."""
    fields(request.state.form)
    offered = await enrolment.offer(ctx, passkey.name)
    return optioned(ctx, offered, ctx.person.session_id)


@router.post("/passkeys")
async def add_passkey(request: Request, ctx: Visitor) -> Response:
    """Saves the passkey that the browser created."""
    try:
        given = fields(request.state.form, optional=("answer",))
        before = await enrolment.overview(ctx)
        await enrolment.prove(ctx, passkey.name, answer_of(given["answer"]))
    except StepUpNeeded:
        return await step_up(ctx, "/account/passkeys/new")
    except PassgateError as error:
        return await _passkey_page(request, ctx, error)
    return _after_adding(ctx, before, "passkey")


async def _mine(ctx: Ctx, passkey_id: str) -> dict[str, Any]:
    rows = await enrolment.passkeys(ctx)
    one = next((row for row in rows if row["id"] == passkey_id), None)
    if one is None:
        raise NotFound
    return one


@router.get("/passkeys/{id}")
async def ask_name(request: Request, ctx: Visitor, id: Id) -> Response:
    """Asks for a passkey's name."""
    one = await _mine(ctx, id)
    return await _changing(request, ctx, "account-passkey", one=one, label=one["label"])


@router.post("/passkeys/{id}")
async def rename(request: Request, ctx: Visitor, id: Id) -> Response:
    """Renames a passkey."""
    try:
        given = fields(request.state.form, "label")
        await enrolment.rename(ctx, id, given["label"])
    except StepUpNeeded:
        return await step_up(ctx, f"/account/passkeys/{id}")
    except PassgateError as error:
        one, typed = await _mine(ctx, id), request.state.form.get("label", "")
        return await _changing(request, ctx, "account-passkey", error, one=one, label=typed)
    return go(ctx, f"{HERE}?done=renamed")


@router.get("/passkeys/{id}/remove")
async def ask_remove(request: Request, ctx: Visitor, id: Id) -> Response:
    """Asks to confirm removing a passkey."""
    return await _changing(request, ctx, "account-passkey-remove", one=await _mine(ctx, id))


@router.post("/passkeys/{id}/remove")
async def remove(request: Request, ctx: Visitor, id: Id) -> Response:
    """Removes a passkey, unless it's the only way to sign in."""
    try:
        fields(request.state.form)
        await enrolment.remove(ctx, passkey.name, id)
    except StepUpNeeded:
        return await step_up(ctx, f"/account/passkeys/{id}/remove")
    except PassgateError as error:
        one = await _mine(ctx, id)
        return await _changing(request, ctx, "account-passkey-remove", error, one=one)
    return go(ctx, f"{HERE}?done=removed")


# -- authenticator app -----------------------------------------------------------------------------


@router.get("/totp")
async def ask_totp(request: Request, ctx: Visitor) -> Response:
    """Shows the QR code while a setup waits for its first code."""
    return await _totp_page(request, ctx)


async def _totp_page(
    request: Request, ctx: Ctx, error: PassgateError | None = None, offer: dict[str, Any] | None = None
) -> Response:
    fresh = await is_fresh(ctx)
    since = (await enrolment.overview(ctx))["totp"]
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
        since=since,
    )


@router.post("/totp/offer")
async def offer_totp(request: Request, ctx: Visitor) -> Response:
    """Creates a setup key; the current app keeps working until the new one is confirmed."""
    try:
        fields(request.state.form)
        offer = await enrolment.offer(ctx, totp.name)
    except StepUpNeeded:
        return await step_up(ctx, "/account/totp")
    except PassgateError as error:
        return await _totp_page(request, ctx, error)
    if offer.get("active"):  # the tenant's rules want no first code: this is the only time it can be seen
        return await _totp_page(request, ctx, offer=offer)
    return go(ctx, "/account/totp")


@router.post("/totp")
async def prove_totp(request: Request, ctx: Visitor) -> Response:
    """Turns on the authenticator app with its first code."""
    try:
        given = fields(request.state.form, "code")
        before = await enrolment.overview(ctx)
        await enrolment.prove(ctx, totp.name, given["code"])
    except StepUpNeeded:
        return await step_up(ctx, "/account/totp")
    except PassgateError as error:
        return await _totp_page(request, ctx, error)
    return _after_adding(ctx, before, "totp")


@router.get("/totp/remove")
async def ask_remove_totp(request: Request, ctx: Visitor) -> Response:
    """Asks to confirm removing the authenticator app."""
    return await _changing(request, ctx, "account-totp-remove")


@router.post("/totp/remove")
async def remove_totp(request: Request, ctx: Visitor) -> Response:
    """Removes the authenticator app."""
    try:
        fields(request.state.form)
        await enrolment.remove(ctx, totp.name)
    except StepUpNeeded:
        return await step_up(ctx, "/account/totp/remove")
    except PassgateError as error:
        return await _changing(request, ctx, "account-totp-remove", error)
    return go(ctx, f"{HERE}?done=no-totp")


# -- recovery codes --------------------------------------------------------------------------------


@router.get("/recovery-codes")
async def ask_codes(request: Request, ctx: Visitor) -> Response:
    """Shows how many backup codes are left."""
    return await _codes_page(request, ctx)


@router.post("/recovery-codes")
async def make_codes(request: Request, ctx: Visitor) -> Response:
    """Generates new backup codes and shows them once."""
    try:
        fields(request.state.form)
        codes = await enrolment.recovery_codes(ctx)
    except StepUpNeeded:
        return await step_up(ctx, CODES)
    except PassgateError as error:
        return await _codes_page(request, ctx, error)
    return await _codes_page(request, ctx, codes=codes)


async def _codes_page(
    request: Request, ctx: Ctx, error: PassgateError | None = None, codes: list[str] | None = None
) -> Response:
    left = (await enrolment.overview(ctx))["recovery_codes"]
    text = "\r\n".join((f"{ctx.person.row['display_name']}, {ctx.person.row['email']}", "", *(codes or ()), ""))
    file = f"data:text/plain;charset=utf-8,{quote(text)}"
    return await _changing(request, ctx, "account-recovery-codes", error, codes=codes, left=left, file=file)


# -- remembered browsers ---------------------------------------------------------------------------


@router.post("/browsers")
async def forget_all(request: Request, ctx: Visitor) -> Response:
    """Removes all remembered browsers."""
    fields(request.state.form)
    await enrolment.forget_browser(ctx)
    return go(ctx, f"{HERE}?done=browsers")


@router.post("/browsers/{id}")
async def forget(request: Request, ctx: Visitor, id: Id) -> Response:
    """Removes a remembered browser."""
    try:
        fields(request.state.form)
        await enrolment.forget_browser(ctx, id)
    except PassgateError as error:
        return await _list(request, ctx, error)
    return go(ctx, f"{HERE}?done=browser")
