"""Cookie names and attributes. Both depend on the configured public URL, never on the request.

Not here: what the value of a cookie means (`core`).
"""

from __future__ import annotations

from passgate.settings import Settings
from passgate.wire.cookies import read, sent_once, written

__all__ = ["read", "sent_once"]


def _named(settings: Settings, name: str) -> str:
    """With https the prefix `__Host-`, which binds the cookie to this host, the path / and TLS. Browsers refuse it over
    http (development), where another one may tell the programs of one machine apart."""
    return ("__Host-" if settings.https else settings.cookie_prefix) + name


def session_name(settings: Settings) -> str:
    return _named(settings, "passgate_session")


def set_session(settings: Settings, token: str) -> str:
    """A Set-Cookie value. SameSite=Lax: a person who follows a link from another site is still signed in."""
    return _cookie(settings, session_name(settings), token, settings.session.absolute)


def clear_session(settings: Settings) -> str:
    return _cookie(settings, session_name(settings), "", 0)


def signin_name(settings: Settings) -> str:
    return _named(settings, "passgate_signin")


def set_signin(settings: Settings, value: str) -> str:
    """The handle of a pending sign-in or, before there is one, the form binding. Expires with the pending sign-in."""
    return _cookie(settings, signin_name(settings), value, settings.signin.life)


def clear_signin(settings: Settings) -> str:
    return _cookie(settings, signin_name(settings), "", 0)


def link_name(settings: Settings) -> str:
    return _named(settings, "passgate_link")


def set_link(settings: Settings, token: str) -> str:
    """The token of a mailed link, for the page it redirects to: this removes it from the address bar and the
    history."""
    return _cookie(settings, link_name(settings), token, settings.signin.life)


def clear_link(settings: Settings) -> str:
    return _cookie(settings, link_name(settings), "", 0)


def browser_name(settings: Settings) -> str:
    return _named(settings, "passgate_browser")


def set_browser(settings: Settings, token: str, days: int = 365) -> str:
    """The token of a remembered browser. The server stores its expiry beside the hash; the cookie only has to outlive
    that."""
    return _cookie(settings, browser_name(settings), token, days * 24 * 3600)


def known_name(settings: Settings) -> str:
    return _named(settings, "passgate_known")


def set_known(settings: Settings, value: str, life: int) -> str:
    """The sealed entries of the people who have signed in with this browser. `life` in seconds."""
    return _cookie(settings, known_name(settings), value, life)


def _cookie(settings: Settings, name: str, value: str, max_age: int) -> str:
    return written(name, value, max_age, secure=settings.https)
