"""What a sign-in requires: `decide`, a pure function of rules, proofs and enrolled factors. The first check of a list
that has an answer decides; its name is the decision's reason, in audit rows and in `passgate policy explain`.

Not here: a database or a clock; the rules as data (`rules`); which checks apply to a sign-in (`journey`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from passgate.core.factor import BY_LINK, LINK, MAILED, NEW, REMEMBERED, Factors, Trait, names_of
from passgate.core.rules import AAL1, AAL2, AAL3, LEVELS, PHR, Rules
from passgate.i18n import N_
from passgate.world import SECOND as MICROSECONDS

if TYPE_CHECKING:
    from passgate.core.journey import Journey


@dataclass(frozen=True, slots=True)
class Need:
    """`ways`: alternatives, each a list of factors. `enrol`: they are to be set up now, not proved."""

    ways: tuple[tuple[str, ...], ...]
    reason: str = ""
    enrol: bool = False

    def offers(self, factor: str) -> bool:
        return any(factor in way for way in self.ways)

    def listed(self) -> list[list[str]]:
        return [list(way) for way in self.ways]


@dataclass(frozen=True, slots=True)
class Enough:
    amr: tuple[str, ...]
    acr: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """What is required cannot be proved with the factors available."""

    reason: str = ""


Decision = Need | Enough | Refuse


# -- levels ----------------------------------------------------------------------------------------


def reached(factors: Factors, proofs: tuple[str, ...]) -> str:
    """The strongest acr that a set of proofs meets."""
    facts = [one for proof in proofs if (one := factors.facts_of(proof))]
    if len(frozenset[Trait]().union(*(one.traits for one in facts))) < 2:
        return AAL1
    if any(one.is_bound and one.resists_phishing for one in facts):
        return AAL3
    return PHR if any(one.resists_phishing for one in facts) else AAL2


def meets(factors: Factors, proofs: tuple[str, ...], acr: str) -> bool:
    return is_at_least(reached(factors, proofs), acr)


def is_at_least(acr: str, floor: str) -> bool:
    """False for an unknown acr."""
    return acr in LEVELS and floor in LEVELS and LEVELS.index(acr) >= LEVELS.index(floor)


def is_reachable(factors: Factors, rules: Rules) -> bool:
    """Whether anyone can sign in by these rules, so that no tenant locks itself out."""
    best = {factors[name].best_proof for name in (*rules.first, *rules.second_among)}
    return meets(factors, tuple(best), rules.least_acr)


def stronger(*levels: str) -> str:
    return max(levels, key=LEVELS.index)


def least(factors: Factors, rules: Rules) -> str:
    """The level that the rules require of every session, as far as a level can say it."""
    if rules.second != "always":
        return rules.least_acr
    best = tuple(factors[name].best_proof for name in (*rules.first, *rules.second_among))
    return stronger(rules.least_acr, AAL2 if meets(factors, best, AAL2) else AAL1)


def own_level(factors: Factors, enrolled: frozenset[str]) -> str:
    """The strongest level a person can prove, up to AAL2: it is required before their factors or address change.
    Factors used up by their answers do not raise it."""
    lasting = tuple(factor.name for factor in factors if factor.name in enrolled and factor.is_lasting)
    return AAL2 if meets(factors, lasting, AAL2) else AAL1


# -- mailed codes as a second factor ---------------------------------------------------------------


def stronger_seconds(factors: Factors, rules: Rules, enrolled: frozenset[str]) -> frozenset[str]:
    """The person's second factors that the rules accept and that last: a mailed code does not stand for them, where
    people turn mailed codes on for themselves."""
    lasting = {name for name in factors.possession if factors[name].is_lasting}
    return enrolled & lasting & set(rules.second_among)


def takes_mailed(factors: Factors, rules: Rules, enrolled: frozenset[str]) -> bool:
    """Whether a mailed code is this person's second factor, where the rules accept one at all."""
    if rules.mailed_second_factor == "everybody":
        return True
    if stronger_seconds(factors, rules, enrolled):
        return False
    return rules.second == "always" or bool(enrolled & factors.chosen)


