"""Sign-in links that an operator or an admin makes: one opens once and for a limited time, its person is notified by
mail, and it never counts as a second factor.

The pages for links are tested in tests/web, recovery with a link in test_recovery_lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from passgate.core import links, recovery, signin, starts
from passgate.core.policy import Enough, Need
from passgate.errors import HandleInvalid, NotFound, NotYet, PermissionMissing, Refusal, StepUpNeeded
from passgate.store.tables import ticket
from tests import operating
from tests.core.behind import Folk
from tests.core.having import disable, policy
from tests.kit import The, running, settings_for

DAY = 24 * 3600


@pytest.fixture
async def folk(the: The) -> Folk:
    return Folk(the)


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Folk]:
    """A Passgate in which an admin's link becomes usable after a day."""
    async with running(settings_for(tmp_path, recovery={"wait": "24h"})) as the:
        yield Folk(the)


def token_in(link: links.Link | None) -> str:
    assert link is not None
    head, _, token = link.url.rpartition("/")
    assert head == "http://localhost:8000/signin/link"
    assert token.startswith("pg_lnk_")
    return token


async def made_for(folk: Folk, email: str) -> str:
    return token_in(await operating.signin_link(folk.ctx, email, "main"))


async def test_it_opens_once(folk: Folk) -> None:
    email = await folk.email(await folk.create())
    token = await made_for(folk, email)
    assert token not in repr(await folk.the.everything(but=("outbox", "dev_mail")))
    assert (await links.find(folk.ctx, token))["taken_at"] is None, "a look takes nothing"
    begun = await starts.by_link(folk.ctx, token)
    assert isinstance(begun.decision, Enough)
    assert (begun.decision.amr, begun.decision.acr) == (("otp",), "urn:passgate:aal1")
    with pytest.raises(HandleInvalid):
        await starts.by_link(folk.ctx, token)
    finished = await signin.finish(folk.ctx, begun.handle, remember=True, carrier="cookie")
    assert finished.browser is None
    assert finished.opened.session["acr"] == "urn:passgate:aal1"
    events = await folk.the.events()
    assert (events.count("signin:link:made"), events.count("signin:link:proved")) == (1, 1)


async def test_fifty_at_once(folk: Folk) -> None:
    token = await made_for(folk, await folk.email(await folk.create()))
    tries = await asyncio.gather(*(starts.by_link(folk.ctx, token) for _ in range(50)), return_exceptions=True)
    opened = [found for found in tries if isinstance(found, starts.Started)]
    assert len(opened) == 1
    assert all(isinstance(found, HandleInvalid) for found in tries if not isinstance(found, starts.Started))


async def test_it_is_one_proof_and_no_second_factor(folk: Folk) -> None:
    actor = await folk.create()
    await folk.add_app(actor)
    begun = await starts.by_link(folk.ctx, await made_for(folk, await folk.email(actor)))
    assert begun.need.listed() == [["totp"]]
    proved = await signin.prove(folk.ctx, begun.handle, "totp", await folk.app_code(actor))
    assert isinstance(proved, Enough)
    assert proved.acr == "urn:passgate:aal1", "a link shows nothing that counts"


async def test_where_a_second_factor_is_always_asked_for_it_is_set_up(folk: Folk) -> None:
    await policy(folk.the, second="always")
    begun = await starts.by_link(folk.ctx, await made_for(folk, await folk.email(await folk.create())))
    assert isinstance(begun.decision, Need)
    assert begun.decision.enrol


async def test_it_is_good_for_fifteen_minutes(folk: Folk) -> None:
    email = await folk.email(await folk.create())
    token = await made_for(folk, email)
    folk.the.clock.forward(links.LIFE - 1)
    assert await links.find(folk.ctx, token)
    folk.the.clock.forward(1)
    for use in (links.find, starts.by_link):
        with pytest.raises(HandleInvalid):
            await use(folk.ctx, token)


async def test_a_newer_one_kills_it(folk: Folk) -> None:
    email = await folk.email(await folk.create())
    older, newer = await made_for(folk, email), await made_for(folk, email)
    with pytest.raises(HandleInvalid):
        await starts.by_link(folk.ctx, older)
    await starts.by_link(folk.ctx, newer)


@pytest.mark.parametrize("odd", ["", "pg_lnk_", "pg_lnk_nonsense", "pg_ses_nonsense", "pg_lnk_é", "x" * 5000])
async def test_what_is_no_link(folk: Folk, odd: str) -> None:
    for use in (links.find, starts.by_link):
        with pytest.raises(HandleInvalid):
            await use(folk.ctx, odd)


async def test_the_person_gets_a_mail_and_can_stop_it(folk: Folk) -> None:
    email = await folk.email(await folk.create())
    token = await made_for(folk, email)
    result = (await folk.the.mails(email))[0]
    assert result["kind"] == "signin_link"
    assert token not in result["text"] + str(result["html"]), "the mail stops it; it does not carry it"
    await recovery.stop(folk.ctx, str(result["link"]).rpartition("/")[2])
    with pytest.raises(HandleInvalid):
        await starts.by_link(folk.ctx, token)
    assert [row for row in await folk.the.rows(ticket) if row["taken_at"] is None is row["ended_at"]] == []


