"""The audit trail detects tampering: `verify` names each changed, removed or reordered row, and accepts the erasure of
a person.

Which action records which event is tested in tests/stories.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from passgate.core import account, ledger
from passgate.core.audit import SYSTEM, deferred, record
from passgate.core.ctx import Ctx
from passgate.core.events import Event
from passgate.core.ledger import Finding
from passgate.parts import build_services
from passgate.seal import digest
from passgate.store.tables import audit_event, audit_head
from passgate.world import World
from tests.core.behind import Folk
from tests.kit import The, running, settings_for

ROWS = 8


async def written(folk: Folk, count: int = ROWS) -> list[str]:
    """Record `count` events of one tenant and seal them; the rows' ids in the order of the chain."""
    tenant = await folk.tenant()
    async with folk.ctx.write() as db:
        for number in range(count):
            await record(
                folk.ctx, db, Event.PROFILE_CHANGED, tenant_id=tenant.id, personal={"email": "a@b.example"}, n=number
            )
    await ledger.seal(folk.the.gate.services)
    rows = [row for row in await folk.the.rows(audit_event) if row["tenant_id"] == tenant.id]
    return [row["id"] for row in sorted(rows, key=lambda row: int(row["seq"]))]


@pytest.fixture
async def folk(the: The) -> AsyncIterator[Folk]:
    made = Folk(the)
    await ledger.seal(the.gate.services)
    yield made


async def tamper(folk: Folk, row_id: str, **values: Any) -> None:
    async with folk.ctx.write() as db:
        assert await db.change(update(audit_event).where(audit_event.c.id == row_id).values(**values)) == 1


async def findings(folk: Folk) -> list[Finding]:
    return (await ledger.verify(folk.the.gate.services)).findings


async def test_an_untouched_chain_is_whole(folk: Folk) -> None:
    await written(folk)
    report = await ledger.verify(folk.the.gate.services)
    assert (report.ok, report.sealed, report.waiting) == (True, ROWS, 0)
    async with folk.ctx.write() as db:
        await record(folk.ctx, db, Event.ACCOUNT_EXPORTED, tenant_id=SYSTEM)
    report = await ledger.verify(folk.the.gate.services)
    assert (report.ok, report.sealed, report.waiting) == (True, ROWS, 1)


CHANGES: dict[str, Any] = {
    "tenant_id": None,  # tested below, because the row leaves its chain
    "at": 1,
    "event": "signin:completed",
    "actor_id": "somebody",
    "subject_id": "somebody else",
    "facts": "{}",
    "personal": '{"email":"c@d.example"}',
    "personal_salt": b"0" * 16,
    "personal_hash": b"0" * 32,
    "mac": b"0" * 36,
}
NAMED_BY_PLACE = {"id", "seq", "link"}


def test_every_column_is_documented() -> None:
    assert set(CHANGES) | NAMED_BY_PLACE == set(audit_event.c.keys())


@pytest.mark.parametrize("column", [name for name, value in CHANGES.items() if value is not None])
async def test_a_changed_column_is_named(lite: The, column: str) -> None:
    folk = Folk(lite)
    ids = await written(folk)
    await tamper(folk, ids[3], **{column: CHANGES[column]})
    tenant = await folk.tenant()
    assert Finding(tenant.id, "changed", 4, ids[3]) in await findings(folk)


async def test_a_changed_row_is_named_alone(folk: Folk) -> None:
    ids = await written(folk)
    await tamper(folk, ids[3], facts="{}")
    assert await findings(folk) == [Finding((await folk.tenant()).id, "changed", 4, ids[3])]


async def test_a_changed_id_is_named(folk: Folk) -> None:
    ids = await written(folk)
    await tamper(folk, ids[3], id="forged")
    assert await findings(folk) == [Finding((await folk.tenant()).id, "changed", 4, "forged")]


async def test_a_changed_link_is_named(folk: Folk) -> None:
    """Two rows are named: the one whose link was changed, and the next, whose link was computed from it. A link that
    names a key that is not there is as one whose key was lost."""
    ids = await written(folk)
    await tamper(folk, ids[3], link=folk.ctx.ring.current.id + b"0" * 32)
    assert [(found.what, found.seq) for found in await findings(folk)] == [("reordered", 4), ("reordered", 5)]
    await tamper(folk, ids[3], link=b"0" * 36)
    assert [(found.what, found.seq) for found in await findings(folk)] == [("no_key", 4), ("reordered", 5)]


async def test_a_row_that_waits_is_proved_by_its_own_mac(folk: Folk) -> None:
    async with folk.ctx.write() as db:
        await record(folk.ctx, db, Event.ACCOUNT_EXPORTED, tenant_id=SYSTEM)
    (row,) = [row for row in await folk.the.rows(audit_event) if row["seq"] is None]
    await tamper(folk, row["id"], event="signin:completed")
    assert await findings(folk) == [Finding("system", "changed", None, row["id"])]


async def test_a_row_moved_to_another_tenant(folk: Folk) -> None:
    ids = await written(folk)
    await tamper(folk, ids[3], tenant_id="elsewhere")
    tenant = (await folk.tenant()).id
    found = await findings(folk)
    assert Finding(tenant, "missing", 4) in found
    assert Finding("elsewhere", "changed", 4, ids[3]) in found


