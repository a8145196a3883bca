"""Invited people in a real Chromium, with and without scripts: from the mail into the account, in a browser of their
own, in one where somebody else is signed in, and by keyboard alone.

Not here: what an invitation gives to whom, which is in tests/web.
"""

from __future__ import annotations

from dataclasses import replace

from passgate.core.ctx import Ctx
from tests import operating
from tests.browser.person import BrowserSite, Person
from tests.browser.test_keyboard import tab_to, typed
from tests.kit import PASSWORD


async def opened(who: Person) -> str:
    """An admin invites them, and they open the link of the mail; the page's name."""
    boss = await who.face.person(f"boss-{who.email}")
    await operating.give_role(Ctx(who.face.gate.services), boss.email, "admin", "main")
    body = {"email": who.email, "roles": ["admin", "user"]}
    made = await who.face.http.post("/api/v1/invitations", json=body, headers=boss.auth)
    assert made.status_code == 201, made.text
    [mail] = await who.face.mails_of(who.email, "invitation")
    return await who.open("/invitation/" + mail["link"].rpartition("/")[2])


async def test_somebody_new(site: BrowserSite, js: bool) -> None:
    ben = await site.person(js=js)
    assert await opened(ben) == "invitation"
    assert ben.path == "/invitation", "the secret has left the address"
    assert f"boss-{ben.email}" in await ben.page.locator("[data-inviter]").inner_text()
    assert await ben.page.locator("[data-whose]").inner_text() == f"{ben.email[0]}…@example.com"
    assert await ben.send("/invitation") == "signin-passkey"
    assert await ben.press('a[href="/signin/password"]') == "new-password"
    assert await ben.send("/signin/password", new_password="password" * 3) == "new-password:password_refused"
    assert await ben.send("/signin/password", new_password=PASSWORD) == "account"
    assert await ben.whose() == ben.email
    assert await ben.open("/invitation") == "invitation:invitation_invalid"
    await ben.page.context.clear_cookies()
    assert await ben.sign_in() == "account"


async def test_while_somebody_else_is_signed_in(site: BrowserSite, js: bool) -> None:
    """Their session is not joined; it ends when the invited person is in."""
    anna = await site.person(js=js)
    await anna.be_signed_in()
    ben = replace(anna, email=f"ben-{anna.email}")
    assert await opened(ben) == "invitation"
    assert anna.email in await ben.page.locator("[data-other]").inner_text()
    await ben.send("/invitation")
    assert await anna.whose() == anna.email
    await ben.open("/signin/password")
    assert await ben.send("/signin/password", new_password=PASSWORD) == "account"
    assert await ben.whose() == ben.email
    assert await ben.open("/signin") == "signin"
    assert ben.email in await ben.page.locator("main").inner_text()


async def test_somebody_who_has_an_account(site: BrowserSite, js: bool) -> None:
    ben = await site.person(js=js)
    await ben.exist()
    assert await opened(ben) == "invitation"
    assert await ben.send("/invitation") == "signin-password"
    assert await ben.send("/signin/password", password=f"{PASSWORD} not") == "signin-password:proof_refused"
    assert await ben.send("/signin/password", password=PASSWORD) == "account"
    [token] = [one["value"] for one in await ben.page.context.cookies() if one["name"] == "passgate_session"]
    assert (await ben.face.session(str(token))).json()["user"]["roles"] == ["admin", "user"]


async def test_by_keyboard_alone(site: BrowserSite, js: bool) -> None:
    ben = await site.person(js=js)
    await opened(ben)
    await tab_to(ben, tag="button")
    assert await ben.enter() == "signin-passkey"
    await tab_to(ben, href="/signin/password")
    assert await ben.enter() == "new-password"
    await typed(ben, "new_password", PASSWORD)
    assert await ben.enter() == "account"
