"""The three examples at the same time as `passgate demo`, in one browser, which has one cookie jar for all of them:
each signs somebody in, and nothing that one of them has set opens anything in another.

Not here: what each of them does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import chromium
from tests.browser.device import Device, Pocket
from tests.examples.programs import Served, copy_of, running
from tests.kit import PASSWORD
from tests.processes import Server

__all__ = ["chromium"]
pytestmark = pytest.mark.browser

ADMIN = {"ADMIN_USERNAME": "admin", "ADMIN_EMAIL": "admin@example.com", "ADMIN_PASSWORD": PASSWORD}
POST = """async ([path, body, handle]) => {
    const headers = {"content-type": "application/json", ...(handle ? {authorization: `Bearer ${handle}`} : {})}
    const answer = await fetch(path, {method: "POST", headers, body: JSON.stringify(body)})
    return [answer.status, answer.status == 204 ? {} : await answer.json()] }"""
GET = """async (path) => { const answer = await fetch(path); return [answer.status, await answer.json()] }"""
SIGN = """async (options) => (await navigator.credentials.get(
    {publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)})).toJSON()"""


class Demo(Server):
    """`passgate demo`, which takes no setting but a folder and a port."""

    def launch(self) -> None:
        data, port = self._env["PASSGATE_DATA"], str(self.port)
        self._launch("passgate.cli", "--data", data, "demo", "--port", port, cwd=self._log.parent)


class Visitor:
    """One page with one device, at the program that it has opened last."""

    def __init__(self, page: Page, phone: Device) -> None:
        self.page, self.phone, self.at = page, phone, ""

    async def open(self, server: Server, path: str = "", *, mount: str = "/auth") -> None:
        """`mount`: where Passgate's endpoints are."""
        self.at = f"{mount}/api/v1"
        await self.page.goto(server.url + (path or f"{mount}/healthz"))

    async def post(self, path: str, body: dict[str, Any], handle: str = "") -> tuple[int, dict[str, Any]]:
        status, answer = await self.page.evaluate(POST, [self.at + path, body, handle])
        return status, answer

    async def get(self, path: str) -> tuple[int, Any]:
        status, answer = await self.page.evaluate(GET, path)
        return status, answer

    async def enter(self, path: str, body: dict[str, Any], **proofs: str) -> None:
        """Sign in or up, by factors and their answers, to a session that the browser's cookie carries."""
        _, begun = await self.post(path, body)
        for factor, answer in proofs.items():
            status, refused = await self.post("/signin/prove", {"factor": factor, "answer": answer}, begun["handle"])
            assert status == 200, refused
        status, refused = await self.post("/signin/finish", {"carrier": "cookie"}, begun["handle"])
        assert status == 201, refused

    async def by_passkey(self) -> int:
        """Sign in with whatever passkey the device has for this host; the status that decides."""
        status, begun = await self.post("/signin", {})
        if status != 201:
            return status
        _, asked = await self.post("/signin/challenge", {"factor": "passkey"}, begun["handle"])
        answer = await self.page.evaluate(SIGN, asked["challenge"])
        status, _ = await self.post("/signin/prove", {"factor": "passkey", "answer": answer}, begun["handle"])
        if status == 200:
            status, _ = await self.post("/signin/finish", {"carrier": "cookie"}, begun["handle"])
        return status

    async def who(self) -> str:
        status, answer = await self.get(f"{self.at}/me")
        return str(answer["user"]["email"]) if status == 200 else str(answer["code"])


@pytest.fixture
async def visitor(chromium: Browser) -> AsyncIterator[Visitor]:
    context = await chromium.new_context(bypass_csp=True)  # the test asks by script, on any page
    page = await context.new_page()
    yield Visitor(page, await Pocket(page).device())
    await context.close()


async def test_nothing_crosses(tmp_path: Path, visitor: Visitor) -> None:
    demo, rbac = Demo(tmp_path / "demo"), Served(2, tmp_path / "rbac", env=ADMIN)
    mailed = Served(3, tmp_path / "mailed", MAIL__URL="dev:")
    audit = Served(4, tmp_path / "audit", folder=copy_of(4, tmp_path / "4"))
    page = visitor.page
    async with running(demo, rbac, mailed, audit):
        await visitor.open(audit, "/")
        given = {"first_name": "Jane", "last_name": "Doe", "email": "jane@example.com", "date_of_birth": "1990-01-15"}
        for name, text in {**given, "job_title": "Engineer"}.items():
            await page.fill(f"#register [name={name}]", text)
        await page.click("#register button.main")
        await expect(page.locator("main")).to_have_attribute("data-page", "profile")
        stored = await page.evaluate("({...sessionStorage})")
        assert sorted(stored) == ["webauthn_jwt", "webauthn_user_data", "webauthn_user_id"]
        assert await page.context.cookies() == []
        # The passkey is one for localhost, so the browser offers it everywhere; only its own program knows it.
        for server, mount in ((demo, ""), (rbac, "/auth"), (mailed, "/auth")):
            await visitor.open(server, mount=mount)
            assert await visitor.by_passkey() in (403, 409)
            assert await visitor.who() == "credential_missing"
            assert await page.evaluate("Object.keys(sessionStorage)") == []
        await visitor.open(audit)
        assert await visitor.by_passkey() == 201
        await visitor.open(rbac)
        await visitor.enter("/signin", {"username": "admin"}, password=PASSWORD)
        await visitor.open(mailed)
        await visitor.enter("/signup", {"email": "mia@example.com", "password": PASSWORD, "profile": {"name": "Mia"}})
        await visitor.open(demo, mount="")
        _, begun = await visitor.post("/signup", {"email": "dan@example.com", "password": PASSWORD})
        _, mails = await visitor.get("/dev/mail.json")
        proof = {"factor": "email_code", "answer": next(mail["code"] for mail in mails if mail["code"])}
        assert (await visitor.post("/signin/prove", proof, begun["handle"]))[0] == 200
        assert (await visitor.post("/signin/finish", {"carrier": "cookie"}, begun["handle"]))[0] == 201
        cookies = await page.context.cookies()
        sessions = {one["name"]: one["value"] for one in cookies if one["name"].endswith("passgate_session")}
        assert sorted(sessions) == sorted(
            f"{prefix}passgate_session" for prefix in ("", "session_rbac_", "two_factor_mail_", "passkey_audit_")
        )
        assert len({*sessions.values()}) == 4
        for server, mount, email in (
            (demo, "", "dan@example.com"),
            (rbac, "/auth", "admin@example.com"),
            (mailed, "/auth", "mia@example.com"),
            (audit, "/auth", "jane@example.com"),
        ):
            await visitor.open(server, mount=mount)
            assert await visitor.who() == email
        await visitor.open(audit, "/")
        assert await page.evaluate("({...sessionStorage})") == stored
        await expect(page.locator("main")).to_have_attribute("data-page", "profile")
