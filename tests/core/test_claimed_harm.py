"""What a claim of an address does not do to the owner of the mailbox: no invitation ends, no mailbox is flooded, no
claim goes unmentioned, and neither locks nor refused guesses are passed on or forgotten.

Not here: what ends with the first proof (`test_address_proof`) and what stays (`test_claimed`).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from passgate.core import account, invitations, known, signin, signup, starts, user_changes
from passgate.core.ctx import Ctx, Operator
from passgate.core.starts import Started
from passgate.store.tables import person
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.claiming import EMAIL, LATER, attacker, begun, roles_of, row_of, victim
from tests.core.visitor import Visitor, letters
from tests.kit import The
from tests.web.browsing import rule

OWN = "some umbrellas sang loudly"


def operator(folk: Folk) -> Ctx:
    return replace(folk.ctx, principal=Operator())


async def mailed(folk: Folk, email: str = EMAIL) -> Counter[str]:
    return Counter(mail.kind for mail in await letters(folk, email))


# -- invitations -------------------------------------------------------------------------------------


async def invited(folk: Folk) -> str:
    await invitations.create(operator(folk), EMAIL, ["read_only"])
    [*_, mail] = [mail for mail in await letters(folk, EMAIL) if mail.kind == "invitation"]
    return str(mail.link).rpartition("/")[2]


async def test_whoever_claims_and_deletes_ends_no_invitation(lite: The) -> None:
    folk = Folk(lite)
    token = await invited(folk)
    who, owner = await begun(folk), victim(folk)
    assert await who.delete()
    assert await lite.rows(person) == []
    assert await owner.go_on(await starts.by_invitation(owner.ctx, token)) is not None
    assert await roles_of(lite) == ["read_only"]


async def test_whoever_has_proved_the_address_takes_theirs_along(lite: The) -> None:
    """What is erased with an account is also what waits for its address."""
    folk = Folk(lite)
    owner = victim(folk)
    assert await owner.sign_up() is not None
    await invited(folk)
    assert await owner.delete()
    assert await invitations.everything(operator(folk)) == []


async def by_password(owner: Visitor, started: Started) -> None:
    await signin.prove(owner.ctx, started.handle, "password", OWN)


async def by_passkey(owner: Visitor, started: Started) -> None:
    options, key = await signin.challenge(owner.ctx, started.handle, "passkey"), Authenticator()
    await signin.prove(owner.ctx, started.handle, "passkey", key.create(options, owner.ctx.settings.url))


@pytest.mark.parametrize("set_up", [by_password, by_passkey], ids=lambda one: one.__name__)
async def test_an_id_that_an_account_had_never_returns(lite: The, set_up: Any) -> None:
    """The account that an invitation would have taken over is erased meanwhile, and its browsers stay strangers."""
    folk = Folk(lite)
    await rule(lite, **LATER, first=["passkey", "password"])
    who, owner = attacker(folk), victim(folk)
    started = await starts.sign_up(who.ctx, EMAIL, OWN, None, None, None)
    done = await signin.finish(who.ctx, started.handle, carrier="cookie")
    before = (await row_of(lite))["id"]
    opened = await starts.by_invitation(owner.ctx, await invited(folk))
    who.tokens, who.passwords = [done.opened.token], [OWN]
    assert await who.delete()
    await set_up(owner, opened)
    await signin.finish(owner.ctx, opened.handle, carrier="bearer")
    assert (await row_of(lite))["id"] != before
    here, tenant = replace(who.ctx, origin=replace(who.ctx.origin, known=done.known)), await folk.tenant()
    async with here.read() as db:
        assert await known.entry(here, db, tenant.id, identifier_key=EMAIL) is None


@pytest.mark.parametrize("set_up", [by_password, by_passkey], ids=lambda one: one.__name__)
async def test_a_claim_after_the_invitation_was_opened(lite: The, set_up: Any) -> None:
    folk = Folk(lite)
    await rule(lite, **LATER, first=["passkey", "password"])
    owner, who = victim(folk), attacker(folk)
    opened = await starts.by_invitation(owner.ctx, await invited(folk))
    started = await starts.sign_up(who.ctx, EMAIL, OWN, None, None, None)
    who.tokens = [(await signin.finish(who.ctx, started.handle, carrier="bearer")).opened.token]
    claimed = (await row_of(lite))["id"]
    await set_up(owner, opened)
    await signin.finish(owner.ctx, opened.handle, carrier="bearer")
    assert (await row_of(lite))["id"] == claimed
    assert await who.actor() is None


async def test_an_invitation_leaves_the_profile_that_an_admin_has_set(lite: The) -> None:
    """It brings none of its own. One that came with a claimed address is a stranger's."""
    folk = Folk(lite)
    await user_changes.create(operator(folk), EMAIL, secret=None, profile={"name": "Vic"}, roles=["user"])
    owner = victim(folk)
    assert await owner.go_on(await starts.by_invitation(owner.ctx, await invited(folk))) is not None
    assert json.loads((await row_of(lite))["profile"]) == {"name": "Vic"}


async def test_an_invitation_leaves_no_profile_of_a_stranger(lite: The) -> None:
    folk = Folk(lite)
    who, owner = await begun(folk), victim(folk)
    actor = await who.actor()
    assert actor is not None
    await account.set_profile(who.ctx.acting(actor), {"name": "Eve"})
    assert await owner.go_on(await starts.by_invitation(owner.ctx, await invited(folk))) is not None
    assert json.loads((await row_of(lite))["profile"]) == {}


async def test_an_account_that_came_after_the_locks_is_not_taken_in_that_transaction(lite: The) -> None:
    """It would be locked after the tenant, against the order of locks. The answer counts when it is given again."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who, owner = attacker(folk), victim(folk)
    opened = await starts.by_invitation(owner.ctx, await invited(folk))
    pending_one = await signin.find(owner.ctx, opened.handle)
    async with owner.ctx.read() as db:
        nobody = await signup.keys_of_taken(db, pending_one)
    assert await who.sign_up() is not None
    async with owner.ctx.write() as db:
        assert await signup.create(owner.ctx, db, pending_one, nobody) is None
    assert (await row_of(lite))["email_verified_at"] is None
    assert await owner.go_on(opened) is not None
    assert await who.actor() is None
