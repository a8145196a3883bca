"""The two passkey ceremonies: honest answers pass, and an answer with one false value is refused with the right reason.

Malformed answers are tested in test_ceremony_hostile, W3C's vectors in test_ceremony_vectors. Endpoints are not used
here.
"""

from __future__ import annotations

import uuid
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from passgate.ceremony import ALGORITHMS, Asserted, Registered, Unproved, challenge_of, named
from tests.authenticator import NUMBERS, OMIT, Algorithm, Authenticator, NotAllowed, b64, cose_key, new_key, unb64
from tests.ground.ceremonies import KNOWN, NEW, ORIGIN, creation, enrolled, refusal, register, request, sign_in

EVERY = list(NUMBERS)
PASSED = Asserted(counter=0, is_backed_up=True)


def flip(raw: bytes, bit: int) -> bytes:
    made = bytearray(raw)
    made[bit // 8] ^= 1 << bit % 8
    return bytes(made)


# -- honest answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["none", "packed"])
@pytest.mark.parametrize("alg", EVERY)
def test_each_algorithm_goes_round(alg: Algorithm, fmt: str) -> None:
    aaguid = uuid.uuid4()
    one, stored = enrolled(alg=alg, fmt=fmt, aaguid=aaguid.bytes, counter=7, step=2, transports=("usb", "nfc", "usb"))
    assert stored.id == one.credentials[0].id
    assert stored.public_key == cose_key(one.credentials[0].key)
    assert (stored.counter, stored.aaguid, stored.transports) == (7, str(aaguid), ("nfc", "usb"))
    assert (stored.is_synced, stored.is_backed_up) == (True, True)
    answer = one.get(request(), ORIGIN)
    assert named(answer) == stored.id
    assert sign_in(answer, stored) == Asserted(counter=9, is_backed_up=True)
    assert sign_in(one.get(request(stored.id), ORIGIN), stored, is_named=True) == Asserted(11, is_backed_up=True)


def test_what_we_offer_is_what_the_authenticator_speaks() -> None:
    assert tuple(NUMBERS.values()) == ALGORITHMS


@pytest.mark.parametrize(("be", "bs"), [(False, False), (True, False), (True, True)])
def test_a_changed_backup_flag_is_recorded(be: bool, bs: bool) -> None:
    one, stored = enrolled(be=be, bs=bs)
    assert (stored.is_synced, stored.is_backed_up) == (be, bs)
    assert sign_in(one.get(request(), ORIGIN), stored).is_backed_up is bs


def test_a_backup_may_come_and_go() -> None:
    one, stored = enrolled(be=True, bs=False)
    assert sign_in(one.get(request(), ORIGIN, bs=True), stored).is_backed_up is True
    assert sign_in(one.get(request(), ORIGIN), stored).is_backed_up is False


def test_the_counter_is_reported_and_not_judged() -> None:
    """The tenant's policy decides what a counter means that did not increase."""
    one, stored = enrolled(counter=50)
    assert [sign_in(one.get(request(), ORIGIN, counter=result), stored).counter for result in (50, 3, 0)] == [50, 3, 0]


def test_one_authenticator_holds_several() -> None:
    one, first = enrolled()
    with pytest.raises(NotAllowed, match="InvalidStateError"):
        one.create(creation(first.id), ORIGIN)
    second = register(one.create(creation(), ORIGIN))
    assert named(one.get(request(), ORIGIN)) == second.id
    assert sign_in(one.get(request(first.id), ORIGIN), first) == PASSED
    assert refusal(sign_in, one.get(request(first.id), ORIGIN), second) == "ceremony"
    with pytest.raises(NotAllowed, match="NotAllowedError"):
        one.get(request(b"somebody else's"), ORIGIN)
    with pytest.raises(NotAllowed, match="NotAllowedError"):
        one.get(request() | {"rpId": "example.net"}, ORIGIN)


def test_an_older_browser_sends_no_frame_fields() -> None:
    one = Authenticator()
    stored = register(one.create(creation(), ORIGIN, cross_origin=OMIT))
    assert sign_in(one.get(request(), ORIGIN, cross_origin=OMIT), stored) == PASSED


# -- one false value in either ceremony ------------------------------------------------------------

DOUBLED = b'{"type":"webauthn.create","type":"webauthn.get",'
FRAMES: list[object] = [True, "false", "", 0, None, [], {}]
CLIENT_DATA: list[tuple[dict[str, Any], str]] = [
    ({"type": "webauthn.other"}, "type"),
    ({"type": OMIT}, "type"),
    ({"type": None}, "type"),
    ({"type": ["webauthn.create"]}, "type"),
    ({"type": "payment.get"}, "type"),
    ({"challenge": b"x" * 32}, "challenge"),
    ({"challenge": NEW[:-1]}, "challenge"),
    ({"challenge": KNOWN[:-1]}, "challenge"),
    ({"challenge": b""}, "challenge"),
    ({"challenge": b64(NEW) + "="}, "challenge"),
    ({"challenge": b64(KNOWN) + "="}, "challenge"),
    ({"challenge": None}, "challenge"),
    ({"challenge": OMIT}, "challenge"),
    *(
        ({"origin": origin}, "origin")
        for origin in (
            "https://id.example.org.evil.example",
            "https://evil-id.example.org",
            "https://evil.example",
            "https://example.org",
            "http://id.example.org",
            "https://id.example.org:8443",
            "https://id.example.org:443",
            "https://id.example.org/",
            "https://ID.example.org",
            "https://id.example.org@evil.example",
            "android:apk-key-hash:AAAA",
            "null",
            "",
            None,
            ["https://id.example.org"],
            OMIT,
        )
    ),
    *(({"cross_origin": result}, "frame") for result in FRAMES),
    *(({"top_origin": result}, "frame") for result in (ORIGIN, "https://evil.example", None, "")),
    ({"cross_origin": True, "top_origin": ORIGIN}, "frame"),
    ({"client_data": lambda raw: b"\xef\xbb\xbf" + raw}, "client_data"),
    ({"client_data": lambda raw: DOUBLED + raw[1:]}, "client_data"),
    ({"client_data": lambda raw: raw[:-1] + b',"origin":"https://id.example.org"}'}, "client_data"),
    ({"client_data": lambda raw: raw[:-1] + b',"more":{"a":1,"a":1}}'}, "client_data"),
    ({"client_data": lambda raw: raw + b"{}"}, "client_data"),
    ({"client_data": lambda raw: raw[:-1]}, "client_data"),
    ({"client_data": lambda raw: raw.decode().encode("utf-16")}, "client_data"),
    ({"client_data": lambda raw: raw[:-1] + b',"more":"\xff"}'}, "client_data"),
    ({"client_data": lambda _: b"[" * 8000}, "client_data"),
    ({"client_data": lambda _: b"[]"}, "type"),
    ({"client_data": lambda raw: raw + b" " * 8192}, "shape"),
]
AUTH_DATA: list[dict[str, Any]] = [
    {"rp_id": "example.org"},
    {"rp_id": "evil.example"},
    {"rp_id": "ID.example.org"},
    {"rp_id": ORIGIN},
    {"rp_id": ""},
    {"up": False},
    {"uv": False},
    {"up": False, "uv": False},
    {"be": False, "bs": True},
    {"auth_data": lambda raw: raw + b"\0"},
    {"auth_data": lambda raw: raw[:-1]},
    {"auth_data": lambda raw: raw[:36]},
    {"auth_data": lambda _: b""},
    {"auth_data": lambda raw: raw[:32] + bytes([raw[32] | 128]) + raw[33:]},  # the extension flag without extensions
    {"auth_data": lambda raw: raw[:32] + bytes([raw[32] ^ 64]) + raw[33:]},  # attested data missing or in excess
]
LIES = [*CLIENT_DATA, *((twists, "ceremony") for twists in AUTH_DATA)]


@pytest.mark.parametrize(("twists", "reason"), LIES)
def test_a_registration_with_one_lie_is_refused(twists: dict[str, Any], reason: str) -> None:
    assert refusal(register, Authenticator().create(creation(), ORIGIN, **twists)) == reason


ONE, SUPPORTED = enrolled()


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize(("twists", "reason"), LIES)
def test_a_sign_in_with_one_lie_is_refused(twists: dict[str, Any], reason: str, is_named: bool) -> None:
    assert refusal(sign_in, ONE.get(request(), ORIGIN, **twists), SUPPORTED, is_named=is_named) == reason


def test_more_members_of_the_client_data_are_no_lie() -> None:
    """§5.8.1: browsers may add members, so that nobody compares the client data as a text."""
    more = {"client_data": lambda raw: raw[:-1] + b',"other_keys_can_be_added_here":"do not compare"}'}
    stored = register(Authenticator().create(creation(), ORIGIN, **more))
    assert stored.is_synced
    assert sign_in(ONE.get(request(), ORIGIN, **more), SUPPORTED) == PASSED


def test_one_ceremony_never_answers_the_other() -> None:
    one, stored = enrolled()
    assert refusal(register, one.create(creation(), ORIGIN, type="webauthn.get")) == "type"
    assert refusal(sign_in, one.get(request(), ORIGIN, type="webauthn.create"), stored) == "type"
    assert refusal(register, one.create(creation(), ORIGIN, challenge=KNOWN)) == "challenge"
    assert refusal(sign_in, one.get(request(), ORIGIN, challenge=NEW), stored) == "challenge"
    assert refusal(sign_in, one.create(creation(), ORIGIN), stored) == "shape"
    assert refusal(register, one.get(request(), ORIGIN)) == "shape"


# -- backup eligibility, user handle ---------------------------------------------------------------


@pytest.mark.parametrize("be", [True, False])
def test_backup_eligibility_never_changes(be: bool) -> None:
    one, stored = enrolled(be=be, bs=False)
    assert refusal(sign_in, one.get(request(), ORIGIN, be=not be), stored) == "backup_eligibility"


def test_the_challenge_that_an_answer_is_for() -> None:
    """Of either ceremony, in its only spelling; nothing else of the answer counts."""
    key = Authenticator()
    made, got = key.create(creation(), ORIGIN), key.get(request(), "https://evil.example", uv=False)
    assert (challenge_of(made), challenge_of(got)) == (NEW, KNOWN)
    plain = b64(KNOWN)
    for other in (f"{plain}=", f" {plain}", "*", "", 5, None, OMIT):
        found = challenge_of(key.get(request(), ORIGIN, challenge=other))
        assert found == (b"" if other == "" else None), other
    doubled = key.get(request(), ORIGIN, client_data=lambda raw: raw[:-1] + b',"challenge":"AA"}')
    assert challenge_of(doubled) is None
    for answer in (None, {}, "x", {**got, "id": "*"}, {**got, "response": {}}):
        assert challenge_of(answer) is None


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("handle", [b"", b"x", b"h" * 31, b"h" * 33, b"H" * 32])
def test_somebody_elses_user_handle_is_refused(handle: bytes, is_named: bool) -> None:
    assert (
        refusal(sign_in, ONE.get(request(), ORIGIN, user_handle=handle), SUPPORTED, is_named=is_named) == "user_handle"
    )


@pytest.mark.parametrize("nothing", [{}, {"userHandle": None}])
def test_only_the_named_may_leave_the_user_handle_out(nothing: dict[str, None]) -> None:
    answer = ONE.get(request(), ORIGIN, user_handle=OMIT)
    answer["response"] |= nothing
    assert sign_in(answer, SUPPORTED, is_named=True) == PASSED
    assert refusal(sign_in, answer, SUPPORTED) == "user_handle"


# -- the id ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "reason"), [(1024, "id"), (1025, "shape"), (0, "id")])
def test_an_id_has_at_most_1023_bytes(length: int, reason: str) -> None:
    one, stored = enrolled(id_length=1023)
    assert sign_in(one.get(request(stored.id), ORIGIN), stored) == PASSED
    other = Authenticator(id_length=length)
    assert refusal(register, other.create(creation(), ORIGIN)) == reason
    assert refusal(sign_in, other.get(request(), ORIGIN), stored) == reason
    assert named(other.get(request(), ORIGIN)) is None


def test_the_id_is_the_one_that_was_attested() -> None:
    answer = Authenticator().create(creation(), ORIGIN)
    assert refusal(register, answer | {"id": "AAAA", "rawId": "AAAA"}) == "id"


def respelled(text: str) -> list[str]:
    """Texts that a lenient decoder takes for the same bytes, and other invalid ones. The last letter has unused bits:
    32 bytes take 42 letters and two thirds of another."""
    rest, last = text[1:], text[:-1] + chr(ord(text[-1]) + 1)
    return [
        text + "=",
        text + "==",
        " " + text,
        text + "\n",
        text[:4] + "\n" + text[4:],
        last,
        text + "AA",
        "+" + rest,
        "/" + rest,
        text + "\0",
        "\N{FULLWIDTH LATIN CAPITAL LETTER A}" + rest,
        "\ud800" + rest,
    ]


@pytest.mark.parametrize("spelling", range(12))
def test_an_id_has_one_spelling(spelling: int) -> None:
    answer = ONE.get(request(), ORIGIN)
    other = respelled(answer["id"])[spelling]
    assert refusal(sign_in, answer | {"id": other, "rawId": other}, SUPPORTED) == "shape"
    assert refusal(sign_in, answer | {"id": other}, SUPPORTED) == "shape"
    assert refusal(sign_in, answer | {"rawId": other}, SUPPORTED) == "shape"
    assert named(answer | {"id": other, "rawId": other}) is None
    answer["response"]["userHandle"] = respelled(answer["response"]["userHandle"])[spelling]
    assert refusal(sign_in, answer, SUPPORTED, is_named=True) == "shape"


# -- keys ------------------------------------------------------------------------------------------


def _coordinates(curve: ec.EllipticCurve, size: int) -> dict[int, bytes]:
    point = ec.generate_private_key(curve).public_key().public_numbers()
    return {-2: point.x.to_bytes(size), -3: point.y.to_bytes(size)}


P384, P256 = _coordinates(ec.SECP384R1(), 48), _coordinates(ec.SECP256R1(), 32)
ED25519 = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ({1: 2, 3: -35, -1: 2, **P384}, "ceremony"),  # ES384, a valid key of an algorithm that was not offered
        ({1: 2, 3: -36, -1: 2, **P384}, "ceremony"),
        ({1: 2, 3: -7, -1: 2, **P384}, "key"),  # we accept ES256 only with P-256
        ({1: 2, 3: -8, -1: 1, **P256}, "key"),  # EdDSA without an Edwards curve
        ({1: 2, 3: -257, -1: 1, **P256}, "key"),
        ({1: 1, 3: -7, -1: 6, -2: ED25519}, "ceremony"),
        ({1: 1, 3: -8, -1: 7, -2: ED25519}, "ceremony"),
        ({1: 1, 3: -8, -1: 6, -2: ED25519[:-1]}, "ceremony"),
        ({1: 3, 3: -7, -1: b"\xff" * 256, -2: b"\1\0\1"}, "key"),
        ({1: 3, 3: -257, -1: b"\xff" * 128, -2: b"\1\0\1"}, "key"),
        ({1: 2, 3: -7, -1: 1, -2: b"x" * 32, -3: b"y" * 32}, "ceremony"),  # not on the curve
        ({1: 2, 3: -7, -1: 1, -2: P256[-2]}, "ceremony"),
        ({1: 2, 3: -7, -1: 1, -2: P256[-2], -3: True}, "ceremony"),  # a compressed point
        ({1: 2, -1: 1, **P256}, "ceremony"),
        ({3: -7}, "ceremony"),
        ({}, "ceremony"),
        ([], "ceremony"),
        (4, "ceremony"),  # its byte also begins an uncompressed point
        (None, "ceremony"),
    ],
)
def test_a_key_that_its_algorithm_cannot_use_is_refused(key: object, reason: str) -> None:
    answer = Authenticator().create(creation(), ORIGIN, public_key=cbor2.dumps(key))
    assert refusal(register, answer) == reason


