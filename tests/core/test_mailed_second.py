"""Mailed codes as a second factor that people turn on for themselves: what turns them on and off, and whom a sign-in
asks.

What policy decides for every set of factors is in test_policy.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from passgate.core import enrolment, signin, starts
from passgate.core.events import Event
from passgate.core.policy import Need
from passgate.errors import Conflict
from passgate.store.tables import credential, person
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.having import (
    add_app,
    add_codes,
    add_passkey,
    begun,
    code_of_app,
    me,
    policy,
    prove,
    prove_each,
    signed_in,
    step_up,
)
from tests.kit import OTHER_PASSWORD, PASSWORD, Person, The, code_of, handle_of, token_of

AAL1, AAL2 = "urn:passgate:aal1", "urn:passgate:aal2"
ENROLLED: dict[str, Any] = {
    "second_among": ["passkey", "totp", "recovery_code", "email_code"],
    "mailed_second_factor": "enrolled",
}


async def turn_on(the: The, who: Person) -> None:
    sent = await me(the, "POST", "email-code", who)
    assert (sent.status_code, sent.json()) == (201, {"sent_to": f"{who.email[0]}…@example.com", "active": False})
    proved = await me(the, "POST", "email-code/prove", who, {"answer": await the.code(who.email)})
    assert (proved.status_code, proved.content) == (204, b"")


async def kinds(the: The, email: str) -> list[str]:
    return [mail["kind"] for mail in await the.mails(email)]


async def live(the: The) -> list[str]:
    return sorted(row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None)


async def test_without_it_nothing_is_asked_and_nothing_mailed(the: The) -> None:
    anna = await the.person()
    await policy(the, **ENROLLED)
    before = await kinds(the, anna.email)
    handle = handle_of(await the.start(anna.email))
    proved = await prove(the, handle, "password", anna.password)
    assert proved.json() == {"enough": True, "need": [], "enrol": False, "amr": ["pwd"], "acr": AAL1}
    assert code_of(await the.challenge(handle, "email_code")) == "factor_not_offered"
    token_of(await the.finish(handle))
    assert await kinds(the, anna.email) == before


async def test_from_turning_it_on_to_its_end(the: The) -> None:
    anna = await the.person()
    await policy(the, **ENROLLED)
    assert (await me(the, "GET", "factors", anna)).json()["email_code"] is None
    assert (await me(the, "POST", "email-code", anna)).status_code == 201
    newest, *_ = await the.mails(anna.email)
    assert (newest["kind"], newest["link"], len(newest["code"])) == ("factor_code", None, 8)
    wrong = await me(the, "POST", "email-code/prove", anna, {"answer": "00000000"})
    assert (wrong.status_code, code_of(wrong)) == (403, "proof_refused")
    assert await live(the) == ["password"]
    in_two = f"{newest['code'][:4]} {newest['code'][4:]}"
    assert (await me(the, "POST", "email-code/prove", anna, {"answer": in_two})).status_code == 204
    again = await me(the, "POST", "email-code/prove", anna, {"answer": newest["code"]})
    assert (again.status_code, code_of(again)) == (403, "proof_refused")
    assert (await me(the, "GET", "factors", anna)).json()["email_code"].endswith("Z")
    added, *_ = await the.mails(anna.email)
    assert (added["kind"], "/account/undo/" in added["link"]) == ("factor_added", True)

    handle = handle_of(await the.start(anna.email))
    asked = await prove(the, handle, "password", anna.password)
    assert asked.json() == {"enough": False, "need": [["email_code"]], "enrol": False}
    before = len(await the.mails())
    sent = await the.challenge(handle, "email_code")
    assert sent.json() == {"challenge": {"sent_to": "a…@example.com"}}
    assert len(await the.mails()) == before + 1
    proved = await prove(the, handle, "email_code", await the.code(anna.email))
    assert (proved.json()["enough"], proved.json()["amr"], proved.json()["acr"]) == (True, ["pwd", "otp"], AAL1)
    fresh = Person(anna.email, anna.password, token_of(await the.finish(handle)))

    the.clock.forward(301)
    stale = await me(the, "DELETE", "email-code", fresh)
    assert (stale.status_code, code_of(stale)) == (401, "insufficient_user_authentication")
    handle = await step_up(the, fresh)
    await prove_each(the, handle, ("password", anna.password))
    assert code_of(await the.finish(handle)) == "proof_missing", "a step-up asks for it too"
    await the.challenge(handle, "email_code")
    await prove_each(the, handle, ("email_code", await the.code(anna.email)))
    fresh = Person(anna.email, anna.password, token_of(await the.finish(handle)))
    assert (await me(the, "DELETE", "email-code", fresh)).status_code == 204
    removed, *_ = await the.mails(anna.email)
    assert (removed["kind"], "/account/undo/" in removed["link"]) == ("factor_removed", True)
    assert code_of(await me(the, "DELETE", "email-code", fresh)) == "not_found"
    await signed_in(the, anna)
    events = await the.events()
    assert [events.count(f"account:factor:{what}") for what in ("offered", "added", "refused", "removed")] == [
        1,
        1,
        2,
        1,
    ]


async def test_it_never_lifts_the_level(lite: The) -> None:
    anna = await lite.person()
    await policy(lite, **ENROLLED)
    await turn_on(lite, anna)
    handle = handle_of(await lite.http.post("/api/v1/signin", json={"email": anna.email}))
    await prove_each(lite, handle, ("password", anna.password))
    await lite.challenge(handle, "email_code")
    await prove_each(lite, handle, ("email_code", await lite.code(anna.email)))
    done = Person(anna.email, anna.password, token_of(await lite.finish(handle)))
    assert (await lite.session(done.token)).json()["session"]["acr"] == AAL1
    body = {"step_up": {"acr": AAL2}}
    refused = await lite.http.post("/api/v1/signin", json=body, headers=done.auth)
    assert code_of(refused) == "factor_not_offered"
    await policy(lite, **ENROLLED, least_acr=AAL2)
    handle = await begun(lite, anna.email)
    await lite.challenge(handle, "email_code")
    await prove_each(lite, handle, ("email_code", await lite.code(anna.email)))
    more = await lite.finish(handle)
    assert (code_of(more), more.json()["need"]) == ("proof_missing", [["passkey"], ["totp"]])


async def test_with_an_app_nothing_is_mailed_and_the_mailed_code_refused(the: The) -> None:
    anna = await the.person()
    await policy(the, **ENROLLED)
    await turn_on(the, anna)
    secret = await add_app(the, anna)
    before = len(await the.mails())
    handle = handle_of(await the.start(anna.email))
    assert (await prove(the, handle, "password", anna.password)).json()["need"] == [["totp"]]
    for answer in (await the.challenge(handle, "email_code"), await prove(the, handle, "email_code", "12345678")):
        assert (answer.status_code, code_of(answer)) == (409, "factor_not_offered")
    assert len(await the.mails()) == before
    await prove_each(the, handle, ("totp", code_of_app(the, secret)))
    strong = Person(anna.email, anna.password, token_of(await the.finish(handle)))
    assert (await the.session(strong.token)).json()["session"]["acr"] == AAL2
    assert code_of(await me(the, "POST", "email-code", strong)) == "conflict"
    assert (await me(the, "DELETE", "totp", strong)).status_code == 204
    asked = await prove(the, handle_of(await the.start(anna.email)), "password", anna.password)
    assert asked.json()["need"] == [["email_code"]], "what was turned on before counts again"


async def test_who_has_an_app_or_a_passkey_does_not_turn_it_on(lite: The) -> None:
    anna, bert = await lite.person(), await lite.person("bert@example.com")
    await policy(lite, **ENROLLED)
    await add_app(lite, anna)
    await add_passkey(lite, bert, Authenticator())
    before, mails = await lite.rows(credential), len(await lite.mails())
    for who in (anna, bert):
        refused = await me(lite, "POST", "email-code", who)
        assert (refused.status_code, code_of(refused)) == (409, "conflict")
    assert (await lite.rows(credential), len(await lite.mails())) == (before, mails)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"second_among": ["totp", "email_code"]},
        {"mailed_second_factor": "enrolled"},
        {**ENROLLED, "second": "never"},
    ],
)
async def test_where_the_rules_do_not_have_it(lite: The, rules: dict[str, Any]) -> None:
    anna = await lite.person()
    await policy(lite, **rules)
    before = await lite.everything()
    refused = await me(lite, "POST", "email-code", anna)
    assert (refused.status_code, code_of(refused)) == (409, "conflict")
    assert await lite.everything() == before


async def test_rules_that_change_meanwhile(lite: The) -> None:
    """A code that is on its way turns nothing on any more; and who turned it on is asked by other rules as by those."""
    anna = await lite.person()
    await policy(lite, **ENROLLED)
    await me(lite, "POST", "email-code", anna)
    code = await lite.code(anna.email)
    await policy(lite)
    assert code_of(await me(lite, "POST", "email-code/prove", anna, {"answer": code})) == "conflict"
    await policy(lite, **ENROLLED)
    assert (await me(lite, "POST", "email-code/prove", anna, {"answer": code})).status_code == 204
    await policy(lite)
    await signed_in(lite, anna)
    await policy(lite, second_among=["totp", "email_code"])
    asked = await prove(lite, handle_of(await lite.start(anna.email)), "password", anna.password)
    assert asked.json()["need"] == [["email_code"]]
    assert (await me(lite, "DELETE", "email-code", anna)).status_code == 204, "it can always be turned off"


async def test_the_start_does_not_show_who_turned_it_on(lite: The) -> None:
    anna = await lite.person()
    await lite.person("bert@example.com")
    await policy(lite, **ENROLLED)
    await turn_on(lite, anna)
    starts_ = [await lite.start(email) for email in (anna.email, "bert@example.com", "nobody@example.com")]
    assert [one.json()["need"] for one in starts_] == [[["password"], ["passkey"]]] * 3
    for one in starts_:
        handle = handle_of(one)
        assert code_of(await lite.challenge(handle, "email_code")) == "factor_not_offered"
        assert code_of(await prove(lite, handle, "email_code", "00000000")) == "factor_not_offered"
        assert code_of(await prove(lite, handle, "password", OTHER_PASSWORD)) == "proof_refused"


async def test_codes_of_other_purposes_are_wrong(lite: The) -> None:
    anna = await lite.person()
    await policy(lite, **ENROLLED, first=["password", "email_code"])
    handle = handle_of(await lite.start(anna.email))
    await lite.challenge(handle, "email_code")
    to_sign_in = await lite.code(anna.email)
    await me(lite, "POST", "email-code", anna)
    to_turn_on = await lite.code(anna.email)
    assert code_of(await me(lite, "POST", "email-code/prove", anna, {"answer": to_sign_in})) == "proof_refused"
    assert code_of(await prove(lite, handle, "email_code", to_turn_on)) == "proof_refused"
    bert = await lite.person("bert@example.com")
    await me(lite, "POST", "email-code", bert)
    assert code_of(await me(lite, "POST", "email-code/prove", bert, {"answer": to_turn_on})) == "proof_refused"
    assert (await me(lite, "POST", "email-code/prove", anna, {"answer": to_turn_on})).status_code == 204


async def test_only_the_newest_code_and_not_for_long(lite: The) -> None:
    anna = await lite.person()
    await policy(lite, **ENROLLED)
    await me(lite, "POST", "email-code", anna)
    older = await lite.code(anna.email)
    await me(lite, "POST", "email-code", anna)
    newer = await lite.code(anna.email)
    assert code_of(await me(lite, "POST", "email-code/prove", anna, {"answer": older})) == "proof_refused"
    lite.clock.forward(601)
    again = await signed_in(lite, anna)
    assert code_of(await me(lite, "POST", "email-code/prove", again, {"answer": newer})) == "proof_refused"


async def test_a_code_to_the_address_of_before_turns_nothing_on(lite: The) -> None:
    anna = await lite.person()
    await policy(lite, **ENROLLED)
    await me(lite, "POST", "email-code", anna)
    code = await lite.code(anna.email)
    assert (await me(lite, "POST", "address", anna, {"email": "new@example.com"})).status_code in (200, 202, 204)
    moved = await me(lite, "POST", "address/prove", anna, {"answer": await lite.code("new@example.com")})
    assert moved.status_code == 204
    assert code_of(await me(lite, "POST", "email-code/prove", anna, {"answer": code})) == "proof_refused"


async def test_two_answers_at_the_same_time_turn_it_on_once(the: The) -> None:
    anna = await the.person()
    await policy(the, **ENROLLED)
    await me(the, "POST", "email-code", anna)
    body = {"answer": await the.code(anna.email)}
    answers = await asyncio.gather(*(me(the, "POST", "email-code/prove", anna, body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers)[0] == 204
    assert [answer.status_code for answer in answers].count(204) == 1
    assert {answer.status_code for answer in answers} <= {204, 403, 409}
    assert (await live(the)).count("email_code") == 1


async def test_mails_and_guesses_have_limits(lite: The) -> None:
    anna = await lite.person()
    await policy(lite, **ENROLLED)
    before = len(await lite.mails())
    for _ in range(7):
        assert (await me(lite, "POST", "email-code", anna)).status_code == 201
    assert len(await lite.mails()) == before + 5
    assert str(Event.MAIL_WITHHELD) in await lite.events()
    lite.clock.forward(3600)
    again = await signed_in(lite, anna)
    await me(lite, "POST", "email-code", again)
    code = await lite.code(anna.email)
    for _ in range(50):
        assert code_of(await me(lite, "POST", "email-code/prove", again, {"answer": "00000000"})) == "proof_refused"
    assert code_of(await me(lite, "POST", "email-code/prove", again, {"answer": code})) == "proof_refused"
    assert "email_code" not in await live(lite)


async def code_was_mailed(the: The, who: Person) -> bool:
    """To a sign-in that has proved the password."""
    handle = handle_of(await the.start(who.email))
    await prove_each(the, handle, ("password", who.password))
    before = len(await the.mails())
    assert (await the.challenge(handle, "email_code")).status_code == 200
    return len(await the.mails()) == before + 1


async def test_a_sign_in_that_has_proved_a_password_has_mails_of_its_own(the: The) -> None:
    """Nobody can use them up who doesn't know it, and nobody who does can send more."""
    anna = await the.person()
    await policy(the, **ENROLLED)
    await turn_on(the, anna)
    for _ in range(7):
        await the.recover(anna.email)
    assert [await code_was_mailed(the, anna) for _ in range(22)] == [True] * 20 + [False] * 2
    assert str(Event.MAIL_WITHHELD) in await the.events()
    the.clock.forward(3600)
    assert await code_was_mailed(the, anna)


