"""`gate.record(…, email=…)`: a host's event about whoever has an address that somebody typed, or about nobody.

Not here: what holds for every event (`test_record`), and that the work is the same for all addresses
(`tests/neutrality/test_host_events`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from sqlalchemy import select

from passgate import Happened, testing
from passgate.core import account, audit, budgets, erasure, host_budgets, ledger, people
from passgate.core.ctx import Ctx
from passgate.errors import Invalid, SessionEnded
from passgate.store.tables import audit_event
from passgate.testing import Gate
from tests import operating
from tests.library.program import asked

FAILED = "login:failed"
EVENTS = {FAILED: "Somebody failed to sign in to the forum"}
ANNA, BEN = "anna@example.com", "ben@example.com"


@asynccontextmanager
async def running(database_url: str | None = None) -> AsyncIterator[tuple[Gate, httpx2.AsyncClient]]:
    gate, app = testing.gate(events=EVENTS, database_url=database_url), FastAPI()
    gate.mount(app, at="/auth")

    @app.get("/login")
    async def login(request: Request, email: str, erase: bool = False) -> None:
        if erase:
            await gate.user(request)
            await account.delete(request.scope["passgate.ctx"])
        await gate.record(request, FAILED, email=email, ok=False, facts={"forum": 7})

    async with asked(app, gate) as http:
        yield gate, http


async def rows(gate: Gate) -> list[dict[str, Any]]:
    mine = select(audit_event).where(audit_event.c.event == FAILED).order_by(audit_event.c.id)
    async with gate.services.store.read() as db:
        return [dict(row) for row in await db.rows(mine)]


def personal(row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(row["personal"]))


def hashed(gate: Gate, row: dict[str, Any], email: str) -> str:
    return audit.address_hash(Ctx(gate.services), row["tenant_id"], email)


async def added(gate: Gate, email: str, tenant: str = "main") -> str:
    return str((await operating.add_person(Ctx(gate.services), email, tenant, "user", None))["id"])


async def test_it_is_about_whoever_has_the_address_in_any_spelling(database_url: str | None) -> None:
    async with running(database_url) as (gate, http):
        ben = await added(gate, BEN)
        await operating.disable_person(Ctx(gate.services), BEN, "main")
        for email in (BEN, " BEN@EXAMPLE.com "):
            assert (await http.get("/login", params={"email": email})).status_code == 200
        found = await rows(gate)
    assert [(row["actor_id"], row["subject_id"]) for row in found] == [(None, ben)] * 2
    assert [personal(row)["email"].lower() for row in found] == [BEN] * 2
    for row in found:
        assert {"address_hash", "email"} & personal(row).keys() == {"email"}
        assert "@" not in row["facts"]
        assert json.loads(row["facts"])["principal"] == "stranger"
        assert personal(row)["ip"] == "127.0.0.1"


async def test_it_is_about_nobody_if_nobody_there_has_it(database_url: str | None) -> None:
    """Somebody of another tenant has; and whoever acts is not whom it is about."""
    async with running(database_url) as (gate, http):
        await operating.add_tenant(Ctx(gate.services), "other", None, "open")
        await added(gate, BEN, "other")
        assert (await http.get("/login", params={"email": BEN})).status_code == 200
        anna = await testing.sign_in(http, ANNA, gate=gate)
        assert (await http.get("/login", params={"email": BEN.upper()})).status_code == 200
        mine = (await http.get("/auth/api/v1/me/activity")).json()["items"]
        found = await rows(gate)
    assert [(row["actor_id"], row["subject_id"]) for row in found] == [(None, None), (anna.id, None)]
    for row in found:
        assert personal(row)["address_hash"] == hashed(gate, row, BEN), "the same for all spellings"
        assert BEN not in f"{row['personal']}{row['facts']}".lower()
    assert FAILED not in [one["event"] for one in mine]


async def test_a_person_acts(database_url: str | None) -> None:
    async with running(database_url) as (gate, http):
        ben = await added(gate, BEN)
        anna = await testing.sign_in(http, ANNA, gate=gate)
        for email in (BEN, ANNA):
            assert (await http.get("/login", params={"email": email})).status_code == 200
        found = await rows(gate)
    assert [(row["actor_id"], row["subject_id"]) for row in found] == [(anna.id, ben), (anna.id, anna.id)]
    assert [personal(row)["email"] for row in found] == [BEN, ANNA]


async def test_an_operator_names_the_tenant(database_url: str | None) -> None:
    async with running(database_url) as (gate, _):
        await operating.add_tenant(Ctx(gate.services), "other", None, "open")
        there = await added(gate, BEN, "other")
        here = await added(gate, BEN)
        for tenant in ("other", "main"):
            await gate.record(None, FAILED, email=BEN, tenant=tenant)
        await gate.record(None, FAILED, email=ANNA, tenant="main")
        found = await rows(gate)
    assert [row["subject_id"] for row in found] == [there, here, None]
    assert personal(found[2])["address_hash"] == hashed(gate, found[2], ANNA)


async def test_the_hash_is_the_one_of_a_failed_sign_in() -> None:
    """So that whoever reads the trail sees that they are about one address."""
    async with running() as (gate, http):
        begun = await http.post("/auth/api/v1/signin", json={"email": BEN})
        handle = {"authorization": f"Bearer {begun.json()['handle']}"}
        answer = {"factor": "password", "answer": "not-the-password-of-anybody"}
        await http.post("/auth/api/v1/signin/prove", json=answer, headers=handle)
        await http.get("/login", params={"email": BEN})
        async with gate.services.store.read() as db:
            trail = await db.rows(select(audit_event.c.personal).order_by(audit_event.c.id))
    found = [json.loads(row["personal"])["address_hash"] for row in trail if "address_hash" in row["personal"]]
    assert len(found) == 2
    assert len(set(found)) == 1


async def test_what_is_refused(database_url: str | None) -> None:
    async with running(database_url) as (gate, http):
        ben = await added(gate, BEN)
        for email in (
            "",
            "ben",
            "a\0b@example.com",
            "ben@example.com\n",
            "ben@@example.com",
            "x" * 65 + "@example.com",
        ):
            answer = await http.get("/login", params={"email": email})
            assert (answer.status_code, answer.json()["code"]) == (422, Invalid.code), email
            assert answer.json()["fields"].keys() == {"email"}
        with pytest.raises(ValueError):
            await gate.record(None, FAILED, tenant="main", email=BEN, subject=ben)
        assert await rows(gate) == []


async def test_a_budget_comes_before_the_search(database_url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is the one that events of strangers have, whatever was typed."""
    monkeypatch.setattr(host_budgets, "EVENTS_OF_STRANGERS", 3)
    monkeypatch.setattr(budgets, "HERE", 1)
    async with running(database_url) as (gate, http):
        await added(gate, BEN)
        looked, by_key = list[str](), people.by_key

        async def watched(db: Any, tenant_id: str, email_key: str) -> Any:
            looked.append(email_key)
            return await by_key(db, tenant_id, email_key)

        monkeypatch.setattr(people, "by_key", watched)
        emails = (BEN, "a@example.com", "b@example.com", BEN, "c@example.com")
        answers = [(await http.get("/login", params={"email": email})).status_code for email in emails]
        assert answers == [200, 200, 200, 429, 429]
        assert looked == list(emails[:3])
        assert len(await rows(gate)) == 3


