"""`gate.record`: a host's own events in the audit trail. Who acts is in the request and never in the arguments.

Not here: what the trail is (`tests/core/test_audit`).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from sqlalchemy import select

from passgate import Happened, testing
from passgate.core import account, audit, budgets, erasure, host_budgets, host_events, ledger, people, tenants
from passgate.core.ctx import Ctx, Operator
from passgate.errors import NotFound, SessionEnded
from passgate.store.tables import audit_event, budget, session
from passgate.testing import Gate
from tests import operating
from tests.kit import counted
from tests.library.program import asked

VIEWED, DONE = "invoice:viewed", "invoice:line:done"
LABEL = "A user looked at an <b>invoice</b>, 100% of it."
EVENTS = {VIEWED: LABEL, DONE: "A line of an invoice was done."}
SECRET = "a-word-that-no-log-has"


def made(**given: Any) -> tuple[Gate, FastAPI]:
    gate, app = testing.gate(events=EVENTS, **given), FastAPI()
    gate.mount(app, at="/auth")

    @app.api_route("/guarded", methods=["GET", "POST"], dependencies=[Depends(gate.user)])
    async def guarded(request: Request, about: str | None = None) -> None:
        await gate.record(request, VIEWED, subject=about, facts={"number": 7})

    @app.api_route("/open", methods=["GET", "POST"])
    async def anybody(request: Request, about: str | None = None) -> None:
        await gate.record(request, DONE, subject=about, ok=False)

    return gate, app


@asynccontextmanager
async def running(**given: Any) -> AsyncIterator[tuple[Gate, httpx2.AsyncClient]]:
    gate, app = made(**given)
    async with asked(app, gate) as http:
        yield gate, http


async def rows(gate: Gate) -> list[dict[str, Any]]:
    """The rows of a host's events, oldest first."""
    mine = select(audit_event).where(audit_event.c.event.in_(list(EVENTS))).order_by(audit_event.c.id)
    async with gate.services.store.read() as db:
        return [dict(row) for row in await db.rows(mine)]


def facts(row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(row["facts"]))


async def test_who_acts_is_whom_the_guard_found(database_url: str | None) -> None:
    async with running(database_url=database_url) as (gate, http):
        who = await testing.sign_in(http, "anna@example.com", gate=gate)
        agent = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
        assert (await http.get("/guarded", headers=agent)).status_code == 200
        [row] = await rows(gate)
    assert (row["actor_id"], row["subject_id"], row["event"]) == (who.id, who.id, VIEWED)
    found = facts(row)
    assert len(found.pop("request_id")) > 8
    assert found == {"number": 7, "ok": True, "principal": "person"}
    assert json.loads(row["personal"])["ip"] == "127.0.0.1"
    assert json.loads(row["personal"])["browser"] == "Firefox"


async def test_without_a_guard_it_is_the_person_of_the_live_session_or_a_stranger(database_url: str | None) -> None:
    """A credential that is missing, wrong, over, of another site, or sent by a foreign page is a stranger's."""
    async with running(database_url=database_url) as (gate, http):
        who = await testing.sign_in(http, "anna@example.com", gate=gate)
        async with gate.services.store.read() as db:
            before = await db.rows(select(session))
        foreign = {"sec-fetch-site": "cross-site"}
        assert (await http.get("/open")).status_code == 200
        assert (await http.post("/open")).status_code == 200
        assert (await http.post("/open", headers=foreign)).status_code == 200
        for value in ("Bearer pg_ses_wrong", "Bearer eyJ", "Basic x", "Bearer"):
            assert (await http.get("/open", headers={"authorization": value})).status_code == 200
        async with gate.services.store.read() as db:
            assert await db.rows(select(session)) == before, "the look-up left a trace"
        gate.clock.forward(hours=25)
        assert (await http.get("/open")).status_code == 200
        found = await rows(gate)
        trail = [row["event"] for row in await _all(gate)]
    assert [row["actor_id"] for row in found] == [who.id, who.id, *[None] * 6]
    assert {facts(row)["principal"] for row in found[2:]} == {"stranger"}
    assert all(facts(row)["ok"] is False for row in found)
    assert "access:refused" not in trail


