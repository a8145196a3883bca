"""Every setting, with its default and its check: one frozen tree, read once from PASSGATE_… variables.

Not here: opening data files or sockets. No other module reads the environment.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

KEY_FILE = "passgate.keys"
"""In the data folder: the root keys, if no setting has them."""

LONGEST_SESSION = 90 * 86400
"""In production, of both lives of a session."""
LONGEST_FRESH = 3600
"""In production, the age of a proof that counts as recent."""
SHORTEST_PASSWORD_ALONE = 15
"""In production, of a password used on its own (NIST SP 800-63B-4 §3.1.1.2)."""


def _seconds(value: object) -> object:
    """`90s`, `60m`, `24h`, `30d`, or a bare number of seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,9})([smhd]?)", value.strip())):
        return int(match[1]) * _UNITS[match[2] or "s"]
    return value


def _str_list(value: object) -> object:
    """A JSON list, or values separated by commas or blanks."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word for word in re.split(r"[,\s]+", value) if word]


UNIX = "unix"
"""Among trusted proxies: whoever reaches us through a Unix socket."""


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value if value == UNIX else str(ipaddress.ip_network(value, strict=False)) for value in values)


def _no_slash(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be an origin such as https://id.example.com")
    # The form that a browser uses in Origin: lower case, without the default port.
    standard = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(standard)}"


Seconds = Annotated[int, BeforeValidator(_seconds), Field(gt=0)]
Pause = Annotated[int, BeforeValidator(_seconds), Field(ge=0)]
StrList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_str_list)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MailSettings(_Part):
    url: str = Field(
        "dev:",
        description="Where emails go: smtp+starttls://user:pass@host:587, smtp://, smtps://, dev:, console: or both as "
        "dev+console:",
    )
    sender: str = Field("Passgate <passgate@localhost>", alias="from", description="From address of all emails")
    code_life: Seconds = Field(600, description="How long an emailed code is valid")
    per_hour: int = Field(5, ge=1, description="Maximum emails per address and hour for requests without a sign-in")


class SessionSettings(_Part):
    idle: Seconds = Field(3600, description="Sessions end after this long without use")
    absolute: Seconds = Field(86400, description="Sessions end after this long, even with use")
    touch: Pause | None = Field(
        None, description="How often session use is recorded. Default: 10 % of idle, at most 60 s"
    )

    @property
    def touch_every(self) -> int:
        return min(self.idle // 10, 60) if self.touch is None else self.touch


class SigninSettings(_Part):
    life: Seconds = Field(900, description="How long a sign-in, sign-up or recovery may take")
    fresh: Seconds = Field(300, description="How old a proof may be for actions that require a recent one")


class RecoverySettings(_Part):
    wait: Pause | None = Field(
        None,
        description="Waiting period for removing a lost second factor and for admins' links. Default: 24h",
    )

    def waiting(self, settings: Settings) -> int:
        """Seconds."""
        return self.wait if self.wait is not None else 0 if settings.is_development else 24 * 3600


class EraseSettings(_Part):
    wait: Pause | None = Field(
        None,
        description="How long a deleted account can be restored before it is erased. Default: 7d; in development 0",
    )

    def waiting(self, settings: Settings) -> int:
        """Seconds."""
        return self.wait if self.wait is not None else 0 if settings.is_development else 7 * 24 * 3600


class HashSettings(_Part):
    """Argon2id. One lane: more lanes gain nothing on a server that hashes for many people at once."""

    memory_kib: int = Field(19456, ge=8, le=4 * 1024 * 1024, description="Memory per password hash, in KiB")
    passes: int = Field(2, ge=1, le=64, description="Passes over the memory")
    threads: int = Field(0, ge=0, le=256, description="Password hashes at the same time. 0: one per core")
    deadline: Seconds = Field(5, description="If a hash can't start within this time, the response is 503")
    pepper: StrList = Field((), description="Optional keys mixed into each password hash, newest first", repr=False)

    @property
    def meets_owasp(self) -> bool:
        """OWASP ASVS 5.0 appendix C: t=1 needs 46 MiB, t=2 19 MiB, t>=3 12 MiB."""
        floor = {1: 46 * 1024, 2: 19 * 1024}.get(self.passes, 12 * 1024)
        return self.memory_kib >= floor


class BreachSettings(_Part):
    ranges: Path | None = Field(None, description="File with SHA-1 hashes of leaked passwords (HASH:COUNT, sorted)")
    url: str | None = Field(
        None, description="URL of a k-anonymity service. The first 5 hex digits of the SHA-1 are appended"
    )
    deadline: Seconds = Field(2, description="If the leak check takes longer, the response is 503")


class CorsSettings(_Part):
    origins: StrList = Field((), description="Origins that may call /api/v1 from the browser")


class ThemeSettings(_Part):
    """A brand is a hue and a chroma, from which every colour is derived."""

    hue: int = Field(262, ge=0, le=360, description="Brand hue in degrees (OKLCH)")
    chroma: float = Field(0.16, ge=0, le=0.2, description="Brand chroma: how colorful it is")
    texts: Path | None = Field(None, description='JSON file with your own texts: {"de": {"English text": "your text"}}')
    templates: Path | None = Field(
        None, description="Folder with templates that replace the built-in ones, file by file"
    )


class LimitSettings(_Part):
    """What one origin (an IPv4 address or an IPv6 /64) may cause without a sign-in. Loopback in development: 100 times
    as much."""

    starts: int = Field(300, ge=1, description="Sign-ins, sign-ups and recoveries started by one address in 10 minutes")
    stranger_mails: int = Field(
        30, ge=1, description="Emails to addresses without an account, caused by one address in an hour"
    )
    connections: int = Field(100, ge=1, description="Connections that one address may have open to one process")


class TokenSettings(_Part):
    access: Annotated[Seconds, Field(le=24 * 3600)] = Field(600, description="How long an access token is valid")
    refresh: Seconds = Field(
        30 * 24 * 3600, description="How long a refresh token is valid; never longer than its session"
    )
    algorithm: Literal["ES256", "EdDSA", "RS256"] = Field("ES256", description="Algorithm that signs access tokens")
    rotate: Seconds = Field(90 * 24 * 3600, description="How long a signing key signs before a new one takes its place")


class ServeSettings(_Part):
    """Deadlines of the connections to `passgate serve`."""

    keep_alive: Seconds = Field(
        75, description="How long an idle connection stays open; longer than that of a proxy in front, usually 60 s"
    )
    head: Seconds = Field(10, description="How long a client may take to send the head of a request")
    body: Seconds = Field(30, description="How long a client may take to send the body of a request")


class MetricsSettings(_Part):
    token: SecretStr | None = Field(None, description="Bearer token for component names on /readyz and for /metrics")


class Settings(BaseSettings):
    """All settings. `Settings.development()` and `Settings.production(…)` are the two presets."""

    model_config = SettingsConfigDict(
        env_prefix="PASSGATE_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    environment: Literal["development", "production"] = "development"
    data: Path = Field(Path(".passgate"), description="Folder for passgate.db and passgate.keys")
    public_url: Annotated[str, AfterValidator(_no_slash)] | None = Field(
        None, description="Public origin, used for links and cookies. Default in development: http://localhost:PORT"
    )
    host: str | None = Field(None, description="Address to bind to. Default in development: 127.0.0.1 and ::1")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on")
    workers: int = Field(1, ge=1, le=64, description="Number of processes on this machine")
    nodes: int = Field(1, ge=1, description="Number of machines that share the database")
    database_url: SecretStr | None = Field(None, description="postgresql://… Default: SQLite in the data folder")
    secrets: StrList = Field((), description="Root secrets, newest first, at least 32 bytes each", repr=False)
    secrets_file: Path | None = Field(None, description="File with the root secrets, one per line")
    cookie_prefix: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_-]{0,39})?$")] = Field(
        "",
        description="Comes before the names of cookies over http: programs on localhost share one cookie jar, whatever "
        "their ports",
    )
    trusted_proxies: Annotated[StrList, AfterValidator(_networks)] = Field(
        (), description="Networks of proxies whose forwarding headers are trusted; `unix` for a Unix socket"
    )
    tenancy: Literal["single", "multi"] = "single"
    docs: bool = Field(True, description="Serve /docs and /openapi.json")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    mail: MailSettings = Field(default_factory=MailSettings)
    session: SessionSettings = Field(default_factory=SessionSettings)
    signin: SigninSettings = Field(default_factory=SigninSettings)
    recovery: RecoverySettings = Field(default_factory=RecoverySettings)
    erase: EraseSettings = Field(default_factory=EraseSettings)
    hash: HashSettings = Field(default_factory=HashSettings)
    breach: BreachSettings = Field(default_factory=BreachSettings)
    cors: CorsSettings = Field(default_factory=CorsSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    limit: LimitSettings = Field(default_factory=LimitSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    token: TokenSettings = Field(default_factory=TokenSettings)
    look: ThemeSettings = Field(default_factory=ThemeSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the framework names the arguments
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The library's own order; in addition, files in the secrets folder may have nested names:
        `passgate_metrics__token`."""
        files = NestedSecretsSettingsSource(file_secret_settings)
        return init_settings, env_settings, dotenv_settings, files

    @classmethod
    def load(cls, **given: Any) -> Self:
        """From the environment, `.env` and, if PASSGATE_SECRETS_DIR names a folder, one file per setting."""
        folder = os.environ.get("PASSGATE_SECRETS_DIR")
        return cls(_secrets_dir=folder, **given) if folder else cls(**given)

    def hand_down(self) -> None:
        """Put the data folder and the port, which a command line may have chosen, into the environment: for a program
        of this process, and for the processes that it starts, which load settings of their own."""
        os.environ |= {"PASSGATE_DATA": str(self.data.absolute()), "PASSGATE_PORT": str(self.port)}

    @staticmethod
    def development(**given: Any) -> Settings:
        """For this machine only; reads no environment."""
        return _Preset(**{"environment": "development", **given})

    @staticmethod
    def production(**given: Any) -> Settings:
        """Like `development`, but the caller gives everything that production demands; `refusals` names what is
        missing."""
        return _Preset(**{"environment": "production", **given})

    @property
    def url(self) -> str:
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def https(self) -> bool:
        return self.url.startswith("https://")

    @property
    def is_development(self) -> bool:
        return self.environment == "development"

    @property
    def database(self) -> str:
        """An SQLAlchemy URL with our drivers named."""
        if self.database_url is None:
            return f"sqlite:///{self.data.absolute() / 'passgate.db'}"
        raw = self.database_url.get_secret_value()
        scheme, rest = raw.split("://", 1) if "://" in raw else (raw, "")
        driver = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
        return f"{driver.get(scheme, scheme)}://{rest}"

    @property
    def is_sqlite(self) -> bool:
        return self.database.startswith("sqlite:")

    @property
    def database_file(self) -> Path:
        """Of SQLite."""
        return Path(self.database.partition(":///")[2].partition("?")[0])

    def root_secrets(self) -> tuple[str, ...]:
        """From SECRETS or SECRETS_FILE; empty if the key file is used."""
        if self.secrets or self.secrets_file is None:
            return self.secrets
        return tuple(line.strip() for line in self.secrets_file.read_text().splitlines() if line.strip())


