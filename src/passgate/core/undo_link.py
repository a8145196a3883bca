"""Links that undo a change of what a person signs in with: a factor added or removed, a password, an address, closing
the account. Each is mailed to the address that the person had before the change, and is valid for a week. Its ticket
holds what stood before, and what whoever made the change had proved.

Not here: what an undo asks for and takes back, which is `undo`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping

from passgate.core import once, tenants
from passgate.core.ctx import Ctx
from passgate.errors import HandleInvalid
from passgate.store import Db

PREFIX = "pg_und_"
KIND = "undo"
LIFE = 7 * 24 * 3600
"""Seconds."""


class Change(StrEnum):
    """What was changed. The value is also the kind of the mail about it."""

    ADDED = "factor_added"
    REMOVED = "factor_removed"
    PASSWORD = "password_changed"
    ADDRESS = "address_changed"
    CLOSED = "account_closed"


@dataclass(frozen=True, slots=True)
class Undoable:
    """One change. `rows`: the ids of the credentials that counted before it, by factor. `proved`: the factors that its
    maker had proved lately. `factor` and `label` name what was added or removed. `at` in microseconds."""

    change: Change
    email: str
    email_key: str
    rows: Mapping[str, tuple[str, ...]]
    proved: frozenset[str]
    factor: str
    label: str
    at: int


async def issue(
    ctx: Ctx,
    db: Db,
    person: RowMapping,
    change: Change,
    rows: Mapping[str, list[str]],
    proved: frozenset[str],
    *,
    factor: str = "",
    label: str = "",
    life: int = LIFE,
) -> str | None:
    """The URL for the mail; None for an address that nobody has proved, which may be a stranger's: its reader undoes
    nothing. `person` is the row as it was before the change. Older links stay valid: a thief must not end the first one
    by changing something twice."""
    if person["email_verified_at"] is None:
        return None
    minted = ctx.ring.mint(PREFIX)
    data = {
        "change": change.value,
        "email": person["email"],
        "email_key": person["email_key"],
        "rows": rows,
        "proved": sorted(proved),
        "factor": factor,
        "label": label,
    }
    tenant_id, person_id = person["tenant_id"], person["id"]
    await once.issue(ctx, db, tenant_id, KIND, person_id, minted.hash, life=life, data=data, keep_older=True)
    return await tenants.link(ctx, db, tenant_id, f"/account/undo/{minted.token}")


def read(ctx: Ctx, ticket: RowMapping) -> Undoable:
    """HandleInvalid if the ticket can no longer be read."""
    data: dict[str, Any] = once.carried(ctx, ticket)
    if "change" not in data:
        raise HandleInvalid
    return Undoable(
        Change(data["change"]),
        data["email"],
        data["email_key"],
        {kind: tuple(ids) for kind, ids in data["rows"].items()},
        frozenset(data["proved"]),
        data["factor"],
        data["label"],
        ticket["created_at"],
    )


async def find(ctx: Ctx, db: Db, token: str) -> RowMapping:
    """The ticket of a link. HandleInvalid for one that is unknown, used, ended or too old."""
    secret_hash = ctx.ring.presented(PREFIX, token)
    row = await once.by_secret(ctx, db, KIND, secret_hash) if secret_hash is not None else None
    if row is None:
        raise HandleInvalid
    return row


async def since(ctx: Ctx, db: Db, ticket: RowMapping) -> list[Undoable]:
    """This change and all later ones that are not undone, oldest first: what an undo takes back. Empty if its own link
    is used or too old."""
    return [read(ctx, row) for row in await _from(ctx, db, ticket)]


async def _from(ctx: Ctx, db: Db, ticket: RowMapping) -> list[RowMapping]:
    rows = await once.all_live(ctx, db, ticket["tenant_id"], KIND, ticket["bound_to"])
    ids = [row["id"] for row in rows]
    return rows[ids.index(ticket["id"]) :] if ticket["id"] in ids else []


async def end_others(ctx: Ctx, db: Db, ticket: RowMapping, email_key: str) -> None:
    """End the later links that were mailed to other addresses than this."""
    for row in await _from(ctx, db, ticket):
        if read(ctx, row).email_key != email_key:
            await once.end_one(ctx, db, row)


async def addresses(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> list[str]:
    """The addresses that can still undo something, newest first."""
    rows = await once.all_live(ctx, db, tenant_id, KIND, person_id)
    found = [once.carried(ctx, row).get("email") for row in reversed(rows)]
    return list(dict.fromkeys(email for email in found if email))
