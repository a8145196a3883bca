"""How often somebody may turn a second factor on without a first code, or have new backup codes made: each is mailed.

Not here: what those factors are worth (`test_at_once`).
"""

from __future__ import annotations

from typing import Any

import pytest

from passgate.core import budgets, enrolment
from passgate.core.ctx import Ctx
from passgate.core.factors import recovery_code
from passgate.errors import Throttled
from passgate.store.tables import credential
from tests.core.behind import Folk
from tests.core.claiming import EMAIL
from tests.core.having import me
from tests.core.test_at_once import PROVED, acting, sent, signed_up
from tests.kit import The, code_of
from tests.web.browsing import rule


@pytest.mark.parametrize("factor", ["email_code", "totp", "recovery_code"])
async def test_a_session_floods_no_mailbox_with_set_ups(the: The, factor: str) -> None:
    """Also a proved one. What is refused changes nothing, and an hour later there is room again."""
    folk = Folk(the)
    actor = await folk.create(EMAIL)
    _, token = await folk.opened(*actor.key)
    await rule(the, **PROVED)

    async def mine() -> Ctx:
        return folk.acting(await folk.actor_of(token))

    async def set_up() -> None:
        if factor == "recovery_code":
            await enrolment.recovery_codes(await mine())
            return
        await enrolment.offer(await mine(), factor)
        await enrolment.remove(await mine(), factor)

    for _ in range(budgets.SET_UPS_AN_HOUR):
        await set_up()
    before, mails, events = await the.rows(credential), await sent(folk), await the.events()
    with pytest.raises(Throttled) as busy:
        await set_up()
    assert 0 < busy.value.retry_after <= 3600
    assert (await the.rows(credential), await sent(folk), await the.events()) == (before, mails, events)
    with pytest.raises(Throttled):
        await enrolment.recovery_codes(await mine())
    the.clock.forward(3600)
    _, token = await folk.opened(*actor.key)
    await set_up()


async def test_the_limit_as_the_endpoint_has_it(lite: The) -> None:
    anna = await lite.person()
    await rule(lite, **PROVED)
    for _ in range(budgets.SET_UPS_AN_HOUR):
        assert (await me(lite, "POST", "email-code", anna)).status_code == 201
        assert (await me(lite, "DELETE", "email-code", anna)).status_code == 204
    for path in ("email-code", "totp", "recovery-codes"):
        refused = await me(lite, "POST", path, anna)
        assert (refused.status_code, code_of(refused)) == (429, "throttled"), path
        assert 0 < int(refused.headers["retry-after"]) <= 3600


async def test_no_code_is_hashed_for_a_set_that_may_not_be_made(the: The, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where its mail may not leave, nor where the person has made too many."""
    _, who = await signed_up(the, "email")
    mine = await acting(who)
    for _ in range(3):
        await enrolment.recovery_codes(mine)

    async def none(*_: Any) -> Any:
        pytest.fail("hashed")

    monkeypatch.setattr(recovery_code, "fresh", none)
    with pytest.raises(Throttled):
        await enrolment.recovery_codes(mine)
