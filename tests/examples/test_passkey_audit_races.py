"""Example 4 as two processes over one database: what one begins the other completes, and who wins when many want the
same.

Not here: what each request does by itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from passgate.app import Passgate
from tests.authenticator import Authenticator
from tests.examples.passkey_audit import Who
from tests.examples.passkey_audit_served import (
    ORIGIN,
    SECRETS,
    Face,
    accounts_of,
    at,
    inside,
    is_whole,
    make_admin,
    mode_of,
    rows,
    served,
)
from tests.examples.programs import codes, running, until
from tests.processes import together

MANY = 50
LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO [a-z:_]+ (success|failure) user=\S+( why=\w+)? id=[0-9a-f-]{36}"
)
"""Of app.log."""


@dataclass
class Pair:
    a: Face
    b: Face
    folder: Path
    url: str | None
    inside: Passgate

    def each(self, count: int) -> list[Face]:
        return [self.a, self.b] * (count // 2)


@pytest.fixture(scope="module")
async def pair(pair_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Both start at the same moment, over a database in which nobody is yet."""
    folder = tmp_path_factory.mktemp("passkey-audit") / "example"
    servers = [served(folder, pair_url, env={"ORIGIN": ORIGIN}) for _ in range(2)]
    async with (
        running(*servers),
        at(servers[0], ORIGIN) as one,
        at(servers[1], ORIGIN, one.names) as two,
        inside(folder, pair_url) as gate,
    ):
        yield Pair(one, two, folder, pair_url, gate)
    for server in servers:
        assert [word for word in SECRETS if word in server.log()] == []


async def test_one_begins_and_the_other_completes(pair: Pair) -> None:
    for first, second in ((pair.a, pair.b), (pair.b, pair.a)):
        who = Who(first.address(), Authenticator())
        credential = await first.created_of(who.email, who.key)
        answer = await second.register_complete(who.email, credential)
        assert answer.status_code == 201
        signed = await first.signed_of(who)
        logged_in = await second.login_complete(who.email, signed)
        assert logged_in.status_code == 200
        for face in (first, second):
            found = await face.show(answer.json()["id"], logged_in.json()["access_token"])
            assert found.json() == answer.json()
            assert (await face.login_complete(who.email, signed)).status_code == 400
            assert (await face.register_complete(who.email, credential)).status_code == 400


@pytest.mark.parametrize("count", [MANY, pytest.param(200, marks=pytest.mark.soak)])
async def test_one_challenge_for_many(pair: Pair, count: int) -> None:
    """Exactly one of them registers, and exactly one logs in. What has been tried too often waits, 429."""
    who = Who(pair.a.address(), Authenticator())
    credential = await pair.a.created_of(who.email, who.key)
    answers = await together(*(face.register_complete(who.email, credential) for face in pair.each(count)))
    found = codes(answers)
    assert (found[201], found.keys() <= {201, 400, 429}) == (1, True), found
    [who.id] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    signed = await pair.b.signed_of(who)
    answers = await together(*(face.login_complete(who.email, signed) for face in pair.each(count)))
    found = codes(answers)
    assert (found[200], found.keys() <= {200, 400, 401, 429}) == (1, True), found
    assert await accounts_of(pair.inside, who.email) == [who.id]
    if pair.url is None:
        entered = rows(
            pair.folder, "SELECT 1 FROM audit_event WHERE event = 'signin:completed' AND subject_id = ?", who.id
        )
        assert len(entered) == 1


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.soak)])
async def test_one_address_for_many(pair: Pair, count: int) -> None:
    """Each with a passkey of their own: one account, with that of whoever got it."""
    email, faces = pair.a.address(), pair.each(count)
    keys = [Authenticator() for _ in faces]
    created = [await face.created_of(email, key) for face, key in zip(faces, keys, strict=True)]
    asked = zip(faces, created, strict=True)
    answers = await together(*(face.register_complete(email, one) for face, one in asked))
    assert codes(answers) == {201: 1, 400: count - 1}
    [winner] = [number for number, answer in enumerate(answers) if answer.status_code == 201]
    assert await accounts_of(pair.inside, email) == [answers[winner].json()["id"]]
    assert {answer.text for answer in answers if answer.status_code == 400} == {'{"detail":"Registration failed"}'}
    entered = [(await pair.b.enter(Who(email, key))).status_code for key in keys]
    assert [number for number, code in enumerate(entered) if code == 200] == [winner]
    assert {*entered} == {200, 401}


@pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.soak)])
async def test_somebody_is_promoted_and_deleted(pair: Pair, count: int) -> None:
    """Whatever comes first: in the end nobody is there, and no role of theirs."""
    admin = await pair.a.person_of()
    await make_admin(pair.inside, admin)
    token = await pair.b.token_of(admin)
    for number in range(count):
        who = await pair.a.person_of()
        theirs = await pair.b.token_of(who)
        first, second = (pair.a, pair.b) if number % 2 else (pair.b, pair.a)
        deleting = second.ask("DELETE", f"/auth/api/v1/users/{who.id}", token)
        both = [first.promote(who.id, token), deleting]
        promoted, deleted = await together(*both)
        assert codes([promoted, deleted]).keys() <= {200, 204, 403, 404, 409}
        if deleted.status_code != 204:  # nobody deletes an admin who is an equal
            assert (promoted.status_code, deleted.status_code) == (200, 403)
            assert (await first.show(who.id, theirs)).json()["role"] == "admin"
            continue
        for face in (first, second):
            assert (await face.show(who.id, theirs)).status_code == 401
            assert (await face.show(who.id, token)).status_code == 404
            assert (await face.promote(who.id, token)).status_code == 404
        assert await accounts_of(pair.inside, who.email) == []


async def test_both_write_the_trail_and_the_log(pair: Pair) -> None:
    """Every attempt has its row and its line, whole, whichever process it came to."""
    people = await asyncio.gather(*(face.person_of() for face in pair.each(6)))
    answers = await together(*(face.enter(who) for face, who in zip(pair.each(12), [*people, *people], strict=True)))
    assert codes(answers) == {200: 12}
    assert await is_whole(pair.inside)
    path = pair.folder / "app.log"
    assert mode_of(path) == 0o600

    async def lines() -> list[str]:
        return path.read_text().splitlines()

    ids = {who.id for who in people}

    def entered(found: list[str]) -> int:
        return len([line for line in found if " signin:completed success " in line and any(one in line for one in ids)])

    found = await until(lines, lambda found: entered(found) >= 12)
    assert entered(found) == 12
    assert [line for line in found if not LINE.fullmatch(line)] == []
    assert [word for word in SECRETS if word in "\n".join(found)] == []


async def test_both_have_the_views(pair: Pair) -> None:
    """Of SQLite; PostgreSQL has neither them nor the file."""
    if pair.url is not None:
        assert not (pair.folder / "app.db").exists()
        return
    who = await pair.b.person_of()
    [row] = rows(pair.folder, "SELECT first_name, role FROM users WHERE id = ?", who.id)
    assert row == {"first_name": "Jane", "role": "user"}
    found = rows(pair.folder, "SELECT event_type FROM audit_logs WHERE user_email = ?", who.email)
    assert [row["event_type"] for row in found] == ["registration_complete"]
