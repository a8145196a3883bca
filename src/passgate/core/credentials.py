"""Enrolled credentials: rows of `credential`, added, listed, renamed, revoked. Each addition or removal is audited and
mailed to the owner. Only this module decides whether one may be removed: never the last one a sign-in requires.

Not here: what a factor's secret means, which is its own module's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from passgate.core import mail, people
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import Enrolling
from passgate.core.rules import Rules
from passgate.errors import Conflict, NotFound
from passgate.store import Db
from passgate.store.tables import credential

BROWSER = "browser"
"""A remembered browser: it waives a second factor, it never proves one."""

_MINE = (
    credential.c.tenant_id == bindparam("of_tenant"),
    credential.c.person_id == bindparam("of_person"),
    credential.c.revoked_at.is_(None),
)
_KINDS = select(credential.c.kind).where(*_MINE, credential.c.kind != BROWSER).distinct()
_OTHERS = select(credential.c.kind).where(*_MINE, credential.c.id != bindparam("leaving")).distinct()
_OF_KIND = select(credential).where(*_MINE, credential.c.kind == bindparam("of_kind")).order_by(credential.c.id)


async def kinds(db: Db, tenant_id: str, person_id: str) -> frozenset[str]:
    """The factors the person has enrolled."""
    rows = await db.rows(_KINDS, of_tenant=tenant_id, of_person=person_id)
    return frozenset(row["kind"] for row in rows)


async def of_kind(db: Db, tenant_id: str, person_id: str, kind: str) -> list[RowMapping]:
    """Live rows, oldest first."""
    return list(await db.rows(_OF_KIND, of_tenant=tenant_id, of_person=person_id, of_kind=kind))


async def add(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, kind: str, *, secret: bytes | None = None, **columns: Any
) -> str:
    """Insert one row. Raises Conflict for a duplicate `lookup`, or a second credential of a kind limited to one.
    `secret` is sealed under the row's own id."""
    made = ctx.world.uuid()
    sealed = ctx.ring.seal("credential", f"credential:{made}", secret) if secret is not None else None
    row = {"tenant_id": tenant_id, "person_id": person_id, "kind": kind, "created_at": ctx.now(), **columns}
    try:
        await db.add(credential, id=made, secret_sealed=sealed, **row)
    except IntegrityError:
        raise Conflict("That's already set up.") from None
    return made


async def replace(ctx: Ctx, db: Db, who: Enrolling, kind: str, *, secret: bytes, **columns: Any) -> str:
    """Insert the only credential of its kind, revoking an older one; returns its id."""
    await end_kinds(ctx, db, who.tenant_id, who.person_id, [kind])
    made = await add(ctx, db, who.tenant_id, who.person_id, kind, secret=secret, **columns)
    await changed(ctx, db, who.tenant_id, who.person_id, kind, service=who.service, is_added=True)
    return made


async def use(
    ctx: Ctx, db: Db, row: RowMapping, *, counter: int | None = None, secret: bytes | None = None, **columns: Any
) -> str | None:
    """Record a correct answer: the id, or None if the credential is no longer the one compared. `counter` must
    increase. `version` stays the same: two sign-ins with the same correct password must not reject each other."""
    same = update(credential).where(
        credential.c.id == row["id"], credential.c.version == row["version"], credential.c.revoked_at.is_(None)
    )
    values: dict[str, Any] = {"last_used_at": ctx.now(), **columns}
    if counter is not None:
        same, values = same.where(credential.c.counter < counter), {**values, "counter": counter}
    if secret is not None:
        values["secret_sealed"] = ctx.ring.seal("credential", f"credential:{row['id']}", secret)
    return str(row["id"]) if await db.change(same.values(**values)) == 1 else None


def secret_of(ctx: Ctx, row: RowMapping) -> bytes:
    """The unsealed secret of a row; raises `seal.Unreadable`."""
    return ctx.ring.unseal("credential", f"credential:{row['id']}", row["secret_sealed"])


