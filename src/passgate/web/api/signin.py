"""The endpoints of signing in over JSON: sign-up, sign-in, recovery, step-up; challenge, prove, finish.

A sign-in is a resource whose handle is a bearer secret of its own kind. Rules live in `core.signin`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from passgate.core import signin
from passgate.core.policy import Enough, Need, Refuse
from passgate.errors import (
    AlreadyProved,
    CsrfRefused,
    FactorNotOffered,
    HandleInvalid,
    Invalid,
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
from passgate.web import cookies, csrf, guards
from passgate.web.api.shapes import (
    SESSION,
    Email,
    Input,
    Output,
    Secret,
    Session,
    TenantName,
    format_times,
    operation_id,
    refuses,
    with_example,
)
from passgate.web.guards import Context, Handle
from passgate.world import iso

router = APIRouter(prefix="/api/v1", tags=["signin"], generate_unique_id_function=operation_id)

Needed = Annotated[
    list[list[str]], Field(description="Alternatives, each a list of factors", examples=[[["password"]]])
]
Enrolling = Annotated[bool, Field(description="True where the factors of `need` are set up now, by proving them")]
FactorName = Annotated[
    str, Field(min_length=1, max_length=40, description="One of those named in `need`", examples=["password"])
]


class Started(Output):
    handle: Annotated[str, Field(description="Bearer of `challenge`, `prove` and `finish`; nothing else takes it")]
    need: Needed
    enrol: Enrolling
    expires_at: str


class NewTenant(Input):
    name: TenantName


class Signup(Input):
    model_config = with_example({"email": "anna@example.com", "password": "correct horse battery staple"})

    email: Email
    password: Secret | None = Field(None, description="Counts only for the handle that is answered")
    profile: dict[str, Any] | None = None
    tenant: TenantName | None = Field(None, description="An existing tenant to join; none means `main`")
    new_tenant: NewTenant | None = Field(None, description="A tenant to create, with this person as its owner")


class StepUp(Input):
    acr: Annotated[str, Field(max_length=60)] | None = Field(None, description="The level that is asked for")
    max_age: Annotated[int, Field(ge=0, le=10**9)] | None = Field(
        None, description="Seconds a proof may be old; a step-up always wants a new one"
    )


class Signin(Input):
    model_config = with_example({"email": "anna@example.com"})

    email: Email | None = None
    tenant: TenantName | None = Field(None, description="None means `main`")
    step_up: StepUp | None = Field(None, description="Alone, and with a session's credential")


class Recover(Input):
    model_config = with_example({"email": "anna@example.com"})

    email: Email
    tenant: TenantName | None = Field(None, description="None means `main`")


class Challenge(Input):
    factor: FactorName


class Challenged(Output):
    challenge: dict[str, Any]


class Proof(Input):
    model_config = with_example({"factor": "email_code", "answer": "12345678"})

    factor: FactorName
    answer: Annotated[str, Field(min_length=1, max_length=1024)] | dict[str, Any] = Field(
        description="The password, or the code; of a passkey what the browser's `toJSON()` answers"
    )


class Proved(Output):
    enough: Annotated[bool, Field(description="True: go on to `finish`")]
    need: Needed
    enrol: Enrolling
    amr: list[str] | None = None
    acr: str | None = None
    usable_at: str | None = Field(
        None, description="When a recovery that gave two proofs can go on without the lost factor"
    )


class Finish(Input):
    model_config = with_example({"carrier": "bearer"})

    carrier: Literal["bearer", "cookie"]
    remember: bool = Field(
        False, description="With `cookie`: do not ask this browser for the second factor for a while"
    )


class Finished(Output):
    session: Session
    token: str | None = Field(None, description="With `carrier: bearer` only")


def _started(begun: signin.Started) -> dict[str, Any]:
    need = begun.need
    return {"handle": begun.handle, "need": need.listed(), "enrol": need.enrol, "expires_at": iso(begun.expires_at)}


@router.post(
    "/signup",
    responses=refuses(SignupClosed, TenantNameTaken, Invalid, PasswordRefused),
    status_code=202,
    response_model=Started,
    dependencies=[Depends(guards.stranger)],
    summary="Begin to sign up",
)
async def signup(ctx: Context, given: Signup) -> Any:
    """The answer is the same whether the address is known or not; the mail tells the rest."""
    new_tenant = given.new_tenant.name if given.new_tenant else None
    begun = await signin.start_signup(ctx, given.email, given.password, given.profile, given.tenant, new_tenant)
    return _started(begun)


@router.post(
    "/signin",
    responses=refuses(*SESSION, CsrfRefused, SignupClosed, FactorNotOffered, Invalid),
    status_code=201,
    response_model=Started,
    dependencies=[Depends(guards.stranger)],
    summary="Begin to sign in, or to step up",
    openapi_extra={"security": [{}, {"session": []}, {"session_cookie": []}]},  # only a step-up carries one
)
async def start(ctx: Context, request: Request, given: Signin) -> Any:
    """With `step_up` and a session's credential: to prove anew who you are, with what you have set up. Otherwise the
    answer is the same for anybody."""
    if given.step_up is None:
        browser = cookies.read(request.headers.raw, cookies.browser_name(ctx.settings))
        return _started(await signin.start(ctx, given.email, given.tenant, browser=browser))
    if given.email is not None or given.tenant is not None:
        raise Invalid({"step_up": "value"})
    found = await guards.session(request, await guards.peek(request))
    return _started(await signin.start_step_up(ctx.acting(found.actor), found.actor, given.step_up.acr))


@router.post(
    "/recover",
    responses=refuses(SignupClosed, Invalid),
    status_code=202,
    response_model=Started,
    dependencies=[Depends(guards.stranger)],
    summary="Begin to choose a new password",
)
async def recover(ctx: Context, given: Recover) -> Any:
    """The answer is the same whether the address is known or not; the mail brings the code."""
    return _started(await signin.start_recovery(ctx, given.email, given.tenant))


@router.post(
    "/signin/challenge",
    responses=refuses(HandleInvalid, NoChallenge, AlreadyProved, FactorNotOffered, Invalid),
    response_model=Challenged,
    summary="Ask what a factor needs first",
)
async def challenge(ctx: Context, handle: Handle, given: Challenge) -> Any:
    """`passkey`: options for the browser. `email_code`: sends another mail, and says where to. While `enrol` is true:
    what is to be set up, options to make a passkey or a secret for an authenticator app."""
    return {"challenge": await signin.challenge(ctx, handle, given.factor)}


@router.post(
    "/signin/prove",
    responses=refuses(
        HandleInvalid,
        ProofRefused,
        AlreadyProved,
        FactorNotOffered,
        TenantNameTaken,
        Invalid,
        PasswordRefused,
        Throttled,
    ),
    response_model=Proved,
    response_model_exclude_none=True,
    summary="Prove one factor",
)
async def prove(ctx: Context, handle: Handle, given: Proof) -> Any:
    """Answer one factor. Every refusal has one text, whatever was wrong."""
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
    summary="Turn enough proofs into a session",
)
async def finish(ctx: Context, request: Request, response: Response, handle: Handle, given: Finish) -> Any:
    """Once. `bearer` answers the session's token, `cookie` sets it as a cookie and answers none."""
    if given.carrier == "cookie":
        csrf.refuse_foreign(ctx, request.headers)
    elif given.remember:
        raise Invalid({"remember": "value"})
    finished = await signin.finish(ctx, handle, remember=given.remember)
    opened = finished.opened
    answer: dict[str, Any] = {"session": format_times(opened.session)}
    if given.carrier == "cookie":
        response.headers.append("set-cookie", cookies.set_session(ctx.settings, opened.token))
        if finished.browser:
            response.headers.append("set-cookie", cookies.set_browser(ctx.settings, finished.browser))
    else:
        answer["token"] = opened.token
    return answer
