"""How people read a policy: the name, the explanation and the choices of each field, and how a form asks for it. The
fields themselves, their kinds and bounds come from the model, so that a new field appears in the form by itself; until
it has words here, its description stands in for them.

Not here: the page (`admin_policy`), and what a field means (`core.policy`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from passgate.core.factor import Factors
from passgate.core.rules import NESTED, OneOf, Rules
from passgate.errors import Invalid
from passgate.i18n import N_

_TEXTS: dict[str, tuple[str, str]] = {
    "first": (N_("Ways to sign in"), N_("What people can begin a sign-in with.")),
    "second": (N_("Two-step verification"), N_("Who has to confirm a sign-in with a second step.")),
    "second_among": (N_("Accepted second steps"), ""),
    "least_acr": (N_("Minimum security level"), N_("Every sign-in must reach it.")),
    "max_age": (
        N_("How long a confirmation counts (seconds)"),
        N_(
            "After that, people confirm it's them before they change something important. 0: as set up by your service."
        ),
    ),
    "mailed_second_factor": (
        N_("Codes by email as a second step"),
        N_("Who is asked for one, if they are an accepted second step."),
    ),
    "password_checks": (
        N_("Checks of new passwords"),
        N_("By length alone, people can choose a password that is easy to guess. Only in development."),
    ),
    "password_alone": (
        N_("Shortest password on its own"),
        N_("In characters. Fewer than 15 only in development."),
    ),
    "password_beside": (
        N_("Shortest password with two-step verification"),
        N_("In characters. Applies if two-step verification is required for everyone."),
    ),
    "totp_window": (
        N_("Tolerance for authenticator apps"),
        N_("How many 30-second steps the clock of a phone may be off."),
    ),
    "totp_at_once": (N_("Turn on authenticator apps without a first code"), ""),
    "totp_shown_again": (N_("Let people see the QR code of their own authenticator app again"), ""),
    "recovery_codes.count": (N_("Backup codes in a set"), ""),
    "recovery_codes.mailed": (
        N_("Email new backup codes to their owner too"),
        N_("While nobody has ever confirmed an address of theirs, they are only emailed and not shown."),
    ),
    "passkey_counter": (N_("If a passkey may have been copied"), ""),
    "address_proof": (
        N_("Confirming the email address"),
        N_(
            "When new people confirm it. Later: they are signed in before that. Whoever can read an address's email"
            " gets its account by confirming it."
        ),
    ),
    "remember_days": (
        N_("Remember browsers (days)"),
        N_("How long a browser can skip two-step verification. 0: never."),
    ),
    "on_client_change": (N_("If another browser or system uses a session"), ""),
    "access_life": (N_("Lifetime of access tokens (seconds)"), N_("0: as set up by your service.")),
    "refresh_life": (N_("Lifetime of refresh tokens (seconds)"), N_("0: as set up by your service.")),
    "session_idle": (N_("Sign out after inactivity (seconds)"), N_("0: as set up by your service.")),
    "session_absolute": (N_("Sign out at the latest after (seconds)"), N_("0: as set up by your service.")),
    "signup": (N_("Sign-up"), N_("Whether people can create an account by themselves. An invitation always works.")),
    "usernames": (N_("Usernames"), N_("Whether people can have a username and sign in with it.")),
}
"""By field: its name and its explanation."""
_CHOICES: dict[str, dict[str, str]] = {
    "second": {
        "never": N_("For no one"),
        "if_enrolled": N_("For everyone who has set it up"),
        "always": N_("For everyone"),
    },
    "least_acr": {
        "urn:passgate:aal1": N_("One step (AAL1)"),
        "urn:passgate:aal2": N_("Two steps (AAL2)"),
        "phr": N_("Phishing-resistant (PHR)"),
        "urn:passgate:aal3": N_("Phishing-resistant, with a key that can't be copied (AAL3)"),
    },
    "mailed_second_factor": {
        "everybody": N_("Everyone"),
        "enrolled": N_("Those who turned it on and have nothing safer"),
        "at_once": N_("The same, and turning it on needs no first code"),
    },
    "password_checks": {
        "full": N_("Length, and how easy they are to guess"),
        "length": N_("Length alone"),
    },
    "passkey_counter": {"refuse": N_("Refuse the sign-in"), "note": N_("Allow and record it")},
    "on_client_change": {
        "off": N_("Do nothing"),
        "log": N_("Record it"),
        "step_up": N_("Ask to confirm it's them"),
        "end": N_("Sign out"),
    },
    "signup": {"open": N_("Open to everyone"), "invite": N_("By invitation"), "closed": N_("Closed")},
    "address_proof": {"first": N_("Before they sign in"), "later": N_("Later")},
    "usernames": {"off": N_("No usernames"), "optional": N_("Optional")},
}
FACTORS = {
    "password": N_("Password"),
    "passkey": N_("Passkey"),
    "totp": N_("Authenticator app"),
    "recovery_code": N_("Backup codes"),
    "email_code": N_("Code by email"),
    "link": N_("Sign-in link"),
}
"""What people call the factors; a host's own have the names that it gave them."""


