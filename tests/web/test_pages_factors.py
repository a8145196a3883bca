"""A person's own factors on the account pages: passkeys, the app, recovery codes, remembered browsers; and what
requires a fresh proof, which has to be at the person's own level.

Not here: signing in with them, which is in test_pages_second.
"""

from __future__ import annotations

from urllib.parse import unquote

from passgate.store.tables import credential
from tests.authenticator import Authenticator
from tests.kit import OTHER_PASSWORD, PASSWORD, The
from tests.web.browsing import SAME, Browser, Page, app, browser, led, outcome, rule

EMAIL = "anna@example.com"


async def live(the: The) -> list[str]:
    return [str(row["kind"]) for row in await the.rows(credential) if not row["revoked_at"]]


async def labels(anna: Browser) -> list[str]:
    """The labels of all passkeys, newest first."""
    displayed = await anna.http.get("/api/v1/me/passkeys")
    return [row["label"] for row in displayed.json()["items"]]


async def ids(anna: Browser) -> list[str]:
    return [row["id"] for row in (await anna.http.get("/api/v1/me/passkeys")).json()["items"]]


# -- passkeys --------------------------------------------------------------------------------------


async def test_passkeys_come_are_named_and_go(lite: The) -> None:
    phone, key = Authenticator(), Authenticator(be=False, bs=False)
    async with browser(lite) as anna:
        await anna.sign_up()
        assert (await anna.page("/account/factors")).name == "account-factors"
        assert led(await anna.use(phone, "/account/passkeys/new")) == "/account/recovery-codes?done=passkey"
        assert (await anna.page("/account/recovery-codes?done=passkey")).name == "account-recovery-codes"
        assert led(await anna.use(key, "/account/passkeys/new")) == "/account/factors?done=passkey"
        await anna.add_codes()
        newest, oldest = await ids(anna)
        named = await anna.send(f"/account/passkeys/{newest}", label="  My   <key> ")
        assert led(named) == "/account/factors?done=renamed"
        assert (await labels(anna))[0] == "My <key>"
        page = await anna.get("/account/factors")
        assert "My &lt;key&gt;" in page.text and "My <key>" not in page.text
        assert (await anna.page(f"/account/passkeys/{newest}/remove")).name == "account-passkey-remove"
        assert led(await anna.send(f"/account/passkeys/{newest}/remove")) == "/account/factors?done=removed"
        assert await ids(anna) == [oldest]
        gone = await anna.http.post(f"/account/passkeys/{newest}/remove", headers=SAME)
        assert outcome(gone) == (404, "error", "not_found")
        assert outcome(await anna.get(f"/account/passkeys/{newest}")) == (404, "error", "not_found")


