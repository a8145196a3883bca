"""An account whose address nobody has proved: how one comes about, and that everything which was set up before the
first proof ends with it, whoever had set it up.

Not here: what stays, and whom it stops (`test_claimed`), the same at the same moment in two processes
(`tests/races/test_address_proof`), and in any order (`tests/strangers/test_thief_and_owner`).
"""

from __future__ import annotations

from typing import Any

import pytest

from passgate.core import (
    signin,
    starts,
)
from passgate.core.policy import Enough, Need
from passgate.core.starts import Started
from passgate.errors import Refusal
from passgate.store.tables import credential, person, ticket
from tests.core.behind import Folk
from tests.core.claiming import (
    ATTACKS,
    EMAIL,
    LATER,
    WAYS,
    Claim,
    a_password,
    a_session,
    attacker,
    begun,
    by_mailed_code,
    roles_of,
    row_of,
    victim,
)
from tests.core.visitor import letters
from tests.kit import PASSWORD, The
from tests.web.browsing import rule

# -- how one comes about -----------------------------------------------------------------------------


async def test_a_session_before_the_proof(lite: The) -> None:
    folk = Folk(lite)
    who = await begun(folk)
    found = await row_of(lite)
    assert found["email_verified_at"] is None
    assert found["claimed_at"] is not None
    assert await roles_of(lite) == ["user"]
    acting = await who.actor()
    assert acting is not None
    assert (acting.amr, acting.row["email_verified_at"]) == (("pwd",), None)
    assert [mail.kind for mail in await letters(folk, EMAIL)] == ["address_claimed"]
    assert await who.sign_in() is not None


async def test_with_a_passkey(lite: The) -> None:
    await rule(lite, address_proof="later", first=["passkey", "password"])
    who = attacker(Folk(lite))
    assert await who.sign_up(by_passkey=True) is not None
    assert (await row_of(lite))["email_verified_at"] is None
    assert [row["kind"] for row in await lite.rows(credential)] == ["passkey"]
    assert await who.sign_in() is not None


async def test_the_default_asks_first(lite: The) -> None:
    who = attacker(Folk(lite))
    assert await who.sign_up() is None
    assert await lite.rows(person) == []


async def test_the_rules_of_the_moment_count(lite: The) -> None:
    """Of a sign-up that began under other rules: it may not end without the proof, and it may ask for it."""
    folk = Folk(lite)
    await rule(lite, **LATER)
    who = victim(folk)
    started = await starts.sign_up(who.ctx, EMAIL, PASSWORD, None, None, None)
    assert isinstance(started.decision, Enough)
    await rule(lite)
    with pytest.raises(Refusal) as refused:
        await signin.finish(who.ctx, started.handle, carrier="bearer")
    assert refused.value.code == "proof_missing"
    assert await lite.rows(person) == []
    asked = Started(started.handle, Need((("email_code",),)), started.expires_at)
    assert await who.go_on(asked) is not None
    assert (await row_of(lite))["email_verified_at"] is not None


async def test_begun_before_the_rules_changed(lite: The) -> None:
    who = victim(Folk(lite))
    started = await starts.sign_up(who.ctx, EMAIL, PASSWORD, None, None, None)
    await rule(lite, **LATER)
    with pytest.raises(Refusal):
        await signin.finish(who.ctx, started.handle, carrier="bearer")
    assert await who.go_on(started, is_sent=True) is not None


async def test_with_a_second_factor_for_everybody_the_address_comes_first(lite: The) -> None:
    await rule(lite, **LATER, second="always", second_among=["totp"])
    folk = Folk(lite)
    assert await attacker(folk).sign_up() is None
    assert await lite.rows(person) == []
    assert await victim(folk).sign_up() is not None
    assert (await row_of(lite))["email_verified_at"] is not None


# -- whoever proves it takes it ---------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.__name__)
async def test_whoever_reads_the_mail_takes_it(lite: The, attack: Any, way: Any) -> None:
    """And is in; of what was set up before nothing is left."""
    folk = Folk(lite)
    claim = Claim(folk, await begun(folk))
    await a_password(claim)
    await a_session(claim)
    if attack not in (a_password, a_session):
        await attack(claim)
    before = {row["id"] for row in await lite.rows(credential)}
    owner = victim(folk)
    assert await way(folk, owner) is not None
    assert await claim.left() == []
    found = await row_of(lite)
    assert found["email_verified_at"] is not None
    assert found["claimed_at"] is None
    assert await owner.actor() is not None
    alive = [row["id"] for row in await lite.rows(credential) if row["revoked_at"] is None]
    assert not before & set(alive)
    assert [row["id"] for row in await lite.rows(ticket) if row["kind"] == "undo" and not row["ended_at"]] == []
    lite.clock.forward(600)
    assert await claim.left() == []
    assert await owner.sign_in() is not None or way is by_mailed_code
