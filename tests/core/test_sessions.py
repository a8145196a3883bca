"""Sessions: one that has ended stays ended, whatever is done afterwards, and a live one expires exactly on time.

Carriers (bearer token, cookie) are tested in tests/web.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from passgate.core import account, carriers, people, session_lives, sessions, signin, starts
from passgate.core.action import action
from passgate.core.ctx import Person as Actor
from passgate.errors import CredentialInvalid, NotFound, PassgateError, SessionEnded
from passgate.store.tables import carrier, session, tenant
from tests.core.behind import Folk
from tests.kit import OTHER_PASSWORD, PASSWORD, The

EXAMPLES = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
ENDINGS = ("end", "end_by_other", "end_others", "end_all", "idle", "absolute", "disable_person", "disable_tenant")
ACTIONS = (
    "find",
    "touch",
    "stale_touch",
    "hold",
    "end",
    "end_others",
    "profile",
    "open",
    "step_up",
    "enable",
    "clock_back",
    "password",
    "forward",
)


class Life:
    """One session, the ways to end it, and the actions that are tried afterwards."""

    def __init__(self, folk: Folk, actor: Actor, token: str, other: Actor) -> None:
        self.folk, self.actor, self.token, self.other = folk, actor, token, other
        self.found: Actor | None = None

    async def ending(self, how: str) -> None:
        ctx, clock = self.folk.ctx, self.folk.the.clock
        self.found = await sessions.find(ctx, self.token)  # a request may have read the session just before it ends
        if how in ("idle", "absolute"):
            clock.forward(3600 if how == "idle" else 86400)
            return
        async with ctx.write() as db:
            if how == "end":
                await sessions.end(ctx.acting(self.actor), db, self.actor.session_id)
            elif how == "end_by_other":
                await sessions.end(ctx.acting(self.other), db, self.actor.session_id)
            elif how == "end_others":
                await sessions.end_others(ctx.acting(self.other), db)
            elif how == "end_all":
                await sessions.end_all(ctx, db, self.actor.tenant_id, self.actor.person_id, "recovered")
            elif how == "disable_person":
                await people.disable(ctx, db, self.actor.tenant_id, self.actor.person_id)
            else:
                await db.change(update(tenant).where(tenant.c.id == self.actor.tenant_id).values(disabled_at=1))

    async def action(self, what: str) -> None:
        with suppress(PassgateError):
            await self._action(what)

    async def _action(self, what: str) -> None:
        folk, actor, ctx = self.folk, self.actor, self.folk.acting(self.actor)
        if what == "forward":
            folk.the.clock.forward(30)
        elif what == "touch":
            await session_lives.touch(await carriers.acting(ctx, self.token, by_cookie=False))
        elif what == "stale_touch" and self.found is not None:
            await session_lives.touch(ctx.acting(self.found))
        elif what == "find":
            await sessions.find(ctx, self.token)
        elif what == "open":
            await folk.session(actor.tenant_id, actor.person_id)
        elif what == "profile":
            await account.set_profile(ctx, {"a": 1})
        elif what == "password":
            await account.set_password(ctx, OTHER_PASSWORD)
        elif what == "end":
            await account.end_session(ctx, actor.session_id)
        elif what == "end_others":
            await account.end_other_sessions(ctx)
        elif what == "step_up":
            begun = await starts.step_up(ctx, None)
            await signin.prove(ctx, begun.handle, "password", PASSWORD)
            await signin.finish(ctx, begun.handle, carrier="bearer")
        elif what == "hold":
            async with action(ctx):
                pass


async def fresh_life(folk: Folk) -> Life:
    other = await folk.create()
    actor, token = await folk.opened(other.tenant_id, other.person_id)
    return Life(folk, actor, token, other)


@EXAMPLES
@given(st.sampled_from(ENDINGS), st.lists(st.sampled_from(ACTIONS), max_size=8))
async def test_what_is_over_stays_over(lite: The, how: str, actions: list[str]) -> None:
    """No sequence of actions revives an ended session or changes its row."""
    life = await fresh_life(Folk(lite))
    try:
        await life.ending(how)
        before = await row_of(lite, life.actor)
        for what in actions:
            await life.action(what)
            with pytest.raises(SessionEnded):
                await sessions.find(life.folk.ctx, life.token)
            assert await row_of(lite, life.actor) == before
    finally:
        async with life.folk.ctx.write() as db:
            await db.change(update(tenant).values(disabled_at=None))


async def row_of(the: The, actor: Actor) -> dict[str, Any]:
    (row,) = [row for row in await the.rows(session) if row["id"] == actor.session_id]
    return row


async def test_a_late_touch_moves_nothing(the: The) -> None:
    """A session that another one ends between a request's read and its touch stays ended."""
    life = await fresh_life(Folk(the))
    the.clock.forward(120)
    await life.ending("end_by_other")
    before = await row_of(the, life.actor)
    await life.action("stale_touch")
    assert await row_of(the, life.actor) == before


