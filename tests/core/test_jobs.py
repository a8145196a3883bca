"""The purge job: which rows it deletes, and when. Delivery is tested in test_outbox, sealing in test_audit.

The tests set the clock and never wait.
"""

from __future__ import annotations

import pytest

from passgate.core import jobs, outbox, sessions, signin, starts
from passgate.core.message import Message
from passgate.errors import ProofRefused
from passgate.store.tables import audit_event, budget, credential, person, session, sign_in, ticket
from passgate.store.tables import outbox as mails
from passgate.world import SECOND
from tests.core.behind import OLDER, Folk
from tests.kit import The

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600


class Anywhere:
    async def send(self, message: Message) -> None:
        assert message.to


async def counted(the: The) -> tuple[int, ...]:
    """The number of rows: pending sign-ins, tickets, mails, sessions."""
    return tuple([len(await the.rows(table)) for table in (sign_in, ticket, mails, session)])


async def test_what_is_over_goes_in_its_time(the: The) -> None:
    """Pending sign-ins and tickets are purged an hour after their end (a mailed code lives 10 minutes, the sign-in 15,
    the link beside the code an hour), mails and sessions a month after theirs."""
    folk, services = Folk(the), the.gate.services
    actor = await folk.create("anna@example.com")
    await starts.recover(folk.ctx, "anna@example.com", None)
    await outbox.deliver(services, Anywhere())
    begun = the.clock.now
    assert await counted(the) == (1, 2, 1, 1)
    for end, left in ((10 * MINUTE, (1, 1, 1, 1)), (15 * MINUTE, (0, 1, 1, 1)), (HOUR, (0, 0, 1, 1))):
        before = await counted(the)
        the.clock.now = begun + (end + HOUR - 1) * SECOND
        await jobs.purge(services)
        assert await counted(the) == before, end
        the.clock.forward(2)
        await jobs.purge(services)
        assert await counted(the) == left, end
    async with folk.ctx.write() as db:
        await sessions.end(folk.acting(actor), db, actor.session_id)
    ended = the.clock.now
    for end, left in ((begun, (0, 0, 0, 1)), (ended, (0, 0, 0, 0))):
        before = await counted(the)
        the.clock.now = end + (30 * DAY - 1) * SECOND
        await jobs.purge(services)
        assert await counted(the) == before, "an ended session still tells a known device from a new one"
        the.clock.forward(2)
        await jobs.purge(services)
        assert await counted(the) == left


async def test_people_and_the_trail_are_never_purged(lite: The) -> None:
    folk = Folk(lite)
    await folk.create()
    before = [await lite.rows(table) for table in (person, credential, audit_event)]
    lite.clock.forward(1000 * DAY)
    await jobs.purge(lite.gate.services)
    assert [await lite.rows(table) for table in (person, credential, audit_event)] == before


async def test_a_mail_that_still_waits_stays(lite: The) -> None:
    """An unsent mail is not purged, however old: delivery gives it up first and records that."""
    folk = Folk(lite)
    await starts.recover(folk.ctx, "anna@example.com", None)
    lite.clock.forward(60 * DAY)
    await jobs.purge(lite.gate.services)
    assert len(await lite.rows(mails)) == 1
    await outbox.deliver(lite.gate.services, Anywhere())
    await jobs.purge(lite.gate.services)
    assert await lite.rows(mails) == []


async def test_a_live_session_stays(lite: The) -> None:
    folk = Folk(lite)
    actor = await folk.create()
    lite.clock.forward(HOUR - 2)
    await jobs.purge(lite.gate.services)
    assert [row["id"] for row in await lite.rows(session)] == [actor.session_id]


async def test_refusals_of_a_person_persist(lite: The) -> None:
    """Those of an unknown address end after a day, like every wait, and so do counts of origins after their window."""
    folk = Folk(lite)
    actor = await folk.create()
    for email in (await folk.email(actor), "nobody@example.com"):
        begun = await starts.sign_in(folk.ctx, email, None)
        with pytest.raises(ProofRefused):
            await signin.prove(folk.ctx, begun.handle, "password", "wrong")

    async def purged(seconds: int) -> list[str]:
        lite.clock.forward(seconds)
        await jobs.purge(lite.gate.services)
        return sorted(":".join(row["key"].split(":")[:2]) for row in await lite.rows(budget))

    of_a_day = ["n:stranger", "n:stranger", "w:password", "w:password"]
    assert await purged(10 * MINUTE) == [*of_a_day[:2], "o:bytes", "o:rows", *of_a_day[2:]]
    assert await purged(HOUR) == of_a_day
    assert await purged(400 * DAY) == ["n:stranger"]
    [row] = await lite.rows(budget)
    assert (row["key"], row["used"]) == (f"n:stranger:password:{actor.person_id}", 1)


async def test_tidying_gives_the_hasher_the_schemes_in_use(lite: The) -> None:
    folk = Folk(lite)
    await folk.create(hashed=OLDER)
    hasher = lite.gate.services.hasher
    assert hasher._schemes == {hasher.scheme}
    await jobs.tidy(lite.gate.services)
    assert hasher._schemes == {hasher.scheme, f"m={OLDER.memory_kib},t={OLDER.passes}"}


async def test_what_is_counted_is_logged_and_begins_anew(lite: The, caplog: pytest.LogCaptureFixture) -> None:
    """Starts and tries that came too soon are in one log line, without an address, and not in the trail."""
    await lite.start("anna@example.com")
    with caplog.at_level("INFO", "passgate.core.jobs"):
        await jobs.log_tally(lite.gate.services)
        await jobs.log_tally(lite.gate.services)
    [line] = [record for record in caplog.records if record.name == "passgate.core.jobs"]
    assert vars(line)["counts"] == {"started_signin": 1}
    assert "anna" not in line.getMessage()
    assert await lite.events() == []
