"""The breach service, the hashing pool or the mail server is down or slow: the endpoint answers 503 or does not wait
for it.

Not here: databases, which are in `test_database`.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

from passgate.core import ledger
from passgate.core import outbox as outbox_queue
from passgate.store.tables import audit_event, budget, credential, outbox, sign_in, ticket
from tests.faults.test_database import unavailable
from tests.kit import OTHER_PASSWORD, PASSWORD, The, handle_of, running, settings_for
from tests.processes import deployed, together
from tests.servers import free_port


async def test_nobody_can_be_asked_about_leaks(tmp_path: Path) -> None:
    """If the breach service cannot be reached, a sign-up with a password is refused. Only its start is counted."""
    breach = {"url": f"http://127.0.0.1:{free_port()}/range/", "deadline": 1}
    async with running(settings_for(tmp_path, breach=breach)) as the:
        before = await the.everything(but=("budget",))
        assert unavailable(await the.signup("anna@example.com")) == "breach"
        assert await the.everything(but=("budget",)) == before
        assert await counted(the) == {"o:starts:127.0.0.1": 1}
        # A sign-up without a password needs no check.
        assert (await the.signup("anna@example.com", None)).status_code == 202


async def test_the_leak_service_hangs(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        breach = {"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/range/", "deadline": 1}
        async with running(settings_for(tmp_path, breach=breach)) as the:
            before, began = await the.everything(but=("budget",)), time.monotonic()
            assert unavailable(await the.signup("anna@example.com")) == "breach"
            assert time.monotonic() - began < 4
            assert await the.everything(but=("budget",)) == before
            assert await counted(the) == {"o:starts:127.0.0.1": 1}


async def counted(the: The) -> dict[str, int]:
    return {row["key"]: row["used"] for row in await the.rows(budget)}


async def test_too_much_to_hash(tmp_path: Path) -> None:
    """Requests whose hash cannot start within the deadline get 503 and begin nothing; the others are served, and so are
    all later ones."""
    slow = {"memory_kib": 96 * 1024, "passes": 4, "threads": 1, "deadline": 1}
    async with running(settings_for(tmp_path, hash=slow)) as the:
        signups = (the.signup(f"p{number}@example.com", f"{PASSWORD} {number}") for number in range(24))
        answers = await together(*signups)
        served = [answer for answer in answers if answer.status_code == 202]
        refused = [answer for answer in answers if answer.status_code != 202]
        assert served
        assert refused, "24 hashes were through within a second: make them costlier"
        assert {unavailable(answer) for answer in refused} == {"hashing"}
        for table in (sign_in, ticket, outbox):
            assert len(await the.rows(table)) == len(served)
        assert await the.rows(credential) == []
        used = await counted(the)
        assert (used["o:starts:127.0.0.1"], used["o:rows:127.0.0.1"]) == (24, len(served))
        assert (await the.signup("late@example.com", OTHER_PASSWORD)).status_code == 202


# -- mail ------------------------------------------------------------------------------------------


@dataclass
class Sink:
    """A mail server that records every message it is offered, and accepts it unless `answers` says otherwise."""

    answers: list[str] = field(default_factory=list)
    """The replies to the next messages; all later ones are accepted."""
    pause: float = 0
    offered: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.pause)
        assert isinstance(envelope.content, bytes)
        found = str(email.message_from_bytes(envelope.content, policy=email.policy.default)["Message-ID"])
        self.offered.append(found)
        answer = self.answers.pop(0) if self.answers else "250 ok"
        if answer.startswith("250"):
            self.taken.append(found)
        return answer


@asynccontextmanager
async def serving(sink: Sink, port: int) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, loop=loop, hostname="sink"), "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


async def worked(the: The) -> None:
    """One round of a worker."""
    await outbox_queue.deliver(the.gate.services, the.gate.mailer)
    await ledger.seal(the.gate.services)


async def waiting(the: The) -> list[str]:
    """The beginnings of the Message-IDs of undelivered mails."""
    return [f"<{row['id']}@" for row in await the.rows(outbox) if row["message_sealed"] is not None]


async def test_mail_server_down_then_up(tmp_path: Path, database_url: str | None) -> None:
    port, sink = free_port(), Sink(answers=["451 not now"])
    settings = settings_for(tmp_path, database_url, mail={"url": f"smtp://127.0.0.1:{port}"})
    async with running(settings) as the:
        assert (await the.signup("anna@example.com")).status_code == 202
        await worked(the)
        [anna] = await waiting(the)
        async with serving(sink, port):
            await worked(the)
            assert sink.offered == [], "it waits before it tries again"
            the.clock.forward(3)
            await worked(the)
            assert (len(sink.offered), sink.taken) == (1, [])
            the.clock.forward(11)
            await worked(the)
            assert sink.offered[0] == sink.offered[1] == sink.taken[0], "the same mail, by its Message-ID"
            assert sink.taken[0].startswith(anna)
            await worked(the)
            assert len(sink.offered) == 2
        [row] = await the.rows(outbox)
        assert (row["message_sealed"], row["attempts"]) == (None, 3)
        assert row["sent_at"] is not None
        assert "mail:failed" not in await the.events()


async def test_a_mail_too_old_to_be_of_use(tmp_path: Path) -> None:
    """A mail whose code has expired is not sent: its row is emptied, and an audit event records that."""
    settings = settings_for(tmp_path, mail={"url": f"smtp://127.0.0.1:{free_port()}"})
    async with running(settings) as the:
        handle_of(await the.signup("anna@example.com"))
        the.clock.forward(16 * 60)
        await worked(the)
        [row] = await the.rows(outbox)
        assert (row["message_sealed"], row["sent_at"]) == (None, None)
        assert "mail:failed" in await the.events()


async def test_a_slow_mail_server_slows_nobody(tmp_path: Path) -> None:
    """A slow mail server delays neither responses nor the sealing of the audit trail."""
    port, sink = free_port(), Sink(pause=2)
    async with serving(sink, port):
        mail = {"MAIL__URL": f"smtp://127.0.0.1:{port}"}
        async with deployed(tmp_path / "data", count=1, **mail) as made:
            for _ in range(6):
                began = time.monotonic()
                assert (await made.a.signup(made.address())).status_code == 202
                assert time.monotonic() - began < 1.5
            while len(sink.taken) < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            # From here on the worker has a queue of slow mails.
            await asyncio.sleep(1)
            assert (await made.a.start("anna@example.com")).status_code == 201
            async with asyncio.timeout(3):
                while any(row["seq"] is None for row in await made.a.rows(audit_event)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert len(sink.taken) < 6, "the mails were through before the trail was sealed: the sink was not slow"
            sink.pause = 0  # the server, which is to stop, first gets rid of the rest
