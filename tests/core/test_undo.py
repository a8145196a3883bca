"""Undoing each kind of change: who may, what comes back and what does not, what ends with it, and what an undo costs.

Who wins over whom, in any order, is in tests/strangers/test_thief_and_owner; the same moment is in
tests/races/test_undo.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from passgate.core import address, enrolment, jobs, people, signin, starts
from passgate.core.policy import Enough, Need
from passgate.core.undo_link import LIFE
from passgate.errors import Conflict, HandleInvalid, ProofRefused, Refusal
from passgate.store.tables import audit_event, carrier, credential, person, sign_in, ticket
from tests import operating
from tests.core.behind import Folk
from tests.core.visitor import Visitor, letters, links
from tests.kit import OTHER_PASSWORD, PASSWORD, The, running, settings_for
from tests.web.browsing import browser, led, rule

ANNA, ELSEWHERE = "anna@example.com", "elsewhere@example.com"
DAY = 24 * 3600
MORE: dict[str, Any] = {"recovery": {"wait": "24h"}, "erase": {"wait": "7d"}, "mail": {"per_hour": 1000}}


@pytest.fixture
async def slow(tmp_path: Path, database_url: str | None) -> AsyncIterator[The]:
    """Waits and erases as in production."""
    async with running(settings_for(tmp_path, database_url, **MORE)) as made:
        yield made


@pytest.fixture
async def light(tmp_path: Path) -> AsyncIterator[The]:
    """The same on SQLite alone."""
    async with running(settings_for(tmp_path, **MORE)) as made:
        yield made


async def anna_at(the: The) -> Visitor:
    """Anna, with a password and her mailbox, and a session that is fresh."""
    folk = Folk(the)
    await folk.create(ANNA)
    made = Visitor(folk, ANNA, ANNA, passwords=[PASSWORD])
    assert await made.sign_in()
    return made


async def thief_of(anna: Visitor) -> Visitor:
    """Knows the password and nothing else."""
    made = Visitor(anna.folk, ANNA, "thief@example.com", "203.0.113.66", passwords=[PASSWORD])
    assert await made.sign_in()
    return made


async def live(the: The) -> list[str]:
    """The kinds of Anna's live credentials, sorted."""
    return sorted(row["kind"] for row in await the.rows(credential) if row["revoked_at"] is None)


async def anna_now(the: The) -> dict[str, Any]:
    [row] = await the.rows(person)
    return row


async def demanded(anna: Visitor, link: str) -> list[list[str]]:
    """What an undo by this link asks for after the mailed code."""
    begun = await starts.by_undo(anna.ctx, link)
    assert begun.need.listed() == [["email_code"]]
    decision = await signin.prove(anna.ctx, begun.handle, "email_code", await anna.code() or "")
    return [] if isinstance(decision, Enough) or not isinstance(decision, Need) or decision.enrol else decision.listed()


async def is_over(anna: Visitor, link: str) -> bool:
    try:
        await starts.by_undo(anna.ctx, link)
    except HandleInvalid:
        return True
    return False


# -- each kind of change ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", ["add_app", "add_passkey", "make_codes", "change_password", "change_address", "delete"]
)
async def test_what_a_thief_of_the_password_changed(slow: The, change: str) -> None:
    """The mailbox alone takes it back: no second factor stood before. The thief is out, and a new password is set."""
    anna = await anna_at(slow)
    thief = await thief_of(anna)
    assert await getattr(thief, change)()
    [link] = await links(anna.folk, ANNA)
    anna.passwords.clear()
    assert await anna.undo(link)
    assert await live(slow) == ["password"]
    now = await anna_now(slow)
    assert (now["email"], now["disabled_at"], now["disabled_by"], now["erase_at"]) == (ANNA, None, None, None)
    assert await thief.actor() is None
    thief.email = ANNA
    assert await thief.sign_in() is None
    assert await anna.actor() is not None
    events = await slow.events()
    assert events.count("account:changes:undone") == 1
    assert events.count("account:address:undone") == (change == "change_address")
    newest = (await letters(anna.folk, ANNA))[-1]
    assert newest.kind in ("recovered", "factor_undone", "address_restored")
    assert not [one for one in await links(anna.folk, ANNA) if not await is_over(anna, one)], (
        "it has no undo of its own"
    )


