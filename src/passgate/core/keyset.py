"""What one process has read of the signing keys: which one signs now, and which ones verify.

Not here: the database and when a key is made (`keys`). These are values only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from passgate.access_token import AccessToken
from passgate.jose import PrivateKey, PublicKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`generation` counts the keys of an algorithm. Instants as stored; `expires_at`: None without a successor."""

    public: PublicKey
    generation: int
    created_at: int
    signs_from: int
    expires_at: int | None
    private_sealed: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return self.public.id

    def is_published(self, now: int) -> bool:
        return self.expires_at is None or self.expires_at > now


@dataclass
class KeySet:
    """Lives in one event loop. `private`: unsealed ones, by id; `verified`: access tokens whose signature was right, by
    a digest of their bytes, with the id of their key."""

    published: dict[str, SigningKey] = field(default_factory=dict)
    private: dict[str, PrivateKey] = field(default_factory=dict, repr=False)
    verified: dict[bytes, tuple[str, AccessToken]] = field(default_factory=dict, repr=False)
    read_at: int = 0
    looked_at: int = 0
    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def replace(self, keys: Iterable[SigningKey], now: int) -> None:
        self.published = {key.id: key for key in keys if key.is_published(now)}
        self.private = {kid: key for kid, key in self.private.items() if kid in self.published}
        self.read_at = now

    def find(self, kid: str, now: int) -> PublicKey | None:
        """The public key with this id, if it is published now."""
        key = self.published.get(kid)
        return key.public if key is not None and key.is_published(now) else None

    def current(self, algorithm: str, now: int) -> SigningKey | None:
        """The key of this algorithm that signs now."""
        mine = [key for key in self.published.values() if key.public.algorithm == algorithm and key.signs_from <= now]
        return max(mine, key=lambda key: key.generation, default=None)

    def is_retiring(self, key: SigningKey, now: int) -> bool:
        """Whether a newer key of its algorithm signs already."""
        current = self.current(key.public.algorithm, now)
        return current is not None and current.generation > key.generation
