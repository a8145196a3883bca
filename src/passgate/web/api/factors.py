"""The endpoints of the caller's own factors below /api/v1/me: passkeys, totp, recovery-codes, browsers.

Not here: the rules, which are in `core.enrolment`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from passgate import qr
from passgate.core import enrolment
from passgate.core.factor import Factor, SetUp, no_challenge
from passgate.core.factors import email_code, passkey, totp
from passgate.errors import Conflict, CsrfRefused, Invalid, NotFound, ProofRefused, StepUpNeeded, Throttled
from passgate.web import routes
from passgate.web.api.account import Id
from passgate.web.api.shapes import (
    AN_INSTANT,
    SESSION,
    Input,
    Output,
    format_times,
    operation_id,
    refuses,
    with_example,
)
from passgate.web.guards import Session as Live
from passgate.world import iso

router = routes.endpoints(prefix="/api/v1/me", tags=["factors"], generate_unique_id_function=operation_id)

_CHANGES = (*SESSION, CsrfRefused, Invalid, StepUpNeeded)
Label = Annotated[str, Field(min_length=1, max_length=200, description="60 characters or fewer", examples=["My phone"])]


class Passkey(Output):
    id: str
    label: Annotated[str, Field(description="Initially the authenticator's name", examples=["iCloud Keychain"])]
    created_at: str
    last_used_at: str | None
    synced: Annotated[bool, Field(description="Can be synced across devices (backup eligible)")]
    backed_up: bool


class Passkeys(Output):
    items: list[Passkey]
    next: None = None


class Offered(Output):
    challenge: Annotated[dict[str, Any], Field(description="PublicKeyCredentialCreationOptionsJSON")]


class PasskeyProof(Input):
    model_config = with_example({"answer": {"type": "public-key"}, "label": "My phone"})

    answer: Annotated[dict[str, Any], Field(description="The result of the browser's `toJSON()`")]
    label: Label | None = None


class Renamed(Input):
    model_config = with_example({"label": "My phone"})

    label: Label


class Secret(Output):
    otpauth_uri: str
    secret: Annotated[str, Field(description="The setup key in Base32, for entering by hand")]
    active: Annotated[bool, Field(description="True if the app is on without confirming a first code")] = False


class Sent(Output):
    sent_to: Annotated[str, Field(description="The masked address that codes are mailed to")]
    active: Annotated[bool, Field(description="True if they are on without confirming a first code")] = False


class CodeProof(Input):
    model_config = with_example({"answer": "123456"})

    answer: Annotated[str, Field(min_length=1, max_length=1024, description="A code from the app or mail")]


class Codes(Output):
    codes: Annotated[
        list[str], Field(description="Shown only once; each code works once. Empty if they were only mailed")
    ]


class Browser(Output):
    id: str
    label: str
    created_at: str
    last_used_at: str | None
    expires_at: str


class Browsers(Output):
    items: list[Browser]
    next: None = None


class Factors(Output):
    password: bool
    passkeys: list[Passkey]
    totp: Annotated[str | None, AN_INSTANT, Field(description="When the authenticator app was set up, or null")]
    email_code: Annotated[str | None, AN_INSTANT, Field(description="When mailed codes were turned on, or null")]
    recovery_codes: Annotated[int, Field(description="Number of unused backup codes")]
    browsers: list[Browser]


@router.get(
    "/factors", responses=refuses(*SESSION), response_model=Factors, name="show", summary="List sign-in options"
)
async def show(ctx: Live) -> Any:
    """Returns everything the user can sign in with, and their remembered browsers."""
    mine = await enrolment.overview(ctx)
    lists = {name: [format_times(row) for row in mine[name]] for name in ("passkeys", "browsers")}
    since = {name: iso(mine[name]) if mine[name] else None for name in ("totp", "email_code")}
    return {"password": mine["password"], **lists, **since, "recovery_codes": mine["recovery_codes"]}


# -- passkeys --------------------------------------------------------------------------------------


@router.get("/passkeys", responses=refuses(*SESSION), response_model=Passkeys, name="passkeys", summary="List passkeys")
async def passkeys(ctx: Live) -> Any:
    """Returns the user's passkeys, newest first."""
    return {"items": [format_times(row) for row in await enrolment.passkeys(ctx)]}


@router.post(
    "/passkeys",
    responses=refuses(*_CHANGES),
    status_code=201,
    response_model=Offered,
    name="begin_passkey",
    summary="Start adding a passkey",
)
async def begin_passkey(ctx: Live) -> Any:
    """Returns options for `navigator.credentials.create()`. Requires a recent proof at the user's own level."""
    return {"challenge": await enrolment.offer(ctx, passkey.name)}