async def test_a_removed_app_comes_back(light: The) -> None:
    """Also what was asked for to remove it. Somebody at an unlocked screen removes it; the undo asks for it."""
    anna = await anna_at(light)
    await anna.folk.add_app(await _actor(anna))
    anna.apps.append(await _secret(anna))
    assert await anna.sign_in()
    assert await anna.remove()
    assert await live(light) == ["password"]
    link = (await links(anna.folk, ANNA))[-1]
    assert await demanded(anna, link) == [["totp"], ["password"]]
    without = Visitor(anna.folk, ANNA, ANNA, passwords=[])
    assert await without.undo(link) is None
    assert await anna.undo(link)
    assert await live(light) == ["password", "totp"]
    assert await anna.sign_in(), "and it works"


async def _actor(anna: Visitor) -> Any:
    who = await anna.actor()
    assert who is not None
    return who


async def _secret(anna: Visitor) -> bytes:
    rows = [row for row in await anna.folk.the.rows(credential) if row["kind"] == "totp" and not row["revoked_at"]]
    return anna.folk.ctx.ring.unseal("credential", f"credential:{rows[0]['id']}", rows[0]["secret_sealed"])


async def test_a_removed_passkey_comes_back(light: The) -> None:
    anna = await anna_at(light)
    assert await anna.add_passkey()
    assert await anna.sign_in()
    who = await _actor(anna)
    [key] = [row["id"] for row in await light.rows(credential) if row["kind"] == "passkey"]
    await enrolment.remove(anna.ctx.acting(who), "passkey", key)
    link = (await links(anna.folk, ANNA))[-1]
    assert await anna.undo(link)
    assert [
        row["id"] for row in await light.rows(credential) if row["kind"] == "passkey" and not row["revoked_at"]
    ] == [key]
    assert await anna.sign_in()


async def test_unused_backup_codes_come_back(slow: The) -> None:
    """A code that was used once opens nothing a second time, before or after. A code stands for the app in the undo."""
    anna = await anna_at(slow)
    await anna.folk.add_app(await _actor(anna))
    anna.apps.append(await _secret(anna))
    assert await anna.make_codes()
    old, used = list(anna.codes), anna.codes[-1]
    anna.apps.clear()
    assert await anna.sign_in(), "with a code"
    anna.apps.append(await _secret(anna))
    assert await anna.make_codes()
    assert not {*old} & {*anna.codes}
    link = (await links(anna.folk, ANNA))[-1]
    newer, anna.apps, anna.codes, anna.passwords = anna.codes, [], [used], []
    assert await anna.undo(link) is None, "the used one"
    anna.codes = [old[0]]
    assert await anna.undo(link), "an unused one that was replaced"
    codes = [row for row in await slow.rows(credential) if row["kind"] == "recovery_code" and not row["revoked_at"]]
    assert len(codes) == 8
    for code, opens in ((newer[0], False), (used, False), (old[0], False), (old[1], True)):
        anna.codes = [code]
        assert bool(await anna.sign_in()) is opens


async def test_remembered_browsers_and_passwords_stay_gone(light: The) -> None:
    anna = await anna_at(light)
    await anna.folk.add_app(await _actor(anna))
    anna.apps.append(await _secret(anna))
    await rule(light, remember_days=30)
    started = await starts.sign_in(anna.ctx, ANNA, None)
    await signin.prove(anna.ctx, started.handle, "password", PASSWORD)
    await signin.prove(anna.ctx, started.handle, "totp", anna.app_code(anna.apps[-1]))
    done = await signin.finish(anna.ctx, started.handle, carrier="cookie", remember=True)
    assert done.browser
    anna.tokens.append(done.opened.token)
    assert "browser" in await live(light)
    assert await anna.change_password()
    link = (await links(anna.folk, ANNA))[-1]
    assert await anna.undo(link)
    assert await live(light) == ["password", "totp"]
    third = anna.passwords[-1]
    for word, is_right in ((PASSWORD, False), (anna.passwords[-2], False), (third, True)):
        anna.passwords = [word]
        assert bool(await anna.sign_in()) is is_right


