"""`doctor` and `serve` as real processes with the same settings: they agree, print `CODE text`, and no stack trace.

Not here: every setting with every value, which one process can show (tests/ground/test_variables.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import CHEAP, Running

REFUSED = [
    ({"PORT": "tcp:8000"}, "SETTING_INVALID"),
    ({"SESION__IDLE": "1h"}, "SETTING_UNKNOWN"),
    ({"DATABASE_URL": "postgresql://u:hunter2@h/d?sslmod=require"}, "DATABASE_URL"),
    ({"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d?sslmode=disable"}, "DATABASE_DOWN"),
    ({"MAIL__FROM": ","}, "SETTING_INVALID"),
    ({"MAIL__URL": "http://user:hunter2@mail.example.com"}, "SETTING_INVALID"),
    ({"SECRETS_DIR": "no/such/folder"}, "SETTINGS_FILE"),
    ({"CORS__ORIGINS": "https://app.example.org/path"}, "SETTING_INVALID"),
]
WORKS = [
    {
        "DATABASE_URL": "",
        "BREACH__URL": " ",
        "LOOK__TEXTS": "",
        "MAIL_PORT": "tcp://10.0.0.1:25",
        "SERVICE_HOST": "::1",
    },
    {
        "LOG_LEVEL": "INFO",
        "SESSION__IDLE": "1h30m",
        "MAIL__FROM": "A, B <id@a.example>",
        "DATABASE_URL": "sqlite:///a?%41",
    },
]


def _run(command: str, data: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ.get("PATH", os.defpath), **CHEAP, "PASSGATE_PORT": "0"}
    env |= {f"PASSGATE_{name}": value for name, value in settings.items()}
    argv = [sys.executable, "-m", "passgate.cli", "--data", str(data), command]
    return subprocess.run(argv, check=False, capture_output=True, text=True, cwd=data.parent, env=env, timeout=60)


@pytest.mark.parametrize(("settings", "code"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_refused_by_both(settings: dict[str, str], code: str, tmp_path: Path) -> None:
    for command in ("doctor", "serve"):
        done = _run(command, tmp_path / "data", settings)
        printed = done.stdout + done.stderr
        assert done.returncode == 1, printed
        assert re.findall(r"^([A-Z_]+) \S", printed, re.MULTILINE) == [code], printed
        assert "Traceback" not in printed
        assert "hunter2" not in printed
    assert not (tmp_path / "data" / "passgate.db").exists()


@pytest.mark.parametrize("settings", WORKS, ids=["empty", "as people write"])
def test_accepted_by_both(settings: dict[str, str], tmp_path: Path) -> None:
    done = _run("doctor", tmp_path / "data", settings)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert ("PASSGATE_SERVICE_HOST" in done.stderr) == ("SERVICE_HOST" in settings)
    with Running("serve", tmp_path / "data", **settings) as server, server.http() as http:
        for path in ("/readyz", "/signup", "/api/v1/session", "/dev/mail.json"):
            assert http.get(path).status_code < 500, path
        body = {"email": "bert@example.com", "password": "a long enough pass phrase"}
        assert http.post("/api/v1/signup", json=body).status_code == 202
        logged = [set(line["ignored"]) for line in server.log if "ignored" in line]
        assert logged == ([{"PASSGATE_SERVICE_HOST", "PASSGATE_MAIL_PORT"}] if "SERVICE_HOST" in settings else [])
        assert server.stop() == 0
