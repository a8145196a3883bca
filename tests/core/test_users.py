"""Managing the people of a tenant: what each principal may do to whom, through the same actions that the command line
runs.

Not here: the commands (`tests/cli`), and links (`test_links`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from passgate.core import access, admin, operate, users
from passgate.core.audit import SYSTEM, record
from passgate.core.ctx import Client, Ctx, Operator, Person, Principal, Stranger, System
from passgate.core.events import Event
from passgate.core.permissions import ROLES
from passgate.core.users import User
from passgate.errors import PassgateError
from passgate.store.tables import audit_event, person, role_grant
from tests import operating
from tests.core.behind import Folk
from tests.kit import The

Action = Callable[[Ctx, User], Awaitable[Any]]


async def give_user(ctx: Ctx, whom: User) -> Any:
    return await users.give_role(ctx, whom, "user")


async def take_user(ctx: Ctx, whom: User) -> Any:
    return await users.take_role(ctx, whom, "user")


ACTIONS: tuple[Action, ...] = (users.disable, users.enable, give_user, take_user)
GIVING: tuple[Action, ...] = (give_user, take_user)


async def answer(action: Action, ctx: Ctx, whom: Person) -> str:
    try:
        await action(ctx, User(*whom.key))
    except PassgateError as refused:
        return refused.code
    return "ok"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda one: one.__name__)
async def test_who_may(lite: The, action: Action) -> None:
    folk = Folk(lite)
    await folk.create(None, "owner")
    boss = {role: await folk.strong(await folk.create(None, role)) for role in ROLES}
    found = {
        (mine, theirs)
        for mine, who in boss.items()
        for theirs in ROLES
        if await answer(action, folk.acting(who), await folk.create(None, theirs)) == "ok"
    }
    over = {"owner": {"admin", "user", "read_only"}, "admin": {"user", "read_only"}}
    if action in GIVING:  # equals give each other what they both have
        over = {mine: {mine, *theirs} for mine, theirs in over.items()}
    assert found == {(mine, theirs) for mine, below in over.items() for theirs in below}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda one: one.__name__)
async def test_nobody_else_may(lite: The, action: Action) -> None:
    """And nothing changes but the trail."""
    folk = Folk(lite)
    admin, whom = await folk.strong(await folk.create(None, "admin")), await folk.create()
    other = await folk.strong(await folk.create(None, "admin"))
    await operating.add_tenant(folk.ctx, "acme", None, "open")
    foreign = await folk.create(None, at="acme")
    stale = replace(admin, proofs=dict.fromkeys(admin.proofs, 1))
    ended = await folk.strong(other)
    await operating.disable_person(folk.ctx, await folk.email(other), "main")
    bot = Client(admin.tenant_id, "bot", frozenset({"users:disable", "roles:give"}))
    before = await lite.everything(but=("audit_event", "budget"))
    asked: list[tuple[Principal, Person, str]] = [
        (Stranger(), whom, "credential_missing"),
        (System(), whom, "credential_missing"),
        (bot, whom, "credential_missing"),
        (stale, whom, "insufficient_user_authentication"),
        (ended, whom, "session_ended"),
        (admin, admin, "permission_missing"),
        (admin, foreign, "not_found"),
        (admin, replace(whom, tenant_id=foreign.tenant_id), "not_found"),
        (admin, replace(whom, person_id="nobody"), "not_found"),
        (Operator(), replace(whom, tenant_id=foreign.tenant_id), "not_found"),
    ]
    for principal, about, code in asked:
        assert await answer(action, replace(folk.ctx, principal=principal), about) == code, (principal, about)
    assert await lite.everything(but=("audit_event", "budget")) == before


async def test_an_admin_disables_and_enables(lite: The) -> None:
    folk = Folk(lite)
    admin, whom = await folk.strong(await folk.create(None, "admin")), await folk.create()
    ctx, user = folk.acting(admin), User(*whom.key)
    assert (await users.disable(ctx, user))["disabled"]
    with pytest.raises(PassgateError):
        await users.give_role(ctx, user, "admin")
    assert not (await users.enable(ctx, user))["disabled"]
    [row] = [row for row in await lite.rows(person) if row["id"] == whom.person_id]
    assert row["disabled_at"] is None
    rows = [row for row in await lite.rows(audit_event) if row["subject_id"] == whom.person_id]
    made = {row["event"]: (row["actor_id"], json.loads(row["facts"])["principal"]) for row in rows}
    assert made[Event.ACCOUNT_DISABLED] == made[Event.ACCOUNT_ENABLED] == (admin.person_id, "person")


async def test_the_trail_names_who_acted(lite: The) -> None:
    """Each row has the kind of its principal, and stands in the chain of the one tenant that they belong to."""
    folk = Folk(lite)
    anna = await folk.create()
    tenant_id = anna.tenant_id
    bot = Client(tenant_id, "bot", frozenset())
    cases: list[tuple[Principal, str | None, str | None]] = [
        (Stranger(), tenant_id, tenant_id),
        (Stranger(), SYSTEM, SYSTEM),
        (Stranger(), None, None),
        (anna, None, tenant_id),
        (anna, tenant_id, tenant_id),
        (anna, "another", None),
        (anna, SYSTEM, None),
        (bot, None, tenant_id),
        (bot, "another", None),
        (Operator(), None, SYSTEM),
        (Operator(), tenant_id, tenant_id),
        (System(), None, SYSTEM),
        (System(), tenant_id, tenant_id),
    ]
    for principal, given, expected in cases:
        ctx = replace(folk.ctx, principal=principal)
        before = len(await lite.rows(audit_event))
        if expected is None:
            with pytest.raises(RuntimeError):
                async with ctx.write() as db:
                    await record(ctx, db, Event.ACCESS_REFUSED, tenant_id=given)
            assert len(await lite.rows(audit_event)) == before
            continue
        async with ctx.write() as db:
            await record(ctx, db, Event.ACCESS_REFUSED, tenant_id=given)
        row = (await lite.rows(audit_event))[-1]
        assert (row["tenant_id"], json.loads(row["facts"])["principal"]) == (expected, principal.kind)


async def test_require(lite: The) -> None:
    """An operator has every permission, a client its own, a person those of their roles as they are now."""
    folk = Folk(lite)
    anna, bot = await folk.create(None, "admin"), Client("t", "bot", frozenset({"audit:read"}))
    cases: list[tuple[Principal, str, str]] = [
        (Stranger(), "me:read", "credential_missing"),
        (System(), "me:read", "permission_missing"),
        (Operator(), "anything:at_all", "ok"),
        (bot, "audit:read", "ok"),
        (bot, "users:read", "permission_missing"),
        (anna, "audit:read", "ok"),
        (anna, "policy:write", "permission_missing"),
    ]
    for principal, permission, code in cases:
        assert await required(replace(folk.ctx, principal=principal), permission) == code, (principal, permission)
    async with folk.ctx.write() as db:
        await db.change(role_grant.delete())
    assert await required(folk.acting(anna), "audit:read") == "permission_missing"


async def required(ctx: Ctx, permission: str) -> str:
    try:
        await access.require_to_read(ctx, permission)
        async with ctx.write() as db:
            await access.require(ctx, db, permission)
    except PassgateError as refused:
        return refused.code
    return "ok"


async def test_what_reaches_over_all_tenants_is_an_operators(lite: The) -> None:
    """An owner of one tenant finds nobody in another, and vouches for no address."""
    folk = Folk(lite)
    owner = await folk.strong(await folk.create("owner@example.com", "owner"))
    await operating.add_tenant(folk.ctx, "acme", None, "open")
    await folk.create("ben@example.com", at="acme")
    before = await lite.everything(but=("audit_event",))
    for principal, code in (
        (owner, "permission_missing"),
        (System(), "permission_missing"),
        (Stranger(), "credential_missing"),
    ):
        ctx = replace(folk.ctx, principal=principal)
        for asked in (
            users.by_email(ctx, "ben@example.com", "acme"),
            users.by_email(ctx, "owner@example.com", "main"),
            users.add(ctx, "main", "eve@example.com", "user", None),
            users.listed(ctx, "main"),
            users.operators_link(ctx, User(*owner.key)),
            admin.add_tenant(ctx, "other", None, "open"),
            operate.rotate_keys(ctx),
            operate.recent(ctx, 10),
            operate.record_backup(ctx, with_keys=True),
        ):
            with pytest.raises(PassgateError) as refused:
                await asked
            assert refused.value.code == code
    assert await lite.everything(but=("audit_event",)) == before
    assert (await users.by_email(operating.operator(folk.ctx), "ben@example.com", "acme")).tenant_id != owner.tenant_id
