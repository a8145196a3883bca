"""What clients of the service send and get, and its answers to errors.

Not here: routes.
"""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PastDatetime
from starlette.exceptions import HTTPException

from passgate import User as Person
from passgate import errors


def _is_written(given: object) -> object:
    """Not a number, which would be seconds since 1970."""
    if not re.match(r"\d{4}-\d\d-\d\d", str(given)):
        raise ValueError("must be a date")
    return given


def _in_utc(given: datetime) -> datetime:
    """A time without a zone is one of UTC already."""
    try:
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a date") from None


_LINE = r"^[^\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"
"""Without line breaks, and without marks that turn the direction of what follows: it stands in the audit log."""
Line = Annotated[str, Field(max_length=100, pattern=_LINE)]
Text = Annotated[Line, Field(min_length=1)]
Birth = Annotated[PastDatetime, BeforeValidator(_is_written), AfterValidator(_in_utc)]
Email = Annotated[str, Field(min_length=3, max_length=320)]


class Profile(BaseModel):
    """What is kept of a person. Somebody who signs up at /auth/signup has none of it."""

    first_name: Line = ""
    last_name: Line = ""
    date_of_birth: Birth | None = None
    job_title: Line = ""


class Asked(BaseModel):
    """A member that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


class Registration(Asked):
    first_name: Text
    last_name: Text
    email: Email
    date_of_birth: Birth
    job_title: Text


class Login(Asked):
    email: Email


def _base64(name: str) -> Any:
    return Field(alias=name, min_length=1, max_length=50_000)


class Ceremony(BaseModel):
    """What the browser's `toJSON()` gives; Passgate reads the rest of it."""

    model_config = ConfigDict(extra="allow")

    id: str = _base64("id")
    raw_id: str = _base64("rawId")
    type: Literal["public-key"]

    def as_sent(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_unset=True)


class Attestation(BaseModel):
    model_config = ConfigDict(extra="allow")

    client_data: str = _base64("clientDataJSON")
    attestation: str = _base64("attestationObject")


class Assertion(BaseModel):
    model_config = ConfigDict(extra="allow")

    client_data: str = _base64("clientDataJSON")
    authenticator_data: str = _base64("authenticatorData")
    signature: str = _base64("signature")


class NewCredential(Ceremony):
    response: Attestation


class Signature(Ceremony):
    response: Assertion


class RegistrationDone(Asked):
    email: Email
    credential: NewCredential


class LoginDone(Asked):
    email: Email
    assertion: Signature


class Options(BaseModel):
    """Of `navigator.credentials.create()` or `.get()`, with base64url for bytes."""

    public_key: Annotated[dict[str, Any], Field(serialization_alias="publicKey")]


Role = Literal["user", "admin"]


class LoggedInUser(BaseModel):
    id: str
    first_name: str
    last_name: str
    email: str
    role: Role


class User(LoggedInUser):
    date_of_birth: datetime | None
    job_title: str
    created_at: datetime


class LoggedIn(BaseModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"
    user: LoggedInUser


def is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def role_of(roles: Collection[str]) -> Role:
    return "admin" if {"admin", "owner"} & {*roles} else "user"


def user(found: Any) -> User:
    """Of somebody whom an operation has found."""
    profile = Profile.model_validate(found.profile)
    return User(
        id=found.id, email=found.email, role=role_of(found.roles), created_at=found.created_at, **profile.model_dump()
    )


def claims(person: Person) -> dict[str, Any]:
    """What access tokens say besides Passgate's own claims. Of the role nothing depends on it."""
    profile = person.profile or Profile()
    return {
        "email": person.email,
        "email_verified": person.email_verified,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "role": role_of(person.roles),
    }


# -- errors ----------------------------------------------------------------------------------------

MOST = 20
FORBIDDEN = "You don't have permission to access this resource"
FRESH = "Log in again first: this asks for a login of the last five minutes."


def refused(wrong: Exception) -> JSONResponse:
    """Of what was sent nothing is repeated but the names of members, shortened, and not more than MOST of them."""
    match wrong:
        case RequestValidationError():
            return _invalid([(_loc(one["loc"]), one["msg"], one["type"]) for one in wrong.errors()[:MOST]])
        case HTTPException():
            return JSONResponse({"detail": wrong.detail}, wrong.status_code, wrong.headers)
        case errors.Invalid():
            return _invalid([(["body", name], wrong.message, word) for name, word in wrong.fields.items()])
        case errors.CredentialMissing():
            return _answer(wrong, 401, "Not authenticated")
        case errors.CredentialInvalid() | errors.SessionEnded():
            return _answer(wrong, 401, "Could not validate credentials")
        case errors.StepUpNeeded():
            return _answer(wrong, 401, FRESH)
        case errors.PermissionMissing():
            return _answer(wrong, 403, FORBIDDEN)
        case errors.NotFound():
            return _answer(wrong, 404, "User not found")
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
