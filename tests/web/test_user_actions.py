"""What may be done to somebody, as one is answered before: for every pair of roles, every action and every state of an
account it is what is not refused when it is done.

Not here: the actions themselves (`test_contract_users`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from passgate.core import account
from passgate.core.ctx import Person as Actor
from passgate.core.permissions import ROLES
from passgate.core.users import ACTIONS
from tests.core.having import policy
from tests.kit import OTHER_PASSWORD, The, running, settings_for
from tests.web.test_contract_users import Office, office

REQUESTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "change": ("PATCH", "", {"profile": {"name": "Ben"}}),
    "move": ("PATCH", "", {"email": "elsewhere@example.org"}),
    "password": ("PATCH", "", {"password": OTHER_PASSWORD}),
    "username": ("PATCH", "", {"username": "anna.k"}),
    "disable": ("POST", "/disable", None),
    "enable": ("POST", "/enable", None),
    "sign_out": ("POST", "/sign-out", None),
    "reset_factors": ("POST", "/factors/reset", None),
    "signin_link": ("POST", "/signin-link", None),
    "delete": ("DELETE", "", None),
    "give_role": ("PUT", "/roles/user", None),
}
HAVING: tuple[tuple[str, ...], ...] = (*((role,) for role in ROLES), ("read_only", "user"), ("admin", "read_only"))


def test_each_action_has_its_request() -> None:
    assert REQUESTS.keys() == ACTIONS.keys()


async def may(desk: Office, who: Actor, secret: str) -> dict[str, list[str]]:
    """What the answer names, or nothing for somebody who may not see users at all."""
    answer = await desk.ask("GET", f"/{who.person_id}/actions", by=secret)
    if answer.status_code == 403:
        return {"actions": [], "roles": []}
    assert (answer.status_code, answer.json().keys()) == (200, {"actions", "roles"})
    found: dict[str, list[str]] = answer.json()
    return found


async def tried(desk: Office, who: Actor, secret: str, name: str) -> int:
    method, tail, body = REQUESTS[name]
    return int((await desk.ask(method, f"/{who.person_id}{tail}", body, by=secret)).status_code)


@pytest.mark.parametrize("mine", HAVING, ids="+".join)
async def test_what_is_named_is_not_refused_and_the_rest_is(lite: The, mine: tuple[str, ...]) -> None:
    """For every pair of roles: an action is named if the endpoint does not answer 403, and a role if it is given and
    taken."""
    desk = await office(lite)
    await policy(lite, usernames="optional")
    _, secret = await desk.folk.opened(*(await desk.folk.create(None, *mine)).key)
    for theirs in HAVING:
        whom = await desk.folk.create(None, *theirs)
        named = await may(desk, whom, secret)
        for name in REQUESTS:
            status = await tried(desk, whom, secret, name)
            assert (name in named["actions"]) == (status != 403), (theirs, name)
            whom = whom if status == 403 else await desk.folk.create(None, *theirs)
        for role in ROLES:
            for method in ("PUT", "DELETE"):
                answer = await desk.ask(method, f"/{whom.person_id}/roles/{role}", by=secret)
                assert (role in named["roles"]) == (answer.status_code != 403), (theirs, method, role)
                whom = whom if answer.status_code == 403 else await desk.folk.create(None, *theirs)


@pytest.mark.parametrize("mine", ["owner", "admin", "read_only"])
async def test_what_is_named_of_oneself(lite: The, mine: str) -> None:
    desk = await office(lite)
    await policy(lite, usernames="optional")
    for name in REQUESTS:
        boss = await desk.folk.create(None, mine)
        _, secret = await desk.folk.opened(*boss.key)
        named = await may(desk, boss, secret)
        assert (name in named["actions"]) == (await tried(desk, boss, secret, name) != 403), name
        assert named["roles"] == []


@pytest.mark.parametrize("state", ["disabled", "closed"])
async def test_what_is_named_of_an_account_that_cannot_be_used(tmp_path: Path, state: str) -> None:
    async with running(settings_for(tmp_path, erase={"wait": 3600})) as the:
        desk = await office(the)
        await policy(the, usernames="optional")
        for name in REQUESTS:
            whom = await desk.folk.create()
            if state == "closed":
                await account.delete(desk.folk.acting(whom))
            else:
                assert await tried(desk, whom, desk.owner, "disable") == 200
            named = await may(desk, whom, desk.owner)
            assert named["roles"] == []
            by_operator = await the.gate.at(None, tenant="main").users.actions(whom.person_id)
            assert list(by_operator.actions) == named["actions"]
            assert (name in named["actions"]) == (await tried(desk, whom, desk.owner, name) < 300), name


async def test_what_an_operator_may(lite: The) -> None:
    """Everything, to everybody; a username where there are any."""
    desk = await office(lite)
    owner = await desk.folk.actor_of(desk.owner)
    found = await lite.gate.at(None, tenant="main").users.actions(owner.person_id)
    assert {*found.actions} == {*ACTIONS} - {"username"}
    await policy(lite, usernames="optional")
    found = await lite.gate.at(None, tenant="main").users.actions(owner.person_id)
    assert {*found.actions} == {*ACTIONS}
    assert {*found.roles} == {*ROLES}


async def test_it_is_about_now(lite: The) -> None:
    """A role that was given or taken a moment ago counts."""
    desk = await office(lite)
    ben = await desk.folk.create("ben@example.com")
    assert "disable" in (await may(desk, ben, desk.admin))["actions"]
    assert (await desk.ask("PUT", f"/{ben.person_id}/roles/owner", by=desk.owner)).status_code == 200
    assert await may(desk, ben, desk.admin) == {"actions": [], "roles": []}
    assert (await desk.ask("DELETE", f"/{ben.person_id}/roles/owner", by=desk.owner)).status_code == 200
    assert "disable" in (await may(desk, ben, desk.admin))["actions"]
