"""The link of an older mail, opened while nobody has proved the address and the account has an app: when the sign-in
takes the address, by whatever the rules ask for next.

Not here: the mailed code itself, and the same sign-in where the app is asked for (`test_at_once`).
"""

from __future__ import annotations

from typing import Any

import pytest

from passgate.core import admin, signin, starts, user_changes
from passgate.core.policy import Decision, Enough, Need
from passgate.core.rules import AAL1, AAL2, PHR
from passgate.core.starts import Started
from tests import operating
from tests.core.behind import Folk
from tests.core.claiming import EMAIL, LATER, facts_of, row_of, victim
from tests.core.test_at_once import EVERYBODY, live
from tests.core.visitor import Visitor, letters
from tests.kit import PASSWORD, The
from tests.web.browsing import rule


async def with_link(the: The, who: Visitor, **rules: Any) -> str:
    """Somebody whose mail with a link is older than their app."""
    await rule(the, **{**EVERYBODY, **rules})
    started = await starts.sign_in(who.ctx, EMAIL, None)
    await signin.prove(who.ctx, started.handle, "password", who.passwords[-1])
    await signin.challenge(who.ctx, started.handle, "email_code")
    [mail] = [mail for mail in await letters(who.folk, EMAIL) if mail.kind == "signin_code"]
    assert await who.add_app()
    return str(mail.link).rpartition("/")[2]


async def signed_up(the: The) -> Visitor:
    await rule(the, **LATER)
    who = victim(Folk(the))
    assert await who.sign_up() is not None
    return who


async def by_password(who: Visitor, opened: Started) -> Decision:
    return await signin.prove(who.ctx, opened.handle, "password", who.passwords[-1])


async def is_proved(the: The) -> bool:
    return (await row_of(the))["email_verified_at"] is not None


async def test_a_passkey_that_is_enough_takes_it(the: The) -> None:
    """It is a first factor, and none of the second ones."""
    who = await signed_up(the)
    link = await with_link(the, who)
    assert await who.add_passkey()
    opened = await starts.by_link(who.ctx, link)
    options = await signin.challenge(who.ctx, opened.handle, "passkey")
    answer = who.keys[-1].get(options, who.ctx.settings.url)
    assert isinstance(await signin.prove(who.ctx, opened.handle, "passkey", answer), Enough)
    assert await is_proved(the)
    assert await live(the) == ["passkey"], "as beside a mailed code: what is not proved ends"
    await signin.finish(who.ctx, opened.handle, carrier="bearer")
    assert len(await facts_of(the, "account:address:proved")) == 1


async def test_a_backup_code_in_place_of_the_app_takes_it(the: The) -> None:
    who = await signed_up(the)
    among = ["totp", "recovery_code", "email_code"]
    link = await with_link(the, who, second_among=among)
    assert await who.make_codes()
    assert len(who.codes) == 10
    opened = await starts.by_link(who.ctx, link)
    asked = await by_password(who, opened)
    assert isinstance(asked, Need)
    assert asked.listed() == [["totp"], ["recovery_code"]]
    assert not await is_proved(the)
    assert isinstance(await signin.prove(who.ctx, opened.handle, "recovery_code", who.codes[0]), Enough)
    assert await is_proved(the)
    assert await live(the) == ["password"]
    await signin.finish(who.ctx, opened.handle, carrier="bearer")


async def test_rules_that_ask_for_less_meanwhile(the: The) -> None:
    """The end of the sign-in takes it, and not the step before."""
    who = await signed_up(the)
    link = await with_link(the, who)
    opened = await starts.by_link(who.ctx, link)
    assert isinstance(await by_password(who, opened), Need)
    await rule(the, **{**EVERYBODY, "second": "never"})
    assert not await is_proved(the)
    finished = await signin.finish(who.ctx, opened.handle, carrier="bearer")
    assert await is_proved(the)
    assert await live(the) == ["password"]
    who.tokens.append(finished.opened.token)
    assert await who.actor() is not None, "the session that it opens goes on"


async def test_nor_where_it_would_leave_nothing_to_sign_in_with(lite: The) -> None:
    """A password that an admin knows: the end cannot ask for another one."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    await user_changes.create(operating.operator(folk.ctx), EMAIL, secret=PASSWORD, profile=None, roles=["user"])
    who = victim(folk)
    who.passwords = [PASSWORD]
    assert await who.sign_in() is not None
    link = await with_link(lite, who)
    opened = await starts.by_link(who.ctx, link)
    assert isinstance(await by_password(who, opened), Need)
    await rule(lite, **{**EVERYBODY, "second": "never"})
    await signin.finish(who.ctx, opened.handle, carrier="bearer")
    assert not await is_proved(lite)
    assert await live(lite) == ["password", "totp"]


async def test_an_app_that_only_the_level_asks_for_is_waited_for(the: The) -> None:
    who = await signed_up(the)
    link = await with_link(the, who)
    await rule(the, **{**EVERYBODY, "second": "never", "least_acr": AAL2})
    opened = await starts.by_link(who.ctx, link)
    asked = await by_password(who, opened)
    assert isinstance(asked, Need)
    assert (asked.listed(), asked.enrol) == ([["totp"]], False)
    assert not await is_proved(the)
    assert isinstance(await signin.prove(who.ctx, opened.handle, "totp", who.app_code(who.apps[-1])), Enough)
    assert await is_proved(the)
    assert await live(the) == ["password", "totp"]


async def test_an_app_that_has_to_be_proved_before_another_factor_is_set_up(lite: The) -> None:
    """The rules no longer accept it, and still ask for it first."""
    who = await signed_up(lite)
    link = await with_link(lite, who)
    await rule(lite, **{**EVERYBODY, "second_among": ["passkey", "email_code"], "least_acr": PHR})
    opened = await starts.by_link(who.ctx, link)
    asked = await by_password(who, opened)
    assert isinstance(asked, Need)
    assert (asked.listed(), asked.enrol) == ([["totp"]], False)
    assert not await is_proved(lite)
    asked = await signin.prove(who.ctx, opened.handle, "totp", who.app_code(who.apps[-1]))
    assert isinstance(asked, Need)
    assert (asked.listed(), asked.enrol) == ([["passkey"]], True)
    assert await is_proved(lite)
    assert await live(lite) == ["password", "totp"]


@pytest.mark.parametrize("is_moved", [False, True])
async def test_the_policy_is_explained_as_it_counts_for_somebody(the: The, is_moved: bool) -> None:
    """Of an account whose address was proved before, the mailed code stands beside the app."""
    folk = Folk(the)
    if is_moved:
        actor = await folk.create(EMAIL)
        await folk.add_app(actor)
        tenant_id, person_id = actor.key
    else:
        who = await signed_up(the)
        assert await who.add_app()
        row = await row_of(the)
        tenant_id, person_id = row["tenant_id"], row["id"]
    await rule(the, **EVERYBODY)
    more: dict[str, Any] = {"proofs": ("password",), "has": (), "acr": AAL1, "is_remembered": False}
    operator = operating.operator(folk.ctx)
    found = await admin.explained(operator, tenant_id, person_id, purpose="signin", **more)
    assert found["need"] == ([["totp"], ["email_code"]] if is_moved else [["totp"]])
    unnamed = await admin.explained(
        operator, tenant_id, None, purpose="signin", **{**more, "has": ("password", "totp")}
    )
    assert unnamed["need"] == [["totp"], ["email_code"]]
