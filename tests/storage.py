"""Where test data lies: in memory where the machine offers it, because nothing of a test outlives its run.

No test's own data is here, and nothing that decides what a test asserts.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  ours are folders with names that nobody can foresee
ENOUGH = 2 * 1024**3
"""Bytes that have to be free. A container's own 64 MiB would be full before the first folder of tests is done."""


def memory() -> Path | None:
    """The folder that is memory, or None where there is none, or not enough of it."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < ENOUGH:
        return None
    return MEMORY


def choose() -> None:
    """Before the first folder of a test is made: pytest asks this variable, and hands its choice to the workers."""
    place = memory()
    if place is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))


def described() -> str:
    """For the end of a run."""
    if chosen := os.environ.get("PYTEST_DEBUG_TEMPROOT"):
        return f"test data in {chosen}"
    return f"test data on disk, which is slower: {MEMORY} is not there or has less than {ENOUGH // 1024**3} GiB free"