# -- what goes with it, and what it asks for ---------------------------------------------------------


async def test_later_changes_go_too_and_earlier_ones_stay(slow: The) -> None:
    anna = await anna_at(slow)
    thief = await thief_of(anna)
    assert await thief.change_address("first@example.com")
    slow.clock.forward(DAY)
    thief.mailboxes.append("first@example.com")
    assert await thief.change_password()
    assert await thief.add_app()
    assert await thief.change_address("second@example.com")
    thief.mailboxes.append("second@example.com")
    assert await thief.delete()
    [owners], middle = await links(anna.folk, ANNA), await links(anna.folk, "first@example.com")
    [last] = await links(anna.folk, "second@example.com")
    assert len(middle) == 3
    assert await thief.undo(middle[2]), "the thief takes back the last two of them"
    assert (await anna_now(slow))["email"] == "first@example.com"
    assert [await is_over(thief, one) for one in (owners, *middle, last)] == [False, False, False, True, True]
    assert await anna.undo(owners)
    assert (await anna_now(slow))["email"] == ANNA
    assert await live(slow) == ["password"]
    assert all([await is_over(thief, one) for one in (owners, *middle, last)])
    undone = [row for row in await slow.rows(audit_event) if row["event"] == "account:changes:undone"]
    assert len(undone) == 2


async def test_a_thiefs_own_factor_is_not_asked_for(light: The) -> None:
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.add_passkey()
    assert await thief.change_password()
    first, second = await links(anna.folk, ANNA)
    assert await demanded(anna, second) == [["passkey"]], "it stood before the second change"
    assert await demanded(anna, first) == []


async def test_a_thiefs_app_in_place_of_the_owners_is_not_asked_for(light: The) -> None:
    """Password and mailbox together replaced the app after the waiting time; the thief then proves everything they set
    up, which is of the same kinds. It is not what stood before, so the owner's app alone answers."""
    anna = await anna_at(light)
    assert await anna.step_up(address=True)
    assert await anna.add_app()
    light.clock.forward(8 * DAY)
    thief = Visitor(anna.folk, ANNA, "thief@example.com", "203.0.113.66", [PASSWORD], mailboxes=[ANNA])
    assert await thief.recover() is None
    light.clock.forward(DAY + 60)
    assert await thief.recover()
    assert await thief.step_up(address=True)
    assert await thief.add_app()
    assert await thief.sign_in()
    assert await thief.step_up(address=True)
    assert await thief.change_password()
    [dropped, _, _] = (await links(anna.folk, ANNA))[-3:]
    assert await demanded(anna, dropped) == [["totp"]]
    assert await thief.undo(dropped) is None
    assert await anna.undo(dropped)
    assert await live(light) == ["password", "totp"]
    assert await anna.sign_in()
    assert await thief.sign_in() is None


async def test_who_proved_more_is_asked_for_more(light: The) -> None:
    """An app was added with password and address proved: the mailbox alone takes back neither that nor what was changed
    before it, and a backup code stands for no password."""
    anna = await anna_at(light)
    assert await anna.make_codes()  # with the password alone: a link without further demands, were it alone
    light.clock.forward(600)
    assert await anna.sign_in()
    assert await anna.step_up(address=True)
    assert await anna.add_app()
    before, added = await links(anna.folk, ANNA)
    mailbox = Visitor(anna.folk, ANNA, ANNA, codes=anna.codes[-2:])
    anna.codes = anna.codes[:-2]
    for link in (before, added):
        assert ["password"] in await demanded(anna, link)
        assert await mailbox.undo(link) is None
    assert "totp" in await live(light)
    assert await anna.undo(added)
    assert "totp" not in await live(light)


