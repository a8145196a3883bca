"""The variables of the service: those that still count, those that are gone, and the policy made of them.

Not here: Passgate's own settings, PASSGATE_….
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from passgate import Passgate, Settings, errors

_KEYS = "keys are in passgate.keys, or set PASSGATE_SECRETS"
_POSTGRES = ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_SERVER", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB")
_BROKER = ("RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
_REDIS = ("RESULT_BACKEND", "REDIS_HOST", "REDIS_PORT", "REDIS_URL", "PASSGATE_REDIS_URL", "PASSGATE_BROKER_URL")
_FLOWER = ("CELERY_FLOWER_USER", "CELERY_FLOWER_PASSWORD")
REFUSED = {
    **dict.fromkeys(("JWT_SECRET_KEY", "JWT_SECRET_KEY_REFRESH", "PRE_TFA_SECRET_KEY", "FERNET_KEY_TFA_TOKEN"), _KEYS),
    "ALGORITHM": "set PASSGATE_TOKEN__ALGORITHM to ES256, EdDSA or RS256",
    "SQLALCHEMY_DATABASE_URI": "set PASSGATE_DATABASE_URL",
    **dict.fromkeys(_POSTGRES, "set PASSGATE_DATABASE_URL"),
    **dict.fromkeys((*_BROKER, *_REDIS), "jobs run in this process from the database, and there is no broker yet"),
    **dict.fromkeys(_FLOWER, "GET /api/v1/tasks/taskstatus has the state of a job"),
}
"""Where a value of yours would be ignored, the program doesn't start."""


class Variables(BaseSettings):
    """From the environment or `.env`. They count more than the PASSGATE_… variables that mean the same."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    fastapi_config: Literal["development", "production"] = "development"
    project_name: str = "fastapi_2fa"
    api_v1_str: Annotated[str, Field(pattern="^(/[a-z0-9_-]+)+$")] = "/api/v1"
    fake_email_sender: str = "fake@mail.com"
    access_token_expire_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    refresh_token_expire_minutes: Annotated[int, Field(ge=1, le=129_600)] = 1440
    pre_tfa_token_expire_minutes: Annotated[int, Field(ge=1, le=15)] = 5
    tfa_backup_tokens_nr: Annotated[int, Field(ge=5, le=16)] = 5
    tfa_token_length: Literal["6"] = "6"
    totp_token_tolerance: Annotated[int, Field(ge=0, le=2)] = 2
    totp_issuer_name: Annotated[str, Field(min_length=1, max_length=200)] = "fastapi_2fa"
    backend_cors_origins: str = ""

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
            token={"access": self.access_token_expire_minutes * 60, "refresh": refresh},
            session={"idle": refresh, "absolute": max(refresh, LONGEST)},
            signin={"life": self.pre_tfa_token_expire_minutes * 60},
            mail={"from": self.fake_email_sender},
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


LONGEST = 30 * 24 * 3600
"""Seconds after which somebody logs in again, however often the tokens were refreshed."""


class _Gone(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")
