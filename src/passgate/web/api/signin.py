"""The doors of signing in over JSON: sign-up, sign-in, recovery, step-up; challenge, prove, finish.

A sign-in is a resource whose handle is a bearer secret of its own kind. Rules live in `core.signin`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from passgate.core import signin
from passgate.core.policy import Enough, Need, Refuse
from passgate.errors import FactorNotOffered, Invalid
from passgate.web import cookies, csrf, guards
from passgate.web.api.shapes import Email, Input, Output, Secret, Session, TenantName, spelled
from passgate.web.guards import Context, Handle
from passgate.world import iso

router = APIRouter(prefix="/api/v1", tags=["signin"])

Ways = list[list[str]]
FactorName = Annotated[str, Field(min_length=1, max_length=40)]


class Started(Output):
    handle: str
    need: Ways
    enrol: bool
    expires_at: str


class NewTenant(Input):
    name: TenantName


class Signup(Input):
    email: Email
    password: Secret | None = None
    profile: dict[str, Any] | None = None
    tenant: TenantName | None = None
    new_tenant: NewTenant | None = None


class StepUp(Input):
    acr: Annotated[str, Field(max_length=60)] | None = None
    max_age: Annotated[int, Field(ge=0, le=10**9)] | None = None


class Signin(Input):
    email: Email | None = None
    tenant: TenantName | None = None
    step_up: StepUp | None = None


class Recover(Input):
    email: Email
    tenant: TenantName | None = None


class Challenge(Input):
    factor: FactorName


class Challenged(Output):
    challenge: dict[str, Any]


class Proof(Input):
    factor: FactorName
    answer: Annotated[str, Field(min_length=1, max_length=1024)]


class Proved(Output):
    enough: bool
    need: Ways
    enrol: bool
    amr: list[str] | None = None
    acr: str | None = None


class Finish(Input):
    carrier: Literal["bearer", "cookie"]


class Finished(Output):
    session: Session
    token: str | None = None


def _started(begun: signin.Started) -> dict[str, Any]:
    need = begun.need
    return {
        "handle": begun.handle, "need": need.listed(), "enrol": need.enrol, "expires_at": iso(begun.expires_at),
    }  # fmt: skip


@router.post("/signup", status_code=202, response_model=Started, dependencies=[Depends(guards.stranger)])
async def signup(ctx: Context, given: Signup) -> Any:
    """Begin to sign up. The answer is the same whether the address is known or not; the mail tells the rest."""
    new_tenant = given.new_tenant.name if given.new_tenant else None
    begun = await signin.start_signup(ctx, given.email, given.password, given.profile, given.tenant, new_tenant)
    return _started(begun)


@router.post("/signin", status_code=201, response_model=Started, dependencies=[Depends(guards.stranger)])
async def start(ctx: Context, request: Request, given: Signin) -> Any:
    """Begin to sign in, or, with `step_up` and a session's credential, to prove anew who you are."""
    if given.step_up is None:
        return _started(await signin.start(ctx, given.email, given.tenant))
    if given.email is not None or given.tenant is not None:
        raise Invalid({"step_up": "value"})
    found = await guards.session(request, await guards.look(request))
    return _started(await signin.start_step_up(ctx.acting(found.actor), found.actor, given.step_up.acr))


@router.post("/recover", status_code=202, response_model=Started, dependencies=[Depends(guards.stranger)])
async def recover(ctx: Context, given: Recover) -> Any:
    """Begin to choose a new password. The answer is the same whether the address is known or not."""
    return _started(await signin.start_recovery(ctx, given.email, given.tenant))


@router.post("/signin/challenge", response_model=Challenged)
async def challenge(ctx: Context, handle: Handle, given: Challenge) -> Any:
    """What a factor asks first: for a mailed code, another mail."""
    return {"challenge": await signin.challenge(ctx, handle, given.factor)}


@router.post("/signin/prove", response_model=Proved, response_model_exclude_none=True)
async def prove(ctx: Context, handle: Handle, given: Proof) -> Any:
    """Answer one factor. Every refusal has one text, whatever was wrong."""
    decision = await signin.prove(ctx, handle, given.factor, given.answer)
    match decision:
        case Need():
            return {"enough": False, "need": decision.listed(), "enrol": decision.enrol}
        case Enough():
            return {"enough": True, "need": [], "enrol": False, "amr": decision.amr, "acr": decision.acr}
        case Refuse():
            raise FactorNotOffered


@router.post("/signin/finish", status_code=201, response_model=Finished, response_model_exclude_none=True)
async def finish(ctx: Context, request: Request, response: Response, handle: Handle, given: Finish) -> Any:
    """Turn enough proofs into a session, once. `bearer` answers its token, `cookie` sets it."""
    if given.carrier == "cookie":
        csrf.refuse_foreign(ctx, request.headers)
    opened = await signin.finish(ctx, handle)
    answer: dict[str, Any] = {"session": spelled(opened.session)}
    if given.carrier == "cookie":
        response.headers.append("set-cookie", cookies.set_session(ctx.settings, opened.token))
    else:
        answer["token"] = opened.token
    return answer
