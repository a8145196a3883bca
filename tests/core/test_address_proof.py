"""An account whose address nobody has proved: how one comes about, that it stops nobody who reads the address's mail,
and that everything which was set up before the first proof ends with it, whoever had set it up.

Not here: the same over HTTP (`tests/web/test_contract_address_proof`), at the same moment in two processes
(`tests/races/test_address_proof`), and in any order (`tests/strangers/test_thief_and_owner`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from passgate.core import (
    access,
    account,
    address,
    enrolment,
    invitations,
    known,
    people,
    sessions,
    signin,
    starts,
    tokens,
    user_changes,
    users,
)
from passgate.core.ctx import Ctx, Operator
from passgate.core.ctx import Person as Actor
from passgate.core.policy import Enough, Need
from passgate.core.starts import Started
from passgate.errors import PassgateError, Refusal
from passgate.store.tables import audit_event, carrier, credential, person, role_grant, session, sign_in, ticket
from tests import operating
from tests.core.behind import Folk
from tests.core.visitor import Visitor, letters
from tests.kit import PASSWORD, The
from tests.web.browsing import rule

EMAIL = "victim@example.com"
LATER: dict[str, Any] = {"address_proof": "later", "usernames": "optional", "remember_days": 30}


def attacker(folk: Folk, email: str = EMAIL) -> Visitor:
    return Visitor(folk, email, "attacker@example.com", "203.0.113.66")


def victim(folk: Folk, email: str = EMAIL) -> Visitor:
    return Visitor(folk, email, email, "198.51.100.1")


async def row_of(the: The, email: str = EMAIL) -> dict[str, Any]:
    [found] = [row for row in await the.rows(person) if row["email"] == email]
    return found


async def roles_of(the: The, email: str = EMAIL) -> list[str]:
    mine = (await row_of(the, email))["id"]
    return sorted(row["role"] for row in await the.rows(role_grant) if row["person_id"] == mine)


async def facts_of(the: The, event: str) -> list[dict[str, Any]]:
    return [json.loads(row["facts"]) for row in await the.rows(audit_event) if row["event"] == event]


async def begun(folk: Folk) -> Visitor:
    """Somebody who has signed up with an address of somebody else."""
    await rule(folk.the, **LATER)
    who = attacker(folk)
    assert await who.sign_up() is not None
    return who


# -- how one comes about -----------------------------------------------------------------------------


async def test_a_session_before_the_proof(lite: The) -> None:
    folk = Folk(lite)
    who = await begun(folk)
    found = await row_of(lite)
    assert found["email_verified_at"] is None
    assert found["claimed_at"] is not None
    assert await roles_of(lite) == ["user"]
    acting = await who.actor()
    assert acting is not None
    assert (acting.amr, acting.row["email_verified_at"]) == (("pwd",), None)
    assert [mail.kind for mail in await letters(folk, EMAIL)] == ["address_claimed"]
    assert await who.sign_in() is not None


async def test_with_a_passkey(lite: The) -> None:
    await rule(lite, address_proof="later", first=["passkey", "password"])
    who = attacker(Folk(lite))
    assert await who.sign_up(by_passkey=True) is not None
    assert (await row_of(lite))["email_verified_at"] is None
    assert [row["kind"] for row in await lite.rows(credential)] == ["passkey"]
    assert await who.sign_in() is not None


async def test_the_default_asks_first(lite: The) -> None:
    who = attacker(Folk(lite))
    assert await who.sign_up() is None
    assert await lite.rows(person) == []


async def test_the_rules_of_the_moment_count(lite: The) -> None:
    """Of a sign-up that began under other rules: it may not end without the proof, and it may ask for it."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = victim(folk)
    started = await starts.sign_up(who.ctx, EMAIL, PASSWORD, None, None, None)
    assert isinstance(started.decision, Enough)
    await rule(lite)
    with pytest.raises(Refusal) as refused:
        await signin.finish(who.ctx, started.handle, carrier="bearer")
    assert refused.value.code == "proof_missing"
    assert await lite.rows(person) == []
    asked = Started(started.handle, Need((("email_code",),)), started.expires_at)
    assert await who.go_on(asked) is not None
    assert (await row_of(lite))["email_verified_at"] is not None


