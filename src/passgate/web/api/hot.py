"""Endpoints that programs call again and again, and that the edge therefore answers without the framework. Each has a
twin in the framework, which answers alike, stands in the reference, and takes the requests that have a query.

Not here: the endpoints themselves.
"""

from __future__ import annotations

from passgate.web.api import session, tokens
from passgate.web.edge import Hot

HOT: dict[tuple[str, str], Hot] = {
    ("GET", "/api/v1/session"): session.answer,
    ("POST", "/api/v1/tokens/refresh"): tokens.answer,
}
