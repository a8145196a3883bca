"""Guards on WebSockets: who is asking, by token, and by cookie from our own origin; everybody else is closed out before
the socket is accepted. What happens to an open one when its session ends.

Not here: which WebSockets lack a guard (`test_guards`).
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from sqlalchemy import func, select
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from passgate import User, testing
from passgate.errors import PassgateError
from passgate.store.tables import audit_event
from passgate.testing import Gate
from tests.kit import bearer

ANNA = "anna@example.com"
OURS = {"origin": "http://localhost:8000"}
NAMES = ("user", "optional", "bearer", "may", "fresh", "hand")
PATHS = (*NAMES, *(f"sub/{name}" for name in NAMES))


def program(gate: Gate) -> FastAPI:
    app = FastAPI()
    recently = gate.fresh(minutes=5)

    def add(name: str, guard: Callable[..., Any]) -> None:
        async def talk(socket: WebSocket, user: Annotated[User | None, Depends(guard)]) -> None:
            await socket.accept()
            await socket.send_text(user.email if user else "stranger")
            async for _ in socket.iter_text():
                await socket.send_text((await gate.user(socket)).email)

        app.websocket(f"/{name}")(talk)

    guards: dict[str, Callable[..., Any]] = {
        "user": gate.user,
        "optional": gate.optional_user,
        "bearer": gate.bearer,
        "may": gate.may("users:read"),
        "fresh": recently,
    }
    for name, guard in guards.items():
        add(name, guard)

    @app.websocket("/hand")
    async def by_hand(socket: WebSocket, user: Annotated[User, Depends(gate.user)]) -> None:
        await recently(socket, user)
        await socket.accept()
        await socket.send_text(str((await gate.at(socket).me.show()).user.email))

    return app


@pytest.fixture
def gate() -> Gate:
    return testing.gate()


@pytest.fixture
def http(gate: Gate) -> Iterator[TestClient]:
    """The sockets are in the host's program, and once more in an application that is mounted in it."""
    app = program(gate)
    app.mount("/sub", program(gate))
    gate.mount(app)
    assert gate.unguarded(app) == []
    with TestClient(app, base_url="http://localhost:8000") as made:
        yield made


def opened(http: TestClient, path: str, **headers: str) -> str:
    """What the socket says first."""
    with http.websocket_connect(f"ws://localhost:8000/{path}", headers=headers) as socket:
        return str(socket.receive_text())


def refused(http: TestClient, path: str, **headers: str) -> tuple[int, str]:
    with pytest.raises(WebSocketDisconnect) as caught:
        opened(http, path, **headers)
    return caught.value.code, caught.value.reason


def sign_in(http: TestClient, carrier: testing.Carrier = "cookie") -> dict[str, str]:
    """Header fields that name Anna, whom the client itself then no longer names."""
    who = testing.sign_in(http, ANNA, carrier=carrier)
    cookie = http.cookies.get("passgate_session")
    http.cookies.clear()
    for name in ("authorization", "sec-fetch-site"):
        http.headers.pop(name, None)
    return {"cookie": f"passgate_session={cookie}"} if carrier == "cookie" else bearer(who.token or "")


@pytest.mark.parametrize("carrier", ["bearer", "jwt"])
def test_by_token(http: TestClient, carrier: testing.Carrier) -> None:
    anna = sign_in(http, carrier)
    for path in PATHS:
        if not path.endswith("may"):
            assert opened(http, path, **anna) == ANNA
            assert opened(http, path, **anna, origin="https://elsewhere.example.com") == ANNA


def test_by_cookie_from_our_own_pages(http: TestClient) -> None:
    anna = sign_in(http)
    for headers in (OURS, OURS | {"sec-fetch-site": "same-origin"}):
        for path in ("user", "optional", "fresh", "hand", "sub/user"):
            assert opened(http, path, **anna, **headers) == ANNA
    assert refused(http, "bearer", **anna, **OURS) == (4401, "credential_missing")


