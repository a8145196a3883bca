"""Wycheproof's vectors through the one function that opens a token, each with its own key: what is valid is accepted,
what is invalid is refused, and what we do not support is refused and counted.

The values are Wycheproof's, unmodified. Not here: tokens of our own making, which are in test_jose.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from passgate.jose import ALGORITHMS, PublicKey, Refused, opened
from tests.authenticator import b64

VECTORS = Path(__file__).parents[1] / "vectors"
TOKENS: list[dict[str, Any]] = json.loads((VECTORS / "wycheproof_jws.json").read_text())["groups"]
SIGNATURES: list[dict[str, Any]] = json.loads((VECTORS / "wycheproof_signatures.json").read_text())["groups"]

ACCEPTED, REFUSED, UNSUPPORTED = "valid and accepted", "invalid and refused", "unsupported and refused"
EXPECTED = {
    "json_web_signature": {ACCEPTED: 10, REFUSED: 266, UNSUPPORTED: 125},
    "json_web_crypto": {ACCEPTED: 2, REFUSED: 28, UNSUPPORTED: 19},
    "json_web_key": {ACCEPTED: 1, REFUSED: 8, UNSUPPORTED: 17},
}


# -- tokens ----------------------------------------------------------------------------------------


def installed(jwk: dict[str, Any], token: Any) -> dict[str, Any]:
    """The key with an algorithm. Some vectors' keys name none and are wrong for another reason: they get the
    token's."""
    if "alg" in jwk:
        return jwk
    header = json.loads(base64.urlsafe_b64decode(str(token).partition(".")[0] + "=="))
    return {**jwk, "alg": header["alg"]}


def ring_of(keys: list[dict[str, Any]]) -> dict[str, PublicKey]:
    """The keys that can be used, by id."""
    found = {}
    for jwk in keys:
        try:
            found[jwk["kid"]] = PublicKey.of(jwk)
        except ValueError:
            continue
    return found


def is_accepted(keys: list[dict[str, Any]], token: Any) -> bool:
    """Some vectors are JWS in JSON serialization, which is sent as the text that it is."""
    try:
        opened(token if isinstance(token, str) else json.dumps(token), ring_of(keys).get)
    except Refused:
        return False
    return True


def outcome(group: dict[str, Any], vector: dict[str, Any]) -> str:
    """What became of one vector; a wrong outcome names it."""
    keys = [installed(jwk, vector["jws"]) for jwk in group["keys"]]
    accepted, valid = is_accepted(keys, vector["jws"]), vector["result"] == "valid"
    if not any(jwk["alg"] in ALGORITHMS for jwk in keys):
        expected, outcome = False, UNSUPPORTED
    else:
        expected, outcome = valid, ACCEPTED if valid else REFUSED
    return outcome if accepted is expected else f"{group['comment']} {vector['id']} {vector['comment']}"


@pytest.mark.parametrize("file", EXPECTED)
def test_tokens(file: str) -> None:
    groups = [group for group in TOKENS if group["file"] == file]
    assert Counter(outcome(group, one) for group in groups for one in group["tests"]) == EXPECTED[file]


def test_every_token_is_counted() -> None:
    assert sum(len(group["tests"]) for group in TOKENS) == sum(sum(counted.values()) for counted in EXPECTED.values())


def test_what_is_unsupported_is_an_algorithm_that_we_do_not_have() -> None:
    algorithms = {jwk["alg"] for group in TOKENS for jwk in group["keys"] if "alg" in jwk} - set(ALGORITHMS)
    signing = {"HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "PS384", "PS512", "ES521", "ES224"}
    assert algorithms == signing | {"RSA1_5", "A256GCM", "A256KW"}


# -- signatures ------------------------------------------------------------------------------------


def key_of(group: dict[str, Any]) -> PublicKey:
    """From an uncompressed point of P-256, or the 32 bytes of Ed25519."""
    raw = bytes.fromhex(group["key"])
    if group["alg"] == "ES256":
        jwk = {"kty": "EC", "crv": "P-256", "x": b64(raw[1:33]), "y": b64(raw[33:])}
    else:
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return PublicKey.of({**jwk, "alg": group["alg"], "kid": "own"})


@pytest.mark.parametrize(("algorithm", "valid", "invalid"), [("ES256", 173, 89), ("EdDSA", 88, 63)])
def test_signatures(algorithm: str, valid: int, invalid: int) -> None:
    """These sign no token, but bytes of their own, so they go through the function that verifies a token's bytes."""
    groups = [group for group in SIGNATURES if group["alg"] == algorithm]
    outcomes = Counter(
        (one["result"], key_of(group).verifies(bytes.fromhex(one["msg"]), bytes.fromhex(one["sig"])))
        for group in groups
        for one in group["tests"]
    )
    assert outcomes == {("valid", True): valid, ("invalid", False): invalid}
