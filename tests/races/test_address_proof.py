"""The first proof of an address, in one process, while whoever had claimed it does something with the account in
another: one comes first, whole, and whoever reads the mail is in alone.

The same where the account gives way to another one of that reader. What ends with that proof, one thing after the
other, is in `tests/core/test_address_proof`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from passgate.core import admin
from passgate.core.factors import totp
from passgate.store.tables import credential, person, session, tenant
from tests.authenticator import Authenticator
from tests.kit import OTHER_PASSWORD, PASSWORD, Person, bearer, code_of, handle_of
from tests.processes import Deployment, Face, Outcomes, tally, together
from tests.races.test_people import member, operator

ORIGIN = "http://localhost:8000"
OURS = "violet umbrellas sang all night"
"""The password of whoever reads the mail."""

Request = Callable[[], Awaitable[httpx2.Response]]
Attack = Callable[["Race"], Awaitable[Request]]
Owner = Callable[["Race"], Awaitable[tuple[Request, str]]]


@dataclass
class Race:
    """One claimed account, in a tenant where addresses are proved later. `one` and `other` are the two processes."""

    pair: Deployment
    at: str
    boss: Person
    one: Face
    other: Face
    email: str
    own: str
    secrets: list[str] = field(default_factory=list)
    """Tokens of the attacker's sessions."""
    refresh_tokens: list[str] = field(default_factory=list)

    @property
    def auth(self) -> dict[str, str]:
        return bearer(self.secrets[0])

    async def claim(self) -> None:
        begun = await self.other.signup(self.email, PASSWORD, tenant=self.at)
        self.secrets.append((await self.other.finish(handle_of(begun))).json()["token"])

    async def ready(self, face: Face, **more: Any) -> str:
        """A sign-in of the attacker that has proved everything and is not finished."""
        handle = handle_of(await face.start(self.email, tenant=self.at, **more))
        assert (await face.prove(handle, "password", PASSWORD)).status_code == 200
        return handle

    def receive(self, answer: httpx2.Response) -> None:
        """What a finished sign-in has given to the attacker."""
        if answer.status_code in (200, 201):
            given = answer.json()
            self.secrets += [given[name] for name in ("token", "access_token") if given.get(name)]
            self.refresh_tokens += [given["refresh_token"]] if given.get("refresh_token") else []


# -- what the attacker does: what is prepared, and the request of the race ---------------------------


async def claims_again(race: Race) -> Request:
    """One more sign-up with the same address, of which only one can have it."""
    handle = handle_of(await race.other.signup(race.email, OTHER_PASSWORD, tenant=race.at))
    return lambda: race.other.finish(handle)


async def signs_in(race: Race) -> Request:
    handle = await race.ready(race.other)
    return lambda: race.other.finish(handle)


async def by_cookie(race: Race) -> Request:
    """The browser would be known and remembered."""
    handle = await race.ready(race.other)
    body = {"carrier": "cookie", "remember": True}
    headers = bearer(handle) | {"sec-fetch-site": "same-origin"}
    return lambda: race.other.http.post("/api/v1/signin/finish", json=body, headers=headers)


async def steps_up(race: Race) -> Request:
    begun = await race.other.http.post("/api/v1/signin", json={"step_up": {}}, headers=race.auth)
    handle = handle_of(begun)
    assert (await race.other.prove(handle, "password", PASSWORD)).status_code == 200
    return lambda: race.other.finish(handle)


async def refreshes(race: Race) -> Request:
    given = (await race.other.finish(await race.ready(race.other), "jwt")).json()
    race.secrets.append(given["access_token"])
    race.refresh_tokens.append(given["refresh_token"])
    body = {"refresh_token": given["refresh_token"]}
    return lambda: race.other.http.post("/api/v1/tokens/refresh", json=body)


async def adds_a_passkey(race: Race) -> Request:
    offered = await race.other.http.post("/api/v1/me/passkeys", headers=race.auth)
    answer = Authenticator().create(offered.json()["challenge"], ORIGIN)
    return lambda: race.other.http.post("/api/v1/me/passkeys/prove", json={"answer": answer}, headers=race.auth)


