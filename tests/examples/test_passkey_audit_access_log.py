"""Example 4 writes no challenge, signature, token, address or query: with Passgate's server that logs all it can, with
uvicorn alone, whose access log has the path of each request, and in app.log.

Not here: app.log of two processes and after a kill (races, killed).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.authenticator import Authenticator
from tests.examples.passkey_audit import NOBODY, options_of
from tests.examples.passkey_audit_served import SECRETS, Face, at, mode_of, rows, served
from tests.examples.programs import By, running, until

FAULTY = """\
from main import app


@app.post("/faulty")
async def faulty(given: dict[str, object]) -> None:
    raise LookupError
"""
"""The program with a fault in it."""


def parts_of(answer: dict[str, Any]) -> set[str]:
    """What a browser has answered, without the words that every answer has."""
    return {text for text in (answer["id"], *answer["response"].values()) if isinstance(text, str)}


async def the_whole_story(face: Face) -> set[str]:
    """Everything that somebody can do, rightly and wrongly; what nobody else may read."""
    email, key, other = "jane@example.com", Authenticator(), Authenticator()
    options = options_of(await face.register_begin(email))
    created = key.create(options, face.origin)
    seen = {options["challenge"], options["user"]["id"], *parts_of(created)}
    assert (await face.register_complete(email, other.create(options, "http://localhost:1"))).status_code == 400
    answer = await face.register_complete(email, created)
    if answer.status_code != 201:  # a challenge is used up by a refusal
        created = await face.created_of(email, key)
        seen |= parts_of(created)
        answer = await face.register_complete(email, created)
    assert answer.status_code == 201
    me = answer.json()["id"]
    assert (await face.register_complete(email, created)).status_code == 400
    assert (await face.register_complete(email, await face.created_of(email, other))).status_code == 400

    options = options_of(await face.login_begin(email))
    signed = key.get(options, face.origin)
    broken = key.get(options, face.origin, signature=lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    seen |= {options["challenge"], *parts_of(signed), *parts_of(broken)}
    assert (await face.login_complete(email, broken)).status_code == 401
    signed = key.get(options_of(await face.login_begin(email)), face.origin)
    answer = await face.login_complete(email, signed)
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    seen |= {token, *token.split("."), *parts_of(signed)}
    assert (await face.login_complete(email, signed)).status_code == 400
    assert (await face.login_complete(email, {**signed, "type": "sesame"})).status_code == 422

    for path, given, status in (
        (f"/users/{me}", token, 200),
        (f"/users/{NOBODY}", token, 403),
        (f"/users/{email}", token, 403),
        (f"/users/{me}", f"{token}x", 401),
        (f"/users/{me}", "", 401),
        ("/nowhere", token, 404),
        ("/auth/nowhere", token, 404),
        ("/auth/signin", "", 200),
        ("/", "", 200),
    ):
        query = {"email": email, "token": token, "challenge": options["challenge"]}
        assert (await face.ask("GET", path, given, params=query)).status_code == status, path
    assert (await face.promote(NOBODY, token)).status_code == 403
    for path in ("/users", "/login"):
        assert (await face.ask("POST", path, params={"email": email}, json={"email": email})).status_code == 307
    assert (await face.ask("POST", "/faulty", params={"email": email}, json=signed)).status_code == 500
    return (seen | {"Software Engineer"}) - {""}


@pytest.mark.parametrize("by", ["passgate", "uvicorn"])
async def test_no_challenge_signature_token_address_or_query_is_logged(tmp_path: Path, by: By) -> None:
    folder = tmp_path / "example"
    server = served(folder, app="faulty:app", by=by, LOG_LEVEL="debug")
    (folder / "faulty.py").write_text(FAULTY)
    async with running(server, has_faults=True), at(server) as face:
        seen = await the_whole_story(face)
        wanted = {row["id"] for row in rows(folder, "SELECT id FROM audit_logs")}

        async def own() -> str:
            return (folder / "app.log").read_text()

        mine = await until(own, lambda text: all(one in text for one in wanted))
    assert len(wanted) > 10
    assert [one for one in wanted if one not in mine] == []
    assert mode_of(folder / "app.log") == 0o600
    log = server.log()
    for text in (log, mine):
        assert [word for word in (*SECRETS, "challenge=", "token=", "email=", *seen) if word in text] == []
    assert "127.0.0.1" not in mine, "networks are in app.db alone"
    assert {line.split()[4] for line in mine.splitlines()} == {"success", "failure"}
    assert "/login/complete" in log
    assert "LookupError" in log
    if by == "uvicorn":
        assert '"POST /login/complete HTTP/1.1" 401' in log
        assert '"POST /faulty HTTP/1.1" 500' in log
    else:
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert {line.get("status") for line in lines} >= {200, 201, 307, 400, 401, 403, 404, 422, 500}


def test_the_parts_of_an_answer_are_found() -> None:
    """Otherwise nothing secret would be looked for."""
    options = {"rp": {"id": "localhost"}, "user": {"id": "YQ"}, "challenge": "Yg", "pubKeyCredParams": [{"alg": -7}]}
    found = Authenticator().create(options, "http://localhost")
    assert parts_of(found) >= {found["rawId"], found["response"]["attestationObject"]}
    assert len(parts_of(found)) == 5
