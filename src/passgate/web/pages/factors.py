"""The account pages of factors: passkeys, the authenticator app, backup codes, remembered browsers.

Not here: what may be added or removed and how fresh the proof must be, which `core.enrolment` decides.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from passgate.core import account, enrolment
from passgate.core.ctx import Ctx
from passgate.core.factors import passkey, totp
from passgate.core.sessions import Found
from passgate.errors import NotFound, PassgateError, StepUpNeeded
from passgate.web.guards import Context, Visitor
from passgate.web.pages.account import Id, is_fresh, page, step_up
from passgate.web.pages.page import fields, go
from passgate.web.pages.passkey import answer_of, optioned
from passgate.web.pages.prove import picture
from passgate.web.pages.steps import CODES

router = APIRouter(include_in_schema=False, prefix="/account")

HERE = "/account/factors"


async def _changing(
    request: Request, ctx: Ctx, found: Found, name: str, error: PassgateError | None = None, **more: Any
) -> Response:
    """Run a change; without a fresh proof redirect to a step-up first."""
    return page(request, name, found, error, fresh=await is_fresh(ctx, found), **more)


@router.get("/factors")
async def ways(request: Request, ctx: Context, found: Visitor) -> Response:
    """Lists the sign-in options."""
    return await _list(request, ctx, found)


async def _list(request: Request, ctx: Ctx, found: Found, error: PassgateError | None = None) -> Response:
    has = await enrolment.overview(ctx, found.actor)
    locked = [(name, ctx.factors[name].texts.name) for name in sorted(has["locked"])]
    more = {**has, "passkeys": False, "mine": has["passkeys"], "locked": locked}
    return page(request, "account-factors", found, error, **more)


@router.post("/factors/unlock")
async def unlock(request: Request, ctx: Context, found: Visitor) -> Response:
    """Unlocks a sign-in option that was locked after too many wrong attempts."""
    try:
        given = fields(request.state.form, "factor")
        await enrolment.unlock(ctx.acting(found.actor), found.actor, given["factor"])
    except StepUpNeeded:
        return await step_up(ctx, found, HERE)
    except PassgateError as error:
        return await _list(request, ctx, found, error)
    return go(ctx, f"{HERE}?done=unlocked")


def _after_adding(ctx: Ctx, before: dict[str, Any], done: str) -> Response:
    """Where to go after a factor was added: to the backup codes if it is the first second factor."""
    is_first = not before["passkeys"] and not before["totp"] and not before["recovery_codes"]
    return go(ctx, f"{CODES}?done={done}" if is_first else f"{HERE}?done={done}")


# -- passkeys --------------------------------------------------------------------------------------


@router.get("/passkeys/new")
async def ask_passkey(request: Request, ctx: Context, found: Visitor) -> Response:
    """Offers to create a passkey."""
    return await _passkey_page(request, ctx, found)


async def _passkey_page(request: Request, ctx: Ctx, found: Found, error: PassgateError | None = None) -> Response:
    more: dict[str, Any] = {"passkeys": True, "can_mail_undo": await account.can_mail_undo(ctx, found.actor)}
    return await _changing(request, ctx, found, "account-passkey-new", error, wrong=passkey.FACTOR.texts.wrong, **more)


@router.post("/passkeys/options")
async def passkey_options(request: Request, ctx: Context, found: Visitor) -> Response:
    """Returns the browser's options for creating a passkey."""
    fields(request.state.form)
    offered = await enrolment.offer(ctx.acting(found.actor), found.actor, passkey.name)
    return optioned(ctx, offered, found.actor.session_id)


@router.post("/passkeys")
async def add_passkey(request: Request, ctx: Context, found: Visitor) -> Response:
    """Saves the passkey that the browser created."""
    try:
        given = fields(request.state.form, optional=("answer",))
        before = await enrolment.overview(ctx, found.actor)
        await enrolment.prove(ctx.acting(found.actor), found.actor, passkey.name, answer_of(given["answer"]))
    except StepUpNeeded:
        return await step_up(ctx, found, "/account/passkeys/new")
    except PassgateError as error:
        return await _passkey_page(request, ctx, found, error)
    return _after_adding(ctx, before, "passkey")


async def _mine(ctx: Ctx, found: Found, passkey_id: str) -> dict[str, Any]:
    rows = await enrolment.passkeys(ctx, found.actor)
    one = next((row for row in rows if row["id"] == passkey_id), None)
    if one is None:
        raise NotFound
    return one


@router.get("/passkeys/{id}")
async def ask_name(request: Request, ctx: Context, found: Visitor, id: Id) -> Response:
    """Asks for a passkey's name."""
    one = await _mine(ctx, found, id)
    return await _changing(request, ctx, found, "account-passkey", one=one, label=one["label"])


@router.post("/passkeys/{id}")
async def rename(request: Request, ctx: Context, found: Visitor, id: Id) -> Response:
    """Renames a passkey."""
    try:
        given = fields(request.state.form, "label")
        await enrolment.rename(ctx.acting(found.actor), found.actor, id, given["label"])
    except StepUpNeeded:
        return await step_up(ctx, found, f"/account/passkeys/{id}")
    except PassgateError as error:
        one, typed = await _mine(ctx, found, id), request.state.form.get("label", "")
        return await _changing(request, ctx, found, "account-passkey", error, one=one, label=typed)
    return go(ctx, f"{HERE}?done=renamed")


@router.get("/passkeys/{id}/remove")
async def ask_remove(request: Request, ctx: Context, found: Visitor, id: Id) -> Response:
    """Asks to confirm removing a passkey."""
    return await _changing(request, ctx, found, "account-passkey-remove", one=await _mine(ctx, found, id))


