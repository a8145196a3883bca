"""Lifetimes that a tenant's rules shorten: they count at the next request of every session, on time and wherever a
session is looked at, and what was over by them stays over.

Not here: lifetimes of the settings (`test_sessions`), and how this looks over HTTP (`tests/web/test_session_lives`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from passgate.core import account, admin, refresh_token, session_lives, sessions, signin, starts
from passgate.core.action import action
from passgate.core.ctx import Ctx, Operator
from passgate.core.ctx import Person as Actor
from passgate.core.rules import AAL3, Rules
from passgate.errors import Invalid, SessionEnded
from passgate.store.tables import audit_event, session, tenant
from passgate.world import SECOND
from tests import operating
from tests.core.behind import Folk
from tests.core.test_sessions import ACTIONS, Life, fresh_life, row_of
from tests.core.test_tokens import Signed
from tests.kit import PASSWORD, The, running, settings_for

FIELDS = ("session_idle", "session_absolute")
HOUR = 3600


async def rules(folk: Folk, of: Actor, **changes: Any) -> Rules:
    """Changed by an operator."""
    ctx: Ctx = replace(folk.ctx, principal=Operator())
    return await admin.change_policy(ctx, of.tenant_id, changes)


async def is_over(folk: Folk, token: str) -> bool:
    try:
        await sessions.find(folk.ctx, token)
    except SessionEnded:
        return True
    return False


async def touched(folk: Folk, token: str) -> None:
    await session_lives.touch(folk.ctx.acting(await sessions.find(folk.ctx, token)))


# -- on time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
async def test_a_session_that_is_there_lives_exactly_as_long(the: The, field: str) -> None:
    folk = Folk(the)
    life = await fresh_life(folk)
    began = (await row_of(the, life.actor))["began_at"]
    await rules(folk, life.actor, **{field: 900})
    the.clock.now = began + 900 * SECOND - 20
    assert not await is_over(folk, life.token)
    the.clock.now = began + 900 * SECOND
    assert await is_over(folk, life.token)


async def test_use_extends_the_one_and_not_the_other(the: The) -> None:
    folk = Folk(the)
    life = await fresh_life(folk)
    row = await row_of(the, life.actor)
    await rules(folk, life.actor, session_idle=600, session_absolute=HOUR)
    while the.clock.now < row["began_at"] + 3500 * SECOND:
        the.clock.forward(500)
        if the.clock.now < row["began_at"] + HOUR * SECOND:
            await touched(folk, life.token)
    the.clock.now = row["began_at"] + HOUR * SECOND - 20
    assert not await is_over(folk, life.token)
    the.clock.now = row["began_at"] + HOUR * SECOND
    assert await is_over(folk, life.token)


@pytest.mark.parametrize(("idle", "every"), [(0, 60), (60, 6), (300, 30), (1800, 60)])
async def test_use_is_recorded_in_time(lite: The, idle: int, every: int) -> None:
    """At 10 % of the idle life, at most once a minute."""
    folk = Folk(lite)
    life = await fresh_life(folk)
    await rules(folk, life.actor, session_idle=idle)
    before = await row_of(lite, life.actor)
    lite.clock.now = before["last_used_at"] + every * SECOND - 50
    await touched(folk, life.token)
    assert await row_of(lite, life.actor) == before
    lite.clock.now = before["last_used_at"] + every * SECOND
    await touched(folk, life.token)
    assert (await row_of(lite, life.actor))["last_used_at"] > before["last_used_at"]


async def test_without_such_a_rule_the_settings_count(lite: The) -> None:
    folk = Folk(lite)
    life = await fresh_life(folk)
    assert (Rules().session_idle, Rules().session_absolute) == (0, 0)
    before = await row_of(lite, life.actor)
    lite.clock.now = before["began_at"] + HOUR * SECOND - 20
    assert not await is_over(folk, life.token)
    lite.clock.now = before["began_at"] + HOUR * SECOND
    assert await is_over(folk, life.token)


async def test_the_highest_level_lives_shorter_still(lite: The) -> None:
    """800-63B-4 §2.3.3: 15 minutes without use, whatever the rules say."""
    folk = Folk(lite)
    anna = await folk.create()
    await rules(folk, anna, session_idle=1800)
    async with folk.ctx.write() as db:
        proved = sessions.Proved("bearer", {"passkey_bound": lite.clock()}, ("hwk", "user"), AAL3)
        opened = await sessions.open_session(folk.ctx, db, *anna.key, proved)
    lite.clock.forward(15 * 60 - 1)
    assert not await is_over(folk, opened.token)
    lite.clock.forward(1)
    assert await is_over(folk, opened.token)


async def test_each_tenant_has_its_own(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, tenancy="multi")) as the:
        folk = Folk(the)
        await operating.add_tenant(folk.ctx, "acme", None, "open")
        here, there = await folk.create(), await folk.create(at="acme")
        (mine, my_token), (_, their_token) = await folk.opened(*here.key), await folk.opened(*there.key)
        await rules(folk, here, session_idle=60)
        await rules(folk, there, session_idle=120)
        the.clock.forward(60)
        assert (await is_over(folk, my_token), await is_over(folk, their_token)) == (True, False)
        await rules(folk, here, session_idle=0)
        assert (await row_of(the, mine))["end_reason"] == "expired"
        the.clock.forward(60)
        assert await is_over(folk, their_token)
        assert {row["end_reason"] for row in await the.rows(session) if row["tenant_id"] == there.tenant_id} == {None}


# -- wherever a session is looked at ---------------------------------------------------------------


async def _find(life: Life, _folk: Folk) -> None:
    await sessions.find(life.folk.ctx, life.token)


async def _act(life: Life, folk: Folk) -> None:
    async with action(folk.acting(life.actor)):
        pass


async def _lift(life: Life, folk: Folk) -> None:
    async with folk.ctx.write() as db:
        await sessions.lift(folk.acting(life.actor), db, {"totp": folk.the.clock()}, life.actor.acr)


async def _renew(life: Life, folk: Folk) -> None:
    proved = sessions.Proved("bearer", {"password": folk.the.clock()}, ("pwd",), life.actor.acr)
    async with folk.ctx.write() as db:
        await sessions.renew(folk.ctx, db, life.actor.tenant_id, life.actor.carrier_id, proved)


PLACES: tuple[Callable[[Life, Folk], Awaitable[None]], ...] = (_find, _act, _lift, _renew)


@pytest.mark.parametrize("field", FIELDS)
async def test_every_place_agrees(the: The, field: str) -> None:
    """A request may have read the session, and begun a step-up, while it was live."""
    folk = Folk(the)
    life = await fresh_life(folk)
    await rules(folk, life.actor, **{field: 120})
    read = await sessions.find(folk.ctx, life.token)
    begun = await starts.step_up(folk.acting(read), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    the.clock.forward(120)
    later, _ = await folk.opened(*life.actor.key)
    before = await row_of(the, life.actor)
    for place in PLACES:
        with pytest.raises(SessionEnded):
            await place(life, folk)
    with pytest.raises(SessionEnded):
        await signin.finish(folk.ctx, begun.handle, carrier="bearer")
    await session_lives.touch(folk.acting(read))
    listed = await account.my_sessions(folk.acting(later), before=None, limit=10)
    assert [one["id"] for one in listed] == [later.session_id]
    assert await row_of(the, life.actor) == before


@pytest.mark.parametrize("field", FIELDS)
async def test_a_token_pair_is_over_with_its_session(the: The, field: str) -> None:
    folk = Folk(the)
    anna = await Signed.make(folk)
    await rules(folk, anna.actor, **{field: 300})
    the.clock.forward(290)
    read = await anna.find()
    _, family = await sessions.family(folk.ctx, read.carrier_id)
    the.clock.forward(10)
    assert await anna.is_dead()
    async with folk.ctx.write() as db:  # a refresh that had begun when it was live
        given = refresh_token.presented(folk.ctx.ring, anna.pair.refresh_token)
        assert given is not None
        assert (given.rotation, given.hash) == (family["rotation"], family["secret_hash"])
        assert not await sessions.rotate(folk.ctx, db, read, given, given.successor(folk.ctx.ring))


async def test_a_step_up_begins_it_anew(the: The) -> None:
    folk = Folk(the)
    life = await fresh_life(folk)
    await rules(folk, life.actor, session_absolute=HOUR)
    the.clock.forward(3000)
    begun = await starts.step_up(folk.acting(await sessions.find(folk.ctx, life.token)), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    opened = (await signin.finish(folk.ctx, begun.handle, carrier="bearer")).opened
    began = (await row_of(the, life.actor))["began_at"]
    assert opened.session["id"] == life.actor.session_id
    assert opened.session["expires_at"] == began + HOUR * SECOND
    the.clock.forward(3000)
    await touched(folk, opened.token)
    the.clock.now = began + HOUR * SECOND
    assert await is_over(folk, opened.token)


async def test_the_list_has_the_ends(lite: The) -> None:
    folk = Folk(lite)
    life = await fresh_life(folk)
    await rules(folk, life.actor, session_idle=300, session_absolute=600)
    lite.clock.forward(200)
    await touched(folk, life.token)
    row = await row_of(lite, life.actor)
    found = await sessions.find(folk.ctx, life.token)
    mine, _ = await account.my_sessions(folk.acting(life.other), before=None, limit=3)
    ends = (row["last_used_at"] + 300 * SECOND, row["began_at"] + 600 * SECOND)
    assert (found.row["idle_expires_at"], found.row["expires_at"]) == ends
    assert (mine["idle_expires_at"], mine["expires_at"]) == ends
    lite.clock.forward(250)
    await touched(folk, life.token)
    found = await sessions.find(folk.ctx, life.token)
    assert found.row["idle_expires_at"] == found.row["expires_at"] == ends[1], "never later than the end"


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "life"),
    [
        ({}, 600),
        ({"access_life": 120}, 120),
        ({"access_life": 86_400}, 600),  # never longer than in the settings
        ({"session_idle": 90}, 90),
        ({"session_absolute": 90}, 90),
        ({"session_idle": 900, "session_absolute": 90, "access_life": 100}, 90),
    ],
)
async def test_an_access_token_is_over_before_its_session(lite: The, changes: dict[str, int], life: int) -> None:
    folk = Folk(lite)
    who = await folk.create()
    if changes:
        await rules(folk, who, **changes)
    anna = await Signed.make(folk, who)
    assert anna.pair.expires_in == life
    lite.clock.forward(30)
    pair = await anna.refresh()
    left = life if "session_absolute" not in changes else min(life, 60)
    assert pair.expires_in in (left, left - 1), "a refresh is a use"
    claims = anna.claims(pair.access_token)
    assert claims["exp"] - claims["iat"] == pair.expires_in
    [row] = [row for row in await lite.rows(session) if row["id"] == anna.actor.session_id]
    ends = [row["idle_expires_at"], row["expires_at"]]
    ends += [row["last_used_at"] + changes["session_idle"] * SECOND] if "session_idle" in changes else []
    ends += [row["began_at"] + changes["session_absolute"] * SECOND] if "session_absolute" in changes else []
    assert claims["exp"] * SECOND <= min(ends)


@pytest.mark.parametrize(("refresh_life", "until"), [(0, HOUR), (600, 600), (31_536_000, HOUR)])
async def test_a_refresh_token_is_over_by_the_rule_or_with_its_session(
    lite: The, refresh_life: int, until: int
) -> None:
    """The rule counts for tokens that are out already. An hour is the idle life of the settings."""
    folk = Folk(lite)
    anna = await Signed.make(folk)
    await rules(folk, anna.actor, refresh_life=refresh_life)
    began = (await row_of(lite, anna.actor))["last_used_at"]
    lite.clock.now = began + (until - 1) * SECOND
    await anna.refresh()
    began = lite.clock.now
    lite.clock.now = began + (until + 1) * SECOND
    with pytest.raises(SessionEnded):
        await anna.refresh()


# -- what is over stays over -----------------------------------------------------------------------


async def ended(the: The, actor: Actor) -> tuple[bool, str | None]:
    row = await row_of(the, actor)
    return row["ended_at"] is not None, row["end_reason"]


@pytest.mark.parametrize("field", FIELDS)
async def test_a_change_ends_what_is_over(the: The, field: str) -> None:
    """In the change itself; what is live goes on."""
    folk = Folk(the)
    old = await fresh_life(folk)
    the.clock.forward(600)
    young = await fresh_life(folk)
    gone, token = await folk.opened(*young.actor.key)
    async with folk.ctx.write() as db:
        await sessions.end_one(folk.ctx, db, gone, "ended")
    await rules(folk, old.actor, **{field: 500})
    assert [await ended(the, one) for one in (old.actor, young.actor)] == [(True, "expired"), (False, None)]
    assert await ended(the, gone) == (True, "ended"), "for the reason that it ended for"
    assert await is_over(folk, token)
    [row] = [row for row in await the.rows(audit_event) if row["event"] == "tenant:policy:changed"]
    assert json.loads(row["facts"])["sessions"] == 2, "old.actor and the other session of that person"
    await rules(folk, old.actor, **{field: 0})
    assert (await is_over(folk, old.token), await is_over(folk, young.token)) == (True, False)


@pytest.mark.parametrize("longer", [0, 3000])
@pytest.mark.parametrize("field", FIELDS)
async def test_longer_rules_revive_nothing(the: The, field: str, longer: int) -> None:
    folk = Folk(the)
    life = await fresh_life(folk)
    await rules(folk, life.actor, **{field: 500})
    the.clock.forward(500)
    assert await is_over(folk, life.token)
    assert await ended(the, life.actor) == (False, None), "nothing has looked at all sessions"
    live, token = await folk.opened(*life.actor.key)
    await rules(folk, life.actor, **{field: longer})
    assert await ended(the, life.actor) == (True, "expired")
    assert await is_over(folk, life.token)
    assert await ended(the, live) == (False, None)
    the.clock.forward(501)
    assert not await is_over(folk, token), "and for those that live they count"


async def test_one_that_is_over_by_the_other_rule(lite: The) -> None:
    """A change of one field ends what is over by the other, so that no order of changes revives anything."""
    folk = Folk(lite)
    life = await fresh_life(folk)
    await rules(folk, life.actor, session_idle=500)
    lite.clock.forward(500)
    await rules(folk, life.actor, session_absolute=HOUR)
    assert await ended(lite, life.actor) == (True, "expired")
    await rules(folk, life.actor, session_idle=0, session_absolute=0)
    assert await is_over(folk, life.token)


async def test_any_other_change_ends_nothing(lite: The) -> None:
    folk = Folk(lite)
    life = await fresh_life(folk)
    await rules(folk, life.actor, session_idle=500)
    lite.clock.forward(500)
    await rules(folk, life.actor, remember_days=7, session_idle=500)
    assert await ended(lite, life.actor) == (False, None)
    facts = [json.loads(row["facts"]) for row in await lite.rows(audit_event)]
    assert [one.get("sessions") for one in facts if "change" in one] == [0, None]
    assert await is_over(folk, life.token)


EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
CHANGES = [f"{field}={seconds}" for field in FIELDS for seconds in (0, 60, 3000)]


@EXAMPLES
@given(st.sampled_from(FIELDS), st.lists(st.sampled_from((*ACTIONS, *CHANGES, *CHANGES)), max_size=10))
async def test_nothing_revives_it(lite: The, field: str, actions: list[str]) -> None:
    """No sequence of actions and changes of the rules."""
    folk = Folk(lite)
    life = await fresh_life(folk)
    try:
        await rules(folk, life.actor, **{field: 600})
        life.found = await sessions.find(folk.ctx, life.token)
        lite.clock.forward(600)
        for what in actions:
            name, is_change, seconds = what.partition("=")
            if is_change:
                await rules(folk, life.actor, **{name: int(seconds)})
            else:
                await life.action(what)
            assert await is_over(folk, life.token), what
    finally:
        await rules(folk, life.actor, session_idle=0, session_absolute=0)


# -- what may be set -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"session_idle": 59}, {"session_idle": "value"}),
        ({"session_idle": -1}, {"session_idle": "value"}),
        ({"session_idle": HOUR + 1}, {"session_idle": "value"}),
        ({"session_absolute": 24 * HOUR + 1}, {"session_absolute": "value"}),
        ({"session_absolute": "3600"}, {"session_absolute": "type"}),
        ({"session_idle": True}, {"session_idle": "type"}),
        ({"session_idle": None}, {"session_idle": "type"}),
        ({"session_absolute": 60.5}, {"session_absolute": "type"}),
        (
            {"session_idle": HOUR + 1, "session_absolute": 10**12},
            {"session_absolute": "value"},
        ),
    ],
)
async def test_what_is_refused(lite: The, change: dict[str, Any], fields: dict[str, str]) -> None:
    folk = Folk(lite)
    anna = await folk.create()
    with pytest.raises(Invalid) as refused:
        await rules(folk, anna, **change)
    assert refused.value.fields == fields
    assert (await folk.tenant()).rules == Rules()


async def test_the_bounds_are_allowed(lite: The) -> None:
    folk = Folk(lite)
    anna = await folk.create()
    for idle, absolute in ((60, 60), (HOUR, 24 * HOUR), (0, 0)):
        made = await rules(folk, anna, session_idle=idle, session_absolute=absolute)
        assert (made.session_idle, made.session_absolute) == (idle, absolute)


async def test_settings_that_become_shorter(tmp_path: Path) -> None:
    """The smaller one counts, and other rules can still be changed."""
    async with running(settings_for(tmp_path, session={"idle": 600, "absolute": 1200})) as the:
        folk = Folk(the)
        life = await fresh_life(folk)
        async with folk.ctx.write() as db:  # as it was set when the settings allowed it
            stored = json.dumps({"session_idle": 1800, "session_absolute": HOUR})
            await db.change(update(tenant).where(tenant.c.id == life.actor.tenant_id).values(policy=stored))
        row = await row_of(the, life.actor)
        found = await sessions.find(folk.ctx, life.token)
        assert found.row["expires_at"] == row["began_at"] + 1200 * SECOND
        the.clock.forward(599)
        assert not await is_over(folk, life.token)
        await rules(folk, life.actor, remember_days=7)
        for field in FIELDS:
            with pytest.raises(Invalid):
                await rules(folk, life.actor, **{field: 1801})
        the.clock.forward(1)
        assert await is_over(folk, life.token)


# -- what it costs ---------------------------------------------------------------------------------


async def test_a_change_reads_a_tenants_sessions_alone(lite: The) -> None:
    """And writes only what it ends."""
    folk = Folk(lite)
    anna = await folk.create()
    [mine] = await lite.rows(session)
    many = [{**mine, "id": f"{number:036}", "last_used_at": number} for number in range(1000)]
    async with folk.ctx.write() as db:
        await db.change_many(insert(session), many)
    await rules(folk, anna, session_idle=60)
    reasons = [row["end_reason"] for row in await lite.rows(session)]
    assert (reasons.count("expired"), reasons.count(None)) == (1000, 1)


async def test_who_shortens_it_may_be_among_them(lite: The) -> None:
    """The change is made, and the owner's own session is over afterwards."""
    folk = Folk(lite)
    owner = await folk.strong(await folk.create(None, "owner"))
    lite.clock.forward(1000)
    read = replace(owner, proofs={name: lite.clock() for name in owner.proofs})
    await admin.change_policy(folk.acting(read), owner.tenant_id, {"session_absolute": 600})
    assert (await folk.tenant()).rules.session_absolute == 600
    assert await ended(lite, owner) == (True, "expired")
    with pytest.raises(SessionEnded):
        await admin.change_policy(folk.acting(read), owner.tenant_id, {"session_absolute": 0})
