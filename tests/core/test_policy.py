"""What is demanded of whom, as laws over all rules and proofs. The product's own defaults are told in the stories.

Pure: no database and no clock is needed here.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passgate.core.policy import KINDS, Enough, Need, Refuse, decide, reached
from passgate.core.rules import AAL1, AAL2, LEVELS, Rules

FACTORS = st.sampled_from(sorted([*KINDS, "passkey", "totp", "recovery_code"]))
LISTS = st.lists(FACTORS, unique=True, max_size=4).map(tuple)
PROOFS = st.lists(st.sampled_from(sorted(KINDS)), unique=True).map(tuple)
PURPOSES = st.sampled_from(["signin", "signup", "recovery", "step_up"])
RULES = st.builds(Rules, first=LISTS, second=st.sampled_from(["never", "if_enrolled", "always"]), second_among=LISTS)
ENROLLED = st.frozensets(FACTORS)
FLOORS = st.sampled_from(LEVELS)


@given(RULES, PURPOSES, PROOFS, ENROLLED, FLOORS)
def test_every_decision_carries_its_reasons(
    rules: Rules, purpose: str, proofs: tuple[str, ...], enrolled: frozenset[str], floor: str
) -> None:
    decision = decide(rules, purpose, proofs, enrolled, floor)
    assert decision.reasons
    assert all(reason.strip() for reason in decision.reasons)
    assert decide(rules, purpose, proofs, enrolled, floor) == decision


@given(RULES, PURPOSES, PROOFS, ENROLLED, FLOORS, st.sampled_from(sorted(KINDS)))
def test_more_proofs_never_need_more(
    rules: Rules, purpose: str, proofs: tuple[str, ...], enrolled: frozenset[str], floor: str, another: str
) -> None:
    """What is enough stays enough; what is refused is not opened by asking less; no way gets longer."""
    before = decide(rules, purpose, proofs, enrolled, floor)
    after = decide(rules, purpose, tuple(dict.fromkeys((*proofs, another))), enrolled, floor)
    if isinstance(before, Enough):
        assert isinstance(after, Enough)
        assert LEVELS.index(after.acr) >= LEVELS.index(before.acr)
    if isinstance(before, Need) and isinstance(after, Need) and before.offers(another) and not after.enrol:
        assert not after.offers(another), "what was just proved is not asked for again"


@given(RULES, PURPOSES, FLOORS)
def test_an_unknown_person_gets_the_same_first_need(rules: Rules, purpose: str, floor: str) -> None:
    """The first demand is the tenant's list, whatever the person has enrolled."""
    nobody = decide(rules, purpose, (), frozenset(), floor)
    for enrolled in (frozenset(KINDS), frozenset({"totp"}), frozenset({"password"})):
        assert decide(rules, purpose, (), enrolled, floor) == nobody
    if isinstance(nobody, Need):
        assert not nobody.enrol


@given(PROOFS, RULES, PURPOSES, ENROLLED)
def test_a_mailed_code_never_lifts_the_level(
    proofs: tuple[str, ...], rules: Rules, purpose: str, enrolled: frozenset[str]
) -> None:
    """NIST 800-63B-4: e-mail is no out-of-band authenticator."""
    without = tuple(proof for proof in proofs if proof != "email_code")
    assert level(proofs) == level(without)
    assert level(("email_code",)) == AAL1
    assert level(("password", "email_code")) == AAL1
    decision = decide(rules, purpose, proofs, enrolled, AAL2)
    assert not isinstance(decision, Enough) or decision.acr != AAL1


@given(RULES, PURPOSES, PROOFS, ENROLLED, FLOORS)
def test_enough_meets_the_floor_and_names_its_methods(
    rules: Rules, purpose: str, proofs: tuple[str, ...], enrolled: frozenset[str], floor: str
) -> None:
    decision = decide(rules, purpose, proofs, enrolled, floor)
    if isinstance(decision, Enough):
        assert LEVELS.index(decision.acr) >= LEVELS.index(floor)
        assert decision.amr == tuple(KINDS[proof].amr for proof in proofs)
        assert proofs, "nobody gets in with nothing"


@given(RULES, PURPOSES, PROOFS, ENROLLED, FLOORS)
def test_a_need_can_be_met_with_what_there_is(
    rules: Rules, purpose: str, proofs: tuple[str, ...], enrolled: frozenset[str], floor: str
) -> None:
    decision = decide(rules, purpose, proofs, enrolled, floor)
    if isinstance(decision, Need):
        assert decision.ways
        assert all(way and set(way) <= set(KINDS) for way in decision.ways)
        assert decision.listed() == [list(way) for way in decision.ways]


@given(RULES, st.sampled_from(["signup", "recovery"]), ENROLLED, FLOORS)
def test_the_address_comes_first(rules: Rules, purpose: str, enrolled: frozenset[str], floor: str) -> None:
    """However a sign-up or recovery is asked for, nothing goes before the mailed code."""
    for proofs in ((), ("password",)):
        decision = decide(rules, purpose, proofs, enrolled, floor)
        assert isinstance(decision, Need)
        assert (decision.ways, decision.enrol) == ((("email_code",),), False)


def test_the_defaults() -> None:
    rules = Rules()
    assert decide(rules, "signin", ()).listed() == [["password"]]  # type: ignore[union-attr]
    assert decide(rules, "signin", ("password",)) == Enough(("pwd",), AAL1, ("every rule is met",))
    assert isinstance(decide(rules, "signin", ("email_code",)), Need)
    recovery = decide(rules, "recovery", ("email_code",))
    assert isinstance(recovery, Need)
    assert (recovery.listed(), recovery.enrol) == ([["password"]], True)
    assert isinstance(decide(rules, "step_up", ("password",), floor=AAL2), Refuse)
    assert isinstance(decide(Rules(second="always"), "signin", ("password",)), Refuse)
    assert isinstance(decide(Rules(first=()), "signin", ()), Refuse)


@pytest.mark.parametrize(("second", "shortest"), [("never", 15), ("if_enrolled", 15), ("always", 8)])
def test_a_password_that_stands_alone_is_longer(second: str, shortest: int) -> None:
    assert Rules(second=second).shortest_password == shortest


def test_rules_are_read_from_what_a_tenant_keeps() -> None:
    assert Rules.from_json({}) == Rules()
    told = Rules.from_json({"first": ["password"], "second": "never", "of a later version": 1})
    assert told == Rules(first=("password",), second="never")
