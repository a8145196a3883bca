"""A tenant's policy as data: its fields, defaults and bounds, and how a change is validated.

Not here: a database, a clock, or what rules mean (`policy`). A field is defined here only: the API, its schema and the
reference are generated from this model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from passgate.core.factor import Factors
from passgate.errors import Invalid

AAL1, AAL2, AAL3 = "urn:passgate:aal1", "urn:passgate:aal2", "urn:passgate:aal3"
PHR = "phr"
"""Phishing-resistant, the name in OpenID's EAP ACR Values."""
SHORTEST_SESSION = 60
"""Seconds."""
SHORTEST_ALONE, SHORTEST_WITH_SECOND = 15, 8
"""Characters of a password in production: used alone, and always with a second factor (NIST SP 800-63B-4 §3.1.1.2)."""
LEVELS = (AAL1, AAL2, PHR, AAL3)
"""Weakest first; each includes the requirements of the one before."""
SIGNUP = ("open", "invite", "closed")
FULL, LENGTH = "full", "length"
"""How a new password is checked: in every way, or by its length alone."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """The values a field may have; the reference lists them."""

    values: tuple[str, ...]

    def __call__(self, given: object) -> object:
        if given not in self.values:
            raise ValueError
        return given


def _one_of(*values: str) -> BeforeValidator:
    return BeforeValidator(OneOf(values))


def _distinct(given: object) -> object:
    """Not empty, no duplicates. Anything but a list of strings is left to the model, which reports a wrong type."""
    if not isinstance(given, list | tuple) or not all(isinstance(word, str) for word in given):
        return given
    if not given or len(set(given)) < len(given):
        raise ValueError
    return tuple(given)


def _a_minute(given: int) -> int:
    """Nothing, or at least a minute."""
    if 0 < given < SHORTEST_SESSION:
        raise ValueError
    return given


_AT_LEAST_A_MINUTE = AfterValidator(_a_minute)
Names = Annotated[tuple[str, ...], BeforeValidator(_distinct)]


class RecoveryCodes(BaseModel):
    """How backup codes are given out."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    count: int = Field(10, ge=5, le=16, description="How many there are in a set")
    mailed: bool = Field(
        False,
        description="Mail a new set too, or only mail it before the first confirmed address. Such codes stay at AAL1",
    )


class Rules(BaseModel):
    """The defaults are the product's."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    first: Names = Field(("password", "passkey"), description="Factors to sign in with")
    second: Annotated[str, _one_of("never", "if_enrolled", "always")] = Field(
        "if_enrolled", description="When a second factor is required: never, if_enrolled or always"
    )
    second_among: Names = Field(
        ("passkey", "totp", "recovery_code"),
        description="Accepted second factors. With email_code, a sign-in stays at AAL1",
    )
    least_acr: Annotated[str, _one_of(*LEVELS)] = Field(
        AAL1, description=f"Minimum level of every sign-in: {', '.join(LEVELS)}"
    )
    max_age: int = Field(
        0,
        ge=0,
        le=86_400,
        description="Maximum age in seconds of a proof where a recent one is required. 0: as in the settings",
    )
    mailed_second_factor: Annotated[str, _one_of("everybody", "enrolled", "at_once")] = Field(
        "everybody",
        description="Where second_among has email_code, who is asked for one: everybody, or those who turned it on and"
        " have nothing stronger (enrolled; at_once: without a first code)",
    )
    password_checks: Annotated[str, _one_of(FULL, LENGTH)] = Field(
        FULL, description="How a new password is checked: full, or in development by its length alone (length)"
    )
    password_alone: int = Field(
        SHORTEST_ALONE,
        ge=6,
        le=64,
        description=f"Minimum length of a password used on its own. Less than {SHORTEST_ALONE} only in development",
    )
    password_beside: int = Field(
        SHORTEST_WITH_SECOND,
        ge=SHORTEST_WITH_SECOND,
        le=64,
        description="Minimum length of a password always used with a second factor",
    )
    totp_window: int = Field(1, ge=0, le=2, description="Steps of 30 s before and after in which a code is accepted")
    totp_at_once: bool = Field(
        False, description="Turn on an authenticator app without its first code, if it is one's first second factor"
    )
    totp_shown_again: bool = Field(
        False, description="Let people see the setup key of their own authenticator app again, after a recent proof"
    )
    recovery_codes: RecoveryCodes = Field(RecoveryCodes(), description="How backup codes are given out")
    passkey_counter: Annotated[str, _one_of("refuse", "note")] = Field(
        "refuse", description="If a passkey's counter doesn't increase: refuse or note"
    )
    signup: Annotated[str, _one_of(*SIGNUP)] = Field(
        "open",
        description="Who may sign up: everybody (open), or whoever is invited (invite, closed). Asked when a sign-up "
        "starts, and again when it creates the account",
    )
    usernames: Annotated[str, _one_of("off", "optional")] = Field(
        "off", description="Whether users may have a username and sign in with it: off or optional"
    )
    address_proof: Annotated[str, _one_of("first", "later")] = Field(
        "first", description="When a new user confirms their email address: first, or later, with a session before it"
    )
    remember_days: int = Field(30, ge=0, le=365, description="Days a browser can be remembered. 0: never")
    on_client_change: Annotated[str, _one_of("off", "log", "step_up", "end")] = Field(
        "log", description="If another browser or system uses a session: off, log, step_up or end"
    )
    session_idle: Annotated[int, _AT_LEAST_A_MINUTE] = Field(
        0,
        ge=0,
        le=7_776_000,
        description="Seconds after which a session ends without use, at most as in the settings. 0: as there",
    )
    session_absolute: Annotated[int, _AT_LEAST_A_MINUTE] = Field(
        0,
        ge=0,
        le=7_776_000,
        description="Seconds after which a session ends even with use, at most as in the settings. 0: as there",
    )
    access_life: int = Field(
        0,
        ge=0,
        le=86_400,
        description="Seconds an access token is valid, at most as in the settings. 0: as there",
    )
    refresh_life: int = Field(
        0, ge=0, le=31_536_000, description="Seconds a refresh token is valid, at most as in the settings. 0: as there"
    )

    @classmethod
    def from_json(cls, data: Mapping[str, Any], factors: Factors) -> Rules:
        """Load a tenant's stored rules. Ignores fields of a later version, and factors that no longer exist."""
        known = {name: value for name, value in data.items() if name in cls.model_fields}
        for name in {"first", "second_among"} & known.keys():
            known[name] = tuple(word for word in known[name] if word in factors)
        for name in NESTED.keys() & known.keys():
            known[name] = _nested(name, known[name])
        return cls.model_construct(**{**_DEFAULTS, **known})

    @classmethod
    def parsed(cls, text: str, factors: Factors) -> Rules:
        """The same from a tenant's column; each text is parsed once."""
        return _parsed(text, factors)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def differences(self) -> dict[str, Any]:
        """What a tenant stores: only the differences from the default, so that an improved default takes effect."""
        return _differences(self.to_json(), Rules().to_json())

    def changed(self, data: Mapping[str, Any], factors: Factors) -> Rules:
        """These rules with some fields replaced, or Invalid with the faulty ones."""
        faults = {name[:40]: "unknown" for name in data if name not in Rules.model_fields}
        known = {name: value for name, value in data.items() if name in Rules.model_fields}
        for name in NESTED.keys() & known.keys():
            if isinstance(known[name], Mapping):  # members that are left out stay as they are
                known[name] = {**dict(getattr(self, name)), **known[name]}
        try:
            made = Rules.model_validate({**dict(self), **known})
        except ValidationError as wrong:
            faults |= {_name(one["loc"]): _code(one["type"]) for one in wrong.errors(include_input=False)}
            made = Rules()
        faults |= dict.fromkeys(made._misnamed(known.keys() - faults.keys(), factors), "value")
        if faults:
            raise Invalid(faults)
        if made.second == "always" and not set(made.second_among) & {*factors.set_up_second, *factors.given}:
            raise Invalid({"second_among": "value"})  # no one could ever set one up
        return made

    def _misnamed(self, changed: Iterable[str], factors: Factors) -> list[str]:
        """The changed lists that name a factor not allowed there."""
        may = {"first": factors.first, "second_among": factors.second}
        return [name for name in changed if name in may and not set(getattr(self, name)) <= set(may[name])]

    def in_production(self) -> Rules:
        """The same without the weak rules for passwords that only development may have, or that only a table has."""
        given = {
            "password_alone": max(self.password_alone, SHORTEST_ALONE),
            "password_beside": max(self.password_beside, SHORTEST_WITH_SECOND),
            "password_checks": FULL,
        }
        return self.model_copy(update=given)

    def shortest_password(self, factors: Factors) -> int:
        """15 if a password may be the only factor, 8 if another is always required (NIST SP 800-63B-4 §3.1.1.2). A
        factor without a trait does not count, and a remembered browser leaves the password alone."""
        all_count = all(factors[name].traits for name in self.second_among)
        is_second_required = self.second == "always" and all_count and not self.remember_days
        return self.password_beside if is_second_required else self.password_alone


