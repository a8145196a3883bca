"""Mounted in a host's program: the host's responses stay the same, byte for byte, and our endpoints work below `at`.

Not here: guards on the host's own routes, which are in test_guards.
"""

from __future__ import annotations

import json

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from sqlalchemy import text
from starlette.testclient import TestClient

from passgate import Passgate, testing
from passgate.errors import PassgateError, UnsafeSettings
from passgate.store.unit import is_reachable
from passgate.web import guards
from passgate.web.routes import Endpoint
from tests.kit import code_of, handle_of
from tests.library.program import Profile, Seen, asked, guarded, program

HOSTS = (
    "/",
    "/state",
    "/docs",
    "/openapi.json",
    "/redoc",
    "/nowhere",
    "/api/v1/host",
    "/docs/oauth2-redirect",
    "/echo",
)


async def answers_of(app: FastAPI) -> list[tuple[str, int, dict[str, str], bytes]]:
    """Every response of the host, with its header fields."""
    async with asked(app) as http:
        got = [(path, await http.get(path)) for path in HOSTS]
        got.append(("echo", await http.post("/echo", content=b'{"a": NaN}')))
        got.append(("echo", await http.post("/echo", json={"a": 1})))
        got.append(("method", await http.delete("/")))
    return [(path, answer.status_code, dict(answer.headers), answer.content) for path, answer in got]


@pytest.mark.parametrize("at", ["", "/auth", "/a/b"])
async def test_the_host_answers_as_before(at: str) -> None:
    app = program()
    app.get("/api/v1/host")(lambda: "the host's own")
    before = await answers_of(app)
    gate = testing.gate()
    gate.mount(app, at=at)
    assert await answers_of(app) == before
    assert [answer[1] for answer in before] == [200, 200, 200, 200, 200, 404, 200, 200, 405, 422, 200, 405]


@pytest.mark.parametrize("at", ["", "/auth", "/a/b"])
async def test_our_endpoints_are_below_it(at: str) -> None:
    app = program()
    gate = testing.gate(metrics={"token": "t" * 20})
    gate.mount(app, at=at)
    async with asked(app, gate) as http:
        assert (await http.get(f"{at}/readyz")).json()["status"] == "ok"
        begun = await http.post(f"{at}/api/v1/signup", json={"email": "anna@example.com", "password": testing.PASSWORD})
        assert handle_of(begun)
        assert begun.headers["x-host"] == "the host's own"  # its middleware sees our responses and its own state
        assert begun.headers["x-request-id"] != "the host's own"
        await testing.sign_in(http, "anna@example.com")
        assert (await http.get(f"{at}/api/v1/session")).json()["user"]["email"] == "anna@example.com"
        assert (await http.get(f"{at}/api/v1/session?a=1")).status_code == 200
        assert code_of(await http.get(f"{at}/api/v1/signup")) == "method_not_allowed"
        document = (await http.get(f"{at}/openapi.json")).json()
        assert (document["info"]["title"] == "Host") == (not at)
        assert not at or document["servers"] == [{"url": at}]
        if at:
            assert code_of(await http.get(f"{at}/nowhere")) == "not_found"
            home = await http.get(at)
            assert (home.status_code, home.headers["location"]) == (303, f"{at}/account")
            assert (await http.get(f"{at}x")).text == "the host's own 404"
            assert (await http.get("/api/v1/session")).text == "the host's own 404"


async def test_a_mails_links_know_where_the_endpoints_are() -> None:
    app = program()
    gate = testing.gate()
    gate.mount(app, at="/auth")
    async with asked(app, gate) as http:
        await testing.sign_in(http, "anna@example.com")
        await testing.sign_in(http, "anna@example.com")
    known = gate.mailbox.to("anna@example.com")[0]
    assert known.kind == "signup_known"
    assert known.link == "http://localhost:8000/auth/signin"
    assert "http://localhost:8000/auth/recover" in known.text


async def test_well_known_paths_are_at_the_root() -> None:
    app = program()
    gate = testing.gate()
    gate.mount(app, at="/auth")
    made = Endpoint("/.well-known/passgate-test", lambda: "ours", dependencies=[Depends(guards.stranger)])
    gate.api.router.routes.append(made)
    async with asked(app, gate) as http:
        assert (await http.get("/.well-known/passgate-test")).json() == "ours"
        assert (await http.get("/.well-known/other")).text == "the host's own 404"


