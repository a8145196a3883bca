"""Example 3: a whole story with the log at its most talkative: nothing secret is in any line of any logger.

Not here: what is logged, and the access log of the server (start).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from passgate.core.message import MailFailed, Message
from passgate.testing import Mailbox
from tests.examples.two_factor import Service, new_gate, pair, service, variables
from tests.kit import PASSWORD

WRONG = "wrong battery horse staple"
NAMES = ("tfa_token=", "tfa_backup_token=", "task_id=", "access_token=")
"""Of queries."""


class Noisy(Mailbox):
    """A mailbox that fails at every first attempt, with all that a mail server might say."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: set[str] = set()

    async def send(self, message: Message) -> None:
        if message.id not in self.tried:
            self.tried.add(message.id)
            raise MailFailed(permanent=False) from OSError(f"550 {message.to} {message.text}")
        await super().send(message)


@pytest.fixture
def talkative(caplog: pytest.LogCaptureFixture) -> Iterator[Service]:
    found = variables()
    with caplog.at_level(logging.DEBUG), service(new_gate(found, mailbox=Noisy(), log_level="debug"), found) as made:
        yield made


def story(made: Service, device: str) -> set[str]:
    """A story with every endpoint and many refusals; all that nobody else may know."""
    who = made.person(device)
    made.settle()
    made.forward(minutes=2)
    made.enter(who.email, WRONG)
    first = made.first(who)
    made.settle()
    made.forward(minutes=2)
    codes = [made.code(who), "987654", *made.backup(who.email)]
    made.second(first, codes[1])
    made.second(f"{first}x", codes[0])
    made.second(None, codes[0])
    tokens = [pair(made.second(first, codes[0]))]
    made.second(first, codes[0])
    tokens.append(pair(made.refresh(tokens[0].refresh)))
    made.ask("GET", "/tfa/get_my_qrcode", tokens[1].access)
    made.enable(tokens[1].access, device)
    made.show(first)
    made.show(tokens[1].refresh)
    again = made.first(who)
    tokens.append(pair(made.recover(again, codes[2])))
    made.recover(again, codes[2])
    made.recover(made.first(who), codes[2])
    made.refresh(tokens[0].refresh)
    made.refresh(again)
    made.signup(who.email, device)
    made.ask("POST", "/auth/signup", json={"email": who.email, "password": WRONG, WRONG: WRONG})
    made.ask("POST", "/auth/login", content=f"username={who.email}&password={WRONG}%ff".encode())
    for path in ("login_tfa", "recover_tfa", "nowhere"):
        made.ask("POST", f"/tfa/{path}?tfa_token={codes[0]}&tfa_backup_token={codes[3]}", f"{again}x")
        made.ask("GET", f"/tfa/{path}?tfa_token={codes[0]}&access_token={tokens[1].access}")
    made.ask("GET", "/tasks/test-celery")
    made.settle()
    every = {WRONG, PASSWORD, first, again, *codes, who.email}
    every |= {token for one in tokens for token in (one.access, one.refresh)}
    if who.app:
        every |= {who.app.query["secret"], who.app.uri}
    return every | {str(mail.code) for mail in made.mails(who.email) if mail.code}


@pytest.mark.parametrize("device", ["email", "code_generator"])
def test_nothing_secret_is_logged(talkative: Service, caplog: pytest.LogCaptureFixture, device: str) -> None:
    secrets = story(talkative, device)
    assert len(secrets) > 15
    lines = logged(caplog.records)
    assert {"passgate.access", "passgate.core.outbox", "passgate.core.job_worker"} <= {
        one.name for one in caplog.records
    }
    assert [secret for secret in secrets if any(secret in line for line in lines)] == []
    assert [line for line in lines for name in NAMES if name in line] == []


def logged(records: list[logging.LogRecord]) -> list[str]:
    """Each line as it would be printed, and all that a formatter could print of it; without those of the test's own
    client."""
    form = logging.Formatter()
    return [form.format(one) + repr(vars(one)) for one in records if not one.name.startswith(("httpx2", "httpcore2"))]


def test_a_query_is_taken_from_the_servers_log(talkative: Service) -> None:
    """The scope of the server, which its access log is written from, has none; the program still gets it."""
    seen = []
    app = talkative.http.app

    async def server(scope: dict[str, object], receive: object, send: object) -> None:
        try:
            await app(scope, receive, send)  # type: ignore[arg-type]
        finally:
            seen.append(scope.get("query_string"))

    talkative.http._transport.app = server  # type: ignore[attr-defined]
    who = talkative.person("code_generator")
    assert who.app is not None
    assert talkative.second(talkative.first(who), who.app.code()).status_code == 200
    assert seen[-1] == b""
