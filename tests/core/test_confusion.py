"""Confused tokens before the function that decides whether an access token counts, and before `passgate.verify`: each
is refused for its one change, and no key is fetched from where the token says.

The same at every endpoint is in tests/web/test_confusion.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import pytest

from passgate import access_token
from passgate.access_token import AccessToken
from passgate.jose import ALGORITHMS, LONGEST, PrivateKey, PublicKey, Refused
from passgate.verify import Verifier
from tests import issuer as issuers
from tests.core.confusion import ATTACKER, Confusion, Right
from tests.core.corpus import CORPUS
from tests.issuer import KEYS, NOW, Issuer, token_of
from tests.kit import Dice

ELSEWHERE = "/attacker/keys"


@cache
def key(algorithm: str) -> PrivateKey:
    return PrivateKey.make(algorithm, Dice())


@dataclass
class Readers:
    """Whoever decides by the token alone, for tokens of one issuer."""

    issuer: Issuer
    verifier: Verifier
    keys: dict[str, PublicKey]

    async def read(self, token: str) -> list[AccessToken | str]:
        """What each of them reads in it, or why it refuses it."""
        url = self.issuer.url
        return [
            await _outcome(_async(access_token.read, token, self.keys.get, issuer=url, audience=url, now=NOW)),
            await _outcome(_async(self.verifier.verify_sync, token)),
            await _outcome(self.verifier.verify(token)),
        ]

    async def accepted(self, token: str) -> AccessToken:
        first, *others = await self.read(token)
        assert isinstance(first, AccessToken), first
        assert others == [first, first]
        return first


async def _async(function: Callable[..., AccessToken], *given: Any, **named: Any) -> AccessToken:
    return function(*given, **named)


async def _outcome(read: Awaitable[AccessToken]) -> AccessToken | str:
    try:
        return await read
    except Refused as refused:
        return refused.reason


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    mine = [key(algorithm) for algorithm in ALGORITHMS]
    with issuers.serving(*mine) as issuer:
        issuer.publish(ATTACKER, path=ELSEWHERE)
        verifier = Verifier(issuer.url, clock=lambda: NOW)
        yield Readers(issuer, verifier, {one.public.id: one.public for one in mine})


def right_of(issuer: Issuer, algorithm: str = "ES256") -> Right:
    token = token_of(issuer.url)
    claims = {
        "iss": token.issuer,
        "aud": token.audience,
        "sub": token.subject,
        "client_id": token.client_id,
        "jti": token.token_id,
        "sid": token.session_id,
        "tenant_id": token.tenant_id,
        "acr": token.acr,
        "amr": [*token.amr],
        "roles": [*token.roles],
        "auth_time": token.auth_time,
        "iat": token.issued_at,
        "exp": token.expires_at,
    }
    rival = key("EdDSA" if algorithm == "ES256" else "ES256")
    others = {"somebody else": "x", "another tenant": "x", "a bearer": "x", "ended": "x", "sub": "x", "tenant_id": "x"}
    return Right(key(algorithm), rival, NOW, claims, f"{issuer.url}{ELSEWHERE}", others)


@pytest.mark.parametrize("confusion", CORPUS, ids=lambda one: one.name)
async def test_each_is_refused_for_its_change(readers: Readers, confusion: Confusion) -> None:
    """Those that only a look at the session can refuse are right tokens here."""
    for algorithm in ALGORITHMS:
        right = right_of(readers.issuer, algorithm)
        assert (await readers.accepted(right.token)).subject == "person"
        token = confusion.make(right)
        if confusion.reason:
            assert await readers.read(token) == [confusion.reason] * 3, algorithm
        else:
            await readers.accepted(token)
    assert set(readers.issuer.asked) == {KEYS}


async def test_the_control_is_what_we_sign(readers: Readers) -> None:
    right, ours = right_of(readers.issuer, "EdDSA"), token_of(readers.issuer.url)
    assert right.token == access_token.signed(key("EdDSA"), ours)
    assert asdict(await readers.accepted(right.token)) == asdict(ours)


async def test_what_a_right_token_may_have(readers: Readers) -> None:
    """The changes of the corpus that go a little less far are none."""
    right = right_of(readers.issuer)
    now = right.claims["iat"]
    long = "x" * ((LONGEST - len(right.token)) * 3 // 4 - 20)
    for token in (
        right.signed({"typ": "application/at+jwt"}),
        right.signed(None, {"exp": now + access_token.LONGEST_LIFE}),
        right.signed(None, {"iat": NOW + 60}),
        right.signed(None, {"exp": NOW + 1}),
        right.signed(None, {"roles": [], "amr": []}),
        right.signed(None, {"permissions": []}),
        right.signed(None, {"permissions": ["invoices:read"]}),
        right.signed(None, {"more": {"a": [1.5, None]}}),
        right.signed(None, {"more": long}),
    ):
        await readers.accepted(token)
    assert LONGEST - 40 < len(right.signed(None, {"more": long})) <= LONGEST
