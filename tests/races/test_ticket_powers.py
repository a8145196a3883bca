"""Every kind of ticket is spent while its maker or its person is disabled, demoted, promoted or deleted, or the policy
changes: after the change the ticket opens what its maker may still give to that person as both are now, and nothing
else; at the same moment one of the two comes first, whole.

Links and their makers in detail, stopped in the middle of a transaction, are in test_link_powers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import passgate
from passgate.core import account, address, admin, enrolment, factor_reset, invitations, recovery, signin, starts, users
from passgate.core.ctx import Ctx
from passgate.core.ctx import Person as Actor
from passgate.core.factors import totp
from passgate.core.message import Message
from passgate.core.users import User
from passgate.errors import Refusal
from passgate.store.tables import outbox, session, sign_in, ticket
from passgate.world import SECOND
from tests import operating
from tests.authenticator import Authenticator
from tests.core.behind import Folk
from tests.kit import PASSWORD
from tests.processes import together
from tests.races.other_process import OtherProcess, other_process
from tests.races.test_used_once import Twins, twins, two_gates
from tests.web.browsing import rule

__all__ = ["twins"]

ON, OFF = {"first": ["password", "passkey", "email_code"]}, {"first": ["password", "passkey"]}
Spend = Callable[[Ctx], Awaitable[object]]


@dataclass
class Scene:
    """Two admins and a person, the mails to read, and an owner who stays."""

    twins: Twins
    folk: Folk
    owner: Actor
    maker: Actor
    second: Actor
    target: Actor

    @property
    def ctx(self) -> Ctx:
        return self.twins.ctxs[0]

    async def email(self, who: Actor) -> str:
        return await self.folk.email(who)

    async def message(self, kind: str) -> Message:
        """The newest mail of a kind."""
        rows = [row for row in await self.folk.the.rows(outbox) if row["kind"] == kind and row["message_sealed"]]
        newest = max(rows, key=lambda row: str(row["id"]))
        return Message.from_json(self.ctx.ring.unseal("outbox", f"outbox:{newest['id']}", newest["message_sealed"]))

    async def token(self, kind: str) -> str:
        return str((await self.message(kind)).link).rpartition("/")[2]


async def scene(twins: Twins, *, target: str = "user") -> Scene:
    folk = Folk(twins.the)
    await rule(twins.the, **ON)
    owner, maker, second, person = [await folk.create(None, role) for role in ("owner", "admin", "admin", target)]
    return Scene(twins, folk, *[await folk.strong(one) for one in (owner, maker, second, person)])


# -- every kind of ticket, and how it is spent -----------------------------------------------------


async def link(at: Scene) -> Spend:
    made = await operating.admins_link(at.ctx.acting(at.maker), at.target.person_id)
    assert made is not None
    at.twins.the.clock.now = made.usable_at + SECOND
    return lambda ctx: starts.by_link(ctx, made.url.rpartition("/")[2])


async def link_begun(at: Scene) -> Spend:
    """The link is open already; finishing spends its power once more."""
    begun: Any = await (await link(at))(at.ctx)
    return lambda ctx: signin.finish(ctx, begun.handle, carrier="bearer")


async def link_asked(at: Scene) -> Spend:
    """The second admin makes the link that the first has asked for, and it is opened."""
    assert await operating.admins_link(at.ctx.acting(at.maker), at.target.person_id) is None

    async def spend(ctx: Ctx) -> object:
        made = await operating.admins_link(ctx.acting(at.second), at.target.person_id)
        if made is None:  # the first one's request is gone with its maker
            raise Refusal
        at.twins.the.clock.now = made.usable_at + SECOND
        return await starts.by_link(ctx, made.url.rpartition("/")[2])

    return spend


async def reset(at: Scene) -> Spend:
    usable_at = await users.reset_factors(at.ctx.acting(at.maker), User(*at.target.key))
    assert usable_at is not None
    at.twins.the.clock.now = usable_at + SECOND
    return lambda ctx: _run_due(at, ctx)


async def reset_asked(at: Scene) -> Spend:
    """The second admin asks for what the first has asked for, and it is done."""
    assert await users.reset_factors(at.ctx.acting(at.maker), User(*at.target.key)) is None

    async def spend(ctx: Ctx) -> None:
        usable_at = await users.reset_factors(ctx.acting(at.second), User(*at.target.key))
        if usable_at is None:
            raise Refusal
        at.twins.the.clock.now = usable_at + SECOND
        await _run_due(at, ctx)

    return spend


async def _run_due(at: Scene, ctx: Ctx) -> None:
    """The job that resets what has waited. Refusal if the target's factors were not reset."""
    await factor_reset.run_due(ctx.services)
    rows = [row for row in await at.folk.the.rows(ticket) if row["bound_to"] == at.target.person_id]
    if not any(row["kind"] == "reset" and row["taken_at"] for row in rows):
        raise Refusal


