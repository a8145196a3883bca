"""Every setting: its default and its check (`model`), how values are written (`values`, `origins`), and every reason
not to start (`refusals`).

Not here: opening data files or sockets. Nothing else reads the environment.
"""

from passgate.settings.model import (
    KEY_FILE,
    BreachSettings,
    CorsSettings,
    EraseSettings,
    HashSettings,
    LimitSettings,
    MailSettings,
    MetricsSettings,
    RecoverySettings,
    ServeSettings,
    SessionSettings,
    Settings,
    SigninSettings,
    ThemeSettings,
    TokenSettings,
)
from passgate.settings.origins import is_localhost, is_loopback, unix_path
from passgate.settings.refusals import refusals

__all__ = [
    "KEY_FILE",
    "BreachSettings",
    "CorsSettings",
    "EraseSettings",
    "HashSettings",
    "LimitSettings",
    "MailSettings",
    "MetricsSettings",
    "RecoverySettings",
    "ServeSettings",
    "SessionSettings",
    "Settings",
    "SigninSettings",
    "ThemeSettings",
    "TokenSettings",
    "is_localhost",
    "is_loopback",
    "refusals",
    "unix_path",
]
