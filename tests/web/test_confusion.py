"""Confused tokens at every endpoint that takes a session's token as bearer, and at a host's own route: 401, nothing is
changed, and nothing is fetched from where the token says. The endpoints are read from the OpenAPI document.

The corpus, and why each is refused, is in tests/core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from passgate.core import keys, sessions, tokens
from passgate.jose import PrivateKey
from passgate.world import SECOND
from tests import catalogue
from tests import issuer as issuers
from tests.architecture.kinds import pair_of
from tests.architecture.population import OURS, Ask, Population
from tests.authenticator import unb64
from tests.core.confusion import ATTACKER, Right
from tests.core.corpus import CORPUS
from tests.issuer import Issuer
from tests.library.program import guarded

BEARER = [key for key, found in catalogue.operations().items() if {"session": []} in found.get("security", [])]
HOT = "GET /api/v1/session"
"""The edge answers it without the framework, unless it has a query."""
CASES = [*((key, "") for key in BEARER), (HOT, "?view=whole")]
FIRST = {catalogue.catalogue()[key].who: key for key in reversed(BEARER)}
"""One endpoint of each guard. It is the guard that reads a token, so these take the whole corpus in every run."""


@pytest.fixture(scope="module")
def listener() -> Iterator[Issuer]:
    """Where the attacker publishes keys; it records whoever asks for them."""
    with issuers.serving(ATTACKER) as made:
        yield made


# -- right tokens ----------------------------------------------------------------------------------


async def asked(population: Population, endpoint: str) -> tuple[Ask, int]:
    """The endpoint's right request with an access token, and what it is answered with."""
    for who in population.people.values():
        who.token = (await pair_of(population, who.tenant_id, who.id)).access_token
    for right in catalogue.catalogue()[endpoint].rights:
        ask = await right.asks(population)
        if ask.secret.startswith(tokens.ACCESS):
            return ask, right.status
        if ask.secret.startswith(sessions.PREFIX):  # of a session that was opened for this request
            actor = await population.folk.actor_of(ask.secret)
            return replace(ask, secret=(await pair_of(population, *actor.key)).access_token), right.status
    raise LookupError(f"{endpoint} has no request with a session")


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unb64(token.split(".")[1]))
    return found


async def rival(population: Population) -> PrivateKey:
    """A key of another algorithm that is published too."""
    services = population.the.gate.services
    made = await keys.add(services, "EdDSA")
    await keys.read(services)
    plain = services.ring.unseal("signing_key", f"signing_key:{made.id}", made.private_sealed)
    return PrivateKey.load("EdDSA", json.loads(plain))


async def others(population: Population, mine: dict[str, Any]) -> dict[str, str]:
    """Sessions and people that are not this token's."""
    somebody = next(who for who in (population.ben, population.anna) if who.id != mine["sub"])
    bearer, _ = await population.folk.opened(mine["tenant_id"], mine["sub"])
    ended = (await pair_of(population, mine["tenant_id"], mine["sub"])).access_token
    whose = replace(bearer, session_id=claims_of(ended)["sid"])
    async with population.folk.ctx.write() as db:
        assert await sessions.end_one(population.folk.ctx, db, whose, "ended")
    return {
        "somebody else": claims_of(somebody.token)["sid"],
        "another tenant": claims_of(population.otto.token)["sid"],
        "a bearer": bearer.session_id,
        "ended": claims_of(ended)["sid"],
        "sub": somebody.id,
        "tenant_id": population.otto.tenant_id,
    }


async def right_of(population: Population, token: str, listener: Issuer) -> Right:
    mine, now = claims_of(token), population.the.clock() // SECOND
    key, second = await keys.signer(population.the.gate.services), await rival(population)
    return Right(key, second, now, mine, f"{listener.url}/keys", await others(population, mine))


# -- requests --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """Sends one request again and again, each time with another token. A transport without a client is much quicker."""

    transport: httpx2.ASGITransport
    method: str
    url: str
    body: dict[str, Any] | None

    async def sent(self, token: str) -> httpx2.Response:
        given: dict[str, Any] = {} if self.body is None else {"json": self.body}
        headers = [(b"authorization", b"Bearer " + token.encode("utf-8", "surrogateescape"))]
        request = httpx2.Request(self.method, self.url, headers=headers, **given)
        answer = await self.transport.handle_async_request(request)
        await answer.aread()
        return answer

    async def refuses_all(self, right: Right, *, first: int = 0, step: int = 1) -> None:
        for confusion in CORPUS[first % step :: step]:
            if confusion.fits_field:
                answer = await self.sent(confusion.make(right))
                outcome = answer.status_code, answer.json()["code"], answer.headers["www-authenticate"]
                assert outcome == (401, confusion.code, 'Bearer error="invalid_token"'), confusion.name
                assert "set-cookie" not in answer.headers, confusion.name


def test_the_endpoints() -> None:
    assert len(BEARER) > 30
    assert {HOT, "POST /api/v1/signin", "DELETE /api/v1/session", "PATCH /api/v1/me"} <= {*BEARER}


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("endpoint", "query"), CASES, ids=["".join(case) for case in CASES])
async def test_no_confused_token_opens_anything(
    lite_population: Population, listener: Issuer, endpoint: str, query: str, step: int
) -> None:
    """With steps of six, each token of the corpus is sent to every sixth endpoint, besides one of each guard and the
    one that the edge answers."""
    population, (method, _, _) = lite_population, endpoint.partition(" ")
    steps = 1 if endpoint in (HOT, *FIRST.values()) else step
    ask, status = await asked(population, endpoint)
    right = await right_of(population, ask.secret, listener)
    transport = httpx2.ASGITransport(population.the.gate, client=("127.0.0.1", 50000))
    target = Target(transport, method, f"{OURS}{ask.path}{query}", ask.body)
    before = await population.the.everything()
    await target.refuses_all(right, first=CASES.index((endpoint, query)), step=steps)
    assert await population.the.everything() == before
    assert listener.asked == []
    answer = await target.sent(right.token)
    assert answer.status_code == status, answer.text


async def test_nor_at_a_hosts_own_route(lite_population: Population, listener: Issuer) -> None:
    population, app = lite_population, FastAPI()
    await asked(population, "GET /api/v1/me")
    right = await right_of(population, population.anna.token, listener)
    transport = httpx2.ASGITransport(guarded(population.the.gate, app), client=("127.0.0.1", 50000))
    target = Target(transport, "GET", f"{OURS}/me", None)
    before = await population.the.everything()
    await target.refuses_all(right)
    assert await population.the.everything() == before
    assert (await target.sent(right.token)).json()["id"] == population.anna.id
    assert listener.asked == []