async def mailed_link(at: Scene) -> Spend:
    await starts.recover(at.ctx, await at.email(at.target), None)
    token = await at.token("recovery_code")
    return lambda ctx: starts.by_link(ctx, token)


async def mailed_code(at: Scene) -> Spend:
    begun = await starts.recover(at.ctx, await at.email(at.target), None)
    code = str((await at.message("recovery_code")).code)
    return lambda ctx: signin.prove(ctx, begun.handle, "email_code", code)


async def sign_in_link(at: Scene) -> Spend:
    begun = await starts.sign_in(at.ctx, await at.email(at.target), None)
    await signin.challenge(at.ctx, begun.handle, "email_code")
    token = await at.token("signin_code")
    return lambda ctx: starts.by_link(ctx, token)


async def sign_in_code(at: Scene) -> Spend:
    begun = await starts.sign_in(at.ctx, await at.email(at.target), None)
    await signin.challenge(at.ctx, begun.handle, "email_code")
    code = str((await at.message("signin_code")).code)
    return lambda ctx: signin.prove(ctx, begun.handle, "email_code", code)


async def stop(at: Scene) -> Spend:
    await operating.signin_link(at.ctx, await at.email(at.target), "main")
    token = await at.token("signin_link")
    return lambda ctx: recovery.stop(ctx, token)


async def drop_lost(at: Scene) -> Spend:
    """Two other ways were proved a day ago; proved again they replace the lost app."""
    await at.folk.add_app(at.target)
    await _two_ways(at, last=True)
    at.twins.the.clock.forward(hours=24, seconds=1)
    return await _two_ways(at, last=False)


async def _two_ways(at: Scene, *, last: bool) -> Spend:
    begun = await starts.recover(at.ctx, await at.email(at.target), None)
    await signin.prove(at.ctx, begun.handle, "email_code", str((await at.message("recovery_code")).code))

    async def second(ctx: Ctx) -> object:
        return await signin.prove(ctx, begun.handle, "password", PASSWORD)

    if last:
        await second(at.ctx)
    return second


async def address_code(at: Scene) -> Spend:
    await address.start(at.ctx.acting(at.target), f"new-{at.target.person_id[-8:]}@example.com")
    code = str((await at.message("address_code")).code)
    return lambda ctx: address.prove(ctx.acting(at.target), code)


async def address_undo(at: Scene) -> Spend:
    await (await address_code(at))(at.ctx)
    rows = [row for row in await at.folk.the.rows(outbox) if row["kind"] == "address_changed"]
    opened = [
        Message.from_json(at.ctx.ring.unseal("outbox", f"outbox:{row['id']}", row["message_sealed"])) for row in rows
    ]
    token = str(next(mail.link for mail in reversed(opened) if mail.link)).rpartition("/")[2]
    handle, code = await at.folk.undoing(token)
    return lambda ctx: signin.prove(ctx, handle, "email_code", code)


async def passkey_challenge(at: Scene) -> Spend:
    key = Authenticator()
    await at.folk.add_passkey(at.target, key)
    begun = await starts.sign_in(at.ctx, await at.email(at.target), None)
    options = await signin.challenge(at.ctx, begun.handle, "passkey")
    answer = key.get(options, at.ctx.settings.url)
    return lambda ctx: signin.prove(ctx, begun.handle, "passkey", answer)


