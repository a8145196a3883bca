"""The policy's decisions, as properties over all rules, proofs and enrolled factors. Not here: which rules are
valid (`test_rules`).

Pure functions: no database and no clock. A `Walk` acts as a person who answers one offered factor at each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from passgate.core import policy
from passgate.core.factor import names_of as factors
from passgate.core.factors import FACTORS
from passgate.core.journey import JOURNEYS
from passgate.core.policy import CHECKS, Decision, Enough, Need, Refuse, is_at_least, least, shows_two
from passgate.core.rules import AAL1, AAL2, AAL3, LEVELS, PHR, Rules

PROVABLE, POSSESSION, FIRST, SECOND = FACTORS.proofs, FACTORS.possession, FACTORS.first, FACTORS.second
[MAILED] = FACTORS.given
WAYS_BACK = (*FACTORS.ways_back, "link")
PURPOSES = tuple(JOURNEYS)


def decide(
    rules: Rules,
    purpose: str,
    proofs: tuple[str, ...],
    has: frozenset[str] = frozenset(),
    floor: str = AAL1,
    *,
    is_remembered: bool = False,
) -> Decision:
    return policy.decide(FACTORS, rules, JOURNEYS[purpose], proofs, has, floor, is_remembered=is_remembered)


def meets(proofs: tuple[str, ...], acr: str) -> bool:
    return policy.meets(FACTORS, proofs, acr)


def reached(proofs: tuple[str, ...]) -> str:
    return policy.reached(FACTORS, proofs)


def own_level(has: frozenset[str]) -> str:
    return policy.own_level(FACTORS, has)


def is_reachable(rules: Rules) -> bool:
    return policy.is_reachable(FACTORS, rules)


OWN = ("password", "passkey", "totp", "recovery_code")
"""What a person can have enrolled; a mailed code needs no enrolling, and can be turned on."""


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), unique=True, min_size=1).map(tuple)


def is_meetable(rules: Rules) -> bool:
    """Whether `Rules.changed` and the endpoint that changes rules accept these rules."""
    return is_reachable(rules) and (rules.second != "always" or set(rules.second_among) != {"recovery_code"})


RULES = st.builds(
    Rules,
    first=some(FIRST),
    second=st.sampled_from(["never", "if_enrolled", "always"]),
    second_among=some(SECOND),
    least_acr=st.sampled_from(LEVELS),
    mailed_second_factor=st.sampled_from(["everybody", "enrolled", "at_once"]),
).filter(is_meetable)
PROOFS = st.lists(st.sampled_from(sorted(PROVABLE)), unique_by=lambda proof: proof.partition("+")[0]).map(tuple)
ENROLLED = st.frozensets(st.sampled_from((*OWN, MAILED)))
PURPOSE, FLOOR = st.sampled_from(PURPOSES), st.sampled_from(LEVELS)


def asked_acr(rules: Rules, floor: str) -> str:
    return max(floor, rules.least_acr, key=LEVELS.index)


# -- properties of every decision, reachable or not ------------------------------------------------


@given(RULES, PURPOSE, PROOFS, ENROLLED, FLOOR, st.booleans())
def test_every_decision_carries_its_reasons(
    rules: Rules, purpose: str, proofs: tuple[str, ...], has: frozenset[str], floor: str, remembered: bool
) -> None:
    decision = decide(rules, purpose, proofs, has, floor, is_remembered=remembered)
    assert decision.reason in {check.name for check in JOURNEYS[purpose].checks}
    assert CHECKS[decision.reason].why
    assert decide(rules, purpose, proofs, has, floor, is_remembered=remembered) == decision
    if isinstance(decision, Need):
        assert decision.ways
        assert all(way and set(way) <= {*FIRST, *SECOND} for way in decision.ways)
        assert decision.listed() == [list(way) for way in decision.ways]


@given(RULES, PURPOSE, PROOFS, ENROLLED, FLOOR)
def test_what_is_done_is_not_asked_for_again(
    rules: Rules, purpose: str, proofs: tuple[str, ...], has: frozenset[str], floor: str
) -> None:
    """Every proved factor is taken as enrolled, because removing a factor ends pending sign-ins. Only an undo asks for
    a new password after the old one was proved, once."""
    decision = decide(rules, purpose, proofs, has | factors(proofs) & {*OWN}, floor)
    if isinstance(decision, Need):
        is_new = purpose == "undo" and decision.enrol
        done = {proof for proof in proofs if proof.endswith("+new")} if is_new else proofs
        assert not any(decision.offers(one) for one in factors(done))


@given(RULES, PURPOSE, PROOFS, ENROLLED, FLOOR, st.sampled_from(sorted(PROVABLE)))
def test_enough_stays_enough(
    rules: Rules, purpose: str, proofs: tuple[str, ...], has: frozenset[str], floor: str, another: str
) -> None:
    before = decide(rules, purpose, proofs, has, floor)
    if not isinstance(before, Enough) or another.partition("+")[0] in factors(proofs):
        return
    after = decide(rules, purpose, (*proofs, another), has, floor)
    assert isinstance(after, Enough)
    assert is_at_least(after.acr, before.acr)
    assert set(after.amr) >= set(before.amr)


@given(RULES, st.sampled_from(["signin", "signup", "recovery"]), ENROLLED, FLOOR, st.booleans())
def test_an_unnamed_person_is_asked_for_the_tenants_list(
    rules: Rules, purpose: str, has: frozenset[str], floor: str, remembered: bool
) -> None:
    """The first decision does not depend on the person's factors or the level asked for, so that it does not reveal who
    has an account."""
    asked = decide(rules, purpose, (), has, floor, is_remembered=remembered)
    assert asked == decide(rules, purpose, ())
    assert isinstance(asked, Need)
    assert asked.ways == (tuple((way,) for way in rules.first) if purpose == "signin" else ((MAILED,),))
    assert not asked.enrol


@given(PROOFS, RULES, PURPOSE, ENROLLED)
def test_a_mailed_code_and_a_link_never_lift_the_level(
    proofs: tuple[str, ...], rules: Rules, purpose: str, has: frozenset[str]
) -> None:
    """NIST 800-63B-4 §3.1.3.1: email is not an out-of-band authenticator."""
    without = tuple(proof for proof in proofs if proof not in (MAILED, "link"))
    assert reached(proofs) == reached(without)
    for acr in LEVELS:
        assert meets(proofs, acr) == meets(without, acr)
    if set(proofs) <= {MAILED, "link", "password"} or set(proofs) <= {MAILED, "link", "totp", "recovery_code"}:
        assert reached(proofs) == AAL1, "one trait is one trait, however many steps show it"
    if isinstance(decision := decide(rules, purpose, proofs, has), Enough):
        assert is_at_least(reached(without), decision.acr)


@given(RULES, PURPOSE, PROOFS, ENROLLED, FLOOR, st.booleans())
def test_enough_meets_what_was_asked(
    rules: Rules, purpose: str, proofs: tuple[str, ...], has: frozenset[str], floor: str, remembered: bool
) -> None:
    decision = decide(rules, purpose, proofs, has, floor, is_remembered=remembered)
    if isinstance(decision, Enough):
        asked = asked_acr(rules, floor)
        assert proofs, "nobody gets in with nothing"
        assert is_at_least(decision.acr, asked)
        assert meets(proofs, decision.acr)
        assert decision.acr in (AAL1, AAL2, asked), "a stronger level is said only where it was asked for"
        assert set(decision.amr) == {word for proof in proofs for word in PROVABLE[proof].amr}
        assert len(set(decision.amr)) == len(decision.amr)


@given(RULES, PROOFS, ENROLLED, FLOOR)
def test_always_is_more_than_one_trait(rules: Rules, proofs: tuple[str, ...], has: frozenset[str], floor: str) -> None:
    """With `second="always"` a sign-in reaches AAL2 or, where the tenant's list has mailed codes, shows two factors."""
    rules = rules.model_copy(update={"second": "always"})
    if not is_meetable(rules):
        return
    for purpose in PURPOSES:
        if isinstance(decide(rules, purpose, proofs, has, floor), Enough):
            assert meets(proofs, AAL2) or shows_two(rules, proofs)
            assert len(factors(proofs)) > 1 or "passkey" in factors(proofs)


