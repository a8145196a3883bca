"""Which tests stay in one worker: those that share something that is slow to start. What they do is not known here.

Every other test goes to whichever worker is free, so both end at about the same time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SHARING = (
    "cli/test_serve.py", "conformance/test_schemathesis.py", "house/test_machine.py", "house/test_matrix.py",
    "house/test_servers.py", "library/test_wheel.py", "races",
)  # fmt: skip
"""Files and folders with something of their own for all their tests: a server, a built wheel, a town of people."""


def keep_together(items: list[pytest.Item]) -> None:
    for item in items:
        if name := _shares(item):
            item.add_marker(pytest.mark.xdist_group(name))


def _shares(item: pytest.Item) -> str | None:
    """One server of PostgreSQL, one Chromium; else by file."""
    for marker in ("browser", "pg"):
        if item.get_closest_marker(marker):
            return marker
    place = item.path.relative_to(TESTS).as_posix()
    return next((name for name in SHARING if place == name or place.startswith(f"{name}/")), None)
