"""A sign-in link is used while another process takes a role from its maker or gives one to its person.

Each race is stopped where it matters: one side keeps its transaction open; the other must wait for it and then see the
result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

import pytest
from sqlalchemy import delete, update

from passgate.core import access, links, people, signin, starts
from passgate.core.ctx import Ctx
from passgate.core.ctx import Person as Actor
from passgate.errors import HandleInvalid
from passgate.store import Db
from passgate.store.tables import person, role_grant
from passgate.world import SECOND
from tests import operating
from tests.core.behind import Folk
from tests.races.test_used_once import Twins, twins

__all__ = ["twins"]
PAUSE = 0.3
"""Seconds for which the first side keeps its transaction open."""


async def disable(ctx: Ctx, db: Db, maker: Actor, _target: Actor) -> None:
    assert await people.lock(db, maker.tenant_id, maker.person_id)
    await db.change(update(person).where(person.c.id == maker.person_id).values(disabled_at=ctx.now()))


async def demote(_ctx: Ctx, db: Db, maker: Actor, _target: Actor) -> None:
    assert await people.lock(db, maker.tenant_id, maker.person_id)
    await db.change(delete(role_grant).where(role_grant.c.person_id == maker.person_id))


async def promote(ctx: Ctx, db: Db, _maker: Actor, target: Actor) -> None:
    assert await people.lock(db, target.tenant_id, target.person_id)
    await access.grant(ctx, db, target.tenant_id, target.person_id, "owner")


CHANGES: list[Callable[[Ctx, Db, Actor, Actor], Awaitable[None]]] = [disable, demote, promote]


def apart(action: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
    """A task that does not inherit the caller's open transaction."""
    return asyncio.create_task(action, context=Context())


async def made(twins: Twins) -> tuple[Actor, Actor, str]:
    """Maker, target, and the token of a link whose waiting time is over."""
    folk = Folk(twins.the)
    maker, target = await folk.create(None, "admin"), await folk.create(None, "user")
    link = await operating.admins_link(folk.acting(maker), target.person_id)
    assert link is not None
    twins.the.clock.now = link.usable_at + SECOND
    return maker, target, link.url.rpartition("/")[2]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_opened", [False, True])
async def test_the_change_is_first(
    twins: Twins, change: Callable[[Ctx, Db, Actor, Actor], Awaitable[None]], is_opened: bool
) -> None:
    here, there = twins.ctxs
    maker, target, token = await made(twins)
    handle = (await starts.by_link(here, token)).handle if is_opened else ""
    async with there.write() as db:
        await change(there, db, maker, target)
        spending = apart(signin.finish(here, handle, carrier="bearer") if is_opened else starts.by_link(here, token))
        await asyncio.sleep(PAUSE)
        assert not spending.done(), "it waits for the change"
    with pytest.raises(HandleInvalid):
        await spending


@pytest.mark.parametrize("change", ["disable", "demote", "promote"])
async def test_the_link_is_first(twins: Twins, change: str) -> None:
    here, there = twins.ctxs
    maker, target, _ = await made(twins)
    folk = Folk(twins.the)
    of_maker, of_target = await folk.email(maker), await folk.email(target)
    acts: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "disable": lambda: operating.disable_person(there, of_maker, "main"),
        "demote": lambda: operating.take_role(there, of_maker, "admin", "main"),
        "promote": lambda: operating.give_role(there, of_target, "owner", "main"),
    }
    async with here.write() as db:
        assert await links.lock(here, db, target.tenant_id, target.person_id, (maker.person_id,))
        changing = apart(acts[change]())
        await asyncio.sleep(PAUSE)
        assert not changing.done(), "it waits for whoever spends the power"
    await changing


async def test_one_request_makes_one_link(twins: Twins) -> None:
    """Twenty concurrent requests of two admins for a link to a third: of the links that are made only the newest opens,
    and it has both makers."""
    folk = Folk(twins.the)
    target = await folk.create(None, "admin")
    makers = [await folk.create(None, "admin") for _ in range(2)]
    answers = await asyncio.gather(
        *(
            operating.admins_link(twins.ctxs[number % 2].acting(maker), target.person_id)
            for number in range(20)
            for maker in (makers[number // 2 % 2],)
        )
    )
    tokens = [link.url.rpartition("/")[2] for link in answers if link is not None]
    assert 0 < len(tokens) <= 10
    twins.the.clock.forward(links.LIFE_OF_ADMINS + 1)
    found = [await _makers(twins, token) for token in tokens]
    assert [sorted(one) for one in found if one] == [sorted(maker.person_id for maker in makers)]


async def _makers(twins: Twins, token: str) -> tuple[str, ...]:
    try:
        return links.makers_of(twins.ctxs[0], await links.find(twins.ctxs[0], token))
    except HandleInvalid:
        return ()
