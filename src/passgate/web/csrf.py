"""Whether an unsafe request that comes by cookie was meant by our own pages. Requests by Authorization need none of it.

The rule, in the contract's order: Sec-Fetch-Site, then Origin, then a token bound to the session.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from passgate.core.ctx import Ctx
from passgate.errors import CsrfRefused

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SITES = frozenset({"same-origin", "same-site", "cross-site", "none"})
TOKEN_HEADER = "x-csrf-token"


def token(ctx: Ctx, bound_to: str) -> str:
    """The value that pages put into their forms. `bound_to` is the session's id or, before there is a session, the
    value of the sign-in cookie."""
    return ctx.ring.mac("csrf", bound_to.encode()).hex()


def check(ctx: Ctx, headers: Headers, bound_to: str | None, given: str | None = None) -> None:
    """Raise CsrfRefused unless our own page sent it. `given` is a form's csrf_token, if there was a form; bound to
    nothing (no cookie came), no token fits."""
    verdict = _is_same_origin(headers, ctx.settings.url)
    if verdict is None:
        verdict = bound_to is not None and _token_fits(ctx, bound_to, given or headers.get(TOKEN_HEADER))
    if not verdict:
        raise CsrfRefused


def refuse_foreign(ctx: Ctx, headers: Headers) -> None:
    """For endpoints that hand out a cookie without coming by one: any sign of another origin refuses."""
    if _is_same_origin(headers, ctx.settings.url) is False:
        raise CsrfRefused


def _is_same_origin(headers: Headers, ours: str) -> bool | None:
    """True or False where the browser tells where the request comes from, None where it does not. Doubled header
    fields tell nothing good."""
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