@pytest.mark.parametrize("first_proved_at", [None, 1])
async def test_but_not_of_an_address_that_nobody_has_proved(lite: The, first_proved_at: int | None) -> None:
    """The mailbox may be somebody else's, also where an admin has moved the account to it."""
    folk = Folk(lite)
    actor = await folk.create()
    await policy(lite, **ENROLLED, second="always")
    async with folk.ctx.write() as db:
        await db.change(person.update().values(email_verified_at=None, first_proved_at=first_proved_at))
    anna = Person(await folk.email(actor), PASSWORD, "")
    assert [await code_was_mailed(lite, anna) for _ in range(7)] == [True] * 5 + [False] * 2


async def test_an_address_that_nobody_had_proved_is_proved_by_it(lite: The) -> None:
    folk = Folk(lite)
    actor = await folk.create()
    await policy(lite, **ENROLLED)
    async with folk.ctx.write() as db:
        await db.change(person.update().values(email_verified_at=None))
    await enrolment.offer(folk.acting(actor), "email_code")
    assert [row["email_verified_at"] for row in await lite.rows(person)] == [None]
    await enrolment.prove(folk.acting(actor), "email_code", await folk.code())
    assert [row["email_verified_at"] is not None for row in await lite.rows(person)] == [True]


async def test_backup_codes_stay_with_it_and_go_with_it(the: The) -> None:
    anna = await the.person()
    await policy(the, **ENROLLED)
    secret = await add_app(the, anna)
    [code, *_] = await add_codes(the, anna)
    strong = await signed_in(the, anna, ("totp", code_of_app(the, secret)))
    await me(the, "DELETE", "totp", strong)
    assert "recovery_code" not in await live(the), "nothing else asked for a second step"
    await turn_on(the, anna)
    [code, *_] = await add_codes(the, anna)
    handle = await begun(the, anna.email)
    asked = await the.finish(handle)
    assert asked.json()["need"] == [["recovery_code"], ["email_code"]]
    await prove_each(the, handle, ("recovery_code", code))
    back = Person(anna.email, anna.password, token_of(await the.finish(handle)))
    secret = await add_app(the, back)
    strong = await signed_in(the, anna, ("totp", code_of_app(the, secret)))
    assert (await me(the, "DELETE", "totp", strong)).status_code == 204
    assert (await live(the)).count("recovery_code") == 9, "the mailed code still asks for a second step"
    assert (await me(the, "DELETE", "email-code", back)).status_code == 204
    assert await live(the) == ["password"]


