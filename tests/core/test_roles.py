"""The laws of roles, for every kind of somebody who may change them: nobody gets more than they were given by making,
changing or deleting a role, and nobody reaches somebody who may do more than they.

Not here: what the endpoints answer (`tests/web/test_contract_roles`), and two who act at once (`tests/races`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from passgate.core import access, roles, sessions, user_changes, users
from passgate.core.ctx import Client, Operator, Stranger, System
from passgate.core.ctx import Person as Actor
from passgate.core.events import Event
from passgate.core.permissions import PERMISSIONS, registered
from passgate.core.roles import Change
from passgate.core.users import User
from passgate.errors import CredentialMissing, Invalid, PermissionMissing, Refusal
from passgate.store.tables import role, role_grant, tenant
from tests import operating
from tests.core.behind import Folk
from tests.kit import The

CLERK = ["me:read", "me:write", "users:read", "users:write", "roles:give", "roles:write"]
"""What a role of the tenant's own may allow whose holders change roles."""


async def done(work: Awaitable[object]) -> str:
    try:
        await work
    except Refusal as refusal:
        return refusal.code
    return "ok"


async def make(folk: Folk, name: str, *permissions: str) -> None:
    await roles.create(operating.operator(folk.ctx), name, description="", permissions=list(permissions))


async def clerk(folk: Folk, *more: str) -> Actor:
    """Somebody who changes roles and is no owner."""
    if "clerk" not in {row["name"] for row in await folk.the.rows(role)}:
        await make(folk, "clerk", *CLERK)
    return await folk.create(None, "clerk", *more)


def create(folk: Folk, who: Actor, name: str, *permissions: str) -> Awaitable[object]:
    return roles.create(folk.acting(who), name, description="", permissions=list(permissions))


def change(folk: Folk, who: Actor, name: str, *permissions: str) -> Awaitable[object]:
    return roles.change(folk.acting(who), name, Change(permissions=list(permissions)))


def describe(folk: Folk, who: Actor, name: str) -> Awaitable[object]:
    return roles.change(folk.acting(who), name, Change("Other words"))


def remove(folk: Folk, who: Actor, name: str) -> Awaitable[object]:
    return roles.remove(folk.acting(who), name, take=True)


def touching(folk: Folk, who: Actor, name: str) -> list[Awaitable[object]]:
    """Every way to change a role that adds nothing."""
    return [describe(folk, who, name), change(folk, who, name, "me:read"), remove(folk, who, name)]


async def all_refused(folk: Folk, *ways: Awaitable[object]) -> None:
    """With a row in the trail each, and nothing else changed."""
    but = ("audit_event", "audit_head")
    before, events = await folk.the.everything(but=but), len(await folk.the.events())
    for way in ways:
        assert await done(way) == PermissionMissing.code
    assert await folk.the.everything(but=but) == before
    assert (await folk.the.events())[events:] == [Event.ACCESS_REFUSED] * len(ways)


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mine", ["owner", "admin", "user", "read_only", "unknown"])
async def test_a_built_in_role_and_what_it_may(lite: The, mine: str) -> None:
    folk = Folk(lite)
    await make(folk, "reader", "me:read")
    who = await folk.create(None, mine)
    if mine == "owner":
        assert await done(create(folk, who, "auditor", *PERMISSIONS)) == "ok"
        assert [await done(way) for way in touching(folk, who, "reader")] == ["ok"] * 3
    else:
        await all_refused(folk, create(folk, who, "auditor"), *touching(folk, who, "reader"))


@pytest.mark.parametrize("principal", [Stranger(), System(), Client("t", "c", frozenset({"roles:write"}))])
async def test_nobody_else_may(lite: The, principal: Any) -> None:
    folk = Folk(lite)
    ctx = replace(folk.ctx, principal=principal)
    with pytest.raises(CredentialMissing):
        await roles.create(ctx, "auditor", description="", permissions=[])
    assert await lite.rows(role) == []


@pytest.mark.parametrize(
    "name", ["auditor\n", "\nauditor", "auditor\0", "", "a", "owner\n", "Admin", "ａuditor", "x" * 41]
)
async def test_what_is_no_name(lite: The, name: str) -> None:
    assert await done(make(Folk(lite), name)) == Invalid.code


# -- nobody makes more than they have --------------------------------------------------------------


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
async def test_creating_and_adding_one_permission(lite: The, permission: str) -> None:
    """Exactly those that they have themselves."""
    folk = Folk(lite)
    who = await clerk(folk)
    await make(folk, "reader", "me:read")
    ways = create(folk, who, "own", permission), change(folk, who, "reader", "me:read", permission)
    if permission in CLERK:
        assert [await done(way) for way in ways] == ["ok", "ok"]
    else:
        await all_refused(folk, *ways)


