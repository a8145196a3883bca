"""A remembered browser: it waives the second factor where AAL1 suffices, and does not raise the level of the session.

The cookie is tested in tests/web/test_contract_factors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from sqlalchemy import update

from passgate.core import enrolment, signin, starts
from passgate.core.ctx import Person as Actor
from passgate.core.factors.device import PREFIX
from passgate.core.policy import Decision, Enough, Need
from passgate.store.tables import credential
from tests.core.behind import Folk
from tests.core.having import policy
from tests.kit import OTHER_PASSWORD, PASSWORD, The, code_of

DAY = 24 * 3600


@dataclass
class Remembered:
    """A person with an authenticator app, and the secret of a browser that is remembered for them."""

    folk: Folk
    actor: Actor
    email: str
    browser: str

    async def decided(self, browser: str | None = None, email: str | None = None) -> Decision:
        """The policy's decision after the password was proved from `browser`, or from the remembered one."""
        begun = await starts.sign_in(self.folk.ctx, email or self.email, None, browser=browser or self.browser)
        return await signin.prove(self.folk.ctx, begun.handle, "password", PASSWORD)

    async def is_waived(self, browser: str | None = None) -> bool:
        return isinstance(await self.decided(browser), Enough)


async def remembered(the: The, email: str | None = None) -> Remembered:
    folk = Folk(the)
    actor = await folk.create(email)
    await folk.add_app(actor)
    return Remembered(folk, actor, await folk.email(actor), await remember(folk, actor))


async def remember(folk: Folk, actor: Actor) -> str:
    begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    await signin.prove(folk.ctx, begun.handle, "totp", await folk.app_code(actor))
    finished = await signin.finish(folk.ctx, begun.handle, remember=True, carrier="cookie")
    assert finished.browser is not None
    return finished.browser


async def test_it_waives_and_proves_nothing(the: The) -> None:
    anna = await remembered(the)
    assert anna.browser.startswith(PREFIX)
    decision = await anna.decided()
    assert isinstance(decision, Enough)
    assert (decision.amr, decision.acr) == (("pwd",), "urn:passgate:aal1")
    assert decision.reason == "remembered_browser"
    assert anna.browser not in repr(await the.everything())
    assert (await the.events()).count("account:browser:remembered") == 1


async def test_without_the_password_it_is_nothing(the: The) -> None:
    anna = await remembered(the)
    begun = await starts.sign_in(anna.folk.ctx, anna.email, None, browser=anna.browser)
    assert begun.need.listed() == [["password"], ["passkey"]]


async def test_it_is_one_persons_in_one_tenant(the: The) -> None:
    anna, bert = await remembered(the), await remembered(the)
    assert isinstance(await bert.decided(anna.browser), Need)
    assert not await anna.is_waived(bert.browser)
    for odd in ("", PREFIX, "pg_ses_x", anna.browser[:-1], anna.browser + "a", anna.browser.upper()):
        begun = await starts.sign_in(anna.folk.ctx, anna.email, None, browser=odd)
        assert isinstance(await signin.prove(anna.folk.ctx, begun.handle, "password", PASSWORD), Need), odd


async def test_its_days_are_the_tenants(the: The) -> None:
    anna = await remembered(the)
    the.clock.forward(30 * DAY - 5)
    assert await anna.is_waived()
    the.clock.forward(5)
    assert not await anna.is_waived()


async def test_days_that_become_fewer_count_at_once(the: The) -> None:
    anna = await remembered(the)
    the.clock.forward(7 * DAY)
    await policy(the, remember_days=8)
    assert await anna.is_waived()
    await policy(the, remember_days=7)
    assert not await anna.is_waived()
    await policy(the, remember_days=0)
    assert not await anna.is_waived()
    await policy(the, remember_days=365)
    assert await anna.is_waived(), "within the thirty days that were promised"
    the.clock.forward(24 * DAY)
    assert not await anna.is_waived(), "more days are for those remembered from now on"


async def test_where_more_is_asked_it_changes_nothing(the: The) -> None:
    anna = await remembered(the)
    await policy(the, least_acr="urn:passgate:aal2")
    assert not await anna.is_waived()
    await policy(the)
    stepping = await starts.step_up(anna.folk.acting(anna.actor), "urn:passgate:aal2")
    asked = await signin.prove(anna.folk.ctx, stepping.handle, "password", PASSWORD)
    assert isinstance(asked, Need)


ENDS = ("password", "codes", "app", "no app", "recovery", "forgotten", "all forgotten")