@dataclass(frozen=True, slots=True)
class FieldTexts:
    """One field, or one member of a field that has some (`field.member`). `kind`: `check`, `number`, `one` of the
    choices or `some` of them; `choices`: each value with its text; `least`, `most`: of a number."""

    name: str
    kind: str
    label: str
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    least: int | None = None
    most: int | None = None

    def names(self) -> Iterator[str]:
        """Of its controls."""
        if self.kind == "some":
            yield from (f"{self.name}.{value}" for value, _ in self.choices)
        else:
            yield self.name

    def read(self, given: Mapping[str, str]) -> Any:
        """The value that a form sends. Raises Invalid."""
        if self.kind == "some":
            return [value for value, _ in self.choices if given[f"{self.name}.{value}"]]
        if self.kind == "check":
            return bool(given[self.name])
        if self.kind == "one":
            return given[self.name]
        text = given[self.name].strip()
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(2**63))):
            raise Invalid({self.name: "type"})
        return int(text)


def label_of(factors: Factors, name: str) -> str:
    known = factors.get(name)
    return FACTORS.get(name) or (known.texts.name if known else name)


def policy_fields(factors: Factors) -> tuple[FieldTexts, ...]:
    """Every field of a policy, in the order of the model."""
    lists = {"first": factors.first, "second_among": factors.second}
    return tuple(_field(name, info, factors, lists.get(name, ())) for name, info in _infos())


def _infos() -> Iterator[tuple[str, FieldInfo]]:
    for name, info in Rules.model_fields.items():
        if name in NESTED:
            yield from ((f"{name}.{member}", one) for member, one in NESTED[name].model_fields.items())
        else:
            yield name, info


def _field(name: str, info: FieldInfo, factors: Factors, listed: tuple[str, ...]) -> FieldTexts:
    label, hint = _TEXTS.get(name, (info.description or name, ""))
    values = next((one.func.values for one in info.metadata if isinstance(getattr(one, "func", None), OneOf)), ())
    known = _CHOICES.get(name, {})
    if listed:
        choices = tuple((value, label_of(factors, value)) for value in listed)
        return FieldTexts(name, "some", label, hint, choices)
    if values:
        return FieldTexts(name, "one", label, hint, tuple((value, known.get(value, value)) for value in values))
    if info.annotation is bool:
        return FieldTexts(name, "check", label, hint)
    least = next((one.ge for one in info.metadata if isinstance(one, Ge)), None)
    most = next((one.le for one in info.metadata if isinstance(one, Le)), None)
    return FieldTexts(name, "number", label, hint, least=least, most=most)  # type: ignore[arg-type]  # of an int
