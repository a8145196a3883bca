"""Sign-in by session ids, and people with three roles, as a function of its Passgate: tests bring their own.

Not here: what clients send and get (shapes.py), roles and the first admin (roles.py), and the pages (pages.py).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, TypeVar
from uuid import UUID

import pages
import shapes
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from limited import Limited
from roles import ADMIN, ROLES, FirstAdmin, highest, is_within, prepare
from starlette.exceptions import HTTPException

from passgate import Passgate, User, errors

T = TypeVar("T")
REFUSED: list[Any] = [errors.PassgateError, HTTPException, RequestValidationError, Exception]


def program(gate: Passgate, first: FirstAdmin | None = None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await prepare(gate, first or FirstAdmin())
        yield

    async def refused(request: Request, wrong: Exception) -> Response:
        """Below /api as the template answers, and elsewhere a page."""
        is_api = f"{request.url.path}/".startswith("/api/")
        return shapes.refused(wrong) if is_api else await pages.refused(gate, request, wrong)

    app = FastAPI(
        title="Session RBAC",
        lifespan=lifespan,
        openapi_url="/openapi.json" if gate.settings.docs else None,
        docs_url=None,
        redoc_url=None,
        default_response_class=shapes.Json,
        exception_handlers=dict.fromkeys(REFUSED, refused),
        generate_unique_id_function=lambda route: f"{route.tags[0] if route.tags else 'pages'}-{route.name}",
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=gate.settings.cors.origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Error", "X-Request-ID", "Retry-After", "WWW-Authenticate"],
    )
    gate.requests(app)
    gate.docs(app)
    gate.mount(app, at="/auth")
    app.include_router(sessions(gate), prefix="/api")
    app.include_router(people(gate), prefix="/api")
    app.include_router(pages.router(gate))
    return app


def sessions(gate: Passgate) -> APIRouter:
    router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(gate.public)], route_class=Limited)
    by_bearer = [Depends(HTTPBearer(scheme_name="session", auto_error=False))]  # for the document

    @router.post("/login")
    async def login(request: Request, given: shapes.Login) -> shapes.LoggedIn:
        signin = gate.at(request).signin
        try:
            begun = await signin.start(username=given.username)
            await signin.prove(begun.handle, factor="password", answer=given.password)
        except (errors.ProofRefused, errors.Invalid):  # nobody has a username that can't be one
            raise HTTPException(401, "Invalid username or password.") from None
        carried = await signin.finish(begun.handle, carrier="bearer")
        token = carried.token or ""
        owner = (await gate.at(request, token=token).session.show()).user
        return shapes.LoggedIn(session_id=token, identity=shapes.identity(owner))

    @router.post("/logout", dependencies=by_bearer)
    async def logout(request: Request) -> shapes.LoggedOut:
        with suppress(errors.CredentialInvalid, errors.SessionEnded):  # it is out already
            await gate.at(request).session.end()
        return shapes.LoggedOut()

    @router.get("/session", dependencies=by_bearer)
    async def session(request: Request) -> shapes.SessionInfo:
        """Doesn't extend the session."""
        whole = await gate.at(request).session.show()
        return shapes.SessionInfo(owner=shapes.identity(whole.user), health=shapes.health(whole.session))

    return router


def people(gate: Passgate) -> APIRouter:
    router = APIRouter(prefix="/users", tags=["users"], route_class=Limited)
    somebody, reads, writes = Depends(gate.user), Depends(gate.may("people:read")), Depends(gate.may("people:write"))

    async def found(reader: User, asked: shapes.Listing, shaped: Callable[[Any], T]) -> shapes.Page[T]:
        """Never above the reader's role."""
        users = gate.at(None, tenant="main").users
        got = await users.list(role_at_most=highest(reader.roles), **asked.where())
        return shapes.page(asked, got.total or 0, [shaped(one) for one in got.items])

    async def one(reader: User, id: UUID) -> Any:
        """Whoever is above the reader is not there."""
        who = await gate.at(None, tenant="main").users.show(str(id))
        if not is_within(who.roles, reader.roles):
            raise errors.NotFound
        return who

    @router.get("/me/")
    async def me(request: Request, _: Annotated[User, somebody]) -> shapes.Me:
        """`sessionID` as it was sent, null for a session by cookie."""
        whole = await gate.at(request).session.show()
        sent = request.headers.get("authorization", "").partition(" ")[2].strip() or None
        return shapes.Me(user=shapes.user(whole.user), session_id=sent, health=shapes.health(whole.session))

    @router.get("/")
    async def listed(
        asked: Annotated[shapes.Listing, Query()], reader: Annotated[User, reads]
    ) -> shapes.Page[shapes.User]:
        return await found(reader, asked, shapes.user)

    @router.post("/", status_code=201)
    async def create(request: Request, given: shapes.NewUser, _: Annotated[User, writes]) -> shapes.User:
        made = await gate.at(request).users.create(**given.model_dump(), roles=[ROLES["user"]])
        return shapes.user(made)

    @router.get("/details")
    async def listed_details(
        asked: Annotated[shapes.Details, Query()], admin: Annotated[User, writes]
    ) -> shapes.Page[shapes.UserDetails]:
        return await found(admin, asked, shapes.details)

    @router.get("/details/{id:uuid}/")
    async def show_details(id: UUID, admin: Annotated[User, writes]) -> shapes.UserDetails:
        return shapes.details(await one(admin, id))

    @router.get("/{id:uuid}/")
    async def show(id: UUID, reader: Annotated[User, reads]) -> shapes.User:
        return shapes.user(await one(reader, id))

    @router.patch("/{id:uuid}/", status_code=202)
    async def change(request: Request, id: UUID, given: shapes.Change, user: Annotated[User, somebody]) -> shapes.User:
        wanted = given.model_dump(exclude_none=True)
        if "role" in wanted:
            wanted["roles"] = [ROLES[wanted.pop("role")]]
        if not wanted:
            raise HTTPException(400, "There is nothing to change.")
        if str(id) == user.id and "password" in wanted:
            await gate.fresh(minutes=5)(request, user)
        return shapes.user(await gate.at(request).users.change(str(id), **wanted))

    @router.delete("/{id:uuid}/", status_code=204)
    async def delete(request: Request, id: UUID, admin: Annotated[User, writes]) -> None:
        at, who = gate.at(request).users, await one(admin, id)
        if ADMIN in who.roles:  # nobody deletes an equal, so they are none from here on
            await at.change(who.id, roles=[ROLES["read_only"]])
        await at.delete(who.id)

    return router
