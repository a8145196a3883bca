"""Two sites on one database: that of the installation, and one of a tenant. Links, cookies, CSRF, passkeys and mails of
each stay on it.

Not here: how a tenant gets a site.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from passgate.core.ctx import Ctx
from passgate.core.site import Site, Sites
from tests import operating
from tests.authenticator import Authenticator
from tests.kit import PASSWORD, The, bearer, code_of, handle_of, running, settings_for, token_of
from tests.web.browsing import Browser, Page

HOME, ACME = "http://localhost:8000", "http://acme.localhost:8000"


@dataclass
class Two:
    """A browser on each site, with its own jar."""

    the: The
    home: Browser
    acme: Browser


@pytest.fixture
async def two(tmp_path: Path, database_url: str | None) -> AsyncIterator[Two]:
    settings = settings_for(tmp_path, database_url, tenancy="multi")
    async with running(settings, sites=(Site(ACME, tenant="acme"),)) as the:
        await operating.add_tenant(Ctx(the.gate.services), "acme", "Acme", "open")
        transport = httpx2.ASGITransport(the.gate, client=("127.0.0.1", 50000))
        async with (
            httpx2.AsyncClient(transport=transport, base_url=HOME) as home,
            httpx2.AsyncClient(transport=transport, base_url=ACME) as acme,
        ):
            yield Two(the, Browser(home, the), Browser(acme, the))


def origin_of(link: object) -> str:
    parts = urlsplit(str(link))
    return f"{parts.scheme}://{parts.netloc}"


async def test_people_sign_up_where_they_are(two: Two) -> None:
    """The page names its tenant, and the person belongs to it; the same address on the other site is somebody else."""
    assert "Acme" in (await two.acme.get("/signup")).text
    for browser, tenant in ((two.home, "main"), (two.acme, "acme")):
        await browser.sign_up("ben@example.com")
        found = (await browser.http.get("/api/v1/session")).json()
        assert found["tenant"]["name"] == tenant
        browser.the.clock.forward(60)
    hers = {(await one.http.get("/api/v1/session")).json()["user"]["id"] for one in (two.home, two.acme)}
    assert len(hers) == 2


async def test_a_session_of_another_tenant_is_none(two: Two) -> None:
    await two.home.sign_up("anna@example.com")
    token = two.home.session
    assert code_of(await two.acme.http.get("/api/v1/session", headers=bearer(token))) == "credential_invalid"
    assert code_of(await two.acme.http.get("/api/v1/me", headers=bearer(token))) == "credential_invalid"
    page = await two.acme.get("/account", cookie=f"passgate_session={token}")
    assert (page.status_code, page.headers["location"].startswith("/signin")) == (303, True)
    assert (await two.home.http.get("/api/v1/me")).status_code == 200


async def test_tokens_of_another_tenant_are_none(two: Two) -> None:
    """And their refresh there uses nothing up."""
    handle = handle_of(
        await two.home.http.post("/api/v1/signup", json={"email": "tom@example.com", "password": PASSWORD})
    )
    proof = {"factor": "email_code", "answer": await two.home.the.code("tom@example.com")}
    await two.home.http.post("/api/v1/signin/prove", json=proof, headers=bearer(handle))
    done = await two.home.http.post("/api/v1/signin/finish", json={"carrier": "jwt"}, headers=bearer(handle))
    asked = {"refresh_token": done.json()["refresh_token"]}
    mine = bearer(done.json()["access_token"])
    assert code_of(await two.acme.http.get("/api/v1/session", headers=mine)) == "credential_invalid"
    assert code_of(await two.acme.http.post("/api/v1/tokens/refresh", json=asked)) == "credential_invalid"
    assert (await two.home.http.post("/api/v1/tokens/refresh", json=asked)).status_code == 200


async def test_a_pending_sign_in_stays(two: Two) -> None:
    await two.home.sign_up("anna@example.com")
    begun = await two.home.http.post("/api/v1/signin", json={"email": "anna@example.com"})
    given = {"factor": "password", "answer": PASSWORD}
    auth = bearer(handle_of(begun))
    moved = await two.acme.http.post("/api/v1/signin/prove", json=given, headers=auth)
    assert code_of(moved) == "handle_invalid"
    assert (await two.home.http.post("/api/v1/signin/prove", json=given, headers=auth)).json()["enough"]
    assert (
        code_of(await two.acme.http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=auth))
        == "handle_invalid"
    )
    assert token_of(await two.home.http.post("/api/v1/signin/finish", json={"carrier": "bearer"}, headers=auth))


async def test_a_challenge_is_completed_on_its_own_site(two: Two) -> None:
    """Whatever tenant is named on another tenant's; and nothing of it is used up there."""
    key = Authenticator()
    await two.home.sign_up("anna@example.com")
    options, form = await two.home.options("/account/passkeys/new")
    await two.home.http.post(form.action, data={**form.fields, "answer": json.dumps(key.create(options, HOME))})
    auth = bearer(handle_of(await two.home.http.post("/api/v1/signin", json={"email": "anna@example.com"})))
    asked = await two.home.http.post("/api/v1/signin/challenge", json={"factor": "passkey"}, headers=auth)
    given = {"answer": key.get(asked.json()["challenge"], HOME), "carrier": "bearer"}
    for named in ({}, {"tenant": "main"}, {"tenant": "acme"}):
        moved = await two.acme.http.post("/api/v1/signin/complete", json={**given, **named})
        assert code_of(moved) == "handle_invalid", named
    assert token_of(await two.home.http.post("/api/v1/signin/complete", json=given))


