"""Example 3: the flows of the service's README for each device, from the sign-up to the last backup token.

Not here: which codes are right (codes), tokens in other places than theirs (kinds), and what is refused for its form
(roles).
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.examples.two_factor import DEVICES, MINUTE, SHORT, App, Service, Tokens, Who, pair
from tests.kit import PASSWORD

FRESH = 5 * MINUTE
BOTH = (None, *DEVICES)


def claims(token: str) -> dict[str, Any]:
    """The payload of a JWT."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


# -- sign-up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", BOTH)
def test_signup_answers_nothing_or_a_picture(mailed: Service, device: str | None) -> None:
    answer = mailed.signup(mailed.new(), device)
    assert answer.status_code == 200
    if device == "code_generator":
        assert answer.headers["content-type"] == "image/png"
        assert App.scan(answer.content, mailed.gate.clock).query["secret"]
    else:
        assert answer.content == b""
    assert "authorization" not in answer.headers


@pytest.mark.parametrize("device", BOTH)
def test_signup_signs_nobody_in(mailed: Service, device: str | None) -> None:
    """The session in which the second step was turned on is over."""
    who = mailed.person(device)
    tokens = mailed.login(who)
    listed = mailed.http.get("/auth/api/v1/me/sessions", headers={"authorization": f"Bearer {tokens.access}"}).json()
    assert [one["current"] for one in listed["items"]] == [True]


def test_a_device_without_tfa_has_no_effect(mailed: Service) -> None:
    email = mailed.new()
    given = {"email": email, "full_name": "Ann", "password": PASSWORD, "device": {"device_type": "code_generator"}}
    answer = mailed.ask("POST", "/auth/signup", json=given)
    assert (answer.status_code, answer.content) == (200, b"")
    assert mailed.enter(email).status_code == 200
    assert mailed.mails(email, "recovery_codes") == []


# -- login -----------------------------------------------------------------------------------------


def test_without_a_second_step_the_password_is_all(mailed: Service) -> None:
    who = mailed.person()
    before = len(mailed.mails(who.email))
    tokens = pair(mailed.enter(who.email))
    assert mailed.show(tokens.access).json()["tfa_enabled"] is False
    assert len(mailed.mails(who.email)) == before, "nothing is mailed"


@pytest.mark.parametrize("device", DEVICES)
def test_a_second_step_is_due(mailed: Service, device: str) -> None:
    who = mailed.person(device)
    answer = mailed.enter(who.email)
    assert answer.status_code == 202
    assert answer.json() == {"access_token": answer.json()["access_token"], "refresh_token": None}
    tokens = pair(mailed.second(answer.json()["access_token"], mailed.code(who)))
    answer = mailed.show(tokens.access)
    person = answer.json()["id"]
    assert answer.json() == {
        "email": who.email,
        "tfa_enabled": True,
        "full_name": "Ann Example",
        "id": person,
        "device": {"device_type": device, "id": person},
    }


def test_a_first_step_is_used_up_by_the_second(mailed: Service) -> None:
    who = mailed.person("code_generator")
    first = mailed.first(who)
    pair(mailed.second(first, mailed.code(who)))
    mailed.forward(30)
    assert mailed.second(first, mailed.code(who)).status_code == 401


def test_six_digits_are_a_password(mailed: Service) -> None:
    who = mailed.person("email", password=SHORT)
    mailed.login(who)


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", BOTH)
def test_thirty_minutes_and_a_day(mailed: Service, device: str | None) -> None:
    _, tokens = mailed.signed_in(device)
    found = claims(tokens.access)
    assert found["exp"] - found["iat"] == 30 * MINUTE
    mailed.forward(minutes=29.9)
    assert mailed.show(tokens.access).status_code == 200
    mailed.forward(minutes=0.2)
    over = mailed.show(tokens.access)
    assert over.status_code == 401
    assert over.headers["www-authenticate"].startswith("Bearer")
    mailed.forward(hours=23.4)
    tokens = pair(mailed.refresh(tokens.refresh))
    mailed.forward(hours=24.1)
    assert mailed.refresh(tokens.refresh).status_code == 403


def test_a_refresh_token_works_once(mailed: Service) -> None:
    """Whoever sends an old one ends the sign-in of whoever has the new one."""
    _, first = mailed.signed_in()
    second = pair(mailed.refresh(first.refresh))
    assert second.refresh != first.refresh
    assert mailed.show(second.access).status_code == 200
    refused = [mailed.refresh(token) for token in (first.refresh, second.refresh, "garbage")]
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert len({answer.text for answer in refused}) == 1
    assert mailed.show(second.access).status_code == 403


def test_after_thirty_days_one_logs_in_again(mailed: Service) -> None:
    _, tokens = mailed.signed_in()
    for _ in range(30):
        mailed.forward(hours=23.99)
        tokens = pair(mailed.refresh(tokens.refresh))
    mailed.forward(hours=0.5)
    assert mailed.refresh(tokens.refresh).status_code == 403


