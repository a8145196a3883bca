"""Preparations that actions of the catalogue need: people with factors, pending sign-ins, links, a recovery with a
wait.

Actions and rules are not here.
"""

from __future__ import annotations

from dataclasses import replace

from passgate.core import signin, starts
from passgate.core.ctx import Ctx
from passgate.core.ctx import Person as Actor
from passgate.errors import ProofRefused
from passgate.settings import RecoverySettings
from tests import operating
from tests.catalogue.entry import Action
from tests.core.behind import Folk
from tests.core.having import policy
from tests.kit import PASSWORD


def refused(proving: Action) -> Action:
    """The action with the refusal of a wrong answer as its normal end; other refusals are raised."""

    async def act() -> None:
        try:
            await proving()
        except ProofRefused as refusal:
            if refusal.deferred:
                raise

    return act


def url(folk: Folk) -> str:
    return folk.the.gate.settings.url


async def with_app(folk: Folk) -> Actor:
    actor = await folk.create()
    await folk.add_app(actor)
    return actor


async def begun(folk: Folk, actor: Actor, browser: str | None = None) -> str:
    """A pending sign-in after the password."""
    started = await starts.sign_in(folk.ctx, await folk.email(actor), None, browser=browser)
    await signin.prove(folk.ctx, started.handle, "password", PASSWORD)
    return started.handle


async def remembered(folk: Folk) -> tuple[Actor, str]:
    actor = await with_app(folk)
    await policy(folk.the)
    handle = await begun(folk, actor)
    await signin.prove(folk.ctx, handle, "totp", await folk.app_code(actor))
    browser = (await signin.finish(folk.ctx, handle, remember=True, carrier="cookie")).browser
    assert browser is not None
    return actor, browser


async def known_browser(folk: Folk) -> tuple[Actor, Ctx]:
    """A person, and a context with the cookie of a browser in which they have signed in."""
    actor = await folk.create()
    cookie = (await signin.finish(folk.ctx, await begun(folk, actor), carrier="cookie")).known
    assert cookie is not None
    return actor, replace(folk.ctx, origin=replace(folk.ctx.origin, known=cookie))


async def signing_up(folk: Folk, secret: str | None) -> tuple[str, str]:
    begun = await starts.sign_up(folk.ctx, f"new{next(folk.numbers)}@example.com", secret, None, None, None)
    return begun.handle, await folk.code()


async def recovering(folk: Folk) -> tuple[str, str]:
    begun = await starts.recover(folk.ctx, await folk.email(await folk.create()), None)
    return begun.handle, await folk.code()


async def one_way(folk: Folk, actor: Actor) -> str:
    started = await starts.recover(folk.ctx, await folk.email(actor), None)
    await signin.prove(folk.ctx, started.handle, "email_code", await folk.code())
    return started.handle


def slow(folk: Folk) -> Ctx:
    """A context in which lost factors are released after a day only."""
    settings = folk.the.gate.settings.model_copy(update={"recovery": RecoverySettings(wait=24 * 3600)})
    return replace(folk.ctx, services=replace(folk.ctx.services, settings=settings))


async def link_for(folk: Folk, actor: Actor) -> str:
    made = await operating.signin_link(folk.ctx, await folk.email(actor), "main")
    return made.url.rpartition("/")[2]


async def link_of_admins(folk: Folk) -> str:
    """The token of a sign-in link for an admin, which two other admins made."""
    equal = await folk.create(None, "admin")
    made = None
    for maker in (await folk.create(None, "admin"), await folk.create(None, "admin")):
        made = await operating.admins_link(folk.acting(maker), equal.person_id)
    assert made is not None
    return made.url.rpartition("/")[2]
