"""Mounted in each way that the guide names: at a path, at the root, below a `root_path` of the program or the server,
behind a proxy that removes a prefix, and in a sub-application. Sign-up by page, mailed links, the API, the host's own
routes and the documents work, or the log says what the program has left out.

Not here: what a mounted Passgate leaves alone (`test_mount`).
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import httpx2
import pytest
import uvicorn
from fastapi import Depends, FastAPI, WebSocket
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from passgate import User, testing
from passgate.testing import Gate
from tests.kit import bearer, code_of, handle_of
from tests.library.program import started
from tests.web.browsing import Page

ANNA, URL = "anna@example.com", "http://localhost:8000"


def program(gate: Gate) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/me")
    async def me(user: Annotated[User, Depends(gate.user)]) -> str:
        return user.email

    @app.post("/notes")
    async def write(user: Annotated[User, Depends(gate.user)]) -> str:
        return user.email

    return app


def proxied(app: ASGIApp, prefix: str, *, keeps: bool = False, root_path: str = "") -> ASGIApp:
    """What browsers reach: a proxy that passes on what is below the prefix, without it unless it `keeps` it, to a
    server with this `root_path`, which it puts before each path as uvicorn does."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(prefix + "/"):
            await PlainTextResponse("another program", 404)(scope, receive, send)
            return
        path = root_path + (scope["path"] if keeps else scope["path"].removeprefix(prefix))
        await app({**scope, "path": path, "raw_path": path.encode(), "root_path": root_path}, receive, send)

    return served


@dataclass
class Way:
    """What browsers reach, which program is started, below which path browsers reach it, and our endpoints."""

    reached: ASGIApp
    app: FastAPI
    prefix: str
    base: str


def at_a_path(gate: Gate) -> Way:
    app = program(gate)
    gate.mount(app)
    gate.docs(app)
    return Way(app, app, "", "/auth")


def at_the_root(gate: Gate) -> Way:
    app = program(gate)
    gate.docs(app, at="/mine/docs")
    gate.mount(app, at="")
    return Way(app, app, "", "")


def of_the_program(gate: Gate, *, keeps: bool = False) -> Way:
    app = program(gate)
    app.root_path = "/shop"
    gate.mount(app)
    gate.docs(app)
    return Way(proxied(app, "/shop", keeps=keeps), app, "/shop", "/shop/auth")


def of_the_program_unstripped(gate: Gate) -> Way:
    return of_the_program(gate, keeps=True)


def of_the_server(gate: Gate) -> Way:
    app = program(gate)
    gate.mount(app, root_path="/a/shop")
    gate.docs(app)
    return Way(proxied(app, "/a/shop", root_path="/a/shop"), app, "/a/shop", "/a/shop/auth")


def stripped(gate: Gate) -> Way:
    """Neither the program nor its server knows of the prefix."""
    app = program(gate)
    app.servers = [{"url": "/shop"}]
    gate.mount(app, root_path="/shop")
    return Way(proxied(app, "/shop"), app, "/shop", "/shop/auth")


def in_a_sub_application(gate: Gate, at: str = "/auth") -> Way:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with gate.running():
            yield

    outer, sub = FastAPI(lifespan=lifespan), program(gate)
    gate.docs(sub, at="/mine/docs")
    gate.mount(sub, at=at, root_path="/api")
    outer.mount("/api", sub)
    return Way(outer, outer, "/api", "/api" + at)


def at_the_root_of_a_sub_application(gate: Gate) -> Way:
    return in_a_sub_application(gate, at="")


def outside_a_sub_application(gate: Gate) -> Way:
    """Passgate in the outer program, guards in the inner one."""
    outer = FastAPI()
    outer.mount("/api", program(gate))
    gate.mount(outer)
    return Way(outer, outer, "/api", "/auth")


WAYS = [
    at_a_path,
    at_the_root,
    of_the_program,
    of_the_program_unstripped,
    of_the_server,
    stripped,
    in_a_sub_application,
    at_the_root_of_a_sub_application,
    outside_a_sub_application,
]