@given(RULES, PURPOSE, PROOFS, ENROLLED, FLOOR)
def test_a_remembered_browser_waives_what_is_asked_for_aal1_and_proves_nothing(
    rules: Rules, purpose: str, proofs: tuple[str, ...], has: frozenset[str], floor: str
) -> None:
    plain = decide(rules, purpose, proofs, has, floor)
    remembered = decide(rules, purpose, proofs, has, floor, is_remembered=True)
    if purpose != "signin" or asked_acr(rules, floor) != AAL1:
        assert remembered == plain
    elif remembered != plain:
        assert isinstance(plain, Need)
        assert not plain.enrol, "nothing that has to be set up is waived"
        assert isinstance(remembered, Enough)
        assert remembered.acr == (AAL2 if meets(proofs, AAL2) else AAL1)
        assert set(remembered.amr) == {word for proof in proofs for word in PROVABLE[proof].amr}
        assert factors(proofs) & {*rules.first, "link"}, "never the first factor"
        assert all(factor in has or factor == MAILED for way in plain.ways for factor in way)


@given(RULES, PROOFS, ENROLLED, FLOOR)
def test_recovery_sets_nothing_up_before_an_enrolled_factor_is_proved(
    rules: Rules, proofs: tuple[str, ...], has: frozenset[str], floor: str
) -> None:
    possessed = has & set(POSSESSION)
    if not possessed or rules.second == "never" or factors(proofs) & possessed:
        return
    decision = decide(rules, "recovery", proofs, has, floor)
    assert isinstance(decision, Need)
    assert not decision.enrol
    if factors(proofs) & {MAILED, "link"}:
        offered = {factor for way in decision.ways for factor in way}
        assert possessed <= offered <= possessed | set(WAYS_BACK)


