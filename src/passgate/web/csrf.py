"""CSRF tokens, and the check of unsafe requests that are authenticated by cookie. Requests with an Authorization header
do not need it.

Not here: how a request shows where it comes from (`wire.csrf`).
"""

from __future__ import annotations

from starlette.datastructures import Headers

from passgate.core.ctx import Ctx
from passgate.wire import csrf
from passgate.wire.csrf import SAFE, TOKEN_HEADER

__all__ = ["SAFE", "TOKEN_HEADER"]


def token(ctx: Ctx, bound_to: str) -> str:
    """The CSRF token. `bound_to` is the session id or, before there is a session, the value of the sign-in cookie."""
    return ctx.ring.mac("csrf", bound_to.encode()).hex()


def of_form(ctx: Ctx, bound_to: str, sign_in_id: str = "") -> str:
    """The CSRF token of one form as it is displayed once. After a dot it names the sign-in that the form is for: in
    another tab the browser may begin another one. After a second dot is a random number, so that the same form posted
    twice is recognized (`repeat`)."""
    name = _name(ctx, sign_in_id) if sign_in_id else ""
    return f"{token(ctx, bound_to)}.{name}.{ctx.services.world.text(9)}"


def is_numbered(given: str) -> bool:
    """Whether the token is that of one form as it was displayed once."""
    return given.count(".") == 2


def is_for(ctx: Ctx, given: str, sign_in_id: str) -> bool:
    """Whether the form was made for this sign-in. One that names none is."""
    named = given.split(".")[1] if "." in given else ""
    return not named or named == _name(ctx, sign_in_id)


def _name(ctx: Ctx, sign_in_id: str) -> str:
    return ctx.ring.mac("csrf", f"sign_in:{sign_in_id}".encode()).hex()[:16]


def check(ctx: Ctx, headers: Headers, bound_to: str | None, given: str | None = None) -> None:
    """Raise CsrfRefused unless the request is same-origin or has a valid token. If `bound_to` is None (no cookie was
    sent), no token is valid."""

    def is_right(sent: bytes) -> bool:
        return bound_to is not None and ctx.ring.check("csrf", bound_to.encode(), sent)

    csrf.check(headers, ctx.site.origin, is_right, (given or "").partition(".")[0])


def refuse_foreign(ctx: Ctx, headers: Headers) -> None:
    csrf.refuse_foreign(headers, ctx.site.origin)