async def passkey_offer(at: Scene) -> Spend:
    offered = await enrolment.offer(at.ctx.acting(at.target), "passkey")
    answer = Authenticator().create(offered, at.ctx.settings.url)
    return lambda ctx: enrolment.prove(ctx.acting(at.target), "passkey", answer)


async def app_offer(at: Scene) -> Spend:
    offered = await enrolment.offer(at.ctx.acting(at.target), "totp")
    code = totp.code_at(base64.b32decode(offered["secret"]), at.folk.step)
    return lambda ctx: enrolment.prove(ctx.acting(at.target), "totp", code)


async def mailed_offer(at: Scene) -> Spend:
    """The code that turns mailed codes on."""
    await rule(at.folk.the, second_among=["totp", "email_code"], mailed_second_factor="enrolled")
    await enrolment.offer(at.ctx.acting(at.target), "email_code")
    code = await at.folk.code()
    return lambda ctx: enrolment.prove(ctx.acting(at.target), "email_code", code)


async def invitation(at: Scene) -> Spend:
    """Somebody who is in the tenant already opens it; the link begins their sign-in."""
    await invitations.create(at.ctx.acting(at.maker), await at.email(at.target), ["read_only"])
    token = await at.token("invitation")
    return lambda ctx: starts.by_invitation(ctx, token)


async def invitation_begun(at: Scene) -> Spend:
    """They have signed in; finishing gives the roles."""
    begun: Any = await (await invitation(at))(at.ctx)
    await signin.prove(at.ctx, begun.handle, "password", PASSWORD)
    return lambda ctx: signin.finish(ctx, begun.handle, carrier="bearer")


async def invitation_set_up(at: Scene) -> Spend:
    """Somebody new: their first way in creates them with the roles."""
    await invitations.create(at.ctx.acting(at.maker), f"new-{at.maker.person_id[-8:]}@example.com", ["admin"])
    begun = await starts.by_invitation(at.ctx, await at.token("invitation"))
    return lambda ctx: signin.prove(ctx, begun.handle, "password", PASSWORD)


OF_MAKERS = (link, link_begun, link_asked, reset, reset_asked, invitation, invitation_begun, invitation_set_up)
OF_MAIL_SIGN_IN = (sign_in_link, sign_in_code)
OF_SESSION = (address_code, passkey_offer, app_offer, mailed_offer)
"""They change one's own account, which takes a role that may."""
KINDS = (
    *OF_MAKERS,
    *OF_MAIL_SIGN_IN,
    mailed_link,
    mailed_code,
    stop,
    drop_lost,
    address_code,
    address_undo,
    passkey_challenge,
    passkey_offer,
    app_offer,
    mailed_offer,
)


# -- what changes meanwhile ------------------------------------------------------------------------


async def disable(at: Scene, ctx: Ctx, who: Actor) -> None:
    await operating.disable_person(ctx, await at.email(who), "main")


async def demote(at: Scene, ctx: Ctx, who: Actor) -> None:
    for role in ("admin", "user"):
        await operating.take_role(ctx, await at.email(who), role, "main")


async def promote(at: Scene, ctx: Ctx, who: Actor) -> None:
    await operating.give_role(ctx, await at.email(who), "owner", "main")


async def delete(_at: Scene, ctx: Ctx, who: Actor) -> None:
    await account.delete(ctx.acting(who))


async def change_policy(at: Scene, ctx: Ctx, _who: Actor) -> None:
    await admin.change_policy(ctx.acting(at.owner), at.owner.tenant_id, OFF)


CHANGES = (disable, demote, promote, delete, change_policy)


def opens(kind: Any, change: Any, *, is_maker: bool) -> bool:
    """Whether a ticket of this kind still opens after the change."""
    if change is change_policy:
        return kind not in OF_MAIL_SIGN_IN
    if is_maker:
        return kind not in OF_MAKERS or change is promote
    if kind is invitation_set_up:  # it is about nobody who is in the tenant
        return True
    if change is promote:
        return kind not in OF_MAKERS
    return change is demote and kind not in OF_SESSION


