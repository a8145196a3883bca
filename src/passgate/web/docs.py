"""/openapi.json and /docs: the doors described, from files of our own, under the policy of every other page.

What a door does is said where the door is; here only how the description is served.
"""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from starlette.responses import Response

from passgate.web import guards
from passgate.web.api.shapes import Problem, encode

_PROBLEMS = {
    "400": "malformed: the request could not be read",
    "401": "credential_missing, credential_invalid, session_ended, handle_invalid, insufficient_user_authentication",
    "403": "proof_refused, permission_missing, csrf_refused, signup_closed",
    "404": "not_found",
    "409": "conflict, tenant_name_taken, no_challenge, already_proved, factor_not_offered, proof_missing",
    "413": "too_large",
    "415": "not_json",
    "422": "invalid, password_refused: see fields",
    "429": "throttled: see Retry-After",
    "503": "unavailable: see down and Retry-After",
}


def install(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(guards.stranger)])
    async def openapi_json() -> Response:
        return Response(encode(described(app)), media_type="application/json")


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the one problem shape on every door in place of the framework's own."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = app.openapi()
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for door in (door for path in schema["paths"].values() for door in path.values()):
        for status, text in _PROBLEMS.items():
            door["responses"].setdefault(status, {"description": text})
            if status != "503" or "content" not in door["responses"][status]:
                door["responses"][status] = {"description": text, "content": content}
    return schema
