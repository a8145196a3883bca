"""The variables of the service: those that still count, those that are gone, and the policy made of them.

Not here: Passgate's own settings, PASSGATE_….
"""

from typing import Annotated, Any, Literal, Self

from pydantic import EmailStr, Field, ValidationError, ValidationInfo, create_model, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from passgate import Passgate, Settings, errors

_KEYS = "keys are in passgate.keys, or set PASSGATE_SECRETS"
_POSTGRES = ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_SERVER", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB")
_BROKER = ("RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
_REDIS = ("RESULT_BACKEND", "REDIS_HOST", "REDIS_PORT", "REDIS_URL", "PASSGATE_REDIS_URL", "PASSGATE_BROKER_URL")
_LIVES = ("PASSGATE_TOKEN__REFRESH", "PASSGATE_SESSION__IDLE", "PASSGATE_SESSION__ABSOLUTE")
_FLOWER = ("CELERY_FLOWER_USER", "CELERY_FLOWER_PASSWORD")
REFUSED = {
    **dict.fromkeys(("JWT_SECRET_KEY", "JWT_SECRET_KEY_REFRESH", "PRE_TFA_SECRET_KEY", "FERNET_KEY_TFA_TOKEN"), _KEYS),
    "ALGORITHM": "set PASSGATE_TOKEN__ALGORITHM to ES256, EdDSA or RS256",
    "SQLALCHEMY_DATABASE_URI": "set PASSGATE_DATABASE_URL",
    **dict.fromkeys(_POSTGRES, "set PASSGATE_DATABASE_URL"),
    **dict.fromkeys((*_BROKER, *_REDIS), "jobs run in this process from the database, and there is no broker yet"),
    **dict.fromkeys(_FLOWER, "GET /api/v1/tasks/taskstatus has the state of a job"),
    "PASSGATE_TOKEN__ACCESS": "set ACCESS_TOKEN_EXPIRE_MINUTES",
    **dict.fromkeys(_LIVES, "set REFRESH_TOKEN_EXPIRE_MINUTES"),
    **dict.fromkeys(("PASSGATE_SIGNIN__LIFE", "PASSGATE_MAIL__CODE_LIFE"), "set PRE_TFA_TOKEN_EXPIRE_MINUTES"),
    "PASSGATE_MAIL__FROM": "set FAKE_EMAIL_SENDER",
    "PASSGATE_CORS__ORIGINS": "set BACKEND_CORS_ORIGINS",
}
"""Where a value of yours would be ignored, the program doesn't start."""
FAKE = "fake@mail.com"
"""Somebody else's domain, so only in development."""
LONGEST = 30 * 24 * 3600
"""Seconds after which somebody logs in again, however often the tokens were refreshed."""
_OWN_PATHS = ("/auth", "/docs")
_ORIGINS = r"^(https?://[^/*,\s]+(,\s*https?://[^/*,\s]+)*)?$"


class Variables(BaseSettings):
    """From the environment or `.env`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    fastapi_config: Literal["development", "production"] = "development"
    passgate_environment: str = ""
    project_name: Annotated[str, Field(min_length=1)] = "fastapi_2fa"
    api_v1_str: Annotated[str, Field(pattern="^(/[a-z0-9_-]+)+$")] = "/api/v1"
    fake_email_sender: EmailStr = FAKE
    access_token_expire_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    refresh_token_expire_minutes: Annotated[int, Field(ge=1, le=129_600)] = 1440
    pre_tfa_token_expire_minutes: Annotated[int, Field(ge=1, le=15)] = 5
    tfa_backup_tokens_nr: Annotated[int, Field(ge=5, le=16)] = 5
    tfa_token_length: Literal["6"] = "6"
    totp_token_tolerance: Annotated[int, Field(ge=0, le=2)] = 2
    totp_issuer_name: Annotated[str, Field(min_length=1, max_length=200)] = "fastapi_2fa"
    backend_cors_origins: Annotated[str, Field(pattern=_ORIGINS)] = ""

    @field_validator("passgate_environment")
    @classmethod
    def _is_the_same(cls, given: str, info: ValidationInfo) -> str:
        if given not in ("", info.data.get("fastapi_config", given)):
            raise ValueError("FASTAPI_CONFIG says otherwise")
        return given

    @field_validator("api_v1_str")
    @classmethod
    def _is_free(cls, given: str) -> str:
        if f"{given}/".startswith(tuple(f"{path}/" for path in _OWN_PATHS)):
            raise ValueError("this path is Passgate's")
        return given

    @field_validator("fake_email_sender")
    @classmethod
    def _is_real(cls, given: str, info: ValidationInfo) -> str:
        if given == FAKE and info.data.get("fastapi_config") == "production":
            raise ValueError("set an address of your own")
        return given

    @classmethod
    def load(cls) -> Self:
        """Raises UnsafeSettings, which names every variable that is refused."""
        names: Any = {name.lower(): (str | None, None) for name in REFUSED}
        gone = create_model("Gone", __base__=_Gone, **names)().model_dump(exclude_none=True)
        reasons = [(f"OLD_{name.upper()}", f"{name.upper()}: {REFUSED[name.upper()]}.") for name in gone]
        try:
            found = cls()
        except ValidationError as wrong:
            named = {str(one["loc"][0]).upper(): one["msg"] for one in wrong.errors(include_input=False)}
            reasons += [(f"VALUE_{name}", f"{name}: {text}.") for name, text in named.items()]
        if reasons:
            raise errors.UnsafeSettings(reasons)
        return found

    def settings(self) -> Settings:
        refresh = self.refresh_token_expire_minutes * 60
        return Settings.load(
            environment=self.fastapi_config,
            cookie_prefix="two_factor_mail_",
            token={"access": self.access_token_expire_minutes * 60, "refresh": refresh},
            session={"idle": refresh, "absolute": max(refresh, LONGEST)},
            signin={"life": self.pre_tfa_token_expire_minutes * 60},
            mail={"from": self.fake_email_sender, "code_life": min(self.pre_tfa_token_expire_minutes, 10) * 60},
            cors={"origins": self.backend_cors_origins},
        )

    async def prepare(self, gate: Passgate) -> None:
        """At each start, by any number of processes: the policy, and the name in authenticator apps and mails."""
        admin, is_development = gate.at(None, tenant="main").admin, gate.settings.is_development
        await admin.change_policy(
            "own",
            first=["password", "passkey"],
            second="if_enrolled",
            second_among=["totp", "email_code", "recovery_code"],
            mailed_second_factor="at_once",
            totp_at_once=True,
            totp_shown_again=True,
            totp_window=self.totp_token_tolerance,
            recovery_codes={"count": self.tfa_backup_tokens_nr, "mailed": True},
            address_proof="later",
            password_checks="length" if is_development else "full",
            password_alone=6 if is_development else 15,
        )
        await admin.change_tenant("own", display_name=self.totp_issuer_name)


class _Gone(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")
