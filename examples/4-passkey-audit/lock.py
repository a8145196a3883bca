"""What a server holds while it uses this folder, so that nobody resets a database that is in use. It ends with its
process, also with one that is killed. Of the standard library alone: reset_db.py runs without Passgate.

Not here: the database.
"""

import fcntl
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent


def hold(*, alone: bool = False) -> TextIO:
    """Until what is returned is closed: by any number of servers at once, which wait for a reset, or `alone`. Raises
    BlockingIOError."""
    file = HERE.joinpath("app.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        file.close()
        raise
    return file
