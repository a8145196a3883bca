"""Remembered browsers: a secret in a cookie. It waives a second factor already proved there, if AAL1 is enough.

Not here: any proof. It adds nothing to `amr` and opens no session by itself.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import RowMapping, select, update

from passgate.core import credentials
from passgate.core.audit import record
from passgate.core.credentials import BROWSER
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.rules import Rules
from passgate.store import Db
from passgate.store.tables import credential
from passgate.world import SECOND

PREFIX = "pg_brw_"
_DAY = 24 * 3600 * SECOND


async def remember(ctx: Ctx, db: Db, tenant_id: str, person_id: str, days: int) -> str:
    """The cookie's value, returned only this once; only its hash is stored."""
    minted = ctx.ring.mint(PREFIX)
    label = " · ".join(part for part in (ctx.origin.browser, ctx.origin.os) if part)
    data = json.dumps({"until": ctx.now() + days * _DAY})
    await credentials.add(ctx, db, tenant_id, person_id, BROWSER, lookup=minted.hash, label=label, data=data)
    await record(ctx, db, Event.BROWSER_REMEMBERED, tenant_id=tenant_id, subject_id=person_id, days=days)
    return minted.token


def presented(ctx: Ctx, token: str | None) -> str | None:
    """The hash (hex) that a sign-in stores of the cookie it began with."""
    found = ctx.ring.presented(PREFIX, token) if token else None
    return found.hex() if found else None


async def is_known(ctx: Ctx, db: Db, tenant_id: str, person_id: str, lookup: str, rules: Rules) -> bool:
    """Whether that browser is remembered for this person and the tenant still allows it."""
    query = select(credential).where(
        credential.c.lookup == bytes.fromhex(lookup),
        credential.c.kind == BROWSER,
        credential.c.tenant_id == tenant_id,
        credential.c.person_id == person_id,
        credential.c.revoked_at.is_(None),
    )
    row = await db.one(query) if rules.remember_days else None
    if row is None:
        return False
    return bool(_until(row, rules) > ctx.now())


def _until(row: RowMapping, rules: Rules) -> int:
    """A shortened rule also applies to browsers that are already remembered."""
    return min(int(json.loads(row["data"])["until"]), int(row["created_at"]) + rules.remember_days * _DAY)


async def used(ctx: Ctx, db: Db, tenant_id: str, lookup: str) -> None:
    this = update(credential).where(credential.c.tenant_id == tenant_id, credential.c.lookup == bytes.fromhex(lookup))
    await db.change(this.values(last_used_at=ctx.now()))


async def listed(ctx: Ctx, db: Db, tenant_id: str, person_id: str, rules: Rules) -> list[dict[str, Any]]:
    """{id, label, created_at, last_used_at, expires_at}, newest first."""
    rows = await credentials.of_kind(db, tenant_id, person_id, BROWSER)
    return [
        {**{name: row[name] for name in ("id", "label", "created_at", "last_used_at")}, "expires_at": until}
        for row in reversed(rows)
        if (until := _until(row, rules)) > ctx.now()
    ]