async def adds_an_app(race: Race) -> Request:
    offered = (await race.other.http.post("/api/v1/me/totp", headers=race.auth)).json()
    secret = base64.b32decode(offered["secret"])
    body = {"answer": totp.code_at(secret, int(time.time()) // totp.PERIOD)}
    return lambda: race.other.http.post("/api/v1/me/totp/prove", json=body, headers=race.auth)


async def makes_codes(race: Race) -> Request:
    return lambda: race.other.http.post("/api/v1/me/recovery-codes", headers=race.auth)


async def changes_the_password(race: Race) -> Request:
    body = {"password": OTHER_PASSWORD}
    return lambda: race.other.http.post("/api/v1/me/password", json=body, headers=race.auth)


async def moves_away(race: Race) -> Request:
    """To a mailbox of the attacker's own."""
    assert (await race.other.http.post("/api/v1/me/address", json={"email": race.own}, headers=race.auth)).is_success
    body = {"answer": await race.other.code(race.own, "address_code")}
    return lambda: race.other.http.post("/api/v1/me/address/prove", json=body, headers=race.auth)


async def takes_a_name(race: Race) -> Request:
    body = {"username": race.own.partition("@")[0]}
    return lambda: race.other.http.patch("/api/v1/me", json=body, headers=race.auth)


async def closes(race: Race) -> Request:
    return lambda: race.other.http.delete("/api/v1/me", headers=race.auth)


ATTACKS = (
    claims_again,
    signs_in,
    by_cookie,
    steps_up,
    refreshes,
    adds_a_passkey,
    adds_an_app,
    makes_codes,
    changes_the_password,
    moves_away,
    takes_a_name,
    closes,
)


# -- what the owner does ----------------------------------------------------------------------------


async def signs_up(race: Race) -> tuple[Request, str]:
    """The address is not free, so it has to be proved."""
    handle = handle_of(await race.one.signup(race.email, OURS, tenant=race.at))
    assert code_of(await race.one.finish(handle)) == "proof_missing"
    code = await race.one.code(race.email)
    return lambda: race.one.prove(handle, "email_code", code), handle


async def recovers(race: Race) -> tuple[Request, str]:
    begun = await race.one.http.post("/api/v1/recover", json={"email": race.email, "tenant": race.at})
    code, handle = await race.one.code(race.email, "recovery_code"), handle_of(begun)
    return lambda: race.one.prove(handle, "email_code", code), handle


async def is_invited(race: Race) -> tuple[Request, str]:
    token = await invited(race)
    handle = handle_of(await race.one.http.post("/api/v1/invitations/accept", json={"token": token}))
    return lambda: race.one.prove(handle, "password", OURS), handle


async def invited(race: Race) -> str:
    body = {"email": race.email, "roles": ["user"]}
    made = await race.one.http.post("/api/v1/invitations", json=body, headers=race.boss.auth)
    assert made.status_code == 201, made.text
    [mail, *_] = await race.one.mails_of(race.email, "invitation")
    return str(mail["link"]).rpartition("/")[2]


OWNERS = (signs_up, recovers, is_invited)
ROUNDS = 50


async def enters(race: Race, proved: httpx2.Response, handle: str) -> str:
    """Go on to a session after the race. Only the attacker's leaving can have made it vain: the owner begins anew."""
    if proved.status_code == 200 and not proved.json()["enough"]:
        proved = await race.one.prove(handle, "password", OURS)
    finished = await race.one.finish(handle) if proved.status_code == 200 else proved
    if finished.status_code != 201:
        request, handle = await signs_up_anew(race)
        if request is not None:
            assert (await request()).status_code == 200
        finished = await race.one.finish(handle)
    assert finished.status_code == 201, finished.text
    return str(finished.json()["token"])


async def signs_up_anew(race: Race) -> tuple[Request | None, str]:
    before = len([mail for mail in await race.one.mails(race.email) if mail["kind"] == "signup_code"])
    handle = handle_of(await race.one.signup(race.email, OURS, tenant=race.at))
    finished = await race.one.finish(handle)
    if finished.status_code == 201:  # nobody has the address any more: then prove it in the session
        return None, await confirming(race, finished.json()["token"])
    assert code_of(finished) == "proof_missing"
    code = (await race.one.mails_of(race.email, "signup_code", before + 1))[0]["code"]
    return (lambda: race.one.prove(handle, "email_code", str(code))), handle


async def confirming(race: Race, token: str) -> str:
    begun = await race.one.http.post("/api/v1/signin", json={"step_up": {"address": True}}, headers=bearer(token))
    handle = handle_of(begun)
    assert (await race.one.prove(handle, "password", OURS)).status_code == 200
    assert (await race.one.challenge(handle, "email_code")).status_code == 200
    code = await race.one.code(race.email, "signin_code")
    assert (await race.one.prove(handle, "email_code", code)).status_code == 200
    return handle


# -- the race ---------------------------------------------------------------------------------------


async def later(pair: Deployment) -> tuple[str, Person]:
    """A tenant where addresses are proved later, and an admin of it."""
    name = f"later{next(pair.numbers)}"
    await admin.add_tenant(operator(pair), name, name, "open")
    _, boss = await member(pair, "admin", at=name)
    rules = json.dumps({"address_proof": "later", "usernames": "optional"})
    async with pair.inside.services.store.write() as db:
        assert await db.change(update(tenant).where(tenant.c.name == name).values(policy=rules)) == 1
    return name, boss


async def one_round(pair: Deployment, at: tuple[str, Person], owner: Owner, attack: Attack, number: int) -> None:
    one, other = (pair.a, pair.b) if number % 2 else (pair.b, pair.a)
    race = Race(pair, *at, one, other, pair.address(), pair.address())
    await race.claim()
    request = await attack(race)
    proof, handle = await owner(race)
    delay = (number % 5) * 0.004

    async def late() -> httpx2.Response:
        await asyncio.sleep(delay)
        return await request()

    proved, done = await together(proof(), late())
    assert Outcomes.of([proved]), tally([done])
    race.receive(done)
    token = await enters(race, proved, handle)
    await alone(race, token)


async def alone(race: Race, token: str) -> None:
    """Whoever reads the mail has the account of that address, and nobody else has anything of it."""
    [found] = [row for row in await race.pair.a.rows(person) if row["email"] == race.email]
    assert found["email_verified_at"] is not None
    mine = (await race.one.session(token)).json()
    assert mine["user"]["id"] == found["id"]
    assert mine["user"]["email_verified"] is True
    for secret in race.secrets:
        seen = await race.other.session(secret)
        assert seen.status_code == 401 or seen.json()["user"]["email"] == race.own
    for secret in race.refresh_tokens:
        seen = await race.other.http.post("/api/v1/tokens/refresh", json={"refresh_token": secret})
        assert seen.status_code == 401
    live = [row for row in await race.pair.a.rows(session) if row["person_id"] == found["id"] and not row["ended_at"]]
    assert [row["id"] for row in live] == [mine["session"]["id"]]
    rows = [row for row in await race.pair.a.rows(credential) if row["person_id"] == found["id"]]
    assert [row["kind"] for row in rows if row["revoked_at"] is None] == ["password"]
    handle = handle_of(await race.other.start(race.email, tenant=race.at))
    for guess in (PASSWORD, OTHER_PASSWORD):
        assert code_of(await race.other.prove(handle, "password", guess)) == "proof_refused"


@pytest.mark.parametrize("owner", OWNERS, ids=lambda one: one.__name__)
async def test_at_the_same_moment(pair: Deployment, owner: Owner) -> None:
    """Every attack once: a tenant of its own for each would take longer than the races."""
    at = await later(pair)
    for number, attack in enumerate(ATTACKS):
        await one_round(pair, at, owner, attack, number)


@pytest.mark.soak
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.__name__)
async def test_each_attack_fifty_times(pair: Deployment, attack: Attack) -> None:
    at, met = await later(pair), set[Owner]()
    for number in range(ROUNDS):
        owner = OWNERS[number % len(OWNERS)]
        await one_round(pair, at, owner, attack, number)
        met.add(owner)
    assert met == {*OWNERS}


@pytest.mark.soak
@pytest.mark.parametrize("owner", OWNERS, ids=lambda one: one.__name__)
async def test_each_owner_fifty_times(pair: Deployment, owner: Owner) -> None:
    """Each attack twice in a row, once in each process."""
    at, met = await later(pair), set[Attack]()
    for number in range(ROUNDS):
        attack = ATTACKS[number // 2 % len(ATTACKS)]
        await one_round(pair, at, owner, attack, number)
        met.add(attack)
    assert met == {*ATTACKS}


# -- an account that gives way ----------------------------------------------------------------------


async def gives_way(pair: Deployment, at: tuple[str, Person], attack: Attack, number: int) -> None:
    """Somebody else proves the mailbox for an account of their own: the claimed one is erased, whatever its holder does
    in the other process at that moment, and nothing of it is left. One that leaves the address first lives on."""
    one, other = (pair.a, pair.b) if number % 2 else (pair.b, pair.a)
    race = Race(pair, *at, one, other, pair.address(), pair.address())
    await race.claim()
    [claimed] = [row["id"] for row in await pair.a.rows(person) if row["email"] == race.email]
    started = await one.http.post("/api/v1/me/address", json={"email": race.email}, headers=race.boss.auth)
    assert started.is_success, started.text
    body = {"answer": await one.code(race.email, "address_code")}
    request = await attack(race)

    async def late() -> httpx2.Response:
        await asyncio.sleep((number % 5) * 0.004)
        return await request()

    moving = one.http.post("/api/v1/me/address/prove", json=body, headers=race.boss.auth)
    moved, done = await together(moving, late())
    assert moved.status_code == 204, (moved.text, tally([done]))
    assert done.status_code < 500, done.text
    race.receive(done)
    mine = (await one.session(race.boss.token)).json()["user"]
    found = [row for row in await pair.a.rows(person) if row["email"] == race.email or row["id"] == claimed]
    left = [row["email"] for row in found if row["id"] == claimed]
    assert (mine["email"], mine["email_verified"]) == (race.email, True)
    assert [row["id"] for row in found if row["email"] == race.email] == [mine["id"]]
    assert left in ([], [race.own])
    for table in (credential, session):
        assert left or not [row for row in await pair.a.rows(table) if row["person_id"] == claimed]
    for secret in race.secrets:
        seen = await other.session(secret)
        assert seen.status_code == 401 or (left and seen.json()["user"]["id"] == claimed)
    for secret in race.refresh_tokens:
        seen = await other.http.post("/api/v1/tokens/refresh", json={"refresh_token": secret})
        assert seen.status_code == 401


@pytest.mark.parametrize("part", range(3))
async def test_it_is_erased_while_its_holder_acts(pair: Deployment, part: int) -> None:
    """Every attack once, by parts: nobody moves to more than five addresses in an hour."""
    at, attacks = await later(pair), ATTACKS[part::3]
    assert len(attacks) < 5
    for number, attack in enumerate(attacks):
        await gives_way(pair, at, attack, number + part)


@pytest.mark.parametrize("turn", range(4))
async def test_two_who_read_the_mail(pair: Deployment, turn: int) -> None:
    """The same mailbox in two browsers: both have proved it, and the later one does not end the earlier."""
    at = await later(pair)
    one, other = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
    race = Race(pair, *at, one, other, pair.address(), pair.address())
    await race.claim()
    first, _ = await signs_up(race)
    second, _ = await recovers(race)
    answers = await together(first(), second())
    outcomes = Outcomes.of(answers)
    assert outcomes["200"] >= 1, outcomes
    assert outcomes.keys() <= {"200", "proof_refused", "handle_invalid"}, outcomes
    assert len([row for row in await pair.a.rows(person) if row["email"] == race.email]) == 1
    assert (await race.other.session(race.secrets[0])).status_code == 401


async def test_many_claims(pair: Deployment) -> None:
    """One has the address; all others are asked to prove it."""
    (at, _), email = await later(pair), pair.address()
    handles = [handle_of(await face.signup(email, PASSWORD, tenant=at)) for face in pair.each(8)]
    answers = await together(*(face.finish(one) for face, one in zip(pair.each(8), handles, strict=True)))
    assert Outcomes.of(answers) == {"201": 1, "proof_missing": 7}
    assert len([row for row in await pair.a.rows(person) if row["email"] == email]) == 1
