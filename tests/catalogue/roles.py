"""The entries of the endpoints for roles and permissions: the right requests, by the owner Anna, and the actions behind
them.

Not here: what these endpoints do, which is in `tests/web/test_contract_roles`.
"""

from __future__ import annotations

from passgate.core import roles
from passgate.core.ctx import Person as Actor
from tests.architecture.population import Ask, Population
from tests.catalogue.asks import API, mine
from tests.catalogue.entry import Action, Entry, Fresh, Right, Writes
from tests.catalogue.outcomes import BY_ID, CARRIED, FRESH
from tests.core.behind import Folk

_SESSION = "session"
_NAMES = ["me:read", "users:read"]
_NOWHERE = "nowhere"


async def _made(population: Population, by: str = "anna") -> str:
    """A new role of Anna's tenant, or of Otto's; its name."""
    name = f"{by}_{next(population.numbers)}"
    await population.done("POST", "/roles", {"name": name, "permissions": _NAMES}, population.people[by].token)
    return name


async def lists_permissions(population: Population) -> Ask:
    return mine(population, "/permissions")


async def lists_roles(population: Population) -> Ask:
    return mine(population, "/roles")


async def creates_role(population: Population) -> Ask:
    body = {"name": f"role{next(population.numbers)}", "description": "Reads", "permissions": _NAMES}
    return mine(population, "/roles", body)


async def _about(population: Population, body: dict[str, object] | None = None) -> Ask:
    """About a role of Anna's; the others are of another tenant, and of none."""
    others = ({"path": f"{API}/roles/{name}"} for name in (await _made(population, "otto"), _NOWHERE))
    return mine(population, f"/roles/{await _made(population)}", body).with_others(*others)


async def changes_role(population: Population) -> Ask:
    return await _about(population, {"description": "Reads and writes", "permissions": [*_NAMES, "me:write"]})


async def deletes_role(population: Population) -> Ask:
    return await _about(population)


async def deletes_role_of_somebody(population: Population) -> Ask:
    ask = await _about(population)
    name = ask.path.rpartition("/")[2]
    await population.done("PUT", f"/users/{population.ben.id}/roles/{name}", None, population.anna.token)
    return mine(population, f"/roles/{name}?take=true")


async def _boss(folk: Folk) -> tuple[Actor, str]:
    """An owner, and a role that two people have."""
    boss, name = await folk.create(None, "owner"), f"role{next(folk.numbers)}"
    await roles.create(folk.acting(boss), name, description="", permissions=_NAMES)
    for _ in range(2):
        await folk.create(None, name)
    return boss, name


async def create_role(folk: Folk) -> Action:
    boss, name = await folk.create(None, "owner"), f"role{next(folk.numbers)}"
    return lambda: roles.create(folk.acting(boss), name, description="Reads", permissions=_NAMES)


async def change_role(folk: Folk) -> Action:
    boss, name = await _boss(folk)
    return lambda: roles.change(folk.acting(boss), name, roles.Change("Reads", ["me:read"]))


async def delete_role(folk: Folk) -> Action:
    boss, name = await _boss(folk)
    return lambda: roles.remove(folk.acting(boss), name, take=True)


async def _create(folk: Folk, who: Actor) -> object:
    return await roles.create(folk.acting(who), "auditor", description="", permissions=[])


async def _change(folk: Folk, who: Actor) -> object:
    return await roles.change(folk.acting(who), _NOWHERE, roles.Change(""))


async def _remove(folk: Folk, who: Actor) -> object:
    return await roles.remove(folk.acting(who), _NOWHERE)


_ROLE = f"{API}/roles/{{role}}"
ROLES: dict[str, Entry] = {
    f"GET {API}/permissions": Entry(_SESSION, (Right(lists_permissions, 200, {**CARRIED}),)),
    f"GET {API}/roles": Entry(_SESSION, (Right(lists_roles, 200, {**CARRIED}),)),
    f"POST {API}/roles": Entry(
        _SESSION,
        (Right(creates_role, 201, FRESH, "description description- name-"),),
        (Writes(create_role, 2, on_postgres=True),),
        Fresh(_create, "owner"),
    ),
    f"PATCH {_ROLE}": Entry(
        _SESSION,
        (Right(changes_role, 200, BY_ID, "description permissions description-"),),
        (Writes(change_role, 2, on_postgres=True),),
        Fresh(_change, "owner"),
    ),
    f"DELETE {_ROLE}": Entry(
        _SESSION,
        (Right(deletes_role, 204, BY_ID), Right(deletes_role_of_somebody, 204, FRESH)),
        (Writes(delete_role, 4, on_postgres=True),),
        Fresh(_remove, "owner"),
    ),
}
