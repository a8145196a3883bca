"""The tamper-evident audit trail: sealing numbers and links the rows, `verify` reports every row that does not match. A
row deleted before it is sealed (up to a second) leaves no gap. An attacker who can restore an old copy of the whole
database can restore an old chain: export it elsewhere.

Not here: writing rows, which is `audit.record`, what the chain's MACs cover (`chain`), and making checkpoints
(`checkpoint`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, select, update

from passgate.core import chain, checkpoint
from passgate.core.audit import has_own_mac, is_personal_whole
from passgate.core.checkpoint import Chunk, first_of
from passgate.core.ctx import Services
from passgate.seal import Ring
from passgate.store import Db
from passgate.store.tables import audit_event, audit_head

BATCH = 500


async def seal(services: Services) -> int:
    """Seal waiting rows, tenant by tenant; returns how many. Safe in any number of processes: the head's row is locked
    (SQLite: the one write transaction) while its chain grows."""
    async with services.store.read() as db:
        waiting = select(audit_event.c.tenant_id).where(audit_event.c.seq.is_(None)).distinct()
        tenants = [row["tenant_id"] for row in await db.rows(waiting)]
    total = 0
    for tenant_id in tenants:
        total += await _seal_tenant(services, tenant_id)
    return total


async def _seal_tenant(services: Services, tenant_id: str) -> int:
    async with services.store.write(heavy=True) as db:
        first = {"tenant_id": tenant_id, "seq": 0, "link": chain.FIRST, "sealed_at": 0, "mac": b""}
        await db.change(db.upsert(audit_head).values(**first).on_conflict_do_nothing())
        head = await db.one(select(audit_head).where(audit_head.c.tenant_id == tenant_id).with_for_update())
        rows = await db.rows(
            select(audit_event.c.id, audit_event.c.mac)
            .where(audit_event.c.tenant_id == tenant_id, audit_event.c.seq.is_(None))
            .order_by(audit_event.c.id)
            .limit(BATCH)
        )
        if head is None or not rows:
            return 0
        seq, link, moves = head["seq"], head["link"], []
        for row in rows:
            seq += 1
            link = chain.link(services.ring, link, seq, row["mac"])
            moves.append({"row_id": row["id"], "new_seq": seq, "new_link": link})
        await db.change_many(
            update(audit_event)
            .where(audit_event.c.tenant_id == tenant_id, audit_event.c.id == bindparam("row_id"))
            .values(seq=bindparam("new_seq"), link=bindparam("new_link")),
            moves,
        )
        grown = {"seq": seq, "link": link, "sealed_at": services.world.now()}
        grown["mac"] = chain.head_mac(services.ring, tenant_id, grown)
        await db.change(update(audit_head).where(audit_head.c.tenant_id == tenant_id).values(**grown))
        return len(rows)


@dataclass(slots=True)
class Finding:
    """One mismatch. `what` is changed, missing, reordered, truncated, head, checkpoint (a chunk that was changed), or
    no_key: the key of a row or head is gone, and no checkpoint stands for it."""

    tenant_id: str
    what: str
    seq: int | None
    id: str | None = None


@dataclass(slots=True)
class Report:
    """`sealed` counts rows verified in the chain, `waiting` rows that have only their own MAC so far; `by_checkpoint`
    those of the sealed rows whose own key is gone."""

    sealed: int = 0
    waiting: int = 0
    by_checkpoint: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings


async def verify(services: Services) -> Report:
    """Walk every chain from its start. Rows may be written and sealed concurrently."""
    report = Report()
    async with services.store.read() as db:
        named = await db.rows(select(audit_event.c.tenant_id).distinct())
        heads = await db.rows(select(audit_head.c.tenant_id))
        for tenant_id in sorted({row["tenant_id"] for row in (*named, *heads)}):
            await _verify_tenant(services, db, tenant_id, report)
            await _verify_waiting(services, db, tenant_id, report)
    return report


async def _verify_tenant(services: Services, db: Db, tenant_id: str, report: Report) -> None:
    def found(what: str, seq: int | None, row_id: str | None = None) -> None:
        report.findings.append(Finding(tenant_id, what, seq, row_id))

    expected, previous, chunk = 1, chain.FIRST, Chunk(0)
    head: RowMapping | None = None
    while True:
        start = expected
        async for row in _walk(db, tenant_id, start - 1):
            seq = row["seq"]
            if first_of(seq) != chunk.first_seq:
                chunk = await checkpoint.chunk_of(services.ring, db, tenant_id, seq)
                if chunk.is_changed:
                    found("checkpoint", chunk.first_seq)
            for gap in range(expected, min(seq, expected + 100)):
                found("missing", gap)
            for what in _row_findings(services.ring, row, previous if seq == expected else None, chunk.of(seq)):
                found(what, seq, row["id"])
            report.by_checkpoint += not checkpoint.has_keys(services.ring, row)
            expected, previous = seq + 1, row["link"] or b""
            report.sealed += 1
        if head is not None and expected == start:
            break
        # Read after the rows, so that it is never older than they are. If it is newer, its rows have been sealed
        # meanwhile or are missing; the next pass decides which.
        head = await db.one(select(audit_head).where(audit_head.c.tenant_id == tenant_id))
        if head is None or head["seq"] < expected:
            break
    for what, at in _head_findings(services.ring, tenant_id, head, expected, previous):
        found(what, at)


def _row_findings(ring: Ring, row: RowMapping, previous: bytes | None, digest: bytes | None) -> list[str]:
    """Check a sealed row by the digest of its checkpoint, if it has one, and by those of its own MACs whose keys are
    there: an older key, under which a checkpoint may be, says nothing about rows of newer ones. `previous`: the link
    before it; None after a gap."""
    is_covered = digest not in (None, checkpoint.FAILED)
    if not is_personal_whole(row) or (is_covered and checkpoint.row_digest(row) != digest):
        return ["changed"]
    found = chain.findings(ring, row, previous)
    if found == ["no_key"] and digest is not None:
        return [] if is_covered else ["changed"]
    return found


def _head_findings(
    ring: Ring, tenant_id: str, head: RowMapping | None, expected: int, previous: bytes
) -> list[tuple[str, int | None]]:
    """Check the head against a chain whose last row is `expected - 1`, with the link `previous`."""
    if head is None:
        return [("head", None)] if expected > 1 else []
    if not chain.head_fits(ring, tenant_id, head):
        return [("head" if ring.knows(head["mac"]) or not head["mac"] else "no_key", head["seq"])]
    if head["seq"] >= expected:
        return [("truncated", seq) for seq in range(expected, min(head["seq"], expected + 99) + 1)]
    if head["seq"] < expected - 1 or head["link"] != previous:
        return [("head", head["seq"])]
    return []


async def _verify_waiting(services: Services, db: Db, tenant_id: str, report: Report) -> None:
    waiting = select(audit_event).where(audit_event.c.tenant_id == tenant_id, audit_event.c.seq.is_(None))
    for row in await db.rows(waiting):
        report.waiting += 1
        if not has_own_mac(services.ring, row) or not is_personal_whole(row):
            what = "changed" if services.ring.knows(row["mac"]) else "no_key"
            report.findings.append(Finding(tenant_id, what, None, row["id"]))


async def _walk(db: Db, tenant_id: str, last: int) -> AsyncIterator[RowMapping]:
    """Sealed rows after `last` in order, a page at a time."""
    while True:
        page = await db.rows(
            select(audit_event)
            .where(audit_event.c.tenant_id == tenant_id, audit_event.c.seq > last)
            .order_by(audit_event.c.seq)
            .limit(BATCH)
        )
        for row in page:
            yield row
        if len(page) < BATCH:
            return
        last = page[-1]["seq"]


async def newest(db: Db, limit: int, tenant_id: str | None = None) -> Sequence[RowMapping]:
    """The newest rows, newest first, of one tenant or of all chains."""
    query = select(audit_event).order_by(audit_event.c.id.desc()).limit(limit)
    return await db.rows(query if tenant_id is None else query.where(audit_event.c.tenant_id == tenant_id))


async def newest_mac(db: Db) -> bytes | None:
    """That of the newest row of all chains. Also of a database that is behind."""
    mac = await db.value(select(audit_event.c.mac).order_by(audit_event.c.id.desc()).limit(1))
    return bytes(mac) if mac is not None else None


async def count(db: Db) -> int:
    return int(await db.value(select(func.count()).select_from(audit_event)) or 0)


async def export(services: Services) -> AsyncIterator[dict[str, Any]]:
    """Every row, oldest first, with its MAC and link in hex, to be stored elsewhere."""
    last = ""
    while True:
        async with services.store.read() as db:
            page = await db.rows(
                select(audit_event).where(audit_event.c.id > last).order_by(audit_event.c.id).limit(BATCH)
            )
        for row in page:
            yield {key: value.hex() if isinstance(value, bytes) else value for key, value in row.items()}
        if len(page) < BATCH:
            return
        last = page[-1]["id"]
