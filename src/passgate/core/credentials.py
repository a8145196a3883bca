"""Enrolled credentials: rows of `credential`, added, listed, renamed, revoked. Each addition or removal is audited and
mailed to the owner. Only this module decides whether one may be removed: never the last one a sign-in requires.

Not here: what a factor's secret means, which is its own module's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Update, and_, bindparam, case, delete, or_, select, update
from sqlalchemy.exc import IntegrityError

from passgate.core import mail, people, undo_link
from passgate.core.audit import record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.factor import REMEMBERED, Enrolling
from passgate.core.rules import Rules
from passgate.core.undo_link import Change
from passgate.errors import Conflict, NotFound
from passgate.store import Db
from passgate.store.tables import credential
from passgate.world import SECOND

GIVEN = "given"
"""Member of a row's `data`: somebody else has set it, and so may know it."""
BROWSER = REMEMBERED
"""A remembered browser: it waives a second factor, it never proves one."""

_MINE = (
    credential.c.tenant_id == bindparam("of_tenant"),
    credential.c.person_id == bindparam("of_person"),
    credential.c.revoked_at.is_(None),
)
_KINDS = select(credential.c.kind).where(*_MINE, credential.c.kind != BROWSER).distinct()
_OTHERS = select(credential.c.kind).where(*_MINE, credential.c.id != bindparam("leaving")).distinct()
_ROWS = select(credential.c.id, credential.c.kind).where(*_MINE, credential.c.kind != BROWSER)
_POSSESSED = select(credential.c.id, credential.c.kind, credential.c.provisional_until).where(
    *_MINE, credential.c.kind.in_(bindparam("kinds", expanding=True))
)
_POSSESSED_OR_ENDED = select(credential.c.id, credential.c.provisional_until).where(
    credential.c.tenant_id == bindparam("of_tenant"),
    credential.c.person_id == bindparam("of_person"),
    credential.c.kind.in_(bindparam("kinds", expanding=True)),
    or_(credential.c.revoked_at.is_(None), credential.c.id.in_(bindparam("ended", expanding=True))),
)
_OF_KIND = select(credential).where(*_MINE, credential.c.kind == bindparam("of_kind")).order_by(credential.c.id)


async def kinds(db: Db, tenant_id: str, person_id: str) -> frozenset[str]:
    """The factors the person has enrolled."""
    rows = await db.rows(_KINDS, of_tenant=tenant_id, of_person=person_id)
    return frozenset(row["kind"] for row in rows)


async def of_kind(
    db: Db, tenant_id: str, person_id: str, kind: str, rows: frozenset[str] | None = None
) -> list[RowMapping]:
    """Live rows, oldest first; with `rows` those among them, live or not."""
    if rows is None:
        return list(await db.rows(_OF_KIND, of_tenant=tenant_id, of_person=person_id, of_kind=kind))
    mine = (credential.c.tenant_id == tenant_id, credential.c.person_id == person_id, credential.c.kind == kind)
    return list(await db.rows(select(credential).where(*mine, counting(rows)).order_by(credential.c.id)))


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
    ended = await end_kinds(ctx, db, who.tenant_id, who.person_id, [kind])
    made = await add(ctx, db, who.tenant_id, who.person_id, kind, secret=secret, **columns)
    await changed(ctx, db, who, kind, added=[made], ended=ended)
    return made


async def use(
    ctx: Ctx, db: Db, row: RowMapping, *, counter: int | None = None, secret: bytes | None = None, **columns: Any
) -> str | None:
    """Record a correct answer: the id, or None if the credential is no longer the one compared. `counter` must
    increase. `version` stays the same: two sign-ins with the same correct password must not reject each other."""
    unchanged = same(row)
    values: dict[str, Any] = {"last_used_at": ctx.now(), **columns}
    if counter is not None:
        unchanged, values = unchanged.where(credential.c.counter < counter), {**values, "counter": counter}
    if secret is not None:
        values["secret_sealed"] = ctx.ring.seal("credential", f"credential:{row['id']}", secret)
    return str(row["id"]) if await db.change(unchanged.values(**values)) == 1 else None