async def test_it_can_be_undone(lite: The) -> None:
    """Turning it off is undone like the removal of another factor: it comes back, and a new password is asked for."""
    folk = Folk(lite)
    actor = await folk.create()
    email = await folk.email(actor)
    await policy(lite, **ENROLLED)
    await enrolment.offer(folk.acting(actor), "email_code")
    await enrolment.prove(folk.acting(actor), "email_code", await folk.code())
    await enrolment.remove(folk.acting(actor), "email_code")
    assert await live(lite) == ["password"]
    handle, code = await folk.undoing(await folk.undo_token(email))
    asked = await signin.prove(folk.ctx, handle, "email_code", await folk.code() or code)
    assert isinstance(asked, Need)
    assert (asked.listed(), asked.enrol) == ([["password"]], True)
    assert await live(lite) == ["email_code"]


async def test_turning_it_on_can_be_undone(lite: The) -> None:
    folk = Folk(lite)
    actor = await folk.create()
    email = await folk.email(actor)
    await policy(lite, **ENROLLED)
    await enrolment.offer(folk.acting(actor), "email_code")
    await enrolment.prove(folk.acting(actor), "email_code", await folk.code())
    handle, code = await folk.undoing(await folk.undo_token(email))
    await signin.prove(folk.ctx, handle, "email_code", await folk.code() or code)
    assert await live(lite) == []


