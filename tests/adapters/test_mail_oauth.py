"""Mail with access tokens: both mechanisms against a mail server and a token endpoint of the tests' own; caching and
renewal; what each side refuses.

Not here: that no mail is lost meanwhile, which is in tests/faults.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passgate.adapters import bearer, mail_token, smtp
from passgate.adapters.mail_token import MailToken
from passgate.adapters.smtp import Smtp
from passgate.core.message import MailFailed
from passgate.mail_oauth import MailOAuthSettings
from passgate.settings import MailSettings
from passgate.world import World
from tests.adapters.test_mail import MESSAGE, answering
from tests.kit import Clock
from tests.mail_servers import CLIENT_SECRET, LONG, REFRESH_TOKEN, TOKEN, Provider, certificate, leaks, provided
from tests.servers import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    context, chain = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    return context


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _no_secret_in_a_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert leaks(caplog.get_records("call")) == []


def mailer(provider: Provider, clock: Clock, **oauth: Any) -> Smtp:
    settings = MailSettings.model_validate(provider.settings(**oauth))
    return smtp.from_settings(settings, replace(World.real(), clock=clock))


async def failed(made: Smtp) -> tuple[str, str, bool]:
    """Step, reason, and whether the operator has to act. Nothing about tokens is permanent for a mail."""
    with pytest.raises(MailFailed) as caught:
        await made.send(MESSAGE)
    assert not caught.value.permanent
    return caught.value.step, caught.value.why, caught.value.needs_operator


# -- the mechanisms --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [40, LONG])
@pytest.mark.parametrize(
    ("mechanism", "offered", "used"),
    [
        ("auto", ("OAUTHBEARER", "XOAUTH2"), "OAUTHBEARER"),
        ("auto", ("XOAUTH2",), "XOAUTH2"),
        ("XOAUTH2", ("OAUTHBEARER", "XOAUTH2"), "XOAUTH2"),
        ("OAUTHBEARER", ("OAUTHBEARER",), "OAUTHBEARER"),
    ],
)
async def test_a_mail_with_a_token(
    mechanism: str, offered: tuple[str, ...], used: str, size: int, tls: ssl.SSLContext, clock: Clock
) -> None:
    """A long token is not sent with the command: the server takes 512 octets for it."""
    async with provided(Provider(mechanisms=offered, size=size), tls) as provider:
        await mailer(provider, clock, mechanism=mechanism, scope="a b").send(MESSAGE)
    texts = {
        "XOAUTH2": "user=id@acme.example\x01auth=Bearer T\x01\x01",
        "OAUTHBEARER": f"n,a=id@acme.example,\x01host=127.0.0.1\x01port={provider.port}\x01auth=Bearer T\x01\x01",
    }
    assert provider.attempts == [(used, texts[used])]
    assert provider.asked == [
        {"grant_type": "client_credentials", "client_id": "passgate", "client_secret": CLIENT_SECRET, "scope": "a b"}
    ]
    assert provider.ids() == [f"<{MESSAGE.id}@acme.example>"]


def test_a_name_with_the_separators_of_the_standard() -> None:
    text = base64.b64decode(bearer.message("OAUTHBEARER", "a=b,c@d.example", "T", host="h", port=1))
    assert text == b"n,a=a=3Db=2Cc@d.example,\x01host=h\x01port=1\x01auth=Bearer T\x01\x01"


async def test_a_server_that_takes_no_tokens_gets_none(tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(mechanisms=()), tls) as provider:
        assert await failed(mailer(provider, clock)) == ("auth", "not_offered", True)
        assert await failed(mailer(provider, clock, mechanism="XOAUTH2")) == ("auth", "not_offered", True)
    assert (provider.asked, provider.attempts) == ([], [])


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_no_token_leaves_without_encryption(
    mechanism: str, tls: ssl.SSLContext, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider()
    settings = provider.settings(mechanism=mechanism)
    for url in ("smtp://127.0.0.1", "smtps://user@127.0.0.1"):
        with pytest.raises(ValueError, match=r"."):
            smtp.from_settings(MailSettings.model_validate({**settings, "url": url}), World.real())
    offer = f"250-sink\r\n250 AUTH {mechanism}\r\n".encode()
    async with answering(b"220 hi\r\n", offer, offer) as port:  # no STARTTLS
        plain = {**settings, "url": f"smtp+starttls://127.0.0.1:{port}"}
        made = smtp.from_settings(MailSettings.model_validate(plain), World.real())
        assert await failed(made) == ("tls", "not_offered", True)
    async with provided(provider, tls):
        monkeypatch.delenv("SSL_CERT_FILE")  # nobody vouches for these servers
        assert await failed(mailer(provider, clock)) == ("tls", "certificate", True)
    assert (provider.asked, provider.attempts) == ([], [])


# -- cached and renewed ----------------------------------------------------------------------------


async def test_one_token_for_many_mails_and_a_new_one_early(tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(), tls) as provider:
        made = mailer(provider, clock)
        for _ in range(3):
            await made.send(MESSAGE)
        clock.forward(3600 - 301)
        await made.send(MESSAGE)
        assert len(provider.asked) == 1
        clock.forward(2)
        await made.send(MESSAGE)
        assert len(provider.asked) == 2
    assert len(provider.got) == 5


async def test_one_request_in_flight(tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(pause=0.05), tls) as provider:
        made = mailer(provider, clock)
        await asyncio.gather(*(made.send(MESSAGE) for _ in range(4)))
        assert (len(provider.asked), provider.at_once, len(provider.got)) == (1, 1, 4)


async def test_whoever_gives_up_waiting_takes_nobody_along(tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(pause=0.1), tls) as provider:
        token = MailToken(MailOAuthSettings.model_validate(provider.settings()["oauth"]), World(clock, bytes))
        first, second = (asyncio.create_task(token.get()) for _ in range(2))
        while not provider.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        first.cancel()
        value, is_new = await second
    assert (value in provider.valid, is_new) == (True, True)


async def test_the_provider_leaves_nothing_behind(tls: ssl.SSLContext, clock: Clock) -> None:
    """A connection that the end of one test cuts would be an error in the next."""
    before = asyncio.all_tasks()
    async with provided(Provider(), tls) as provider:
        await mailer(provider, clock)._bearer.token.get()  # type: ignore[union-attr]
    assert asyncio.all_tasks() <= before


@pytest.mark.parametrize(
    ("life", "seconds"), [(60, 54), ("3599", 3299), (None, 270), (10**9, 86100), (1.5, 1), (3600.0, 3300)]
)
async def test_how_long_a_token_is_used(life: Any, seconds: int, tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(life=life), tls) as provider:
        token = MailToken(MailOAuthSettings.model_validate(provider.settings()["oauth"]), World(clock, bytes))
        await token.get()
        clock.forward(seconds - 1)
        await token.get()
        assert len(provider.asked) == 1
        clock.forward(1)
        await token.get()
        assert len(provider.asked) == 2


async def test_a_token_that_was_withdrawn_is_replaced_once(tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(), tls) as provider:
        made = mailer(provider, clock)
        await made.send(MESSAGE)
        provider.valid.clear()
        await made.send(MESSAGE)
        assert (len(provider.asked), len(provider.attempts), len(provider.got)) == (2, 3, 2)


@pytest.mark.parametrize(("mechanism", "ended"), [("XOAUTH2", b""), ("OAUTHBEARER", b"\x01")])
async def test_a_new_token_that_is_refused(mechanism: str, ended: bytes, tls: ssl.SSLContext, clock: Clock) -> None:
    """The exchange is ended as each mechanism demands, one login is tried, and the next mail asks for a new token."""
    never = (200, {"access_token": TOKEN + "never", "token_type": "bearer", "expires_in": 3600})
    async with provided(Provider(answers=[never, never]), tls) as provider:
        made = mailer(provider, clock, mechanism=mechanism)
        assert await failed(made) == ("auth", "535 5.7.8 invalid_token", True)
        assert (len(provider.attempts), provider.ended) == (1, [ended])
        assert await failed(made) == ("auth", "535 5.7.8 invalid_token", True)
        await made.send(MESSAGE)
    assert (len(provider.asked), len(provider.attempts), len(provider.got)) == (3, 3, 1)


async def test_a_mail_server_that_is_busy_keeps_the_token(tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(login=["454 4.7.0 later"]), tls) as provider:
        made = mailer(provider, clock)
        assert await failed(made) == ("auth", "454 4.7.0", False)
        await made.send(MESSAGE)
        assert (len(provider.asked), len(provider.got)) == (1, 1)


@pytest.mark.parametrize(
    "reply",
    [
        "554 5.2.252 SendAsDenied; a not allowed to send as b",
        "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    ],
)
async def test_a_sender_that_the_mailbox_may_not_use(reply: str, tls: ssl.SSLContext, clock: Clock) -> None:
    """Microsoft says so at the end of the message. The mail waits for the operator, as with any refused sender."""
    async with provided(Provider(after_data=[reply]), tls) as provider:
        made = mailer(provider, clock)
        assert await failed(made) == ("data", " ".join(reply.split()[:2]), True)
        await made.send(MESSAGE)
        assert len(provider.got) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"status": "401"}, "401"),
        ({"status": 400, "scope": "x"}, "400"),
        ({"status": "insufficient_scope"}, "insufficient_scope"),
        ({"status": TOKEN}, ""),
        ({"status": "99999"}, ""),
        ({"status": None}, ""),
        ([], ""),
        ("text", ""),
    ],
)
def test_what_is_taken_from_an_error(sent: object, status: str) -> None:
    assert bearer.status_in(base64.b64encode(json.dumps(sent).encode()).decode()) == status


@pytest.mark.parametrize("sent", ["", "!", "AA", "e30", "é", base64.b64encode(b"[" * 9000).decode(), "/w=="])
def test_an_error_that_is_none(sent: str) -> None:
    assert bearer.status_in(sent) == ""


# -- the token endpoint ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "why", "needs_operator"),
    [
        ((401, {"error": "invalid_client", "error_description": CLIENT_SECRET}), "invalid_client", True),
        ((401, {"error": "invalid_client", "error_codes": [7000222, True, TOKEN]}), "invalid_client 7000222", True),
        ((400, {"error": "invalid_grant"}), "invalid_grant", True),
        ((400, {"error": CLIENT_SECRET}), "http_400", True),
        ((400, {"error": ["invalid_grant"]}), "http_400", True),
        ((404, b"<html>"), "http_404", True),
        ((302, b""), "http_302", True),
        ((200, b"[" * 50_000), "not_a_token", True),
        ((200, b"x" * 70_000), "too_long", True),
        ((200, {"access_token": TOKEN, "token_type": "mac"}), "not_a_token", True),
        ((200, {"access_token": TOKEN}), "not_a_token", True),
        ((200, {"access_token": TOKEN + "\r\nRSET", "token_type": "bearer"}), "not_a_token", True),
        ((200, {"access_token": TOKEN + "\x01", "token_type": "bearer"}), "not_a_token", True),
        ((200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 0}), "not_a_token", True),
        ((200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 0.5}), "not_a_token", True),
        ((200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": -1}), "not_a_token", True),
        ((200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": "soon"}), "not_a_token", True),
        ((200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": float("inf")}), "not_a_token", True),
        ((200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": True}), "not_a_token", True),
        ((200, {"access_token": TOKEN + "ü", "token_type": "bearer"}), "not_a_token", True),
        ((200, b"<html>" + TOKEN.encode()), "not_a_token", True),
        ((200, {"token_type": "bearer"}), "not_a_token", True),
        ((500, b""), "http_500", False),
        ((503, {"error": "invalid_client"}), "http_503", False),
        ((429, b""), "http_429", False),
        ((400, {"error": "temporarily_unavailable"}), "temporarily_unavailable", False),
    ],
)
async def test_what_the_token_endpoint_refuses(
    answer: tuple[int, Any], why: str, needs_operator: bool, tls: ssl.SSLContext, clock: Clock
) -> None:
    """Nothing is said to the mail server about it, and the endpoint is left alone for a while."""
    async with provided(Provider(answers=[answer]), tls) as provider:
        made = mailer(provider, clock)
        assert await failed(made) == ("token", why, needs_operator)
        clock.forward(29 if needs_operator else 0)
        assert await failed(made) == ("token", why, needs_operator)
        assert (len(provider.asked), provider.attempts) == (1, [])
        clock.forward(1)
        await made.send(MESSAGE)
        assert (len(provider.asked), len(provider.got)) == (2, 1)


async def test_a_token_endpoint_that_does_not_answer(
    tls: ssl.SSLContext, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provided(Provider(is_down=True), tls) as provider:
        assert await failed(mailer(provider, clock)) == ("token", "unreachable", False)
        nowhere = mailer(provider, clock, token_url=f"https://127.0.0.1:{free_port()}/")
        assert (await failed(nowhere))[:2] == ("token", "unreachable")
        plain = mailer(provider, clock, token_url=f"https://localhost:{provider.token_port}/")
        assert (await failed(plain))[:2] == ("token", "certificate")
        provider.is_down, provider.pause = False, 5
        monkeypatch.setattr(mail_token, "_DEADLINE", 0.5)
        assert await failed(mailer(provider, clock)) == ("token", "timeout", False)
    assert provider.attempts == []


async def test_one_mail_alone_waits_for_an_endpoint_that_is_slow(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint rests from the end of a request on, however long that took: others of a batch fail at once."""
    monkeypatch.setattr(mail_token, "_DEADLINE", 1.2)
    async with provided(Provider(pause=5), tls) as provider:
        token = MailToken(MailOAuthSettings.model_validate(provider.settings()["oauth"]), World.real())
        ends = await asyncio.gather(*(token.get() for _ in range(4)), return_exceptions=True)
        assert [getattr(end, "why", "") for end in ends] == ["timeout"] * 4
        assert len(provider.asked) == 1


