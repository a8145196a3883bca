"""No kind of secret is taken for another: each is sent to every place where another is due, and is refused there, with
no change. Kinds are read from the source and endpoints from the catalogue, so new ones are included by themselves.

Not here: secrets of the right kind that are wrong, which the tests of each kind assert.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import product

import httpx2
import pytest

from passgate.core import (
    invitation_link,
    known,
    links,
    mailed_link,
    pending,
    recovery,
    refresh_token,
    sessions,
    tokens,
    undo_link,
)
from passgate.core.ctx import Ctx, Origin
from passgate.core.factors import device
from passgate.web import cookies, csrf, guards
from passgate.web.guards import BINDING
from tests import catalogue
from tests.architecture import kinds
from tests.architecture.population import Ask, Population
from tests.architecture.test_matrix import anew, gives_away, outcomes
from tests.catalogue import pages
from tests.catalogue.api import DEVELOPER, HOLDER, LEAVING, OPERATOR, PEEK, SESSION, STRANGER
from tests.catalogue.asks import API, NEVER, steps_up
from tests.catalogue.asks_pages import LINK, SIGNIN
from tests.catalogue.asks_pages import SESSION as SESSION_COOKIE

Outcome = tuple[int, str]
INVALID: Outcome = (401, "credential_invalid")
NO_HANDLE: Outcome = (401, "handle_invalid")
NO_INVITATION: Outcome = (403, "invitation_invalid")
TO_SIGNIN: Outcome = (303, "/signin")


@dataclass(frozen=True)
class Place:
    """Where a request carries a secret. `due`: the kinds that belong there; `cookie`: the one that carries it."""

    due: frozenset[str]
    refusals: frozenset[Outcome]
    cookie: str = ""


_SESSION = frozenset({sessions.PREFIX})
BEARER = Place(_SESSION | {tokens.ACCESS}, frozenset({INVALID}))
BY_COOKIE = Place(_SESSION, frozenset({INVALID}), SESSION_COOKIE)
HANDLE = Place(frozenset({pending.PREFIX}), frozenset({NO_HANDLE}))
VISITOR = Place(_SESSION, frozenset({TO_SIGNIN}), SESSION_COOKIE)
PENDING = Place(frozenset({pending.PREFIX}), frozenset({TO_SIGNIN, NO_HANDLE}), SIGNIN)
REFRESH = Place(frozenset({refresh_token.PREFIX}), frozenset({INVALID}))
FORM = Place(frozenset({pending.PREFIX, BINDING}), frozenset({(403, "csrf_refused")}), SIGNIN)

GUARDED = {
    PEEK: (BEARER, BY_COOKIE),
    SESSION: (BEARER, BY_COOKIE),
    LEAVING: (BEARER, BY_COOKIE),
    HOLDER: (HANDLE,),
    pages.VISITING: (VISITOR,),
    pages.LEAVING: (VISITOR,),
    pages.PENDING: (PENDING,),
}
"""By guard."""
LINKED = {
    "/invitation": frozenset({invitation_link.PREFIX}),
    "/signin/link": frozenset({links.PREFIX, mailed_link.PREFIX}),
    "/recover/stop": frozenset({recovery.STOP}),
    "/account/undo": frozenset({undo_link.PREFIX}),
}
"""The kinds of mailed links, by the page that each leads to."""
ELSEWHERE = {STRANGER, OPERATOR, DEVELOPER, pages.ANONYMOUS, pages.LINK}
"""Guards of places that have a test of their own, or where no secret of ours is due."""


async def test_every_kind_has_a_value_here(lite_values: kinds.Values) -> None:
    assert {*lite_values} == kinds.in_source()
    assert [prefix for prefix, value in lite_values.items() if not value.startswith(prefix)] == []


def test_a_new_kind_is_found() -> None:
    planted = {"core/planted.py": ast.parse('PREFIX = "pg_new_"')}
    assert kinds.in_source(planted) == {"pg_new_", sessions.PREFIX, tokens.ACCESS}


def test_every_guard_and_every_cookie_has_its_place() -> None:
    assert {guard.__name__ for guard in guards.GUARDS} == {*GUARDED} | ELSEWHERE
    names = {name for name in vars(cookies) if name.endswith("_name")}
    assert names == {"session_name", "signin_name", "link_name", "browser_name", "known_name"}


@pytest.fixture
async def lite_values(lite_population: Population) -> kinds.Values:
    return await kinds.one_of_each(lite_population)


# -- sending ---------------------------------------------------------------------------------------


async def sent(population: Population, method: str, ask: Ask) -> httpx2.Response:
    """To an endpoint of the API a cookie comes with JSON, to a page with a form."""
    if not (ask.cookie and ask.path.startswith(API)):
        return await population.send(method, ask)
    population.the.http.cookies.clear()
    headers = {"cookie": f"{ask.cookie}={ask.secret}", "sec-fetch-site": "same-origin"}
    return await population.the.http.request(method, ask.path, headers=headers, json=ask.body)


async def refuses_others(population: Population, method: str, ask: Ask, place: Place, values: kinds.Values) -> None:
    before = await population.the.everything()
    for kind, value in values.items():
        if kind not in place.due:
            answer = await sent(population, method, replace(ask, secret=value, cookie=place.cookie))
            assert outcomes(answer) in place.refusals, (method, ask.path, kind, answer.text)
            assert not gives_away(answer), (method, ask.path, kind)
    assert await population.the.everything() == before, (method, ask.path)


async def requests(population: Population, *guarded_by: str) -> list[tuple[str, str, Ask]]:
    """Guard, method and request of every endpoint with one of these guards: the right request where it has one."""
    found = []
    for key, entry in catalogue.catalogue().items():
        method, _, path = key.partition(" ")
        if entry.who in guarded_by:
            population.the.http.cookies.clear()
            asked = await anew(population, entry.rights[0]) if entry.rights else Ask(path.replace("{id}", NEVER))
            found.append((entry.who, method, asked))
    return found


# -- the places ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.soak)])
async def test_where_a_guard_finds_whose_it_is(lite_population: Population, step: int) -> None:
    """Each endpoint gets every third kind in turn, so that a guard's endpoints together get all of them; in the long
    run each gets all."""
    population = lite_population
    asked = await requests(population, *GUARDED)
    values, count = await kinds.one_of_each(population), 0
    number, turns = Counter(who for who, _, _ in asked), Counter[tuple[str, str]]()
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for who, method, ask in asked:
        for place in GUARDED[who]:
            at, every = (who, place.cookie), min(step, number[who])
            others = [kind for kind in values if kind not in place.due][turns[at] % every :: every]
            await refuses_others(population, method, ask, place, {kind: values[kind] for kind in others})
            turns[at] += 1
            seen[at].update(others)
            count += 1
    assert count > 110
    for who, places in GUARDED.items():
        for place in places:
            assert seen[who, place.cookie] == {*values} - place.due, who


async def test_where_a_session_steps_up(lite_population: Population, lite_values: kinds.Values) -> None:
    ask = await steps_up(lite_population)
    for place in (BEARER, BY_COOKIE):
        await refuses_others(lite_population, "POST", ask, place, lite_values)


async def test_where_a_pair_is_refreshed(lite_population: Population, lite_values: kinds.Values) -> None:
    before = await lite_population.the.everything()
    for kind, value in lite_values.items():
        if kind not in REFRESH.due:
            answer = await lite_population.send("POST", Ask(f"{API}/tokens/refresh", {"refresh_token": value}))
            assert outcomes(answer) in REFRESH.refusals, (kind, answer.text)
    assert await lite_population.the.everything() == before


async def test_where_a_mailed_link_is_opened(lite_population: Population) -> None:
    population = lite_population
    asked = await requests(population, pages.LINK)
    values = await kinds.one_of_each(population)
    for _, method, ask in asked:
        place = Place(LINKED[ask.path], frozenset({NO_HANDLE, NO_INVITATION}), LINK)
        await refuses_others(population, method, ask, place, values)


async def test_where_a_mailed_link_leads(lite_population: Population, lite_values: kinds.Values) -> None:
    """Only the token of a link of this page gets into its cookie."""
    pages_of_links = [
        key.removeprefix("GET ").removesuffix("/{token}") for key in catalogue.catalogue() if "{token}" in key
    ]
    assert {*pages_of_links} == {*LINKED}
    before = await lite_population.the.everything()
    for path, due in LINKED.items():
        for kind, value in lite_values.items():
            answer = await lite_population.send("GET", Ask(f"{path}/{value}"))
            [cookie] = answer.headers.get_list("set-cookie")
            assert outcomes(answer) == (303, path)
            assert (f"{LINK}={value};" in cookie) is (kind in due), (path, kind)
    assert await lite_population.the.everything() == before


async def test_where_a_form_is_bound_to_a_cookie(lite_population: Population, lite_values: kinds.Values) -> None:
    """A browser that says nothing about where a form comes from, and a token that is right for the cookie's value."""
    population = lite_population
    forms = [path for path, method in _anonymous() if method == "POST"]
    assert len(forms) > 3
    before = await population.the.everything(but=("audit_event",))
    for path, (kind, value) in product(forms, lite_values.items()):
        if kind not in FORM.due:
            assert await _posted(population, path, value) in FORM.refusals, (path, kind)
    assert await population.the.everything(but=("audit_event",)) == before
    for path, kind in product(forms, FORM.due):
        assert await _posted(population, path, lite_values[kind]) not in FORM.refusals, (path, kind)


