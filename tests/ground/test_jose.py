"""Signed tokens and their keys: each algorithm signs and verifies, a key that cannot be trusted is refused, and a token
has exactly one spelling.

Published vectors are in test_jose_vectors, and what an attacker makes of a token in tests/core/test_confusion.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import string
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from passgate.jose import ALGORITHMS, LONGEST, PrivateKey, PublicKey, Refused, header_of, members, opened
from tests.authenticator import b64
from tests.kit import Dice


@cache
def key(algorithm: str = "ES256") -> PrivateKey:
    return PrivateKey.make(algorithm, Dice())


def published(algorithm: str, **changed: Any) -> dict[str, Any]:
    """The public key as others read it; a member changed to None is missing."""
    jwk = json.loads(json.dumps(key(algorithm).public.as_jwk()))
    return {name: value for name, value in {**jwk, **changed}.items() if value is not None}


def opens(token: str, by: PrivateKey) -> tuple[dict[str, str], bytes]:
    return opened(token, {by.public.id: by.public}.get)


def refused(token: str, by: PrivateKey) -> str:
    with pytest.raises(Refused) as raised:
        opens(token, by)
    return raised.value.reason


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_signs_and_verifies(algorithm: str) -> None:
    mine = key(algorithm)
    token = mine.sign("at+jwt", b'{"a":1}')
    assert opens(token, mine) == ({"alg": algorithm, "typ": "at+jwt", "kid": mine.public.id}, b'{"a":1}')
    assert opened(token, lambda _: PublicKey.of(published(algorithm)))[1] == b'{"a":1}'
    again = PrivateKey.load(algorithm, json.loads(json.dumps(mine.as_jwk())))
    assert again.public.id == mine.public.id
    assert opens(again.sign("at+jwt", b""), mine)[1] == b""


@pytest.mark.parametrize(
    ("algorithm", "names"), [("ES256", "crv kty x y"), ("EdDSA", "crv kty x"), ("RS256", "e kty n")]
)
def test_the_id_is_the_thumbprint(algorithm: str, names: str) -> None:
    """RFC 7638 §3.2 and §3.3: the required members in this order, and nothing else."""
    jwk = published(algorithm)
    plain = json.dumps({name: jwk[name] for name in names.split()}, separators=(",", ":"))
    assert jwk["kid"] == key(algorithm).public.id == b64(hashlib.sha256(plain.encode()).digest())
    assert jwk.keys() == {*names.split(), "kid", "alg", "use"}, "and no private part"


def test_a_key_follows_from_its_randomness_but_for_rsa() -> None:
    for algorithm in ("ES256", "EdDSA"):
        assert PrivateKey.make(algorithm, Dice()).as_jwk() == key(algorithm).as_jwk()
        assert PrivateKey.make(algorithm, Dice(b"other")).public.id != key(algorithm).public.id
    assert "d" not in repr(key()).partition("PublicKey")[0]


def rsa_jwk(modulus: int) -> dict[str, Any]:
    n = b64(modulus.to_bytes(-(-modulus.bit_length() // 8)))
    return {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "own"}


def p384() -> dict[str, Any]:
    point = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    x, y = (b64(one.to_bytes(48)) for one in (point.x, point.y))
    return {"kty": "EC", "crv": "P-384", "x": x, "y": y, "alg": "ES256", "kid": "own"}


def test_the_least_rsa_key() -> None:
    numbers = {bits: rsa.generate_private_key(65537, bits).public_key().public_numbers().n for bits in (1024, 2048)}
    assert PublicKey.of(rsa_jwk(numbers[2048])).algorithm == "RS256"
    for short in (numbers[1024], numbers[2048] >> 1 | 1):
        with pytest.raises(ValueError, match="cannot be read"):
            PublicKey.of(rsa_jwk(short))


_SYMMETRIC = {"kty": "oct", "k": b64(b"1" * 32)}
UNUSABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "no alg": ("ES256", {"alg": None}),
    "no kid": ("ES256", {"kid": None}),
    "kid of another type": ("ES256", {"kid": 7}),
    "alg of another type": ("ES256", {"alg": ["ES256"]}),
    "unknown alg": ("ES256", {"alg": "ES384"}),
    "none": ("ES256", {"alg": "none"}),
    "alg in lower case": ("ES256", {"alg": "es256"}),
    "an EC key for RS256": ("ES256", {"alg": "RS256"}),
    "an EC key for EdDSA": ("ES256", {"alg": "EdDSA"}),
    "an Ed25519 key for ES256": ("EdDSA", {"alg": "ES256"}),
    "an RSA key for ES256": ("RS256", {"alg": "ES256"}),
    "an RSA key for PS256": ("RS256", {"alg": "PS256"}),
    "P-384": ("ES256", p384()),
    "a curve that is not the point's": ("ES256", {"crv": "secp256k1"}),
    "a symmetric key": ("ES256", {**_SYMMETRIC, "alg": "HS256"}),
    "a symmetric key for ES256": ("ES256", _SYMMETRIC),
    "a point that is not on the curve": ("ES256", {"y": b64(b"1" * 32)}),
    "no y": ("ES256", {"y": None}),
    "x of another type": ("ES256", {"x": 7}),
    "x of Ed25519 too short": ("EdDSA", {"x": b64(b"1" * 31)}),
    "no modulus": ("RS256", {"n": None}),
    "a modulus of another type": ("RS256", {"n": ["AQAB"]}),
    "a modulus with padding": ("RS256", {"n": b64(b"1" * 256) + "=="}),
    "exponent 1": ("RS256", {"e": "AQ"}),
    "an even exponent": ("RS256", {"e": "AQAA"}),
    "for encryption": ("ES256", {"use": "enc"}),
    "to encrypt": ("ES256", {"key_ops": ["encrypt"]}),
    "to sign": ("ES256", {"key_ops": ["sign"]}),
    "for nothing": ("ES256", {"key_ops": []}),
    "for something of another type": ("ES256", {"key_ops": "verify"}),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_verifies_nothing_of_ours(name: str) -> None:
    algorithm, changed = UNUSABLE[name]
    with pytest.raises(ValueError, match="key"):
        PublicKey.of(published(algorithm, **changed))


@pytest.mark.parametrize("more", [{"key_ops": ["verify"]}, {"use": None}, {"x5t": "x", "exp": 1}])
def test_a_key_with_other_members(more: dict[str, Any]) -> None:
    assert opened(key().sign("at+jwt", b"{}"), lambda _: PublicKey.of(published("ES256", **more)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_key_set_brings_another_fault(algorithm: str) -> None:
    """A program that verifies reads whatever an issuer's key set contains."""
    strange: tuple[Any, ...] = (
        0,
        -1,
        True,
        1.5,
        "",
        "é",
        "\ud800",
        "\x00",
        "AQAB",
        "A" * 9999,
        [],
        [[]],
        {},
        {"a": 1},
        *ALGORITHMS,
        "RSA",
    )
    for name in ("alg", "crv", "e", "key_ops", "kid", "kty", "n", "use", "x", "y"):
        for value in strange:
            try:
                PublicKey.of(published(algorithm, **{name: value}))
            except ValueError:
                continue


