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
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import IntEnum
from typing import NamedTuple, TypeVar

from nacl import exceptions
from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13, crypto_pwhash_str_verify

from passgate.errors import Unavailable
from passgate.settings import HashSettings
from passgate.world import World

T = TypeVar("T")


class Queue(IntEnum):
    """Who waits for a thread; the lowest is served first. Strangers and sign-ups never hold the last of two or more
    threads."""

    OWNERS = 0
    """Known browsers, step-ups, and new passwords after a proof."""
    STRANGERS = 1
    SIGN_UPS = 2


_LONGEST = {Queue.OWNERS: 2000, Queue.STRANGERS: 1000, Queue.SIGN_UPS: 1000}
"""How many may wait in each queue; more get 503 at once."""


class Stored(NamedTuple):
    """`phc` is the standard `$argon2id$v=19$…` string, `scheme` the parameters it was made with."""

    phc: str
    scheme: str


class Hasher:
    """Computes `threads` hashes at a time, for three queues. A caller that would wait longer than the deadline, or in a
    queue that is full, gets 503, so that no queue builds up."""

    def __init__(self, settings: HashSettings, world: World) -> None:
        self._world = world
        self._settings = settings
        self._peppers = {_pepper_id(pepper): pepper.encode() for pepper in settings.pepper}
        pepper = f",k={_pepper_id(settings.pepper[0])}" if settings.pepper else ""
        self.scheme = f"m={settings.memory_kib},t={settings.passes}{pepper}"
        self._schemes = {self.scheme}
        self._threads = _Threads(settings.threads or os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads.number, thread_name_prefix="argon2")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def know(self, schemes: set[str]) -> None:
        """Set the schemes that stored hashes use. Each check pays for all of them, so that its time reveals nothing."""
        self._schemes = {self.scheme} | {scheme for scheme in schemes if self._usable(scheme)}

    async def hash(self, password: str, queue: Queue) -> Stored:
        return await self.run(queue, self._make, password, self.scheme)

    async def check(self, password: str, stored: Stored | None, queue: Queue) -> bool:
        """True if `password` made `stored`. With None (no such person, no password) it does the same work and returns
        False."""
        return await self.run(queue, self._verify, password, stored)

    async def derive(self, text: str, salt: bytes, scheme: str, queue: Queue) -> bytes:
        """32 bytes that are the same for the same text, salt and scheme: to look up one of a set that shares a salt."""
        return await self.run(queue, self._derived, text, salt, scheme)

    def is_stale(self, stored: Stored) -> bool:
        """Whether a right password should be hashed anew: the settings are stronger, or have another pepper. Never
        because they are weaker: whoever lowers them for one machine must not weaken every password that is used."""
        return self._scheme_after(stored.scheme) != stored.scheme

    async def rehash(self, password: str, stored: Stored, queue: Queue) -> Stored:
        """With the current pepper and the stronger parameters: the current ones, or those of `stored`."""
        return await self.run(queue, self._make, password, self._scheme_after(stored.scheme))

    def _scheme_after(self, scheme: str) -> str:
        stronger = max(scheme, self.scheme, key=_strength)  # that of `stored`, if both are equally strong
        pepper = self.scheme.partition(",k=")[2]
        return stronger.partition(",k=")[0] + (f",k={pepper}" if pepper else "")

    async def run(self, queue: Queue, work: Callable[..., T], *given: object) -> T:
        """Run anything that takes as long as a hash in one of the threads, in its queue's turn."""
        try:
            async with asyncio.timeout(self._settings.deadline):
                await self._threads.take(queue)
        except (TimeoutError, asyncio.QueueFull):
            raise Unavailable("hashing", retry_after=self._settings.deadline) from None
        try:
            # Shielded: a client that disconnects must not free the thread while it is still busy.
            task = asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
            task.add_done_callback(lambda _: self._threads.give_back(queue))
        except BaseException:
            self._threads.give_back(queue)
            raise
        return await asyncio.shield(task)

    # -- in the threads ----------------------------------------------------------------------------

    def _make(self, password: str, scheme: str) -> Stored:
        salt = self._world.bytes(16)
        raw = self._derived(password, salt, scheme)
        return Stored(f"$argon2id$v=19${scheme.partition(',k=')[0]},p=1${_b64(salt)}${_b64(raw)}", scheme)

    def _derived(self, text: str, salt: bytes, scheme: str) -> bytes:
        memory, passes = _parameters(scheme)
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


class _Threads:
    """Which of the waiting callers gets the next free thread. Lives in one event loop."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._busy = dict.fromkeys(Queue, 0)
        self._waiting: dict[Queue, deque[asyncio.Future[None]]] = {queue: deque() for queue in Queue}

    def _is_free(self, queue: Queue) -> bool:
        busy = sum(self._busy.values())
        others = busy - self._busy[Queue.OWNERS]
        return busy < self.number and (queue is Queue.OWNERS or self.number < 2 or others < self.number - 1)

    async def take(self, queue: Queue) -> None:
        """Wait for a thread. Raises QueueFull."""
        waiting = self._waiting[queue]
        if not waiting and self._is_free(queue):
            self._busy[queue] += 1
            return
        if len(waiting) >= _LONGEST[queue]:
            raise asyncio.QueueFull
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # taken out already, as cancelled
                    waiting.remove(turn)
            else:  # its turn came together with the cancellation
                self.give_back(queue)
            raise

    def give_back(self, queue: Queue) -> None:
        self._busy[queue] -= 1
        for other in Queue:
            waiting = self._waiting[other]
            while waiting and self._is_free(other):
                turn = waiting.popleft()
                if not turn.cancelled():
                    self._busy[other] += 1
                    turn.set_result(None)


def _parameters(scheme: str) -> tuple[int, int]:
    """Memory in KiB, and passes over it."""
    memory, passes = (int(part[2:]) for part in scheme.split(",")[:2])
    return memory, passes


def _strength(scheme: str) -> int:
    """Memory times passes, which is what a guess costs an attacker's hardware. OWASP's equivalent parameters differ in
    it by a third at most."""
    memory, passes = _parameters(scheme)
    return memory * passes


def _pepper_id(pepper: str) -> str:
    return hashlib.sha256(b"passgate pepper id" + pepper.encode()).hexdigest()[:8]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()


def _stand_in(scheme: str) -> str:
    """A well-formed hash that matches nothing and costs as much as a real one of the scheme."""
    parameters = scheme.partition(",k=")[0]
    return f"$argon2id$v=19${parameters},p=1${_b64(bytes(16))}${_b64(bytes(32))}"