@pytest.mark.parametrize("acts", ["strangers", "person"])
async def test_nobody_fills_somebody_elses_activity(
    database_url: str | None, monkeypatch: pytest.MonkeyPatch, acts: str
) -> None:
    """What names an address too often in ten minutes is about nobody, and is written all the same."""
    monkeypatch.setattr(host_budgets, "EVENTS_ABOUT_ADDRESS", 3)
    async with running(database_url) as (gate, http):
        ben = await added(gate, BEN)
        if acts == "person":
            for _ in range(4):
                await http.get("/login", params={"email": BEN})  # which leaves Anna's own count alone
            await testing.sign_in(http, ANNA, gate=gate)
        before = len(await rows(gate))
        for email in (BEN, BEN.upper(), "ghost@example.com", BEN, BEN, BEN):
            assert (await http.get("/login", params={"email": email})).status_code == 200
        found = (await rows(gate))[before:]
        assert [row["subject_id"] for row in found] == [ben, ben, None, ben, None, None]
        for row in found[4:]:
            assert personal(row)["address_hash"] == hashed(gate, row, BEN)
            assert BEN not in f"{row['personal']}{row['facts']}".lower()
        gate.clock.forward(minutes=10)
        await http.get("/login", params={"email": BEN})
        assert (await rows(gate))[-1]["subject_id"] == ben


