"""Example 3 as two processes over one database: who wins when two want the same, and that nobody is left without a way
in.

Not here: what each request does by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from passgate.app import Passgate
from tests.examples.programs import codes, inside, running
from tests.examples.two_factor_served import SECRETS, Face, kinds_of, scanned, served
from tests.processes import client_for, together

BACKUPS = 5


@dataclass
class Pair:
    a: Face
    b: Face
    inside: Passgate

    def each(self, count: int) -> list[Face]:
        return [self.a, self.b] * (count // 2)


@pytest.fixture(scope="module")
async def pair(pair_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Both start at the same moment, over a database in which nobody is yet."""
    data = tmp_path_factory.mktemp("two-factor") / "data"
    servers = [served(data, pair_url, PUBLIC_URL="http://localhost:5555") for _ in range(2)]
    async with (
        running(*servers),
        client_for(servers[0]) as one,
        client_for(servers[1]) as two,
        inside(data, pair_url) as gate,
    ):
        a = Face(one)
        yield Pair(a, Face(two, a.names), gate)
    for server in servers:
        assert [word for word in SECRETS if word in server.log()] == []


async def test_two_first_starts(pair: Pair) -> None:
    """The rules and the name are those of the variables, whoever wrote them last."""
    email, app = await pair.a.new_with_app()
    assert "issuer=fastapi_2fa" in app.uri
    assert (await pair.b.second(await pair.a.first_of(email), app.code())).status_code == 200
    assert len(await pair.b.backups_of(email)) == BACKUPS


@pytest.mark.parametrize("turn", range(2))
async def test_one_address_for_many(pair: Pair, turn: int) -> None:
    """One account, with the password and the device of whoever got it."""
    email = pair.a.address()
    wanted = [("code_generator", "email", "")[(number + turn) % 3] for number in range(8)]
    passwords = [f"12345{number}" for number in range(8)]
    asked = zip(pair.each(8), wanted, passwords, strict=True)
    answers = await together(*(face.signup(email, device, password) for face, device, password in asked))
    assert codes(answers) == {200: 1, 400: 7}
    [winner] = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    logins = [await pair.b.login(email, password) for password in passwords]
    expected = 202 if wanted[winner] else 200
    assert [one.status_code for one in logins] == [expected if number == winner else 401 for number in range(8)]
    kinds = await kinds_of(pair.inside, email)
    assert kinds["totp"] == (wanted[winner] == "code_generator")
    assert kinds["email_code"] == (wanted[winner] == "email")
    assert kinds["recovery_code"] == (BACKUPS if wanted[winner] else 0)


@pytest.mark.parametrize("device", ["email", "code_generator"])
async def test_one_code_for_many(pair: Pair, device: str) -> None:
    """Each with a first step of their own: the code of an app is good once, a mailed one for its own first step."""
    if device == "email":
        email = await pair.a.new(device)
        firsts = [await face.first_of(email) for face in pair.each(4)]
        code = await pair.a.code_of(email)
    else:
        email, app = await pair.a.new_with_app()
        firsts = [await face.first_of(email) for face in pair.each(4)]
        code = app.code()
    asked = list(zip(pair.each(8), [*firsts, *firsts[::-1]], strict=True))
    answers = codes(await together(*(face.second(first, code) for face, first in asked)))
    assert answers[200] == 1
    assert answers.keys() <= {200, 401, 403, 429}


async def test_each_backup_token_once(pair: Pair) -> None:
    """Each of the five by eight, at the same moment. A refusal counts, so that some wait: their token is not used up
    by it."""
    email, _ = await pair.a.new_with_app()
    tokens = await pair.a.backups_of(email)
    faces = pair.each(8)
    asked = [(face, await face.first_of(email), token) for token in tokens for face in faces]
    answers = await together(*(face.backup(first, token) for face, first, token in asked))
    found = codes(answers)
    assert found.keys() <= {200, 403, 429}
    right = Counter(token for (*_, token), answer in zip(asked, answers, strict=True) if answer.status_code == 200)
    assert set(right.values()) == {1}
    assert (await kinds_of(pair.inside, email))["recovery_code"] == BACKUPS - len(right)


@pytest.mark.parametrize("turn", range(2))
async def test_a_refresh_that_is_doubled(pair: Pair, turn: int) -> None:
    """Two have the token: one gets a pair, and then the sign-in ends for both."""
    email = await pair.a.new()
    old = (await pair.each(2)[turn].pair_of(email))["refresh_token"]
    answers = await together(*(face.refresh(old) for face in (pair.a, pair.b)))
    assert codes(answers) == {200: 1, 403: 1}
    [new] = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await pair.a.refresh(new["refresh_token"])).status_code == 403
    assert (await pair.b.ask("GET", "/auth/test-token", new["access_token"])).status_code == 403
    assert (await pair.a.login(email)).status_code == 200, "whoever has the password begins anew"


@pytest.mark.parametrize(
    "devices", [("code_generator", "code_generator"), ("code_generator", "email"), ("email", "email")], ids="-".join
)
async def test_turned_on_twice(pair: Pair, devices: tuple[str, str]) -> None:
    """One of them is told so, there is one device, and it lets in whoever was; so do the backup tokens of the last
    mail."""
    for _ in range(2):
        email = await pair.a.new()
        access = [await face.access_of(email) for face in (pair.a, pair.b)]
        answers = await together(
            *(face.enable(token, device) for face, token, device in zip((pair.a, pair.b), access, devices, strict=True))
        )
        found = codes(answers)
        assert found[200] == 1
        assert found.keys() <= {200, 400, 401, 403}
        kinds = await kinds_of(pair.inside, email)
        assert (kinds["recovery_code"], kinds["totp"] + kinds["email_code"]) == (BACKUPS, 1)
        pictures = [answer.content for answer in answers if answer.status_code == 200 and answer.content]
        if pictures:
            works = await pair.a.second(await pair.b.first_of(email), scanned(pictures[0]).code())
            assert works.status_code == 200
        else:
            first = await pair.b.first_of(email)
            assert (await pair.a.second(first, await pair.a.code_of(email))).status_code == 200
        tokens = await pair.a.backups_of(email)
        assert (await pair.b.backup(await pair.a.first_of(email), tokens[0])).status_code == 200


async def test_both_second_steps_of_one_first(pair: Pair) -> None:
    for _ in range(2):
        email, app = await pair.a.new_with_app()
        tokens = await pair.a.backups_of(email)
        first = await pair.a.first_of(email)
        answers = await together(pair.a.second(first, app.code()), pair.b.backup(first, tokens[0]))
        found = codes(answers)
        assert found[200] == 1
        assert found.keys() <= {200, 401, 403, 404}
        assert (await pair.a.backup(await pair.b.first_of(email), tokens[1])).status_code == 200