async def _all(gate: Gate) -> list[dict[str, Any]]:
    async with gate.services.store.read() as db:
        return [dict(row) for row in await db.rows(select(audit_event))]


async def test_it_is_about_a_person_of_the_same_tenant_alone(database_url: str | None) -> None:
    async with running(database_url=database_url) as (gate, http):
        ctx = Ctx(gate.services, principal=Operator())
        await operating.add_tenant(ctx, "other", None, "open")
        foreign = (await operating.add_person(ctx, "otto@example.com", "other", "user", None))["id"]
        ben = (await operating.add_person(ctx, "ben@example.com", "main", "user", None))["id"]
        await operating.disable_person(ctx, "ben@example.com", "main")
        who = await testing.sign_in(http, "anna@example.com", gate=gate)
        assert (await http.get("/guarded", params={"about": ben})).status_code == 200, "disabled, and still there"
        for about in (foreign, "nobody", "", "a\0b"):
            answer = await http.get("/guarded", params={"about": about})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        http.cookies.clear()
        assert (await http.get("/open", params={"about": ben})).status_code == 200
        assert (await http.get("/open", params={"about": foreign})).status_code == 404
        found = await rows(gate)
    assert [(row["actor_id"], row["subject_id"]) for row in found] == [(who.id, ben), (None, ben)]


async def test_an_operator_records_in_a_tenant(database_url: str | None) -> None:
    async with running(database_url=database_url) as (gate, http):
        ctx = Ctx(gate.services, principal=Operator())
        await operating.add_tenant(ctx, "other", None, "open")
        otto = (await operating.add_person(ctx, "otto@example.com", "other", "user", None))["id"]
        await gate.record(None, VIEWED, subject=otto, tenant="other", facts={"from": "the night"})
        await gate.record(None, DONE, tenant="main")
        with pytest.raises(ValueError):  # a request that is missing by mistake makes nobody an operator
            await gate.record(None, DONE)
        for wrong in ({"tenant": "none"}, {"tenant": "main", "subject": otto}):
            with pytest.raises(NotFound):
                await gate.record(None, DONE, **wrong)
        async with ctx.read() as db:
            ids = [(await tenants.named(ctx, db, name)).id for name in ("other", "main")]
        found = await rows(gate)
        assert (await http.get("/auth/healthz")).status_code == 200
    assert [row["tenant_id"] for row in found] == ids
    assert [(row["actor_id"], row["subject_id"]) for row in found] == [(None, otto), (None, None)]
    assert {facts(row)["principal"] for row in found} == {"operator"}


@pytest.mark.parametrize(
    "name",
    [
        "signin:viewed",
        "account:invoice:viewed",
        "tenant:made",
        "invoice",
        "Invoice:viewed",
        "invoice:viewed\n",
        "a:b:c:d",
        ":b",
        "invoice:",
        "invoice viewed",
        "in-voice:viewed",
        "x" * 55 + ":viewed",
        "ïnvoice:viewed",
        7,
    ],
)
def test_names_that_are_refused(name: Any) -> None:
    with pytest.raises(ValueError):
        testing.gate(events={name: "Something happened."})


@pytest.mark.parametrize("label", ["", " ", "two\nlines", "x" * 201, None])
def test_texts_that_are_refused(label: Any) -> None:
    with pytest.raises(ValueError):
        testing.gate(events={VIEWED: label})


def deep(levels: int) -> Any:
    return {"a": deep(levels - 1)} if levels else 1