@dataclass(frozen=True, slots=True)
class Weak:
    """A field that lets weak passwords in: `code` as a reason not to start, and what it must be instead."""

    code: str
    field: str
    instead: str


def weak_passwords(stored: Mapping[str, Any]) -> list[Weak]:
    """What production neither stores nor serves of a tenant's stored rules (NIST SP 800-63B-4 §3.1.1.2)."""
    found = list[Weak]()
    for name, least in (("password_alone", SHORTEST_ALONE), ("password_beside", SHORTEST_WITH_SECOND)):
        length = stored.get(name)
        if isinstance(length, int) and length < least:
            found.append(Weak("PASSWORD_SHORT", name, f"{least} or more"))
    if stored.get("password_checks", FULL) != FULL:
        found.append(Weak("PASSWORD_UNCHECKED", "password_checks", FULL))
    return found


def weak_reasons(policies: Mapping[str, str]) -> list[tuple[str, str]]:
    """Reasons for production not to start, of the stored rules of tenants by name."""
    return [
        (one.code, f"The policy of tenant {name} must set {one.field} to {one.instead}.")
        for name, text in policies.items()
        for one in weak_passwords(json.loads(text))
    ]


@lru_cache(1024)
def _parsed(text: str, factors: Factors) -> Rules:
    return Rules.from_json(json.loads(text), factors)


def _differences(data: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in data.items() if value != default[key]}
    return {key: _differences(value, default[key]) if key in NESTED else value for key, value in found.items()}


_DEFAULTS = dict(Rules())
NESTED: dict[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Rules.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
"""The fields that have members of their own."""


def _nested(name: str, stored: Mapping[str, Any]) -> BaseModel:
    """Such a field as it is stored, without members of a later version."""
    known = {one: value for one, value in stored.items() if one in NESTED[name].model_fields}
    return NESTED[name].model_construct(**{**dict(_DEFAULTS[name]), **known})


def _name(where: tuple[int | str, ...]) -> str:
    """The field of an error, or the member of a field that has some. Further in, only a list has an index."""
    return ".".join(str(part) for part in where[: 2 if where[0] in NESTED else 1])[:40]


def _code(kind: str) -> str:
    """One of the codes of `Invalid`."""
    if kind == "extra_forbidden":
        return "unknown"
    return "type" if kind.endswith(("_type", "_parsing")) else "value"