async def end(ctx: Ctx, db: Db, tenant_id: str, person_id: str, *which: ColumnElement[bool]) -> int:
    """Revoke rows and erase their secrets; returns how many."""
    mine = update(credential).where(
        credential.c.tenant_id == tenant_id, credential.c.person_id == person_id, credential.c.revoked_at.is_(None)
    )
    return await db.change(
        mine.where(*which).values(revoked_at=ctx.now(), secret_sealed=None, version=credential.c.version + 1)
    )


def is_row(row: RowMapping) -> ColumnElement[bool]:
    return credential.c.id == str(row["id"])


async def end_kinds(ctx: Ctx, db: Db, tenant_id: str, person_id: str, ended: Iterable[str]) -> int:
    return await end(ctx, db, tenant_id, person_id, credential.c.kind.in_(list(ended)))


async def changed(
    ctx: Ctx, db: Db, tenant_id: str, person_id: str, kind: str, *, service: str, is_added: bool, label: str = ""
) -> None:
    """Audit an added or removed factor, notify the owner by mail, and forget all remembered browsers."""
    event = Event.FACTOR_ADDED if is_added else Event.FACTOR_REMOVED
    await record(ctx, db, event, tenant_id=tenant_id, subject_id=person_id, factor=kind)
    await end_kinds(ctx, db, tenant_id, person_id, [BROWSER])
    found = await people.by_id(db, tenant_id, person_id)
    if found is None:
        return
    mail_kind = "factor_added" if is_added else "factor_removed"
    what = ctx.factors[kind].texts.name
    await mail.enqueue(ctx, db, tenant_id, mail_kind, found["email"], service=service, what=what, label=label)


async def keep_a_way_in(ctx: Ctx, db: Db, tenant_id: str, person_id: str, rules: Rules, leaving: RowMapping) -> None:
    """Raise Conflict if without this row the person could not sign in, or not by the tenant's rules. Call it with the
    person locked, so that concurrent removals cannot both pass."""
    rows = await db.rows(_OTHERS, of_tenant=tenant_id, of_person=person_id, leaving=leaving["id"])
    # Factors used up by their answers do not count as a lasting way to sign in.
    lasting = {factor.name for factor in ctx.factors if factor.is_lasting}
    left = {row["kind"] for row in rows} & lasting | ctx.factors.given
    if leaving["kind"] in rules.first and not left & set(rules.first):
        raise Conflict("This is your only way to sign in. Add another one first.")
    is_second = leaving["kind"] in rules.second_among
    if rules.second == "always" and is_second and not left & set(rules.second_among):
        raise Conflict(
            "This organization requires two-step verification. Set up another second step before you remove this one."
        )


async def purge_browsers(db: Db, before: int) -> None:
    """Delete remembered browsers created before then."""
    await db.change(delete(credential).where(credential.c.kind == BROWSER, credential.c.created_at < before))


async def one(db: Db, tenant_id: str, person_id: str, kind: str, credential_id: str) -> RowMapping:
    """The person's own live row; NotFound for anything else."""
    query = select(credential).where(
        credential.c.id == credential_id,
        credential.c.tenant_id == tenant_id,
        credential.c.person_id == person_id,
        credential.c.kind == kind,
        credential.c.revoked_at.is_(None),
    )
    row = await db.one(query)
    if row is None:
        raise NotFound
    return row


async def rename(db: Db, row: RowMapping, label: str) -> None:
    await db.change(update(credential).where(credential.c.id == row["id"]).values(label=label))


def as_json(row: RowMapping) -> dict[str, Any]:
    """{id, label, created_at, last_used_at, synced, backed_up} of a passkey; instants as stored."""
    data = json.loads(row["data"])
    return {
        "id": row["id"],
        "label": row["label"],
        "created_at": row["created_at"],
        "last_used_at": row["last_used_at"],
        "synced": bool(data.get("synced")),
        "backed_up": bool(data.get("backed_up")),
    }
