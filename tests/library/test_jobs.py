"""`gate.job` and `gate.start_job`: functions of a host that run in the background, at least once, by one process at a
time. The tests set the clock.

Not here: processes that are killed (`tests/faults/test_jobs_killed`), and who may ask (`tests/core/test_host_jobs`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from sqlalchemy import select, update

from passgate import JobRun, testing
from passgate.core import budgets, host_budgets, job_worker, jobs, sealed
from passgate.core.host_jobs import State
from passgate.errors import CredentialMissing, Unavailable
from passgate.store.tables import job
from passgate.testing import Gate
from passgate.world import SECOND
from tests.kit import counted

SECRET = "a-word-that-no-log-has"


class Work:
    """A function that records its runs, and fails on demand."""

    def __init__(self) -> None:
        self.runs: list[JobRun] = []
        self.given: list[Any] = []
        self.failing: Callable[[JobRun], bool] = lambda _run: False
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()
        self.at_once, self.most_at_once = 0, 0

    async def do(self, run: JobRun, given: Any = None) -> Any:
        self.runs.append(run)
        self.given.append(given)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.began.set()
        try:
            await self.go.wait()
        finally:
            self.at_once -= 1
        if self.failing(run):
            raise OSError(SECRET)
        return {"given": given}


def made(work: Work, *, attempts: int = 5, **given: Any) -> Gate:
    gate = testing.gate(**given)
    gate.job(work.do, name="work", attempts=attempts)
    return gate


async def rows(gate: Gate) -> list[dict[str, Any]]:
    async with gate.services.store.read() as db:
        return [dict(row) for row in await db.rows(select(job).order_by(job.c.id))]


async def one(gate: Gate) -> dict[str, Any]:
    [row] = await rows(gate)
    return row


async def until(gate: Gate, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The only row, once that holds of it."""
    async with asyncio.timeout(10):
        while True:
            row = await one(gate)
            if holds(row):
                return row
            await asyncio.sleep(0.01)


# -- the life of a job -----------------------------------------------------------------------------


async def test_a_job_runs_once_and_its_arguments_are_erased(database_url: str | None) -> None:
    work = Work()
    gate = made(work, database_url=database_url)
    async with gate.running(work=False):
        job_id = await gate.start_job(None, work.do, given={"word": SECRET, "list": (1, None)})
        row = await one(gate)
        assert (row["id"], row["state"], row["attempts"], row["kind"]) == (job_id, "PENDING", 0, "work")
        assert SECRET.encode() not in row["given_sealed"]
        assert work.runs == []
        await gate.settle()
        row = await one(gate)
        assert (row["state"], row["attempts"], row["given_sealed"]) == ("SUCCESS", 1, None)
        assert row["created_at"] < row["ended_at"] <= gate.clock.now
        assert json.loads(row["result"]) == {"given": {"word": SECRET, "list": [1, None]}}
        gate.clock.forward(hours=5)
        await gate.settle()
    assert work.runs == [JobRun(job_id, 1)]
    assert work.given == [{"word": SECRET, "list": [1, None]}]