async def test_operators_and_whoever_acts_name_it_as_often_as_they_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_budgets, "EVENTS_ABOUT_ADDRESS", 1)
    async with running() as (gate, http):
        anna = await testing.sign_in(http, ANNA, gate=gate)
        for _ in range(3):
            await http.get("/login", params={"email": ANNA})
            await gate.record(None, FAILED, email=ANNA, tenant="main")
        assert [row["subject_id"] for row in await rows(gate)] == [anna.id] * 6


async def test_it_is_erased_with_the_person(database_url: str | None) -> None:
    async with running(database_url) as (gate, http):
        await http.get("/login", params={"email": ANNA})
        await testing.sign_in(http, ANNA, gate=gate)
        http.cookies.clear()
        await http.get("/login", params={"email": ANNA})
        await testing.sign_in(http, ANNA, gate=gate)
        mine = (await http.get("/auth/api/v1/me/activity")).json()["items"]
        exported = (await http.get("/auth/api/v1/me/export")).json()["activity"]
        assert [one["event"] for one in mine].count(FAILED) == 1
        assert [one["event"] for one in exported].count(FAILED) == 1
        page = await http.get("/auth/account/activity")
        assert EVENTS[FAILED] in page.text
        await gate.settle()
        assert (await ledger.verify(gate.services)).ok
        assert (await http.delete("/auth/api/v1/me", headers={"sec-fetch-site": "same-origin"})).status_code == 204
        await http.get("/login", params={"email": ANNA})
        await gate.settle()
        before, about, after = await rows(gate)
        trail = [one async for one in ledger.export(gate.services)]
        assert (await ledger.verify(gate.services)).ok
    assert (about["personal"], about["personal_salt"]) == (None, None)
    assert before["subject_id"] is after["subject_id"] is None
    assert personal(before)["address_hash"] == personal(after)["address_hash"] == hashed(gate, after, ANNA)
    assert ANNA not in json.dumps(trail, default=str)


async def test_an_erasure_that_is_under_way_is_waited_for(database_url: str | None) -> None:
    """Found by its address, and gone when its turn comes: the row is about nobody."""
    async with running(database_url) as (gate, _):
        ctx, began = operating.operator(Ctx(gate.services)), asyncio.Event()
        await added(gate, BEN)
        ben = await operating.user(ctx, BEN)

        async def recording() -> None:
            await began.wait()
            await gate.record(None, FAILED, tenant="main", email=BEN)

        task = asyncio.create_task(recording())
        async with ctx.write() as db:
            row = await people.lock(db, ben.tenant_id, ben.person_id)
            assert row is not None
            began.set()
            await asyncio.sleep(0.2)
            assert not task.done()
            await erasure.erase(ctx, db, row)
        await task
        [found] = await rows(gate)
    assert found["subject_id"] is None
    assert personal(found)["address_hash"] == hashed(gate, found, BEN)
    assert BEN not in found["personal"]


async def test_whoever_acts_is_erased_meanwhile(database_url: str | None) -> None:
    async with running(database_url) as (gate, http):
        await testing.sign_in(http, ANNA, gate=gate)
        await gate.record(None, FAILED, tenant="main", email=ANNA)
        answer = await http.get("/login", params={"email": BEN, "erase": "true"})
        assert (answer.status_code, answer.json()["code"]) == (401, SessionEnded.code)
        [found] = await rows(gate)
        assert found["personal"] is None


async def test_observers_hear_of_both() -> None:
    heard: list[Happened] = []
    gate, app = testing.gate(events=EVENTS), FastAPI()
    gate.mount(app, at="/auth")
    gate.on(FAILED, heard.append, name="hear")
    async with asked(app, gate) as http:
        who = await testing.sign_in(http, ANNA, gate=gate)
        for email in (ANNA, BEN):
            await gate.record(None, FAILED, email=email, tenant="main", facts={"n": 1})
        await gate.settle()
    assert [(one.user_id, one.actor_id) for one in heard] == [(who.id, None), (None, None)]
    assert all("address_hash" not in one.facts and "email" not in one.facts for one in heard)
