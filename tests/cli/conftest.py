"""The shells that the tests of the command line use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.servers import Postgres


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
def shell(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """A shell, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield Shell(tmp_path / "data", capsys)
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create_database()
    made = Shell(tmp_path / "data", capsys, DATABASE_URL=url)
    assert made("migrate").code == 0
    yield made
    server.drop_database(url)


@pytest.fixture
def lite_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell, on SQLite only."""
    return Shell(tmp_path / "data", capsys)
