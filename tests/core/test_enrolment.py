"""Changing one's own factors: which proof it requires, what it ends, and which factors cannot be removed.

What each factor checks is tested in its own module. The tests of enrolment in a pending sign-in are at the end.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from passgate.core import account, enrolment, signin, starts, throttle
from passgate.core.ctx import Person as Actor
from passgate.core.policy import Decision, Enough, Need
from passgate.errors import (
    Conflict,
    FactorNotOffered,
    HandleInvalid,
    Invalid,
    NotFound,
    ProofRefused,
    SessionEnded,
    StepUpNeeded,
    Throttled,
)
from passgate.store.tables import budget, carrier, credential
from tests import catalogue
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.having import code_of_app, policy, unspelled
from tests.kit import OTHER_PASSWORD, PASSWORD, The

URL = "http://localhost:8000"
AAL1, AAL2 = "urn:passgate:aal1", "urn:passgate:aal2"
FRESH = catalogue.fresh()
"""Every action that requires a fresh proof, by its endpoint."""


@pytest.fixture
async def folk(the: The) -> Folk:
    return Folk(the)


async def live(folk: Folk, actor: Actor) -> list[str]:
    rows = await folk.the.rows(credential)
    return sorted(row["kind"] for row in rows if row["person_id"] == actor.person_id and row["revoked_at"] is None)


async def mail_kinds(folk: Folk, actor: Actor) -> list[str]:
    """The kinds of the mails to this person, oldest first."""
    return [mail["kind"] for mail in reversed(await folk.the.mails(await folk.email(actor)))]


# -- what every action requires --------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", FRESH)
async def test_it_wants_a_fresh_proof_at_the_persons_own_level(lite: The, endpoint: str) -> None:
    folk, wanted = Folk(lite), FRESH[endpoint]
    actor = await folk.create(None, wanted.role)
    for aged, level in ((301, AAL1), (0, AAL2)):
        who = replace(actor, proofs={"password": lite.clock.now - aged * 10**6})
        if level == AAL2:
            await folk.add_app(actor)
            who = await folk.session(actor.tenant_id, actor.person_id)
        before = await lite.everything()
        with pytest.raises(StepUpNeeded) as refused:
            await wanted.act(folk, who)
        assert (refused.value.acr, refused.value.max_age) == (level, 300)
        assert await lite.everything() == before


@pytest.mark.parametrize("endpoint", FRESH)
async def test_how_old_a_proof_may_be_is_the_tenants(lite: The, endpoint: str) -> None:
    folk, wanted = Folk(lite), FRESH[endpoint]
    await policy(lite, max_age=60)
    actor = await folk.create(None, wanted.role)
    lite.clock.forward(60)
    with pytest.raises(StepUpNeeded) as refused:
        await wanted.act(folk, actor)
    assert refused.value.max_age == 60


@pytest.mark.parametrize("endpoint", [key for key in FRESH if not key.startswith("GET ")])
async def test_a_session_that_ended_does_nothing(lite: The, endpoint: str) -> None:
    folk, wanted = Folk(lite), FRESH[endpoint]
    actor = await folk.create(None, wanted.role)
    await account.end_session(folk.acting(actor), actor.session_id)
    with pytest.raises((SessionEnded, ProofRefused)):
        await wanted.act(folk, actor)
    assert await live(folk, actor) == ["password"]


# -- what a change does ----------------------------------------------------------------------------


async def test_each_factor_added_or_removed_sends_a_mail(folk: Folk) -> None:
    actor = await folk.create()
    await folk.add_app(actor)
    made = await folk.add_passkey(actor, Authenticator())
    await folk.add_codes(actor)
    strong = await folk.strong(actor)
    await enrolment.remove(folk.acting(strong), "passkey", made)
    await enrolment.remove(folk.acting(strong), "totp")
    assert await mail_kinds(folk, actor) == ["factor_added"] * 3 + ["factor_removed"] * 2
    events = await folk.the.events()
    assert (events.count("account:factor:added"), events.count("account:factor:removed")) == (3, 2)
    assert events.count("account:recovery_codes:made") == 1


async def test_the_first_password_is_a_factor_too(folk: Folk) -> None:
    actor = await folk.create(hashed=None)
    await account.set_password(folk.acting(actor), PASSWORD)
    assert await mail_kinds(folk, actor) == ["factor_added"]
    await account.set_password(folk.acting(actor), OTHER_PASSWORD)
    assert await mail_kinds(folk, actor) == ["factor_added", "password_changed"]


async def test_who_sets_one_up_is_at_their_new_level(folk: Folk) -> None:
    """Adding an app raises the session to AAL2, so that the next action does not ask for the code that was just spent.
    The time of the sign-in stays the same."""
    actor = await folk.create()
    folk.the.clock.forward(100)
    secret = await enrolment.offer(folk.acting(actor), "totp")
    await enrolment.prove(folk.acting(actor), "totp", code_of_app(folk.the, unspelled(secret["secret"])))
    [row] = await folk.the.rows(carrier)
    assert (row["acr"], row["amr"]) == (AAL2, '["pwd", "otp"]')
    assert row["auth_time"] < actor.auth_time + 100 * 10**6
    other = await folk.session(actor.tenant_id, actor.person_id)
    proved = replace(other, proofs={**other.proofs, "totp": folk.the.clock()})
    await enrolment.offer(folk.acting(proved), "totp")
    with pytest.raises(StepUpNeeded):
        await enrolment.offer(folk.acting(other), "totp")


async def test_recovery_codes_lift_nothing(folk: Folk) -> None:
    actor = await folk.create()
    await enrolment.recovery_codes(folk.acting(actor))
    [row] = await folk.the.rows(carrier)
    assert row["acr"] == AAL1
    await enrolment.recovery_codes(folk.acting(actor))


async def test_pending_sign_ins_end(folk: Folk) -> None:
    """Adding a second factor ends pending sign-ins, so that one that has proved only the password cannot finish."""
    for change in (folk.add_app, folk.add_codes, lambda who: folk.add_passkey(who, Authenticator())):
        actor = await folk.create()
        begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
        await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
        await change(actor)
        with pytest.raises(HandleInvalid):
            await signin.finish(folk.ctx, begun.handle, carrier="bearer")


# -- what cannot be removed ------------------------------------------------------------------------


async def test_the_last_way_in_stays(folk: Folk) -> None:
    actor = await folk.create(hashed=None)
    keys = [await folk.add_passkey(actor, Authenticator()) for _ in range(2)]
    strong = await folk.strong(actor)
    await folk.add_app(actor)
    await enrolment.remove(folk.acting(strong), "passkey", keys[0])
    with pytest.raises(Conflict):
        await enrolment.remove(folk.acting(strong), "passkey", keys[1])
    await account.set_password(folk.acting(strong), PASSWORD)
    await enrolment.remove(folk.acting(strong), "passkey", keys[1])
    assert await live(folk, actor) == ["password", "totp"]


async def test_the_last_second_factor_stays_where_one_is_always_asked_for(folk: Folk) -> None:
    actor = await folk.create()
    await folk.add_app(actor)
    await folk.add_codes(actor)
    await policy(folk.the, second="always")
    strong = await folk.strong(actor)
    with pytest.raises(Conflict):
        await enrolment.remove(folk.acting(strong), "totp")
    key = await folk.add_passkey(actor, Authenticator())
    await enrolment.remove(folk.acting(strong), "totp")
    with pytest.raises(Conflict):
        await enrolment.remove(folk.acting(strong), "passkey", key)
    await policy(folk.the, second="always", second_among=["totp", "recovery_code"])
    await enrolment.remove(folk.acting(strong), "passkey", key)


async def test_recovery_codes_go_with_the_last_factor(folk: Folk) -> None:
    actor = await folk.create()
    await folk.add_app(actor)
    key = await folk.add_passkey(actor, Authenticator())
    await folk.add_codes(actor)
    strong = await folk.strong(actor)
    await enrolment.remove(folk.acting(strong), "totp")
    assert (await live(folk, actor)).count("recovery_code") == 10
    await enrolment.remove(folk.acting(strong), "passkey", key)
    assert await live(folk, actor) == ["password"]
    begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    assert isinstance(await signin.prove(folk.ctx, begun.handle, "password", PASSWORD), Enough)


async def test_somebody_elses_are_not_found(folk: Folk) -> None:
    actor, other = await folk.create(), await folk.create()
    key = await folk.add_passkey(actor, Authenticator())
    before = await folk.the.everything()
    for factor in ("passkey", "totp"):
        with pytest.raises(NotFound):
            await enrolment.remove(folk.acting(other), factor, key)
    with pytest.raises(NotFound):
        await enrolment.rename(folk.acting(other), key, "Mine now")
    with pytest.raises(NotFound):
        await enrolment.remove(folk.acting(other), "totp")
    assert await folk.the.everything() == before


async def test_what_is_gone_is_not_found_again(folk: Folk) -> None:
    actor = await folk.create()
    key = await folk.add_passkey(actor, Authenticator())
    strong = await folk.strong(actor)
    await enrolment.remove(folk.acting(strong), "passkey", key)
    with pytest.raises(NotFound):
        await enrolment.remove(folk.acting(strong), "passkey", key)
    with pytest.raises(NotFound):
        await enrolment.rename(folk.acting(strong), key, "Gone")


@pytest.mark.parametrize(("label", "stored"), [("  My \t phone ", "My phone"), ("x" * 60, "x" * 60), ("🔑", "🔑")])
async def test_a_name_is_one_line(folk: Folk, label: str, stored: str) -> None:
    actor = await folk.create()
    key = await folk.add_passkey(actor, Authenticator())
    strong = await folk.strong(actor)
    assert (await enrolment.rename(folk.acting(strong), key, label))["label"] == stored
    assert [one["label"] for one in await enrolment.passkeys(folk.acting(actor))] == [stored]
    for odd in ("", "   ", "x" * 61):
        with pytest.raises(Invalid):
            await enrolment.rename(folk.acting(strong), key, odd)


async def test_everything_one_has_at_a_glance(folk: Folk) -> None:
    actor = await folk.create()
    assert await enrolment.overview(folk.acting(actor)) == {
        "password": True,
        "passkeys": [],
        "totp": None,
        "recovery_codes": 0,
        "email_code": None,
        "can_mail": False,
        "at_once": False,
        "can_show": False,
        "codes_in_set": 10,
        "browsers": [],
        "remember_days": 30,
        "own": [{"factor": one, "since": None} for one in folk.ctx.factors.own],
        "locked": set(),
    }
    await folk.add_app(actor)
    keys = [await folk.add_passkey(actor, Authenticator(be=synced, bs=False)) for synced in (True, False)]
    await folk.add_codes(actor)
    seen = await enrolment.overview(folk.acting(actor))
    assert [one["id"] for one in seen["passkeys"]] == keys[::-1], "newest first"
    assert [one["synced"] for one in seen["passkeys"]] == [False, True]
    assert (seen["recovery_codes"], seen["totp"] is not None) == (10, True)


# -- guessing a first code -------------------------------------------------------------------------


async def test_first_codes_are_not_guessed(folk: Folk) -> None:
    """There are waits and no lock, since the secret was just shown: what is not set up has nothing to lock."""
    actor = await folk.create()
    await enrolment.offer(folk.acting(actor), "totp")
    for _ in range(10):
        with pytest.raises(ProofRefused):
            await enrolment.prove(folk.acting(actor), "totp", "000000")
    with pytest.raises(Throttled) as waits:
        await enrolment.prove(folk.acting(actor), "totp", "000000")
    assert waits.value.retry_after == 1
    assert await live(folk, actor) == ["password"]
    assert {row["key"]: row["used"] for row in await folk.the.rows(budget)} == {f"w:set_up_totp:{actor.person_id}": 10}


async def test_what_is_set_up_anew_is_not_locked(folk: Folk) -> None:
    """A new app and new codes are not locked by refusals of the old ones; other factors stay locked."""
    actor = await folk.create()
    await folk.add_app(actor)
    await folk.add_codes(actor)
    names = {"totp", "recovery_code", "password"}
    async with folk.ctx.write() as db:
        for name in names:
            key = f"n:step_up:{name}:{actor.person_id}"
            await db.add(budget, key=key, used=10, until_at=0, expires_at=throttle.NEVER)
    assert (await enrolment.overview(folk.acting(actor)))["locked"] == names
    await folk.add_app(actor)
    assert (await enrolment.overview(folk.acting(actor)))["locked"] == names - {"totp"}
    await folk.add_codes(actor)
    assert (await enrolment.overview(folk.acting(actor)))["locked"] == {"password"}
    strong = await folk.strong(actor)
    await folk.new_password(strong, OTHER_PASSWORD)
    assert (await enrolment.overview(folk.acting(actor)))["locked"] == set()


# -- set up in a pending sign-in -------------------------------------------------------------------


async def test_a_second_factor_that_is_demanded_is_set_up_on_the_way(folk: Folk) -> None:
    await policy(folk.the, second="always")
    actor = await folk.create()
    begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    first = await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    assert isinstance(first, Need)
    assert (first.listed(), first.enrol) == ([["email_code"]], False)  # a password alone may be a thief's
    asked = await mailed(folk, begun.handle)
    assert isinstance(asked, Need)
    assert (asked.listed(), asked.enrol) == ([["passkey"], ["totp"]], True)
    options = await signin.challenge(folk.ctx, begun.handle, "passkey")
    with pytest.raises(ProofRefused):
        await signin.prove(folk.ctx, begun.handle, "passkey", Authenticator().create(options, URL, uv=False))
    options = await signin.challenge(folk.ctx, begun.handle, "passkey")
    done = await signin.prove(folk.ctx, begun.handle, "passkey", Authenticator().create(options, URL))
    assert isinstance(done, Enough)
    assert done.acr == AAL2
    finished = await signin.finish(folk.ctx, begun.handle, carrier="bearer")
    assert finished.opened.session["acr"] == AAL2
    assert await mail_kinds(folk, actor) == ["signin_code", "factor_added"]


async def mailed(folk: Folk, handle: str) -> Decision:
    """Prove the address in a pending sign-in."""
    await signin.challenge(folk.ctx, handle, "email_code")
    return await signin.prove(folk.ctx, handle, "email_code", await folk.code())


async def test_of_two_who_know_the_password_one_sets_it_up(folk: Folk) -> None:
    """Two pending sign-ins know the password and must set up a second factor: once the first has added a passkey, the
    second cannot add its own."""
    await policy(folk.the, second="always", second_among=["passkey", "totp"])
    email = await folk.email(await folk.create())
    handles, options = [], []
    for _ in range(2):
        begun = await starts.sign_in(folk.ctx, email, None)
        await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
        await mailed(folk, begun.handle)
        handles.append(begun.handle)
        options.append(await signin.challenge(folk.ctx, begun.handle, "passkey"))
    key = Authenticator()
    await signin.prove(folk.ctx, handles[0], "passkey", key.create(options[0], URL))
    with pytest.raises((FactorNotOffered, HandleInvalid, ProofRefused)):
        await signin.prove(folk.ctx, handles[1], "passkey", Authenticator().create(options[1], URL))
    assert [row["kind"] for row in await folk.the.rows(credential)].count("passkey") == 1


async def test_nobody_sets_up_what_was_offered_elsewhere(folk: Folk) -> None:
    await policy(folk.the, second="always")
    one, two = await folk.create(), await folk.create()
    handles = []
    for actor in (one, two):
        begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
        await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
        await mailed(folk, begun.handle)
        handles.append(begun.handle)
    options = await signin.challenge(folk.ctx, handles[0], "passkey")
    with pytest.raises(ProofRefused):
        await signin.prove(folk.ctx, handles[1], "passkey", Authenticator().create(options, URL))
    mine = await signin.challenge(folk.ctx, handles[1], "passkey")
    stolen = Authenticator().create({**mine, "challenge": options["challenge"]}, URL)
    with pytest.raises(ProofRefused):
        await signin.prove(folk.ctx, handles[1], "passkey", stolen)
    assert "passkey" not in [row["kind"] for row in await folk.the.rows(credential)]
