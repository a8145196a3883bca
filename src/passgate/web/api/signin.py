"""The endpoints that sign in over JSON: sign-up, sign-in, recovery, step-up; challenge, prove, finish.

A sign-in is a resource, and its handle is a bearer token of its own kind. Not here: the rules, which are in
`core.signin`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Request, Response
from pydantic import Field

from passgate.core import by_challenge, known, signin, starts
from passgate.core.policy import Enough, Need, Refuse
from passgate.errors import (
    AlreadyProved,
    CsrfRefused,
    FactorNotOffered,
    HandleInvalid,
    Invalid,
    InvitationInvalid,
    NoChallenge,
    PasswordRefused,
    ProofMissing,
    ProofRefused,
    SessionEnded,
    SignupClosed,
    StepUpNeeded,
    TenantNameTaken,
    Throttled,
)
from passgate.web import cookies, csrf, guards, routes
from passgate.web.api.shapes import (
    SESSION,
    Email,
    Input,
    Output,
    Secret,
    Session,
    TenantName,
    Username,
    format_times,
    operation_id,
    refuses,
    with_example,
)
from passgate.web.api.tokens import as_json
from passgate.web.guards import Context, Handle
from passgate.world import iso

router = routes.endpoints(prefix="/api/v1", tags=["signin"], generate_unique_id_function=operation_id)

Needed = Annotated[
    list[list[str]], Field(description="Alternatives; each is a list of factors to prove", examples=[[["password"]]])
]
Enrolling = Annotated[bool, Field(description="True if the factors in `need` are to be set up now, by proving them")]
FactorName = Annotated[
    str, Field(min_length=1, max_length=40, description="A factor named in `need`", examples=["password"])
]


class Started(Output):
    handle: Annotated[str, Field(description="Bearer token for `challenge`, `prove` and `finish` only")]
    need: Needed
    enrol: Enrolling
    expires_at: str


class NewTenant(Input):
    name: TenantName


class Signup(Input):
    model_config = with_example({"email": "anna@example.com", "password": "correct horse battery staple"})

    email: Email
    password: Secret | None = Field(None, description="Applies only to the handle in the response")
    profile: dict[str, Any] | None = None
    tenant: TenantName | None = Field(None, description="An existing tenant to join. Default: `main`")
    new_tenant: NewTenant | None = Field(None, description="A tenant to create, with this user as its owner")


class StepUp(Input):
    acr: Annotated[str, Field(max_length=60)] | None = Field(None, description="The assurance level to reach")
    max_age: Annotated[int, Field(ge=0, le=10**9)] | None = Field(
        None, description="Maximum age of a proof in seconds. A step-up always requires a new proof"
    )
    address: bool = Field(
        False,
        description="Also confirm the email address. What is changed next can't be undone from the mailbox alone",
    )


class Signin(Input):
    model_config = with_example({"email": "anna@example.com"})

    email: Email | None = None
    username: Username | None = Field(None, description="Instead of `email`, if the tenant has usernames")
    tenant: TenantName | None = Field(None, description="Default: `main`")
    step_up: StepUp | None = Field(None, description="Send it alone, with the session's token or cookie")


class Recover(Input):
    model_config = with_example({"email": "anna@example.com"})

    email: Email
    tenant: TenantName | None = Field(None, description="Default: `main`")


class Challenge(Input):
    factor: FactorName


class Challenged(Output):
    challenge: dict[str, Any]


class Proof(Input):
    model_config = with_example({"factor": "email_code", "answer": "12345678"})

    factor: FactorName
    answer: Annotated[str, Field(min_length=1, max_length=1024)] | dict[str, Any] = Field(
        description="The password or code; for a passkey, the result of the browser's `toJSON()`"
    )


class Proved(Output):
    enough: Annotated[bool, Field(description="If true, continue with `finish`")]
    need: Needed
    enrol: Enrolling
    amr: list[str] | None = None
    acr: str | None = None
    usable_at: str | None = Field(
        None, description="When a recovery with two proofs can continue without the lost factor"
    )


class Finish(Input):
    model_config = with_example({"carrier": "bearer"})

    carrier: Literal["bearer", "cookie", "jwt"]
    remember: bool = Field(False, description="With `cookie`: skip two-step verification in this browser for a while")


class Complete(Input):
    model_config = with_example({"answer": {"type": "public-key"}, "email": "anna@example.com", "carrier": "bearer"})

    answer: dict[str, Any] = Field(description="The result of the browser's `toJSON()`")
    email: Email | None = Field(None, description="Refused unless the sign-in was started with this address")
    purpose: Literal["signin", "signup"] | None = Field(None, description="Refused unless it is one. Default: either")
    carrier: Literal["bearer", "jwt"]
    tenant: TenantName | None = Field(None, description="Where the sign-in was started. Default: `main`")


class Finished(Output):
    session: Session
    token: str | None = Field(None, description="Only with `carrier: bearer`")
    access_token: str | None = Field(None, description="Only with `carrier: jwt`, like the members below")
    refresh_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None


def _started(begun: starts.Started) -> dict[str, Any]:
    need = begun.need
    return {"handle": begun.handle, "need": need.listed(), "enrol": need.enrol, "expires_at": iso(begun.expires_at)}


@router.post(
    "/signup",
    responses=refuses(SignupClosed, TenantNameTaken, Invalid, PasswordRefused, Throttled),
    status_code=202,
    response_model=Started,
    dependencies=[Depends(guards.stranger)],
    summary="Start a sign-up",
)
async def signup(ctx: Context, given: Signup) -> Any:
    """Emails a verification code. The response is the same if the email address already has an account. Where the
    tenant's rules have `address_proof: later`, `need` asks for no code, and none is sent: only the end of the sign-up
    says whether the address is free (`proof_missing` if not, with a mail)."""
    new_tenant = given.new_tenant.name if given.new_tenant else None
    begun = await starts.sign_up(ctx, given.email, given.password, given.profile, given.tenant, new_tenant)
    return _started(begun)


@router.post(
    "/signin",
    responses=refuses(*SESSION, CsrfRefused, SignupClosed, FactorNotOffered, Invalid, Throttled),
    status_code=201,
    response_model=Started,
    dependencies=[Depends(guards.stranger)],
    summary="Start a sign-in or step-up",
    openapi_extra={"security": [{}, {"session": []}, {"session_cookie": []}]},  # only a step-up carries one
)
async def start(ctx: Context, request: Request, given: Signin) -> Any:
    """With `step_up` and a session's token or cookie, the user confirms who they are again. Otherwise the response is
    the same for everyone."""
    if given.step_up is None:
        browser = cookies.read(request.headers.raw, cookies.browser_name(ctx.settings))
        begun = await starts.sign_in(ctx, given.email, given.tenant, browser=browser, username=given.username)
        return _started(begun)
    if (given.email, given.username, given.tenant) != (None, None, None):
        raise Invalid({"step_up": "value"})
    acting, wanted = await guards.leaving(request), given.step_up
    return _started(await starts.step_up(acting, wanted.acr, address=wanted.address))


@router.post(
    "/recover",
    responses=refuses(SignupClosed, Invalid, Throttled),
    status_code=202,
    response_model=Started,
    dependencies=[Depends(guards.stranger)],
    summary="Start an account recovery",
)
async def recover(ctx: Context, given: Recover) -> Any:
    """Emails a verification code. The response is the same if there is no account."""
    return _started(await starts.recover(ctx, given.email, given.tenant))


@router.post(
    "/signin/challenge",
    responses=refuses(HandleInvalid, NoChallenge, AlreadyProved, FactorNotOffered, Invalid, Throttled),
    response_model=Challenged,
    summary="Request a challenge",
)
async def challenge(ctx: Context, handle: Handle, given: Challenge) -> Any:
    """`passkey`: returns options for the browser. `email_code`: sends a new email and returns where it went, null after
    a username until a proof has named the user. While
    `enrol` is true: returns options for creating a passkey, or a setup key for an authenticator app."""
    return {"challenge": await signin.challenge(ctx, handle, given.factor)}


@router.post(
    "/signin/prove",
    responses=refuses(
        HandleInvalid,
        ProofRefused,
        AlreadyProved,
        FactorNotOffered,
        SignupClosed,
        ProofMissing,
        TenantNameTaken,
        Invalid,
        PasswordRefused,
        Throttled,
    ),
    response_model=Proved,
    response_model_exclude_none=True,
    summary="Prove a factor",
)
async def prove(ctx: Context, handle: Handle, given: Proof) -> Any:
    """Checks the answer to one factor. Every refusal looks the same, whatever was wrong."""
    decision = await signin.prove(ctx, handle, given.factor, given.answer)
    match decision:
        case Need():
            needed = {"enough": False, "need": decision.listed(), "enrol": decision.enrol}
            waits = await signin.waits_until(ctx, handle) if ctx.factors[given.factor].recovers else None
            return {**needed, "usable_at": iso(waits) if waits else None}
        case Enough():
            return {"enough": True, "need": [], "enrol": False, "amr": decision.amr, "acr": decision.acr}
        case Refuse():
            raise FactorNotOffered


@router.post(
    "/signin/finish",
    responses=refuses(HandleInvalid, SessionEnded, StepUpNeeded, CsrfRefused, ProofMissing, Invalid),
    status_code=201,
    response_model=Finished,
    response_model_exclude_none=True,
    summary="Finish and create a session",
)
async def finish(ctx: Context, request: Request, response: Response, handle: Handle, given: Finish) -> Any:
    """Works once. `bearer` returns the session's token; `cookie` sets it as a cookie instead; `jwt` returns an access
    token that other programs can verify, and a refresh token."""
    if given.carrier == "cookie":
        csrf.refuse_foreign(ctx, request.headers)
    elif given.remember:
        raise Invalid({"remember": "value"})
    finished = await signin.finish(ctx, handle, carrier=given.carrier, remember=given.remember)
    if given.carrier != "cookie":
        return _finished(finished)
    response.headers.append("set-cookie", cookies.set_session(ctx.settings, finished.opened.token))
    if finished.known:
        response.headers.append("set-cookie", cookies.set_known(ctx.settings, finished.known, known.LIFE))
    if finished.browser:
        response.headers.append("set-cookie", cookies.set_browser(ctx.settings, finished.browser))
    return {"session": format_times(finished.opened.session)}


def _finished(finished: signin.Finished) -> dict[str, Any]:
    carried = as_json(finished.pair) if finished.pair is not None else {"token": finished.opened.token}
    return {"session": format_times(finished.opened.session), **carried}


@router.post(
    "/signin/complete",
    responses=refuses(
        HandleInvalid,
        ProofRefused,
        AlreadyProved,
        FactorNotOffered,
        SignupClosed,
        InvitationInvalid,
        StepUpNeeded,
        ProofMissing,
        TenantNameTaken,
        Invalid,
        Throttled,
    ),
    status_code=201,
    response_model=Finished,
    response_model_exclude_none=True,
    dependencies=[Depends(guards.stranger)],
    summary="Complete a sign-in by a passkey's answer",
)
async def complete(ctx: Context, given: Complete) -> Any:
    """`prove` with a passkey and `finish` in one request, without the handle: the challenge in the answer says which
    sign-in or sign-up it is for. A challenge that can't be completed here, as one of the other `purpose`, is refused
    with `handle_invalid`, whatever the reason is. After `proof_missing` the sign-in goes on with its handle."""
    named: dict[str, Any] = {"email": given.email, "purpose": given.purpose, "tenant_name": given.tenant}
    return _finished(await by_challenge.complete(ctx, given.answer, carrier=given.carrier, **named))
