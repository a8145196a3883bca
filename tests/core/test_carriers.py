"""A session with several carriers: a step-up changes the secret and the level of the one that asked; what ends the
session ends them all; and what belongs to the session follows its id.

The races are in tests/races/test_sessions.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from sqlalchemy import insert, select

from passgate.core import account, enrolment, sessions, signin, starts
from passgate.core.ctx import Person as Actor
from passgate.core.factors import totp
from passgate.core.rules import AAL1, AAL2
from passgate.errors import SessionEnded, SessionSuperseded, StepUpNeeded
from passgate.store.tables import audit_event, carrier, session
from tests.core.behind import Folk
from tests.kit import PASSWORD, The


@pytest.fixture
async def folk(the: The) -> AsyncIterator[Folk]:
    yield Folk(the)


async def another(folk: Folk, who: Actor) -> str:
    """One more carrier of the session, at the level of the first; its secret."""
    minted = folk.ctx.ring.mint(sessions.PREFIX)
    async with folk.ctx.write() as db:
        row = await db.one(select(carrier).where(carrier.c.id == who.carrier_id))
        assert row is not None
        own = {"id": folk.ctx.world.uuid(), "secret_hash": minted.hash, "kind": "bearer"}
        await db.change(insert(carrier).values({**row, **own}))
    return minted.token


async def stepped_up(folk: Folk, who: Actor, **answers: str) -> str:
    """The new secret after a step-up."""
    begun = await starts.step_up(folk.acting(who), None)
    for factor, answer in {"password": PASSWORD, **answers}.items():
        await signin.prove(folk.acting(who), begun.handle, factor, answer)
    return (await signin.finish(folk.ctx, begun.handle, carrier="bearer")).opened.token


async def rows_of(folk: Folk, who: Actor) -> Mapping[str, Mapping[str, Any]]:
    return {row["id"]: row for row in await folk.the.rows(carrier) if row["session_id"] == who.session_id}


async def test_a_step_up_lifts_the_one_that_asked(folk: Folk) -> None:
    made = await folk.create()
    await folk.add_app(made)
    anna, old = await folk.opened(made.tenant_id, made.person_id)
    other = await another(folk, anna)
    before = await folk.actor_of(other)
    folk.the.clock.forward(60)
    new = await stepped_up(folk, anna, totp=await folk.app_code(anna))
    lifted, same = await folk.actor_of(new), await folk.actor_of(other)
    assert lifted.session_id == same.session_id == anna.session_id
    assert (lifted.carrier_id, lifted.generation, lifted.acr) == (anna.carrier_id, 2, AAL2)
    assert (same, same.generation, same.acr) == (before, 1, AAL1)
    assert lifted.auth_time > same.auth_time
    assert same.row["expires_at"] == lifted.row["expires_at"], "the session lives longer, for both"
    with pytest.raises(SessionSuperseded):
        await folk.actor_of(old)
    await enrolment.remove(folk.acting(lifted), "totp")


async def test_nobody_acts_with_the_others_proofs(folk: Folk) -> None:
    """The level of one carrier opens nothing for another."""
    anna = await folk.create()
    await folk.add_app(anna)
    other = await another(folk, anna)
    await stepped_up(folk, anna, totp=await folk.app_code(anna))
    with pytest.raises(StepUpNeeded):
        await enrolment.remove(folk.acting(await folk.actor_of(other)), "totp")


async def test_setting_up_a_factor_lifts_one_carrier(folk: Folk) -> None:
    anna = await folk.create()
    other = await another(folk, anna)
    offered = await enrolment.offer(folk.acting(anna), "totp")
    await enrolment.prove(folk.acting(anna), "totp", totp.code_at(base64.b32decode(offered["secret"]), folk.step))
    levels = {id_: row["acr"] for id_, row in (await rows_of(folk, anna)).items()}
    assert levels == {anna.carrier_id: AAL2, (await folk.actor_of(other)).carrier_id: AAL1}


async def test_a_request_under_way_with_the_old_secret(folk: Folk) -> None:
    """It was let in before the step-up, and changes nothing after it."""
    anna = await folk.create()
    await stepped_up(folk, anna)
    with pytest.raises(SessionEnded):
        await account.set_profile(folk.acting(anna), {"late": True})
    with pytest.raises(SessionEnded):
        await starts.step_up(folk.acting(anna), None)


@pytest.mark.parametrize("how", ["own", "others", "all"])
async def test_what_ends_the_session_ends_its_carriers(folk: Folk, how: str) -> None:
    anna = await folk.create()
    other = await another(folk, anna)
    second = await folk.session(anna.tenant_id, anna.person_id)
    untouched = await folk.create()
    match how:
        case "own":
            await account.end_session(folk.acting(await folk.actor_of(other)), anna.session_id)
        case "others":
            await account.end_other_sessions(folk.acting(second))
        case _:
            async with folk.ctx.write() as db:
                await sessions.end_all(folk.ctx, db, anna.tenant_id, anna.person_id, "disabled")
    [ended] = [row["ended_at"] for row in await folk.the.rows(session) if row["id"] == anna.session_id]
    assert ended is not None
    assert [row["ended_at"] for row in (await rows_of(folk, anna)).values()] == [ended, ended]
    with pytest.raises(SessionEnded):
        await folk.actor_of(other)
    assert [row["ended_at"] for row in (await rows_of(folk, untouched)).values()] == [None]


async def test_an_ended_carrier_is_over_alone(folk: Folk) -> None:
    anna, token = await folk.opened(*(await folk.create()).key)
    other = await another(folk, anna)
    async with folk.ctx.write() as db:
        await db.change(carrier.update().where(carrier.c.id == anna.carrier_id).values(ended_at=folk.the.clock()))
    with pytest.raises(SessionEnded):
        await folk.actor_of(token)
    with pytest.raises(SessionEnded):
        await account.set_profile(folk.acting(anna), {})
    assert (await folk.actor_of(other)).session_id == anna.session_id


async def test_the_list_names_each_session_once(folk: Folk) -> None:
    """With the level of the carrier that proved something last."""
    made = await folk.create()
    await folk.add_app(made)
    anna = await folk.session(made.tenant_id, made.person_id)
    other = await another(folk, anna)
    folk.the.clock.forward(60)
    await stepped_up(folk, anna, totp=await folk.app_code(anna))
    listed = await account.my_sessions(folk.acting(await folk.actor_of(other)), before=None, limit=10)
    mine = [(one["acr"], one["current"]) for one in listed if one["id"] == anna.session_id]
    assert mine == [(AAL2, True)]


async def test_what_belongs_to_the_session_follows_it(folk: Folk) -> None:
    """A passkey's options are bound to the session; the trail, which observers follow, names its id."""
    anna = await folk.create()
    offered = await enrolment.offer(folk.acting(anna), "totp")
    after = await folk.actor_of(await stepped_up(folk, anna))
    await enrolment.prove(folk.acting(after), "totp", totp.code_at(base64.b32decode(offered["secret"]), folk.step))
    facts = [json.loads(row["facts"]) for row in await folk.the.rows(audit_event)]
    completed = [fact["session_id"] for fact in facts if fact.get("session_id")]
    assert completed == [anna.session_id]