@pytest.mark.parametrize("how", ENDS)
async def test_it_ends_with_what_it_stood_for(lite: The, how: str) -> None:
    anna = await remembered(lite)
    folk, password = anna.folk, PASSWORD
    actor = await folk.strong(anna.actor)
    match how:
        case "password":
            password = OTHER_PASSWORD
            await folk.new_password(actor, password)
        case "codes":
            await enrolment.recovery_codes(folk.acting(actor))
        case "app":
            await folk.add_app(actor)
        case "no app":
            await enrolment.remove(folk.acting(actor), "totp")
            await folk.add_app(await folk.session(actor.tenant_id, actor.person_id))
        case "recovery":
            begun = await starts.recover(folk.ctx, anna.email, None)
            await signin.prove(folk.ctx, begun.handle, "email_code", await folk.code())
            await signin.prove(folk.ctx, begun.handle, "totp", await folk.app_code(actor))
            password = OTHER_PASSWORD
            await signin.prove(folk.ctx, begun.handle, "password", password)
        case "forgotten":
            [mine] = await enrolment.browsers(folk.acting(actor))
            await enrolment.forget_browser(folk.acting(actor), mine["id"])
        case _:
            await enrolment.forget_browser(folk.acting(actor))
    begun = await starts.sign_in(folk.ctx, anna.email, None, browser=anna.browser)
    asked = await signin.prove(folk.ctx, begun.handle, "password", password)
    assert isinstance(asked, Need)
    assert not asked.enrol
    assert await enrolment.browsers(folk.acting(actor)) == []


async def test_only_two_factors_are_remembered(the: The) -> None:
    """A browser is remembered only after a sign-in with two factors: not after a password alone or a step-up, and not
    where the tenant demands a higher level or has `remember_days=0`."""
    folk = Folk(the)
    actor = await folk.create()
    email = await folk.email(actor)

    async def finished() -> str | None:
        begun = await starts.sign_in(folk.ctx, email, None)
        decision = await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
        if isinstance(decision, Need):
            await signin.prove(folk.ctx, begun.handle, "totp", await folk.app_code(actor))
        return (await signin.finish(folk.ctx, begun.handle, remember=True, carrier="cookie")).browser

    assert await finished() is None
    await folk.add_app(actor)
    assert await finished() is not None
    for rules in ({"remember_days": 0}, {"least_acr": "urn:passgate:aal2"}):
        await policy(the, **rules)
        assert await finished() is None
    await policy(the)
    stepping = await starts.step_up(folk.acting(actor), None)
    await signin.prove(folk.ctx, stepping.handle, "password", PASSWORD)
    await signin.prove(folk.ctx, stepping.handle, "totp", await folk.app_code(actor))
    assert (await signin.finish(folk.ctx, stepping.handle, remember=True, carrier="cookie")).browser is None


async def test_a_mailed_backup_code_remembers_nothing(the: The) -> None:
    """It shows no more than the mailbox, which would then stand for the app for many days."""
    folk = Folk(the)
    actor = await folk.create()
    await folk.add_app(actor)
    for is_mailed in (True, False):
        await policy(the, recovery_codes={"mailed": is_mailed})
        [code, *_] = await folk.add_codes(actor)
        begun = await starts.sign_in(folk.elsewhere, await folk.email(actor), None)
        await signin.prove(folk.elsewhere, begun.handle, "password", PASSWORD)
        assert isinstance(await signin.prove(folk.elsewhere, begun.handle, "recovery_code", code), Enough)
        finished = await signin.finish(folk.elsewhere, begun.handle, remember=True, carrier="cookie")
        assert (finished.browser is None) == is_mailed


async def test_a_waived_sign_in_is_not_remembered_again(the: The) -> None:
    """The days count from the sign-in with two factors and not from the last use. The use itself is recorded."""
    anna = await remembered(the)
    begun = await starts.sign_in(anna.folk.ctx, anna.email, None, browser=anna.browser)
    await signin.prove(anna.folk.ctx, begun.handle, "password", PASSWORD)
    finished = await signin.finish(anna.folk.ctx, begun.handle, remember=True, carrier="cookie")
    assert finished.browser is None
    [mine] = await enrolment.browsers(anna.folk.acting(anna.actor))
    assert mine["last_used_at"] is not None
    assert mine["expires_at"] - mine["created_at"] == pytest.approx(30 * DAY * 10**6, abs=1000)
    assert mine["label"] == "Firefox · Linux"


async def test_only_ones_own_are_forgotten(the: The) -> None:
    anna, bert = await remembered(the), await remembered(the)
    [mine] = await enrolment.browsers(anna.folk.acting(anna.actor))
    with pytest.raises(Exception) as refused:
        await enrolment.forget_browser(bert.folk.acting(bert.actor), mine["id"])
    assert getattr(refused.value, "code", "") == "not_found"
    assert await anna.is_waived()


async def test_a_row_that_is_over_waives_nothing_and_opens_nothing(the: The) -> None:
    anna = await remembered(the)
    async with the.gate.services.store.write() as db:
        await db.change(update(credential).where(credential.c.kind == "browser").values(data=json.dumps({"until": 0})))
    assert not await anna.is_waived()
    assert code_of(await the.session(anna.browser)) == "credential_invalid"
