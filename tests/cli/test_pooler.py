"""Behind a real PgBouncer: nothing of ours outlives a transaction, so transaction pooling works, and statement pooling
is refused.

Not here: URLs of databases, which is tests/ground/test_database_urls.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from passgate.settings.database import read_database
from passgate.store import SCHEMA, Store
from tests.cli.shell import Shell
from tests.pooler import pooled
from tests.processes import deployed
from tests.servers import Postgres

pytestmark = pytest.mark.pg
AT_ONCE = 6


async def test_signing_in_through_transaction_pooling(tmp_path: Path, postgres: Postgres, pg_template: str) -> None:
    """A hundred sign-ins, six at a time, over fewer sessions of the server than there are connections."""
    url = postgres.create_database(pg_template)
    with pooled(url, sessions=4) as through:
        async with deployed(tmp_path / "data", through, count=1, LIMIT__STARTS="1000") as made:
            people = await asyncio.gather(*(made.a.person(f"p{number}@example.com") for number in range(AT_ONCE)))

            async def signs_in(number: int) -> list[int]:
                statuses = []
                for _ in range(17):
                    again = await made.a.signed_in(people[number])
                    statuses.append((await made.a.session(again.token)).status_code)
                return statuses

            found = await asyncio.gather(*(signs_in(number) for number in range(AT_ONCE)))
            assert [status for each in found for status in each] == [200] * 17 * AT_ONCE
    postgres.drop_database(url)


async def test_settings_end_with_their_transaction(postgres: Postgres) -> None:
    url = postgres.create_database()
    asked = text(
        "SELECT current_setting('lock_timeout') || ' ' || current_setting('transaction_read_only') || ' ' ||"
        " current_setting('application_name')"
    )
    with pooled(url, sessions=1) as through:
        store = Store(read_database(f"{through}?application_name=ours&options=-clock_timeout%3D3s"), SCHEMA)
        try:
            async with store.write() as db:
                assert await db.value(asked) == "3s off ours"
            async with store.read() as db:
                assert await db.value(asked) == "3s on ours"
        finally:
            await store.close()
        bare = Store(read_database(through), SCHEMA)
        try:
            async with bare.write() as db:  # in the same session of the server
                assert str(await db.value(asked)).startswith("10s off")
        finally:
            await bare.close()
    postgres.drop_database(url)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_commands_through_a_pooler(
    mode: str, tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create_database()
    with pooled(url, mode=mode) as through:
        shell = Shell(tmp_path / "data", capsys, DATABASE_URL=through)
        assert shell("doctor").code == 1  # behind
        assert shell("migrate").code == 0
        assert shell("user", "add", "anna@example.com").code == 0
        assert "anna@example.com" in shell("user", "list").out
        assert shell("doctor").code == 0
        attributes = shell("doctor", DATABASE_URL=f"{through}?target_session_attrs=read-write")
        assert attributes.out.split()[:1] == ["DATABASE_POOLING"]
    postgres.drop_database(url)


def test_statement_pooling_is_refused(tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    url = postgres.create_database()
    with pooled(url, mode="statement") as through:
        shell = Shell(tmp_path / "data", capsys, DATABASE_URL=through)
        for command in ("migrate", "serve"):
            assert shell(command).codes == ["DATABASE_POOLING"]
        assert shell("doctor").out.split()[:1] == ["DATABASE_POOLING"]
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url.rpartition("/")[2]) == "0"
    postgres.drop_database(url)
