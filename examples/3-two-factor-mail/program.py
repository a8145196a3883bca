"""Sign-in by password and a second step, with a pair of tokens, as a function of its Passgate: tests bring their own.

Not here: what clients send and get (shapes.py), and the variables of the service with the policy (variables.py).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import shapes
from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, OAuth2PasswordBearer
from starlette.exceptions import HTTPException
from variables import Variables

from passgate import JobRun, Passgate, User, errors

REFUSED: list[Any] = [errors.PassgateError, HTTPException, RequestValidationError, Exception]
ENABLED = "TFA is enabled already."
LARGEST = 16_384
"""Bytes of a body."""


def program(gate: Passgate, variables: Variables) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await variables.prepare(gate)
        yield

    async def refused(request: Request, wrong: Exception) -> Response:
        return shapes.refused(wrong, request.headers.get("authorization", "bearer").partition(" ")[0])

    app = FastAPI(
        title=variables.project_name,
        lifespan=lifespan,
        openapi_url="/openapi.json" if gate.settings.docs else None,
        docs_url=None,
        redoc_url=None,
        exception_handlers=dict.fromkeys(REFUSED, refused),
        generate_unique_id_function=lambda route: f"{route.tags[0] if route.tags else 'root'}-{route.name}",
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=gate.settings.cors.origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],  # the last two below /auth
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After", "WWW-Authenticate"],
    )
    gate.requests(app)
    gate.docs(app)
    gate.mount(app, at="/auth")

    @app.get("/", dependencies=[Depends(gate.public)])
    async def root() -> str:
        return variables.project_name

    at = variables.api_v1_str
    by_token = Depends(OAuth2PasswordBearer(f"{at}/auth/login", scheme_name="access token", auto_error=False))
    for made in (auth, tfa, users, tasks):
        app.include_router(made(gate, by_token), prefix=f"{at}/{made.__name__}", tags=[made.__name__])
    return app


async def turn_on(factors: Any, device: shapes.Device) -> Response:
    """The backup codes come first: whatever interrupts it, there is a way in."""
    await factors.recovery_codes()
    if device.device_type == "email":
        await factors.begin_email_code()
        return Response()
    offered = await factors.begin_totp()
    if not offered.active:  # another request was first
        raise HTTPException(400, ENABLED)
    return png(offered.qr_png())


def png(picture: bytes) -> Response:
    return Response(picture, media_type="image/png")


# `by_token` names a scheme in the document; who may pass is for the guards to say.


def auth(gate: Passgate, by_token: Any) -> APIRouter:
    router = APIRouter(max_body_size=LARGEST)

    @router.post("/signup", response_class=Response, responses=shapes.QR, dependencies=[Depends(gate.public)])
    async def signup(request: Request, given: shapes.SignUp) -> Response:
        """Empty, or the QR code of the new authenticator app. Nobody is signed in by it."""
        signin, profile = gate.at(request, token=None).signin, {"name": given.full_name}
        device = given.device if given.tfa_enabled else None
        if given.tfa_enabled and device is None:
            raise HTTPException(400, "A device is needed to enable TFA.")
        begun = await signin.signup(email=given.email, password=given.password, profile=profile)
        try:
            made = await signin.finish(begun.handle, carrier="bearer")
        except errors.ProofMissing:  # only whoever reads the mail of this address may go on
            raise HTTPException(400, "This email address has an account, or gets no more mails now.") from None
        mine = gate.at(request, token=made.token)
        try:
            return await turn_on(mine.factors, device) if device else Response()
        finally:
            await mine.session.end()

    @router.post("/login", responses=shapes.SECOND_STEP, dependencies=[Depends(gate.public)])
    async def login(request: Request, response: Response, given: Annotated[shapes.Login, Form()]) -> shapes.Tokens:
        signin = gate.at(request, token=None).signin
        try:
            begun = await signin.start(email=given.username)
            proved = await signin.prove(begun.handle, factor="password", answer=given.password)
        except (errors.ProofRefused, errors.Invalid):  # nobody has an address that can't be one
            raise HTTPException(401, "Incorrect email or password", {"WWW-Authenticate": "Bearer"}) from None
        if proved.enough:
            return shapes.tokens(await signin.finish(begun.handle, carrier="jwt"))
        if any("email_code" in one for one in proved.need):
            await signin.challenge(begun.handle, factor="email_code")
        response.status_code = 202
        return shapes.Tokens(access_token=begun.handle)

    @router.get("/test-token", dependencies=[by_token])
    async def test_token(request: Request, user: Annotated[User, Depends(gate.user)]) -> shapes.User:
        has = await gate.at(request).factors.show()
        return shapes.user(user.id, user.email, user.profile, totp=bool(has.totp), email_code=bool(has.email_code))

    @router.post("/refresh", dependencies=[Depends(gate.public)])
    async def refresh(request: Request, given: shapes.Refresh) -> shapes.Tokens:
        try:
            pair = await gate.at(request, token=None).tokens.refresh(refresh_token=given.refresh_token)
        except (errors.CredentialInvalid, errors.SessionEnded):
            raise HTTPException(403, "Invalid token") from None
        return shapes.tokens(pair)

    return router


Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(scheme_name="first step", auto_error=False))]


def first_step(request: Request, given: Bearer) -> str:
    """The token that `login` has answered with 202. Of two, nobody knows which one counts."""
    if given is None or len(request.headers.getlist("Authorization")) > 1:
        raise errors.CredentialMissing
    return given.credentials


First = Annotated[str, Depends(first_step)]


def tfa(gate: Passgate, by_token: Any) -> APIRouter:
    router = APIRouter(max_body_size=LARGEST)
    of_somebody: dict[str, Any] = {"response_class": Response, "responses": shapes.QR, "dependencies": [by_token]}

    @router.post("/login_tfa", dependencies=[Depends(gate.public)])
    async def login_tfa(request: Request, first: First, tfa_token: shapes.Code) -> shapes.Tokens:
        signin = gate.at(request, token=None).signin
        try:
            try:
                await signin.prove(first, factor="totp", answer=tfa_token)
            except errors.FactorNotOffered:  # this one has mailed codes
                await signin.prove(first, factor="email_code", answer=tfa_token)
            return shapes.tokens(await signin.finish(first, carrier="jwt"))
        except errors.ProofRefused:
            raise HTTPException(403, "TOTP token mismatch") from None
        except (errors.HandleInvalid, errors.Conflict):  # or another request has used it at the same moment
            raise shapes.too_late(gate.settings.signin.life) from None

    @router.post("/recover_tfa", dependencies=[Depends(gate.public)])
    async def recover_tfa(request: Request, first: First, tfa_backup_token: shapes.Code) -> shapes.Tokens:
        signin = gate.at(request, token=None).signin
        try:
            await signin.prove(first, factor="recovery_code", answer=tfa_backup_token)
            return shapes.tokens(await signin.finish(first, carrier="jwt"))
        except errors.FactorNotOffered:
            raise HTTPException(404, "There is no backup token left") from None
        except errors.ProofRefused:
            raise HTTPException(403, "Backup token not found") from None
        except (errors.HandleInvalid, errors.Conflict):
            raise shapes.too_late(gate.settings.signin.life) from None

    @router.get("/get_my_qrcode", **of_somebody)
    async def get_my_qrcode(request: Request, _: Annotated[User, Depends(gate.user)]) -> Response:
        """For five minutes after a login with a code of the app."""
        factors = gate.at(request).factors
        if not (await factors.show()).totp:
            raise HTTPException(400, "There is no code generator on this account.")
        return png((await factors.show_totp()).qr_png())

    @router.put("/enable_tfa", **of_somebody)
    async def enable_tfa(request: Request, given: shapes.Device, _: Annotated[User, Depends(gate.user)]) -> Response:
        """For five minutes after a login. Whoever else is logged in as this user is not any more."""
        mine = gate.at(request)
        has = await mine.factors.show()
        if has.totp or has.email_code:
            raise HTTPException(400, ENABLED)
        answer = await turn_on(mine.factors, given)
        await mine.me.end_others()
        return answer

    return router


def users(gate: Passgate, by_token: Any) -> APIRouter:
    router = APIRouter(dependencies=[by_token])

    @router.get("/users")
    async def listed(request: Request, _: Annotated[User, Depends(gate.may("users:read"))]) -> list[shapes.User]:
        """The hundred who came first."""
        people = gate.at(request).users
        found = []
        for one in (await people.list(limit=100)).items:
            kinds = {has.factor for has in (await people.factors(one.id)).items}
            has = {name: name in kinds for name in ("totp", "email_code")}
            found.append(shapes.user(one.id, one.email, one.profile, **has))
        return found

    return router


def tasks(gate: Passgate, by_token: Any) -> APIRouter:
    """In development for everybody, since it sends one fixed mail; else for admins."""
    anybody = gate.settings.is_development
    router = APIRouter(dependencies=[Depends(gate.public)] if anybody else [by_token, Depends(gate.may("users:read"))])
    sender = gate.settings.mail.sender

    @gate.job(name="test mail", for_strangers=anybody)
    async def send_test_mail(run: JobRun) -> str:
        await gate.send_mail(sender, subject="Test", text="Sent in the background.", id=run.id)
        return "Email sent"

    @router.get("/test-celery")
    async def test_celery(request: Request) -> shapes.Task:
        return shapes.Task(task_id=await gate.start_job(request, send_test_mail))

    @router.get("/taskstatus")
    async def taskstatus(request: Request, task_id: shapes.TaskId) -> shapes.TaskStatus:
        """Of the test mails alone."""
        asked = gate.at(None, tenant="main") if anybody else gate.at(request)
        job = await asked.jobs.show(str(task_id))
        if job.kind != "test mail":
            raise errors.NotFound
        return shapes.TaskStatus(state=job.state, result=job.result)

    return router
