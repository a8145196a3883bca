"""How a person in a real browser gets to the pages before there is a session, and to other pages outside the account,
in each state.

What the page then shows is in `pages` and `factors`; pages of the account are in `stops_account`.
"""

from __future__ import annotations

from passgate.app import Passgate
from passgate.core import installation, signin
from passgate.core.ctx import Ctx
from tests import operating
from tests.browser.device import Device, Pocket, codes, with_app
from tests.browser.person import Person
from tests.kit import PASSWORD, settings_for
from tests.web.browsing import rule


async def first(anna: Person) -> None:
    await anna.open("/signup")


async def weak(anna: Person) -> None:
    await anna.open("/signup")
    await anna.send("/signup", email=anna.email, password="password" * 3)


async def open_page(anna: Person) -> None:
    await anna.open("/signin")


async def already_in(anna: Person) -> None:
    await anna.open("/signin")


async def no_address(anna: Person) -> None:
    await anna.open("/signin")
    await anna.send("/signin", email="anna..k@example.com")


async def password(anna: Person) -> None:
    await anna.open("/signin")
    await anna.send("/signin", email=anna.email)


async def step_up(anna: Person) -> None:
    await anna.open("/account/password")
    await anna.send("/account/confirm")


async def sent_again(anna: Person) -> None:
    await anna.open("/signup")
    await anna.send("/signup", email=anna.email, password=PASSWORD)
    await anna.send("/signin/email-code/again")


async def lost(anna: Person) -> None:
    await anna.open("/recover")


async def mailed(anna: Person) -> None:
    await anna.open("/recover")
    await anna.send("/recover", email=anna.email)


async def lost_no_address(anna: Person) -> None:
    await anna.open("/recover")
    await anna.send("/recover", email="anna..k@example.com")


async def new_password(anna: Person) -> None:
    await mailed(anna)
    await anna.send("/signin/email-code", code=await anna.face.code(anna.email, "recovery_code"))


async def weak_new_password(anna: Person) -> None:
    await new_password(anna)
    await anna.send("/signin/password", new_password="password" * 3)


async def to_second(anna: Person) -> None:
    """A pending sign-in after the password, with every kind of second factor to choose from."""
    await rule(anna.face, second_among=["passkey", "totp", "recovery_code", "email_code"])
    await with_app(anna)
    await with_passkey(anna)
    await codes(anna)
    await anna.page.context.clear_cookies()
    await anna.sign_in()


async def with_passkey(anna: Person) -> Device:
    """Adds a passkey on a phone that is then taken out of reach; otherwise autofill would sign in before anything is
    typed."""
    phone = await Pocket(anna.page).device()
    await anna.open("/account/passkeys/new")
    await anna.press("form[data-passkey] button")
    await phone.present(is_there=False)
    return phone


async def app_code(anna: Person) -> None:
    await to_second(anna)


async def app_to_set_up(anna: Person) -> None:
    await rule(anna.face, second="always")
    await anna.sign_in()
    await anna.send("/signin/email-code", code=await anna.face.code(anna.email, "signin_code"))


async def recovery_code(anna: Person) -> None:
    await to_second(anna)
    await anna.open("/signin/recovery-code")


async def passkey(anna: Person) -> None:
    await to_second(anna)
    await anna.open("/signin/passkey")


async def no_passkey(anna: Person) -> None:
    """The page after an empty answer was sent and refused."""
    await password(anna)
    await anna.open("/signin/passkey")
    await anna.page.evaluate("document.querySelector('form[data-passkey]').submit()")
    await anna.page.locator("[role=alert]").wait_for()


async def passkey_to_make(anna: Person) -> None:
    await anna.open("/signup")
    await anna.page.fill("input[name=email]", anna.email)
    await anna.press("button[name=decision]")
    await anna.send("/signin/email-code", code=await anna.face.code(anna.email))


async def mailed_as_second(anna: Person) -> None:
    await to_second(anna)
    await anna.send("/signin/email-code/again")


async def waiting(anna: Person) -> None:
    """A recovery with the wait of production, where a lost factor is released only after a day."""
    await with_app(anna)
    await mailed(anna)
    await anna.send("/signin/email-code", code=await anna.face.code(anna.email, "recovery_code"))
    found = await anna.page.context.cookies()
    [handle] = [str(cookie.get("value")) for cookie in found if cookie.get("name") == "passgate_signin"]
    gate = Passgate(settings_for(anna.face.gate.settings.data, recovery={"wait": "24h"}))
    await installation.load(gate.services)
    await signin.prove(Ctx(gate.services), handle, "password", PASSWORD)
    await gate.close()
    await anna.open("/recover/waiting")


async def link(anna: Person) -> None:
    made = await operating.signin_link(Ctx(anna.face.gate.services), anna.email, "main")
    await anna.open("/signin/link/" + made.url.rpartition("/")[2])


async def mailed_link(anna: Person) -> None:
    await mailed(anna)
    found = await anna.face.mails_of(anna.email, "recovery_code")
    await anna.open("/signin/link/" + found[0]["link"].rpartition("/")[2])


async def no_link(anna: Person) -> None:
    await anna.open("/signin/link/nonsense")


async def stop_link(anna: Person) -> None:
    await link(anna)
    mail = (await anna.face.mails_of(anna.email, "signin_link"))[0]
    await anna.open("/recover/stop/" + mail["link"].rpartition("/")[2])


async def stopped(anna: Person) -> None:
    await stop_link(anna)
    await anna.send("/recover/stop")


async def leave(anna: Person) -> None:
    await anna.open("/signout")


async def left(anna: Person) -> None:
    await anna.open("/signout")


async def nowhere(anna: Person) -> None:
    await anna.open("/account/nowhere")


async def too_late(anna: Person) -> None:
    await password(anna)
    await anna.page.context.clear_cookies()
    await anna.send("/signin/password", password=PASSWORD)


async def mailbox(anna: Person) -> None:
    await anna.open("/dev/mail")
    await anna.page.click("summary >> nth=0")
