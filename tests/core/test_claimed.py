"""What stays with the first proof of an address: what the same person has proved, roles and names that were meant for
them; and that an account of an unproved address stops nobody, whatever its state and whoever is in it.

Not here: what ends (`test_address_proof`).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passgate.core import (
    account,
    enrolment,
    signin,
    starts,
    user_changes,
)
from passgate.core.ctx import Operator
from passgate.core.ctx import Person as Actor
from passgate.errors import InvitationInvalid, Refusal
from passgate.store.tables import audit_event, carrier, credential, person, session, sign_in
from tests import operating
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.claiming import (
    EMAIL,
    LATER,
    WAYS,
    attacker,
    begun,
    by_invitation,
    by_recovery,
    by_sign_up,
    facts_of,
    roles_of,
    row_of,
    victim,
)
from tests.core.visitor import Visitor, letters
from tests.kit import PASSWORD, The, running, settings_for
from tests.web.browsing import rule

DAY = 24 * 3600

# -- what stays --------------------------------------------------------------------------------------


async def confirmed(who: Visitor) -> bool:
    return await who.confirm_address() and (await row_of(who.folk.the, who.email))["email_verified_at"] is not None


async def test_whoever_proves_the_password_too_stays(the: The) -> None:
    """And the session, which has a new secret; every other session and factor ends."""
    folk = Folk(the)
    await rule(the, **LATER)
    who, other = victim(folk), victim(folk)
    assert await who.sign_up() is not None
    other.passwords = [*who.passwords]
    assert await other.sign_in() is not None
    assert await who.make_codes()
    await account.set_username(who.ctx.acting(await _actor(who)), "victor")
    await operating.give_role(folk.ctx, EMAIL, "read_only", "main")
    mine = (await _actor(who)).session_id
    assert await confirmed(who)
    assert (await _actor(who)).session_id == mine
    assert await other.actor() is None
    assert {row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None} == {"password"}
    assert (await row_of(the))["username"] == "victor"
    assert await roles_of(the) == ["read_only", "user"]
    assert await who.sign_in() is not None
    [facts] = await facts_of(the, "account:address:proved")
    assert {**facts, "request_id": ""} == {"ended": ["recovery_code"], "sessions": 1, "roles": [], "request_id": ""}


async def _actor(who: Visitor) -> Actor:
    found = await who.actor()
    assert found is not None
    return found


async def test_of_several_passkeys_the_one_that_was_used(lite: The) -> None:
    """Somebody else has added another one."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who, thief = victim(folk), attacker(folk)
    assert await who.sign_up() is not None
    assert await who.add_passkey()
    thief.keys.append(Authenticator())
    await folk.add_passkey(await folk.strong(await _actor(who)), thief.keys[-1])
    who.passwords = []
    before = [row["id"] for row in await lite.rows(credential) if row["kind"] == "passkey"]
    assert await confirmed(who)
    assert [row["id"] for row in await lite.rows(credential) if row["revoked_at"] is None] == before[:1]
    assert await thief.sign_in() is None
    assert await thief.actor() is None
    assert await who.sign_in() is not None


async def test_what_is_set_up_after_the_proof_in_the_same_recovery(lite: The) -> None:
    folk = Folk(lite)
    await begun(folk)
    owner = victim(folk)
    assert await owner.recover() is not None
    [left] = [row for row in await lite.rows(credential) if row["revoked_at"] is None]
    assert left["kind"] == "password"
    assert await owner.sign_in() is not None


async def test_a_second_proof_ends_nothing(lite: The) -> None:
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = victim(folk)
    assert await who.sign_up() is not None
    assert await confirmed(who)
    assert await who.sign_in() is not None
    assert await who.add_app()
    before = len([row for row in await lite.rows(session) if row["ended_at"] is None])
    assert await who.confirm_address()
    assert len([row for row in await lite.rows(session) if row["ended_at"] is None]) == before
    assert len(await facts_of(lite, "account:address:proved")) == 1


