"""Every endpoint of the API for every kind of caller: what each role may, and who is nobody here. The cells stand in
`tests/catalogue/roles.txt`; an endpoint without a row fails.

Not here: rules about factors, budgets and states, which are in `test_matrix`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import delete, update

from passgate.core import sessions
from passgate.core.rules import AAL1
from passgate.store.tables import budget, carrier, person, role, role_grant
from tests import catalogue
from tests.architecture.population import OURS, Ask, Population
from tests.catalogue import asks
from tests.catalogue.settled import Settled, copied
from tests.kit import FIREFOX, code_of
from tests.web.browsing import Page
from tests.web.through_twins import CALLS, through_twins

TABLE = Path(catalogue.__file__).with_name("roles.txt")
ROLES = ("owner", "admin", "user", "read_only", "custom")
CUSTOM = "me:read me:write users:read users:disable invoices:read"
"""What the role `custom` of the tenant's own allows; the last is a permission of the host's."""
INVOICES = {"invoices:read": "See invoices"}
HOSTS = "GET /invoices"
"""The host's own route, for which there is no operator."""
CALLERS = (*ROLES, "stranger", "half", "foreign", "low", "operator")
"""The caller with one of the roles alone, the last one of the tenant's own; nobody; somebody whose sign-in is not
finished; the owner of another tenant; a session below the level that the tenant asks for; and an operator by the twins,
for whom no credential counts."""
BY_TWIN_FIRST = {caller: (bool(number % 2), not number % 2) for number, caller in enumerate(CALLERS)}
NOBODY = {"stranger", "half"}
_MOVING = ("audit_event", "budget")
"""What a refused request may write: that it was refused."""
_SPENT = {"POST /api/v1/me/passkeys/prove": ("ticket",)}
"""A challenge is used up by any answer, so it is given once."""
GUARDED = {"peek", "session", "leaving"}
KEYS = [key for key in catalogue.asked() if catalogue.catalogue()[key].who in GUARDED]


def rows(table: Path = TABLE) -> dict[str, list[str]]:
    """The cells of each endpoint."""
    lines = [line for line in table.read_text().splitlines() if line and not line.startswith("#")]
    return {" ".join(line.split()[:2]): line.split()[2:] for line in lines}


async def asked_by(population: Population, ask: Ask, caller: str) -> Ask:
    """The right request, sent by somebody else, or by its sender with another role."""
    match caller:
        case "stranger":
            return replace(ask, secret="")
        case "operator":
            return ask
        case "half":
            return replace(ask, secret=await population.after_password(population.anna))
        case "foreign":
            return replace(ask, secret=population.otto.token)
        case "low":
            await population.rules(second="always", second_among=["totp"])
            only = json.dumps({"password": population.the.clock()})
            async with population.folk.ctx.write() as db:
                hashed = population.the.gate.services.ring.presented(sessions.PREFIX, ask.secret)
                mine = update(carrier).where(carrier.c.secret_hash == hashed)
                await db.change(mine.values(acr=AAL1, amr='["pwd"]', proofs=only))
            return ask
        case _:
            who = await population.folk.actor_of(ask.secret)
            row = {"tenant_id": who.tenant_id, "person_id": who.person_id, "role": caller, "created_at": 0}
            async with population.folk.ctx.write() as db:
                await db.change(delete(role_grant).where(role_grant.c.person_id == who.person_id))
                await db.add(role_grant, **row)
                if caller == "custom":
                    own = {"tenant_id": who.tenant_id, "name": caller, "description": "", "permissions": CUSTOM}
                    made = db.upsert(role).values(**own, created_at=0, updated_at=0)
                    await db.change(made.on_conflict_do_nothing())
            return ask


@pytest.mark.parametrize("endpoint", KEYS)
async def test_who_may(settled: Settled, endpoint: str, tmp_path: Path) -> None:
    """Over HTTP, and by the endpoint's twin, which a granted request changes with every second role."""
    found = dict[str, str]()
    for callers in _sharing(endpoint, CALLERS, rows()):
        async with copied(settled, tmp_path / callers[-1]) as population:
            for caller in callers:
                async with _roles_as_before(population):
                    found[caller] = await _cell(population, endpoint, caller)
    row = [found[caller] for caller in CALLERS]
    assert rows().get(endpoint) == row, f"{endpoint} {' '.join(row)}"


def _sharing(endpoint: str, callers: tuple[str, ...], table: dict[str, list[str]]) -> list[list[str]]:
    """Who shares one copy of the population: everybody who only reads or is refused, because that changes nothing; and
    whoever is granted something has one alone. Last the one for whom the tenant's rules are raised."""
    cells = dict(zip(callers, table.get(endpoint, [""] * len(callers)), strict=True))
    reads = endpoint.startswith("GET ")
    shared = [one for one in callers if reads or one in NOBODY or ":" in cells[one]]
    shared.sort(key=lambda one: one == "low")
    return [shared, *([one] for one in callers if one not in shared)]


@asynccontextmanager
async def _roles_as_before(population: Population) -> AsyncIterator[None]:
    """Whoever sends the next request prepares it as an owner."""
    grants = await population.the.rows(role_grant)
    yield
    there = {row["id"] for row in await population.the.rows(person)}
    async with population.folk.ctx.write() as db:
        await db.change(delete(role_grant))
        for row in (one for one in grants if one["person_id"] in there):
            await db.change(db.upsert(role_grant).values(**row).on_conflict_do_nothing())