# -- reading strictly ------------------------------------------------------------------------------


def test_the_algorithm_is_the_keys() -> None:
    """A token names a key of another algorithm, and is signed by either."""
    es256, eddsa = key(), key("EdDSA")
    ring = {one.public.id: one.public for one in (es256, eddsa)}
    for signer, named in ((es256, eddsa), (eddsa, es256)):
        token = signer.sign("at+jwt", b"{}")
        header = b64(json.dumps({**header_of(token), "kid": named.public.id}).encode())
        with pytest.raises(Refused) as raised:
            opened(f"{header}.{token.partition('.')[2]}", ring.get)
        assert raised.value.reason == "alg"


_NUMBER, _JWK = b64(b'{"alg":1}'), b64(b'{"jwk":"x"}')


def test_the_reasons() -> None:
    mine = key()
    head, payload, signature = mine.sign("at+jwt", b"{}").split(".")
    for token, reason in {
        "": "parts",
        head: "parts",
        f"{head}.{payload}": "parts",
        f"{head}.{payload}.{signature}.": "parts",
        f"{head}.{payload}.": "signature",
        f".{payload}.{signature}": "json",
        f"{b64(b'[]')}.{payload}.{signature}": "json",
        f"{b64(b'{}')}.{payload}.{signature}": "kid",
        f"{_NUMBER}.{payload}.{signature}": "header",
        f"{_JWK}.{payload}.{signature}": "header",
        f"{head}.{payload}=.{signature}": "encoding",
        f"{head}.{payload}.{signature}\n": "encoding",
        f"{head}.{b64(b'{} ')}.{signature}": "signature",
        f"{head}.{payload}.{signature[:84]}": "signature",
        f"{head}.{payload}.{signature}" + "A" * LONGEST: "size",
    }.items():
        assert refused(token, mine) == reason, token
    assert refused(key("EdDSA").sign("at+jwt", b"{}"), mine) == "kid"


def test_a_token_has_one_spelling() -> None:
    """Each last letter of a part stands for the same bytes as its neighbours with other bits left over."""
    mine = key()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts = mine.sign("at+jwt", b"{}").split(".")
    for number, part in enumerate(parts):
        others = [part[:-1] + letter for letter in letters if letter != part[-1]]
        respelled = [
            one for one in others if base64.urlsafe_b64decode(one + "==") == base64.urlsafe_b64decode(part + "==")
        ]
        assert len(respelled) == {0: 0, 2: 15, 3: 3}[len(part) % 4]
        for one in respelled:
            assert refused(".".join([*parts[:number], one, *parts[number + 1 :]]), mine) == "encoding"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"7",
        b'"a"',
        b"null",
        b'{"a":1}{}',
        b'{"a":1} x',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"{'a':1}",
        b'{"a":1,}',
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(Refused) as raised:
        members(raw)
    assert raised.value.reason == "json"


@given(
    st.text(string.printable, max_size=60)
    | st.from_regex(r"[A-Za-z0-9_=-]{0,9}\.[A-Za-z0-9_=-]{0,9}\.[A-Za-z0-9_=-]{0,9}")
)
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    for token in (text, f"{key().sign('at+jwt', b'{}')}{text}"):
        if text:
            refused(token, key())
    with pytest.raises(Refused):
        header_of(text)
