"""The two passkey ceremonies (WebAuthn Level 3 §7.1, §7.2): options for the browser, and verification of its answer.

The only module that uses the WebAuthn library. It adds what the library leaves to its caller: strict parsing, no
cross-origin frame, unchanged backup eligibility, the user handle, the length of an id, a valid public key. Not here:
tables, people and rules; `core.factors.passkey` stores challenges and uses each once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHMS = (-7, -8, -257)
"""ES256, EdDSA (Ed25519), RS256, in the order of preference."""
TIMEOUT = 60_000
"""Milliseconds that the browser waits for its user."""
LONGEST_ID = 1023
"""Bytes (§5.8.3, §7.1 step 25)."""
_LIMITS = {"clientDataJSON": 8192, "authenticatorData": 4096, "attestationObject": 32_768, "signature": 1024}
_TRANSPORTS = frozenset({"ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"})


class Unproved(ValueError):
    """The answer proves nothing. `reason` is one stable word for tests and the log; it is never sent to the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Registered:
    """A new credential. `public_key` is a COSE key. `is_synced`: it may leave its device (backup eligible)."""

    id: bytes
    public_key: bytes
    counter: int
    aaguid: str
    is_synced: bool
    is_backed_up: bool
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asserted:
    """A valid signature. The caller decides what a `counter` that did not grow means."""

    counter: int
    is_backed_up: bool


@dataclass(frozen=True, slots=True)
class Passkey:
    """What the browser learns about a credential, in order to find or to exclude it."""

    id: bytes
    transports: tuple[str, ...] = ()

    def descriptor(self) -> dict[str, Any]:
        return {"type": "public-key", "id": b64(self.id), "transports": list(self.transports)}


@cache
def _library() -> ModuleType:
    """Import the library when the first passkey is used: it takes about a tenth of the whole start."""
    return importlib.import_module("webauthn")


async def ready() -> None:
    """Call it before the functions below. The first call imports the library in a thread."""
    if not _library.cache_info().currsize:
        await asyncio.to_thread(_library)


# -- options ---------------------------------------------------------------------------------------


