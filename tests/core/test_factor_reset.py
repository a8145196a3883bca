"""Second factors that an admin resets: after a wait, if the person does not stop it and whoever asked still may.

Not here: the endpoint (`tests/web/test_contract_users`), and who may reach whom (`test_users`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from passgate.core import factor_reset, recovery, users
from passgate.core.ctx import Person as Actor
from passgate.core.users import User
from passgate.errors import PermissionMissing
from passgate.store.tables import credential, session
from tests import kit, operating
from tests.core.behind import Folk

WAIT = 3600


@pytest.fixture
async def folk(tmp_path: Path) -> AsyncIterator[Folk]:
    async with kit.running(kit.settings_for(tmp_path, recovery={"wait": WAIT})) as made:
        yield Folk(made)


async def has_app(folk: Folk, who: Actor) -> bool:
    rows = await folk.the.rows(credential)
    return any(
        row["kind"] == "totp" and row["revoked_at"] is None and row["person_id"] == who.person_id for row in rows
    )


async def anna_and(folk: Folk, role: str, *, like: str = "user") -> tuple[Actor, Actor]:
    await folk.create(None, "owner")
    anna = await folk.create("anna@example.com", like)
    await folk.add_app(anna)
    return anna, await folk.strong(await folk.create(None, role))


async def run(folk: Folk) -> int:
    return await factor_reset.run_due(folk.the.gate.services)


async def test_after_the_wait(folk: Folk) -> None:
    anna, boss = await anna_and(folk, "admin")
    usable_at = await users.reset_factors(folk.acting(boss), User(*anna.key))
    assert usable_at is not None
    assert (await run(folk), await has_app(folk, anna)) == (0, True)
    [mail] = [one for one in await folk.the.mails("anna@example.com") if one["kind"] == "factor_reset"]
    assert "/recover/stop/" in mail["link"]
    folk.the.clock.forward(WAIT + 1)
    assert sorted(await asyncio.gather(run(folk), run(folk))) == [0, 1]
    assert not await has_app(folk, anna)
    assert {row["end_reason"] for row in await folk.the.rows(session) if row["person_id"] == anna.person_id} == {
        "factors_reset"
    }
    last = (await folk.the.mails("anna@example.com"))[0]
    assert (last["kind"], "/account/undo/" in last["link"]) == ("recovered", True)
    assert (await folk.the.events())[-2:] == ["recovery:factors:released", "session:all_ended"]
    assert await run(folk) == 0


async def test_the_person_stops_it(folk: Folk) -> None:
    anna, boss = await anna_and(folk, "admin")
    await users.reset_factors(folk.acting(boss), User(*anna.key))
    [mail] = [one for one in await folk.the.mails("anna@example.com") if one["kind"] == "factor_reset"]
    await recovery.stop(folk.ctx, mail["link"].rpartition("/")[2])
    folk.the.clock.forward(WAIT + 1)
    assert (await run(folk), await has_app(folk, anna)) == (0, True)


@pytest.mark.parametrize("lost", ["role", "account"])
async def test_whoever_asked_must_still_have_the_power(folk: Folk, lost: str) -> None:
    anna, boss = await anna_and(folk, "admin")
    await users.reset_factors(folk.acting(boss), User(*anna.key))
    email = await folk.email(boss)
    if lost == "role":
        await operating.take_role(folk.ctx, email, "admin", "main")
    else:
        await operating.disable_person(folk.ctx, email, "main")
    folk.the.clock.forward(WAIT + 1)
    assert (await run(folk), await has_app(folk, anna)) == (0, True)
    if lost == "role":  # it does not come back with the role
        await operating.give_role(folk.ctx, email, "admin", "main")
        assert (await run(folk), await has_app(folk, anna)) == (0, True)


async def test_an_equal_needs_a_second_admin(folk: Folk) -> None:
    anna, boss = await anna_and(folk, "admin", like="admin")
    other = await folk.strong(await folk.create(None, "admin"))
    for _ in range(2):
        assert await users.reset_factors(folk.acting(boss), User(*anna.key)) is None
    assert await users.reset_factors(folk.acting(other), User(*anna.key)) is not None
    folk.the.clock.forward(WAIT + 1)
    assert (await run(folk), await has_app(folk, anna)) == (1, False)


async def test_nobody_above_and_not_oneself(folk: Folk) -> None:
    anna, boss = await anna_and(folk, "admin", like="owner")
    for whom in (anna, boss):
        with pytest.raises(PermissionMissing):
            await users.reset_factors(folk.acting(boss), User(*whom.key))
    folk.the.clock.forward(WAIT + 1)
    assert (await run(folk), await has_app(folk, anna)) == (0, True)


async def test_an_operator_waits_too(folk: Folk) -> None:
    anna, _ = await anna_and(folk, "admin")
    await users.reset_factors(operating.operator(folk.ctx), User(*anna.key))
    assert await has_app(folk, anna)
    folk.the.clock.forward(WAIT + 1)
    assert (await run(folk), await has_app(folk, anna)) == (1, False)


async def test_without_a_wait(folk: Folk, tmp_path: Path) -> None:
    async with kit.running(kit.settings_for(tmp_path / "other")) as made:
        at_once = Folk(made)
        anna, boss = await anna_and(at_once, "admin")
        await users.reset_factors(at_once.acting(boss), User(*anna.key))
        assert not await has_app(at_once, anna)
