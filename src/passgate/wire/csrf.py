"""Whether an unsafe request comes from our own pages. Evaluated in this order: Sec-Fetch-Site, Origin, a token.

Not here: what a token is bound to.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers

from passgate.errors import CsrfRefused

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SITES = frozenset({"same-origin", "same-site", "cross-site", "none"})
TOKEN_HEADER = "x-csrf-token"


def check(headers: Headers, origin: str, is_right: Callable[[bytes], bool], given: str | None = None) -> None:
    """Raise CsrfRefused unless the request is same-origin or has a right token. `given` is the form field `csrf_token`,
    if any; else the X-CSRF-Token header is used."""
    verdict = _is_same_origin(headers, origin)
    if not (_has_token(given or headers.get(TOKEN_HEADER), is_right) if verdict is None else verdict):
        raise CsrfRefused


def refuse_foreign(headers: Headers, origin: str) -> None:
    """Raise CsrfRefused on any sign of another origin. For endpoints that set a cookie but do not require one."""
    if _is_same_origin(headers, origin) is False:
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


def _has_token(given: str | None, is_right: Callable[[bytes], bool]) -> bool:
    try:
        return is_right(bytes.fromhex(given or ""))
    except ValueError:
        return False
