"""What keeps Passgate from starting besides settings, keys and database: the clock, the data folder, the mailer, and
the files that settings name. Each is tried as the running server uses it.

Not here: reading settings, sockets, and the codes' meaning, which is in `reasons`.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from passgate import files, i18n, theme
from passgate.adapters import breach
from passgate.reasons import Reason
from passgate.settings import KEY_FILE, Settings, ThemeSettings
from passgate.world import SECOND, World

LOCK_FILE = "passgate.lock"
"""In the data folder: processes that start at once take turns by it."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ROOM = 1 << 20
"""Bytes that must be free: a new database and its log take three quarters of it."""
_OLDEST, _LATEST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2125, 1, 1, tzinfo=UTC)


def reasons(settings: Settings, world: World) -> list[Reason]:
    """All of them; empty if there is none. Leaves nothing behind."""
    found = [*clock_reasons(world), *data_reasons(settings), *_mail_reasons(settings, world)]
    return [*found, *_theme_reasons(settings.look), *_range_reasons(settings.breach.ranges)]


def clock_reasons(world: World) -> Iterator[Reason]:
    if not _OLDEST.timestamp() < (now := world.now() // SECOND) < _LATEST.timestamp():
        year = datetime.fromtimestamp(now, UTC).year if 0 <= now < 1 << 37 else "?"
        yield "CLOCK_WRONG", f"The clock of this machine says it is the year {year}. Set it."


# -- the data folder -------------------------------------------------------------------------------


def data_reasons(settings: Settings) -> Iterator[Reason]:
    """A folder that is not there yet is made at the start, below one in which we may."""
    folder = settings.data.absolute()
    existing = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), Path("/"))
    if fault := _cannot_find(folder):
        yield of_data(fault, folder)
    elif not existing.is_dir():
        yield "DATA_NO_FOLDER", f"{existing} is not a folder. Set PASSGATE_DATA to a folder."
    elif fault := _cannot_write(existing):
        code, text = of_data(fault, folder)
        if existing != folder and fault.errno not in FULL | {errno.EROFS}:
            made = f"install -d -m 700 -o {os.geteuid()} {folder}"
            text = f"{folder} can't be made in {existing}. Run as root: {made}, or set PASSGATE_DATA."
        yield code, text
    elif existing == folder:
        for path in (folder / LOCK_FILE, folder / KEY_FILE):
            if path.exists() and not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
                yield "DATA_REFUSED", f"PASSGATE_DATA: {path} can't be opened. {_owner(path)}"


def of_data(fault: OSError, path: Path) -> Reason:
    """What a fault of the disk is called, if it comes from the data folder."""
    if fault.errno in FULL:
        return "DISK_FULL", f"The disk of {path} is full. Make room there, or set PASSGATE_DATA to another disk."
    if fault.errno == errno.EROFS:
        return "DATA_REFUSED", f"{path} is on a read-only file system. Set PASSGATE_DATA to a volume that is not."
    return "DATA_REFUSED", f"PASSGATE_DATA: {path} can't be written ({files.why(fault)}). {_owner(path)}"


def of_file(fault: OSError) -> Reason:
    """What a fault of any other file is called."""
    where = os.fsdecode(fault.filename) if isinstance(fault.filename, str | bytes) else "A file"
    if fault.errno in FULL:
        return "DISK_FULL", f"The disk is full ({where}). Make room there."
    return "FILE_REFUSED", f"{where} can't be used ({files.why(fault)})."


def _cannot_find(folder: Path) -> OSError | None:
    """Why nobody can say whether it is there."""
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        return fault
    return None


def _cannot_write(folder: Path) -> OSError | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(_ROOM))
    except OSError as fault:
        return fault
    return None


def _owner(path: Path) -> str:
    """The remedy. Only the operator knows whether a folder is for Passgate alone."""
    try:
        owner = path.stat().st_uid
        folder = path if path.is_dir() else path.parent
    except OSError:
        return "Set it to a folder that the user who runs Passgate can reach."
    me = os.geteuid()
    if owner == me:
        return f"Run: chmod -R u+rwX {folder}"
    return f"It belongs to user {owner}, and this is user {me}. If it is for Passgate alone: chown -R {me} {folder}"


# -- what settings name ----------------------------------------------------------------------------


def _mail_reasons(settings: Settings, world: World) -> Iterator[Reason]:
    mail = settings.mail
    if mail.url.startswith("smtp"):
        from passgate.adapters import smtp  # noqa: PLC0415  development sends nothing

        try:
            smtp.from_settings(mail, world)
        except ValueError:
            # Without the reason of the parser: it would print parts of a password.
            yield (
                "MAIL_UNREADABLE",
                "PASSGATE_MAIL__URL or PASSGATE_MAIL__FROM can't be read. Percent-encode user and password, and write "
                "the sender as Name <address>.",
            )


def _theme_reasons(given: ThemeSettings) -> Iterator[Reason]:
    if given.texts is not None:
        try:
            i18n.own_texts(given.texts)
        except (OSError, ValueError) as fault:
            yield "LOOK_TEXTS", f"PASSGATE_LOOK__TEXTS: {given.texts} can't be used: {_why(fault)}."
            return  # templates are read together with the texts
    if given.templates is None:
        return
    try:
        for _ in os.walk(given.templates, onerror=_raised):  # the loader would pass over what it can't read
            pass
    except OSError as fault:
        yield "LOOK_TEMPLATES", f"PASSGATE_LOOK__TEMPLATES: {given.templates} can't be used: {files.why(fault)}."
        return
    from jinja2 import TemplateError, TemplateSyntaxError  # noqa: PLC0415  few have templates of their own

    try:
        theme.compile_own(given)
    except TemplateSyntaxError as wrong:
        place = f"{wrong.filename or wrong.name}, line {wrong.lineno}"
        yield "LOOK_TEMPLATES", f"PASSGATE_LOOK__TEMPLATES: {place}: {wrong.message}."
    except (OSError, ValueError, TemplateError) as fault:
        yield "LOOK_TEMPLATES", f"PASSGATE_LOOK__TEMPLATES: {given.templates} can't be used: {_why(fault)}."


def _raised(fault: OSError) -> NoReturn:
    raise fault


def _range_reasons(ranges: Path | None) -> Iterator[Reason]:
    if ranges is not None:
        try:
            breach.check_file(ranges)
        except (OSError, ValueError) as fault:
            yield "BREACH_RANGES", f"PASSGATE_BREACH__RANGES: {ranges} can't be used: {_why(fault)}."


def _why(fault: Exception) -> str:
    """Of a file that holds no secrets."""
    return files.why(fault) if isinstance(fault, OSError | ValueError) else str(fault).rstrip(".")