class _Preset(Settings):
    """Settings that the caller gives; no variable and no file is read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the framework names the arguments
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


LOOPBACK = re.compile(r"(?:[a-z0-9-]+\.)*localhost$")


def is_localhost(host: str) -> bool:
    """`localhost` or a name below it: names that browsers resolve to this machine."""
    return LOOPBACK.fullmatch(host.lower()) is not None


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_DEFAULTS = re.compile(r"change|default|secret|example|password|your[-_ ]|(.)\1{15}", re.IGNORECASE)


def refusals(settings: Settings) -> list[tuple[str, str]]:
    """Every reason not to start with these settings, as (CODE, text); empty if there is none. Reads no file except
    SECRETS_FILE, and no socket. The caller that opened the database adds what only the database can tell."""
    found = _secret_refusals(settings)
    if settings.is_development:
        return found + _development_refusals(settings)
    return [*found, *_reach_refusals(settings), *_lifetime_refusals(settings), *_operation_refusals(settings)]


def _development_refusals(settings: Settings) -> list[tuple[str, str]]:
    found = []
    if settings.host is not None and not (is_localhost(settings.host) or is_loopback(settings.host)):
        found.append(("DEVELOPMENT_BIND", "Development binds to 127.0.0.1 and ::1 only. Unset PASSGATE_HOST."))
    if not is_localhost(urlsplit(settings.url).hostname or ""):
        found.append(
            ("DEVELOPMENT_URL", "Development works on localhost or *.localhost only. Change PASSGATE_PUBLIC_URL.")
        )
    return found


def _reach_refusals(settings: Settings) -> Iterator[tuple[str, str]]:
    """Who reaches this installation, whom it believes, and how its mail leaves."""
    host = urlsplit(settings.url).hostname or ""
    if settings.public_url is None or not settings.https:
        yield "URL_NOT_HTTPS", "Set PASSGATE_PUBLIC_URL to your public https:// origin."
    if is_localhost(host) or is_loopback(host):
        yield "URL_LOCALHOST", "PASSGATE_PUBLIC_URL must not be localhost."
    if not settings.mail.url.startswith(("smtp:", "smtps:", "smtp+starttls:")):
        yield (
            "MAIL_NOT_REAL",
            ("Set PASSGATE_MAIL__URL to an SMTP server. dev:, console: and dev+console: deliver to no one."),
        )
    if _sends_login_in_clear(settings.mail.url):
        yield (
            "MAIL_CLEAR",
            "PASSGATE_MAIL__URL would send its user and password unencrypted. Use smtp+starttls:// or smtps://.",
        )
    if "*" in settings.cors.origins:
        yield "CORS_ANY", "List the origins in PASSGATE_CORS__ORIGINS. * would open the API to every site."
    if any(origin.lower() == "null" or origin.lower().startswith("http:") for origin in settings.cors.origins):
        yield (
            "CORS_INSECURE",
            "PASSGATE_CORS__ORIGINS must list https:// origins only. Anyone on the network can pose as http:// ones, "
            "and any page can send null.",
        )
    if _trusts_everybody(settings.trusted_proxies):
        yield (
            "PROXIES_ANY",
            "PASSGATE_TRUSTED_PROXIES trusts every address, so visitors could claim any. List your proxies only.",
        )


def _lifetime_refusals(settings: Settings) -> Iterator[tuple[str, str]]:
    """How long proofs and sessions last, and how long an owner can object."""
    for name, life in (("ABSOLUTE", settings.session.absolute), ("IDLE", settings.session.idle)):
        if life > LONGEST_SESSION:
            yield "SESSION_LONG", f"PASSGATE_SESSION__{name} must be at most 90d."
    if settings.signin.fresh > LONGEST_FRESH:
        yield "FRESH_LONG", "PASSGATE_SIGNIN__FRESH must be at most 1h."
    if settings.recovery.waiting(settings) == 0:
        yield (
            "RECOVERY_WAIT",
            "PASSGATE_RECOVERY__WAIT must not be 0: in this time, owners stop the recovery of someone else.",
        )
    if settings.erase.waiting(settings) == 0:
        yield "ERASE_WAIT", "PASSGATE_ERASE__WAIT must not be 0: in this time, owners restore a deleted account."


def _operation_refusals(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.is_sqlite and settings.nodes > 1:
        yield "SQLITE_NODES", "SQLite works on one machine only. Set PASSGATE_DATABASE_URL to use more."
    if not settings.hash.meets_owasp:
        yield "HASH_WEAK", "PASSGATE_HASH__… is below OWASP's minimum (19 MiB with two passes)."
    token = settings.metrics.token
    if token is None or len(token.get_secret_value()) < 16:
        yield "METRICS_OPEN", "Set PASSGATE_METRICS__TOKEN to 16 characters or more."


def _sends_login_in_clear(url: str) -> bool:
    """`smtp://user:password@…`, whose connection is never encrypted."""
    scheme, _, rest = url.partition(":")
    return scheme.lower() == "smtp" and "@" in rest


_NOT_PUBLIC = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
)
"""IPv4 networks from which no visitor comes."""
_EVERYBODY_6 = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is assigned to the Internet."""


