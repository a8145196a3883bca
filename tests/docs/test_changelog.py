"""CHANGELOG.md has the present version.

Not here: what it says.
"""

import re

import passgate
from tests.docs.blocks import ROOT


def test_the_changelog_has_this_version() -> None:
    """Below what is not released yet: each version once, the newest first, with its day."""
    first, *released = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == "Unreleased"
    found = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - \d{4}-\d\d-\d\d", one) for one in released]
    assert all(found)
    versions = [tuple(map(int, one.group(1, 2, 3))) for one in found if one]
    assert versions == sorted({*versions}, reverse=True)
    assert released[0].partition(" ")[0] == passgate.__version__
