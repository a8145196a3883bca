"""Example 3: somebody signs up with the address of somebody else, before or after them: whoever reads the mailbox has
the account in the end, and nothing is left to the other.

Not here: all orders and factors (`tests/core/test_claimed`).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.examples.two_factor import DEVICES, App, Service, Tokens, Who, pair
from tests.kit import OTHER_PASSWORD, PASSWORD, bearer

API = "/auth/api/v1"
BOTH = (None, *DEVICES)
MINE = "forty green bicycles at noon"


def call(mailed: Service, path: str, handle: str = "", **given: Any) -> Any:
    answer = mailed.http.post(f"{API}/{path}", json=given, headers=bearer(handle) if handle else {})
    assert answer.status_code in (200, 201, 202, 204), answer.text
    return answer.json() if answer.content else None


class Attacker:
    """Somebody who has signed up with an address that is not theirs, and has got whatever the endpoints give."""

    def __init__(self, mailed: Service, email: str, device: str | None) -> None:
        self.mailed, self.email, self.device = mailed, email, device
        answer = mailed.signup(email, device, password=OTHER_PASSWORD, full_name="Mallory")
        assert answer.status_code == 200
        self.who = Who(email, OTHER_PASSWORD)
        self.app = App.scan(answer.content, mailed.gate.clock) if answer.content else None
        self.tokens: list[Tokens] = []
        self.first = ""
        found = mailed.enter(email, OTHER_PASSWORD)
        if found.status_code == 200:
            self.tokens.append(pair(found))
        else:
            self.first = found.json()["access_token"]
            if self.app:
                self.tokens.append(pair(mailed.second(self.first, self.app.code())))
                self.first = mailed.first(self.who)

    def has_nothing(self) -> None:
        assert self.mailed.enter(self.email, OTHER_PASSWORD).status_code == 401
        for tokens in self.tokens:
            assert self.mailed.show(tokens.access).status_code == 403
            assert self.mailed.refresh(tokens.refresh).status_code == 403
        if self.first:
            self.mailed.forward(30)
            code = self.app.code() if self.app else "000000"
            assert self.mailed.second(self.first, code).status_code == 401


def finished(mailed: Service, handle: str) -> Tokens:
    done = call(mailed, "signin/finish", handle, carrier="jwt")
    return Tokens(done["access_token"], done["refresh_token"])


def recovered(mailed: Service, email: str) -> Tokens:
    """The reader of the mailbox, by the recovery below /auth, with a password of their own."""
    handle = call(mailed, "recover", email=email)["handle"]
    proved = call(mailed, "signin/prove", handle, factor="email_code", answer=mailed.mailed_code(email))
    assert (proved["enough"], proved["enrol"]) == (False, True), "nothing of before is left to sign in with"
    call(mailed, "signin/prove", handle, factor="password", answer=MINE)
    return finished(mailed, handle)


def signed_up(mailed: Service, email: str) -> Tokens:
    """The same by a sign-up below /auth, which asks for a mailed code because the address is claimed."""
    handle = call(mailed, "signup", email=email, password=MINE, profile={"full_name": "Vera"})["handle"]
    early = mailed.http.post(f"{API}/signin/finish", json={"carrier": "jwt"}, headers=bearer(handle))
    assert early.status_code == 409
    call(mailed, "signin/prove", handle, factor="email_code", answer=mailed.mailed_code(email))
    return finished(mailed, handle)


WAYS = {"recovery": recovered, "sign-up": signed_up}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("device", BOTH)
def test_the_attacker_comes_first(mailed: Service, device: str | None, way: str) -> None:
    victim = mailed.new()
    attacker = Attacker(mailed, victim, device)
    assert mailed.mails(victim), "the owner of the mailbox hears of it"
    assert mailed.signup(victim, "code_generator", password=MINE).status_code == 400
    tokens = WAYS[way](mailed, victim)
    attacker.has_nothing()
    answer = mailed.show(tokens.access).json()
    assert (answer["email"], answer["tfa_enabled"], answer["device"]) == (victim, False, None)
    assert answer["full_name"] != "Mallory"
    pair(mailed.enter(victim, MINE))  # the password alone, as nothing of before is left


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("device", BOTH)
def test_with_their_own_second_step_the_victim_is_safe(mailed: Service, device: str | None, way: str) -> None:
    """Nothing that was begun before opens what the owner sets up: neither the backup tokens nor the app."""
    victim = mailed.new()
    attacker = Attacker(mailed, victim, device)
    old = mailed.backup(victim) if device else []
    tokens = WAYS[way](mailed, victim)
    answer = mailed.enable(mailed.login(Who(victim, MINE)).access, "code_generator")
    app = App.scan(answer.content, mailed.gate.clock)
    first = mailed.first(Who(victim, MINE))
    for code in old:
        assert mailed.recover(first, code).status_code == 403
    if attacker.app:
        assert mailed.second(first, attacker.app.code()).status_code == 403
    assert mailed.second(first, app.code()).status_code == 200
    attacker.has_nothing()
    assert mailed.show(tokens.access).status_code == 403, "another login, of before the second step"


@pytest.mark.parametrize("device", DEVICES)
def test_the_attacker_sees_no_backup_token(mailed: Service, device: str) -> None:
    """They are mailed, to whoever reads the mailbox; neither the endpoints nor those below /auth show them."""
    victim = mailed.new()
    [tokens] = Attacker(mailed, victim, None).tokens
    answer = mailed.enable(tokens.access, device)
    codes = mailed.backup(victim)
    assert [code for code in codes if code.encode() in answer.content] == []
    if device == "email":  # with an app, a session of before it makes no codes
        again = mailed.http.post(f"{API}/me/recovery-codes", headers=bearer(tokens.access))
        assert (again.status_code, again.json()) == (201, {"codes": []})
        assert mailed.backup(victim) != codes


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_the_attacker_comes_later(mailed: Service, device: str | None, second: str | None) -> None:
    """Whether the owner has given a code of a mail yet or not: the account stays as it is."""
    who, tokens = mailed.signed_in(device)
    before = mailed.show(tokens.access).json()
    answer = mailed.signup(who.email.upper(), second, password=OTHER_PASSWORD, full_name="Mallory")
    assert answer.status_code == 400
    assert mailed.enter(who.email, OTHER_PASSWORD).status_code == 401
    assert mailed.show(tokens.access).json() == before
    mailed.login(who)


def test_a_signup_below_auth_that_is_not_finished_takes_nothing(mailed: Service) -> None:
    """Somebody without the mailbox begins all that can be begun."""
    who, tokens = mailed.signed_in("email")
    begun = [call(mailed, "recover", email=who.email)["handle"]]
    begun.append(call(mailed, "signup", email=who.email, password=OTHER_PASSWORD)["handle"])
    for handle in begun:
        headers, wrong = bearer(handle), {"factor": "email_code", "answer": "00000000"}
        mailed.http.post(f"{API}/signin/finish", json={"carrier": "jwt"}, headers=headers)
        assert mailed.http.post(f"{API}/signin/prove", json=wrong, headers=headers).status_code == 403
        refused = mailed.http.post(f"{API}/signin/finish", json={"carrier": "jwt"}, headers=headers)
        assert refused.status_code == 409
        assert mailed.second(handle, "00000000").status_code in (400, 403)
    assert mailed.show(tokens.access).status_code == 200
    mailed.login(who)


def test_the_first_mailed_code_makes_it_the_readers_own(mailed: Service) -> None:
    """Whoever has signed up with mailed codes and gives one has the account, the password and the backup tokens."""
    who = mailed.person("email")
    codes = mailed.backup(who.email)
    tokens = mailed.login(who)
    assert mailed.show(tokens.access).status_code == 200
    assert mailed.recover(mailed.first(who), codes[0]).status_code == 200
    assert who.password == PASSWORD
