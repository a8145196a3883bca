"""What is demanded of whom: `decide`, a pure function of rules, proofs and what is enrolled. No database, no clock.

Every decision carries its reasons, so that a page, an audit row and `passgate policy explain` can say why. The rules as
data are in `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from passgate.core.rules import AAL1, AAL2, AAL3, LEVELS, MAILED, PHR, Rules


class Trait(StrEnum):
    """What a proof shows. Levels count distinct traits, never steps."""

    KNOWS = "knows"
    HAS = "has"
    IS = "is"


@dataclass(frozen=True, slots=True)
class Kind:
    """A proof as policy sees it. `amr` per RFC 8176. A mailed code or link shows nothing that counts (NIST 800-63B-4
    §3.1.3.1: e-mail is no out-of-band authenticator), so it has no trait."""

    amr: tuple[str, ...]
    traits: frozenset[Trait] = frozenset()
    resists_phishing: bool = False
    stays: bool = False
    """Its key cannot leave the device (800-63B-4 §2.3.2)."""


_VERIFIED = frozenset({Trait.HAS, Trait.IS})
"""A passkey is had, and its person verified: we accept none without."""
KINDS: dict[str, Kind] = {
    "password": Kind(("pwd",), frozenset({Trait.KNOWS})),
    "passkey": Kind(("pop", "user"), _VERIFIED, resists_phishing=True),
    "passkey+bound": Kind(("pop", "user"), _VERIFIED, resists_phishing=True, stays=True),
    "totp": Kind(("otp",), frozenset({Trait.HAS})),
    "recovery_code": Kind(("otp",), frozenset({Trait.HAS})),
    "email_code": Kind(("otp",)),
    "link": Kind(("otp",)),
}
"""By proof: a factor's name, and after `+` what its answer showed beyond it."""

HELD = ("passkey", "totp", "recovery_code")
"""Factors that a person has; losing one is what recovery by two ways is for."""
SET_UP = ("passkey", "totp")
"""Second factors that a half-signed-in person can be asked to set up."""
WAYS_BACK = ("email_code", "link", "password")
"""Different ways to show who lost a factor; two of them together stand for it."""


def factors(proofs: tuple[str, ...]) -> frozenset[str]:
    """The names of the factors behind proofs."""
    return frozenset(proof.partition("+")[0] for proof in proofs)


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


# -- levels ----------------------------------------------------------------------------------------


def reached(proofs: tuple[str, ...]) -> str:
    """The strongest acr that a set of proofs meets."""
    shown = [KINDS[proof] for proof in proofs if proof in KINDS]
    if len(frozenset[Trait]().union(*(kind.traits for kind in shown))) < 2:
        return AAL1
    if any(kind.stays and kind.resists_phishing for kind in shown):
        return AAL3
    return PHR if any(kind.resists_phishing for kind in shown) else AAL2


def meets(proofs: tuple[str, ...], acr: str) -> bool:
    return is_at_least(reached(proofs), acr)


def is_at_least(acr: str, floor: str) -> bool:
    """Unknown means no."""
    return acr in LEVELS and floor in LEVELS and LEVELS.index(acr) >= LEVELS.index(floor)


def is_reachable(rules: Rules) -> bool:
    """Somebody can get in at all by these rules: no tenant shuts itself out."""
    return meets(tuple({_BEST.get(factor, factor) for factor in (*rules.first, *rules.second_among)}), rules.least_acr)


def own_level(enrolled: frozenset[str]) -> str:
    """What a person can show at most, up to AAL2: as much is asked before their factors or address change
    hands. Recovery codes are used up, so they ask for nothing by themselves."""
    lasting = (enrolled & KINDS.keys()) - {"recovery_code"}
    return AAL2 if meets(tuple(lasting), AAL2) else AAL1


def _said(proofs: tuple[str, ...], floor: str) -> str:
    """The acr of a session: AAL1 or AAL2, and a stronger one only where it was asked for."""
    found = reached(proofs)
    return floor if is_at_least(floor, AAL2) else AAL2 if is_at_least(found, AAL2) else AAL1


# -- deciding --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    rules: Rules
    purpose: str
    proofs: tuple[str, ...]
    enrolled: frozenset[str]
    floor: str
    is_remembered: bool

    @property
    def done(self) -> frozenset[str]:
        return factors(self.proofs)

    def has(self, factor: str) -> bool:
        return factor in self.enrolled or factor == MAILED

    def with_(self, *more: str) -> tuple[str, ...]:
        return (*self.proofs, *(_BEST.get(factor, factor) for factor in more))


_BEST = {"passkey": "passkey+bound"}  # which it is shows only when it is proved


