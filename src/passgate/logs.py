"""Log lines: one JSON object per line on standard error, or a readable form for a terminal. The command line sets it
up.

Not here: calls of a logger. The value of an exception never gets into a line; its class and frames do.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import PurePath
from typing import Any, TextIO

import msgspec

from passgate.errors import PassgateError
from passgate.world import iso

EXTRA = (
    "request_id",
    "method",
    "route",
    "status",
    "ms",
    "down",
    "cause",
    "mail",
    "kind",
    "permanent",
    "address",
    "worker",
    "code",
    "observer",
    "event",
    "row",
    "faults",
    "counts",
    "tenant",
    "seq",
    "step",
    "why",
    "ignored",
)
"""The fields that our own lines may have besides their message."""

_QUIET = ("httpx2", "httpcore2", "httpx", "httpcore", "alembic", "sqlalchemy", "asyncio", "uvicorn.access")
"""Loggers that operators do not need; one of them logs the addresses that are queried for breached passwords."""

_DEEP = 8
"""The most causes of an error that are logged, one below the other."""


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every logger of the process through one handler. Call it once, at the start of a command."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(Readable() if out.isatty() else Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    # Skips looking up caller, thread and process of each log call, which are never printed (see "Optimization" in the
    # documentation of `logging`).
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


_encode = msgspec.json.Encoder(enc_hook=lambda value: type(value).__name__).encode


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": iso(int(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message(record),
            **extras(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = described(record.exc_info[1])
        return _encode(line).decode()


class Readable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        more = " ".join(f"{name}={value}" for name, value in extras(record).items())
        head = f"{iso(int(record.created * 1_000_000))[11:23]} {record.levelname.lower():7} {message(record)} {more}"
        if not record.exc_info or record.exc_info[1] is None:
            return _printable(head.rstrip())
        found: dict[str, Any] | None = described(record.exc_info[1])
        lines = [_printable(head.rstrip())]
        while found is not None:
            lines += [f"    {found['type']}", *(f"      {frame}" for frame in found["frames"])]
            found = found.get("cause")
        return "\n".join(lines)


def message(record: logging.LogRecord) -> str:
    """The first line of a foreign logger's message: later lines may print objects with all their values."""
    text = record.getMessage().strip()
    return text if record.name.startswith("passgate") else text.partition("\n")[0]


def extras(record: logging.LogRecord) -> dict[str, Any]:
    given = record.__dict__
    return {name: given[name] for name in EXTRA if name in given}


def described(error: BaseException, deep: int = _DEEP) -> dict[str, Any]:
    """{type, frames, code?, cause?}: where an exception was raised, never its text. The codes of our own errors are
    safe."""
    kind = type(error)
    entry: dict[str, Any] = {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "frames": [f"{_short(f.filename)}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)],
    }
    if isinstance(error, PassgateError):
        entry["code"] = error.code
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is None and isinstance(error, BaseExceptionGroup) and error.exceptions:
        cause = error.exceptions[0]
    if cause is not None and deep:
        entry["cause"] = described(cause, deep - 1)
    return entry


def _short(filename: str) -> str:
    """The path from the package on: where it is installed is not logged."""
    parts = PurePath(filename).parts
    for root in ("site-packages", "src"):
        if root in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(root) :])
    return "/".join(parts[-2:])


def _printable(text: str) -> str:
    """Replace control characters, which would steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
