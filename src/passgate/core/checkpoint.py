"""Checkpoints of the audit trail: digests of sealed rows under the newest key. They stand for the MACs of rows whose
own key was dropped, and tell if somebody who has an old key forges rows with it.

A chunk has 32 bytes for each of up to 500 rows. A row gets its digest once, after it was verified under its own keys; a
later chunk takes it over.

Not here: the walk along the chain that reads them (`ledger.verify`), and when they are made (`jobs`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Select, func, or_, select, update

from passgate.core import chain
from passgate.core.audit import canonical, covered
from passgate.core.ctx import Services
from passgate.seal import Ring, digest
from passgate.store import Db
from passgate.store.tables import audit_checkpoint, audit_event, audit_head

log = logging.getLogger(__name__)

SIZE = 500
_DIGEST = 32
FAILED = bytes(_DIGEST)
"""In place of the digest of a row that did not verify."""
_NO_KEY = b"\xff" * _DIGEST
"""In place of the digest of a row whose key was gone before there was a checkpoint."""
_TRIES = 5
_ID = 4
"""A MAC begins with the id of its key."""


def row_digest(row: RowMapping) -> bytes:
    """Everything that the MACs of a row and of its link cover, and the two themselves."""
    return digest(covered(row), row["seq"].to_bytes(8), row["mac"], row["link"] or b"")


def has_keys(ring: Ring, row: RowMapping) -> bool:
    """Whether a sealed row can be verified by its own MACs."""
    return ring.knows(row["mac"]) and ring.knows(row["link"] or b"")


def first_of(seq: int) -> int:
    """The first number of the chunk that a row belongs to."""
    return (seq - 1) // SIZE * SIZE + 1


# -- reading ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """`is_changed`: its MAC does not fit, so it says nothing. If its key is gone, it says nothing either."""

    first_seq: int
    digests: bytes = b""
    is_changed: bool = False

    def of(self, seq: int) -> bytes | None:
        """The digest of a row, FAILED, or None if there is none."""
        at = (seq - self.first_seq) * _DIGEST
        found = self.digests[at : at + _DIGEST]
        return None if found in (b"", _NO_KEY) else found


async def chunk_of(ring: Ring, db: Db, tenant_id: str, seq: int) -> Chunk:
    first = first_of(seq)
    return _opened(ring, first, await db.one(_stored(tenant_id, first)))


def _opened(ring: Ring, first: int, row: RowMapping | None) -> Chunk:
    if row is None or not ring.knows(row["mac"]):
        return Chunk(first)
    is_genuine = ring.check("audit checkpoint", _chunk_bytes(row), row["mac"])
    return Chunk(first, row["digests"] if is_genuine else b"", is_changed=not is_genuine)


def _stored(tenant_id: str, first: int) -> Select[Any]:
    table = audit_checkpoint
    return select(table).where(table.c.tenant_id == tenant_id, table.c.first_seq == first)


def _chunk_bytes(row: dict[str, Any] | RowMapping) -> bytes:
    about = [row[name] for name in ("tenant_id", "first_seq", "last_seq", "made_at")]
    return digest(canonical(about), row["digests"])


# -- making ----------------------------------------------------------------------------------------


async def make(services: Services) -> int:
    """Cover every sealed row that an older key is needed for, and renew the heads; returns how many chunks were stored.
    Each is a transaction of its own: whoever is interrupted goes on later, and two at once do no harm."""
    async with services.store.read() as db:
        tenants = [row["tenant_id"] for row in await db.rows(select(audit_head.c.tenant_id))]
    total = 0
    for tenant_id in sorted(tenants):
        failed: list[int] = []
        for first in await _due(services, tenant_id):
            total += await _make_chunk(services, tenant_id, first, failed)
        if failed:
            log.warning(
                "rows of the audit trail don't verify",
                extra={"tenant": tenant_id, "seq": failed[0], "counts": {"failed": len(failed)}},
            )
        await _renew_head(services, tenant_id)
    return total


async def _due(services: Services, tenant_id: str) -> list[int]:
    """The chunks that are under an older key, and those that are missing over rows under an older key."""
    newest, table = services.ring.current.id, audit_checkpoint
    query = select(table.c.first_seq, table.c.last_seq, table.c.mac).where(table.c.tenant_id == tenant_id)
    async with services.store.read() as db:
        end, due = 0, set[int]()
        for row in await db.rows(query.order_by(table.c.first_seq)):
            if row["mac"][:_ID] != newest:
                due.add(row["first_seq"])
            elif row["first_seq"] == end + 1:
                end = row["last_seq"]
        is_older = [func.substr(column, 1, _ID) != newest for column in (audit_event.c.mac, audit_event.c.link)]
        older = select(func.max(audit_event.c.seq)).where(
            audit_event.c.tenant_id == tenant_id, audit_event.c.seq > end, or_(*is_older)
        )
        last = await db.value(older) or 0
    return sorted(due | set(range(first_of(end + 1), last + 1, SIZE)))


async def _make_chunk(services: Services, tenant_id: str, first: int, failed: list[int]) -> bool:
    """Verify outside of any transaction; store only if nobody has stored another chunk meanwhile, else read again.
    `failed` takes the numbers of the rows that do not verify."""
    for _ in range(_TRIES):
        async with services.store.read() as db:
            before = await db.one(_stored(tenant_id, first))
            rows = await db.rows(_sealed(tenant_id, first - 1, first + SIZE - 1))
        by_seq = {row["seq"]: row for row in rows}
        known = _opened(services.ring, first, before)
        mine = [row for row in rows if row["seq"] >= first]
        if before is not None and not known.digests and not all(has_keys(services.ring, row) for row in mine):
            log.warning("a checkpoint of the audit trail can't be renewed", extra={"tenant": tenant_id, "seq": first})
            return False
        last = max([*by_seq, before["last_seq"] if before is not None and known.digests else 0])
        if last < first:
            return False
        made = [_digest(services.ring, by_seq, known, seq) for seq in range(first, last + 1)]
        # One that stands for nothing is not stored: the key may come back.
        if set(made) == {_NO_KEY} or await _store(services, tenant_id, (first, last), b"".join(made), before):
            failed += [seq for seq, one in enumerate(made, first) if one in (FAILED, _NO_KEY)]
            return set(made) != {_NO_KEY}
    return False


def _sealed(tenant_id: str, first: int, last: int) -> Select[Any]:
    seq = audit_event.c.seq
    return select(audit_event).where(audit_event.c.tenant_id == tenant_id, seq >= first, seq <= last).order_by(seq)


def _digest(ring: Ring, by_seq: dict[int, RowMapping], known: Chunk, seq: int) -> bytes:
    """What an earlier chunk says of a row, or what its own keys do."""
    row, before, taken_over = by_seq.get(seq), by_seq.get(seq - 1), known.of(seq)
    if row is None or taken_over not in (None, FAILED):
        return taken_over or FAILED
    previous = (before["link"] if before is not None else None) or (chain.FIRST if seq == 1 else None)
    found = chain.findings(ring, row, previous)
    if found == ["no_key"]:
        return taken_over or _NO_KEY
    return FAILED if found else row_digest(row)


async def _store(
    services: Services, tenant_id: str, span: tuple[int, int], digests: bytes, before: RowMapping | None
) -> bool:
    table = audit_checkpoint
    row: dict[str, Any] = {"tenant_id": tenant_id, "first_seq": span[0], "last_seq": span[1], "digests": digests}
    row["made_at"] = services.world.now()
    row["mac"] = services.ring.mac("audit checkpoint", _chunk_bytes(row))
    async with services.store.write() as db:
        if before is None:
            return bool(await db.change(db.upsert(table).values(**row).on_conflict_do_nothing()))
        same = table.c.tenant_id == tenant_id, table.c.first_seq == span[0], table.c.mac == before["mac"]
        return bool(await db.change(update(table).where(*same).values(**row)))


async def _renew_head(services: Services, tenant_id: str) -> None:
    """The MAC of a head that fits, under the newest key."""
    mine = audit_head.c.tenant_id == tenant_id
    async with services.store.read() as db:
        mac = await db.value(select(audit_head.c.mac).where(mine))
    if not mac or mac[:_ID] == services.ring.current.id:
        return
    async with services.store.write() as db:
        head = await db.one(select(audit_head).where(mine).with_for_update())
        if head is None or not chain.head_fits(services.ring, tenant_id, head):
            log.warning("the head of an audit trail does not verify", extra={"tenant": tenant_id})
            return
        await db.change(update(audit_head).where(mine).values(mac=chain.head_mac(services.ring, tenant_id, head)))
