"""CSRF check for unsafe requests authenticated by cookie. Requests with an Authorization header do not need it.

Evaluated in this order: Sec-Fetch-Site, then Origin, then a token bound to the session.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from passgate.core.ctx import Ctx
from passgate.errors import CsrfRefused

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SITES = frozenset({"same-origin", "same-site", "cross-site", "none"})
TOKEN_HEADER = "x-csrf-token"


def token(ctx: Ctx, bound_to: str) -> str:
    """The CSRF token for a form. `bound_to` is the session id or, before there is a session, the value of the sign-in
    cookie."""
    return ctx.ring.mac("csrf", bound_to.encode()).hex()


def check(ctx: Ctx, headers: Headers, bound_to: str | None, given: str | None = None) -> None:
    """Raise CsrfRefused unless the request is same-origin or has a valid token. `given` is the form field `csrf_token`,
    if any; else the X-CSRF-Token header is used. If `bound_to` is None (no cookie was sent), no token is valid."""
    verdict = _is_same_origin(headers, ctx.site.origin)
    if verdict is None:
        verdict = bound_to is not None and _token_fits(ctx, bound_to, given or headers.get(TOKEN_HEADER))
    if not verdict:
        raise CsrfRefused


def refuse_foreign(ctx: Ctx, headers: Headers) -> None:
    """Raise CsrfRefused on any sign of another origin. For endpoints that set a cookie but do not require one."""
    if _is_same_origin(headers, ctx.site.origin) is False:
        raise CsrfRefused


def _is_same_origin(headers: Headers, ours: str) -> bool | None:
    """Whether Sec-Fetch-Site or Origin shows a same-origin request; None if neither decides. Repeated headers count as
    False."""
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if len(sites) > 1 or len(origins) > 1:
        return False
    if sites and sites[0] in _SITES:
        return sites[0] == "same-origin"
    if origins and origins[0] != "null":
        return origins[0] == ours
    return None


def _token_fits(ctx: Ctx, bound_to: str, given: str | None) -> bool:
    try:
        return ctx.ring.check("csrf", bound_to.encode(), bytes.fromhex(given or ""))
    except ValueError:
        return False
