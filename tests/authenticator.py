"""A passkey authenticator and its browser in one. It gives honest answers unless a test changes a value ("twist").

It takes the options that a page receives and answers as `toJSON()` would. Whether an answer should pass is decided by
the tests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

Algorithm = Literal["ES256", "EdDSA", "RS256"]
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
NUMBERS: dict[Algorithm, int] = {"ES256": -7, "EdDSA": -8, "RS256": -257}
HONEST: Any = object()
"""The value of a twist that is not set: the honest value."""
OMIT: Any = object()
"""The value of a twist that leaves an optional member out."""


class NotAllowed(Exception):
    """The browser's own refusal, with the name of its DOMException; nothing is sent to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twists:
    """What differs from an honest answer. Everything but `signature` is changed before signing, so the signature is
    valid and only the changed value can be refused."""

    # client data; a challenge of type bytes is encoded, any other value is sent unchanged
    challenge: Any = HONEST
    type: Any = HONEST
    origin: Any = HONEST
    cross_origin: Any = HONEST
    top_origin: Any = OMIT
    client_data: Callable[[bytes], bytes] = lambda raw: raw
    # authenticator data
    rp_id: str = HONEST
    up: bool = HONEST
    uv: bool = HONEST
    be: bool = HONEST
    bs: bool = HONEST
    counter: int = HONEST
    public_key: bytes = HONEST
    auth_data: Callable[[bytes], bytes] = lambda raw: raw
    # the response
    fmt: Literal["none", "packed"] = HONEST
    user_handle: bytes = HONEST
    signature: Callable[[bytes], bytes] = lambda raw: raw


@dataclass(slots=True)
class StoredCredential:
    """One credential of an authenticator."""

    id: bytes
    key: Key
    rp_id: str
    user_handle: bytes
    counter: int