def test_another_persons_key_opens_nothing() -> None:
    for alg in EVERY:
        one, stored = enrolled(alg=alg)
        one.credentials[0].key = new_key(alg)
        assert refusal(sign_in, one.get(request(), ORIGIN), stored) == "ceremony"


# -- single flipped bits ---------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["clientDataJSON", "authenticatorData", "signature"])
@pytest.mark.parametrize("alg", EVERY)
def test_no_bit_of_a_sign_in_can_be_turned(alg: Algorithm, member: str) -> None:
    one, stored = enrolled(alg=alg)
    answer = one.get(request(), ORIGIN)
    raw = unb64(answer["response"][member])
    for bit in range(len(raw) * 8):
        response = answer["response"] | {member: b64(flip(raw, bit))}
        assert refusal(sign_in, answer | {"response": response}, stored), (member, bit)


@pytest.mark.parametrize("alg", EVERY)
def test_no_bit_of_a_signed_registration_can_be_turned(alg: Algorithm) -> None:
    """Every bit of the attestation object: statement and attested data. With another name of the format the statement
    is left out, and everything else is what it was."""
    answer = Authenticator(alg=alg, fmt="packed").create(creation(), ORIGIN)
    honest = register(answer)
    for member in ("clientDataJSON", "attestationObject"):
        raw = unb64(answer["response"][member])
        name = range(raw.find(b"packed") * 8, (raw.find(b"packed") + len(b"packed")) * 8)
        for bit in range(len(raw) * 8):
            odd = answer | {"response": answer["response"] | {member: b64(flip(raw, bit))}}
            if member == "attestationObject" and bit in name:
                assert _registered(odd) in (None, honest), bit
            else:
                assert refusal(register, odd), (member, bit)


def _registered(answer: dict[str, Any]) -> Registered | None:
    try:
        return register(answer)
    except Unproved:
        return None


@pytest.mark.parametrize("alg", EVERY)
def test_a_wrong_signature_is_refused(alg: Algorithm) -> None:
    one, stored = enrolled(alg=alg)
    for wrong in (lambda raw: flip(raw, 9), lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: bytes(len(raw))):
        assert refusal(sign_in, one.get(request(), ORIGIN, signature=wrong), stored) == "ceremony"
        assert refusal(register, one.create(creation(), ORIGIN, fmt="packed", signature=wrong)) == "ceremony"
    assert refusal(sign_in, one.get(request(), ORIGIN, signature=lambda _: b""), stored) == "ceremony"
