"""The only module that uses Argon2id: it hashes and checks passwords in a few threads, never on the event loop.

Not here: rules about passwords (length, breached ones), which are in `core/factors/password`.

The work of a check does not depend on the person: one hash per scheme in use in the whole deployment, the stored one
among them. A scheme is the parameters and the pepper, written `m=19456,t=2` or `m=19456,t=2,k=ab12cd34`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from nacl import exceptions
from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13, crypto_pwhash_str_verify

from passgate.errors import Unavailable
from passgate.settings import HashSettings
from passgate.world import World

T = TypeVar("T")


class Stored(NamedTuple):
    """`phc` is the standard `$argon2id$v=19$…` string, `scheme` the parameters it was made with."""

    phc: str
    scheme: str


class Hasher:
    """Computes `threads` hashes at a time. A caller that waits longer than the deadline gets 503, so that no queue
    builds up."""

    def __init__(self, settings: HashSettings, world: World) -> None:
        self._world = world
        self._settings = settings
        self._peppers = {_pepper_id(pepper): pepper.encode() for pepper in settings.pepper}
        pepper = f",k={_pepper_id(settings.pepper[0])}" if settings.pepper else ""
        self.scheme = f"m={settings.memory_kib},t={settings.passes}{pepper}"
        self._schemes = {self.scheme}
        self._threads = settings.threads or os.cpu_count() or 1
        self._free = asyncio.Semaphore(self._threads)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="argon2")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def know(self, schemes: set[str]) -> None:
        """Set the schemes that stored hashes use. Each check pays for all of them, so that its time reveals nothing."""
        self._schemes = {self.scheme} | {scheme for scheme in schemes if self._usable(scheme)}

    async def hash(self, password: str) -> Stored:
        return await self._run(self._make, password)

    async def check(self, password: str, stored: Stored | None) -> bool:
        """True if `password` made `stored`. With None (no such person, no password) it does the same work and returns
        False."""
        return await self._run(self._verify, password, stored)

    async def derive(self, text: str, salt: bytes, scheme: str) -> bytes:
        """32 bytes that are the same for the same text, salt and scheme: to look up one of a set that shares a salt."""
        return await self._run(self._derived, text, salt, scheme)

    def is_stale(self, stored: Stored) -> bool:
        return stored.scheme != self.scheme

    async def _run(self, work: Callable[..., T], *given: object) -> T:
        try:
            async with asyncio.timeout(self._settings.deadline):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("hashing", retry_after=self._settings.deadline) from None
        try:
            # Shielded: a client that disconnects must not free the slot while its thread is still busy.
            task = asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
            task.add_done_callback(lambda _: self._free.release())
        except BaseException:
            self._free.release()
            raise
        return await asyncio.shield(task)

    # -- in the threads ----------------------------------------------------------------------------

    def _make(self, password: str) -> Stored:
        salt = self._world.bytes(16)
        raw = self._derived(password, salt, self.scheme)
        return Stored(f"$argon2id$v=19${self.scheme.partition(',k=')[0]},p=1${_b64(salt)}${_b64(raw)}", self.scheme)

    def _derived(self, text: str, salt: bytes, scheme: str) -> bytes:
        memory, passes = (int(part[2:]) for part in scheme.split(",")[:2])
        prepared = self._prepared(text, scheme)
        return bytes(crypto_pwhash_alg(32, prepared, salt, passes, memory * 1024, crypto_pwhash_ALG_ARGON2ID13))

    def _verify(self, password: str, stored: Stored | None) -> bool:
        right = False
        for scheme in sorted(self._schemes | ({stored.scheme} if stored else set())):
            mine = stored is not None and stored.scheme == scheme
            phc = stored.phc if stored is not None and mine else _stand_in(scheme)
            right |= self._matches(phc, self._prepared(password, scheme)) and mine
        return right

    @staticmethod
    def _matches(phc: str, prepared: bytes) -> bool:
        try:
            return bool(crypto_pwhash_str_verify(phc.encode(), prepared))
        except exceptions.InvalidkeyError:
            return False

    def _prepared(self, password: str, scheme: str) -> bytes:
        """NFC, then an HMAC with the pepper (NIST 800-63B-4 §3.1.1.2: a keyed step whose key is stored separately)."""
        text = unicodedata.normalize("NFC", password).encode()
        pepper = self._peppers.get(scheme.partition(",k=")[2])
        return base64.b64encode(hmac.digest(pepper, text, "sha256")) if pepper else text

    def _usable(self, scheme: str) -> bool:
        pepper = scheme.partition(",k=")[2]
        return not pepper or pepper in self._peppers


def _pepper_id(pepper: str) -> str:
    return hashlib.sha256(b"passgate pepper id" + pepper.encode()).hexdigest()[:8]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()


def _stand_in(scheme: str) -> str:
    """A well-formed hash that matches nothing and costs as much as a real one of the scheme."""
    parameters = scheme.partition(",k=")[0]
    return f"$argon2id$v=19${parameters},p=1${_b64(bytes(16))}${_b64(bytes(32))}"
