"""Completing a passkey's ceremony without a handle: the challenge in the browser's answer says which pending sign-in it
is for. It is random, lives for minutes and works once, so it names a sign-in as well as a handle does; but only whoever
proves the passkey in the same request goes on to the end.

Not here: what is proved and what is required (`signin`), and what a challenge is bound to (`factors.passkey`).
"""

from __future__ import annotations

from typing import Any, Literal

from passgate.core import budgets, people, signin, tenants
from passgate.core.budgets import Kind, Who
from passgate.core.ctx import Ctx
from passgate.core.factors import passkey
from passgate.core.pending import ByChallenge, SignIn
from passgate.core.policy import Need
from passgate.errors import HandleInvalid


async def complete(
    ctx: Ctx,
    answer: dict[str, Any],
    *,
    carrier: Literal["bearer", "jwt"],
    email: str | None = None,
    purpose: Literal["signin", "signup"] | None = None,
    tenant_name: str | None = None,
) -> signin.Finished:
    """Prove a sign-in or sign-up by its passkey, and finish it. Costs a start, whoever asks. `email`: the address that
    it has to be for. `purpose`: which of the two it has to be; without one it may be either. HandleInvalid, alike for
    every challenge that can't be completed here, and then nothing is used up; ProofRefused for a wrong answer, which
    uses up its own challenge; ProofMissing if more has to be proved, which needs the handle."""
    async with ctx.write() as db:
        await budgets.start(ctx, db, Who(Kind.STRANGER))
    key = people.address(email).key if email is not None else None
    asked = await _asked(ctx, answer, tenant_name)
    this = ByChallenge(asked.tenant_id, asked.bound_to)
    found = await signin.find(ctx, this)
    is_meant = found.journey.is_by_challenge and purpose in (None, found.journey.name)
    if not is_meant or key not in (None, found.email_key) or not _waits_for(ctx, found, asked):
        raise HandleInvalid
    await signin.prove(ctx, this, passkey.name, answer)
    return await signin.finish(ctx, this, carrier=carrier)


async def _asked(ctx: Ctx, answer: dict[str, Any], tenant_name: str | None) -> passkey.Asked:
    async with ctx.read() as db:
        tenant, asked = await tenants.find(ctx, db, tenant_name), await passkey.asked_by(ctx, db, answer)
    if tenant is None or asked is None or asked.tenant_id != tenant.id:
        raise HandleInvalid
    return asked


def _waits_for(ctx: Ctx, sign_in: SignIn, asked: passkey.Asked) -> bool:
    """Whether it is this challenge that its next proof would use up: one sign-in may have used a passkey, and then have
    to set one up."""
    decision = signin.decide(ctx, sign_in)
    return not isinstance(decision, Need) or decision.enrol == asked.is_new