@pytest.mark.parametrize("answer", [(503, b""), (401, {"error": "invalid_client"})])
async def test_a_token_is_used_to_its_end_while_no_other_is_to_be_had(
    answer: tuple[int, Any], tls: ssl.SSLContext, clock: Clock
) -> None:
    async with provided(Provider(), tls) as provider:
        made = mailer(provider, clock)
        await made.send(MESSAGE)
        clock.forward(3400)
        provider.answers = [answer] * 2
        for seconds in (0, 29):  # asked once, so that few mails wait for an endpoint that hangs
            clock.forward(seconds)
            await made.send(MESSAGE)
        assert (len(provider.asked), len(provider.got)) == (2, 3)
        clock.forward(201)
        assert (await failed(made))[0] == "token"
        assert len(provider.asked) == 3


# -- refresh tokens --------------------------------------------------------------------------------


async def test_a_refresh_token_and_its_successors(tls: ssl.SSLContext, clock: Clock) -> None:
    """A newer one is used until it is refused; then the one of the settings is tried again."""
    async with provided(Provider(rotates=True), tls) as provider:
        made = mailer(provider, clock, refresh_token=REFRESH_TOKEN, client_secret=None)
        for _ in range(3):
            await made.send(MESSAGE)
            clock.forward(3601)
        provider.answers = [(400, {"error": "invalid_grant"})]
        assert await failed(made) == ("token", "invalid_grant", True)
        clock.forward(31)
        await made.send(MESSAGE)
    used = [form["refresh_token"] for form in provider.asked]
    assert used == [REFRESH_TOKEN, *(f"newer-{TOKEN}{number}" for number in (1, 2, 3)), REFRESH_TOKEN]
    assert {(form["grant_type"], "client_secret" in form) for form in provider.asked} == {("refresh_token", False)}


async def test_client_credentials_get_no_refresh_token(tls: ssl.SSLContext, clock: Clock) -> None:
    """RFC 6749 §4.4.3. One that comes nevertheless is not used."""
    async with provided(Provider(rotates=True), tls) as provider:
        made = mailer(provider, clock)
        await made.send(MESSAGE)
        clock.forward(3600)
        await made.send(MESSAGE)
    assert [form["grant_type"] for form in provider.asked] == ["client_credentials"] * 2


async def test_nothing_that_holds_a_secret_shows_it(tls: ssl.SSLContext, clock: Clock) -> None:
    async with provided(Provider(), tls) as provider:
        made = mailer(provider, clock, refresh_token=REFRESH_TOKEN)
        await made.send(MESSAGE)
    token = made._bearer.token if made._bearer else None
    assert token is not None
    texts = [repr(each) for each in (made, made._bearer, token, token._token, token._settings)]
    assert not [text for text in texts for secret in (CLIENT_SECRET, REFRESH_TOKEN, TOKEN) if secret in text]
