"""The guards on a host's own routes: bearer and cookie, the CSRF rule, may, fresh, public; and the list of unguarded
routes.

Not here: what makes a session live, which is in the tests of our own endpoints.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy import select
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles

from passgate import User, access_token, testing
from passgate.access_token import AccessToken
from passgate.core import access
from passgate.core.ctx import Ctx
from passgate.core.factors import totp
from passgate.errors import PassgateError
from passgate.jose import PublicKey
from passgate.store.tables import audit_event, person
from passgate.testing import Gate, SignedIn
from passgate.world import SECOND
from tests.kit import bearer, code_of, handle_of
from tests.library.program import Profile, asked, guarded, program


@pytest.fixture
def gate() -> Gate:
    return testing.gate(profile=Profile)


@pytest.fixture
async def http(gate: Gate) -> AsyncIterator[httpx2.AsyncClient]:
    app = program()
    gate.mount(app)
    async with asked(guarded(gate, app), gate) as made:
        yield made


async def anna(http: httpx2.AsyncClient, carrier: testing.Carrier = "cookie") -> SignedIn:
    return await testing.sign_in(http, "anna@example.com", profile={"name": "Anna"}, carrier=carrier)


@pytest.mark.parametrize("carrier", ["cookie", "bearer", "jwt"])
async def test_who_is_asking(http: httpx2.AsyncClient, carrier: testing.Carrier) -> None:
    who = await anna(http, carrier)
    answer = await http.get("/me")
    assert answer.json() == {
        "id": who.id,
        "email": "anna@example.com",
        "name": "Anna",
        "roles": ["user"],
        "tenant": "main",
    }
    assert (await http.post("/notes", json={"a": "b"})).json() == {"by": "anna@example.com", "a": "b"}


async def test_the_user_is_a_value(gate: Gate) -> None:
    app, users = FastAPI(), []

    @app.get("/")
    async def save(user: Annotated[User, Depends(gate.user)]) -> None:
        users.append(user)

    gate.mount(app)
    async with asked(app, gate) as http:
        who = await testing.sign_in(http, "anna@example.com", profile={"name": "Anna", "birthday": "1990-02-03"})
        await http.get("/")
    (user,) = users
    assert user.profile == Profile(name="Anna", birthday=datetime(1990, 2, 3, tzinfo=UTC).date())
    assert user.session.id == who.session_id
    assert (user.session.amr, user.session.acr) == (("otp", "pwd"), "urn:passgate:aal1")
    assert user.session.auth_time.tzinfo is UTC
    assert user.session.created_at == user.session.auth_time or user.session.created_at > user.session.auth_time
    assert user.email_verified
    assert user.may("me:read")
    assert not user.may("users:read")
    with pytest.raises(AttributeError):
        user.email = "other@example.com"  # type: ignore[misc]


async def test_nobody(http: httpx2.AsyncClient) -> None:
    missing = await http.get("/me")
    assert code_of(missing) == "credential_missing"
    assert missing.headers["www-authenticate"] == "Bearer"
    assert missing.headers["cache-control"] == "no-store"
    assert missing.headers["x-host"]
    named = await http.get("/me", headers={"x-request-id": "a-name-of-mine", "authorization": "Bearer nonsense"})
    assert code_of(named) == "credential_invalid"
    assert named.headers["x-request-id"] not in ("", "a-name-of-mine")
    twice = await http.get("/me", headers={"cookie": "passgate_session=a; passgate_session=b"})
    assert code_of(twice) == "credential_invalid"


async def test_an_ended_session_is_dead_at_the_hosts_routes(http: httpx2.AsyncClient) -> None:
    await anna(http)
    cookie = {"cookie": f"passgate_session={http.cookies['passgate_session']}"}
    assert (await http.delete("/auth/api/v1/session")).status_code == 204
    assert code_of(await http.get("/me", headers=cookie)) == "session_ended"


FOREIGN = [
    {},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example.com"},
    {"origin": "null"},
    {"x-csrf-token": "00"},
    {"sec-fetch-site": "cross-site", "origin": "http://localhost:8000"},
]
OURS = [{"sec-fetch-site": "same-origin"}, {"origin": "http://localhost:8000"}]


async def test_an_unsafe_route_by_cookie_wants_our_own_page(http: httpx2.AsyncClient) -> None:
    await anna(http)
    del http.headers["sec-fetch-site"]
    for headers in FOREIGN:
        refused = await http.post("/notes", json={}, headers=headers)
        assert code_of(refused) == "csrf_refused", headers
        assert code_of(await http.delete("/vault", headers=headers)) == "csrf_refused"
        assert (await http.get("/me", headers=headers)).status_code == 200
    for headers in OURS:
        assert (await http.post("/notes", json={}, headers=headers)).status_code == 200, headers


async def test_by_bearer_it_may_come_from_anywhere(http: httpx2.AsyncClient) -> None:
    await anna(http, "bearer")
    for headers in FOREIGN:
        assert (await http.post("/notes", json={}, headers=headers)).status_code == 200


async def test_may(http: httpx2.AsyncClient, gate: Gate) -> None:
    who = await anna(http)
    assert code_of(await http.get("/people")) == "permission_missing"
    await given(gate, who, "admin")
    assert (await http.get("/people")).json() == "all of them"
    assert "access:refused" in await events(gate)


async def given(gate: Gate, who: SignedIn, role: str) -> None:
    async with gate.services.store.write() as db:
        tenant_id = await db.value(select(person.c.tenant_id).where(person.c.id == who.id))
        await access.grant(Ctx(gate.services), db, tenant_id, who.id, role)


async def events(gate: Gate) -> list[str]:
    async with gate.services.store.read() as db:
        return [row["event"] for row in await db.rows(select(audit_event.c.event).order_by(audit_event.c.id))]


def test_a_permission_nobody_has_is_a_slip_of_the_pen(gate: Gate) -> None:
    with pytest.raises(ValueError):
        gate.may("users:raed")
    with pytest.raises(ValueError):
        gate.fresh(minutes=0)
    with pytest.raises(ValueError):
        gate.fresh(acr="urn:passgate:aal9")


async def test_fresh(http: httpx2.AsyncClient, gate: Gate) -> None:
    await anna(http)
    assert (await http.delete("/vault")).status_code == 200
    gate.clock.forward(minutes=6)
    stale = await http.delete("/vault")
    assert code_of(stale) == "insufficient_user_authentication"
    assert "max_age=300" in stale.headers["www-authenticate"]
    assert (await http.get("/me")).status_code == 200


async def test_a_level_of_the_hosts_own(http: httpx2.AsyncClient, gate: Gate) -> None:
    """The route requires a level: a password alone is too little, and setting up and proving an app reaches it."""
    await anna(http)
    weak = await http.delete("/deep-vault")
    assert code_of(weak) == "insufficient_user_authentication"
    assert 'acr_values="urn:passgate:aal2"' in weak.headers["www-authenticate"]
    begun = await http.post("/auth/api/v1/me/totp")
    code = totp.code_at(base64.b32decode(begun.json()["secret"]), gate.clock.now // 30_000_000)
    assert (await http.post("/auth/api/v1/me/totp/prove", json={"answer": code})).status_code == 204
    assert (await http.delete("/deep-vault")).status_code == 200


async def test_use_keeps_a_session_alive(http: httpx2.AsyncClient, gate: Gate) -> None:
    await anna(http)
    for _ in range(3):
        gate.clock.forward(minutes=40)
        assert (await http.get("/me")).status_code == 200
    gate.clock.forward(minutes=61)
    assert code_of(await http.get("/me")) == "session_ended"


@pytest.mark.parametrize("carrier", ["cookie", "bearer", "jwt"])
async def test_a_shorter_life_of_the_tenants_counts_at_once(
    http: httpx2.AsyncClient, gate: Gate, carrier: testing.Carrier
) -> None:
    await anna(http, carrier)
    tenant_id = (await http.get("/auth/api/v1/session")).json()["tenant"]["id"]
    gate.clock.forward(minutes=5)
    assert (await http.get("/me")).status_code == 200
    policy = gate.at(None, tenant="main").admin
    await policy.change_policy(tenant_id, session_idle=120)
    gate.clock.forward(seconds=100)
    assert (await http.get("/me")).status_code == 200, "which is a use"
    gate.clock.forward(seconds=100)
    assert (await http.get("/me")).status_code == 200
    await policy.change_policy(tenant_id, session_absolute=300)
    assert code_of(await http.get("/me")) == "session_ended"
    await policy.change_policy(tenant_id, session_absolute=0, session_idle=0)
    assert code_of(await http.get("/me")) == "session_ended"


async def test_public(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/about")).json() == "anybody"


def test_what_lacks_a_guard_is_named(gate: Gate) -> None:
    app = FastAPI()
    gate.mount(app)
    guarded(gate, app)
    assert gate.unguarded(app) == []

    async def open_to_all() -> None: ...

    async def talk(socket: WebSocket) -> None: ...

    inner = APIRouter(prefix="/inner")
    inner.get("/open")(open_to_all)
    outer = APIRouter(dependencies=[Depends(gate.user)])
    outer.get("/kept")(open_to_all)
    app.include_router(inner)
    app.include_router(outer)
    app.include_router(inner, prefix="/kept", dependencies=[Depends(gate.may("users:read"))])
    app.post("/open")(open_to_all)
    app.websocket("/talk")(talk)
    app.mount("/files", StaticFiles(directory="."))
    assert gate.unguarded(app) == ["GET /inner/open", "Mount /files", "POST /open", "WEBSOCKET /talk"]
    assert testing.gate().unguarded(app) != []


def test_sockets_that_lack_a_guard_are_named(gate: Gate) -> None:
    app, router = FastAPI(), APIRouter(prefix="/router", dependencies=[Depends(gate.user)])

    async def talk(socket: WebSocket) -> None: ...

    app.websocket("/open")(talk)
    app.websocket("/user", dependencies=[Depends(gate.user)])(talk)
    app.websocket("/may", dependencies=[Depends(gate.may("users:read"))])(talk)
    app.websocket("/public", dependencies=[Depends(gate.public)])(talk)
    router.websocket("/user")(talk)
    app.include_router(router)
    app.router.routes.append(WebSocketRoute("/plain", talk))
    app.router.routes.append(Mount("/mount", routes=[WebSocketRoute("/plain", talk)]))
    assert gate.unguarded(app) == ["WEBSOCKET /mount/plain", "WEBSOCKET /open", "WEBSOCKET /plain"]


def below(gate: Gate) -> FastAPI:
    """An application to be mounted: a guarded route, a public one, and one that was forgotten."""
    app = FastAPI()

    async def nothing() -> None: ...

    app.get("/me")(_me(gate))
    app.delete("/vault", dependencies=[Depends(gate.fresh(minutes=5, acr="urn:passgate:aal2"))])(nothing)
    app.get("/people", dependencies=[Depends(gate.may("users:read"))])(nothing)
    app.get("/about", dependencies=[Depends(gate.public)])(nothing)
    app.get("/open")(nothing)
    return app


def _me(gate: Gate) -> Callable[..., Awaitable[str]]:
    async def me(user: Annotated[User, Depends(gate.user)]) -> str:
        return user.email

    return me


def test_mounted_applications_are_looked_into(gate: Gate) -> None:
    app, middle = FastAPI(), FastAPI()
    middle.mount("/deep", below(gate))
    app.mount("/sub", middle)
    gate.mount(app)
    assert gate.unguarded(app) == ["GET /sub/deep/open"]


@pytest.mark.parametrize("is_wrapped", [False, True])
@pytest.mark.parametrize("is_first", [False, True])
async def test_a_guard_in_a_mounted_application(gate: Gate, is_first: bool, is_wrapped: bool) -> None:
    """It answers like one in the host, however deep, in whatever it is wrapped, mounted before Passgate or after it."""
    app, middle = FastAPI(), FastAPI()
    inner = below(gate)
    middle.mount("/deep", GZipMiddleware(inner) if is_wrapped else inner)
    if is_first:
        gate.mount(app)
    app.mount("/sub", middle)
    if not is_first:
        gate.mount(app)
    async with asked(app, gate) as http:
        missing = await http.get("/sub/deep/me")
        assert (missing.status_code, code_of(missing)) == (401, "credential_missing")
        assert missing.headers["content-type"] == "application/problem+json"
        assert missing.headers["www-authenticate"] == "Bearer"
        assert missing.headers["x-request-id"] == missing.json()["request_id"]
        await testing.sign_in(http, "anna@example.com", profile={"name": "Anna"})
        assert (await http.get("/sub/deep/me")).json() == "anna@example.com"
        assert code_of(await http.get("/sub/deep/people")) == "permission_missing"
        assert code_of(await http.delete("/sub/deep/vault")) == "insufficient_user_authentication"
        assert code_of(await http.delete("/sub/deep/vault", headers={"sec-fetch-site": "cross-site"})) == "csrf_refused"


async def test_a_mounted_application_may_answer_itself(gate: Gate) -> None:
    app, inner = FastAPI(), below(gate)

    @inner.exception_handler(PassgateError)
    async def refused(_request: Request, error: PassgateError) -> Response:
        return PlainTextResponse(error.code, 418)

    app.mount("/sub", inner)
    gate.mount(app)
    async with asked(app, gate) as http:
        for _ in range(2):
            answer = await http.get("/sub/me")
            assert (answer.status_code, answer.text) == (418, "credential_missing")


async def test_our_database_is_away(http: httpx2.AsyncClient, gate: Gate) -> None:
    """Without the database, the host's public routes answer and the guarded ones report what is down."""
    who = await anna(http, "bearer")
    assert who.token
    await gate.services.store.point.close()
    for path in gate.settings.data.glob("passgate.db*"):
        path.unlink()
    refused = await http.get("/me")
    assert (refused.status_code, code_of(refused)) == (503, "unavailable")
    assert (await http.get("/about")).status_code == 200


