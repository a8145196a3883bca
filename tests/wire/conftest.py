"""The fixture `server`: one real development server with short deadlines, shared by the tests of a module, which leave
it running. At the end it must stop cleanly, without warnings in its log.

Not here: tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.shell import Running

HEAD, BODY, IDLE = 2, 3, 4
"""Seconds: the deadlines of the server."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    deadlines = {"SERVE__HEAD": str(HEAD), "SERVE__BODY": str(BODY), "SERVE__KEEP_ALIVE": str(IDLE)}
    with Running("serve", tmp_path_factory.mktemp("wire") / "data", **deadlines) as made:
        yield made
        assert made.stop() == 0
    assert [line for line in made.log if line["level"] not in ("info", "debug")] == []
