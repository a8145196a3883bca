"""What a claim of an address does not do to the owner of the mailbox: no invitation ends, no mailbox is flooded, no
claim goes unmentioned, and neither locks nor refused guesses are passed on or forgotten.

Not here: what ends with the first proof (`test_address_proof`) and what stays (`test_claimed`).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from passgate.core import (
    account,
    address,
    binding,
    budgets,
    enrolment,
    invitations,
    known,
    signin,
    signup,
    starts,
    throttle,
    tokens,
    user_changes,
)
from passgate.core.ctx import Ctx, Operator, Origin
from passgate.core.policy import Need
from passgate.core.starts import Started
from passgate.errors import PassgateError, ProofMissing, Refusal, Throttled
from passgate.store.tables import credential, person
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.claiming import AT_ONCE, EMAIL, LATER, attacker, begun, roles_of, row_of, victim
from tests.core.visitor import Visitor, letters
from tests.kit import The, running, settings_for
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
    here, tenant = replace(who.ctx, origin=replace(who.ctx.origin, known=str(done.known))), await folk.tenant()
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


# -- mails -------------------------------------------------------------------------------------------

LIMIT = budgets.MAILS_AN_HOUR_OF_OWNERS


async def _me(who: Visitor) -> Ctx:
    actor = await who.actor()
    assert actor is not None
    return who.ctx.acting(actor)


async def displays_the_app(who: Visitor) -> str:
    assert await who.add_app()
    mine = await _me(who)
    for _ in range(2 * LIMIT):
        await enrolment.totp_again(mine)
    return "factor_displayed"


async def presents_refresh_tokens_twice(who: Visitor) -> str:
    for _ in range(2 * LIMIT):
        started = await starts.sign_in(who.ctx, EMAIL, None)
        await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
        done = await signin.finish(who.ctx, started.handle, carrier="jwt")
        assert done.pair is not None
        await tokens.refresh(who.ctx, done.pair.refresh_token)
        with pytest.raises(PassgateError):
            await tokens.refresh(who.ctx, done.pair.refresh_token)
    return "refresh_reused"


async def changes_the_browser(who: Visitor) -> str:
    for _ in range(2 * LIMIT):
        assert await who.sign_in() is not None
        actor = await who.actor()
        assert actor is not None
        with pytest.raises(PassgateError):
            await binding.checked(replace(who.ctx, origin=Origin(who.ip, "Other", "OS")), actor)
    return "client_changed"


async def turns_a_counter_back(who: Visitor) -> str:
    assert await who.add_passkey()
    key = who.keys[-1]
    for turn in range(2 * LIMIT + 1):
        started = await starts.sign_in(who.ctx, EMAIL, None)
        options = await signin.challenge(who.ctx, started.handle, "passkey")
        for one in key.credentials:
            one.counter = 1 if turn else 50
        with suppress(Refusal):
            await signin.prove(who.ctx, started.handle, "passkey", key.get(options, who.ctx.settings.url))
    return "passkey_counter"


async def turns_mailed_codes_on_and_off(who: Visitor) -> str:
    """With a set of backup codes each time, which is only mailed. As often as a person may."""
    await rule(who.folk.the, **AT_ONCE)
    mine = await _me(who)
    for _ in range(LIMIT):
        await enrolment.offer(mine, "email_code")
        with suppress(Throttled):
            await enrolment.recovery_codes(mine)
        await enrolment.remove(mine, "email_code")
    return "recovery_codes"


@pytest.mark.parametrize(
    "flood",
    [
        displays_the_app,
        presents_refresh_tokens_twice,
        changes_the_browser,
        turns_a_counter_back,
        turns_mailed_codes_on_and_off,
    ],
    ids=lambda one: one.__name__,
)
async def test_whoever_has_a_claimed_account_floods_no_mailbox(lite: The, flood: Any) -> None:
    folk = Folk(lite)
    rules: dict[str, Any] = {"totp_shown_again": True, "on_client_change": "end", "first": ["password", "passkey"]}
    await rule(lite, **{**LATER, **rules})
    who = attacker(folk)
    assert await who.sign_up() is not None
    kind = await flood(who)
    sent = await mailed(folk)
    assert 0 < sent[kind] <= LIMIT
    assert sent.total() == LIMIT + 1, "and the one that says that there is an account"
    assert "mail:held" in await lite.events()


async def test_nor_by_leaving_the_address_again_and_again(lite: The) -> None:
    """The mail goes to an address that the account does not have any more."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    for number in range(LIMIT + 3):
        who = Visitor(folk, EMAIL, f"attacker{number}@example.com", f"203.0.113.{number}")
        await who.sign_up()
        if await who.actor() is not None:
            assert await who.change_address()
        if number == 2:
            lite.clock.forward(1800)
    assert 0 < (await mailed(folk))["address_changed"] <= LIMIT


