"""The first proof of an address as the person themselves gives it: in a session of theirs, by whatever it asks for, and
with what goes on beside it.

Not here: what ends for somebody else (`test_address_proof`), and what stays then (`test_claimed`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from passgate.core import address, credentials, enrolment, invitations, signin, starts, user_changes, users
from passgate.core.ctx import Ctx, Operator
from passgate.core.policy import Enough, Need
from passgate.core.rules import AAL1
from passgate.core.users import User
from passgate.errors import InvitationInvalid, StepUpNeeded
from passgate.store.tables import credential, person, ticket
from tests import operating
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.claiming import EMAIL, LATER, facts_of, roles_of, row_of, victim
from tests.core.visitor import Visitor, letters
from tests.kit import PASSWORD, The
from tests.web.browsing import rule


async def live(the: The) -> list[str]:
    """The kinds of everybody's live credentials."""
    return sorted(row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None)


async def acting(who: Visitor) -> Ctx:
    found = await who.actor()
    assert found is not None
    return who.ctx.acting(found)


async def prepared(folk: Folk, role: str = "user") -> Visitor:
    """Whose account an admin has set up, with a password that the admin knows."""
    operator = replace(folk.ctx, principal=Operator())
    await user_changes.create(operator, EMAIL, secret=PASSWORD, profile=None, roles=[role])
    who = victim(folk)
    who.passwords = [PASSWORD]
    return who


# -- by a step-up ------------------------------------------------------------------------------------


@pytest.mark.parametrize("floor", [None, AAL1])
async def test_whoever_has_an_app_keeps_it(lite: The, floor: str | None) -> None:
    """It is asked for before the address is, even by a step-up to a lower level."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = victim(folk)
    assert await who.sign_up() is not None
    assert await who.add_app()
    assert await who.go_on(await starts.step_up(await acting(who), floor, address=True)) is not None
    assert await live(lite) == ["password", "totp"]
    assert (await row_of(lite))["email_verified_at"] is not None
    assert await who.sign_in() is not None


async def test_whoever_has_a_passkey_keeps_it(lite: The) -> None:
    folk = Folk(lite)
    await rule(lite, **LATER, first=["password", "passkey"])
    who = victim(folk)
    assert await who.sign_up() is not None
    assert await who.add_passkey()
    assert await who.confirm_address()
    assert await live(lite) == ["passkey", "password"]


async def test_the_mailed_code_is_no_first_factor_there(lite: The) -> None:
    """It would end the password that is not asked for beside it."""
    folk = Folk(lite)
    await rule(lite, **LATER, first=["email_code", "password"])
    who = victim(folk)
    assert await who.sign_up() is not None
    started = await starts.step_up(await acting(who), None, address=True)
    assert started.decision == Need((("password",),), "own_first_factor")
    assert await who.go_on(started) is not None
    assert await live(lite) == ["password"]


# -- a sign-up by mailed codes alone -----------------------------------------------------------------


async def test_where_a_mailed_code_is_the_only_way_in(lite: The) -> None:
    """There is nothing to set up, so `later` asks for the code as `first` does."""
    folk = Folk(lite)
    await rule(lite, **LATER, first=["email_code"])
    who = victim(folk)
    started = await starts.sign_up(who.ctx, EMAIL, None, None, None, None)
    assert started.decision == Need((("email_code",),), "way_in_set_up")
    assert await lite.rows(person) == []
    assert isinstance(await signin.prove(who.ctx, started.handle, "email_code", await who.code() or ""), Enough)
    await signin.finish(who.ctx, started.handle, carrier="bearer")
    assert (await row_of(lite))["email_verified_at"] is not None
    assert await who.sign_in() is not None


# -- another spelling --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_proved", [True, False])
async def test_an_admin_writes_the_address_in_another_way(lite: The, is_proved: bool) -> None:
    """It is the same address: what was proved stays proved, nothing that runs ends, and nothing is mailed."""
    folk = Folk(lite)
    await rule(lite)
    if is_proved:
        await folk.create(EMAIL)
    else:
        await prepared(folk)
    who = victim(folk)
    who.passwords = [PASSWORD]
    started = await starts.sign_in(who.ctx, EMAIL, None)
    await signin.prove(who.ctx, started.handle, "password", PASSWORD)
    await starts.recover(who.ctx, EMAIL, None)
    before, mails, tickets = await row_of(lite), await letters(folk, EMAIL), await lite.rows(ticket)
    change = user_changes.Change(email="Victim@example.com")
    await user_changes.change(replace(folk.ctx, principal=Operator()), before["id"], change)
    after = await row_of(lite, "Victim@example.com")
    assert after == {**before, "email": "Victim@example.com", "updated_at": after["updated_at"]}
    assert (await letters(folk, EMAIL), await letters(folk, "Victim@example.com")) == (mails, [])
    assert await lite.rows(ticket) == tickets
    assert len(await facts_of(lite, "account:address:changed")) == 1
    assert await signin.finish(who.ctx, started.handle, carrier="bearer") is not None


# -- by the link in a mail ---------------------------------------------------------------------------


@pytest.mark.parametrize("by_admin", [False, True])
async def test_a_link_ends_no_password_that_is_asked_for_next(lite: The, by_admin: bool) -> None:
    """Mailed codes are no first factor there. Whoever proves the password after the link keeps it, or replaces the one
    that an admin knows."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    if by_admin:
        who = await prepared(folk)
    else:
        who = victim(folk)
        assert await who.sign_up() is not None
    await rule(lite, **LATER, second_among=["totp", "email_code"])
    started = await starts.sign_in(who.ctx, EMAIL, None)
    await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
    await signin.challenge(who.ctx, started.handle, "email_code")
    [mail] = [mail for mail in await letters(folk, EMAIL) if mail.kind == "signin_code"]
    opened = await starts.by_link(who.ctx, str(mail.link).rpartition("/")[2])
    assert (await row_of(lite))["email_verified_at"] is None
    assert await live(lite) == ["password"]
    assert await who.go_on(opened) is not None
    assert (await row_of(lite))["email_verified_at"] is not None
    assert await live(lite) == ["password"]
    assert (who.passwords[-1] != PASSWORD, len(who.passwords)) == (True, 2 if by_admin else 1)
    assert await who.sign_in() is not None