async def test_no_other_tenant_can_be_named(two: Two) -> None:
    for tenant in ("main", "nowhere"):
        asked = {"email": "x@example.com", "tenant": tenant}
        assert code_of(await two.acme.http.post("/api/v1/signup", json=asked)) == "signup_closed"
    new = {"email": "x@example.com", "new_tenant": {"name": "other"}}
    assert code_of(await two.acme.http.post("/api/v1/signup", json=new)) == "signup_closed"


async def test_forms_come_from_their_own_site(two: Two) -> None:
    for browser, ours, foreign in ((two.home, HOME, ACME), (two.acme, ACME, HOME)):
        form = next(form for form in (await browser.page("/signin")).forms if form.action == "/signin")
        given = {**form.fields, "email": "anna@example.com"}
        refused = await browser.http.post(form.action, data=given, headers={"origin": foreign})
        assert Page(refused.text).alert == "csrf_refused"
        accepted = await browser.http.post(form.action, data=given, headers={"origin": ours})
        assert accepted.status_code == 303, (ours, Page(accepted.text).alert)
        assert accepted.headers["location"].startswith("/signin/"), "a redirect names no host"


async def test_passkeys_are_of_their_site(two: Two) -> None:
    key = Authenticator()
    await two.acme.sign_up("ben@example.com")
    options, form = await two.acme.options("/account/passkeys/new")
    assert options["rp"]["id"] == "acme.localhost"
    for origin, status in ((HOME, 403), (ACME, 303)):
        options, form = await two.acme.options("/account/passkeys/new")
        made = json.dumps(key.create(options, origin))
        key.credentials[:-1] = []
        done = await two.acme.http.post(form.action, data={**form.fields, "answer": made})
        assert done.status_code == status, done.text
    begun = await two.acme.http.post("/api/v1/signin", json={"email": "ben@example.com"})
    assert ["passkey"] in begun.json()["need"]
    for browser, rp_id in ((two.acme, "acme.localhost"), (two.home, "localhost")):
        asked = {"email": "ben@example.com", "tenant": "acme"}
        begun = await browser.http.post("/api/v1/signin", json=asked)
        auth = bearer(handle_of(begun))
        offered = await browser.http.post("/api/v1/signin/challenge", json={"factor": "passkey"}, headers=auth)
        assert offered.json()["challenge"]["rpId"] == rp_id
        allowed = [one["id"] for one in offered.json()["challenge"].get("allowCredentials", [])]
        assert rp_id == "acme.localhost" or not allowed


async def test_mails_lead_to_the_pages_of_their_reader(two: Two) -> None:
    """Wherever they were asked for; and a link works on no other tenant's site."""
    await two.home.sign_up("anna@example.com")
    await two.acme.sign_up("ben@example.com")
    for browser, email, tenant in ((two.home, "ben@example.com", "acme"), (two.home, "anna@example.com", "main")):
        asked = {"email": email, "tenant": tenant}
        assert (await browser.http.post("/api/v1/recover", json=asked)).status_code == 202
    links = {}
    for email in ("anna@example.com", "ben@example.com"):
        [mail] = [mail for mail in await two.the.mails(email) if mail["kind"] == "recovery_code"]
        links[email] = str(mail["link"])
    assert {email: origin_of(link) for email, link in links.items()} == {
        "anna@example.com": HOME,
        "ben@example.com": ACME,
    }
    path = urlsplit(links["anna@example.com"]).path
    foreign = await two.acme.page(path)
    assert (foreign.name, foreign.alert) == ("signin-link", "handle_invalid")
    own = await two.home.page(path)
    assert (own.name, own.alert) == ("signin-link", "")


async def test_an_unknown_host_is_the_installations_own(two: Two) -> None:
    """No request makes up an address."""
    page = await two.home.http.get("/signin", headers={"host": "evil.example"})
    assert "Acme" not in page.text
    await two.home.sign_up("anna@example.com")
    asked = {"email": "anna@example.com"}
    assert (await two.home.http.post("/api/v1/recover", json=asked, headers={"host": "evil.example"})).is_success
    [mail] = [mail for mail in await two.the.mails("anna@example.com") if mail["kind"] == "recovery_code"]
    assert origin_of(mail["link"]) == HOME


def test_sites_have_hosts_of_their_own_and_one_scheme() -> None:
    home = Site("https://id.example.com")
    for wrong in (Site("http://acme.example.com", tenant="acme"), Site("https://id.example.com", tenant="acme")):
        with pytest.raises(ValueError, match="sites need"):
            Sites(home, [wrong])
    sites = Sites(home, [Site("https://acme.example.com:8443", tenant="acme")]).at("/auth")
    assert sites.of_host("ACME.example.com:8443").url == "https://acme.example.com:8443/auth"
    assert sites.of_host("acme.example.com").tenant is None
    assert sites.of_tenant("acme").rp_id == "acme.example.com"
    assert sites.of_tenant("other").url == "https://id.example.com/auth"
