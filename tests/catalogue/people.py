"""The entries of the endpoints for a tenant's people: the right requests, by the owner Anna about Ben, and the actions
behind them.

Not here: what these endpoints do, which is in `tests/web/test_contract_users`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from passgate.core import user_changes, users
from passgate.core.ctx import Person as Actor
from passgate.core.user_changes import Change
from passgate.core.users import User
from tests.architecture.population import Ask, Population
from tests.catalogue.asks import API, NEVER, mine
from tests.catalogue.entry import Action, Arrange, Asks, Entry, Fresh, Right, Writes
from tests.catalogue.outcomes import BY_ID, CARRIED, FRESH, NOT_FOUND, Rule
from tests.core.behind import Folk
from tests.core.having import policy
from tests.kit import OTHER_PASSWORD, PASSWORD

SESSION = "session"
_About = Callable[[Folk, Actor, Actor], Awaitable[object]]
"""An action of somebody on somebody."""


def about_ben(tail: str = "", body: dict[str, Any] | None = None, called: str = "", whom: str = "") -> Asks:
    """A request of Anna's about Ben, or `whom`; the others are about somebody of another tenant, and about nobody."""

    async def asks(population: Population) -> Ask:
        ids = (whom or population.ben.id, population.otto.id, NEVER)
        first, *others = ({"path": f"{API}/users/{one}{tail}"} for one in ids)
        return mine(population, first["path"].removeprefix(API), body).with_others(*others)

    asks.__name__ = called or tail.strip("/").replace("/", "_").replace("-", "_") or "one"
    return asks


async def lists(population: Population) -> Ask:
    return mine(population, "/users")


async def creates(population: Population) -> Ask:
    await population.rules("main", "other", usernames="optional")
    email = population.fresh_address()
    body = {"email": email, "password": PASSWORD, "profile": {"name": "New"}, "roles": ["user"]}
    return mine(population, "/users", {**body, "username": email.partition("@")[0]})


async def changes_user(population: Population) -> Ask:
    await population.rules("main", "other", usernames="optional")
    body = {"profile": {"name": "B"}, "email": "b@example.org", "password": OTHER_PASSWORD, "username": "benjamin"}
    body |= {"roles": ["read_only", "user"]}
    return await about_ben(body=body)(population)


async def enables(population: Population) -> Ask:
    """Somebody who is disabled."""
    whom = await population.folk.create(population.fresh_address())
    await population.done("POST", f"/users/{whom.person_id}/disable", None, population.anna.token)
    return await about_ben("/enable", whom=whom.person_id)(population)


def on_somebody(name: str, act: _About) -> Arrange:
    """An owner does it to somebody who has an app and a session."""

    async def arrange(folk: Folk) -> Action:
        boss, other = await folk.create(None, "owner"), await folk.create()
        await folk.add_app(other)
        boss = await folk.strong(boss)
        return lambda: act(folk, boss, other)

    arrange.__name__ = name
    return arrange


async def enable_somebody(folk: Folk) -> Action:
    boss, other = await folk.create(None, "owner"), await folk.create()
    await users.disable(folk.acting(boss), User(*other.key))
    return lambda: users.enable(folk.acting(boss), User(*other.key))


async def create_somebody(folk: Folk) -> Action:
    boss, number = await folk.create(None, "owner"), next(folk.numbers)
    more: dict[str, Any] = {"secret": PASSWORD, "profile": None, "roles": ["admin"]}
    return lambda: user_changes.create(folk.acting(boss), f"made{number}@example.com", **more)


async def _change(folk: Folk, boss: Actor, other: Actor) -> object:
    wanted = Change({"name": "Ben"}, f"moved{next(folk.numbers)}@example.com", OTHER_PASSWORD)
    return await user_changes.change(folk.acting(boss), other.person_id, wanted)


async def _replace_roles(folk: Folk, boss: Actor, other: Actor) -> object:
    return await user_changes.change(folk.acting(boss), other.person_id, Change(roles=("owner", "read_only")))


async def rename_somebody(folk: Folk) -> Action:
    await policy(folk.the, usernames="optional")
    boss, other, name = await folk.create(None, "owner"), await folk.create(), f"named{next(folk.numbers)}"
    return lambda: user_changes.change(folk.acting(boss), other.person_id, Change(username=name))


async def rename_oneself(folk: Folk) -> Action:
    await policy(folk.the, usernames="optional")
    who, name = await folk.create(), f"named{next(folk.numbers)}"
    return lambda: user_changes.change(folk.acting(who), who.person_id, Change(username=name))


async def change_oneself(folk: Folk) -> Action:
    await policy(folk.the, usernames="optional")
    who, name = await folk.create(), f"named{next(folk.numbers)}"
    await folk.opened(*who.key)
    wanted = Change({"name": "Anna"}, password=OTHER_PASSWORD, username=name)
    return lambda: user_changes.change(folk.acting(who), who.person_id, wanted)


async def _delete(folk: Folk, boss: Actor, other: Actor) -> None:
    await user_changes.delete(folk.acting(boss), User(*other.key))


