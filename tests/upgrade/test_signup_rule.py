"""Who may sign up moves from a column of the tenant into its rules, with everything else that is stored there.

Not here: databases as people leave them (`test_upgrade`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, Table, inspect

from passgate.core.factor import Factors
from passgate.core.factors import FACTORS
from passgate.core.rules import Rules
from passgate.settings.database import read_database
from passgate.store import Store
from passgate.store.migrate import config, upgrade
from passgate.store.schema import SCHEMA
from passgate.store.tables import tenant
from tests.servers import Postgres

BEFORE = {
    "open": ("open", {}),
    "rich": ("open", {"second": "always", "first": ["password"]}),
    "invite": ("invite", {}),
    "closed": ("closed", {"usernames": "optional", "a_later_field": ["kept"]}),
}
"""By name: the column and the rules."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A database of revision 0010 with these tenants."""
    server: Postgres | None = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    url = server.create_database() if server else f"sqlite:///{tmp_path / 'passgate.db'}"
    made = Store(read_database(url), SCHEMA)

    def fill(connection: Connection) -> None:
        command.upgrade(config(SCHEMA, connection=connection), "0010")
        there = Table("tenant", MetaData(), autoload_with=connection)
        for name, (signup, rules) in BEFORE.items():
            row = {"id": name, "name": name, "display_name": name, "created_at": 1}
            connection.execute(there.insert(), {**row, "signup": signup, "policy": json.dumps(rules)})

    async with made.write() as db:
        await db.run(fill)
    yield made
    await made.close()
    if server:
        server.drop_database(url)


async def test_it_moves(store: Store, tmp_path: Path) -> None:
    assert await upgrade(store, lock=tmp_path / "lock")
    async with store.read() as db:
        rows = {row["name"]: row for row in await db.rows(tenant.select())}
        columns = await db.run(lambda connection: {one["name"] for one in inspect(connection).get_columns("tenant")})
    assert "signup" not in columns
    stored = {name: json.loads(row["policy"]) for name, row in rows.items()}
    assert stored == {
        name: rules if signup == "open" else {**rules, "signup": signup} for name, (signup, rules) in BEFORE.items()
    }
    found = {name: Rules.parsed(row["policy"], Factors(FACTORS)).signup for name, row in rows.items()}
    assert found == {name: signup for name, (signup, _) in BEFORE.items()}