def same(row: RowMapping) -> Update:
    """An UPDATE of the row while it is the one that was read."""
    is_it = (credential.c.tenant_id == row["tenant_id"], credential.c.id == row["id"])
    return update(credential).where(*is_it, credential.c.version == row["version"])


def secret_of(ctx: Ctx, row: RowMapping) -> bytes:
    """The unsealed secret of a row; raises `seal.Unreadable`."""
    return ctx.ring.unseal("credential", f"credential:{row['id']}", row["secret_sealed"])


async def use_up(ctx: Ctx, db: Db, row: RowMapping) -> bool:
    """Record a correct answer that works once; False if another request came first."""
    now = ctx.now()
    used = same(row).values(last_used_at=now, revoked_at=now, secret_sealed=None, version=credential.c.version + 1)
    return await db.change(used) == 1


Ended = list[tuple[str, str]]
"""The ids of revoked rows, each with its kind."""


async def end(ctx: Ctx, db: Db, tenant_id: str, person_id: str, *which: ColumnElement[bool]) -> Ended:
    """Revoke rows. The secret of something a person possesses stays for a week, so that it can be restored; that of
    anything else, such as a password, is erased at once."""
    mine = update(credential).where(
        credential.c.tenant_id == tenant_id, credential.c.person_id == person_id, credential.c.revoked_at.is_(None)
    )
    stays = case((credential.c.kind.in_(ctx.factors.possession), credential.c.secret_sealed), else_=None)
    values = {"revoked_at": ctx.now(), "secret_sealed": stays, "version": credential.c.version + 1}
    rows = await db.rows(mine.where(*which).values(**values).returning(credential.c.id, credential.c.kind))
    return [(row["id"], row["kind"]) for row in rows]


async def own_rows(db: Db, tenant_id: str, person_id: str, rows: Iterable[str]) -> frozenset[str]:
    """Those of some live rows that the person has set up, and nobody else for them."""
    found = await db.rows(
        select(credential.c.id, credential.c.data).where(*_MINE, credential.c.id.in_(list(rows))),
        of_tenant=tenant_id,
        of_person=person_id,
    )
    return frozenset(row["id"] for row in found if GIVEN not in json.loads(row["data"]))


async def of_proofs(ctx: Ctx, db: Db, tenant_id: str, person_id: str, proofs: Mapping[str, int]) -> frozenset[str]:
    """The ids of the live rows with which a session's proofs were given, at these instants, as far as that is certain:
    those of kinds of which only one row has been live since. Answers that are used up have none."""
    mine = (credential.c.tenant_id == tenant_id, credential.c.person_id == person_id)
    rows = await db.rows(select(credential.c.id, credential.c.kind, credential.c.revoked_at).where(*mine))
    found = set[str]()
    for proof, at in proofs.items():
        factor = ctx.factors.get(proof.partition("+")[0])
        if factor is None or not factor.is_lasting:
            continue
        since = [one for one in rows if one["kind"] == factor.name and (one["revoked_at"] or at + 1) > at]
        if len(since) == 1 and since[0]["revoked_at"] is None:
            found.add(since[0]["id"])
    return frozenset(found)


async def end_but(ctx: Ctx, db: Db, tenant_id: str, person_id: str, rows: Iterable[str]) -> Ended:
    """Revoke everything but these rows, remembered browsers included."""
    return await end(ctx, db, tenant_id, person_id, credential.c.id.not_in(list(rows)))


def is_row(row: RowMapping) -> ColumnElement[bool]:
    return credential.c.id == str(row["id"])


async def end_kinds(ctx: Ctx, db: Db, tenant_id: str, person_id: str, ended: Iterable[str]) -> Ended:
    return await end(ctx, db, tenant_id, person_id, credential.c.kind.in_(list(ended)))