async def test_the_cookie_is_for_the_whole_host() -> None:
    app = program()
    gate = testing.gate(public_url="https://shop.localhost")
    gate.mount(app)
    async with asked(app, gate) as http:
        start = await http.post("/auth/api/v1/signup", json={"email": "a@example.com", "password": testing.PASSWORD})
        handle = {"authorization": f"Bearer {handle_of(start)}"}
        await gate.settle()
        proof = {"factor": "email_code", "answer": gate.mailbox.code("a@example.com")}
        await http.post("/auth/api/v1/signin/prove", json=proof, headers=handle)
        done = await http.post("/auth/api/v1/signin/finish", json={"carrier": "cookie"}, headers=handle)
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("__Host-passgate_session=")
    assert "; Path=/;" in cookie


def test_once_for_each_program_and_each_gate() -> None:
    app, gate, other = program(), testing.gate(), testing.gate()
    gate.mount(app)
    for second in (gate, other):
        with pytest.raises(RuntimeError):
            second.mount(app, at="/other")
    with pytest.raises(RuntimeError):
        gate.mount(program())
    other.mount(program())  # the refused gate can still be mounted


@pytest.mark.parametrize("at", ["auth", "/auth/", "/", "/{x}", "/a//b", "/a b"])
def test_where_it_cannot_be_mounted(at: str) -> None:
    with pytest.raises(ValueError):
        testing.gate().mount(program(), at=at)


async def test_our_start_and_end_lie_around_the_hosts() -> None:
    seen, states = Seen(), []
    app = program(seen)
    gate = testing.gate()
    gate.mount(app)
    theirs = app.router.lifespan_context
    async with theirs(app) as state:
        states.append(state)
        assert seen == ["host up"]
        assert await is_reachable(gate.services.store)
    assert states == [{"theirs": "kept"}]
    assert seen == ["host up", "host down"]


async def test_what_is_wrong_with_our_start_stops_the_host(database_url: str | None, tmp_path: object) -> None:
    if database_url is None:
        with pytest.raises(UnsafeSettings):
            testing.gate(port=1, public_url="https://elsewhere.example.com")
        return
    gate = testing.gate(database_url=database_url)
    async with gate.services.store.write() as db:
        await db.change(text("UPDATE alembic_version SET version_num = '0000'"))
    app = program()
    gate.mount(app)
    with pytest.raises(UnsafeSettings):
        async with app.router.lifespan_context(app):
            raise AssertionError


def test_a_program_starts_again_and_again() -> None:
    """A program can start repeatedly, as in test suites, where each TestClient has its own event loop."""
    app = program()
    gate = testing.gate(profile=Profile)
    gate.mount(app)
    guarded(gate, app)
    for _ in range(3):
        with TestClient(app) as client:
            testing.sign_in(client, "anna@example.com", profile={"name": "Anna"})
            assert client.get("/me").json()["name"] == "Anna"
            assert client.get("/state").json() == "kept"


def test_a_running_gate_takes_nothing_more() -> None:
    app = program()
    gate = testing.gate()
    gate.mount(app)
    with TestClient(app):
        with pytest.raises(RuntimeError):
            gate.on("signup:completed", print)
        with pytest.raises(RuntimeError):
            gate.mount(FastAPI())


async def test_behind_a_root_path() -> None:
    """Served below a path that a proxy keeps or removes."""
    app = program()
    gate = testing.gate()
    gate.mount(app, root_path="/shop")
    outer = FastAPI(lifespan=app.router.lifespan_context)
    outer.mount("/shop", app)
    async with asked(outer, gate) as http:
        assert (await http.get("/shop/auth/readyz")).status_code == 200
        assert (await http.get("/shop/nowhere")).text == "the host's own 404"


async def test_the_hosts_own_handler_stays() -> None:
    app = FastAPI()

    @app.exception_handler(PassgateError)
    async def mine(_request: Request, error: PassgateError) -> PlainTextResponse:
        return PlainTextResponse(f"host says {error.code}", status_code=418)

    gate = testing.gate()
    gate.mount(app)
    guarded(gate, app)
    async with asked(app, gate) as http:
        answer = await http.get("/me")
        assert (answer.status_code, answer.text) == (418, "host says credential_missing")
        assert code_of(await http.get("/auth/api/v1/session")) == "credential_missing"


def test_the_hosts_document_names_our_credentials() -> None:
    app = program()
    gate = testing.gate()
    gate.mount(app)
    guarded(gate, app)
    document = app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"session", "session_cookie"}
    assert not [path for path in document["paths"] if path.startswith("/auth")]
    assert "security" not in document["paths"]["/about"]["get"]
    json.dumps(document)


def test_it_is_still_an_application_by_itself(tmp_path: object) -> None:
    gate: Passgate = testing.gate()
    with TestClient(gate, base_url="http://localhost:8000") as client:
        testing.sign_in(client, "anna@example.com")
        assert client.get("/api/v1/session").status_code == 200
