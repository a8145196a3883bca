"""Access tokens for the mail server: fetched from the provider's token endpoint (RFC 6749 §4.4 and §6), kept in memory
and renewed before they expire, with one request at a time.

Not here: showing a token to the mail server (`bearer`), and trying a mail again, which belongs to the outbox.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import httpx2

from passgate.core.message import MailFailed
from passgate.mail_oauth import MailOAuthSettings
from passgate.world import SECOND, Instant, World

log = logging.getLogger(__name__)

_DEADLINE = 10.0
"""Seconds for the whole request: an endpoint that sends one byte at a time cannot hold a mail for long."""
_MAX_ANSWER = 64 * 1024
_EARLY = 300
"""Seconds before its end at which a token is renewed; a tenth of its life, if that is less."""
_UNSTATED_LIFE, _LONGEST_LIFE = 300, 24 * 3600
_PAUSE, _LONG_PAUSE = 1, 30
"""Seconds after a failure in which the endpoint is not asked again. Without the first, each mail of a batch would wait
for an endpoint that is down. After a refusal, asking often helps nobody, and providers lock clients for it; and while
the token still lasts, few mails should wait."""

_PRINTABLE = re.compile(r"[\x21-\x7e]{1,8192}")
"""Characters of a token. A line break or a control character would end the message in which it is sent."""
_TEMPORARY = ("temporarily_unavailable", "server_error", "slow_down")
_REFUSED = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "access_denied",
    "interaction_required",
    "consent_required",
    "org_internal",
    "admin_policy_enforced",
)
"""What a token endpoint may say, in RFC 6749 §5.2, its extensions, and at Microsoft and Google. Nothing else that it
sends gets into a log."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    renew_at: Instant
    expires_at: Instant


class MailToken:
    """One for each process. A provider may answer a refresh token with a newer one, which is used from then on and kept
    in memory only: after a restart, and once it is refused, the one of the settings is used again."""

    def __init__(self, settings: MailOAuthSettings, world: World) -> None:
        self._settings, self._world = settings, world
        self._url = settings.endpoint
        self._given = None if settings.refresh_token is None else settings.refresh_token.get_secret_value()
        self._refresh = self._given
        self._token: _Token | None = None
        self._failure: tuple[Instant, MailFailed] | None = None
        self._asking = asyncio.Lock()
        self._tls = ssl.create_default_context()  # the system's store, as for the mail server

    async def get(self) -> tuple[str, bool]:
        """A token, and whether this call fetched it. Raises MailFailed at step `token`."""
        if (token := self._usable()) is not None:
            return token.value, False
        async with self._asking:
            if (token := self._usable()) is not None:
                return token.value, False
            try:
                self._token = token = await self._fetch()
            except MailFailed as failure:
                return self._older(failure).value, False
            return token.value, True

    def forget(self, value: str) -> None:
        """The mail server has refused this token."""
        if self._token is not None and self._token.value == value:
            self._token = None

    def _usable(self) -> _Token | None:
        token = self._token
        return token if token is not None and self._world.now() < token.renew_at else None

    def _older(self, failure: MailFailed) -> _Token:
        """The token that should have been renewed, while it lasts: a short outage of the endpoint costs no mail."""
        if self._token is None or self._world.now() >= self._token.expires_at:
            raise failure
        log.warning("mail token not renewed", extra={"step": failure.step, "why": failure.why})
        return self._token

    async def _fetch(self) -> _Token:
        if self._failure is not None and self._world.now() < self._failure[0]:
            raise _failed(self._failure[1].why, needs_operator=self._failure[1].needs_operator)
        try:
            status, body = await self._post()
            token = self._parsed(status, body)
        except MailFailed as failure:
            # From now on, and not from the request: its deadline is longer than the pause.
            now = self._world.now()
            long = now + _LONG_PAUSE * SECOND
            has_time = self._token is not None and self._token.expires_at > long
            self._failure = (long if failure.needs_operator or has_time else now + _PAUSE * SECOND, failure)
            raise
        self._failure = None
        return token

    async def _post(self) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "passgate"}
        client = httpx2.AsyncClient(
            headers=headers, verify=self._tls, timeout=_DEADLINE, follow_redirects=False, trust_env=False
        )
        body = b""
        try:
            async with (
                asyncio.timeout(_DEADLINE),
                client,
                client.stream("POST", self._url, data=self._form()) as response,
            ):
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MAX_ANSWER:
                        raise _failed("too_long", needs_operator=True)
                return response.status_code, body
        except (TimeoutError, httpx2.TimeoutException):
            raise _failed("timeout") from None
        except (OSError, httpx2.HTTPError, httpx2.InvalidURL, ValueError) as fault:
            # Without the cause: its text may repeat what was sent.
            raise _failed(_unreachable(fault)) from None

    def _form(self) -> dict[str, str]:
        settings = self._settings
        form = {"grant_type": "client_credentials", "client_id": settings.client_id or ""}
        if self._refresh is not None:
            form |= {"grant_type": "refresh_token", "refresh_token": self._refresh}
        if settings.client_secret is not None:
            form["client_secret"] = settings.client_secret.get_secret_value()
        if settings.scope is not None:
            form["scope"] = settings.scope
        return form

    def _parsed(self, status: int, body: bytes) -> _Token:
        answer = _json(body)
        if status != 200:
            raise self._refusal(status, answer)
        value, life = answer.get("access_token"), _life(answer.get("expires_in"))
        if not _is_token(value) or str(answer.get("token_type")).lower() != "bearer" or life is None:
            raise _failed("not_a_token", needs_operator=True)
        newer = answer.get("refresh_token")
        if self._refresh is not None and _is_token(newer):
            self._refresh = newer
        now = self._world.now()
        return _Token(value, now + (life - min(_EARLY, life // 10)) * SECOND, now + life * SECOND)

    def _refusal(self, status: int, answer: dict[str, Any]) -> MailFailed:
        word = answer.get("error")
        if word == "invalid_grant":
            self._refresh = self._given
        if status >= 500 or status in (408, 429) or word in _TEMPORARY:
            return _failed(str(word) if word in _TEMPORARY else f"http_{status}")
        if word not in _REFUSED:
            return _failed(f"http_{status}", needs_operator=True)
        return _failed(" ".join([str(word), *_numbers(answer.get("error_codes"))]), needs_operator=True)


def _failed(why: str, *, needs_operator: bool = False) -> MailFailed:
    """Never permanent for the mail: once the endpoint answers or the operator has acted, it can still be sent."""
    return MailFailed(permanent=False, step="token", why=why, needs_operator=needs_operator)


def _unreachable(fault: BaseException) -> str:
    below: BaseException | None = fault
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return "certificate"
        below = below.__cause__ or below.__context__
    return "unreachable"


def _json(body: bytes) -> dict[str, Any]:
    """An object, or an empty one for anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_token(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _PRINTABLE.fullmatch(value) is not None


def _life(value: Any) -> int | None:
    """Seconds. Some endpoints send the number as text, and some none, which RFC 6749 allows."""
    if value is None:
        return _UNSTATED_LIFE
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < 1e12
    return min(int(value), _LONGEST_LIFE) if is_number else None


def _numbers(codes: Any) -> list[str]:
    """Microsoft's numbers for what went wrong, such as 7000222 for a secret that has expired."""
    found = codes if isinstance(codes, list) else []
    return [str(code) for code in found[:2] if type(code) is int and 0 < code < 10**8]
