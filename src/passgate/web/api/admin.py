"""The endpoints of a tenant's admins: its name and policy, and sign-in links. Not here: the rules (`core.admin`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from pydantic import BaseModel, Field, create_model

from passgate.core import admin, users
from passgate.core.access import tenant_of
from passgate.core.ctx import Ctx
from passgate.core.rules import AAL1, NESTED, Rules
from passgate.errors import CsrfRefused, Invalid, NotFound, PermissionMissing, StepUpNeeded
from passgate.web import routes
from passgate.web.api.account import Id
from passgate.web.api.shapes import SESSION, Input, Output, Tenant, operation_id, refuses, with_example
from passgate.web.guards import Session as Live
from passgate.world import iso

router = routes.endpoints(prefix="/api/v1", tags=["admin"], generate_unique_id_function=operation_id)

OWN = "own"
TenantId = Annotated[
    str,
    Path(
        min_length=3,
        max_length=36,
        pattern=f"^([0-9a-f-]{{36}}|{OWN})$",
        description="The tenant's id, or `own`: yours, or the one for which an operator acts",
    ),
]


def _fields(rules: type[BaseModel], base: type[BaseModel]) -> dict[str, Any]:
    """The fields of a tenant's rules, with their JSON types; in an Input all of them are optional."""
    found: dict[str, Any] = {}
    for name, field in rules.model_fields.items():
        kind: Any = list[str] if field.annotation == tuple[str, ...] else field.annotation
        if name in NESTED and rules is Rules:
            called = NESTED[name].__name__ + ("Change" if base is Input else "")
            kind = create_model(called, __base__=base, **_fields(NESTED[name], base))
        described = Field(None if base is Input else ..., description=field.description)
        found[name] = (kind | None if base is Input else kind, described)
    return found


Policy = create_model("Policy", __base__=Output, **_fields(Rules, Output))
_Change = create_model("_Change", __base__=Input, **_fields(Rules, Input))


class PolicyChange(_Change):
    """Fields you leave out stay unchanged."""

    model_config = with_example({"second": "always", "second_among": ["passkey", "totp"]})


class TenantChange(Input):
    model_config = with_example({"display_name": "Acme"})

    display_name: Annotated[
        str,
        Field(
            max_length=400,
            description="What people read: 1 to 64 printable characters; no /, @, or dot before letters",
        ),
    ]


class Explained(Output):
    decision: Literal["need", "enrol", "enough", "refuse"]
    need: Annotated[list[list[str]], Field(description="What to prove or set up: one of these lists, all of it")]
    amr: list[str]
    acr: str | None
    reasons: Annotated[list[str], Field(description="The name of the rule that decides")]
    why: str
    has: Annotated[list[str], Field(description="The factors that are set up")]


class SigninLink(Output):
    url: Annotated[str, Field(description="Shown only once; works once")]
    usable_at: str
    expires_at: str


class LinkAsked(Output):
    approval: Annotated[Literal["needed"], Field(description="Another admin, or an owner, has to ask for it too")]


@router.get(
    "/tenants/{id}",
    responses=refuses(*SESSION, PermissionMissing, NotFound, Invalid),
    response_model=Tenant,
    name="tenant",
    summary="Get the tenant",
)
async def tenant(ctx: Live, id: TenantId) -> Any:
    """Requires `policy:read`."""
    return (await admin.readable(ctx, await _tenant(ctx, id))).as_json()


@router.patch(
    "/tenants/{id}",
    responses=refuses(*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, NotFound, Invalid),
    response_model=Tenant,
    name="change_tenant",
    summary="Change the tenant's display name",
)
async def change_tenant(ctx: Live, id: TenantId, given: TenantChange) -> Any:
    """Requires `tenant:write` and a recent proof. Pages, mails and newly set up authenticator apps have the new name at
    once."""
    return (await admin.rename_tenant(ctx, await _tenant(ctx, id), given.display_name)).as_json()


@router.get(
    "/tenants/{id}/policy",
    responses=refuses(*SESSION, PermissionMissing, NotFound, Invalid),
    response_model=Policy,
    name="policy",
    summary="Get the tenant's policy",
)
async def policy(ctx: Live, id: TenantId) -> Any:
    """Returns what the tenant requires for signing in."""
    return (await admin.policy_of(ctx, await _tenant(ctx, id))).to_json()


async def _tenant(ctx: Ctx, given: str) -> str:
    return await tenant_of(ctx) if given == OWN else given


@router.patch(
    "/tenants/{id}/policy",
    responses=refuses(*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, NotFound, Invalid),
    response_model=Policy,
    name="change_policy",
    summary="Change the tenant's policy",
)
async def change_policy(ctx: Live, id: TenantId, given: PolicyChange) -> Any:
    """Requires a recent proof. Applies to pending sign-ins from their next step."""
    data = given.model_dump(exclude_unset=True)
    return (await admin.change_policy(ctx, await _tenant(ctx, id), data)).to_json()


@router.get(
    "/tenants/{id}/policy/explain",
    responses=refuses(*SESSION, PermissionMissing, NotFound, Invalid),
    response_model=Explained,
    name="explain",
    summary="Explain the tenant's policy",
)
async def explain(
    ctx: Live,
    id: TenantId,
    purpose: Annotated[str, Query(max_length=20, description="signin, signup, recovery or step_up")] = "signin",
    proofs: Annotated[str, Query(max_length=400, description="Factors proved so far, separated by commas")] = "",
    has: Annotated[str, Query(max_length=400, description="Factors that are set up, if there is no `user`")] = "",
    acr: Annotated[str, Query(max_length=40, description="Required assurance level")] = AAL1,
    remembered: Annotated[bool, Query(description="Assume a remembered browser")] = False,
    user: Annotated[
        str | None,
        Query(min_length=36, max_length=36, pattern="^[0-9a-f-]{36}$", description="Use what this user has set up"),
    ] = None,
) -> Any:
    """Returns what a user must prove next, and why, as `passgate policy explain` does. With `user` it requires
    `factors:read` too."""
    return await admin.explained(
        ctx,
        await _tenant(ctx, id),
        user,
        purpose=purpose,
        proofs=_names(proofs),
        has=_names(has),
        acr=acr,
        is_remembered=remembered,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


@router.post(
    "/users/{id}/signin-link",
    responses=refuses(*SESSION, CsrfRefused, StepUpNeeded, PermissionMissing, NotFound, Invalid)
    | {202: {"description": "For an equal: the request is noted for a day", "model": LinkAsked}},
    status_code=201,
    response_model=SigninLink | LinkAsked,
    name="signin_link",
    summary="Create a sign-in link",
)
async def signin_link(ctx: Live, response: Response, id: Id) -> Any:
    """The link is one proof and never a second factor. The person gets a mail at once and can stop it while it waits.
    For somebody with the same permissions as you, a second admin or an owner has to ask too; until then the answer is
    202. The link opens only while everybody who asked for it may still do so."""
    made = await users.signin_link(ctx, users.User(await tenant_of(ctx), id))
    if made is None:
        response.status_code = 202
        return {"approval": "needed"}
    return {"url": made.url, "usable_at": iso(made.usable_at), "expires_at": iso(made.expires_at)}
