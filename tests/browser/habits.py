"""How impatient and restless people use a browser: press twice, press Enter twice, reload, go back and forth, open the
tab again.

Not here: tests, and the line that makes them impatient (`line`).
"""

from __future__ import annotations

import asyncio
from functools import partial

from playwright.async_api import Locator

from tests.browser.line import LATE
from tests.browser.person import Person

AGAIN = LATE / 2
"""Seconds between two presses: the first is on its way, and nothing has been answered yet."""


async def twice(person: Person, button: Locator | None) -> None:
    """Press a button or a link, or Enter, and again. The answer to the second press is the one that is seen."""
    act = partial(person.page.keyboard.press, "Enter")
    if button:
        await button.scroll_into_view_if_needed()
        box = await button.bounding_box()
        assert box
        act = partial(person.page.mouse.click, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    async with person.page.expect_event("domcontentloaded"):
        await act()
        await asyncio.sleep(AGAIN)
        await act()


async def restless(person: Person) -> None:
    """Reload, go back and forth, open the address in a new tab: the page stays what it was."""
    await reload(person)
    if person.answer is not None and person.answer.request.method == "GET":
        await back_and_forth(person)
        await restore(person)


async def reload(person: Person) -> None:
    """A page that answers a form sends the form again."""
    where = await person.where()
    await person.page.reload()
    assert await person.where() == where, f"{await person.where()}, not {where}"


async def back_and_forth(person: Person) -> None:
    """Not to a page that answers a form: the browser asks first whether to send it again."""
    if [method for method, _ in person.history[-2:-1]] != ["GET"]:
        return
    where, address = await person.where(), person.page.url
    await person.page.go_back()
    before = await person.where()
    assert not before.startswith("error"), before
    await person.page.go_forward()
    there = await person.where(), person.page.url
    assert there == (where, address), f"{there}, not {where} at {address}"


async def restore(person: Person) -> None:
    """Close the tab and open its address again, as a browser does that was restarted."""
    where, address = await person.where(), person.page.url
    tab = await person.page.context.new_page()
    await tab.goto(address)
    await person.page.close()
    person.page, person.history = tab, [("GET", address)]
    assert await person.where() == where, f"{await person.where()}, not {where}"
