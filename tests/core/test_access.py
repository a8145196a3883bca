"""Roles: who may give and take them, that nobody changes their own, and that a tenant keeps an owner. An unknown role
or permission allows nothing.

Not here: which permission each endpoint requires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passgate.core import access, account, people
from passgate.core.ctx import Person as Actor
from passgate.core.events import Event
from passgate.core.permissions import PERMISSIONS, ROLES, of_role
from passgate.errors import Conflict, Invalid, PermissionMissing, Refusal
from passgate.store.tables import role_grant, tenant
from tests import operating
from tests.core.behind import Folk
from tests.kit import The

Verb = Callable[..., Coroutine[Any, Any, None]]
VERBS: tuple[Verb, ...] = (access.give, access.take)


async def done(folk: Folk, verb: Verb, by: Actor | None, whom: Actor, role: str, at: str | None = None) -> str:
    """Give or take a role; "ok" or the code of the refusal."""
    ctx = folk.acting(by) if by else operating.operator(folk.ctx)
    try:
        async with ctx.write() as db:
            await verb(ctx, db, at or whom.tenant_id, whom.person_id, role)
    except Refusal as result:
        return result.code
    return "ok"


async def roles(folk: Folk, whom: Actor) -> list[str]:
    async with folk.ctx.read() as db:
        return await access.roles_of(db, whom.tenant_id, whom.person_id)


@pytest.mark.parametrize("verb", VERBS)
async def test_who_may_give_and_take_what(lite: The, verb: Verb) -> None:
    """Every role gives and takes every role: it is allowed only to people who may change roles and hold every
    permission of the role in question."""
    folk = Folk(lite)
    await folk.create(None, "owner")  # so that no test person is the last owner
    allowed = set()
    for mine in (*ROLES, "nothing"):
        giver = await folk.create(None, *([mine] if mine in ROLES else ["unknown_role"]))
        for role in ROLES:
            whom = await folk.create(None, *(["user"] if verb is access.give else [role]))
            result = await done(folk, verb, giver, whom, role)
            assert result in ("ok", PermissionMissing.code)
            if result == "ok":
                allowed.add((mine, role))
            has_it_now = (verb is access.give) is (result == "ok")
            assert (role in await roles(folk, whom)) is (has_it_now or (verb is access.give and role == "user"))
    assert allowed == {
        *(("owner", role) for role in ROLES),
        ("admin", "admin"),
        ("admin", "user"),
        ("admin", "read_only"),
    }


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("role", ROLES)
async def test_never_to_oneself(lite: The, verb: Verb, role: str) -> None:
    folk = Folk(lite)
    owner = await folk.create(None, "owner")
    before = await lite.rows(role_grant)
    assert await done(folk, verb, owner, owner, role) == PermissionMissing.code
    assert await lite.rows(role_grant) == before


@pytest.mark.parametrize("verb", VERBS)
async def test_never_in_another_tenant(lite: The, verb: Verb) -> None:
    folk = Folk(lite)
    owner, other = await folk.create(None, "owner"), await folk.create()
    async with folk.ctx.write() as db:
        await db.add(tenant, id="elsewhere", name="elsewhere", display_name="E", created_at=1)
    before = await lite.rows(role_grant)
    assert await done(folk, verb, owner, other, "user", at="elsewhere") == PermissionMissing.code
    assert await lite.rows(role_grant) == before


async def test_an_unknown_role_is_refused(lite: The) -> None:
    folk = Folk(lite)
    owner, other = await folk.create(None, "owner"), await folk.create()
    for by in (owner, None):
        assert await done(folk, access.give, by, other, "superuser") == Invalid.code


async def test_twice_is_once(lite: The) -> None:
    folk = Folk(lite)
    owner, other = await folk.create(None, "owner"), await folk.create()
    before = len(await lite.events())
    for _ in range(2):
        assert await done(folk, access.give, owner, other, "admin") == "ok"
    for _ in range(2):
        assert await done(folk, access.take, owner, other, "admin") == "ok"
    assert (await lite.events())[before:] == [Event.ROLE_GIVEN, Event.ROLE_TAKEN]
    assert await roles(folk, other) == ["user"]


# -- the last owner --------------------------------------------------------------------------------


async def test_the_last_owner_stays(the: The) -> None:
    folk = Folk(the)
    owner, other = await folk.create(None, "owner"), await folk.create(None, "admin")
    assert await done(folk, access.take, None, owner, "owner") == Conflict.code
    with pytest.raises(Conflict):
        await account.delete(folk.acting(owner))
    assert await done(folk, access.give, owner, other, "owner") == "ok"
    await account.delete(folk.acting(owner))
    with pytest.raises(Conflict):
        await account.delete(folk.acting(other))


async def test_a_disabled_owner_does_not_count(lite: The) -> None:
    folk = Folk(lite)
    owner, other = await folk.create(None, "owner"), await folk.create(None, "owner")
    async with folk.ctx.write() as db:
        await people.disable(folk.ctx, db, other.tenant_id, other.person_id)
    assert await done(folk, access.take, None, owner, "owner") == Conflict.code
    assert await done(folk, access.take, None, other, "owner") == "ok"


async def test_of_owners_who_leave_at_once_one_stays(the: The) -> None:
    folk = Folk(the)
    owners = [await folk.create(None, "owner") for _ in range(6)]

    async def leave(owner: Actor) -> str:
        try:
            await account.delete(folk.acting(owner))
        except Conflict as result:
            return result.code
        return "ok"

    result = await asyncio.gather(*(leave(owner) for owner in owners))
    assert sorted(result) == [Conflict.code, *["ok"] * 5]
    assert [row["role"] for row in await the.rows(role_grant)] == ["owner"]


# -- properties of the role table ------------------------------------------------------------------

OWN = {"invoices:read": "See invoices"}
NAMES = st.lists(st.sampled_from([*sorted(PERMISSIONS), *OWN, "gone:read", "*", "me:read=x"]), max_size=6)


@given(st.sampled_from([*ROLES, "auditor", "", "Owner", "owner "]), NAMES)
def test_unknown_means_no(role: str, names: list[str]) -> None:
    """A role of the tenant's own allows what is stored and known, a built-in one what it always did."""
    allowed = of_role(role, " ".join(names), OWN)
    if role in ROLES:
        assert allowed == ROLES[role] | (OWN.keys() if role == "owner" else set())
    else:
        assert allowed == set(names) & (PERMISSIONS.keys() | OWN.keys())


def found(roles: str) -> Actor:
    return Actor("t", "p", "s", "c", 1, "", (), 0, row={"roles": roles})


@given(
    st.dictionaries(
        st.sampled_from([*ROLES, "auditor", "clerk_2", "x-y"]), NAMES.filter(lambda one: "me:read=x" not in one)
    )
)
def test_what_a_session_is_found_with(the_roles: dict[str, list[str]]) -> None:
    """The text of the look-up is read as it was written, whatever the order."""
    own = {role: names for role, names in the_roles.items() if role not in ROLES}
    parts = [f"{role}={' '.join(own[role])}" if role in own else role for role in the_roles]
    actor = found(",".join(parts))
    assert actor.roles == tuple(sorted(the_roles))
    assert actor.permissions_by_role == {role: " ".join(own.get(role, ())) for role in the_roles}


def test_roles_grow_from_user_to_owner() -> None:
    assert ROLES["user"] < ROLES["admin"] < ROLES["owner"]
    assert "me:write" not in ROLES["read_only"]
    assert found("").roles == ()
