"""The models that several endpoints share: S, U and T of the contract, and pages of a list. Not here: any action.

Input is strict: no value is coerced, and an unknown member is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.config import JsonDict
from starlette.types import Send

from passgate.core.ctx import Person
from passgate.core.profile import fault_codes
from passgate.errors import (
    CredentialInvalid,
    CredentialMissing,
    Invalid,
    Malformed,
    NotJson,
    PassgateError,
    SessionEnded,
    TooLarge,
    Unavailable,
)
from passgate.world import iso


def operation_id(route: APIRoute) -> str:
    """`<tag>-<name>`. Generated clients name their methods by it, so it must not change."""
    return f"{route.tags[0]}-{route.name}"


class Input(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


M = TypeVar("M", bound=Input)


class Output(BaseModel):
    """Built when first used, as the routes are that answer with it (`routes.Declared`)."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


def with_example(example: JsonDict) -> ConfigDict:
    """The configuration of an Input whose example body /docs displays."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Client(Output):
    browser: str
    os: str
    ip: str


class Session(Output):
    id: str
    created_at: str
    last_used_at: str
    idle_expires_at: str
    expires_at: str
    auth_time: str
    amr: Annotated[list[str], Field(description="How the user signed in (RFC 8176)", examples=[["pwd"]])]
    acr: Annotated[
        str, Field(description="Assurance level: `urn:passgate:aal1`, `urn:passgate:aal2` or `urn:passgate:aal3`")
    ]
    current: Annotated[bool, Field(description="True for the session of this request")]
    client: Client


class User(Output):
    id: str
    email: str
    username: str | None
    email_verified: bool
    profile: dict[str, Any]
    roles: list[str]
    created_at: str
    updated_at: str


class Tenant(Output):
    id: str
    name: str
    display_name: str


class Problem(BaseModel):
    """An error (RFC 9457). `fields`: invalid fields; `need`: missing proofs; `down`: the unavailable component."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    fields: dict[str, str] | None = None
    need: list[list[str]] | None = None
    down: str | None = None


def refuses(*errors: type[PassgateError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint: its refusals, each status with its codes. Refusals of the edge middleware and an
    unavailable database are common to all endpoints and left out."""
    codes: dict[int, list[str]] = {}
    everywhere: tuple[type[PassgateError], ...] = (Malformed, TooLarge, NotJson, Unavailable)
    for error in errors + everywhere:
        codes.setdefault(error.status, []).append(error.code)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": ", ".join(codes[status]), "content": content} for status in sorted(codes)}


SESSION = (CredentialMissing, CredentialInvalid, SessionEnded)
"""What every endpoint of a signed-in person may refuse."""

Email = Annotated[str, Field(min_length=3, max_length=320, examples=["anna@example.com"])]
Secret = Annotated[str, Field(min_length=1, max_length=1024, examples=["correct horse battery staple"])]
Username = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="2 to 64 letters of one script, digits and `._-`, beginning with a letter or digit",
        examples=["anna"],
    ),
]
TenantName = Annotated[str, Field(min_length=1, max_length=80, examples=["main"])]
Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of items")]
Cursor = Annotated[
    str | None, Query(min_length=36, max_length=36, pattern="^[0-9a-f-]+$", description="`next` from the previous page")
]


def is_instant(name: str) -> bool:
    """Whether a member is an instant: each name that ends in `_at`, and `auth_time` and `at`."""
    return name.endswith("_at") or name in ("at", "auth_time")


def format_times(row: dict[str, Any]) -> dict[str, Any]:
    """Instants as RFC 3339."""
    return {key: iso(value) if isinstance(value, int) and is_instant(key) else value for key, value in row.items()}


AN_INSTANT = "an instant"
"""In the annotation of a member that is one and whose name does not say so."""


def page(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """{"items", "next"}. `rows` were queried with one more than `limit`."""
    items = rows[:limit]
    return {"items": [format_times(row) for row in items], "next": items[-1]["id"] if len(rows) > limit else None}


_SESSION = ("created_at", "last_used_at", "idle_expires_at", "expires_at", "auth_time")


def whole(me: Person) -> dict[str, Any]:
    """{"user", "tenant", "session"} of a live session."""
    client = {"browser": me.row["browser"], "os": me.row["os"], "ip": me.row["ip"]}
    session: dict[str, Any] = {"id": me.session_id, **{name: iso(me.row[name]) for name in _SESSION}}
    session |= {"amr": me.amr, "acr": me.acr, "current": True, "client": client}
    tenant = {"id": me.tenant_id, "name": me.row["name"], "display_name": me.row["display_name"]}
    return {"user": user(me), "tenant": tenant, "session": session}


encode = msgspec.json.Encoder().encode


def rendered(data: dict[str, Any]) -> Response:
    """A response of stored JSON as it is, which pydantic would parse and serialize again."""
    return Response(encode(data), media_type="application/json")


async def send_json(send: Send, data: dict[str, Any]) -> None:
    """The same answer of an endpoint without the framework."""
    body = encode(data)
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def validated(model: type[M], body: object) -> M:
    """The body of an endpoint without the framework. Raises Invalid as the framework's handler does."""
    if body is None:
        raise Invalid({"body": "missing"})
    try:
        return model.model_validate(body)
    except ValidationError as wrong:
        raise Invalid(fault_codes(wrong.errors(include_input=False, include_url=False))) from None


def user(me: Person) -> dict[str, Any]:
    return {
        "id": me.person_id,
        "email": me.row["email"],
        "username": me.row["username"] or None,
        "email_verified": me.row["email_verified_at"] is not None,
        "profile": msgspec.Raw(me.row["profile"].encode()),
        "roles": me.roles,
        "created_at": iso(me.row["person_created_at"]),
        "updated_at": iso(me.row["person_updated_at"]),
    }
