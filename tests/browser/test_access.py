"""Every page in every state: axe finds nothing, light and dark, on a phone and on a desk; nothing sticks out sideways.
And the whole way by keyboard alone. The list is held against the route table, so that no page can stay away.

What the pages do is told in test_stories; that no hue breaks the contrast, in tests/web.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from sqlalchemy import update

from passgate.store.tables import session
from passgate.web.pages.page import is_page
from passgate.world import SECOND
from tests.browser.person import DESKTOP, PHONE, House, Person
from tests.house.reference import doors
from tests.kit import OTHER_PASSWORD, PASSWORD
from tests.processes import Deployment

# Besides what axe asks by itself: targets of a decent size (WCAG 2.2, 2.5.8).
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
# For whoever wants to look at them: a folder for a picture of each page, in each state, size and scheme.
PICTURES = os.environ.get("PASSGATE_PICTURES")
Way = Callable[[Person], Awaitable[Any]]


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


LEADS_ON = {"/login", "/.well-known/change-password", "/account/address/undo/{token}"}


async def test_every_page_has_its_stop(served: Deployment) -> None:
    pages = {door.path for door in doors(served.inside) if door.method == "GET" and is_page(door.path)}
    assert {stop.route for stop in STOPS} == pages - LEADS_ON


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
async def test_axe_finds_nothing(house: House, stop: Stop) -> None:
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
    for size in (DESKTOP, PHONE):
        await anna.page.set_viewport_size(size)  # type: ignore[arg-type]
        for colours in ("light", "dark"):
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


# -- by keyboard alone -----------------------------------------------------------------------------


async def tab_to(anna: Person, **wanted: str) -> None:
    """Press Tab until the focus is there; wherever it rests on the way, it is seen."""
    for _ in range(25):
        await anna.page.keyboard.press("Tab")
        focused = await anna.focused()
        if focused["tag"] == "body":  # around the end of the page
            continue
        assert focused["ring"], focused
        if all(focused[name] == value for name, value in wanted.items()):
            return
    raise AssertionError(f"no way to {wanted} by Tab")


async def entered(anna: Person) -> str:
    async with anna.page.expect_navigation():
        await anna.page.keyboard.press("Enter")
    return await anna.where()


async def typed(anna: Person, field: str, text: str) -> None:
    """Type where the focus is; no Tab is needed to get to the field one came for."""
    assert (await anna.focused())["name"] == field
    await anna.page.keyboard.type(text)


async def test_by_keyboard_alone(house: House, js: bool) -> None:
    """Up, out, in after a wrong password, a new name, another session ended, and out: Tab and Enter do."""
    anna, other = await house.person(js=js), await house.person(js=js)
    other.email = anna.email
    await anna.open("/signin")
    await tab_to(anna, href="/signup")
    assert await entered(anna) == "signup"
    await typed(anna, "email", anna.email)
    await tab_to(anna, name="password")
    await typed(anna, "password", "password" * 3)
    assert await entered(anna) == "signup:password_refused"
    assert (await anna.focused())["code"] == "password_refused"
    await tab_to(anna, name="email")
    await tab_to(anna, name="password")
    await anna.page.keyboard.type(PASSWORD)
    assert await entered(anna) == "signin-email-code"
    await typed(anna, "code", await anna.face.code(anna.email))
    assert await entered(anna) == "account"
    await tab_to(anna, href="/signout")
    assert await entered(anna) == "signout"
    await tab_to(anna, tag="button")
    assert await entered(anna) == "signout"
    await tab_to(anna, href="/signin")
    assert await entered(anna) == "signin"
    await typed(anna, "email", anna.email)
    assert await entered(anna) == "signin-password"
    await typed(anna, "password", OTHER_PASSWORD)
    assert await entered(anna) == "signin-password:proof_refused"
    await tab_to(anna, name="password")
    await anna.page.keyboard.type(PASSWORD)
    assert await entered(anna) == "account"
    await tab_to(anna, name="name")
    await anna.page.keyboard.type("Anna")
    await tab_to(anna, tag="button")
    assert await entered(anna) == "account"
    await other.sign_in()
    await tab_to(anna, href="/account/sessions")
    assert await entered(anna) == "account-sessions"
    await tab_to(anna, action="/account/sessions")
    assert await entered(anna) == "account-sessions"
    assert await other.open("/account") == "signin"


async def test_recovery_a_new_address_and_leaving_by_keyboard_alone(house: House, js: bool) -> None:
    """The rest of the way: a forgotten password, another address and back, the data taken along, and gone."""
    anna = await house.person(js=js)
    await anna.exist()
    await anna.open("/signin")
    await typed(anna, "email", anna.email)
    assert await entered(anna) == "signin-password"
    await tab_to(anna, href="/recover")
    assert await entered(anna) == "recover"
    await tab_to(anna, tag="button")
    assert await entered(anna) == "signin-email-code"
    await tab_to(anna, name="code")
    await anna.page.keyboard.type(await anna.code())
    assert await entered(anna) == "new-password"
    await tab_to(anna, name="new_password")
    await anna.page.keyboard.type(OTHER_PASSWORD)
    assert await entered(anna) == "account"
    await tab_to(anna, href="/account/address")
    assert await entered(anna) == "account-address"
    await tab_to(anna, name="email")
    new = f"new-{anna.email}"
    await anna.page.keyboard.type(new)
    assert await entered(anna) == "account-address-code"
    await typed(anna, "code", await anna.code(new))
    assert await entered(anna) == "account"
    await tab_to(anna, href="/account/export")
    assert await entered(anna) == "account-export"
    await tab_to(anna, action="/account/export")
    async with anna.page.expect_download():
        await anna.page.keyboard.press("Enter")
    await tab_to(anna, href="/account/delete")
    assert await entered(anna) == "account-delete"
    await tab_to(anna, action="/account/delete")
    assert await entered(anna) == "signout"


async def test_the_way_back_to_an_address_by_keyboard_alone(house: House, js: bool) -> None:
    anna = await house.person(js=js)
    await anna.be_signed_in()
    old, new = anna.email, f"new-{anna.email}"
    await anna.open("/account/address")
    await anna.send("/account/address", email=new)
    await anna.send("/account/address/code", code=await anna.code(new))
    await anna.page.goto((await anna.face.mails_of(old, "address_changed"))[0]["link"])
    await tab_to(anna, action="/account/address/undo")
    assert await entered(anna) == "recover"


async def test_showing_a_password_by_keyboard(house: House) -> None:
    """The one thing the script adds: a button after the field, which is sent hidden all the same."""
    anna = await house.person()
    await anna.exist()
    await anna.open("/signin")
    await anna.send("/signin", email=anna.email)
    await typed(anna, "password", PASSWORD)
    await anna.page.keyboard.press("Tab")
    assert (await anna.focused())["kind"] == "button"
    await anna.page.keyboard.press("Enter")
    assert await anna.focused() | {"ring": ""} == await anna.focused() | {
        "ring": "",
        "name": "password",
        "kind": "text",
    }
    assert await entered(anna) == "account"
