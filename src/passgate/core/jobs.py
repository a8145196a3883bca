"""Background jobs: deliver mail, seal the audit trail, purge expired rows, reseal credentials and cover the trail with
checkpoints under a new key. A job is data: its name, how often it runs, and what it runs.

Not here: the work itself, which is in the module each job serves. Jobs may run concurrently in any number of processes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from passgate.core import (
    checkpoint,
    credentials,
    erasure,
    factor_reset,
    form_answers,
    host_jobs,
    keys,
    ledger,
    once,
    outbox,
    pending,
    sealed,
    sessions,
    throttle,
    undo_link,
)
from passgate.core.ctx import Ctx, Services, System
from passgate.core.factors import password
from passgate.core.message import Mailer
from passgate.errors import Unavailable
from passgate.world import SECOND

log = logging.getLogger(__name__)

_ROUND = 0.5
"""Seconds between two rounds; a mail enqueued in this process wakes the worker at once."""
_SLOW = 60
"""Seconds between two purges."""
_HOUR, _MONTH = 3600 * SECOND, 30 * 24 * 3600 * SECOND
_YEAR = 366 * 24 * 3600 * SECOND


async def run(services: Services, mailer: Mailer, stop: asyncio.Event) -> None:
    """Run until `stop` is set and the current round is done: a mail claimed and abandoned would have to wait for its
    lease to expire. Mail has its own task, so a slow mail server delays nothing else."""
    async with asyncio.TaskGroup() as lines:
        lines.create_task(_deliver(services, mailer, stop))
        lines.create_task(_housekeeping(services, stop))


async def _deliver(services: Services, mailer: Mailer, stop: asyncio.Event) -> None:
    while not stop.is_set():
        async with _going_on():
            await outbox.deliver(services, mailer)
        await _pause(services.wake)
        services.wake.clear()


async def _pause(until: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_ROUND):
            await until.wait()


async def _housekeeping(services: Services, stop: asyncio.Event) -> None:
    """Run each job when it is due; one that fails does not keep the others from running."""
    due, everything = dict[str, int](), jobs()
    while not stop.is_set():
        for job in everything:
            if services.world.now() >= due.get(job.name, 0):
                due[job.name] = services.world.now() + job.every * SECOND
                async with _going_on():
                    await job.run(services)
        await _pause(stop)


@dataclass(frozen=True, slots=True)
class Job:
    """`every`: seconds between two runs; 0 means every round."""

    name: str
    every: int
    run: Callable[[Services], Awaitable[object]]


def jobs() -> tuple[Job, ...]:
    """All but the mails. Made anew for each process, because one of them remembers what it has done."""
    return (
        Job("seal the trail", 0, ledger.seal),
        Job("scrub the log", 0, erasure.scrub),
        Job("purge", _SLOW, tidy),
        Job("reset factors", _SLOW, factor_reset.run_due),
        Job("rotate signing keys", _SLOW, keys.rotate_due),
        Job("log what was counted", _SLOW, log_tally),
        Job("seal under the newest key", 0, _Resealing()),
    )


class _Resealing:
    """Reseals what is stored as soon as the key has changed, and covers the trail with a checkpoint."""

    def __init__(self) -> None:
        self._sealed_under, self._again_at = b"", 0

    async def __call__(self, services: Services) -> None:
        if services.ring.head != self._sealed_under:
            await sealed.rewrap(services)
            await checkpoint.make(services)
            self._sealed_under, self._again_at = services.ring.head, services.world.now() + _SLOW * SECOND
        elif self._again_at and services.world.now() >= self._again_at:
            # Requests that had begun before the key changed may have written rows under the older one.
            self._again_at = 0
            await checkpoint.make(services)


@asynccontextmanager
async def _going_on() -> AsyncIterator[None]:
    """Wait while the database is unavailable. Log any other error and continue: a worker that dies silently would leave
    mails unsent."""
    try:
        yield
    except Unavailable as fault:
        log.warning("jobs are waiting", extra={"down": fault.down})
    except Exception:
        log.exception("job failed")


async def tidy(services: Services) -> None:
    await erasure.erase_due(services)
    await purge(services)
    async with services.store.read() as db:
        services.hasher.know(await password.schemes(db))


async def log_tally(services: Services) -> None:
    """Log what was counted since the last line and is not in the audit trail."""
    if services.tally:
        log.info("counted in the last minute", extra={"counts": dict(services.tally)})
        services.tally.clear()


async def purge(services: Services) -> None:
    """Delete sign-ins and tickets an hour after they expire, sessions a month after they end (a past session still
    identifies a known device), mails and a host's jobs after a month, and remembered browsers after the longest
    lifetime rules allow."""
    now = services.world.now()
    async with services.store.write(heavy=True) as db:
        await once.purge(db, now - _HOUR)
        await pending.purge(db, now - _HOUR)
        await outbox.purge(db, now - _MONTH)
        await host_jobs.purge(db, now - _MONTH)
        await sessions.purge(db, now - _MONTH)
        await credentials.purge_browsers(db, now - _YEAR)
        await credentials.purge_secrets(db, now - undo_link.LIFE * SECOND - _HOUR)
        await form_answers.purge(db, now)
        await throttle.purge(Ctx(services, principal=System()), db)