async def test_begun_before_the_rules_said_later(lite: The) -> None:
    who = victim(Folk(lite))
    started = await starts.sign_up(who.ctx, EMAIL, PASSWORD, None, None, None)
    await rule(lite, **LATER)
    with pytest.raises(Refusal):
        await signin.finish(who.ctx, started.handle, carrier="bearer")
    assert await who.go_on(started, is_sent=True) is not None


async def test_with_a_second_factor_for_everybody_the_address_comes_first(lite: The) -> None:
    await rule(lite, **LATER, second="always", second_among=["totp"])
    folk = Folk(lite)
    assert await attacker(folk).sign_up() is None
    assert await lite.rows(person) == []
    assert await victim(folk).sign_up() is not None
    assert (await row_of(lite))["email_verified_at"] is not None


# -- it stops nobody ---------------------------------------------------------------------------------


@dataclass
class Hold:
    """What an attacker has of the account before its owner comes."""

    folk: Folk
    who: Visitor
    tries: list[Callable[[], Awaitable[Any]]] = field(default_factory=list)
    """Each must be refused afterwards, and does something before."""

    async def left(self) -> list[int]:
        """The numbers of the tries that still do something."""
        found = []
        for number, one in enumerate(self.tries):
            try:
                if await one():
                    found.append(number)
            except PassgateError:
                pass
        return found


async def _acting(hold: Hold) -> Ctx:
    acting = await hold.who.acting()
    assert acting is not None
    return hold.who.ctx.acting(acting)


async def a_password(hold: Hold) -> None:
    hold.tries.append(hold.who.sign_in)


async def a_session(hold: Hold) -> None:
    token = hold.who.tokens[-1]
    hold.tries.append(lambda: sessions.find(hold.who.ctx, token))


async def a_passkey(hold: Hold) -> None:
    assert await hold.who.add_passkey()
    other = replace(hold.who, passwords=[])
    hold.tries.append(other.sign_in)


async def an_app(hold: Hold) -> None:
    assert await hold.who.add_app()


async def backup_codes(hold: Hold) -> None:
    assert await hold.who.add_app()
    assert await hold.who.make_codes()


async def a_refresh_token(hold: Hold) -> None:
    started = await starts.sign_in(hold.who.ctx, EMAIL, None)
    await signin.prove(hold.who.ctx, started.handle, "password", hold.who.passwords[-1])
    done = await signin.finish(hold.who.ctx, started.handle, carrier="jwt")
    assert done.pair is not None
    pair = done.pair
    hold.tries.append(lambda: tokens.refresh(hold.who.ctx, pair.refresh_token))
    hold.tries.append(lambda: tokens.find(hold.who.ctx, pair.access_token))


async def browsers(hold: Hold) -> None:
    """One that is remembered and skips the app, and that the budgets know."""
    assert await hold.who.add_app()
    ctx = hold.who.ctx
    started = await starts.sign_in(ctx, EMAIL, None)
    await signin.prove(ctx, started.handle, "password", hold.who.passwords[-1])
    await signin.prove(ctx, started.handle, "totp", hold.who.app_code(hold.who.apps[-1]))
    done = await signin.finish(ctx, started.handle, carrier="cookie", remember=True)
    assert done.browser
    assert done.known
    here, tenant = replace(ctx, origin=replace(ctx.origin, known=done.known)), await hold.folk.tenant()

    async def skips() -> bool:
        again = await starts.sign_in(ctx, EMAIL, None, browser=done.browser)
        decision = await signin.prove(ctx, again.handle, "password", hold.who.passwords[-1])
        return isinstance(decision, Enough)

    async def is_known() -> bool:
        async with here.read() as db:
            return await known.entry(here, db, tenant.id, identifier_key=EMAIL) is not None

    hold.tries.extend((skips, is_known))