BY_CHOICE = st.sampled_from(["enrolled", "at_once"])
"""Where people turn mailed codes on for themselves."""


@given(RULES, PURPOSE, PROOFS, ENROLLED, FLOOR, BY_CHOICE)
def test_a_mailed_code_stands_for_nothing_that_lasts(
    rules: Rules, purpose: str, proofs: tuple[str, ...], has: frozenset[str], floor: str, chosen: str
) -> None:
    """Where people turn mailed codes on, somebody with an app or a passkey of the tenant's list is never asked for one
    as the second factor, and never let in by one."""
    rules = rules.model_copy(update={"mailed_second_factor": chosen})
    lasting = has & set(rules.second_among) & {"totp", "passkey"}
    if rules.second == "never" or not lasting:
        return
    decision = decide(rules, purpose, proofs, has, floor)
    if isinstance(decision, Need) and decision.reason == "second_factor":
        assert not decision.offers(MAILED)
    if isinstance(decision, Enough):
        others = tuple(proof for proof in proofs if proof != MAILED)
        assert meets(others, AAL2) or shows_two(rules, proofs, but=frozenset({MAILED}))


@given(RULES, PROOFS, ENROLLED, BY_CHOICE)
def test_a_mailed_code_is_asked_of_those_who_turned_it_on(
    rules: Rules, proofs: tuple[str, ...], has: frozenset[str], chosen: str
) -> None:
    rules = rules.model_copy(update={"mailed_second_factor": chosen, "second": "if_enrolled"})
    decision = decide(rules, "signin", proofs, has)
    if isinstance(decision, Need) and decision.reason == "second_factor" and decision.offers(MAILED):
        assert MAILED in has
        assert MAILED in rules.second_among


@given(RULES, ENROLLED, st.lists(st.sampled_from([MAILED, "link", "recovery_code+mailed"]), unique=True).map(tuple))
def test_a_mailbox_alone_recovers_nothing_that_lasts(
    rules: Rules, has: frozenset[str], proofs: tuple[str, ...]
) -> None:
    """A backup code that was mailed shows no more than the mailbox that proved the address."""
    if rules.second == "never" or not has & {"totp", "passkey"}:
        return
    decision = decide(rules, "recovery", proofs, has)
    assert isinstance(decision, Need)
    assert not decision.enrol
    assert not {"recovery_code+mailed"} & set(proofs) or not decision.offers("recovery_code")


