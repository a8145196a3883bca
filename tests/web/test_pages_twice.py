"""Every form of the catalogue posted twice, as by a double press: both posts end where the first led, at one process
and at two. A form that is displayed anew is done anew.

Not here: the presses themselves, which are in tests/browser and tests/soak.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from passgate.core.ctx import Ctx
from passgate.core.form_answers import LIFE
from passgate.web import csrf, repeat
from tests import catalogue
from tests.architecture.population import Ask, Population
from tests.catalogue import asks_pages
from tests.catalogue.asks import API
from tests.catalogue.entry import Right
from tests.catalogue.settled import HOURS
from tests.kit import Dice, The, running, settings_for
from tests.web.browsing import Page

BY_SCRIPT = ("POST /signin/passkey/options", "POST /account/passkeys/options")
"""The script asks each time for new ones."""
FORMS = [
    pytest.param(key, right, id=f"{key.removeprefix('POST ')}-{right.name}")
    for key, entry in catalogue.catalogue().items()
    if key.startswith("POST /") and not key.startswith(f"POST {API}/") and key not in BY_SCRIPT
    for right in entry.rights
]


@pytest.fixture
async def two(
    settled: tuple[Path, Population], tmp_path: Path, patience: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Population, The]]:
    """The population, and a second process over the same database: here a form waits for the other's answer."""
    for name, tries in patience.items():
        monkeypatch.setattr(repeat, name, tries)
    folder, people = settled
    shutil.copytree(folder, tmp_path / "population")
    settings = settings_for(tmp_path / "population", **HOURS)
    async with running(settings) as the, running(settings) as other:
        dice = other.gate.services.world.dice
        assert isinstance(dice, Dice)
        dice.counter = itertools.count(2 * 10**6)
        yield people.moved(the), other


Answer = tuple[int, str, list[str], str]


async def posted(http: httpx2.AsyncClient, ask: Ask, csrf_token: str) -> Answer:
    """Status, location, cookies, and the content of a page."""
    headers = {"cookie": f"{ask.cookie}={ask.secret}", "sec-fetch-site": "same-origin"}
    answer = await http.post(ask.path, data={**(ask.body or {}), "csrf_token": csrf_token}, headers=headers)
    http.cookies.clear()
    content = answer.text if answer.headers.get("content-type", "").startswith("text/html") else ""
    return (
        answer.status_code,
        answer.headers.get("location", ""),
        sorted(answer.headers.get_list("set-cookie")),
        content,
    )


def displayed(the: The, ask: Ask) -> str:
    """The token of the form, as its page displays it now."""
    return csrf.of_form(Ctx(the.gate.services), ask.secret)


@pytest.mark.parametrize(("key", "right"), FORMS)
async def test_posted_twice_at_once(lite_population: Population, key: str, right: Right) -> None:
    ask = await right.asks(lite_population)
    token, http = displayed(lite_population.the, ask), lite_population.the.http
    first, second = await asyncio.gather(posted(http, ask, token), posted(http, ask, token))
    assert first[0] == right.status, key
    assert first == second


@pytest.mark.parametrize(("key", "right"), FORMS)
async def test_posted_to_two_processes(two: tuple[Population, The], key: str, right: Right) -> None:
    """At once, where only backup codes may be two sets; and again after both."""
    population, other = two
    ask = await right.asks(population)
    other.clock.now = population.the.clock.now
    token, clients = displayed(population.the, ask), (population.the.http, other.http)
    first, second = await asyncio.gather(*(posted(http, ask, token) for http in clients))
    assert (first[0], second[0]) == (right.status, right.status), key
    assert first[1] == second[1]
    third = await posted(other.http, ask, token)
    assert third in (first, second)


async def test_a_form_displayed_anew_is_done_anew(lite_population: Population) -> None:
    """And the same display, after half a minute."""
    ask = await asks_pages.page_makes_codes(lite_population)
    the = lite_population.the
    token = displayed(the, ask)
    first = await posted(the.http, ask, token)
    assert codes(await posted(the.http, ask, token)) == codes(first)
    anew = await posted(the.http, ask, displayed(the, ask))
    assert codes(anew) != codes(first)
    the.clock.forward(LIFE + 1)
    assert codes(await posted(the.http, ask, token)) not in (codes(first), codes(anew))


def codes(answer: Answer) -> list[str]:
    return Page(answer[3]).codes