async def test_a_failure_is_tried_again_after_growing_pauses(
    database_url: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    work.failing = lambda _run: True
    gate = made(work, attempts=4, database_url=database_url)
    async with gate.running(work=False):
        await gate.start_job(None, work.do, given=SECRET)
        for number, pause in enumerate(job_worker.PAUSES[:3], 1):
            await gate.settle()
            row = await one(gate)
            assert (row["state"], row["attempts"], row["result"]) == ("RETRY", number, None)
            gate.clock.forward(pause - 0.5)
            await gate.settle()
            assert len(work.runs) == number, "too soon"
            gate.clock.forward(0.6)
        await gate.settle()
        row = await one(gate)
        assert (row["state"], row["attempts"], row["given_sealed"]) == ("FAILURE", 4, None)
        assert json.loads(row["result"]) == {"error": "OSError"}
        gate.clock.forward(hours=50)
        await gate.settle()
    assert [run.attempt for run in work.runs] == [1, 2, 3, 4]
    assert SECRET not in "".join(record.getMessage() for record in caplog.records)


async def test_a_later_attempt_succeeds() -> None:
    work = Work()
    work.failing = lambda run: run.attempt < 2
    gate = made(work)
    async with gate.running(work=False):
        await gate.start_job(None, work.do)
        await gate.settle()
        gate.clock.forward(11)
        await gate.settle()
        assert ((await one(gate))["state"], (await one(gate))["attempts"]) == ("SUCCESS", 2)


async def test_what_cannot_be_stored_is_a_failure_and_is_not_run_again() -> None:
    results: dict[str, Any] = {"large": "x" * 4096, "bytes": b"x", "object": object(), "nan": float("nan")}
    gate, calls = testing.gate(), []

    def returns(what: str) -> Any:
        calls.append(what)
        return results[what]

    gate.job(returns, name="returns")
    async with gate.running(work=False):
        for what in results:
            await gate.start_job(None, returns, what=what)
        await gate.settle()
        gate.clock.forward(hours=50)
        await gate.settle()
        found = await rows(gate)
    assert {(row["state"], row["result"]) for row in found} == {("FAILURE", '{"error":"ResultRefused"}')}
    assert sorted(calls) == sorted(results)


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_function_ends_nothing_but_itself(ending: type[BaseException], *, is_plain: bool) -> None:
    async def ends() -> None:
        raise ending

    def ends_plainly() -> None:
        raise ending

    gate, fn = testing.gate(), ends_plainly if is_plain else ends
    gate.job(fn, name="ends", attempts=1)
    async with gate.running(work=False):
        await gate.start_job(None, fn)
        await gate.settle()
        assert (await one(gate))["state"] == "FAILURE"


THREADS: list[str] = []


def plain(number: int = 1) -> int:
    THREADS.append(threading.current_thread().name)
    return number + 1


async def test_a_plain_function_gets_a_thread_and_the_workers_run_by_themselves() -> None:
    gate, before = testing.gate(), asyncio.all_tasks()
    assert gate.job(plain) is plain
    async with gate.running():
        await gate.start_job(None, plain, number=4)
        row = await until(gate, lambda row: row["state"] == State.SUCCESS)
        assert (row["kind"], row["result"]) == (f"{__name__}.plain", "5")
    assert len(THREADS) == 1
    assert THREADS[0].startswith("passgate-job")
    assert asyncio.all_tasks() <= before


def test_a_decorator_leaves_the_function_as_it_is() -> None:
    gate = testing.gate()

    @gate.job(name="doubled", attempts=1)
    def doubled(number: int) -> int:
        return 2 * number

    assert doubled(4) == 8


# -- what is refused -------------------------------------------------------------------------------


async def test_what_cannot_be_registered() -> None:
    gate = testing.gate()
    for fn, given in (
        (lambda: None, {}),
        (plain, {"attempts": 0}),
        (plain, {"name": "x" * 61}),
    ):
        with pytest.raises(ValueError):
            gate.job(fn, **given)
    gate.job(plain)
    for fn, name in ((plain, None), (plain, "again"), (print, f"{__name__}.plain")):
        with pytest.raises(ValueError):
            gate.job(fn, name=name)
    async with gate.running(work=False):
        with pytest.raises(RuntimeError):
            gate.job(print, name="late")
        with pytest.raises(ValueError):
            await gate.start_job(None, print)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"number": object()}, ValueError),
        ({"number": "x" * 16384}, ValueError),
        ({"number": float("nan")}, ValueError),
        ({"other": 1}, TypeError),
    ],
)
async def test_arguments_that_are_refused(given: dict[str, Any], error: type[Exception]) -> None:
    gate = testing.gate()
    gate.job(plain)
    async with gate.running(work=False):
        with pytest.raises(error) as refused:
            await gate.start_job(None, plain, **given)
        assert "xxxx" not in str(refused.value)
        assert await rows(gate) == []


async def test_the_run_is_no_argument() -> None:
    work = Work()
    gate = made(work)
    async with gate.running(work=False):
        with pytest.raises(TypeError):
            await gate.start_job(None, work.do, run=1)


# -- whose it is -----------------------------------------------------------------------------------


def program(gate: Gate, fn: Any) -> FastAPI:
    app = FastAPI()
    gate.mount(app, at="/auth")

    @app.get("/start")
    async def start(request: Request) -> str:
        return await gate.start_job(request, fn)

    return app