async def test_a_host_permission_is_like_any_other(lite: The) -> None:
    folk = Folk(lite)
    own = registered({"invoices:read": "See invoices"})
    services = replace(lite.gate.services, permissions=own)
    who = await clerk(folk)
    ctx = replace(folk.acting(who), services=services)
    give: dict[str, Any] = {"description": "", "permissions": ["invoices:read"]}
    assert await done(roles.create(ctx, "billing", **give)) == PermissionMissing.code
    assert await done(roles.create(folk.acting(who), "billing", **give)) == Invalid.code, "nobody has registered it"
    boss = replace(folk.acting(await folk.create(None, "owner")), services=services)
    assert await done(roles.create(boss, "billing", **give)) == "ok", "an owner has every permission"
    other = await folk.create()
    assert await done(users.give_role(ctx, User(*other.key), "billing")) == PermissionMissing.code
    assert await done(users.give_role(boss, User(*other.key), "billing")) == "ok"
    async with ctx.read() as db:
        assert await access.permissions_of(ctx, db, *other.key) == {"me:read", "me:write", "invoices:read"}
        assert await access.permissions_of(folk.ctx, db, *other.key) == {"me:read", "me:write"}
    # Whoever may see invoices is above somebody who may do all else that they may.
    assert await done(users.give_role(ctx, User(*other.key), "read_only")) == PermissionMissing.code


# -- nobody reaches more than they have ------------------------------------------------------------


async def test_a_role_that_allows_more(lite: The) -> None:
    """Even making it smaller, and even if nobody has it."""
    folk = Folk(lite)
    who = await clerk(folk)
    await make(folk, "auditor", "me:read", "audit:read")
    await all_refused(folk, *touching(folk, who, "auditor"))
    other = await folk.create()
    assert await done(users.give_role(folk.acting(who), User(*other.key), "auditor")) == PermissionMissing.code


@pytest.mark.parametrize("more", ["owner", "admin", "auditor"])
async def test_a_role_of_somebody_who_may_do_more(lite: The, more: str) -> None:
    """By any of their roles, among many people who may not."""
    folk = Folk(lite)
    who = await clerk(folk)
    await make(folk, "auditor", "audit:read")
    await make(folk, "reader", "me:read", "users:read")
    for _ in range(3):
        await folk.create(None, "user", "reader")
    assert await done(describe(folk, who, "reader")) == "ok"
    await folk.create(None, "reader", more)
    await all_refused(folk, *touching(folk, who, "reader"))
    assert [await done(way) for way in touching(folk, await folk.create(None, "owner"), "reader")] == ["ok"] * 3


async def test_the_union_of_a_holders_roles_counts(lite: The) -> None:
    """Two people who each may do a part are two who may do no more; nobody adds up what different people have."""
    folk = Folk(lite)
    who = await clerk(folk)
    await make(folk, "reader", "users:read")
    await folk.create(None, "reader", "user")
    await folk.create(None, "reader", "read_only")
    assert await done(change(folk, who, "reader", "users:write")) == "ok"
    assert await done(remove(folk, who, "reader")) == "ok"


# -- nobody changes what they may do themselves ----------------------------------------------------


async def test_a_role_that_one_has(lite: The) -> None:
    """It gains what they lack, it loses what they have, it gets other words, it goes: refused."""
    folk = Folk(lite)
    who = await clerk(folk)
    ways = change(folk, who, "clerk", *CLERK, "users:delete"), change(folk, who, "clerk", *CLERK[1:])
    await all_refused(folk, *ways, *touching(folk, who, "clerk"))
    boss = await folk.create(None, "owner", "clerk")
    assert await done(change(folk, boss, "clerk", *CLERK, "users:delete")) == "ok", "an owner may"


async def test_no_detour_to_more(lite: The) -> None:
    """A role with more for a friend, who gives it back; one of their own for themselves; one for a new person."""
    folk = Folk(lite)
    who, friend = await clerk(folk), await clerk(folk)
    ctx = folk.acting(who)
    await all_refused(folk, create(folk, who, "plan", *CLERK, "policy:write"))
    assert await done(create(folk, who, "plan", *CLERK)) == "ok"
    await all_refused(
        folk,
        users.give_role(ctx, User(*who.key), "plan"),
        users.take_role(ctx, User(*who.key), "clerk"),
        change(folk, who, "plan", *CLERK, "policy:write"),
    )
    assert await done(users.give_role(ctx, User(*friend.key), "plan")) == "ok"
    await all_refused(folk, change(folk, friend, "plan", "me:read"), change(folk, friend, "plan", *CLERK, "audit:read"))
    await make(folk, "strong", "policy:write")
    more: dict[str, Any] = {"secret": None, "profile": None}
    way = user_changes.create(ctx, "puppet@example.com", roles=["clerk", "strong"], **more)
    await all_refused(folk, way)
    assert await done(user_changes.create(ctx, "puppet@example.com", roles=["clerk"], **more)) == "ok"


async def test_a_role_that_grew_counts_for_whom_one_reaches(lite: The) -> None:
    """An admin reaches somebody until a role of theirs grows beyond the admin's."""
    folk = Folk(lite)
    admin, boss = await folk.create(None, "admin"), await folk.create(None, "owner")
    await make(folk, "auditor", "audit:read")
    other = await folk.create(None, "user", "auditor")
    assert await done(users.sign_out(folk.acting(admin), User(*other.key))) == "ok"
    assert await done(change(folk, boss, "auditor", "audit:read", "policy:write")) == "ok"
    await all_refused(folk, users.sign_out(folk.acting(admin), User(*other.key)))
    assert await done(change(folk, boss, "auditor", "audit:read")) == "ok"
    assert await done(users.disable(folk.acting(admin), User(*other.key))) == "ok"


