"""What clients of the template send and get: camelCase, `Id` written `ID`, minutes in UTC, and its answers to errors.

Not here: routes.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from roles import role_of
from starlette.exceptions import HTTPException

from passgate import errors

Minute = Annotated[datetime, PlainSerializer(lambda at: f"{at.astimezone(UTC):%Y-%m-%d %H:%M}", return_type=str)]
Instant = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]
Text = Annotated[str, Field(min_length=1, max_length=128)]
T = TypeVar("T")
Role = Literal["read_only", "user", "admin"]
REACH = 10_000
"""People whom pages with numbers reach; the bounds of time find others."""


def _alias(name: str) -> str:
    return to_camel(name).replace("Id", "ID")


class Answer(BaseModel):
    model_config = ConfigDict(alias_generator=_alias, populate_by_name=True)


class Asked(BaseModel):
    """A member that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")


class Login(Asked):
    username: Text
    password: Annotated[str, Field(min_length=1, max_length=256)]


class NewUser(Login):
    email: Annotated[str, Field(min_length=3, max_length=320)]


class Change(Asked):
    """null is as good as left out."""

    username: Text | None = None
    password: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    role: Role | None = None


class Listing(Asked):
    page_number: Annotated[int, Field(alias="pageNumber", ge=1)] = 1
    size: Annotated[int, Field(ge=1, le=100)] = 20
    sort_order: Annotated[Literal["asc", "desc"], Field(alias="sortOrder")] = "asc"
    sort_by: Annotated[Literal["username", "email"], Field(alias="sortBy")] = "username"

    def where(self) -> dict[str, Any]:
        """As Passgate's list of users is asked."""
        sort = self.sort_by if self.sort_order == "asc" else f"-{self.sort_by}"
        return {"page": self.page_number, "size": self.size, "sort": sort}


class Details(Listing):
    created_after: Annotated[Instant | None, Field(alias="createdAfter")] = None
    created_before: Annotated[Instant | None, Field(alias="createdBefore")] = None
    updated_after: Annotated[Instant | None, Field(alias="updatedAfter")] = None
    updated_before: Annotated[Instant | None, Field(alias="updatedBefore")] = None

    def where(self) -> dict[str, Any]:
        created = {"created_since": self.created_after, "created_until": self.created_before}
        return {**super().where(), **created, "updated_since": self.updated_after, "updated_until": self.updated_before}


class Identity(Answer):
    username: str | None
    role: str


class User(Answer):
    id: str
    email: str
    username: str | None
    role: str


class UserDetails(User):
    created_at: Minute
    updated_at: Minute


class Health(Answer):
    max_age_at: Minute
    expires_next: Minute
    issued_at: Minute


class LoggedIn(Answer):
    session_id: str
    identity: Identity


class LoggedOut(Answer):
    message: str = "You have been logged out successfully"
    success: bool = True


class SessionInfo(Answer):
    owner: Identity
    health: Health


class Me(Answer):
    user: User
    session_id: str | None
    health: Health


class Metadata(Answer):
    page_number: int
    page_size: int
    total_items: int
    total_pages: int
    has_previous: bool
    has_next: bool
    previous_page: int | None
    next_page: int | None


class Page(Answer, Generic[T]):
    metadata: Metadata
    data: list[T]


def identity(one: Any) -> Identity:
    return Identity(username=one.username, role=role_of(one.roles))


def user(one: Any) -> User:
    """Of what Passgate says of somebody."""
    return User(id=one.id, email=one.email, username=one.username, role=role_of(one.roles))


def details(one: Any) -> UserDetails:
    return UserDetails(**dict(user(one)), created_at=one.created_at, updated_at=one.updated_at)


def health(session: Any) -> Health:
    until = {"max_age_at": session.expires_at, "expires_next": session.idle_expires_at}
    return Health(issued_at=session.created_at, **until)


def page(asked: Listing, total: int, data: list[T]) -> Page[T]:
    """`total` is right however many there are, and no page is named that is refused."""
    number, pages = asked.page_number, min(math.ceil(total / asked.size), REACH // asked.size)
    metadata = Metadata(
        page_number=number,
        page_size=asked.size,
        total_items=total,
        total_pages=pages,
        has_previous=number > 1,
        has_next=number < pages,
        previous_page=number - 1 if number > 1 else None,
        next_page=number + 1 if number < pages else None,
    )
    return Page(metadata=metadata, data=data)


# -- errors ----------------------------------------------------------------------------------------


class Json(JSONResponse):
    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


MOST = 20
_FIELDS = {"page": "pageNumber", "roles": "role"}
for _name in ("created", "updated"):
    _FIELDS |= {f"{_name}_since": f"{_name}After", f"{_name}_until": f"{_name}Before"}


def error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Json:
    return _answer(status, {"message": message, "success": False, "details": None}, headers)


def _answer(status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Json:
    return Json(body, status, {**(headers or {}), "X-Error": HTTPStatus(status).phrase})


def invalid(faults: Sequence[tuple[str, str, str]]) -> Json:
    """`faults`: (field, message, type) each."""
    listed = [{"field": field, "message": message, "type": kind} for field, message, kind in faults]
    return _answer(422, {"errors": listed, "message": "Validation error", "success": False})


def refused(wrong: Exception) -> Json:
    """401 without a credential and 403 for one that is no good, 400 for what is taken. Of what was sent nothing is
    repeated but the names of members, shortened, and not more than MOST of them."""
    match wrong:
        case RequestValidationError():
            return invalid([(_path(one["loc"]), one["msg"], one["type"]) for one in wrong.errors()[:MOST]])
        case HTTPException():
            return error(wrong.status_code, str(wrong.detail), wrong.headers)
        case errors.Invalid():
            return invalid([(_FIELDS.get(name, name), wrong.message, word) for name, word in wrong.fields.items()])
        case errors.PassgateError():
            headers, status = wrong.headers(), wrong.status
            if status == HTTPStatus.UNAUTHORIZED:
                headers["WWW-Authenticate"] = "Key-Bearer"
                status = 401 if isinstance(wrong, errors.CredentialMissing) else 403
            return error(400 if status == HTTPStatus.CONFLICT else status, wrong.message, headers)
    return error(500, errors.PassgateError.message)


def _path(loc: Sequence[Any]) -> str:
    return ".".join(ascii(str(part))[1:-1][:40] for part in (loc[1:] or loc))
