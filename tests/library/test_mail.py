"""`gate.send_mail`: a host's own mails, from a job whose failures are repeated, through every mailer. The tests set
the clock.

Not here: the mailers themselves (`tests/adapters/test_mail`), and jobs (`test_jobs`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from passgate import JobRun, Passgate, Settings, errors, testing
from passgate.adapters.mailbox import Mailbox
from passgate.core import job_worker, people
from passgate.core.message import MailFailed, Message
from passgate.store.tables import job
from passgate.testing import Gate
from passgate.world import World
from tests.adapters.test_mail import Sink, answering, serving

ANN = "ann@example.com"
SECRET = "a-word-that-no-log-has"
RIGHT = {"to": ANN, "subject": "Your report", "text": "It is ready.\n", "id": "report-1"}


class Failing(testing.Mailbox):
    """A mailbox that first fails in these ways, one after the other."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures, self.ids = list(failures), list[str]()

    async def send(self, message: Message) -> None:
        self.ids.append(message.id)
        if self.failures:
            raise self.failures.pop(0)
        await super().send(message)


async def send(gate: Passgate, **given: Any) -> None:
    await gate.send_mail(**{**RIGHT, **given})


def with_job(mailbox: testing.Mailbox, **given: Any) -> tuple[Gate, Any]:
    """A gate and its job, which sends one mail to whom it is told."""
    gate = testing.gate(mailbox=mailbox, **given)

    async def report(run: JobRun, to: str) -> str:
        await gate.send_mail(to, subject="Your report", text=SECRET, id=run.id)
        return "sent"

    return gate, gate.job(report, name="report", for_strangers=True, attempts=5)


async def state(gate: Gate) -> tuple[str, int, Any]:
    async with gate.services.store.read() as db:
        [row] = await db.rows(select(job))
    return row["state"], row["attempts"], json.loads(row["result"]) if row["result"] else None


def logged(records: list[logging.LogRecord]) -> str:
    return "".join(logging.Formatter().format(record) + repr(vars(record)) for record in records)


