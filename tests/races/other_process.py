"""A Passgate in a process of its own, over the database of a test, that makes one change at a time when told to.

The changes are those of `test_ticket_powers` and `test_undo`. Not here: assertions.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from passgate.app import Passgate
from passgate.core.ctx import Actor, Ctx
from passgate.errors import Refusal
from passgate.world import World
from tests.core.behind import HERE
from tests.kit import Clock, settings_for
from tests.processes import ROOT

MORE: dict[str, Any] = {"recovery": {"wait": "24h"}, "mail": {"per_hour": 1000}}


@dataclass
class OtherProcess:
    process: Process

    async def change(self, name: str, who: Actor, owner: Actor, email: str, now: int, answer: Any = None) -> bool:
        """Whether the change was made; False if it was refused. Anything else ends the process, and the test.
        `answer`: what was prepared for it."""
        order = {"change": name, "who": asdict(who), "owner": asdict(owner), "email": email, "now": now}
        order["answer"] = answer
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        return bool(json.loads(await self.process.stdout.readline()))


@asynccontextmanager
async def other_process(data: Path, database_url: str | None, **more: Any) -> AsyncIterator[OtherProcess]:
    """`more`: settings besides those that all have."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    command = (sys.executable, "-m", __name__, str(data), database_url or "", json.dumps({**MORE, **more}))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT, env=env)
    assert process.stdout is not None
    assert process.stdin is not None
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield OtherProcess(process)
    finally:
        process.stdin.close()
        await process.wait()


@dataclass
class _Scene:
    owner: Actor
    address: str
    answer: Any

    async def email(self, _who: Actor) -> str:
        return self.address


async def _serve(data: str, database_url: str, more: str) -> None:
    from tests.races import test_ticket_powers, test_undo  # noqa: PLC0415  those modules import this one

    found: Any = (*test_ticket_powers.CHANGES, *test_undo.CHANGES)
    clock, changes = Clock(), {change.__name__: change for change in found}
    gate = Passgate(settings_for(Path(data), database_url or None, **json.loads(more)), World(clock, World.real().dice))
    async with gate.running(work=False):
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            clock.now = order["now"]
            who, owner = (Actor(**{**order[name], "amr": tuple(order[name]["amr"])}) for name in ("who", "owner"))
            scene: Any = _Scene(owner, order["email"], order["answer"])
            try:
                await changes[order["change"]](scene, Ctx(gate.services, HERE), who)
                is_made = True
            except Refusal:
                is_made = False
            print(json.dumps(is_made), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
