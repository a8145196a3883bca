"""Mails as data: every kind renders without an unfilled placeholder, and links are built from the public URL alone.

Sending over SMTP is tested in tests/adapters.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from passgate.core import mail
from passgate.core.ctx import Ctx, Origin
from passgate.core.message import Message
from passgate.store.tables import outbox
from tests.core.behind import Folk
from tests.kit import The, bearer, handle_of, running, settings_for

WITH_CODE = {"signup_code", "signin_code", "recovery_code", "address_code", "factor_code"}


@pytest.mark.parametrize("kind", mail.LETTERS)
async def test_each_kind_renders(lite: The, kind: str) -> None:
    ctx = Ctx(lite.gate.services, Origin("192.0.2.1", "Firefox", "Linux"))
    code = "12345678" if kind in WITH_CODE else None
    made = mail.render(ctx, kind, "anna@example.com", service="Acme {0} {code}", code=code)
    assert (made.kind, made.to, made.code) == (kind, "anna@example.com", code)
    assert made.html is not None
    assert not re.search(r"\{[a-z]+\}|\{\{", made.html.replace("Acme {0} {code}", ""))
    assert ("12345678" in made.html) is (code is not None)
    assert "Acme {0} {code}" in made.subject, "a name with braces is a name"
    assert not re.search(r"\{[a-z]+\}", (made.subject + made.text).replace("Acme {0} {code}", ""))
    assert ("12345678" in made.text) is (code is not None)
    for outcomes in ("anna@example.com", "192.0.2.1", "Firefox", "Linux"):
        assert outcomes in made.text
    assert Message.from_json(made.to_json()) == made


@pytest.mark.parametrize("kind", mail.LETTERS)
async def test_links_come_from_the_public_url_alone(tmp_path: Path, kind: str) -> None:
    async with running(settings_for(tmp_path, public_url="http://id.localhost:8123")) as the:
        ctx, letter = Ctx(the.gate.services), mail.LETTERS[kind]
        # A button without a path of its own leads to the URL of a ticket, which the caller passes in.
        theirs = f"{ctx.site.url}/its/ticket" if letter.button and not letter.path else None
        made = mail.render(ctx, kind, "anna@example.com", service="Acme", code="12345678", link=theirs)
        links = re.findall(r"https?://[^\s\"<]+", made.text + (made.html or "")) + ([made.link] if made.link else [])
        assert all(link.startswith("http://id.localhost:8123/") for link in links)
        assert (made.link is not None) is bool(letter.button)
        assert kind in WITH_CODE or kind in ("address_known", "account_closing") or links


async def test_a_forged_host_reaches_no_mail(lite: The) -> None:
    await lite.person("known@example.com")
    forged = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    body = {"email": "known@example.com"}
    assert (await lite.http.post("/api/v1/signup", json=body, headers=forged)).status_code == 202
    assert (await lite.http.post("/api/v1/recover", json=body, headers=forged)).status_code == 202
    sent = await lite.mails("known@example.com")
    assert len(sent) == 3
    assert "evil" not in str(sent)


async def test_what_waits_is_sealed(lite: The) -> None:
    """The stored row holds neither address nor code in clear text, and no message at all after delivery."""
    handle_of(await lite.signup("anna@example.com"))
    (row,) = await lite.rows(outbox)
    plain = lite.gate.services.ring.unseal("outbox", f"outbox:{row['id']}", row["message_sealed"])
    message = Message.from_json(plain)
    assert message.code is not None
    assert message.code.encode() not in row["message_sealed"]
    assert b"anna" not in row["message_sealed"]
    await lite.mails()
    (row,) = await lite.rows(outbox)
    assert (row["message_sealed"], row["sent_at"] is not None) == (None, True)


async def test_no_message_shows_its_secrets_by_repr(lite: The) -> None:
    made = mail.render(Folk(lite).ctx, "signup_code", "anna@example.com", service="Acme", code="12345678")
    assert "12345678" not in repr(made)
    assert "anna" not in repr(made)


async def test_a_stranger_causes_five_mails_an_hour(the: The) -> None:
    """At most five mails an hour go to one address, whichever endpoint asks and however the address is spelled. Further
    requests get the same response and send nothing; the limit starts anew with the next hour."""
    for number in range(4):
        handle_of(await the.signup(["anna@example.com", "ANNA@example.com"][number % 2]))
    handle = handle_of(await the.recover("Anna@Example.com"))
    assert len(await the.mails("anna@example.com")) == 5
    again = await the.http.post("/api/v1/signin/challenge", json={"factor": "email_code"}, headers=bearer(handle))
    assert again.json() == {"challenge": {"sent_to": "A…@example.com"}}
    handle_of(await the.signup("bert@example.com"))
    assert len(await the.mails("anna@example.com")) == 5
    assert len(await the.mails("bert@example.com")) == 1
    the.clock.forward(3600)
    handle_of(await the.signup("anna@example.com"))
    assert len(await the.mails("anna@example.com")) == 6
