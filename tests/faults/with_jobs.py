"""A host's program for crash tests: anybody starts a job, which writes each of its runs into a file. Run as a module it
is the server, with its settings from PASSGATE_… and the file beside its data.

Not here: what is killed, and when.
"""

import asyncio
import os
from pathlib import Path

from fastapi import FastAPI, Request

from passgate import JobRun, Passgate, Settings
from passgate.core import job_worker
from passgate.core.queue import LeasedQueue
from passgate.store.tables import job
from passgate.world import World
from tests.processes import serve

SECONDS = 3
"""Of a lease, so that a test need not wait for a minute."""
job_worker._QUEUE = LeasedQueue(job, ("tenant_id", "id"), SECONDS, (1,))
job_worker.RENEW, job_worker._MARGIN = 0.5, 1


def build(settings: Settings) -> FastAPI:
    app, gate = FastAPI(), Passgate(settings, World.real())
    gate.mount(app, at="")
    runs = settings.data / "runs"

    @gate.job(name="work", for_strangers=True)
    async def work(run: JobRun, seconds: float) -> dict[str, int]:
        written(runs, f"begins {run.id} {run.attempt} {os.getpid()}")
        await asyncio.sleep(seconds)
        written(runs, f"ends {run.id} {run.attempt} {os.getpid()}")
        return {"attempt": run.attempt}

    @app.post("/start")
    async def start(request: Request, seconds: float, and_die: bool = False) -> str:
        job_id = await gate.start_job(request, work, seconds=seconds)
        if and_die:
            os.kill(os.getpid(), 9)
        return job_id

    return app


def written(runs: Path, line: str) -> None:
    """One write, so that lines of several processes stay whole."""
    with runs.open("ab", buffering=0) as out:
        out.write(f"{line}\n".encode())


if __name__ == "__main__":
    own = Settings.load()
    serve(build(own), own.port)
