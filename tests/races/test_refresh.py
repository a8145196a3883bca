"""Refresh families in two processes: of many uses of one token one wins, and then nothing lives; and signing keys that
one process makes count at once in the other.

What each use means by itself is in tests/core/test_tokens.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from passgate.access_token import read
from passgate.core import admin, keys, operate, users
from passgate.core.ctx import Ctx, Operator
from passgate.jose import PublicKey, Refused
from passgate.store.tables import session, signing_key, tenant
from passgate.verify import Verifier
from passgate.world import SECOND
from tests.kit import Person, The, bearer, code_of, handle_of
from tests.processes import Deployment, Outcomes, together

ISSUER = "http://localhost:8000"
"""The public URL of both processes."""


async def signed_in(face: The, anna: Person) -> dict[str, Any]:
    """A pair of tokens."""
    handle = handle_of(await face.start(anna.email))
    assert (await face.prove(handle, "password", anna.password)).status_code == 200
    done = await face.finish(handle, "jwt")
    assert done.status_code == 201, done.text
    pair: dict[str, Any] = done.json()
    return pair


async def refreshed(face: The, token: str) -> httpx2.Response:
    return await face.http.post("/api/v1/tokens/refresh", json={"refresh_token": token})


@pytest.mark.parametrize("turn", range(2))
async def test_twenty_refreshes_of_one_token(pair: Deployment, turn: int) -> None:
    anna = await pair.a.person(pair.address())
    mine = await signed_in(pair.each(2)[turn % 2], anna)
    answers = await together(*(refreshed(face, mine["refresh_token"]) for face in pair.each(20)))
    outcomes = Outcomes.of(answers)
    assert outcomes["200"] == 1
    assert outcomes.keys() <= {"200", "refresh_reused", "session_ended"}
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    for face in (pair.a, pair.b):
        for token in (won["access_token"], mine["access_token"]):
            assert code_of(await face.session(token)) == "session_ended"
        assert (await refreshed(face, won["refresh_token"])).status_code == 401
    sid = mine["session"]["id"]
    [row] = [row for row in await pair.a.rows(session) if row["id"] == sid]
    assert row["end_reason"] == "refresh_reused"


async def test_a_session_that_ends_during_refreshes(pair: Deployment) -> None:
    """Whoever was first: afterwards no pair gives or opens anything."""
    for turn in range(10):
        anna = await pair.a.person(pair.address())
        mine = await signed_in(pair.a, anna)
        face, other = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
        ended, refreshing = await together(
            face.http.delete("/api/v1/session", headers=bearer(mine["access_token"])),
            refreshed(other, mine["refresh_token"]),
        )
        assert ended.status_code == 204
        pairs = [mine, *([refreshing.json()] if refreshing.status_code == 200 else [])]
        for one in pairs:
            assert code_of(await face.session(one["access_token"])) == "session_ended"
            assert (await refreshed(face, one["refresh_token"])).status_code == 401


async def test_what_ended_is_dead_in_the_other_process(pair: Deployment) -> None:
    anna = await pair.a.person(pair.address())
    for verb in ("end", "disable"):
        mine = await signed_in(pair.a, anna)
        token = mine["access_token"]
        assert (await pair.b.session(token)).status_code == 200
        if verb == "end":
            assert (await pair.a.http.delete("/api/v1/session", headers=bearer(token))).status_code == 204
        else:
            await disabled(pair, anna)
        assert code_of(await pair.b.session(token)) == "session_ended"
        assert code_of(await refreshed(pair.b, mine["refresh_token"])) == "session_ended"


def operator(pair: Deployment) -> Ctx:
    return replace(Ctx(pair.inside.services), principal=Operator())


async def disabled(pair: Deployment, anna: Person) -> None:
    await users.disable(operator(pair), await users.by_email(operator(pair), anna.email, "main"))


async def test_a_role_that_was_taken_is_gone_in_both(pair: Deployment) -> None:
    """While a program that only verifies goes on until the token is over, with the roles that it says."""
    anna, ctx = await pair.a.person(pair.address()), operator(pair)
    await users.give_role(ctx, await users.by_email(ctx, anna.email, "main"), "admin")
    mine = await signed_in(pair.a, anna)
    path = f"/api/v1/tenants/{(await pair.a.session(mine['access_token'])).json()['tenant']['id']}/policy"
    for face in (pair.a, pair.b):
        assert (await face.http.get(path, headers=bearer(mine["access_token"]))).status_code == 200
    await users.take_role(ctx, await users.by_email(ctx, anna.email, "main"), "admin")
    for face in (pair.a, pair.b):
        assert code_of(await face.http.get(path, headers=bearer(mine["access_token"]))) == "permission_missing"
    assert (await pair.b.http.delete("/api/v1/session", headers=bearer(mine["access_token"]))).status_code == 204
    verifier = Verifier(ISSUER, keys_url=f"http://127.0.0.1:{pair.servers[0].port}/oauth2/jwks")
    assert (await verifier.verify(mine["access_token"])).roles == ("admin", "user")
    late = Verifier(ISSUER, clock=lambda: pair.inside.services.world.now() / SECOND + 600)
    late.know((await _known(pair)).values())
    with pytest.raises(Refused):
        late.verify_sync(mine["access_token"])


async def _known(pair: Deployment) -> dict[str, PublicKey]:
    listed = (await pair.b.http.get("/oauth2/jwks")).json()["keys"]
    return {jwk["kid"]: PublicKey.of(jwk) for jwk in listed}


async def test_a_tenant_that_was_disabled_is_gone_in_both(pair: Deployment) -> None:
    name = f"t{next(pair.numbers)}"
    await admin.add_tenant(operator(pair), name, name, "open")
    email = pair.address()
    handle = handle_of(await pair.a.signup(email, tenant=name))
    assert (await pair.a.prove(handle, "email_code", await pair.a.code(email))).status_code == 200
    mine = (await pair.a.finish(handle, "jwt")).json()
    assert (await pair.b.session(mine["access_token"])).status_code == 200
    async with pair.inside.services.store.write() as db:
        await db.change(update(tenant).where(tenant.c.name == name).values(disabled_at=1))
    for face in (pair.a, pair.b):
        assert code_of(await face.session(mine["access_token"])) == "session_ended"
        assert code_of(await refreshed(face, mine["refresh_token"])) == "session_ended"


async def test_a_key_that_signs_is_published_by_both(pair: Deployment) -> None:
    """Whatever process signed, the key set of the other verifies it; a new key signs in neither before its time."""
    anna = await pair.a.person(pair.address())
    ctx = operator(pair)
    await signed_in(pair.a, anna)
    for face in pair.each(4):
        await operate.rotate_signing(ctx)
        mine = await signed_in(face, anna)
        for other in (pair.a, pair.b):
            listed = {jwk["kid"]: PublicKey.of(jwk) for jwk in (await other.http.get("/oauth2/jwks")).json()["keys"]}
            assert len([key for key in listed.values() if key.algorithm == "ES256"]) == 2
            token = read(
                mine["access_token"],
                listed.get,
                issuer=ISSUER,
                audience=ISSUER,
                now=pair.inside.services.world.now() / SECOND,
            )
            assert token.session_id == mine["session"]["id"]
            assert (await other.session(mine["access_token"])).status_code == 200
    rows = [row for row in await pair.a.rows(signing_key) if row["algorithm"] == "ES256"]
    assert sorted(row["generation"] for row in rows) == [1, 2], "one waits, however often it is asked for"


async def test_of_several_that_need_the_first_key_one_makes_it(pair: Deployment) -> None:
    made = await asyncio.gather(*(keys.add(pair.inside.services, "EdDSA", is_first=True) for _ in range(6)))
    [row] = [row for row in await pair.a.rows(signing_key) if row["algorithm"] == "EdDSA"]
    assert (row["generation"], {key.id for key in made}) == (1, {row["id"]})