def _trusts_everybody(networks: tuple[str, ...]) -> bool:
    """Whether the networks together cover all of IPv4 or IPv6 from which visitors come, in whatever parts."""
    parts = [ipaddress.ip_network(network) for network in networks if network != UNIX]
    four = [part for part in parts if isinstance(part, ipaddress.IPv4Network)]
    six = [part for part in parts if isinstance(part, ipaddress.IPv6Network)]
    if four:
        four += map(ipaddress.IPv4Network, _NOT_PUBLIC)
    return any(part.prefixlen == 0 for part in ipaddress.collapse_addresses(four)) or any(
        _EVERYBODY_6.subnet_of(part) for part in ipaddress.collapse_addresses(six)
    )


def _secret_refusals(settings: Settings) -> list[tuple[str, str]]:
    found = []
    try:
        roots = settings.root_secrets()
    except (OSError, UnicodeDecodeError):
        return [("SECRETS_MISSING", "PASSGATE_SECRETS_FILE can't be read.")]
    # Others may read it: containers mount secrets with mode 444, and nobody else is in there.
    if not settings.secrets and settings.secrets_file and settings.secrets_file.stat().st_mode & 0o002:
        found.append(
            ("SECRETS_OPEN", "Every user of this machine can change PASSGATE_SECRETS_FILE. Set its mode to 600.")
        )
    if not roots and not settings.is_development:
        found.append(
            ("SECRETS_MISSING", "Set PASSGATE_SECRETS or PASSGATE_SECRETS_FILE, and include it in your backups.")
        )
    if any(len(root.encode()) < 32 for root in roots):
        found.append(("SECRETS_SHORT", "Each secret must be at least 32 bytes long."))
    if any(_DEFAULTS.search(root) for root in roots):
        found.append(("SECRETS_DEFAULT", "A secret looks like a placeholder. Use random bytes."))
    if any(len(pepper.encode()) < 32 for pepper in settings.hash.pepper):
        found.append(("PEPPER_SHORT", "Each pepper must be at least 32 bytes long."))
    return found
