"""A FastAPI dependency that verifies the bearer token of a request. Only programs that ask for it need the framework.

Not here: what makes a token count (`verify`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from passgate.access_token import AccessToken
from passgate.jose import Refused
from passgate.verify import Unreachable, Verifier

_bearer = HTTPBearer(scheme_name="access_token", bearerFormat="JWT", auto_error=False)
Given = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def bearer(verifier: Verifier) -> Callable[..., Awaitable[AccessToken]]:
    """A dependency that gives the token, and answers 401 (RFC 6750 §3) or, without the issuer's keys, 503."""

    async def verified(given: Given) -> AccessToken:
        if given is None:
            raise HTTPException(401, "a bearer token is required", {"WWW-Authenticate": "Bearer"})
        try:
            return await verifier.verify(given.credentials)
        except Refused:
            fields = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HTTPException(401, "the token does not count", fields) from None
        except Unreachable:
            raise HTTPException(503, "the issuer cannot be reached", {"Retry-After": "10"}) from None

    return verified
