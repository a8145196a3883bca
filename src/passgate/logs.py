"""Log lines: one JSON object a line on standard error, or a readable form for a terminal. Set up by the command line.

No module logs through here by hand, and no value of an exception ever gets into a line: its class and frames do.
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
    "credential",
    "faults",
)
"""What our own lines may carry beside their message."""

_QUIET = ("httpx2", "httpcore2", "httpx", "httpcore", "alembic", "sqlalchemy", "asyncio", "uvicorn.access")
"""Loggers whose chatter is of no use to operators; one names addresses that are asked for leaked passwords."""

_DEEP = 8
"""Causes of causes that are followed."""


def configure(level: str, stream: TextIO | None = None) -> None:
    """Every logger of the process goes through one handler. Call it once, at the start of a command."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(Readable() if out.isatty() else Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    # A line for every request: what is never printed need not be found out (the library's own advice, "Optimization").
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
    """A foreign logger's first line only: what follows may show objects with all they hold."""
    text = record.getMessage().strip()
    return text if record.name.startswith("passgate") else text.partition("\n")[0]


def extras(record: logging.LogRecord) -> dict[str, Any]:
    given = record.__dict__
    return {name: given[name] for name in EXTRA if name in given}


def described(error: BaseException, deep: int = _DEEP) -> dict[str, Any]:
    """{type, frames, code?, cause?}: where it happened, never what it said. Our own errors' codes are harmless."""
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
    """From the package on: where it is installed is nobody's business."""
    parts = PurePath(filename).parts
    for root in ("site-packages", "src"):
        if root in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(root) :])
    return "/".join(parts[-2:])


def _printable(text: str) -> str:
    """A terminal is steered by control characters; a log line is not the place for them."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
