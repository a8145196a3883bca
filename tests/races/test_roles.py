"""Roles that two change, give and delete at the same time: nobody has more than whoever gave it could do, a power that
is gone is spent no more, and a role that is deleted leaves no grant.

First, one side keeps its transaction open and the other must wait and then see the result; then two processes race.
What each action means by itself is in tests/core/test_roles.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, select, update

from passgate.core import access, admin, people, roles, tenants, users
from passgate.core.ctx import Ctx
from passgate.core.ctx import Person as Actor
from passgate.core.roles import Change
from passgate.core.users import User
from passgate.errors import Conflict, Invalid, PermissionMissing
from passgate.store import Db
from passgate.store.tables import audit_event, role, role_grant
from tests import operating
from tests.core.behind import Folk
from tests.kit import Person
from tests.processes import Deployment, Face, Outcomes, together
from tests.races.test_link_powers import PAUSE, apart
from tests.races.test_people import member, operator
from tests.races.test_used_once import Twins, twins

__all__ = ["twins"]
CLERK = ["me:read", "me:write", "users:read", "roles:give", "roles:write"]
MORE = "me:read users:delete"


async def waits(db_work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
    """What another process begins while this one's transaction is open."""
    begun = apart(db_work)
    await asyncio.sleep(PAUSE)
    assert not begun.done(), "it waits for the other"
    return begun


async def make(ctx: Ctx, name: str, *permissions: str) -> None:
    await roles.create(operating.operator(ctx), name, description="", permissions=list(permissions))


async def store(db: Db, tenant_id: str, name: str, permissions: str) -> None:
    """What `roles.change` writes, in a transaction that stays open."""
    await tenants.lock_roles(db, tenant_id)
    one = role.c.tenant_id == tenant_id, role.c.name == name
    assert await db.change(update(role).where(*one).values(permissions=permissions)) == 1


async def clerk(twins: Twins) -> tuple[Folk, Actor, Actor]:
    """Somebody who makes and gives roles and is no owner, somebody with the role `user`; and a role `reader`."""
    folk = Folk(twins.the)
    await make(folk.ctx, "clerk", *CLERK)
    await make(folk.ctx, "reader", "me:read", "users:read")
    return folk, await folk.create(None, "clerk"), await folk.create(None, "user")


async def grants(folk: Folk, whom: Actor) -> set[str]:
    return {row["role"] for row in await folk.the.rows(role_grant) if row["person_id"] == whom.person_id}


# -- a role is given and changes -------------------------------------------------------------------


async def test_it_grows_before_it_is_given(twins: Twins) -> None:
    folk, giver, whom = await clerk(twins)
    here, there = twins.ctxs
    async with there.write() as db:
        await store(db, giver.tenant_id, "reader", MORE)
        giving = await waits(users.give_role(here.acting(giver), User(*whom.key), "reader"))
    with pytest.raises(PermissionMissing):
        await giving
    assert await grants(folk, whom) == {"user"}
    assert (await folk.the.events())[-1] == "access:refused"


async def test_it_is_given_before_it_grows(twins: Twins) -> None:
    """Whoever has it then may do more than its giver, who reaches them no more."""
    folk, giver, whom = await clerk(twins)
    here, there = twins.ctxs
    boss = await folk.create(None, "owner")
    async with here.write() as db:
        await people.lock_all(db, {giver.key, whom.key})
        await access.give(here.acting(giver), db, *whom.key, "reader")
        growing = await waits(roles.change(there.acting(boss), "reader", Change(permissions=MORE.split())))
    await growing
    with pytest.raises(PermissionMissing):
        await users.take_role(here.acting(giver), User(*whom.key), "user")


async def test_the_givers_own_role_shrinks_before(twins: Twins) -> None:
    folk, giver, whom = await clerk(twins)
    here, there = twins.ctxs
    async with there.write() as db:
        await store(db, giver.tenant_id, "clerk", "me:read me:write roles:give")
        giving = await waits(users.give_role(here.acting(giver), User(*whom.key), "reader"))
    with pytest.raises(PermissionMissing):
        await giving
    assert await grants(folk, whom) == {"user"}