@dataclass
class Served:
    gate: Gate
    way: Way
    http: httpx2.AsyncClient

    async def page(self, path: str) -> Page:
        """A page that exists, all of whose links and forms lead to what is below our own path."""
        answer = await self.http.get(path, follow_redirects=True)
        assert answer.status_code == 200, (path, answer.url, answer.text[:200])
        assert all(str(one.headers["location"]).startswith(self.way.base + "/") for one in answer.history)
        found = Page(answer.text)
        ours = [form.action for form in found.forms] + [link for link in found.links if not link.startswith("#")]
        assert [one for one in ours if not one.startswith(self.way.base + "/")] == []
        for path_of_file in {one for one in found.links if one.endswith((".css", ".svg"))}:
            assert (await self.http.get(path_of_file)).status_code == 200
        return found

    async def send(self, path: str, **typed: str) -> str:
        """Fill in the form of a page that posts there; the path that follows."""
        found = await self.page(path)
        form = next(form for form in found.forms if form.action.partition("?")[0] == path)
        answer = await self.http.post(form.action, data={**form.fields, **typed}, headers={"origin": URL})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    gate = testing.gate()
    way = request.param(gate)
    async with started(way.app):
        transport = httpx2.ASGITransport(way.reached, client=("127.0.0.1", 50000))
        async with httpx2.AsyncClient(transport=transport, base_url=URL) as http:
            yield Served(gate, way, http)


async def test_signing_up_by_page_and_by_mailed_link(served: Served) -> None:
    gate, base, http = served.gate, served.way.base, served.http
    assert await served.send(f"{base}/signup", email=ANNA, password=testing.PASSWORD) == f"{base}/signin/email-code"
    await gate.settle()
    assert await served.send(f"{base}/signin/email-code", code=gate.mailbox.code(ANNA)) == f"{base}/account"
    await served.page(f"{base}/account")
    assert (await http.get(f"{served.way.prefix}/me")).json() == ANNA
    cookies = [one for one in http.cookies.jar if one.name == "passgate_session"]
    assert [one.path for one in cookies] == ["/"]
    http.cookies.clear()
    assert await served.send(f"{base}/recover", email=ANNA)
    await gate.settle()
    link = gate.mailbox.to(ANNA)[0].link or ""
    assert link.startswith(f"{URL}{base}/signin/link/")
    assert Page((await http.get(urlsplit(link).path, follow_redirects=True)).text).name == "signin-link"
    await served.page(f"{base}/signin/link")


async def test_a_visitor_is_led_to_the_sign_in(served: Served) -> None:
    base = served.way.base
    answer = await served.http.get(f"{base}/account/sessions")
    assert answer.headers["location"].startswith(f"{base}/signin?return_to=")
    assert (await served.page(f"{base}/account/sessions")).name == "signin"
    if base.endswith("/auth"):  # elsewhere the host decides about such a path
        slash = await served.http.get(f"{base}/signin/")
        assert (slash.status_code, slash.headers["location"]) == (308, f"{base}/signin")