# -- from a job ------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [MailFailed(permanent=False), errors.Unavailable("mail")])
async def test_a_job_sends_once_it_can_and_once(
    failure: Exception, database_url: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    box = Failing(failure, failure)
    gate, report = with_job(box, database_url=database_url)
    async with gate.running(work=False):
        await gate.start_job(None, report, to=ANN)
        assert await state(gate) == ("PENDING", 0, None)
        for number, pause in enumerate(job_worker.PAUSES[:2], 1):
            await gate.settle()
            assert await state(gate) == ("RETRY", number, None)
            assert box.mails == []
            gate.clock.forward(pause + 0.1)
        await gate.settle()
        assert await state(gate) == ("SUCCESS", 3, "sent")
        gate.clock.forward(hours=50)
        await gate.settle()
    [mail] = box.mails
    assert box.ids == [mail.id] * 3, "one id, so that whoever gets it twice can tell"
    assert (mail.to, mail.subject, mail.text, mail.kind) == (ANN, "Your report", SECRET, "host")
    assert (mail.html, mail.code, mail.link) == (None, None, None)
    assert SECRET not in logged(caplog.records)
    assert ANN not in logged(caplog.records)


async def test_a_job_that_never_can_ends_with_the_class_of_the_failure(caplog: pytest.LogCaptureFixture) -> None:
    box = Failing(*(MailFailed(permanent=False) for _ in range(9)))
    gate, report = with_job(box)
    async with gate.running(work=False):
        await gate.start_job(None, report, to=ANN)
        for _ in range(7):
            await gate.settle()
            gate.clock.forward(hours=3)
        assert await state(gate) == ("FAILURE", 5, {"error": "Unavailable"})
    assert ANN not in logged(caplog.records)


async def test_what_may_pass_and_what_never_will_are_two_errors() -> None:
    gate = testing.gate(mailbox=Failing(MailFailed(permanent=True), MailFailed(permanent=False)))
    async with gate.running(work=False):
        with pytest.raises(errors.Invalid) as refused:
            await send(gate)
        with pytest.raises(errors.Unavailable) as away:
            await send(gate)
        await send(gate)
    assert refused.value.fields == {"to": "value"}
    assert away.value.down == "mail"
    for failed in (refused.value, away.value):
        assert (failed.__cause__, failed.__context__) == (None, None), "the server's answer may have the address"
    assert len(gate.mailbox.mails) == 1


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": ""},
        {"to": "ann"},
        {"to": None},
        {"to": [ANN]},
        {"to": f"{ANN}\r\nBcc: eve@example.com"},
        {"to": f"{ANN}\n"},
        {"to": f"{ANN}, eve@example.com"},
        {"to": f"Ann <{ANN}>"},
        {"to": f"<{ANN}>"},
        {"to": "=?utf-8?q?=0a?=@example.com"},
        {"to": "ann@[127.0.0.1]"},
        {"to": "\ud800@example.com"},
        {"to": "a" * 65 + "@example.com"},
        {"to": "ann@" + "x" * 10_000_000},
        {"subject": ""},
        {"subject": "  "},
        {"subject": None},
        {"subject": "x" * 201},
        {"subject": "Hi\r\nBcc: eve@example.com"},
        {"subject": "Hi\nthere"},
        {"subject": "Hi\x00"},
        {"subject": "Hi\x85there"},
        {"subject": "Hi\u2028there"},
        {"subject": "Hi\ud83d"},
        {"text": ""},
        {"text": "x" * 100_001},
        {"text": b"bytes"},
        {"text": "half \ud83d"},
        {"id": ""},
        {"id": "x" * 101},
        {"id": "a\nb"},
        {"id": "a\ud83d"},
        {"id": 7},
    ],
)
async def test_a_mistake_of_the_program_sends_nothing(wrong: dict[str, Any]) -> None:
    gate = testing.gate(mailbox=Failing())
    async with gate.running(work=False):
        with pytest.raises(ValueError) as refused:
            await send(gate, **wrong)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None), "they may hold what was given"
    assert "eve" not in str(refused.value)
    assert gate.mailbox.ids == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "right",
    [
        {"subject": "x"},
        {"subject": "x" * 200},
        {"subject": "Schöne Grüße, 👨‍👩‍👧 !"},
        {"subject": "=?utf-8?q?Hi=0ABcc:_eve@example.com?="},
        {"text": "x"},
        {"text": "👍" * 100_000},
        {"text": ".\r\nBcc: eve@example.com\r\n\r\n.\r\nQUIT\r\n\x00\x1b[2J"},
        {"id": "x" * 100},
        {"id": "Rechnung Nr. 7 – ändern"},
        {"to": "ann@straße.example"},
        {"to": "änn@example.com"},
    ],
)
async def test_what_is_just_allowed_arrives_as_it_is(right: dict[str, str], tmp_path: Path) -> None:
    sink = Sink()
    async with serving(sink, enable_SMTPUTF8=True) as port:
        mail = {"url": f"smtp://127.0.0.1:{port}", "from": "Acme <id@acme.example>"}
        gate = Passgate(Settings.development(data=tmp_path, mail=mail))
        async with gate.running(work=False):
            await send(gate, **right)
    [got], mail_ = sink.got, sink.mail()
    wanted = {**RIGHT, **right}
    assert got.mail_from == "id@acme.example"
    assert got.rcpt_tos == [wanted["to"].replace("straße", "xn--strae-oqa")]
    assert mail_["Subject"] == wanted["subject"]
    assert mail_["Bcc"] is None
    assert mail_.get_content_type() == "text/plain"
    assert mail_.get_content().splitlines() == wanted["text"].splitlines()


async def test_only_while_it_runs() -> None:
    gate = testing.gate()
    with pytest.raises(RuntimeError):
        await send(gate)
    async with gate.running(work=False):
        await send(gate)
    with pytest.raises(RuntimeError):
        await send(gate)
    async with gate.running(work=False):
        await send(gate, id="another")
    assert len(gate.mailbox.mails) == 2


async def test_an_address_that_is_too_long_costs_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(people, "address", parsed.append)
    gate = testing.gate()
    async with gate.running(work=False):
        with pytest.raises(ValueError):
            await send(gate, to="x" * 309 + "@example.com")
    assert parsed == []