async def test_another_address_is_the_first_proof_too(the: The) -> None:
    """Whoever moves the account to a mailbox of theirs before its address is proved. Others who are in it are out, and
    the address is free for its owner."""
    folk = Folk(the)
    who, other = await begun(folk), attacker(folk)
    other.passwords = [*who.passwords]
    assert await other.sign_in() is not None
    await operating.give_role(folk.ctx, EMAIL, "admin", "main")
    await folk.create("owner@example.com", "owner")
    assert await who.change_address()
    assert await other.actor() is None
    assert await who.actor() is not None
    assert await who.sign_in() is not None
    assert await roles_of(the, who.own) == ["user"], "they were meant for the other address"
    owner = victim(folk)
    assert await owner.sign_up() is not None
    assert await roles_of(the) == ["user"]
    assert len(await the.rows(person)) == 3


# -- roles and names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__)
async def test_roles_given_meanwhile_end(lite: The, way: Any) -> None:
    """Nobody knows for whom they were meant. The owners are told, and give them again."""
    folk = Folk(lite)
    await folk.create("owner@example.com", "owner")
    await begun(folk)
    await operating.give_role(folk.ctx, EMAIL, "admin", "main")
    assert await way(folk, victim(folk)) is not None
    invited = ["read_only"] if way is by_invitation else []
    assert await roles_of(lite) == [*invited, "user"]
    [facts] = await facts_of(lite, "account:address:proved")
    assert facts["roles"] == ["admin"]
    assert await facts_of(lite, "role:taken") == [{"role": "admin", "reason": "address_proved"}]
    assert [mail.kind for mail in await letters(folk, "owner@example.com")] == ["roles_ended"]


async def test_a_claimed_owner_is_not_the_last_one(lite: The) -> None:
    """The role would end with the proof, and nobody would be left."""
    folk = Folk(lite)
    boss = await folk.strong(await folk.create("owner@example.com", "owner"))
    await begun(folk)
    await operating.give_role(folk.ctx, EMAIL, "owner", "main")
    with pytest.raises(Refusal) as refused:
        await account.delete(folk.acting(boss))
    assert refused.value.code == "conflict"
    await operating.take_role(folk.ctx, EMAIL, "owner", "main")


async def test_whoever_founds_a_tenant_proves_the_address_first(lite: The) -> None:
    settings = lite.gate.services.settings
    assert settings.tenancy == "single"
    await rule(lite, **LATER)
    from passgate.core import signup  # noqa: PLC0415  the rule itself: the founding is in tests/web

    ctx = Folk(lite).ctx
    tenant = await Folk(lite).tenant()
    assert signup.later(ctx, tenant.rules, {"new_tenant": {}}) == {}
    assert signup.later(ctx, tenant.rules, {}) != {}


@pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__)
async def test_whoever_comes_by_the_mailbox_begins_anew(lite: The, way: Any) -> None:
    """Without a profile and a name that somebody else has chosen."""
    folk = Folk(lite)
    who = await begun(folk)
    await account.change(who.ctx.acting(await _actor(who)), username="victor", profile={"name": "Eve"})
    assert await way(folk, victim(folk)) is not None
    found = await row_of(lite)
    assert (found["username"], json.loads(found["profile"])) == ("", {})
    assert len(await lite.rows(person)) == 1
    names = await lite.rows(audit_event)
    changes = [row["event"] for row in names if row["event"] in ("account:profile:changed", "account:username:changed")]
    assert sorted(changes) == sorted(["account:profile:changed", "account:username:changed"] * 2)


async def test_whoever_goes_on_in_their_session_keeps_their_name(lite: The) -> None:
    """Where a mailed code is a first factor, it alone confirms the address in a step-up."""
    folk = Folk(lite)
    await rule(lite, **LATER, first=["email_code", "password"])
    who = victim(folk)
    assert await who.sign_up() is not None
    await account.change(who.ctx.acting(await _actor(who)), username="victor", profile={"name": "Vic"})
    started = await starts.step_up(who.ctx.acting(await _actor(who)), None)
    await signin.challenge(who.ctx, started.handle, "email_code")
    await signin.prove(who.ctx, started.handle, "email_code", await who.code() or "")
    await signin.finish(who.ctx, started.handle, carrier="bearer")
    found = await row_of(lite)
    assert (found["username"], json.loads(found["profile"])) == ("victor", {"name": "Vic"})


# -- addresses that an admin has set -----------------------------------------------------------------


async def set_by_admin(folk: Folk, **more: Any) -> dict[str, Any]:
    operator = replace(folk.ctx, principal=Operator())
    given: dict[str, Any] = {"secret": PASSWORD, "profile": {"name": "Vic"}, "roles": ["admin"], **more}
    return await user_changes.create(operator, EMAIL, **given)


@pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__)
async def test_what_an_admin_had_set_ends(lite: The, way: Any) -> None:
    """Whoever knew the first password is out. The roles stay: the admin gave them to that very address."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    await set_by_admin(folk, username="vic")
    insider = attacker(folk)
    insider.passwords = [PASSWORD]
    assert await insider.sign_in() is not None
    assert await insider.add_app()
    owner = victim(folk)
    assert await way(folk, owner) is not None
    assert await insider.actor() is None
    assert await insider.sign_in() is None
    invited = ["read_only"] if way is by_invitation else ["user"] if way is by_sign_up else []
    assert await roles_of(lite) == sorted(["admin", *invited])
    assert (await row_of(lite))["username"] == "vic"


async def test_the_admins_password_is_replaced(lite: The) -> None:
    """By whoever proves both: the sign-in goes on with a password of their own."""
    folk = Folk(lite)
    await rule(lite, second="if_enrolled", usernames="optional")
    await set_by_admin(folk)
    owner, insider = victim(folk), attacker(folk)
    owner.passwords, insider.passwords = [PASSWORD], [PASSWORD]
    assert await insider.sign_in() is not None
    assert await owner.sign_in() is not None
    assert await owner.confirm_address()
    assert owner.passwords[-1] != PASSWORD
    assert await insider.actor() is None
    assert await insider.sign_in() is None
    assert await owner.sign_in() is not None


async def moved(folk: Folk, before: str) -> Visitor:
    """Somebody with an app, whose account an admin has moved to EMAIL."""
    who = Visitor(folk, before, before, "203.0.113.66", [PASSWORD])
    await folk.create(before)
    assert await who.sign_in() is not None
    assert await who.add_app()
    folk.the.clock.forward(8 * DAY)  # one of the last week may be a thief's
    operator = replace(folk.ctx, principal=Operator())
    person_id = (await row_of(folk.the, before))["id"]
    await user_changes.change(operator, person_id, user_changes.Change(email=EMAIL))
    return who


@pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__)
async def test_a_mailbox_that_an_admin_has_set_replaces_no_second_factor(lite: The, way: Any) -> None:
    """Else whoever may move an account would have it. Their app stays, and their link undoes the move."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = await moved(folk, "before@example.com")
    [*_, link] = await who.links()
    with suppress(InvitationInvalid):
        assert await way(folk, victim(folk)) is None
    assert {row["kind"] for row in await lite.rows(credential) if row["revoked_at"] is None} == {"password", "totp"}
    assert await who.undo(link) is not None
    assert (await row_of(lite, "before@example.com"))["email_verified_at"] is not None


async def test_whoever_was_moved_confirms_the_new_address_and_keeps_everything(lite: The) -> None:
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = await moved(folk, "before@example.com")
    who.email = who.own = EMAIL
    assert await who.sign_in() is not None
    before = {row["id"] for row in await lite.rows(credential)}
    assert await confirmed(who)
    assert await who.actor() is not None
    assert {row["id"] for row in await lite.rows(credential) if row["revoked_at"] is None} == before
    [facts] = await facts_of(lite, "account:address:proved")
    assert (facts["ended"], facts["sessions"], facts["roles"]) == ([], 0, [])


# -- it stops nobody, whatever its state -------------------------------------------------------------


async def test_a_closed_one(tmp_path: Path) -> None:
    """Nobody blocks an address for a week by closing what they had claimed, or what an admin had set up."""
    async with running(settings_for(tmp_path, erase={"wait": "7d"})) as the:
        folk = Folk(the)
        who = await begun(folk)
        assert await who.delete()
        assert await the.rows(person) == []
        await set_by_admin(folk)
        who.passwords.append(PASSWORD)
        assert await who.delete()
        assert (await row_of(the))["disabled_by"] == "owner"
        owner = victim(folk)
        assert await owner.sign_up() is not None
        assert (await row_of(the))["erase_at"] is None
        assert await owner.actor() is not None


async def test_a_disabled_one_stays_disabled(lite: The) -> None:
    """Somebody who may has decided that, and can take it back."""
    folk = Folk(lite)
    await begun(folk)
    await operating.disable_person(folk.ctx, EMAIL, "main")
    owner = victim(folk)
    assert await owner.sign_up() is None
    assert await owner.recover() is None
    assert (await row_of(lite))["email_verified_at"] is None
    assert [mail.kind for mail in await letters(folk, EMAIL)][-2:] == ["signup_known", "recovery_none"]
    await operating.enable_person(folk.ctx, EMAIL, "main")
    assert await owner.sign_up() is not None