def _anonymous() -> list[tuple[str, str]]:
    asked = [key for key, entry in catalogue.catalogue().items() if entry.who == pages.ANONYMOUS]
    return [(path, method) for method, _, path in (key.partition(" ") for key in asked)]


async def _posted(population: Population, path: str, value: str) -> Outcome:
    population.the.http.cookies.clear()
    given, headers = {"csrf_token": csrf.token(population.folk.ctx, value)}, {"cookie": f"{SIGNIN}={value}"}
    return outcomes(await population.the.http.post(path, data=given, headers=headers))


async def test_where_a_browser_is_remembered_or_known(lite_population: Population, lite_values: kinds.Values) -> None:
    """These cookies open nothing: one of another kind counts as none."""
    services = lite_population.the.gate.services
    for kind, value in lite_values.items():
        ctx = Ctx(services, Origin(known=value))
        assert (device.presented(ctx, value) is not None) is (kind == device.PREFIX), kind
        assert bool(known.read(ctx)) is (kind == known.PREFIX), kind


# -- the right places ------------------------------------------------------------------------------


async def test_each_counts_where_it_is_due(lite_population: Population, lite_values: kinds.Values) -> None:
    """So none of them was refused elsewhere because it counts nowhere."""
    asked = {
        sessions.PREFIX: ("GET", Ask(f"{API}/session"), 200),
        tokens.ACCESS: ("GET", Ask(f"{API}/session"), 200),
        pending.PREFIX: ("POST", Ask(f"{API}/signin/finish", {"carrier": "jwt"}), 201),
        invitation_link.PREFIX: ("POST", Ask("/invitation", cookie=LINK), 303),
        links.PREFIX: ("POST", Ask("/signin/link", {"decision": "signin"}, cookie=LINK), 303),
        mailed_link.PREFIX: ("POST", Ask("/signin/link", {"decision": "recover"}, cookie=LINK), 303),
        recovery.STOP: ("POST", Ask("/recover/stop", cookie=LINK), 303),
        undo_link.PREFIX: ("POST", Ask("/account/undo", cookie=LINK), 303),
    }
    for kind, (method, ask, status) in asked.items():
        answer = await sent(lite_population, method, replace(ask, secret=lite_values[kind]))
        assert answer.status_code == status, (kind, answer.text)
    refreshing = Ask(f"{API}/tokens/refresh", {"refresh_token": lite_values[refresh_token.PREFIX]})
    assert (await lite_population.send("POST", refreshing)).status_code == 200
    in_browsers = {device.PREFIX, known.PREFIX, BINDING}  # which the two tests above accept
    assert {*asked, refresh_token.PREFIX} | in_browsers == {*lite_values}
