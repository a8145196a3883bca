"""Pages below a host's prefix: every link, form and redirect stays below it. Mounting itself is tested in
tests/library."""

from __future__ import annotations

from pathlib import Path

import httpx2
from fastapi import FastAPI

from passgate.app import Passgate
from tests.kit import settings_for
from tests.web.browsing import SAME, Page


async def test_everything_stays_below_the_prefix(tmp_path: Path) -> None:
    gate, app = Passgate(settings_for(tmp_path)), FastAPI()
    gate.mount(app, at="/auth")
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, client=("127.0.0.1", 50000))
        async with httpx2.AsyncClient(transport=transport, base_url=gate.settings.url) as http:
            for path in ("/auth/signin", "/auth/signup", "/auth/recover", "/auth/signout"):
                page = Page((await http.get(path)).text)
                assert page.name, path
                assert all(link.startswith("/auth/") for link in page.links), path
                assert all(form.action.startswith("/auth/") for form in page.forms), path
            asked = await http.get("/auth/account/sessions")
            assert asked.headers["location"] == "/auth/signin?return_to=%2Faccount%2Fsessions"
            begun = await http.post("/auth/recover", data={"email": "a@example.com"}, headers=SAME)
            assert (begun.status_code, begun.headers["location"]) == (303, "/auth/signin/email-code")
            assert Page((await http.get("/auth/signin/email-code")).text).name == "signin-email-code"
            assert (await http.get("/.well-known/change-password")).headers["location"] == "/auth/account/password"
