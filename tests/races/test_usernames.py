"""Usernames in two processes at the same time: one name is one person's, and a sign-in by it is never somebody else's.

What a change means by itself is in tests/web/test_contract_usernames.
"""

from __future__ import annotations

import httpx2

from passgate.core import admin, users
from passgate.store.tables import person
from tests.kit import OTHER_PASSWORD, PASSWORD, bearer, code_of, handle_of
from tests.processes import Deployment, Face, Outcomes, together
from tests.races.test_people import ask, member, operator


async def here(pair: Deployment) -> str:
    """A tenant whose people may have usernames."""
    name = f"t{next(pair.numbers)}"
    made = await admin.add_tenant(operator(pair), name, name, "open")
    await admin.change_policy(operator(pair), made["id"], {"usernames": "optional"})
    return name


async def named(pair: Deployment, username: str) -> list[str]:
    return [row["id"] for row in await pair.a.rows(person) if row["username_key"] == username]


async def test_one_name_for_many(pair: Deployment) -> None:
    """Twenty people choose the same one, in several spellings, while an admin creates others with it."""
    at = await here(pair)
    _, boss = await member(pair, "admin", at=at)
    people = [await member(pair, at=at) for _ in range(10)]
    spellings = ("strasse", "Straße", "ＳＴＲＡＳＳＥ")
    chosen = [
        ask(face, who, "PATCH", f"/{person_id}", {"username": spellings[number % 3]})
        for number, (face, (person_id, who)) in enumerate(zip(pair.each(10), people, strict=True))
    ]
    given = [
        ask(face, boss, "POST", "", {"email": pair.address(), "username": spellings[number % 3]})
        for number, face in enumerate(pair.each(10))
    ]
    answers = await together(*chosen, *given)
    found = Outcomes.of(answers)
    assert found["conflict"] == 19, found
    assert len(await named(pair, "strasse")) == 1


async def test_two_swap(pair: Deployment) -> None:
    """Two people who take each other's name, as soon as it is free: nobody has both, and none is lost."""
    at = await here(pair)
    for turn in range(6):
        names = (f"one{turn}", f"two{turn}")
        both = [await member(pair, at=at) for _ in names]
        for (person_id, who), name in zip(both, names, strict=True):
            assert (await ask(pair.a, who, "PATCH", f"/{person_id}", {"username": name})).status_code == 200
        faces = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
        answers = await together(
            ask(faces[0], both[0][1], "PATCH", f"/{both[0][0]}", {"username": None}),
            ask(faces[1], both[1][1], "PATCH", f"/{both[1][0]}", {"username": names[0]}),
        )
        assert answers[0].status_code == 200
        assert Outcomes.of(answers[1:]).keys() <= {"200", "conflict"}
        is_moved = answers[1].status_code == 200
        assert await named(pair, names[0]) == ([both[1][0]] if is_moved else [])
        assert await named(pair, names[1]) == ([] if is_moved else [both[1][0]])


async def test_a_sign_in_while_the_name_moves(pair: Deployment) -> None:
    """Anna signs in by a name that becomes Ben's meanwhile: whoever gets a session had the password that was right."""
    at = await here(pair)
    _, boss = await member(pair, "admin", at=at)
    for turn in range(6):
        name = f"moved{turn}"
        (anna_id, _), (ben_id, _) = await member(pair, at=at), await member(pair, at=at)
        assert (await ask(pair.a, boss, "PATCH", f"/{anna_id}", {"username": name})).status_code == 200
        assert (await ask(pair.a, boss, "PATCH", f"/{ben_id}", {"password": OTHER_PASSWORD})).status_code == 200
        face, other = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)

        async def moves(other: Face = other, of: str = anna_id, to: str = ben_id, name: str = name) -> httpx2.Response:
            done = await ask(other, boss, "PATCH", f"/{of}", {"username": None})
            assert done.status_code == 200
            return await ask(other, boss, "PATCH", f"/{to}", {"username": name})

        handles = [handle_of(await face.start(username=name, tenant=at)) for _ in range(2)]
        right, wrong, moved = await together(
            face.prove(handles[0], "password", PASSWORD), face.prove(handles[1], "password", OTHER_PASSWORD), moves()
        )
        assert moved.status_code == 200
        for answer, handle, owner in ((right, handles[0], anna_id), (wrong, handles[1], ben_id)):
            if answer.status_code != 200:
                assert code_of(answer) == "proof_refused"
                continue
            token = (await face.finish(handle)).json()["token"]
            whole = await face.http.get("/api/v1/session", headers=bearer(token))
            assert whole.json()["user"]["id"] == owner


async def test_nobody_takes_what_is_not_theirs(pair: Deployment) -> None:
    """Somebody's id, address or an official word, in both processes and every way in which one changes oneself."""
    at = await here(pair)
    (anna_id, anna), (mallory_id, mallory) = await member(pair, at=at), await member(pair, at=at)
    taken = (anna_id, anna_id.replace("-", ""), anna.email, "admin", "Support", "ro.ot", "me")
    requests = [
        ask(face, mallory, "PATCH", f"/{mallory_id}", {"username": word}) for word in taken for face in (pair.a, pair.b)
    ]
    assert Outcomes.of(await together(*requests)) == {"invalid": 2 * len(taken)}
    for method, path, body in (
        ("PATCH", "/me", {"profile": {}, "username": "admin"}),
        ("PATCH", "/me", {"username": "mallory"}),
    ):
        answer = await pair.a.http.request(method, f"/api/v1{path}", json=body, headers=mallory.auth)
        assert code_of(answer) == "invalid"
    profile = {"username": "admin", "username_key": "admin"}
    assert (await pair.a.http.patch("/api/v1/me", json={"profile": profile}, headers=mallory.auth)).status_code == 200
    [row] = [row for row in await pair.a.rows(person) if row["id"] == mallory_id]
    assert (row["username"], row["username_key"]) == ("", "")
    assert await users.by_email(operator(pair), mallory.email, at) == users.User(row["tenant_id"], mallory_id)


async def test_removed_while_its_owner_is_erased(pair: Deployment) -> None:
    """The name is free for the next one, and of the two of before nothing is left."""
    at = await here(pair)
    _, boss = await member(pair, "owner", at=at)
    for turn in range(4):
        name = f"gone{turn}"
        anna_id, _ = await member(pair, at=at)
        assert (await ask(pair.a, boss, "PATCH", f"/{anna_id}", {"username": name})).status_code == 200
        body = {"email": pair.address(), "username": name}
        gone, made = await together(ask(pair.a, boss, "DELETE", f"/{anna_id}"), ask(pair.b, boss, "POST", "", body))
        assert gone.status_code == 204
        if made.status_code == 409:
            made = await ask(pair.b, boss, "POST", "", body)
        assert made.status_code == 201
        assert await named(pair, name) == [made.json()["id"]]
