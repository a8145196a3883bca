"""Signed tokens: JWS in compact serialization (RFC 7515), read strictly, and the keys that sign and verify them (RFC
7517). Nothing in a token says how it is verified: the key is ours, and the algorithm is the key's.

Not here: what the claims of a token mean (`access_token`), when a key signs (`core.keys`), and storage.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALGORITHMS = ("ES256", "EdDSA", "RS256")
LONGEST = 8192
"""Characters of a token; ours have 4 KiB of a host's claims at most."""
_RSA_BITS, _LEAST_RSA_BITS = 3072, 2048
_PART = re.compile(r"[A-Za-z0-9_-]*")
_MEMBERS = frozenset({"alg", "kid", "typ"})
"""What a header of ours has. Anything else would ask for something that we do not do: another key, a critical
extension, a payload that is not encoded (RFC 8725 §3.1, §3.10)."""
_ECDSA = {"kty": "EC", "crv": "P-256"}
_EDDSA = {"kty": "OKP", "crv": "Ed25519"}
_KINDS = {"ES256": _ECDSA, "EdDSA": _EDDSA, "RS256": {"kty": "RSA"}}


class Refused(ValueError):
    """A token that does not count. `reason`: one word for log and trail, never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# -- the library ---------------------------------------------------------------------------------

# Imported with the first key: it takes as long as a twentieth of a start, and most commands need none.


@cache
def _family(algorithm: str) -> Any:
    """The library's class of key."""
    from joserfc.jwk import ECKey, OKPKey, RSAKey  # noqa: PLC0415

    return {"ES256": ECKey, "EdDSA": OKPKey, "RS256": RSAKey}[algorithm]


@cache
def _signature(algorithm: str) -> Any:
    """The library's signature, without its reading of tokens, which is less strict than ours."""
    from joserfc.jws import JWSRegistry  # noqa: PLC0415

    return JWSRegistry.algorithms[algorithm]


@cache
def _powers() -> dict[int, set[int]]:
    """For each prime the residues that powers of 65537 have: those of a ROCA modulus are all among them
    (CVE-2017-15361), and of a billion others one is."""
    primes = [n for n in range(3, 168, 2) if all(n % divisor for divisor in range(3, n, 2))]
    return {prime: {pow(65537, exponent, prime) for exponent in range(prime)} for prime in primes}


# -- keys ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`id`: its thumbprint (RFC 7638), or the `kid` that an issuer gave it."""

    id: str
    algorithm: str
    key: Any = field(repr=False)

    @classmethod
    def of(cls, jwk: Mapping[str, Any]) -> PublicKey:
        """From a public JWK with `kid` and `alg`. ValueError for one that cannot verify what we sign."""
        algorithm, kid = jwk.get("alg"), jwk.get("kid")
        if not isinstance(algorithm, str) or algorithm not in _KINDS or not isinstance(kid, str):
            raise ValueError("a key with alg and kid is required")
        if any(jwk.get(name) != value for name, value in _KINDS[algorithm].items()) or jwk.get("use", "sig") != "sig":
            raise ValueError("the key is of another kind than its algorithm")
        uses = jwk.get("key_ops", ["verify"])
        if not isinstance(uses, list) or "verify" not in uses:
            raise ValueError("the key is for something else")
        return cls(kid, algorithm, _public(_family(algorithm), jwk))

    def as_jwk(self) -> dict[str, Any]:
        return {**self.key.as_dict(private=False), "kid": self.id, "alg": self.algorithm, "use": "sig"}

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        return bool(_signature(self.algorithm).verify(signed, signature, self.key))


def _public(kind: type[Any], jwk: Mapping[str, Any]) -> Any:
    from joserfc.errors import JoseError  # noqa: PLC0415

    names = {"EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x"), "RSA": ("kty", "n", "e")}[str(jwk["kty"])]
    try:
        if jwk["kty"] == "RSA":
            _refuse_weak(int.from_bytes(_decoded(jwk["n"])))
        key = kind.import_key({name: jwk[name] for name in names})
        key.get_op_key("verify")
    except (JoseError, KeyError, ValueError, TypeError) as wrong:
        raise ValueError("the key cannot be read") from wrong
    return key


