"""What managing people costs in a tenant of many: pages of the list, the check of a permission, deleting somebody with
a long history; called directly. And the pages of admins, in this process, so that nothing of the server is in it.

Not here: requests to a server (`__main__`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from passgate.core import access, directory, erasure, people
from passgate.core.ctx import Ctx, System
from passgate.core.ctx import Person as Actor
from passgate.core.directory import Asked
from passgate.parts import build_services
from passgate.store.migrate import upgrade
from passgate.store.tables import audit_event, person
from passgate.world import World
from tests import kit
from tests.core.behind import Folk
from tests.servers import Postgres

Row = Callable[..., None]
BATCH = 10_000
HISTORY = 10_000


def crowd_rows(postgres: Postgres, row: Row, *, count: int, times: int) -> None:
    for name, url in (("SQLite", None), ("PostgreSQL", postgres.create_database())):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(_on(Path(folder), url, name, row, count, times))


async def _on(data: Path, url: str | None, name: str, row: Row, count: int, times: int) -> None:
    settings = kit.settings_for(data, url)
    services = build_services(settings, World.real())
    await upgrade(services.store, lock=data / "lock")
    await services.store.close()
    services.hasher.close()
    async with kit.running(settings, real_world=True) as the:
        folk = Folk(the)
        tenant = await folk.tenant()
        await _fill(folk, tenant.id, count)
        asked = {
            "by address": Asked(sort="email"),
            "by last use, newest first": Asked(sort="-last_used_at"),
            "search for an address": Asked(search="p0123", sort="email"),
        }
        for what, how in asked.items():
            first = await directory.after(folk.ctx, tenant.id, how, cursor=None, limit=100)

            async def page(how: Asked = how, cursor: str | None = first.next) -> object:
                return await directory.after(folk.ctx, tenant.id, how, cursor=cursor, limit=100)

            row(f"100 of {count:,} people, {what}, {name}", *await _ms(page, times))
        chief = await folk.create("boss@example.com", "admin")
        boss = folk.acting(chief)

        async def checked() -> None:
            await access.require_to_read(boss, "users:read")

        row(f"the check of a permission, {name}", *await _ms(checked, times * 5))
        _, token = await folk.opened(*chief.key)
        for what, path in (await _pages(folk, tenant.id, count)).items():

            async def page_of_admins(path: str = path) -> None:
                answer = await the.http.get(path, headers={"cookie": f"passgate_session={token}"})
                if answer.status_code != 200:
                    raise RuntimeError(f"{path}: {answer.status_code}")

            row(f"page of admins over {count:,} people, {what}, {name}", *await _ms(page_of_admins, times))
        gone: list[Actor] = []
        took = await _ms(lambda: _deleted(folk, gone), 3, lambda: _lived(folk, gone))
        row(f"deleting a person with {HISTORY:,} audit rows, {name}", *took)


async def _pages(folk: Folk, tenant_id: str, count: int) -> dict[str, str]:
    """The pages of admins that read people. The deep page is in the middle of the list."""
    middle = Asked(sort="email", search=f"p{count // 2:07}"[:4])
    deep = await directory.after(folk.ctx, tenant_id, Asked(sort="email"), cursor=None, limit=1)
    found = await directory.after(folk.ctx, tenant_id, middle, cursor=None, limit=1)
    cursor = _cursor_behind(deep.next or "", found.items[0])
    return {
        "the first": "/admin/people",
        "by last use": "/admin/people?sort=-last_used_at",
        "deep": f"/admin/people?sort=email&after={cursor}",
        "search": "/admin/people?search=p0123",
        "nobody found": "/admin/people?search=nobody",
        "disabled": "/admin/people?disabled=true",
        "one person": f"/admin/people/{found.items[0]['id']}",
    }


def _cursor_behind(example: str, person: dict[str, Any]) -> str:
    """The cursor of a page that begins behind somebody, in the form of another one's."""
    sort, _, _ = json.loads(base64.urlsafe_b64decode(example + "=" * (-len(example) % 4)))
    text = json.dumps([sort, person["email"], person["id"]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


async def _fill(folk: Folk, tenant_id: str, count: int) -> None:
    now = folk.the.gate.services.world.now()
    for start in range(0, count, BATCH):
        rows = [
            {
                "id": str(uuid.UUID(int=number)),
                "tenant_id": tenant_id,
                "email": f"p{number:07}@example.com",
                "email_key": f"p{number:07}@example.com",
                "profile": "{}",
                "created_at": now - number,
                "updated_at": now - number * 7919 % count,
                "last_used_at": now - number * 104729 % count,
            }
            for number in range(start, min(start + BATCH, count))
        ]
        async with folk.ctx.write(heavy=True) as db:
            await db.change_many(insert(person), rows)
    async with folk.ctx.write(heavy=True) as db:
        await db.change(text("ANALYZE person" if db.is_postgres else "ANALYZE"))


async def _lived(folk: Folk, gone: list[Actor]) -> None:
    """Somebody with a long history."""
    who = await folk.create(f"gone{next(folk.numbers)}@example.com", hashed=None)
    row: dict[str, Any] = {"tenant_id": who.tenant_id, "at": 0, "event": "signin:completed", "facts": "{}", "mac": b""}
    row |= {"actor_id": who.person_id, "subject_id": who.person_id, "personal": "{}", "personal_hash": b""}
    async with folk.ctx.write(heavy=True) as db:
        await db.change_many(insert(audit_event), [{"id": str(uuid.uuid4()), **row} for _ in range(HISTORY)])
    gone.append(who)


async def _deleted(folk: Folk, gone: list[Actor]) -> object:
    who, ctx = gone.pop(), replace(Ctx(folk.the.gate.services), principal=System())
    async with ctx.write(heavy=True) as db:
        found = await people.lock(db, *who.key)
        if found is None:
            raise RuntimeError("nobody to delete")
        await erasure.erase(ctx, db, found)
    return found


async def _ms(
    work: Callable[[], Awaitable[object]], times: int, before: Callable[[], Awaitable[object]] | None = None
) -> tuple[float, float]:
    """Median and worst, in milliseconds."""
    took = []
    for _ in range(times):
        if before is not None:
            await before()
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), max(took)
