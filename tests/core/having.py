"""Further factors of people, set up and proved through the endpoints: apps, passkeys, recovery codes.

Not here: rules. Requests that only prepare a test are asserted to succeed.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2
from sqlalchemy import update

from passgate.core.factors.totp import PERIOD, code_at
from passgate.store.tables import person, tenant
from passgate.world import SECOND
from tests.authenticator import Authenticator
from tests.kit import PASSWORD, Person, The, bearer, handle_of, token_of

Proof = tuple[str, Any]


async def policy(the: The, **rules: object) -> None:
    """Change the rules of every tenant in the database."""
    async with the.gate.services.store.write() as db:
        await db.change(update(tenant).values(policy=json.dumps(rules)))


async def disable(the: The, email: str) -> None:
    """Disable a person by setting the column alone, which leaves sessions and tickets as they are."""
    async with the.gate.services.store.write() as db:
        assert await db.change(update(person).where(person.c.email_key == email).values(disabled_at=1)) == 1


async def me(the: The, method: str, path: str, who: Person, body: object = None) -> httpx2.Response:
    """A request to one of the endpoints below /api/v1/me."""
    given = {} if body is None else {"json": body}
    return await the.http.request(method, f"/api/v1/me/{path}", headers=who.auth, **given)  # type: ignore[arg-type]


async def prove(the: The, handle: str, factor: str, answer: object) -> httpx2.Response:
    body = {"factor": factor, "answer": answer}
    return await the.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))


async def challenged(the: The, handle: str, factor: str) -> Any:
    answer = await the.challenge(handle, factor)
    assert answer.status_code == 200, answer.text
    return answer.json()["challenge"]


# -- setting up ------------------------------------------------------------------------------------


def code_of_app(the: The, secret: bytes, steps: int = 0) -> str:
    """The code of an app now, or the given number of time steps away."""
    return code_at(secret, the.clock.now // SECOND // PERIOD + steps)


def unspelled(secret: str) -> bytes:
    return base64.b32decode(secret)


async def add_app(the: The, who: Person) -> bytes:
    """Add an authenticator app. Its first code is spent; the clock is moved on, so that the app shows the next one."""
    offered = await me(the, "POST", "totp", who)
    assert offered.status_code == 201, offered.text
    secret = unspelled(offered.json()["secret"])
    proved = await me(the, "POST", "totp/prove", who, {"answer": code_of_app(the, secret)})
    assert proved.status_code == 204, proved.text
    the.clock.forward(PERIOD)
    return secret


async def offered_passkey(the: The, who: Person) -> dict[str, Any]:
    offered = await me(the, "POST", "passkeys", who)
    assert offered.status_code == 201, offered.text
    found: dict[str, Any] = offered.json()["challenge"]
    return found


async def add_passkey(the: The, who: Person, key: Authenticator, **more: object) -> dict[str, Any]:
    answer = key.create(await offered_passkey(the, who), the.gate.settings.url)
    made = await me(the, "POST", "passkeys/prove", who, {"answer": answer, **more})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def add_codes(the: The, who: Person) -> list[str]:
    made = await me(the, "POST", "recovery-codes", who)
    assert made.status_code == 201, made.text
    return list(made.json()["codes"])


# -- proving ---------------------------------------------------------------------------------------


async def asserted(the: The, handle: str, key: Authenticator, **twists: Any) -> dict[str, Any]:
    """The browser's answer to a fresh challenge."""
    return key.get(await challenged(the, handle, "passkey"), the.gate.settings.url, **twists)


async def prove_each(the: The, handle: str, *proofs: Proof) -> None:
    for factor, answer in proofs:
        proved = await prove(the, handle, factor, answer)
        assert proved.status_code == 200, (factor, proved.text)


async def signed_in(the: The, who: Person, *proofs: Proof) -> Person:
    """The same person with one more session, signed in with the password and the given proofs."""
    handle = handle_of(await the.start(who.email))
    await prove_each(the, handle, ("password", who.password), *proofs)
    return Person(who.email, who.password, token_of(await the.finish(handle)))


async def begun(the: The, email: str, password: str = PASSWORD) -> str:
    """The handle of a pending sign-in in which the password is proved, so that its person is known."""
    handle = handle_of(await the.start(email))
    await prove_each(the, handle, ("password", password))
    return handle


async def step_up(the: The, who: Person, acr: str | None = None) -> str:
    body = {"step_up": {"acr": acr} if acr else {}}
    return handle_of(await the.http.post("/api/v1/signin", json=body, headers=who.auth))