def _refuse_weak(modulus: int) -> None:
    is_roca = all(modulus % prime in powers for prime, powers in _powers().items())
    if is_roca or modulus.bit_length() < _LEAST_RSA_BITS:
        raise ValueError("the modulus is too short, or can be factored")


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """`key` signs; `public` is what is published of it."""

    public: PublicKey
    key: Any = field(repr=False)

    @classmethod
    def make(cls, algorithm: str, random: Callable[[int], bytes]) -> PrivateKey:
        """A new key. An RSA key takes a second, and its randomness from the operating system."""
        return cls.load(algorithm, _made(algorithm, random))

    @classmethod
    def load(cls, algorithm: str, jwk: Mapping[str, Any]) -> PrivateKey:
        key = _family(algorithm).import_key(dict(jwk))
        public = {**key.as_dict(private=False), "kid": key.thumbprint(), "alg": algorithm}
        return cls(PublicKey.of(public), key)

    def as_jwk(self) -> dict[str, Any]:
        """With the private part."""
        return dict(self.key.as_dict(private=True))

    def sign(self, kind: str, payload: bytes) -> str:
        """A token whose `typ` is `kind`."""
        header = {"alg": self.public.algorithm, "typ": kind, "kid": self.public.id}
        signed = f"{_encoded(json.dumps(header, separators=(',', ':')).encode())}.{_encoded(payload)}"
        return f"{signed}.{_encoded(_signature(self.public.algorithm).sign(signed.encode(), self.key))}"


def _made(algorithm: str, random: Callable[[int], bytes]) -> dict[str, Any]:
    raw: Any
    if algorithm == "ES256":
        # 64 spare bits make the bias of the remainder vanish (FIPS 186-5 A.2.1).
        order = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
        raw = ec.derive_private_key(int.from_bytes(random(40)) % (order - 1) + 1, ec.SECP256R1())
    elif algorithm == "EdDSA":
        raw = ed25519.Ed25519PrivateKey.from_private_bytes(random(32))
    else:
        raw = rsa.generate_private_key(65537, _RSA_BITS)
    key = _family(algorithm).import_key(raw)
    return dict(key.as_dict(private=True))


# -- reading strictly ------------------------------------------------------------------------------


def opened(token: str, find: Callable[[str], PublicKey | None]) -> tuple[dict[str, str], bytes]:
    """Header and payload of a token whose signature is right. `find` gives the key with this `kid`. Raises Refused."""
    parts = _parts(token)
    header, payload, signature = _header(parts[0]), _decoded(parts[1]), _decoded(parts[2])
    key = find(header.get("kid", ""))
    if key is None:
        raise Refused("kid")
    if header.get("alg") != key.algorithm:
        raise Refused("alg")
    if not key.verifies(f"{parts[0]}.{parts[1]}".encode(), signature):
        raise Refused("signature")
    return header, payload


def header_of(token: str) -> dict[str, str]:
    """The header, which nothing vouches for yet. Raises Refused."""
    return _header(_parts(token)[0])


def _parts(token: str) -> list[str]:
    if len(token) > LONGEST:
        raise Refused("size")
    parts = token.split(".")
    if len(parts) != 3:
        raise Refused("parts")
    return parts


def _header(part: str) -> dict[str, str]:
    header = members(_decoded(part))
    if not header.keys() <= _MEMBERS or not all(isinstance(value, str) for value in header.values()):
        raise Refused("header")
    return header


def _decoded(part: str) -> bytes:
    """Exactly one spelling of each value: no padding, no other alphabet, no bits left over (RFC 4648 §3.5)."""
    if not _PART.fullmatch(part):
        raise Refused("encoding")
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise Refused("encoding") from None
    if _encoded(raw) != part:
        raise Refused("encoding")
    return raw


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def members(raw: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 without doubled names and without NaN. Raises Refused."""
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("json") from None
    if not isinstance(found, dict):
        raise Refused("json")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("doubled")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