@pytest.mark.parametrize("way", [by_sign_up, by_recovery], ids=lambda one: one.__name__)
async def test_whoever_is_in_it_cannot_end_the_mails_of_its_owner(lite: The, way: Any) -> None:
    """Signing out everywhere else, a new password and a new factor end what waits for the attacker alone."""
    folk = Folk(lite)
    who, owner = await begun(folk), victim(folk)
    start = starts.sign_up(owner.ctx, EMAIL, PASSWORD, None, None, None) if way is by_sign_up else None
    await rule(lite)
    started = await (start or starts.recover(owner.ctx, EMAIL, None))
    assert await who.change_password()
    assert await who.add_passkey()
    assert await who.sign_out_elsewhere()
    assert await owner.go_on(started, is_sent=True) is not None
    assert await who.actor() is None


async def test_a_claim_of_a_claimed_address(lite: The) -> None:
    """The second one has to prove it, and so takes it."""
    folk = Folk(lite)
    first, second = await begun(folk), Visitor(folk, EMAIL, "other@example.com", "203.0.113.9")
    assert await second.sign_up() is None
    assert [mail.kind for mail in await letters(folk, EMAIL)] == ["address_claimed", "signup_code"]
    assert await first.actor() is not None
    assert await victim(folk).sign_up() is not None
    assert await first.actor() is None


async def test_the_owner_first(lite: The) -> None:
    """Nothing that an attacker begins afterwards changes anything."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    owner = victim(folk)
    assert await owner.sign_up() is not None
    for proved in (False, True):
        if proved:
            assert await confirmed(owner)
        who = attacker(folk)
        assert await who.sign_up() is None
        assert await who.recover() is None
        assert await who.sign_in() is None
        assert await owner.actor() is not None
    kinds = [mail.kind for mail in await letters(folk, EMAIL)]
    assert kinds.count("signup_code") == kinds.count("signup_known") == 1


# -- mails -------------------------------------------------------------------------------------------


async def test_nobody_floods_the_mailbox_of_somebody_else(lite: The) -> None:
    folk = Folk(lite)
    who = await begun(folk)
    for _ in range(4):
        assert await who.add_passkey()
        assert await who.change_password()
    about = [mail.kind for mail in await letters(folk, EMAIL) if mail.kind in ("factor_added", "password_changed")]
    assert len(about) == 5
    assert "mail:held" in await lite.events()


async def test_unproved_is_not_passed_on(lite: The) -> None:
    """The row in the pending sign-in says who began it; the carrier of a session that goes on is the one that acts."""
    folk = Folk(lite)
    who = await begun(folk)
    assert [row["ended_at"] for row in await lite.rows(carrier)] == [None]
    await victim(folk).sign_up()
    live = [row for row in await lite.rows(carrier) if row["ended_at"] is None]
    assert len(live) == 1
    assert [row for row in await lite.rows(sign_in) if row["finished_at"] is None] == []
    assert await who.actor() is None


async def test_whoever_turns_mailed_codes_on_has_proved_the_address(the: The) -> None:
    """In a session of theirs: it stays, with the factor that opened it, and whatever somebody else has there ends."""
    folk = Folk(the)
    mailed: dict[str, Any] = {"second_among": ["totp", "recovery_code", "email_code"]}
    await rule(the, **LATER, **mailed, mailed_second_factor="enrolled")
    who, other = victim(folk), victim(folk)
    assert await who.sign_up() is not None
    other.passwords = [*who.passwords]
    assert await other.sign_in() is not None
    assert await other.make_codes()
    mine = folk.acting(await _actor(who))
    await enrolment.offer(mine, "email_code")
    await enrolment.prove(mine, "email_code", await folk.code())
    assert (await row_of(the))["email_verified_at"] is not None
    assert (await other.actor(), await who.actor() is None) == (None, False)
    assert {row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None} == {
        "password",
        "email_code",
    }
    [facts] = await facts_of(the, "account:address:proved")
    assert {**facts, "request_id": ""} == {"ended": ["recovery_code"], "sessions": 1, "roles": [], "request_id": ""}
