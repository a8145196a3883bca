"""The browser for the tests of the documentation, and the marker of the tests that need one. Not here: what the pages
say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import chromium

__all__ = ["chromium"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