async def test_an_admin_who_moves_accounts_through_a_mailbox(lite: The) -> None:
    folk = Folk(lite)
    for number in range(2 * LIMIT):
        made = await user_changes.create(operator(folk), EMAIL, secret=None, profile=None, roles=["user"])
        change = user_changes.Change(email=f"other{number}@example.com")
        await user_changes.change(operator(folk), made["id"], change)
    assert (await mailed(folk))["address_changed"] == LIMIT


async def test_a_proved_address_hears_of_everything(lite: The) -> None:
    folk = Folk(lite)
    await rule(lite, totp_shown_again=True)
    who = victim(folk)
    assert await who.sign_up() is not None
    await displays_the_app(who)
    assert (await mailed(folk))["factor_displayed"] == 2 * LIMIT


# -- no claim goes unmentioned -----------------------------------------------------------------------


async def by_the_address(folk: Folk, who: Visitor) -> None:
    """A stranger's mails of an hour."""
    for _ in range(folk.ctx.settings.mail.per_hour):
        await starts.recover(who.ctx, EMAIL, None)


async def by_the_network(folk: Folk, who: Visitor) -> None:
    for number in range(folk.ctx.settings.limit.stranger_mails):
        await starts.recover(who.ctx, f"nobody{number}@example.net", None)


@pytest.mark.parametrize("use_up", [by_the_address, by_the_network], ids=lambda one: one.__name__)
@pytest.mark.parametrize("by_passkey", [False, True])
async def test_without_a_mail_to_its_reader_there_is_no_claim(lite: The, use_up: Any, by_passkey: bool) -> None:
    """The sign-up goes on as one that proves its address first, and that gets no more mails either."""
    folk = Folk(lite)
    await rule(lite, **LATER, first=["passkey", "password"])
    who = attacker(folk)
    await use_up(folk, who)
    before = await mailed(folk)
    assert await who.sign_up(by_passkey=by_passkey) is None
    assert await lite.rows(person) == []
    assert await mailed(folk) == before
    assert "mail:held" in await lite.events()
    lite.clock.forward(3601)
    assert await who.sign_up(by_passkey=by_passkey) is not None
    assert (await mailed(folk))["address_claimed"] == 1


async def test_it_goes_on_with_a_code_once_there_are_mails_again(lite: The) -> None:
    folk = Folk(lite)
    await rule(lite, **LATER)
    owner = victim(folk)
    await by_the_address(folk, attacker(folk))
    lite.clock.forward(3500)
    started = await starts.sign_up(owner.ctx, EMAIL, OWN, None, None, None)
    with pytest.raises(ProofMissing) as refused:
        await signin.finish(owner.ctx, started.handle, carrier="bearer")
    assert refused.value.need == [["email_code"]]
    lite.clock.forward(200)
    asked = Started(started.handle, Need((("email_code",),)), started.expires_at)
    assert await owner.go_on(asked) is not None
    found = await row_of(lite)
    assert (found["email_verified_at"] is None, found["claimed_at"]) == (False, None)


# -- guesses and locks -------------------------------------------------------------------------------


async def refused(act: Callable[[], Awaitable[Any]], the: The, times: int) -> None:
    """So often, however long it takes."""
    while times:
        try:
            await act()
        except Throttled as busy:
            the.clock.forward(busy.retry_after)
        except PassgateError:
            times -= 1
        else:
            pytest.fail("it was right")


MAILED = {"second_among": ["totp", "email_code"], "mailed_second_factor": "enrolled"}


async def test_a_new_claim_begins_no_new_day_of_guesses(lite: The) -> None:
    """Of the code that turns mailed codes on, which would prove the address."""
    folk = Folk(lite)
    await rule(lite, **LATER, **MAILED)
    who = attacker(folk)
    assert await who.sign_up() is not None
    await enrolment.offer(await _me(who), "email_code")
    right = str(await victim(folk).code("factor_code"))
    wrong = f"{(int(right) + 1) % 10**8:08d}"
    await refused(partial(enrolment.prove, await _me(who), "email_code", wrong), lite, budgets.CODES_A_DAY)
    assert await who.delete()
    assert await who.sign_up() is not None
    await enrolment.offer(await _me(who), "email_code")
    assert (await mailed(folk))["factor_code"] == 1, "the second claim gets no code"
    lite.clock.forward(24 * 3600)
    assert await who.sign_in() is not None
    await enrolment.offer(await _me(who), "email_code")
    assert (await mailed(folk))["factor_code"] == 2


