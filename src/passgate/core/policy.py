"""What is demanded of whom: rules as data, and `decide`, a pure function of rules and proofs. No database, no clock.

Every decision carries its reasons, so that a page, an audit row and `passgate policy explain` can say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

AAL1, AAL2, AAL3 = "urn:passgate:aal1", "urn:passgate:aal2", "urn:passgate:aal3"
LEVELS = (AAL1, AAL2, AAL3)


class Trait(StrEnum):
    """What a proof shows. Levels count distinct traits, never steps."""

    KNOWS = "knows"
    HAS = "has"


@dataclass(frozen=True, slots=True)
class Kind:
    """A factor as policy sees it. `amr` per RFC 8176. A mailed code shows nothing that counts (NIST 800-63B-4
    §3.1.3.1: e-mail is no out-of-band authenticator), so it has no trait."""

    name: str
    amr: str
    traits: frozenset[Trait]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("password", "pwd", frozenset({Trait.KNOWS})),
        Kind("email_code", "otp", frozenset()),
    )
}


@dataclass(frozen=True, slots=True)
class Rules:
    """A tenant's policy; the defaults are the product's. `first` lists the ways in, `second` says when another is
    asked for: never, if_enrolled or always."""

    first: tuple[str, ...] = ("passkey", "password")
    second: str = "if_enrolled"
    second_among: tuple[str, ...] = ("passkey", "totp", "recovery_code")
    password_alone: int = 15
    password_beside: int = 8

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in known
        }
        return cls(**given)

    @property
    def shortest_password(self) -> int:
        """15 where it may stand alone, 8 where a second factor is always there (NIST 800-63B-4 §3.1.1.2)."""
        return self.password_beside if self.second == "always" else self.password_alone


@dataclass(frozen=True, slots=True)
class Need:
    """`ways`: alternatives, each a list of factors. `enrol`: they are set up now, not asked for."""

    ways: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]
    enrol: bool = False

    def offers(self, factor: str) -> bool:
        return any(factor in way for way in self.ways)

    def listed(self) -> list[list[str]]:
        return [list(way) for way in self.ways]


@dataclass(frozen=True, slots=True)
class Enough:
    amr: tuple[str, ...]
    acr: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """No way leads there: what is asked cannot be shown with what is offered."""

    reasons: tuple[str, ...]


Decision = Need | Enough | Refuse


def level(proofs: tuple[str, ...]) -> str:
    """The acr that a set of proofs earns."""
    traits = frozenset[Trait]().union(*(KINDS[proof].traits for proof in proofs if proof in KINDS))
    return AAL2 if len(traits) > 1 else AAL1


def decide(
    rules: Rules, purpose: str, proofs: tuple[str, ...], enrolled: frozenset[str] = frozenset(), floor: str = AAL1,
) -> Decision:  # fmt: skip
    """`purpose` is signin, signup, recovery or step_up; `proofs` the factors proved or set up so far; `enrolled` what
    the person has, empty while nobody is named: an unknown person gets the same first Need as a known one."""
    first = tuple((factor,) for factor in rules.first if factor in KINDS)
    if purpose in ("signup", "recovery"):
        if "email_code" not in proofs:
            return Need((("email_code",),), (f"{purpose}: the address is proved first",))
        ways = first if purpose == "signup" else (("password",),)
        if not ways:
            return Refuse(("no way in is offered",))
        if not _proved(ways, proofs):
            return Need(ways, (f"{purpose}: a way in is set up",), enrol=True)
    elif not _proved(first, proofs):
        return Need(first, ("first factor: any of the tenant's list",)) if first else Refuse(("no way in is offered",))
    if second := _second(rules, proofs, enrolled):
        return second
    if LEVELS.index(level(proofs)) < LEVELS.index(floor):
        return Refuse((f"{floor} is asked for, and no factor that is left reaches it",))
    return Enough(tuple(KINDS[proof].amr for proof in proofs), level(proofs), ("every rule is met",))


def _proved(ways: tuple[tuple[str, ...], ...], proofs: tuple[str, ...]) -> bool:
    return any(set(way) <= set(proofs) for way in ways)


def _second(rules: Rules, proofs: tuple[str, ...], enrolled: frozenset[str]) -> Need | Refuse | None:
    """The second factor's demand, None where it is met or there is none."""
    if rules.second == "never" or level(proofs) != AAL1:
        return None
    mine = tuple((factor,) for factor in rules.second_among if factor in enrolled and factor in KINDS)
    open_ways = tuple(way for way in mine if way[0] not in proofs)
    if len(open_ways) < len(mine):
        return None
    if open_ways:
        return Need(open_ways, (f"second factor: {rules.second}, and one is enrolled",))
    if rules.second == "if_enrolled":
        return None
    offered = tuple((factor,) for factor in rules.second_among if factor in KINDS)
    if not offered:
        return Refuse(("a second factor is always asked for, and none is offered",))
    return Need(offered, ("second factor: always, and none is enrolled",), enrol=True)