@dataclass
class Authenticator:
    """`counter`: the counter of a new credential; `step`: what each use adds to it. With 0 and 0 it does not count."""

    alg: Algorithm = "ES256"
    up: bool = True
    uv: bool = True
    be: bool = True
    bs: bool = True
    aaguid: bytes = bytes(16)
    counter: int = 0
    step: int = 0
    id_length: int = 32
    fmt: Literal["none", "packed"] = "none"
    attachment: str = "platform"
    transports: tuple[str, ...] = ("hybrid", "internal")
    credentials: list[StoredCredential] = field(default_factory=list)

    def create(self, options: dict[str, Any], origin: str, /, **twists: Any) -> dict[str, Any]:
        """navigator.credentials.create(): a RegistrationResponseJSON. The authenticator keeps the credential."""
        twist, rp_id = Twists(**twists), options["rp"]["id"]
        if self._among(options.get("excludeCredentials", []), rp_id):
            raise NotAllowed("InvalidStateError")
        if NUMBERS[self.alg] not in {offered["alg"] for offered in options["pubKeyCredParams"]}:
            raise NotAllowed("NotSupportedError")
        one = StoredCredential(
            secrets.token_bytes(self.id_length), new_key(self.alg), rp_id, unb64(options["user"]["id"]), self.counter
        )
        self.credentials.append(one)
        client_data = _client_data("webauthn.create", options["challenge"], origin, twist)
        cose = cose_key(one.key) if twist.public_key is HONEST else twist.public_key
        attested = self.aaguid + len(one.id).to_bytes(2) + one.id + cose
        auth_data = twist.auth_data(self._auth_data(one, twist, attested))
        response = {
            "clientDataJSON": b64(client_data),
            "attestationObject": b64(self._attestation(one, auth_data, client_data, twist)),
            "authenticatorData": b64(auth_data),
            "publicKey": b64(_spki(one.key)),
            "publicKeyAlgorithm": NUMBERS[self.alg],
            "transports": list(self.transports),
        }
        asked = options.get("extensions", {})
        return self._answer(one, response, {"credProps": {"rk": True}} if asked.get("credProps") else {})

    def get(self, options: dict[str, Any], origin: str, /, **twists: Any) -> dict[str, Any]:
        """navigator.credentials.get(): an AuthenticationResponseJSON, from the newest credential that is allowed."""
        twist, allowed = Twists(**twists), options.get("allowCredentials", [])
        mine = [one for one in self.credentials if one.rp_id == options["rpId"]]
        able = self._among(allowed, options["rpId"]) if allowed else mine
        if not able:
            raise NotAllowed("NotAllowedError")
        one = able[-1]
        one.counter += self.step
        client_data = _client_data("webauthn.get", options["challenge"], origin, twist)
        auth_data = twist.auth_data(self._auth_data(one, twist))
        handle = one.user_handle if twist.user_handle is HONEST else twist.user_handle
        response = {
            "clientDataJSON": b64(client_data),
            "authenticatorData": b64(auth_data),
            "signature": b64(twist.signature(sign(one.key, auth_data + hashlib.sha256(client_data).digest()))),
            **({} if handle is OMIT else {"userHandle": b64(handle)}),
        }
        return self._answer(one, response, {})

    # -- parts -------------------------------------------------------------------------------------

    def _among(self, descriptors: list[dict[str, Any]], rp_id: str) -> list[StoredCredential]:
        listed = {unb64(descriptor["id"]) for descriptor in descriptors}
        return [one for one in self.credentials if one.rp_id == rp_id and one.id in listed]

    def _auth_data(self, one: StoredCredential, twist: Twists, attested: bytes = b"") -> bytes:
        """§6.1. The bits of the flags byte: UP, UV, BE, BS, AT."""
        honest = {"up": self.up, "uv": self.uv, "be": self.be, "bs": self.bs}
        bits = [is_set if getattr(twist, name) is HONEST else getattr(twist, name) for name, is_set in honest.items()]
        flags = sum(bit * is_set for bit, is_set in zip((1, 4, 8, 16), bits, strict=True)) | (64 if attested else 0)
        counter = one.counter if twist.counter is HONEST else twist.counter
        rp_id = one.rp_id if twist.rp_id is HONEST else twist.rp_id
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + counter.to_bytes(4) + attested

    def _attestation(self, one: StoredCredential, auth_data: bytes, client_data: bytes, twist: Twists) -> bytes:
        fmt = self.fmt if twist.fmt is HONEST else twist.fmt
        statement: dict[str, Any] = {}
        if fmt == "packed":  # self attestation (§8.2): signed with the credential's own key
            signature = twist.signature(sign(one.key, auth_data + hashlib.sha256(client_data).digest()))
            statement = {"alg": NUMBERS[self.alg], "sig": signature}
        return cbor2.dumps({"fmt": fmt, "attStmt": statement, "authData": auth_data})

    def _answer(self, one: StoredCredential, response: dict[str, Any], extensions: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": b64(one.id),
            "rawId": b64(one.id),
            "type": "public-key",
            "response": response,
            "authenticatorAttachment": self.attachment,
            "clientExtensionResults": extensions,
        }


def _client_data(kind: str, challenge: str, origin: str, twist: Twists) -> bytes:
    members = {
        "type": kind if twist.type is HONEST else twist.type,
        "challenge": challenge if twist.challenge is HONEST else twist.challenge,
        "origin": origin if twist.origin is HONEST else twist.origin,
        "crossOrigin": False if twist.cross_origin is HONEST else twist.cross_origin,
        "topOrigin": twist.top_origin,
    }
    if isinstance(members["challenge"], bytes):
        members["challenge"] = b64(members["challenge"])
    present = {name: value for name, value in members.items() if value is not OMIT}
    return twist.client_data(json.dumps(present, separators=(",", ":")).encode())


# -- keys ------------------------------------------------------------------------------------------


def new_key(alg: Algorithm) -> Key:
    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate() if alg == "EdDSA" else rsa.generate_private_key(65537, 2048)


def sign(key: Key, data: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256()) if isinstance(key, rsa.RSAPrivateKey) else key.sign(data)


def cose_key(key: Key) -> bytes:
    """RFC 9052 §7, RFC 8230 §4. Labels: 1 kty, 3 alg, -1 crv, -2 x, -3 y; for RSA -1 n, -2 e."""
    public = key.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)})
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return cbor2.dumps({1: 3, 3: -257, -1: numbers.n.to_bytes(public.key_size // 8), -2: numbers.e.to_bytes(3)})
    return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()})


def _spki(key: Key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


# -- base64url, without padding --------------------------------------------------------------------


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