async def test_a_mailed_link_does_not_stand_for_an_app_either(lite: The) -> None:
    """The link of a mail that was sent before the app was set up."""
    folk = Folk(lite)
    actor = await folk.create()
    await policy(lite, **ENROLLED)
    await enrolment.offer(folk.acting(actor), "email_code")
    await enrolment.prove(folk.acting(actor), "email_code", await folk.code())
    begun_ = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    await signin.prove(folk.ctx, begun_.handle, "password", PASSWORD)
    await signin.challenge(folk.ctx, begun_.handle, "email_code")
    link = str((await folk.newest()).link).rpartition("/")[2]
    await folk.add_app(actor)
    opened = await starts.by_link(folk.ctx, link)
    asked = await signin.prove(folk.ctx, opened.handle, "password", PASSWORD)
    assert isinstance(asked, Need)
    assert asked.listed() == [["totp"]]


async def test_a_recovery_asks_for_no_more_than_before(lite: The) -> None:
    """The mailbox proves the address of a recovery; a second mail would prove nothing more."""
    anna = await lite.person()
    await policy(lite, **ENROLLED)
    await turn_on(lite, anna)
    handle = handle_of(await lite.recover(anna.email))
    await prove_each(lite, handle, ("email_code", await lite.code(anna.email)))
    done = await prove(lite, handle, "password", OTHER_PASSWORD)
    assert (done.json()["enough"], done.json()["acr"]) == (True, AAL1)


async def test_whoever_has_it_cannot_turn_it_on_again(lite: The) -> None:
    folk = Folk(lite)
    actor = await folk.create()
    await policy(lite, **ENROLLED)
    await enrolment.offer(folk.acting(actor), "email_code")
    await enrolment.prove(folk.acting(actor), "email_code", await folk.code())
    with pytest.raises(Conflict):
        await enrolment.offer(folk.acting(actor), "email_code")
