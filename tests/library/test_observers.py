"""`gate.on`: observers are called after the commit, at least once, and in order for each person, even if processes are
killed.

Not here: what is audited.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from passgate import Happened, testing
from passgate.core import observers
from passgate.core.audit import record
from passgate.core.ctx import Ctx, System
from passgate.errors import ProofRefused
from passgate.store.tables import observer, observer_queue
from passgate.testing import Gate
from tests.kit import client_for, handle_of

ROOT = Path(__file__).parents[2]


class Notes(list[Happened]):
    """An observer that records events, and fails on demand."""

    def __init__(self) -> None:
        self.failing: Callable[[Happened], bool] = lambda _happened: False
        self.tries = 0
        self.came = asyncio.Event()

    async def hear(self, happened: Happened) -> None:
        self.tries += 1
        if self.failing(happened):
            raise OSError("the other system is away")
        self.append(happened)
        self.came.set()

    @property
    def heard(self) -> list[str]:
        return [happened.event for happened in self]


def made(notes: Notes, *events: str, **given: Any) -> Gate:
    gate = testing.gate(**given)
    for event in events:
        gate.on(event, notes.hear, name="notes")
    return gate


async def left(gate: Gate) -> list[dict[str, Any]]:
    async with gate.services.store.read() as db:
        return [dict(row) for row in await db.rows(select(observer_queue).order_by(observer_queue.c.seq))]


async def test_what_happened(database_url: str | None) -> None:
    notes = Notes()
    gate = made(notes, "signup:completed", "signin:completed", database_url=database_url)
    async with gate.running(work=False), client_for(gate) as http:
        who = await testing.sign_in(http, "anna@example.com", gate=gate)
        assert notes.heard == []
        await gate.settle()
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await gate.settle()
        await gate.settle()
        assert notes.heard == ["signup:completed", "signin:completed"]
        first = notes[0]
        assert first.user_id == who.id
        assert first.facts["session_id"] == who.session_id
        assert first.at.timestamp() == pytest.approx(testing.START / 1e6, abs=1)
        assert "anna" not in json.dumps(dict(first.facts))
        assert await left(gate) == []


async def test_observers_hear_nothing_of_what_was_undone(database_url: str | None) -> None:
    notes = Notes()
    gate = made(notes, "signin:password:proved", "signin:password:refused", database_url=database_url)
    async with gate.running(work=False), client_for(gate) as http:
        await testing.sign_in(http, "anna@example.com", gate=gate)
        handle = handle_of(await http.post("/api/v1/signin", json={"email": "anna@example.com"}))
        wrong = {"factor": "password", "answer": "not at all right"}
        refused = await http.post("/api/v1/signin/prove", json=wrong, headers={"authorization": f"Bearer {handle}"})
        assert refused.json()["code"] == ProofRefused.code
        with pytest.raises(ZeroDivisionError):
            async with gate.services.store.write() as db:
                await record(Ctx(gate.services, principal=System()), db, "signin:password:proved")
                raise ZeroDivisionError
        await gate.settle()
    assert notes.heard == ["signin:password:refused"]


async def test_the_workers_notify_by_themselves_and_stop_cleanly() -> None:
    notes, before = Notes(), asyncio.all_tasks()
    gate = made(notes, "signup:completed")
    async with gate.running(), client_for(gate) as http:
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await asyncio.wait_for(notes.came.wait(), 5)
    assert notes.heard == ["signup:completed"]
    assert asyncio.all_tasks() <= before


async def test_settled_are_those_too_whom_the_workers_are_calling() -> None:
    begun, go, heard = asyncio.Event(), asyncio.Event(), list[str]()

    async def hear(happened: Happened) -> None:
        begun.set()
        await go.wait()
        heard.append(happened.event)

    gate = testing.gate()
    gate.on("signup:completed", hear, name="slow")
    async with gate.running(), client_for(gate) as http:
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await asyncio.wait_for(begun.wait(), 5)
        settled = asyncio.create_task(gate.settle())
        assert not (await asyncio.wait({settled}, timeout=0.2))[0]
        go.set()
        await settled
        assert heard == ["signup:completed"]


async def test_a_failure_is_tried_again_and_holds_up_nobody_else(database_url: str | None) -> None:
    notes = Notes()
    gate = made(notes, "signup:completed", "signin:completed", "session:ended", database_url=database_url)
    async with gate.running(work=False), client_for(gate) as http:
        anna = await testing.sign_in(http, "anna@example.com", gate=gate)
        notes.failing = lambda happened: happened.user_id == anna.id
        await testing.sign_in(http, "anna@example.com", gate=gate)
        assert (await http.delete("/api/v1/session")).status_code == 204
        bert = await testing.sign_in(http, "bert@example.com", gate=gate)
        await gate.settle()
        await gate.settle()
        assert [(happened.user_id, happened.event) for happened in notes] == [(bert.id, "signup:completed")]
        assert notes.tries == 2  # one attempt for each person; the retry has to wait
        gate.clock.forward(1.1)
        await gate.settle()
        assert notes.tries == 3
        gate.clock.forward(1.1)
        await gate.settle()
        assert notes.tries == 3  # the next retry has to wait longer
        notes.failing = lambda _happened: False
        gate.clock.forward(5)
        await gate.settle()
    mine = [happened.event for happened in notes if happened.user_id == anna.id]
    assert mine == ["signup:completed", "signin:completed", "session:ended"]


async def test_two_observers_do_not_wait_for_each_other() -> None:
    well, ill = Notes(), Notes()
    ill.failing = lambda _happened: True
    gate = made(well, "signup:completed")
    gate.on("signup:completed", ill.hear, name="ill")
    async with gate.running(work=False), client_for(gate) as http:
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await gate.settle()
        assert (well.heard, ill.tries) == (["signup:completed"], 1)
        assert [row["name"] for row in await left(gate)] == ["ill"]


async def test_one_that_takes_too_long_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "LIMIT", 0.05)
    gate, tries = testing.gate(), []

    async def stuck(happened: Happened) -> None:
        tries.append(happened)
        await asyncio.sleep(60)

    gate.on("signup:completed", stuck, name="stuck")
    async with gate.running(work=False), client_for(gate) as http:
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await gate.settle()
        assert len(tries) == len(await left(gate)) == 1


THREADS: list[str] = []


def plain(_happened: Happened) -> None:
    THREADS.append(threading.current_thread().name)


async def test_a_plain_function_gets_a_thread() -> None:
    gate = testing.gate()
    gate.on("signup:completed", plain)
    async with gate.running(work=False), client_for(gate) as http:
        await testing.sign_in(http, "anna@example.com", gate=gate)
        await gate.settle()
        async with gate.services.store.read() as db:
            names = {row["name"] for row in await db.rows(select(observer.c.name))}
    assert names == {f"{__name__}.plain"}
    assert len(THREADS) == 1
    assert THREADS[0] != threading.main_thread().name


def test_what_cannot_be_observed() -> None:
    gate = testing.gate()
    with pytest.raises(ValueError):
        gate.on("signup:complete", plain)
    with pytest.raises(ValueError):
        gate.on("signup:completed", lambda _happened: None)
    gate.on("signup:completed", plain)
    gate.on("signup:completed", plain)
    with pytest.raises(ValueError):
        gate.on("signup:completed", print, name=f"{__name__}.plain")


async def test_a_new_observer_does_not_get_the_past(tmp_path: Path) -> None:
    async def once(notes: Notes, email: str) -> None:
        gate = made(notes, "signup:completed", "tenant:created", data=tmp_path) if notes is not first else past
        async with gate.running(work=False), client_for(gate) as http:
            await testing.sign_in(http, email, gate=gate)
            await gate.settle()

    first, notes = Notes(), Notes()
    past = testing.gate(data=tmp_path)
    await once(first, "anna@example.com")
    await once(notes, "bert@example.com")
    assert notes.heard == ["signup:completed"]
    await once(notes, "carl@example.com")
    assert len(notes) == 2


async def test_events_of_a_process_without_observers_arrive_too(tmp_path: Path) -> None:
    """Another process delivers what happened in a command, in a worker, or in a process of an older version."""
    notes = Notes()
    gate = made(notes, "signup:completed", data=tmp_path)
    async with gate.running(work=False):
        pass
    silent = testing.gate(data=tmp_path)
    async with silent.running(work=False), client_for(silent) as http:
        await testing.sign_in(http, "anna@example.com", gate=silent)
        await silent.settle()
    async with gate.running(work=False):
        await gate.settle()
    assert notes.heard == ["signup:completed"]


async def test_many_processes_deliver_each_event_once(database_url: str | None, tmp_path: Path) -> None:
    """Three gates over one database stand for three processes: they share nothing else."""
    notes = Notes()
    gates = [
        made(notes, "signup:completed", "signin:completed", "session:ended", data=tmp_path, database_url=database_url)
        for _ in range(3)
    ]
    people = [f"p{number}@example.com" for number in range(4)]
    async with gates[0].running(work=False), gates[1].running(work=False), gates[2].running(work=False):
        for _ in range(3):
            for email, gate in zip(people, gates * 2, strict=False):
                async with client_for(gate) as http:
                    await testing.sign_in(http, email, gate=gate)
                    await http.delete("/api/v1/session")
        for gate in gates:
            gate.clock.forward(1)
        await asyncio.gather(*(gate.settle() for gate in gates))
        for gate in gates:
            await gate.settle()
        assert await left(gates[0]) == []
    assert len({happened.id for happened in notes}) == len(notes) == len(people) * 6
    for user in {happened.user_id for happened in notes}:
        mine = [happened.event for happened in notes if happened.user_id == user]
        assert mine == ["signup:completed", "session:ended", *["signin:completed", "session:ended"] * 2]


# -- kill -9 ---------------------------------------------------------------------------------------

PROCESS = """
import asyncio, os, signal, sys
from pathlib import Path
from passgate import testing
from passgate.core import ledger
from tests.kit import client_for