# -- sessions --------------------------------------------------------------------------------------


def suffices(rules: Rules, proofs: Iterable[str], acr: str) -> bool:
    """Whether a session with this level and these proofs still meets the rules, which may have been raised since."""
    if not is_at_least(acr, rules.least_acr):
        return False
    if rules.second != "always" or is_at_least(acr, AAL2):
        return True
    given = tuple(proofs)
    is_waived = REMEMBERED in given and bool(rules.remember_days)
    return is_waived or shows_two(rules, given)


def recent(proofs: Mapping[str, int], now: int, seconds: int) -> tuple[str, ...]:
    """The proofs given within the last `seconds`, at instants in microseconds. A link is never one of them."""
    return tuple(
        proof
        for proof, at in proofs.items()
        if now - at <= seconds * MICROSECONDS and proof not in (LINK, REMEMBERED) and not proof.endswith(BY_LINK)
    )


def is_fresh(factors: Factors, proofs: Mapping[str, int], level: str, now: int, seconds: int) -> bool:
    """Whether a level was proved within the last `seconds`. The only definition of a fresh proof, for endpoints, pages
    and a host's guards."""
    given = recent(proofs, now, seconds)
    return bool(given) and meets(factors, given, level)


# -- which methods ---------------------------------------------------------------------------------


def amr_of(factors: Factors, proofs: tuple[str, ...]) -> tuple[str, ...]:
    """Authentication methods (RFC 8176), without duplicates."""
    return tuple(dict.fromkeys(word for proof in proofs if (one := factors.facts_of(proof)) for word in one.amr))


# -- a case ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """The input of a decision. `proofs`: what was proved or set up so far; `enrolled`: what the person has, empty until
    one is named; `floor`: the required acr; `is_remembered`: the browser proved a second factor of this person
    before."""

    factors: Factors
    rules: Rules
    journey: Journey
    proofs: tuple[str, ...]
    enrolled: frozenset[str]
    floor: str
    is_remembered: bool
    wants_address: bool = False
    """A step-up was asked to confirm the address too."""
    demanded: frozenset[str] = frozenset()
    """Of an undo: the factors that stood before the change, until it is undone."""
    proves_later: bool = False
    """Of a sign-up: the address may be proved after it."""
    gone: frozenset[str] = frozenset()
    """First factors that were proved and have ended since, because somebody else had set them."""

    @cached_property
    def done(self) -> frozenset[str]:
        return names_of(self.proofs)

    @cached_property
    def is_short(self) -> bool:
        """Whether the required level is not reached."""
        return not self.meets(self.floor)

    @cached_property
    def is_asked(self) -> bool:
        """Whether the level was asked for, beyond what the rules require."""
        return not is_at_least(least(self.factors, self.rules), self.floor)

    @cached_property
    def unmailed(self) -> frozenset[str]:
        """What was proved or set up, without codes that had been mailed."""
        return names_of(proof for proof in self.proofs if not proof.endswith(MAILED))

    @cached_property
    def among(self) -> list[str]:
        """Second factors that could be required: those of the rules, or those that lead to the level."""
        asked = self.rules.second_among if self.rules.second != "never" else self.factors.possession
        able = [name for name in asked if name not in self.passed_over]
        return [name for name in able if not self.is_short or self.meets(self.floor, name)]

    @cached_property
    def passed_over(self) -> frozenset[str]:
        """Second factors of the rules that are not this person's."""
        is_taken = takes_mailed(self.factors, self.rules, self.enrolled)
        return frozenset() if is_taken else self.factors.chosen

    @cached_property
    def has_two(self) -> bool:
        """Whether a second factor of this person was proved in addition to a first factor."""
        return shows_two(self.rules, self.proofs, but=self.passed_over)

    @cached_property
    def mine(self) -> list[str]:
        """Those of `among` that the person has and has not proved yet."""
        return [name for name in self.among if self.has(name) and name not in self.done]

    @cached_property
    def missing(self) -> list[str]:
        """Those of `among` that can be set up now. None for a step-up to a level that only the caller asks for: it must
        use existing factors."""
        if self.is_short and self.journey.is_step_up and self.is_asked:
            return []
        return [name for name in self.among if name in self.factors.set_up_second and name not in self.enrolled]

    def has(self, name: str) -> bool:
        return name in self.enrolled or name in self.factors.given

    def possessions(self) -> list[str]:
        """What the person has and could lose."""
        return [name for name in self.factors.possession if name in self.enrolled]

    def meets(self, acr: str, *more: str) -> bool:
        """Whether the proofs, plus the best proofs of the given factors, reach a level."""
        return meets(self.factors, (*self.proofs, *(self.factors[name].best_proof for name in more)), acr)

    def enough(self, reason: str) -> Enough:
        """A session's acr is AAL1 or AAL2; a stronger one only on request."""
        acr = self.floor if is_at_least(self.floor, AAL2) else AAL2 if self.meets(AAL2) else AAL1
        return Enough(amr_of(self.factors, self.proofs), acr, reason)


