"""`passgate.verify` in a program that only verifies: what it loads, when it asks the issuer for keys, and what its
FastAPI dependency answers.

Not here: which tokens count, which is in tests/core/test_confusion.py.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI

from passgate.jose import PrivateKey
from passgate.verify import AccessToken, Refused, Unreachable, Verifier
from tests import issuer as issuers
from tests.issuer import KEYS, NOW, Issuer, key_set
from tests.kit import Dice, bearer

FRAMEWORKS = ("sqlalchemy", "fastapi", "starlette", "pydantic", "pydantic_settings", "alembic", "jinja2", "uvicorn")
ALONE = f"""
import sys
import passgate.verify
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {set(FRAMEWORKS)!r}))
"""


@dataclass
class Watch:
    """A clock that the test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuers.serving() as made:
        yield made


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(params=["async", "sync"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def verified(verifier: Verifier, token: str, way: str) -> AccessToken:
    return await verifier.verify(token) if way == "async" else verifier.verify_sync(token)


async def reason(verifier: Verifier, token: str, way: str) -> str:
    with pytest.raises(Refused) as raised:
        await verified(verifier, token, way)
    return raised.value.reason


def another(algorithm: str = "ES256", seed: bytes = b"another") -> PrivateKey:
    return PrivateKey.make(algorithm, Dice(seed))


def test_it_can_be_imported_alone() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- keys ------------------------------------------------------------------------------------------


async def test_keys_are_read_once(issuer: Issuer, watch: Watch, way: str) -> None:
    verifier = Verifier(issuer.url, clock=watch)
    for _ in range(3):
        assert (await verified(verifier, issuer.token(), way)).subject == "person"
    assert issuer.asked == [KEYS]


async def test_a_new_key_is_found(issuer: Issuer, watch: Watch, way: str) -> None:
    """Of many tokens with unknown keys one a minute asks for them."""
    verifier, new = Verifier(issuer.url, clock=watch), another()
    await verified(verifier, issuer.token(), way)
    assert [await reason(verifier, issuer.token(new), way) for _ in range(3)] == ["kid"] * 3
    assert issuer.asked == [KEYS], "the keys were read just now"
    issuer.publish(issuer.key, new)
    watch.now += 59
    assert await reason(verifier, issuer.token(new), way) == "kid"
    watch.now += 1
    assert (await verified(verifier, issuer.token(new), way)).subject == "person"
    assert [await reason(verifier, issuer.token(another(seed=b"%d" % n)), way) for n in range(9)] == ["kid"] * 9
    assert issuer.asked == [KEYS] * 2


@pytest.mark.parametrize("max_age", [300, 20])
async def test_keys_are_read_again_after_max_age(issuer: Issuer, watch: Watch, way: str, max_age: int) -> None:
    verifier = Verifier(issuer.url, max_age=max_age, clock=watch)
    await verified(verifier, issuer.token(), way)
    issuer.publish(another())
    watch.now += max_age - 1
    await verified(verifier, issuer.token(), way)
    watch.now += 1
    assert await reason(verifier, issuer.token(), way) == "kid", "a key that is withdrawn verifies nothing"
    assert issuer.asked == [KEYS] * 2


AWAY = {
    "a fault": (500, b""),
    "an empty answer": (200, b""),
    "no key set": (200, b'{"keys":{}}'),
    "another document": (200, b"[]"),
    "a doubled member": (200, b'{"keys":[],"keys":[]}'),
    "far too much": (200, b'{"keys":[]}' + b" " * 1024 * 1024),
    "a redirect": (302, b"/elsewhere"),
}


@pytest.mark.parametrize("how", AWAY)
async def test_known_keys_go_on_while_the_issuer_is_away(issuer: Issuer, watch: Watch, way: str, how: str) -> None:
    verifier = Verifier(issuer.url, clock=watch)
    await verified(verifier, issuer.token(), way)
    issuer.documents[KEYS] = AWAY[how]
    watch.now += 300
    for _ in range(3):
        await verified(verifier, issuer.token(), way)
    assert issuer.asked == [KEYS] * 2, "an issuer that is away is asked once a minute"
    watch.now += 60
    issuer.publish(another())
    assert await reason(verifier, issuer.token(), way) == "kid"


@pytest.mark.parametrize("how", ["a fault", "no key set", "a redirect"])
async def test_nothing_is_known(issuer: Issuer, watch: Watch, way: str, how: str) -> None:
    issuer.publish(issuer.key, path="/elsewhere")
    issuer.documents[KEYS] = AWAY[how]
    verifier = Verifier(issuer.url, clock=watch)
    with pytest.raises(Unreachable):
        await verified(verifier, issuer.token(), way)
    assert issuer.asked == [KEYS]
    issuer.publish(issuer.key)
    assert (await verified(verifier, issuer.token(), way)).subject == "person", "as soon as it is back"


async def test_nobody_is_there(watch: Watch, way: str) -> None:
    with issuers.serving() as gone:
        token = gone.token()
    with pytest.raises(Unreachable):
        await verified(Verifier(gone.url, clock=watch), token, way)


async def test_what_is_no_token_asks_nobody(issuer: Issuer, watch: Watch, way: str) -> None:
    verifier = Verifier(issuer.url, clock=watch)
    for text in ("", "x", "a.b.c", "é", "Bearer", issuer.token()[5:], "A" * 1_000_000):
        await reason(verifier, text, way)
    assert issuer.asked == []


async def test_an_empty_key_set_is_one(issuer: Issuer, watch: Watch, way: str) -> None:
    """Nobody can make the issuer be asked at every request."""
    issuer.documents[KEYS] = (200, b'{"keys":[]}')
    verifier = Verifier(issuer.url, clock=watch)
    assert [await reason(verifier, issuer.token(), way) for _ in range(3)] == ["kid"] * 3
    assert issuer.asked == [KEYS]


async def test_keys_that_cannot_be_used_are_left_out(issuer: Issuer, watch: Watch, way: str) -> None:
    [usable] = json.loads(key_set(issuer.key))["keys"]
    symmetric, short = {"kty": "oct", "k": "AAAA", "alg": "HS256", "kid": "x"}, {**usable, "x": "AAAA", "kid": "y"}
    others: tuple[Any, ...] = (7, None, [], {}, symmetric, short)
    issuer.documents[KEYS] = (200, json.dumps({"keys": [*others, usable, *others]}).encode())
    assert (await verified(Verifier(issuer.url, clock=watch), issuer.token(), way)).subject == "person"


def test_of_many_threads_one_asks(issuer: Issuer, watch: Watch) -> None:
    verifier = Verifier(issuer.url, clock=watch)
    verifier.verify_sync(issuer.token())
    watch.now += 300
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(verifier.verify_sync, [issuer.token()] * 40))
    assert len(found) == 40
    assert issuer.asked == [KEYS] * 2


# -- what a program chooses ------------------------------------------------------------------------


async def test_audience_and_leeway(issuer: Issuer, watch: Watch, way: str) -> None:
    mine = Verifier(issuer.url, audience="https://api.example.com", leeway=30, clock=watch)
    token = issuer.token(audience="https://api.example.com")
    assert (await verified(mine, token, way)).audience == "https://api.example.com"
    assert await reason(mine, issuer.token(), way) == "audience"
    watch.now += 540 + 29
    await verified(mine, token, way)
    watch.now += 1
    assert await reason(mine, token, way) == "expired"


async def test_algorithms(watch: Watch, way: str) -> None:
    es256, eddsa = another(), another("EdDSA")
    with issuers.serving(es256, eddsa) as issuer:
        only = Verifier(issuer.url, algorithms=["EdDSA"], clock=watch)
        assert (await verified(only, issuer.token(eddsa), way)).subject == "person"
        assert await reason(only, issuer.token(es256), way) == "kid"


@pytest.mark.parametrize("algorithms", [[], ["none"], ["HS256"], ["ES256", "PS256"], ["es256"]])
def test_algorithms_that_it_does_not_have(algorithms: list[str]) -> None:
    with pytest.raises(ValueError, match="algorithms"):
        Verifier("https://id.example.com", algorithms=algorithms)


async def test_another_place_for_keys(issuer: Issuer, watch: Watch, way: str) -> None:
    issuer.publish(issuer.key, path="/elsewhere")
    await verified(Verifier(issuer.url, keys_url=f"{issuer.url}/elsewhere", clock=watch), issuer.token(), way)
    assert issuer.asked == ["/elsewhere"]


# -- the dependency --------------------------------------------------------------------------------


def guarded(verifier: Verifier) -> httpx2.AsyncClient:
    app, by_token = FastAPI(), verifier.dependency()

    @app.get("/")
    async def whose(token: Annotated[AccessToken, Depends(by_token)]) -> str:
        return token.subject

    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://api")


async def test_the_dependency(issuer: Issuer, watch: Watch) -> None:
    async with guarded(Verifier(issuer.url, clock=watch)) as http:
        answer = await http.get("/", headers=bearer(issuer.token()))
        assert (answer.status_code, answer.json()) == (200, "person")
        for headers in ({}, {"Authorization": ""}, {"Authorization": "Basic eA=="}, {"Cookie": f"a={issuer.token()}"}):
            answer = await http.get("/", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), headers
        for token in ("x", issuer.token(another()), issuer.token(expires_at=NOW), "pg_ses_x", "é"):
            answer = await http.get("/", headers=[(b"authorization", f"Bearer {token}".encode("latin-1"))])
            challenge = answer.headers["www-authenticate"]
            assert (answer.status_code, challenge) == (401, 'Bearer error="invalid_token"'), token


async def test_the_dependency_without_keys(issuer: Issuer, watch: Watch) -> None:
    issuer.documents.clear()
    async with guarded(Verifier(issuer.url, clock=watch)) as http:
        answer = await http.get("/", headers=bearer(issuer.token()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert "www-authenticate" not in answer.headers


def test_the_dependency_is_described() -> None:
    app, by_token = FastAPI(), Verifier("https://id.example.com").dependency()
    app.get("/", dependencies=[Depends(by_token)])(lambda: None)
    document = app.openapi()
    schemes = document["components"]["securitySchemes"]
    assert schemes == {"access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    assert document["paths"]["/"]["get"]["security"] == [{"access_token": []}]
