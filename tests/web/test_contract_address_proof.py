"""Sign-up where addresses are proved later, over HTTP: a session before the proof, and the refusal at the end if the
address is not free.

Not here: pages (`test_pages_address_proof`), what ends with the proof (`tests/core/test_address_proof`), and what a
stranger learns (`tests/neutrality`).
"""

from __future__ import annotations

import pytest

from passgate.store.tables import credential, person, sign_in, ticket
from tests.authenticator import Authenticator
from tests.kit import OTHER_PASSWORD, PASSWORD, The, bearer, code_of, handle_of, token_of
from tests.web.browsing import rule

EMAIL = "anna@example.com"
ORIGIN = "http://localhost:8000"


async def signed_up(the: The, email: str = EMAIL, password: str = PASSWORD) -> str:
    """The token of the session that a sign-up ends in."""
    return token_of(await the.finish(handle_of(await the.signup(email, password))))


async def test_a_session_at_once(lite: The) -> None:
    await rule(lite, address_proof="later")
    begun = await lite.signup(EMAIL, profile={"name": "Anna"})
    assert begun.status_code == 202
    assert (begun.json()["need"], begun.json()["enrol"]) == ([], False)
    assert await lite.mails() == []
    assert await lite.rows(person) == []
    finished = await lite.finish(handle_of(begun))
    assert finished.json()["session"]["amr"] == ["pwd"]
    user = (await lite.session(token_of(finished))).json()["user"]
    assert (user["email_verified"], user["profile"], user["roles"]) == (False, {"name": "Anna"}, ["user"])
    assert [mail["kind"] for mail in await lite.mails(EMAIL)] == ["address_claimed"]
    [mail] = await lite.mails(EMAIL)
    assert (mail["code"], mail["link"]) == (None, f"{ORIGIN}/account")
    assert code_of(await lite.finish(handle_of(begun))) == "handle_invalid"
    assert [event for event in await lite.events() if "sent" in event] == []


@pytest.mark.parametrize("carrier", ["bearer", "cookie", "jwt"])
async def test_every_carrier(lite: The, carrier: str) -> None:
    await rule(lite, address_proof="later")
    finished = await lite.finish(handle_of(await lite.signup(EMAIL)), carrier)
    assert finished.status_code == 201


async def test_with_a_passkey(lite: The) -> None:
    await rule(lite, address_proof="later")
    handle, device = handle_of(await lite.signup(EMAIL, None)), Authenticator()
    assert code_of(await lite.challenge(handle, "email_code")) == "factor_not_offered"
    assert code_of(await lite.finish(handle)) == "proof_missing"
    offered = (await lite.challenge(handle, "passkey")).json()["challenge"]
    body = {"factor": "passkey", "answer": device.create(offered, ORIGIN)}
    proved = await lite.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))
    assert proved.json()["enough"] is True
    assert (await lite.session(token_of(await lite.finish(handle)))).json()["user"]["email_verified"] is False
    assert [mail["kind"] for mail in await lite.mails(EMAIL)] == ["factor_added", "address_claimed"][::-1]


async def test_a_passkey_for_an_address_that_is_not_free(lite: The) -> None:
    """The end says so, nothing is set up, and the sign-up goes on with the code."""
    await rule(lite, address_proof="later")
    await signed_up(lite)
    handle, device = handle_of(await lite.signup(EMAIL, None)), Authenticator()
    offered = (await lite.challenge(handle, "passkey")).json()["challenge"]
    body = {"factor": "passkey", "answer": device.create(offered, ORIGIN)}
    refused = await lite.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))
    assert (code_of(refused), refused.json()["need"]) == ("proof_missing", [["email_code"]])
    assert [row["kind"] for row in await lite.rows(credential)] == ["password"]
    proved = await lite.prove(handle, "email_code", await lite.code(EMAIL))
    assert (proved.json()["enough"], proved.json()["enrol"]) == (False, True)
    offered = (await lite.challenge(handle, "passkey")).json()["challenge"]
    body = {"factor": "passkey", "answer": device.create(offered, ORIGIN)}
    assert (await lite.http.post("/api/v1/signin/prove", json=body, headers=bearer(handle))).json()["enough"] is True
    assert (await lite.session(token_of(await lite.finish(handle)))).json()["user"]["email_verified"] is True


async def test_a_claimed_address_is_proved_by_its_owner(lite: The) -> None:
    await rule(lite, address_proof="later")
    theirs = await signed_up(lite)
    handle = handle_of(await lite.signup(EMAIL, OTHER_PASSWORD))
    refused = await lite.finish(handle)
    assert (refused.status_code, code_of(refused)) == (409, "proof_missing")
    assert refused.json()["need"] == [["email_code"]]
    assert (await lite.session(theirs)).status_code == 200
    proved = await lite.prove(handle, "email_code", await lite.code(EMAIL))
    assert proved.json()["enough"] is True
    user = (await lite.session(token_of(await lite.finish(handle)))).json()["user"]
    assert user["email_verified"] is True
    assert code_of(await lite.session(theirs)) == "session_ended"
    assert len(await lite.rows(person)) == 1


async def test_a_proved_address_stays_whose_it_is(lite: The) -> None:
    anna = await lite.person(EMAIL)
    await rule(lite, address_proof="later")
    handle = handle_of(await lite.signup(EMAIL, OTHER_PASSWORD))
    assert code_of(await lite.finish(handle)) == "proof_missing"
    assert (await lite.mails(EMAIL))[0]["kind"] == "signup_known"
    assert code_of(await lite.prove(handle, "email_code", "12345678")) == "proof_refused"
    assert code_of(await lite.finish(handle)) == "proof_missing"
    assert (await lite.session(anna.token)).status_code == 200
    handle = handle_of(await lite.start(EMAIL))
    assert code_of(await lite.prove(handle, "password", OTHER_PASSWORD)) == "proof_refused"


async def test_the_refusal_changes_nothing_else(lite: The) -> None:
    await lite.person(EMAIL)
    await rule(lite, address_proof="later")
    handle = handle_of(await lite.signup(EMAIL, OTHER_PASSWORD))
    but = ("sign_in", "ticket", "outbox", "audit_event", "budget", "observer_queue")
    before = await lite.everything(but=but)
    assert code_of(await lite.finish(handle)) == "proof_missing"
    assert await lite.everything(but=but) == before
    assert [row["kind"] for row in await lite.rows(ticket)][-1] == "email_code"
    assert [row["finished_at"] for row in await lite.rows(sign_in)][-1] is None
