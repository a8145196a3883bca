"""What a live session of somebody else's cannot do to an undo: end it, or leave an offer behind that outlives it.

Not here: what an undo asks for and takes back, which is in `test_undo`.
"""

from __future__ import annotations

import pytest

from passgate.core import account, enrolment, signin, starts
from passgate.core.factors import totp
from passgate.core.policy import Need
from passgate.errors import HandleInvalid, ProofRefused, SessionEnded
from tests.core.behind import Folk
from tests.core.having import unspelled
from tests.kit import The


@pytest.fixture
async def folk(lite: The) -> Folk:
    return Folk(lite)


async def begun(folk: Folk) -> tuple[str, str]:
    """An undo that has started, of a change of password; its handle and its code."""
    actor = await folk.create("anna@example.com")
    await folk.new_password(actor, "another horse battery staple")
    return await folk.undoing(await folk.undo_token("anna@example.com"))


async def test_signing_out_everywhere_else_does_not_end_it(folk: Folk) -> None:
    handle, code = await begun(folk)
    pending = await signin.find(folk.ctx, handle)
    thief = await folk.session(pending.tenant_id, str(pending.person_id))
    waiting = await starts.sign_in(folk.ctx, "anna@example.com", None)
    await signin.prove(folk.ctx, waiting.handle, "password", "another horse battery staple")
    await account.end_other_sessions(folk.acting(thief))
    with pytest.raises(HandleInvalid):
        await signin.finish(folk.ctx, waiting.handle, carrier="bearer")
    decision = await signin.prove(folk.ctx, handle, "email_code", code)
    assert isinstance(decision, Need)
    assert decision.enrol
    with pytest.raises(SessionEnded):
        await account.end_other_sessions(folk.acting(thief))


async def test_an_offer_of_before_is_answered_by_nobody(folk: Folk) -> None:
    """A thief has seen the secret of an app that the owner might confirm afterwards."""
    handle, code = await begun(folk)
    pending = await signin.find(folk.ctx, handle)
    thief = await folk.session(pending.tenant_id, str(pending.person_id))
    secret = unspelled((await enrolment.offer(folk.acting(thief), "totp"))["secret"])
    await signin.prove(folk.ctx, handle, "email_code", code)
    owner = await folk.session(pending.tenant_id, str(pending.person_id))
    assert await enrolment.offered(folk.acting(owner), "totp") is None
    with pytest.raises(ProofRefused):
        await enrolment.prove(folk.acting(owner), "totp", totp.code_at(secret, folk.step))
