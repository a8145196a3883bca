"""Every verb of factors, links and lost ones that writes, and what must be there before it, for tests/house.

A deed may be done again: what a verb burns in a transaction of its own it asks for anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from passgate.core import account, admin, enrolment, operate, recovery, signin, tenants
from passgate.core.ctx import Actor, Ctx
from passgate.core.factors import totp
from passgate.errors import ProofRefused
from passgate.settings import RecoverySettings
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.core.having import policy, unspelled
from tests.kit import OTHER_PASSWORD, PASSWORD

Deed = Callable[[], Awaitable[object]]
Arrange = Callable[[Folk], Awaitable[Deed]]


def refused(proving: Deed) -> Deed:
    """A wrong answer's own refusal is the verb's normal end."""

    async def deed() -> None:
        try:
            await proving()
        except ProofRefused as told:
            if told.keep:
                raise

    return deed


def url(folk: Folk) -> str:
    return folk.the.gate.settings.url


async def with_app(folk: Folk) -> Actor:
    actor = await folk.born()
    await folk.add_app(actor)
    return actor


async def begun(folk: Folk, actor: Actor, browser: str | None = None) -> str:
    """A sign-in whose person is named."""
    started = await signin.start(folk.ctx, await folk.email(actor), None, browser=browser)
    await signin.prove(folk.ctx, started.handle, "password", PASSWORD)
    return started.handle


# -- one's own factors -----------------------------------------------------------------------------


async def offer_app(folk: Folk) -> Deed:
    actor = await folk.born()
    return lambda: enrolment.offer(folk.acting(actor), actor, "totp")


async def offer_app_at_once(folk: Folk) -> Deed:
    actor = await folk.born()
    await policy(folk.the, totp_at_once=True)

    async def deed() -> None:
        who = await folk.strong(actor)
        await enrolment.offer(folk.acting(who), who, "totp")

    return deed


async def add_app(folk: Folk) -> Deed:
    actor = await folk.born()
    await policy(folk.the)
    secret = unspelled((await enrolment.offer(folk.acting(actor), actor, "totp"))["secret"])
    return lambda: enrolment.prove(folk.acting(actor), actor, "totp", totp.code_at(secret, folk.step))


async def add_passkey(folk: Folk) -> Deed:
    actor = await folk.born()

    async def deed() -> None:
        answer = Authenticator().create(await enrolment.offer(folk.acting(actor), actor, "passkey"), url(folk))
        await enrolment.prove(folk.acting(actor), actor, "passkey", answer, "My phone")

    return deed


async def make_codes(folk: Folk) -> Deed:
    actor = await folk.born()
    await folk.add_codes(actor)
    return lambda: enrolment.recovery_codes(folk.acting(actor), actor)


async def rename(folk: Folk) -> Deed:
    actor = await folk.born()
    made = await folk.add_passkey(actor, Authenticator())
    strong = await folk.strong(actor)
    return lambda: enrolment.rename(folk.acting(strong), strong, made, "My phone")


async def remove_passkey(folk: Folk) -> Deed:
    actor = await folk.born()
    made = await folk.add_passkey(actor, Authenticator())
    strong = await folk.strong(actor)
    return lambda: enrolment.remove(folk.acting(strong), strong, "passkey", made)


async def remove_app(folk: Folk) -> Deed:
    """With the codes that go with it."""
    actor = await with_app(folk)
    await folk.add_codes(actor)
    strong = await folk.strong(actor)
    return lambda: enrolment.remove(folk.acting(strong), strong, "totp")


async def set_first_password(folk: Folk) -> Deed:
    actor = await folk.born(hashed=None)
    return lambda: account.set_password(folk.acting(actor), actor, OTHER_PASSWORD)


async def remembered(folk: Folk) -> tuple[Actor, str]:
    actor = await with_app(folk)
    await policy(folk.the)
    handle = await begun(folk, actor)
    await signin.prove(folk.ctx, handle, "totp", await folk.app_code(actor))
    browser = (await signin.finish(folk.ctx, handle, remember=True)).browser
    assert browser is not None
    return actor, browser


async def forget_one(folk: Folk) -> Deed:
    actor, _ = await remembered(folk)
    [mine] = await enrolment.browsers(folk.ctx, actor)
    return lambda: enrolment.forget_browser(folk.acting(actor), actor, mine["id"])


async def forget_all(folk: Folk) -> Deed:
    actor, _ = await remembered(folk)
    return lambda: enrolment.forget_browser(folk.acting(actor), actor)


# -- proving ---------------------------------------------------------------------------------------


async def app_right(folk: Folk) -> Deed:
    actor = await with_app(folk)
    handle = await begun(folk, actor)

    async def deed() -> None:
        await signin.prove(folk.ctx, handle, "totp", await folk.app_code(actor))

    return deed


async def app_wrong(folk: Folk) -> Deed:
    handle = await begun(folk, await with_app(folk))
    return refused(lambda: signin.prove(folk.ctx, handle, "totp", "no code"))


async def code_right(folk: Folk) -> Deed:
    actor = await folk.born()
    [code, *_] = await folk.add_codes(actor)
    handle = await begun(folk, actor)
    return lambda: signin.prove(folk.ctx, handle, "recovery_code", code)


async def code_wrong(folk: Folk) -> Deed:
    actor = await folk.born()
    await folk.add_codes(actor)
    handle = await begun(folk, actor)
    return refused(lambda: signin.prove(folk.ctx, handle, "recovery_code", "aaaa-aaaa-aaaa-aaaa"))


async def passkey_asked(folk: Folk, counter: int = 0) -> tuple[Authenticator, str, Any]:
    actor, key = await folk.born(), Authenticator(counter=counter)
    await folk.add_passkey(actor, key)
    started = await signin.start(folk.ctx, await folk.email(actor), None)
    return key, started.handle, await signin.challenge(folk.ctx, started.handle, "passkey")


async def passkey_challenge(folk: Folk) -> Deed:
    _, handle, _ = await passkey_asked(folk)
    return lambda: signin.challenge(folk.ctx, handle, "passkey")


async def passkey_right(folk: Folk) -> Deed:
    key, handle, options = await passkey_asked(folk)
    return lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk)))


async def passkey_wrong(folk: Folk) -> Deed:
    key, handle, options = await passkey_asked(folk)
    return refused(lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk), uv=False)))


async def passkey_behind(folk: Folk) -> Deed:
    """Refused, burnt, noted and told to its owner in one transaction."""
    await policy(folk.the)
    key, handle, options = await passkey_asked(folk, 5)
    return refused(lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk))))


async def passkey_behind_noted(folk: Folk) -> Deed:
    await policy(folk.the, passkey_counter="note")
    key, handle, options = await passkey_asked(folk, 5)
    return lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk)))


# -- setting up on the way -------------------------------------------------------------------------


async def app_on_the_way(folk: Folk) -> Deed:
    await policy(folk.the, second="always")
    handle = await begun(folk, await folk.born())
    secret = unspelled((await signin.challenge(folk.ctx, handle, "totp"))["secret"])
    return lambda: signin.prove(folk.ctx, handle, "totp", totp.code_at(secret, folk.step))


async def passkey_on_the_way(folk: Folk) -> Deed:
    await policy(folk.the, second="always")
    handle = await begun(folk, await folk.born())

    async def deed() -> None:
        options = await signin.challenge(folk.ctx, handle, "passkey")
        await signin.prove(folk.ctx, handle, "passkey", Authenticator().create(options, url(folk)))

    return deed


async def passkey_at_birth(folk: Folk) -> Deed:
    await policy(folk.the)
    started = await signin.start_signup(folk.ctx, f"new{next(folk.numbers)}@example.com", None, None, None, None)
    await signin.prove(folk.ctx, started.handle, "email_code", await folk.code())

    async def deed() -> None:
        options = await signin.challenge(folk.ctx, started.handle, "passkey")
        await signin.prove(folk.ctx, started.handle, "passkey", Authenticator().create(options, url(folk)))

    return deed


# -- finishing -------------------------------------------------------------------------------------


async def finish_and_remember(folk: Folk) -> Deed:
    actor = await with_app(folk)
    await policy(folk.the)
    handle = await begun(folk, actor)
    await signin.prove(folk.ctx, handle, "totp", await folk.app_code(actor))
    return lambda: signin.finish(folk.ctx, handle, remember=True)


async def finish_remembered(folk: Folk) -> Deed:
    actor, browser = await remembered(folk)
    handle = await begun(folk, actor, browser)
    return lambda: signin.finish(folk.ctx, handle)


async def finish_found_again(folk: Folk) -> Deed:
    """The factor was shown after all: the release that waited is stopped."""
    actor = await with_app(folk)
    await (await ways_that_wait(folk, actor))()
    handle = await begun(folk, actor)
    await signin.prove(folk.ctx, handle, "totp", await folk.app_code(actor))
    return lambda: signin.finish(folk.ctx, handle)


# -- lost factors, links, rules --------------------------------------------------------------------


def slow(folk: Folk) -> Ctx:
    """Where a release waits for a day."""
    settings = folk.the.gate.settings.model_copy(update={"recovery": RecoverySettings(wait=24 * 3600)})
    return replace(folk.ctx, house=replace(folk.ctx.house, settings=settings))


async def one_way(folk: Folk, actor: Actor) -> str:
    started = await signin.start_recovery(folk.ctx, await folk.email(actor), None)
    await signin.prove(folk.ctx, started.handle, "email_code", await folk.code())
    return started.handle


async def release(folk: Folk) -> Deed:
    actor = await with_app(folk)
    handle = await one_way(folk, actor)
    return lambda: signin.prove(folk.ctx, handle, "password", PASSWORD)


async def ways_that_wait(folk: Folk, actor: Actor) -> Deed:
    handle = await one_way(folk, actor)
    return lambda: signin.prove(slow(folk), handle, "password", PASSWORD)


async def release_asked(folk: Folk) -> Deed:
    return await ways_that_wait(folk, await with_app(folk))


async def link_for(folk: Folk, actor: Actor) -> str:
    made = await operate.signin_link(folk.ctx, await folk.email(actor), "main")
    return made.url.rpartition("/")[2]


async def stop(folk: Folk) -> Deed:
    actor = await folk.born()
    await link_for(folk, actor)
    told = (await folk.the.mails(await folk.email(actor)))[0]
    token = str(told["link"]).rpartition("/")[2]
    return lambda: recovery.stop(folk.ctx, token)


async def make_link(folk: Folk) -> Deed:
    email = await folk.email(await folk.born())
    return lambda: operate.signin_link(folk.ctx, email, "main")


async def make_link_as_admin(folk: Folk) -> Deed:
    boss, other = await folk.born(None, "admin"), await folk.born()
    return lambda: admin.signin_link(folk.acting(boss), boss, other.person_id)


async def open_link(folk: Folk) -> Deed:
    token = await link_for(folk, await folk.born())
    return lambda: signin.start_by_link(folk.ctx, token)


async def open_link_to_recover(folk: Folk) -> Deed:
    token = await link_for(folk, await folk.born())
    return lambda: signin.start_by_link(folk.ctx, token, is_recovery=True)


async def change_policy(folk: Folk) -> Deed:
    boss = await folk.born(None, "owner")
    tenant = await folk.tenant(tenants.MAIN)
    data = {"remember_days": 29 if tenant.rules.remember_days != 29 else 30}
    return lambda: admin.change_policy(folk.acting(boss), boss, tenant.id, data)


VERBS: tuple[tuple[Arrange, int], ...] = (
    (offer_app, 3), (offer_app_at_once, 6), (add_app, 10), (add_passkey, 10), (make_codes, 15), (rename, 2),
    (remove_passkey, 5), (remove_app, 6), (set_first_password, 9), (forget_one, 2), (forget_all, 2), (app_right, 7),
    (app_wrong, 5), (code_right, 8), (code_wrong, 5), (passkey_challenge, 2), (passkey_right, 8), (passkey_wrong, 6),
    (passkey_behind, 8), (passkey_behind_noted, 10), (app_on_the_way, 7), (passkey_on_the_way, 7),
    (passkey_at_birth, 7), (finish_and_remember, 5), (finish_remembered, 4), (finish_found_again, 7), (release, 12),
    (release_asked, 10), (stop, 6), (make_link, 5), (make_link_as_admin, 5), (open_link, 3), (open_link_to_recover, 3),
    (change_policy, 2),
)  # fmt: skip
"""With what each writes at least."""
ON_POSTGRES = ("add_app", "add_passkey", "make_codes", "release", "finish_and_remember", "passkey_right", "open_link")
