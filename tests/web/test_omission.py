"""Every message of signing in and of factors, with one thing left out, doubled, of another type, cut or added: refused,
and nothing moved but what counts refusals.

What strangers send that is no message at all is told in test_hostile_input, a passkey's answer alone in tests/ground.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete

from passgate.core import operate
from passgate.core.ctx import Ctx
from passgate.store.tables import budget
from tests.authenticator import Authenticator
from tests.core.having import (
    add_app,
    add_codes,
    add_passkey,
    begun,
    challenged,
    code_of_app,
    me,
    offered_passkey,
    policy,
    shown,
    unspelled,
)
from tests.kit import PASSWORD, Person, The, bearer, code_of, handle_of

URL = "http://localhost:8000"
Path = tuple[str, ...]


@dataclass
class Message:
    """One that the door would take, whoever it comes from."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    method: str = "POST"


@dataclass
class Somebody:
    """With one of everything, so that a message can be made again and again."""

    the: The
    person: Person
    key: Authenticator
    secret: bytes
    codes: list[str]

    async def named(self) -> str:
        return await begun(self.the, self.person.email)

    async def fresh(self) -> Person:
        """A session at this person's own level."""
        handle = await self.named()
        options = await challenged(self.the, handle, "passkey")
        await shown(self.the, handle, ("passkey", self.key.get(options, URL)))
        token = (await self.the.finish(handle)).json()["token"]
        return Person(self.person.email, PASSWORD, token)


Make = Callable[[Somebody], Awaitable[Message]]


def proof(handle: str, factor: str, answer: object) -> Message:
    return Message("signin/prove", {"factor": factor, "answer": answer}, bearer(handle))


async def signup(who: Somebody) -> Message:
    body = {"email": "new@example.com", "password": PASSWORD, "profile": {"name": "New"}, "tenant": "main"}
    return Message("signup", body, {})


async def start(who: Somebody) -> Message:
    return Message("signin", {"email": who.person.email, "tenant": "main"}, {})


async def step_up(who: Somebody) -> Message:
    return Message("signin", {"step_up": {"acr": "urn:passgate:aal2", "max_age": 300}}, who.person.auth)


async def recover(who: Somebody) -> Message:
    return Message("recover", {"email": who.person.email, "tenant": "main"}, {})


async def challenge(who: Somebody) -> Message:
    return Message("signin/challenge", {"factor": "passkey"}, bearer(await who.named()))


async def password(who: Somebody) -> Message:
    return proof(handle_of(await who.the.start(who.person.email)), "password", PASSWORD)


async def mailed_code(who: Somebody) -> Message:
    handle = handle_of(await who.the.recover(who.person.email))
    code = next(mail["code"] for mail in await who.the.mails(who.person.email) if mail["kind"] == "recovery_code")
    return proof(handle, "email_code", code)


async def code_of_an_app(who: Somebody) -> Message:
    who.the.clock.forward(30)
    return proof(await who.named(), "totp", code_of_app(who.the, who.secret))


async def recovery_code(who: Somebody) -> Message:
    return proof(await who.named(), "recovery_code", who.codes[0])


async def passkey(who: Somebody) -> Message:
    handle = handle_of(await who.the.start())
    return proof(handle, "passkey", who.key.get(await challenged(who.the, handle, "passkey"), URL))


async def finish(who: Somebody) -> Message:
    handle = await who.named()
    options = await challenged(who.the, handle, "passkey")
    await shown(who.the, handle, ("passkey", who.key.get(options, URL)))
    return Message("signin/finish", {"carrier": "cookie", "remember": True}, bearer(handle))


async def new_passkey(who: Somebody) -> Message:
    fresh = await who.fresh()
    answer = Authenticator().create(await offered_passkey(who.the, fresh), URL)
    return Message("me/passkeys/prove", {"answer": answer, "label": "My phone"}, fresh.auth)


async def new_app(who: Somebody) -> Message:
    fresh = await who.fresh()
    secret = unspelled((await me(who.the, "POST", "totp", fresh)).json()["secret"])
    return Message("me/totp/prove", {"answer": code_of_app(who.the, secret)}, fresh.auth)


async def rename(who: Somebody) -> Message:
    fresh = await who.fresh()
    [mine] = (await me(who.the, "GET", "passkeys", fresh)).json()["items"]
    return Message(f"me/passkeys/{mine['id']}", {"label": "My phone"}, fresh.auth, "PATCH")


async def rules(who: Somebody) -> Message:
    fresh = await who.fresh()
    tenant_id = (await who.the.session(fresh.token)).json()["tenant"]["id"]
    body = {"second": "always", "second_among": ["totp", "passkey"], "max_age": 600, "totp_at_once": True}
    return Message(f"tenants/{tenant_id}/policy", body, fresh.auth, "PATCH")


