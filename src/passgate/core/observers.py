"""Observers: functions of the host application, called with events from the sealed audit trail after the commit. At
least once, in order per person, by any number of processes; an observer cannot veto anything. Sequence numbers are
assigned after the commit, without gaps: one number is an observer's position, and no late commit is skipped.

Not here: writing events (`audit.record`) and numbering them (`ledger`).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, and_, bindparam, delete, exists, func, select, update

from passgate.core.ctx import Services
from passgate.core.events import Event
from passgate.core.queue import LeasedQueue
from passgate.errors import Unavailable
from passgate.store.tables import audit_event, audit_head, observer, observer_queue
from passgate.world import SECOND

log = logging.getLogger(__name__)

_ROUND = 0.25
"""Seconds between two polls of the trail."""
LIMIT = 50
"""Seconds a function may take before it counts as failed."""
_QUEUE = LeasedQueue(observer_queue, ("tenant_id", "name", "event_id"), 60, (1, 5, 30, 120, 600, 3600))
_BATCH = 500
_AT_ONCE = 8

_HERE = ""
"""Replaces the tenant's id in the row that records that an observer is registered."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. `id` is the same on every delivery; `facts` contains nothing secret and nothing personal."""

    id: str
    event: str
    at: datetime
    tenant_id: str
    user_id: str | None
    actor_id: str | None
    facts: Mapping[str, Any] = field(hash=False)


ObserverFunction = Callable[[Happened], Awaitable[None] | None]


@dataclass(slots=True)
class Observer:
    """`name` is the key of its stored position."""

    name: str
    fn: ObserverFunction
    events: set[str] = field(default_factory=set)


class Observers(dict[str, Observer]):
    """Observers by name. A function receives all its events in one order. `known`: the events it may subscribe to."""

    def __init__(self, known: Iterable[str] = Event) -> None:
        super().__init__()
        self._known = frozenset(known)

    def on(self, event: str, fn: ObserverFunction, name: str | None = None) -> None:
        if event not in self._known:
            raise ValueError(f"there is no event {event!r}; docs/reference/events.md lists them")
        full_name = name or f"{fn.__module__}.{fn.__qualname__}"
        if name is None and "<" in full_name:
            raise ValueError(f"{full_name} has no stable name: pass one with name=…")
        found = self.setdefault(full_name, Observer(full_name, fn))
        if found.fn != fn:
            raise ValueError(f"two observers are named {full_name}: pass another name with name=…")
        found.events.add(event)


async def run(services: Services, observers: Observers, stop: asyncio.Event) -> None:
    """Run until `stop` is set and the current round is done. Waits while the database is unavailable."""
    while not stop.is_set():
        try:
            while await notify(services, observers) and not stop.is_set():
                pass
        except Unavailable as fault:
            log.warning("observers are waiting", extra={"down": fault.down})
        except Exception:
            log.exception("job failed")
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROUND):
                await stop.wait()


async def join(services: Services, names: Iterable[str]) -> None:
    """Register observers before the first request: a new one starts at the present end of the trail. (It receives a
    tenant created later from its beginning.)"""
    for name in names:
        async with services.store.write() as db:
            here = {"name": name, "tenant_id": _HERE, "seq": 0}
            if not await db.change(db.upsert(observer).values(here).on_conflict_do_nothing()):
                continue
            for head in await db.rows(select(audit_head.c.tenant_id, audit_head.c.seq)):
                await db.add(observer, name=name, tenant_id=head["tenant_id"], seq=head["seq"])


async def notify(services: Services, observers: Observers) -> int:
    """One round: queue new events, then call the observers that are due; returns the number of successful calls. Rounds
    of one process come one after the other."""
    async with services.notifying:
        for each in observers.values():
            for tenant_id in await _behind(services, each):
                while await _queue(services, each, tenant_id):
                    pass
        async with services.store.read() as db:
            due = await db.rows(_DUE, names=list(observers), now=services.world.now())
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(row: RowMapping) -> bool:
            async with turn:
                return await _notify(services, observers[row["name"]], row)

        # Each concerns a different person or observer, so they can run concurrently.
        return sum(await asyncio.gather(*(one(row) for row in due)))


