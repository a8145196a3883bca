"""Problem documents (RFC 9457).

Not here: pages, and which errors there are (`errors`). No document contains any part of the input or any text from a
library or a database.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from passgate.errors import PassgateError

MEDIA_TYPE = "application/problem+json"


def document(error: PassgateError, request_id: str) -> dict[str, object]:
    return {
        "type": f"urn:passgate:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.message,
        "request_id": request_id,
        **error.extra(),
    }


def render(error: PassgateError, request_id: str) -> Response:
    body = msgspec.json.encode(document(error, request_id))
    return Response(body, status_code=error.status, headers=error.headers(), media_type=MEDIA_TYPE)
