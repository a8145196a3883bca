"""A mail provider of the tests' own: a token endpoint, and a mail server that takes its tokens by XOAUTH2 and
OAUTHBEARER over STARTTLS.

Not here: any expectation.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import email
import email.policy
import ipaddress
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from passgate.logs import Json, Readable

CLIENT_SECRET, REFRESH_TOKEN = "sEcReT-of-the-client", "rEfReSh-of-the-mailbox"
TOKEN = "tOkEn-"
"""What every access token begins with, and every newer refresh token contains."""
LONG = 1600
"""Length of Microsoft's tokens, more or less."""


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """The TLS context of a server at 127.0.0.1, and the file that a client has to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "sink.pem", folder / "sink.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, private)
    return context, chain


class _Smtp(SMTP):
    """Commands of 512 octets, as the standard has it; a token in a line of its own may be longer."""

    line_length_limit = 16 * 1024


def _without_secret(_server: Any, _session: Any, _envelope: Any, _mechanism: str, _data: Any) -> AuthResult:
    return AuthResult(success=False)


@dataclass
class Provider:
    """`answers` are the token endpoint's next answers, as (status, body); later ones are tokens. `is_down`: it accepts
    no connection. `pause`: seconds before an answer. `mechanisms` are those that the mail server offers."""

    life: int | str | None = 3600
    size: int = 40
    rotates: bool = False
    is_down: bool = False
    pause: float = 0
    answers: list[tuple[int, Any]] = field(default_factory=list)
    mechanisms: tuple[str, ...] = ("OAUTHBEARER", "XOAUTH2")
    login: list[str] = field(default_factory=list)
    """Answers of the mail server to the next logins, whatever the token."""
    after_data: list[str] = field(default_factory=list)
    """Its answers to the next messages, which it refuses."""

    asked: list[dict[str, str]] = field(default_factory=list)
    at_once: int = 0
    """The most requests for a token at the same moment."""
    valid: set[str] = field(default_factory=set)
    attempts: list[tuple[str, str]] = field(default_factory=list)
    """Each login: the mechanism, and the text without its token."""
    ended: list[bytes] = field(default_factory=list)
    """What clients answered to an error."""
    got: list[Envelope] = field(default_factory=list)
    token_port: int = 0
    port: int = 0
    _now: int = 0
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    """A connection to the token endpoint each."""

    @property
    def token_url(self) -> str:
        return f"https://127.0.0.1:{self.token_port}/token"

    def settings(self, **oauth: Any) -> dict[str, Any]:
        given = {"token_url": self.token_url, "client_id": "passgate", "client_secret": CLIENT_SECRET, **oauth}
        given = {name: value for name, value in given.items() if value is not None}
        return {"url": f"smtp+starttls://127.0.0.1:{self.port}", "from": "Acme <id@acme.example>", "oauth": given}

    def ids(self) -> list[str]:
        """The Message-ID of each accepted mail."""
        contents = [got.original_content or b"" for got in self.got]
        return [str(email.message_from_bytes(raw, policy=email.policy.default)["Message-ID"]) for raw in contents]

    # -- the token endpoint ------------------------------------------------------------------------

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """No coroutine, since nobody would wait for its task: one that the end of a test cancels is an error of the
        test, or of the one after it."""
        task = asyncio.create_task(self._answer(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def hang_up(self) -> None:
        """Nothing is left of any connection."""
        for task in (left := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._served(reader, writer)
        finally:
            writer.transport.abort()

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            if not self.is_down:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].split("\r\n")[0])
                status, body = await self._answered(dict(parse_qsl((await reader.readexactly(length)).decode())))
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                more = f"Location: {self.token_url}/there\r\n" if 300 <= status < 400 else ""
                writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(raw)}\r\n{more}\r\n".encode() + raw)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _answered(self, form: dict[str, str]) -> tuple[int, Any]:
        self.asked.append(form)
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            await asyncio.sleep(self.pause)
            return self.answers.pop(0) if self.answers else (200, self._granted())
        finally:
            self._now -= 1

    def _granted(self) -> dict[str, Any]:
        token = f"{TOKEN}{len(self.asked)}-".ljust(self.size, "x")
        self.valid.add(token)
        newer = {"refresh_token": f"newer-{TOKEN}{len(self.asked)}"} if self.rotates else {}
        life = {} if self.life is None else {"expires_in": self.life}
        return {"access_token": token, "token_type": "Bearer", **life, **newer}

    # -- the mail server ---------------------------------------------------------------------------

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> Any:  # noqa: N802
        return await self._signed_in(server, args)

    async def auth_OAUTHBEARER(self, server: SMTP, args: list[str]) -> Any:  # noqa: N802
        return await self._signed_in(server, args)

    async def _signed_in(self, server: SMTP, args: list[str]) -> Any:
        raw = base64.b64decode(args[1]) if len(args) > 1 else await server.challenge_auth("")
        if raw is MISSING:
            return None
        assert isinstance(raw, bytes)
        text = raw.decode()
        token = text.partition("auth=Bearer ")[2].rstrip("\x01")
        self.attempts.append((args[0], text.replace(token, "T")))
        if self.login:
            await server.push(self.login.pop(0))
            return AuthResult(success=False, handled=True)
        if token in self.valid:
            return AuthResult(success=True, handled=True)
        error = json.dumps({"status": "invalid_token", "schemes": "bearer", "scope": token})
        ended = await server.challenge_auth(error)
        assert isinstance(ended, bytes)
        self.ended.append(ended)
        await server.push("535 5.7.8 Bad token " + token)
        return AuthResult(success=False, handled=True)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.after_data:
            return self.after_data.pop(0)
        self.got.append(envelope)
        return "250 ok"


@asynccontextmanager
async def provided(provider: Provider, tls: ssl.SSLContext) -> AsyncIterator[Provider]:
    """Both servers, which run until the end."""
    loop = asyncio.get_running_loop()
    hidden = ["LOGIN", "PLAIN", *({"OAUTHBEARER", "XOAUTH2"} - set(provider.mechanisms))]
    mail = await loop.create_server(
        lambda: _Smtp(
            provider,
            loop=loop,
            hostname="sink",
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            auth_exclude_mechanism=hidden,
            authenticator=_without_secret,
        ),
        "127.0.0.1",
        0,
    )
    endpoint = await asyncio.start_server(provider.connected, "127.0.0.1", 0, ssl=tls)
    provider.port = mail.sockets[0].getsockname()[1]
    provider.token_port = endpoint.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        mail.close()
        endpoint.close()
        await provider.hang_up()
        await mail.wait_closed()
        await endpoint.wait_closed()


def leaks(records: Iterable[logging.LogRecord]) -> list[str]:
    """The log lines, in every format, that contain a secret, plain or in base64. The test's own mail server logs
    what it reads, so its lines do not count."""
    secrets = (CLIENT_SECRET, REFRESH_TOKEN, TOKEN)
    found = []
    for record in records:
        if record.name.startswith("mail."):
            continue
        lines = [form.format(record) for form in (Json(), Readable(), logging.Formatter("%(message)s"))]
        whole = " ".join([*lines, repr(record.__dict__)])
        whole += "".join(_decoded(word) for word in re.findall(r"[A-Za-z0-9+/]{16,}", whole))
        found += [whole for secret in secrets if secret in whole]
    return found


def _decoded(word: str) -> str:
    """What it is if it is base64, with something behind it."""
    return base64.b64decode(word + "A" * (-len(word) % 4)).decode(errors="replace")
