"""Where test data is stored: in memory if the machine has enough, because no test data outlives the run.

The data of tests is not here, nor anything that affects what a test asserts.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  ours are folders with names that nobody can foresee
ENOUGH = 2 * 1024**3
"""The bytes that must be free. The 64 MiB of a container would be full before the tests of one folder are done."""


def memory() -> Path | None:
    """The folder in memory; None if there is none or too little is free."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < ENOUGH:
        return None
    return MEMORY


def choose() -> None:
    """Choose the folder before a test needs one: pytest reads this variable, and xdist passes it on to the workers."""
    place = memory()
    if place is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))


def described() -> str:
    """Where test data is, for the summary of the run."""
    if chosen := os.environ.get("PYTEST_DEBUG_TEMPROOT"):
        return f"test data in {chosen}"
    return f"test data on disk, which is slower: {MEMORY} is not there or has less than {ENOUGH // 1024**3} GiB free"
