"""The examples as they are measured: which of their endpoints, beside which of Passgate's, and the people in them.

No measurement here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlencode

from bench import load, servers
from bench.people import PASSWORD, json_request
from bench.servers import Server

FOLDER = Path(__file__).parent.parent / "examples"
PAIRS = {
    "session check": ("/api/auth/session", "/auth/api/v1/session", 1),
    "20 of 41 users": ("/api/users/?size=20", "/auth/api/v1/users?page=1&size=20&sort=username", 20),
}
"""What is asked: the example's endpoint, Passgate's own, and by how much less often than a session check. A page of
users records each time that its reader was here, because the example asks that of all sessions, and waits for the
disk."""


TOKENS = {"access token check": ("/api/v1/auth/test-token", "/auth/api/v1/session", 1)}
"""The same of example 3, whose endpoint also says which second step somebody has."""


def session_rbac(data: Path) -> AbstractContextManager[Server]:
    return servers.example(FOLDER / "2-session-rbac", data, ADMIN_PASSWORD=PASSWORD, PASSGATE_LOG_LEVEL="error")


async def people_in(port: int) -> str:
    """40 users beside the first admin, whose session's id is returned."""
    link = await load.Connection.open(port)
    answer = await link.ask(json_request("POST", "/api/auth/login", {"username": "admin", "password": PASSWORD}))
    session = str(answer.json()["sessionID"])
    for number in range(40):
        given = {"username": f"user{number}", "email": f"user{number}@example.com", "password": PASSWORD}
        answer = await link.ask(json_request("POST", "/api/users/", given, session))
        if answer.status != 201:
            raise RuntimeError(f"{answer.status} {answer.body!r}")
    link.close()
    return session


def two_factor(data: Path) -> AbstractContextManager[Server]:
    return servers.example(FOLDER / "3-two-factor-mail", data, PASSGATE_MAIL__URL="dev:", PASSGATE_LOG_LEVEL="error")


async def access_token(port: int) -> str:
    """Of somebody without a second step."""
    link = await load.Connection.open(port)
    given = {"email": "anna@example.com", "full_name": "Anna", "password": PASSWORD}
    await link.ask(json_request("POST", "/api/v1/auth/signup", given))
    form = urlencode({"username": "anna@example.com", "password": PASSWORD}).encode()
    head = f"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(form)}\r\n"
    answer = await link.ask(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode() + form)
    link.close()
    return str(answer.json()["access_token"])