@asynccontextmanager
async def served(gate: Gate, fn: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """The program without its workers."""
    transport = httpx2.ASGITransport(program(gate, fn), client=("127.0.0.1", 50000))
    async with gate.running(work=False), httpx2.AsyncClient(transport=transport, base_url=gate.settings.url) as http:
        yield http


async def test_a_job_belongs_to_whoever_acts_and_goes_with_them(database_url: str | None) -> None:
    work = Work()
    gate = made(work, database_url=database_url)
    async with served(gate, work.do) as http:
        assert (await http.get("/start")).json()["code"] == CredentialMissing.code
        assert await rows(gate) == []
        who = await testing.sign_in(http, "anna@example.com", gate=gate)
        job_id = (await http.get("/start")).json()
        assert (await one(gate))["person_id"] == who.id
        answer = await http.get(f"/auth/api/v1/jobs/{job_id}")
        assert answer.json() == {
            "id": job_id,
            "kind": "work",
            "state": "PENDING",
            "attempts": 0,
            "result": None,
            "created_at": answer.json()["created_at"],
            "ended_at": None,
        }
        await gate.settle()
        answer = await http.get(f"/auth/api/v1/jobs/{job_id}")
        assert (answer.json()["state"], answer.json()["result"]) == ("SUCCESS", {"given": None})
        assert answer.json()["ended_at"] is not None
        assert (await http.delete("/auth/api/v1/me", headers={"sec-fetch-site": "same-origin"})).status_code == 204
        assert await rows(gate) == []


async def test_strangers_start_what_the_host_lets_them_within_a_budget(
    database_url: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(host_budgets, "JOBS_OF_STRANGERS", 3)
    monkeypatch.setattr(host_budgets, "JOBS_OF_PERSON", 4)
    monkeypatch.setattr(budgets, "HERE", 1)
    gate = testing.gate(database_url=database_url)
    gate.job(plain, for_strangers=True)
    async with served(gate, plain) as http:
        answers = await asyncio.gather(*(http.get("/start") for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 3
        assert {row["person_id"] for row in await rows(gate)} == {None}
        assert len(await rows(gate)) == 3
        await testing.sign_in(http, "anna@example.com", gate=gate)
        assert [(await http.get("/start")).status_code for _ in range(5)] == [200] * 4 + [429]
        assert counted(gate, caplog.records, "refused_host_jobs") == 4


# -- leases ----------------------------------------------------------------------------------------


async def test_several_processes_run_each_job_once(database_url: str | None, tmp_path: Path) -> None:
    """Three gates over one database stand for three processes: they share nothing else."""
    work = Work()
    gates = [made(work, data=tmp_path, database_url=database_url) for _ in range(3)]
    async with gates[0].running(work=False), gates[1].running(work=False), gates[2].running(work=False):
        ids = [await gates[0].start_job(None, work.do, given=number) for number in range(12)]
        for gate in gates:
            gate.clock.forward(1)
        await asyncio.gather(*(gate.settle() for gate in gates))
        assert {(row["state"], row["attempts"]) for row in await rows(gates[0])} == {("SUCCESS", 1)}
    assert sorted(run.id for run in work.runs) == sorted(ids)
    assert sorted(work.given) == list(range(12))


async def test_an_unknown_function_is_left_to_others(tmp_path: Path) -> None:
    work = Work()
    gate, other = made(work, data=tmp_path), testing.gate(data=tmp_path)
    other.job(plain)
    async with gate.running(work=False), other.running(work=False):
        await gate.start_job(None, work.do)
        other.clock.forward(hours=1)
        await other.settle()
        assert ((await one(gate))["state"], work.runs) == ("PENDING", [])
        await gate.settle()
        assert (await one(gate))["state"] == "SUCCESS"


async def test_a_lease_is_renewed_while_a_long_function_runs(
    database_url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_worker, "RENEW", 0.02)
    work = Work()
    work.go.clear()
    first, second = (made(work, data=tmp_path, database_url=database_url) for _ in range(2))
    async with first.running(work=False), second.running(work=False):
        await first.start_job(None, work.do)
        running = asyncio.create_task(job_worker.work(first.services, first._host_jobs))
        await work.began.wait()
        for _ in range(4):
            for gate in (first, second):
                gate.clock.forward(job_worker.LEASE * 0.7)
            # Wait until the lease reaches beyond the present.
            await until(first, lambda row: row["due_at"] > first.clock.now + job_worker.LEASE * SECOND * 0.9)
            assert await job_worker.work(second.services, second._host_jobs) == 0
            assert (await one(first))["state"] == "STARTED"
        work.go.set()
        assert await running == 1
        assert ((await one(first))["state"], len(work.runs), work.most_at_once) == ("SUCCESS", 1, 1)


async def test_who_lost_the_lease_writes_nothing(database_url: str | None, tmp_path: Path) -> None:
    """The first process is too slow to renew; another one has run the job since, and its result stands."""
    slow, quick = Work(), Work()
    slow.go.clear()
    first, second = (made(work, data=tmp_path, database_url=database_url) for work in (slow, quick))
    async with first.running(work=False), second.running(work=False):
        await first.start_job(None, slow.do, given="x")
        running = asyncio.create_task(job_worker.work(first.services, first._host_jobs))
        await slow.began.wait()
        second.clock.forward(job_worker.LEASE + 1)
        quick.failing = lambda _run: True
        await second.settle()
        before = await one(second)
        assert (before["state"], before["attempts"]) == ("RETRY", 2)
        slow.go.set()
        await running
        assert await one(second) == before
        quick.failing = lambda _run: False
        second.clock.forward(3600)
        await second.settle()
        assert ((await one(second))["state"], (await one(second))["attempts"]) == ("SUCCESS", 3)


async def test_a_function_whose_lease_is_lost_is_interrupted(
    database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_worker, "RENEW", 0.02)
    work = Work()
    work.go.clear()
    gate = made(work, database_url=database_url)
    async with gate.running(work=False):
        await gate.start_job(None, work.do)
        running = asyncio.create_task(job_worker.work(gate.services, gate._host_jobs))
        await work.began.wait()
        async with gate.services.store.write() as db:
            await db.change(update(job).values(due_at=gate.clock.now + 3600 * SECOND))
        before = await one(gate)
        async with asyncio.timeout(10):
            assert await running == 1
        assert (work.at_once, await one(gate)) == (0, before)


async def test_the_database_is_away_for_a_moment_when_the_function_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    work.go.clear()
    gate = made(work)
    async with gate.running(work=False):
        await gate.start_job(None, work.do)
        running = asyncio.create_task(job_worker.work(gate.services, gate._host_jobs))
        await work.began.wait()
        store = gate.services.store
        store._is_closed = True
        work.go.set()
        await asyncio.sleep(0.4)
        with pytest.raises(Unavailable):
            async with store.read():
                pass
        store._is_closed = False
        await running
        assert ((await one(gate))["state"], len(work.runs)) == ("SUCCESS", 1)


async def test_a_job_that_kills_its_processes_ends() -> None:
    work = Work()
    gate = made(work, attempts=2)
    async with gate.running(work=False):
        await gate.start_job(None, work.do)
        async with gate.services.store.write() as db:  # as if every run had died
            await db.change(update(job).values(attempts=4, state=State.STARTED))
        gate.clock.forward(job_worker.LEASE)
        work.failing = lambda _run: False
        await gate.settle()
        assert (await one(gate))["state"] == "SUCCESS", "the last of the additional runs"
        await gate.start_job(None, work.do)
        async with gate.services.store.write() as db:
            await db.change(update(job).where(job.c.ended_at.is_(None)).values(attempts=5, state=State.STARTED))
        await gate.settle()
        assert (await rows(gate))[-1]["result"] == '{"error":"Abandoned"}'
    assert len(work.runs) == 1


# -- the end of a process --------------------------------------------------------------------------


async def test_a_running_job_gets_its_grace(tmp_path: Path) -> None:
    work = Work()
    work.go.clear()
    gate = made(work, data=tmp_path)
    async with gate.running():
        await gate.start_job(None, work.do)
        await asyncio.wait_for(work.began.wait(), 10)
        asyncio.get_running_loop().call_later(0.3, work.go.set)
    async with gate.running(work=False):
        assert ((await one(gate))["state"], len(work.runs)) == ("SUCCESS", 1)


async def test_at_the_end_of_its_grace_the_row_is_given_back(
    database_url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passgate.app._SHUTDOWN_GRACE", 0.1)
    work = Work()
    work.go.clear()
    gate = made(work, data=tmp_path, database_url=database_url)
    async with gate.running():
        await gate.start_job(None, work.do)
        await asyncio.wait_for(work.began.wait(), 10)
    assert work.at_once == 0
    async with gate.running(work=False):
        assert ((await one(gate))["state"], (await one(gate))["attempts"]) == ("PENDING", 0)
        work.go.set()
        await gate.settle()
        assert ((await one(gate))["state"], (await one(gate))["attempts"]) == ("SUCCESS", 1)


async def test_a_thread_cannot_be_interrupted_and_its_row_waits_for_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passgate.app._SHUTDOWN_GRACE", 0.1)
    began, go, runs = threading.Event(), threading.Event(), []

    def stubborn() -> None:
        runs.append(1)
        began.set()
        go.wait(30)

    gate = testing.gate(data=tmp_path)
    gate.job(stubborn, name="stubborn")
    try:
        async with gate.running():
            await gate.start_job(None, stubborn)
            assert await asyncio.to_thread(began.wait, 10)
        async with gate.running(work=False):
            await gate.settle()
            assert ((await one(gate))["state"], len(runs)) == ("STARTED", 1)
            go.set()
            gate.clock.forward(job_worker.LEASE + 1)
            await gate.settle()
            assert ((await one(gate))["state"], len(runs)) == ("SUCCESS", 2)
    finally:
        go.set()


# -- what is stored --------------------------------------------------------------------------------


async def test_ended_jobs_are_purged_after_a_month_and_waiting_ones_stay(database_url: str | None) -> None:
    work = Work()
    gate = made(work, database_url=database_url)
    async with gate.running(work=False):
        await gate.start_job(None, work.do)
        await gate.settle()
        waiting = await gate.start_job(None, work.do)
        gate.clock.now = (await rows(gate))[0]["ended_at"] + (30 * 24 * 3600 - 1) * SECOND
        await jobs.purge(gate.services)
        assert len(await rows(gate)) == 2
        gate.clock.forward(2)
        await jobs.purge(gate.services)
        assert (await one(gate))["id"] == waiting


async def test_key_rotation_seals_the_arguments_again(database_url: str | None) -> None:
    work = Work()
    gate = made(work, database_url=database_url)
    async with gate.running(work=False):
        await gate.start_job(None, work.do, given=SECRET)
        await gate.start_job(None, work.do)
        before = [row["given_sealed"] for row in await rows(gate)]
        gate.services.ring.rotate()
        await sealed.rewrap(gate.services)
        after = [row["given_sealed"] for row in await rows(gate)]
        head = gate.services.ring.head
        assert all(text.startswith(head) for text in after)
        assert not any(text.startswith(head) for text in before)
        await gate.settle()
    assert sorted(map(str, work.given)) == sorted([SECRET, "None"])


async def test_only_rows_that_are_due_or_over_are_read(lite_gate: Gate) -> None:
    async with lite_gate.running(work=False), lite_gate.services.store.read() as db:

        def plans(connection: Any) -> list[str]:
            found = []
            for statement in (
                "SELECT id FROM job WHERE ended_at IS NULL AND due_at <= 5 AND kind IN ('a') ORDER BY due_at LIMIT 8",
                "DELETE FROM job WHERE ended_at < 5",
            ):
                found += [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
            return found

        found = await db.run(plans)
    assert any("ix_job_waiting" in plan for plan in found), found
    assert any("ix_job_ended_at" in plan for plan in found), found
    assert not any(plan.startswith("SCAN") for plan in found), found


@pytest.fixture
def lite_gate() -> Gate:
    return testing.gate()


async def test_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Our own lines; what a host's logging adds to an exception is the host's."""
    work = Work()
    gate = made(work)
    async with gate.running(work=False):
        with caplog.at_level(logging.DEBUG):
            await gate.start_job(None, work.do, given=SECRET)
            await gate.settle()
    assert SECRET not in caplog.text