# -- properties of reachable sign-ins --------------------------------------------------------------


@dataclass
class Walk:
    """A pending sign-in of a person with the factors `has`, who is known after the first proof; in a step-up, at
    once."""

    rules: Rules
    purpose: str
    floor: str
    has: frozenset[str]
    proofs: tuple[str, ...] = ()
    is_remembered: bool = False
    lost: bool = False
    """In a recovery, two ways back remove the person's second factors, as `core/recovery` does."""

    @property
    def is_named(self) -> bool:
        return bool(self.proofs) or self.purpose == "step_up"

    def decided(self) -> Decision:
        mine = self.has if self.is_named else frozenset()
        return decide(self.rules, self.purpose, self.proofs, mine, self.floor, is_remembered=self.is_remembered)

    def ways(self) -> list[str]:
        """The factors that this person can answer now."""
        need = self.decided()
        if not isinstance(need, Need):
            return []
        offered = [factor for way in need.ways for factor in way]
        return offered if need.enrol else [way for way in offered if way in self.has or way == MAILED]

    def go(self, factor: str, bound: bool) -> None:
        need = self.decided()
        assert isinstance(need, Need)
        if need.enrol:
            self.has |= {factor}
        proof = f"{factor}+new" if need.enrol else "passkey+bound" if factor == "passkey" and bound else factor
        self.proofs = (*self.proofs, proof)
        ways_back = factors(self.proofs) & set(WAYS_BACK)
        if (
            self.purpose == "recovery"
            and self.lost
            and len(ways_back) > 1
            and not factors(self.proofs) & set(POSSESSION)
        ):
            self.has -= set(POSSESSION)


WALKS = st.builds(Walk, RULES, PURPOSE, FLOOR, ENROLLED, is_remembered=st.booleans(), lost=st.booleans())


def begun(walk: Walk, by_link: bool) -> None:
    if walk.purpose == "signup":
        walk.has = frozenset()
    if by_link and walk.purpose in ("signin", "recovery"):
        walk.proofs = ("link",)


@given(WALKS, st.booleans(), st.data())
def test_every_way_ends_soon_and_asks_only_for_what_is_there(walk: Walk, by_link: bool, data: st.DataObject) -> None:
    begun(walk, by_link)
    for _ in range(8):
        before = walk.decided()
        if not isinstance(before, Need):
            return
        offered = {factor for way in before.ways for factor in way}
        if before.enrol:
            replaced = {"password", "passkey"} if walk.purpose in ("recovery", "undo") else set()
            assert not offered & walk.has - replaced, "only a kind that the person has none of is set up"
            mine = walk.has & set(POSSESSION)
            if walk.purpose in ("signin", "step_up") and mine:
                assert factors(walk.proofs) & mine or meets(walk.proofs, AAL2), "what is enrolled was shown first"
            elif walk.purpose in ("signin", "step_up"):
                assert factors(walk.proofs) & {MAILED, "link"}, "a password alone adds nothing"
            if walk.purpose == "step_up":
                required = is_at_least(least(FACTORS, walk.rules), walk.floor)
                assert required or meets(walk.proofs, walk.floor), "a level that only the caller asks for adds nothing"
        elif walk.is_named:
            unknown = offered - walk.has - {MAILED}
            assert not unknown, "a named person is asked for nothing they do not have"
        ways = walk.ways()
        if not ways:
            return  # this person cannot continue: they have none of the first factors, or lost one and need an admin
        walk.go(data.draw(st.sampled_from(ways)), data.draw(st.booleans()))
    pytest.fail(f"still asked: {walk}")


