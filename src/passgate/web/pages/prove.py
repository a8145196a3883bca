"""The pages of what is typed to sign in: password, mailed code, the code of an authenticator app, a recovery code.

What is asked for is decided in `core.signin`; passkeys have a module of their own.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from passgate import qr
from passgate.core import people, signin
from passgate.core.ctx import Ctx
from passgate.core.factors import totp
from passgate.errors import HandleInvalid, PassgateError
from passgate.web.guards import AHalf, Context, Elsewhere, Half
from passgate.web.pages.page import fields, go
from passgate.web.pages.steps import PATHS, needed, page, proved, remembers, waiting, whose

router = APIRouter(include_in_schema=False)


async def _code(ctx: Ctx, half: Half, factor: str) -> Response:
    """Prove the code that was typed."""
    given = fields(half.guest.form, "code", optional=("remember",))
    return await proved(ctx, half, factor, given["code"], remember=remembers(given))


# -- password --------------------------------------------------------------------------------------


@router.get("/signin/password")
async def ask_password(request: Request, ctx: Context, half: AHalf) -> Response:
    """Ask for the password, or for a new one."""
    return await _password_page(request, ctx, half)


@router.post("/signin/password")
async def password(request: Request, ctx: Context, half: AHalf) -> Response:
    """Prove the password, or set a new one."""
    field = "new_password" if needed(half, "password").enrol else "password"
    try:
        return await proved(ctx, half, "password", fields(half.guest.form, field)[field])
    except HandleInvalid:
        raise
    except PassgateError as error:
        return await _password_page(request, ctx, half, error)


async def _password_page(request: Request, ctx: Ctx, half: Half, error: PassgateError | None = None) -> Response:
    need = needed(half, "password")
    name = "new-password" if need.enrol else "signin-password"
    return await page(
        request, ctx, half, "password", name, error, passkeys=need.offers("passkey") and not need.enrol
    )  # fmt: skip


# -- mailed code -----------------------------------------------------------------------------------


@router.get("/signin/email-code")
async def ask_code(request: Request, ctx: Context, half: AHalf) -> Response:
    """Ask for the mailed code."""
    needed(half, "email_code")
    return await _code_page(request, ctx, half)


async def _code_page(request: Request, ctx: Ctx, half: Half, error: PassgateError | None = None) -> Response:
    code = half.guest.form.get("code", "") if error else ""
    return await page(
        request, ctx, half, "email_code", "signin-email-code", error, code=code,
        sent_to=people.hidden(await whose(ctx, half.sign_in)), minutes=ctx.settings.mail.code_life // 60,
        again=request.query_params.get("again") == "1",
    )  # fmt: skip


@router.post("/signin/email-code")
async def code(request: Request, ctx: Context, half: AHalf) -> Response:
    """Prove the mailed code."""
    needed(half, "email_code")
    try:
        return await _code(ctx, half, "email_code")
    except HandleInvalid:
        raise
    except PassgateError as error:
        return await _code_page(request, ctx, half, error)


@router.post("/signin/email-code/again")
async def again(request: Request, ctx: Context, half: AHalf) -> Response:
    """Send a code, or another one; the older one dies."""
    needed(half, "email_code")
    try:
        fields(half.guest.form)
        await signin.challenge(ctx, half.handle, "email_code")
    except HandleInvalid:
        raise
    except PassgateError as error:
        return await _code_page(request, ctx, half, error)
    return go(ctx, "/signin/email-code?again=1")


# -- authenticator app -----------------------------------------------------------------------------


@router.get("/signin/totp")
async def ask_totp(request: Request, ctx: Context, half: AHalf) -> Response:
    """Ask for the app's code; where one is to be set up, show what the app reads."""
    needed(half, "totp")
    return await _totp_page(request, ctx, half)


@router.post("/signin/totp")
async def prove_totp(request: Request, ctx: Context, half: AHalf) -> Response:
    """Prove the app's code."""
    needed(half, "totp")
    try:
        return await _code(ctx, half, "totp")
    except HandleInvalid:
        raise
    except PassgateError as error:
        return await _totp_page(request, ctx, half, error)


@router.post("/signin/totp/offer")
async def offer_totp(request: Request, ctx: Context, half: AHalf) -> Response:
    """Make a secret for the app; an older one dies."""
    needed(half, "totp")
    try:
        fields(half.guest.form)
        await signin.challenge(ctx, half.handle, "totp")
    except HandleInvalid:
        raise
    except PassgateError as error:
        return await _totp_page(request, ctx, half, error)
    return go(ctx, PATHS["totp"])


async def _totp_page(request: Request, ctx: Ctx, half: Half, error: PassgateError | None = None) -> Response:
    drawn = None
    if needed(half, "totp").enrol:
        drawn = picture(await totp.offered(ctx, await signin.setting_up(ctx, half.handle, "totp")))
    return await page(request, ctx, half, "totp", "signin-totp", error, code="", drawn=drawn)


def picture(offered: dict[str, str] | None) -> dict[str, str] | None:
    """What an app reads: the QR code, and the secret in groups of four for whoever types it."""
    if offered is None:
        return None
    secret = offered["secret"]
    grouped = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    # Markup of our own making: nothing in it comes from outside but as black and white squares.
    return {"qr": Markup(qr.svg(offered["otpauth_uri"])), "secret": grouped}  # noqa: S704


# -- recovery code ---------------------------------------------------------------------------------


@router.get("/signin/recovery-code")
async def ask_recovery_code(request: Request, ctx: Context, half: AHalf) -> Response:
    """Ask for one of the ten."""
    needed(half, "recovery_code")
    return await _recovery_page(request, ctx, half)


@router.post("/signin/recovery-code")
async def prove_recovery_code(request: Request, ctx: Context, half: AHalf) -> Response:
    """Prove one of the ten; it is used up with that."""
    needed(half, "recovery_code")
    try:
        return await _code(ctx, half, "recovery_code")
    except HandleInvalid:
        raise
    except PassgateError as error:
        return await _recovery_page(request, ctx, half, error)


async def _recovery_page(request: Request, ctx: Ctx, half: Half, error: PassgateError | None = None) -> Response:
    return await page(request, ctx, half, "recovery_code", "signin-recovery-code", error, code="")


# -- waiting ---------------------------------------------------------------------------------------


@router.get("/recover/waiting")
async def wait(request: Request, ctx: Context, half: AHalf) -> Response:
    """Two ways were shown for a lost factor: when it goes on, and that its owner was told."""
    until = await waiting(ctx, half)
    if until is None:
        raise Elsewhere("/signin")
    return await page(request, ctx, half, "", "recover-waiting", until=until)
