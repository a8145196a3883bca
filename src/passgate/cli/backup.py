"""A copy of a running SQLite installation, which SQLite makes page by page. Not here: restoring, which is copying the
files back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from passgate.errors import Conflict, NotFound, PassgateError
from passgate.settings import KEY_FILE, Settings


def copy(source: Path, settings: Settings, target: Path, *, with_keys: bool) -> tuple[Path, Path | None]:
    """The new files with mode 0600: the database, and its keys if asked for and in a file. `target` is a new file, and
    the keys go to `target.keys`; or a folder, and both get their names in a data folder. All or nothing."""
    if not source.exists():
        raise NotFound(f"No Passgate data found in {settings.data}.")
    in_folder = target.is_dir()
    database = target / "passgate.db" if in_folder else target
    keys = target / KEY_FILE if in_folder else target.with_name(f"{target.name}.keys")
    if not with_keys or settings.root_secrets():
        _fresh(database, lambda: _copy_database(source, database))
        return database, None
    if keys.exists():
        raise Conflict(f"{keys} already exists. Choose a new target.")
    _fresh(database, lambda: _copy_database(source, database))
    # Copied after the database, so that a key added meanwhile is included. Older keys stay in the file.
    try:
        _fresh(keys, lambda: _write(keys, (settings.data / KEY_FILE).read_bytes()))
    except BaseException:
        database.unlink(missing_ok=True)
        raise
    return database, keys


def _fresh(path: Path, fill: Callable[[], None]) -> None:
    """A new file with mode 0600, which is removed if filling it fails."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Conflict(f"{path} already exists. Choose a new target.") from None
    try:
        fill()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _copy_database(source: Path, target: Path) -> None:
    """A consistent snapshot in one file without a journal, checked for integrity."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as old,
            closing(sqlite3.connect(target, timeout=10)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
            found = new.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as fault:
        raise PassgateError("The database couldn't be copied.") from fault
    if found != "ok":
        raise PassgateError("The copy failed its integrity check.")
    with target.open("rb+") as out:
        os.fsync(out.fileno())