@given(WALKS, st.booleans(), st.data())
def test_nobody_gets_past_what_they_have_by_one_trait(walk: Walk, by_link: bool, data: st.DataObject) -> None:
    """A person who has a second factor of the tenant's list gets in only by two factors, by a recovery in two ways, or
    from a remembered browser."""
    begun(walk, by_link)
    first_had = walk.has
    while ways := walk.ways():
        walk.go(data.draw(st.sampled_from(ways)), data.draw(st.booleans()))
    decision = walk.decided()
    asked_of = first_had & set(walk.rules.second_among) & set(POSSESSION)
    if not isinstance(decision, Enough) or walk.rules.second == "never" or not asked_of or walk.is_remembered:
        return
    done = factors(walk.proofs)
    went_back = walk.purpose == "recovery" and walk.lost and len(done & set(WAYS_BACK)) > 1
    assert meets(walk.proofs, AAL2) or shows_two(walk.rules, walk.proofs) or went_back


# -- the product's defaults ------------------------------------------------------------------------

Expected = tuple[list[list[str]], bool] | str
PASSWORD_AND_APP = frozenset({"password", "totp"})
ALL = frozenset(OWN)
TABLE: list[tuple[str, tuple[str, ...], frozenset[str], str, Expected]] = [
    ("signin", (), frozenset(), AAL1, ([["password"], ["passkey"]], False)),
    ("signin", ("password",), frozenset({"password"}), AAL1, AAL1),
    ("signin", ("passkey",), frozenset({"passkey"}), AAL1, AAL2),
    ("signin", ("passkey+bound",), frozenset({"passkey"}), AAL3, AAL3),
    ("signin", ("passkey",), frozenset({"passkey"}), PHR, PHR),
    ("signin", ("password",), PASSWORD_AND_APP, AAL1, ([["totp"]], False)),
    ("signin", ("password",), ALL, AAL1, ([["passkey"], ["totp"], ["recovery_code"]], False)),
    ("signin", ("password",), ALL, PHR, ([["passkey"]], False)),
    ("signin", ("password", "totp"), PASSWORD_AND_APP, AAL1, AAL2),
    ("signin", ("password", "recovery_code"), ALL, AAL2, AAL2),
    ("signin", ("email_code",), frozenset({"password"}), AAL1, ([["password"], ["passkey"]], False)),
    ("signin", ("link",), frozenset({"password"}), AAL1, AAL1),
    ("signin", ("link",), PASSWORD_AND_APP, AAL1, ([["totp"]], False)),
    ("signin", ("password",), frozenset({"password"}), AAL2, ([["email_code"]], False)),
    ("signin", ("password", "email_code"), frozenset({"password"}), AAL2, ([["passkey"], ["totp"]], True)),
    ("signup", (), frozenset(), AAL1, ([["email_code"]], False)),
    ("signup", ("email_code",), frozenset(), AAL1, ([["password"], ["passkey"]], True)),
    ("signup", ("email_code", "password"), frozenset({"password"}), AAL1, AAL1),
    ("signup", ("email_code", "passkey"), frozenset({"passkey"}), AAL1, AAL2),
    ("recovery", (), frozenset(), AAL1, ([["email_code"]], False)),
    ("recovery", ("email_code",), frozenset({"password"}), AAL1, ([["password"]], True)),
    ("recovery", ("email_code",), PASSWORD_AND_APP, AAL1, ([["totp"], ["password"]], False)),
    ("recovery", ("link",), frozenset({"passkey"}), AAL1, ([["passkey"], ["email_code"]], False)),
    ("recovery", ("email_code", "totp"), PASSWORD_AND_APP, AAL1, ([["password"]], True)),
    ("recovery", ("email_code", "totp", "password"), PASSWORD_AND_APP, AAL1, AAL2),
    ("step_up", (), PASSWORD_AND_APP, AAL2, ([["password"]], False)),
    ("step_up", (), ALL, PHR, ([["password"], ["passkey"]], False)),
    ("step_up", (), frozenset({"password"}), AAL1, ([["password"]], False)),
    ("step_up", (), frozenset({"password"}), AAL2, "refuse"),
    ("step_up", (), PASSWORD_AND_APP, PHR, "refuse"),
    ("step_up", ("password",), PASSWORD_AND_APP, AAL2, ([["totp"]], False)),
    ("step_up", ("passkey",), ALL, AAL2, AAL2),
]


