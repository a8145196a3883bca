"""How files are opened that are no database: those that operators name, and locks.

Not here: what stands in them.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """OSError for a pipe, which would keep the start waiting, and for a device, which has no end."""
    found = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer opens at once
    mode = os.fstat(found).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(found, "rb")
    os.close(found)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))


def read_text(path: Path, *, limit: int) -> str:
    """In UTF-8, without the mark that some editors put first. OSError; ValueError for other bytes, and for more of
    them than `limit`."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError("it is too large")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it isn't UTF-8") from None


def why(fault: OSError | ValueError) -> str:
    """In the words of the system, without the name of the file."""
    return str((fault.strerror if isinstance(fault, OSError) else "") or fault).rstrip(".")


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Processes take turns. The file, which nobody else may open, is made if it is missing, and stays."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