async def test_the_last_way_in_stays(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna:
        await anna.page("/signup")
        await anna.send("/signup", email=EMAIL, decision="passkey")
        await anna.send("/signin/email-code", code=await lite.code(EMAIL))
        await anna.use(phone, "/signin/passkey")
        [only] = await ids(anna)
        stored = await anna.send(f"/account/passkeys/{only}/remove")
        assert outcome(stored) == (409, "account-passkey-remove", "conflict")
        assert await ids(anna) == [only]
        assert (
            led(await anna.send("/account/password", new_password=OTHER_PASSWORD)) == "/account/password?done=password"
        )
        assert led(await anna.send(f"/account/passkeys/{only}/remove")) == "/account/factors?done=removed"


async def test_after_a_change_the_other_sessions_can_be_ended(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as elsewhere:
        await anna.sign_up()
        await elsewhere.sign_in()
        assert "/account/sessions" not in (await anna.page("/account/factors")).actions
        done = led(await anna.use(Authenticator(), "/account/passkeys/new"))
        assert done == "/account/recovery-codes?done=passkey"
        assert "/account/sessions" in (await anna.page(done)).actions
        await anna.send("/account/sessions")
        assert led(await elsewhere.get("/account")).startswith("/signin")


async def test_bad_names_and_wrong_answers(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna:
        await anna.sign_up()
        assert outcome(await anna.use(phone, "/account/passkeys/new", uv=False)) == (
            403,
            "account-passkey-new",
            "proof_refused",
        )
        broken = await anna.http.post("/account/passkeys", data={"answer": "[]"}, headers=SAME)
        assert outcome(broken) == (403, "account-passkey-new", "proof_refused")
        await anna.use(phone, "/account/passkeys/new")
        [mine] = await ids(anna)
        for label in ("", "   ", "x" * 61, "x" * 300):
            refused = await anna.send(f"/account/passkeys/{mine}", label=label)
            assert outcome(refused) == (422, "account-passkey", "invalid"), label
            assert Page(refused.text).marked == {"label"}


async def test_somebody_elses_passkey_is_not_found(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna, browser(lite) as ben:
        await anna.sign_up()
        await anna.use(phone, "/account/passkeys/new")
        await ben.sign_up("ben@example.com")
        [hers] = await ids(anna)
        for path in (f"/account/passkeys/{hers}", f"/account/passkeys/{hers}/remove"):
            assert outcome(await ben.get(path)) == (404, "error", "not_found")
            form = {"label": "mine"} if not path.endswith("remove") else {}
            assert outcome(await ben.http.post(path, data=form, headers=SAME)) == (404, "error", "not_found")
        assert await ids(anna) == [hers]


# -- the app and recovery codes --------------------------------------------------------------------


async def test_an_app_comes_is_replaced_and_goes(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        assert (await anna.page("/account/totp")).actions == {"/account/totp/offer", "/account/confirm"}
        assert led(await anna.send("/account/totp/offer", at="/account/totp")) == "/account/totp"
        before = await lite.everything()
        first = (await anna.page("/account/totp")).secret
        assert (await anna.page("/account/totp")).secret == first
        assert await lite.everything(but=("session",)) == {k: v for k, v in before.items() if k != "session"}
        wrong = await anna.send("/account/totp", code="000000")
        assert outcome(wrong) == (403, "account-totp", "proof_refused")
        assert Page(wrong.text).secret == first
        assert led(await anna.send("/account/totp", code=app(lite, first))) == "/account/recovery-codes?done=totp"
        await anna.add_codes()
        lite.clock.forward(30)
        second = await anna.add_app()
        assert second != first
        assert (await live(lite)).count("totp") == 1
        assert (await anna.page("/account/totp/remove")).name == "account-totp-remove"
        assert led(await anna.send("/account/totp/remove")) == "/account/factors?done=no-totp"
        assert await live(lite) == ["password"], "the recovery codes went too"
        missing = await anna.http.post("/account/totp/remove", headers=SAME)
        assert outcome(missing) == (404, "account-totp-remove", "not_found")


async def test_an_app_that_counts_at_once(lite: The) -> None:
    await rule(lite, totp_at_once=True)
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        displayed = await anna.send("/account/totp/offer", at="/account/totp")
        assert outcome(displayed) == (200, "account-totp", "")
        await other.give_password()
        assert led(await other.send("/signin/totp", code=app(lite, Page(displayed.text).secret))) == "/account"


async def test_recovery_codes_are_displayed_once(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        await anna.add_app()
        displayed = await anna.send("/account/recovery-codes")
        assert outcome(displayed) == (200, "account-recovery-codes", "")
        codes = Page(displayed.text).codes
        assert len(set(codes)) == 10
        [file] = [given for tag, given in Page(displayed.text).tags if tag == "a" and "download" in given]
        assert file["download"] == "recovery-codes.txt"
        kind, _, text = file["href"].partition(",")
        assert kind == "data:text/plain;charset=utf-8"
        assert [line for line in unquote(text).splitlines() if line in codes] == codes
        for path in ("/account/recovery-codes", "/account/factors"):
            assert codes[0] not in (await anna.get(path)).text
        assert await anna.add_codes() != codes


# -- remembered browsers ---------------------------------------------------------------------------


async def test_remembered_browsers_are_listed_and_forgotten(lite: The) -> None:
    async with browser(lite) as anna:
        await anna.sign_up()
        secret = await anna.add_app()
        for _ in range(2):
            async with browser(lite) as other:
                await other.give_password()
                await other.send("/signin/totp", code=app(lite, secret), remember="1")
            lite.clock.forward(30)
        page = await anna.page("/account/factors")
        [one, _] = sorted(action for action in page.actions if action.startswith("/account/browsers/"))
        assert "/account/browsers" in page.actions
        assert led(await anna.send(one, at="/account/factors")) == "/account/factors?done=browser"
        assert (await live(lite)).count("browser") == 1
        again = await anna.http.post(one, headers=SAME)
        assert outcome(again) == (404, "account-factors", "not_found")
        assert led(await anna.http.post("/account/browsers", headers=SAME)) == "/account/factors?done=browsers"
        assert "browser" not in await live(lite)


# -- a fresh proof ---------------------------------------------------------------------------------


async def test_every_change_wants_a_fresh_proof(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna:
        await anna.sign_up()
        secret = await anna.add_app()
        await anna.use(phone, "/account/passkeys/new")
        [mine] = await ids(anna)
        paths = [
            "/account/passkeys/new",
            f"/account/passkeys/{mine}",
            f"/account/passkeys/{mine}/remove",
            "/account/totp",
            "/account/totp/remove",
            "/account/recovery-codes",
            "/account/password",
            "/account/address",
            "/account/delete",
        ]
        lite.clock.forward(400)
        before = await live(lite)
        for path in paths:
            page = await anna.page(path)
            assert [form.action for form in page.forms] == [f"/account/confirm?return_to={path}"], path
        actions = {
            f"/account/passkeys/{mine}": {"label": "x"},
            f"/account/passkeys/{mine}/remove": {},
            "/account/totp/offer": {},
            "/account/totp": {"code": "123456"},
            "/account/totp/remove": {},
            "/account/recovery-codes": {},
            "/account/passkeys": {"answer": "{}"},
        }
        for path, form in actions.items():
            assert led(await anna.http.post(path, data=form, headers=SAME)) == "/signin/password", path
        late = await anna.http.post("/account/passkeys/options", headers=SAME)
        assert outcome(late) == (401, "error", "insufficient_user_authentication")
        assert await live(lite) == before
        assert led(await anna.send("/account/confirm", at=f"/account/passkeys/{mine}")) == "/signin/password"
        assert led(await anna.send("/signin/password", password=PASSWORD)) == "/signin/totp"
        assert led(await anna.send("/signin/totp", code=app(lite, secret))) == f"/account/passkeys/{mine}"


async def test_a_step_up_goes_to_ones_own_level_and_back(lite: The) -> None:
    async with browser(lite) as anna, browser(lite) as other:
        await anna.sign_up()
        await other.sign_in()
        secret = await anna.add_app()
        # The other browser has just proved a password alone, which is not enough now that there is an app.
        page = await other.page("/account/recovery-codes")
        assert page.actions == {"/account/confirm"}
        assert led(await other.send("/account/confirm", at="/account/recovery-codes")) == "/signin/password"
        proved = await other.http.post("/signin/password", data={"password": PASSWORD}, headers=SAME)
        assert led(proved) == "/signin/totp"
        assert led(await other.send("/signin/totp", code=app(lite, secret))) == "/account/recovery-codes"
        assert (await other.page("/account/recovery-codes")).actions == {"/account/recovery-codes"}


async def test_whoever_has_no_password_confirms_with_the_passkey(lite: The) -> None:
    phone = Authenticator()
    async with browser(lite) as anna:
        await anna.page("/signup")
        await anna.send("/signup", email=EMAIL, decision="passkey")
        await anna.send("/signin/email-code", code=await lite.code(EMAIL))
        await anna.use(phone, "/signin/passkey")
        lite.clock.forward(400)
        assert led(await anna.send("/account/confirm", at="/account/password")) == "/signin/passkey"
        assert led(await anna.use(phone, "/signin/passkey")) == "/account/password"
        assert (await anna.page("/account/password")).actions == {"/account/password"}
        assert "/account/password" in (await anna.page("/account/factors")).links
