"""`passgate doctor --mail ADDRESS`: one mail, and each step with its end."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Done, Shell
from tests.mail_servers import CLIENT_SECRET, LONG, TOKEN, Provider, certificate, provided
from tests.servers import free_port

pytestmark = pytest.mark.anyio

Doctor = Callable[..., Awaitable[Done]]


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    context, chain = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    return context


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """In a thread, since the servers run in this one."""
    shell = Shell(tmp_path / "data", capsys)

    async def call(*argv: str, mail: dict[str, Any], address: str = "ann@example.com") -> Done:
        oauth = {f"MAIL__OAUTH__{name.upper()}": value for name, value in mail.get("oauth", {}).items()}
        given = {"MAIL__URL": mail["url"], "MAIL__FROM": mail.get("from", "id@acme.example"), **oauth}
        return await asyncio.to_thread(shell, "doctor", "--mail", address, *argv, **given)

    return call


def steps(done: Done) -> list[tuple[str, str]]:
    """Each step, with why it failed."""
    return [(item["step"], item["why"]) for item in done.json["items"]]


GOOD = [(step, "") for step in ("connect", "tls", "ehlo", "token", "auth", "mail", "rcpt", "data")]


async def test_one_mail_step_by_step(doctor: Doctor, tls: ssl.SSLContext, tmp_path: Path) -> None:
    async with provided(Provider(size=LONG), tls) as provider:
        done = await doctor(mail=provider.settings())
        assert (done.code, done.out.split()) == (0, [word for step, _ in GOOD for word in (step, "ok")])
        assert steps(await doctor("--json", mail=provider.settings())) == GOOD
    assert [got.rcpt_tos for got in provider.got] == [["ann@example.com"]] * 2
    assert not (tmp_path / "data").exists(), "it needs neither keys nor a database"


@pytest.mark.parametrize(
    ("change", "step", "why"),
    [
        (
            {"answers": [(401, {"error": "invalid_client", "error_codes": [7000215]})]},
            "token",
            "invalid_client 7000215",
        ),
        ({"answers": [(400, {"error": "invalid_grant"})]}, "token", "invalid_grant"),
        ({"answers": [(500, TOKEN.encode())]}, "token", "http_500"),
        ({"is_down": True}, "token", "unreachable"),
        ({"login": ["535 5.7.139 " + TOKEN]}, "auth", "535 5.7.139"),
        ({"mechanisms": ()}, "auth", "not_offered"),
    ],
)
async def test_the_step_that_fails(
    change: dict[str, Any], step: str, why: str, doctor: Doctor, tls: ssl.SSLContext
) -> None:
    """It is named with a reason and what to do; what came before is ok, and nothing comes after."""
    async with provided(Provider(**change), tls) as provider:
        done = await doctor("--json", mail=provider.settings())
    before = ["connect", "tls", "ehlo"] + (["token"] if why.startswith("535") else [])
    assert (done.code, steps(done)) == (1, [*((name, "") for name in before), (step, why)])
    assert done.json["items"][-1]["text"]
    assert provider.got == []
    assert not [secret for secret in (TOKEN, CLIENT_SECRET) if secret in json.dumps(done.json) + done.err]


async def test_the_advice_for_a_sender_that_is_refused_at_the_end(doctor: Doctor, tls: ssl.SSLContext) -> None:
    async with provided(Provider(after_data=["554 5.2.252 SendAsDenied", "554 5.6.0 bad"]), tls) as provider:
        sender, message = [(await doctor("--json", mail=provider.settings())).json["items"][-1] for _ in range(2)]
    assert (sender["step"], sender["why"]) == ("data", "554 5.2.252")
    assert (message["step"], message["why"]) == ("data", "554 5.6.0")
    assert ("PASSGATE_MAIL__FROM" in sender["text"], "PASSGATE_MAIL__FROM" in message["text"]) == (True, False)


async def test_before_a_token_is_asked_for(
    doctor: Doctor, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provided(Provider(), tls) as provider:
        good = provider.settings()
        away = {**good, "url": f"smtp+starttls://127.0.0.1:{free_port()}"}
        assert steps(await doctor("--json", mail=away)) == [("connect", "unreachable")]
        assert steps(await doctor("--json", mail=good, address="nobody")) == [("compose", "not_an_address_or_header")]
        direct = {**good, "url": f"smtps://127.0.0.1:{provider.port}"}
        assert steps(await doctor("--json", mail=direct)) == [("connect", ""), ("tls", "not_tls")]
        monkeypatch.delenv("SSL_CERT_FILE")
        assert steps(await doctor("--json", mail=good)) == [("connect", ""), ("tls", "certificate")]
    assert provider.asked == []


@pytest.mark.parametrize(
    ("mail", "code"),
    [
        ({"url": "dev:"}, "MAIL_NOT_REAL"),
        ({"url": "console:"}, "MAIL_NOT_REAL"),
        ({"url": "smtp://mail.example.com:x"}, "SETTING_INVALID"),
        ({"url": "smtps://mail.example.com", "from": "nobody"}, "SETTING_INVALID"),
        ({"url": "smtps://mail.example.com", "oauth": {"client_id": "passgate"}}, "MAIL_OAUTH_INCOMPLETE"),
    ],
)
async def test_settings_that_send_no_mail(mail: dict[str, Any], code: str, doctor: Doctor) -> None:
    done = await doctor(mail=mail)
    assert (done.code, done.codes) == (1, [code])
