"""The three mailers: SMTP with a real server, standard output, and the mailbox in a real database.

Not here: the wording of mails, and retries, which are in tests/core/test_outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from passgate.adapters import smtp
from passgate.adapters.console import Console
from passgate.adapters.mailbox import Mailbox
from passgate.adapters.smtp import Smtp
from passgate.core.message import Mailer, MailFailed, Message
from passgate.seal import Ring
from passgate.settings import Settings
from passgate.store import SCHEMA, Store, migrate
from passgate.world import SECOND, World
from tests import mail_servers

pytestmark = pytest.mark.anyio

HTML = f'<p>Grüße, <a href="https://id.example.com/{"x" * 200}">12345678</a></p>'
MESSAGE = Message(
    id="01930000-0000-7000-8000-000000000001",
    kind="signup_code",
    to="ann@example.com",
    subject="Grüße 12345678",
    text="Grüße\n.\n.dot\n12345678 " + "x" * 1200 + "\n",
    html=HTML,
    code="12345678",
    link="https://id.example.com/l",
    created_at=1_790_000_000_123_456,
)
SENDER = '"Pässgate, Inc" <hello@id.example.com>'


@dataclass
class Sink:
    """An SMTP server that stores what it accepts; `rcpt` and `data` are its replies to these commands."""

    rcpt: str = "250 ok"
    data: str = "250 ok"
    farewell: float = 0
    """Seconds before it answers QUIT."""
    got: list[Envelope] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _o: Any
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.data.startswith("250"):
            self.got.append(envelope)
        return self.data

    async def handle_QUIT(self, _server: Any, _session: Any, _envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.farewell)
        return "221 bye"

    def login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password == b"p@ss:/", handled=False)

    def mail(self) -> email.message.EmailMessage:
        content = self.got[-1].original_content
        assert content is not None
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(parsed, email.message.EmailMessage)
        return parsed


@asynccontextmanager
async def serving(sink: Sink, *, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(sink, loop=loop, hostname="sink", **options), "127.0.0.1", 0, ssl=tls
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """A server that sends these lines, one at the start and one after each command, and then closes the connection."""
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            writer.write(answer)
            if not await reader.readline():
                break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(
        lambda reader, writer: talks.append(asyncio.ensure_future(talk(reader, writer))), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*talks)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The TLS context of a server with a certificate for 127.0.0.1, which clients trust during this test."""
    context, chain = mail_servers.certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    return context


async def refused(mailer: Mailer, message: Message = MESSAGE) -> bool:
    with pytest.raises(MailFailed) as caught:
        await mailer.send(message)
    return caught.value.permanent


def test_a_message_survives_its_json_and_hides_its_secrets() -> None:
    for message in (MESSAGE, replace(MESSAGE, html=None, code=None, link=None)):
        assert Message.from_json(message.to_json()) == message
    assert "12345678" not in repr(MESSAGE)


async def test_smtp_delivers() -> None:
    sink = Sink()
    async with serving(sink) as port:
        mailer = Smtp(f"smtp://127.0.0.1:{port}", SENDER)
        await mailer.send(MESSAGE)
        await mailer.send(MESSAGE)
    first, again = sink.got
    assert (first.mail_from, first.rcpt_tos) == ("hello@id.example.com", ["ann@example.com"])
    assert first.original_content == again.original_content
    mail = sink.mail()
    assert mail["Message-ID"] == f"<{MESSAGE.id}@id.example.com>"
    assert mail["Date"].datetime.timestamp() == MESSAGE.created_at // SECOND
    assert mail["From"].addresses[0].display_name == "Pässgate, Inc"
    assert (mail["To"], mail["Subject"]) == (MESSAGE.to, MESSAGE.subject)
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert text.get_content().splitlines() == MESSAGE.text.splitlines()
    assert html is not None
    assert html.get_content().strip() == HTML


async def test_smtp_sends_text_alone_where_there_is_no_html() -> None:
    sink = Sink()
    async with serving(sink) as port:
        await Smtp(f"smtp://127.0.0.1:{port}", "a@localhost").send(replace(MESSAGE, html=None))
    assert sink.mail().get_content_type() == "text/plain"


async def test_a_long_host_leaves_the_message_id_whole() -> None:
    sink, host = Sink(), ".".join(["x" * 50] * 4)
    async with serving(sink) as port:
        await Smtp(f"smtp://127.0.0.1:{port}", f"a@{host}").send(MESSAGE)
    assert sink.mail()["Message-ID"].strip() == f"<{MESSAGE.id}@{host}>"


async def test_starttls_and_login(certificate: ssl.SSLContext) -> None:
    sink = Sink()
    options: dict[str, Any] = {
        "tls_context": certificate,
        "require_starttls": True,
        "authenticator": sink.login,
    }
    async with serving(sink, auth_required=True, **options) as port:
        await Smtp(f"smtp+starttls://u%40x:p%40ss%3A%2F@127.0.0.1:{port}", SENDER).send(MESSAGE)
        assert not await refused(Smtp(f"smtp+starttls://u%40x:wrong@127.0.0.1:{port}", SENDER))
    assert sink.logins[0] == (b"u@x", b"p@ss:/")
    assert set(sink.logins[1:]) == {(b"u@x", b"wrong")}
    assert len(sink.got) == 1