# -- how it is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["look-up", "holders", "mine"])
async def test_what_is_read_is_found_by_an_index(the: The, which: str) -> None:
    """Also on PostgreSQL, which reads a small table as a whole unless it is told not to."""
    is_sqlite = the.gate.services.store.is_sqlite
    text = sessions.LOOKUP.sqlite if is_sqlite else sessions.LOOKUP.postgres
    query: Any = {"holders": access._OF_HOLDERS, "mine": access._STORED}.get(which)

    def run(connection: Connection) -> str:
        if not is_sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
        if query is None:
            found = connection.exec_driver_sql(explain + text, (b"",))
        else:
            compiled = query.params(of_tenant="t", of_role="r", of_person="p").compile(connection)
            given = tuple(compiled.params[name] for name in compiled.positiontup or ())
            found = connection.exec_driver_sql(explain + str(compiled), given)
        return "\n".join(str(row[-1]) for row in found)

    async with the.gate.services.store.write() as db:
        plan = await db.run(run)
    assert "SCAN" not in plan.replace("SCAN CONSTANT", ""), plan
    assert "Seq Scan" not in plan, plan


# -- tenants ---------------------------------------------------------------------------------------


async def test_a_name_means_nothing_in_another_tenant(lite: The) -> None:
    """The same name, other permissions; and a name that only the other tenant has."""
    folk = Folk(lite)
    await operating.add_tenant(folk.ctx, "other", None, "open")
    there = replace(folk.ctx, principal=Operator("other"))
    await make(folk, "auditor", "audit:read")
    await roles.create(there, "auditor", description="", permissions=["users:delete"])
    await roles.create(there, "only", description="", permissions=["users:delete"])
    here_one, there_one = await folk.create(None, "auditor", "only"), await folk.create(None, "auditor", at="other")
    async with folk.ctx.read() as db:
        assert await access.permissions_of(folk.ctx, db, *here_one.key) == {"audit:read"}
        assert await access.permissions_of(folk.ctx, db, *there_one.key) == {"users:delete"}
    for who, allowed in ((here_one, {"audit:read"}), (there_one, {"users:delete"})):
        found = await folk.actor_of((await folk.opened(*who.key))[1])
        assert access.found_with(lite.gate.services, found) == allowed
    boss = await folk.create(None, "owner")
    assert await done(users.give_role(folk.acting(boss), User(*here_one.key), "only")) == Invalid.code
    assert await done(describe(folk, boss, "only")) == "not_found"
    assert await done(remove(folk, boss, "only")) == "not_found"
    assert await done(change(folk, boss, "auditor", "me:read")) == "ok"
    assert await done(remove(folk, boss, "auditor")) == "ok"
    names = {row["id"]: row["name"] for row in await lite.rows(tenant)}
    left = {(names[row["tenant_id"]], row["name"], row["permissions"]) for row in await lite.rows(role)}
    assert left == {("other", "auditor", "users:delete"), ("other", "only", "users:delete")}
    assert "auditor" in {row["role"] for row in await lite.rows(role_grant) if row["person_id"] == there_one.person_id}


async def test_an_operator_may_do_all(lite: The) -> None:
    folk = Folk(lite)
    ctx = operating.operator(folk.ctx)
    await roles.create(ctx, "all", description="", permissions=[*PERMISSIONS])
    who = await folk.create(None, "all", "owner")
    assert await roles.remove(ctx, "all", take=True) == 1
    assert [row["role"] for row in await lite.rows(role_grant) if row["person_id"] == who.person_id] == ["owner"]
    made = await operating.add_person(folk.ctx, "one@example.com", "main", "user", None)
    assert made["roles"] == ["user"]
    assert await done(operating.add_person(folk.ctx, "two@example.com", "main", "all", None)) == Invalid.code
    await roles.create(ctx, "all", description="", permissions=[])
    assert (await operating.add_person(folk.ctx, "two@example.com", "main", "all", None))["roles"] == ["all"]


@pytest.mark.parametrize(
    "given",
    [
        {"invoices": "x"}, {"Invoices:read": "x"}, {"invoices:read:all": "x"}, {"invoices:": "x"}, {":read": "x"},
        {"invoices read:x": "x"}, {"i=n:read": "x"}, {"a,b:read": "x"}, {f"{'a' * 60}:b": "x"}, {1: "x"},
        {"invoices:read\n": "x"}, {"users:fly": "x"}, {"me:read": "x"}, {"roles:read": "x"}, {"invoices:read": ""},
        {"invoices:read": " "}, {"invoices:read": "a\nb"}, {"invoices:read": "x" * 201}, {"invoices:read": 1},
    ],
)  # fmt: skip
def test_what_is_no_permission_of_a_host(given: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"permission|text"):
        registered(given)