# -- a mail server ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sink", "error"),
    [
        (Sink(rcpt=f"550 no such user {ANN}"), errors.Invalid),
        (Sink(data="554 no"), errors.Invalid),
        (Sink(rcpt=f"450 {ANN}: later"), errors.Unavailable),
        (Sink(data="451 later"), errors.Unavailable),
    ],
)
async def test_what_a_mail_server_refuses(
    sink: Sink, error: type[errors.PassgateError], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(sink) as port:
        gate = Passgate(Settings.development(data=tmp_path, mail={"url": f"smtp://127.0.0.1:{port}"}))
        async with gate.running(work=False):
            with pytest.raises(error) as refused:
                await send(gate)
            logging.getLogger("host").error("as a host would log it", exc_info=refused.value)
    assert sink.got == []
    assert [record.permanent for record in caplog.records if record.message == "mail not sent"] == [  # type: ignore[attr-defined]
        error is errors.Invalid
    ]
    assert ANN not in logged(caplog.records)


async def test_no_mail_server_is_there(tmp_path: Path) -> None:
    async with answering() as port:
        pass
    gate = Passgate(Settings.development(data=tmp_path, mail={"url": f"smtp://127.0.0.1:{port}"}))
    async with gate.running(work=False):
        with pytest.raises(errors.Unavailable):
            await send(gate)


async def test_many_at_once(tmp_path: Path) -> None:
    sink = Sink()
    async with serving(sink) as port:
        gate = Passgate(Settings.development(data=tmp_path, mail={"url": f"smtp://127.0.0.1:{port}"}))
        async with gate.running(work=False):
            await asyncio.gather(*(send(gate, id=f"report-{n}", to=f"ann{n}@example.com") for n in range(20)))
    assert sorted(got.rcpt_tos[0] for got in sink.got) == sorted(f"ann{n}@example.com" for n in range(20))
    content = [got.original_content or b"" for got in sink.got]
    assert len({line for one in content for line in one.splitlines() if line.startswith(b"Message-ID:")}) == 20


# -- development ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "is_stored", "is_printed"), [("dev:", True, False), ("console:", False, True), ("dev+console:", True, True)]
)
async def test_where_development_puts_its_mails(
    url: str, is_stored: bool, is_printed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = Passgate(Settings.development(data=tmp_path, mail={"url": url}))
    here = httpx2.ASGITransport(gate, client=("127.0.0.1", 50000))
    async with gate.running(work=False), httpx2.AsyncClient(transport=here, base_url=gate.settings.url) as http:
        await send(gate)
        assert (await http.get("/dev/mail")).status_code == (200 if is_stored else 404)
        if is_stored:
            assert [mail["text"] for mail in (await http.get("/dev/mail.json")).json()] == [RIGHT["text"]]
    assert (RIGHT["text"] in capsys.readouterr().out) is is_printed


# -- ids -------------------------------------------------------------------------------------------


async def test_one_id_is_one_mail(database_url: str | None, tmp_path: Path) -> None:
    """In the mailbox of development, which is asked by its id, also after a restart and by another process."""
    settings = Settings.development(data=tmp_path, database_url=database_url)
    first, second = Passgate(settings), Passgate(settings)
    async with first.running(work=False), second.running(work=False):
        await asyncio.gather(*(send(gate) for gate in (first, second) for _ in range(4)))
        await send(first, id="report-2")
    async with first.running(work=False):
        await send(first)
        assert isinstance(first.mailer, Mailbox)
        assert [mail["kind"] for mail in await first.mailer.list()] == ["host", "host"]


async def test_an_id_is_none_of_ours_and_gives_away_no_name() -> None:
    boxes = [Failing(), Failing()]
    ours = World.real().uuid()
    for box in boxes:
        gate = testing.gate(mailbox=box)
        async with gate.running(work=False):
            for name in (ours, *(f"report-{number}" for number in range(50))):
                await send(gate, id=name)
    here, there = (box.ids for box in boxes)
    assert len({*here, *there}) == 102, "another installation has other ids, even for one name"
    assert all(len(one) == len(ours) == 36 and one[14] == "8" and one[19] in "89ab" for one in (*here, *there))
    assert ours[14] == "7"
