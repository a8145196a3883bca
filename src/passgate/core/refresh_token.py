"""Refresh tokens: what one says of its family, and how its successor follows from it. The next token is derived from
the present one, so that nothing is stored that could be stolen and used.

Not here: taking one, and what a second use means (`tokens`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from passgate.seal import Minted, Ring, digest

PREFIX = "pg_rt_"
_LENGTH = 16 + 4 + 32
"""Bytes: family, rotation, secret."""
_DERIVED = "refresh"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """`family_id`: the carrier that it belongs to; `rotation`: how many came before it in the family; `key_id`: the
    ring's key that it was made under."""

    family_id: str
    rotation: int
    secret: bytes = field(repr=False)
    key_id: bytes = field(repr=False)

    @property
    def hash(self) -> bytes:
        """What is stored of it."""
        return digest(b"refresh", self.secret)

    def successor(self, ring: Ring) -> Minted:
        """The next one of the family; the same whenever it is asked for."""
        number = self.rotation + 1
        secret = ring.derived(_DERIVED, self.key_id, self.secret + _where(self.family_id, number))
        return _stamped(ring, self.family_id, number, secret)


def minted(ring: Ring, family_id: str, rotation: int, secret: bytes) -> Minted:
    """One that follows from no other: the first of a family, or of a step-up. `secret`: 32 random bytes."""
    return _stamped(ring, family_id, rotation, secret)


def presented(ring: Ring, token: str) -> RefreshToken | None:
    """One that we have issued, at any time; None for anything else, decided without the database."""
    body = ring.content(PREFIX, token, _LENGTH)
    if body is None:
        return None
    key_id, family, number, secret = body[:4], body[4:20], body[20:24], body[24:]
    return RefreshToken(_text(family), int.from_bytes(number), secret, key_id)


def _stamped(ring: Ring, family_id: str, rotation: int, secret: bytes) -> Minted:
    token = ring.stamped(PREFIX, _where(family_id, rotation) + secret).token
    return Minted(token, digest(b"refresh", secret))


def _where(family_id: str, rotation: int) -> bytes:
    return bytes.fromhex(family_id.replace("-", "")) + rotation.to_bytes(4)


def _text(family: bytes) -> str:
    """The id as it is stored."""
    found = family.hex()
    return "-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))
