"""The page behind an invitation: it opens without changing anything, says who invites, and leads on to a sign-up whose
address is proved, or to a sign-in, whoever is signed in in that browser.

Not here: what an invitation gives to whom (`test_contract_invitations`).
"""

from __future__ import annotations

import pytest

from passgate.core import invitations
from passgate.store.tables import person, role_grant, session, sign_in
from tests import operating
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.kit import PASSWORD, The
from tests.web.browsing import SAME, Browser, app, browser, led, outcome, rule

EMAIL, INVITER = "ben@example.com", "boss@office.example"


async def invited(the: The, email: str = EMAIL, *roles: str) -> str:
    """The path of the mailed link."""
    folk = Folk(the)
    known = [row["id"] for row in await the.rows(person) if row["email"] == INVITER]
    boss = await (folk.session((await folk.tenant()).id, known[0]) if known else folk.create(INVITER, "owner"))
    await invitations.create(folk.acting(boss), email, [*roles] or None)
    return str((await the.mails(email))[0]["link"]).removeprefix(the.gate.settings.url)


async def roles(the: The, email: str = EMAIL) -> list[str]:
    mine = [row["id"] for row in await the.rows(person) if row["email"] == email]
    return sorted(row["role"] for row in await the.rows(role_grant) if row["person_id"] in mine)


async def whose(the: The, who: Browser) -> str:
    return str((await the.session(who.session)).json()["user"]["email"])


async def test_somebody_new(the: The) -> None:
    path = await invited(the, EMAIL, "admin")
    async with browser(the) as ben, browser(the) as later:
        rows = await the.everything()
        assert led(await ben.get(path)) == "/invitation"
        assert (await ben.http.head(path)).status_code == 303
        text = (await ben.get("/invitation")).text
        assert "pg_inv_" not in text
        assert EMAIL not in text, "it is masked"
        assert INVITER in text
        page = await ben.page("/invitation")
        assert (page.name, page.forms[0].names) == ("invitation", {"csrf_token"})
        assert await the.everything() == rows, "a GET changes nothing"
        assert led(await ben.send("/invitation")) == "/signin/passkey"
        assert "/signin/password" in (await ben.page("/signin/passkey")).links
        assert (await ben.page("/signin/password")).name == "new-password"
        assert ben.http.cookies.get("passgate_link") is None
        await later.get(path)
        assert (await later.page("/invitation")).forms != [], "nothing is used up yet"
        assert led(await ben.send("/signin/password", new_password=PASSWORD)) == "/account"
        assert (await whose(the, ben), await roles(the)) == (EMAIL, ["admin"])
        assert [mail["kind"] for mail in await the.mails(EMAIL)] == ["invitation"]
        assert outcome(await later.get("/invitation")) == (403, "invitation", "invitation_invalid")
        again = await later.http.post("/invitation", headers=SAME)
        assert outcome(again) == (403, "invitation", "invitation_invalid")
        await later.get(path)
        assert outcome(await later.get("/invitation")) == (403, "invitation", "invitation_invalid")


async def test_with_a_passkey(lite: The) -> None:
    async with browser(lite) as ben:
        await ben.get(await invited(lite))
        await ben.send("/invitation")
        assert led(await ben.use(Authenticator(), "/signin/passkey")) == "/account/recovery-codes"
        assert (await whose(lite, ben), await roles(lite)) == (EMAIL, ["user"])


async def test_where_nothing_has_to_be_chosen(lite: The) -> None:
    path = await invited(lite)
    await rule(lite, first=["email_code"])
    async with browser(lite) as ben:
        await ben.get(path)
        assert led(await ben.send("/invitation")) == "/account"
        assert (await whose(lite, ben), await roles(lite)) == (EMAIL, ["user"])


async def test_a_form_of_another_site_accepts_nothing(lite: The) -> None:
    async with browser(lite) as ben:
        await ben.get(await invited(lite))
        refused = await ben.http.post("/invitation", headers={"sec-fetch-site": "cross-site"})
        assert (refused.status_code, outcome(refused)[2]) == (403, "csrf_refused")
        assert await lite.rows(sign_in) == []


