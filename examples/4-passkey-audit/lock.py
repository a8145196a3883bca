"""What a server holds while it uses app.db, so that nobody resets a database that is in use. It ends with its process,
also with one that is killed. Of the standard library alone: reset_db.py runs without Passgate.

Not here: the database.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """By any number of servers at once, or `alone`. Raises BlockingIOError."""
    with folder.joinpath("app.lock").open("a") as file:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        yield
