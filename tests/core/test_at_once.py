"""Second factors of somebody whose address nobody has proved, without a first code: mailed codes that are on at once,
and backup codes that only the reader of the mailbox sees. What they are asked for, and what the first proof leaves.

Not here: who is asked for a mailed code (`test_mailed_second`), and whoever has claimed somebody else's address, whose
attempts are in `claiming` and so in `test_address_proof`.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest

from passgate.core import address, enrolment, signin, starts, user_changes
from passgate.core.ctx import Ctx
from passgate.core.policy import Enough, Need
from passgate.errors import Conflict, Refusal, Throttled
from passgate.store.tables import credential, person, ticket
from tests import operating
from tests.core.behind import Folk
from tests.core.claiming import AT_ONCE, EMAIL, LATER, facts_of, row_of, victim
from tests.core.having import me
from tests.core.visitor import Visitor, letters
from tests.kit import PASSWORD, Person, The, code_of, handle_of, token_of
from tests.web.browsing import rule

AAL1 = "urn:passgate:aal1"
PROVED = {**AT_ONCE, "address_proof": "first"}


async def live(the: The) -> list[str]:
    return sorted(row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None)


async def acting(who: Visitor) -> Ctx:
    found = await who.actor()
    assert found is not None
    return who.ctx.acting(found)


async def sent(folk: Folk, email: str = EMAIL) -> Counter[str]:
    return Counter(mail.kind for mail in await letters(folk, email))


async def backup_codes(folk: Folk, email: str = EMAIL) -> list[str]:
    """Those of the newest mail with a set, which was not delivered yet."""
    [*_, mail] = [mail for mail in await letters(folk, email) if mail.kind == "recovery_codes"]
    return codes_in(mail.text)


def codes_in(text: str) -> list[str]:
    return re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", text)


async def signed_up(the: The, device: str) -> tuple[Folk, Visitor]:
    """Somebody with a second factor and backup codes, who has read no mail yet."""
    folk = Folk(the)
    await rule(the, **AT_ONCE)
    who = victim(folk)
    assert await who.sign_up() is not None
    assert await (who.turn_on_mailed_codes() if device == "email" else who.add_app())
    assert await who.make_codes()
    assert who.codes == []
    return folk, who


# -- turning mailed codes on -------------------------------------------------------------------------


async def test_they_are_on_with_the_first_request(the: The) -> None:
    """No code is mailed, and the answer proves nothing: not the address, and no factor of the session."""
    await rule(the, **AT_ONCE)
    begun = await the.signup(EMAIL, PASSWORD)
    who = Person(EMAIL, PASSWORD, token_of(await the.finish(handle_of(begun))))
    before = (await the.session(who.token)).json()["session"]
    made = await me(the, "POST", "email-code", who)
    assert (made.status_code, made.json()) == (201, {"sent_to": "v…@example.com", "active": True})
    assert await live(the) == ["email_code", "password"]
    assert [mail["kind"] for mail in await the.mails(EMAIL)] == ["factor_added", "address_claimed"]
    assert (await row_of(the))["email_verified_at"] is None
    after = (await the.session(who.token)).json()["session"]
    assert (after["amr"], after["acr"]) == (before["amr"], before["acr"]) == (["pwd"], AAL1)
    again = await me(the, "POST", "email-code", who)
    assert (again.status_code, code_of(again)) == (409, "conflict")

    handle = handle_of(await the.start(EMAIL))
    asked = await the.prove(handle, "password", PASSWORD)
    assert asked.json() == {"enough": False, "need": [["email_code"]], "enrol": False}
    mails = len(await the.mails())
    assert (await the.challenge(handle, "email_code")).json() == {"challenge": {"sent_to": "v…@example.com"}}
    assert len(await the.mails()) == mails + 1
    assert (await the.prove(handle, "email_code", await the.code(EMAIL))).json()["acr"] == AAL1
    assert token_of(await the.finish(handle))
    assert (await row_of(the))["email_verified_at"] is not None
    assert await live(the) == ["email_code", "password"]


async def test_of_several_at_the_same_time_one_turns_them_on(the: The) -> None:
    anna = await the.person()
    await rule(the, **PROVED)
    answers = await asyncio.gather(*(me(the, "POST", "email-code", anna) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert await live(the) == ["email_code", "password"]


async def test_with_an_undo_where_the_address_is_proved(lite: The) -> None:
    folk = Folk(lite)
    actor = await folk.create()
    await rule(lite, **PROVED)
    assert (await enrolment.offer(folk.acting(actor), "email_code"))["active"]
    handle, code = await folk.undoing(await folk.undo_token(await folk.email(actor)))
    await signin.prove(folk.ctx, handle, "email_code", await folk.code() or code)
    assert "email_code" not in await live(lite)


async def test_a_mail_that_leads_nowhere_where_nobody_has_proved_it(lite: The) -> None:
    folk, _ = await signed_up(lite, "email")
    assert [mail.link for mail in await letters(folk, EMAIL) if mail.kind == "factor_added"] == [None]
    assert [row for row in await lite.rows(ticket) if row["kind"] == "undo"] == []


async def test_not_where_something_safer_is_set_up(lite: The) -> None:
    folk, who = await signed_up(lite, "code_generator")
    before = await lite.everything()
    with pytest.raises(Conflict):
        await enrolment.offer(await acting(who), "email_code")
    assert await lite.everything() == before
    mails = (await sent(folk)).total()
    started = await starts.sign_in(who.ctx, EMAIL, None)
    asked = await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
    assert isinstance(asked, Need)
    assert asked.listed() == [["totp"], ["recovery_code"]]
    assert (await sent(folk)).total() == mails


@pytest.mark.parametrize(
    "rules",
    [
        {"mailed_second_factor": "everybody"},
        {"second_among": ["totp"]},
        {"second": "never"},
    ],
)
async def test_where_the_rules_do_not_have_it(lite: The, rules: dict[str, Any]) -> None:
    folk = Folk(lite)
    await rule(lite, **{**AT_ONCE, **rules})
    actor = await folk.create()
    before = await lite.everything()
    with pytest.raises(Conflict):
        await enrolment.offer(folk.acting(actor), "email_code")
    assert await lite.everything() == before


async def test_rules_that_no_longer_have_it(lite: The) -> None:
    """What is on stays on, and asks as by the rules of the moment. A code is asked for where they want one again."""
    _, who = await signed_up(lite, "email")
    for rules in ({"mailed_second_factor": "enrolled"}, {"mailed_second_factor": "everybody"}):
        await rule(lite, **{**AT_ONCE, **rules})
        started = await starts.sign_in(who.ctx, EMAIL, None)
        asked = await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
        assert isinstance(asked, Need)
        assert asked.listed() == [["recovery_code"], ["email_code"]]
    await rule(lite, **{**AT_ONCE, "second_among": ["totp"]})
    started = await starts.sign_in(who.ctx, EMAIL, None)
    assert isinstance(await signin.prove(who.ctx, started.handle, "password", who.passwords[-1]), Enough)


async def test_a_session_that_turned_them_on_has_not_proved_a_second_factor(lite: The) -> None:
    """Rules that ask everybody for one do not let it go on."""
    _, who = await signed_up(lite, "email")
    anna = Person(EMAIL, who.passwords[-1], who.tokens[-1])
    assert (await me(lite, "GET", "factors", anna)).status_code == 200
    await rule(lite, **AT_ONCE, second="always")
    assert code_of(await me(lite, "GET", "factors", anna)) == "insufficient_user_authentication"


async def test_turning_them_on_and_off_keeps_no_session_fresh(lite: The) -> None:
    anna = await lite.person()
    await rule(lite, **PROVED)
    lite.clock.forward(299)
    assert (await me(lite, "POST", "email-code", anna)).status_code == 201
    lite.clock.forward(2)
    assert code_of(await me(lite, "DELETE", "email-code", anna)) == "insufficient_user_authentication"


# -- backup codes that nobody has seen ---------------------------------------------------------------


async def test_they_are_mailed_and_not_returned(the: The) -> None:
    await rule(the, **AT_ONCE)
    begun = await the.signup(EMAIL, PASSWORD)
    who = Person(EMAIL, PASSWORD, token_of(await the.finish(handle_of(begun))))
    assert (await me(the, "POST", "email-code", who)).status_code == 201
    made = await me(the, "POST", "recovery-codes", who)
    assert (made.status_code, made.json()) == (201, {"codes": []})
    mails = await the.mails(EMAIL)
    kinds = [mail["kind"] for mail in mails]
    assert kinds == ["recovery_codes", "factor_added", "address_claimed"], "no other mail about the set"
    assert (await live(the)).count("recovery_code") == 5
    [facts] = await facts_of(the, "account:recovery_codes:made")
    assert {**facts, "request_id": ""} == {"count": 5, "mailed": True, "shown": False, "request_id": ""}
    assert (await facts_of(the, "account:factor:added"))[-1]["factor"] == "recovery_code"
    codes, stored = codes_in(mails[0]["text"]), repr(await the.everything())
    assert (len(codes), [code for code in codes if code in stored]) == (5, [])


async def test_once_the_address_is_proved_they_are_seen_too(lite: The) -> None:
    folk, who = await signed_up(lite, "email")
    assert await who.sign_in() is not None
    assert (await row_of(lite))["email_verified_at"] is not None
    assert await who.make_codes()
    assert (len(who.codes), who.codes) == (5, await backup_codes(folk))


@pytest.mark.parametrize("device", ["email", "code_generator"])
async def test_one_signs_in_and_proves_no_address(the: The, device: str) -> None:
    folk, who = await signed_up(the, device)
    code, *_ = await backup_codes(folk)
    started = await starts.sign_in(who.ctx, EMAIL, None)
    await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
    done = await signin.prove(who.ctx, started.handle, "recovery_code", code)
    assert isinstance(done, Enough)
    assert done.acr == AAL1
    await signin.finish(who.ctx, started.handle, carrier="bearer")
    assert (await row_of(the))["email_verified_at"] is None
    assert (await live(the)).count("recovery_code") == 4


# -- the first proof ---------------------------------------------------------------------------------


async def test_those_that_are_left_go_on_after_the_first_mailed_code(the: The) -> None:
    folk, who = await signed_up(the, "email")
    first, second, *_ = await backup_codes(folk)
    who.codes = [first]
    assert await who.sign_in() is not None
    assert (await row_of(the))["email_verified_at"] is None
    assert await who.sign_in() is not None, "by a mailed code now"
    assert (await row_of(the))["email_verified_at"] is not None
    assert await live(the) == ["email_code", "password", *["recovery_code"] * 4]
    [facts] = await facts_of(the, "account:address:proved")
    assert facts["ended"] == []
    who.codes = [second]
    assert await who.sign_in() is not None
    assert (await live(the)).count("recovery_code") == 3


async def test_and_with_an_app(lite: The) -> None:
    _, who = await signed_up(lite, "code_generator")
    assert await who.confirm_address()
    assert await live(lite) == ["password", *["recovery_code"] * 5, "totp"]


@pytest.mark.parametrize("way", [Visitor.sign_up, Visitor.recover], ids=["sign_up", "recover"])
@pytest.mark.parametrize("device", ["email", "code_generator"])
async def test_they_end_with_a_proof_by_the_mailbox_alone(lite: The, device: str, way: Any) -> None:
    folk, _ = await signed_up(lite, device)
    assert await way(victim(folk)) is not None
    assert await live(lite) == ["password"]


async def test_they_end_where_the_password_is_somebody_elses(lite: The) -> None:
    """Nothing stays then: an admin knows it, and may have asked for the codes."""
    folk = Folk(lite)
    await rule(lite, **AT_ONCE)
    await user_changes.create(operating.operator(folk.ctx), EMAIL, secret=PASSWORD, profile=None, roles=["user"])
    insider, who = victim(folk), victim(folk)
    insider.passwords, who.passwords = [PASSWORD], [PASSWORD]
    assert await insider.sign_in() is not None
    assert await insider.turn_on_mailed_codes()
    assert await insider.make_codes()
    assert await who.sign_in() is not None
    assert await live(lite) == ["password"]
    assert who.passwords[-1] != PASSWORD


async def test_a_set_that_was_seen_ends(lite: The) -> None:
    """Whoever asked for it knows it."""
    folk = Folk(lite)
    await rule(lite, **{**AT_ONCE, "recovery_codes": {"count": 5}})
    who = victim(folk)
    assert await who.sign_up() is not None
    assert await who.turn_on_mailed_codes()
    assert await who.make_codes()
    assert len(who.codes) == 5
    await rule(lite, **AT_ONCE)
    who.codes = []
    assert await who.sign_in() is not None
    assert await live(lite) == ["email_code", "password"]


async def test_they_end_with_a_move(lite: The) -> None:
    """They were mailed to the address of before."""
    _, who = await signed_up(lite, "email")
    mine = await acting(who)
    await address.start(mine, "new@example.com")
    who.mailboxes.append("new@example.com")
    await address.prove(mine, await who.code("address_code") or "")
    assert await live(lite) == ["email_code", "password"]


async def test_they_end_where_an_admin_has_moved_the_account_meanwhile(lite: The) -> None:
    folk, who = await signed_up(lite, "email")
    change = user_changes.Change(email="new@example.com")
    await user_changes.change(operating.operator(folk.ctx), (await row_of(lite))["id"], change)
    who.email = "new@example.com"
    who.mailboxes.append("new@example.com")
    assert (await row_of(lite, who.email))["email_verified_at"] is None
    assert await who.sign_in() is not None
    assert await live(lite) == ["email_code", "password"]


async def test_another_spelling_is_the_same_mailbox(lite: The) -> None:
    folk, who = await signed_up(lite, "email")
    change = user_changes.Change(email="Victim@example.com")
    await user_changes.change(operating.operator(folk.ctx), (await row_of(lite))["id"], change)
    who.mailboxes.append("Victim@example.com")
    assert await who.sign_in() is not None
    assert await live(lite) == ["email_code", "password", *["recovery_code"] * 5]


# -- a mail that may not leave -----------------------------------------------------------------------


@pytest.mark.parametrize("device", ["email", "code_generator"])
async def test_a_sign_up_with_a_second_factor_has_room_for_its_mails(lite: The, device: str) -> None:
    """And for one more set."""
    folk, who = await signed_up(lite, device)
    assert await who.make_codes()
    assert await sent(folk) == {"address_claimed": 1, "factor_added": 1, "recovery_codes": 2}
    assert "mail:held" not in await lite.events()


async def test_a_set_that_may_not_be_mailed_replaces_none(the: The) -> None:
    folk, who = await signed_up(the, "email")
    mine = await acting(who)
    for _ in range(3):
        await enrolment.recovery_codes(mine)
    before, mails, events = await the.rows(credential), await sent(folk), await the.events()
    codes = await backup_codes(folk)
    with pytest.raises(Throttled) as busy:
        await enrolment.recovery_codes(mine)
    assert 0 < busy.value.retry_after <= 3600
    assert (await the.rows(credential), await sent(folk), await the.events()) == (before, mails, events)
    who.codes = codes[:1]
    assert await who.sign_in() is not None, "the set that was mailed goes on"
    the.clock.forward(3600)
    assert await who.make_codes()
    assert (await sent(folk))["recovery_codes"] == mails["recovery_codes"] + 1


async def test_a_new_claim_has_no_more_of_these_mails(lite: The) -> None:
    folk, who = await signed_up(lite, "email")
    for _ in range(3):
        await enrolment.recovery_codes(await acting(who))
    other = victim(folk)
    other.mailboxes.clear()
    await enrolment.remove(await acting(who), "email_code")
    assert await who.delete()
    assert await other.sign_up() is not None
    with pytest.raises(Throttled):
        await enrolment.recovery_codes(await acting(other))
    assert "recovery_code" not in await live(lite)
    assert (await sent(folk)).total() == 2 + 5, "two claims, and five in an hour"


# -- a mailed code beside an app, where everybody may answer with one ----------------------------------

EVERYBODY: dict[str, Any] = {**LATER, "second_among": ["totp", "email_code"], "mailed_second_factor": "everybody"}


async def with_app(the: The) -> Visitor:
    """Signed up while the rules asked for no mailed code."""
    await rule(the, **LATER)
    who = victim(Folk(the))
    assert await who.sign_up() is not None
    assert await who.add_app()
    return who


async def test_no_app_ends_because_a_mailed_code_was_quicker(the: The) -> None:
    """It is not offered beside the app while it would be the first proof of the address."""
    who = await with_app(the)
    await rule(the, **EVERYBODY)
    for started in (await starts.sign_in(who.ctx, EMAIL, None), await starts.step_up(await acting(who), None)):
        asked = await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
        assert isinstance(asked, Need)
        assert asked.listed() == [["totp"]]
        with pytest.raises(Refusal) as refused:
            await signin.challenge(who.ctx, started.handle, "email_code")
        assert refused.value.code == "factor_not_offered"
    assert await who.confirm_address()
    assert await live(the) == ["password", "totp"]
    started = await starts.sign_in(who.ctx, EMAIL, None)
    asked = await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
    assert isinstance(asked, Need)
    assert asked.listed() == [["totp"], ["email_code"]], "then either will do"


@pytest.mark.parametrize("has_passkey", [False, True])
async def test_nor_by_the_link_of_an_older_mail(lite: The, has_passkey: bool) -> None:
    """One of the factors that last is enough to keep the address's proof from ending it; what is not proved ends."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = victim(folk)
    assert await who.sign_up() is not None
    await rule(lite, **{**EVERYBODY, "second_among": ["totp", "passkey", "email_code"]})
    started = await starts.sign_in(who.ctx, EMAIL, None)
    await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
    await signin.challenge(who.ctx, started.handle, "email_code")
    [mail] = [mail for mail in await letters(folk, EMAIL) if mail.kind == "signin_code"]
    assert await who.add_app()
    assert not has_passkey or await who.add_passkey()
    opened = await starts.by_link(who.ctx, str(mail.link).rpartition("/")[2])
    asked = await signin.prove(who.ctx, opened.handle, "password", who.passwords[-1])
    assert isinstance(asked, Need)
    assert asked.listed() == ([["totp"], ["passkey"]] if has_passkey else [["totp"]])
    assert (await row_of(lite))["email_verified_at"] is None
    assert isinstance(await signin.prove(who.ctx, opened.handle, "totp", who.app_code(who.apps[-1])), Enough)
    assert (await row_of(lite))["email_verified_at"] is not None
    assert await live(lite) == ["password", "totp"]


async def test_without_anything_else_a_mailed_code_is_asked_for_as_before(lite: The) -> None:
    await rule(lite, **LATER)
    who = victim(Folk(lite))
    assert await who.sign_up() is not None
    await rule(lite, **EVERYBODY)
    started = await starts.sign_in(who.ctx, EMAIL, None)
    asked = await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
    assert isinstance(asked, Need)
    assert asked.listed() == [["email_code"]]


async def test_the_reader_of_the_mailbox_takes_it_all_the_same(lite: The) -> None:
    who = await with_app(lite)
    await rule(lite, **EVERYBODY, first=["password", "email_code"])
    assert await victim(who.folk).sign_in() is not None
    assert await live(lite) == []
    assert len(await lite.rows(person)) == 1
