"""Processes that start at the same moment on an empty folder: they agree on one schema, one tenant and one key file.

Restarts are tested in tests/faults/test_crash.
"""

from __future__ import annotations

import stat
from pathlib import Path

from passgate.settings import KEY_FILE
from passgate.store.tables import tenant
from tests.processes import deployed, together


async def test_first_starts(tmp_path: Path, database_url: str | None) -> None:
    data = tmp_path / "data"
    async with deployed(data, database_url, count=4) as made:
        assert [row["name"] for row in await made.a.rows(tenant)] == ["main"]
        assert [path.name for path in data.iterdir() if "keys" in path.name] == [KEY_FILE]
        assert stat.S_IMODE((data / KEY_FILE).stat().st_mode) == 0o600
        # All processes use one key: a session that one of them opened is accepted by every other.
        anna = await made.a.person("anna@example.com")
        answers = await together(*(face.session(anna.token) for face in made.faces))
        assert [answer.status_code for answer in answers] == [200] * 4
        tokens = [(await face.signed_in(anna)).token for face in made.faces]
        seen = [(await made.faces[3 - turn].session(token)).status_code for turn, token in enumerate(tokens)]
        assert seen == [200] * 4
