"""A host's program with its own routes, a middleware, a 404 page and a lifespan; with or without Passgate.

Not here: what Passgate does in it, which the tests assert.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from passgate import Passgate, User
from passgate.testing import Gate


class Profile(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=40)]
    birthday: date | None = None


class Seen(list[str]):
    """What the program's own parts recorded, in order."""


def program(seen: Seen | None = None) -> FastAPI:
    """The host's program without Passgate."""
    noticed = Seen() if seen is None else seen

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
        noticed.append("host up")
        yield {"theirs": "kept"}
        noticed.append("host down")

    app = FastAPI(title="Host", lifespan=lifespan)

    @app.middleware("http")
    async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.request_id = "the host's own"
        answer = await call_next(request)
        answer.headers["x-host"] = str(request.state.request_id)
        return answer

    @app.exception_handler(404)
    async def lost(_request: Request, _error: HTTPException) -> Response:
        return PlainTextResponse("the host's own 404", status_code=404)

    @app.get("/")
    async def home() -> dict[str, str]:
        return {"hello": "host"}

    @app.get("/state")
    async def state(request: Request) -> str:
        return str(request.state.theirs)

    @app.post("/echo")
    async def echo(given: dict[str, Any]) -> dict[str, Any]:
        return given

    return app


def guarded(gate: Passgate, app: FastAPI) -> FastAPI:
    """Add routes that depend on Passgate's guards."""

    @app.get("/me")
    async def me(user: Annotated[User, Depends(gate.user)]) -> dict[str, Any]:
        name = user.profile.name if isinstance(user.profile, Profile) else None
        return {"id": user.id, "email": user.email, "name": name, "roles": user.roles, "tenant": user.tenant.name}

    @app.post("/notes")
    async def write(user: Annotated[User, Depends(gate.user)], given: dict[str, str]) -> dict[str, str]:
        return {"by": user.email, **given}

    @app.get("/people", dependencies=[Depends(gate.may("users:read"))])
    async def people() -> str:
        return "all of them"

    @app.delete("/vault")
    async def empty(user: Annotated[User, Depends(gate.fresh(minutes=5))]) -> str:
        return user.id

    @app.delete("/deep-vault")
    async def empty_deep(user: Annotated[User, Depends(gate.fresh(minutes=5, acr="urn:passgate:aal2"))]) -> str:
        return user.id

    @app.get("/about", dependencies=[Depends(gate.public)])
    async def about() -> str:
        return "anybody"

    return app


@asynccontextmanager
async def started(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Run the program's lifespan, as a server does; the state that it leaves for requests."""
    async with app.router.lifespan_context(app) as state:
        yield dict(state or {})


@asynccontextmanager
async def asked(app: FastAPI, gate: Gate | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the program; a client for it."""
    async with started(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        url = gate.settings.url if gate else "http://localhost:8000"
        transport = httpx2.ASGITransport(with_state, client=("127.0.0.1", 50000))
        async with httpx2.AsyncClient(transport=transport, base_url=url) as http:
            yield http
