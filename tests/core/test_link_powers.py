"""A sign-in link is worth what its makers may do now: their permissions are checked again at each step that uses it.

Making, opening and stopping a link are tested in test_links; the races in tests/races.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete, update

from passgate.core import access, account, links, once, recovery, signin, starts
from passgate.core.ctx import Person as Actor
from passgate.errors import HandleInvalid, Refusal
from passgate.store.tables import person, role_grant
from tests import operating
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, The

Change = Callable[[Folk, Actor, Actor], Awaitable[None]]


@pytest.fixture
async def folk(the: The) -> Folk:
    return Folk(the)


async def _roles(folk: Folk, who: Actor, *roles: str) -> None:
    """Replace a person's roles, as the operator does."""
    async with folk.ctx.write() as db:
        await db.change(delete(role_grant).where(role_grant.c.person_id == who.person_id))
        for role in roles:
            await access.grant(folk.ctx, db, who.tenant_id, who.person_id, role)


async def demoted(folk: Folk, maker: Actor, _target: Actor) -> None:
    await _roles(folk, maker, "user")


async def disabled(folk: Folk, maker: Actor, _target: Actor) -> None:
    await operating.disable_person(folk.ctx, await folk.email(maker), "main")


async def deleted(folk: Folk, maker: Actor, _target: Actor) -> None:
    await account.delete(folk.acting(maker))


async def promoted(folk: Folk, _maker: Actor, target: Actor) -> None:
    await _roles(folk, target, "owner")


async def made_an_equal(folk: Folk, _maker: Actor, target: Actor) -> None:
    await _roles(folk, target, "admin")


async def target_disabled(folk: Folk, _maker: Actor, target: Actor) -> None:
    # The column alone, which does not end the link's ticket: what is tested is the check of the link itself.
    async with folk.ctx.write() as db:
        await db.change(update(person).where(person.c.id == target.person_id).values(disabled_at=folk.ctx.now()))


ENDS_IT: list[Change] = [demoted, disabled, deleted, promoted, made_an_equal, target_disabled]


async def link_by(folk: Folk, *makers: Actor, to: Actor) -> str:
    made = None
    for maker in makers:
        made = await operating.admins_link(folk.acting(maker), to.person_id)
    assert made is not None
    return made.url.rpartition("/")[2]


@pytest.mark.parametrize("change", ENDS_IT)
async def test_it_opens_only_while_its_maker_may(folk: Folk, change: Change) -> None:
    await folk.create(None, "owner")
    maker, target = await folk.create(None, "admin"), await folk.create(None, "user")
    token = await link_by(folk, maker, to=target)
    await change(folk, maker, target)
    before = await folk.the.everything(but=("audit_event",))
    with pytest.raises(HandleInvalid):
        await starts.by_link(folk.ctx, token)
    if change is not target_disabled:
        with pytest.raises(HandleInvalid):
            await links.find(folk.ctx, token)
    assert await folk.the.everything(but=("audit_event",)) == before


@pytest.mark.parametrize("change", ENDS_IT)
@pytest.mark.parametrize("is_recovery", [False, True])
async def test_what_it_began_ends_with_the_power(folk: Folk, change: Change, is_recovery: bool) -> None:
    """The link is opened before the change: the pending sign-in can then neither open a session nor set a password."""
    await folk.create(None, "owner")
    maker, target = await folk.create(None, "admin"), await folk.create(None, "user")
    begun = await starts.by_link(folk.ctx, await link_by(folk, maker, to=target), is_recovery=is_recovery)
    await change(folk, maker, target)
    before = await folk.the.everything(but=("audit_event", "budget", "sign_in"))
    with pytest.raises(HandleInvalid):
        if is_recovery:
            await signin.prove(folk.ctx, begun.handle, "password", OTHER_PASSWORD)
        else:
            await signin.finish(folk.ctx, begun.handle, carrier="bearer")
    assert await folk.the.everything(but=("audit_event", "budget", "sign_in")) == before


async def test_without_a_change_both_ways_go_through(folk: Folk) -> None:
    """Without a change, the steps of the two tests above succeed."""
    maker, target = await folk.create(None, "admin"), await folk.create(None, "user")
    begun = await starts.by_link(folk.ctx, await link_by(folk, maker, to=target))
    assert (await signin.finish(folk.ctx, begun.handle, carrier="bearer")).opened.session["amr"] == ["otp"]
    begun = await starts.by_link(folk.ctx, await link_by(folk, maker, to=target), is_recovery=True)
    await signin.prove(folk.ctx, begun.handle, "password", OTHER_PASSWORD)
    assert (await signin.finish(folk.ctx, begun.handle, carrier="bearer")).opened.token


