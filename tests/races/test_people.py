"""Admins in two processes who act on people at the same time: whatever comes first, nobody has more than they were
given, an owner stays, and what was taken is gone.

What each action means by itself is in tests/web/test_contract_users and tests/core.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from passgate.core import admin, user_changes, users
from passgate.core.ctx import Ctx, Operator
from passgate.store.tables import credential, person, role_grant, session, tenant
from tests.kit import PASSWORD, Person, bearer, code_of, handle_of
from tests.processes import Deployment, Face, Outcomes, together

USERS = "/api/v1/users"


def operator(pair: Deployment) -> Ctx:
    return replace(Ctx(pair.inside.services), principal=Operator())


async def member(pair: Deployment, *roles: str, at: str = "main") -> tuple[str, Person]:
    """A person with these roles and their id."""
    email = pair.address()
    handle = handle_of(await pair.a.signup(email, tenant=at))
    assert (await pair.a.prove(handle, "email_code", await pair.a.code(email))).status_code == 200
    who = Person(email, PASSWORD, (await pair.a.finish(handle)).json()["token"])
    user = await users.by_email(operator(pair), email, at)
    for role in roles:
        await users.give_role(operator(pair), user, role)
    return user.person_id, who


async def ask(face: Face, who: Person, method: str, path: str, body: Any = None) -> httpx2.Response:
    more = {} if body is None else {"json": body}
    return await face.http.request(method, f"{USERS}{path}", headers=who.auth, **more)


async def roles_of(pair: Deployment, person_id: str) -> set[str]:
    return {row["role"] for row in await pair.a.rows(role_grant) if row["person_id"] == person_id}


@pytest.mark.parametrize("turn", range(5))
async def test_two_admins_demote_each_other(pair: Deployment, turn: int) -> None:
    """One wins; the other had no power any more when theirs was spent."""
    (one_id, one), (two_id, two) = await member(pair, "admin"), await member(pair, "admin")
    answers = await together(
        ask(pair.a, one, "DELETE", f"/{two_id}/roles/admin"), ask(pair.b, two, "DELETE", f"/{one_id}/roles/admin")
    )
    assert Outcomes.of(answers) == {"200": 1, "permission_missing": 1}, turn
    left = [one for one in (one_id, two_id) if "admin" in await roles_of(pair, one)]
    assert len(left) == 1


@pytest.mark.parametrize("turn", range(5))
async def test_two_admins_replace_each_others_roles(pair: Deployment, turn: int) -> None:
    """And profile with them: whoever comes second changes nothing."""
    (one_id, one), (two_id, two) = await member(pair, "admin"), await member(pair, "admin")
    body = {"roles": ["read_only"], "profile": {"turn": turn}}
    answers = await together(
        ask(pair.a, one, "PATCH", f"/{two_id}", body), ask(pair.b, two, "PATCH", f"/{one_id}", body)
    )
    assert Outcomes.of(answers) == {"200": 1, "permission_missing": 1}
    roles = {person_id: await roles_of(pair, person_id) for person_id in (one_id, two_id)}
    assert sorted(roles.values(), key=len) == [{"read_only"}, {"admin", "user"}]
    changed = {row["id"] for row in await pair.a.rows(person) if json.loads(row["profile"]) == {"turn": turn}}
    assert changed & roles.keys() == {person_id for person_id, has in roles.items() if has == {"read_only"}}


@pytest.mark.parametrize("turn", range(5))
async def test_two_owners_are_made_members(pair: Deployment, turn: int) -> None:
    """By an operator in each process, who may take both: one stays, and neither waits for the other for ever."""
    name = f"t{next(pair.numbers)}"
    await admin.add_tenant(operator(pair), name, name, "open")
    ids = [(await member(pair, "owner", at=name))[0] for _ in range(2)]
    _, boss = await member(pair, "owner", at=name)
    here = replace(operator(pair), principal=Operator(name))
    three = [*ids, (await users.by_email(operator(pair), boss.email, name)).person_id]
    answers = await asyncio.gather(
        ask(pair.a, boss, "PATCH", f"/{ids[0]}", {"roles": ["user", "admin"]}),
        ask(pair.b, boss, "PATCH", f"/{ids[1]}", {"roles": ["read_only"]}),
        *(user_changes.change(here, person_id, user_changes.Change(roles=("user",))) for person_id in three),
        return_exceptions=True,
    )
    owners = [person_id for person_id in three if "owner" in await roles_of(pair, person_id)]
    assert len(owners) == 1, (turn, answers)
    codes = {getattr(one, "code", None) or getattr(one, "status_code", 200) for one in answers}
    assert codes <= {200, 403, 409, "conflict"}, codes


async def test_fifty_replacements_of_ones_roles(pair: Deployment) -> None:
    """The roles that somebody has at the end are those of one request."""
    name = f"t{next(pair.numbers)}"
    await admin.add_tenant(operator(pair), name, name, "open")
    _, boss = await member(pair, "owner", at=name)
    anna_id, _ = await member(pair, at=name)
    wanted = [["user"], ["admin", "read_only"], ["read_only"], ["admin"], ["user", "admin", "read_only"]]
    answers = await together(
        *(
            ask(face, boss, "PATCH", f"/{anna_id}", {"roles": wanted[number % 5]})
            for number, face in enumerate(pair.each(50))
        )
    )
    assert Outcomes.of(answers) == {"200": 50}
    assert sorted(await roles_of(pair, anna_id)) in [sorted(one) for one in wanted]
    assert all(sorted(answer.json()["roles"]) in [sorted(one) for one in wanted] for answer in answers)


@pytest.mark.parametrize("turn", range(5))
async def test_two_new_passwords_of_ones_own(pair: Deployment, turn: int) -> None:
    """From two sessions at once: each would end the other, so one is left, with everything that it set."""
    anna_id, here = await member(pair)
    handle = handle_of(await pair.a.start(here.email))
    assert (await pair.a.prove(handle, "password", PASSWORD)).status_code == 200
    there = replace(here, token=(await pair.a.finish(handle)).json()["token"])
    wanted = {"four green kettles sing": here, "nine slow lanterns drift": there}
    answers = await together(
        *(
            ask(face, who, "PATCH", f"/{anna_id}", {"password": new, "profile": {"new": new}})
            for face, (new, who) in zip((pair.a, pair.b), wanted.items(), strict=True)
        )
    )
    assert Outcomes.of(answers) == {"200": 1, "session_ended": 1}, turn
    [new] = [answer.json()["profile"]["new"] for answer in answers if answer.status_code == 200]
    assert (await pair.b.session(wanted[new].token)).status_code == 200
    for one in wanted:
        handle = handle_of(await pair.a.start(here.email))
        assert (await pair.a.prove(handle, "password", one)).status_code == (200 if one == new else 403)


@pytest.mark.parametrize("turn", range(5))
async def test_two_owners_leave(pair: Deployment, turn: int) -> None:
    name = f"t{next(pair.numbers)}"
    await admin.add_tenant(operator(pair), name, name, "open")
    pairs = [await member(pair, "owner", at=name) for _ in range(2)]
    first, second = pairs if turn % 2 else pairs[::-1]
    answers = await together(
        pair.a.http.delete("/api/v1/me", headers=first[1].auth),
        ask(pair.b, second[1], "DELETE", f"/{first[0]}/roles/owner")
        if turn == 4
        else pair.b.http.delete("/api/v1/me", headers=second[1].auth),
    )
    tenant_id = next(row["id"] for row in await pair.a.rows(tenant) if row["name"] == name)
    live = {row["id"] for row in await pair.a.rows(person) if row["tenant_id"] == tenant_id and not row["disabled_at"]}
    assert {one for one, _ in pairs if one in live and "owner" in await roles_of(pair, one)}, Outcomes.of(answers)
    assert any(answer.status_code >= 400 or turn == 4 for answer in answers)


async def test_a_role_is_taken_while_its_holder_works(pair: Deployment) -> None:
    """Of fifty requests none is granted once the answer is there."""
    boss_id, boss = await member(pair, "admin")
    victims = [(await member(pair))[0] for _ in range(3)]
    other = (await member(pair, "admin"))[1]
    taken = asyncio.Event()
    granted_afterwards = []

    async def works(number: int) -> httpx2.Response:
        face, was_taken = pair.each(50)[number], taken.is_set()
        body = {"profile": {"number": number}}
        answer = await ask(face, boss, "PATCH", f"/{victims[number % 3]}", body)
        if was_taken and answer.status_code == 200:
            granted_afterwards.append(number)
        return answer

    async def takes() -> httpx2.Response:
        answer = await ask(pair.a, other, "DELETE", f"/{boss_id}/roles/admin")
        taken.set()
        return answer

    early = [asyncio.create_task(works(number)) for number in range(25)]
    done = await takes()
    late = [asyncio.create_task(works(number)) for number in range(25, 50)]
    answers = await asyncio.gather(*early, *late)
    assert done.status_code == 200
    assert granted_afterwards == []
    assert Outcomes.of(answers).keys() <= {"200", "permission_missing"}
    assert Outcomes.of(answers[25:]) == {"permission_missing": 25}


async def test_disabled_during_a_sign_in(pair: Deployment) -> None:
    """Whatever came first, nobody who is disabled has a live session."""
    _, boss = await member(pair, "admin")
    for turn in range(8):
        anna_id, anna = await member(pair)
        handle = handle_of(await pair.a.start(anna.email))
        assert (await pair.a.prove(handle, "password", PASSWORD)).status_code == 200
        face, other = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
        finished, done = await together(face.finish(handle), ask(other, boss, "POST", f"/{anna_id}/disable"))
        assert done.status_code == 200
        assert finished.status_code in (201, 401)
        live = [row for row in await pair.a.rows(session) if row["person_id"] == anna_id and row["ended_at"] is None]
        assert live == []
        if finished.status_code == 201:
            assert code_of(await face.session(finished.json()["token"])) == "session_ended"


async def test_deleted_during_a_refresh(pair: Deployment) -> None:
    """Nothing of a person who is gone is left, and no token of theirs opens anything."""
    name = f"t{next(pair.numbers)}"
    await admin.add_tenant(operator(pair), name, name, "open")
    _, boss = await member(pair, "owner", at=name)
    for turn in range(8):
        anna_id, anna = await member(pair, at=name)
        handle = handle_of(await pair.a.start(anna.email, tenant=name))
        assert (await pair.a.prove(handle, "password", PASSWORD)).status_code == 200
        mine = (await pair.a.finish(handle, "jwt")).json()
        face, other = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
        body = {"refresh_token": mine["refresh_token"]}
        refreshed, done = await together(
            face.http.post("/api/v1/tokens/refresh", json=body), ask(other, boss, "DELETE", f"/{anna_id}")
        )
        assert done.status_code == 204
        tokens = [mine["access_token"]]
        if refreshed.status_code == 200:
            tokens.append(refreshed.json()["access_token"])
        for token in tokens:
            assert (await other.http.get("/api/v1/session", headers=bearer(token))).status_code == 401
        for table in (person, session, credential, role_grant):
            assert anna_id not in {row.get("person_id", row["tenant_id"]) for row in await pair.a.rows(table)}
        assert anna_id not in {row["id"] for row in await pair.a.rows(person)}


async def test_fifty_creations_of_one_address(pair: Deployment) -> None:
    _, boss = await member(pair, "admin")
    email = pair.address()
    spellings = (email, email.upper(), f" {email}")
    answers = await together(
        *(
            ask(face, boss, "POST", "", {"email": spellings[number % 3], "roles": ["user"]})
            for number, face in enumerate(pair.each(50))
        )
    )
    assert Outcomes.of(answers) == {"201": 1, "conflict": 49}
    [made] = [json.loads(answer.content) for answer in answers if answer.status_code == 201]
    found = [row for row in await pair.a.rows(person) if row["email_key"] == email]
    assert [row["id"] for row in found] == [made["id"]]
