"""Every setting, with its default: one frozen tree, read once from PASSGATE_… variables.

Not here: how a value is written (`values`, `origins`), and which of them are refused together (`refusals`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from passgate import files
from passgate.errors import UnsafeSettings
from passgate.mail_oauth import MailOAuthSettings
from passgate.settings import variables
from passgate.settings.database import Database, SqliteFile, WrongUrl, read_database
from passgate.settings.origins import calling_origins, origin
from passgate.settings.values import (
    AnyCase,
    BindAddress,
    Kib,
    MailUrl,
    Many,
    Networks,
    Pause,
    Seconds,
    Sender,
    StrList,
    WebUrl,
)

KEY_FILE = "passgate.keys"
"""In the data folder: the root keys, if no setting has them."""


DATABASE_FILE = "passgate.db"


def _database_url(value: SecretStr) -> SecretStr:
    try:
        read_database(value.get_secret_value())
    except WrongUrl as wrong:
        raise PydanticCustomError("DATABASE_URL", "{why}", {"why": str(wrong)}) from None
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Environment = Annotated[Literal["development", "production"], BeforeValidator(AnyCase("development", "production"))]
Tenancy = Annotated[Literal["single", "multi"], BeforeValidator(AnyCase("single", "multi"))]
_LEVELS = AnyCase("debug", "info", "warning", "error")
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_LEVELS)]
Algorithm = Annotated[Literal["ES256", "EdDSA", "RS256"], BeforeValidator(AnyCase("ES256", "EdDSA", "RS256"))]
Origin = Annotated[str, AfterValidator(origin)]
Origins = Annotated[StrList, AfterValidator(calling_origins)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class MailSettings(_Part):
    url: MailUrl = Field(
        "dev:",
        repr=False,  # a password may be in it
        description="Where emails go: smtp+starttls://user:pass@host:587, smtp://, smtps://, dev:, console: or both as "
        "dev+console:",
    )
    sender: Sender = Field("Passgate <passgate@localhost>", alias="from", description="From address of all emails")
    code_life: Seconds = Field(600, description="How long an emailed code is valid")
    per_hour: Many = Field(5, description="Maximum emails per address and hour for requests without a sign-in")
    oauth: MailOAuthSettings = Field(default_factory=MailOAuthSettings)


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

    memory_kib: Kib = Field(19456, ge=8, le=4 * 1024 * 1024, description="Memory per password hash: KiB, or 19MiB")
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
    url: WebUrl | None = Field(
        None, description="URL of a k-anonymity service. The first 5 hex digits of the SHA-1 are appended"
    )
    deadline: Seconds = Field(2, description="If the leak check takes longer, the response is 503")


class CorsSettings(_Part):
    origins: Origins = Field((), description="Origins that may call /api/v1 from the browser")


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

    starts: Many = Field(300, description="Sign-ins, sign-ups and recoveries started by one address in 10 minutes")
    stranger_mails: Many = Field(
        30, description="Emails to addresses without an account, caused by one address in an hour"
    )
    connections: Many = Field(100, description="Connections that one address may have open to one process")


class TokenSettings(_Part):
    access: Annotated[Seconds, Field(le=24 * 3600)] = Field(600, description="How long an access token is valid")
    refresh: Seconds = Field(
        30 * 24 * 3600, description="How long a refresh token is valid; never longer than its session"
    )
    algorithm: Algorithm = Field("ES256", description="Algorithm that signs access tokens")
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


class Settings(_Part):
    """All settings. `Settings.development()` and `Settings.production(…)` are the two presets."""

    environment: Environment = "development"
    data: Path = Field(Path(".passgate"), description="Folder for passgate.db and passgate.keys")
    public_url: Origin | None = Field(
        None, description="Public origin, used for links and cookies. Default in development: http://localhost:PORT"
    )
    host: BindAddress | None = Field(
        None, description="Address to bind to, or unix:/path/to/it. Default: 127.0.0.1 and ::1"
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on")
    workers: int = Field(1, ge=1, le=64, description="Number of processes on this machine")
    nodes: Many = Field(1, description="Number of machines that share the database")
    database_url: DatabaseUrl | None = Field(None, description="postgresql://… Default: SQLite in the data folder")
    secrets: StrList = Field((), description="Root secrets, newest first, at least 32 bytes each", repr=False)
    secrets_file: Path | None = Field(None, description="File with the root secrets, one per line")
    cookie_prefix: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_-]{0,39})?$")] = Field(
        "",
        description="Comes before the names of cookies over http: programs on localhost share one cookie jar, whatever "
        "their ports",
    )
    trusted_proxies: Networks = Field(
        (), description="Networks of proxies whose forwarding headers are trusted; `unix` for a Unix socket"
    )
    tenancy: Tenancy = "single"
    docs: bool = Field(True, description="Serve /docs and /openapi.json")
    log_level: LogLevel = "info"
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

    _ignored: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def load(cls, **given: Any) -> Self:
        """From the environment, `.env` and, if PASSGATE_SECRETS_DIR names a folder, one file per setting. Raises
        UnsafeSettings with everything that cannot be read, without its value."""
        found = variables.read(cls)
        try:
            made = cls(**variables.merged(found.values, given))
        except ValidationError as wrong:
            raise UnsafeSettings([*found.reasons, *_unreadable(wrong)]) from None
        if found.reasons:
            raise UnsafeSettings(found.reasons)
        made._ignored = tuple(found.ignored)
        return made

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of service links among the variables: a container platform made them up."""
        return self._ignored

    def hand_down(self) -> None:
        """Put the data folder and the port, which a command line may have chosen, into the environment: for a program
        of this process, and for the processes that it starts, which load settings of their own."""
        os.environ |= {"PASSGATE_DATA": str(self.data.absolute()), "PASSGATE_PORT": str(self.port)}

    @staticmethod
    def development(**given: Any) -> Settings:
        """For this machine only; reads no environment."""
        return Settings(**{"environment": "development", **given})

    @staticmethod
    def production(**given: Any) -> Settings:
        """Like `development`, but the caller gives everything that production demands; `refusals` names what is
        missing."""
        return Settings(**{"environment": "production", **given})

    @property
    def url(self) -> str:
        # 80 is not named in an origin, and 0 is a port that nobody knows yet.
        return self.public_url or ("http://localhost" if self.port in (0, 80) else f"http://localhost:{self.port}")

    @property
    def https(self) -> bool:
        return self.url.startswith("https://")

    @property
    def is_development(self) -> bool:
        return self.environment == "development"

    @property
    def database(self) -> Database:
        if self.database_url is None:
            return SqliteFile(self.data.absolute() / DATABASE_FILE)
        return read_database(self.database_url.get_secret_value())

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self.database, SqliteFile)

    @property
    def database_file(self) -> Path:
        """Of SQLite."""
        found = self.database
        if not isinstance(found, SqliteFile):
            raise TypeError("this database is no file")
        return found.path

    def root_secrets(self) -> tuple[str, ...]:
        """From SECRETS or SECRETS_FILE; empty if the key file is used. OSError and ValueError for a file that can't be
        read."""
        if self.secrets or self.secrets_file is None:
            return self.secrets
        found = files.read_text(self.secrets_file, limit=variables.LARGEST)
        return tuple(line.strip() for line in found.splitlines() if line.strip())


_SECRET = ("secrets", "pepper", "token", "client_secret", "refresh_token")
"""Of these, nothing is repeated that the library says about their values."""


def _unreadable(wrong: ValidationError) -> list[tuple[str, str]]:
    """Each as (CODE, text), once for each variable."""
    known = {place: variable for variable, place, _ in variables.names(Settings)}
    found: dict[str, tuple[str, str]] = {}
    for fault in wrong.errors(include_input=False, include_url=False):
        place = tuple(str(part) for part in fault["loc"])
        place = place[:-1] if place[:-1] in known else place  # of a list, the place of one value in it
        variable = known.get(place, variables.PREFIX + "__".join(place).upper())
        why = "can't be read" if any(part in _SECRET for part in place) else fault["msg"].removeprefix(_PREFIX)
        code = fault["type"] if fault["type"].isupper() else "SETTING_INVALID"
        found.setdefault(
            variable, (code, f"{variable} {why[:1].lower()}{why[1:]}" + ("" if why.endswith("?") else "."))
        )
    return list(found.values())


_PREFIX = "Value error, "
"""The library's prefix before our own message."""