@router.post(
    "/passkeys/prove",
    responses=refuses(*_CHANGES, ProofRefused, NotFound, Throttled),
    status_code=201,
    response_model=Passkey,
    name="prove_passkey",
    summary="Add a passkey",
)
async def prove_passkey(ctx: Live, given: PasskeyProof) -> Any:
    """Saves the passkey that the browser created. Each challenge can be answered once."""
    made = await enrolment.prove(ctx, passkey.name, given.answer, given.label)
    for row in await enrolment.passkeys(ctx):
        if row["id"] == made:
            return format_times(row)
    raise NotFound  # it was removed meanwhile, or undone


@router.patch(
    "/passkeys/{id}",
    responses=refuses(*_CHANGES, NotFound),
    response_model=Passkey,
    name="rename_passkey",
    summary="Rename a passkey",
)
async def rename_passkey(ctx: Live, id: Id, given: Renamed) -> Any:
    """Changes the name shown in the list of passkeys."""
    return format_times(await enrolment.rename(ctx, id, given.label))


@router.delete(
    "/passkeys/{id}",
    responses=refuses(*_CHANGES, NotFound, Conflict),
    status_code=204,
    name="remove_passkey",
    summary="Remove a passkey",
)
async def remove_passkey(ctx: Live, id: Id) -> Response:
    """Removes the passkey, unless it's the user's only way to sign in."""
    await enrolment.remove(ctx, passkey.name, id)
    return Response(status_code=204)


# -- an authenticator app --------------------------------------------------------------------------


@router.post(
    "/totp",
    responses=refuses(*_CHANGES, Throttled),
    status_code=201,
    response_model=Secret,
    name="begin_totp",
    summary="Start setting up an authenticator app",
)
async def begin_totp(ctx: Live) -> Any:
    """Returns a new setup key. A previous app keeps working until the first correct code from the new one."""
    return await enrolment.offer(ctx, totp.name)