async def test_stopped_after_it_was_opened(folk: Folk) -> None:
    """Stopping a link also ends the pending sign-in that it began."""
    email = await folk.email(await folk.create())
    token = await made_for(folk, email)
    begun = await starts.by_link(folk.ctx, token)
    result = (await folk.the.mails(email))[0]
    await recovery.stop(folk.ctx, str(result["link"]).rpartition("/")[2])
    with pytest.raises(HandleInvalid):
        await signin.finish(folk.ctx, begun.handle, carrier="bearer")


async def test_nobody_disabled_gets_in(folk: Folk) -> None:
    email = await folk.email(await folk.create())
    token = await made_for(folk, email)
    await disable(folk.the, email)
    with pytest.raises(HandleInvalid):
        await starts.by_link(folk.ctx, token)
    with pytest.raises(NotFound):
        await operating.signin_link(folk.ctx, "ghost@example.com", "main")


# -- links made by an admin ------------------------------------------------------------------------


async def test_an_admins_waits(slow: Folk) -> None:
    boss, anna = await slow.create(None, "admin"), await slow.create()
    made = await operating.admins_link(slow.acting(boss), anna.person_id)
    assert made is not None
    assert made.usable_at - slow.the.clock.now == pytest.approx(DAY * 10**6, abs=1000)
    assert made.expires_at - made.usable_at == DAY * 10**6
    token = token_in(made)
    for use in (links.find, starts.by_link):
        with pytest.raises(NotYet) as early:
            await use(slow.ctx, token)
        assert early.value.usable_at == made.usable_at
        assert 0 < early.value.retry_after <= DAY
    assert (await slow.the.mails(await slow.email(anna)))[0]["kind"] == "signin_link"
    slow.the.clock.forward(DAY)
    assert isinstance((await starts.by_link(slow.ctx, token)).decision, Enough)


async def test_an_operators_waits_for_nothing(slow: Folk) -> None:
    token = await made_for(slow, await slow.email(await slow.create()))
    assert isinstance((await starts.by_link(slow.ctx, token)).decision, Enough)


async def test_an_admins_is_over_a_day_later(slow: Folk) -> None:
    boss, anna = await slow.create(None, "admin"), await slow.create()
    token = token_in(await operating.admins_link(slow.acting(boss), anna.person_id))
    slow.the.clock.forward(2 * DAY)
    with pytest.raises(HandleInvalid):
        await starts.by_link(slow.ctx, token)


@pytest.mark.parametrize(
    ("mine", "theirs", "may"),
    [
        ("owner", "user", True),
        ("owner", "admin", True),
        ("owner", "owner", True),
        ("admin", "user", True),
        ("admin", "read_only", True),
        ("admin", "admin", True),
        ("admin", "owner", False),
        ("user", "user", False),
        ("read_only", "user", False),
        ("user", "owner", False),
    ],
)
async def test_only_for_those_who_may_no_more(folk: Folk, mine: str, theirs: str, may: bool) -> None:
    boss, other = await folk.create(None, mine), await folk.create(None, theirs)
    await folk.the.mails()
    before = await folk.the.everything(but=("audit_event",))
    try:
        made = await operating.admins_link(folk.acting(boss), other.person_id)
    except PermissionMissing:
        assert not may
        assert await folk.the.everything(but=("audit_event",)) == before
        assert (await folk.the.events())[-1] == "access:refused"
    else:
        assert may
        assert (made is None) == (mine == theirs), "a link for an equal takes two"
    for somebody in (boss.person_id, "00000000-0000-7000-8000-000000000000"):
        with pytest.raises((PermissionMissing, NotFound)):
            await operating.admins_link(folk.acting(boss), somebody)


async def test_it_wants_a_fresh_proof(folk: Folk) -> None:
    boss, anna = await folk.create(None, "admin"), await folk.create()
    folk.the.clock.forward(301)
    with pytest.raises(StepUpNeeded):
        await operating.admins_link(folk.acting(boss), anna.person_id)


async def test_two_admins_do_it_to_each_other(folk: Folk) -> None:
    """Two admins make links for each other at the same time, five times: the locks cause no deadlock."""
    one, two = await folk.create(None, "admin"), await folk.create(None, "admin")
    for _ in range(5):
        made = await asyncio.gather(
            operating.admins_link(folk.acting(one), two.person_id),
            operating.admins_link(folk.acting(two), one.person_id),
        )
        assert list(made) == [None, None], "each asks for the other, and nobody has agreed"


async def test_refusals_of_a_link_reveal_nothing(slow: Folk) -> None:
    """A wrong token is refused as invalid and not as too early: only the right token reveals that a link is waiting."""
    boss, anna = await slow.create(None, "admin"), await slow.create()
    token = token_in(await operating.admins_link(slow.acting(boss), anna.person_id))
    with pytest.raises(Refusal) as odd:
        await links.find(slow.ctx, token[:-1] + ("A" if token[-1] != "A" else "B"))
    assert isinstance(odd.value, HandleInvalid)
