"""Example 4: bodies that are not as documented: 422 that names the member, and nothing is written or used up.

Not here: what nobody in their right mind sends (hostile).
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.authenticator import Authenticator
from tests.examples.passkey_audit import FIELDS, Service, about

SECRET = "a word that no answer repeats"
NO_DATES: list[Any] = [7, 7.5, "7", True, [], {}]
BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown member": ({"is_admin": SECRET}, "is_admin"),
    "a role": ({"role": "admin"}, "role"),
    "no address": ({"email": "nobody"}, "email"),
    "two at signs": ({"email": "a@b@example.com"}, "email"),
    "a name before it": ({"email": "Ann <ann@example.com>"}, "email"),
    "a number for an address": ({"email": 7}, "email"),
    **{f"an empty {name}": ({name: ""}, name) for name in FIELDS},
    **{f"no {name}": ({name: None}, name) for name in FIELDS},
    **{f"a number for {name}": ({name: 12345678}, name) for name in ("first_name", "last_name", "job_title")},
    **{f"a long {name}": ({name: SECRET * 5}, name) for name in ("first_name", "last_name", "job_title")},
    "born tomorrow": ({"date_of_birth": "2999-01-01T00:00:00Z"}, "date_of_birth"),
    **{f"a birth of {birth!r}": ({"date_of_birth": birth}, "date_of_birth") for birth in NO_DATES},
    **{f"lines in {name}": ({name: "a\r\nb"}, name) for name in ("first_name", "last_name", "job_title")},
    "no date": ({"date_of_birth": SECRET}, "date_of_birth"),
    "an impossible date": ({"date_of_birth": "1990-02-30T00:00:00Z"}, "date_of_birth"),
    "before all time": ({"date_of_birth": "0001-01-01T00:00:00+14:00"}, "date_of_birth"),
}


def faults_of(answer: httpx2.Response) -> list[list[Any]]:
    """Where each fault is; nothing that was sent is in them."""
    assert answer.status_code == 422, answer.text
    assert answer.json().keys() == {"detail"}
    assert all(one.keys() == {"loc", "msg", "type"} for one in answer.json()["detail"])
    assert SECRET not in answer.text
    return [one["loc"] for one in answer.json()["detail"]]


def written(made: Service) -> list[Any]:
    return [made.query(f"SELECT * FROM {name}") for name in ("person", "ticket", "audit_event", "outbox")]


@pytest.mark.parametrize("name", BODIES)
def test_a_registration_of_the_wrong_form(keyed: Service, name: str) -> None:
    change, member = BODIES[name]
    before = written(keyed)
    body = {key: value for key, value in {**about(keyed.new()), **change}.items() if value is not None}
    assert faults_of(keyed.ask("POST", "/register/begin", json=body)) == [["body", member]]
    assert written(keyed) == before


@pytest.mark.parametrize(
    "body", [{}, {"email": ""}, {"email": 7}, {"email": None}, {"email": "a@example.com", "x": 1}, [], "a", None]
)
def test_a_login_of_the_wrong_form(keyed: Service, body: Any) -> None:
    before = written(keyed)
    for path in ("/login/begin", "/login/complete", "/register/complete"):
        assert faults_of(keyed.ask("POST", path, json=body))[0][0] == "body"
    assert written(keyed) == before


def wrong_ceremonies(right: dict[str, Any]) -> list[Any]:
    """One fault in each."""
    response = right["response"]
    without = [{key: value for key, value in right.items() if key != name} for name in ("id", "rawId", "type")]
    no_ids: list[Any] = ["", 7, None, "x" * 50_001]
    changed = [{**right, name: value} for name in ("id", "rawId") for value in no_ids]
    types: list[Any] = ["password", 7, None]
    typed = [{**right, "type": value} for value in types]
    no_responses: list[Any] = [None, {}, [], "x"]
    whole = [{**right, "response": value} for value in no_responses]
    empty: list[Any] = ["", 7, None, []]
    needed = ("clientDataJSON", *(name for name in ("attestationObject", "signature") if name in response))
    parts = [{**right, "response": {**response, name: value}} for name in needed for value in empty]
    return [None, [], "x", 7, {}, *without, *changed, *typed, *whole, *parts]


def test_ceremonies_of_the_wrong_form(keyed: Service) -> None:
    """They use up nothing."""
    who, email = keyed.person(), keyed.new()
    credential, assertion = keyed.created(email, Authenticator()), keyed.signed(who.email, who.key)
    before = written(keyed)
    for wrong in wrong_ceremonies(credential):
        assert faults_of(keyed.register_complete(email, wrong))[0][:2] == ["body", "credential"], wrong
    for wrong in wrong_ceremonies(assertion):
        assert faults_of(keyed.login_complete(who.email, wrong))[0][:2] == ["body", "assertion"], wrong
    for path, one in (
        ("/register/complete", {"credential": credential}),
        ("/login/complete", {"assertion": assertion}),
    ):
        assert faults_of(keyed.ask("POST", path, json={"email": email, **one, "handle": "x"})) == [["body", "handle"]]
        assert faults_of(keyed.ask("POST", path, json=one)) == [["body", "email"]]
    assert written(keyed) == before
    assert keyed.register_complete(email, credential).status_code == 201
    assert keyed.login_complete(who.email, assertion).status_code == 200


def test_what_browsers_send_besides_is_taken(keyed: Service) -> None:
    who = keyed.person()
    assertion = keyed.signed(who.email, who.key)
    assertion["response"]["new"], assertion["newer"] = "x", {"a": [1]}
    assert keyed.login_complete(who.email, assertion).status_code == 200