# -- in a session ------------------------------------------------------------------------------------

MAILED: dict[str, Any] = {
    "second_among": ["totp", "recovery_code", "email_code"],
    "mailed_second_factor": "enrolled",
}


async def turn_on(who: Visitor) -> None:
    """Turn mailed codes on."""
    mine = await acting(who)
    await enrolment.offer(mine, "email_code")
    await enrolment.prove(mine, "email_code", await who.code("factor_code") or "")


async def move(who: Visitor) -> None:
    mine = await acting(who)
    await address.start(mine, "new@example.com")
    who.mailboxes.append("new@example.com")
    await address.prove(mine, await who.code("address_code") or "")


@pytest.mark.parametrize("act", [turn_on, move], ids=lambda one: one.__name__)
async def test_nobody_loses_their_only_way_in(the: The, act: Any) -> None:
    """An admin knows the password, so it would end. A step-up that confirms the address replaces it first."""
    folk = Folk(the)
    await rule(the, **MAILED)
    who = await prepared(folk)
    assert await who.sign_in() is not None
    with pytest.raises(StepUpNeeded) as needed:
        await act(who)
    assert needed.value.extra() == {"step_up": {"address": True}}
    assert await live(the) == ["password"]
    assert [mail.kind for mail in await letters(folk, EMAIL)] == []
    assert await who.confirm_address()
    await act(who)
    who.email = "new@example.com" if act is move else EMAIL
    assert await who.sign_in() is not None


@pytest.mark.parametrize("act", [turn_on, move], ids=lambda one: one.__name__)
async def test_of_two_passkeys_a_session_does_not_show_which(lite: The, act: Any) -> None:
    folk = Folk(lite)
    await rule(lite, **LATER, **MAILED, first=["passkey", "password"])
    who = victim(folk)
    assert await who.sign_up(by_passkey=True) is not None
    assert await who.add_passkey()
    with pytest.raises(StepUpNeeded):
        await act(who)
    assert await live(lite) == ["passkey", "passkey"]
    assert await who.confirm_address()
    assert await live(lite) == ["passkey"]
    assert await who.sign_in() is not None


async def test_a_passkey_that_came_instead_was_not_used(lite: The) -> None:
    """Somebody else in the account has removed the one that the session began with."""
    folk = Folk(lite)
    await rule(lite, **LATER, first=["passkey", "password"])
    who = victim(folk)
    assert await who.sign_up(by_passkey=True) is not None
    [mine] = [row["id"] for row in await lite.rows(credential)]
    other = await folk.strong(await folk.actor_of(who.tokens[-1]))
    await folk.add_passkey(other, Authenticator())
    await enrolment.remove(folk.acting(other), "passkey", mine)
    with pytest.raises(StepUpNeeded):
        await move(who)


