"""Functions of a host program that run in the background: which there are, how one is started, and how it goes. A row
of `job` is one start, with its arguments sealed until it has ended. States have the names that Celery gives them.

Not here: running them (`job_worker`), and our own background work (`jobs`).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, delete, select

from passgate.core import access, host_budgets, tenants
from passgate.core.action import ANYBODY, action
from passgate.core.ctx import Ctx, Person, Stranger
from passgate.core.json_value import checked
from passgate.errors import CredentialMissing, NotFound
from passgate.store import Db
from passgate.store.tables import job

MOST_ARGUMENTS, MOST_RESULT = 16 * 1024, 4096
"""Bytes, as canonical JSON."""
_LONGEST_NAME = 60
_RUN = "run"
"""The parameter by which a function asks for its JobRun."""

Function = Callable[..., Any]


class State(StrEnum):
    """STARTED: a process runs it. RETRY: it has failed and will run again. SUCCESS and FAILURE are final."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job. `attempt` counts from 1; the `id` stays the same."""

    id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class HostJob:
    """A registered function. `attempts`: after so many, a failure is final."""

    name: str
    fn: Function
    attempts: int
    for_strangers: bool

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.fn) or inspect.iscoroutinefunction(getattr(self.fn, "__call__", None))  # noqa: B004

    def bound(self, run: JobRun, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the function is called with. Raises TypeError for what does not fit its parameters."""
        signature = inspect.signature(self.fn)
        more = {_RUN: run} if _RUN in signature.parameters else {}
        signature.bind(**more, **arguments)
        return {**more, **arguments}


class HostJobs(dict[str, HostJob]):
    """Functions by name."""

    def add(self, fn: Function, name: str | None, attempts: int, *, for_strangers: bool) -> None:
        full_name = name or f"{fn.__module__}.{fn.__qualname__}"
        if name is None and "<" in full_name:
            raise ValueError(f"{full_name} has no stable name: pass one with name=…")
        if len(full_name) > _LONGEST_NAME:
            raise ValueError(f"{full_name} is longer than {_LONGEST_NAME}: pass a shorter name with name=…")
        if full_name in self or any(one.fn == fn for one in self.values()):
            raise ValueError(f"the name {full_name} or its function is registered already")
        if attempts < 1:
            raise ValueError("a job needs at least one attempt")
        self[full_name] = HostJob(full_name, fn, attempts, for_strangers)

    def of(self, fn: Function) -> HostJob:
        """Raises ValueError for a function that is not registered."""
        for one in self.values():
            if one.fn == fn:
                return one
        raise ValueError("this function is no job: register it with gate.job(…) before the program starts")


async def start(ctx: Ctx, one: HostJob, arguments: Mapping[str, Any]) -> str:
    """Store that the function is to be called with these arguments; returns the job's id. Raises TypeError or
    ValueError for arguments that do not fit or cannot be stored, CredentialMissing for a stranger unless strangers may
    start it, SessionEnded and Throttled."""
    one.bound(JobRun("", 1), arguments)
    given = checked(dict(arguments), most=MOST_ARGUMENTS)
    if isinstance(ctx.principal, Person):
        async with action(ctx, permission=ANYBODY) as acting:
            return await _add(ctx, acting.db, one, given, *ctx.principal.key)
    if isinstance(ctx.principal, Stranger) and not one.for_strangers:
        raise CredentialMissing
    async with ctx.write() as db:
        return await _add(ctx, db, one, given, (await tenants.named(ctx, db, None)).id, None)


async def _add(ctx: Ctx, db: Db, one: HostJob, given: str, tenant_id: str, person_id: str | None) -> str:
    await host_budgets.job(ctx, db)
    job_id, now = ctx.world.uuid(), ctx.now()
    await db.add(
        job,
        id=job_id,
        tenant_id=tenant_id,
        person_id=person_id,
        kind=one.name,
        state=State.PENDING,
        given_sealed=ctx.ring.seal("job", place(job_id), given.encode()),
        attempts=0,
        created_at=now,
        due_at=now,
    )
    return job_id


def place(job_id: str) -> str:
    """What the arguments are sealed for besides their purpose, as key rotation names it."""
    return f"{job.name}:{job_id}"


_BY_ID = select(job).where(job.c.tenant_id == bindparam("of_tenant"), job.c.id == bindparam("of_id"))


async def show(ctx: Ctx, job_id: str) -> dict[str, Any]:
    """{id, kind, state, attempts, result, created_at, ended_at}, for whoever started it, and for whoever may read users
    of its tenant. Raises NotFound alike for all others and for a job that is not there."""
    tenant_id = await access.tenant_of(ctx)
    async with ctx.read() as db:
        row = await db.one(_BY_ID, of_tenant=tenant_id, of_id=job_id)
        is_mine = row is not None and isinstance(ctx.principal, Person) and row["person_id"] == ctx.principal.person_id
        if row is None or not (is_mine or await access.has(ctx, db, "users:read")):
            raise NotFound
    result = json.loads(row["result"]) if row["result"] is not None else None
    names = ("id", "kind", "state", "attempts", "created_at", "ended_at")
    return {**{name: row[name] for name in names}, "result": result}


async def purge(db: Db, before: int) -> None:
    """Delete those that ended before then."""
    await db.change(delete(job).where(job.c.ended_at < before))
