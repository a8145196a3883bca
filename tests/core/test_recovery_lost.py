"""Recovery from a lost second factor: two different proofs remove it, after a waiting time in which the owner can stop
the removal.

Recovery of a password alone is tested in tests/stories, links in test_links.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passgate.core import links, recovery
from passgate.core.ctx import Ctx
from passgate.errors import HandleInvalid
from passgate.store.tables import credential, session
from tests import operating
from tests.authenticator import Authenticator
from tests.core.having import add_app, add_codes, add_passkey, asserted, code_of_app, me, prove, prove_each, signed_in
from tests.kit import OTHER_PASSWORD, PASSWORD, Person, The, bearer, code_of, handle_of, running, settings_for, token_of

WAIT = 24 * 3600
HOURS_24 = {"wait": "24h"}


@pytest.fixture
async def slow(tmp_path: Path, database_url: str | None) -> AsyncIterator[The]:
    """A Passgate in which lost factors are removed only after a day."""
    settings = settings_for(tmp_path, database_url, recovery=HOURS_24)
    async with running(settings) as made:
        yield made


async def factors_of(the: The) -> set[str]:
    return {row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None}


async def two_ways(the: The, email: str) -> tuple[str, Any]:
    """A recovery with the mailed code and the password; its handle and the response to the password."""
    handle = handle_of(await the.recover(email))
    await prove_each(the, handle, ("email_code", await recovery_code(the, email)))
    return handle, await prove(the, handle, "password", PASSWORD)


async def recovery_code(the: The, email: str) -> str:
    return str(next(mail["code"] for mail in await the.mails(email) if mail["kind"] == "recovery_code"))


async def stop_link(the: The, email: str, kind: str = "recovery_asked") -> str:
    link = next(mail["link"] for mail in await the.mails(email) if mail["kind"] == kind)
    assert link.startswith("http://localhost:8000/recover/stop/pg_stp_")
    return str(link).rpartition("/")[2]


async def guarded(the: The) -> tuple[Person, bytes]:
    anna = await the.person()
    return anna, await add_app(the, anna)


async def test_the_address_alone_sets_nothing_up(the: The) -> None:
    anna, _ = await guarded(the)
    handle = handle_of(await the.recover(anna.email))
    proved = await prove(the, handle, "email_code", await recovery_code(the, anna.email))
    assert proved.json() == {"enough": False, "need": [["totp"], ["password"]], "enrol": False}
    refused = await prove(the, handle, "password", OTHER_PASSWORD)
    assert code_of(refused) == "proof_refused", "it is asked for, not set"
    assert code_of(await the.finish(handle)) == "proof_missing"
    assert (await the.session(anna.token)).status_code == 200


async def test_who_shows_the_factor_sets_a_new_password(the: The) -> None:
    anna, secret = await guarded(the)
    handle = handle_of(await the.recover(anna.email))
    await prove_each(the, handle, ("email_code", await recovery_code(the, anna.email)))
    proved_factor = await prove(the, handle, "totp", code_of_app(the, secret))
    assert proved_factor.json() == {"enough": False, "need": [["password"]], "enrol": True}
    await prove_each(the, handle, ("password", OTHER_PASSWORD))
    opened = (await the.session(token_of(await the.finish(handle)))).json()["session"]
    assert opened["acr"] == "urn:passgate:aal2"
    assert await factors_of(the) == {"password", "totp"}, "the factor stays"
    assert code_of(await the.session(anna.token)) == "session_ended"


async def test_two_different_ways_stand_for_it(the: The) -> None:
    """In development there is no waiting time. All second factors and sessions end, and the owner gets a mail."""
    anna, _ = await guarded(the)
    await add_codes(the, anna)
    await add_passkey(the, anna, Authenticator())
    handle, proved = await two_ways(the, anna.email)
    assert proved.json() == {
        "enough": True,
        "need": [],
        "enrol": False,
        "amr": ["otp", "pwd"],
        "acr": "urn:passgate:aal1",
    }
    assert await factors_of(the) == {"password"}
    assert code_of(await the.session(anna.token)) == "session_ended"
    assert (await the.mails(anna.email))[0]["kind"] == "recovered"
    token_of(await the.finish(handle))
    events = await the.events()
    assert events.count("recovery:factors:released") == 1
    assert (await signed_in(the, anna)).token


async def test_one_way_twice_is_one(the: The) -> None:
    """A second mailed code does not count as another way, and proofs of one handle do not count for another."""
    anna, _ = await guarded(the)
    handle = handle_of(await the.recover(anna.email))
    await prove_each(the, handle, ("email_code", await recovery_code(the, anna.email)))
    assert code_of(await the.challenge(handle, "email_code")) == "already_proved"
    assert code_of(await prove(the, handle, "email_code", "12345678")) == "already_proved"
    other = handle_of(await the.recover(anna.email))
    await prove_each(the, other, ("email_code", await recovery_code(the, anna.email)))
    assert code_of(await the.finish(other)) == "proof_missing"
    assert await factors_of(the) == {"password", "totp"}


async def test_without_a_password_the_mailbox_opens_nothing(the: The) -> None:
    """A person whose only factor is a passkey needs that passkey, recovery codes, or a link to recover."""
    handle = handle_of(await the.signup("anna@example.com", None))
    await prove_each(the, handle, ("email_code", await the.code("anna@example.com")))
    key = Authenticator()
    await prove_each(
        the, handle, ("passkey", key.create((await the.challenge(handle, "passkey")).json()["challenge"], URL))
    )
    token_of(await the.finish(handle))
    handle = handle_of(await the.recover("anna@example.com"))
    proved = await prove(the, handle, "email_code", await recovery_code(the, "anna@example.com"))
    assert proved.json() == {"enough": False, "need": [["passkey"]], "enrol": False}
    assert code_of(await prove(the, handle, "password", PASSWORD)) == "factor_not_offered"
    proved = await prove(the, handle, "passkey", await asserted(the, handle, key))
    assert proved.json() == {"enough": False, "need": [["password"]], "enrol": True}


URL = "http://localhost:8000"


# -- the waiting time ------------------------------------------------------------------------------


async def test_it_waits_for_a_day(slow: The) -> None:
    anna, _ = await guarded(slow)
    before = slow.clock.now
    handle, proved = await two_ways(slow, anna.email)
    result = proved.json()
    assert (result["enough"], result["need"], result["enrol"]) == (False, [["totp"]], False)
    usable_at = result["usable_at"]
    assert usable_at.endswith("Z")
    assert code_of(await slow.finish(handle)) == "proof_missing"
    assert await factors_of(slow) == {"password", "totp"}
    assert (await slow.session(anna.token)).status_code == 200, "nobody is put out by asking"
    assert (await slow.mails(anna.email))[0]["kind"] == "recovery_asked"
    assert (await slow.events()).count("recovery:release:asked") == 1
    slow.clock.now = before + (WAIT - 60) * 10**6
    again, early = await two_ways(slow, anna.email)
    assert early.json()["usable_at"] == usable_at, "asking again neither begins anew nor makes it shorter"
    assert code_of(await slow.finish(again)) == "proof_missing"
    assert [mail["kind"] for mail in await slow.mails(anna.email)].count("recovery_asked") == 1
    slow.clock.forward(60)
    last, done = await two_ways(slow, anna.email)
    assert done.json()["enough"] is True
    assert await factors_of(slow) == {"password"}
    token_of(await slow.finish(last))
    assert (await slow.events()).count("recovery:factors:released") == 1


async def test_one_wait_allows_one_removal(slow: The) -> None:
    anna, _ = await guarded(slow)
    await two_ways(slow, anna.email)
    slow.clock.forward(WAIT)
    handle, _ = await two_ways(slow, anna.email)
    again = Person(anna.email, PASSWORD, token_of(await slow.finish(handle)))
    await add_app(slow, again)
    _, later = await two_ways(slow, anna.email)
    assert later.json()["enough"] is False
    assert await factors_of(slow) == {"password", "totp"}


async def test_a_wait_that_nobody_came_back_from_is_over(slow: The) -> None:
    anna, _ = await guarded(slow)
    await two_ways(slow, anna.email)
    slow.clock.forward(WAIT + 7 * 24 * 3600)
    _, proved = await two_ways(slow, anna.email)
    assert proved.json()["enough"] is False
    assert (await slow.events()).count("recovery:release:asked") == 2


async def test_the_owner_stops_it(slow: The) -> None:
    anna, _ = await guarded(slow)
    handle, _ = await two_ways(slow, anna.email)
    ctx, token = Ctx(slow.gate.services), await stop_link(slow, anna.email)
    assert await recovery.find_stop(ctx, token) is not None
    await recovery.stop(ctx, token)
    assert (await slow.events()).count("recovery:stopped") == 1
    assert code_of(await slow.finish(handle)) == "handle_invalid", "whoever was half in is out"
    for odd in (token, token[:-1], "pg_stp_nonsense", ""):
        assert await recovery.find_stop(ctx, odd) is None
        with pytest.raises(HandleInvalid):
            await recovery.stop(ctx, odd)
    slow.clock.forward(WAIT)
    _, proved = await two_ways(slow, anna.email)
    assert proved.json()["enough"] is False, "it waits anew"
    assert await factors_of(slow) == {"password", "totp"}


async def test_showing_the_factor_after_all_stops_it(slow: The) -> None:
    anna, secret = await guarded(slow)
    await two_ways(slow, anna.email)
    await signed_in(slow, anna, ("totp", code_of_app(slow, secret)))
    assert (await slow.events()).count("recovery:stopped") == 1
    slow.clock.forward(WAIT)
    _, proved = await two_ways(slow, anna.email)
    assert proved.json()["enough"] is False
    assert await factors_of(slow) == {"password", "totp"}


async def test_every_address_that_still_counts_gets_a_mail(slow: The) -> None:
    """After the address has changed, the old one gets the mail too, so that the owner still
    learns of the recovery."""
    anna, secret = await guarded(slow)
    strong = await signed_in(slow, anna, ("totp", code_of_app(slow, secret)))
    assert (await me(slow, "POST", "address", strong, {"email": "new@example.com"})).status_code in (200, 202)
    code = next(mail["code"] for mail in await slow.mails("new@example.com") if mail["code"])
    assert (await me(slow, "POST", "address/prove", strong, {"answer": code})).status_code == 204
    moved = replace(strong, email="new@example.com")
    await two_ways(slow, moved.email)
    tokens = {await stop_link(slow, email) for email in ("anna@example.com", "new@example.com")}
    assert len(tokens) == 1
    await recovery.stop(Ctx(slow.gate.services), tokens.pop())
    assert await factors_of(slow) == {"password", "totp"}


# -- with a link -----------------------------------------------------------------------------------


async def test_a_link_and_a_mailed_code_are_two_ways(the: The) -> None:
    anna, _ = await guarded(the)
    handle = await opened(the, anna.email)
    proved = await prove(the, handle, "email_code", "12345678")
    assert code_of(proved) == "proof_refused"
    assert (await the.challenge(handle, "email_code")).json() == {"challenge": {"sent_to": "a…@example.com"}}
    proved = await prove(the, handle, "email_code", await recovery_code(the, anna.email))
    assert proved.json() == {"enough": False, "need": [["password"]], "enrol": True}
    assert await factors_of(the) == {"password"}
    await prove_each(the, handle, ("password", OTHER_PASSWORD))
    token_of(await the.finish(handle))
    live = [row for row in await the.rows(session) if row["ended_at"] is None]
    assert len(live) == 1


async def opened(the: The, email: str) -> str:
    """A recovery that was begun with an operator's link; its handle."""
    from passgate.core import starts  # noqa: PLC0415

    made = await operating.signin_link(Ctx(the.gate.services), email, "main")
    assert made.expires_at - made.usable_at == links.LIFE * 10**6
    begun = await starts.by_link(Ctx(the.gate.services), made.url.rpartition("/")[2], is_recovery=True)
    assert begun.need.listed() == [["totp"], ["email_code"], ["password"]]
    return begun.handle


async def test_no_answer_reveals_whether_anything_is_lost(the: The) -> None:
    """Until the mailed code is proved, responses do not depend on whether the person exists or has a second factor."""
    await guarded(the)
    await the.person("bert@example.com")
    seen = []
    for email in ("anna@example.com", "bert@example.com", "ghost@example.com"):
        begun = await the.recover(email)
        seen.append((begun.json()["need"], begun.json()["enrol"]))
        wrong = await prove(the, handle_of(begun), "email_code", "00000000")
        assert code_of(wrong) == "proof_refused"
        early = await the.http.post(
            "/api/v1/signin/challenge", json={"factor": "totp"}, headers=bearer(handle_of(begun))
        )
        assert code_of(early) == "factor_not_offered"
    assert seen == [([["email_code"]], False)] * 3
