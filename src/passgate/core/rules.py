"""A tenant's policy as data: its fields, its defaults, and what a change of it may say. What rules mean is `policy`'s.

No database and no clock here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from passgate.errors import Invalid

AAL1, AAL2, AAL3 = "urn:passgate:aal1", "urn:passgate:aal2", "urn:passgate:aal3"
PHR = "phr"
"""Phishing-resistant, as OpenID's EAP ACR Values call it."""
LEVELS = (AAL1, AAL2, PHR, AAL3)
"""Weakest first; each holds whatever the one before asks."""

FIRST = ("password", "passkey", "email_code")
SECOND = ("passkey", "totp", "recovery_code", "email_code")
MAILED = "email_code"


@dataclass(frozen=True, slots=True)
class Rules:
    """The defaults are the product's. `first`: the ways in. `second`: when another factor is asked for (never,
    if_enrolled, always), `second_among`: which. `least_acr`: what every sign-in must reach. `max_age`: seconds a proof
    may be old for a deed that asks for a fresh one; 0: as the settings say."""

    first: tuple[str, ...] = ("password", "passkey")
    second: str = "if_enrolled"
    second_among: tuple[str, ...] = ("passkey", "totp", "recovery_code")
    least_acr: str = AAL1
    max_age: int = 0
    password_alone: int = 15
    password_beside: int = 8
    totp_window: int = 1
    totp_at_once: bool = False
    passkey_counter: str = "refuse"
    remember_days: int = 30

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        """What a tenant keeps; names of a later version are passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: _value(value) for key, value in data.items() if key in known})

    def to_json(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def differences(self) -> dict[str, Any]:
        """What a tenant keeps: only what differs from the default, so that a better default reaches it."""
        default = Rules().to_json()
        return {key: value for key, value in self.to_json().items() if value != default[key]}

    def changed(self, data: Mapping[str, Any]) -> Rules:
        """These rules with some fields replaced, or Invalid with the faulty ones."""
        faults = {name[:40]: fault for name, value in data.items() if (fault := _fault(name, value))}
        if faults:
            raise Invalid(faults)
        made = replace(self, **{key: _value(value) for key, value in data.items()})
        if made.second == "always" and not {"passkey", "totp", MAILED} & set(made.second_among):
            raise Invalid({"second_among": "value"})  # nobody could ever set one up
        return made

    @property
    def shortest_password(self) -> int:
        """15 where it may stand alone, 8 where something else is always there (NIST SP 800-63B-4 §3.1.1.2). A mailed
        code is no such thing, and a remembered browser leaves the password alone."""
        is_beside = self.second == "always" and MAILED not in self.second_among and not self.remember_days
        return self.password_beside if is_beside else self.password_alone


def _value(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


_LISTS = {"first": FIRST, "second_among": SECOND}
_WORDS = {
    "second": ("never", "if_enrolled", "always"),
    "passkey_counter": ("refuse", "note"),
    "least_acr": LEVELS,
}
_RANGES = {
    "max_age": (0, 86_400), "password_alone": (8, 64), "password_beside": (8, 64), "totp_window": (0, 2),
    "remember_days": (0, 365),
}  # fmt: skip


def _fault(name: str, value: Any) -> str | None:
    """Why a field cannot be that, as one of the words of `Invalid`."""
    if name in _LISTS:
        if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
            return "type"
        return None if value and len(set(value)) == len(value) and set(value) <= set(_LISTS[name]) else "value"
    if name in _WORDS:
        return None if isinstance(value, str) and value in _WORDS[name] else "value"
    if name in _RANGES:
        least, most = _RANGES[name]
        return "type" if type(value) is not int else None if least <= value <= most else "value"
    if name == "totp_at_once":
        return None if isinstance(value, bool) else "type"
    return "unknown"
