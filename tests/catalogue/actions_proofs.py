"""Proving factors, and setting them up during a sign-in, each as a function that can be called repeatedly.

How often each writes is in `api`; right and wrong answers of typed factors come from `factors`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from passgate.core import budgets, signin, starts, throttle
from passgate.core.ctx import Person as Actor
from passgate.core.factors import totp
from passgate.errors import Throttled
from passgate.store.tables import budget
from passgate.world import SECOND
from tests.authenticator import Authenticator
from tests.catalogue.before import begun, known_browser, one_way, recovering, refused, signing_up, slow, url, with_app
from tests.catalogue.entry import Action
from tests.core.behind import OLDER, Folk
from tests.core.having import policy, unspelled
from tests.kit import OTHER_PASSWORD, PASSWORD


async def passkey_asked(folk: Folk, counter: int = 0) -> tuple[Authenticator, str, Any]:
    actor, key = await folk.create(), Authenticator(counter=counter)
    await folk.add_passkey(actor, key)
    started = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    return key, started.handle, await signin.challenge(folk.ctx, started.handle, "passkey")


async def password_rehashed(folk: Folk) -> Action:
    """The stored hash has outdated parameters, so a right answer replaces it."""
    actor = await folk.create(hashed=OLDER)
    begun = await starts.sign_in(folk.ctx, await folk.email(actor), None)
    return lambda: signin.prove(folk.ctx, begun.handle, "password", PASSWORD)


async def password_of_nobody(folk: Folk) -> Action:
    begun = await starts.sign_in(folk.ctx, f"nobody{next(folk.numbers)}@example.com", None)
    return refused(lambda: signin.prove(folk.ctx, begun.handle, "password", OTHER_PASSWORD))


async def password_too_soon(folk: Folk) -> Action:
    """The wait after the last wrong answer of strangers is not over."""
    actor = await folk.create()
    email = await folk.email(actor)
    begun = await starts.sign_in(folk.ctx, email, None)
    key = f"w:password:{budgets.address_mac(folk.ctx, actor.tenant_id, email)}"
    until = folk.the.clock() + throttle.WAITS[-1] * SECOND
    async with folk.ctx.write() as db:
        await db.add(budget, key=key, used=20, until_at=until, expires_at=throttle.NEVER)

    async def act() -> None:
        with suppress(Throttled):
            await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
            raise AssertionError("it was compared")

    return act


async def password_in_known_browser(folk: Folk) -> Action:
    actor, ctx = await known_browser(folk)
    begun = await starts.sign_in(ctx, await folk.email(actor), None)
    return lambda: signin.prove(ctx, begun.handle, "password", PASSWORD)


async def wrong_in_known_browser(folk: Folk) -> Action:
    actor, ctx = await known_browser(folk)
    begun = await starts.sign_in(ctx, await folk.email(actor), None)
    return refused(lambda: signin.prove(ctx, begun.handle, "password", OTHER_PASSWORD))


async def step_up_right(folk: Folk) -> Action:
    actor = await folk.create()
    begun = await starts.step_up(folk.acting(actor), None)
    return lambda: signin.prove(folk.ctx, begun.handle, "password", PASSWORD)


async def step_up_wrong(folk: Folk) -> Action:
    actor = await folk.create()
    begun = await starts.step_up(folk.acting(actor), None)
    return refused(lambda: signin.prove(folk.ctx, begun.handle, "password", OTHER_PASSWORD))


async def signup_right(folk: Folk) -> Action:
    handle, code = await signing_up(folk, PASSWORD)
    return lambda: signin.prove(folk.ctx, handle, "email_code", code)


async def signup_with_a_tenant(folk: Folk) -> Action:
    name = f"org{next(folk.numbers)}"
    begun = await starts.sign_up(folk.ctx, f"{name}@example.com", PASSWORD, None, None, name)
    code = await folk.code()
    return lambda: signin.prove(folk.ctx, begun.handle, "email_code", code)


async def signup_wrong(folk: Folk) -> Action:
    handle, code = await signing_up(folk, None)
    wrong = str((int(code) + 1) % 10**8).zfill(8)
    return refused(lambda: signin.prove(folk.ctx, handle, "email_code", wrong))


async def passkey_right(folk: Folk) -> Action:
    key, handle, options = await passkey_asked(folk)
    return lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk)))


async def passkey_wrong(folk: Folk) -> Action:
    key, handle, options = await passkey_asked(folk)
    return refused(lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk), uv=False)))


async def passkey_behind(folk: Folk) -> Action:
    """A counter that is not above the stored one: refused, credential revoked, recorded and mailed in one
    transaction."""
    await policy(folk.the)
    key, handle, options = await passkey_asked(folk, 5)
    return refused(lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk))))


async def passkey_behind_recorded(folk: Folk) -> Action:
    await policy(folk.the, passkey_counter="note")
    key, handle, options = await passkey_asked(folk, 5)
    return lambda: signin.prove(folk.ctx, handle, "passkey", key.get(options, url(folk)))


# -- setting up during a sign-in -------------------------------------------------------------------


async def signup_set_up(folk: Folk) -> Action:
    handle, code = await signing_up(folk, None)
    await signin.prove(folk.ctx, handle, "email_code", code)
    return lambda: signin.prove(folk.ctx, handle, "password", PASSWORD)


async def recovery_set_up(folk: Folk) -> Action:
    handle, code = await recovering(folk)
    await signin.prove(folk.ctx, handle, "email_code", code)
    return lambda: signin.prove(folk.ctx, handle, "password", OTHER_PASSWORD)


async def with_address(folk: Folk, handle: str) -> str:
    """The same pending sign-in with the address proved, before the first second factor is set up."""
    await signin.challenge(folk.ctx, handle, "email_code")
    await signin.prove(folk.ctx, handle, "email_code", await folk.code())
    return handle


async def app_on_the_way(folk: Folk) -> Action:
    await policy(folk.the, second="always")
    handle = await with_address(folk, await begun(folk, await folk.create()))
    secret = unspelled((await signin.challenge(folk.ctx, handle, "totp"))["secret"])
    return lambda: signin.prove(folk.ctx, handle, "totp", totp.code_at(secret, folk.step))


async def passkey_on_the_way(folk: Folk) -> Action:
    await policy(folk.the, second="always")
    handle = await with_address(folk, await begun(folk, await folk.create()))

    async def act() -> None:
        options = await signin.challenge(folk.ctx, handle, "passkey")
        await signin.prove(folk.ctx, handle, "passkey", Authenticator().create(options, url(folk)))

    return act


async def passkey_at_birth(folk: Folk) -> Action:
    await policy(folk.the)
    started = await starts.sign_up(folk.ctx, f"new{next(folk.numbers)}@example.com", None, None, None, None)
    await signin.prove(folk.ctx, started.handle, "email_code", await folk.code())

    async def act() -> None:
        options = await signin.challenge(folk.ctx, started.handle, "passkey")
        await signin.prove(folk.ctx, started.handle, "passkey", Authenticator().create(options, url(folk)))

    return act


# -- lost factors ----------------------------------------------------------------------------------


async def drop_lost(folk: Folk) -> Action:
    actor = await with_app(folk)
    handle = await one_way(folk, actor)
    return lambda: signin.prove(folk.ctx, handle, "password", PASSWORD)


async def ways_that_wait(folk: Folk, actor: Actor) -> Action:
    handle = await one_way(folk, actor)
    return lambda: signin.prove(slow(folk), handle, "password", PASSWORD)


async def drop_asked(folk: Folk) -> Action:
    return await ways_that_wait(folk, await with_app(folk))