REFUSED: list[Any] = [
    *({name: 1} for name in ("principal", "request_id", "ok", "event", "tenant_id", "subject_id", "personal", "ctx")),
    {"": 1},
    {"a b": 1},
    {7: 1},
    {"x" * 61: 1},
    {"a": object()},
    {"a": {1, 2}},
    {"a": b"bytes"},
    {"a": float("nan")},
    {"a": float("inf")},
    {"a": {1: 2}},
    {"a": "\ud800"},
    {"a": 10**5000},
    {"a": "x" * 4090},
    {"a": "é" * 2045},
    {"a": deep(9)},
    {"a": [[[[[[[[[1]]]]]]]]]},
]


@pytest.mark.parametrize("given", REFUSED, ids=range(len(REFUSED)))
async def test_facts_that_are_refused(given: Any) -> None:
    gate = testing.gate(events=EVENTS)
    async with gate.running(work=False):
        with pytest.raises(ValueError):
            await gate.record(None, VIEWED, tenant="main", facts=given)
        assert await rows(gate) == []


async def test_what_else_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    gate, app = made()

    @app.get("/wrong")
    async def wrong(request: Request) -> None:
        await gate.record(request, VIEWED, tenant="main")

    async with asked(app, gate) as http:
        for given in ("signup:completed", "invoice:paid", "", None):
            with pytest.raises(ValueError):
                await gate.record(None, given, tenant="main")  # type: ignore[arg-type]
        for ok in (1, None, "yes"):
            with pytest.raises(ValueError):
                await gate.record(None, VIEWED, tenant="main", ok=ok)  # type: ignore[arg-type]
        with pytest.raises(ValueError) as too_long:
            await gate.record(None, VIEWED, tenant="main", facts={"word": SECRET * 1000})
        with pytest.raises(ValueError):
            await http.get("/wrong")
        with caplog.at_level(logging.DEBUG):
            await gate.record(
                None, VIEWED, tenant="main", facts={"word": SECRET, "list": [1, {"b": None}], "true": True, "n": 1.5}
            )
            await gate.settle()
        found = await rows(gate)
    assert SECRET not in str(too_long.value)
    assert SECRET not in caplog.text
    assert [facts(row)["word"] for row in found] == [SECRET]


