"""An issuer on this machine: it publishes a key set and records what it is asked.

Not here: sign-ins. Its tokens are made by hand.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from passgate import access_token
from passgate.access_token import AccessToken
from passgate.jose import PrivateKey
from tests.kit import Dice

KEYS = "/oauth2/jwks"
NOW = 1_800_000_000
"""Seconds since 1970, by the clock of the tests."""


@dataclass
class Issuer:
    """`documents`: by path what it answers, as (status, body), the body of a redirect being where it leads; anything
    else is 404. `asked`: every path, in order."""

    url: str = ""
    documents: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    key: PrivateKey = field(default_factory=lambda: PrivateKey.make("ES256", Dice()))

    def publish(self, *keys: PrivateKey, path: str = KEYS) -> None:
        self.documents[path] = (200, key_set(*keys))

    def token(self, key: PrivateKey | None = None, **changed: Any) -> str:
        """One that counts now, apart from what is changed of its claims."""
        return access_token.signed(key or self.key, token_of(self.url, **changed))


def key_set(*keys: PrivateKey) -> bytes:
    return json.dumps({"keys": [key.public.as_jwk() for key in keys]}).encode()


def token_of(issuer: str, **changed: Any) -> AccessToken:
    claims: dict[str, Any] = {
        "issuer": issuer,
        "audience": issuer,
        "subject": "person",
        "client_id": access_token.CLIENT,
        "token_id": "token",
        "session_id": "session",
        "tenant_id": "tenant",
        "acr": "urn:passgate:aal1",
        "amr": ("pwd",),
        "roles": ("user",),
        "auth_time": NOW - 60,
        "issued_at": NOW - 60,
        "expires_at": NOW + 540,
        "more": {},
    }
    return AccessToken(**{**claims, **changed})


@contextmanager
def serving(*keys: PrivateKey) -> Iterator[Issuer]:
    """An issuer that answers; without keys it publishes its own."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            status, body = issuer.documents.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if status == 302:
                self.send_header("location", body.decode())
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """What is asked is recorded, not printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        issuer.publish(*keys or (issuer.key,))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
