"""Sends mail by SMTP (RFC 5321): one connection and one result per message.

Not here: access tokens (`bearer`, `mail_token`); wording, retries and expiry, which belong to the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable
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

from passgate.adapters.bearer import Bearer, BearerRefused, chosen, enhanced, sign_in
from passgate.core.message import CONTROL, MailFailed, Message
from passgate.settings import MailSettings
from passgate.settings.values import sender_parts
from passgate.world import SECOND, World

_STEP = 10.0
"""Seconds the server may take for one response."""

_TOTAL = 45.0
"""Seconds for the whole delivery: a server that sends one byte at a time cannot block the outbox."""

_FAREWELL = 1.0
"""Seconds for QUIT. The next mail waits for it, and a process that ended meanwhile would leave this one to be sent
again."""

_ATOMS = re.compile(r"[^\s()<>\[\]:;@\\,\"]+")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_OF_MESSAGE = ("mail", "rcpt", "data")
_NOT_THEIRS = ("5.2.252", "5.7.60")
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


Reached = Callable[[str], None]
"""Is called as each step begins: `connect`, `tls`, `ehlo`, `token`, `auth`, `mail`, `rcpt`, `data`, and `done`."""


class Smtp:
    """`url` is `smtp://`, `smtps://` or `smtp+starttls://` and may contain `user:password@`, percent-encoded where
    needed; `sender` is `Name <address>` or an address; `bearer` signs in with an access token instead. ValueError for
    anything else. Certificates are verified against the system's store."""

    def __init__(self, url: str, sender: str, bearer: Bearer | None = None) -> None:
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
        self._bearer = bearer
        if bearer is not None and (self._tls is None or self._user is not None):
            raise ValueError("a token needs an encrypted connection, and no other login")

    async def send(self, message: Message, reached: Reached = lambda _step: None) -> None:
        """Returns once the server has accepted the message. Raises MailFailed."""
        try:
            # In a thread, since a long text takes a while.
            mail = await asyncio.to_thread(compose, message, self._sender)
        except (ValueError, IndexError, MessageError) as fault:
            raise MailFailed(permanent=True, step="compose", why="not_an_address_or_header") from fault
        progress = _Progress(reached)
        try:
            async with asyncio.timeout(_TOTAL):
                client = await self._accepted(mail, progress)
        except (aiosmtplib.SMTPException, OSError, ValueError) as fault:  # a timeout is an OSError
            raise _failure(fault, progress.step) from fault
        progress("done")
        # The server has accepted the mail: neither an error on QUIT nor the end of our time may cause a second
        # delivery.
        try:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_FAREWELL)
        finally:
            client.close()

    async def _accepted(self, mail: _Composed, progress: _Progress) -> aiosmtplib.SMTP:
        """The connection over which the mail was accepted."""
        try:
            return await self._attempt(mail, progress)
        except BearerRefused as refused:
            if not refused.was_cached:
                raise
        # The provider has withdrawn the token before its time, and it is forgotten: with a new one, once.
        return await self._attempt(mail, progress)

    async def _attempt(self, mail: _Composed, progress: _Progress) -> aiosmtplib.SMTP:
        client = self._client()
        is_done = False
        try:
            await self._open(client, progress)
            await self._sign_in(client, progress)
            await _transfer(client, mail, progress)
            is_done = True
        finally:
            if not is_done:
                client.close()
        return client

    async def _open(self, client: aiosmtplib.SMTP, progress: _Progress) -> None:
        """Connected, encrypted unless the scheme is `smtp`, and greeted."""
        progress("connect")
        await client.connect()
        if self._tls is not None:
            progress("tls")
        if self._scheme == "smtp+starttls":
            await client.starttls()
        progress("ehlo")
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            if not client.is_connected:
                raise
            await client.helo()

    async def _sign_in(self, client: aiosmtplib.SMTP, progress: _Progress) -> None:
        if self._bearer is not None:
            progress.step = "auth"
            mechanism = chosen(self._bearer.mechanism, client.server_auth_methods)
            progress("token")
            token, is_new = await self._bearer.token.get()
            progress("auth")
            await sign_in(client, self._bearer, mechanism, token, was_cached=not is_new)
        elif self._user is not None:
            progress("auth")
            await client.login(self._user, self._password or "")

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            timeout=_STEP,
            use_tls=self._scheme == "smtps",
            start_tls=False,  # or by ourselves, as a step of its own
            tls_context=self._tls,
            local_hostname=self._sender.domain,  # otherwise the library queries the resolver and blocks on it
        )