async def test_it_is_deleted_before_it_is_given(twins: Twins) -> None:
    folk, giver, whom = await clerk(twins)
    here, there = twins.ctxs
    async with there.write() as db:
        await tenants.lock_roles(db, giver.tenant_id)
        await db.change(delete(role).where(role.c.tenant_id == giver.tenant_id, role.c.name == "reader"))
        giving = await waits(users.give_role(here.acting(giver), User(*whom.key), "reader"))
    with pytest.raises(Invalid):
        await giving
    assert await grants(folk, whom) == {"user"}


@pytest.mark.parametrize("take", [False, True])
async def test_it_is_given_before_it_is_deleted(twins: Twins, take: bool) -> None:
    """Somebody who got it meanwhile is no reason to lock people in another order: it is asked for again."""
    folk, giver, whom = await clerk(twins)
    here, there = twins.ctxs
    boss = await folk.create(None, "owner")
    async with here.write() as db:
        await people.lock_all(db, {giver.key, whom.key})
        await access.give(here.acting(giver), db, *whom.key, "reader")
        deleting = await waits(roles.remove(there.acting(boss), "reader", take=take))
    with pytest.raises(Conflict):
        await deleting
    assert await grants(folk, whom) == {"user", "reader"}
    assert await roles.remove(there.acting(boss), "reader", take=True) == 1
    assert await grants(folk, whom) == {"user"}


# -- the power goes before it is spent -------------------------------------------------------------


@pytest.mark.parametrize("way", ["shrunk", "taken"])
@pytest.mark.parametrize("act", ["create", "change", "remove"])
async def test_an_editor_loses_the_power_meanwhile(twins: Twins, way: str, act: str) -> None:
    folk, editor, _ = await clerk(twins)
    here, there = twins.ctxs
    ctx = here.acting(editor)
    acts: dict[str, Coroutine[Any, Any, object]] = {
        "create": roles.create(ctx, "own", description="", permissions=["me:read"]),
        "change": roles.change(ctx, "reader", Change(permissions=["me:read"])),
        "remove": roles.remove(ctx, "reader", take=True),
    }
    async with there.write() as db:
        if way == "shrunk":
            await store(db, editor.tenant_id, "clerk", "me:read me:write users:read")
        else:
            await people.lock(db, *editor.key)
            await db.change(delete(role_grant).where(role_grant.c.person_id == editor.person_id))
        doing = await waits(acts.pop(act))
    for other in acts.values():
        other.close()
    with pytest.raises(PermissionMissing):
        await doing
    stored = {row["name"]: row["permissions"] for row in await folk.the.rows(role)}
    assert stored["reader"] == "me:read users:read"
    assert stored.keys() == {"clerk", "reader"}
    assert (await folk.the.events())[-1] == "access:refused"


# -- two processes ---------------------------------------------------------------------------------


async def ask(face: Face, who: Person, method: str, path: str = "", body: Any = None) -> httpx2.Response:
    more = {} if body is None else {"json": body}
    return await face.http.request(method, f"/api/v1/roles{path}", headers=who.auth, **more)


async def stored_of(pair: Deployment, name: str) -> list[str]:
    return [row["permissions"] for row in await pair.a.rows(role) if row["name"] == name]


async def own_tenant(pair: Deployment) -> str:
    """One with owners of its own: those of `main` are counted elsewhere."""
    name = f"t{next(pair.numbers)}"
    await admin.add_tenant(operator(pair), name, name, "open")
    return name