@router.get(
    "/totp/qr",
    responses=refuses(*SESSION, StepUpNeeded, NotFound)
    | {200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
    name="totp_qr",
    summary="Get the QR code",
    response_class=Response,
)
async def totp_qr(ctx: Live) -> Response:
    """Returns the QR code (PNG) of the setup key that is waiting for its first code."""
    offered = await enrolment.offered(ctx, totp.name)
    if offered is None:
        raise NotFound
    return Response(qr.png(offered["otpauth_uri"]), media_type="image/png")


@router.post(
    "/totp/show",
    responses=refuses(*_CHANGES, NotFound),
    response_model=Secret,
    name="show_totp",
    summary="Get the setup key again",
)
async def show_totp(ctx: Live) -> Any:
    """Returns the setup key of the user's own app, if the policy has `totp_shown_again`. They are notified by mail."""
    return {**await enrolment.totp_again(ctx), "active": True}


@router.post(
    "/totp/prove",
    responses=refuses(*_CHANGES, ProofRefused, Throttled),
    status_code=204,
    name="prove_totp",
    summary="Confirm the authenticator app",
)
async def prove_totp(ctx: Live, given: CodeProof) -> Response:
    """Turns on the app with its first code. Each code works once."""
    await enrolment.prove(ctx, totp.name, given.answer)
    return Response(status_code=204)


@router.delete(
    "/totp",
    responses=refuses(*_CHANGES, NotFound, Conflict),
    status_code=204,
    name="remove_totp",
    summary="Remove the authenticator app",
)
async def remove_totp(ctx: Live) -> Response:
    """Codes from the app no longer work. Without another second factor, backup codes are removed too."""
    await enrolment.remove(ctx, totp.name)
    return Response(status_code=204)


# -- mailed codes as one's second factor -----------------------------------------------------------


@router.post(
    "/email-code",
    responses=refuses(*_CHANGES, Conflict, Throttled),
    status_code=201,
    response_model=Sent,
    name="begin_email_code",
    summary="Start turning on mailed codes",
)
async def begin_email_code(ctx: Live) -> Any:
    """Mails a code. Available if the policy has `mailed_second_factor: enrolled` and accepts `email_code`, to users
    without a stronger second factor. With `at_once` no code is mailed, and they are on (`active`)."""
    return await enrolment.offer(ctx, email_code.name)


@router.post(
    "/email-code/prove",
    responses=refuses(*_CHANGES, ProofRefused, Conflict, Throttled),
    status_code=204,
    name="prove_email_code",
    summary="Turn on mailed codes",
)
async def prove_email_code(ctx: Live, given: CodeProof) -> Response:
    """From now on a sign-in with a password asks for a mailed code too."""
    await enrolment.prove(ctx, email_code.name, given.answer)
    return Response(status_code=204)


@router.delete(
    "/email-code",
    responses=refuses(*_CHANGES, NotFound, Conflict),
    status_code=204,
    name="remove_email_code",
    summary="Turn off mailed codes",
)
async def remove_email_code(ctx: Live) -> Response:
    """Sign-ins no longer ask for a mailed code. Without another second factor, backup codes are removed too."""
    await enrolment.remove(ctx, email_code.name)
    return Response(status_code=204)


# -- factors without endpoints by hand -------------------------------------------------------------


def router_of(own: Iterable[Factor]) -> APIRouter:
    """The endpoints of each factor without endpoints of its own, such as a host's: offer, first answer, removal."""
    made = routes.endpoints(prefix="/api/v1/me", tags=["factors"], generate_unique_id_function=operation_id)
    for factor in own:
        if factor.set_up is not None:
            _add(made, factor, factor.set_up)
    return made


def _add(made: APIRouter, factor: Factor, set_up: SetUp) -> None:
    async def prove(ctx: Live, given: CodeProof) -> Response:
        """Takes effect right away and replaces a previous one."""
        await enrolment.prove(ctx, factor.name, given.answer)
        return Response(status_code=204)

    async def remove(ctx: Live) -> Response:
        """Removes it, unless it's the user's only way to sign in."""
        await enrolment.remove(ctx, factor.name)
        return Response(status_code=204)

    path, name, what = f"/{factor.path}", factor.name, factor.texts.name
    if set_up.offer is not no_challenge:
        _add_offer(made, factor)
    made.post(
        f"{path}/prove",
        responses=refuses(*_CHANGES, ProofRefused, Throttled),
        status_code=204,
        name=f"prove_{name}",
        summary=f"Set up {what}",
    )(prove)
    made.delete(
        path,
        responses=refuses(*_CHANGES, NotFound, Conflict),
        status_code=204,
        name=f"remove_{name}",
        summary=f"Remove {what}",
    )(remove)


def _add_offer(made: APIRouter, factor: Factor) -> None:
    async def begin(ctx: Live) -> Any:
        """Returns what is needed for the first answer."""
        return {"challenge": await enrolment.offer(ctx, factor.name)}

    made.post(
        f"/{factor.path}",
        responses=refuses(*_CHANGES, Throttled),
        status_code=201,
        response_model=Offered,
        name=f"begin_{factor.name}",
        summary=f"Start setting up {factor.texts.name}",
    )(begin)


# -- recovery codes, remembered browsers -----------------------------------------------------------


@router.post(
    "/recovery-codes",
    responses=refuses(*_CHANGES, Throttled),
    status_code=201,
    response_model=Codes,
    name="recovery_codes",
    summary="Generate backup codes",
)
async def recovery_codes(ctx: Live) -> Any:
    """Returns one-time backup codes (factor `recovery_code`), as many as the policy says. Earlier codes stop working.
    If the policy has them mailed and nobody has ever confirmed an address of the user, they are only mailed."""
    return {"codes": await enrolment.recovery_codes(ctx)}


@router.get(
    "/browsers",
    responses=refuses(*SESSION),
    response_model=Browsers,
    name="browsers",
    summary="List remembered browsers",
)
async def browsers(ctx: Live) -> Any:
    """Returns the browsers that skip two-step verification for a while, newest first."""
    return {"items": [format_times(row) for row in await enrolment.browsers(ctx)]}


class Unlock(Input):
    model_config = with_example({"factor": "password"})

    factor: Annotated[str, Field(min_length=1, max_length=40, description="A factor that is set up")]


@router.post(
    "/unlock",
    responses=refuses(*_CHANGES, NotFound),
    status_code=204,
    name="unlock",
    summary="Unlock a factor",
)
async def unlock(ctx: Live, given: Unlock) -> Response:
    """Too many wrong answers in a row lock a factor. This accepts its answers again."""
    await enrolment.unlock(ctx, given.factor)
    return Response(status_code=204)


@router.delete(
    "/browsers",
    responses=refuses(*SESSION, CsrfRefused),
    status_code=204,
    name="forget_browsers",
    summary="Remove all remembered browsers",
)
async def forget_browsers(ctx: Live) -> Response:
    """Requires two-step verification in every browser again."""
    await enrolment.forget_browser(ctx)
    return Response(status_code=204)


@router.delete(
    "/browsers/{id}",
    responses=refuses(*SESSION, CsrfRefused, NotFound, Invalid),
    status_code=204,
    name="forget_browser",
    summary="Remove a remembered browser",
)
async def forget_browser(ctx: Live, id: Id) -> Response:
    """Requires two-step verification in that browser again."""
    await enrolment.forget_browser(ctx, id)
    return Response(status_code=204)
