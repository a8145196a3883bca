"""The documentation page of a host's program in a real browser: what it loads, and that Authorize takes a token.

Not here: our own /docs, which shows the same viewer; where a program may have it (tests/library).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page

from tests.cli.shell import Running
from tests.kit import PASSWORD, bearer, handle_of, token_of

PICTURE = "https://elsewhere.example/picture.png"
HOST = """
from typing import Annotated

from fastapi import Depends, FastAPI
from passgate import Passgate, Settings, User

app = FastAPI(title="Host", description="![](https://elsewhere.example/picture.png)", openapi_url=None)
gate = Passgate(Settings.load())
gate.requests(app)
gate.mount(app)
gate.docs(app)


@app.get("/me")
async def me(user: Annotated[User, Depends(gate.user)]) -> str:
    return user.email
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("host")
    (folder / "main.py").write_text(HOST)
    with Running("serve", folder / "data", "--app", "main:app") as made:
        yield made
        assert made.stop() == 0


@asynccontextmanager
async def opened(chromium: Browser, url: str) -> AsyncIterator[tuple[Page, list[str], list[str]]]:
    """The page, the requests that were sent, and those that were not."""
    context = await chromium.new_context()
    page, sent, refused = await context.new_page(), list[str](), list[str]()
    page.on("requestfinished", lambda request: sent.append(request.url))
    page.on("requestfailed", lambda request: refused.append(f"{request.url} {request.failure}"))
    try:
        await page.goto(url)
        yield page, sent, refused
    finally:
        await context.close()


def token(host: Running) -> str:
    with host.http() as http:
        given = {"email": "anna@example.com", "password": PASSWORD}
        handle = bearer(handle_of(http.post("/auth/api/v1/signup", json=given)))
        give_up = time.monotonic() + 20
        while not (mails := http.get("/auth/dev/mail.json").json()):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        proof = {"factor": "email_code", "answer": mails[0]["code"]}
        assert http.post("/auth/api/v1/signin/prove", json=proof, headers=handle).status_code == 200
        return token_of(http.post("/auth/api/v1/signin/finish", json={"carrier": "bearer"}, headers=handle))


async def test_it_loads_nothing_from_elsewhere_and_takes_a_token(host: Running, chromium: Browser) -> None:
    secret = token(host)
    async with opened(chromium, f"{host.url}/docs") as (page, sent, refused):
        assert await page.title() == "Host"
        await page.locator(".opblock").first.wait_for()
        assert await page.locator(".opblock").count() == 1
        await page.locator("button.authorize.unlocked").first.click()
        await page.get_by_label("auth-bearer-value").fill(secret)
        await page.locator(".auth-container:has([aria-label=auth-bearer-value]) button.authorize").click()
        await page.locator("button.btn-done").first.click()
        await page.locator(".opblock-summary-control").click()
        await page.locator("button.try-out__btn").click()
        async with page.expect_response(lambda answer: answer.url.endswith("/me")) as answering:
            await page.locator("button.execute").click()
        answer = await answering.value
        assert (answer.status, await answer.json()) == (200, "anna@example.com")
    assert {urlsplit(address).netloc for address in sent} == {urlsplit(host.url).netloc}
    assert f"{host.url}/openapi.json" in sent
    # The picture in the host's description, which the page's policy does not let out.
    assert [address for address in refused if not address.startswith(host.url)] == [f"{PICTURE} csp"]
