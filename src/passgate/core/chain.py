"""What the MACs of the audit chain cover: each link the row before it and the row's place, each head how far a tenant's
chain goes.

Not here: a row's own MAC (`audit`), sealing and verifying (`ledger`), and what stands for rows of lost keys
(`checkpoint`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from passgate.core.audit import canonical, has_own_mac
from passgate.seal import Ring, digest

FIRST = bytes(36)
"""The link before the first row."""


def link(ring: Ring, previous: bytes, seq: int, mac: bytes) -> bytes:
    return ring.mac("audit link", digest(previous, seq.to_bytes(8), mac))


def link_fits(ring: Ring, previous: bytes, row: RowMapping) -> bool:
    return ring.check("audit link", digest(previous, row["seq"].to_bytes(8), row["mac"]), row["link"] or b"")


def findings(ring: Ring, row: RowMapping, previous: bytes | None) -> list[str]:
    """What the MACs of a sealed row and of its link say against it: changed, reordered, or no_key if one of the two
    keys is gone and the other MAC says nothing. `previous`: the link before it; None after a gap."""
    knows_row, knows_link = ring.knows(row["mac"]), ring.knows(row["link"] or b"")
    found = ["changed"] if knows_row and not has_own_mac(ring, row) else []
    if knows_link and previous is not None and not link_fits(ring, previous, row):
        # A row in the wrong place can be genuine: its own MAC fits, but its link covers the place.
        found += ["reordered"] if knows_row else ["changed", "reordered"]
    return found or ([] if knows_row and knows_link else ["no_key"])


def head_mac(ring: Ring, tenant_id: str, head: dict[str, Any] | RowMapping) -> bytes:
    return ring.mac("audit head", _head_bytes(tenant_id, head))


def head_fits(ring: Ring, tenant_id: str, head: RowMapping) -> bool:
    return ring.check("audit head", _head_bytes(tenant_id, head), head["mac"])


def _head_bytes(tenant_id: str, head: dict[str, Any] | RowMapping) -> bytes:
    return digest(canonical([tenant_id, head["seq"], head["sealed_at"]]), head["link"])
