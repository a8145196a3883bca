"""Tokens for programs: refreshing a pair, and the keys that verify access tokens.

Not here: what a refresh means (`core.tokens`), and when a key signs (`core.keys`).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Response
from pydantic import Field
from starlette.datastructures import Headers
from starlette.types import Send

from passgate.core import keys, tokens
from passgate.core.ctx import Ctx
from passgate.errors import ClientChanged, CredentialInvalid, Invalid, RefreshReused, SessionEnded, StepUpNeeded
from passgate.web import guards, routes
from passgate.web.api.shapes import Input, Output, operation_id, refuses, send_json, validated, with_example
from passgate.web.guards import Context

router = routes.endpoints(prefix="/api/v1", tags=["tokens"], generate_unique_id_function=operation_id)

at_issuer = routes.services(include_in_schema=False, dependencies=[Depends(guards.stranger)], prefix="/oauth2")
"""Where programs that verify look, whatever version our own endpoints have."""


class Refresh(Input):
    model_config = with_example({"refresh_token": "pg_rt_…"})

    refresh_token: Annotated[str, Field(min_length=1, max_length=1024)]


class Pair(Output):
    access_token: str
    refresh_token: Annotated[str, Field(description="Works once; used again, it ends the session")]
    token_type: str
    expires_in: Annotated[int, Field(description="Seconds that the access token is valid")]


def as_json(pair: tokens.Pair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
        "expires_in": pair.expires_in,
    }


@router.post(
    "/tokens/refresh",
    responses=refuses(CredentialInvalid, SessionEnded, RefreshReused, ClientChanged, StepUpNeeded, Invalid),
    response_model=Pair,
    dependencies=[Depends(guards.stranger)],
    summary="Refresh a token pair",
)
async def refresh(ctx: Context, given: Refresh) -> Any:  # without a query, the edge middleware calls `answer` instead
    """Exchanges a refresh token for a new pair, and uses the session. A refresh token works once: a second use of it
    ends the session, because somebody else may have it."""
    return as_json(await tokens.refresh(ctx, given.refresh_token))


async def answer(ctx: Ctx, _headers: Headers, body: Any, send: Send) -> None:
    """The same without the framework."""
    given = validated(Refresh, body)
    await send_json(send, as_json(await tokens.refresh(ctx, given.refresh_token)))


@at_issuer.get("/jwks")
async def key_set(ctx: Context) -> Response:
    """Returns the public keys that verify access tokens."""
    body = keys.key_set(await keys.read(ctx.services))
    headers = {"cache-control": f"public, max-age={keys.PUBLISHED}"}
    return Response(body, media_type="application/jwk-set+json", headers=headers)
