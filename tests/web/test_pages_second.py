"""Signing in with more than a password, on pages: passkeys, codes of an app, recovery codes, mailed codes, remembered
browsers, and factors that must be set up first. No script runs: the tests send what it would send.

Not here: how each factor decides (the contract and tests/core), and a person's list of factors (test_pages_factors).
"""

from __future__ import annotations

import json

import pytest

from passgate.store.tables import carrier, credential, sign_in
from tests.authenticator import Authenticator
from tests.kit import PASSWORD, The
from tests.web.browsing import SAME, Page, app, browser, led, outcome, rule

EMAIL = "anna@example.com"


async def amr(the: The) -> list[str]:
    """The `amr` of the newest carrier."""
    return [str(word) for word in json.loads((await the.rows(carrier))[-1]["amr"])]


# -- passkeys --------------------------------------------------------------------------------------


async def test_up_and_in_with_a_passkey_alone(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna, browser(lite) as again:
        await anna.page("/signup")
        begun = await anna.send("/signup", email=EMAIL, decision="passkey")
        assert led(begun) == "/signin/email-code"
        assert led(await anna.send("/signin/email-code", code=await lite.code(EMAIL))) == "/signin/passkey"
        assert (await anna.page("/signin/passkey")).name == "signin-passkey"
        assert led(await anna.use(phone, "/signin/passkey")) == "/account/recovery-codes"
        assert (await anna.page("/account/password")).name == "account-password"
        assert led(await again.use(phone, "/signin")) == "/account"
        assert (await again.page("/account")).name == "account"
    assert await amr(lite) == ["pop", "user"]


async def test_looking_at_the_first_page_begins_nothing_and_its_script_one_sign_in(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.page("/signin")
        assert await lite.rows(sign_in) == []
        for _ in range(3):
            options, _ = await anna.options("/signin")
            assert options["allowCredentials"] == []
        assert len(await lite.rows(sign_in)) == 1
        await anna.send("/signin", email=EMAIL)
        assert len(await lite.rows(sign_in)) == 2
        assert (await anna.page("/signin/password")).name == "signin-password"
        # The first page accepts the passkey of any person, so its script starts one sign-in without an address.
        await anna.options("/signin")
        assert len(await lite.rows(sign_in)) == 3
        assert (await anna.page("/signin/password")).name == "signin", "without an address there is no password"


async def test_options_for_the_sign_in_that_runs(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        assert led(await anna.use(phone, "/account/passkeys/new")) == "/account/recovery-codes?done=passkey"
        await other.send("/signin", email=EMAIL)
        before = len(await lite.rows(sign_in))
        assert led(await other.use(phone, "/signin/password")) == "/account"
        assert len(await lite.rows(sign_in)) == before


@pytest.mark.parametrize("answer", ["", "{", "[]", '"text"', "null", "{}", '{"id":1}', '{"a":1,"a":2}', "[" * 40])
async def test_an_answer_that_is_none_is_a_wrong_one(lite: The, answer: str) -> None:
    await lite.person()
    async with browser(lite) as anna:
        await anna.send("/signin", email=EMAIL)
        _, form = await anna.options("/signin/passkey")
        sent = await anna.http.post(form.action, data={**form.fields, "answer": answer})
        assert outcome(sent) == (403, "signin-passkey", "proof_refused")
    assert (await lite.events())[-1] == "signin:passkey:refused"
    [row] = [row for row in await lite.rows(sign_in) if row["purpose"] == "signin"]
    assert row["refused"] == 1


async def test_a_lie_is_refused_in_place_and_the_truth_opens(lite: The) -> None:
    phone = Authenticator(be=False, bs=False, counter=5, step=1)
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await anna.use(phone, "/account/passkeys/new")
        await other.send("/signin", email=EMAIL)
        for lie in ({"uv": False}, {"be": True, "bs": True}, {"counter": 3}, {"origin": "https://evil.example"}):
            refused = await other.use(phone, "/signin/passkey", **lie)
            assert outcome(refused) == (403, "signin-passkey", "proof_refused"), lie
        assert "passkey_counter" in [mail["kind"] for mail in await lite.mails(EMAIL)]
        assert led(await other.use(phone, "/signin/passkey")) == "/account"


async def test_too_long_an_answer(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.send("/signin", email=EMAIL)
        sent = await anna.http.post("/signin/passkey", data={"answer": "a" * 60_001}, headers=SAME)
        assert outcome(sent) == (422, "signin-passkey", "invalid")


async def test_where_no_passkeys_are_wanted_none_are_offered(lite: The) -> None:
    await rule(lite, first=["password"])
    async with browser(lite) as anna:
        page = await anna.page("/signin")
        assert page.actions == {"/signin"}
        assert not [link for link in page.links if "passkey" in link]
        sent = await anna.http.post("/signin/passkey/options", headers=SAME)
        assert outcome(sent) == (409, "error", "factor_not_offered")
        assert "decision" not in (await anna.page("/signup")).forms[0].names
        refused = await anna.http.post("/signup", data={"email": EMAIL, "decision": "passkey"}, headers=SAME)
        assert outcome(refused) == (422, "signup", "invalid")
    assert await lite.rows(sign_in) == []


async def test_where_only_passkeys_are_wanted(lite: The) -> None:
    phone = Authenticator()
    await rule(lite, first=["passkey"])
    async with browser(lite) as anna, browser(lite) as other:
        assert "password" not in (await anna.page("/signup")).forms[0].names
        await anna.send("/signup", email=EMAIL)
        assert led(await anna.send("/signin/email-code", code=await lite.code(EMAIL))) == "/signin/passkey"
        assert led(await anna.use(phone, "/signin/passkey")) == "/account/recovery-codes"
        assert led(await other.send("/signin", email=EMAIL)) == "/signin/passkey"
        assert led(await other.use(phone, "/signin/passkey")) == "/account"


async def test_whoever_wants_a_password_after_all(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.page("/signup")
        await anna.send("/signup", email=EMAIL, decision="passkey")
        await anna.send("/signin/email-code", code=await lite.code(EMAIL))
        assert "/signin/password" in (await anna.page("/signin/passkey")).links
        assert (await anna.page("/signin/password")).name == "new-password"
        assert led(await anna.send("/signin/password", new_password=PASSWORD)) == "/account"


# -- codes of an app and recovery codes ------------------------------------------------------------


async def test_password_and_app(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        secret = await anna.add_app()
        assert led(await other.give_password()) == "/signin/totp"
        page = await other.page("/signin/totp")
        assert (page.name, page.forms[0].names) == ("signin-totp", {"csrf_token", "code", "remember"})
        assert "/recover" in page.links
        wrong = await other.send("/signin/totp", code="000000")
        assert outcome(wrong) == (403, "signin-totp", "proof_refused")
        assert (await other.page("/account")).name == "signin"
        await other.give_password()
        code = app(lite, secret)
        assert led(await other.send("/signin/totp", code=f"{code[:3]} {code[3:]}")) == "/account"
    assert await amr(lite) == ["pwd", "otp"]


async def test_the_phone_is_lost(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await anna.add_app()
        codes = await anna.add_codes()
        assert len(codes) == 10
        assert led(await other.give_password()) == "/signin/totp"
        assert "/signin/recovery-code" in (await other.page("/signin/totp")).links
        wrong = await other.send("/signin/recovery-code", code="abcd-efgh-ijkl-mnop")
        assert outcome(wrong) == (403, "signin-recovery-code", "proof_refused")
        assert codes[0] not in wrong.text
        assert led(await other.send("/signin/recovery-code", code=codes[0].upper())) == "/account"
        assert "recovery_code_used" in {mail["kind"] for mail in await lite.mails(EMAIL)}
        assert (await other.page("/account/factors")).name == "account-factors"
    async with browser(lite) as third:
        await third.give_password()
        again = await third.send("/signin/recovery-code", code=codes[0])
        assert outcome(again) == (403, "signin-recovery-code", "proof_refused")


async def test_a_passkey_as_the_second_step(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await anna.use(phone, "/account/passkeys/new")
        assert led(await other.give_password()) == "/signin/passkey"
        options, _ = await other.options("/signin/passkey")
        assert len(options["allowCredentials"]) == 1
        assert led(await other.use(phone, "/signin/passkey", remember=True)) == "/account"
        assert other.http.cookies.get("passgate_browser")


async def test_a_mailed_code_as_the_second_step(lite: The) -> None:
    """The code is mailed when the previous form is sent, not when its page is opened."""
    await rule(lite, second="always", second_among=["email_code"], remember_days=30)
    async with browser(lite) as anna:
        await anna.send("/signup", email=EMAIL, password=PASSWORD)
        await anna.send("/signin/email-code", code=await lite.code(EMAIL))
    async with browser(lite) as other:
        before = len(await lite.mails(EMAIL))
        assert led(await other.give_password()) == "/signin/email-code"
        assert len(await lite.mails(EMAIL)) == before + 1
        for _ in range(2):
            assert (await other.page("/signin/email-code")).name == "signin-email-code"
        assert len(await lite.mails(EMAIL)) == before + 1
        done = await other.send("/signin/email-code", code=await lite.code(EMAIL), remember="1")
        assert led(done) == "/account"
    assert await amr(lite) == ["pwd", "otp"]


async def test_a_mailed_code_instead_of_an_app(lite: The) -> None:
    await rule(lite, second_among=["totp", "email_code"])
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await anna.add_app()
        before = len(await lite.mails(EMAIL))
        assert led(await other.give_password()) == "/signin/totp"
        assert len(await lite.mails(EMAIL)) == before
        sent = await other.send("/signin/email-code/again", at="/signin/totp")
        assert led(sent) == "/signin/email-code?again=1"
        assert led(await other.send("/signin/email-code", code=await lite.code(EMAIL))) == "/account"


async def test_the_page_of_a_code_that_was_not_sent(lite: The) -> None:
    """Opened by its address it says no untruth, but leads to where a code can be asked for; for an unknown address
    too."""
    await lite.person(EMAIL)
    await rule(lite, first=["password", "email_code"])
    for email in (EMAIL, "nobody@example.com"):
        async with browser(lite) as anna:
            assert led(await anna.send("/signin", email=email)) == "/signin/password"
            opened = await anna.get("/signin/email-code")
            assert (opened.status_code, led(opened)) == (303, "/signin/password")
            await anna.send("/signin/email-code/again", at="/signin/password")
            assert (await anna.page("/signin/email-code")).name == "signin-email-code"
            lite.clock.forward(660)
            assert (await anna.page("/signin/email-code")).name == "signin-email-code", "it was sent, and is too old"


async def test_two_tabs_never_mix(lite: The) -> None:
    """A form of one sign-in leads to where the other one stands, which the browser has begun since; what was typed is
    compared with nobody's password, and costs no try."""
    for email in (EMAIL, "ben@example.com"):
        await lite.person(email)
    async with browser(lite) as anna:
        await anna.send("/signin", email=EMAIL)
        [form] = [one for one in (await anna.page("/signin/password")).forms if one.action == "/signin/password"]
        await anna.send("/signin", email="ben@example.com")
        before = await lite.everything()
        late = await anna.http.post("/signin/password", data={**form.fields, "password": PASSWORD}, headers=SAME)
        assert (late.status_code, led(late)) == (303, "/signin/password")
        assert await lite.everything() == before
        assert "ben@example.com" in (await anna.get("/signin/password")).text
        assert led(await anna.send("/signin/password", password=PASSWORD)) == "/account"
        assert (await lite.session(anna.session)).json()["user"]["email"] == "ben@example.com"
        over = await anna.http.post("/signin/password", data={**form.fields, "password": PASSWORD}, headers=SAME)
        assert (over.status_code, led(over)) == (303, "/signin"), "which says who is signed in by now"


async def test_a_mailed_code_alone_where_a_tenant_wants_that(lite: The) -> None:
    await lite.person()
    await rule(lite, first=["email_code"])
    async with browser(lite) as anna:
        assert led(await anna.send("/signin", email=EMAIL)) == "/signin/email-code"
        assert (await lite.mails(EMAIL))[0]["kind"] == "signin_code"
        assert led(await anna.send("/signin/email-code", code=await lite.code(EMAIL))) == "/account"


# -- remembered browsers ---------------------------------------------------------------------------


async def test_a_remembered_browser(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        secret = await anna.add_app()
        await other.give_password()
        assert led(await other.send("/signin/totp", code=app(lite, secret), remember="1")) == "/account"
        assert led(await other.give_password()) == "/account", "no second step"
        assert await amr(lite) == ["pwd"]
        lite.clock.forward(301)
        assert led(await other.send("/account/confirm", at="/account/password")) == "/signin/password"
        assert led(await other.send("/signin/password", password=PASSWORD)) == "/signin/totp", "a step-up asks all"
        assert "remember" not in (await other.page("/signin/totp")).forms[0].names
        lite.clock.forward(30)
        assert led(await other.send("/signin/totp", code=app(lite, secret))) == "/account/password"
        assert led(await other.send("/account/password", new_password="another long password")) == (
            "/account/password?done=password"
        )
        again = await other.give_password(password="another long password")
        assert led(again) == "/signin/totp", "forgotten with the old password"


@pytest.mark.parametrize("changes", [{"remember_days": 0}, {"least_acr": "urn:passgate:aal2"}])
async def test_where_no_browser_is_remembered_nobody_is_asked(lite: The, changes: dict[str, object]) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        secret = await anna.add_app()
        await rule(lite, **changes)
        await other.give_password()
        assert "remember" not in (await other.page("/signin/totp")).forms[0].names
        done = await other.http.post("/signin/totp", data={"code": app(lite, secret), "remember": "1"}, headers=SAME)
        assert led(done) == "/account"
        assert other.http.cookies.get("passgate_browser") is None


async def test_a_check_mark_is_one(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        secret = await anna.add_app()
        await other.give_password()
        odd = await other.http.post("/signin/totp", data={"code": app(lite, secret), "remember": "yes"}, headers=SAME)
        assert outcome(odd) == (422, "signin-totp", "invalid")


# -- factors that must be set up first -------------------------------------------------------------


async def test_a_second_step_that_everybody_needs(lite: The) -> None:
    await lite.person()
    await rule(lite, second="always")
    async with browser(lite) as anna, browser(lite) as other:
        assert led(await anna.give_password()) == "/signin/email-code", "a password alone adds nothing"
        assert led(await anna.send("/signin/email-code", code=await lite.code(EMAIL))) == "/signin/totp"
        before = await lite.everything()
        page = await anna.page("/signin/totp")
        assert (page.name, page.actions) == ("signin-totp", {"/signin/totp"})
        assert (await anna.page("/signin/totp")).secret == page.secret
        assert await lite.everything() == before, "a GET changes nothing"
        wrong = await anna.send("/signin/totp", code="000000")
        assert outcome(wrong) == (403, "signin-totp", "proof_refused")
        assert Page(wrong.text).secret == page.secret
        assert led(await anna.send("/signin/totp", code=app(lite, page.secret))) == "/account/recovery-codes"
        lite.clock.forward(30)
        assert led(await other.give_password()) == "/signin/totp"
        assert (await other.page("/signin/totp")).codes == []
        assert led(await other.send("/signin/totp", code=app(lite, page.secret))) == "/account"


async def test_a_passkey_instead_of_the_app(lite: The) -> None:
    await lite.person()
    await rule(lite, second="always")
    phone = Authenticator()
    async with browser(lite) as anna:
        await anna.give_password()
        await anna.send("/signin/email-code", code=await lite.code(EMAIL))
        assert "/signin/passkey" in (await anna.page("/signin/totp")).links
        options, _ = await anna.options("/signin/passkey")
        assert options["rp"]["id"] == "localhost"
        assert "/signin/totp/offer" in (await anna.page("/signin/passkey")).actions
        first = (await anna.page("/signin/totp")).secret
        assert led(await anna.send("/signin/totp/offer", at="/signin/passkey")) == "/signin/totp"
        assert (await anna.page("/signin/totp")).secret != first
        assert led(await anna.use(phone, "/signin/passkey")) == "/account/recovery-codes"
    assert [row["kind"] for row in await lite.rows(credential) if not row["revoked_at"]] == ["password", "passkey"]


async def test_one_lands_where_one_wanted_to_go_after_setting_up(lite: The) -> None:
    await lite.person()
    await rule(lite, second="always")
    async with browser(lite) as anna:
        await anna.http.post("/signin?return_to=/account/sessions", data={"email": EMAIL}, headers=SAME)
        await anna.send("/signin/password", password=PASSWORD)
        await anna.send("/signin/email-code", code=await lite.code(EMAIL))
        secret = (await anna.page("/signin/totp")).secret
        assert led(await anna.send("/signin/totp", code=app(lite, secret))) == "/account/sessions"


async def test_pages_of_ways_that_are_not_asked_for_lead_on(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.send("/signin", email=EMAIL)
        for path in ("/signin/totp", "/signin/recovery-code", "/signin/email-code"):
            assert led(await anna.get(path)) == "/signin/password"
            assert led(await anna.http.post(path, data={"code": "123456"}, headers=SAME)) == "/signin/password"
        for path in ("/signin/totp/offer", "/signin/email-code/again"):
            assert led(await anna.http.post(path, headers=SAME)) == "/signin/password"
        assert led(await anna.get("/recover/waiting")) == "/signin"