async def test_a_removed_row_is_named(folk: Folk) -> None:
    ids = await written(folk)
    async with folk.ctx.write() as db:
        await db.change(delete(audit_event).where(audit_event.c.id.in_([ids[2], ids[5]])))
    found = await findings(folk)
    assert [(one.what, one.seq, one.id) for one in found] == [("missing", 3, None), ("missing", 6, None)]


@pytest.mark.parametrize("last", [1, 3, ROWS])
async def test_a_truncated_chain_is_named(folk: Folk, last: int) -> None:
    ids = await written(folk)
    async with folk.ctx.write() as db:
        await db.change(delete(audit_event).where(audit_event.c.id.in_(ids[-last:])))
    tenant = (await folk.tenant()).id
    assert await findings(folk) == [Finding(tenant, "truncated", seq) for seq in range(ROWS - last + 1, ROWS + 1)]
    await folk.create()  # new rows are added to the chain, and the gap is still found
    await ledger.seal(folk.the.gate.services)
    assert {(one.what, one.seq) for one in await findings(folk)} >= {("missing", ROWS)}


async def test_two_rows_that_changed_places_are_named(folk: Folk) -> None:
    ids = await written(folk)
    await tamper(folk, ids[2], seq=None)
    await tamper(folk, ids[5], seq=3)
    await tamper(folk, ids[2], seq=6)
    found = {(one.what, one.seq, one.id) for one in await findings(folk)}
    assert {("reordered", 3, ids[5]), ("reordered", 6, ids[2])} <= found


async def test_two_rows_that_changed_places_with_their_links_are_named(folk: Folk) -> None:
    """Each sequence number keeps its stored link, so that only recomputing the links finds the swap."""
    ids = await written(folk)
    rows = {row["id"]: row for row in await folk.the.rows(audit_event)}
    await tamper(folk, ids[2], seq=None)
    await tamper(folk, ids[5], seq=3, link=rows[ids[2]]["link"])
    await tamper(folk, ids[2], seq=6, link=rows[ids[5]]["link"])
    assert await findings(folk) == [
        Finding((await folk.tenant()).id, "reordered", 3, ids[5]),
        Finding((await folk.tenant()).id, "reordered", 6, ids[2]),
    ]


async def test_a_row_made_to_wait_again_is_named(folk: Folk) -> None:
    ids = await written(folk)
    await tamper(folk, ids[-1], seq=None, link=None)
    assert await findings(folk) == [Finding((await folk.tenant()).id, "truncated", ROWS)]
    await ledger.seal(folk.the.gate.services)
    assert ("missing", ROWS) in {(one.what, one.seq) for one in await findings(folk)}


@pytest.mark.parametrize(
    "values", [{"seq": 3}, {"seq": 99}, {"link": b"0" * 36}, {"sealed_at": 5}, {"mac": b""}], ids=str
)
async def test_a_forged_head_is_named(folk: Folk, values: dict[str, Any]) -> None:
    await written(folk)
    tenant = (await folk.tenant()).id
    async with folk.ctx.write() as db:
        await db.change(update(audit_head).where(audit_head.c.tenant_id == tenant).values(**values))
    assert await findings(folk) == [Finding(tenant, "head", values.get("seq", ROWS))]


async def test_a_head_taken_away_is_named(folk: Folk) -> None:
    await written(folk)
    tenant = (await folk.tenant()).id
    async with folk.ctx.write() as db:
        await db.change(delete(audit_head).where(audit_head.c.tenant_id == tenant))
    assert await findings(folk) == [Finding(tenant, "head", None)]


async def test_an_older_head_restored_is_named(folk: Folk) -> None:
    """The old head is genuine, but the chain has more rows than it covers."""
    await written(folk)
    tenant = (await folk.tenant()).id
    (older,) = [row for row in await folk.the.rows(audit_head) if row["tenant_id"] == tenant]
    await written(folk, 2)
    async with folk.ctx.write() as db:
        await db.change(update(audit_head).where(audit_head.c.tenant_id == tenant).values(**older))
    assert await findings(folk) == [Finding(tenant, "head", ROWS)]


async def test_a_forged_row_is_named(folk: Folk) -> None:
    """Somebody who can write to the database but has no keys cannot add a row that verifies."""
    ids = await written(folk)
    (row,) = [row for row in await folk.the.rows(audit_event) if row["id"] == ids[-1]]
    salt, personal = b"1" * 16, "{}"
    forged = row | {
        "id": "forged",
        "seq": ROWS + 1,
        "personal": personal,
        "personal_salt": salt,
        "personal_hash": digest(salt, personal.encode()),
    }
    async with folk.ctx.write() as db:
        await db.add(audit_event, **forged)
    assert Finding((await folk.tenant()).id, "changed", ROWS + 1, "forged") in await findings(folk)


