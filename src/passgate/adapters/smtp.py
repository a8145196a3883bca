"""Sends mail by SMTP (RFC 5321): one connection and one result per message.

Not here: wording, retries and expiry, which belong to the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address, BaseHeader, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from typing import Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib
import idna

from passgate.core.message import CONTROL, MailFailed, Message
from passgate.settings.values import sender_parts
from passgate.world import SECOND

_STEP = 10.0
"""Seconds the server may take for one response."""

_TOTAL = 45.0
"""Seconds for the whole delivery: a server that sends one byte at a time cannot block the outbox."""

_ATOMS = re.compile(r"[^\s()<>\[\]:;@\\,\"]+")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


class Smtp:
    """`url` is `smtp://`, `smtps://` or `smtp+starttls://` and may contain `user:password@`, percent-encoded where
    needed; `sender` is `Name <address>` or an address; ValueError for anything else. Certificates are verified against
    the system's store."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("the mail URL must be smtp://, smtps:// or smtp+starttls://host")
        self._scheme, self._host = parts.scheme, parts.hostname
        self._port = parts.port or _PORTS[parts.scheme]
        self._user = None if parts.username is None else unquote(parts.username, errors="strict")
        self._password = None if parts.password is None else unquote(parts.password, errors="strict")
        self._tls = None if parts.scheme == "smtp" else ssl.create_default_context()
        name, address = sender_parts(sender)
        self._sender = _address(address, name)

    async def send(self, message: Message) -> None:
        """Returns once the server has accepted the message. Raises MailFailed."""
        try:
            # In a thread, since a long text takes a while.
            mail = await asyncio.to_thread(compose, message, self._sender)
        except (ValueError, IndexError, MessageError) as fault:
            raise MailFailed(permanent=True) from fault
        client = self._client()
        try:
            async with asyncio.timeout(_TOTAL):
                await _deliver(client, mail)
            # The server has accepted the mail: an error on QUIT must not cause a second delivery.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
        except TimeoutError as fault:
            raise MailFailed(permanent=False) from fault
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            timeout=_STEP,
            use_tls=self._scheme == "smtps",
            start_tls=self._scheme == "smtp+starttls",
            tls_context=self._tls,
            local_hostname=self._sender.domain,  # otherwise the library queries the resolver and blocks on it
        )


@dataclass(frozen=True, slots=True)
class _Composed:
    """A mail as it goes over the connection. `is_utf8`: an address needs SMTPUTF8 (RFC 6531)."""

    sender: str
    to: str
    content: bytes
    is_utf8: bool


class _LiteralSubject(UniqueUnstructuredHeader, BaseHeader):
    """A subject with `=?` in it. The library would decode `=?…?=` as an encoded word (RFC 2047), and write out what is
    in it: line breaks too, and so whole header fields. Here all of it is encoded."""

    max_count: ClassVar[Literal[1]] = 1

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        kwds["parse_tree"], kwds["decoded"] = None, value

    def fold(self, *, policy: Policy) -> str:
        text = Header(str(self), "utf-8", header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {text}{policy.linesep}"


async def _deliver(client: aiosmtplib.SMTP, mail: _Composed) -> None:
    try:
        await client.connect()
    except (aiosmtplib.SMTPException, OSError, ValueError) as fault:  # not specific to this message
        raise MailFailed(permanent=False) from fault
    try:
        options = ["SMTPUTF8"] if mail.is_utf8 else []
        await client.sendmail(mail.sender, [mail.to], mail.content, mail_options=options)
    except (aiosmtplib.SMTPException, OSError, ValueError) as fault:
        raise MailFailed(_is_permanent(fault)) from fault


def _is_permanent(fault: Exception) -> bool:
    """A rejected sender or login is transient: once the operator fixes it, the message can still be sent."""
    match fault:
        case aiosmtplib.SMTPRecipientsRefused():
            return all(each.code >= 500 for each in fault.recipients)
        case aiosmtplib.SMTPDataError():
            return fault.code >= 500
        case _:  # not supported: non-ASCII address, server without SMTPUTF8 (RFC 6531)
            return isinstance(fault, aiosmtplib.SMTPNotSupported | ValueError)


def compose(message: Message, sender: Address) -> _Composed:
    """The mail as sent, the same bytes on every attempt. Raises ValueError, IndexError or MessageError for a header
    that cannot be encoded, such as one with a line break."""
    to = _address(message.to)
    mail = EmailMessage(policy=SMTP)
    mail["Message-ID"] = f"<{_plain(message.id)}@{sender.domain}>"
    mail["Date"] = datetime.fromtimestamp(message.created_at // SECOND, UTC)
    mail["From"] = sender
    mail["To"] = to
    subject = _plain(message.subject)
    mail["Subject"] = _LiteralSubject("Subject", subject) if "=?" in subject else subject
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: suppresses automatic replies
    mail.set_content(message.text, cte="quoted-printable")
    if message.html is not None:
        mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
        mail.set_boundary(f"=_{message.id}")  # the library would pick a random one
    is_utf8 = not (sender.addr_spec + to.addr_spec).isascii()
    content = mail.as_bytes(policy=SMTP.clone(utf8=is_utf8))
    return _Composed(sender.addr_spec, to.addr_spec, content, is_utf8)


def _address(address: str, name: str = "") -> Address:
    """Parse exactly one address. The domain is sent in ASCII (RFC 5890): only the local part can need SMTPUTF8."""
    local, at, domain = _plain(address).rpartition("@")
    if not local or not at:
        raise ValueError("an email needs exactly one recipient")
    if not domain.isascii():
        domain = idna.encode(domain, uts46=True).decode()
    if not _HOST.fullmatch(domain):
        raise ValueError("the recipient's address needs a domain")
    if not local.isascii() and _ATOMS.fullmatch(local):
        return Address(_plain(name), local, domain)  # RFC 6532, which the library's parser rejects
    return Address(_plain(name), addr_spec=f"{local}@{domain}")


def _plain(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("a header contains control characters")
    return value