MESSAGES: dict[str, tuple[Make, set[str]]] = {
    made.__name__: (made, set(optional.split()))
    for made, optional in (
        (signup, "password profile profile.name tenant email-"), (start, "email tenant email-"),
        (step_up, "step_up step_up.acr step_up.max_age"), (recover, "tenant email-"), (challenge, ""),
        (password, ""), (mailed_code, ""), (code_of_an_app, ""), (recovery_code, ""), (finish, "remember"),
        (passkey, "answer.authenticatorAttachment answer.clientExtensionResults"),
        (new_passkey, "label answer.authenticatorAttachment answer.clientExtensionResults label-"
                      " answer.response.authenticatorData answer.response.publicKey answer.response.transports"
                      " answer.response.publicKeyAlgorithm answer.clientExtensionResults.credProps"
                      " answer.clientExtensionResults.credProps.rk"),
        (new_app, ""), (rename, "label-"),
        (rules, "second second_among max_age totp_at_once"),
    )
}  # fmt: skip
"""With the members that may be left out; `x-` is one whose text may be shorter."""
FREE = {
    "profile.name", "answer.response.authenticatorData", "answer.response.publicKey",
    "answer.response.publicKeyAlgorithm", "answer.clientExtensionResults.credProps",
    "answer.clientExtensionResults.credProps.rk",
}  # fmt: skip
"""Members that nobody reads: whatever stands there."""
OTHERS: tuple[object, ...] = (None, True, 7, 1.5, "text", [], ["text"], {"a": 1})


def paths(value: object, at: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*at, name)
            yield from paths(inner, (*at, name))


def changed(body: dict[str, Any], at: Path, do: Callable[[dict[str, Any], str], object]) -> dict[str, Any]:
    made = copy.deepcopy(body)
    inside = made
    for name in at[:-1]:
        inside = inside[name]
    do(inside, at[-1])
    return made


def doubled(value: object, at: Path) -> str:
    """JSON in which one member stands twice, with the same value."""
    if not isinstance(value, dict):
        return json.dumps(value)
    members = []
    for name, inner in value.items():
        member = f"{json.dumps(name)}:{doubled(inner, at[1:] if at[:1] == (name,) else ())}"
        members += [member] * (2 if at == (name,) else 1)
    return "{" + ",".join(members) + "}"


def shortened(inside: dict[str, Any], name: str) -> None:
    inside[name] = inside[name][:-1]


def replaced(made: Any, at: Path, other: object) -> Any:
    inside = made
    for name in at[:-1]:
        inside = inside[name]
    inside[at[-1]] = other
    return made


def same_kind(one: object, other: object) -> bool:
    return type(one) is type(other)


def lies(body: dict[str, Any], optional: set[str]) -> Iterator[tuple[str, bytes]]:
    right = json.dumps(body)
    for cut in {1, len(right) // 2, len(right) - 1}:
        yield f"cut at {cut}", right[:cut].encode()
    yield "more", json.dumps({**body, "more": 1}).encode()
    for at in paths(body):
        name = ".".join(at)
        inside: Any = body
        for step in at:
            inside = inside[step]
        yield f"{name} doubled", doubled(body, at).encode()
        if name not in optional:
            yield f"without {name}", json.dumps(changed(body, at, lambda into, key: into.pop(key))).encode()
        if name in FREE:
            continue
        for other in OTHERS:
            is_left_out = other is None and name in optional
            if not same_kind(inside, other) and not is_left_out:
                yield f"{name} as {other}", json.dumps(replaced(copy.deepcopy(body), at, other)).encode()
        if isinstance(inside, str) and f"{name}-" not in optional and name not in optional:
            yield f"{name} shorter", json.dumps(changed(body, at, shortened)).encode()


def still(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Without what counts refusals, and without when a challenge was burnt."""
    aside = {"sign_in": {"spent", "refused"}}
    kept = {name: rows for name, rows in tables.items() if name not in ("audit_event", "audit_head", "budget")}
    made = {
        name: [{key: value for key, value in row.items() if key not in aside.get(name, ())} for row in rows]
        for name, rows in kept.items()
    }
    for row in made["ticket"]:
        if row["kind"] in ("passkey", "passkey_new"):
            row["taken_at"] = None
    for row in made["session"]:
        row.pop("last_used_at"), row.pop("idle_expires_at")
    return made


async def sent(the: The, message: Message, content: bytes) -> httpx2.Response:
    async with the.gate.house.store.write() as db:
        await db.change(delete(budget))  # every lie is looked at, none merely waits
    headers = {**message.headers, "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    answer = await the.http.request(message.method, f"/api/v1/{message.path}", content=content, headers=headers)
    the.http.cookies.clear()
    return answer


@pytest.fixture
async def anna(lite: The) -> Somebody:
    who, key = await lite.person(), Authenticator()
    secret = await add_app(lite, who)
    await add_passkey(lite, who, key)
    codes = await add_codes(lite, who)
    await policy(lite, max_age=86_400)
    await operate.give_role(Ctx(lite.gate.house), who.email, "owner", "main")
    return Somebody(lite, who, key, secret, codes)


@pytest.mark.parametrize("kind", MESSAGES)
async def test_one_thing_is_wrong(lite: The, anna: Somebody, kind: str) -> None:
    make, optional = MESSAGES[kind]
    told = [name for name, _ in lies((await make(anna)).body, optional)]
    assert len(told) > 10
    for number, name in enumerate(told):
        async with lite.gate.house.store.write() as db:
            await db.change(delete(budget))
        message = await make(anna)
        await lite.mails()
        content = list(lies(message.body, optional))[number][1]
        before = still(await lite.everything())
        answer = await sent(lite, message, content)
        assert 400 <= answer.status_code < 500, (name, answer.text)
        assert code_of(answer) not in ("throttled", "handle_invalid", "session_ended"), name
        after = still(await lite.everything())
        assert [table for table in before if before[table] != after[table]] == [], name
    message = await make(anna)
    right = await sent(lite, message, json.dumps(message.body).encode())
    assert right.status_code in (200, 201, 202, 204), right.text