@pytest.mark.parametrize(("purpose", "proofs", "has", "floor", "expected"), TABLE)
def test_the_defaults(
    purpose: str, proofs: tuple[str, ...], has: frozenset[str], floor: str, expected: Expected
) -> None:
    decision = decide(Rules(), purpose, proofs, has, floor)
    match decision:
        case Need():
            assert (decision.listed(), decision.enrol) == expected
        case Enough():
            assert decision.acr == expected
        case Refuse():
            assert expected == "refuse"


# -- mailed codes ----------------------------------------------------------------------------------


def test_a_backup_code_that_was_mailed_is_worth_its_mailbox() -> None:
    mailed = ("password", "recovery_code+mailed")
    assert (reached(("password", "recovery_code")), reached(mailed)) == (AAL2, AAL1)
    entered = decide(Rules(), "signin", mailed, PASSWORD_AND_APP | {"recovery_code"})
    assert isinstance(entered, Enough)
    assert entered.acr == AAL1
    alone = decide(
        Rules(), "recovery", ("email_code", "recovery_code+mailed"), frozenset({"password", "recovery_code"})
    )
    assert isinstance(alone, Need)
    assert (alone.listed(), alone.enrol) == ([["password"]], True), "it stands for itself"
    undone = ("email_code", "recovery_code+mailed")
    has = frozenset({"totp", "recovery_code"})
    journey, demanded = JOURNEYS["undo"], frozenset({"totp"})
    asked = policy.decide(FACTORS, Rules(), journey, undone, has, demanded=demanded)
    assert isinstance(asked, Need)
    assert asked.listed() == [["totp"]]


BY_MAIL = Rules(second_among=("totp", "recovery_code", "email_code"), mailed_second_factor="enrolled")
MAILED_TABLE: list[tuple[tuple[str, ...], frozenset[str], Expected]] = [
    (("password",), frozenset({"password"}), AAL1),
    (("password",), frozenset({"password", MAILED}), ([[MAILED]], False)),
    (("password",), frozenset({"password", MAILED, "recovery_code"}), ([["recovery_code"], [MAILED]], False)),
    (("password", MAILED), frozenset({"password", MAILED}), AAL1),
    (("password",), frozenset({"password", MAILED, "totp"}), ([["totp"]], False)),
    (("password", MAILED), frozenset({"password", MAILED, "totp"}), ([["totp"]], False)),
    (("email_code+link", "password"), frozenset({"password", MAILED, "totp"}), ([["totp"]], False)),
    (("password", "totp"), frozenset({"password", MAILED, "totp"}), AAL2),
    # A passkey is no second factor of this list, so it does not stand before the mailed code.
    (("password",), frozenset({"password", MAILED, "passkey"}), ([[MAILED]], False)),
]


@pytest.mark.parametrize("chosen", ["enrolled", "at_once"])
@pytest.mark.parametrize(("proofs", "has", "expected"), MAILED_TABLE)
def test_who_is_asked_for_a_mailed_code(
    proofs: tuple[str, ...], has: frozenset[str], expected: Expected, chosen: str
) -> None:
    decision = decide(BY_MAIL.model_copy(update={"mailed_second_factor": chosen}), "signin", proofs, has)
    if isinstance(decision, Need):
        assert (decision.listed(), decision.enrol) == expected
    else:
        assert isinstance(decision, Enough)
        assert decision.acr == expected


def test_mailed_codes_are_no_new_way_in() -> None:
    """They are turned on in a session, and never set up on the way."""
    for purpose in ("recovery", "undo", "signin", "signup"):
        for proofs in (("link",), ("link", "email_code"), ("email_code",), ("password",)):
            for second in ("if_enrolled", "always"):
                rules = Rules(first=(MAILED,), second=second, second_among=(MAILED, "totp"))
                decision = decide(rules.model_copy(update={"mailed_second_factor": "enrolled"}), purpose, proofs)
                is_asked_for = isinstance(decision, Need) and decision.enrol and decision.offers(MAILED)
                assert not is_asked_for or purpose == "signup", (purpose, proofs)


