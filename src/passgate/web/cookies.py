"""Cookie names and attributes. Both depend on the configured public URL, never on the request.

Not here: what the value of a cookie means (`core`).
"""

from __future__ import annotations

from collections.abc import Iterable

from passgate.errors import CredentialInvalid
from passgate.settings import Settings


def session_name(settings: Settings) -> str:
    """With https the prefix `__Host-`, which binds the cookie to this host, the path / and TLS. Browsers refuse it over
    http (development)."""
    return "__Host-passgate_session" if settings.https else "passgate_session"


def set_session(settings: Settings, token: str) -> str:
    """A Set-Cookie value. SameSite=Lax: a person who follows a link from another site is still signed in."""
    return _cookie(settings, session_name(settings), token, settings.session.absolute)


def clear_session(settings: Settings) -> str:
    return _cookie(settings, session_name(settings), "", 0)


def signin_name(settings: Settings) -> str:
    return "__Host-passgate_signin" if settings.https else "passgate_signin"


def set_signin(settings: Settings, value: str) -> str:
    """The handle of a pending sign-in or, before there is one, the form binding. Expires with the pending sign-in."""
    return _cookie(settings, signin_name(settings), value, settings.signin.life)


def clear_signin(settings: Settings) -> str:
    return _cookie(settings, signin_name(settings), "", 0)


def link_name(settings: Settings) -> str:
    return "__Host-passgate_link" if settings.https else "passgate_link"


def set_link(settings: Settings, token: str) -> str:
    """The token of a mailed link, for the page it redirects to: this removes it from the address bar and the
    history."""
    return _cookie(settings, link_name(settings), token, settings.signin.life)


def clear_link(settings: Settings) -> str:
    return _cookie(settings, link_name(settings), "", 0)


def browser_name(settings: Settings) -> str:
    return "__Host-passgate_browser" if settings.https else "passgate_browser"


def set_browser(settings: Settings, token: str, days: int = 365) -> str:
    """The token of a remembered browser. The server stores its expiry beside the hash; the cookie only has to outlive
    that."""
    return _cookie(settings, browser_name(settings), token, days * 24 * 3600)


def known_name(settings: Settings) -> str:
    return "__Host-passgate_known" if settings.https else "passgate_known"


def set_known(settings: Settings, value: str, life: int) -> str:
    """The sealed entries of the people who have signed in with this browser. `life` in seconds."""
    return _cookie(settings, known_name(settings), value, life)


def _cookie(settings: Settings, name: str, value: str, max_age: int) -> str:
    secure = "; Secure" if settings.https else ""
    return f"{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}"


def read(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """The value of the cookie, or None. Raises CredentialInvalid for two cookies of one name: a neighbouring host may
    have set one of them, so neither can be trusted."""
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
