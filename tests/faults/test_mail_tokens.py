"""The token endpoint or the mail server refuses, is slow or is away: every mail arrives, each once, as soon as it can,
and no log line contains a token.

Not here: what each failure is called, which is in tests/adapters.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from passgate.adapters import mail_token
from passgate.store.tables import outbox
from tests.faults.test_parts import waiting, worked
from tests.kit import running, settings_for
from tests.mail_servers import LONG, REFRESH_TOKEN, TOKEN, Provider, certificate, leaks, provided

MAILS = 3


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    context, chain = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    return context


def _is_down(provider: Provider) -> None:
    provider.is_down = True


def _is_slow(provider: Provider) -> None:
    provider.pause = 5


def _fails(provider: Provider) -> None:
    provider.answers = [(503, b"")] * 99


def _refuses(provider: Provider) -> None:
    provider.answers = [(401, {"error": "invalid_client"})] * 99


def _gives_bad_tokens(provider: Provider) -> None:
    bad = {"access_token": "tOkEn-bad", "token_type": "Bearer", "expires_in": 3600}
    provider.answers = [(200, bad)] * 99


def _refuses_logins(provider: Provider) -> None:
    provider.login = ["535 5.7.139 disabled", "454 4.7.0 later", "421 4.3.2 bye"] * 33


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        (_is_down, 0),
        (_is_slow, 1),
        (_fails, 1),
        (_refuses, 1),
        (_gives_bad_tokens, 1),
        (_refuses_logins, 0),
        (_refuses_logins, 1),
    ],
)
async def test_no_mail_is_lost_and_none_sent_twice(
    fault: Callable[[Provider], None],
    after: int,
    tmp_path: Path,
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`after`: mails that were sent before, with a token that has expired since. Each mechanism is the only one that is
    offered in some of the cases."""
    caplog.set_level(logging.DEBUG)
    mechanism = "XOAUTH2" if after else "OAUTHBEARER"
    async with provided(Provider(size=LONG, rotates=True, mechanisms=(mechanism,)), tls) as provider:
        settings = settings_for(tmp_path, mail=provider.settings(refresh_token=REFRESH_TOKEN))
        async with running(settings) as the:
            for number in range(after):
                assert (await the.signup(f"before{number}@example.com")).status_code == 202
                await worked(the)
                the.clock.forward(3601)
            monkeypatch.setattr(mail_token, "_DEADLINE", 0.5 if fault is _is_slow else 10)
            fault(provider)
            for number in range(MAILS):
                assert (await the.signup(f"p{number}@example.com")).status_code == 202
            for seconds in (0, 3, 11):
                the.clock.forward(seconds)
                await worked(the)
            ids = await waiting(the)
            assert (len(ids), len(provider.got)) == (MAILS, after)
            monkeypatch.setattr(mail_token, "_DEADLINE", 10)
            provider.is_down, provider.pause, provider.answers, provider.login = False, 0, [], []
            for seconds in (31, 61, 301):
                the.clock.forward(seconds)
                await worked(the)
            assert sorted(each.partition("@")[0] + "@" for each in provider.ids()[after:]) == sorted(ids)
            assert {row["message_sealed"] for row in await the.rows(outbox)} == {None}
            assert "mail:failed" not in await the.events()
        assert {used for used, _ in provider.attempts} == {mechanism}
    lines = [record for record in caplog.get_records("call") if record.getMessage() == "mail not sent"]
    assert lines
    assert all(record.__dict__["step"] in ("token", "auth") and record.__dict__["why"] for record in lines)
    assert leaks(caplog.get_records("call")) == []


async def test_a_token_that_expires_during_a_batch(tmp_path: Path, tls: ssl.SSLContext) -> None:
    """Withdrawn by the provider between two mails of one round."""
    async with provided(Provider(), tls) as provider:
        async with running(settings_for(tmp_path, mail=provider.settings())) as the:
            for number in range(MAILS):
                assert (await the.signup(f"p{number}@example.com")).status_code == 202
            ids = await waiting(the)
            worker = asyncio.create_task(worked(the))
            while not provider.got:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            provider.valid.clear()
            await worker
        assert sorted(each.partition("@")[0] + "@" for each in provider.ids()) == sorted(ids)
        assert len(provider.asked) == 2


def test_a_log_line_with_a_token_would_be_found() -> None:
    def record(*args: object, **extra: object) -> logging.LogRecord:
        made = logging.LogRecord("passgate", logging.DEBUG, "x", 1, "said %s", args, None)
        made.__dict__.update(extra)
        return made

    coded = base64.b64encode(f"user=a\x01auth=Bearer {TOKEN}1".encode()).decode()
    assert all(leaks([found]) for found in (record(TOKEN), record("x", why=REFRESH_TOKEN), record(f"AUTH X {coded}")))
    assert leaks([record("x", why="invalid_client")]) == []
