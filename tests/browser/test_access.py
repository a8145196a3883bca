"""Every page in every state: axe finds no violation in light and dark, on a phone and on a desktop, and nothing
overflows sideways. The pages are read from the catalogue, so none is left out.

Not here: what the pages do (test_stories), and the contrast of every hue (tests/web).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from sqlalchemy import update

from passgate.store.tables import carrier
from tests import catalogue
from tests.browser.person import DESKTOP, PHONE, BrowserSite
from tests.catalogue.entry import Stop

# In addition to axe's default rules: the minimum size of targets (WCAG 2.2, 2.5.8).
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
Views = tuple[tuple[dict[str, int], Literal["light", "dark"]], ...]
TWO: Views = ((DESKTOP, "light"), (PHONE, "dark"))
FOUR: Views = (*TWO, (DESKTOP, "dark"), (PHONE, "light"))
"""TWO covers both sizes and both colour schemes; the long tests add the other two combinations."""
# Optional: a folder for a screenshot of each page, in each language, state, size and colour scheme.
PICTURES = os.environ.get("TESTS_PICTURES")
LANGUAGES = ("en-GB", "de-DE") if PICTURES else ("en-GB",)
STOPS = list(catalogue.stops())


@pytest.mark.parametrize("views", [pytest.param(TWO, id="two"), pytest.param(FOUR, id="four", marks=pytest.mark.soak)])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
@pytest.mark.usefixtures("rules")
async def test_axe_finds_nothing(site: BrowserSite, stop: Stop, language: str, views: Views) -> None:
    anna = await site.person(locale=language)
    if stop.by_whom == "person":
        await anna.exist()
    elif stop.by_whom != "anonymous_visitor":
        await anna.be_signed_in()
    if stop.by_whom == "stale":
        await age_proofs(site)
    await stop.way(anna)
    assert await anna.where() == stop.where
    await anna.page.evaluate(AXE_SCRIPT)
    for size, colours in views:
        await anna.page.set_viewport_size(size)  # type: ignore[arg-type]
        await anna.page.emulate_media(color_scheme=colours)
        seen = f"{stop.name}-{language[:2]}-{size['width']}-{colours}"
        if PICTURES:
            await anna.page.screenshot(path=Path(PICTURES) / f"{seen}.png", full_page=True)
        violations = await anna.page.evaluate("async (options) => (await axe.run(options)).violations", OPTIONS)
        assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in violations] == [], seen
        assert await anna.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, seen


async def age_proofs(site: BrowserSite) -> None:
    """Make the proofs of all sessions too old to count as fresh."""
    inside = site.deployment.inside
    async with inside.services.store.write() as db:
        await db.change(update(carrier).values(proofs="{}"))