async def test_a_backup_code_stands_for_the_app_and_not_for_the_password(light: The) -> None:
    anna = await anna_at(light)
    await anna.folk.add_app(await _actor(anna))
    anna.apps.append(await _secret(anna))
    assert await anna.make_codes()
    assert await anna.sign_in()
    assert await anna.step_up(address=True)
    assert await anna.change_address(ELSEWHERE)
    link = (await links(anna.folk, ANNA))[-1]
    thief = Visitor(anna.folk, ANNA, ANNA, "203.0.113.66", codes=anna.codes[:3])
    assert await thief.undo(link) is None
    assert (await anna_now(light))["email"] == ELSEWHERE
    anna.apps.clear()
    assert await anna.undo(link)
    assert (await anna_now(light))["email"] == ANNA


async def test_a_lost_app_is_waited_for(light: The) -> None:
    """Two recovery methods stand for it after the waiting time, as in a recovery, and it goes."""
    anna = await anna_at(light)
    await anna.folk.add_app(await _actor(anna))
    anna.apps.append(await _secret(anna))
    assert await anna.change_address(ELSEWHERE)
    link = (await links(anna.folk, ANNA))[-1]
    anna.apps.clear()
    assert await anna.undo(link) is None
    assert (await light.events()).count("recovery:release:asked") == 1
    light.clock.forward(DAY - 60)
    assert await anna.undo(link) is None
    light.clock.forward(120)
    assert await anna.undo(link)
    assert ((await anna_now(light))["email"], await live(light)) == (ANNA, ["password"])


# -- when it works -----------------------------------------------------------------------------------


async def test_it_sleeps_while_the_account_is_disabled(light: The) -> None:
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.delete()
    [link] = await links(anna.folk, ANNA)
    begun = await starts.by_undo(anna.ctx, link)
    await operating.disable_person(anna.ctx, ANNA, "main")
    with pytest.raises(Refusal):
        await signin.prove(anna.ctx, begun.handle, "email_code", await anna.code() or "")
    assert await is_over(anna, link)
    await operating.enable_person(anna.ctx, ANNA, "main")
    assert (await anna_now(light))["disabled_by"] == people.OWNER, "closed again"
    assert await anna.undo(link)
    assert (await anna_now(light))["disabled_at"] is None


async def test_after_erasure_there_is_nothing(slow: The) -> None:
    anna = await anna_at(slow)
    thief = await thief_of(anna)
    assert await thief.add_app()
    slow.clock.forward(600)
    assert await thief.delete()
    first, last = await links(anna.folk, ANNA)
    begun = await starts.by_undo(anna.ctx, last)
    slow.clock.forward(7 * DAY)
    await jobs.tidy(slow.gate.services)
    assert await slow.rows(person) == []
    assert await slow.rows(ticket) == []
    assert await is_over(anna, first)
    assert await is_over(anna, last)
    with pytest.raises(HandleInvalid):
        await signin.find(anna.ctx, begun.handle)


async def test_a_week_and_the_middle_of_an_undo(light: The) -> None:
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.change_password()
    [link] = await links(anna.folk, ANNA)
    light.clock.forward(LIFE - 60)
    begun = await starts.by_undo(anna.ctx, link)
    code = await anna.code() or ""
    light.clock.forward(61)
    with pytest.raises(HandleInvalid):
        await signin.prove(anna.ctx, begun.handle, "email_code", code)
    assert await is_over(anna, link)
    assert "account:changes:undone" not in await light.events()


