"""Reads the Cookie header and writes Set-Cookie values.

Not here: names of cookies, and what their values mean.
"""

from __future__ import annotations

from collections.abc import Iterable

from passgate.errors import CredentialInvalid


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


def sent_once(headers: Iterable[tuple[bytes, bytes]], name: str) -> str:
    """The value of the cookie; empty without one, and if it was sent twice: then neither counts."""
    try:
        return read(headers, name) or ""
    except CredentialInvalid:
        return ""


def written(name: str, value: str, max_age: int, *, secure: bool) -> str:
    """A Set-Cookie value. SameSite=Lax: a person who follows a link from another site is still signed in."""
    return f"{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
