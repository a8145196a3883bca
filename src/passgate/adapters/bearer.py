"""Signs in to a mail server with an access token: SASL OAUTHBEARER (RFC 7628) and XOAUTH2 (Google, Microsoft).

Not here: where the token comes from (`mail_token`), and the connection, which is encrypted before this is called.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiosmtplib

if TYPE_CHECKING:
    from passgate.adapters.mail_token import MailToken

_LONGEST_LINE = 512
"""Octets of a command with its line end (RFC 5321 §4.5.3.1.4). A longer token goes into a line of its own, to which
that does not apply (RFC 4954 §4)."""
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
_GO_ON, _DONE = 334, 235
_ERRORS = ("invalid_request", "invalid_token", "insufficient_scope")
_LAST = {"OAUTHBEARER": b"AQ==", "XOAUTH2": b""}
"""What the client answers to an error, so that the server ends the exchange: one %x01, or an empty line."""


class BearerRefused(aiosmtplib.SMTPAuthenticationError):
    """`message` is the enhanced code alone, `status` what the server says about the token. `was_cached`: it had been
    fetched for an earlier mail, so a new one may do."""

    def __init__(self, code: int, message: str, status: str, *, was_cached: bool) -> None:
        super().__init__(code, enhanced(message))
        self.status, self.was_cached = status, was_cached


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who signs in, and how. `mechanism` is `auto` or one that the server must offer."""

    user: str
    mechanism: str
    token: MailToken = field(repr=False)


def chosen(mechanism: str, offered: list[str]) -> str:
    """The standard's mechanism before the providers' own. Raises SMTPNotSupported if the server has none of them."""
    for name in _LAST if mechanism == "auto" else (mechanism,):
        if name.lower() in offered:
            return name
    raise aiosmtplib.SMTPNotSupported("the server takes no access tokens")


async def sign_in(client: aiosmtplib.SMTP, bearer: Bearer, mechanism: str, token: str, *, was_cached: bool) -> None:
    """Raises BearerRefused. A token that was refused for good is forgotten."""
    text = message(mechanism, bearer.user, token, host=client.hostname, port=client.port)
    command = [b"AUTH", mechanism.encode()]
    if len(b" ".join([*command, text])) + 2 > _LONGEST_LINE:
        answer = await client.execute_command(*command)
        if answer.code == _GO_ON:
            answer = await client.execute_command(text)
    else:
        answer = await client.execute_command(*command, text)
    status = ""
    if answer.code == _GO_ON:
        status = status_in(answer.message)
        answer = await client.execute_command(_LAST[mechanism])
    if answer.code == _DONE:
        return
    is_for_good = answer.code >= 500
    if is_for_good:
        bearer.token.forget(token)
    raise BearerRefused(answer.code, answer.message, status, was_cached=was_cached and is_for_good)


def message(mechanism: str, user: str, token: str, *, host: str | None, port: int | None) -> bytes:
    """What the client says first, in base64."""
    if mechanism == "XOAUTH2":
        text = f"user={user}\x01auth=Bearer {token}\x01\x01"
    else:
        name = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 §4
        text = f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
    return base64.b64encode(text.encode())


def status_in(challenge: str) -> str:
    """The `status` of an error (RFC 7628 §3.2.2) if it is one that we know, otherwise nothing: a server could send
    anything, such as the token itself."""
    try:
        found = json.loads(base64.b64decode(challenge.encode("ascii"), validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return ""
    status = found.get("status") if isinstance(found, dict) else None
    text = str(status) if isinstance(status, str | int) else ""
    return text if text in _ERRORS or re.fullmatch(r"[1-5][0-9]{2}", text) else ""


def enhanced(answer: str) -> str:
    """The enhanced code (RFC 3463) with which a server's answer begins, or nothing."""
    found = _ENHANCED.match(answer)
    return found[0] if found else ""