@router.post("/passkeys/{id}/remove")
async def remove(request: Request, ctx: Context, found: Visitor, id: Id) -> Response:
    """Removes a passkey, unless it's the only way to sign in."""
    try:
        fields(request.state.form)
        await enrolment.remove(ctx.acting(found.actor), found.actor, passkey.name, id)
    except StepUpNeeded:
        return await step_up(ctx, found, f"/account/passkeys/{id}/remove")
    except PassgateError as error:
        one = await _mine(ctx, found, id)
        return await _changing(request, ctx, found, "account-passkey-remove", error, one=one)
    return go(ctx, f"{HERE}?done=removed")


# -- authenticator app -----------------------------------------------------------------------------


@router.get("/totp")
async def ask_totp(request: Request, ctx: Context, found: Visitor) -> Response:
    """Shows the QR code while a setup waits for its first code."""
    return await _totp_page(request, ctx, found)


async def _totp_page(
    request: Request, ctx: Ctx, found: Found, error: PassgateError | None = None, offer: dict[str, Any] | None = None
) -> Response:
    fresh = await is_fresh(ctx, found)
    since = (await enrolment.overview(ctx, found.actor))["totp"]
    offered = offer or (await enrolment.offered(ctx, found.actor, totp.name) if fresh else None)
    return page(
        request,
        "account-totp",
        found,
        error,
        fresh=fresh,
        code="",
        drawn=picture(offered),
        wrong=totp.FACTOR.texts.wrong,
        active=offer is not None,
        can_mail_undo=fresh and await account.can_mail_undo(ctx, found.actor),
        since=since,
    )


@router.post("/totp/offer")
async def offer_totp(request: Request, ctx: Context, found: Visitor) -> Response:
    """Creates a setup key; the current app keeps working until the new one is confirmed."""
    try:
        fields(request.state.form)
        offer = await enrolment.offer(ctx.acting(found.actor), found.actor, totp.name)
    except StepUpNeeded:
        return await step_up(ctx, found, "/account/totp")
    except PassgateError as error:
        return await _totp_page(request, ctx, found, error)
    if offer.get("active"):  # the tenant's rules want no first code: this is the only time it can be seen
        return await _totp_page(request, ctx, found, offer=offer)
    return go(ctx, "/account/totp")


@router.post("/totp")
async def prove_totp(request: Request, ctx: Context, found: Visitor) -> Response:
    """Turns on the authenticator app with its first code."""
    try:
        given = fields(request.state.form, "code")
        before = await enrolment.overview(ctx, found.actor)
        await enrolment.prove(ctx.acting(found.actor), found.actor, totp.name, given["code"])
    except StepUpNeeded:
        return await step_up(ctx, found, "/account/totp")
    except PassgateError as error:
        return await _totp_page(request, ctx, found, error)
    return _after_adding(ctx, before, "totp")


@router.get("/totp/remove")
async def ask_remove_totp(request: Request, ctx: Context, found: Visitor) -> Response:
    """Asks to confirm removing the authenticator app."""
    return await _changing(request, ctx, found, "account-totp-remove")


@router.post("/totp/remove")
async def remove_totp(request: Request, ctx: Context, found: Visitor) -> Response:
    """Removes the authenticator app."""
    try:
        fields(request.state.form)
        await enrolment.remove(ctx.acting(found.actor), found.actor, totp.name)
    except StepUpNeeded:
        return await step_up(ctx, found, "/account/totp/remove")
    except PassgateError as error:
        return await _changing(request, ctx, found, "account-totp-remove", error)
    return go(ctx, f"{HERE}?done=no-totp")


# -- recovery codes --------------------------------------------------------------------------------


@router.get("/recovery-codes")
async def ask_codes(request: Request, ctx: Context, found: Visitor) -> Response:
    """Shows how many backup codes are left."""
    return await _codes_page(request, ctx, found)


@router.post("/recovery-codes")
async def make_codes(request: Request, ctx: Context, found: Visitor) -> Response:
    """Generates new backup codes and shows them once."""
    try:
        fields(request.state.form)
        codes = await enrolment.recovery_codes(ctx.acting(found.actor), found.actor)
    except StepUpNeeded:
        return await step_up(ctx, found, CODES)
    except PassgateError as error:
        return await _codes_page(request, ctx, found, error)
    return await _codes_page(request, ctx, found, codes=codes)


async def _codes_page(
    request: Request, ctx: Ctx, found: Found, error: PassgateError | None = None, codes: list[str] | None = None
) -> Response:
    left = (await enrolment.overview(ctx, found.actor))["recovery_codes"]
    text = "\r\n".join((f"{found.of('display_name')}, {found.of('email')}", "", *(codes or ()), ""))
    file = f"data:text/plain;charset=utf-8,{quote(text)}"
    return await _changing(request, ctx, found, "account-recovery-codes", error, codes=codes, left=left, file=file)


# -- remembered browsers ---------------------------------------------------------------------------


@router.post("/browsers")
async def forget_all(request: Request, ctx: Context, found: Visitor) -> Response:
    """Removes all remembered browsers."""
    fields(request.state.form)
    await enrolment.forget_browser(ctx.acting(found.actor), found.actor)
    return go(ctx, f"{HERE}?done=browsers")


@router.post("/browsers/{id}")
async def forget(request: Request, ctx: Context, found: Visitor, id: Id) -> Response:
    """Removes a remembered browser."""
    try:
        fields(request.state.form)
        await enrolment.forget_browser(ctx.acting(found.actor), found.actor, id)
    except PassgateError as error:
        return await _list(request, ctx, found, error)
    return go(ctx, f"{HERE}?done=browser")
