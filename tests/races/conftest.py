"""The fixture `pair`: two real server processes over one database, shared by all races of a test process.

Not here: tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.processes import Deployment, deployed
from tests.servers import Postgres


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.pg)])
def pair_url(request: pytest.FixtureRequest) -> str | None:
    # Not async, because an async fixture cannot request another fixture by name.
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database(template=request.getfixturevalue("pg_template"))


@pytest.fixture(scope="session")
async def pair(pair_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Two processes with open connections. Each race uses its own email addresses."""
    # One public URL for both, as behind a load balancer: passkeys are bound to an origin, and the ports differ.
    folder, name = tmp_path_factory.mktemp("pair") / "data", "http://localhost:8000"
    async with deployed(folder, pair_url, PUBLIC_URL=name) as made:
        await made.warm()
        yield made