async def test_smtps(certificate: ssl.SSLContext) -> None:
    sink = Sink()
    async with serving(sink, tls=certificate) as port:
        await Smtp(f"smtps://127.0.0.1:{port}", SENDER).send(MESSAGE)
    assert len(sink.got) == 1


async def test_starttls_is_mandatory() -> None:
    sink = Sink()
    async with serving(sink) as port:
        assert not await refused(Smtp(f"smtp+starttls://127.0.0.1:{port}", SENDER))
    assert sink.got == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_an_unknown_certificate_is_refused(
    scheme: str, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    sink = Sink()
    how: dict[str, Any] = {"tls": certificate} if scheme == "smtps" else {"tls_context": certificate}
    async with serving(sink, **how) as port:
        assert not await refused(Smtp(f"{scheme}://127.0.0.1:{port}", SENDER))
    assert sink.got == []


@pytest.mark.parametrize(
    ("sink", "permanent"),
    [
        (Sink(rcpt="550 no such user"), True),
        (Sink(rcpt="450 later"), False),
        (Sink(data="554 no"), True),
        (Sink(data="451 later"), False),
    ],
)
async def test_what_the_server_refuses(sink: Sink, permanent: bool) -> None:
    async with serving(sink) as port:
        assert await refused(Smtp(f"smtp://127.0.0.1:{port}", SENDER)) is permanent


async def test_a_refused_sender_needs_the_operator() -> None:
    async with answering(b"220 hi\r\n", b"250 ok\r\n", b"550 5.7.1 not yours\r\n") as port:
        with pytest.raises(MailFailed) as caught:
            await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(MESSAGE)
    found = caught.value
    assert (found.step, found.why, found.permanent, found.needs_operator) == ("mail", "550 5.7.1", False, True)


@pytest.mark.parametrize(
    "answers",
    [
        (b"554 go away\r\n",),
        (),
        (b"garbage\r\n",),
        (b"220 hi\r\n", b"250 ok\r\n", b"530 log in first\r\n", b"250 ok\r\n"),
        (b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n"),
    ],
)
async def test_what_is_wrong_with_the_server_may_pass(answers: tuple[bytes, ...]) -> None:
    async with answering(*answers) as port:
        assert not await refused(Smtp(f"smtp://127.0.0.1:{port}", SENDER))


async def test_nobody_listens() -> None:
    async with answering() as port:
        pass
    assert not await refused(Smtp(f"smtp://127.0.0.1:{port}", SENDER))


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passgate.adapters.smtp._TOTAL", 0.1)
    async with answering(b"") as port:
        assert not await refused(Smtp(f"smtp://127.0.0.1:{port}", SENDER))


async def test_a_slow_farewell_after_an_accepted_mail_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the mail would be sent a second time."""
    monkeypatch.setattr(smtp, "_TOTAL", 0.4)
    sink = Sink(farewell=0.6)
    async with serving(sink) as port:
        await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(MESSAGE)
    assert len(sink.got) == 1


async def test_nothing_waits_for_a_farewell_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "_FAREWELL", 0.05)
    sink = Sink(farewell=30)
    async with serving(sink) as port, asyncio.timeout(5):
        await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(MESSAGE)
    assert len(sink.got) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"to": "ann@example.com\r\nBcc: eve@example.com"},
        {"to": "ann@example.com, eve@example.com"},
        {"to": "ann@example.com> <eve@example.com"},
        {"to": "ann"},
        {"to": "@example.com"},
        {"to": "änn@"},
        {"to": "ann@[127.0.0.1]"},
        {"to": ""},
        {"subject": "Hi\nBcc: eve@example.com"},
        {"subject": "Hi\rthere"},
        {"id": "x>\r\nBcc: eve@example.com"},
    ],
)
async def test_no_header_is_smuggled_in(broken: dict[str, str]) -> None:
    sink = Sink()
    async with serving(sink) as port:
        assert await refused(Smtp(f"smtp://127.0.0.1:{port}", SENDER), replace(MESSAGE, **broken))  # type: ignore[arg-type]
    assert sink.got == []


@pytest.mark.parametrize(
    "subject",
    [
        "=?utf-8?q?Hi=0D=0ABcc:_eve@example.com?=",
        "Hi =?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?= there",
        "Grüße =?utf-8?q?=0A=0Aanother_text?= " + "lang " * 30,
        "=?utf-8?q?Hi?=",
        "a =? b",
    ],
)
@pytest.mark.parametrize("to", ["ann@example.com", "änn@example.com"])
async def test_a_subject_is_never_decoded_before_it_is_sent(subject: str, to: str) -> None:
    """The name of a service, which its owners choose, is part of a subject."""
    sink = Sink()
    async with serving(sink, enable_SMTPUTF8=True) as port:
        mailer = Smtp(f"smtp://127.0.0.1:{port}", SENDER)
        await mailer.send(replace(MESSAGE, to=to))
        names = sink.mail().keys()
        await mailer.send(replace(MESSAGE, to=to, subject=subject))
    mail = sink.mail()
    assert mail.keys() == names
    assert mail["Subject"] == subject
    assert sink.got[-1].rcpt_tos == [to]


async def test_a_long_mail_does_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, real = set(), smtp.compose

    def compose(*given: Any) -> Any:
        threads.add(threading.current_thread())
        return real(*given)

    monkeypatch.setattr(smtp, "compose", compose)
    sink = Sink()
    async with serving(sink) as port:
        await Smtp(f"smtp://127.0.0.1:{port}", SENDER).send(MESSAGE)
    assert len(sink.got) == 1
    assert threads
    assert threading.current_thread() not in threads


async def test_addresses_beyond_ascii() -> None:
    sink = Sink()
    async with serving(sink, enable_SMTPUTF8=True) as port:
        mailer = Smtp(f"smtp://127.0.0.1:{port}", SENDER)
        await mailer.send(replace(MESSAGE, to="ann@straße.example"))
        await mailer.send(replace(MESSAGE, to="änn@example.com"))
    assert [got.rcpt_tos for got in sink.got] == [["ann@xn--strae-oqa.example"], ["änn@example.com"]]
    async with serving(sink, enable_SMTPUTF8=False) as port:
        assert await refused(Smtp(f"smtp://127.0.0.1:{port}", SENDER), replace(MESSAGE, to="änn@example.com"))


@pytest.mark.parametrize("name", ["Example: Sign-in", "Acme, Inc.", "A (b) [c]; d@e", "Bücher, & Co"])
def test_the_name_of_the_sender_arrives_whole(name: str) -> None:
    """As people write it: without the quotes that RFC 5322 asks for."""
    sent = smtp.compose(MESSAGE, Smtp("smtp://mail.example.com", f"{name} <id@example.org>")._sender)
    [address] = email.message_from_bytes(sent.content, policy=email.policy.SMTP)["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "id@example.org")


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("http://mail.example.com", SENDER),
        ("smtp://", SENDER),
        ("smtp://mail.example.com:x", SENDER),
        ("smtp://mail.example.com", "nobody"),
        ("smtp://mail.example.com", "A <a@b.example>\r\nBcc: x@y.example"),
    ],
)
def test_settings_that_cannot_work(url: str, sender: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Smtp(url, sender)


async def test_the_console_shows_the_code_and_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    await Console().send(replace(MESSAGE, text="12345678\n\x1b[2Jx\n", subject="a\x1b]0;b\x07"))
    out = capsys.readouterr().out
    assert MESSAGE.to in out
    assert "12345678" in out
    assert "\x1b" not in out


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(Settings.development(data=tmp_path).database, SCHEMA)
    await migrate.upgrade(made, lock=tmp_path / "lock")
    yield made
    await made.close()


def numbered(count: int) -> Message:
    return replace(MESSAGE, id=f"01930000-0000-7000-8000-{count:012d}", code=str(count))


async def test_the_mailbox_keeps_what_it_is_sent(store: Store) -> None:
    clock = iter(range(MESSAGE.created_at, MESSAGE.created_at + 9 * SECOND, SECOND))
    world = replace(World.real(), clock=lambda: next(clock))
    ring = Ring([b"k" * 32], world)
    box = Mailbox(store, ring, world)
    assert await box.list() == []
    for count in (2, 1, 2):
        await box.send(numbered(count))
    first, second = await box.list()
    assert (first["code"], second["code"]) == ("1", "2")
    assert list(first) == ["to", "subject", "text", "html", "kind", "code", "link", "sent_at"]
    assert (second["sent_at"], second["html"]) == ("2026-09-21T14:13:20.123Z", HTML)
    assert len(await box.list(1)) == 1
    assert await box.list(-1) == []
    assert await Mailbox(store, Ring([b"other" * 8], world), world).list() == []


async def test_the_mailbox_prints_each_mail_once_and_no_escape(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World.real()
    box = Mailbox(store, Ring([b"k" * 32], world), world, Console())
    message = replace(MESSAGE, text="12345678\n\x1b[2Jx\n", subject="a\x1b]0;b\x07")
    for _ in range(2):
        await box.send(message)
    out = capsys.readouterr().out
    assert out.count("12345678") == out.count(f"To:      {MESSAGE.to}") == 1
    assert "\x1b" not in out
    assert [mail["text"] for mail in await box.list()] == [message.text]
    await Mailbox(store, Ring([b"k" * 32], world), world).send(numbered(2))
    assert capsys.readouterr().out == ""


async def test_the_mailbox_forgets_the_oldest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passgate.adapters.mailbox._LIMIT", 5)
    world = World.real()
    box = Mailbox(store, Ring([b"k" * 32], world), world)
    for count in range(8):
        await box.send(numbered(count))
    assert [mail["code"] for mail in await box.list()] == ["7", "6", "5", "4", "3"]
