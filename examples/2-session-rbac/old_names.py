"""The variables of the template that this program replaces: where a value of yours would be ignored, it doesn't start.

Not here: reading any of them.
"""

import logging
from typing import Any

from pydantic import create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from passgate import errors

log = logging.getLogger("example")

_CORS = ("CORS_ALLOW_METHODS", "CORS_ALLOW_HEADERS", "CORS_ALLOW_CREDENTIALS")
_REDIS = ("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD", "REDIS_URL", "PASSGATE_REDIS_URL")
_SECRETS = ("SECRET_KEY", "SIGNATURE_SALT", "ENCRYPTION_KEY", "ENCRYPTION_SALT")
REFUSED = {
    **dict.fromkeys(_SECRETS, "keys are in passgate.keys, or set PASSGATE_SECRETS"),
    "ALLOW_OPENAPI_ROUTES": "set PASSGATE_DOCS",
    "CORS_ALLOW_ORIGINS": "set PASSGATE_CORS__ORIGINS",
    **dict.fromkeys(_CORS, "CORS follows PASSGATE_CORS__ORIGINS alone"),
    **dict.fromkeys(("DATABASE_FILE_NAME", "DATABASE_DIRECTORY"), "set PASSGATE_DATA, the folder of passgate.db"),
    "DATABASE_URL": "set PASSGATE_DATABASE_URL",
    **dict.fromkeys(_REDIS, "sessions are in the database, and there is no Redis yet"),
    "PASSGATE_BROKER_URL": "jobs run in this process, and there is no broker yet",
}
IGNORED = {
    "DEBUG": "set PASSGATE_LOG_LEVEL=debug",
    "TESTING": "tests use passgate.testing",
    "SQLALCHEMY_ECHO": "statements are not logged",
}
"""Also set by other programs, or without any effect on people, so these are only named in the log."""


class _Old(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")


def check() -> None:
    """Raises UnsafeSettings, which names every variable that is in the environment or `.env` and was given up."""
    names: Any = {name.lower(): (str | None, None) for name in REFUSED | IGNORED}
    found = [name.upper() for name in create_model("Old", __base__=_Old, **names)().model_dump(exclude_none=True)]
    for name in IGNORED.keys() & set(found):
        log.warning("%s has no effect: %s", name, IGNORED[name])
    if refused := [
        (f"OLD_{name}", f"{name} is no variable any more: {REFUSED[name]}.") for name in found if name in REFUSED
    ]:
        raise errors.UnsafeSettings(refused)
