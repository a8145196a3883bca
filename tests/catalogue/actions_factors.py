"""Actions on one's own factors, each as a function that can be called repeatedly: it makes its challenges and codes
anew.

How often each writes is in `api`; proofs are in `actions_proofs`.
"""

from __future__ import annotations

from typing import Any

from passgate.core import account, budgets, enrolment, throttle
from passgate.core.budgets import Guess, Target
from passgate.core.ctx import Person as Actor
from passgate.core.factors import totp
from passgate.store.tables import person
from tests.authenticator import Authenticator
from tests.catalogue.before import remembered, url, with_app
from tests.catalogue.entry import Action
from tests.core.behind import Folk
from tests.core.having import policy, unspelled
from tests.kit import OTHER_PASSWORD


async def offer_app(folk: Folk) -> Action:
    actor = await folk.create()
    return lambda: enrolment.offer(folk.acting(actor), "totp")


async def offer_app_at_once(folk: Folk) -> Action:
    actor = await folk.create()
    await policy(folk.the, totp_at_once=True)

    async def act() -> None:
        who = await folk.strong(actor)
        await enrolment.offer(folk.acting(who), "totp")

    return act


async def add_app(folk: Folk) -> Action:
    actor = await folk.create()
    await policy(folk.the)
    secret = unspelled((await enrolment.offer(folk.acting(actor), "totp"))["secret"])
    return lambda: enrolment.prove(folk.acting(actor), "totp", totp.code_at(secret, folk.step))


async def add_passkey(folk: Folk) -> Action:
    actor = await folk.create()

    async def act() -> None:
        answer = Authenticator().create(await enrolment.offer(folk.acting(actor), "passkey"), url(folk))
        await enrolment.prove(folk.acting(actor), "passkey", answer, "My phone")

    return act


MAILED: dict[str, Any] = {"second_among": ["totp", "email_code"], "mailed_second_factor": "enrolled"}


async def send_code(folk: Folk) -> Action:
    actor = await folk.create()
    await policy(folk.the, **MAILED)
    return lambda: enrolment.offer(folk.acting(actor), "email_code")


async def turn_on_at_once(folk: Folk) -> Action:
    actor = await folk.create()
    await policy(folk.the, **{**MAILED, "mailed_second_factor": "at_once"})
    return lambda: enrolment.offer(folk.acting(actor), "email_code")


async def turn_on_mailed_codes(folk: Folk) -> Action:
    return await turn_on_of(folk, await folk.create())


async def turn_off_mailed_codes(folk: Folk) -> Action:
    """Removes the recovery codes too, since no other second factor is left."""
    actor = await folk.create()
    await (await turn_on_of(folk, actor))()
    await folk.add_codes(actor)
    strong = await folk.strong(actor)
    return lambda: enrolment.remove(folk.acting(strong), "email_code")


async def turn_on_of(folk: Folk, actor: Actor) -> Action:
    await policy(folk.the, **MAILED)
    await enrolment.offer(folk.acting(actor), "email_code")
    code = await folk.code()
    return lambda: enrolment.prove(folk.acting(actor), "email_code", code)


async def display_app(folk: Folk) -> Action:
    actor = await with_app(folk)
    await policy(folk.the, totp_shown_again=True)
    strong = await folk.strong(actor)
    return lambda: enrolment.totp_again(folk.acting(strong))


async def make_mailed_codes(folk: Folk) -> Action:
    actor = await folk.create()
    await policy(folk.the, recovery_codes={"count": 5, "mailed": True})
    return lambda: enrolment.recovery_codes(folk.acting(actor))


async def make_unseen_codes(folk: Folk) -> Action:
    """For an address that nobody has proved."""
    actor = await folk.create()
    await policy(folk.the, recovery_codes={"count": 5, "mailed": True})
    async with folk.ctx.write() as db:
        await db.change(person.update().values(email_verified_at=None, first_proved_at=None))
    return lambda: enrolment.recovery_codes(folk.acting(actor))


async def make_codes(folk: Folk) -> Action:
    actor = await folk.create()
    await folk.add_codes(actor)
    return lambda: enrolment.recovery_codes(folk.acting(actor))


async def rename(folk: Folk) -> Action:
    actor = await folk.create()
    made = await folk.add_passkey(actor, Authenticator())
    strong = await folk.strong(actor)
    return lambda: enrolment.rename(folk.acting(strong), made, "My phone")


async def remove_passkey(folk: Folk) -> Action:
    actor = await folk.create()
    made = await folk.add_passkey(actor, Authenticator())
    strong = await folk.strong(actor)
    return lambda: enrolment.remove(folk.acting(strong), "passkey", made)


async def remove_app(folk: Folk) -> Action:
    """Removes the recovery codes too, since no other second factor is left."""
    actor = await with_app(folk)
    await folk.add_codes(actor)
    strong = await folk.strong(actor)
    return lambda: enrolment.remove(folk.acting(strong), "totp")


async def set_first_password(folk: Folk) -> Action:
    actor = await folk.create(hashed=None)
    return lambda: account.set_password(folk.acting(actor), OTHER_PASSWORD)


async def unlock(folk: Folk) -> Action:
    actor = await folk.create()
    async with folk.ctx.write() as db:
        for kind in budgets.Kind:
            target = Target(Guess.AUTHENTICATOR, actor.tenant_id, "password", actor.person_id)
            await throttle.count(folk.ctx, db, budgets.count_key(folk.ctx, target, kind))
    return lambda: enrolment.unlock(folk.acting(actor), "password")


async def forget_one(folk: Folk) -> Action:
    actor, _ = await remembered(folk)
    [mine] = await enrolment.browsers(folk.acting(actor))
    return lambda: enrolment.forget_browser(folk.acting(actor), mine["id"])


async def forget_all(folk: Folk) -> Action:
    actor, _ = await remembered(folk)
    return lambda: enrolment.forget_browser(folk.acting(actor))