# -- changes ---------------------------------------------------------------------------------------


async def changed(
    ctx: Ctx,
    db: Db,
    who: Enrolling,
    kind: str,
    *,
    added: Iterable[str] = (),
    ended: Ended | None = None,
    label: str = "",
    has_own_mail: bool = False,
) -> None:
    """Audit a factor that was added (`added`: the new rows) or removed, forget all remembered browsers, and notify the
    owner by mail: with a link to undo it, unless the rules asked for it in a sign-in. `ended`: what was revoked.
    `has_own_mail`: a mail of its own says so, to an address whose reader can undo nothing."""
    made, tenant_id, person_id = list(added), who.tenant_id, who.person_id
    event, change = (Event.FACTOR_ADDED, Change.ADDED) if made else (Event.FACTOR_REMOVED, Change.REMOVED)
    await record(ctx, db, event, tenant_id=tenant_id, subject_id=person_id, factor=kind)
    await end_kinds(ctx, db, tenant_id, person_id, [BROWSER])
    found = await people.by_id(db, tenant_id, person_id)
    if found is None:
        return
    if who.in_session:
        await _vouch(ctx, db, who, made, [one for one, _ in ended or []])
    if has_own_mail:
        return
    link = None
    if who.in_session:
        rows = before(await rows_of(db, tenant_id, person_id), made, ended or [])
        link = await undo_link.issue(ctx, db, found, change, rows, who.proved, factor=kind, label=label)
    what = ctx.factors[kind].texts.name
    await mail.enqueue(
        ctx, db, tenant_id, change.value, found["email"], service=who.service, what=what, label=label, link=link
    )


async def rows_of(db: Db, tenant_id: str, person_id: str) -> dict[str, list[str]]:
    """The ids of the person's live rows, by kind."""
    found: dict[str, list[str]] = {}
    for row in await db.rows(_ROWS, of_tenant=tenant_id, of_person=person_id):
        found.setdefault(row["kind"], []).append(row["id"])
    return found


def before(rows: dict[str, list[str]], added: Iterable[str], ended: Ended) -> dict[str, list[str]]:
    """What `rows_of` was before rows were added and ended."""
    made, earlier = set(added), {kind: list(ids) for kind, ids in rows.items()}
    for one, kind in ended:
        if kind != BROWSER:
            earlier.setdefault(kind, []).append(one)
    return {kind: left for kind, ids in earlier.items() if (left := [one for one in ids if one not in made])}


async def _vouch(ctx: Ctx, db: Db, who: Enrolling, made: list[str], ended: list[str]) -> None:
    """Mark what was added as provisional for a week if nothing but a password vouched for whoever added it: they had
    not confirmed the address, and no second factor stood before (`ended`: those that this very change replaces) that is
    not provisional itself."""
    query = _POSSESSED_OR_ENDED if ended else _POSSESSED
    mine = {"of_tenant": who.tenant_id, "of_person": who.person_id, "kinds": ctx.factors.possession}
    rows = await db.rows(query, **mine, **({"ended": ended} if ended else {}))
    if who.proved & ctx.factors.given or any(_is_settled(ctx, row) for row in rows if row["id"] not in made):
        return
    until = ctx.now() + undo_link.LIFE * SECOND
    mine_and_made = (credential.c.tenant_id == who.tenant_id, credential.c.id.in_(made))
    added = update(credential).where(*mine_and_made, credential.c.kind.in_(ctx.factors.possession))
    await db.change(added.values(provisional_until=until))


def _is_settled(ctx: Ctx, row: RowMapping) -> bool:
    return row["provisional_until"] is None or bool(row["provisional_until"] <= ctx.now())