def test_where_everybody_needs_a_second_factor_a_mailed_code_is_the_last_one() -> None:
    always = BY_MAIL.model_copy(update={"second": "always"})
    asked = decide(always, "signin", ("password",), frozenset({"password"}))
    assert isinstance(asked, Need)
    assert (asked.listed(), asked.enrol) == ([[MAILED]], False)
    with_app = decide(always, "signin", ("password", MAILED), PASSWORD_AND_APP)
    assert isinstance(with_app, Need)
    assert with_app.listed() == [["totp"]]


@example(Rules(first=("password", MAILED), second="always", second_among=(MAILED,)), frozenset({"password"}), AAL1)
@given(RULES, ENROLLED, FLOOR)
def test_a_step_up_offers_nothing_that_leads_nowhere(rules: Rules, has: frozenset[str], floor: str) -> None:
    """Where one of its ways leads on, all of them do, by the best that each factor can prove."""
    decision = decide(rules, "step_up", (), has, floor)
    if not isinstance(decision, Need):
        return
    after = [decide(rules, "step_up", (FACTORS[name].best_proof,), has, floor) for [name] in decision.ways]
    refused = [isinstance(one, Refuse) for one in after]
    assert all(refused) or not any(refused)


def test_a_passkey_that_is_no_second_factor_is_not_counted_on() -> None:
    """Behind a password it would not be asked for."""
    rules, has = Rules(second_among=("totp", "recovery_code")), frozenset({"password", "passkey"})
    decision = decide(rules, "step_up", (), has, AAL2)
    assert isinstance(decision, Need)
    assert decision.listed() == [["passkey"]]


# -- remembered browsers, forced factors, levels ---------------------------------------------------


def test_a_remembered_browser_by_default() -> None:
    for has in (PASSWORD_AND_APP, ALL):
        waived = decide(Rules(), "signin", ("password",), has, is_remembered=True)
        assert isinstance(waived, Enough)
        assert (waived.amr, waived.acr) == (("pwd",), AAL1)
        assert isinstance(decide(Rules(), "signin", ("password",), has, AAL2, is_remembered=True), Need)
        assert isinstance(decide(Rules(), "step_up", ("password",), has, AAL2, is_remembered=True), Need)


def test_where_a_second_factor_is_always_asked_for() -> None:
    rules = Rules(second="always", second_among=("passkey", "totp"))
    for purpose in ("signin", "step_up"):
        first = decide(rules, purpose, ("password",), frozenset({"password"}))
        assert isinstance(first, Need)
        assert (first.listed(), first.enrol, first.reason) == ([[MAILED]], False, "address_before_second")
        asked = decide(rules, purpose, ("password", MAILED), frozenset({"password"}))
        assert isinstance(asked, Need)
        assert (asked.listed(), asked.enrol) == ([["passkey"], ["totp"]], True)
    displayed = decide(rules, "signin", ("password",), frozenset({"password", "recovery_code"}))
    assert isinstance(displayed, Need)
    assert (displayed.listed(), displayed.enrol) == ([["recovery_code"]], False)
    create = decide(rules, "signup", ("email_code", "password"), frozenset({"password"}))
    assert isinstance(create, Need)
    assert create.enrol
    mailed = decide(Rules(second="always", second_among=(MAILED,)), "signin", ("password", MAILED))
    assert isinstance(mailed, Enough)
    assert mailed.acr == AAL1


@pytest.mark.parametrize(
    ("has", "level"),
    [
        ((), AAL1),
        (("password",), AAL1),
        (("totp",), AAL1),
        (("password", "recovery_code"), AAL1),
        (("totp", "recovery_code"), AAL1),
        (("password", "totp"), AAL2),
        (("passkey",), AAL2),
        (OWN, AAL2),
    ],
)
def test_what_is_asked_of_a_person_before_factors_change_hands(has: tuple[str, ...], level: str) -> None:
    assert own_level(frozenset(has)) == level
    assert own_level(frozenset({*has, "of a later version"})) == level


def test_an_unknown_level_is_none() -> None:
    assert not is_at_least("urn:nobody", AAL1)
    assert not is_at_least(AAL3, "urn:nobody")
    assert reached(("of a later version",)) == AAL1
