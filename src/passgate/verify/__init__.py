"""For programs that only verify: whether an access token of a Passgate counts. It needs no database and no web
framework, and can be imported alone.

    verifier = Verifier("https://id.example.com")
    token = await verifier.verify(bearer)          # or verifier.verify_sync(bearer)

What it cannot see is whether the session behind a token has ended: a token counts until its few minutes are over.
Passgate's own endpoints and `gate.user` look that up at every request. Not here: issuing tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx2

from passgate.access_token import AccessToken, read
from passgate.jose import ALGORITHMS, PublicKey, Refused, header_of, members
from passgate.world import SECOND, World

__all__ = ["AccessToken", "Refused", "Unreachable", "Verifier"]

_MOST = 1024 * 1024
"""Bytes of a key set."""
_PAUSE = 60.0
"""Seconds between two times that the issuer is asked, for keys that are old or for one that is not known: anybody can
send any `kid`, and an issuer that is away must not cost every request its timeout."""
_NEVER = float("-inf")

_WORLD = World.real()


def _seconds() -> float:
    return _WORLD.now() / SECOND


class Unreachable(Exception):
    """The issuer's keys could not be read, and none are known."""


class Verifier:
    """Verifies the access tokens of one issuer. One value serves a whole program, its threads and its event loop.

    `audience`: what the tokens must be for; by default the issuer, which Passgate's own tokens are for. `algorithms`:
    the ones that are accepted; each key has only its own. `keys_url`: by default `{issuer}/oauth2/jwks`. `max_age`: for
    how many seconds keys are used before they are read again; while the issuer is away, the known ones go on. `leeway`:
    seconds that the clocks may differ. `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | None = None,
        algorithms: Iterable[str] = ALGORITHMS,
        keys_url: str | None = None,
        max_age: float = 300,
        leeway: int = 0,
        timeout: float = 5,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.issuer, self.audience = issuer, audience or issuer
        self.keys_url = keys_url or f"{issuer}/oauth2/jwks"
        self._algorithms, self._max_age, self._leeway = frozenset(algorithms), max_age, leeway
        self._timeout, self._clock = timeout, clock or _seconds
        self._keys: dict[str, PublicKey] = {}
        self._read_at = self._asked_at = _NEVER
        self._reading = threading.Lock()
        if not self._algorithms or not self._algorithms <= set(ALGORITHMS):
            raise ValueError(f"algorithms must be some of {', '.join(ALGORITHMS)}")

    async def verify(self, token: str) -> AccessToken:
        """The token, if it counts now. Raises Refused, or Unreachable if no keys are known."""
        if self._is_due(token):
            try:
                async with httpx2.AsyncClient(timeout=self._timeout) as http:
                    self._take(await http.get(self.keys_url))
            except (httpx2.HTTPError, Unreachable) as away:
                self._go_on_without(away)
        return self._verified(token)

    def verify_sync(self, token: str) -> AccessToken:
        """The same without an event loop."""
        if self._is_due(token):
            try:
                with httpx2.Client(timeout=self._timeout) as http:
                    self._take(http.get(self.keys_url))
            except (httpx2.HTTPError, Unreachable) as away:
                self._go_on_without(away)
        return self._verified(token)

    def dependency(self) -> Callable[..., Awaitable[AccessToken]]:
        """A FastAPI dependency that gives the token of the Authorization header, and answers 401 (RFC 6750 §3) or 503
        otherwise."""
        from passgate.verify.dependency import bearer  # noqa: PLC0415  only programs that ask for it have the framework

        return bearer(self)

    # -- keys --------------------------------------------------------------------------------------

    def _is_due(self, token: str) -> bool:
        """Whether the issuer is to be asked: until a key set was read, after `max_age`, or for a key that is not known,
        then at most once a minute. Of concurrent callers one asks; the others go on with what is known."""
        now, kid = self._clock(), header_of(token).get("kid", "")
        is_fresh = kid in self._keys and now - self._read_at < self._max_age
        with self._reading:
            is_asked_lately = now - self._asked_at < min(_PAUSE, self._max_age)
            if self._is_read and (is_fresh or is_asked_lately):
                return False
            self._asked_at = now
        return True

    @property
    def _is_read(self) -> bool:
        return self._read_at != _NEVER

    def know(self, keys: Iterable[PublicKey]) -> None:
        """Use these keys from now on, without asking the issuer; for tests, and where keys come another way."""
        self._keys = {key.id: key for key in keys if key.algorithm in self._algorithms}
        self._read_at = self._clock()

    def _take(self, answer: httpx2.Response) -> None:
        """Replace the known keys by those of a key set. Keys of another kind are left out."""
        if answer.status_code != 200 or len(answer.content) > _MOST:
            raise Unreachable(f"the key set was answered with {answer.status_code}")
        try:
            listed = members(answer.content).get("keys")
        except Refused:
            listed = None
        if not isinstance(listed, list):
            raise Unreachable("what was answered is no key set")
        self.know(key for key in map(_readable, listed) if key is not None)

    def _go_on_without(self, away: Exception) -> None:
        """Keys that are known go on while the issuer is away."""
        if not self._is_read:
            raise Unreachable("the issuer's keys cannot be read, and none are known") from away

    def _verified(self, token: str) -> AccessToken:
        now, find = self._clock(), self._keys.get
        return read(token, find, issuer=self.issuer, audience=self.audience, now=now, leeway=self._leeway)


def _readable(jwk: Any) -> PublicKey | None:
    try:
        return PublicKey.of(jwk) if isinstance(jwk, dict) else None
    except ValueError:
        return None
