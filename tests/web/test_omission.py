"""Every request of the catalogue with one member left out, doubled, of another type, cut or added: it is refused, and
no row changes except those that count refusals.

Not here: input that is no such message (test_hostile_input), and the answers of passkeys by themselves (tests/ground).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete

from passgate.store.tables import budget
from tests import catalogue
from tests.architecture.population import Ask, Population
from tests.catalogue.entry import Right
from tests.kit import bearer, code_of

Path = tuple[str, ...]
FREE = {
    "profile.name",
    "answer.response.authenticatorData",
    "answer.response.publicKey",
    "answer.response.publicKeyAlgorithm",
    "answer.clientExtensionResults.credProps",
    "answer.clientExtensionResults.credProps.rk",
}
"""Members that are not read, so that any value is accepted."""
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
    """JSON in which one member appears twice, with the same value."""
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


def lies(body: dict[str, Any], optional: set[str], every: int) -> Iterator[tuple[str, bytes]]:
    """`every`: each member is every so manyth of OTHERS, from another one on for each."""
    right = json.dumps(body)
    for cut in {1, len(right) // 2, len(right) - 1}:
        yield f"cut at {cut}", right[:cut].encode()
    yield "more", json.dumps({**body, "more": 1}).encode()
    for number, at in enumerate(paths(body)):
        name = ".".join(at)
        inside: Any = body
        for step in at:
            inside = inside[step]
        yield f"{name} doubled", doubled(body, at).encode()
        if name not in optional:
            yield f"without {name}", json.dumps(changed(body, at, lambda into, key: into.pop(key))).encode()
        if name in FREE:
            continue
        for other in OTHERS[number % every :: every]:
            is_left_out = other is None and name in optional
            if not same_kind(inside, other) and not is_left_out:
                yield f"{name} as {other}", json.dumps(replaced(copy.deepcopy(body), at, other)).encode()
        if isinstance(inside, str) and f"{name}-" not in optional and name not in optional:
            yield f"{name} shorter", json.dumps(changed(body, at, shortened)).encode()


def still(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The tables without counters of refusals, and without the time at which a challenge was used."""
    aside = {"sign_in": {"spent", "refused"}}
    stored = {name: rows for name, rows in tables.items() if name not in ("audit_event", "audit_head", "budget")}
    made = {
        name: [{key: value for key, value in row.items() if key not in aside.get(name, ())} for row in rows]
        for name, rows in stored.items()
    }
    for row in made["ticket"]:
        if row["kind"] in ("passkey", "passkey_new"):
            row["taken_at"] = None
    for row in made["session"]:
        row.pop("last_used_at"), row.pop("idle_expires_at")
    return made


async def sent(population: Population, method: str, right: Ask, content: bytes) -> httpx2.Response:
    async with population.folk.ctx.write() as db:
        await db.change(delete(budget))  # every variant is checked, none is throttled
    credential = bearer(right.secret) if right.secret else {}
    headers = {**credential, "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    answer = await population.the.http.request(method, right.path, content=content, headers=headers)
    population.the.http.cookies.clear()
    return answer


def body_of(right: Ask) -> dict[str, Any]:
    assert right.body is not None
    return right.body


MESSAGES = catalogue.messages()
UNREACHED = {"throttled", "handle_invalid", "session_ended"}
"""Refusals that say nothing of the body."""
NAMED_BY_BODY = {"POST /api/v1/signin/complete": {"handle_invalid"}}
"""Here the body says which sign-in it is for, and one that can't be read says it of none."""


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("endpoint", "right"), MESSAGES, ids=[f"{key} {right.name}" for key, right in MESSAGES])
async def test_one_thing_is_wrong(lite_population: Population, endpoint: str, right: Right, every: int) -> None:
    population, method, optional = lite_population, endpoint.partition(" ")[0], set((right.optional or "").split())
    result = [name for name, _ in lies(body_of(await right.asks(population)), optional, every)]
    assert len(result) > 5
    for number, name in enumerate(result):
        async with population.folk.ctx.write() as db:
            await db.change(delete(budget))
        ask = await right.asks(population)
        await population.the.mails()
        _, content = next(islice(lies(body_of(ask), optional, every), number, None))
        before = still(await population.the.everything())
        answer = await sent(population, method, ask, content)
        assert 400 <= answer.status_code < 500, (name, answer.text)
        assert code_of(answer) not in UNREACHED - NAMED_BY_BODY.get(endpoint, set()), name
        after = still(await population.the.everything())
        assert [table for table in before if before[table] != after[table]] == [], name
    ask = await right.asks(population)
    done = await sent(population, method, ask, json.dumps(body_of(ask)).encode())
    assert done.status_code == right.status, done.text
