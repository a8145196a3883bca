"""Codes of an authenticator app: the RFCs' test values, the window, spellings, and that each code is accepted once.

The limit of wrong codes is tested in test_budgets, enrolment in a pending sign-in in test_enrolment.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passgate.core.factors import totp
from passgate.store.tables import credential, ticket
from passgate.world import SECOND
from tests.core.having import (
    add_app,
    add_codes,
    begun,
    code_of_app,
    me,
    policy,
    prove,
    prove_each,
    signed_in,
    step_up,
    unspelled,
)
from tests.kit import Person, The, code_of, handle_of, token_of

VECTORS = Path(__file__).parents[1] / "vectors"
COUNTED: dict[str, Any] = json.loads((VECTORS / "rfc4226_hotp.json").read_text())
TIMED: dict[str, Any] = json.loads((VECTORS / "rfc6238_totp.json").read_text())
KEY = b"12345678901234567890"


@pytest.mark.parametrize(("count", "code"), list(enumerate(COUNTED["codes"])))
def test_the_values_of_rfc_4226(count: int, code: str) -> None:
    assert totp.code_at(COUNTED["secret_ascii"].encode(), count) == code


@pytest.mark.parametrize("vector", TIMED["vectors"], ids=lambda vector: str(vector["unix"]))
def test_the_values_of_rfc_6238(vector: dict[str, Any]) -> None:
    secret, now = TIMED["secrets_ascii"]["SHA1"].encode(), vector["unix"]
    assert totp.code_at(secret, now // TIMED["step"], TIMED["digits"]) == vector["SHA1"]
    assert totp.code_at(secret, now // totp.PERIOD) == vector["SHA1"][-6:]
    assert totp.matched(secret, vector["SHA1"][-6:], now * SECOND, 0) == now // totp.PERIOD


@given(
    st.text(min_size=1).filter(str.isprintable),
    st.from_regex(r"[a-z+._'%&=?#:/]{1,30}@[a-z]{1,20}\.com", fullmatch=True),
)
def test_what_the_picture_holds_is_read_back(service: str, email: str) -> None:
    found = urlsplit(totp.uri(KEY, service, email))
    assert (found.scheme, found.netloc, found.fragment) == ("otpauth", "totp", "")
    known = " ".join(service.replace(":", " ").split())  # apps cut an issuer at a colon
    assert unquote(found.path) == f"/{known}:{email}"
    issuer, _, account = found.path[1:].partition(":")
    assert (unquote(issuer), unquote(account)) == (known, email)
    result = parse_qs(found.query, strict_parsing=True, keep_blank_values=True)
    secret = totp.base32(KEY)
    assert result == {"secret": [secret], "issuer": [known], "algorithm": ["SHA1"], "digits": ["6"], "period": ["30"]}
    assert unspelled(secret) == KEY
    assert "=" not in secret


STEP = 60_000_000


@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("within", [0, totp.PERIOD * SECOND - 1])
def test_the_window_ends_by_the_rules(window: int, within: int) -> None:
    """Codes outside the window are refused at the first and at the last microsecond of a time step."""
    now = STEP * totp.PERIOD * SECOND + within
    for away in range(-4, 5):
        found = totp.matched(KEY, totp.code_at(KEY, STEP + away), now, window)
        assert found == (STEP + away if abs(away) <= window else None), away


@pytest.mark.parametrize("odd", ["", "28708", "2870822", "２８７０８２", "28708x", "-287082", "287082.0", "0x46"])
def test_what_is_no_code(odd: str) -> None:
    """287082, the code of step 1, is in the window; each malformed spelling of it is refused."""
    assert totp.matched(KEY, "287082", 3 * totp.PERIOD * SECOND, 2) == 1
    assert totp.matched(KEY, odd, 3 * totp.PERIOD * SECOND, 2) is None


# -- through the endpoints -----------------------------------------------------------------------------


async def test_the_window_is_the_tenants(lite: The) -> None:
    anna = await lite.person()
    secret = await add_app(lite, anna)
    for window in (0, 1, 2):
        await policy(lite, totp_window=window)
        for away in (-window - 1, window + 1):
            handle = await begun(lite, anna.email)
            assert code_of(await prove(lite, handle, "totp", code_of_app(lite, secret, away))) == "proof_refused"
        lite.clock.forward(3600)
        for away in (-window, window) if window else (0,):
            await signed_in(lite, anna, ("totp", code_of_app(lite, secret, away)))
        lite.clock.forward(3600)


async def test_no_code_of_the_widest_window_opens_twice_however_it_is_typed(lite: The) -> None:
    anna = await lite.person()
    secret = await add_app(lite, anna)
    await policy(lite, totp_window=2)
    lite.clock.forward(3600)
    code, wide = code_of_app(lite, secret, 2), str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    fullwidth = str.maketrans("0123456789", "０１２３４５６７８９")
    await signed_in(lite, anna, ("totp", code.translate(wide)))
    lite.clock.forward(2 * totp.PERIOD)  # now it is the present code, and later the oldest one of the window
    for away in (0, 2):
        for text in (code, code.translate(wide), code.translate(fullwidth), f"{code[:3]}\u200b{code[3:]}", f" {code}-"):
            handle = await begun(lite, anna.email)
            assert code_of(await prove(lite, handle, "totp", text)) == "proof_refused", (away, text)
        lite.clock.forward(2 * totp.PERIOD)
    lite.clock.forward(24 * 3600)
    await signed_in(lite, anna, ("totp", code_of_app(lite, secret, -2)))


async def test_however_it_is_typed(lite: The) -> None:
    anna = await lite.person()
    secret = await add_app(lite, anna)
    for text in ("{0}{1}", " {0} {1} ", "{0}-{1}", "{0}\u00a0{1}", "{0}\u2009{1}"):
        code = code_of_app(lite, secret)
        handle = await begun(lite, anna.email)
        assert (await prove(lite, handle, "totp", text.format(code[:3], code[3:]))).status_code == 200
        again = await begun(lite, anna.email)
        for other in (code, f"{code[:3]} {code[3:]}", f"{code}-", f"{code[0]}-{code[1:]}"):
            assert code_of(await prove(lite, again, "totp", other)) == "proof_refused", "no spelling opens twice"
        lite.clock.forward(24 * 3600)  # no wait is left


async def test_each_code_is_good_once_and_none_before_it(the: The) -> None:
    anna = await the.person()
    secret = await add_app(the, anna)
    later, now, earlier = (code_of_app(the, secret, away) for away in (1, 0, -1))
    await signed_in(the, anna, ("totp", later))
    for code in (later, now, earlier):
        assert code_of(await prove(the, await begun(the, anna.email), "totp", code)) == "proof_refused"
    the.clock.forward(totp.PERIOD)
    assert code_of(await prove(the, await begun(the, anna.email), "totp", later)) == "proof_refused"
    await signed_in(the, anna, ("totp", code_of_app(the, secret, 1)))


async def test_the_code_that_set_it_up_is_spent(the: The) -> None:
    anna = await the.person()
    secret = unspelled((await me(the, "POST", "totp", anna)).json()["secret"])
    code = code_of_app(the, secret)
    assert (await me(the, "POST", "totp/prove", anna, {"answer": code})).status_code == 204
    assert code_of(await prove(the, await begun(the, anna.email), "totp", code)) == "proof_refused"
    assert code_of(await me(the, "POST", "totp/prove", anna, {"answer": code})) == "proof_refused"
    await signed_in(the, anna, ("totp", code_of_app(the, secret, 1)))


async def test_an_older_code_does_not_set_it_up_twice(the: The) -> None:
    """After a new secret was offered, codes of the older one are refused, before and after the new one is confirmed."""
    anna = await the.person()
    first = unspelled((await me(the, "POST", "totp", anna)).json()["secret"])
    second = unspelled((await me(the, "POST", "totp", anna)).json()["secret"])
    assert first != second
    assert code_of(await me(the, "POST", "totp/prove", anna, {"answer": code_of_app(the, first)})) == "proof_refused"
    taken = await me(the, "POST", "totp/prove", anna, {"answer": code_of_app(the, second)})
    assert taken.status_code == 204
    the.clock.forward(totp.PERIOD)
    assert code_of(await prove(the, await begun(the, anna.email), "totp", code_of_app(the, first))) == "proof_refused"
    await signed_in(the, anna, ("totp", code_of_app(the, second)))


async def test_another_app_takes_the_place_of_the_first(the: The) -> None:
    anna = await the.person()
    first = await add_app(the, anna)
    second = await add_app(the, anna)
    live = [row for row in await the.rows(credential) if row["kind"] == "totp" and row["revoked_at"] is None]
    assert len(live) == 1
    handle = await begun(the, anna.email)
    assert code_of(await prove(the, handle, "totp", code_of_app(the, first))) == "proof_refused"
    assert (await prove(the, handle, "totp", code_of_app(the, second))).status_code == 200


async def test_two_handles_at_the_same_time(the: The) -> None:
    anna = await the.person()
    secret = await add_app(the, anna)
    handles = [await begun(the, anna.email) for _ in range(2)]
    code = code_of_app(the, secret)
    answers = await asyncio.gather(*(prove(the, handle, "totp", code) for handle in handles))
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    opened = [await the.finish(handle) for handle in handles]
    assert sorted(answer.status_code for answer in opened) == [201, 409]


async def test_somebody_elses_code_is_wrong(the: The) -> None:
    anna, bert = await the.person("anna@example.com"), await the.person("bert@example.com")
    mine, theirs = await add_app(the, anna), await add_app(the, bert)
    handle = await begun(the, anna.email)
    assert code_of(await prove(the, handle, "totp", code_of_app(the, theirs))) == "proof_refused"
    assert (await prove(the, handle, "totp", code_of_app(the, mine))).status_code == 200


async def test_what_is_stored_is_sealed(lite: The) -> None:
    anna = await lite.person()
    text = (await me(lite, "POST", "totp", anna)).json()["secret"]
    secret = unspelled(text)
    await me(lite, "POST", "totp/prove", anna, {"answer": code_of_app(lite, secret)})
    stored = repr([await lite.rows(credential), await lite.rows(ticket)])
    for form in (text, secret.hex(), repr(secret)[2:-1]):
        assert form not in stored
    assert len(secret) * 8 == 160


async def test_where_the_tenant_takes_a_secret_without_a_first_code(the: The) -> None:
    anna = await the.person()
    await policy(the, totp_at_once=True)
    offered = (await me(the, "POST", "totp", anna)).json()
    assert offered["active"] is True
    secret = unspelled(offered["secret"])
    handle = handle_of(await the.start(anna.email))
    asked = await prove(the, handle, "password", anna.password)
    assert asked.json() == {"enough": False, "need": [["totp"]], "enrol": False}
    proved = await prove(the, handle, "totp", code_of_app(the, secret))
    assert (proved.json()["amr"], proved.json()["acr"]) == (["pwd", "otp"], "urn:passgate:aal2")
    token_of(await the.finish(handle))


async def test_where_the_first_code_is_left_out_it_still_counts_once(lite: The) -> None:
    """A secret that is active at once mails its owner, and none of its codes opens twice."""
    anna = await lite.person()
    await policy(lite, totp_at_once=True)
    secret = unspelled((await me(lite, "POST", "totp", anna)).json()["secret"])
    live = [row for row in await lite.rows(credential) if row["kind"] == "totp" and row["revoked_at"] is None]
    assert len(live) == 1
    assert next(mail["kind"] for mail in await lite.mails(anna.email)) == "factor_added"
    code = code_of_app(lite, secret)
    await signed_in(lite, anna, ("totp", code))
    assert code_of(await prove(lite, await begun(lite, anna.email), "totp", code)) == "proof_refused"
    assert code_of(await me(lite, "POST", "totp/prove", anna, {"answer": code})) == "proof_refused"


@pytest.mark.parametrize("first", ["totp", "email_code"])
async def test_only_a_first_second_factor_is_on_at_once(lite: The, first: str) -> None:
    """Another one asks for its first code, and what works goes on until then."""
    anna = await lite.person()
    among = ["totp", "email_code"]
    await policy(lite, totp_at_once=True, mailed_second_factor="at_once", second_among=among)
    made = await me(lite, "POST", {"totp": "totp", "email_code": "email-code"}[first], anna)
    assert (made.status_code, made.json()["active"]) == (201, True)
    before = [row for row in await lite.rows(credential) if row["revoked_at"] is None]
    offered = (await me(lite, "POST", "totp", anna)).json()
    assert offered["active"] is False
    assert [row for row in await lite.rows(credential) if row["revoked_at"] is None] == before
    code = code_of_app(lite, unspelled(offered["secret"]))
    assert (await me(lite, "POST", "totp/prove", anna, {"answer": code})).status_code == 204
    kinds = [row["kind"] for row in await lite.rows(credential) if row["revoked_at"] is None]
    assert kinds.count("totp") == 1


# -- displayed again -------------------------------------------------------------------------------


async def test_ones_own_app_is_displayed_again(the: The) -> None:
    anna = await the.person()
    offered = (await me(the, "POST", "totp", anna)).json()
    secret = unspelled(offered["secret"])
    await me(the, "POST", "totp/prove", anna, {"answer": code_of_app(the, secret)})
    refused = await me(the, "POST", "totp/show", anna)
    assert (refused.status_code, code_of(refused)) == (404, "not_found"), "by default it is shown once"
    await policy(the, totp_shown_again=True)
    before = [row for row in await the.rows(credential) if row["kind"] == "totp"]
    again = await me(the, "POST", "totp/show", anna)
    assert (again.status_code, again.json()) == (200, {**offered, "active": True})
    assert again.headers["cache-control"] == "no-store"
    assert [row for row in await the.rows(credential) if row["kind"] == "totp"] == before
    assert (await the.events())[-1] == "account:factor:displayed"
    assert (await the.mails(anna.email))[0]["kind"] == "factor_displayed"
    the.clock.forward(totp.PERIOD)
    await signed_in(the, anna, ("totp", code_of_app(the, secret)))


async def test_it_is_displayed_after_a_fresh_proof_of_the_app_itself(lite: The) -> None:
    anna = await lite.person()
    secret = await add_app(lite, anna)
    await policy(lite, totp_shown_again=True)
    strong = await signed_in(lite, anna, ("totp", code_of_app(lite, secret)))
    lite.clock.forward(301)
    before = await lite.everything(but=("session", "carrier", "person"))
    stale = await me(lite, "POST", "totp/show", strong)
    assert (stale.status_code, code_of(stale)) == (401, "insufficient_user_authentication")
    assert "urn:passgate:aal2" in stale.headers["www-authenticate"]
    assert await lite.everything(but=("session", "carrier", "person")) == before
    handle = await step_up(lite, strong)
    await prove_each(lite, handle, ("password", anna.password))
    assert code_of(await lite.finish(handle)) == "proof_missing"
    await prove_each(lite, handle, ("totp", code_of_app(lite, secret)))
    fresh = Person(anna.email, anna.password, token_of(await lite.finish(handle)))
    assert (await me(lite, "POST", "totp/show", fresh)).status_code == 200


async def test_a_backup_code_displays_no_app(lite: The) -> None:
    """Else one code that somebody found would be a copy of the app for good."""
    anna = await lite.person()
    secret = await add_app(lite, anna)
    [code, *_] = await add_codes(lite, anna)
    await policy(lite, totp_shown_again=True)
    lite.clock.forward(3600)
    finder = await signed_in(lite, anna, ("recovery_code", code))
    refused = await me(lite, "POST", "totp/show", finder)
    assert (refused.status_code, code_of(refused)) == (401, "insufficient_user_authentication")
    assert "account:factor:displayed" not in await lite.events()
    assert (await me(lite, "POST", "recovery-codes", finder)).status_code == 201, "all else counts it as fresh"
    owner = await signed_in(lite, anna, ("totp", code_of_app(lite, secret)))
    assert (await me(lite, "POST", "totp/show", owner)).status_code == 200


async def test_a_proof_of_the_app_before_displays_none_that_replaced_it(lite: The) -> None:
    anna = await lite.person()
    secret = await add_app(lite, anna)
    await policy(lite, totp_shown_again=True)
    one = await signed_in(lite, anna, ("totp", code_of_app(lite, secret)))
    lite.clock.forward(totp.PERIOD)
    other = await signed_in(lite, anna, ("totp", code_of_app(lite, secret)))
    await add_app(lite, other)
    assert code_of(await me(lite, "POST", "totp/show", one)) == "insufficient_user_authentication"
    assert (await me(lite, "POST", "totp/show", other)).status_code == 200


async def test_without_an_app_there_is_nothing_to_show(lite: The) -> None:
    """Neither one that waits for its first code, nor one that was removed, nor somebody else's."""
    anna, bert = await lite.person(), await lite.person("bert@example.com")
    await policy(lite, totp_shown_again=True)
    await me(lite, "POST", "totp", anna)
    assert code_of(await me(lite, "POST", "totp/show", anna)) == "not_found"
    await add_app(lite, anna)
    assert code_of(await me(lite, "POST", "totp/show", bert)) == "not_found"
    assert (await me(lite, "DELETE", "totp", anna)).status_code == 204
    assert code_of(await me(lite, "POST", "totp/show", anna)) == "not_found"
    assert "account:factor:displayed" not in await lite.events()