def creation_options(
    *, challenge: bytes, rp_id: str, service: str, user_handle: bytes, name: str, known: Sequence[Passkey]
) -> dict[str, Any]:
    """PublicKeyCredentialCreationOptionsJSON (§5.1.9): discoverable, with user verification, no attestation."""
    return {
        "rp": {"id": rp_id, "name": service},
        "user": {"id": b64(user_handle), "name": name, "displayName": name},
        "challenge": b64(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
        "timeout": TIMEOUT,
        "excludeCredentials": [passkey.descriptor() for passkey in known],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }


def request_options(*, challenge: bytes, rp_id: str, allowed: Sequence[Passkey]) -> dict[str, Any]:
    """PublicKeyCredentialRequestOptionsJSON (§5.1.10). With `allowed` empty, any passkey of this RP ID may answer."""
    return {
        "challenge": b64(challenge),
        "timeout": TIMEOUT,
        "rpId": rp_id,
        "allowCredentials": [passkey.descriptor() for passkey in allowed],
        "userVerification": "required",
    }


# -- answers ---------------------------------------------------------------------------------------


def register(answer: object, *, challenge: bytes, rp_id: str, origin: str) -> Registered:
    """§7.1 for the browser's RegistrationResponseJSON. Raises Unproved."""
    given, response = _read(answer, "clientDataJSON", "attestationObject")
    _check_client_data(response["clientDataJSON"], "webauthn.create", challenge, origin)
    try:
        found = _library().verify_registration_response(
            credential=_unattested(given, response["attestationObject"]),
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            require_user_verification=True,
            supported_pub_key_algs=list(ALGORITHMS),
        )
        is_key = _is_key(found.credential_public_key)
    except Exception as refused:  # untrusted input reaches many parsers; any exception refuses it
        raise Unproved("ceremony") from refused
    if not is_key:
        raise Unproved("key")
    if found.credential_id != _bytes(given, "id"):
        raise Unproved("id")
    return Registered(
        found.credential_id,
        found.credential_public_key,
        found.sign_count,
        found.aaguid,
        found.credential_device_type == "multi_device",
        found.credential_backed_up,
        _transports(given["response"]),
    )


def _unattested(given: dict[str, Any], attested: bytes) -> dict[str, Any]:
    """The answer with the statement of an attestation left out that we neither asked for nor can judge: it vouches for
    nothing here, and must lock nobody out (§7.1 step 21, §8.7). Those that sign what they say are checked as they
    come."""
    helpers = _library().helpers
    attestation = helpers.parse_cbor(attested)
    if not isinstance(attestation["fmt"], str):
        raise Unproved("shape")
    if attestation["fmt"] in _CHECKED:
        return given
    bare = helpers.encode_cbor({"fmt": "none", "attStmt": {}, "authData": attestation["authData"]})
    return {**given, "response": {**given["response"], "attestationObject": b64(bare)}}


_CHECKED = frozenset({"none", "packed", "fido-u2f"})


def _is_key(cose: bytes) -> bool:
    """Whether the key is valid for its own algorithm (§5.8.5). Without attestation nothing signs a registration, so the
    library accepts any bytes as a key; such a passkey would be stored and never work."""
    helpers = _library().helpers
    decoded = helpers.decode_credential_public_key(cose)
    key = helpers.decoded_public_key_to_cryptography(decoded)
    match decoded.alg:
        case -7:
            return isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1"
        case -8:
            return isinstance(key, Ed25519PublicKey)
        case _:
            return isinstance(key, RSAPublicKey) and 2048 <= key.key_size <= 8 * _LIMITS["signature"]


def named(answer: object) -> bytes | None:
    """The id of the credential that an answer claims to come from; None if it cannot be read."""
    try:
        return _bytes(_read(answer)[0], "id")
    except Unproved:
        return None


def challenge_of(answer: object) -> bytes | None:
    """The challenge that an answer claims to be for; None if it cannot be read. Nothing else of it is checked."""
    try:
        return _bytes(_client_data(_read(answer, "clientDataJSON")[1]["clientDataJSON"]), "challenge")
    except Unproved:
        return None


def assert_passkey(
    answer: object,
    *,
    challenge: bytes,
    rp_id: str,
    origin: str,
    public_key: bytes,
    is_synced: bool,
    user_handle: bytes,
    is_named: bool,
) -> Asserted:
    """§7.2 for the browser's AuthenticationResponseJSON. `is_named`: another factor has named the person, so the answer
    may omit the user handle (step 6). Raises Unproved."""
    given, response = _read(answer, "clientDataJSON", "authenticatorData", "signature")
    _check_client_data(response["clientDataJSON"], "webauthn.get", challenge, origin)
    handle = _bytes(given["response"], "userHandle") if given["response"].get("userHandle") is not None else None
    try:
        # A count of 0 turns the library's counter check off: its message would contain the numbers, and whether to
        # refuse is the tenant's decision.
        found = _library().verify_authentication_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as refused:  # as in `register`
        raise Unproved("ceremony") from refused
    # After the signature, although the standard has it first: an unknown passkey must cost the same check.
    if handle != user_handle and not (handle is None and is_named):
        raise Unproved("user_handle")  # step 6
    if (found.credential_device_type == "multi_device") != is_synced:
        raise Unproved("backup_eligibility")  # step 19
    return Asserted(found.new_sign_count, found.credential_backed_up)


# -- reading strictly ------------------------------------------------------------------------------


def _read(answer: object, *required: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The answer, and the required members of its `response` as bytes. Unknown members are ignored (browsers add some);
    a known member of the wrong type is refused."""
    if not isinstance(answer, dict) or answer.get("type") != "public-key":
        raise Unproved("shape")
    response = answer.get("response")
    if not isinstance(response, dict) or not isinstance(answer.get("clientExtensionResults", {}), dict):
        raise Unproved("shape")
    if not isinstance(answer.get("authenticatorAttachment"), str | None):
        raise Unproved("shape")
    raw = _bytes(answer, "id")
    if raw != _bytes(answer, "rawId") or not 0 < len(raw) <= LONGEST_ID:
        raise Unproved("id")
    # An unknown attachment counts as none (§5.1); the library would refuse it, and we do not use the value.
    known = {**answer, "authenticatorAttachment": None}
    return known, {name: _bytes(response, name, _LIMITS[name]) for name in required}


def _bytes(given: dict[str, Any], name: str, limit: int = LONGEST_ID) -> bytes:
    """Base64url without padding in its canonical form (RFC 4648 §3.5, §5): two texts for the same bytes would bypass
    every list of used values."""
    text = given.get(name)
    if not isinstance(text, str) or len(text) > limit * 4 // 3 + 2:
        raise Unproved("shape")
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise Unproved("shape") from None
    if b64(raw) != text:
        raise Unproved("shape")
    return raw


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _check_client_data(raw: bytes, kind: str, challenge: bytes, origin: str) -> None:
    """Steps 7 to 12 of §7.1, 10 to 15 of §7.2. The library also checks type, challenge and origin, but parses JSON
    loosely and ignores frames."""
    data = _client_data(raw)
    if data.get("type") != kind:
        raise Unproved("type")
    if data.get("challenge") != b64(challenge):
        raise Unproved("challenge")
    if data.get("origin") != origin:
        raise Unproved("origin")
    if data.get("crossOrigin", False) is not False or "topOrigin" in data:
        raise Unproved("frame")  # our pages are never framed, so no honest browser says they were


def _client_data(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Unproved("client_data") from None
    if not isinstance(data, dict):
        raise Unproved("type")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("doubled name")
    return made


def _transports(response: dict[str, Any]) -> tuple[str, ...]:
    """The transports that the browser reported, as hints for the next ceremony. Unknown values are dropped, so that no
    text of a client is stored or sent back."""
    given = response.get("transports", [])
    if not isinstance(given, list):
        raise Unproved("shape")
    return tuple(sorted({name for name in given if isinstance(name, str)} & _TRANSPORTS))
