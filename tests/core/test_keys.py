"""Signing keys over their life: the first signs at once, the next is published before it signs, a retiring one verifies
until its last token is over; and what is noticed when the key file is not the one they were made under.

Not here: two processes (`tests/races/test_signing_keys`), and signatures (`tests/ground/test_jose`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from passgate.core import keys, operate, sealed, signin, starts, tokens
from passgate.core.ctx import Operator
from passgate.errors import CredentialInvalid, PassgateError, Unavailable
from passgate.jose import header_of
from passgate.seal import KEY_BYTES, Ring
from passgate.settings import TokenSettings
from passgate.store.tables import signing_key
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.kit import PASSWORD, The

WAIT = keys.PUBLISHED + keys.MARGIN


@pytest.fixture
async def folk(the: The) -> AsyncIterator[Folk]:
    yield Folk(the)


async def signed_in(folk: Folk) -> str:
    """An access token."""
    begun = await starts.sign_in(folk.ctx, await folk.email(await folk.create()), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    pair = (await signin.finish(folk.ctx, begun.handle, carrier="jwt")).pair
    assert pair is not None
    return pair.access_token


async def published(the: The) -> list[str]:
    answer = await the.http.get("/oauth2/jwks")
    assert answer.status_code == 200
    return [key["kid"] for key in answer.json()["keys"]]


def kid(token: str) -> str:
    return header_of(token)["kid"]


async def test_no_key_is_made_before_one_is_needed(folk: Folk) -> None:
    assert await published(folk.the) == []
    token = await signed_in(folk)
    assert await published(folk.the) == [kid(token)]
    answer = await folk.the.http.get("/oauth2/jwks")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == f"public, max-age={keys.PUBLISHED}"
    [key] = answer.json()["keys"]
    assert (key["alg"], key["use"], key["kty"], "d" in key) == ("ES256", "sig", "EC", False)


async def test_next_current_retiring(folk: Folk) -> None:
    the, services = folk.the, folk.the.gate.services
    old = await signed_in(folk)
    made = await keys.add(services, "ES256")
    assert await published(the) == [kid(old), made.id], "published at once"
    assert (await keys.add(services, "ES256")).id == made.id, "the one that waits stays the next"
    the.clock.forward(WAIT - 1)
    assert kid(await signed_in(folk)) == kid(old)
    the.clock.forward(keys._FRESH)
    last = await signed_in(folk)
    assert kid(last) == made.id
    await tokens.find(folk.ctx, last)
    assert await published(the) == [kid(old), made.id]


async def test_a_retired_keys_tokens_are_refused_after_its_time(folk: Folk) -> None:
    """Also one that this process has verified before, and one that would live longer by its own word."""
    the, services = folk.the, folk.the.gate.services
    await signed_in(folk)
    await keys.add(services, "ES256")
    the.clock.forward(WAIT - 2)
    last = await signed_in(folk)
    await tokens.find(folk.ctx, last)
    the.clock.forward(2 + 590)
    await tokens.find(folk.ctx, last)
    await keys.read(services)
    assert kid(last) in await published(the)
    the.clock.forward(10 + keys.MARGIN + 2)
    assert kid(last) not in await published(the)
    with pytest.raises(CredentialInvalid):
        await tokens.find(folk.ctx, last)
    assert services.keys.find(kid(last), folk.ctx.now()) is None
    await keys.rotate_due(services)
    assert kid(last) not in [row["id"] for row in await the.rows(signing_key)]


async def test_the_job_rotates_when_a_key_has_signed_for_long_enough(folk: Folk) -> None:
    the, services = folk.the, folk.the.gate.services
    first = kid(await signed_in(folk))
    for days, count in ((89, 1), (1, 2), (0, 2)):
        the.clock.forward(days * 86_400)
        await keys.rotate_due(services)
        assert len(await the.rows(signing_key)) == count
    the.clock.forward(WAIT + keys._FRESH)
    second = kid(await signed_in(folk))
    assert second != first
    the.clock.forward(86_400)
    await keys.rotate_due(services)
    assert await published(the) == [second]


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
async def test_another_algorithm_signs_at_once(folk: Folk, algorithm: str) -> None:
    """Its first key is made when a token needs it; those of the algorithm before go on verifying."""
    old, settings = await signed_in(folk), folk.the.gate.settings
    token = TokenSettings(algorithm=algorithm)  # type: ignore[arg-type]
    services = replace(folk.the.gate.services, settings=settings.model_copy(update={"token": token}))
    key = await keys.signer(services)
    assert key.public.algorithm == algorithm
    assert sorted(await published(folk.the)) == sorted([kid(old), key.public.id])
    await tokens.find(folk.ctx, old)


async def test_private_keys_are_sealed_and_sealed_again(folk: Folk) -> None:
    services = folk.the.gate.services
    await signed_in(folk)
    [before] = await folk.the.rows(signing_key)
    private = services.keys.private[before["id"]].as_jwk()["d"]
    assert private.encode() not in before["private_sealed"]
    assert private not in json.dumps(json.loads(before["public"]))
    services.ring.rotate()
    await sealed.rewrap(services)
    [after] = await folk.the.rows(signing_key)
    assert after["private_sealed"] != before["private_sealed"]
    services.keys.private.clear()
    assert kid(await signed_in(folk)) == before["id"]


async def test_a_key_file_of_yesterday_is_noticed(folk: Folk, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is signed, nothing is used up, the log says it, and a successor is published; then tokens go on."""
    the, services = folk.the, folk.the.gate.services
    old = await signed_in(folk)
    other = Ring([b"x" * KEY_BYTES], services.world)
    yesterday = replace(services, ring=other, keys=type(services.keys)())
    with pytest.raises(Unavailable) as down:
        await keys.signer(yesterday)
    assert down.value.down == "signing_key"
    await keys.rotate_due(yesterday)
    assert [record.levelname for record in caplog.records if record.name == "passgate.core.keys"] == ["ERROR"]
    assert len(await published(the)) == 2
    the.clock.forward(WAIT + keys._FRESH)
    assert (await keys.signer(yesterday)).public.id != kid(old)


async def test_an_operator_publishes_the_next_one(folk: Folk) -> None:
    first = kid(await signed_in(folk))
    operator = replace(folk.ctx, principal=Operator())
    made: dict[str, Any] = await operate.rotate_signing(operator)
    assert made["algorithm"] == "ES256"
    assert made["signs_at"] >= folk.ctx.now() + (WAIT - 1) * SECOND
    assert await published(folk.the) == [first, made["key_id"]]
    assert (await folk.the.events())[-1] == "key:signing:added"
    with pytest.raises(PassgateError):
        await operate.rotate_signing(folk.ctx)


async def test_requests_with_a_new_key_at_the_same_moment(folk: Folk) -> None:
    """All of them are answered by the one look for it."""
    services = folk.the.gate.services
    await keys.signer(services)
    made = await keys.add(services, "EdDSA", is_first=True)
    await asyncio.gather(*(keys.look(services, made.id) for _ in range(5)))
    services.keys.published.pop(made.id)
    folk.the.clock.forward(2)

    async def knows() -> bool:
        await keys.look(services, made.id)
        return services.keys.find(made.id, folk.the.clock.now) is not None

    assert await asyncio.gather(*(knows() for _ in range(5))) == [True] * 5
