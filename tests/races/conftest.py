"""Two real server processes over one database, shared by all races of a test process. No single race is here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.processes import Deployment, deployed
from tests.servers import Postgres


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
def pair_url(request: pytest.FixtureRequest) -> str | None:
    # Not async: an async fixture cannot ask for another one by name.
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database(template=request.getfixturevalue("pg_template"))


@pytest.fixture(scope="session")
async def pair(pair_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Two processes that have been running for a while; each race brings addresses of its own."""
    # One name for both, as behind a balancer: a passkey is made for an origin, and each listens at a port of its own.
    folder, name = tmp_path_factory.mktemp("pair") / "data", "http://localhost:8000"
    async with deployed(folder, pair_url, PUBLIC_URL=name) as made:
        await made.warm()
        yield made
