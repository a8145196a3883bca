"""Known browsers: a sealed cookie that remembers who has completed a sign-in there. It proves nothing and waives
nothing; budgets only count such a browser apart from strangers. Each entry holds the person's epoch, which password
change, recovery, undo, disabling and signing out everywhere else raise: the entry is then a stranger's.

Not here: what is counted for whom (`budgets`), and browsers that skip the second factor (`factors.device`).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from passgate.core import throttle, usernames
from passgate.core.ctx import Ctx
from passgate.seal import Unreadable
from passgate.store import Db
from passgate.store.tables import person
from passgate.world import SECOND

PREFIX = "pg_knw_"
LIFE = 180 * 24 * 3600
"""Seconds."""
REFUSALS = 5
"""After so many, an entry is a stranger's."""
PEOPLE = 8
"""People of one tenant that a cookie holds; the one who signed in longest ago leaves first."""
_IN_ALL = 16
"""Entries of all tenants together: a browser keeps no cookie over 4 KiB."""
_LONGEST = 4096
_PURPOSE = "known"

_LIVE = select(person.c.id, person.c.epoch, person.c.email_key, person.c.username_key).where(
    person.c.tenant_id == bindparam("of_tenant"),
    person.c.id.in_(bindparam("ids", expanding=True)),
    person.c.disabled_at.is_(None),
)
_THIS = (person.c.tenant_id == bindparam("of_tenant"), person.c.id == bindparam("of"))
_EPOCH = select(person.c.epoch).where(*_THIS)
_RAISE = update(person).where(*_THIS).values(epoch=person.c.epoch + 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One person's entry. `id` is random and new with each sign-in; `at` in microseconds."""

    tenant_id: str
    person_id: str
    epoch: int
    id: str
    at: int

    @property
    def key(self) -> str:
        """The counter of its refused answers."""
        return f"k:{self.id}"


def read(ctx: Ctx) -> list[Entry]:
    """The entries of the cookie that came with this request; none if it is missing, forged, damaged or too old."""
    token = ctx.origin.known
    if not token.startswith(PREFIX) or len(token) > _LONGEST:
        return []
    text = token.removeprefix(PREFIX)
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        stored = json.loads(ctx.ring.unseal(_PURPOSE, _PURPOSE, sealed))
    except (Unreadable, ValueError):
        return []
    oldest = ctx.now() - LIFE * SECOND
    return [entry for entry in (Entry(*one) for one in stored) if entry.at > oldest]


async def entry(
    ctx: Ctx, db: Db, tenant_id: str, *, person_id: str | None = None, identifier_key: str | None = None
) -> Entry | None:
    """The entry of this person, or of whoever has this address or username; with neither, any of the tenant. None for a
    stranger: no entry, an older epoch, a disabled person, too many refusals. Runs no statement without a cookie."""
    mine = {one.person_id: one for one in read(ctx) if one.tenant_id == tenant_id}
    if person_id is not None:
        mine = {who: one for who, one in mine.items() if who == person_id}
    if not mine:
        return None
    for row in await db.rows(_LIVE, of_tenant=tenant_id, ids=list(mine)):
        found = mine[row["id"]]
        if row["epoch"] != found.epoch:
            continue
        if identifier_key is not None and not usernames.is_identified(row, identifier_key):
            continue
        if await throttle.used(ctx, db, found.key) < REFUSALS:
            return found
    return None


async def renewed(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> str:
    """The cookie after a completed sign-in: this person's entry is new, the others stay."""
    epoch = int(await db.value(_EPOCH, of_tenant=tenant_id, of=person_id) or 0)
    mine = Entry(tenant_id, person_id, epoch, ctx.world.text(12), ctx.now())
    others = sorted((one for one in read(ctx) if one.person_id != person_id), key=lambda one: one.at, reverse=True)
    here = [one for one in others if one.tenant_id == tenant_id][: PEOPLE - 1]
    elsewhere = [one for one in others if one.tenant_id != tenant_id]
    entries = [mine, *here, *elsewhere][:_IN_ALL]
    plain = json.dumps([[one.tenant_id, one.person_id, one.epoch, one.id, one.at] for one in entries]).encode()
    return PREFIX + base64.urlsafe_b64encode(ctx.ring.seal(_PURPOSE, _PURPOSE, plain)).rstrip(b"=").decode()


async def forget(db: Db, tenant_id: str, person_id: str) -> None:
    """Raise the person's epoch: every browser that knew them is a stranger's until its next sign-in."""
    await db.change(_RAISE, of_tenant=tenant_id, of=person_id)