async def _disable(folk: Folk, boss: Actor, other: Actor) -> object:
    return await users.disable(folk.acting(boss), User(*other.key))


async def _sign_out(folk: Folk, boss: Actor, other: Actor) -> object:
    return await users.sign_out(folk.acting(boss), User(*other.key))


async def _reset(folk: Folk, boss: Actor, other: Actor) -> object:
    return await users.reset_factors(folk.acting(boss), User(*other.key))


async def _give(folk: Folk, boss: Actor, other: Actor) -> object:
    return await users.give_role(folk.acting(boss), User(*other.key), "admin")


async def _take(folk: Folk, boss: Actor, other: Actor) -> object:
    return await users.take_role(folk.acting(boss), User(*other.key), "user")


def fresh(act: Callable[[Any, User], Awaitable[object]]) -> Fresh:
    return Fresh(lambda folk, who: act(folk.acting(who), User(who.tenant_id, NEVER)), "owner")


async def _create_fresh(folk: Folk, who: Actor) -> object:
    return await user_changes.create(folk.acting(who), "new@example.com", secret=None, profile=None, roles=None)


_ANY = {**CARRIED}
_READ = {**CARRIED, Rule.OTHERS: NOT_FOUND}
_USER = f"{API}/users/{{id}}"
PEOPLE: dict[str, Entry] = {
    f"GET {API}/users": Entry(SESSION, (Right(lists, 200, _ANY),)),
    f"POST {API}/users": Entry(
        SESSION,
        (Right(creates, 201, FRESH, "password profile profile.name roles username username- password- email-"),),
        (Writes(create_somebody, 6),),
        Fresh(_create_fresh, "owner"),
    ),
    f"GET {_USER}": Entry(SESSION, (Right(about_ben(called="reads_user"), 200, _READ),)),
    f"GET {_USER}/sessions": Entry(SESSION, (Right(about_ben("/sessions", called="reads_sessions"), 200, _READ),)),
    f"GET {_USER}/factors": Entry(SESSION, (Right(about_ben("/factors", called="reads_factors"), 200, _READ),)),
    f"GET {_USER}/activity": Entry(SESSION, (Right(about_ben("/activity", called="reads_activity"), 200, _READ),)),
    f"GET {_USER}/actions": Entry(SESSION, (Right(about_ben("/actions", called="reads_actions"), 200, _READ),)),
    f"PATCH {_USER}": Entry(
        SESSION,
        (
            Right(
                changes_user,
                200,
                BY_ID,
                "profile profile.name email password username roles username- email- password-",
            ),
        ),
        (
            Writes(on_somebody("change_somebody", _change), 15, on_postgres=True),
            Writes(on_somebody("replace_roles_of_somebody", _replace_roles), 9),
            Writes(rename_somebody, 2),
            Writes(rename_oneself, 2),
            Writes(change_oneself, 12, on_postgres=True),
        ),
        Fresh(lambda folk, who: user_changes.change(folk.acting(who), NEVER, Change({})), "owner"),
    ),
    f"DELETE {_USER}": Entry(
        SESSION,
        (Right(about_ben(called="deletes_user"), 204, BY_ID),),
        (Writes(on_somebody("delete_somebody", _delete), 4, on_postgres=True),),
        fresh(user_changes.delete),
    ),
    f"POST {_USER}/disable": Entry(
        SESSION,
        (Right(about_ben("/disable"), 200, BY_ID),),
        (Writes(on_somebody("disable_somebody", _disable), 4),),
        fresh(users.disable),
    ),
    f"POST {_USER}/enable": Entry(
        SESSION, (Right(enables, 200, BY_ID),), (Writes(enable_somebody, 2),), fresh(users.enable)
    ),
    f"POST {_USER}/sign-out": Entry(
        SESSION,
        (Right(about_ben("/sign-out"), 204, BY_ID),),
        (Writes(on_somebody("sign_out_somebody", _sign_out), 4, on_postgres=True),),
        fresh(users.sign_out),
    ),
    f"POST {_USER}/factors/reset": Entry(
        SESSION,
        (Right(about_ben("/factors/reset"), 202, BY_ID),),
        (Writes(on_somebody("reset_somebody", _reset), 6, on_postgres=True),),
        fresh(users.reset_factors),
    ),
    f"PUT {_USER}/roles/{{role}}": Entry(
        SESSION,
        (Right(about_ben("/roles/admin", called="gives_role"), 200, BY_ID),),
        (Writes(on_somebody("give_somebody", _give), 3),),
        Fresh(lambda folk, who: users.give_role(folk.acting(who), User(who.tenant_id, NEVER), "user"), "owner"),
    ),
    f"DELETE {_USER}/roles/{{role}}": Entry(
        SESSION,
        (Right(about_ben("/roles/user", called="takes_role"), 200, BY_ID),),
        (Writes(on_somebody("take_somebody", _take), 3),),
        Fresh(lambda folk, who: users.take_role(folk.acting(who), User(who.tenant_id, NEVER), "user"), "owner"),
    ),
}
