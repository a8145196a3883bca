"""Checkpoints: a chain verifies after the key of its rows was dropped, and what was changed before or after is named.

How a chain verifies whose keys are all there is tested in test_audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, update

from passgate.core import audit, chain, checkpoint, jobs, ledger
from passgate.core.audit import record
from passgate.core.ctx import Ctx, Services
from passgate.core.events import Event
from passgate.core.message import Message
from passgate.seal import Ring, digest
from passgate.store.tables import audit_checkpoint, audit_event, audit_head
from tests import operating
from tests.kit import The

OLD, NEW, NEWEST = (bytes([number]) * 32 for number in (1, 2, 3))
TENANT = "a tenant"
ROWS = 8


@dataclass
class Trail:
    """One tenant's trail, written and read under keys that the test names."""

    the: The

    def under(self, *keys: bytes) -> Services:
        """Services whose ring has these keys, newest first."""
        services = self.the.gate.services
        ring = Ring(keys, services.world)
        ring.load_stable(bytes(32))
        return replace(services, ring=ring)

    async def write(self, count: int, *keys: bytes, subject_id: str | None = None, seal: bool = True) -> None:
        ctx = Ctx(self.under(*keys))
        async with ctx.write() as db:
            for number in range(count):
                await record(
                    ctx,
                    db,
                    Event.PROFILE_CHANGED,
                    tenant_id=TENANT,
                    subject_id=subject_id,
                    personal={"email": "a@b.example"},
                    n=number,
                )
        while seal and await ledger.seal(ctx.services):
            pass

    async def make(self, *keys: bytes) -> int:
        return await checkpoint.make(self.under(*keys))

    async def found(self, *keys: bytes) -> list[tuple[str, int | None]]:
        report = await ledger.verify(self.under(*keys))
        return [(one.what, one.seq) for one in report.findings if one.tenant_id == TENANT]

    async def rows(self, table: Table = audit_event) -> list[dict[str, Any]]:
        found = [row for row in await self.the.rows(table) if row["tenant_id"] == TENANT]
        return sorted(found, key=lambda row: row["seq"] or 0) if table is audit_event else found

    async def change(self, seq: int, **values: Any) -> None:
        await self.change_in(audit_event, audit_event.c.seq == seq, **values)

    async def change_in(self, table: Table, which: Any, **values: Any) -> None:
        async with self.the.gate.services.store.write() as db:
            assert await db.change(update(table).where(table.c.tenant_id == TENANT, which).values(**values)) == 1


@pytest.fixture
def trail(the: The) -> Trail:
    return Trail(the)