# -- from the trail into `observer_queue` ----------------------------------------------------------

_BEHIND = (
    select(audit_head.c.tenant_id)
    .outerjoin(observer, and_(observer.c.tenant_id == audit_head.c.tenant_id, observer.c.name == bindparam("of_name")))
    .where(audit_head.c.seq > func.coalesce(observer.c.seq, 0))
)


async def _behind(services: Services, each: Observer) -> list[str]:
    async with services.store.read() as db:
        return [row["tenant_id"] for row in await db.rows(_BEHIND, of_name=each.name)]


async def _queue(services: Services, each: Observer, tenant_id: str) -> bool:
    """Queue a batch of one tenant's trail; True if there may be more. The observer's position is locked meanwhile
    (SQLite: the one write transaction), so that only one process advances it."""
    mine = (observer.c.name == each.name, observer.c.tenant_id == tenant_id)
    async with services.store.write() as db:
        first = {"name": each.name, "tenant_id": tenant_id, "seq": 0}
        await db.change(db.upsert(observer).values(first).on_conflict_do_nothing())
        seen = await db.value(select(observer.c.seq).where(*mine).with_for_update())
        end = await db.value(select(audit_head.c.seq).where(audit_head.c.tenant_id == tenant_id))
        upto = min(seen + _BATCH, end)
        stretch = select(audit_event.c.id, audit_event.c.subject_id, audit_event.c.seq).where(
            audit_event.c.tenant_id == tenant_id,
            audit_event.c.seq > seen,
            audit_event.c.seq <= upto,
            audit_event.c.event.in_(sorted(each.events)),
        )
        for row in await db.rows(stretch.order_by(audit_event.c.seq)):
            await db.add(
                observer_queue,
                name=each.name,
                event_id=row["id"],
                tenant_id=tenant_id,
                seq=row["seq"],
                # An event about no person waits for no other event.
                about=row["subject_id"] or row["id"],
                attempts=0,
                due_at=services.world.now(),
            )
        await db.change(update(observer).where(*mine).values(seq=upto))
        return bool(upto < end)


# -- from `observer_queue` to the function ----------------------------------------------------------------

_older = observer_queue.alias("older")
_DUE = (
    select(observer_queue)
    .where(
        observer_queue.c.name.in_(bindparam("names", expanding=True)),
        observer_queue.c.due_at <= bindparam("now"),
        ~exists().where(
            _older.c.name == observer_queue.c.name,
            _older.c.about == observer_queue.c.about,
            _older.c.seq < observer_queue.c.seq,
        ),
    )
    .order_by(observer_queue.c.seq)
    .limit(_BATCH)
)
"""The oldest event per observer and person, if it is due."""


async def _notify(services: Services, each: Observer, row: RowMapping) -> bool:
    async with services.store.write() as db:
        lease = await _QUEUE.claim(services, db, row)
        if lease is None:
            return False
        event = await db.one(
            select(audit_event).where(audit_event.c.tenant_id == row["tenant_id"], audit_event.c.id == row["event_id"])
        )
    try:
        if event is not None:
            async with asyncio.timeout(LIMIT):
                await _call(each.fn, _happened(event))
    except asyncio.CancelledError:
        await _QUEUE.give_back(services, lease)  # orderly shutdown: the next process need not wait for the lease
        raise
    except Exception:
        log.exception("observer failed", extra={"observer": each.name, "event": row["event_id"]})
        await _QUEUE.later(services, lease)
        return False
    async with services.store.write() as db:
        await db.change(delete(observer_queue).where(*_QUEUE.row_is(row)))
    return True


async def _call(fn: ObserverFunction, happened: Happened) -> None:
    """A plain function runs in a thread, so that it may block."""
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004
        answer = fn(happened)
    else:
        answer = await asyncio.to_thread(fn, happened)
    if inspect.isawaitable(answer):
        await answer


def _happened(row: RowMapping) -> Happened:
    return Happened(
        id=row["id"],
        event=row["event"],
        at=datetime.fromtimestamp(row["at"] / SECOND, UTC),
        tenant_id=row["tenant_id"],
        user_id=row["subject_id"],
        actor_id=row["actor_id"],
        facts=json.loads(row["facts"]),
    )
