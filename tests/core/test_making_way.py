"""Accounts that nobody has proved, at an address that another account has had, or is to have: they stop neither an undo
nor a change of address.

Not here: what an undo asks for (`test_undo`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from passgate.core import user_changes
from passgate.core.ctx import Operator
from passgate.store.tables import person
from tests.core.behind import Folk
from tests.core.claiming import EMAIL, LATER, begun, facts_of, row_of, victim
from tests.core.visitor import Visitor, letters
from tests.kit import PASSWORD, The, running, settings_for
from tests.web.browsing import rule

THIEF = "thief@example.net"


async def moved_away(folk: Folk) -> tuple[Visitor, str]:
    """The owner of an account, signed in, and its id; a thief has moved it to an address of theirs."""
    await rule(folk.the, **LATER)
    person_id = (await folk.create(EMAIL)).person_id
    owner = victim(folk)
    owner.passwords = [PASSWORD]
    assert await owner.sign_in() is not None
    thief = Visitor(folk, EMAIL, THIEF, "203.0.113.66", [PASSWORD])
    assert await thief.sign_in() is not None
    assert await thief.change_address()
    return owner, person_id


async def claimed(folk: Folk) -> str:
    """The id of an account that the thief has then begun with the address before."""
    assert await Visitor(folk, EMAIL, THIEF, "203.0.113.67").sign_up() is not None
    return str((await row_of(folk.the))["id"])


async def test_a_claim_gives_way_to_an_undo(the: The) -> None:
    folk = Folk(the)
    owner, person_id = await moved_away(folk)
    claim = await claimed(folk)
    assert await owner.undo_first() is not None
    assert [(row["id"], row["email"]) for row in await the.rows(person)] == [(person_id, EMAIL)]
    assert await owner.actor() is not None
    assert claim != person_id
    assert len(await facts_of(the, "account:deleted")) == 1


async def test_so_does_one_that_its_reader_has_taken_and_closed(tmp_path: Path) -> None:
    """They have found an empty account there, and learnt only then what happened."""
    async with running(settings_for(tmp_path, erase={"wait": "7d"})) as the:
        folk = Folk(the)
        owner, person_id = await moved_away(folk)
        await claimed(folk)
        [link, *_] = await owner.links()
        assert await owner.recover() is not None
        assert await owner.undo(link) is None, "it is a live account of theirs"
        assert await owner.delete()
        assert await owner.undo(link) is not None
        assert [(row["id"], row["email"]) for row in await the.rows(person)] == [(person_id, EMAIL)]


async def test_but_not_an_older_one(tmp_path: Path) -> None:
    """Somebody has closed it, and may restore it."""
    async with running(settings_for(tmp_path, erase={"wait": "7d"})) as the:
        folk = Folk(the)
        await folk.create("other@example.com")
        owner, _ = await moved_away(folk)
        [link] = await owner.links()
        other = Visitor(folk, "other@example.com", EMAIL, "198.51.100.1", [PASSWORD])
        assert await other.sign_in() is not None
        assert await other.change_address()
        assert await other.delete()
        assert await owner.undo(link) is None
        assert len(await the.rows(person)) == 2


async def test_an_owner_whom_somebody_has_set_up_stays(lite: The) -> None:
    """The tenant may have no other."""
    folk = Folk(lite)
    owner, _ = await moved_away(folk)
    operator = replace(folk.ctx, principal=Operator())
    await user_changes.create(operator, EMAIL, secret=None, profile=None, roles=["owner"])
    assert await owner.undo_first() is None
    assert len(await lite.rows(person)) == 2


async def test_whoever_is_still_signed_in_moves_it_back(the: The) -> None:
    folk = Folk(the)
    owner, person_id = await moved_away(folk)
    await claimed(folk)
    owner.email = THIEF
    assert await owner.change_address(EMAIL)
    assert [(row["id"], row["email"]) for row in await the.rows(person)] == [(person_id, EMAIL)]


@pytest.mark.parametrize("by_admin", [False, True])
async def test_a_change_of_address_to_ones_own_mailbox(lite: The, by_admin: bool) -> None:
    folk = Folk(lite)
    if by_admin:
        operator = replace(folk.ctx, principal=Operator())
        await user_changes.create(operator, EMAIL, secret=PASSWORD, profile=None, roles=["user"])
    else:
        await begun(folk)
    await folk.create("before@example.com")
    who = Visitor(folk, "before@example.com", EMAIL, "198.51.100.1", [PASSWORD])
    assert await who.sign_in() is not None
    assert await who.change_address()
    assert "address_known" not in [mail.kind for mail in await letters(folk, EMAIL)]
    assert len(await lite.rows(person)) == 1
    assert await who.sign_in() is not None
