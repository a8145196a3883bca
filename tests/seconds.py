"""Prints, at the end of a run, how long the tests of each folder took, next to the recorded time.

A folder over its budget is named, but nothing fails, because a machine may be busy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import pytest

from tests import storage

RECORD = Path(__file__).with_suffix(".json")
ROOM = 1.5
"""The budget of a folder that was not recorded before, as a multiple of its time; later budgets are set by hand."""


@dataclass(eq=False)
class Spent:
    """Seconds of set-up, call and tear-down, over all workers."""

    tests: set[str] = field(default_factory=set)
    seconds: float = 0


@dataclass(eq=False)
class Seconds:
    """The plugin of the process that prints. With xdist it receives the reports of all workers."""

    folders: dict[str, Spent] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        spent = self.folders.setdefault(folder_of(report.nodeid), Spent())
        spent.tests.add(report.nodeid)
        spent.seconds += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.folders:
            return
        recorded = json.loads(RECORD.read_text())
        if os.environ.get("TESTS_RECORD_SECONDS") == "1":
            recorded |= {name: entry(spent, recorded.get(name)) for name, spent in self.folders.items()}
            RECORD.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
        terminalreporter.section(f"seconds by folder, {storage.described()}")
        for line in table(self.folders, recorded):
            terminalreporter.write_line(line)


def folder_of(nodeid: str) -> str:
    """The folder below tests: `tests/web/test_body.py::test_x` belongs to `web`."""
    parts = nodeid.partition("::")[0].split("/")
    return parts[1] if len(parts) > 2 else parts[0]


def entry(spent: Spent, known: dict[str, float] | None) -> dict[str, float]:
    budget = known["budget"] if known else ceil(spent.seconds * ROOM)
    return {"tests": len(spent.tests), "seconds": round(spent.seconds, 1), "budget": budget}


def table(folders: dict[str, Spent], recorded: dict[str, dict[str, float]]) -> Iterable[str]:
    nothing = {"tests": 0, "seconds": 0, "budget": 0}
    yield f"{'':14}{'tests':>7}{'(then)':>8}{'seconds':>9}{'(then)':>8}{'budget':>8}"
    for name, spent in sorted(folders.items(), key=lambda pair: -pair[1].seconds):
        then = recorded.get(name, nothing)
        over = "  over its budget" if spent.seconds > then["budget"] else ""
        yield (
            f"{name:14}{len(spent.tests):7}{then['tests']:8.0f}{spent.seconds:9.1f}{then['seconds']:8.1f}"
            f"{then['budget']:8.0f}{over}"
        )
    count = sum(len(spent.tests) for spent in folders.values())
    yield f"{'together':14}{count:7}{sum(spent.seconds for spent in folders.values()):17.1f}"