async def test_claims_of_the_host_come_with_the_user() -> None:
    gate = testing.gate(claims=lambda user: {"plan": "gold", "for": user.email})
    app, seen = FastAPI(), []

    @app.get("/")
    async def save(user: Annotated[User, Depends(gate.user)]) -> None:
        seen.append(user)

    gate.mount(app)
    async with asked(app, gate) as http:
        await testing.sign_in(http, "anna@example.com")
        await http.get("/")
    assert dict(seen[0].claims) == {"plan": "gold", "for": "anna@example.com"}
    with pytest.raises(TypeError):
        seen[0].claims["plan"] = "other"  # type: ignore[index]


async def test_claims_of_the_host_are_in_its_access_tokens() -> None:
    """Computed anew for each token; and the token opens the host's routes, which look up the session behind it."""
    plans = ["gold", "silver"]
    gate = testing.gate(claims=lambda user: {"plan": plans[0], "for": user.email, "of": user.tenant.name})
    app = program()
    gate.mount(app)
    async with asked(guarded(gate, app), gate) as http:
        who = await testing.sign_in(http, "anna@example.com", carrier="bearer")
        del http.headers["authorization"]
        first = await pair_of(http, who)
        token = await verified(http, gate, first["access_token"])
        assert token.more == {"plan": "gold", "for": "anna@example.com", "of": "main"}
        assert (token.subject, token.session_id) == (who.id, first["session"]["id"])
        plans.pop(0)
        asking = {"refresh_token": first["refresh_token"]}
        second = (await http.post("/auth/api/v1/tokens/refresh", json=asking)).json()
        assert (await verified(http, gate, second["access_token"])).more["plan"] == "silver"
        assert (await http.get("/me", headers=bearer(second["access_token"]))).json()["id"] == who.id
        await http.delete("/auth/api/v1/session", headers=bearer(second["access_token"]))
        assert code_of(await http.get("/me", headers=bearer(second["access_token"]))) == "session_ended"


async def pair_of(http: httpx2.AsyncClient, who: SignedIn) -> dict[str, Any]:
    """What one more sign-in of somebody answers, with `carrier: jwt`."""
    at = "/auth/api/v1/signin"
    handle = bearer(handle_of(await http.post(at, json={"email": who.email})))
    await http.post(f"{at}/prove", json={"factor": "password", "answer": who.password}, headers=handle)
    found: dict[str, Any] = (await http.post(f"{at}/finish", json={"carrier": "jwt"}, headers=handle)).json()
    return found


async def verified(http: httpx2.AsyncClient, gate: Gate, token: str) -> AccessToken:
    """The token as another program reads it: by the published keys alone."""
    listed = (await http.get("/auth/oauth2/jwks")).json()["keys"]
    keys = {key.id: key for key in map(PublicKey.of, listed)}
    issuer = f"{gate.settings.url}/auth"
    return access_token.read(token, keys.get, issuer=issuer, audience=issuer, now=gate.clock.now / SECOND)