def from_settings(mail: MailSettings, world: World) -> Smtp:
    """ValueError for settings that cannot be used."""
    if not mail.oauth.is_used:
        return Smtp(mail.url, mail.sender)
    from passgate.adapters.mail_token import MailToken  # noqa: PLC0415  an HTTP client that few need

    user = mail.oauth.user or sender_parts(mail.sender)[1]
    return Smtp(mail.url, mail.sender, Bearer(user, mail.oauth.mechanism, MailToken(mail.oauth, world)))


class _Progress:
    """The step that has begun last."""

    def __init__(self, reached: Reached) -> None:
        self._reached, self.step = reached, "connect"

    def __call__(self, step: str) -> None:
        self.step = step
        self._reached(step)


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


async def _transfer(client: aiosmtplib.SMTP, mail: _Composed, progress: _Progress) -> None:
    progress("mail")
    options = ["SMTPUTF8"] if mail.is_utf8 else []
    encoding = "utf-8" if mail.is_utf8 else "ascii"
    if mail.is_utf8 and not client.supports_extension("smtputf8"):
        raise aiosmtplib.SMTPNotSupported("an address needs SMTPUTF8")
    if client.supports_extension("size"):
        options.append(f"SIZE={len(mail.content)}")
    await client.mail(mail.sender, options=options, encoding=encoding)
    progress("rcpt")
    await client.rcpt(mail.to, encoding=encoding)
    progress("data")
    await client.data(mail.content)


# -- failures --------------------------------------------------------------------------------------


def _failure(fault: Exception, step: str) -> MailFailed:
    is_refused = _is_login(fault) or _is_sender(fault)
    if step == "connect" and isinstance(fault.__cause__, ssl.SSLError):
        step = "tls"  # with smtps://, both are one call
    why = _why(fault)
    needs_operator = is_refused or why == "certificate" or (why == "not_offered" and step not in _OF_MESSAGE)
    return MailFailed(_is_permanent(fault, step), step=step, why=why, needs_operator=needs_operator)


def _is_login(fault: Exception) -> bool:
    return isinstance(fault, aiosmtplib.SMTPAuthenticationError) and fault.code >= 500


def _is_sender(fault: Exception) -> bool:
    """This login may not use our sender. Microsoft says so at the end of the message."""
    if isinstance(fault, aiosmtplib.SMTPDataError) and fault.code >= 500:
        return enhanced(fault.message) in _NOT_THEIRS or "SendAsDenied" in fault.message
    return isinstance(fault, aiosmtplib.SMTPSenderRefused) and fault.code >= 500


def _is_permanent(fault: Exception, step: str) -> bool:
    """A rejected sender or login is transient: once the operator fixes it, the message can still be sent. So is
    whatever is not about this message."""
    match fault:
        case aiosmtplib.SMTPDataError() if _is_sender(fault):
            return False
        case aiosmtplib.SMTPRecipientRefused() | aiosmtplib.SMTPDataError():
            return fault.code >= 500
        case _:  # not supported: non-ASCII address, server without SMTPUTF8 (RFC 6531)
            return step in _OF_MESSAGE and isinstance(fault, aiosmtplib.SMTPNotSupported | ValueError)


def _why(fault: Exception) -> str:
    """A word, or the numbers of the server's answer (RFC 5321 §4.2, RFC 3463), and never its text: that may repeat
    addresses and whatever we sent."""
    match fault:
        case aiosmtplib.SMTPResponseException():
            status = fault.status if isinstance(fault, BearerRefused) else ""
            parts = [str(fault.code) if fault.code > 0 else "malformed", enhanced(fault.message), status]
            return " ".join(part for part in parts if part)
        case TimeoutError():
            return "timeout"
        case aiosmtplib.SMTPNotSupported():
            return "not_offered"
    match fault.__cause__ or fault:
        case ssl.SSLCertVerificationError():
            return "certificate"
        case ssl.SSLError():
            return "not_tls"
        case socket.gaierror():
            return "dns"
        case OSError():
            return "disconnected" if isinstance(fault, aiosmtplib.SMTPServerDisconnected) else "unreachable"
        case aiosmtplib.SMTPException():
            return "not_offered"
    return "invalid"


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
