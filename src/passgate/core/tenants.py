"""Tenants: separate groups of people with their own rules. A single-tenant deployment has one tenant called `main`.

Not here: who belongs to a tenant (`people`) and what its rules mean (`policy`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, select, update

from passgate.core.ctx import Ctx, Services, System
from passgate.core.rules import Rules, weak_reasons
from passgate.errors import Invalid, NotFound, SignupClosed, Unavailable
from passgate.store import Db
from passgate.store.tables import tenant

MAIN = "main"
_LONGEST_DISPLAY_NAME, _LONGEST_OF_A_PERSON = 200, 64
_VISIBLE = re.compile(r"(?![\u115f\u1160\u3164\uffa0])[^\W_]")
"""A letter or digit that shows: four letters of Hangul are blank."""
_LINK = re.compile(r"[/@\\]|[.\u3002](?=[^\W\d_])")
"""What a name has of which a mail program may make a link, after NFKC."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38})[a-z0-9]")
RESERVED = frozenset({"main", "api", "admin", "www", "t", "oauth2", "bff", "dev", "demo"})
"""The product's list, and no list of our paths: names of tenants stand behind `/t/` or in a host."""


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    display_name: str
    rules: Rules
    is_disabled: bool

    @property
    def is_open(self) -> bool:
        """Whether everybody may sign up."""
        return not self.is_disabled and self.rules.signup == "open"

    def as_json(self) -> dict[str, Any]:
        """As the API has it."""
        return {"id": self.id, "name": self.name, "display_name": self.display_name}


def checked_name(text: str, field: str = "name") -> str:
    """2–40 of a-z, 0-9 and hyphen, matched case-insensitively, not a reserved name. Raises Invalid."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise Invalid({field: "format"})
    if name in RESERVED:
        raise Invalid({field: "reserved"})
    return name


def checked_display_name(text: str, *, by_operator: bool) -> str:
    """What people read: 1 to 200 printable characters, without blanks around. Pages and subjects of mails contain it,
    so nothing that breaks a line or turns the direction of the text. A person's choice has 64 at most, and nothing of
    which mail programs make a link: where strangers found tenants, they choose whom we mail, too. Raises Invalid."""
    name = text.strip()
    is_link = _LINK.search(unicodedata.normalize("NFKC", name)) is not None and not by_operator
    if not name.isprintable() or is_link or (name and not _VISIBLE.search(name)):
        raise Invalid({"display_name": "format"})
    if not 0 < len(name) <= (_LONGEST_DISPLAY_NAME if by_operator else _LONGEST_OF_A_PERSON):
        raise Invalid({"display_name": "length"})
    return name


async def find(ctx: Ctx, db: Db, name: str | None) -> Tenant | None:
    """The tenant of this name; without one that of the site, or `main`. On a tenant's own site there is no other."""
    asked = (name or ctx.site.tenant or MAIN).strip().lower()
    if ctx.site.tenant not in (None, asked):
        return None
    return _value(ctx, await db.one(_BY_NAME, of_name=asked))


async def asked(ctx: Ctx, name: str | None) -> Tenant:
    """The tenant whose pages are asked for. Raises Unavailable if there is none: `main` always exists."""
    async with ctx.read() as db:
        found = await find(ctx, db, name)
    if found is None:
        raise Unavailable("database")
    return found


async def named(ctx: Ctx, db: Db, name: str | None) -> Tenant:
    """The same; raises NotFound."""
    found = await find(ctx, db, name)
    if found is None:
        raise NotFound("There's no tenant with that name.")
    return found


async def link(ctx: Ctx, db: Db, tenant_id: str, path: str = "") -> str:
    """The address of a page for the people of a tenant, on the site that is theirs."""
    sites = ctx.services.sites
    found = None if sites.is_one else await by_id(ctx, db, tenant_id)
    return (sites.of_tenant(found.name) if found else sites.default).url + path