def decide(
    rules: Rules, purpose: str, proofs: tuple[str, ...], enrolled: frozenset[str] = frozenset(), floor: str = AAL1,
    *, is_remembered: bool = False,
) -> Decision:  # fmt: skip
    """`purpose` is signin, signup, recovery or step_up; `proofs` what was proved or set up so far; `enrolled` what the
    person has, empty while nobody is named: an unknown person gets the same first Need as a known one. `floor`: the acr
    that is asked for. `is_remembered`: the browser showed an earlier second factor of this very person."""
    floor = max(floor, rules.least_acr, key=LEVELS.index)
    case = _Case(rules, purpose, proofs, enrolled, floor, is_remembered)
    asked = _FIRST_STEPS[purpose](case) or _second(case)
    if asked is not None:
        return asked
    amr = dict.fromkeys(word for proof in proofs for word in KINDS[proof].amr)
    why = "second factor: waived by a remembered browser" if _is_waived(case) else "every rule is met"
    return Enough(tuple(amr), _said(proofs, floor), (why,))


def _is_waived(case: _Case) -> bool:
    return case.is_remembered and _second(replace(case, is_remembered=False)) is not None


def _ways(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((name,) for name in names)


def _first(case: _Case) -> Need | Refuse | None:
    """Signing in: any of the tenant's list, or a link that an operator made."""
    if case.done & {*case.rules.first, "link"}:
        return None
    return Need(_ways(*case.rules.first), ("first factor: any of the tenant's list",))


def _own_first(case: _Case) -> Need | Refuse | None:
    """Stepping up: the person is named, so they are asked for what they have and what leads to the level."""
    if case.done & set(case.rules.first):
        return None
    later = tuple(factor for factor in HELD if factor in case.enrolled)
    mine = [way for way in case.rules.first if case.has(way) and meets(case.with_(way, *later), case.floor)]
    if not mine:
        return Refuse((f"nothing that is enrolled reaches {case.floor}",))
    return Need(_ways(*mine), ("first factor: any that is enrolled and leads to the level",))


def _birth(case: _Case) -> Need | Refuse | None:
    """Signing up: the address first, then a way in of one's own."""
    if MAILED not in case.done:
        return Need(_ways(MAILED), ("signup: the address is proved first",))
    ways = [way for way in case.rules.first if way != MAILED or case.rules.first == (MAILED,)]
    if case.done & set(ways):
        return None
    return Need(_ways(*ways), ("signup: a way in is set up",), enrol=True)


def _recovered(case: _Case) -> Need | Refuse | None:
    """Recovering: the address or a link, then what the person has, then a new way in. Two different ways back stand
    for a lost factor: whoever marks them takes it out of `enrolled`."""
    if not case.done & {MAILED, "link"}:
        return Need(_ways(MAILED), ("recovery: the address is proved first",))
    held = [factor for factor in HELD if factor in case.enrolled and case.rules.second != "never"]
    if held and not case.done & set(held):
        others = [way for way in WAYS_BACK if way != "link" and way not in case.done and case.has(way)]
        return Need(_ways(*held, *others), ("recovery: the second factor, or another way to show who it is",))
    way = next((way for way in ("password", "passkey") if way in case.rules.first), MAILED)
    if way in {*case.done, MAILED}:
        return None
    return Need(_ways(way), ("recovery: a new way in is set up",), enrol=True)


PURPOSES = ("signin", "signup", "recovery", "step_up")
_FIRST_STEPS = {"signin": _first, "step_up": _own_first, "signup": _birth, "recovery": _recovered}


def _second(case: _Case) -> Need | Refuse | None:
    """What is asked beyond the first factor: a second one by the tenant's rule, or more for the level."""
    is_short = not meets(case.proofs, case.floor)
    if not is_short and (
        case.rules.second == "never" or meets(case.proofs, AAL2) or shows_two(case.rules, case.proofs)
    ):
        return None
    among = case.rules.second_among if case.rules.second != "never" else HELD
    pool = [factor for factor in among if not is_short or meets(case.with_(factor), case.floor)]
    mine = [factor for factor in pool if case.has(factor) and factor not in case.done]
    if mine and case.is_remembered and case.purpose == "signin" and case.floor == AAL1:
        return None
    if mine:
        why = f"second factor: {case.floor} is asked for" if is_short else f"second factor: {case.rules.second}"
        return Need(_ways(*mine), (f"{why}, and one is enrolled",))
    if not is_short and case.rules.second == "if_enrolled":
        return None
    missing = [factor for factor in pool if factor in SET_UP and factor not in case.enrolled]
    if is_short and case.purpose == "step_up":  # what is asked of a session is shown with what there is
        missing = []
    return _set_up(case, missing)


def shows_two(rules: Rules, proofs: tuple[str, ...]) -> bool:
    """A second factor of the tenant's list was shown, and beside it the first one still stands."""
    done, ways = factors(proofs), {*rules.first, "link"}
    return any((done - {factor}) & ways for factor in done & set(rules.second_among))


def _set_up(case: _Case, missing: list[str]) -> Need | Refuse:
    """A kind that is demanded and that the person has none of is set up now; but whoever has another one shows that
    first, or a password alone would add a factor of its own."""
    shown = [factor for factor in HELD if factor in case.enrolled and factor not in case.done]
    if not missing:
        return Refuse((f"{case.floor} or a second factor is asked for, and nothing that is left leads there",))
    if shown and not meets(case.proofs, AAL2):
        return Need(_ways(*shown), ("what is enrolled is shown before anything is added",))
    return Need(_ways(*missing), ("a second factor is asked for, and none is enrolled",), enrol=True)
