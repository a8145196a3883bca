"""What clients of the service send and get, and its answers to errors.

Not here: routes.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from passgate import errors

Password = Annotated[str, Field(min_length=1, max_length=256)]
Email = Annotated[str, Field(min_length=3, max_length=320)]
Code = Annotated[str, Query(min_length=1, max_length=64)]
TaskId = Annotated[UUID, Query()]


class Profile(BaseModel):
    """What the service keeps of a person: `full_name`, as Passgate's own pages call it."""

    name: Annotated[str, Field(max_length=200)] = ""


class Asked(BaseModel):
    """A member that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


class Device(Asked):
    device_type: Literal["email", "code_generator"]


class SignUp(Asked):
    email: Email
    full_name: Annotated[str, Field(min_length=1, max_length=200)]
    password: Password
    tfa_enabled: bool = False
    device: Device | None = None


class Login(BaseModel):
    """The form of OAuth 2 (RFC 6749 §4.3.2); what else is in it has no effect."""

    username: Email
    password: Password


class Refresh(Asked):
    refresh_token: Annotated[str, Field(min_length=1, max_length=1024)]


class Tokens(BaseModel):
    """Without a refresh token the access token is that of the first step, and opens the second step alone."""

    access_token: str
    refresh_token: str | None = None


class UserDevice(Device):
    id: str


class User(BaseModel):
    """A device has the id of its user, who has no other."""

    email: str
    tfa_enabled: bool
    full_name: str
    id: str
    device: UserDevice | None


class Task(BaseModel):
    task_id: str


class TaskStatus(BaseModel):
    state: str
    result: Any


QR: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "Empty, or a QR code"}}
SECOND_STEP: dict[int | str, dict[str, Any]] = {202: {"model": Tokens, "description": "The second step is due"}}


def tokens(pair: Any) -> Tokens:
    return Tokens(access_token=pair.access_token, refresh_token=pair.refresh_token)


def user(id: str, email: str, profile: Any, *, totp: bool, email_code: bool) -> User:
    """`profile`: the model of a user of a request, or the members of one in a list."""
    kind: Any = "code_generator" if totp else "email" if email_code else None
    device = UserDevice(device_type=kind, id=id) if kind else None
    name = profile.name if isinstance(profile, Profile) else (profile or {}).get("name", "")
    return User(email=email, tfa_enabled=device is not None, full_name=name, id=id, device=device)


# -- errors ----------------------------------------------------------------------------------------

MOST = 20
FRESH = "Log in again first, with a code of your app if you have one: this asks for a login of the last five minutes."


def too_late(life: int) -> HTTPException:
    """`life`: seconds that both steps may take."""
    return HTTPException(
        401,
        f"Token invalid or expired: log in again, and give the code within {life / 60:g} minutes.",
        {"WWW-Authenticate": "Bearer"},
    )


def refused(wrong: Exception, scheme: str = "bearer") -> JSONResponse:
    """401 without a token and for one that has expired, 403 for one that is no good. Of what was sent nothing is
    repeated but the names of members, shortened, and not more than MOST of them. `scheme`: of its Authorization."""
    match wrong:
        case RequestValidationError():
            return _invalid([(_loc(one["loc"]), one["msg"], one["type"]) for one in wrong.errors()[:MOST]])
        case HTTPException():
            return JSONResponse({"detail": wrong.detail}, wrong.status_code, wrong.headers)
        case errors.Invalid():
            return _invalid([(["body", name], wrong.message, word) for name, word in wrong.fields.items()])
        case errors.CredentialInvalid() if scheme.lower() != "bearer":
            return _answer(wrong, 401, "Not authenticated")
        case errors.CredentialMissing():
            return _answer(wrong, 401, "Not authenticated")
        case errors.CredentialExpired():
            return _answer(wrong, 401, "Token expired")
        case errors.CredentialInvalid() | errors.SessionEnded():
            return _answer(wrong, 403, "Could not validate credentials")
        case errors.StepUpNeeded():
            return _answer(wrong, 401, FRESH)
        case errors.Conflict():
            return _answer(wrong, 400, wrong.message)
        case errors.PassgateError():
            return _answer(wrong, wrong.status, wrong.message)
    return JSONResponse({"detail": errors.PassgateError.message}, 500)


def _answer(wrong: errors.PassgateError, status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, wrong.headers())


def _invalid(faults: Sequence[tuple[Sequence[Any], str, str]]) -> JSONResponse:
    """`faults`: (where, message, type) each."""
    return JSONResponse({"detail": [{"loc": loc, "msg": message, "type": kind} for loc, message, kind in faults]}, 422)


def _loc(loc: Sequence[Any]) -> list[Any]:
    return [part if isinstance(part, int) else ascii(str(part))[1:-1][:40] for part in loc]
