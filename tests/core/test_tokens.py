"""Token pairs: what an access token says and opens, and what becomes of a refresh family at every use of its tokens.

Not here: what is no token of ours (`tests/core/test_confusion`), keys (`test_keys`), and races (`tests/races`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import update

from passgate import access_token
from passgate.core import account, keys, refresh_token, sessions, signin, starts, tokens, users
from passgate.core.ctx import Ctx, Operator
from passgate.core.ctx import Person as Actor
from passgate.errors import (
    CredentialExpired,
    CredentialInvalid,
    PassgateError,
    RefreshReused,
    SessionEnded,
    SessionSuperseded,
    StepUpNeeded,
)
from passgate.jose import members, opened
from passgate.store.tables import carrier, session, tenant
from passgate.world import SECOND
from tests.core.behind import Folk
from tests.kit import PASSWORD, The
from tests.web.browsing import rule

BOUND = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
"""A key thumbprint."""


@dataclass
class Signed:
    """A person who has signed in for tokens."""

    folk: Folk
    actor: Actor
    pair: tokens.Pair

    @classmethod
    async def make(cls, folk: Folk, actor: Actor | None = None) -> Signed:
        who = actor or await folk.create()
        begun = await starts.sign_in(folk.ctx, await folk.email(who), None)
        await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
        pair = (await signin.finish(folk.ctx, begun.handle, carrier="jwt")).pair
        assert pair is not None
        return cls(folk, await tokens.find(folk.ctx, pair.access_token, at_any_level=True), pair)

    async def refresh(self, token: str = "", thumbprint: str | None = None) -> tokens.Pair:
        """The next pair; from then on it is the present one, unless an earlier token was given."""
        made = await tokens.refresh(self.folk.ctx, token or self.pair.refresh_token, thumbprint=thumbprint)
        if not token:
            self.pair = made
        return made

    async def bind(self) -> None:
        async with self.folk.ctx.write() as db:
            mine = update(carrier).where(carrier.c.id == self.actor.carrier_id)
            await db.change(mine.values(key_thumbprint=BOUND))

    async def find(self, token: str = "") -> Actor:
        return await tokens.find(self.folk.ctx, token or self.pair.access_token)

    async def is_dead(self, *all_tokens: tokens.Pair) -> bool:
        """Whether no token of these pairs opens or gives anything any more."""
        for pair in (self.pair, *all_tokens):
            with pytest.raises((SessionEnded, CredentialInvalid)):
                await self.find(pair.access_token)
            with pytest.raises(SessionEnded):
                await tokens.refresh(self.folk.ctx, pair.refresh_token)
        return True

    def claims(self, token: str = "") -> dict[str, Any]:
        found = self.folk.the.gate.services.keys
        _, payload = opened(token or self.pair.access_token, lambda kid: found.find(kid, self.folk.ctx.now()))
        return members(payload)


@pytest.fixture
async def folk(the: The) -> AsyncIterator[Folk]:
    yield Folk(the)


# -- access tokens ---------------------------------------------------------------------------------


async def test_an_access_token_names_who_acts(folk: Folk) -> None:
    anna = await Signed.make(folk, await folk.create(None, "admin", "user"))
    now, me = folk.ctx.now() // SECOND, anna.actor
    claims = anna.claims()
    assert claims.pop("jti")
    assert claims == {
        "iss": folk.ctx.issuer,
        "aud": folk.ctx.issuer,
        "sub": me.person_id,
        "client_id": access_token.CLIENT,
        "sid": me.session_id,
        "tenant_id": me.tenant_id,
        "roles": ["admin", "user"],
        "amr": ["pwd"],
        "acr": me.acr,
        "auth_time": now,
        "iat": now,
        "exp": now + 600,
    }
    assert anna.pair.expires_in == 600
    assert (await anna.find()).roles == ("admin", "user")


async def test_what_changed_is_found_at_every_use(folk: Folk) -> None:
    """Roles are those of now, whatever the token says; a session that ended is dead while its token is not over."""
    anna = await Signed.make(folk, await folk.create(None, "admin", "user"))
    operator = replace(folk.ctx, principal=Operator())
    await users.take_role(operator, users.User(*anna.actor.key), "admin")
    assert (await anna.find()).roles == ("user",)
    assert anna.claims()["roles"] == ["admin", "user"]
    await users.disable(operator, users.User(*anna.actor.key))
    assert await anna.is_dead()


async def test_it_is_over_in_time_and_with_its_session(folk: Folk) -> None:
    anna = await Signed.make(folk)
    folk.the.clock.forward(599)
    await anna.find()
    folk.the.clock.forward(1)
    for _ in ("remembered", "read anew"):
        with pytest.raises(CredentialExpired) as over:
            await anna.find()
        assert over.value.code == CredentialInvalid.code, "a client is told no more than of any other"
        folk.ctx.services.keys.verified.clear()
    await anna.refresh()
    async with folk.ctx.write() as db:
        soon = folk.ctx.now() + 90 * SECOND
        await db.change(update(session).where(session.c.id == anna.actor.session_id).values(expires_at=soon))
    assert (await anna.refresh()).expires_in == 90, "never longer than its session"


@pytest.mark.parametrize(("rules", "expires_in"), [({"access_life": 60}, 60), ({"access_life": 80_000}, 600)])
async def test_a_tenant_may_shorten_it(the: The, rules: dict[str, Any], expires_in: int) -> None:
    await rule(the, **rules)
    assert (await Signed.make(Folk(the))).pair.expires_in == expires_in


@pytest.mark.parametrize("seconds", [0, 30])
async def test_after_a_step_up_only_the_new_pair_acts(folk: Folk, seconds: int) -> None:
    """The session is the same one; the access token of before would have the new level otherwise."""
    anna = await Signed.make(folk)
    before = anna.pair
    folk.the.clock.forward(seconds)
    begun = await starts.step_up(folk.acting(anna.actor), None)
    await signin.prove(folk.acting(anna.actor), begun.handle, "password", PASSWORD)
    pair = (await signin.finish(folk.ctx, begun.handle, carrier="jwt")).pair
    assert pair is not None
    assert (await anna.find(pair.access_token)).session_id == anna.actor.session_id
    with pytest.raises(SessionSuperseded):
        await anna.find(before.access_token)
    with pytest.raises(RefreshReused):
        await anna.refresh(before.refresh_token)


async def test_a_fault_of_the_host_opens_nothing(folk: Folk) -> None:
    """The sign-in can be finished afterwards."""
    who = await folk.create()
    begun = await starts.sign_in(folk.ctx, await folk.email(who), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)
    await keys.signer(folk.the.gate.services)
    before = await folk.the.everything()
    with pytest.raises(ValueError, match="4096"):
        await signin.finish(with_plan(folk, 5000), begun.handle, carrier="jwt")
    assert await folk.the.everything() == before
    assert (await signin.finish(folk.ctx, begun.handle, carrier="jwt")).pair is not None


async def test_a_raised_level_asks_for_a_step_up(folk: Folk) -> None:
    anna = await Signed.make(folk)
    async with folk.ctx.write() as db:
        await db.change(update(tenant).values(policy='{"least_acr": "urn:passgate:aal2"}'))
    with pytest.raises(StepUpNeeded):
        await anna.find()
    with pytest.raises(StepUpNeeded):
        await anna.refresh()
    assert (await tokens.find(folk.ctx, anna.pair.access_token, at_any_level=True)).key == anna.actor.key
    async with folk.ctx.write() as db:
        await db.change(update(tenant).values(policy="{}"))
    await anna.refresh()


async def test_a_token_is_verified_once_and_looked_up_each_time(folk: Folk, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = await Signed.make(folk)
    await anna.find()
    monkeypatch.setattr(access_token, "read", None)
    await anna.find()
    await account.end_session(folk.acting(anna.actor), anna.actor.session_id)
    with pytest.raises(SessionEnded):
        await anna.find()


# -- a host's claims -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(access_token.OURS))
async def test_a_host_cannot_set_a_claim_of_ours(lite: The, name: str) -> None:
    services = replace(lite.gate.services, claims=lambda _person: {name: "x"})
    folk = Folk(lite)
    anna = await Signed.make(folk)
    with pytest.raises(ValueError, match=name):
        await tokens.refresh(Ctx(services), anna.pair.refresh_token)
    await anna.refresh()


def with_plan(folk: Folk, size: int) -> Ctx:
    return Ctx(replace(folk.the.gate.services, claims=lambda _person: {"plan": "x" * size}))


async def test_a_hosts_claims_are_at_most_4_kib(lite: The) -> None:
    folk = Folk(lite)
    anna = await Signed.make(folk)
    anna.pair = await tokens.refresh(with_plan(folk, 4084), anna.pair.refresh_token)
    assert anna.claims()["plan"] == "x" * 4084
    with pytest.raises(ValueError, match="4096"):
        await tokens.refresh(with_plan(folk, 4085), anna.pair.refresh_token)
    assert (await anna.refresh()).refresh_token, "a fault uses nothing up"


# -- refresh families ------------------------------------------------------------------------------


async def test_a_refresh_replaces_the_token_and_uses_the_session(folk: Folk) -> None:
    anna = await Signed.make(folk)
    folk.the.clock.forward(50 * 60)
    old, new = anna.pair, await anna.refresh()
    assert old.refresh_token != new.refresh_token
    folk.the.clock.forward(50 * 60)
    await anna.refresh()
    [row] = [row for row in await folk.the.rows(session) if row["id"] == anna.actor.session_id]
    assert row["last_used_at"] // SECOND == folk.ctx.now() // SECOND
    [family] = [row for row in await folk.the.rows(carrier) if row["id"] == anna.actor.carrier_id]
    assert (family["kind"], family["rotation"], family["generation"]) == ("jwt", 2, 1)


async def test_what_is_stored_opens_nothing(folk: Folk) -> None:
    anna = await Signed.make(folk)
    await anna.refresh()
    [family] = [row for row in await folk.the.rows(carrier) if row["id"] == anna.actor.carrier_id]
    presented = refresh_token.presented(folk.ctx.ring, anna.pair.refresh_token)
    assert presented is not None
    assert presented.hash == family["secret_hash"]
    guessed = refresh_token.minted(folk.ctx.ring, anna.actor.carrier_id, 1, family["secret_hash"])
    with pytest.raises(RefreshReused):
        await anna.refresh(guessed.token)


@pytest.mark.parametrize("later", [0, 5, 3600])
async def test_a_second_use_ends_family_and_session(folk: Folk, later: int) -> None:
    anna = await Signed.make(folk)
    first = anna.pair
    for _ in range(3):
        await anna.refresh()
    folk.the.clock.forward(later // 2)
    await anna.refresh()
    folk.the.clock.forward(later - later // 2)
    with pytest.raises(RefreshReused):
        await anna.refresh(first.refresh_token)
    assert await anna.is_dead(first)
    [row] = [row for row in await folk.the.rows(session) if row["id"] == anna.actor.session_id]
    assert row["end_reason"] == "refresh_reused"
    assert (await folk.the.events()).count("session:refresh:reused") == 1
    assert [mail["kind"] for mail in await folk.the.mails(await folk.email(anna.actor))][:1] == ["refresh_reused"]


async def test_a_token_of_the_future_ends_the_family_too(folk: Folk) -> None:
    """As after a backup was put back."""
    anna = await Signed.make(folk)
    present = refresh_token.presented(folk.ctx.ring, anna.pair.refresh_token)
    assert present is not None
    with pytest.raises(RefreshReused):
        await anna.refresh(present.successor(folk.ctx.ring).token)
    assert await anna.is_dead()


@pytest.mark.parametrize(("later", "thumbprint", "is_same"), [(9, BOUND, True), (11, BOUND, False), (1, None, False)])
async def test_a_bound_family_may_ask_again(folk: Folk, later: int, thumbprint: str | None, is_same: bool) -> None:
    anna = await Signed.make(folk)
    await anna.bind()
    first = anna.pair
    second = await anna.refresh(thumbprint=BOUND)
    folk.the.clock.forward(later)
    if not is_same:
        with pytest.raises(RefreshReused):
            await anna.refresh(first.refresh_token, thumbprint)
        assert await anna.is_dead()
        return
    again = await anna.refresh(first.refresh_token, thumbprint)
    assert again.refresh_token == second.refresh_token
    await anna.find(again.access_token)
    third = await anna.refresh(thumbprint=BOUND)
    with pytest.raises(RefreshReused):
        await anna.refresh(first.refresh_token, thumbprint)
    assert await anna.is_dead(third)


async def test_a_bound_family_needs_its_key(folk: Folk) -> None:
    """Without it nothing is used up, and nothing ends."""
    anna = await Signed.make(folk)
    await anna.bind()
    for thumbprint in (None, "another"):
        with pytest.raises(CredentialInvalid):
            await anna.refresh(thumbprint=thumbprint)
    await anna.refresh(thumbprint=BOUND)


async def test_refresh_tokens_expire(the: The) -> None:
    folk = Folk(the)
    await rule(the, refresh_life=1800)
    anna = await Signed.make(folk)
    for _ in range(3):
        folk.the.clock.forward(1799)
        await anna.refresh()
    folk.the.clock.forward(1800)
    with pytest.raises(SessionEnded):
        await anna.refresh()


async def test_refreshing_does_not_prolong_the_longest_life(lite: The) -> None:
    anna = await Signed.make(Folk(lite))
    for _ in range(28):
        lite.clock.forward(50 * 60)
        await anna.refresh()
    lite.clock.forward(40 * 60)
    with pytest.raises(SessionEnded):
        await anna.refresh()
    assert await anna.is_dead()


ENDS = {
    "ended": lambda anna: account.end_session(anna.folk.acting(anna.actor), anna.actor.session_id),
    "password": lambda anna: account.set_password(anna.folk.acting(anna.actor), "four green kettles sing"),
    "elsewhere": lambda anna: account.end_other_sessions(anna.folk.acting(anna.other)),
}


@pytest.mark.parametrize("name", ENDS)
async def test_what_ends_the_session_ends_the_family(folk: Folk, name: str) -> None:
    anna = await Signed.make(folk)
    anna.other = await folk.session(*anna.actor.key)  # type: ignore[attr-defined]
    acts = replace(anna, actor=anna.other) if name == "password" else anna  # type: ignore[attr-defined]
    acts.other = anna.other  # type: ignore[attr-defined]
    await ENDS[name](acts)
    assert await anna.is_dead()


@pytest.mark.parametrize("token", ["", "pg_rt_", "pg_rt_" + "A" * 96, "eyJhbGciOiJub25lIn0..", "x" * 1024])
async def test_what_is_no_refresh_token_changes_nothing(folk: Folk, token: str) -> None:
    before = await folk.the.everything()
    with pytest.raises(PassgateError) as refused:
        await tokens.refresh(folk.ctx, token)
    assert refused.value.code == CredentialInvalid.code
    assert await folk.the.everything() == before


async def test_no_family_is_made_while_nothing_can_sign(folk: Folk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign-in is not used up, and can be finished afterwards."""
    who = await folk.create()
    begun = await starts.sign_in(folk.ctx, await folk.email(who), None)
    await signin.prove(folk.ctx, begun.handle, "password", PASSWORD)

    async def lost(_services: object) -> None:
        raise CredentialInvalid

    with monkeypatch.context() as patched:
        patched.setattr(keys, "signer", lost)
        with pytest.raises(CredentialInvalid):
            await signin.finish(folk.ctx, begun.handle, carrier="jwt")
    assert (await signin.finish(folk.ctx, begun.handle, carrier="jwt")).pair is not None
    assert sessions.PREFIX not in repr(begun)
