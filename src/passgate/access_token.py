"""Access tokens (RFC 9068): their claims, written and read. The one function that decides whether an access token of an
issuer counts, for our own endpoints and for programs that only verify.

Not here: signatures and keys (`jose`), and whether the session behind a token still lives (`core.tokens`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from passgate.jose import PrivateKey, PublicKey, Refused, members, opened

KIND = "at+jwt"
CLIENT = "passgate"
"""The `client_id` of a person's own sign-in, which no other program asked for."""
LONGEST_LIFE = 24 * 3600
"""Seconds. A token that claims to live longer is none of ours."""
EXPIRED = "expired"
"""Why a token is refused that was right, and is over."""
_EARLY = 60
"""Seconds by which an issuer's clock may be ahead."""
_TEXTS = ("iss", "aud", "sub", "client_id", "jti", "sid", "tenant_id", "acr")
_TIMES = ("exp", "iat", "auth_time")
_LISTS = ("roles", "amr")
_PERMISSIONS = "permissions"
"""Only where a host has registered permissions of its own."""
OURS = frozenset({*_TEXTS, *_TIMES, *_LISTS, _PERMISSIONS, "nbf", "scope", "cnf", "gid", "act"})
"""Names that a host's claims may not have: those of our tokens, now or later."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Who may act, as it was when the token was issued. Instants in seconds since 1970; `more`: a host's claims;
    `permissions`: those of the host's own that the roles give, None if it has registered none."""

    issuer: str
    audience: str
    subject: str
    client_id: str
    token_id: str
    session_id: str
    tenant_id: str
    acr: str
    amr: tuple[str, ...]
    roles: tuple[str, ...]
    auth_time: int
    issued_at: int
    expires_at: int
    more: Mapping[str, Any] = field(hash=False)
    permissions: tuple[str, ...] | None = None

    def may(self, permission: str) -> bool:
        """Whether it says that the person has this permission of the host's own."""
        return permission in (self.permissions or ())


def signed(key: PrivateKey, token: AccessToken) -> str:
    claims = {
        **token.more,
        "iss": token.issuer,
        "aud": token.audience,
        "sub": token.subject,
        "client_id": token.client_id,
        "jti": token.token_id,
        "sid": token.session_id,
        "tenant_id": token.tenant_id,
        "acr": token.acr,
        "amr": [*token.amr],
        "roles": [*token.roles],
        "auth_time": token.auth_time,
        "iat": token.issued_at,
        "exp": token.expires_at,
    }
    if token.permissions is not None:
        claims[_PERMISSIONS] = [*token.permissions]
    return key.sign(KIND, json.dumps(claims, separators=(",", ":")).encode())


def read(
    token: str, find: Callable[[str], PublicKey | None], *, issuer: str, audience: str, now: float, leeway: int = 0
) -> AccessToken:
    """The token, if it counts now (RFC 9068 §4); `now` in seconds. Raises jose.Refused."""
    header, payload = opened(token, find)
    if header.get("typ") not in (KIND, f"application/{KIND}"):
        raise Refused("typ")
    found = _typed(members(payload))
    if found.issuer != issuer or found.audience != audience:
        raise Refused("issuer" if found.issuer != issuer else "audience")
    check_times(found, now, leeway)
    return found


def check_times(token: AccessToken, now: float, leeway: int = 0) -> None:
    """Raises Refused for a token that is over, not yet issued, or that lives longer than any of ours."""
    if now >= token.expires_at + leeway:
        raise Refused(EXPIRED)
    if token.issued_at > now + _EARLY + leeway or token.expires_at - token.issued_at > LONGEST_LIFE:
        raise Refused("times")


def _typed(claims: dict[str, Any]) -> AccessToken:
    """Every claim is required, but for the permissions, and each has one type: no list where a text belongs, no true
    where a number does."""
    are_texts = all(isinstance(claims.get(name), str) and claims[name] for name in _TEXTS)
    are_times = all(type(claims.get(name)) is int and 0 <= claims[name] < 2**53 for name in _TIMES)
    are_lists = all(_is_list_of_texts(claims.get(name)) for name in _LISTS)
    permissions = claims.get(_PERMISSIONS, [])
    if not (are_texts and are_times and are_lists and _is_list_of_texts(permissions)) or "nbf" in claims:
        raise Refused("claims")
    return AccessToken(
        issuer=claims["iss"],
        audience=claims["aud"],
        subject=claims["sub"],
        client_id=claims["client_id"],
        token_id=claims["jti"],
        session_id=claims["sid"],
        tenant_id=claims["tenant_id"],
        acr=claims["acr"],
        amr=tuple(claims["amr"]),
        roles=tuple(claims["roles"]),
        auth_time=claims["auth_time"],
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        more={name: value for name, value in claims.items() if name not in OURS},
        permissions=tuple(permissions) if _PERMISSIONS in claims else None,
    )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