async def test_the_link_twice(slow: The) -> None:
    """Two undos of one link: the second is over as soon as the first has taken the changes back."""
    anna = await anna_at(slow)
    thief = await thief_of(anna)
    assert await thief.add_app()
    [link] = await links(anna.folk, ANNA)
    first, first_code = (await starts.by_undo(anna.ctx, link)).handle, await anna.code() or ""
    second, second_code = (await starts.by_undo(anna.ctx, link)).handle, await anna.code() or ""
    decision = await signin.prove(anna.ctx, second, "email_code", second_code)
    assert isinstance(decision, Need)
    assert decision.enrol
    with pytest.raises(HandleInvalid):
        await signin.prove(anna.ctx, first, "email_code", first_code)
    assert await is_over(anna, link)
    assert (await slow.events()).count("account:changes:undone") == 1
    await signin.prove(anna.ctx, second, "password", OTHER_PASSWORD)
    await signin.finish(anna.ctx, second, carrier="bearer")


async def test_the_old_password_opens_nothing_meanwhile(light: The) -> None:
    """Between taking back and the new password, whoever knows the old one can't come in to end it."""
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.add_app()
    [link] = await links(anna.folk, ANNA)
    begun = await starts.by_undo(anna.ctx, link)
    await signin.prove(anna.ctx, begun.handle, "email_code", await anna.code() or "")
    assert await live(light) == []
    assert await thief.sign_in() is None
    await signin.prove(anna.ctx, begun.handle, "password", OTHER_PASSWORD)
    await signin.finish(anna.ctx, begun.handle, carrier="bearer")


async def test_the_address_was_taken_meanwhile(slow: The) -> None:
    anna = await anna_at(slow)
    thief = await thief_of(anna)
    assert await thief.add_app()
    assert await thief.change_address()
    await anna.folk.create(ANNA)
    first = (await links(anna.folk, ANNA))[0]
    begun = await starts.by_undo(anna.ctx, first)
    code = await anna.code() or ""
    before = await slow.everything(but=("budget",))
    with pytest.raises(Conflict):
        await signin.prove(anna.ctx, begun.handle, "email_code", code)
    after = await slow.everything(but=("budget",))
    for table in ("person", "credential", "session", "ticket", "audit_event", "outbox"):
        assert after[table] == before[table], table


async def test_without_passwords(light: The) -> None:
    """Where only passkeys sign in, the undo goes on with a new passkey, beside those that stood before."""
    anna = await anna_at(light)
    assert await anna.step_up(address=True)
    assert await anna.add_passkey()
    await rule(light, first=["passkey"])
    light.clock.forward(8 * DAY)
    anna.passwords.clear()
    assert await anna.sign_in()
    assert await anna.change_address(ELSEWHERE)
    link = (await links(anna.folk, ANNA))[-1]
    begun = await starts.by_undo(anna.ctx, link)
    await signin.prove(anna.ctx, begun.handle, "email_code", await anna.code() or "")
    options = await signin.challenge(anna.ctx, begun.handle, "passkey")
    decision = await signin.prove(anna.ctx, begun.handle, "passkey", anna.keys[0].get(options, light.gate.settings.url))
    assert isinstance(decision, Enough)
    await signin.finish(anna.ctx, begun.handle, carrier="bearer")
    assert (await anna_now(light))["email"] == ANNA


# -- who reads and what it costs -----------------------------------------------------------------------


async def test_codes_go_to_the_old_address_only(light: The) -> None:
    """Five an hour for each link; another link has its own."""
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.add_app()
    assert await thief.change_address()
    first, second = await links(anna.folk, ANNA)
    seen = len(await letters(anna.folk, thief.own))
    for number in range(7):
        begun = await starts.by_undo(anna.ctx, first)
        await signin.challenge(anna.ctx, begun.handle, "email_code")
        assert len([one for one in await letters(anna.folk, ANNA) if one.code]) == min(2 * number + 2, 5)
    await starts.by_undo(anna.ctx, second)
    assert len([one for one in await letters(anna.folk, ANNA) if one.code]) == 6
    assert len(await letters(anna.folk, thief.own)) == seen
    light.clock.forward(3601)
    assert await anna.undo(first)