async def test_the_api_and_the_hosts_routes(served: Served) -> None:
    base, prefix, http = served.way.base, served.way.prefix, served.http
    api = f"{base}/api/v1"
    begun = await http.post(f"{api}/signup", json={"email": ANNA, "password": testing.PASSWORD})
    handle = bearer(handle_of(begun))
    await served.gate.settle()
    code = served.gate.mailbox.code(ANNA)
    await http.post(f"{api}/signin/prove", json={"factor": "email_code", "answer": code}, headers=handle)
    done = await http.post(f"{api}/signin/finish", json={"carrier": "jwt"}, headers=handle)
    token = done.json()["access_token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["iss"] == f"{URL}{base}"
    assert (await http.get(f"{base}/oauth2/jwks")).json()["keys"]
    assert (await http.get(f"{prefix}/me", headers=bearer(token))).json() == ANNA
    assert (await http.get(f"{api}/session", headers=bearer(token))).json()["user"]["email"] == ANNA


async def test_requests_of_other_sites(served: Served) -> None:
    base, http = served.way.base, served.http
    await served.send(f"{base}/signup", email=ANNA, password=testing.PASSWORD)
    await served.gate.settle()
    await served.send(f"{base}/signin/email-code", code=served.gate.mailbox.code(ANNA))
    for path in (f"{served.way.prefix}/notes", f"{base}/api/v1/me/unlock"):
        refused = await http.post(path, headers={"origin": "https://evil.example.com"})
        assert code_of(refused) == "csrf_refused"
    assert (await http.post(f"{served.way.prefix}/notes", headers={"origin": URL})).json() == ANNA


async def test_documents(served: Served) -> None:
    """Ours, and the host's own: what each says can be asked for where it says, and its page finds its files."""
    base, prefix, http = served.way.base, served.way.prefix, served.http
    for at, path in ((base, "/api/v1/session"), (prefix, "/me")):
        document = (await http.get(f"{at}/openapi.json")).json()
        if path in document["paths"]:
            [server] = document.get("servers", [{"url": ""}])
            assert (await http.get(server["url"] + path)).status_code == 401
    for at in (base, prefix, f"{prefix}/mine"):
        page = await http.get(f"{at}/docs")
        assert page.status_code in ((200,) if at == base else (200, 404))
        for given in (given for tag, given in Page(page.text).tags if tag == "script" and "src" in given):
            assert (await http.get(f"{at}/{given['src']}")).status_code == 200


async def test_well_known_paths(served: Served) -> None:
    """They are at the root of the program in which it is mounted; a proxy has to pass them on."""
    root = served.way.base.removesuffix("/auth")
    answer = await served.http.get(f"{root}/.well-known/change-password")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{served.way.base}/account/password")


# -- what a program has left out -------------------------------------------------------------------


def unstated_by_server(gate: Gate) -> Way:
    app = program(gate)
    gate.mount(app)
    return Way(proxied(app, "/shop", root_path="/shop"), app, "/shop", "/shop/auth")


def unstated_in_a_sub_application(gate: Gate) -> Way:
    sub = program(gate)
    gate.mount(sub)
    outer = FastAPI(lifespan=sub.router.lifespan_context)
    outer.mount("/shop", sub)
    return Way(outer, outer, "/shop", "/shop/auth")


@pytest.mark.parametrize("way", [unstated_by_server, unstated_in_a_sub_application])
async def test_a_root_path_that_is_missing(way: Callable[[Gate], Way], caplog: pytest.LogCaptureFixture) -> None:
    gate = testing.gate()
    one = way(gate)
    async with started(one.app):
        transport = httpx2.ASGITransport(one.reached)
        async with httpx2.AsyncClient(transport=transport, base_url=URL) as http:
            for path in ("/signin", "/readyz", "/api/v1/session", "/.well-known/change-password"):
                base = one.prefix if path.startswith("/.well") else one.base
                refused = await http.get(base + path)
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
                assert "root_path" not in refused.text
    texts = critical(caplog)
    assert {text.split()[0] for text in texts} == {"ROOT_PATH"}
    assert 'root_path="/shop"' in texts[0]


def critical(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]


def test_a_sub_application_that_nobody_starts(caplog: pytest.LogCaptureFixture) -> None:
    """Its lifespan never runs, and neither does Passgate: guards, pages and sockets say so."""
    gate = testing.gate()
    outer, sub = FastAPI(), program(gate)

    @sub.websocket("/talk")
    async def talk(socket: WebSocket, user: Annotated[User, Depends(gate.user)]) -> None:
        raise AssertionError

    gate.mount(sub, root_path="/api")
    outer.mount("/api", sub)
    with TestClient(outer, base_url=URL) as http:
        for path in ("/api/auth/signin", "/api/auth/api/v1/session", "/api/me"):
            refused = http.get(path)
            assert (refused.status_code, refused.json()["down"]) == (503, "start")
        with pytest.raises(WebSocketDisconnect) as caught, http.websocket_connect("/api/talk"):
            pass
        assert (caught.value.code, caught.value.reason) == (4503, "unavailable")
    texts = critical(caplog)
    assert len(texts) == 4
    assert {text.split()[0] for text in texts} == {"NOT_STARTED"}


@pytest.mark.parametrize("root_path", ["shop", "/shop/", "/", "https://example.com/shop", "/{x}"])
def test_what_is_no_root_path(root_path: str) -> None:
    gate = testing.gate()
    with pytest.raises(ValueError, match="path"):
        gate.mount(FastAPI(), root_path=root_path)
    gate.mount(FastAPI(), root_path="/shop")  # the refused one changed nothing


async def test_a_real_server_with_a_root_path() -> None:
    """`uvicorn --root-path /shop`: it puts the path before each that comes."""
    gate = testing.gate()
    app = program(gate)
    gate.mount(app, root_path="/shop")
    server = uvicorn.Server(uvicorn.Config(app, port=0, root_path="/shop", log_config=None, lifespan="on"))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110  it has no event to wait for
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://localhost:{port}", headers={"host": "localhost:8000"}) as http:
            answer = await http.get("/auth/account")
            assert (answer.status_code, answer.headers["location"]) == (303, "/shop/auth/signin?return_to=%2Faccount")
            assert code_of(await http.get("/me")) == "credential_missing"
    finally:
        server.should_exit = True
        await serving
