"""A second step in a real browser: an app that scans the QR code on the screen, recovery codes, mailed codes, a
remembered browser, a second factor that everybody must set up, a step-up, a lost phone.

Not here: every refusal (tests/web), and passkeys (test_passkeys).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update

from passgate.core.ctx import Ctx
from passgate.store.tables import credential
from tests import operating
from tests.browser.conftest import Rule
from tests.browser.device import App, codes, with_app
from tests.browser.person import BrowserSite, Person
from tests.browser.test_access import age_proofs
from tests.kit import OTHER_PASSWORD, PASSWORD


async def time_passes(site: BrowserSite) -> None:
    """Make the current code of every app usable again, as if a time step had passed."""
    async with site.deployment.inside.services.store.write() as db:
        await db.change(update(credential).where(credential.c.kind == "totp").values(counter=0))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def out(anna: Person) -> None:
    await anna.open("/signout")
    assert await anna.send("/signout") == "signout"


async def test_password_and_app(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.be_signed_in()
    app = await with_app(anna)
    await time_passes(site)
    await out(anna)
    assert await anna.sign_in() == "signin-totp"
    assert (await anna.focused())["name"] == "code"
    assert await anna.send("/signin/totp", code="000000") == "signin-totp:proof_refused"
    code = app.code()
    assert await anna.send("/signin/totp", code=f"{code[:3]} {code[3:]}") == "account"


async def test_a_dark_room(site: BrowserSite) -> None:
    """The QR code is dark on light in the dark scheme too, because cameras require that."""
    anna = await site.person(color_scheme="dark", viewport={"width": 360, "height": 800})
    await anna.be_signed_in()
    await with_app(anna)


async def test_the_phone_is_lost(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.be_signed_in()
    await with_app(anna)
    saved = await codes(anna)
    async with anna.page.expect_download() as taking:
        await anna.page.click("a[download]")
    file = await taking.value
    assert file.suggested_filename == "recovery-codes.txt"
    assert [line for line in lines(await file.path()) if line in saved] == saved
    assert len(saved) == 10
    await out(anna)
    assert await anna.sign_in() == "signin-totp"
    assert await anna.press('a[href="/signin/recovery-code"]') == "signin-recovery-code"
    assert await anna.send("/signin/recovery-code", code=saved[0].upper().replace("-", " ")) == "account"
    await out(anna)
    await anna.sign_in()
    await anna.press('a[href="/signin/recovery-code"]')
    assert await anna.send("/signin/recovery-code", code=saved[0]) == "signin-recovery-code:proof_refused"


async def test_phone_and_codes_are_lost(site: BrowserSite, js: bool) -> None:
    """The mailed code and the password replace both; in development, recovery has no waiting time."""
    anna = await site.person(js=js)
    await anna.be_signed_in()
    await with_app(anna)
    await codes(anna)
    await out(anna)
    assert await anna.sign_in() == "signin-totp"
    assert await anna.press('a[href="/recover"]') == "recover"
    assert await anna.send("/recover", email=anna.email) == "signin-email-code"
    assert await anna.send("/signin/email-code", code=await anna.code()) == "signin-totp"
    assert await anna.press('.ways a[href="/signin/password"]') == "signin-password"
    assert await anna.send("/signin/password", password=PASSWORD) == "account"
    await out(anna)
    assert await anna.sign_in() == "account"


async def test_a_mailed_code_as_the_second_step(site: BrowserSite, js: bool, rules: Rule) -> None:
    anna = await site.person(js=js)
    await anna.exist()
    await rules(second="always", second_among=["email_code"])
    assert await anna.sign_in() == "signin-email-code"
    await anna.face.mails_of(anna.email, "signin_code")
    assert await anna.send("/signin/email-code", code="00000000") == "signin-email-code:proof_refused"
    assert await anna.send("/signin/email-code", code=await anna.code()) == "account"


async def test_a_remembered_browser(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.be_signed_in()
    app = await with_app(anna)
    await out(anna)
    await time_passes(site)
    assert await anna.sign_in() == "signin-totp"
    await anna.page.check("input[name=remember]")
    assert await anna.send("/signin/totp", code=app.code()) == "account"
    await out(anna)
    assert await anna.sign_in() == "account", "no second step here"
    assert await anna.open("/account/recovery-codes") == "account-recovery-codes"
    assert await anna.send("/account/confirm") == "signin-password"
    assert await anna.send("/signin/password", password=PASSWORD) == "signin-totp", "a step-up asks all the same"
    await time_passes(site)
    assert await anna.send("/signin/totp", code=app.code()) == "account-recovery-codes"
    await anna.open("/account/password")
    assert await anna.send("/account/password", new_password=OTHER_PASSWORD) == "account-password"
    await out(anna)
    assert await anna.sign_in(OTHER_PASSWORD) == "signin-totp", "forgotten with the old password"


async def test_a_second_step_that_everybody_needs(site: BrowserSite, js: bool, rules: Rule) -> None:
    anna = await site.person(js=js)
    await anna.exist()
    await rules(second="always")
    assert await anna.sign_in() == "signin-email-code"
    assert await anna.send("/signin/email-code", code=await anna.code()) == "signin-totp"
    app = await App.scan(anna.page.locator("[role=img]"))
    assert await anna.send("/signin/totp", code="000000") == "signin-totp:proof_refused"
    assert await anna.send("/signin/totp", code=app.code()) == "account-recovery-codes"
    await out(anna)
    await time_passes(site)
    assert await anna.sign_in() == "signin-totp"
    assert await anna.page.locator("[role=img]").count() == 0
    assert await anna.send("/signin/totp", code=app.code()) == "account"


async def test_a_step_up_in_the_account(site: BrowserSite, js: bool) -> None:
    anna = await site.person(js=js)
    await anna.be_signed_in()
    app = await with_app(anna)
    await time_passes(site)
    await age_proofs(site)
    assert await anna.open("/account/totp/remove") == "account-totp-remove"
    assert await anna.send("/account/confirm") == "signin-password"
    assert await anna.send("/signin/password", password=PASSWORD) == "signin-totp"
    assert await anna.send("/signin/totp", code=app.code()) == "account-totp-remove"
    assert await anna.send("/account/totp/remove") == "account-factors"


async def test_a_link_from_an_operator(site: BrowserSite, js: bool) -> None:
    anna, owner = await site.person(js=js), await site.person(js=js)
    await anna.exist()
    made = await operating.signin_link(Ctx(site.deployment.inside.services), anna.email, "main")
    await anna.open("/signin/link/" + made.url.rpartition("/")[2])
    assert (await anna.where(), anna.path) == ("signin-link", "/signin/link"), "no secret stays in sight"
    assert await anna.press('button[value="signin"]') == "account"
    made = await operating.signin_link(Ctx(site.deployment.inside.services), anna.email, "main")
    mail = (await anna.face.mails_of(anna.email, "signin_link", 2))[0]
    await owner.open("/recover/stop/" + mail["link"].rpartition("/")[2])
    assert (await owner.where(), owner.path) == ("recover-stop", "/recover/stop")
    assert await owner.send("/recover/stop") == "recover-stop"
    await anna.open("/signin/link/" + made.url.rpartition("/")[2])
    assert await anna.where() == "signin-link:handle_invalid", "stopped"
