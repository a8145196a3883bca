"""A tenant's display name where it is read: by an operator, on pages, in mails and in authenticator apps.

Not here: who may change it and what is refused (`test_contract_tenant`), and two changes at once
(`tests/races/test_tenant_name`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from email import message_from_bytes
from email.headerregistry import Address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from markupsafe import escape

from passgate import errors
from passgate.adapters.smtp import compose
from passgate.core.ctx import Ctx
from passgate.core.mail import LETTERS, render
from passgate.store.tables import audit_event, tenant
from tests import operating
from tests.kit import The, handle_of, running, settings_for
from tests.web.browsing import Browser, browser
from tests.web.test_contract_policy import NOBODY

NEW = "Blue Heron"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %} %(code)s %s",
    "=?utf-8?q?Bcc:_eve=40example.com?=",
    "Bcc: eve@example.com",
    "日本語 العربية 🙂",
    "x" * 200,
]


async def renamed(the: The, name: str) -> None:
    await the.gate.at(None, tenant="main").admin.change_tenant("own", display_name=name)


async def test_by_twins(lite: The) -> None:
    """For an operator it is the tenant that they name."""
    await operating.add_tenant(Ctx(lite.gate.services), "acme", None, "open")
    at = lite.gate.at(None, tenant="acme").admin
    found = await at.tenant("own")
    assert (found.name, found.display_name) == ("acme", "acme")
    done = await at.change_tenant("own", display_name="Acme")
    assert done == await at.tenant(found.id) == replace(found, display_name="Acme")
    assert (await lite.gate.at(None, tenant="main").admin.tenant("own")).display_name == "Passgate"
    [row] = [row for row in await lite.rows(audit_event) if row["event"] == "tenant:changed"]
    assert (row["tenant_id"], json.loads(row["facts"])["principal"]) == (found.id, "operator")
    with pytest.raises(errors.Invalid) as refused:
        await at.change_tenant("own", display_name=" ")
    assert refused.value.fields == {"display_name": "length"}
    with pytest.raises(errors.NotFound):
        await at.change_tenant(NOBODY, display_name="Acme")
    with pytest.raises(errors.NotFound):
        await lite.gate.at(None, tenant="ghost").admin.tenant("own")


# -- where it is read ------------------------------------------------------------------------------


async def pages(anna: Browser) -> dict[str, str]:
    paths = ("/signin", "/signup", "/recover", "/account", "/account/totp", "/admin/policy", "/signout")
    return {path: (await anna.http.get(path, follow_redirects=True)).text for path in paths}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:12]))
async def test_pages_display_it_as_text(lite: The, name: str) -> None:
    await renamed(lite, name)
    async with browser(lite) as anna:
        await anna.sign_up()
        await operating.give_role(Ctx(lite.gate.services), "anna@example.com", "owner", "main")
        for path, text in (await pages(anna)).items():
            assert str(escape(name)) in text, path
            assert (name in text) == (str(escape(name)) == name), path


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:12]))
async def test_it_adds_no_header_to_a_mail(lite: The, name: str) -> None:
    """Not as a name that the check lets pass, in any kind of mail."""
    sender = Address("Passgate", addr_spec="passgate@example.com")
    for kind in LETTERS:
        made = render(Ctx(lite.gate.services), kind, "anna@example.com", service=name, code="12345678", link="x")
        assert made.html is not None
        assert name == str(escape(name)) or name not in made.html
        sent = message_from_bytes(compose(made, sender).content)
        assert sorted(sent.keys()) == sorted(
            ["Message-ID", "Date", "From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"]
        )


async def test_pages_mails_and_apps_have_it_at_once(the: The) -> None:
    """Also what began before the change."""
    async with browser(the) as anna:
        await anna.sign_up()
        await operating.give_role(Ctx(the.gate.services), "anna@example.com", "owner", "main")
        person = await the.person("ben@example.com")
        await the.gate.at(None, tenant="main").admin.change_policy("own", first=["password", "email_code"])
        pending_one = handle_of(await the.start(person.email))
        offer = await the.http.post("/api/v1/me/totp", headers=person.auth)
        assert parse_qs(urlsplit(offer.json()["otpauth_uri"]).query)["issuer"] == ["Passgate"]
        before = await pages(anna)
        await renamed(the, NEW)
        for path, text in (await pages(anna)).items():
            assert NEW not in before[path]
            assert NEW in text, path
            assert "Passgate" not in text, path
        assert (await the.challenge(pending_one, "email_code")).status_code == 200
        mail = (await the.mails(person.email))[0]
        assert (mail["kind"], NEW in mail["subject"]) == ("signin_code", True)
        assert "Passgate" not in mail["subject"] + mail["text"]
        offer = await the.http.post("/api/v1/me/totp", headers=person.auth)
        assert parse_qs(urlsplit(offer.json()["otpauth_uri"]).query)["issuer"] == [NEW]


async def test_a_restart_leaves_it(tmp_path: Path) -> None:
    """The start creates `main` and does not name it again."""
    async with running(settings_for(tmp_path)) as the:
        await renamed(the, NEW)
    async with running(settings_for(tmp_path)) as the:
        assert [row["display_name"] for row in await the.rows(tenant)] == [NEW]
