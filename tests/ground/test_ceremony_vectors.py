"""The test vectors of Web Authentication Level 3: the verdict of the library and ours for each, with the reason.

The values are W3C's, unmodified. No vector has a user handle, so each sign-in is one whose person is already known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import parse_attestation_object
from webauthn.helpers.exceptions import WebAuthnException

from passgate import ceremony
from passgate.ceremony import Unproved
from tests.authenticator import b64

FILE = json.loads((Path(__file__).parents[1] / "vectors/webauthn-l3.json").read_text())
VECTORS: dict[str, dict[str, Any]] = {vector["id"]: vector for vector in FILE["vectors"]}
RP_ID, ORIGIN = FILE["rpId"], FILE["origin"]
Ceremony = Literal["registration", "authentication"]
MEMBERS: dict[Ceremony, tuple[str, ...]] = {
    "registration": ("clientDataJSON", "attestationObject"),
    "authentication": ("clientDataJSON", "authenticatorData", "signature"),
}


Outcome = tuple[str | None, str | None]
"""The verdict of the library without user verification, and ours. None: accepted. Otherwise a part of the library's
message, or our own reason where we refuse before calling it."""

UV, ALG = "User verification is required", "Unsupported credential public key alg"
PASSES: Outcome = (None, None)
UNVERIFIED: Outcome = (None, UV)
"""Refused by us for missing user verification alone."""
FRAMED: Outcome = (None, "frame")
TABLE: dict[str, tuple[Outcome, Outcome]] = {
    "none-es256": (UNVERIFIED, UNVERIFIED),
    "packed-self-es256": (PASSES, UNVERIFIED),
    "none-es256-crossOrigin": (FRAMED, FRAMED),
    "none-es256-topOrigin": (FRAMED, FRAMED),
    "none-es256-long-credential-id": (UNVERIFIED, PASSES),
    "packed-es256": (PASSES, PASSES),
    "packed-es384": ((ALG, UV), ("Unrecognized EC2 signature alg -35",) * 2),
    "packed-es512": ((ALG, ALG), UNVERIFIED),
    "packed-rs256": (PASSES, UNVERIFIED),
    "packed-eddsa": (UNVERIFIED, UNVERIFIED),
    "packed-ed448": ((ALG, UV), ("OKP public key with alg -53 and crv 7 is not supported",) * 2),
    "tpm-es256": (("Unrecognized TPM Manufacturer", None), PASSES),  # W3C's manufacturer is not in TCG's list
    "android-key-es256": (("x5c was empty", None), UNVERIFIED),  # no root in its chain, where the library expects it
    "apple-es256": (("Certificate chain could not be validated", UV), UNVERIFIED),  # W3C's root is not Apple's
    "fido-u2f-es256": (("was not expected 00000000", UV), UNVERIFIED),  # the library requires an AAGUID of zeros
}
"""The outcomes of the registration and of the authentication."""


def raw(name: str, kind: Ceremony, member: str) -> bytes:
    return bytes.fromhex(VECTORS[name][kind][member])


def answer(name: str, kind: Ceremony) -> dict[str, Any]:
    credential_id = b64(raw(name, "registration", "credential_id"))
    response = {member: b64(raw(name, kind, member)) for member in MEMBERS[kind]}
    return {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}


def attested(name: str) -> tuple[bytes, bool]:
    """The public key and the backup eligibility, parsed without verification."""
    found = parse_attestation_object(raw(name, "registration", "attestationObject")).auth_data
    assert found.attested_credential_data is not None
    return found.attested_credential_data.credential_public_key, found.flags.be


def test_every_vector_has_its_row() -> None:
    assert list(TABLE) == list(VECTORS)
    assert len(TABLE) == 15
    assert "W3C" in FILE["source"]
    assert "W3C" in FILE["licence"]


@pytest.mark.parametrize("name", TABLE)
def test_the_library_and_our_endpoint_at_a_registration(name: str) -> None:
    library, ours = TABLE[name][0]
    given, challenge = answer(name, "registration"), raw(name, "registration", "challenge")
    outcomes = library_verdict(
        lambda: verify_registration_response(
            credential=given, expected_challenge=challenge, expected_rp_id=RP_ID, expected_origin=ORIGIN
        )
    )
    assert_verdict(outcomes, library)
    assert_verdict(our_verdict(lambda: ceremony.register(given, challenge=challenge, rp_id=RP_ID, origin=ORIGIN)), ours)


@pytest.mark.parametrize("name", TABLE)
def test_the_library_and_our_endpoint_at_a_sign_in(name: str) -> None:
    library, ours = TABLE[name][1]
    given, challenge = answer(name, "authentication"), raw(name, "authentication", "challenge")
    public_key, is_synced = attested(name)
    outcomes = library_verdict(
        lambda: verify_authentication_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=RP_ID,
            expected_origin=ORIGIN,
            credential_public_key=public_key,
            credential_current_sign_count=0,
        )
    )
    assert_verdict(outcomes, library)
    outcomes = our_verdict(
        lambda: ceremony.assert_passkey(
            given,
            challenge=challenge,
            rp_id=RP_ID,
            origin=ORIGIN,
            public_key=public_key,
            is_synced=is_synced,
            user_handle=b"anybody",
            is_named=True,
        )
    )
    assert_verdict(outcomes, ours)


@pytest.mark.parametrize("name", [name for name, (made, _) in TABLE.items() if made == PASSES])
def test_what_passes_is_read_right(name: str) -> None:
    stored = ceremony.register(
        answer(name, "registration"), challenge=raw(name, "registration", "challenge"), rp_id=RP_ID, origin=ORIGIN
    )
    assert stored.id == raw(name, "registration", "credential_id")
    assert stored.aaguid.replace("-", "") == VECTORS[name]["registration"]["aaguid"]
    assert (stored.public_key, stored.is_synced) == attested(name)
    assert stored.counter == 0


def library_verdict(action: Callable[[], object]) -> str | None:
    try:
        action()
    except WebAuthnException as refused:
        return str(refused)
    return None


def our_verdict(action: Callable[[], object]) -> str | None:
    """Our reason, or the library's message where our reason is that the library refused."""
    try:
        action()
    except Unproved as refused:
        return str(refused.__cause__) if refused.reason == "ceremony" else refused.reason
    return None


def assert_verdict(outcomes: str | None, expected: str | None) -> None:
    assert (outcomes is None) == (expected is None), outcomes
    assert (expected or "") in (outcomes or "")
