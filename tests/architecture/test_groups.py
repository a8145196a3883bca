"""How tests are distributed to xdist workers: none is lost, and tests that share a slow server run on one worker.

Nothing here starts such a server.
"""

from __future__ import annotations

import pytest

from tests.groups import InGroups, group_of, rename_duplicates


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/browser/test_access.py::test_axe_finds_nothing[signin-guest-look-two]", "tests/browser/"),
        ("tests/core/test_once.py::test_too_late_is_not_taken[postgres]", "postgres"),
        ("tests/races/test_sessions.py::test_ended_while_in_use[postgres]", "postgres"),
        ("tests/races/test_sessions.py::test_ended_while_in_use[sqlite]", "tests/races/"),
        ("tests/core/test_once.py::test_too_late_is_not_taken[sqlite]", None),
    ],
    ids=["browser", "database", "pair on the database", "pair", "by itself"],
)
def test_what_stays_together(nodeid: str, group: str | None) -> None:
    assert group_of(nodeid) == group


def test_xdist_deals_them_out_so(request: pytest.FixtureRequest) -> None:
    """pytest-xdist's own groups have no effect with this version of pytest, so our scheduler must be the one in use."""
    asked = request.config.pluginmanager.hook.pytest_xdist_make_scheduler.get_hookimpls()
    assert any(hook.plugin_name.endswith("tests/conftest.py") for hook in asked)
    assert InGroups._split_scope(InGroups.__new__(InGroups), "tests/browser/x.py::y") == "tests/browser/"


def test_no_test_of_one_name_is_lost(request: pytest.FixtureRequest) -> None:
    def made(name: str) -> pytest.Item:
        item: pytest.Item = pytest.Function.from_parent(
            request.node.parent, name=name, callobj=lambda: None, originalname="test_it"
        )
        return item

    items = [made("test_it[GET /a]"), made("test_it[GET /b]")]
    assert items[0].nodeid == items[1].nodeid
    rename_duplicates(items)
    assert [item.nodeid.partition("::")[2] for item in items] == ["test_it[GET /a]", "test_it[GET /b]"]
    with pytest.raises(pytest.UsageError):
        rename_duplicates([made("test_it[GET /a]"), made("test_it[GET /a]")])