async def settled(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> frozenset[str]:
    """The factors the person possesses that a recovery does not pass over."""
    rows = await db.rows(_POSSESSED, of_tenant=tenant_id, of_person=person_id, kinds=ctx.factors.possession)
    return frozenset(row["kind"] for row in rows if _is_settled(ctx, row))


async def best_proofs(ctx: Ctx, db: Db, tenant_id: str, person_id: str) -> dict[str, str]:
    """The factors the person has, each with the strongest proof that theirs gives."""
    found = {kind: kind for kind in await kinds(db, tenant_id, person_id) if kind in ctx.factors}
    for kind in [name for name in found if ctx.factors[name].may_be_bound]:
        rows = await of_kind(db, tenant_id, person_id, kind)
        if any(not json.loads(row["data"]).get("synced", True) for row in rows):
            found[kind] = ctx.factors[kind].best_proof
    return found


# -- taking changes back ---------------------------------------------------------------------------


def counting(rows: frozenset[str] | None) -> ColumnElement[bool]:
    """Which rows an answer may be compared with: the live ones, or these."""
    return credential.c.revoked_at.is_(None) if rows is None else credential.c.id.in_(rows)


def _is_restorable(ctx: Ctx) -> ColumnElement[bool]:
    """Something possessed that was neither used up nor erased, or something turned on, which has no secret."""
    codes = [name for name in ctx.factors.possession if not ctx.factors[name].is_lasting]
    unused = and_(credential.c.kind.in_(codes), credential.c.last_used_at.is_(None))
    possessed = and_(
        credential.c.kind.in_(ctx.factors.possession), or_(credential.c.secret_sealed.is_not(None), unused)
    )
    return or_(possessed, credential.c.kind.in_(ctx.factors.chosen))


async def usable_kinds(ctx: Ctx, db: Db, tenant_id: str, person_id: str, rows: frozenset[str]) -> frozenset[str]:
    """The factors that can be proved with these rows, revoked or not."""
    query = select(credential.c.kind).where(
        credential.c.tenant_id == tenant_id,
        credential.c.person_id == person_id,
        credential.c.id.in_(rows),
        or_(credential.c.revoked_at.is_(None), _is_restorable(ctx)),
    )
    return frozenset(row["kind"] for row in await db.rows(query.distinct()))


async def restore(ctx: Ctx, db: Db, tenant_id: str, person_id: str, rows: Iterable[str]) -> None:
    """Leave exactly these rows live, of those that still can be: everything else is revoked, and a password never comes
    back."""
    ids = list(rows)
    await end(ctx, db, tenant_id, person_id, credential.c.id.not_in(ids))
    mine = update(credential).where(
        credential.c.tenant_id == tenant_id,
        credential.c.person_id == person_id,
        credential.c.id.in_(ids),
        credential.c.revoked_at.is_not(None),
        _is_restorable(ctx),
    )
    await db.change(mine.values(revoked_at=None, version=credential.c.version + 1))


async def purge_secrets(db: Db, before: int) -> None:
    """Erase the secrets of rows that were revoked before then."""
    old = update(credential).where(credential.c.revoked_at < before, credential.c.secret_sealed.is_not(None))
    await db.change(old.values(secret_sealed=None))


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


async def exported(db: Db, tenant_id: str, person_id: str) -> list[dict[str, Any]]:
    """For the person's own copy: everything that is not secret, of ended ones too."""
    table = credential.c
    columns = (table.kind, table.label, table.created_at, table.last_used_at, table.revoked_at)
    query = select(*columns).where(table.tenant_id == tenant_id, table.person_id == person_id)
    return [dict(row) for row in await db.rows(query)]


async def listed(db: Db, tenant_id: str, person_id: str) -> list[dict[str, Any]]:
    """For somebody else: {factor, label, created_at, last_used_at} of each live row, oldest first."""
    table = credential.c
    columns = (table.kind.label("factor"), table.label, table.created_at, table.last_used_at)
    rows = await db.rows(
        select(*columns).where(*_MINE, table.kind != BROWSER).order_by(table.id),
        of_tenant=tenant_id,
        of_person=person_id,
    )
    return [dict(row) for row in rows]


async def rename(db: Db, row: RowMapping, label: str) -> None:
    await db.change(same(row).values(label=label))


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
