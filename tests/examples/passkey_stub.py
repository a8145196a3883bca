"""A stand-in for the program of example 4: it serves its page and answers as its endpoints do, but verifies nothing
that an authenticator signs.

Not here: the page, and the true program.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.processes import ROOT
from tests.servers import free_port

PAGE = ROOT / "examples" / "4-passkey-audit" / "page"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FIELDS = ("first_name", "last_name", "email", "date_of_birth", "job_title")
LIFETIME = 3600


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def refusal(status: int, detail: Any) -> Response:
    return JSONResponse({"detail": detail}, status)


class Stub:
    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.credentials: dict[str, str] = {}
        self.pending: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}

    def app(self) -> Starlette:
        routes = [
            Route("/", self.file),
            Route("/page/{name}", self.file),
            Route("/register/begin", self.register_begin, methods=["POST"]),
            Route("/register/complete", self.register_complete, methods=["POST"]),
            Route("/login/begin", self.login_begin, methods=["POST"]),
            Route("/login/complete", self.login_complete, methods=["POST"]),
            Route("/users/{id}", self.user),
        ]
        return Starlette(routes=routes)

    async def file(self, request: Request) -> Response:
        path = PAGE / request.path_params.get("name", "index.html")
        return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=HEADERS)

    async def register_begin(self, request: Request) -> Response:
        given = await request.json()
        wrong = [name for name in FIELDS if not given.get(name) or (name == "email" and "." not in given[name])]
        if wrong:
            return refusal(422, [{"loc": ["body", name], "msg": "wrong", "type": "value_error"} for name in wrong])
        self.pending[given["email"]] = given
        user = {"id": base64url(secrets.token_bytes(16)), "name": given["email"], "displayName": given["first_name"]}
        options = {
            "challenge": base64url(secrets.token_bytes(64)),
            "rp": {"id": "localhost", "name": "Auth Example"},
            "user": user,
            "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in (-7, -257)],
            "timeout": 60000,
            "authenticatorSelection": {"userVerification": "required", "residentKey": "required"},
            "attestation": "none",
            "excludeCredentials": [],
            "extensions": {"credProps": True},
        }
        return JSONResponse({"publicKey": options})

    async def register_complete(self, request: Request) -> Response:
        given = await request.json()
        person = self.pending.pop(given["email"], None)
        response = given["credential"]["response"]
        assert "attestationObject" in response and "transports" in response
        assert "clientExtensionResults" in given["credential"]
        if person is None or person["email"] in self.users:
            return refusal(400, "Registration failed")
        about = {"id": str(uuid.uuid4()), "role": "user", "created_at": datetime.now(UTC).isoformat()}
        self.users[person["email"]] = {**person, **about}
        self.credentials[given["credential"]["id"]] = person["email"]
        return JSONResponse(self.users[person["email"]], 201)

    async def login_begin(self, request: Request) -> Response:
        given = await request.json()
        self.pending[given["email"]] = given
        options = {"challenge": base64url(secrets.token_bytes(64)), "timeout": 60000, "rpId": "localhost"}
        return JSONResponse({"publicKey": {**options, "allowCredentials": [], "userVerification": "required"}})

    async def login_complete(self, request: Request) -> Response:
        given = await request.json()
        if self.pending.pop(given["email"], None) is None:
            return refusal(400, "No login in progress")
        if self.credentials.get(given["assertion"]["id"]) != given["email"]:
            return refusal(401, "Authentication failed")
        user = {name: self.users[given["email"]][name] for name in ("id", "first_name", "last_name", "email", "role")}
        claims = {"sub": user["id"], "first_name": user["first_name"], "exp": int(time.time()) + LIFETIME}
        parts = ({"alg": "HS256"}, claims, secrets.token_hex(16))
        token = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        self.tokens[token] = user["id"]
        return JSONResponse({"access_token": token, "token_type": "bearer", "user": user})

    async def user(self, request: Request) -> Response:
        whose = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if whose is None:
            return refusal(401, "Invalid token")
        if whose != request.path_params["id"]:
            return refusal(403, "Not yours")
        return JSONResponse(next(one for one in self.users.values() if one["id"] == whose))


@contextmanager
def stub() -> Iterator[str]:
    """Serves it in a thread; its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(Stub().app(), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://localhost:{port}"
    server.should_exit = True
    thread.join(5)
