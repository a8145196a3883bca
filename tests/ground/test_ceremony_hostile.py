"""Answers that no browser sends: members missing, of another type or truncated, and random data.

Each is refused with `Unproved` or changes nothing. Well-formed answers with a false value are tested in test_ceremony.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from passgate.ceremony import Asserted, Registered, Unproved, named
from tests.authenticator import OMIT, Authenticator, b64, unb64
from tests.ground.ceremonies import ORIGIN, creation, enrolled, refusal, register, request, sign_in

EXAMPLES = settings(max_examples=150, deadline=None, derandomize=True)
ONE, SUPPORTED = enrolled()
CREATED = Authenticator(fmt="packed").create(creation(), ORIGIN)
GOT = ONE.get(request(), ORIGIN)
REGISTERED = register(CREATED)
ASSERTED = sign_in(GOT, SUPPORTED)

MEMBERS = ("id", "rawId", "type", "response", "authenticatorAttachment", "clientExtensionResults")
CREATE_MEMBERS = [*MEMBERS, *(f"response.{name}" for name in CREATED["response"])]
GET_MEMBERS = [*MEMBERS, *(f"response.{name}" for name in GOT["response"])]
UNREAD = {"response.authenticatorData", "response.publicKey", "response.publicKeyAlgorithm"}
"""Copies of values in the attestation object, for pages that cannot parse it; we read the original."""
OTHERS: list[object] = [OMIT, None, 0, -1, 1.5, True, False, "", "x", "\ud800", "\0", [], [[]], [{}], {}, {"": None}]


def changed(answer: dict[str, Any], member: str, value: object) -> dict[str, Any]:
    made = copy.deepcopy(answer)
    *inside, name = member.split(".")
    of = made["response"] if inside else made
    if value is OMIT:
        del of[name]
    else:
        of[name] = value
    return made


def cut(value: Any) -> list[object]:
    """The value without its last element, its second half or its first element."""
    return [value[:-1], value[: len(value) // 2], value[1:]] if isinstance(value, str | list) else []


def at(answer: dict[str, Any], member: str) -> Any:
    for name in member.split("."):
        answer = answer[name]
    return answer


def is_passed(member: str, value: object) -> bool:
    """Hints may be left out and may have any value of their type."""
    match member:
        case "authenticatorAttachment":
            return value is OMIT or value is None or isinstance(value, str)
        case "clientExtensionResults":
            return value is OMIT or isinstance(value, dict)
        case "response.transports":
            return value is OMIT or isinstance(value, list)
        case _:
            return False


# -- every member ----------------------------------------------------------------------------------


def test_the_kit_knows_every_member() -> None:
    assert set(CREATED) == set(GOT) == set(MEMBERS)
    assert len(CREATE_MEMBERS) == len(MEMBERS) + 6
    assert len(GET_MEMBERS) == len(MEMBERS) + 4


@pytest.mark.parametrize("member", CREATE_MEMBERS)
def test_each_member_of_a_registration(member: str) -> None:
    for value in [*OTHERS, *cut(at(CREATED, member))]:
        answer = changed(CREATED, member, value)
        if member in UNREAD or is_passed(member, value):
            made = register(answer)
            if member == "response.transports":
                assert set(made.transports) <= set(REGISTERED.transports)
                made = dataclasses.replace(made, transports=REGISTERED.transports)
            assert made == REGISTERED, value
        else:
            assert refusal(register, answer), value


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("member", GET_MEMBERS)
def test_each_member_of_a_sign_in(member: str, is_named: bool) -> None:
    for value in [*OTHERS, *cut(at(GOT, member))]:
        answer = changed(GOT, member, value)
        absent = is_named and member == "response.userHandle" and (value is OMIT or value is None)
        if absent or is_passed(member, value):
            assert sign_in(answer, SUPPORTED, is_named=is_named) == ASSERTED, value
        else:
            assert refusal(sign_in, answer, SUPPORTED, is_named=is_named), value


def test_transports_are_those_we_know() -> None:
    given = ["usb", "telepathy", None, {"usb": 1}, ["nfc"], "internal", "usb", "<script>", 7]
    assert register(changed(CREATED, "response.transports", given)).transports == ("internal", "usb")


def test_members_that_nobody_knows_change_nothing() -> None:
    more = {"next": [1], "__proto__": {}, "signature": 7, "": None}
    assert register(CREATED | more | {"response": CREATED["response"] | more}) == REGISTERED
    more = {"next": [1], "attestationObject": 7}
    assert sign_in(GOT | more | {"response": GOT["response"] | more}, SUPPORTED) == ASSERTED


@pytest.mark.parametrize("fmt", ["none", "packed"])
@pytest.mark.parametrize("member", ["fmt", "attStmt", "authData"])
def test_each_member_of_an_attestation(member: str, fmt: str) -> None:
    """Without attestation the statement is not read, so an unusual one may also pass and change nothing."""
    answer = Authenticator().create(creation(), ORIGIN, fmt=fmt)
    honest = register(answer)
    whole = cbor2.loads(unb64(answer["response"]["attestationObject"]))
    for value in [
        OMIT,
        None,
        0,
        1.5,
        True,
        "",
        "x",
        b"",
        b"x",
        [],
        {},
        {"x": 1},
        {"sig": b""},
        {"x5c": []},
        {"alg": 1},
    ]:
        made = {name: was for name, was in (whole | {member: value}).items() if was is not OMIT}
        odd = changed(answer, "response.attestationObject", b64(cbor2.dumps(made)))
        if (fmt, member) == ("none", "attStmt"):
            assert outcome(odd) in {honest, "ceremony"}
        elif member == "fmt" and isinstance(value, str):  # of an unknown format the statement is left out
            assert outcome(odd) == honest
        else:
            assert refusal(register, odd) == "ceremony", value


def outcome(answer: object) -> Registered | str:
    """The result, or the reason of `Unproved`. Any other exception fails the test."""
    try:
        return register(answer)
    except Unproved as refused:
        return refused.reason


def assertion(answer: object) -> Asserted | str:
    try:
        return sign_in(answer, SUPPORTED)
    except Unproved as refused:
        return refused.reason


# -- random data -----------------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@given(JSON)
@EXAMPLES
@example(list(itertools.repeat({}, 3)))
@example("public-key")
def test_any_json_is_refused(answer: object) -> None:
    assert refusal(register, answer) == "shape"
    assert refusal(sign_in, answer, SUPPORTED) == "shape"
    assert named(answer) is None


@given(st.sampled_from(CREATE_MEMBERS), JSON)
@EXAMPLES
def test_any_json_in_a_member_of_a_registration(member: str, value: object) -> None:
    made = outcome(changed(CREATED, member, value))
    assert isinstance(made, str) or dataclasses.replace(made, transports=REGISTERED.transports) == REGISTERED


@given(st.sampled_from(GET_MEMBERS), JSON)
@EXAMPLES
def test_any_json_in_a_member_of_a_sign_in(member: str, value: object) -> None:
    made = assertion(changed(GOT, member, value))
    assert isinstance(made, str) or made == ASSERTED
    assert named(changed(GOT, member, value)) in {None, SUPPORTED.id}


@given(st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "userHandle"]), st.binary(max_size=5000))
@EXAMPLES
def test_any_bytes_in_a_sign_in_are_refused(member: str, raw: bytes) -> None:
    assert refusal(sign_in, changed(GOT, f"response.{member}", b64(raw)), SUPPORTED)


@given(st.sampled_from(["clientDataJSON", "attestationObject"]), st.binary(max_size=5000))
@EXAMPLES
def test_any_bytes_in_a_registration_are_refused(member: str, raw: bytes) -> None:
    assert refusal(register, changed(CREATED, f"response.{member}", b64(raw)))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x81" * 24_000,  # nested lists
        b"\xc2" * 24_000,  # nested tags
        b"\xbf" * 24_000,
        bytes.fromhex("5bffffffffffffffff"),  # a byte string of 16 exabytes
        bytes.fromhex("9bffffffffffffffff"),
        bytes.fromhex("bbffffffffffffffff"),
        bytes.fromhex("d81d00"),  # a reference to nothing
        bytes.fromhex("d81c81d81d00"),  # a list that contains itself
        bytes.fromhex("c482193fff01"),  # a decimal fraction of 16383 digits
        bytes.fromhex("d8238128"),  # a regular expression
    ],
)
def test_cbor_that_is_a_trap_is_refused(raw: bytes) -> None:
    assert refusal(register, changed(CREATED, "response.attestationObject", b64(raw))) == "ceremony"
    honest = cbor2.loads(unb64(CREATED["response"]["attestationObject"]))
    for trapped in (honest | {"authData": honest["authData"][:87] + raw}, honest | {"attStmt": {"sig": raw}}):
        trap = changed(CREATED, "response.attestationObject", b64(cbor2.dumps(trapped)))
        assert refusal(register, trap) == "ceremony"


PARTS = st.none() | st.integers(-300, 300) | st.binary(max_size=300) | st.text(max_size=20)
STATEMENT = st.fixed_dictionaries(
    {},
    optional={
        "sig": PARTS,
        "alg": st.sampled_from([-7, -8, -257, -65535]) | PARTS,
        "x5c": st.lists(st.binary(max_size=300), max_size=3) | PARTS,
        "ver": st.sampled_from(["2.0", "1"]) | PARTS,
        "response": st.sampled_from([b"e30.e30.e30", b"..", b"e30"]) | PARTS,
        "certInfo": st.binary(max_size=300).map(lambda raw: b"\xff\x54\x43\x47\x80\x17" + raw) | PARTS,
        "pubArea": st.binary(max_size=300).map(lambda raw: b"\0\x23\0\x0b" + raw) | PARTS,
    },
)
CHECKED = ["packed", "fido-u2f"]
FORMATS = [*CHECKED, "tpm", "android-key", "android-safetynet", "apple", "compound"]


@given(st.sampled_from(FORMATS), STATEMENT)
@EXAMPLES
def test_no_statement_of_any_format_does_more_than_be_refused(fmt: str, statement: dict[str, Any]) -> None:
    """We ask for no attestation, but a client can send any. A statement that signs what it says is checked; any other
    is left out, so that it neither vouches for anything nor locks anybody out."""
    honest = cbor2.loads(unb64(CREATED["response"]["attestationObject"]))
    made = cbor2.dumps(honest | {"fmt": fmt, "attStmt": statement})
    sent = changed(CREATED, "response.attestationObject", b64(made))
    assert outcome(sent) == ("ceremony" if fmt in CHECKED else REGISTERED)