async def test_a_thiefs_link_uses_up_no_codes_of_the_owners(light: The) -> None:
    """Refused codes of a day are counted for the address that the link was mailed to."""
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.change_address()
    assert await thief.change_password()
    [mine], [theirs] = await links(anna.folk, ANNA), await links(anna.folk, thief.own)
    for _ in range(6):
        light.clock.forward(600)
        begun = await starts.by_undo(thief.ctx, theirs)
        for _ in range(10):
            with pytest.raises((ProofRefused, HandleInvalid)):
                await signin.prove(thief.ctx, begun.handle, "email_code", "00000000")
    light.clock.forward(600)
    assert await anna.undo(mine)


async def test_a_link_that_is_followed_changes_nothing(light: The) -> None:
    """A scanner of mails follows links, with GET and HEAD, and follows redirects."""
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.add_app()
    [link] = await links(anna.folk, ANNA)
    before = await light.everything()
    async with browser(light, "203.0.113.99") as scanner:
        assert (await scanner.http.head(f"/account/undo/{link}", follow_redirects=True)).status_code in (200, 405)
        page = await scanner.page(f"/account/undo/{link}")
        assert page.name == "account-undo"
    assert await light.everything() == before
    async with browser(light) as reader:
        await reader.get(f"/account/undo/{link}")
        assert led(await reader.send("/account/undo")) == "/signin/email-code"
        await reader.send("/signin/email-code", code=await anna.code() or "")
        await reader.send("/signin/password", new_password=OTHER_PASSWORD)
        assert reader.session
    assert await live(light) == ["password"]


# -- an address set back by hand -----------------------------------------------------------------------


async def test_whoever_moved_it_away_cant_undo_its_return(light: The) -> None:
    """The owner sets the address back in a session instead of following the link: no link about that goes to the thief,
    and the one that went there before is over."""
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.change_address()
    assert await thief.make_codes()
    anna.email, anna.codes = thief.own, list(thief.codes)
    assert await anna.sign_in()
    assert await anna.change_address(ANNA)
    assert (await anna_now(light))["email"] == ANNA
    theirs = await links(anna.folk, thief.own)
    assert len(theirs) == 1
    assert await is_over(thief, theirs[0])
    assert not await is_over(anna, (await links(anna.folk, ANNA))[0])


async def test_another_change_of_address_can_be_undone(light: The) -> None:
    """Whoever sets an address back without what its undo would ask for only changes it, and that can be undone."""
    anna = await anna_at(light)
    assert await anna.step_up(address=True)
    assert await anna.change_address(ELSEWHERE)  # because somebody else reads the first mailbox
    light.clock.forward(600)
    who = await anna.folk.session(*[(await anna_now(light))[name] for name in ("tenant_id", "id")])
    async with anna.ctx.write() as db:
        await db.change(update(carrier).where(carrier.c.id == who.carrier_id).values(proofs="{}"))
    bare = replace(who, proofs={"passkey": who.auth_time})
    await address.start(anna.ctx.acting(bare), ANNA)
    await address.prove(anna.ctx.acting(bare), await Visitor(anna.folk, ANNA, ANNA).code("address_code") or "")
    [link] = await links(anna.folk, ELSEWHERE)
    anna.mailboxes.append(ELSEWHERE)
    assert await anna.undo(link)
    assert (await anna_now(light))["email"] == ELSEWHERE


async def test_pending_undos_are_rows_like_others(light: The) -> None:
    """They end with an undo, and are deleted with the rest."""
    anna = await anna_at(light)
    thief = await thief_of(anna)
    assert await thief.add_app()
    [link] = await links(anna.folk, ANNA)
    await starts.by_undo(anna.ctx, link)
    light.clock.forward(2 * 3600)
    await jobs.purge(light.gate.services)
    assert [row for row in await light.rows(sign_in) if row["purpose"] == "undo"] == []