FOREIGN = [
    {},
    {"origin": "https://evil.example.com"},
    {"origin": "null"},
    {"origin": "http://localhost:8001"},
    {"origin": "http://sub.localhost:8000"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", **OURS},
]


def test_by_cookie_from_elsewhere(http: TestClient, gate: Gate) -> None:
    """Cross-site WebSocket hijacking: a browser sends the cookie and lets any page read what comes."""
    anna = sign_in(http)
    for headers in FOREIGN:
        for path in ("user", "optional", "may", "fresh", "sub/hand"):
            assert refused(http, path, **anna, **headers) == (4403, "csrf_refused")
    assert http.portal is not None
    assert http.portal.call(count, gate, "access:refused") == len(FOREIGN) * 5


async def count(gate: Gate, event: str) -> int:
    async with gate.services.store.read() as db:
        return int(await db.value(select(func.count()).where(audit_event.c.event == event)))


def test_without_anything_that_counts(http: TestClient) -> None:
    for path in PATHS:
        if not path.endswith("optional"):
            assert refused(http, path) == (4401, "credential_missing")
        assert refused(http, path, **bearer("pg_ses_nothing")) == (4401, "credential_invalid")
    assert opened(http, "optional") == opened(http, "optional", cookie="passgate_session=dead") == "stranger"


def test_without_the_permission_or_a_recent_proof(http: TestClient, gate: Gate) -> None:
    anna = sign_in(http, "bearer")
    assert refused(http, "may", **anna) == (4403, "permission_missing")
    gate.clock.forward(minutes=6)
    assert refused(http, "fresh", **anna) == refused(http, "hand", **anna)
    assert refused(http, "fresh", **anna) == (4401, "insufficient_user_authentication")


def test_a_session_that_ends_while_it_is_open(http: TestClient) -> None:
    """Nothing is looked up again unless the program asks; then the socket is closed."""
    anna = sign_in(http, "bearer")
    with http.websocket_connect("ws://localhost:8000/sub/user", headers=anna) as socket:
        assert socket.receive_text() == ANNA
        socket.send_text("who am I?")
        assert socket.receive_text() == ANNA
        assert http.delete("/auth/api/v1/session", headers=anna).status_code == 204
        socket.send_text("who am I?")
        with pytest.raises(WebSocketDisconnect) as caught:
            socket.receive_text()
        assert (caught.value.code, caught.value.reason) == (4401, "session_ended")


def test_an_operation_that_is_refused(gate: Gate) -> None:
    """It closes the socket as a guard does, open or not."""
    app, sub = FastAPI(), FastAPI()

    async def closed(socket: WebSocket) -> None:
        await gate.at(socket).me.show()

    async def opened_before(socket: WebSocket) -> None:
        await socket.accept()
        await gate.at(socket).me.show()

    for each in (app, sub):
        each.websocket("/closed")(closed)
        each.websocket("/open")(opened_before)
    app.mount("/sub", sub)
    gate.mount(app)
    with TestClient(app, base_url="http://localhost:8000") as http:
        for path in ("closed", "open", "sub/closed", "sub/open"):
            assert refused(http, path) == (4401, "credential_missing")


def test_what_a_person_does_by_a_socket_is_theirs() -> None:
    """An event of the host's own, recorded without a guard too, and a job. A foreign page's visitor is a stranger."""
    gate, app = testing.gate(events={"news:read": "You read the news."}), FastAPI()
    gate.mount(app)

    @gate.job(name="deliver")
    async def deliver() -> None: ...

    @app.websocket("/news")
    async def news(socket: WebSocket) -> None:
        await gate.record(socket, "news:read")
        await socket.accept()
        await gate.start_job(socket, deliver)
        await socket.send_text("news")

    with TestClient(app, base_url="http://localhost:8000") as http:
        cookie = sign_in(http)
        assert opened(http, "news", **cookie, **OURS) == "news"
        assert refused(http, "news", **cookie, origin="https://evil.example.com") == (4401, "credential_missing")
        assert http.portal is not None
        assert http.portal.call(actors, gate) == [True, False]


async def actors(gate: Gate) -> list[bool]:
    """Whether there is one, of each event."""
    mine = select(audit_event.c.actor_id).where(audit_event.c.event == "news:read").order_by(audit_event.c.id)
    async with gate.services.store.read() as db:
        return [row["actor_id"] is not None for row in await db.rows(mine)]


def test_while_nobody_has_started_it(gate: Gate) -> None:
    app = program(gate)
    gate.mount(app)
    http = TestClient(app, base_url="http://localhost:8000")
    for name in NAMES:
        assert refused(http, name) == (4503, "unavailable")


def test_a_handler_of_the_hosts_own_changes_nothing(gate: Gate) -> None:
    app = program(gate)
    gate.mount(app)

    @app.exception_handler(PassgateError)
    async def mine(_request: Any, _error: PassgateError) -> None: ...

    with TestClient(app, base_url="http://localhost:8000") as http:
        assert refused(http, "user") == (4401, "credential_missing")
