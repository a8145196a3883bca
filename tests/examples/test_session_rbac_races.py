"""Example 2 as two processes over one database: who wins when two want the same, and who stays an admin.

Not here: what each request does by itself (people).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.examples.programs import Served, codes, running
from tests.examples.session_rbac import Face, keeps_no_secret, served
from tests.kit import OTHER_PASSWORD, PASSWORD
from tests.processes import client_for, together


@dataclass
class Pair:
    servers: list[Served]
    a: Face
    b: Face
    admin: str = ""
    names: Any = field(default_factory=itertools.count)

    def name(self) -> str:
        return f"p{next(self.names)}"

    async def admins(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Two new admins: the ids of both, and of their sessions."""
        found = []
        for face in (self.a, self.b):
            name = self.name()
            found.append((await self.a.person(self.admin, name, "admin"), await face.login(name)))
        return found[0], found[1]


@pytest.fixture(scope="module")
async def pair(pair_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Both start at the same moment, over a database in which nobody is yet."""
    data = tmp_path_factory.mktemp("rbac") / "data"
    servers = [served(data, pair_url, PASSGATE_PUBLIC_URL="http://localhost:8002") for _ in range(2)]
    async with running(*servers), client_for(servers[0]) as one, client_for(servers[1]) as two:
        made = Pair(servers, Face(one), Face(two))
        made.admin = await made.a.login("admin")
        yield made
    for server in servers:
        keeps_no_secret(server, PASSWORD, OTHER_PASSWORD, made.admin)


async def test_two_first_starts_make_one_admin(pair: Pair) -> None:
    answer = await pair.b.ask("GET", "/users/?size=100", pair.admin)
    assert [one["username"] for one in answer.json()["data"] if one["username"] == "admin"] == ["admin"]
    assert (await pair.b.ask("GET", "/users/me/", await pair.b.login("admin"))).json()["user"]["role"] == "admin"
    assert all("is ready: http://localhost" in server.log() for server in pair.servers)


async def test_a_session_of_one_is_one_of_the_other(pair: Pair) -> None:
    answers = await together(*(face.enter("admin") for face in [pair.a, pair.b] * 5))
    sessions = [answer.json()["sessionID"] for answer in answers]
    assert len(set(sessions)) == 10
    for session in sessions[:4]:
        both = await together(*(face.ask("GET", "/users/me/", session) for face in (pair.a, pair.b)))
        assert codes(both) == {200: 2}
    assert (await pair.a.ask("POST", "/auth/logout", sessions[0])).status_code == 200
    assert (await pair.b.ask("GET", "/users/me/", sessions[0])).status_code == 403


async def test_many_guesses_at_both(pair: Pair) -> None:
    """What one counts the other counts too."""
    name = pair.name()
    await pair.a.person(pair.admin, name)
    answers = await together(
        *(face.enter(name, f"guess {number}") for number in range(15) for face in (pair.a, pair.b))
    )
    found = codes(answers)
    assert found.keys() == {401, 429}
    assert found[401] <= 10


async def test_one_name_for_two(pair: Pair) -> None:
    for _ in range(6):
        wanted = pair.name()
        ids = [await pair.a.person(pair.admin, pair.name()) for _ in range(4)]
        faces = (pair.a, pair.b, pair.a, pair.b)
        change = {"username": wanted}
        answers = await together(
            *(
                face.ask("PATCH", f"/users/{one}/", pair.admin, json=change)
                for face, one in zip(faces, ids, strict=True)
            )
        )
        assert codes(answers) == {202: 1, 400: 3}
        winner = next(answer.json()["id"] for answer in answers if answer.status_code == 202)
        session = await pair.b.login(wanted)
        assert (await pair.a.ask("GET", "/users/me/", session)).json()["user"]["id"] == winner


async def test_one_new_person_for_many(pair: Pair) -> None:
    name = pair.name()
    given = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    answers = await together(*(face.ask("POST", "/users/", pair.admin, json=given) for face in [pair.a, pair.b] * 5))
    assert codes(answers) == {201: 1, 400: 9}


async def test_two_changes_of_one_person_lose_nothing(pair: Pair) -> None:
    for _ in range(4):
        new, person_id = pair.name(), await pair.a.person(pair.admin, pair.name())
        answers = await together(
            pair.a.ask("PATCH", f"/users/{person_id}/", pair.admin, json={"username": new}),
            pair.b.ask("PATCH", f"/users/{person_id}/", pair.admin, json={"role": "read_only"}),
        )
        assert codes(answers) == {202: 2}
        found = (await pair.a.ask("GET", f"/users/{person_id}/", pair.admin)).json()
        assert (found["username"], found["role"]) == (new, "read_only")


async def test_two_admins_demote_each_other(pair: Pair) -> None:
    for _ in range(6):
        (one, first), (two, second) = await pair.admins()
        answers = await together(
            pair.a.ask("PATCH", f"/users/{two}/", first, json={"role": "user"}),
            pair.b.ask("PATCH", f"/users/{one}/", second, json={"role": "user"}),
        )
        assert codes(answers) == {202: 1, 403: 1}
        roles = [(await pair.a.ask("GET", f"/users/{who}/", pair.admin)).json()["role"] for who in (one, two)]
        assert sorted(roles) == ["admin", "user"]


async def test_two_admins_delete_each_other(pair: Pair) -> None:
    for _ in range(6):
        (one, first), (two, second) = await pair.admins()
        answers = await together(
            pair.a.ask("DELETE", f"/users/{two}/", first), pair.b.ask("DELETE", f"/users/{one}/", second)
        )
        assert codes(answers) == {204: 1, 403: 1}
        left = [await pair.a.ask("GET", f"/users/{who}/", pair.admin) for who in (one, two)]
        assert sorted(answer.status_code for answer in left) == [200, 404]
        assert next(answer.json()["role"] for answer in left if answer.status_code == 200) == "admin"


async def test_one_is_deleted_once(pair: Pair) -> None:
    person_id = await pair.a.person(pair.admin, pair.name(), "admin")
    answers = await together(*(face.ask("DELETE", f"/users/{person_id}/", pair.admin) for face in [pair.a, pair.b] * 3))
    assert codes(answers) == {204: 1, 404: 5}


async def test_deleted_while_at_work(pair: Pair) -> None:
    """Whoever is deleted gets nothing more, wherever they ask."""
    name = pair.name()
    person_id = await pair.a.person(pair.admin, name)
    session = await pair.b.login(name)
    asked = [face.ask("GET", "/users/me/", session) for face in [pair.a, pair.b] * 8]
    answers = await together(*asked, pair.a.ask("DELETE", f"/users/{person_id}/", pair.admin))
    assert codes(answers).keys() <= {200, 204, 403}
    after = await together(*(face.ask("GET", "/users/me/", session) for face in (pair.a, pair.b)))
    assert codes(after) == {403: 2}


async def test_signing_in_while_the_password_changes(pair: Pair) -> None:
    """No session that the old password opened outlives the change."""
    for _ in range(3):
        name = pair.name()
        person_id = await pair.a.person(pair.admin, name)
        change = pair.a.ask("PATCH", f"/users/{person_id}/", pair.admin, json={"password": OTHER_PASSWORD})
        answers = await together(*(pair.b.enter(name) for _ in range(4)), change)
        assert codes(answers).keys() <= {200, 202, 401, 403}
        for answer in answers:
            if answer.status_code == 200:
                session = answer.json()["sessionID"]
                assert (await pair.a.ask("GET", "/users/me/", session)).status_code == 403
        assert (await pair.a.enter(name)).status_code == 401
        assert (await pair.b.enter(name, OTHER_PASSWORD)).status_code == 200
