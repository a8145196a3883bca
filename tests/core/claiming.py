"""Accounts that somebody has claimed with the address of somebody else, what an attacker may have of one, and the ways
by which the address's owner comes.

Not here: assertions of what must be.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from passgate.core import (
    account,
    address,
    invitations,
    known,
    sessions,
    signin,
    starts,
    tokens,
)
from passgate.core.ctx import Ctx, Operator
from passgate.core.policy import Enough, Need
from passgate.errors import PassgateError
from passgate.store.tables import audit_event, person, role_grant
from tests import operating
from tests.core.behind import Folk
from tests.core.visitor import Visitor, letters
from tests.kit import The
from tests.web.browsing import rule

EMAIL = "victim@example.com"
LATER: dict[str, Any] = {"address_proof": "later", "usernames": "optional", "remember_days": 30}
AT_ONCE: dict[str, Any] = {
    **LATER,
    "second_among": ["totp", "recovery_code", "email_code"],
    "mailed_second_factor": "at_once",
    "totp_at_once": True,
    "recovery_codes": {"count": 5, "mailed": True},
}
"""Second factors without a first code, for whoever has not proved the address yet."""


def attacker(folk: Folk, email: str = EMAIL) -> Visitor:
    return Visitor(folk, email, "attacker@example.com", "203.0.113.66")


def victim(folk: Folk, email: str = EMAIL) -> Visitor:
    return Visitor(folk, email, email, "198.51.100.1")


async def row_of(the: The, email: str = EMAIL) -> dict[str, Any]:
    [found] = [row for row in await the.rows(person) if row["email"] == email]
    return found


async def roles_of(the: The, email: str = EMAIL) -> list[str]:
    mine = (await row_of(the, email))["id"]
    return sorted(row["role"] for row in await the.rows(role_grant) if row["person_id"] == mine)


async def facts_of(the: The, event: str) -> list[dict[str, Any]]:
    found = [json.loads(row["facts"]) for row in await the.rows(audit_event) if row["event"] == event]
    return [{name: value for name, value in facts.items() if name != "principal"} for facts in found]


async def begun(folk: Folk) -> Visitor:
    """Somebody who has signed up with an address of somebody else."""
    await rule(folk.the, **LATER)
    who = attacker(folk)
    assert await who.sign_up() is not None
    return who


@dataclass
class Claim:
    """What an attacker has of the account before its owner comes."""

    folk: Folk
    who: Visitor
    tries: list[Callable[[], Awaitable[Any]]] = field(default_factory=list)
    """Each must be refused afterwards, and does something before."""

    async def left(self) -> list[int]:
        """The numbers of the tries that still do something."""
        found = []
        for number, one in enumerate(self.tries):
            try:
                if await one():
                    found.append(number)
            except PassgateError:
                pass
        return found


async def _acting(claim: Claim) -> Ctx:
    acting = await claim.who.acting()
    assert acting is not None
    return claim.who.ctx.acting(acting)


async def a_password(claim: Claim) -> None:
    claim.tries.append(claim.who.sign_in)


async def a_session(claim: Claim) -> None:
    token = claim.who.tokens[-1]
    claim.tries.append(lambda: sessions.find(claim.who.ctx, token))


async def a_passkey(claim: Claim) -> None:
    assert await claim.who.add_passkey()
    other = replace(claim.who, passwords=[])
    claim.tries.append(other.sign_in)


async def an_app(claim: Claim) -> None:
    assert await claim.who.add_app()


async def backup_codes(claim: Claim) -> None:
    assert await claim.who.add_app()
    assert await claim.who.make_codes()


async def a_refresh_token(claim: Claim) -> None:
    started = await starts.sign_in(claim.who.ctx, EMAIL, None)
    await signin.prove(claim.who.ctx, started.handle, "password", claim.who.passwords[-1])
    done = await signin.finish(claim.who.ctx, started.handle, carrier="jwt")
    assert done.pair is not None
    pair = done.pair
    claim.tries.append(lambda: tokens.refresh(claim.who.ctx, pair.refresh_token))
    claim.tries.append(lambda: tokens.find(claim.who.ctx, pair.access_token))


async def browsers(claim: Claim) -> None:
    """One that is remembered and skips the app, and that the budgets know."""
    assert await claim.who.add_app()
    ctx = claim.who.ctx
    started = await starts.sign_in(ctx, EMAIL, None)
    await signin.prove(ctx, started.handle, "password", claim.who.passwords[-1])
    await signin.prove(ctx, started.handle, "totp", claim.who.app_code(claim.who.apps[-1]))
    done = await signin.finish(ctx, started.handle, carrier="cookie", remember=True)
    assert done.browser
    assert done.known
    here, tenant = replace(ctx, origin=replace(ctx.origin, known=done.known)), await claim.folk.tenant()

    async def skips() -> bool:
        again = await starts.sign_in(ctx, EMAIL, None, browser=done.browser)
        decision = await signin.prove(ctx, again.handle, "password", claim.who.passwords[-1])
        return isinstance(decision, Enough)

    async def is_known() -> bool:
        async with here.read() as db:
            return await known.entry(here, db, tenant.id, identifier_key=EMAIL) is not None

    claim.tries.extend((skips, is_known))


async def an_unfinished_sign_in(claim: Claim) -> None:
    """Everything is proved, and it was not finished yet; and a step-up."""
    started = await starts.sign_in(claim.who.ctx, EMAIL, None)
    await signin.prove(claim.who.ctx, started.handle, "password", claim.who.passwords[-1])
    stepping = await starts.step_up(await _acting(claim), None)
    assert isinstance(stepping.decision, Need)
    await signin.prove(claim.who.ctx, stepping.handle, "password", claim.who.passwords[-1])
    for handle in (started.handle, stepping.handle):
        claim.tries.append(lambda handle=handle: signin.finish(claim.who.ctx, handle, carrier="bearer"))  # type: ignore[misc]


async def a_move(claim: Claim) -> None:
    """The code for another address, the attacker's own, is waiting there."""
    ctx = await _acting(claim)
    await address.start(ctx, claim.who.own)
    code = await claim.who.code("address_code")
    assert code

    async def move() -> bool:
        await address.prove(ctx, code)
        return True

    claim.tries.append(move)