@pytest.mark.parametrize("turn", range(5))
async def test_two_owners_change_one_role(pair: Deployment, turn: int) -> None:
    """Each finds what the other left: the trail has no change that began at what was not there."""
    at = await own_tenant(pair)
    bosses = [(await member(pair, "owner", at=at))[1] for _ in range(2)]
    name = f"role{next(pair.numbers)}"
    assert (await ask(pair.a, bosses[0], "POST", "", {"name": name, "permissions": []})).status_code == 201
    wanted = (["me:read"], ["me:read", "users:read"], ["audit:read"], ["me:write"])
    answers = await together(
        *(
            ask(face, bosses[number % 2], "PATCH", f"/{name}", {"permissions": wanted[number % 4]})
            for number, face in enumerate(pair.each(8))
        )
    )
    assert Outcomes.of(answers) == {"200": 8}
    async with pair.inside.services.store.read() as db:
        query = select(audit_event.c.facts).where(audit_event.c.event == "role:changed").order_by(audit_event.c.at)
        facts = [json.loads(row["facts"]) for row in await db.rows(query)]
    steps = [one["change"] for one in facts if one["role"] == name]
    end = await walked(steps)
    assert await stored_of(pair, name) == [" ".join(end)], turn


async def walked(steps: list[dict[str, list[str]]]) -> list[str]:
    """Where the steps lead from nothing, each taken once; in which order instants were taken decides nothing."""
    at: list[str] = []
    left = list(steps)

    def onward(at: list[str], left: list[dict[str, list[str]]]) -> list[list[str]]:
        if not left:
            return [at]
        found = []
        for number, step in enumerate(left):
            if step["from"] == at:
                found += onward(step["to"], left[:number] + left[number + 1 :])
        return found

    ends = onward(at, left)
    assert ends, steps
    assert all(end == ends[0] for end in ends)
    return ends[0]


@pytest.mark.parametrize("turn", range(6))
async def test_deleted_by_two_while_it_is_given(pair: Deployment, turn: int) -> None:
    """Whatever came first, nobody has a role that is not there, and it was deleted once at most."""
    at = await own_tenant(pair)
    (_, boss), (_, other) = [await member(pair, "owner", at=at) for _ in range(2)]
    name = f"role{next(pair.numbers)}"
    assert (await ask(pair.a, boss, "POST", "", {"name": name, "permissions": ["me:read"]})).status_code == 201
    whom = [(await member(pair, at=at))[0] for _ in range(4)]
    for person_id in whom[:2]:
        await users.give_role(operator(pair), await user_of(pair, person_id), name)
    gives = [
        face.http.put(f"/api/v1/users/{person_id}/roles/{name}", headers=other.auth)
        for face, person_id in zip(pair.each(2), whom[2:], strict=True)
    ]
    deletes = [ask(face, boss, "DELETE", f"/{name}?take=true") for face in pair.each(2)]
    works = [*gives, *deletes] if turn % 2 else [*deletes, *gives]
    outcomes = Outcomes.of(await together(*works))
    assert outcomes.keys() <= {"200", "204", "not_found", "conflict", "invalid"}
    assert outcomes["204"] <= 1
    if not await stored_of(pair, name):
        assert name not in {row["role"] for row in await pair.a.rows(role_grant)}
    else:
        assert outcomes["204"] == 0
        assert (await ask(pair.a, boss, "DELETE", f"/{name}?take=true")).status_code == 204
        assert name not in {row["role"] for row in await pair.a.rows(role_grant)}


async def user_of(pair: Deployment, person_id: str) -> User:
    [row] = [row for row in await pair.a.rows(role_grant) if row["person_id"] == person_id]
    return User(row["tenant_id"], person_id)


async def test_two_clerks_take_each_others_power(pair: Deployment) -> None:
    """Each has a role that only the other may change. One shrinks the other's; then that one has no power left."""
    for turn in range(5):
        names = [f"role{next(pair.numbers)}" for _ in range(2)]
        clerks = []
        for name in names:
            made = await roles.create(operator(pair), name, description="", permissions=CLERK)
            assert made["permissions"] == sorted(CLERK)
            clerks.append((await member(pair, name))[1])
        answers = await together(
            ask(pair.a, clerks[turn % 2], "PATCH", f"/{names[1 - turn % 2]}", {"permissions": ["me:read"]}),
            ask(pair.b, clerks[1 - turn % 2], "PATCH", f"/{names[turn % 2]}", {"permissions": ["me:read"]}),
        )
        assert Outcomes.of(answers) == {"200": 1, "permission_missing": 1}
        stored = [await stored_of(pair, name) for name in names]
        assert sorted(stored) == sorted([["me:read"], [" ".join(sorted(CLERK))]])
