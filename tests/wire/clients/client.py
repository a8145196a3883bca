"""urllib.request and requests as programs. Arguments are name=URL; every exchange prints one line of JSON.

Not here: what is right; `test_clients` knows that.
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import requests

BODY = b'{"email":"you@example.com"}'
LARGE = b"x" * 500_000
JSON = {"Content-Type": "application/json"}
SIGN_IN, HEALTH = "/api/v1/signin", "/healthz"
Answer = tuple[int, str, bytes, int | None]
"""Status, media type, body, and which of its connections the client used, where that can be seen."""


def chunks(content: bytes) -> Any:
    """Without a length, so that both send it chunked."""
    yield content[:5]
    yield content[5:]


EXCHANGES: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "signin": ("POST", SIGN_IN, lambda: BODY),
    "again": ("GET", HEALTH, lambda: None),
    "head": ("HEAD", HEALTH, lambda: None),
    "chunked": ("POST", SIGN_IN, lambda: chunks(BODY)),
    "large": ("POST", SIGN_IN, lambda: LARGE),
    "large-chunked": ("POST", SIGN_IN, lambda: chunks(LARGE)),
    "after": ("GET", HEALTH, lambda: None),
    "empty": ("POST", SIGN_IN, lambda: b""),
}


def by_urllib(_session: requests.Session, method: str, url: str, body: Any) -> Answer:
    asked = urllib.request.Request(url, body, JSON, method=method)  # noqa: S310  the URL is the test's
    try:
        answer = urllib.request.urlopen(asked, timeout=5)  # noqa: S310
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers["content-type"], answer.read(), None


def by_requests(session: requests.Session, method: str, url: str, body: Any) -> Answer:
    answer = session.request(method, url, data=body, headers=JSON, timeout=5)
    pool = session.get_adapter(url).poolmanager.connection_from_url(url)  # type: ignore[attr-defined]
    return answer.status_code, answer.headers["content-type"], answer.content, pool.num_connections


def main() -> None:
    session = requests.Session()
    session.trust_env = False
    for target, _, url in (given.partition("=") for given in sys.argv[1:]):
        for client, by in (("urllib", by_urllib), ("requests", by_requests)):
            for exchange, (method, path, body) in EXCHANGES.items():
                try:
                    status, media_type, content, connection = by(session, method, url + path, body())
                except OSError as error:  # what both make of a connection that fails
                    status, media_type, content, connection = 0, repr(error), b"", None
                line = {"client": client, "target": target, "exchange": exchange, "status": status}
                line |= {"type": media_type, "body": base64.b64encode(content).decode(), "connection": connection}
                print(json.dumps(line))


if __name__ == "__main__":
    main()
