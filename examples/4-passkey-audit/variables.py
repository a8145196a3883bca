"""The variables of the service: those that still count, those that are refused, and the policy made of them.

Not here: Passgate's own settings, PASSGATE_….
"""

import logging
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, create_model, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from passgate import Passgate, Settings, errors

SAMPLES = ("your-secret-key-change-in-production", "your-secure-random-secret-key")
"""The words that the service's README has in place of a secret."""
SHORTEST = 32
"""Bytes of a secret."""
REFUSED = {
    "PASSGATE_PUBLIC_URL": "set ORIGIN",
    "PASSGATE_TOKEN__ACCESS": "set JWT_EXPIRATION_MINUTES",
    "PASSGATE_TOKEN__ALGORITHM": "set JWT_ALGORITHM",
    **dict.fromkeys(("PASSGATE_SESSION__IDLE", "PASSGATE_SESSION__ABSOLUTE"), "set JWT_EXPIRATION_MINUTES"),
}
"""Where a value of yours would be ignored, the program doesn't start."""
HS256 = (
    "whoever can verify a token of HS256 can also make one, so every program that reads tokens would need the root"
    " secret: use ES256, EdDSA or RS256, whose public key is at /auth/oauth2/jwks"
)

log = logging.getLogger("auth-example")


class Variables(BaseSettings):
    """From the environment or `.env`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    passgate_environment: Literal["development", "production"] = "development"
    jwt_secret: SecretStr | None = None
    jwt_algorithm: Literal["ES256", "EdDSA", "RS256"] = "ES256"
    jwt_expiration_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    origin: str | None = None
    rp_id: str | None = None
    rp_name: Annotated[str, Field(min_length=1, max_length=200)] = "Auth Example"

    @field_validator("jwt_secret")
    @classmethod
    def _is_a_secret(cls, given: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """In development a word in place of one counts as none: a secret is made at the first start."""
        if given is None or not given.get_secret_value():
            return None
        text = given.get_secret_value()
        is_weak = text in SAMPLES or len(text.encode()) < SHORTEST
        if is_weak and info.data.get("passgate_environment") == "production":
            raise ValueError(f"set at least {SHORTEST} random bytes")
        if is_weak:
            log.warning("JWT_SECRET is a sample or too short, and is not used")
        return None if is_weak else given

    @field_validator("jwt_algorithm", mode="before")
    @classmethod
    def _verifies_alone(cls, given: object) -> object:
        if isinstance(given, str) and given.upper().startswith("HS"):
            raise ValueError(HS256)
        return given

    @field_validator("rp_id")
    @classmethod
    def _is_the_host(cls, given: str | None, info: ValidationInfo) -> str | None:
        host = urlsplit(info.data.get("origin") or "http://localhost").hostname
        if given and given != host:
            raise ValueError(f"must be the host of ORIGIN, {host}")
        return given

    @classmethod
    def load(cls) -> Self:
        """Raises UnsafeSettings, which names every variable that is refused."""
        names: Any = {name.lower(): (str | None, None) for name in REFUSED}
        there = create_model("Refused", __base__=_Refused, **names)().model_dump(exclude_none=True)
        reasons = []
        try:
            found = cls()
        except ValidationError as wrong:
            named = {str(one["loc"][0]).upper(): one["msg"] for one in wrong.errors(include_input=False)}
            reasons = [(f"VALUE_{name}", f"{name}: {text}.") for name, text in named.items()]
        else:
            if there.get("passgate_public_url") == found.origin:  # as `passgate` wants it in production
                there.pop("passgate_public_url", None)
        reasons += [(f"OTHER_{name.upper()}", f"{name.upper()}: {REFUSED[name.upper()]}.") for name in there]
        if reasons:
            raise errors.UnsafeSettings(reasons)
        return found

    def settings(self) -> Settings:
        """Raises UnsafeSettings if Passgate has other secrets than JWT_SECRET, which would be ignored."""
        found = self._loaded()
        if self.jwt_secret is None:
            return found
        secret = self.jwt_secret.get_secret_value()
        if found.secrets_file or (found.secrets and secret not in found.secrets):
            raise errors.UnsafeSettings([("VALUE_JWT_SECRET", "JWT_SECRET: PASSGATE_SECRETS or its file has others.")])
        return found if found.secrets else self._loaded(secrets=[secret])

    def _loaded(self, **given: Any) -> Settings:
        life = self.jwt_expiration_minutes * 60
        return Settings.load(
            cookie_prefix="passkey_audit_",
            token={"access": life, "algorithm": self.jwt_algorithm},
            session={"idle": life + 60, "absolute": max(life + 60, 86_400)},
            **({"public_url": self.origin} if self.origin else {}),
            **given,
        )

    async def prepare(self, gate: Passgate) -> None:
        """At each start, by any number of processes: the policy, and the name that browsers show for a passkey."""
        admin = gate.at(None, tenant="main").admin
        await admin.change_policy("own", first=["passkey"], passkey_counter="refuse", address_proof="later")
        await admin.change_tenant("own", display_name=self.rp_name)


class _Refused(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")
