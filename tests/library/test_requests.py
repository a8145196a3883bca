"""`gate.requests(app)`: the request id, the log line and the headers of a host's own answers, whatever answers.

Not here: our own endpoints, which have all of this without it; a real server, which is in tests/cli.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from sqlalchemy import select
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from passgate import testing
from passgate.store.tables import audit_event
from passgate.testing import Gate
from tests.library.program import started

FRAMES = "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
STANDARD = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": FRAMES,
    "x-frame-options": "DENY",
}


@pytest.fixture
def gate() -> Gate:
    return testing.gate()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """The access log until now."""
    caplog.set_level(logging.INFO, "passgate.access")
    names = ("request_id", "method", "route", "status", "ms")
    return lambda: [
        {name: record.__dict__[name] for name in names} for record in caplog.records if record.name == "passgate.access"
    ]


@asynccontextmanager
async def asked(app: FastAPI, peer: str = "127.0.0.1") -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the running program that hears the answer to a fault, as with a server."""
    async with started(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(peer, 50000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as http:
            yield http


def program(gate: Gate, **given: Any) -> FastAPI:
    app = FastAPI(**given)

    @app.get("/hello/{name}")
    async def hello(name: str, number: int = 0) -> str:
        return f"{name} {number}"

    @app.get("/own")
    async def own() -> Response:
        fields = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60", "X-Request-ID": "own"}
        return HTMLResponse("<p>", headers={**fields, "Referrer-Policy": "origin", "X-Content-Type-Options": "other"})

    @app.get("/framed")
    async def framed() -> Response:
        return HTMLResponse("<p>", headers={"X-Frame-Options": "SAMEORIGIN"})

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b", "c"]), media_type="text/plain")

    @app.head("/hello/{name}")
    async def head(name: str) -> Response:
        return Response(headers={"content-length": "7"})

    @app.post("/echo")
    async def echo(given: dict[str, Any]) -> dict[str, Any]:
        return given

    @app.get("/fault")
    async def fault() -> None:
        raise ZeroDivisionError("a secret")

    @app.get("/users", dependencies=[Depends(gate.may("users:read"))])
    async def users() -> str:
        return "all"

    gate.requests(app)
    gate.mount(app)
    return app


async def test_every_answer_has_an_id_and_the_headers(gate: Gate, lines: Callable[[], list[dict[str, Any]]]) -> None:
    async with asked(program(gate, max_body_size=100)) as http:
        answers = [
            (200, "/hello/{name}", await http.get("/hello/anna")),
            (200, "/hello/{name}", await http.head("/hello/anna")),
            (200, "/stream", await http.get("/stream")),
            (404, "(none)", await http.get("/nowhere/secret")),
            (307, "(none)", await http.get("/hello/anna/")),
            (405, "/stream", await http.put("/stream")),
            (422, "/hello/{name}", await http.get("/hello/anna?number=secret")),
            (401, "/users", await http.get("/users")),
            (413, "/echo", await http.post("/echo", json={"a": "a" * 200})),
            (500, "/fault", await http.get("/fault")),
        ]
    assert [(answer.status_code, answer.text) for _, _, answer in answers][2] == (200, "abc")
    for status, _, answer in answers:
        assert answer.status_code == status
        assert STANDARD.items() <= dict(answer.headers).items(), answer.url
    ids = [answer.headers["x-request-id"] for _, _, answer in answers]
    assert len(set(ids)) == len(ids)
    logged = [(line["request_id"], line["status"], line["route"]) for line in lines()]
    assert logged == [(one, status, route) for one, (status, route, _) in zip(ids, answers, strict=True)]
    assert all(line["ms"] > 0 for line in lines())


async def test_what_the_host_set_stays(gate: Gate) -> None:
    async with asked(program(gate)) as http:
        own, framed = (await http.get("/own")).headers, (await http.get("/framed")).headers
    assert own["content-security-policy"] == "default-src 'self'"
    assert (own["cache-control"], own["referrer-policy"], own["x-content-type-options"]) == (
        "max-age=60",
        "origin",
        "other",
    )
    assert "x-frame-options" not in own  # its policy would have named who may frame it
    assert own.get_list("x-request-id") != ["own"]
    assert len(own.get_list("x-request-id")) == 1
    assert framed["x-frame-options"] == "SAMEORIGIN"
    assert framed["content-security-policy"] == "base-uri 'none'; object-src 'none'"


async def test_https_is_for_good() -> None:
    gate = testing.gate(public_url="https://app.localhost")
    async with asked(program(gate)) as http:
        assert (await http.get("/hello/anna")).headers["strict-transport-security"].startswith("max-age=")


async def test_the_audit_trail_has_the_same_id(gate: Gate, lines: Callable[[], list[dict[str, Any]]]) -> None:
    async with asked(program(gate)) as http:
        await testing.sign_in(http, "anna@example.com")
        refused = await http.get("/users")
        async with gate.services.store.read() as db:
            rows = await db.rows(select(audit_event.c.facts).where(audit_event.c.event == "access:refused"))
    assert refused.status_code == 403
    [facts] = [json.loads(row["facts"]) for row in rows]
    assert facts["request_id"] == refused.headers["x-request-id"] == lines()[-1]["request_id"]
    assert refused.headers.get_list("x-request-id") == [facts["request_id"]]


async def test_a_request_below_the_mount_has_one_id() -> None:
    """What the host records on the way, what Passgate records, and the answer."""
    gate = testing.gate(events={"gate:passed": "Somebody passed"})
    app = program(gate)

    @app.middleware("http")
    async def on_the_way(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        await gate.record(request, "gate:passed")
        return await call_next(request)

    wrong = {"email": "anna@example.com"}
    async with asked(app) as http:
        answer = await http.post("/auth/api/v1/recover", json=wrong)
        async with gate.services.store.read() as db:
            rows = await db.rows(select(audit_event.c.event, audit_event.c.facts))
    ids = {row["event"]: json.loads(row["facts"])["request_id"] for row in rows if "request_id" in row["facts"]}
    assert len(ids) > 1
    assert "gate:passed" in ids
    assert set(ids.values()) == {answer.headers["x-request-id"]}


async def test_a_trusted_proxy_gives_the_id() -> None:
    gate = testing.gate(trusted_proxies="10.0.0.1")
    app = program(gate)
    given = {"x-request-id": "of-the-proxy"}
    async with asked(app, "10.0.0.1") as http:
        assert (await http.get("/hello/anna", headers=given)).headers["x-request-id"] == "of-the-proxy"
        assert (await http.get("/auth/readyz", headers=given)).headers["x-request-id"] == "of-the-proxy"
    async with asked(app, "10.0.0.2") as http:
        assert (await http.get("/hello/anna", headers=given)).headers["x-request-id"] != "of-the-proxy"


async def test_our_own_endpoints_answer_as_without_it(lines: Callable[[], list[dict[str, Any]]]) -> None:
    answers: list[list[tuple[int, dict[str, str], bytes]]] = []
    for is_asked in (False, True):
        app, gate = FastAPI(), testing.gate()
        if is_asked:
            gate.requests(app)
        gate.mount(app)
        async with asked(app) as http:
            paths = ("/auth/readyz", "/auth/signin", "/auth/nowhere", "/auth/api/v1/me", "/.well-known/jwks.json")
            got = [await http.get(path) for path in paths]
        ours = [answer for answer in got if answer.url.path.startswith("/auth")]
        assert [line["request_id"] for line in lines()][-len(got) :][:4] == [
            one.headers["x-request-id"] for one in ours
        ]
        answers.append([(one.status_code, *_without_id(one)) for one in ours])
    assert answers[0] == answers[1]
    assert [line["route"] for line in lines()].count("/readyz") == 2


def _without_id(answer: httpx2.Response) -> tuple[dict[str, str], bytes]:
    """Two answers differ in their ids, dates and seeds of forms."""
    varying = ("x-request-id", "set-cookie", "content-length")
    fields = {name: value for name, value in answer.headers.items() if name not in varying}
    return fields, b"" if "html" in answer.headers["content-type"] else answer.content.partition(b"request_id")[0]


async def test_a_layer_around_and_a_layer_inside_that_answer(
    gate: Gate, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """Middlewares that are added later, too."""
    app = program(gate)

    @app.middleware("http")
    async def closed(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.url.path == "/broken":
            raise HTTPException(418)
        return PlainTextResponse("closed", 503) if request.url.path == "/closed" else await call_next(request)

    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example.com"])
    origin = {"origin": "https://app.example.com", "access-control-request-method": "GET"}
    async with asked(app) as http:
        answers = [
            await http.get("/closed"),
            await http.options("/hello/anna", headers=origin),
            await http.get("/broken"),
            await http.get("/fault"),
        ]
        assert (await http.get("/auth/readyz")).status_code == 200
    assert [answer.status_code for answer in answers] == [503, 200, 500, 500]
    assert all(STANDARD.items() <= dict(answer.headers).items() for answer in answers)
    assert [line["request_id"] for line in lines()][:-1] == [answer.headers["x-request-id"] for answer in answers]
    assert [line["route"] for line in lines()] == ["(none)", "(none)", "(none)", "/fault", "/readyz"]


async def test_a_fault_reaches_the_hosts_handler_once_and_the_log(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    app, seen = program(gate), list[str]()

    @app.exception_handler(Exception)
    async def lost(_request: Request, error: Exception) -> Response:
        seen.append(type(error).__name__)
        return PlainTextResponse("ours", 500)

    async with asked(app) as http:
        answer = await http.get("/fault")
    assert (answer.text, seen) == ("ours", ["ZeroDivisionError"])
    assert STANDARD.items() <= dict(answer.headers).items()
    [fault] = [record for record in caplog.records if record.name == "passgate.fault"]
    assert (fault.__dict__["request_id"], fault.__dict__["route"]) == (answer.headers["x-request-id"], "/fault")
    with TestClient(app) as client, pytest.raises(ZeroDivisionError):
        client.get("/fault")


async def test_a_task_after_the_answer(
    gate: Gate, lines: Callable[[], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """Its time is not that of the answer, and its fault changes nothing of it."""
    app = program(gate)

    @app.get("/later")
    async def later(tasks: BackgroundTasks, fails: bool = False) -> str:
        tasks.add_task(gate.clock.forward, 10)
        if fails:
            tasks.add_task(divmod, 1, 0)
        return "soon"

    async with asked(app) as http:
        assert [(await http.get(f"/later?fails={fails}")).status_code for fails in (0, 1)] == [200, 200]
    assert [(line["status"], line["ms"] < 1000) for line in lines()] == [(200, True), (200, True)]
    assert [record.__dict__["route"] for record in caplog.records if record.name == "passgate.fault"] == ["/later"]


async def test_somebody_who_hangs_up(
    gate: Gate, lines: Callable[[], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """Before their body was whole: that is no fault of the program, and strangers must not fill its log."""
    app = program(gate)

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    parts = [{"type": "http.request", "body": b"abc", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return parts.pop(0)

    async def send(_message: Any) -> None:
        pass

    headers = [(b"host", b"localhost"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/body", "headers": headers, "query_string": b""}
    async with started(app):
        with pytest.raises(ClientDisconnect):
            await app({**scope, "client": ("127.0.0.1", 5), "http_version": "1.1", "scheme": "http"}, receive, send)
    assert [line["route"] for line in lines()] == ["/body"]
    assert [record for record in caplog.records if record.name == "passgate.fault"] == []


async def test_a_stream_that_breaks(gate: Gate, lines: Callable[[], list[dict[str, Any]]]) -> None:
    app = program(gate)

    async def parts() -> AsyncIterator[str]:
        yield "a"
        raise ZeroDivisionError

    app.get("/breaks")(lambda: StreamingResponse(parts()))
    async with asked(app) as http:
        await http.get("/breaks")
    assert [(line["status"], line["route"]) for line in lines()] == [(200, "/breaks")]


async def test_the_log_has_templates(gate: Gate, lines: Callable[[], list[dict[str, Any]]], tmp_path: Path) -> None:
    """The path itself never; also for routers, one of them included twice, and for mounted applications."""
    (tmp_path / "secret.txt").write_text("x")
    app, inner, sub = program(gate), APIRouter(prefix="/inner"), FastAPI()
    for router in (app, inner, sub):
        router.get("/items/{item}")(lambda item: item)
    inner.routes.append(Route("/plain/{one}", lambda _: PlainTextResponse("x")))
    for prefix in ("/a/{team}", "/b"):
        app.include_router(inner, prefix=prefix)
    app.mount("/sub/{where}", sub)
    app.mount("/files", StaticFiles(directory=tmp_path))
    app.routes.append(Mount("/wrapped", GZipMiddleware(FastAPI())))
    async with asked(app) as http:
        for path in (
            "/items/secret",
            "/a/secret/inner/items/secret",
            "/b/inner/items/secret",
            "/sub/secret/items/secret",
            "/sub/secret/nowhere",
            "/files/secret.txt",
            "/files/nowhere",
            "/wrapped/secret",
            "/b/plain/secret",
        ):
            await http.get(path)
        app.get("/late/{one}")(lambda one: one)
        await http.get("/late/secret")
    routes = [line["route"] for line in lines()]
    assert routes[:4] == [
        "/items/{item}",
        "/a/{team}/inner/items/{item}",
        "/b/inner/items/{item}",
        "/sub/{where}/items/{item}",
    ]
    assert routes[4:] == ["/sub/{where}", "/files", "/files", "/wrapped", "/b/plain/{one}", "/late/{one}"]


async def test_websockets_pass(gate: Gate, lines: Callable[[], list[dict[str, Any]]]) -> None:
    app = program(gate)

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    with TestClient(app) as client:
        with client.websocket_connect("/socket") as open_socket:
            assert open_socket.receive_text() == "hello"
        assert client.get("/hello/anna").status_code == 200
    assert [line["route"] for line in lines()] == ["/hello/{name}"]


async def test_it_goes_on_after_a_second_start(gate: Gate) -> None:
    app = program(gate)
    for _ in range(2):
        async with asked(app) as http:
            assert (await http.get("/users")).headers["x-request-id"]


def test_it_takes_an_application_that_has_not_started(gate: Gate) -> None:
    app = FastAPI()
    app.add_middleware(gate.requests)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        app.build_middleware_stack()
    other = FastAPI()
    with TestClient(other), pytest.raises(RuntimeError):
        gate.requests(other)


async def test_the_server_has_no_query_for_its_access_log(gate: Gate) -> None:
    """It reads its own scope when the answer begins, as uvicorn does; the program has the query all the same."""
    app = program(gate)

    @app.websocket("/socket")
    async def socket(socket: WebSocket, number: int) -> None:
        await socket.accept()
        await socket.send_text(f"number {number}")
        await socket.close()

    seen: list[bytes] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        async def answered(message: Any) -> None:
            seen.append(scope["query_string"])
            await send(message)

        await app(scope, receive, answered)

    async with started(app):
        transport = httpx2.ASGITransport(server, client=("127.0.0.1", 50000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as http:
            assert (await http.get("/hello/anna?number=7")).json() == "anna 7"
            assert (await http.get("/auth/api/v1/session?token=secret")).status_code == 401
        with TestClient(server).websocket_connect("/socket?number=7") as open_socket:
            assert open_socket.receive_text() == "number 7"
    assert len(seen) >= 6
    assert set(seen) == {b""}