def _ways(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((name,) for name in names)


@dataclass(frozen=True, slots=True)
class Check:
    """`why` in plain words; `answer` decides, or returns None to defer to the next check."""

    name: str
    why: str
    answer: Callable[[Case, str], Decision | None]


# -- the first step of each journey ----------------------------------------------------------------


def _first(case: Case, reason: str) -> Decision | None:
    if case.done & {*case.rules.first, LINK}:
        return None
    return Need(_ways(*case.rules.first), reason)


def _own_first(case: Case, reason: str) -> Decision | None:
    if case.done & set(case.rules.first):
        return None
    has = [way for way in case.rules.first if case.has(way)]
    if case.wants_address:  # which is asked for beside it
        has = [way for way in has if way not in case.factors.given] or has
    # The rules may have been raised: what is missing then is set up afterwards.
    after = {way: replace(case, proofs=(*case.proofs, case.factors[way].best_proof)) for way in has}
    mine = [way for way in has if not isinstance(_answer(after[way]), Refuse)]
    return Need(_ways(*mine), reason) if mine else None


def _no_own_first(case: Case, reason: str) -> Decision | None:
    return None if case.done & set(case.rules.first) else Refuse(reason)


def _address(case: Case, reason: str) -> Decision | None:
    return None if case.done & case.factors.given else Need(_ways(*sorted(case.factors.given)), reason)


def _address_of_new(case: Case, reason: str) -> Decision | None:
    return None if case.proves_later else _address(case, reason)


def _wanted_address(case: Case, reason: str) -> Decision | None:
    # After all that reaches the level: what is not proved before the first proof of an address ends with it.
    return _address(case, reason) if case.wants_address and not case.is_short else None


def _given_way_in(case: Case, reason: str) -> Decision | None:
    left = sorted(name for name in case.gone if name + NEW not in case.proofs)
    return Need(_ways(*left), reason, enrol=True) if left else None


def _way_in(case: Case, reason: str) -> Decision | None:
    if not (ways := [way for way in case.rules.first if way not in case.factors.given]):  # nothing to set up
        return _address(case, reason)
    return None if case.done & set(ways) else Need(_ways(*ways), reason, enrol=True)


def _address_or_link(case: Case, reason: str) -> Decision | None:
    return None if LINK in case.done else _address(case, reason)


def _lost_factor(case: Case, reason: str) -> Decision | None:
    """Two different recovery methods replace a lost factor: the caller that records them removes it from `enrolled`."""
    possessions = case.possessions() if case.rules.second != "never" else []
    # Codes that were mailed stand for themselves, and for nothing that lasts: the mailbox has proved the address too.
    counted = case.unmailed if any(case.factors[name].is_lasting for name in possessions) else case.done
    if not possessions or counted & set(possessions):
        return None
    mine = [name for name in possessions if name not in case.done]
    others = [way for way in case.factors.ways_back if way not in case.done and case.has(way)]
    return Need(_ways(*mine, *others), reason)


def _demanded(case: Case, reason: str) -> Decision | None:
    """Every factor that stood before the change. A backup code stands for a lost second factor, and so do two recovery
    methods after the waiting period: the caller that records them undoes the change. Nothing stands for a password."""
    possession = case.factors.possession
    codes = [name for name in possession if not case.factors[name].is_lasting and case.has(name)]
    left = case.demanded - case.done - (set(possession) if case.unmailed & set(codes) else set())
    missing = [factor.name for factor in case.factors if factor.name in left]
    if not missing:
        return None
    codes = [name for name in codes if name not in case.done]
    others = [way for way in case.factors.ways_back if way not in case.done and case.has(way)]
    return Need(_ways(*dict.fromkeys((*missing, *codes, *others))), reason)


def _new_way_in(case: Case, reason: str) -> Decision | None:
    """The preferred first factor of the tenant's list that can be set up; none if the list only has mailed codes. After
    an undo a password that was proved is not enough: a thief may know it too."""
    done = case.done
    if case.journey.is_undo:
        done = names_of(proof for proof in case.proofs if proof.endswith(NEW)) | done & set(case.factors.possession)
    can = [name for name in case.rules.first if case.factors[name].set_up and name not in case.factors.given]
    ways = case.factors.ranked(can, lambda order: order.first)[:1]
    return Need(_ways(*ways), reason, enrol=True) if set(ways) - done else None


# -- after the first step --------------------------------------------------------------------------


def _level(case: Case, reason: str) -> Decision | None:
    if case.is_short:
        return None
    return case.enough(reason) if case.rules.second == "never" or case.meets(AAL2) or case.has_two else None


def _remembered(case: Case, reason: str) -> Decision | None:
    is_waived = case.mine and case.is_remembered and case.journey.may_be_remembered and case.floor == AAL1
    return case.enough(reason) if is_waived else None


def _enrolled(case: Case, reason: str) -> Decision | None:
    return Need(_ways(*case.mine), reason) if case.mine else None


def _optional(case: Case, reason: str) -> Decision | None:
    return case.enough(reason) if not case.is_short and case.rules.second == "if_enrolled" else None


def _unreachable(case: Case, reason: str) -> Decision | None:
    return None if case.missing else Refuse(reason)


def _prove_first(case: Case, reason: str) -> Decision | None:
    facts = [name for name in case.possessions() if name not in case.done]
    return Need(_ways(*facts), reason) if facts and not case.meets(AAL2) else None


def _address_first(case: Case, reason: str) -> Decision | None:
    """A password alone must not add the first second factor: it may be a thief's."""
    return None if case.possessions() or LINK in case.done else _address(case, reason)


def _set_up(case: Case, reason: str) -> Decision | None:
    return Need(_ways(*case.missing), reason, enrol=True)


BY_BROWSER = Check("remembered_browser", N_("This browser is remembered for this user."), _remembered)
SECOND = (
    Check("rules_met", N_("Everything required is proved."), _level),
    BY_BROWSER,
    Check("second_factor", N_("A second factor is required, and one is set up."), _enrolled),
    Check("second_factor_optional", N_("A second factor is required from users who have one."), _optional),
    Check("out_of_reach", N_("The required level or second factor can't be reached with what is left."), _unreachable),
    Check("shown_before_added", N_("Existing factors are proved before new ones are added."), _prove_first),
    Check(
        "address_before_second",
        N_("The address is confirmed before the first second factor is set up."),
        _address_first,
    ),
    Check("second_factor_set_up", N_("A second factor is required, and none is set up."), _set_up),
)
"""The last of them always answers."""

_OWN_WAY_IN = Check(
    "own_way_in",
    N_("The address is confirmed now, so what somebody else had set is replaced by the user's own."),
    _given_way_in,
)
SIGN_IN = (
    Check("first_factor", N_("A first factor from the tenant's policy, or a sign-in link."), _first),
    _OWN_WAY_IN,
    *SECOND,
)
STEP_UP = (
    Check("own_first_factor", N_("A first factor that is set up and can reach the level."), _own_first),
    Check("own_level_out_of_reach", N_("Nothing that is set up reaches the level."), _no_own_first),
    Check("address_asked", N_("The caller asked to confirm the address too."), _wanted_address),
    _OWN_WAY_IN,
    *SECOND,
)
SIGN_UP = (
    Check("address_of_new", N_("The email address is confirmed first, unless the policy says later."), _address_of_new),
    Check("way_in_set_up", N_("A sign-in option is set up."), _way_in),
    *SECOND,
)
NEW_FIRST = Check("new_way_in", N_("A new sign-in option is set up."), _new_way_in)
RECOVERY = (
    Check("address_or_link", N_("The email address is confirmed first, or a link is opened."), _address_or_link),
    Check("lost_factor", N_("The second factor is proved, or another factor instead."), _lost_factor),
    NEW_FIRST,
    *SECOND,
)
UNDO = (
    Check("address", N_("The email address is confirmed first."), _address),
    Check("stood_before", N_("The factors that stood before the change are proved."), _demanded),
    NEW_FIRST,
    *SECOND,
)
CHECKS = {check.name: check for check in (*SIGN_IN, *STEP_UP, *SIGN_UP, *RECOVERY, *UNDO)}
"""All checks, by the name a decision gives as its reason."""


def decide(
    factors: Factors,
    rules: Rules,
    journey: Journey,
    proofs: tuple[str, ...],
    enrolled: frozenset[str] = frozenset(),
    floor: str = AAL1,
    *,
    is_remembered: bool = False,
    wants_address: bool = False,
    demanded: frozenset[str] = frozenset(),
    proves_later: bool = False,
    gone: frozenset[str] = frozenset(),
) -> Decision:
    """The answer of the journey's first check that has one. An unknown person gets the same first Need as a known
    one."""
    floor = stronger(floor, rules.least_acr)
    given = (is_remembered, wants_address, demanded, proves_later, gone)
    return _answer(Case(factors, rules, journey, proofs, enrolled, floor, *given))


def _answer(case: Case) -> Decision:
    for check in case.journey.checks:
        if (decision := check.answer(case, check.name)) is not None:
            return decision
    raise AssertionError("the last check always answers")


def can_meet(factors: Factors, rules: Rules, journey: Journey, best: Mapping[str, str]) -> bool:
    """Whether somebody can sign in by these rules. `best`: the factors they have, each with the proof it gives. What
    can be set up on the way may be; a key that cannot leave its device is not assumed."""
    proofs, has = tuple[str, ...](), frozenset(best)
    for _ in range(len(tuple(factors)) + 1):
        match decide(factors, rules, journey, proofs, has):
            case Enough():
                return True
            case Need(ways, enrol=is_set_up):
                known = [way[0] for way in ways if is_set_up or way[0] in has or way[0] in factors.given]
                if not known:
                    return False
                name = max(known, key=lambda one: LEVELS.index(reached(factors, (*proofs, best.get(one, one)))))
                proofs = (*proofs, name + NEW if is_set_up else best.get(name, name))
                has = has | {name}
    return False


def shows_two(rules: Rules, proofs: tuple[str, ...], *, but: frozenset[str] = frozenset()) -> bool:
    """Whether a second factor of the tenant's list, `but` these, was proved in addition to a first factor."""
    done, ways = names_of(proofs), {*rules.first, LINK}
    return any((done - {name}) & ways for name in (done & set(rules.second_among)) - but)