async def test_nor_does_one_more_account_that_moves_to_it(lite: The) -> None:
    """Wrong codes for a new address count for that address, whoever wants it."""
    folk = Folk(lite)
    one, mine = folk.acting(await folk.create()), folk.acting(await folk.create())
    await address.start(one, EMAIL)
    right = str(await victim(folk).code("address_code"))
    wrong = f"{(int(right) + 1) % 10**8:08d}"
    await refused(partial(address.prove, one, wrong), lite, budgets.CODES_A_DAY)
    await address.start(mine, EMAIL)
    assert (await mailed(folk))["address_code"] == 1
    await address.start(mine, "other@example.com")
    assert (await mailed(folk, "other@example.com"))["address_code"] == 1


async def wrong_passwords_in_a_session(folk: Folk, who: Visitor) -> None:
    started: list[Started] = []

    async def one() -> None:
        if not started or len(started) % 5 == 0:
            started.append(await starts.step_up(await _me(who), None))
        await signin.prove(who.ctx, started[-1].handle, "password", "wrong wrong wrong wrong")

    for _ in range(2):
        started.clear()
        await refused(one, folk.the, budgets.SHARES[budgets.Kind.STEP_UP] // 2)


async def wrong_passwords_of_strangers(folk: Folk, who: Visitor) -> None:
    numbers = itertools.count(1)

    async def one() -> None:
        ctx = replace(who.ctx, origin=Origin(f"203.0.113.{next(numbers) % 250}", "x", "y"))
        started = await starts.sign_in(ctx, EMAIL, None)
        await signin.prove(ctx, started.handle, "password", "wrong wrong wrong wrong")

    await refused(one, folk.the, budgets.SHARES[budgets.Kind.STRANGER])


@pytest.mark.parametrize(
    "lock", [wrong_passwords_in_a_session, wrong_passwords_of_strangers], ids=lambda one: one.__name__
)
async def test_locks_end_with_the_first_proof(lite: The, lock: Any) -> None:
    folk = Folk(lite)
    who, owner = await begun(folk), victim(folk)
    await lock(folk, who)
    assert "account:factor:locked" in await lite.events()
    assert await owner.sign_up() is not None
    mine = (await row_of(lite))["id"]
    async with folk.ctx.read() as db:
        assert await budgets.locked(folk.ctx, db, mine, ["password"]) == set()
    assert await owner.step_up()
    lite.clock.forward(1000)  # the waits of strangers are the address's, and end by time
    assert await owner.sign_in() is not None


async def test_waits_of_what_was_being_set_up_end_too(lite: The) -> None:
    folk = Folk(lite)
    who, owner = await begun(folk), victim(folk)
    await enrolment.offer(await _me(who), "totp")
    mine = await _me(who)
    for _ in range(throttle.FREE):
        with pytest.raises(PassgateError):
            await enrolment.prove(mine, "totp", "000000")
    with pytest.raises(Throttled):
        await enrolment.prove(mine, "totp", "000000")
    assert await owner.sign_up() is not None
    assert await owner.add_app()


# -- whose a password is -----------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["sign_up", "recovery", "an operator"])
async def test_a_password_of_a_sign_in_is_ones_own(lite: The, by: str) -> None:
    """Also where a program's script hands it on without a request, as an operator. Only what somebody sets for somebody
    else is marked as given, and so replaced by the first proof."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    script = lite.gate.at(None, tenant="main")
    if by == "an operator":
        await script.users.create(email=EMAIL, password=OWN, roles=["user"])
    elif by == "sign_up":
        started = await script.signin.signup(email=EMAIL, password=OWN)
        await script.signin.finish(started.handle, carrier="bearer")
    else:
        await folk.create(EMAIL, hashed=None)
        started = await script.signin.recover(email=EMAIL)
        await script.signin.prove(started.handle, factor="email_code", answer=str(await victim(folk).code()))
        await script.signin.prove(started.handle, factor="password", answer=OWN)
    [made] = [row for row in await lite.rows(credential) if row["kind"] == "password"]
    assert json.loads(made["data"]).get("given", False) == (by == "an operator")


async def test_how_often_one_network_has_an_account_erased_at_once(tmp_path: Path) -> None:
    """Each erasure empties the database's log. A claim costs one of the network's mails, also once it is deleted."""
    async with running(settings_for(tmp_path, limit={"stranger_mails": 3}, erase={"wait": "7d"})) as the:
        folk = Folk(the)
        await rule(the, **LATER)
        for number in range(6):
            who = attacker(folk, f"victim{number}@example.com")
            await who.sign_up()
            await who.delete()
        assert (await the.events()).count("account:deleted") == 3
