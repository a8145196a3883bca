"""The examples as they are measured: which of their endpoints, beside which of Passgate's, and the people in them.

No measurement here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from bench import load, servers
from bench.people import PASSWORD, json_request
from bench.servers import Server

FOLDER = Path(__file__).parent.parent / "examples" / "2-session-rbac"
PAIRS = {
    "session check": ("/api/auth/session", "/auth/api/v1/session", 1),
    "20 of 41 users": ("/api/users/?size=20", "/auth/api/v1/users?page=1&size=20&sort=username", 20),
}
"""What is asked: the example's endpoint, Passgate's own, and by how much less often than a session check. A page of
users records each time that its reader was here, because the example asks that of all sessions, and waits for the
disk."""


def session_rbac(data: Path) -> AbstractContextManager[Server]:
    return servers.example(FOLDER, data, ADMIN_PASSWORD=PASSWORD, PASSGATE_LOG_LEVEL="error")


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