async def test_a_dropped_key_leaves_a_whole_chain(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    assert await trail.found(NEW) == [*(("no_key", seq) for seq in range(1, ROWS + 1)), ("no_key", ROWS)]
    assert await trail.make(NEW, OLD) == 1
    report = await ledger.verify(trail.under(NEW))
    assert (report.ok, report.sealed, report.by_checkpoint) == (True, ROWS, ROWS)
    assert await trail.found(OLD) == [("no_key", ROWS)]  # the head is under the newer key, the rows are not
    assert await trail.make(NEW, OLD) == await trail.make(NEW) == 0


async def test_rows_that_come_later_are_verified_by_their_own_key(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    await trail.write(3, NEW)
    assert await trail.found(NEW) == []
    await trail.change(ROWS + 2, facts="{}")
    assert await trail.found(NEW) == [("changed", ROWS + 2)]


async def test_rows_under_the_older_key_that_come_after_it(trail: Trail) -> None:
    """By a process that did not know the newer key yet: the next checkpoint covers them, and not before."""
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    await trail.write(2, OLD, seal=False)
    await trail.write(1, NEW, OLD)  # seals them, under the newer key
    assert await trail.found(NEW, OLD) == []
    assert await trail.found(NEW) == [("no_key", ROWS + 1), ("no_key", ROWS + 2)]
    assert await trail.make(NEW, OLD) == 1
    assert await trail.found(NEW) == []
    await trail.write(1, OLD, seal=False)
    assert await trail.found(NEW) == [("no_key", None)]  # it waits to be sealed


CHANGES: dict[str, Any] = {
    "at": 1,
    "event": "signin:completed",
    "actor_id": "somebody",
    "facts": "{}",
    "personal": '{"email":"c@d.example"}',
    "personal_hash": bytes(32),
    "mac": bytes(36),
    "link": bytes(36),
}


@pytest.mark.parametrize("column", CHANGES)
@pytest.mark.parametrize("is_before", [True, False])
async def test_a_changed_row_is_named(lite: The, column: str, is_before: bool) -> None:
    """Before the checkpoint was made or after it, whatever of it was changed."""
    trail = Trail(lite)
    await trail.write(ROWS, OLD)
    if is_before:
        await trail.change(4, **{column: CHANGES[column]})
        await trail.make(NEW, OLD)
    else:
        await trail.make(NEW, OLD)
        await trail.change(4, **{column: CHANGES[column]})
    if is_before and column == "link":  # names no key that is there; the next row then was in no place
        assert await trail.found(NEW) == [("no_key", 4), ("changed", 5)]
    else:
        assert await trail.found(NEW) == [("changed", 4)]


async def test_who_has_the_older_key_changes_nothing(trail: Trail) -> None:
    """The row and the rest of the chain are forged with the key that they were written under."""
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    ring, previous = trail.under(OLD).ring, chain.FIRST
    for row in await trail.rows():
        forged = row | ({"facts": "{}"} if row["seq"] == 4 else {})
        mac = ring.mac("audit row", audit.covered(forged))
        previous = chain.link(ring, previous, row["seq"], mac)
        await trail.change(row["seq"], facts=forged["facts"], mac=mac, link=previous)
    head = (await trail.rows(audit_head))[0] | {"link": previous}
    await trail.change_in(audit_head, audit_head.c.seq == ROWS, link=previous, mac=chain.head_mac(ring, TENANT, head))
    assert await trail.found(OLD) == []  # who has only the older key sees nothing
    assert ("changed", 4) in await trail.found(NEW, OLD)
    assert ("changed", 4) in await trail.found(NEW)


async def test_a_checkpoint_under_an_older_key_covers_no_newer_rows(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    await trail.write(1, NEW, OLD)
    await trail.change(ROWS + 1, facts="{}")
    old = trail.under(OLD)
    digests = b"".join(checkpoint.row_digest(row) for row in await trail.rows())  # type: ignore[arg-type]
    row: dict[str, Any] = {"tenant_id": TENANT, "first_seq": 1, "last_seq": ROWS + 1, "digests": digests, "made_at": 1}
    row["mac"] = old.ring.mac("audit checkpoint", digest(audit.canonical([TENANT, 1, ROWS + 1, 1]), digests))
    async with old.store.write() as db:
        await db.change(insert(audit_checkpoint).values(**row))
    assert await trail.found(NEW, OLD) == [("changed", ROWS + 1)]
    await trail.make(NEW, OLD)
    assert await trail.found(NEW) == [("changed", ROWS + 1)]


@pytest.mark.parametrize(
    "values",
    [{"digests": bytes(32 * ROWS)}, {"last_seq": 3}, {"made_at": 1}, {"first_seq": 501}, {"tenant_id": "another"}],
    ids=str,
)
async def test_a_changed_checkpoint_is_named(trail: Trail, values: dict[str, Any]) -> None:
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    await trail.change_in(audit_checkpoint, audit_checkpoint.c.first_seq == 1, **values)
    is_moved = bool({"first_seq", "tenant_id"} & values.keys())
    changed = [] if is_moved else [("checkpoint", 1)]
    assert await trail.found(NEW, OLD) == changed
    assert await trail.found(NEW) == [*changed, *(("no_key", seq) for seq in range(1, ROWS + 1))]
    await trail.make(NEWEST, NEW)  # without the key of the rows nothing is made of it
    assert await trail.found(NEWEST, NEW) == [*changed, *(("no_key", seq) for seq in range(1, ROWS + 1))]
    await trail.make(NEWEST, NEW, OLD)  # with it everything is
    assert await trail.found(NEWEST) == []


async def test_a_checkpoint_taken_away(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    async with trail.the.gate.services.store.write() as db:
        await db.change(delete(audit_checkpoint))
    assert await trail.found(NEW, OLD) == []
    assert await trail.found(NEW) == [("no_key", seq) for seq in range(1, ROWS + 1)]
    assert await trail.make(NEW, OLD) == 1
    assert await trail.found(NEW) == []


@pytest.mark.parametrize("values", [{"seq": 3}, {"link": bytes(36)}, {"sealed_at": 5}], ids=str)
async def test_a_forged_head_is_not_renewed(trail: Trail, values: dict[str, Any]) -> None:
    await trail.write(ROWS, OLD)
    await trail.change_in(audit_head, audit_head.c.seq == ROWS, **values)
    await trail.make(NEW, OLD)
    assert await trail.found(NEW, OLD) == [("head", values.get("seq", ROWS))]
    assert await trail.found(NEW) == [("no_key", values.get("seq", ROWS))]


async def test_what_is_missing_or_cut_off_is_named(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    async with trail.the.gate.services.store.write() as db:
        await db.change(delete(audit_event).where(audit_event.c.seq.in_([3, ROWS])))
    assert await trail.found(NEW) == [("missing", 3), ("truncated", ROWS)]
    await trail.make(NEWEST, NEW)
    assert await trail.found(NEWEST) == [("missing", 3), ("truncated", ROWS)]


async def test_two_rows_that_changed_places_are_named(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    one, other = ((row["id"], row["link"]) for row in (await trail.rows())[3:5])
    for row_id, seq, link in ((one[0], None, None), (other[0], 4, one[1]), (one[0], 5, other[1])):
        await trail.change_in(audit_event, audit_event.c.id == row_id, seq=seq, link=link)
    assert await trail.found(NEW) == [("changed", 4), ("changed", 5)]


async def test_an_erased_person_leaves_a_whole_chain(trail: Trail) -> None:
    """Erased before the checkpoint or after it; half an erasure is a change."""
    for person_id in ("anna", "bert"):
        await trail.write(3, OLD, subject_id=person_id)
    services = trail.the.gate.services
    async with services.store.write() as db:
        await audit.forget(db, TENANT, "anna")
    await trail.make(NEW, OLD)
    async with services.store.write() as db:
        await audit.forget(db, TENANT, "bert")
    assert await trail.found(NEW) == []
    assert {row["personal"] for row in await trail.rows()} == {None}
    await trail.change(2, personal_salt=bytes(16))
    assert await trail.found(NEW) == [("changed", 2)]


async def test_two_rotations(trail: Trail) -> None:
    """A later checkpoint takes over what an earlier one says of rows whose own key is gone."""
    await trail.write(ROWS, OLD)
    await trail.change(2, facts="{}")
    await trail.make(NEW, OLD)
    await trail.write(2, NEW)
    await trail.change(4, facts="{}")
    assert await trail.found(NEWEST) == [*(("no_key", seq) for seq in range(1, ROWS + 3)), ("no_key", ROWS + 2)]
    assert await trail.make(NEWEST, NEW) == 1
    assert await trail.found(NEWEST) == [("changed", 2), ("changed", 4)]
    await trail.change(6, facts="{}")
    assert await trail.found(NEWEST) == [("changed", 2), ("changed", 4), ("changed", 6)]


async def test_a_row_that_was_restored_verifies_again(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    await trail.make(NEW, OLD)
    right = (await trail.rows())[3]["facts"]
    await trail.change(4, facts="{}")
    await trail.make(NEWEST, NEW)
    assert await trail.found(NEWEST) == [("changed", 4)]
    await trail.change(4, facts=right)
    assert await trail.found(NEWEST) == []


async def test_several_at_once_while_rows_are_sealed(trail: Trail) -> None:
    """Two sets of services, as in two processes, write and seal under both keys and make checkpoints meanwhile."""
    old, new = (OLD,), (NEW, OLD)

    async def grow(*keys: bytes) -> None:
        for _ in range(6):
            await trail.write(3, *keys)

    async def make() -> None:
        for _ in range(6):
            await trail.make(*new)

    await asyncio.gather(grow(*old), grow(*new), make(), make())
    assert await trail.found(*new) == []
    await trail.make(*new)
    assert await trail.found(NEW) == []


async def test_what_is_interrupted_goes_on(lite: The) -> None:
    """Whenever it is cancelled, what is stored is whole chunks, and the next one goes on with the others."""
    trail = Trail(lite)
    await trail.write(2 * checkpoint.SIZE + 7, OLD)

    async def stored() -> list[tuple[int, int]]:
        return [(row["first_seq"], row["last_seq"]) for row in await trail.rows(audit_checkpoint)]

    for turns in range(1, 40, 4):
        making = asyncio.create_task(trail.make(NEW, OLD))
        for _ in range(turns):
            await asyncio.sleep(0)
        making.cancel()
        with suppress(asyncio.CancelledError):
            await making
        assert await trail.found(NEW, OLD) == []
    whole = [(1, 500), (501, 1000), (1001, 1007)]
    left = len(whole) - len(before := await stored())
    assert before == whole[: len(before)]
    assert await trail.make(NEW, OLD) == left
    assert await stored() == whole
    assert await trail.found(NEW) == []
    await trail.write(600, OLD)
    assert await trail.make(NEW, OLD) == 2
    assert await stored() == [*whole[:2], (1001, 1500), (1501, 1607)]
    assert await trail.found(NEW) == []


class Nobody:
    """A mail transport for mails that nobody sends."""

    async def send(self, message: Message) -> None:
        raise AssertionError(message.to)


async def test_the_jobs_and_the_rotation_make_them(trail: Trail) -> None:
    await trail.write(ROWS, OLD)
    services, stop = trail.under(NEW, OLD), asyncio.Event()
    working = asyncio.create_task(jobs.run(services, Nobody(), stop))
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if await trail.rows(audit_checkpoint):
            break
    stop.set()
    services.wake.set()
    await working
    assert await trail.found(NEW) == []


async def test_key_rotation_makes_them(lite: The) -> None:
    """Of every tenant, and of rows that wait to be sealed."""
    trail, ring = Trail(lite), lite.gate.services.ring
    await operating.add_person(Ctx(lite.gate.services), "anna@example.com", "main", "user", None)
    await operating.rotate_keys(Ctx(lite.gate.services))
    assert _is_of(ring, await lite.rows(audit_checkpoint)) and _is_of(ring, await lite.rows(audit_head))
    newest = ring.current.secret
    report = await ledger.verify(trail.under(newest))
    assert (report.findings, report.sealed, report.waiting) == ([], 3, 0)


def _is_of(ring: Ring, rows: Iterable[dict[str, Any]]) -> bool:
    return {row["mac"][:4] for row in rows} == {ring.current.id}