folder, way = Path(sys.argv[1]), sys.argv[2]

async def hear(happened):
    if way == "die while told":
        os.kill(os.getpid(), signal.SIGKILL)
    with (folder / "heard").open("a") as out:
        out.write(f"{happened.event} {happened.id}\\n")

async def main():
    clock = testing.Clock(now=testing.START + (120_000_000 if way == "tell" else 0))
    gate = testing.gate(data=folder / "data", clock=clock)
    gate.on("signup:completed", hear, name="hear")
    gate.on("session:ended", hear, name="hear")
    async with gate.running(work=False):
        if way != "tell":
            async with client_for(gate) as http:
                await testing.sign_in(http, "anna@example.com")
                await http.delete("/api/v1/session")
                if way == "die after the commit":
                    os.kill(os.getpid(), signal.SIGKILL)
        await gate.settle()

asyncio.run(main())
"""


def begun(folder: Path, way: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))}
    return subprocess.Popen([sys.executable, "-c", PROCESS, folder, way], env=env)


@pytest.mark.parametrize("way", ["die after the commit", pytest.param("die while told", marks=pytest.mark.soak)])
def test_a_process_dies_and_the_next_ones_deliver(tmp_path: Path, way: str) -> None:
    assert begun(tmp_path, way).wait(60) == -signal.SIGKILL
    assert not (tmp_path / "heard").exists()
    assert [process.wait(60) for process in (begun(tmp_path, "tell"), begun(tmp_path, "tell"))] == [0, 0]
    assert begun(tmp_path, "tell").wait(60) == 0  # delivers what one of the two still held
    heard = [line.split() for line in (tmp_path / "heard").read_text().splitlines()]
    assert [event for event, _ in heard] == ["signup:completed", "session:ended"]
    assert heard[0][1] != heard[1][1]