async def test_a_strangers_flood_is_counted_and_not_written(
    database_url: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(host_budgets, "EVENTS_OF_STRANGERS", 3)
    monkeypatch.setattr(host_budgets, "EVENTS_OF_PERSON", 5)
    monkeypatch.setattr(budgets, "HERE", 1)
    async with running(database_url=database_url) as (gate, http):
        answers = await asyncio.gather(*(http.get("/open") for _ in range(8)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) == 5
        assert {answer.json()["code"] for answer in refused} == {"throttled"}
        assert all(0 < int(answer.headers["retry-after"]) <= 600 for answer in refused)
        assert len(await rows(gate)) == 3
        assert counted(gate, caplog.records, "refused_host_events") == 5
        await testing.sign_in(http, "anna@example.com", gate=gate)
        own = [(await http.get("/open")).status_code for _ in range(7)]
        assert own == [*[200] * 5, 429, 429], "a person has a budget of their own"
        gate.clock.forward(minutes=10)
        assert (await http.get("/open")).status_code == 200
        assert len(await rows(gate)) == 9
        async with gate.services.store.read() as db:
            assert await db.value(select(budget.c.used).where(budget.c.key == "o:events:127.0.0.1")) == 3


async def test_observers_hear_of_them_in_order(database_url: str | None) -> None:
    heard: list[Happened] = []

    async def hear(happened: Happened) -> None:
        heard.append(happened)

    gate, app = made(database_url=database_url)
    for event in (*EVENTS, "signin:completed"):
        gate.on(event, hear, name="hear")
    with pytest.raises(ValueError):
        gate.on("invoice:paid", hear, name="hear")
    async with asked(app, gate) as http:
        who = await testing.sign_in(http, "anna@example.com", gate=gate)
        for path in ("/guarded", "/open", "/guarded"):
            await http.get(path)
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await gate.settle()
    assert [one.event for one in heard] == [VIEWED, DONE, VIEWED, "signin:completed"]
    assert {one.user_id for one in heard} == {who.id}
    assert (heard[0].facts["number"], heard[1].facts["ok"]) == (7, False)


async def test_the_chain_verifies_and_erasure_takes_the_personal_part(database_url: str | None) -> None:
    async with running(database_url=database_url) as (gate, http):
        who = await testing.sign_in(http, "anna@example.com", gate=gate)
        ctx = Ctx(gate.services)
        ben = (await operating.add_person(ctx, "b@example.com", "main", "user", None))["id"]
        await http.get("/guarded")
        await http.get("/guarded", params={"about": ben})
        mine = (await http.get("/auth/api/v1/me/activity")).json()["items"]
        exported = (await http.get("/auth/api/v1/me/export")).json()["activity"]
        assert [one["event"] for one in mine].count(VIEWED) == 1
        assert [one["event"] for one in exported].count(VIEWED) == 1
        await gate.settle()
        assert (await ledger.verify(gate.services)).ok
        assert (await http.delete("/auth/api/v1/me", headers={"sec-fetch-site": "same-origin"})).status_code == 204
        found = await rows(gate)
        trail = [one async for one in ledger.export(gate.services) if one["event"] == VIEWED]
        await gate.settle()
        report = await ledger.verify(gate.services)
    assert [(row["actor_id"], row["personal"], row["personal_salt"]) for row in found] == [(who.id, None, None)] * 2
    assert all(row["seq"] for row in found)
    assert report.ok
    assert [one["id"] for one in trail] == [row["id"] for row in found]


async def test_an_actor_who_is_erased_between_guard_and_record(database_url: str | None) -> None:
    """A row that came after the erasure would keep an address that was just erased."""
    gate, app = made(database_url=database_url)

    @app.get("/late", dependencies=[Depends(gate.user)])
    async def late(request: Request) -> None:
        await account.delete(request.scope["passgate.ctx"])
        await gate.record(request, VIEWED)

    async with asked(app, gate) as http:
        await testing.sign_in(http, "anna@example.com", gate=gate)
        answer = await http.get("/late")
        assert (answer.status_code, answer.json()["code"]) == (401, SessionEnded.code)
        assert await rows(gate) == []


async def test_an_erasure_that_is_under_way_is_waited_for(database_url: str | None) -> None:
    gate = testing.gate(events=EVENTS, database_url=database_url)
    async with gate.running(work=False):
        ctx, began = operating.operator(Ctx(gate.services)), asyncio.Event()
        ben = await operating.user(
            ctx, (await operating.add_person(ctx, "b@example.com", "main", "user", None))["email"]
        )

        async def recording() -> None:
            await began.wait()
            await gate.record(None, VIEWED, tenant="main", subject=ben.person_id)

        task = asyncio.create_task(recording())
        async with ctx.write() as db:
            row = await people.lock(db, ben.tenant_id, ben.person_id)
            assert row is not None
            began.set()
            await asyncio.sleep(0.2)
            assert not task.done()
            await erasure.erase(ctx, db, row)
        with pytest.raises(NotFound):
            await task
        assert await rows(gate) == []


async def test_the_activity_page_shows_the_hosts_text_as_text() -> None:
    async with running() as (gate, http):
        ctx = Ctx(gate.services)
        ben = (await operating.add_person(ctx, "b@example.com", "main", "user", None))["id"]
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await http.get("/guarded", params={"about": ben})
        assert "invoice" not in (await http.get("/auth/account/activity")).text, "it is about somebody else"
        await http.get("/guarded")
        answer = await http.get("/auth/account/activity")
        assert answer.status_code == 200
        assert "&lt;b&gt;invoice&lt;/b&gt;, 100% of it." in answer.text


def test_no_fact_is_a_parameter_of_what_writes_the_row() -> None:
    parameters = inspect.signature(audit.record).parameters
    assert {name for name, one in parameters.items() if one.kind is not one.VAR_KEYWORD} <= host_events.OURS