async def a_username(claim: Claim) -> None:
    await account.set_username(await _acting(claim), "victor")

    async def by_name() -> Any:
        started = await starts.sign_in(claim.who.ctx, None, None, username="victor")
        return await claim.who.go_on(started)

    claim.tries.append(by_name)


async def a_link(claim: Claim) -> None:
    """An operator's, made for the attacker."""
    link = await operating.signin_link(claim.folk.ctx, EMAIL, "main", life=86_400)
    claim.tries.append(lambda: starts.by_link(claim.who.ctx, link.url.rpartition("/")[2]))


async def a_changed_password(claim: Claim) -> None:
    """And every mail about it: none has a link to undo it."""
    assert await claim.who.change_password()
    assert [mail.link for mail in await letters(claim.folk, EMAIL) if mail.kind == "password_changed"] == [None]


async def mailed_second_factors(claim: Claim) -> None:
    """Mailed codes are turned on, and backup codes are in the mailbox of somebody else."""
    await rule(claim.folk.the, **AT_ONCE)
    assert await claim.who.turn_on_mailed_codes()
    assert await claim.who.make_codes()
    assert claim.who.codes == []


async def an_app_at_once(claim: Claim) -> None:
    """With such backup codes beside it."""
    await rule(claim.folk.the, **AT_ONCE)
    assert await claim.who.add_app()
    assert await claim.who.make_codes()
    assert claim.who.codes == []


ATTACKS = (
    a_password,
    a_session,
    a_passkey,
    an_app,
    backup_codes,
    a_refresh_token,
    browsers,
    an_unfinished_sign_in,
    a_move,
    a_username,
    a_link,
    a_changed_password,
    mailed_second_factors,
    an_app_at_once,
)


async def by_sign_up(folk: Folk, who: Visitor) -> Any:
    return await who.sign_up()


async def by_recovery(folk: Folk, who: Visitor) -> Any:
    return await who.recover()


async def by_mailed_link(folk: Folk, who: Visitor) -> Any:
    await starts.recover(who.ctx, EMAIL, None)
    [mail] = [mail for mail in await letters(folk, EMAIL) if mail.kind == "recovery_code"]
    return await who.go_on(await starts.by_link(who.ctx, str(mail.link).rpartition("/")[2]))


async def by_mailed_code(folk: Folk, who: Visitor) -> Any:
    await rule(folk.the, **LATER, first=["email_code", "password", "passkey"])
    return await who.sign_in()


async def by_invitation(folk: Folk, who: Visitor) -> Any:
    operator = replace(folk.ctx, principal=Operator())
    await invitations.create(operator, EMAIL, ["read_only"])
    [mail] = [mail for mail in await letters(folk, EMAIL) if mail.kind == "invitation"]
    return await who.go_on(await starts.by_invitation(who.ctx, str(mail.link).rpartition("/")[2]))


WAYS = (by_sign_up, by_recovery, by_mailed_link, by_mailed_code, by_invitation)