async def a_sign_in_half_way(hold: Hold) -> None:
    """Everything is proved, and it was not finished yet; and a step-up."""
    started = await starts.sign_in(hold.who.ctx, EMAIL, None)
    await signin.prove(hold.who.ctx, started.handle, "password", hold.who.passwords[-1])
    stepping = await starts.step_up(await _acting(hold), None)
    assert isinstance(stepping.decision, Need)
    await signin.prove(hold.who.ctx, stepping.handle, "password", hold.who.passwords[-1])
    for handle in (started.handle, stepping.handle):
        hold.tries.append(lambda handle=handle: signin.finish(hold.who.ctx, handle, carrier="bearer"))  # type: ignore[misc]


async def a_move(hold: Hold) -> None:
    """The code for another address, the attacker's own, is waiting there."""
    ctx = await _acting(hold)
    await address.start(ctx, hold.who.own)
    code = await hold.who.code("address_code")
    assert code

    async def move() -> bool:
        await address.prove(ctx, code)
        return True

    hold.tries.append(move)


async def a_username(hold: Hold) -> None:
    await account.set_username(await _acting(hold), "victor")

    async def by_name() -> Any:
        started = await starts.sign_in(hold.who.ctx, None, None, username="victor")
        return await hold.who.go_on(started)

    hold.tries.append(by_name)


async def a_link(hold: Hold) -> None:
    """An operator's, made for the attacker."""
    link = await operating.signin_link(hold.folk.ctx, EMAIL, "main", life=86_400)
    hold.tries.append(lambda: starts.by_link(hold.who.ctx, link.url.rpartition("/")[2]))


async def a_changed_password(hold: Hold) -> None:
    """And every mail about it: none has a link to undo it."""
    assert await hold.who.change_password()
    assert [mail.link for mail in await letters(hold.folk, EMAIL) if mail.kind == "password_changed"] == [None]


HOLDS = (
    a_password,
    a_session,
    a_passkey,
    an_app,
    backup_codes,
    a_refresh_token,
    browsers,
    a_sign_in_half_way,
    a_move,
    a_username,
    a_link,
    a_changed_password,
)


async def by_sign_up(folk: Folk, who: Visitor) -> Any:
    return await who.sign_up()


async def by_recovery(folk: Folk, who: Visitor) -> Any:
    return await who.recover()


async def by_mailed_link(folk: Folk, who: Visitor) -> Any:
    await starts.recover(who.ctx, EMAIL, None)
    [mail] = [mail for mail in await letters(folk, EMAIL) if mail.kind == "recovery_code"]
    return await who.go_on(await starts.by_link(who.ctx, str(mail.link).rpartition("/")[2]))


async def by_mailed_code(folk: Folk, who: Visitor) -> Any:
    await rule(folk.the, **LATER, first=["email_code", "password", "passkey"])
    return await who.sign_in()


async def by_invitation(folk: Folk, who: Visitor) -> Any:
    operator = replace(folk.ctx, principal=Operator())
    await invitations.create(operator, EMAIL, ["read_only"])
    [mail] = [mail for mail in await letters(folk, EMAIL) if mail.kind == "invitation"]
    return await who.go_on(await starts.by_invitation(who.ctx, str(mail.link).rpartition("/")[2]))


WAYS = (by_sign_up, by_recovery, by_mailed_link, by_mailed_code, by_invitation)


@pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("held", HOLDS, ids=lambda one: one.__name__)
async def test_whoever_reads_the_mail_takes_it(lite: The, held: Any, way: Any) -> None:
    """And is in; of what was set up before nothing is left."""
    folk = Folk(lite)
    hold = Hold(folk, await begun(folk))
    await a_password(hold)
    await a_session(hold)
    if held not in (a_password, a_session):
        await held(hold)
    before = {row["id"] for row in await lite.rows(credential)}
    owner = victim(folk)
    assert await way(folk, owner) is not None
    assert await hold.left() == []
    found = await row_of(lite)
    assert found["email_verified_at"] is not None
    assert found["claimed_at"] is None
    assert await owner.actor() is not None
    alive = [row["id"] for row in await lite.rows(credential) if row["revoked_at"] is None]
    assert not before & set(alive)
    assert [row["id"] for row in await lite.rows(ticket) if row["kind"] == "undo" and not row["ended_at"]] == []
    lite.clock.forward(600)
    assert await hold.left() == []
    assert await owner.sign_in() is not None or way is by_mailed_code
