"""Runs the functions of a host program: claim a row, call its function, store what came of it. At least once, by one
process at a time: whoever has the lease of a row renews it while its function runs, and writes nothing once it is lost.

Not here: starting a job and asking about it (`host_jobs`), and how a lease works (`queue`).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import RowMapping, bindparam, select, update

from passgate.core.audit import canonical
from passgate.core.ctx import Services
from passgate.core.host_jobs import MOST_RESULT, HostJob, HostJobs, JobRun, State, place
from passgate.core.json_value import checked
from passgate.core.queue import Lease, LeasedQueue
from passgate.errors import Unavailable
from passgate.store.tables import job
from passgate.world import SECOND

log = logging.getLogger(__name__)

_ROUND = 0.25
"""Seconds between two polls."""
_AT_ONCE = 8
"""Functions that run at once in one process."""
LEASE = 60
"""Seconds that a process has a row."""
RENEW = 15.0
"""Seconds after which it asks for more."""
_MARGIN = 10
"""A lease that could not be renewed counts as lost so many seconds before it is over: clocks differ."""
PAUSES = (10, 60, 300, 1800, 7200)
"""Seconds after the first failure, the second, and so on."""
_DEATHS = 3
"""So often more than its attempts may a job begin, if its processes die. Else one that kills them would do so for
ever."""
_QUEUE = LeasedQueue(job, ("tenant_id", "id"), LEASE, PAUSES)


class ResultRefused(ValueError):
    """The function has returned what cannot be stored. It has done its work, so it is not called again."""


class Abandoned(Exception):
    """Every process that ran this job has died."""


@dataclass(slots=True)
class _Claim:
    """A row that this process runs."""

    row: RowMapping
    lease: Lease


async def run(services: Services, jobs: HostJobs, stop: asyncio.Event) -> None:
    """Run until `stop` is set and what has begun is done. If cancelled, functions that can be interrupted are, and
    their rows given back. Waits while the database is unavailable."""
    running, threads = set[asyncio.Task[None]](), ThreadPoolExecutor(_AT_ONCE, "passgate-job")
    try:
        while not stop.is_set():
            try:
                await _begin(services, jobs, running, threads)
            except Unavailable as fault:
                log.warning("a host's jobs are waiting", extra={"down": fault.down})
            except Exception:
                log.exception("job failed")
            await _set_within(stop, _ROUND)
        while running:
            await asyncio.wait(running)
    finally:
        for one in tuple(running):
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        threads.shutdown(wait=False)


async def work(services: Services, jobs: HostJobs) -> int:
    """One round, to its end, where no worker runs; returns how many functions were called."""
    running = set[asyncio.Task[None]]()
    count = await _begin(services, jobs, running, None)
    await asyncio.gather(*running)
    return count


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


# -- claiming --------------------------------------------------------------------------------------

_DUE = (
    select(job.c.tenant_id, job.c.id, job.c.kind, job.c.due_at, job.c.attempts)
    .where(
        job.c.ended_at.is_(None),
        job.c.due_at <= bindparam("now"),
        job.c.kind.in_(bindparam("names", expanding=True)),
    )
    .order_by(job.c.due_at)
    .limit(bindparam("most"))
)
"""A function that this process does not have is left to others."""


async def _due(services: Services, jobs: HostJobs, most: int) -> list[RowMapping]:
    async with services.store.read() as db:
        return list(await db.rows(_DUE, now=services.world.now(), names=list(jobs), most=most))


async def _begin(services: Services, jobs: HostJobs, running: set[asyncio.Task[None]], threads: Executor | None) -> int:
    """Begin as much of what is due as there is room for; returns how many."""
    count, room = 0, _AT_ONCE - len(running)
    for row in await _due(services, jobs, room) if room > 0 else ():
        claim = await _claim(services, row)
        if claim is not None:
            task = asyncio.create_task(_run(services, jobs[row["kind"]], claim, threads))
            running.add(task)
            task.add_done_callback(running.discard)
            count += 1
    return count


async def _claim(services: Services, row: RowMapping) -> _Claim | None:
    async with services.store.write() as db:
        lease = await _QUEUE.claim(services, db, row, job.c.ended_at.is_(None), state=State.STARTED)
        claimed = await db.one(select(job).where(*lease.is_mine)) if lease else None
    return _Claim(claimed, lease) if lease and claimed else None


# -- one run ---------------------------------------------------------------------------------------

Outcome = tuple[State, str | None]
"""The state that follows, and the result as JSON."""


async def _run(services: Services, one: HostJob, claim: _Claim, threads: Executor | None) -> None:
    over = asyncio.Event()
    work = asyncio.create_task(_called(services, one, claim, threads))
    renewing = asyncio.create_task(_renewed(services, claim, over))
    try:
        await asyncio.wait({work, renewing}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait({work}, timeout=1)
        over.set()
        await renewing
        await _leave(services, one, claim, work)
        raise
    # Not cancelled: what a cut-off renewal has written would be unknown.
    over.set()
    await renewing
    if work.done():
        await _end(services, claim, _outcome(one, claim, work))
    else:
        log.warning("the lease of a running job is over", extra={"kind": one.name, "row": claim.row["id"]})
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _renewed(services: Services, claim: _Claim, over: asyncio.Event) -> None:
    """Renew the lease until `over`. Returns before that if it is lost."""
    pause = RENEW
    while not await _set_within(over, pause):
        try:
            lease = await _QUEUE.renew(services, claim.row, claim.lease)
        except Exception as fault:
            if not isinstance(fault, Unavailable):
                log.exception("job failed")
            if services.world.now() >= claim.lease.until - _MARGIN * SECOND:
                return
            pause = 1
            continue
        if lease is None:
            return
        claim.lease, pause = lease, RENEW


async def _called(services: Services, one: HostJob, claim: _Claim, threads: Executor | None) -> Any:
    job_id, attempt = claim.row["id"], claim.lease.attempts
    if attempt > one.attempts + _DEATHS:
        raise Abandoned
    given = json.loads(services.ring.unseal("job", place(job_id), claim.row["given_sealed"]))
    call: Callable[[], Any] = partial(one.fn, **one.bound(JobRun(job_id, attempt), given))
    try:
        if one.is_async:
            return await call()
        found = await asyncio.get_running_loop().run_in_executor(threads, partial(copy_context().run, call))
        return await found if inspect.isawaitable(found) else found
    except (SystemExit, KeyboardInterrupt) as exit_:  # a function ends nothing but itself
        raise RuntimeError(type(exit_).__name__) from exit_


def _outcome(one: HostJob, claim: _Claim, work: asyncio.Task[Any]) -> Outcome:
    error = asyncio.CancelledError() if work.cancelled() else work.exception()
    is_last = claim.lease.attempts >= one.attempts
    if error is None:
        try:
            return State.SUCCESS, checked(work.result(), most=MOST_RESULT)
        except ValueError:
            error, is_last = ResultRefused(), True
    log.error("a host's job failed", extra={"kind": one.name, "row": claim.row["id"]}, exc_info=error)
    if not is_last:
        return State.RETRY, None
    # Never its text, which may hold anything that the function was given.
    return State.FAILURE, canonical({"error": type(error).__name__}).decode()


async def _end(services: Services, claim: _Claim, outcome: Outcome) -> None:
    """Store what came of it, while the lease is ours: a function that has run should not run again because the database
    was away for a moment."""
    while True:
        try:
            return await _stored(services, claim.lease, *outcome)
        except Unavailable as fault:
            if services.world.now() >= claim.lease.until:
                log.warning("a host's jobs are waiting", extra={"down": fault.down})
                return None
            await asyncio.sleep(_ROUND)


async def _stored(services: Services, lease: Lease, state: State, result: str | None) -> None:
    if state is State.RETRY:
        await _QUEUE.later(services, lease, state=state)
        return
    ended = {"state": state, "result": result, "given_sealed": None, "ended_at": services.world.now()}
    async with services.store.write() as db:
        await db.change(update(job).where(*lease.is_mine, job.c.ended_at.is_(None)).values(**ended))


async def _leave(services: Services, one: HostJob, claim: _Claim, work: asyncio.Task[Any]) -> None:
    """At the end of this process. A thread cannot be interrupted, so its row is left to the end of its lease."""
    if work.done() and not work.cancelled():
        await _end(services, claim, _outcome(one, claim, work))
    elif one.is_async and work.done():
        before = claim.lease.attempts - 1
        state = State.RETRY if before else State.PENDING
        await _QUEUE.give_back(services, claim.lease, state=state, attempts=before)
