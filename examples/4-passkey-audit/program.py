"""Registration and login by passkeys alone, as a function of its Passgate: tests bring their own.

Not here: what clients send and get (shapes.py), the variables (variables.py), and what is kept (database.py, audit.py).
"""

import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import database
import shapes
from fastapi import APIRouter, Depends, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from variables import Variables

from passgate import Passgate, User, errors

REFUSED: list[Any] = [errors.PassgateError, HTTPException, RequestValidationError, Exception]
PAGE = {path.name: path for path in pathlib.Path(__file__).with_name("page").iterdir()}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
LARGEST = 65_536
"""Bytes of a body."""
UserId = Annotated[str, Path(max_length=64)]
OVER: Any = (errors.ProofRefused, errors.ProofMissing, errors.Conflict)
"""The browser's answer was no good, or the address is taken, or another request with it came first."""


def program(gate: Passgate, variables: Variables) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await variables.prepare(gate)
        await database.make_views(gate)
        yield

    async def refused(request: Request, wrong: Exception) -> Response:
        """Bearer tokens that are refused are events, and cost what events cost."""
        if isinstance(wrong, errors.CredentialInvalid | errors.SessionEnded):
            try:
                await gate.record(request, "webauthn:user_access", ok=False, facts={"why": wrong.code})
            except errors.PassgateError as worse:
                return shapes.refused(worse)
        return shapes.refused(wrong)

    app = FastAPI(
        title="Auth Example",
        lifespan=lifespan,
        openapi_url="/openapi.json" if gate.settings.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(REFUSED, refused),
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=gate.settings.cors.origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],  # the last three below /auth
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After", "WWW-Authenticate"],
    )
    gate.requests(app)
    gate.docs(app)
    gate.mount(app, at="/auth")

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False, dependencies=[Depends(gate.public)])
    @app.get("/page/{name}", include_in_schema=False, dependencies=[Depends(gate.public)])
    async def page(name: str = "index.html") -> FileResponse:
        if name not in PAGE:
            raise HTTPException(404, "Not Found")
        return FileResponse(PAGE[name], headers={"content-security-policy": CSP, "cache-control": "no-cache"})

    app.include_router(registration(gate), tags=["Registration"])
    app.include_router(login(gate), tags=["Login"])
    app.include_router(users(gate), tags=["Protected Endpoints"])
    return app


async def record_refused(gate: Passgate, request: Request, event: str, email: str, why: str) -> None:
    """Record what Passgate doesn't. A refusal is answered alike also when no more events may be recorded."""
    with suppress(errors.Throttled):
        await gate.record(request, event, ok=False, email=email, facts={"why": why})


# An answer holds no handle: the challenge that the browser has signed finds what was begun.


def registration(gate: Passgate) -> APIRouter:
    router = APIRouter(dependencies=[Depends(gate.public)], max_body_size=LARGEST)

    @router.post("/users", status_code=307, response_class=RedirectResponse)
    async def register() -> RedirectResponse:
        return RedirectResponse("/register/begin", 307)

    @router.post("/register/begin")
    async def register_begin(request: Request, given: shapes.Registration) -> shapes.Options:
        """Options for a new passkey, alike for an address that is taken."""
        signin, profile = gate.at(request, token=None).signin, given.model_dump(mode="json", exclude={"email"})
        await gate.record(request, "webauthn:registration_begin", email=given.email)
        begun = await signin.signup(email=given.email, profile=profile)
        options = (await signin.challenge(begun.handle, factor="passkey")).challenge
        options["user"]["displayName"] = f"{given.first_name} {given.last_name}"
        return shapes.Options(public_key=options)

    @router.post("/register/complete", status_code=201)
    async def register_complete(request: Request, given: shapes.RegistrationDone) -> shapes.User:
        """The new user, who is not logged in by it."""
        signin, answer = gate.at(request, token=None).signin, given.credential.as_sent()
        try:
            made = await signin.complete(answer=answer, email=given.email, purpose="signup", carrier="bearer")
        except errors.HandleInvalid:
            await record_refused(gate, request, "webauthn:registration_refused", given.email, "challenge")
            raise HTTPException(400, "No registration in progress for this email") from None
        except OVER as wrong:
            if isinstance(wrong, errors.ProofMissing):
                await record_refused(gate, request, "webauthn:registration_refused", given.email, "address")
            raise HTTPException(400, "Registration failed") from None
        mine = gate.at(request, token=made.token)
        try:
            return shapes.user((await mine.me.show()).user)
        finally:
            await mine.session.end()

    return router