async def _cell(population: Population, endpoint: str, caller: str) -> str:
    """The answer to this caller, which changes nothing if it is a refusal, however it is asked."""
    method, answer = endpoint.partition(" ")[0], ""
    async with population.folk.ctx.write() as db:  # what the request before has prepared
        await db.change(delete(budget))
    ask = await asked_by(population, await catalogue.asked()[endpoint].asks(population), caller)
    if caller in ROLES:  # the sender is fresh, of their own level
        await population.lift()
    ways = BY_TWIN_FIRST[caller][: 1 if endpoint in _SPENT else 2]
    for by_twin in (True,) if caller == "operator" else ways:
        moving = (*_MOVING, *_SPENT.get(endpoint, ()))
        before = await population.the.everything(but=moving)
        response = await _sent(population, method, ask, caller, by_twin=by_twin)
        if response.status_code < 300:
            return str(response.status_code)
        refused = f"{response.status_code}:{code_of(response)}"
        assert await population.the.everything(but=moving) == before, caller
        assert answer in ("", refused), (caller, by_twin)
        answer = refused
    return answer


async def _sent(population: Population, method: str, ask: Ask, caller: str, *, by_twin: bool) -> httpx2.Response:
    if not by_twin:
        return await population.send(method, ask)
    app = through_twins(population.the.gate, operator="main" if caller == "operator" else None)
    made = CALLS["made"]
    transport = httpx2.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url=OURS, headers={"User-Agent": FIREFOX}) as http:
        response = await replace(population, the=replace(population.the, http=http)).send(method, ask)
    assert CALLS["made"] == made + 1, "no twin was called"
    return response


async def test_who_may_at_a_hosts_route(settled: Settled, tmp_path: Path) -> None:
    """Guarded by a permission that the host has registered: owners have it, and who has it by a role of their own."""
    found = {"operator": "-"}
    for caller in CALLERS[:-1]:
        async with copied(settled, tmp_path / caller, permissions=INVOICES) as population:
            gate, app = population.the.gate, FastAPI()
            app.get("/invoices", dependencies=[Depends(gate.may("invoices:read"))])(lambda: [])
            ask = await asked_by(population, asks.mine(population, "/"), caller)
            transport = httpx2.ASGITransport(app, client=("127.0.0.1", 1))
            async with httpx2.AsyncClient(transport=transport, base_url=OURS, headers={"User-Agent": FIREFOX}) as http:
                as_sent = replace(population, the=replace(population.the, http=http))
                answer = await as_sent.send("GET", replace(ask, path="/invoices"))
            found[caller] = "200" if answer.status_code == 200 else f"{answer.status_code}:{answer.json()['code']}"
    row = [found[caller] for caller in CALLERS]
    assert rows().get(HOSTS) == row, f"{HOSTS} {' '.join(row)}"


def test_each_row_is_an_endpoint() -> None:
    assert rows().keys() == {*KEYS, HOSTS}


# -- the pages of admins ---------------------------------------------------------------------------

PAGES = [key for key in catalogue.catalogue() if key.partition(" ")[2].startswith("/admin")]
VIEWERS = (*ROLES, "stranger", "half", "foreign", "low")
PAGE_TABLE = TABLE.with_name("roles_pages.txt")


@pytest.mark.parametrize("page", PAGES)
async def test_who_may_on_pages(settled: Settled, page: str, tmp_path: Path) -> None:
    """As the endpoints behind them answer; a visitor without a session is led to the sign-in."""
    cells = dict[str, str]()
    for callers in _sharing(page, VIEWERS, rows(PAGE_TABLE)):
        async with copied(settled, tmp_path / callers[-1]) as population:
            for caller in callers:
                async with _roles_as_before(population):
                    cells[caller] = await _page_cell(population, page, caller)
    found = [cells[caller] for caller in VIEWERS]
    assert rows(PAGE_TABLE).get(page) == found, f"{page} {' '.join(found)}"


async def _page_cell(population: Population, page: str, caller: str) -> str:
    """The answer to this caller, which changes nothing if it is a refusal."""
    async with population.folk.ctx.write() as db:
        await db.change(delete(budget))
    ask = await asked_by(population, await catalogue.catalogue()[page].rights[0].asks(population), caller)
    if caller in ROLES:
        await population.lift()
    before = await population.the.everything(but=_MOVING)
    answer = await population.send(page.partition(" ")[0], replace(ask, cookie="passgate_session"))
    alert = Page(answer.text).alert if answer.headers.get("content-type", "").startswith("text/html") else ""
    if answer.status_code >= 400:
        assert await population.the.everything(but=_MOVING) == before, caller
    return f"{answer.status_code}:{alert}" if alert else str(answer.status_code)


def test_each_row_is_a_page() -> None:
    assert rows(PAGE_TABLE).keys() == set(PAGES)


FOREIGN = [key for key in KEYS if "/{id}" in key and "/me/" not in key]


async def test_an_owner_of_another_tenant(population: Population) -> None:
    """The ids of this tenant with the other's identity, and the other way round: nothing is found, nothing changes."""
    assert len(FOREIGN) > 10
    anna, otto = population.anna, population.otto
    await population.rules()
    for endpoint in FOREIGN:
        method, ask = endpoint.partition(" ")[0], await catalogue.asked()[endpoint].asks(population)
        before = await population.the.everything(but=_MOVING)
        ids = {anna.tenant_id: otto.tenant_id, population.ben.id: otto.id}
        swapped = ask.path
        for mine, theirs in ids.items():
            swapped = swapped.replace(mine, theirs)
        # An id that is neither a tenant's nor a person's has no other to be replaced with here.
        of_other = replace(ask, path=swapped) if swapped != ask.path else ask.others[0]
        assert of_other != ask
        for one in (replace(ask, secret=otto.token), of_other):
            answer = await population.send(method, one)
            assert (answer.status_code, code_of(answer)) in ((403, "permission_missing"), (404, "not_found")), endpoint
            assert await population.the.everything(but=_MOVING) == before, endpoint
