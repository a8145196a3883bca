"""Cookies: their names and flags. The public URL decides about both, never the request.

What a cookie's value means lives in `core`.
"""

from __future__ import annotations

from collections.abc import Iterable

from passgate.errors import CredentialInvalid
from passgate.settings import Settings


def session_name(settings: Settings) -> str:
    """`__Host-` over https: bound to this host, this path and TLS. Over http (development) browsers refuse it."""
    return "__Host-passgate_session" if settings.https else "passgate_session"


def set_session(settings: Settings, token: str) -> str:
    """A Set-Cookie value. SameSite=Lax: a person who follows a link from elsewhere is still signed in."""
    return _cookie(settings, session_name(settings), token, settings.session.absolute)


def clear_session(settings: Settings) -> str:
    return _cookie(settings, session_name(settings), "", 0)


def signin_name(settings: Settings) -> str:
    return "__Host-passgate_signin" if settings.https else "passgate_signin"


def set_signin(settings: Settings, value: str) -> str:
    """The pending sign-in's handle, or the seat a form is bound to before there is one; as long as a sign-in lives."""
    return _cookie(settings, signin_name(settings), value, settings.signin.life)


def clear_signin(settings: Settings) -> str:
    return _cookie(settings, signin_name(settings), "", 0)


def link_name(settings: Settings) -> str:
    return "__Host-passgate_link" if settings.https else "passgate_link"


def set_link(settings: Settings, token: str) -> str:
    """What a mailed link carried, for the page it leads to: the address bar and the history do not keep it."""
    return _cookie(settings, link_name(settings), token, settings.signin.life)


def clear_link(settings: Settings) -> str:
    return _cookie(settings, link_name(settings), "", 0)


def browser_name(settings: Settings) -> str:
    return "__Host-passgate_browser" if settings.https else "passgate_browser"


def set_browser(settings: Settings, token: str, days: int = 365) -> str:
    """A remembered browser. How long it counts is kept beside its hash; the cookie merely lives longer than that."""
    return _cookie(settings, browser_name(settings), token, days * 24 * 3600)


def _cookie(settings: Settings, name: str, value: str, max_age: int) -> str:
    secure = "; Secure" if settings.https else ""
    return f"{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}"


def read(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """The cookie's value. Two of one name (a neighbour host planted one) are refused: neither can be trusted."""
    values = [
        value.strip()
        for key, line in headers
        if key == b"cookie"
        for pair in line.decode("latin-1").split(";")
        for found, _, value in [pair.strip().partition("=")]
        if found == name
    ]
    if len(values) > 1:
        raise CredentialInvalid
    return values[0] if values and values[0] else None