def login(gate: Passgate) -> APIRouter:
    router = APIRouter(dependencies=[Depends(gate.public)], max_body_size=LARGEST)

    @router.post("/login", status_code=307, response_class=RedirectResponse)
    async def log_in() -> RedirectResponse:
        return RedirectResponse("/login/begin", 307)

    @router.post("/login/begin")
    async def login_begin(request: Request, given: shapes.Login) -> shapes.Options:
        """A challenge, alike for every address: the passkey itself knows whose it is."""
        signin = gate.at(request, token=None).signin
        await gate.record(request, "webauthn:login_begin", email=given.email)
        begun = await signin.start(email=given.email)
        return shapes.Options(public_key=(await signin.challenge(begun.handle, factor="passkey")).challenge)

    @router.post("/login/complete")
    async def login_complete(request: Request, given: shapes.LoginDone) -> shapes.LoggedIn:
        signin, answer = gate.at(request, token=None).signin, given.assertion.as_sent()
        try:
            made = await signin.complete(answer=answer, email=given.email, purpose="signin", carrier="jwt")
        except errors.HandleInvalid:
            await record_refused(gate, request, "webauthn:login_refused", given.email, "challenge")
            raise HTTPException(400, "No login in progress for this email") from None
        except OVER:
            raise HTTPException(401, "Authentication failed") from None
        me = (await gate.at(request, token=made.access_token).me.show()).user
        return shapes.LoggedIn(access_token=made.access_token or "", user=shapes.LoggedInUser(**dict(shapes.user(me))))

    return router


def users(gate: Passgate) -> APIRouter:
    router = APIRouter()

    async def recorded(request: Request, event: str, me: User, user_id: str, refused: str = "") -> None:
        """Nobody whom somebody else may not see is named by more than the id that was asked for."""
        facts: dict[str, Any] = {"role": shapes.role_of(me.roles)}
        if refused:
            facts |= {"why": refused, "target": user_id if shapes.is_id(user_id) else None}
        subject = None if refused or user_id == me.id else user_id
        await gate.record(request, event, subject=subject, ok=not refused, facts=facts)

    may_read, may_promote = gate.may("users:read"), gate.may("roles:give")

    async def read(request: Request, me: User, user_id: str) -> Any:
        if user_id == me.id:
            return (await gate.at(request).me.show()).user
        await may_read(request, me)
        if not shapes.is_id(user_id):
            raise errors.NotFound
        return await gate.at(request).users.show(user_id)

    async def promoted(request: Request, me: User, user_id: str) -> Any:
        await may_promote(request, me)
        if not shapes.is_id(user_id):
            raise errors.NotFound
        return await gate.at(request).users.give_role(user_id, "admin")

    # There is no answer without a row in the audit log.

    async def answer(done: Any, request: Request, event: str, me: User, user_id: str) -> shapes.User:
        try:
            found = await done(request, me, user_id)
        except errors.Refusal as wrong:
            await recorded(request, event, me, user_id, refused=wrong.code)
            raise
        await recorded(request, event, me, user_id)
        return shapes.user(found)

    @router.get("/users/{user_id}")
    async def get_user(request: Request, user_id: UserId, me: Annotated[User, Depends(gate.bearer)]) -> shapes.User:
        """Oneself, or for an admin anybody."""
        return await answer(read, request, "webauthn:user_access", me, user_id)

    @router.post("/admin/users/{user_id}/promote")
    async def promote(request: Request, user_id: UserId, me: Annotated[User, Depends(gate.bearer)]) -> shapes.User:
        """Make somebody an admin, as an admin who has logged in within the last five minutes."""
        return await answer(promoted, request, "webauthn:user_promote", me, user_id)

    return router
