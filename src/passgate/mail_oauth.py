"""The settings of a mail server that takes OAuth 2.0 tokens, and every reason why they cannot work.

Not here: fetching a token or showing it to a server, which is in `adapters`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints

_TENANT = "{tenant}"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PREFIX = "PASSGATE_MAIL__OAUTH__"

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Secret = Annotated[SecretStr, Field(min_length=1)]


def _mechanism(value: object) -> object:
    """In whatever case it is written."""
    names = {name.lower(): name for name in ("auto", "OAUTHBEARER", "XOAUTH2")}
    return names.get(value.strip().lower(), value) if isinstance(value, str) else value


class MailOAuthSettings(BaseModel):
    """Client credentials (RFC 6749 §4.4), or a refresh token (§6) if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_url: _Text | None = Field(
        None, description="Token endpoint of the mail provider; `{tenant}` in it stands for the tenant below"
    )
    tenant: Annotated[_Text, StringConstraints(pattern=r"^[A-Za-z0-9.-]+$")] | None = Field(
        None, description="Your tenant at the mail provider: its id or its domain"
    )
    client_id: _Text | None = Field(None, description="Client that is registered with the mail provider")
    client_secret: _Secret | None = Field(None, description="Secret of that client")
    scope: _Text | None = Field(None, description="Scopes to ask for, separated by spaces")
    refresh_token: _Secret | None = Field(
        None, description="Refresh token of the mailbox, for providers without client credentials"
    )
    user: _Text | None = Field(None, description="Mailbox that sends. Default: the address in PASSGATE_MAIL__FROM")
    mechanism: Annotated[Literal["auto", "OAUTHBEARER", "XOAUTH2"], BeforeValidator(_mechanism)] = Field(
        "auto", description="How the token is shown to the mail server. `auto` takes what the server offers"
    )

    @property
    def is_used(self) -> bool:
        return any(getattr(self, name) is not None for name in type(self).model_fields if name != "mechanism")

    @property
    def endpoint(self) -> str:
        """The token endpoint with the tenant in it."""
        return (self.token_url or "").replace(_TENANT, self.tenant or "")


def refusals(mail_url: str, oauth: MailOAuthSettings, *, is_development: bool) -> Iterator[tuple[str, str]]:
    """(CODE, text) for everything that keeps a token from being fetched, or that would send it in the clear."""
    if not oauth.is_used:
        return
    missing = [name for name in ("token_url", "client_id") if getattr(oauth, name) is None]
    if oauth.client_secret is None and oauth.refresh_token is None:
        missing.append("client_secret")
    if missing:
        yield "MAIL_OAUTH_INCOMPLETE", f"Set {', '.join(_PREFIX + name.upper() for name in missing)} too."
    if oauth.token_url and not _is_safe(oauth.endpoint, is_development=is_development):
        yield (
            "MAIL_OAUTH_URL",
            f"{_PREFIX}TOKEN_URL must be an https:// URL without a user or a fragment: your client secret goes there.",
        )
    if oauth.token_url and (_TENANT in oauth.token_url) != (oauth.tenant is not None):
        yield "MAIL_OAUTH_TENANT", f"{_PREFIX}TENANT takes the place of {_TENANT} in {_PREFIX}TOKEN_URL. Set both."
    scheme, _, rest = mail_url.partition(":")
    if scheme.lower() == "smtp":
        yield (
            "MAIL_OAUTH_CLEAR",
            "PASSGATE_MAIL__URL would send the token unencrypted. Use smtp+starttls:// or smtps://.",
        )
    if "@" in rest:
        yield (
            "MAIL_OAUTH_PASSWORD",
            f"PASSGATE_MAIL__URL has a user or password, and {_PREFIX}… is set. Remove one of them.",
        )


def _is_safe(url: str, *, is_development: bool) -> bool:
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    if not is_whole or parts.username is not None or parts.fragment or re.search(r"[\s\\{}]", url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_development and parts.hostname in _LOCAL)