async def test_an_operators_link_has_no_maker_to_lose(folk: Folk) -> None:
    target = await folk.create(None, "user")
    made = await operating.signin_link(folk.ctx, await folk.email(target), "main")
    await promoted(folk, target, target)
    begun = await starts.by_link(folk.ctx, made.url.rpartition("/")[2])
    assert (await signin.finish(folk.ctx, begun.handle, carrier="bearer")).opened.token


async def test_a_ticket_that_names_no_makers_opens_nothing(folk: Folk) -> None:
    """An admin's link of an older version did not store its maker, whose permissions therefore cannot be checked."""
    target = await folk.create(None, "user")
    minted = folk.ctx.ring.mint(links.PREFIX)
    data = {"usable_at": folk.ctx.now()}
    async with folk.ctx.write() as db:
        where = (target.tenant_id, recovery.LINK, target.person_id)
        await once.issue(folk.ctx, db, *where, minted.hash, life=900, data=data)
    for use in (links.find, starts.by_link):
        with pytest.raises(HandleInvalid):
            await use(folk.ctx, minted.token)


# -- a link for somebody of equal rank takes two makers --------------------------------------------


@pytest.mark.parametrize(("rank", "second"), [("admin", "admin"), ("admin", "owner"), ("owner", "owner")])
async def test_an_equal_takes_two(folk: Folk, rank: str, second: str) -> None:
    first, target, other = [await folk.create(None, role) for role in (rank, rank, second)]
    for _ in range(2):
        assert await operating.admins_link(folk.acting(first), target.person_id) is None
    assert await folk.the.mails(await folk.email(target)) == []
    token = await link_by(folk, other, to=target)
    begun = await starts.by_link(folk.ctx, token)
    assert (await signin.finish(folk.ctx, begun.handle, carrier="bearer")).opened.token
    assert (await folk.the.events()).count("signin:link:asked") == 2


async def test_who_is_above_needs_nobody(folk: Folk) -> None:
    owner, target = await folk.create(None, "owner"), await folk.create(None, "admin")
    begun = await starts.by_link(folk.ctx, await link_by(folk, owner, to=target))
    assert (await signin.finish(folk.ctx, begun.handle, carrier="bearer")).opened.token


async def test_a_request_is_good_for_a_day_and_for_one_link(folk: Folk) -> None:
    first, second, target = [await folk.create(None, "admin") for _ in range(3)]
    await operating.admins_link(folk.acting(first), target.person_id)
    folk.the.clock.forward(links.LIFE_OF_ADMINS)
    first, second = [await folk.session(one.tenant_id, one.person_id) for one in (first, second)]
    assert await operating.admins_link(folk.acting(second), target.person_id) is None
    await link_by(folk, first, to=target)
    assert await operating.admins_link(folk.acting(second), target.person_id) is None


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("change", [demoted, disabled, deleted])
async def test_both_makers_count(folk: Folk, change: Change, which: int) -> None:
    await folk.create(None, "owner")
    makers, target = [await folk.create(None, "admin") for _ in range(2)], await folk.create(None, "admin")
    token = await link_by(folk, *makers, to=target)
    await change(folk, makers[which], target)
    with pytest.raises(HandleInvalid):
        await starts.by_link(folk.ctx, token)


async def test_the_first_of_two_has_lost_the_power(folk: Folk) -> None:
    """The first of two admins has lost the role when the second asks: the link that is made cannot be opened."""
    first, second, target = [await folk.create(None, "admin") for _ in range(3)]
    await operating.admins_link(folk.acting(first), target.person_id)
    await _roles(folk, first, "user")
    made: Any = await operating.admins_link(folk.acting(second), target.person_id)
    with pytest.raises(Refusal):
        await starts.by_link(folk.ctx, made.url.rpartition("/")[2])


async def test_the_page_names_whose_it_is(folk: Folk) -> None:
    target = await folk.create("anna.lee@example.com")
    made = await operating.signin_link(folk.ctx, "anna.lee@example.com", "main")
    found = await links.find(folk.ctx, made.url.rpartition("/")[2])
    assert found["bound_to"] == target.person_id
    assert await links.whose(folk.ctx, found, target.person_id) == "a…@example.com"
    assert await links.whose(folk.ctx, found, "nobody's id") == ""
