"""A host's own handler for our errors, made of public names only.

Not here: our own problem documents, which are in tests/web.
"""

from __future__ import annotations

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from passgate import errors, testing
from tests.library.program import asked

RAISED: tuple[tuple[errors.PassgateError, dict[str, str], dict[str, str] | None], ...] = (
    (errors.Invalid({"email": "format"}), {}, {"email": "format"}),
    (errors.PermissionMissing(), {}, None),
    (errors.CredentialMissing(), {"www-authenticate": "Bearer"}, None),
    (errors.Throttled(7), {"retry-after": "7"}, None),
    (errors.NotYet(0, 60), {"retry-after": "60"}, None),
    (errors.Unavailable("database"), {"retry-after": "5"}, {"down": "database"}),
    (
        errors.StepUpNeeded("urn:passgate:aal2", 300),
        {
            "www-authenticate": (
                'Bearer error="insufficient_user_authentication", acr_values="urn:passgate:aal2", max_age=300'
            )
        },
        None,
    ),
)


@pytest.mark.parametrize(("error", "fields", "details"), RAISED, ids=lambda given: getattr(given, "code", ""))
async def test_a_handler_of_the_hosts_own(
    error: errors.PassgateError, fields: dict[str, str], details: dict[str, str] | None
) -> None:
    app, gate = FastAPI(), testing.gate()
    gate.mount(app)

    @app.exception_handler(errors.PassgateError)
    async def refused(_request: Request, error: errors.PassgateError) -> Response:
        wrong = error.fields if isinstance(error, errors.Invalid) else error.extra() or None
        body = {"code": error.code, "title": error.title, "message": error.message, "details": wrong}
        return JSONResponse(body, error.status, headers=error.headers())

    @app.get("/raised")
    async def raised() -> None:
        raise error

    async with asked(app, gate) as http:
        answer = await http.get("/raised")
    assert (answer.status_code, answer.json()["code"], answer.json()["details"]) == (error.status, error.code, details)
    assert fields.items() <= dict(answer.headers).items()
    assert answer.json()["title"]
    assert answer.json()["message"]
