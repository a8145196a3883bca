"""Every page in every state: axe finds nothing, light and dark, on a phone and on a desk; nothing sticks out sideways.
The list is held against the route table, so that no page can stay away.

What the pages do is told in test_stories; that no hue breaks the contrast, in tests/web.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from sqlalchemy import update

from passgate.app import Passgate
from passgate.core import operate, signin
from passgate.core.ctx import Ctx
from passgate.store.tables import session
from passgate.web.pages.page import is_page
from passgate.world import SECOND
from tests.browser.device import Device, Pocket, codes, with_app
from tests.browser.person import DESKTOP, PHONE, House, Person
from tests.house.reference import doors
from tests.kit import OTHER_PASSWORD, PASSWORD, settings_for
from tests.processes import Deployment
from tests.web.browsing import rule

# Besides what axe asks by itself: targets of a decent size (WCAG 2.2, 2.5.8).
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
TWO: Views = ((DESKTOP, "light"), (PHONE, "dark"))
FOUR: Views = (*TWO, (DESKTOP, "dark"), (PHONE, "light"))
"""Both sizes and both schemes are in the two; the long tests look at the other pairs as well."""
# For whoever wants to look at them: a folder for a picture of each page, in each state, size and scheme.
PICTURES = os.environ.get("PASSGATE_PICTURES")
Way = Callable[[Person], Awaitable[Any]]
Views = tuple[tuple[dict[str, int], Literal["light", "dark"]], ...]


@dataclass(frozen=True)
class Stop:
    """A page in one state: its route, what `Person.where` says there, and how one gets there."""

    route: str
    where: str
    way: Way
    by_whom: str = "guest"

    @property
    def name(self) -> str:
        return f"{self.where.replace(':', '-')}-{self.by_whom}-{self.way.__name__.strip('_')}"


STOPS: list[Stop] = []


def stop(route: str, where: str, by_whom: str = "guest") -> Callable[[Way], Way]:
    """`by_whom`: a `guest`; a `person` who has an account; a `member` who is signed in; one who is `stale`."""

    def keep(way: Way) -> Way:
        STOPS.append(Stop(route, where, way, by_whom))
        return way

    return keep


# -- in --------------------------------------------------------------------------------------------


@stop("/signup", "signup")
async def first(anna: Person) -> None:
    await anna.open("/signup")


@stop("/signup", "signup:password_refused")
async def weak(anna: Person) -> None:
    await anna.open("/signup")
    await anna.send("/signup", email=anna.email, password="password" * 3)


@stop("/signin", "signin")
async def look(anna: Person) -> None:
    await anna.open("/signin")


@stop("/signin", "signin", "member")
async def already_in(anna: Person) -> None:
    await anna.open("/signin")


@stop("/signin", "signin:invalid")
async def no_address(anna: Person) -> None:
    await anna.open("/signin")
    await anna.send("/signin", email="anna..k@example.com")


@stop("/signin/password", "signin-password")
async def password(anna: Person) -> None:
    await anna.open("/signin")
    await anna.send("/signin", email=anna.email)


@stop("/signin/password", "signin-password:proof_refused")
async def wrong_password(anna: Person) -> None:
    await anna.sign_in(OTHER_PASSWORD)


@stop("/signin/password", "signin-password", "stale")
async def step_up(anna: Person) -> None:
    await anna.open("/account/password")
    await anna.send("/account/confirm")


@stop("/signin/email-code", "signin-email-code")
async def sent_again(anna: Person) -> None:
    await anna.open("/signup")
    await anna.send("/signup", email=anna.email, password=PASSWORD)
    await anna.send("/signin/email-code/again")


@stop("/signin/email-code", "signin-email-code:proof_refused")
async def wrong_code(anna: Person) -> None:
    await anna.open("/recover")
    await anna.send("/recover", email=anna.email)
    await anna.send("/signin/email-code", code="1234 5678")


@stop("/recover", "recover")
async def lost(anna: Person) -> None:
    await anna.open("/recover")


@stop("/recover", "recover:invalid")
async def lost_no_address(anna: Person) -> None:
    await anna.open("/recover")
    await anna.send("/recover", email="anna..k@example.com")


@stop("/signin/password", "new-password", "person")
async def new_password(anna: Person) -> None:
    await anna.open("/recover")
    await anna.send("/recover", email=anna.email)
    await anna.send("/signin/email-code", code=await anna.face.code(anna.email, "recovery_code"))


@stop("/signin/password", "new-password:password_refused", "person")
async def weak_new_password(anna: Person) -> None:
    await new_password(anna)
    await anna.send("/signin/password", new_password="password" * 3)


# -- more than a password --------------------------------------------------------------------------


async def to_second(anna: Person) -> None:
    """Half signed in, with every kind of second step."""
    await rule(anna.face, second_among=["passkey", "totp", "recovery_code", "email_code"])
    await with_app(anna)
    await with_passkey(anna)
    await codes(anna)
    await anna.page.context.clear_cookies()
    await anna.sign_in()


async def with_passkey(anna: Person) -> Device:
    """On a phone that then lies out of reach, or autofill would be quicker than anybody types."""
    phone = await Pocket(anna.page).device()
    await anna.open("/account/passkeys/new")
    await anna.press("form[data-passkey] button")
    await phone.present(is_there=False)
    return phone


@stop("/signin/totp", "signin-totp", "member")
async def app_code(anna: Person) -> None:
    await to_second(anna)


@stop("/signin/totp", "signin-totp:proof_refused", "member")
async def wrong_app_code(anna: Person) -> None:
    await to_second(anna)
    await anna.send("/signin/totp", code="000000")


@stop("/signin/totp", "signin-totp", "person")
async def app_to_set_up(anna: Person) -> None:
    await rule(anna.face, second="always")
    await anna.sign_in()


@stop("/signin/recovery-code", "signin-recovery-code", "member")
async def recovery_code(anna: Person) -> None:
    await to_second(anna)
    await anna.open("/signin/recovery-code")


@stop("/signin/passkey", "signin-passkey", "member")
async def passkey(anna: Person) -> None:
    await to_second(anna)
    await anna.open("/signin/passkey")


@stop("/signin/passkey", "signin-passkey:proof_refused", "person")
async def no_passkey(anna: Person) -> None:
    """Of somebody else, and refused."""
    await password(anna)
    await anna.open("/signin/passkey")
    await anna.page.evaluate("document.querySelector('form[data-passkey]').submit()")
    await anna.page.locator("[role=alert]").wait_for()


@stop("/signin/passkey", "signin-passkey")
async def passkey_to_make(anna: Person) -> None:
    await anna.open("/signup")
    await anna.page.fill("input[name=email]", anna.email)
    await anna.press("button[name=decision]")
    await anna.send("/signin/email-code", code=await anna.face.code(anna.email))


@stop("/signin/email-code", "signin-email-code", "member")
async def mailed_as_second(anna: Person) -> None:
    await to_second(anna)
    await anna.send("/signin/email-code/again")


@stop("/recover/waiting", "recover-waiting", "member")
async def waiting(anna: Person) -> None:
    """As in production, where a lost factor is not gone at once."""
    await with_app(anna)
    await anna.open("/recover")
    await anna.send("/recover", email=anna.email)
    await anna.send("/signin/email-code", code=await anna.face.code(anna.email, "recovery_code"))
    found = await anna.page.context.cookies()
    [handle] = [str(cookie.get("value")) for cookie in found if cookie.get("name") == "passgate_signin"]
    gate = Passgate(settings_for(anna.face.gate.settings.data, recovery={"wait": "24h"}))
    await signin.prove(Ctx(gate.house), handle, "password", PASSWORD)
    await gate.close()
    await anna.open("/recover/waiting")


@stop("/signin/link", "signin-link", "person")
async def link(anna: Person) -> None:
    made = await operate.signin_link(Ctx(anna.face.gate.house), anna.email, "main")
    await anna.open("/signin/link/" + made.url.rpartition("/")[2])


@stop("/signin/link", "signin-link:handle_invalid")
async def no_link(anna: Person) -> None:
    await anna.open("/signin/link/nonsense")


@stop("/recover/stop", "recover-stop", "person")
async def stop_link(anna: Person) -> None:
    await link(anna)
    mail = (await anna.face.mails_of(anna.email, "signin_link"))[0]
    await anna.open("/recover/stop/" + mail["link"].rpartition("/")[2])


@stop("/recover/stop", "recover-stop", "person")
async def stopped(anna: Person) -> None:
    await stop_link(anna)
    await anna.send("/recover/stop")


# -- the account -----------------------------------------------------------------------------------


@stop("/account", "account", "member")
async def named(anna: Person) -> None:
    await anna.open("/account")
    await anna.send("/account", name="Anna Kowalska-Ødegård")


@stop("/account/password", "account-password", "member")
async def own_password(anna: Person) -> None:
    await anna.open("/account/password")


@stop("/account/password", "account-password", "stale")
async def own_password_unproved(anna: Person) -> None:
    await anna.open("/account/password")


@stop("/account/password", "account-password:password_refused", "member")
async def own_password_weak(anna: Person) -> None:
    await anna.open("/account/password")
    await anna.send("/account/password", new_password="password" * 3)


@stop("/account/factors", "account-factors", "member")
async def no_factors(anna: Person) -> None:
    await anna.open("/account/factors")


@stop("/account/factors", "account-factors", "member")
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


@stop("/account/passkeys/new", "account-passkey-new", "member")
async def new_passkey(anna: Person) -> None:
    await anna.open("/account/passkeys/new")


@stop("/account/passkeys/new", "account-passkey-new", "stale")
async def new_passkey_unproved(anna: Person) -> None:
    await anna.open("/account/passkeys/new")


@stop("/account/passkeys/{id}", "account-passkey", "member")
async def own_passkey(anna: Person) -> None:
    await with_passkey(anna)
    await anna.open("/account/factors")
    await anna.press('.rows a:not([href$="/remove"])')


@stop("/account/passkeys/{id}/remove", "account-passkey-remove", "member")
async def passkey_leaving(anna: Person) -> None:
    await with_passkey(anna)
    await anna.open("/account/factors")
    await anna.press('.rows a[href$="/remove"]')


@stop("/account/totp", "account-totp", "member")
async def new_app(anna: Person) -> None:
    await anna.open("/account/totp")
    await anna.send("/account/totp/offer")


@stop("/account/totp", "account-totp", "member")
async def another_app(anna: Person) -> None:
    await with_app(anna)
    await anna.open("/account/totp")


@stop("/account/totp/remove", "account-totp-remove", "member")
async def app_leaving(anna: Person) -> None:
    await with_app(anna)
    await anna.open("/account/totp/remove")


@stop("/account/recovery-codes", "account-recovery-codes", "member")
async def no_codes(anna: Person) -> None:
    await with_app(anna)


@stop("/account/recovery-codes", "account-recovery-codes", "member")
async def ten_codes(anna: Person) -> None:
    await codes(anna)


@stop("/account/sessions", "account-sessions", "member")
async def sessions(anna: Person) -> None:
    await anna.sign_in()
    await anna.open("/account/sessions")


@stop("/account/sessions", "account-sessions", "member")
async def sessions_ended(anna: Person) -> None:
    await sessions(anna)
    await anna.send("/account/sessions")


@stop("/account/activity", "account-activity", "member")
async def activity(anna: Person) -> None:
    await anna.open("/account/activity")


@stop("/account/export", "account-export", "member")
async def own_data(anna: Person) -> None:
    await anna.open("/account/export")


@stop("/account/delete", "account-delete", "member")
async def leaving(anna: Person) -> None:
    await anna.open("/account/delete")


@stop("/account/delete", "account-delete", "stale")
async def leaving_unproved(anna: Person) -> None:
    await anna.open("/account/delete")


@stop("/account/address", "account-address", "stale")
async def moving_unproved(anna: Person) -> None:
    await anna.open("/account/address")


@stop("/account/address", "account-address:invalid", "member")
async def moving_nowhere(anna: Person) -> None:
    await anna.open("/account/address")
    await anna.send("/account/address", email="anna..k@example.com")


@stop("/account/address/code", "account-address-code", "member")
async def moving(anna: Person) -> None:
    await anna.open("/account/address")
    await anna.send("/account/address", email=f"new-{anna.email}")


@stop("/account/address/code", "account-address-code:proof_refused", "member")
async def moving_refused(anna: Person) -> None:
    await moving(anna)
    await anna.send("/account/address/code", code="00000000")


@stop("/account/address/undo", "account-undo", "member")
async def taking_back(anna: Person) -> None:
    await moving(anna)
    code = await anna.face.code(f"new-{anna.email}", "address_code")
    await anna.send("/account/address/code", code=code)
    await anna.page.goto((await anna.face.mails_of(anna.email, "address_changed"))[0]["link"])


@stop("/account/address/undo", "account-undo:handle_invalid", "member")
async def taken_back(anna: Person) -> None:
    await anna.open("/account/address/undo/nonsense")


# -- out, and beside the way -----------------------------------------------------------------------


@stop("/signout", "signout", "member")
async def leave(anna: Person) -> None:
    await anna.open("/signout")


@stop("/signout", "signout")
async def left(anna: Person) -> None:
    await anna.open("/signout")


@stop("/account", "error:not_found")
async def nowhere(anna: Person) -> None:
    await anna.open("/account/nowhere")


@stop("/signin/password", "error:handle_invalid")
async def too_late(anna: Person) -> None:
    await password(anna)
    await anna.page.context.clear_cookies()
    await anna.send("/signin/password", password=PASSWORD)


@stop("/dev/mail", "dev-mail", "person")
async def mailbox(anna: Person) -> None:
    await anna.open("/dev/mail")
    await anna.page.click("summary >> nth=0")


LEADS_ON = {"/login", "/.well-known/change-password", "/account/address/undo/{token}", "/signin/link/{token}",
            "/recover/stop/{token}"}  # fmt: skip


async def test_every_page_has_its_stop(served: Deployment) -> None:
    pages = {door.path for door in doors(served.inside) if door.method == "GET" and is_page(door.path)}
    assert {stop.route for stop in STOPS} == pages - LEADS_ON


@pytest.mark.parametrize("views", [pytest.param(TWO, id="two"), pytest.param(FOUR, id="four", marks=pytest.mark.soak)])
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
@pytest.mark.usefixtures("rules")
async def test_axe_finds_nothing(house: House, stop: Stop, views: Views) -> None:
    anna = await house.person()
    if stop.by_whom == "person":
        await anna.exist()
    elif stop.by_whom != "guest":
        await anna.be_signed_in()
    if stop.by_whom == "stale":
        await age_proofs(house)
    await stop.way(anna)
    assert await anna.where() == stop.where
    await anna.page.evaluate(AXE_SCRIPT)
    for size, colours in views:
        await anna.page.set_viewport_size(size)  # type: ignore[arg-type]
        await anna.page.emulate_media(color_scheme=colours)
        seen = f"{stop.name}-{size['width']}-{colours}"
        if PICTURES:
            await anna.page.screenshot(path=Path(PICTURES) / f"{seen}.png", full_page=True)
        violations = await anna.page.evaluate("async (options) => (await axe.run(options)).violations", OPTIONS)
        assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in violations] == [], seen
        assert await anna.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, seen


async def age_proofs(house: House) -> None:
    """Everybody proved themselves a while ago."""
    inside = house.deployment.inside
    async with inside.house.store.write() as db:
        await db.change(update(session).values(auth_time=session.c.auth_time - 400 * SECOND))
