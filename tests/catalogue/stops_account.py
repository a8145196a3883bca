"""How a person in a real browser gets to the pages of their account, in each state.

What the page then shows is in `pages`.
"""

from __future__ import annotations

from sqlalchemy import update

from passgate.core import budgets
from passgate.core.budgets import Kind
from passgate.core.ctx import Ctx
from passgate.core.throttle import NEVER
from passgate.store.tables import budget, person
from tests.browser.device import codes, with_app
from tests.browser.person import Person
from tests.catalogue.stops_signin import with_passkey
from tests.kit import PASSWORD, handle_of
from tests.web.browsing import rule


async def named(anna: Person) -> None:
    await anna.open("/account")
    await anna.send("/account", name="Anna Kowalska-Ødegård")


async def unconfirmed(anna: Person) -> None:
    """The address was set by somebody else, or is to be confirmed later."""
    async with Ctx(anna.face.gate.services).write() as db:
        theirs = update(person).where(person.c.email == anna.email)
        assert await db.change(theirs.values(email_verified_at=None)) == 1
    await anna.open("/account")


async def own_password(anna: Person) -> None:
    await anna.open("/account/password")


async def own_password_unproved(anna: Person) -> None:
    await anna.open("/account/password")


async def own_password_weak(anna: Person) -> None:
    await anna.open("/account/password")
    await anna.send("/account/password", new_password="password" * 3)


async def no_factors(anna: Person) -> None:
    await anna.open("/account/factors")


async def factors(anna: Person) -> None:
    await with_app(anna)
    phone = await with_passkey(anna)
    await codes(anna)
    await anna.page.context.clear_cookies()
    await anna.sign_in()
    await anna.press('.ways a[href="/signin/passkey"]')
    await phone.present(is_there=True)
    await anna.page.check("input[name=remember]")
    await anna.press("form[data-passkey] button")
    await anna.open("/account/factors")


async def locked(anna: Person) -> None:
    """The account page after too many wrong passwords of strangers."""
    await _lock(anna, "password")
    await anna.open("/account/factors")


async def unlocked(anna: Person) -> None:
    await locked(anna)
    await anna.send("/account/factors/unlock")


async def _lock(anna: Person, factor: str) -> None:
    ctx = Ctx(anna.face.gate.services)
    [her] = [row["id"] for row in await anna.face.rows(person) if row["email"] == anna.email]
    used = budgets.SHARES[Kind.STRANGER]
    async with ctx.write() as db:
        await db.add(budget, key=f"n:{Kind.STRANGER}:{factor}:{her}", used=used, until_at=0, expires_at=NEVER)


async def new_passkey(anna: Person) -> None:
    await anna.open("/account/passkeys/new")


async def new_passkey_unproved(anna: Person) -> None:
    await anna.open("/account/passkeys/new")


async def own_passkey(anna: Person) -> None:
    await with_passkey(anna)
    await anna.open("/account/factors")
    await anna.press('.rows a:not([href$="/remove"])')


async def passkey_leaving(anna: Person) -> None:
    await with_passkey(anna)
    await anna.open("/account/factors")
    await anna.press('.rows a[href$="/remove"]')


async def new_app(anna: Person) -> None:
    await anna.open("/account/totp")
    await anna.send("/account/totp/offer")


async def another_app(anna: Person) -> None:
    await with_app(anna)
    await anna.open("/account/totp")


async def app_again(anna: Person) -> None:
    await rule(anna.face, totp_shown_again=True)
    await with_app(anna)
    await anna.open("/account/totp")
    await anna.send("/account/totp/show")


async def mailed_codes_off(anna: Person) -> None:
    await rule(anna.face, second_among=["totp", "email_code"], mailed_second_factor="enrolled")
    await anna.open("/account/email-code")


async def mailed_codes_unproved(anna: Person) -> None:
    await mailed_codes_off(anna)


async def mailed_code_sent(anna: Person) -> None:
    await mailed_codes_off(anna)
    await anna.send("/account/email-code/send")


async def mailed_code_wrong(anna: Person) -> None:
    await mailed_code_sent(anna)
    await anna.send("/account/email-code", code="00000000")


async def mailed_codes_on(anna: Person) -> None:
    await mailed_code_sent(anna)
    await anna.send("/account/email-code", code=await anna.face.code(anna.email, "factor_code"))
    await anna.open("/account/email-code")


async def app_leaving(anna: Person) -> None:
    await with_app(anna)
    await anna.open("/account/totp/remove")


async def no_codes(anna: Person) -> None:
    await with_app(anna)


async def ten_codes(anna: Person) -> None:
    await codes(anna)


async def sessions(anna: Person) -> None:
    """She is signed in with another device too."""
    handle = handle_of(await anna.face.start(anna.email))
    await anna.face.prove(handle, "password", PASSWORD)
    assert (await anna.face.finish(handle)).status_code == 201
    await anna.open("/account/sessions")


async def sessions_ended(anna: Person) -> None:
    await sessions(anna)
    await anna.send("/account/sessions")


async def activity(anna: Person) -> None:
    await anna.open("/account/activity")


async def own_data(anna: Person) -> None:
    await anna.open("/account/export")


async def leaving(anna: Person) -> None:
    await anna.open("/account/delete")


async def leaving_unproved(anna: Person) -> None:
    await anna.open("/account/delete")


async def naming_unproved(anna: Person) -> None:
    await rule(anna.face, usernames="optional")
    await anna.open("/account/username")


async def naming_wrong(anna: Person) -> None:
    await rule(anna.face, usernames="optional")
    await anna.open("/account/username")
    await anna.send("/account/username", username="admin")


async def moving_unproved(anna: Person) -> None:
    await anna.open("/account/address")


async def moving_nowhere(anna: Person) -> None:
    await anna.open("/account/address")
    await anna.send("/account/address", email="anna..k@example.com")


async def moving(anna: Person) -> None:
    await anna.open("/account/address")
    await anna.send("/account/address", email=f"new-{anna.email}")


async def moving_refused(anna: Person) -> None:
    await moving(anna)
    await anna.send("/account/address/code", code="00000000")


async def taking_back(anna: Person) -> None:
    await moving(anna)
    code = await anna.face.code(f"new-{anna.email}", "address_code")
    await anna.send("/account/address/code", code=code)
    await anna.page.goto((await anna.face.mails_of(anna.email, "address_changed"))[0]["link"])


async def taken_back(anna: Person) -> None:
    await anna.open("/account/undo/nonsense")


async def confirming(anna: Person) -> None:
    await anna.open("/account/confirm")


async def below_the_rules(anna: Person) -> None:
    """The rules were raised while she was signed in."""
    await rule(anna.face, second="always")
    await anna.open("/account")
