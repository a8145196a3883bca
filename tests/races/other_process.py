"""A Passgate in a process of its own, over the database of a test, that makes one change at a time when told to.

The changes are those of `test_ticket_powers` and `test_undo`. Not here: assertions.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from subprocess import PIPE
from typing import Any

from passgate.app import Passgate
from passgate.core.ctx import Ctx
from passgate.core.ctx import Person as Actor
from passgate.errors import Refusal
from passgate.world import World
from tests import tenancy
from tests.core.behind import HERE
from tests.kit import Clock, make_quick, settings_for
from tests.processes import ROOT

MORE: dict[str, Any] = {"recovery": {"wait": "24h"}, "mail": {"per_hour": 1000}}


class OtherProcess:
    """One process for all tests of a worker: starting it takes longer than what they do."""

    def __init__(self) -> None:
        env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
        command = (sys.executable, "-m", __name__)
        self._process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, cwd=ROOT, env=env)
        atexit.register(self._end)

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    async def change(self, name: str, who: Actor, owner: Actor, email: str, now: int, answer: Any = None) -> bool:
        """Whether the change was made; False if it was refused. Anything else ends the process, and the test.
        `answer`: what was prepared for it."""
        order = {"change": name, "who": asdict(who), "owner": asdict(owner), "email": email, "now": now}
        return bool(await self.answer({**order, "answer": answer}))

    async def answer(self, order: dict[str, Any]) -> Any:
        return json.loads(await asyncio.to_thread(self._exchange, json.dumps(order).encode() + b"\n"))

    def _exchange(self, line: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline()


_the = lru_cache(1)(OtherProcess)


@asynccontextmanager
async def other_process(data: Path, database_url: str | None, **more: Any) -> AsyncIterator[OtherProcess]:
    """The process over this database. `more`: settings besides those that all have."""
    there = _the()
    order = {"data": str(data), "database_url": database_url, "more": {**MORE, **more}}
    try:
        assert await there.answer(order) == "ready"
        yield there
        assert await there.answer({}) == "closed"
    except BaseException:
        _the.cache_clear()  # it may be in the middle of something: the next test gets a new one
        there._end()
        raise


@dataclass
class _Scene:
    owner: Actor
    address: str
    answer: Any

    async def email(self, _who: Actor) -> str:
        return self.address


async def _serve() -> None:
    from tests.races import test_ticket_powers, test_undo  # noqa: PLC0415  those modules import this one

    found: Any = (*test_ticket_powers.CHANGES, *test_undo.CHANGES)
    changes = {change.__name__: change for change in found}
    while line := await _next():
        opened = json.loads(line)
        settings = settings_for(Path(opened["data"]), opened["database_url"], **opened["more"])
        clock = Clock()
        gate = Passgate(settings, World(clock, World.real().dice))
        await make_quick(gate)
        async with gate.running(work=False):
            _print("ready")
            while order := json.loads(await _next() or "null"):
                clock.now = order["now"]
                who, owner = (Actor(**{**order[name], "amr": tuple(order[name]["amr"])}) for name in ("who", "owner"))
                scene: Any = _Scene(owner, order["email"], order["answer"])
                try:
                    await changes[order["change"]](scene, Ctx(gate.services, HERE), who)
                    _print(True)
                except Refusal:
                    _print(False)
        _print("closed")


async def _next() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _print(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    tenancy.watch()
    asyncio.run(_serve())
