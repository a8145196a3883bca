"""What a confused token is made from: a right one, one change, and what an attacker has. The corpus of changes is in
`corpus`.

Not here: what refuses them.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from joserfc import jws

from passgate.access_token import KIND
from passgate.jose import PrivateKey
from tests.authenticator import b64, unb64
from tests.issuer import key_set
from tests.kit import Dice

LEFT_OUT = object()
"""In place of a member's value: the member is missing."""
ATTACKER = PrivateKey.make("ES256", Dice(b"attacker"))

Members = Mapping[str, Any]


def changed(members: Members, changes: Members) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not LEFT_OUT}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Right:
    """A right token in its parts, which counts at `now` (seconds). `key` signed it; `rival` is a key of another
    algorithm that the issuer publishes too; `listener`: a URL of the attacker's, where their key set is; `others`: ids
    that belong to somebody else, by what they are."""

    key: PrivateKey
    rival: PrivateKey
    now: int
    claims: dict[str, Any]
    listener: str
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": self.key.public.algorithm, "typ": KIND, "kid": self.key.public.id}

    @cached_property
    def token(self) -> str:
        return self.signed()

    def signed(
        self,
        header: Members | bytes | None = None,
        claims: Members | bytes | None = None,
        *,
        by: PrivateKey | None = None,
    ) -> str:
        """A token whose signature is right, with these changes, or with these bytes, of its parts."""
        signing = f"{b64(self._header(header))}.{b64(self._payload(claims))}"
        return f"{signing}.{b64(signature(by or self.key, signing.encode()))}"

    def keyed(self, secret: bytes, header: Members, digest: str = "sha256") -> str:
        """A token whose signature is an HMAC under `secret`."""
        signing = f"{b64(self._header(header))}.{b64(self._payload(None))}"
        return f"{signing}.{b64(hmac.digest(secret, signing.encode(), digest))}"

    def unsigned(self, header: Members) -> str:
        return f"{b64(self._header(header))}.{b64(self._payload(None))}."

    def numbered(self) -> Iterator[str]:
        """Right tokens that differ in their `jti`."""
        return (self.signed(None, {"jti": f"n{number}"}) for number in itertools.count())

    def _header(self, given: Members | bytes | None) -> bytes:
        return given if isinstance(given, bytes) else compact(changed(self.header, given or {}))

    def _payload(self, given: Members | bytes | None) -> bytes:
        return given if isinstance(given, bytes) else compact(changed(self.claims, given or {}))


def signature(key: PrivateKey, signed: bytes) -> bytes:
    return bytes(jws.JWSRegistry.algorithms[key.public.algorithm].sign(signed, key.key))


@dataclass(frozen=True)
class Confusion:
    """One change of a right token. `reason`: why it is refused, as one word for the log; empty if only whoever looks up
    the session can refuse it. `code`: what an endpoint answers. `fits_field`: a header field of HTTP carries it as it
    is."""

    name: str
    reason: str
    make: Callable[[Right], str]
    code: str = "credential_invalid"
    fits_field: bool = True


def of_header(name: str, changes: Members, reason: str = "header") -> Confusion:
    return Confusion(name, reason, lambda right: right.signed(changes))


def of_claims(name: str, changes: Members, reason: str = "claims", code: str = "credential_invalid") -> Confusion:
    return Confusion(name, reason, lambda right: right.signed(None, changes), code)


def of_claim(
    name: str, claim: str, make: Callable[[Right], Any], reason: str = "claims", code: str = "credential_invalid"
) -> Confusion:
    """A change of one claim to what is made of the right token."""
    return Confusion(name, reason, lambda right: right.signed(None, {claim: make(right)}), code)


def of_raw_header(name: str, reason: str, make: Callable[[bytes], bytes]) -> Confusion:
    """A change of the header's bytes."""
    return Confusion(name, reason, lambda right: right.signed(make(compact(right.header))))


def of_raw_claims(name: str, reason: str, make: Callable[[bytes], bytes]) -> Confusion:
    return Confusion(name, reason, lambda right: right.signed(None, make(compact(right.claims))))


def of_text(name: str, reason: str, make: Callable[[str], str], *, fits_field: bool = True) -> Confusion:
    """A change of the finished token."""
    return Confusion(name, reason, lambda right: make(right.token), fits_field=fits_field)


def of_signature(name: str, make: Callable[[bytes], bytes], reason: str = "signature") -> Confusion:
    def made(right: Right) -> str:
        signed, _, end = right.token.rpartition(".")
        return f"{signed}.{b64(make(unb64(end)))}"

    return Confusion(name, reason, made)


# -- the issuer's key as others can spell it -------------------------------------------------------


def _raw(key: PrivateKey) -> Any:
    return key.public.key.get_op_key("verify")


def spellings(key: PrivateKey) -> dict[str, bytes]:
    """A public key as bytes, in the forms in which somebody may take it for a shared secret."""
    raw, spki = _raw(key), serialization.PublicFormat.SubjectPublicKeyInfo
    pem, jwk = raw.public_bytes(serialization.Encoding.PEM, spki), key.public.as_jwk()
    return {
        "PEM": pem,
        "PEM without the last line break": pem.strip(),
        "DER": raw.public_bytes(serialization.Encoding.DER, spki),
        "JWK": compact(jwk),
        "JWK with blanks": json.dumps(jwk).encode(),
        "JWKS": compact({"keys": [jwk]}),
        "JWKS with blanks": key_set(key),
        "the bare key": _bare(raw),
        "its id": key.public.id.encode(),
        "nothing": b"",
    }


def _bare(raw: Any) -> bytes:
    if isinstance(raw, ec.EllipticCurvePublicKey):
        return raw.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    if isinstance(raw, ed25519.Ed25519PublicKey):
        return raw.public_bytes_raw()
    assert isinstance(raw, rsa.RSAPublicKey)
    return raw.public_numbers().n.to_bytes(raw.key_size // 8)


def certificate(key: PrivateKey) -> bytes:
    """Of the attacker's own making, in DER."""
    raw = key.key.get_op_key("sign")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "attacker.example")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, raw.public_key(), 1, begin, begin + timedelta(days=9999))
    return made.sign(raw, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def fingerprint(raw: bytes, name: str = "sha256") -> str:
    return b64(hashlib.new(name, raw).digest())