async def settled(twins: Twins, kind: Any) -> tuple[Scene, Spend]:
    at = await scene(twins, target="admin" if kind in (link_asked, reset_asked) else "user")
    spend = await kind(at)
    # The clock may have moved by a day: whoever acts now acts in a fresh session.
    at.owner, at.maker, at.second = [await at.folk.strong(one) for one in (at.owner, at.maker, at.second)]
    if kind not in (address_code, passkey_offer):
        at.target = await at.folk.strong(at.target)
    return at, spend


async def outcome(action: Awaitable[object]) -> bool:
    """Whether it was done; a refusal is an answer, anything else is a fault."""
    try:
        await action
    except Refusal:
        return False
    return True


CASES = [(change, is_maker) for change in CHANGES for is_maker in (False, True)]


@pytest.fixture
async def lite_twins(tmp_path: Path) -> AsyncIterator[Twins]:
    """Twins on SQLite, where one thing comes after the other and the database decides nothing."""
    async with two_gates(tmp_path, None) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_after_the_change(lite_twins: Twins, kind: Any) -> None:
    twins = lite_twins
    here, there = twins.ctxs
    for change, is_maker in CASES:
        at, spend = await settled(twins, kind)
        await change(at, there, at.maker if is_maker else at.target)
        expected = opens(kind, change, is_maker=is_maker)
        assert await outcome(spend(here)) is expected, (kind.__name__, change.__name__, is_maker)


@pytest.fixture
async def elsewhere(twins: Twins, tmp_path: Path, database_url: str | None) -> AsyncIterator[OtherProcess]:
    """A process of its own over the same database, which the twins have migrated."""
    assert twins.ctxs
    async with other_process(tmp_path, database_url) as made:
        yield made


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_at_the_same_moment(
    twins: Twins, elsewhere: OtherProcess, database_url: str | None, kind: Any, step: int
) -> None:
    """The ticket is spent in this process while another one makes the change: half of the cases on SQLite, the other
    half on PostgreSQL, and the other way about for the next kind; all of them on both in the long run."""
    here, turn = twins.ctxs[0], KINDS.index(kind) + (database_url is None)
    cases = [case for number, case in enumerate(CASES) if (number + number // 2 + turn) % step == 0]
    for change, is_maker in cases:
        at, spend = await settled(twins, kind)
        who = at.maker if is_maker else at.target
        order = (change.__name__, who, at.owner, await at.email(who), twins.the.clock.now + SECOND)
        is_spent, is_changed = await together(outcome(spend(here)), elsewhere.change(*order))
        case = (kind.__name__, change.__name__, is_maker)
        # An operator names people by their address, which two kinds of ticket change; one waits a day before it opens.
        # A recovery that drops factors ends the session in which somebody would delete the account.
        has_ended_it = kind in (drop_lost, reset, reset_asked) and change is delete
        may_stay = (address_code, address_undo, link_asked, reset_asked)
        assert is_changed or (is_spent and (has_ended_it or kind in may_stay)), case
        assert is_spent or not opens(kind, change, is_maker=is_maker) or change is delete, case
        if not is_maker and change in (disable, delete) and is_changed:
            assert await left(at) == [], case


async def left(at: Scene) -> list[str]:
    """What could still act as the person: live sessions and pending sign-ins."""
    who = at.target.person_id
    sessions = [row["id"] for row in await at.folk.the.rows(session) if row["person_id"] == who and not row["ended_at"]]
    pending = [row["id"] for row in await at.folk.the.rows(sign_in) if row["person_id"] == who]
    unfinished = [
        row["id"] for row in await at.folk.the.rows(sign_in) if row["id"] in pending and not row["finished_at"]
    ]
    return [*sessions, *unfinished]


async def test_every_kind_of_ticket_is_here(twins: Twins) -> None:
    """The kinds in the table after all of them were made are those that the source issues."""
    for kind in KINDS:
        await settled(twins, kind)
    kinds = {row["kind"] for row in await twins.the.rows(ticket)}
    source = "".join(path.read_text() for path in (Path(passgate.__file__).parent / "core").rglob("*.py"))
    calls = len(re.findall(r"(?:once|mailed_code|mailed_link)\.issue\(", source))
    assert (len(kinds), calls) == (15, 15), kinds