async def test_erasing_a_person_keeps_the_chain_whole(folk: Folk) -> None:
    actor = await folk.create("erased@example.com")
    await account.set_profile(folk.acting(actor), {"nickname": "x"})
    await written(folk)
    await account.delete(folk.acting(actor))
    await ledger.seal(folk.the.gate.services)
    report = await ledger.verify(folk.the.gate.services)
    assert (report.ok, report.waiting) == (True, 0)
    about = [row for row in await folk.the.rows(audit_event) if actor.person_id in (row["subject_id"], row["actor_id"])]
    assert len(about) >= 4
    assert all(row["personal"] is None and row["personal_salt"] is None for row in about)
    assert about[-1]["event"] == Event.ACCOUNT_DELETED
    assert "erased@example.com" not in str(await folk.the.everything())


async def test_an_incomplete_erasure_is_named(folk: Folk) -> None:
    """An erasure removes the personal text and its salt together: a row that lacks only one of them was changed."""
    ids = await written(folk)
    await tamper(folk, ids[1], personal=None)
    await tamper(folk, ids[2], personal_salt=None)
    assert [(one.what, one.seq) for one in await findings(folk)] == [("changed", 2), ("changed", 3)]


async def test_what_a_refusal_keeps_is_part_of_the_chain(folk: Folk) -> None:
    async with folk.ctx.write() as db:
        await deferred(folk.ctx, Event.ACCESS_REFUSED, tenant_id=SYSTEM, why="test")(db)
    assert await ledger.seal(folk.the.gate.services) == 1
    assert (await ledger.verify(folk.the.gate.services)).ok


async def test_sealing_in_several_places_at_once(folk: Folk, tmp_path: Path) -> None:
    """Two sets of services on one database, as in two worker processes, seal with two tasks each: every row gets a
    sequence number, and no number is given twice."""
    services = folk.the.gate.services
    tenant = await folk.tenant()
    url = services.settings.database_url
    settings = settings_for(services.settings.data, url.get_secret_value() if url else None)
    other = build_services(settings, World(folk.the.clock, folk.the.gate.services.world.dice))

    async def writing(ctx: Ctx) -> None:
        for _ in range(15):
            async with ctx.write() as db:
                await record(ctx, db, Event.PROFILE_CHANGED, tenant_id=tenant.id)

    async def sealing(at: Any) -> int:
        return sum([await ledger.seal(at) for _ in range(8)])

    try:
        await asyncio.gather(
            writing(Ctx(services)),
            writing(Ctx(other)),
            sealing(services),
            sealing(services),
            sealing(other),
            sealing(other),
        )
        await ledger.seal(services)
    finally:
        await other.store.close()
        other.hasher.close()
    rows = [row for row in await folk.the.rows(audit_event) if row["tenant_id"] == tenant.id]
    assert sorted(row["seq"] for row in rows) == list(range(1, 31))
    assert (await ledger.verify(services)).ok


async def test_verifying_while_rows_are_written_and_sealed(lite: The) -> None:
    folk = Folk(lite)

    async def growing() -> None:
        for _ in range(20):
            await written(folk, 3)

    growth = asyncio.create_task(growing())
    while not growth.done():
        assert (await ledger.verify(lite.gate.services)).ok
        await asyncio.sleep(0)
    await growth


async def test_a_chain_longer_than_a_page(lite: The) -> None:
    folk = Folk(lite)
    tenant = await folk.tenant()
    async with folk.ctx.write() as db:
        for _ in range(1203):
            await record(folk.ctx, db, Event.PROFILE_CHANGED, tenant_id=tenant.id)
    while await ledger.seal(lite.gate.services):
        pass
    report = await ledger.verify(lite.gate.services)
    assert (report.ok, report.sealed) == (True, 1203)
    exported = [row["id"] async for row in ledger.export(lite.gate.services)]
    assert exported == sorted(row["id"] for row in await lite.rows(audit_event))


async def test_a_new_key_keeps_old_rows_provable(folk: Folk) -> None:
    """A chain still verifies if its rows were sealed under the old key, recorded under the old and sealed under the new
    key, or recorded and sealed under the new key."""
    ids = await written(folk)
    tenant = await folk.tenant()
    async with folk.ctx.write() as db:
        await record(folk.ctx, db, Event.ACCOUNT_EXPORTED, tenant_id=tenant.id)
    folk.ctx.ring.rotate()
    await written(folk, 2)
    report = await ledger.verify(folk.the.gate.services)
    assert (report.ok, report.sealed) == (True, ROWS + 3)
    await tamper(folk, ids[0], facts="{}")
    assert [(one.what, one.seq) for one in await findings(folk)] == [("changed", 1)]


async def test_under_other_keys_nothing_is_genuine(tmp_path: Path) -> None:
    """With other keys than those of the installation, no row and no head of a copied database is accepted."""
    async with running(settings_for(tmp_path)) as the:
        await written(Folk(the), 3)
    (tmp_path / "passgate.keys").unlink()
    settings = settings_for(tmp_path, secrets=("another-machine-" * 3,))
    services = build_services(settings, World.real())
    try:
        found = (await ledger.verify(services)).findings
    finally:
        await services.store.close()
        services.hasher.close()
    assert [one.what for one in found] == ["no_key"] * 4
