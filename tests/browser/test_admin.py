"""An owner's stories on the pages of admins in a real Chromium: somebody found among 500 and managed, an invitation,
the policy and why, in both languages, on a desktop and on a narrow phone; two tabs; the back button; the keyboard.

Not here: every refusal and the resulting rows, which are in tests/web.
"""

from __future__ import annotations

import itertools

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from passgate.store.tables import person, role_grant
from tests.browser.conftest import Rule
from tests.browser.device import with_app
from tests.browser.person import DESKTOP, BrowserSite, Person
from tests.browser.test_access import OPTIONS, age_proofs
from tests.browser.test_keyboard import tab_to
from tests.catalogue.admin import become
from tests.kit import PASSWORD

NARROW = {"width": 360, "height": 740}
PEOPLE = "/admin/people"
_numbers = itertools.count()


async def _crowd(anna: Person, count: int = 500) -> None:
    """People of her tenant, whom only their addresses tell apart."""
    [row] = [row for row in await anna.face.rows(person) if row["email"] == anna.email]
    first = next(_numbers) * 10_000
    async with anna.face.gate.services.store.write() as db:
        for number in range(first, first + count):
            address = f"crowd{number:06}@example.com"
            more = {"profile": "{}", "created_at": 1, "updated_at": 1, "email": address, "email_key": address}
            await db.add(person, id=f"{number:08}-1111-7000-8000-000000000000", tenant_id=row["tenant_id"], **more)


async def _is_readable(anna: Person) -> None:
    """On every page: axe finds nothing, nothing overflows sideways, and there is one heading of the first level."""
    page = anna.page
    await page.evaluate(AXE_SCRIPT)
    violations = await page.evaluate("async (options) => (await axe.run(options)).violations", OPTIONS)
    assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in violations] == [], page.url
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, page.url
    assert await page.locator("h1").count() == 1, page.url


async def _roles(anna: Person, of: Person) -> set[str]:
    rows = await anna.face.rows(person)
    [her] = [row["id"] for row in rows if row["email"] == of.email]
    return {row["role"] for row in await anna.face.rows(role_grant) if row["person_id"] == her}


async def _find(anna: Person, ben: Person) -> str:
    """From the account over the list to his page; its path."""
    await anna.open("/account")
    assert await anna.press('a[href="/admin"]') == "admin-people"
    assert await anna.page.locator(".rows li").count() == 20
    await anna.page.fill("#search", ben.email)
    assert await anna.press(".find button") == "admin-people"
    assert await anna.page.locator(".rows li").count() == 1
    assert await anna.press(".rows a") == "admin-person"
    return anna.path


@pytest.mark.parametrize(
    ("language", "size", "scripts"),
    [
        pytest.param("en-GB", DESKTOP, True, id="en", marks=pytest.mark.soak),
        pytest.param("de-DE", NARROW, True, id="de"),
        pytest.param("en-GB", NARROW, False, id="no-scripts"),
    ],
)
async def test_an_owner_manages(
    site: BrowserSite, rules: Rule, language: str, size: dict[str, int], scripts: bool
) -> None:
    anna = await site.person(locale=language, viewport=size, js=scripts)
    ben = await site.person()
    await anna.be_signed_in()
    await ben.be_signed_in()
    await with_app(ben)
    await become(anna)
    await _crowd(anna)
    anna.habit = _is_readable if scripts else anna.habit
    at = await _find(anna, ben)

    assert await anna.press(f'form[action="{at}/disable"] button') == "admin-person"
    assert await ben.open("/account") == "signin"
    assert await anna.press(f'form[action="{at}/enable"] button') == "admin-person"

    await anna.page.select_option("#role", "admin")
    assert await anna.press(f'form[action="{at}/roles"] button') == "admin-person"
    assert await _roles(anna, ben) == {"user", "admin"}
    assert await anna.press(f'form[action="{at}/roles/admin/remove"] button') == "admin-person"
    assert await _roles(anna, ben) == {"user"}

    assert await anna.press(f'form[action="{at}/sign-out"] button') == "admin-person"
    assert await anna.press(f'a[href="{at}/reset"]') == "admin-person-reset"
    assert await anna.press(f'form[action="{at}/reset"] button') == "admin-person"
    assert await ben.sign_in() == "account", "without the app that was reset"

    await age_proofs(site)
    assert await anna.press(f'form[action="{at}/sign-out"] button') == "signin-password"
    assert await anna.send("/signin/password", password=PASSWORD) == "admin-person"
    assert anna.path == at, "where she was"
    assert await anna.press(f'form[action="{at}/sign-out"] button') == "admin-person"
    assert await ben.open("/account") == "signin"

    assert await anna.press('nav a[href="/admin/invitations"]') == "admin-invitations"
    new = f"new-{anna.email}"
    assert await anna.send("/admin/invitations", email=new) == "admin-invitations"
    assert (await anna.face.mails_of(new, "invitation"))[0]["link"]
    assert await anna.press(f'.rows li:has-text("{new}") form button') == "admin-invitations"
    assert await anna.page.locator(".rows li", has_text=new).count() == 0

    assert await anna.press('nav a[href="/admin/policy"]') == "admin-policy"
    await anna.page.fill("#remember_days", "7")
    assert await anna.press('form[action="/admin/policy"] button') == "admin-policy"
    assert await anna.page.input_value("#remember_days") == "7"
    assert await anna.press('a[href="/admin/policy/why"]') == "admin-policy-why"
    assert await anna.send("/admin/policy/why", who=ben.email) == "admin-policy-why"
    assert await anna.page.locator("[data-decision=need]").is_visible()
    await rules()