async def test_a_late_touch_after_idleness_moves_nothing(lite: The) -> None:
    life = await fresh_life(Folk(lite))
    await life.ending("idle")
    before = await row_of(lite, life.actor)
    await life.action("stale_touch")
    assert await row_of(lite, life.actor) == before


async def test_it_lives_exactly_as_long(the: The) -> None:
    """A session expires after 60 minutes without use, and after 24 hours however much it is used."""
    folk = Folk(the)
    life = await fresh_life(folk)
    opened_at = the.clock.now
    the.clock.forward(3599)
    await session_lives.touch(await carriers.acting(folk.ctx, life.token, by_cookie=False))
    while the.clock.now < opened_at + 83000 * 10**6:
        the.clock.forward(3000)
        await session_lives.touch(await carriers.acting(folk.ctx, life.token, by_cookie=False))
    row = await row_of(the, life.actor)
    assert row["idle_expires_at"] == row["expires_at"] == row["created_at"] + 86400 * 10**6
    the.clock.now = row["expires_at"] - 10
    await sessions.find(folk.ctx, life.token)
    the.clock.now = row["expires_at"]
    with pytest.raises(SessionEnded):
        await sessions.find(folk.ctx, life.token)


async def test_use_is_written_down_once_a_minute(lite: The) -> None:
    folk = Folk(lite)
    life = await fresh_life(folk)
    before = await row_of(lite, life.actor)
    lite.clock.forward(59)
    await session_lives.touch(await carriers.acting(folk.ctx, life.token, by_cookie=False))
    assert await row_of(lite, life.actor) == before
    lite.clock.forward(1)
    await session_lives.touch(await carriers.acting(folk.ctx, life.token, by_cookie=False))
    assert (await row_of(lite, life.actor))["last_used_at"] > before["last_used_at"]


async def test_only_the_hash_of_a_secret_is_stored(lite: The) -> None:
    folk = Folk(lite)
    life = await fresh_life(folk)
    hashes = [row["secret_hash"] for row in await lite.rows(carrier)]
    assert folk.ctx.ring.presented(sessions.PREFIX, life.token) in hashes
    assert life.token.removeprefix(sessions.PREFIX) not in str(await lite.everything())


async def test_nobody_ends_somebody_elses(lite: The) -> None:
    folk = Folk(lite)
    mine, theirs = await fresh_life(folk), await fresh_life(folk)
    with pytest.raises(NotFound):
        await account.end_session(folk.acting(mine.actor), theirs.actor.session_id)
    await sessions.find(folk.ctx, theirs.token)


async def test_an_unknown_secret_is_no_credential(lite: The) -> None:
    folk = Folk(lite)
    for token in (folk.ctx.ring.mint(sessions.PREFIX).token, "pg_ses_", "", "x" * 5000):
        with pytest.raises(CredentialInvalid):
            await sessions.find(folk.ctx, token)


async def test_the_list_is_what_lives(lite: The) -> None:
    folk = Folk(lite)
    life = await fresh_life(folk)
    listed = await account.my_sessions(folk.acting(life.other), before=None, limit=10)
    assert [(one["id"], one["current"]) for one in listed] == [
        (life.actor.session_id, False),
        (life.other.session_id, True),
    ]
    await life.ending("end")
    listed = await account.my_sessions(folk.acting(life.other), before=None, limit=10)
    assert [one["id"] for one in listed] == [life.other.session_id]
