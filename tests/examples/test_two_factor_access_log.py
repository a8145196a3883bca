"""Example 3 writes no query, code or token: with Passgate's server that logs all it can, and with uvicorn alone, whose
access log has the path of each request.

Not here: mails that are printed on purpose (`dev+console:`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.examples.programs import Served, folder_of
from tests.examples.two_factor_served import SECRETS, SHORT, Face, backups_in, scanned
from tests.processes import client_for

FAULTY = """\
from main import app


@app.get("/faulty")
async def faulty(tfa_token: str) -> None:
    raise LookupError
"""
"""The program with a fault in it."""


class Logging(Served):
    """The program as one of the two servers serves it, which says all it can."""

    def __init__(self, data: Path, server: str) -> None:
        super().__init__(3, data, MAIL__URL="dev:", MAIL__PER_HOUR="100000", LOG_LEVEL="debug")
        (data.parent / "faulty.py").write_text(FAULTY)
        self._env["PYTHONPATH"] += f":{data.parent}"
        self._serve = {
            "passgate": ["passgate.cli", "serve", "--app", "faulty:app", "--name", "It"],
            "uvicorn": ["uvicorn", "faulty:app", "--port", str(self.port), "--log-level", "debug", "--app-dir", "."],
        }[server]

    def launch(self) -> None:
        self._launch(*self._serve, cwd=folder_of(3))


async def the_whole_story(face: Face) -> set[str]:
    """Everything that somebody can do, rightly and wrongly; what nobody else may read."""
    email, picture = "user@example.com", (await face.signup("app@example.com", "code_generator")).content
    app, seen = scanned(picture), {SHORT}
    assert (await face.signup(email, "email")).status_code == 200
    assert (await face.signup(email)).status_code == 400
    backups = await face.backups_of(email)

    first = await face.first_of(email)
    code = await face.code_of(email)
    assert (await face.second(first, "00000000")).status_code == 403
    assert (await face.second(f"{first}x", code)).status_code in (401, 403)
    assert (await face.ask("POST", "/tfa/login_tfa", first)).status_code == 422
    assert (await face.ask("POST", "/tfa/login_tfa", first, params={"tfa_token": code * 20})).status_code == 422
    assert (await face.ask("POST", "/tfa/login_tfa", first, params={"code": code})).status_code == 422
    assert (await face.ask("GET", "/tfa/login_tfa", first, params={"tfa_token": code})).status_code == 405
    pair = (await face.second(first, code)).json()
    assert (await face.second(first, code)).status_code == 401
    new = (await face.refresh(pair["refresh_token"])).json()
    assert (await face.refresh(pair["refresh_token"])).status_code == 403
    seen |= {first, code, *pair.values(), *new.values()}

    with_app = await face.first_of("app@example.com")
    pair = (await face.second(with_app, app.code())).json()
    assert (await face.ask("GET", "/tfa/get_my_qrcode", pair["access_token"])).status_code == 200
    assert (await face.enable(pair["access_token"], "email")).status_code == 400
    seen |= {with_app, app.code(), app.uri.partition("secret=")[2].partition("&")[0], *pair.values()}

    first = await face.first_of(email)
    assert (await face.backup(first, "aaaa-aaaa-aaaa-aaaa")).status_code == 403
    assert (await face.backup(first, backups[0])).status_code == 200
    seen |= {first, *backups}

    task = (await face.ask("GET", "/tasks/test-celery")).json()["task_id"]
    assert (await face.ask("GET", "/tasks/taskstatus", params={"task_id": task})).status_code == 200
    assert (await face.ask("GET", "/tasks/taskstatus", params={"task_id": f"{code}x"})).status_code == 422
    for path, status in (
        ("/nowhere", 404),
        ("/auth/nowhere", 404),
        ("/auth/signin", 200),
        ("/auth/api/v1/session", 401),
        ("/api/v1/tfa/login_tfa/", 307),
    ):
        more: dict[str, Any] = {"params": {"tfa_token": code, "at": first}}
        answer = await face.http.request("POST" if status == 307 else "GET", path, **more)
        assert answer.status_code == status, path
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    for path in ("/api/v1/tfa/login_tfa", "/auth/signin"):
        key = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
        await face.http.get(path, params={"tfa_token": code}, headers={**upgrade, **key})
    assert (await face.http.get("/faulty", params={"tfa_token": code})).status_code == 500
    return seen


@pytest.mark.parametrize("with_server", ["passgate", "uvicorn"])
async def test_no_query_code_or_token_is_logged(tmp_path: Path, with_server: str) -> None:
    server = Logging(tmp_path / "data", with_server)
    try:
        await server.start()
        async with client_for(server) as http:
            seen = await the_whole_story(Face(http))
        await server.stop()
    finally:
        server.kill9()
    log = server.log()
    assert [word for word in (*SECRETS, *seen) if word in log] == []
    assert "/api/v1/tfa/login_tfa" in log
    assert "LookupError" in log
    if with_server == "uvicorn":
        assert '"POST /api/v1/tfa/login_tfa HTTP/1.1" 403' in log
        assert '"GET /faulty HTTP/1.1" 500' in log
    else:
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert {line.get("status") for line in lines} >= {200, 202, 400, 401, 403, 404, 405, 422, 500}


def test_the_codes_of_a_mail_are_found() -> None:
    """Otherwise no secret would be looked for."""
    assert backups_in("Codes\n\n    aaaa-bbbb\n    cccc-dddd\n\nEnd") == ["aaaa-bbbb", "cccc-dddd"]