async def test_two_tabs_and_somebody_deleted_in_between(site: BrowserSite) -> None:
    anna, ben = await site.person(), await site.person()
    await anna.be_signed_in()
    await ben.be_signed_in()
    await become(anna)
    await anna.open(f"{PEOPLE}?search={ben.email}")
    assert await anna.press(".rows a") == "admin-person"
    at, other = anna.path, await site.tab(anna)
    await other.open(at)
    assert await anna.press(f'form[action="{at}/disable"] button') == "admin-person"
    assert await other.press(f'form[action="{at}/disable"] button') == "admin-person", "it is done already"
    await anna.page.go_back()
    assert await anna.where() in ("admin-person", "admin-people")
    await anna.open(at)
    assert await other.press(f'a[href="{at}/delete"]') == "admin-person-delete"
    assert await other.press(f'form[action="{at}/delete"] button') == "admin-people"
    assert await anna.press(f'form[action="{at}/enable"] button') == "admin-gone:not_found"
    assert await anna.press('main a[href="/admin/people"]') == "admin-people"
    await other.page.go_back()
    assert await other.where() in ("admin-gone:not_found", "admin-person-delete"), "as it was, or as it is"
    await other.page.reload()
    assert await other.where() == "admin-gone:not_found"


async def test_by_keyboard_alone(site: BrowserSite) -> None:
    """Find somebody, disable and enable them, give a role, create a role."""
    anna, ben = await site.person(), await site.person()
    await anna.be_signed_in()
    await ben.exist()
    await become(anna)
    await anna.open("/account")
    await tab_to(anna, href="/admin")
    assert await anna.enter() == "admin-people"
    await tab_to(anna, name="search")
    await anna.page.keyboard.type(ben.email)
    assert await anna.enter() == "admin-people"
    at = await anna.page.locator(".rows a").get_attribute("href")
    assert at
    await tab_to(anna, href=at)
    assert await anna.enter() == "admin-person"
    await tab_to(anna, action=f"{at}/disable")
    assert await anna.enter() == "admin-person"
    await tab_to(anna, action=f"{at}/enable")
    assert await anna.enter() == "admin-person"
    await tab_to(anna, name="role")
    await anna.page.keyboard.press("Home")
    await anna.page.keyboard.press("Tab")
    assert await anna.enter() == "admin-person"
    assert len(await _roles(anna, ben)) == 2
    await tab_to(anna, href="/admin/roles")
    assert await anna.enter() == "admin-roles"
    await tab_to(anna, href="/admin/roles-new")
    assert await anna.enter() == "admin-role-new"
    await anna.page.keyboard.type(f"r{anna.email.partition('@')[0]}")
    await tab_to(anna, name="may.me:read")
    await anna.page.keyboard.press("Space")
    assert await anna.enter() == "admin-role"