def test_whoever_is_deleted_is_out(mailed: Service) -> None:
    who, tokens = mailed.signed_in()
    mailed.run(mailed.gate.at(None, tenant="main").users.delete, mailed.show(tokens.access).json()["id"])
    assert mailed.refresh(tokens.refresh).status_code == 403
    assert mailed.show(tokens.access).status_code == 403
    assert mailed.enter(who.email).status_code == 401


# -- the QR code again -----------------------------------------------------------------------------


def qrcode(mailed: Service, tokens: Tokens) -> Any:
    return mailed.ask("GET", "/tfa/get_my_qrcode", tokens.access)


def test_the_same_picture_again(mailed: Service) -> None:
    who, tokens = mailed.signed_in("code_generator")
    answer = qrcode(mailed, tokens)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert App.scan(answer.content, mailed.gate.clock) == who.app
    mailed.forward(FRESH - 31)
    assert qrcode(mailed, tokens).status_code == 200
    mailed.forward(2)  # the password was given 30 seconds before the code
    refused = qrcode(mailed, tokens)
    assert refused.status_code == 401
    assert "insufficient_user_authentication" in refused.headers["www-authenticate"]


@pytest.mark.parametrize("device", [None, "email"])
def test_no_picture_without_an_app(mailed: Service, device: str | None) -> None:
    _, tokens = mailed.signed_in(device)
    assert qrcode(mailed, tokens).status_code == 400
    mailed.forward(FRESH + 1)
    assert qrcode(mailed, tokens).status_code == 400, "no other login helps"


def test_no_picture_after_a_backup_token(mailed: Service) -> None:
    """Whoever has found a mail has not got the app."""
    who = mailed.person("code_generator")
    tokens = pair(mailed.recover(mailed.first(who), mailed.backup(who.email)[0]))
    assert qrcode(mailed, tokens).status_code == 401


def test_a_refresh_makes_nothing_fresh(mailed: Service) -> None:
    _, tokens = mailed.signed_in("code_generator")
    mailed.forward(FRESH + 1)
    assert qrcode(mailed, pair(mailed.refresh(tokens.refresh))).status_code == 401


# -- turning it on ---------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_a_second_step_is_turned_on_later(mailed: Service, device: str) -> None:
    """It counts from then on, for the sign-ins of before too; the session that has turned it on goes on."""
    who, tokens = mailed.signed_in()
    answer = mailed.enable(tokens.access, device)
    assert answer.status_code == 200
    if device == "email":
        assert answer.content == b""
    else:
        who.app = App.scan(answer.content, mailed.gate.clock)
    assert mailed.show(tokens.access).json()["device"]["device_type"] == device
    assert len(mailed.backup(who.email)) == 5
    first = mailed.first(who)
    assert mailed.second(first, mailed.code(who)).status_code == 200


@pytest.mark.parametrize("device", DEVICES)
def test_it_is_turned_on_once(mailed: Service, device: str) -> None:
    who, tokens = mailed.signed_in(device)
    codes = mailed.backup(who.email)
    for again in DEVICES:
        assert mailed.enable(tokens.access, again).status_code == 400
    assert mailed.backup(who.email) == codes
    pair(mailed.recover(mailed.first(who), codes[0]))  # and the set of before goes on


def test_turning_it_on_asks_for_a_login_of_now(mailed: Service) -> None:
    who, tokens = mailed.signed_in()
    mailed.forward(FRESH + 1)
    for device in DEVICES:
        answer = mailed.enable(tokens.access, device)
        assert answer.status_code == 401
        assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
    assert mailed.enter(who.email).status_code == 200, "nothing was turned on"
    assert mailed.mails(who.email, "recovery_codes") == []


@pytest.mark.parametrize("device", DEVICES)
def test_turning_it_on_ends_other_logins(mailed: Service, device: str) -> None:
    who, old = mailed.signed_in()
    new = mailed.login(who)
    assert mailed.enable(new.access, device).status_code == 200
    assert mailed.show(old.access).status_code == 403
    assert mailed.refresh(old.refresh).status_code == 403
    assert mailed.show(new.access).status_code == 200
    assert mailed.refresh(new.refresh).status_code == 200


def test_a_session_of_before_the_second_step_is_none_with_it(mailed: Service) -> None:
    """Neither for the picture of the app, nor for turning anything on."""
    who, old = mailed.signed_in()
    new = mailed.login(who)
    answer = mailed.enable(new.access, "code_generator")
    app = App.scan(answer.content, mailed.gate.clock)
    assert qrcode(mailed, old).status_code == 403
    assert mailed.second(mailed.first(Who(who.email)), app.code()).status_code == 200