async def is_here(ctx: Ctx, db: Db, tenant_id: str) -> bool:
    """Whether something of this tenant may be used on the site of the request: another tenant's site has no part in
    it."""
    if ctx.site.tenant is None:
        return True
    found = await by_id(ctx, db, tenant_id)
    return found is not None and found.name == ctx.site.tenant


async def by_id(ctx: Ctx, db: Db, tenant_id: str) -> Tenant | None:
    return _value(ctx, await db.one(_BY_ID, of_id=tenant_id))


async def lock(ctx: Ctx, db: Db, tenant_id: str) -> Tenant | None:
    """The same, with its row locked until the transaction ends; rows that only name the tenant may be written."""
    return _value(ctx, await db.one(_BY_ID.with_for_update(key_share=True), of_id=tenant_id))


async def lock_row(db: Db, tenant_id: str) -> None:
    """Lock its row until the transaction ends."""
    await db.value(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update())


async def share_row(db: Db, tenant_id: str) -> None:
    """Share a lock on its row until the transaction ends: its roles stay as they are."""
    await db.value(_SHARE, of_id=tenant_id)


async def lock_roles(db: Db, tenant_id: str) -> None:
    """Lock its row against everybody who changes its roles or gives one. What only names the tenant goes on."""
    await db.value(_LOCK_ROLES, of_id=tenant_id)


async def weak_policies(services: Services) -> list[tuple[str, str]]:
    """Reasons for production not to start: the rules of tenants that a database from development may have."""
    if services.settings.is_development:
        return []
    async with services.store.read() as db:
        rows = await db.rows(select(tenant.c.name, tenant.c.policy).order_by(tenant.c.name))
    return weak_reasons({row["name"]: row["policy"] for row in rows})


async def set_display_name(db: Db, tenant_id: str, display_name: str) -> None:
    await db.change(update(tenant).where(tenant.c.id == tenant_id).values(display_name=display_name))


async def set_rules(db: Db, tenant_id: str, rules: Rules) -> None:
    text = json.dumps(rules.differences())
    await db.change(update(tenant).where(tenant.c.id == tenant_id).values(policy=text))


_BY_NAME = select(tenant).where(tenant.c.name == bindparam("of_name"))
_BY_ID = select(tenant).where(tenant.c.id == bindparam("of_id"))
_ID = select(tenant.c.id).where(tenant.c.id == bindparam("of_id"))
_SHARE = _ID.with_for_update(read=True)
_LOCK_ROLES = _ID.with_for_update(key_share=True)


def _value(ctx: Ctx, row: RowMapping | None) -> Tenant | None:
    if row is None:
        return None
    rules = Rules.parsed(row["policy"], ctx.factors)
    return Tenant(row["id"], row["name"], row["display_name"], rules, row["disabled_at"] is not None)


async def open_one(ctx: Ctx, db: Db, name: str | None) -> Tenant:
    """The tenant open for sign-up under this name. Raises SignupClosed alike for unknown, disabled and closed ones."""
    found = await find(ctx, db, name)
    if found is None or not found.is_open:
        raise SignupClosed
    return found


async def create(ctx: Ctx, db: Db, name: str, display_name: str, signup: str = "open") -> str | None:
    """The new tenant's id, or None if the name is taken."""
    tenant_id = ctx.world.uuid()
    row = {
        "id": tenant_id,
        "name": name,
        "display_name": display_name,
        "created_at": ctx.now(),
        "policy": json.dumps(Rules(signup=signup).differences()),
    }
    made = await db.change(db.upsert(tenant).values(**row).on_conflict_do_nothing())
    return tenant_id if made else None


async def ensure_main(services: Services) -> None:
    """Create `main` if it is missing; processes starting concurrently create one."""
    ctx = Ctx(services, principal=System())
    async with ctx.read() as db:
        if await find(ctx, db, MAIN):
            return
    async with ctx.write() as db:
        await create(ctx, db, MAIN, "Passgate")