@pytest.mark.parametrize("by", [Visitor.confirm_address, move], ids=["step_up", "move"])
async def test_whoever_loses_something_is_notified(lite: The, by: Any) -> None:
    """Backup codes always end, and the session goes on."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = victim(folk)
    assert await who.sign_up() is not None
    assert await who.make_codes()
    await by(who)
    assert await live(lite) == ["password"]
    to = "new@example.com" if by is move else EMAIL
    assert [mail.kind for mail in await letters(folk, to)].count("factor_removed") == 1


async def test_that_mailed_codes_are_turned_on_keeps_no_roles(lite: The) -> None:
    """Nothing else stays here: the session was begun with another password than there is now."""
    folk = Folk(lite)
    await folk.create("owner@example.com", "owner")
    await rule(lite, **LATER, **MAILED, first=["password", "email_code"])
    who = victim(folk)
    assert await who.sign_up() is not None
    assert await who.change_password()
    await operating.give_role(folk.ctx, EMAIL, "admin", "main")
    await turn_on(who)
    [found] = [row for row in await lite.rows(credential) if row["kind"] == "email_code"]
    mine = [row for row in await lite.rows(credential) if row["person_id"] == found["person_id"]]
    assert [row["kind"] for row in mine if row["revoked_at"] is None] == ["email_code"]
    assert await roles_of(lite) == ["user"]
    assert [mail.kind for mail in await letters(folk, "owner@example.com")] == ["roles_ended"]


async def test_it_stays_turned_on_while_something_stays(lite: The) -> None:
    """It only asks for more."""
    folk = Folk(lite)
    await rule(lite, **LATER, **MAILED)
    who = victim(folk)
    assert await who.sign_up() is not None
    found = await row_of(lite)
    async with folk.ctx.write() as db:
        await credentials.add(folk.ctx, db, found["tenant_id"], found["id"], "email_code")
    assert await who.confirm_address()
    assert await live(lite) == ["email_code", "password"]


# -- a password that somebody else has set -----------------------------------------------------------


async def test_it_stays_theirs_when_it_is_changed_with_nothing_else(lite: The) -> None:
    """The admin who has set it may have changed it as well."""
    folk = Folk(lite)
    await rule(lite)
    insider = replace(await prepared(folk), own="admin@example.com")
    assert await insider.sign_in() is not None
    assert await insider.change_password()
    owner = victim(folk)
    owner.passwords = [insider.passwords[-1]]
    assert await owner.sign_in() is not None
    assert await owner.confirm_address()
    assert await insider.sign_in() is None
    assert await insider.actor() is None
    assert await owner.sign_in() is not None


async def test_it_is_the_persons_own_where_something_else_vouches(lite: The) -> None:
    """An app that they had proved beside it."""
    folk = Folk(lite)
    await rule(lite)
    who = await prepared(folk)
    assert await who.sign_in() is not None
    assert await who.add_app()
    who.tokens.clear()
    assert await who.sign_in() is not None
    assert await who.change_password()
    mine = who.passwords[-1]
    assert await who.confirm_address()
    assert (who.passwords[-1], await live(lite)) == (mine, ["password", "totp"])


@pytest.mark.parametrize("is_proved", [True, False])
async def test_of_ones_own_account_a_new_password_is_ones_own(lite: The, is_proved: bool) -> None:
    """Whoever signed up, and whoever has proved the address, of which an admin has reset the password."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = victim(folk)
    if is_proved:
        person_id = (await folk.create(EMAIL)).person_id
        operator = replace(folk.ctx, principal=Operator())
        await user_changes.change(operator, person_id, user_changes.Change(password="many umbrellas sing so loud"))
        who.passwords = ["many umbrellas sing so loud"]
        assert await who.sign_in() is not None
    else:
        assert await who.sign_up() is not None
    assert await who.change_password()
    assert [json.loads(row["data"]) for row in await lite.rows(credential) if row["revoked_at"] is None] == [{}]


# -- what the account has given to others ------------------------------------------------------------


@dataclass
class Given:
    """What an insider has made with an admin's account whose password they know: an invitation for themselves, a
    sign-in link of a user, and the first of two approvals of one of another admin."""

    insider: Visitor
    invitation: str
    user: User
    equal: User


async def gave(folk: Folk) -> Given:
    await rule(folk.the)
    user, equal = await folk.create("user@example.com"), await folk.create("equal@example.com", "admin")
    insider = await prepared(folk, "admin")
    assert await insider.sign_in() is not None
    mine = await acting(insider)
    await invitations.create(mine, "insider@example.net", ["admin"])
    [mail] = await letters(folk, "insider@example.net")
    given = Given(insider, str(mail.link).rpartition("/")[2], User(*user.key), User(*equal.key))
    assert await users.signin_link(mine, given.user) is not None
    assert await users.signin_link(mine, given.equal) is None
    assert await users.reset_factors(mine, given.equal) is None
    return given


def waiting(rows: list[dict[str, Any]]) -> list[str]:
    kinds = ("invitation", "link", "link_asked", "reset_asked")
    return sorted(row["kind"] for row in rows if row["kind"] in kinds and row["ended_at"] is None)


async def test_it_ends_if_nothing_stays(the: The) -> None:
    folk = Folk(the)
    given = await gave(folk)
    assert waiting(await the.rows(ticket)) == ["invitation", "link", "link_asked", "reset_asked"]
    assert await victim(folk).recover() is not None
    assert waiting(await the.rows(ticket)) == []
    with pytest.raises(InvitationInvalid):
        await starts.by_invitation(folk.elsewhere, given.invitation)
    [facts] = await facts_of(the, "invitation:cancelled")
    assert facts["reason"] == "address_proved"
    other = await folk.create("other@example.com", "admin")
    assert await users.signin_link(folk.acting(other), given.equal) is None, "the first of two again"


async def test_it_stays_with_whoever_proves_a_factor_too(lite: The) -> None:
    folk = Folk(lite)
    given = await gave(folk)
    assert await given.insider.add_passkey()
    given.insider.passwords.clear()
    assert await given.insider.confirm_address()
    assert "invitation" in waiting(await lite.rows(ticket))