async def test_somebody_known_signs_in(the: The) -> None:
    """The link proves nothing of that: password and app are asked for as ever."""
    async with browser(the) as ben, browser(the) as other:
        await ben.sign_up(EMAIL)
        secret = await ben.add_app()
        path = await invited(the, EMAIL, "admin")
        await other.get(path)
        assert led(await other.send("/invitation")) == "/signin/password"
        assert (await other.page("/signin/password")).name == "signin-password"
        assert led(await other.send("/signin/password", password=PASSWORD)) == "/signin/totp"
        assert await roles(the) == ["user"]
        assert led(await other.send("/signin/totp", code=app(the, secret))) == "/account"
        assert await roles(the) == ["admin", "user"]
        await other.get(path)
        assert outcome(await other.get("/invitation")) == (403, "invitation", "invitation_invalid")


async def test_who_is_signed_in_there_does_not_count(the: The) -> None:
    """Somebody else's session is not joined; it lives until the invited person is in, and is then replaced."""
    async with browser(the) as anna:
        await anna.sign_up()
        old = anna.session
        await anna.get(await invited(the, EMAIL, "admin"))
        assert "anna@example.com" in (await anna.get("/invitation")).text, "the page says who is signed in"
        assert led(await anna.send("/invitation")) == "/signin/passkey"
        assert await whose(the, anna) == "anna@example.com"
        assert led(await anna.send("/signin/password", new_password=PASSWORD)) == "/account"
        assert await whose(the, anna) == EMAIL
        assert (await the.session(old)).status_code == 401
        assert (await roles(the), await roles(the, "anna@example.com")) == (["admin"], ["user"])
        assert [row["end_reason"] for row in await the.rows(session) if row["end_reason"]] == ["replaced"]


async def test_the_same_persons_session_lives_on(the: The) -> None:
    async with browser(the) as ben:
        await ben.sign_up(EMAIL)
        before = (await the.session(ben.session)).json()["session"]["id"]
        await ben.get(await invited(the, EMAIL, "admin"))
        assert EMAIL not in (await ben.get("/invitation")).text
        assert led(await ben.send("/invitation")) == "/signin/password"
        assert await roles(the) == ["user"], "their live session is no proof"
        assert led(await ben.send("/signin/password", password=PASSWORD)) == "/account"
        found = (await the.session(ben.session)).json()
        assert (found["session"]["id"], found["user"]["roles"]) == (before, ["admin", "user"])


async def test_withdrawn_on_the_way(lite: The) -> None:
    """The inviter is disabled while the invited person chooses a password, or signs in: the same page for both, and the
    browser can begin anew."""
    folk = Folk(lite)
    await folk.create("other@office.example", "owner")
    await folk.create("known@example.com")
    paths = [await invited(lite), await invited(lite, "known@example.com", "admin")]
    async with browser(lite) as ben, browser(lite) as known:
        for who, path in zip((ben, known), paths, strict=True):
            await who.get(path)
            assert led(await who.send("/invitation")).startswith("/signin/")
        await operating.disable_person(folk.ctx, INVITER, "main")
        refused = await ben.send("/signin/password", new_password=PASSWORD)
        assert (refused.status_code, outcome(refused)[2]) == (403, "invitation_invalid")
        refused = await known.send("/signin/password", password=PASSWORD)
        assert (refused.status_code, outcome(refused)[2]) == (403, "invitation_invalid")
        assert (await roles(lite), await roles(lite, "known@example.com")) == ([], ["user"])
        await known.sign_in("known@example.com")


@pytest.mark.parametrize("path", ["/invitation", "/invitation/nonsense", "/invitation/pg_lnk_x"])
async def test_no_invitation(lite: The, path: str) -> None:
    async with browser(lite) as ben:
        page = await ben.page(path)
        assert (page.name, page.alert) == ("invitation", "invitation_invalid")
        assert page.forms == []
