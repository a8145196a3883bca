"""Example 2 as its folder runs it: how it starts and ends, what it logs, and the variables that it no longer has.

Not here: the lines of its README, which a test of their own runs.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from passgate import Settings, errors
from tests.examples.programs import FIREFOX, Served, folder_of, module
from tests.examples.session_rbac import TEMPLATE, Face, keeps_no_secret, served
from tests.kit import OTHER_PASSWORD, PASSWORD
from tests.processes import ROOT, client_for

GONE = (
    *("SECRET_KEY", "SIGNATURE_SALT", "ENCRYPTION_KEY", "ENCRYPTION_SALT", "ALLOW_OPENAPI_ROUTES"),
    *("CORS_ALLOW_ORIGINS", "CORS_ALLOW_METHODS", "CORS_ALLOW_HEADERS", "CORS_ALLOW_CREDENTIALS"),
    *("DATABASE_FILE_NAME", "DATABASE_DIRECTORY", "DATABASE_URL"),
    *("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD", "REDIS_URL"),
    *("PASSGATE_REDIS_URL", "PASSGATE_BROKER_URL"),
)
NAMED = ("DEBUG", "TESTING", "SQLALCHEMY_ECHO")


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    for name in (*GONE, *NAMED):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def reasons() -> list[str]:
    try:
        module(2, "old_names").check()
    except errors.UnsafeSettings as refused:
        return [code for code, _ in refused.reasons]
    return []


@pytest.mark.parametrize("name", GONE)
@pytest.mark.parametrize("where", ["environment", "file", "lower case"])
def test_a_variable_that_is_gone_stops_the_start(nothing_set: pytest.MonkeyPatch, name: str, where: str) -> None:
    assert reasons() == []
    if where == "file":
        Path(".env").write_text(f"{name}=sesame\n")
    else:
        nothing_set.setenv(name.lower() if where == "lower case" else name, "sesame")
    assert reasons() == [f"OLD_{name}"]


def test_all_are_named_at_once(nothing_set: pytest.MonkeyPatch) -> None:
    for name in GONE:
        nothing_set.setenv(name, "")
    assert sorted(reasons()) == sorted(f"OLD_{name}" for name in GONE)


@pytest.mark.parametrize("name", NAMED)
def test_a_variable_without_effect_is_named(
    nothing_set: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    nothing_set.setenv(name, "true")
    assert reasons() == []
    assert [record.args for record in caplog.records if name in record.getMessage()]


def test_every_variable_of_the_template_has_an_answer() -> None:
    names = module(2, "old_names")
    assert (names.REFUSED.keys(), names.IGNORED.keys()) == (set(GONE), set(NAMED))


def test_the_sample_has_the_settings_of_the_tests(nothing_set: pytest.MonkeyPatch) -> None:
    text = (folder_of(2) / ".env").read_text()
    Path(".env").write_text(text)
    settings = Settings.load()
    lives = {"idle": settings.session.idle, "absolute": settings.session.absolute, "touch": settings.session.touch}
    assert lives == TEMPLATE["session"]
    assert settings.port == 8002
    assert reasons() == []
    first = module(2, "roles").FirstAdmin()
    assert (first.username, first.email, first.password) == ("admin", "admin@example.com", "")


def test_what_pip_installs_is_this_checkout() -> None:
    """A bare name would be somebody else's package of a public index."""
    lines = [line for line in (folder_of(2) / "requirements.txt").read_text().splitlines() if line[:1] not in ("", "#")]
    assert (folder_of(2) / lines[0]).resolve() == ROOT
    assert [line.partition(">=")[0] for line in lines[1:]] == ["pydantic-settings"]


# -- as a process ----------------------------------------------------------------------------------


async def test_refused_by_name(tmp_path: Path) -> None:
    server = served(tmp_path / "data", REDIS_HOST="localhost", SECRET_KEY="secret_key")
    server.launch()
    code = await asyncio.to_thread(server.ended)
    log = server.log()
    assert code != 0
    assert "OLD_REDIS_HOST" in log
    assert "OLD_SECRET_KEY" in log
    assert "secret_key" not in log
    assert "Traceback" not in log


async def test_a_first_admin_who_cannot_be_stops_the_start(tmp_path: Path) -> None:
    server = served(tmp_path / "data", ADMIN_PASSWORD="too small 27")
    server.launch()
    code = await asyncio.to_thread(server.ended)
    assert code != 0
    assert "ADMIN_REFUSED" in server.log()
    assert "too small 27" not in server.log()
    assert "Traceback" not in server.log()


def logged(server: Served) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]


async def test_it_starts_works_and_ends(tmp_path: Path) -> None:
    """The ready line, a request that is found in the log by its id, nothing secret there, and an end by SIGTERM."""
    server = served(tmp_path / "data")
    try:
        await server.start()
        assert f"Example 2 is ready: {server.url}" in server.log()
        async with client_for(server) as http:
            face = Face(http)
            http.headers["user-agent"] = FIREFOX
            admin = await face.login("admin")
            answer = await face.ask("GET", "/users/me/", admin)
            who = answer.json()["user"]["id"]
            assert (await face.enter("admin", OTHER_PASSWORD)).status_code == 401
            person = await face.person(admin, "anna", "read_only")
            change = {"password": OTHER_PASSWORD, "username": "anna.new"}
            assert (await face.ask("PATCH", f"/users/{person}/", admin, json=change)).status_code == 202
            stolen = await http.get(
                "/api/users/me/", headers={"authorization": f"Bearer {admin}", "user-agent": "curl"}
            )
            assert stolen.status_code == 403
            assert (await face.ask("POST", "/auth/logout", admin)).status_code == 200
            assert (await http.get("/docs")).status_code == 200
        [line] = [one for one in logged(server) if one.get("request_id") == answer.headers["x-request-id"]]
        assert (line["method"], line["route"], line["status"]) == ("GET", "/api/users/me/", 200)
        assert line["ms"] >= 0
        await server.stop()
    finally:
        server.kill9()
    server.no_faults()
    keeps_no_secret(server, PASSWORD, OTHER_PASSWORD, admin, who, "anna")


async def test_nobody_there_yet_is_logged(tmp_path: Path) -> None:
    server = Served(2, tmp_path / "data")
    try:
        await server.start()
        assert [one for one in logged(server) if "ADMIN_PASSWORD" in str(one)]
        async with client_for(server) as http:
            assert (await Face(http).enter("admin")).status_code == 401
        await server.stop()
    finally:
        server.kill9()
