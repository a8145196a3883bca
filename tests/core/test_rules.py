"""A tenant's rules as data: how they are stored, and with which code each invalid field is refused.

What the rules demand of a person is tested in test_policy.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passgate.core import policy
from passgate.core.factors import FACTORS
from passgate.core.rules import AAL2, AAL3, LEVELS, PHR, Rules, weak_passwords
from passgate.errors import Invalid


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), unique=True, min_size=1)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "first": some(FACTORS.first),
        "second": st.sampled_from(["never", "if_enrolled", "always"]),
        "second_among": some(FACTORS.second),
        "least_acr": st.sampled_from(LEVELS),
        "max_age": st.integers(0, 86_400),
        "mailed_second_factor": st.sampled_from(["everybody", "enrolled", "at_once"]),
        "password_checks": st.sampled_from(["full", "length"]),
        "password_alone": st.integers(6, 64),
        "password_beside": st.integers(8, 64),
        "totp_window": st.integers(0, 2),
        "totp_at_once": st.booleans(),
        "totp_shown_again": st.booleans(),
        "recovery_codes": st.fixed_dictionaries({"count": st.integers(5, 16), "mailed": st.booleans()}),
        "passkey_counter": st.sampled_from(["refuse", "note"]),
        "remember_days": st.integers(0, 365),
    },
)


@given(CHANGES)
def test_what_a_tenant_keeps_is_read_again(change: dict[str, object]) -> None:
    try:
        rules = Rules().changed(change, FACTORS)
    except Invalid as refused:
        assert refused.fields == {"second_among": "value"}
        assert (change.get("second"), change.get("second_among")) == ("always", ["recovery_code"])
        return
    assert Rules.from_json(rules.to_json(), FACTORS) == rules
    assert Rules.from_json(rules.differences(), FACTORS) == rules
    assert all(rules.to_json()[name] == value for name, value in change.items())
    default = Rules().to_json()
    stored = {name: value for name, value in rules.to_json().items() if value != default[name]}
    if codes := stored.get("recovery_codes"):
        was = default["recovery_codes"]
        stored["recovery_codes"] = {member: value for member, value in codes.items() if value != was[member]}
    assert rules.differences() == stored
    assert Rules().changed({}, FACTORS) == Rules()
    assert rules.changed({}, FACTORS) == rules


FAULTS: list[tuple[str, object, str]] = [
    ("first", "password", "type"),
    ("first", None, "type"),
    ("first", [1], "type"),
    ("first", [["password"]], "type"),
    ("first", [], "value"),
    ("first", ["totp"], "value"),
    ("first", ["recovery_code"], "value"),
    ("first", ["password", "password"], "value"),
    ("first", ["Password"], "value"),
    ("first", {}, "type"),
    ("second_among", [], "value"),
    ("second_among", ["password"], "value"),
    ("second_among", "totp", "type"),
    ("second_among", ["totp", "totp"], "value"),
    ("second_among", ["browser"], "value"),
    ("second", "sometimes", "value"),
    ("second", None, "value"),
    ("second", True, "value"),
    ("second", [], "value"),
    ("least_acr", "aal2", "value"),
    ("least_acr", "", "value"),
    ("least_acr", 2, "value"),
    ("passkey_counter", "off", "value"),
    ("passkey_counter", {}, "value"),
    ("max_age", -1, "value"),
    ("max_age", 86_401, "value"),
    ("max_age", "300", "type"),
    ("max_age", True, "type"),
    ("max_age", 1.0, "type"),
    ("max_age", None, "type"),
    ("password_alone", 5, "value"),
    ("password_alone", 65, "value"),
    ("password_checks", "none", "value"),
    ("password_checks", None, "value"),
    ("mailed_second_factor", "nobody", "value"),
    ("mailed_second_factor", True, "value"),
    ("totp_shown_again", 1, "type"),
    ("recovery_codes", None, "type"),
    ("recovery_codes", 10, "type"),
    ("recovery_codes", [], "type"),
    ("password_beside", 7, "value"),
    ("password_beside", "8", "type"),
    ("totp_window", 3, "value"),
    ("totp_window", -1, "value"),
    ("totp_window", False, "type"),
    ("remember_days", 366, "value"),
    ("remember_days", -1, "value"),
    ("totp_at_once", 1, "type"),
    ("totp_at_once", "true", "type"),
    ("totp_at_once", None, "type"),
    ("nonsense", 1, "unknown"),
    ("", 1, "unknown"),
    ("First", ["password"], "unknown"),
]


@pytest.mark.parametrize(("field", "value", "word"), FAULTS)
def test_each_fault_has_its_word(field: str, value: object, word: str) -> None:
    with pytest.raises(Invalid) as refused:
        Rules().changed({field: value, "second": "always"} if field != "second" else {field: value}, FACTORS)
    assert refused.value.fields == {field: word}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"count": 4}, {"recovery_codes.count": "value"}),
        ({"count": 17}, {"recovery_codes.count": "value"}),
        ({"count": "10"}, {"recovery_codes.count": "type"}),
        ({"count": True}, {"recovery_codes.count": "type"}),
        ({"count": None, "mailed": 1}, {"recovery_codes.count": "type", "recovery_codes.mailed": "type"}),
        ({"more": 1}, {"recovery_codes.more": "unknown"}),
    ],
)
def test_members_of_a_field_have_faults_of_their_own(given: dict[str, object], fields: dict[str, str]) -> None:
    with pytest.raises(Invalid) as refused:
        Rules().changed({"recovery_codes": given}, FACTORS)
    assert refused.value.fields == fields


def test_members_that_are_left_out_stay() -> None:
    rules = Rules().changed({"recovery_codes": {"mailed": True}}, FACTORS)
    more = rules.changed({"recovery_codes": {"count": 5}}, FACTORS)
    assert (more.recovery_codes.count, more.recovery_codes.mailed) == (5, True)
    assert rules.changed({"recovery_codes": {}}, FACTORS) == rules
    stored = {"recovery_codes": {"count": 7, "of a later version": 1}}
    assert Rules.from_json(stored, FACTORS).recovery_codes.count == 7
    assert not Rules.from_json(stored, FACTORS).recovery_codes.mailed


@pytest.mark.parametrize(
    ("stored", "fields"),
    [
        ({}, []),
        ({"password_alone": 15, "password_checks": "full"}, []),
        ({"password_alone": 14}, ["password_alone"]),
        ({"password_beside": 8}, []),
        ({"password_beside": 7}, ["password_beside"]),
        ({"password_checks": "length"}, ["password_checks"]),
        ({"password_checks": "of a later version"}, ["password_checks"]),
        ({"password_alone": 6, "password_checks": "length"}, ["password_alone", "password_checks"]),
    ],
)
def test_what_only_development_may_have(stored: dict[str, object], fields: list[str]) -> None:
    assert [one.field for one in weak_passwords(stored)] == fields
    served = Rules.from_json(stored, FACTORS).in_production()
    assert weak_passwords(served.to_json()) == []
    assert Rules(password_alone=20).in_production() == Rules(password_alone=20)


def test_all_faults_are_reported_at_once_without_their_values() -> None:
    with pytest.raises(Invalid) as refused:
        Rules().changed({"first": [], "max_age": "no", "x" * 300: 1, "totp_window": 1}, FACTORS)
    assert refused.value.fields == {"first": "value", "max_age": "type", "x" * 40: "unknown"}


def test_nobody_is_always_asked_for_what_cannot_be_set_up() -> None:
    for rules in (Rules(), Rules(second="always")):
        with pytest.raises(Invalid) as refused:
            rules.changed({"second": "always", "second_among": ["recovery_code"]}, FACTORS)
        assert refused.value.fields == {"second_among": "value"}
    assert Rules().changed({"second": "always", "second_among": ["email_code"]}, FACTORS).second == "always"
    with pytest.raises(Invalid):
        Rules(second_among=("recovery_code",)).changed({"second": "always"}, FACTORS)


def test_no_tenant_shuts_itself_out() -> None:
    assert policy.is_reachable(FACTORS, Rules())
    assert policy.is_reachable(FACTORS, Rules(least_acr=AAL3))
    assert not policy.is_reachable(FACTORS, Rules(first=("password",), second_among=("totp",), least_acr=PHR))
    assert not policy.is_reachable(
        FACTORS, Rules(first=("email_code",), second_among=("totp", "recovery_code"), least_acr=AAL2)
    )
    assert not policy.is_reachable(
        FACTORS, Rules(first=("email_code", "password"), second_among=("email_code",), least_acr=AAL2)
    )


def test_values_of_a_later_version_are_ignored() -> None:
    assert Rules.from_json({}, FACTORS) == Rules()
    result = Rules.from_json({"first": ["password"], "second": "never", "of a later version": 1}, FACTORS)
    assert result == Rules(first=("password",), second="never")


@pytest.mark.parametrize(
    ("rules", "shortest"),
    [
        (Rules(second="never"), 15),
        (Rules(), 15),
        (Rules(second="always"), 15),
        (Rules(second="always", remember_days=0), 8),
        (Rules(second="if_enrolled", remember_days=0), 15),
        (Rules(second="always", remember_days=0, second_among=("totp", "email_code")), 15),
        (Rules(second="always", remember_days=0, password_beside=12), 12),
        (Rules(password_alone=20), 20),
    ],
)
def test_a_password_that_stands_alone_is_longer(rules: Rules, shortest: int) -> None:
    """NIST SP 800-63B-4 §3.1.1.2: a password that is the only factor must be longer. A mailed code does not count as a
    second factor here, and where browsers may be remembered the password counts as the only one."""
    assert rules.shortest_password(FACTORS) == shortest
